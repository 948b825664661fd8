"""`Encoder.transform` as nodes of ONNX: from texts and numbers to ids and scaled numbers.

Suffixes: B rows, C columns of ids, L columns of one field, M members of tags, D numbers.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fsmd.baselines.nodes import LEAF, Nodes
from fsmd.data.encoder import SCALED_BOUND, Encoder, Scaling, Vocabulary
from fsmd.data.inputs import MEMBERS, NULL, Input, missing_text
from fsmd.data.schema import FIRST_ID, NOTHING
from fsmd.errors import UserError
from fsmd.onnx.graph import Graph
from fsmd.onnx.trees import add_trees


class EncodedRows(NamedTuple):
    """What a model reads; None where the data set has none of it."""

    ids_BC: str | None
    """int64."""
    dense_BD: str | None
    """float32."""


def add_encoder(graph: Graph, encoder: Encoder) -> EncodedRows:
    """Inputs of the features in the order of the encoder, and what it makes of them.

    Raises UserError where nothing is left to stand for a missing value.
    """
    described = {each.name: each for each in encoder.inputs}
    fields = [_Texts(graph, v, encoder.root(v), described[v.name]) for v in encoder.vocabularies]
    numbers = [graph.input(scaling.name, TensorProto.DOUBLE) for scaling in encoder.scales]
    return EncodedRows(
        _ids(graph, fields) if fields else None,
        _dense(graph, encoder.scales, numbers) if numbers else None,
    )


# Ids


class _Texts:
    """One field's input, and its texts one by one."""

    def __init__(
        self, graph: Graph, vocabulary: Vocabulary, root: Vocabulary, described: Input
    ) -> None:
        self.vocabulary, self.root = vocabulary, root
        self.missing = missing_text(root.words)
        self.input = graph.input(vocabulary.name, TensorProto.STRING)
        self.is_tags = described.kind == "tags"
        self.texts = self.input
        if self.is_tags:
            by = described.separator or MEMBERS
            self.texts, _ = graph.several("StringSplit", self.input, count=2, delimiter=by)


def _ids(graph: Graph, fields: Sequence[_Texts]) -> str:
    """B x C of all fields."""
    users: Mapping[str, list[_Texts]] = defaultdict(list)
    for each in fields:
        users[each.root.name].append(each)
    found: dict[str, str] = {}
    for of_root in users.values():
        found |= _looked_up(graph, of_root)
    return graph.concat(list(_side_by_side(graph, fields, found)), 1)


def _side_by_side(
    graph: Graph, fields: Sequence[_Texts], found: Mapping[str, str]
) -> Iterator[str]:
    """B x some columns each; neighbours of one column together, as that takes fewer nodes."""
    run: list[str] = []
    for each in [*fields, None]:
        if each is not None and not each.is_tags:
            run.append(_with_missing(graph, each, found[each.vocabulary.name]))
            continue
        if run:
            rows = graph.reshape(graph.concat(run, 0), [len(run), -1])
            yield graph.add("Transpose", rows)
        run = []
        if each is not None:
            yield _placed(graph, each, found[each.vocabulary.name])


def _looked_up(graph: Graph, fields: Sequence[_Texts]) -> dict[str, str]:
    """Field -> the id of each of its texts, in their shape; the words stand there once."""
    names, root = [each.vocabulary.name for each in fields], fields[0].root
    if len(fields) == 1:
        return {names[0]: _lookup(graph, root, fields[0].texts)}
    flat = [graph.reshape(each.texts, [-1]) if each.is_tags else each.texts for each in fields]
    sizes = graph.concat([graph.add("Shape", each) for each in flat], 0)
    ids = _lookup(graph, root, graph.concat(flat, 0))
    parts = graph.several("Split", ids, sizes, count=len(flat), axis=0)
    for i, each in enumerate(fields):
        if each.is_tags:
            shape = graph.add("Shape", each.texts)
            parts[i] = graph.add("Reshape", parts[i], shape, allowzero=1)
    return dict(zip(names, parts, strict=True))


def _lookup(graph: Graph, root: Vocabulary, text: str) -> str:
    if root.buckets is None:
        words = {word: i for i, word in enumerate(root.words, FIRST_ID)}
        missing = missing_text(root.words)
        if missing in words:
            raise UserError(
                f"categories of {root.name!r} must not be both '' and U+0000, of which one stands "
                "for a missing value in ONNX; leave one of them out"
            )
        return graph.numbers_of_words(
            text, {**words, missing: root.missing}, root.other, root.name
        )
    rest = graph.add("Mod", graph.hashes(text), graph.constant(root.buckets, np.int64))
    ids = graph.add("Add", rest, graph.constant(FIRST_ID, np.int64))
    # The hash of the text "" is 0.
    is_empty = graph.add("Equal", text, graph.text(NULL))
    return graph.add("Where", is_empty, graph.constant(FIRST_ID, np.int64), ids)


def _with_missing(graph: Graph, field: _Texts, ids_B: str) -> str:
    """The id of its own that a column has for missing values."""
    root, own = field.root, field.vocabulary.missing
    if root.buckets is None and root.missing == own:
        return ids_B
    is_missing = graph.add("Equal", field.texts, graph.text(field.missing))
    return graph.add("Where", is_missing, graph.constant(own, np.int64), ids_B)


def _placed(graph: Graph, field: _Texts, ids_BM: str) -> str:
    """The ids of members at the columns that are theirs, B x L; -1 elsewhere."""
    length = field.vocabulary.length
    is_there = graph.add("Not", graph.add("Equal", field.texts, graph.text("")))
    count_BM = graph.cast(is_there, TensorProto.INT64)
    one, axis = graph.constant(1, np.int64), graph.constant([1], np.int64)
    place_BM = graph.add("Sub", graph.add("CumSum", count_BM, one), one)
    if field.vocabulary.keep == "end":
        count_B1 = graph.add("ReduceSum", count_BM, axis, keepdims=1)
        over = graph.add("Sub", count_B1, graph.constant(length, np.int64))
        before = graph.add("Max", over, graph.constant(0, np.int64))
        place_BM = graph.add("Sub", place_BM, before)
    after = graph.add("Less", place_BM, graph.constant(length, np.int64))
    is_late = graph.add("GreaterOrEqual", place_BM, graph.constant(0, np.int64))
    is_kept = graph.add("And", is_there, graph.add("And", after, is_late))
    # What is not kept goes to one column more, which is cut off.
    place_BM = graph.add("Where", is_kept, place_BM, graph.constant(length, np.int64))
    rows = graph.add("Shape", field.input)
    shape = graph.concat([rows, graph.constant([length + 1], np.int64)], 0)
    empty = field.vocabulary.missing if length == 1 else NOTHING
    nothing = graph.add("Expand", graph.constant(empty, np.int64), shape)
    placed = graph.add("ScatterElements", nothing, place_BM, ids_BM, axis=1)
    start, end = graph.constant([0], np.int64), graph.constant([length], np.int64)
    placed_BL = graph.add("Slice", placed, start, end, axis)
    alone = np.full((1, length), NOTHING)
    alone[0, 0] = field.vocabulary.missing
    is_missing = graph.add("Equal", field.input, graph.text(field.missing))
    is_missing = graph.add("Unsqueeze", is_missing, axis)
    return graph.add("Where", is_missing, graph.constant(alone, np.int64), placed_BL)


# Numbers


class _Rule(NamedTuple):
    """What is done with a column of numbers once missing ones are filled."""

    move: Callable[[Graph, str, Sequence[Scaling]], str]
    """Of several columns at once."""
    mean: float
    spread: float
    bound: float


def _rule(scaling: Scaling) -> _Rule:
    if scaling.spread == 0:  # it says nothing, and becomes 0 whatever it holds
        return _Rule(_plain, 0.0, np.inf, SCALED_BOUND)
    if scaling.scale == "none":
        return _Rule(_plain, 0.0, 1.0, np.inf)
    move = {"log": _logs, "quantile": _shares}.get(scaling.scale, _plain)
    return _Rule(move, scaling.mean, scaling.spread, SCALED_BOUND)


def _dense(graph: Graph, scales: Sequence[Scaling], inputs: Sequence[str]) -> str:
    """B x D; computed with 64 bits and as D x B, all columns at once."""
    rules = [_rule(scaling) for scaling in scales]
    moves = list(dict.fromkeys(rule.move for rule in rules))
    order = sorted(range(len(scales)), key=lambda i: moves.index(rules[i].move))

    def column(values: Sequence[float | None]) -> str:
        ordered = np.array([values[i] for i in order], np.float64)  # None is NaN
        return graph.constant(ordered[:, None], np.float64)

    number = graph.reshape(graph.concat([inputs[i] for i in order], 0), [len(order), -1])
    is_missing = graph.add("IsNaN", number)
    number = graph.add("Where", is_missing, column([s.fill for s in scales]), number)
    parts = [number]
    own = {move: [scales[i] for i in order if rules[i].move is move] for move in moves}
    if len(moves) > 1:
        sizes = graph.constant([len(each) for each in own.values()], np.int64)
        parts = graph.several("Split", number, sizes, count=len(moves), axis=0)
    moved = [move(graph, part, own[move]) for move, part in zip(moves, parts, strict=True)]
    apart = graph.add("Sub", graph.concat(moved, 0), column([rule.mean for rule in rules]))
    number = graph.add("Div", apart, column([rule.spread for rule in rules]))
    number = graph.add("Max", number, column([-rule.bound for rule in rules]))
    number = graph.add("Min", number, column([rule.bound for rule in rules]))
    return _ordered(graph, scales, order, graph.cast(number, TensorProto.FLOAT), is_missing)


def _ordered(
    graph: Graph, scales: Sequence[Scaling], order: Sequence[int], scaled: str, is_missing: str
) -> str:
    """Rows of numbers back in the encoder's order, each with its flag behind it; as B x D."""
    row = {i: place for place, i in enumerate(order)}
    flagged = [i for i, scaling in enumerate(scales) if scaling.flagged]
    flag = {i: len(scales) + place for place, i in enumerate(flagged)}
    if flagged:
        rows = graph.constant([row[i] for i in flagged], np.int64)
        flags = graph.add("Gather", is_missing, rows, axis=0)
        scaled = graph.concat([scaled, graph.cast(flags, TensorProto.FLOAT)], 0)
    wanted = [p for i in range(len(scales)) for p in (row[i], *([flag[i]] if i in flag else []))]
    if wanted != sorted(wanted):
        scaled = graph.add("Gather", scaled, graph.constant(wanted, np.int64), axis=0)
    # No Transpose: onnxruntime below 1.26 makes of that and a product of 64 bits what it lacks.
    return graph.add("Einsum", scaled, equation="db->bd")


def _plain(graph: Graph, number: str, scales: Sequence[Scaling]) -> str:
    return number


def _logs(graph: Graph, number: str, scales: Sequence[Scaling]) -> str:
    """log(1 + x), exact near 0 too, where 1 + x is rounded."""
    one = graph.constant(1.0, np.float64)
    more = graph.add("Add", number, one)
    lost = graph.add("Sub", graph.add("Sub", more, one), number)
    return graph.add("Sub", graph.add("Log", more), graph.add("Div", lost, more))


def _shares(graph: Graph, number: str, scales: Sequence[Scaling]) -> str:
    """What `np.interp` gives between a column's knots; a tree finds those around a number."""
    knots = [np.array(scaling.knots) for scaling in scales]
    first = graph.constant(np.array([k[0, :1] for k in knots]), np.float64)
    last = graph.constant(np.array([k[0, -1:] for k in knots]), np.float64)
    number = graph.add("Min", graph.add("Max", number, first), last)
    searches = [_search(k[0], column) for column, k in enumerate(knots)]
    below = add_trees(graph, graph.add("Transpose", number), searches, equal=False)
    place = graph.cast(graph.add("Transpose", below), TensorProto.INT64)
    starts = np.cumsum([0, *(k.shape[1] for k in knots)])[:-1]
    place = graph.add("Add", place, graph.constant(starts[:, None], np.int64))

    def at_place(values: list[NDArray[np.float64]]) -> str:
        table = graph.constant(np.concatenate(values), np.float64)
        return graph.add("Gather", table, place, axis=0)

    slopes = [np.append(np.diff(share) / np.diff(knot), 0.0) for knot, share in knots]
    beyond = graph.add("Sub", number, at_place([k[0] for k in knots]))
    risen = graph.add("Mul", beyond, at_place(slopes))
    return graph.add("Add", risen, at_place([k[1] for k in knots]))


def _search(knots: NDArray[np.float64], column: int) -> Nodes:
    """A tree that gives the position of the last knot which is not above a number."""
    nodes: list[list[float]] = []

    def grow(low: int, high: int) -> int:
        """The node that tells the knots from `low` to before `high` apart."""
        at, middle = len(nodes), (low + high) // 2
        if high - low == 1:
            nodes.append([LEAF, 0, at, at, low])
            return at
        node = [column, knots[middle], at, at, 0]
        nodes.append(node)
        node[2:4] = grow(low, middle), grow(middle, high)
        return at

    grow(0, len(knots))
    feature, threshold, left, right, value = np.array(nodes).T
    feature, left, right = (each.astype(np.int32) for each in (feature, left, right))
    return Nodes(feature, threshold, left, right, value, np.zeros(1, np.int32))
