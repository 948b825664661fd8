"""Models as one file of ONNX: raw rows give what `Encoder.transform` and torch give."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

import fsmd.onnx.graph
from fsmd.baselines import Baseline
from fsmd.baselines.nodes import joined, tree
from fsmd.config import MODELS, FSMDConfig, fitted
from fsmd.data.encode import write_encoded
from fsmd.data.encoder import Encoder, Scaling, Vocabulary
from fsmd.data.inputs import Input, missing_text
from fsmd.data.rows.frames import Tables, fields_of, of_tables
from fsmd.data.source import Categorical, Dense, Recipe, Source, Tags
from fsmd.errors import UserError
from fsmd.metrics.steps import step_scores
from fsmd.module import FSMDModule
from fsmd.onnx import model_bytes
from fsmd.onnx.encoder import add_encoder
from fsmd.onnx.graph import Graph
from fsmd.saved.head import outputs_of
from fsmd.score import parse
from fsmd.tasks import Task, names, parents
from fsmd.trained import TrainedModel

CLOSE = 1e-6
pytestmark = pytest.mark.usefixtures("one_thread")
ONE = (Task("click"),)
TWO = (Task("click"), Task("buy", after="click"))
THREE = (*TWO, Task("like"))
FIVE = (
    *(Task("see"), Task("click", after="see"), Task("cart", after="click")),
    *(Task("buy", after="cart"), Task("like", after="see")),
)
UNRELATED = (Task("click"), Task("long view"))
each_tasks = pytest.mark.parametrize("tasks", [ONE, THREE, FIVE], ids=["1", "3", "5"])
SMALL: dict[str, Any] = {"layers": (8, 5), "tower_width": 8, "expert_count": 4, "gate_width": 6}
WORDS = ("a", "b", "7", "-0.5", "Ünïcode", "😀", "a\x1fb", "a,b", " ", "long " * 9)
OTHERS = ("", "new", "A", "7.0", "\t\n", "😀😀", "x" * 99, "None", "nan")

Rows = Mapping[str, Sequence[Any]]
Array = NDArray[Any]


@pytest.fixture(autouse=True)
def _without_warnings(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """onnxruntime writes its warnings to the terminal."""
    yield
    assert capfd.readouterr() == ("", "")


# What the file is fed and compared with


def batch_of(encoder: Encoder, rows: Rows) -> pa.RecordBatch:
    """The rows as `Encoder.transform` takes them."""
    kinds = {each.name: each.kind for each in encoder.inputs}
    types = {"category": pa.string(), "tags": pa.list_(pa.string()), "number": pa.float64()}
    columns = [pa.array(rows[name], types[kinds[name]]) for name in kinds]
    return pa.RecordBatch.from_arrays(columns, names=list(kinds))


def fed(encoder: Encoder, rows: Rows) -> dict[str, Array]:
    """The rows as the file takes them."""
    roots = {v.name: encoder.root(v) for v in encoder.vocabularies}
    feeds: dict[str, Array] = {}
    for each in encoder.inputs:
        values = rows[each.name]
        if each.kind == "number":
            feeds[each.name] = np.array([np.nan if v is None else v for v in values], np.float64)
            continue
        missing = missing_text(roots[each.name].words)
        empty = "" if missing else "\0"
        separator = each.separator or "\x1f"
        if each.kind == "category":
            texts = [missing if v is None else v or empty for v in values]
        else:
            texts = [
                missing if v is None else separator.join(filter(None, v)) or separator
                for v in values
            ]
        feeds[each.name] = np.array(texts, object)
    return feeds


def run(content: bytes, feeds: Mapping[str, Array]) -> dict[str, Array]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    found = session.run(None, dict(feeds))
    return dict(zip((each.name for each in session.get_outputs()), found, strict=True))


def encoded_by_onnx(encoder: Encoder, rows: Rows) -> tuple[Array, Array]:
    """Ids and numbers as the nodes of the encoder alone give them."""
    graph = Graph([each.name for each in encoder.inputs])
    found = add_encoder(graph, encoder)
    model = graph.model("encoder")
    for name, kind in zip(found, (TensorProto.INT64, TensorProto.FLOAT), strict=True):
        if name is not None:
            model.graph.output.append(helper.make_tensor_value_info(name, kind, None))
    outputs = run(model.SerializeToString(), fed(encoder, rows))
    count = len(next(iter(rows.values())))
    ids = outputs.get(found.ids_BC or "", np.zeros((count, 0), np.int64))
    return ids, outputs.get(found.dense_BD or "", np.zeros((count, 0), np.float32))


def expected(
    encoder: Encoder, trained: TrainedModel, rows: Rows, score: str | None = None
) -> dict[str, Array]:
    """Every output, by `Encoder.transform` and by torch or numpy."""
    ids, dense = encoder.transform(batch_of(encoder, rows))
    logit_NK = trained.logits(ids, dense).astype(np.float64)
    score_NK = trained.scores(ids, dense).astype(np.float64)
    tasks = trained.schema.tasks
    chained = isinstance(trained.config, FSMDConfig) and trained.config.chain
    found: dict[str, Array] = {}
    for k, (task, parent) in enumerate(zip(tasks, parents(tasks), strict=True)):
        found[f"P({task.name})"] = sigmoid(score_NK[:, k])
        if parent is not None:
            step_N = step_scores(score_NK[:, k], score_NK[:, parent])
            found[f"P({task.name}|{task.after})"] = sigmoid(logit_NK[:, k] if chained else step_N)
    if score is not None:
        probabilities = {task.name: found[f"P({task.name})"] for task in tasks}
        found["score"] = parse(score, names(tasks)).evaluate(probabilities)
    return found


def sigmoid(x: Array) -> Array:
    return np.exp(-np.logaddexp(0, -x))


def agree(encoder: Encoder, trained: TrainedModel, rows: Rows, score: str | None = None) -> bytes:
    content = model_bytes(encoder, trained, score)
    found = run(content, fed(encoder, rows))
    want = expected(encoder, trained, rows, score)
    assert list(found) == [each.name for each in outputs_of(trained.schema.tasks, score)]
    assert list(found) == list(want)
    for name, value_N in found.items():
        assert value_N.dtype == np.float32
        assert value_N.shape == want[name].shape
        np.testing.assert_allclose(value_N, want[name], rtol=0, atol=CLOSE, err_msg=name)
    likes = found[f"P({trained.schema.tasks[0].name})"]
    assert len(likes) < 3 or np.ptp(likes) > 1e-3
    return content


# Made-up encoders, rows and models


def encoder_of(
    vocabularies: Sequence[Vocabulary],
    scales: Sequence[Scaling],
    tasks: Sequence[Task] = TWO,
    tags: Sequence[str] = (),
) -> Encoder:
    inputs = [
        *(Input(v.name, "tags" if v.name in tags else "category", v.name) for v in vocabularies),
        *(Input(s.name, "number", s.name) for s in scales),
    ]
    return Encoder("made up", tuple(vocabularies), tuple(scales), tuple(tasks), tuple(inputs))


def every_kind(tasks: Sequence[Task] = TWO) -> Encoder:
    """A column of each kind that an encoder has; they stand in no order."""
    knots = (-1e30, -2.0, 0.0, 0.5, 7.25, 1e6), (0.01, 0.2, 0.4, 0.5, 0.9, 0.99)
    encoder = encoder_of(
        [
            Vocabulary("item", WORDS),
            Vocabulary("history", (), length=4, keep="end", share="item"),
            Vocabulary("city", (), missing=0, buckets=5),
            Vocabulary("v1", ("only",), other=2, missing=2),
            Vocabulary("Gather_2", (), missing=0, share="item"),
            Vocabulary("towns", (), length=2, share="city"),
            Vocabulary("topics", ("", "a", "b"), length=3, keep="start"),
            Vocabulary("blank", ("", "a"), missing=0),
            Vocabulary("none at all", ()),
        ],
        [
            Scaling("age", "standard", 40.0, 9.0, 38.0, flagged=True),
            Scaling("price", "quantile", 0.4, 0.3, 2.0, knots=knots),
            Scaling("count", "log", 2.0, 0.5, 3.0, flagged=True),
            Scaling("share", "none", 0.0, 1.0, 0.25, flagged=True),
            Scaling("same", "standard", 3.0, 0.0, 3.0),
            Scaling("one knot", "quantile", 0.0, 2.0, 0.0, knots=((3.0,), (0.5,))),
            Scaling("tiny", "log", 0.0, 1e-13, 0.0),
        ],
        tasks,
        tags=("history", "towns", "topics"),
    )
    separators = {"topics": ", ", "towns": ","}
    inputs = tuple(replace(i, separator=separators.get(i.name)) for i in encoder.inputs)
    return replace(encoder, inputs=inputs)


_ENDS: Mapping[str, tuple[float, float]] = {"log": (-0.9, 1e30), "none": (-2.0, 2.0)}


def rows_of(encoder: Encoder, count: int, seed: int = 0) -> dict[str, list[Any]]:
    """Known, unseen and missing values; lists shorter and longer than what is kept."""
    draw = np.random.default_rng(seed)
    ends = {s.name: _ENDS.get(s.scale, (-1e30, 1e30)) for s in encoder.scales}
    roots = {v.name: encoder.root(v) for v in encoder.vocabularies}
    rows: dict[str, list[Any]] = {}
    for each in encoder.inputs:
        if each.kind == "number":
            odd = [None, 0.0, -0.0, *ends[each.name], 1e-14, 7.25, -0.5]
            plain = draw.normal(3, 2, count).clip(*ends[each.name]).round(2).tolist()
            rows[each.name] = [
                odd[draw.integers(len(odd))] if draw.random() < 0.4 else x for x in plain
            ]
            continue
        words = [w for w in (*roots[each.name].words, *OTHERS) if each.kind == "category" or w]
        if each.kind == "tags":
            words = [w for w in words if (each.separator or "\x1f") not in w]

            def members(words: list[str] = words) -> list[str] | None:
                several = draw.integers(0, len(words), draw.integers(0, 9))
                return None if draw.random() < 0.1 else [words[i] for i in several]

            rows[each.name] = [members() for _ in range(count)]
        else:
            picked = draw.integers(-1, len(words), count)
            rows[each.name] = [None if i < 0 else words[i] for i in picked]
    return rows


def network(encoder: Encoder, config: FSMDConfig, seed: int = 0) -> TrainedModel:
    """A network whose every number is drawn, the statistics of batch norm too."""
    schema = encoder.schema(masked=False, weighted=False)
    module = FSMDModule.create(fitted(config, schema.tasks), schema, seed)
    draw, tensors = np.random.default_rng(seed), {}
    for name, value in module.model.state_dict().items():
        array = value.numpy().copy()
        if "running_var" in name:
            array = draw.uniform(0.2, 2, array.shape).astype(np.float32)
        elif array.ndim == 1 and array.dtype == np.float32:
            array = draw.normal(0.3, 0.5, array.shape).astype(np.float32)
        elif "table" in name or "fms" in name:
            array = draw.normal(0, 0.1, array.shape).astype(np.float32)
            if module.model.columns.blank and len(array) == module.model.columns.rows + 1:
                array[-1] = 0
        else:
            array = 2 * array
        tensors[name] = array
    return TrainedModel(module.config, schema, tensors)


# The encoder


def test_ids_and_numbers_equal_the_encoders_whatever_values_come() -> None:
    encoder = every_kind()
    for count in (0, 1, 2, 3000):
        rows = rows_of(encoder, count, seed=count)
        rows["city"][:1] = ["very long" * 500][:count]
        ids, dense = encoder.transform(batch_of(encoder, rows))
        found_ids, found_dense = encoded_by_onnx(encoder, rows)
        np.testing.assert_array_equal(found_ids, ids)
        np.testing.assert_allclose(found_dense, dense, rtol=2e-7, atol=1e-7)


def test_ids_and_numbers_of_a_fitted_encoder_are_those_of_training(tmp_path: Path) -> None:
    recipe = Recipe(
        "toy",
        (
            Categorical("item", min_count=2),
            Categorical("city", buckets=5),
            Tags("seen", share="item", max_length=3, keep="end"),
            Tags("tags", max_length=2),
            Tags("last", max_length=1, keep="end"),
        ),
        (Dense("age"), Dense("price", "quantile"), Dense("size", "log", missing=3.0)),
        TWO,
    )
    draw = np.random.default_rng(0)

    def table(rows: int) -> pd.DataFrame:
        click, lost = draw.integers(0, 2, rows), draw.random(rows) < 0.2
        lists = [
            [f"w{i}" for i in draw.integers(0, 90, draw.integers(0, 6))] if i % 9 else None
            for i in range(rows)
        ]
        return pd.DataFrame(
            {
                "item": pd.Series([f"w{i}" for i in draw.integers(0, 99, rows)]).mask(lost),
                "city": draw.integers(0, 30, rows),
                "seen": lists,
                "tags": lists[::-1],
                "last": lists,
                "age": pd.Series(draw.normal(40, 9, rows)).mask(lost),
                "price": draw.lognormal(2, 1, rows),
                "size": draw.lognormal(1, 1, rows),
                "click": click,
                "buy": click * draw.integers(0, 2, rows),
            }
        )

    tables = Tables(table(500), table(100), table(100))
    source: Source = of_tables(recipe, {"made": "up"}, lambda: tables)
    (tmp_path / "data").mkdir()
    write_encoded(source, tmp_path / "data", memory=2**30)
    encoder = Encoder.from_json((tmp_path / "data" / "encoder.json").read_text("utf-8"))
    fields = fields_of(recipe, "test", table(400))
    ids, dense = encoder.transform(fields)
    columns = {each.name: fields[each.name].to_pylist() for each in encoder.inputs}
    found_ids, found_dense = encoded_by_onnx(encoder, columns)
    np.testing.assert_array_equal(found_ids, ids)
    np.testing.assert_allclose(found_dense, dense, rtol=2e-7, atol=1e-7)


@st.composite
def encoders(draw: st.DrawFn) -> tuple[Encoder, dict[str, list[Any]]]:
    """Any columns, with rows of any values."""
    word = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    vocabularies: list[Vocabulary] = []
    for i in range(draw(st.integers(0, 5))):
        share = draw(st.sampled_from([None, *(v.name for v in vocabularies if v.share is None)]))
        own = share is None
        buckets = draw(st.none() | st.integers(1, 9)) if own else None
        words = draw(st.lists(word, max_size=5, unique=True)) if own and not buckets else []
        if "" in words and "\0" in words:
            words.remove("\0")
        other = draw(st.integers(0, len(words) + 1)) if own and not buckets else 0
        vocabularies.append(
            Vocabulary(
                f"c{i}",
                tuple(words),
                missing=draw(st.integers(0, 1)),
                other=other,
                buckets=buckets,
                share=share,
                length=draw(st.integers(1, 4)),
                keep=draw(st.sampled_from(["start", "end"])),
            )
        )
    number = st.floats(-1e30, 1e30)
    scales = []
    for i in range(draw(st.integers(0 if vocabularies else 1, 4))):
        scale: Any = draw(st.sampled_from(["standard", "log", "quantile", "none"]))
        knots = sorted(draw(st.lists(st.floats(-9, 9), min_size=1, max_size=5, unique=True)))
        shares = tuple(np.linspace(0.1, 0.9, len(knots)).tolist())
        scales.append(
            Scaling(
                f"d{i}",
                scale,
                draw(st.floats(-10, 10)),
                draw(st.sampled_from([0.0, 0.01, 1.0, 1e6])),
                draw(st.floats(-0.5, 10)),
                draw(st.booleans()),
                (tuple(knots), shares) if scale == "quantile" else ((), ()),
            )
        )
    tags = [v.name for v in vocabularies if v.length > 1]
    encoder = encoder_of(vocabularies, scales, TWO, tags)
    count = draw(st.integers(0, 4))
    rows: dict[str, list[Any]] = {}
    for v in vocabularies:
        known = encoder.root(v).words
        text = (word | st.sampled_from(known) if known else word).filter(lambda w: w != "\0")
        member = text.filter(lambda w: w != "" and "\x1f" not in w)
        value: st.SearchStrategy[Any] = st.lists(member, max_size=6) if v.name in tags else text
        rows[v.name] = draw(st.lists(st.none() | value, min_size=count, max_size=count))
    for s in scales:
        any_ = number if s.scale != "log" else st.floats(-0.999999, 1e30)
        rows[s.name] = draw(st.lists(st.none() | any_, min_size=count, max_size=count))
    return encoder, rows


@settings(max_examples=40, deadline=None)
@given(encoders())
def test_any_encoder_has_nodes_that_do_what_it_does(made: tuple[Encoder, Any]) -> None:
    encoder, rows = made
    ids, dense = encoder.transform(batch_of(encoder, rows))
    found_ids, found_dense = encoded_by_onnx(encoder, rows)
    np.testing.assert_array_equal(found_ids, ids)
    np.testing.assert_allclose(found_dense, dense, rtol=3e-7, atol=1e-6)


# Networks


@pytest.mark.parametrize(
    ("name", "tasks"),
    [*zip(MODELS, cycle((THREE, FIVE)), strict=False), ("ple", ONE), ("fsmd", ONE)],
    ids=lambda value: value if isinstance(value, str) else str(len(value)),
)
def test_each_model_gives_the_probabilities_of_torch(name: str, tasks: tuple[Task, ...]) -> None:
    """Of three and five tasks in turn, and of one."""
    encoder = every_kind(tasks)
    trained = network(encoder, replace(MODELS[name], **SMALL), seed=len(tasks))
    agree(encoder, trained, rows_of(encoder, 100))


ODD: Mapping[str, dict[str, Any]] = {
    "one own expert of three": {"expert_count": 3, "own_experts": 1, "extraction_levels": 3},
    "no shared experts": {"own_experts": 4, "extraction_levels": 2},
    "one expert": {"sharing": "experts", "expert_count": 1},
    "equal gates": {"gate": "equal", "extraction_levels": 2},
    "deep gates": {"gate_depth": 3, "sharing": "experts"},
    "a bottom before experts": {"bottom": (9, 7), "gate_depth": 2},
    "an FM for each task": {"fm": "per_task"},
    "a linear FM of separate tasks": {"fm": "linear", "sharing": "none", "chain": False},
    "an FM for each task of separate tasks": {"fm": "per_task", "sharing": "none"},
    "a bias tower": {"bias_fields": ("city", "history")},
    "no batch norm": {"batch_norm": False, "dropout": 0.5},
    "dropout": {"dropout": 0.5, "sharing": "bottom"},
    "a tower that grows": {"tower_shape": "increasing", "tower_depth": 3, "chain": False},
    "a tower that narrows": {"tower_shape": "diamond", "tower_depth": 4},
    "wide embeddings": {"embedding_size": 13, "sharing": "embeddings", "fm": "shared"},
    "learned weights of losses": {"balancing": "uncertainty", "task_weights": (1.0, 2.0, 3.0)},
}


@pytest.mark.parametrize("options", ODD.values(), ids=ODD)
def test_each_option_of_a_model_is_written(options: dict[str, Any]) -> None:
    encoder = every_kind(THREE)
    config = replace(FSMDConfig(**{**SMALL, "layers": (6,)}), **options)
    agree(encoder, network(encoder, config), rows_of(encoder, 100))


WORDS_ALONE = Vocabulary("item", WORDS)
AGE = Scaling("age", "standard", 3.0, 2.0, None)
ALONE: Mapping[str, Encoder] = {
    "one column": encoder_of([WORDS_ALONE], []),
    "one number": encoder_of([], [replace(AGE, fill=0.0)]),
    "tags": encoder_of([Vocabulary("tags", WORDS, length=3)], [], tags=["tags"]),
    "columns": encoder_of([WORDS_ALONE, Vocabulary("b", ("x",))], [replace(AGE, fill=1.0)]),
}


@pytest.mark.parametrize("encoder", ALONE.values(), ids=ALONE)
@pytest.mark.parametrize("name", ["deepfm", "fsmd"])
def test_data_of_few_columns_is_scored(encoder: Encoder, name: str) -> None:
    trained = network(encoder, replace(MODELS[name], **SMALL, fm="per_task"))
    agree(encoder, trained, rows_of(encoder, 50))


def test_any_number_of_rows_is_scored() -> None:
    encoder = every_kind()
    trained = network(encoder, FSMDConfig(**SMALL))
    for count in (0, 1, 2, 8193):
        agree(encoder, trained, rows_of(encoder, count, seed=1))


def test_a_number_that_must_not_be_missing_and_is_makes_no_probability() -> None:
    encoder = encoder_of([WORDS_ALONE], [AGE])
    content = model_bytes(encoder, network(encoder, FSMDConfig(**SMALL)), None)
    found = run(content, {"item": np.array(["a", "b"], object), "age": np.array([np.nan, 1])})
    assert np.isnan(found["P(click)"]).tolist() == [True, False]


# Baselines


def baseline(encoder: Encoder, kind: str, seed: int = 0) -> TrainedModel:
    """A simple model whose every number is drawn."""
    schema = encoder.schema(masked=False, weighted=False)
    draw = np.random.default_rng(seed)
    tasks, rows = len(schema.tasks), sum(schema.cardinalities)

    def drawn(*shape: int) -> Array:
        return draw.normal(0, 0.5, shape).astype(np.float32)

    if kind == "constant":
        return TrainedModel(Baseline(kind), schema, {"bias": drawn(tasks)})
    if kind == "logistic":
        parts = {"ids": drawn(rows, tasks), "dense": drawn(len(schema.dense), tasks)}
        return TrainedModel(Baseline(kind), schema, {"bias": drawn(tasks), **parts})
    numbers = 2 * len(schema.categorical) + len(schema.dense)

    def split_twice() -> Any:
        feature = np.array([draw.integers(numbers), draw.integers(numbers), -1, -1, -1])
        left, right = np.array([1, 2, 0, 0, 0]), np.array([4, 3, 0, 0, 0])
        return tree(feature, drawn(5), left, right, drawn(5))

    leaf = tree(np.array([-1]), np.zeros(1), np.zeros(1), np.zeros(1), drawn(1))
    arrays = {
        "rates": drawn(rows, tasks),
        "counts": drawn(rows, tasks),
        "overall": drawn(tasks),
    }
    for k in range(tasks):
        trees = [] if k == 1 else [split_twice() for _ in range(30)] + [leaf]
        own = joined(trees).arrays(base=float(draw.normal()))
        arrays |= {f"{k}.{name}": value for name, value in own.items()}
    return TrainedModel(Baseline(kind), schema, arrays)


@each_tasks
@pytest.mark.parametrize("kind", ["logistic", "trees"])
def test_each_simple_model_gives_its_own_probabilities(kind: str, tasks: tuple[Task, ...]) -> None:
    encoder = every_kind(tasks)
    rows = rows_of(encoder, 100)
    trained = baseline(encoder, kind)
    found = run(model_bytes(encoder, trained, None), fed(encoder, rows))
    want = expected(encoder, trained, rows)
    for name, value_N in found.items():
        np.testing.assert_allclose(value_N, want[name], rtol=0, atol=CLOSE, err_msg=name)
    assert np.ptp(found[f"P({tasks[0].name})"]) > 0.01


@pytest.mark.parametrize("encoder", [*ALONE.values(), every_kind()], ids=[*ALONE, "all"])
def test_constant_rates_and_trees_of_leaves_are_the_same_for_all_rows(encoder: Encoder) -> None:
    for trained in (baseline(encoder, "constant"), baseline(encoder, "trees")):
        arrays = dict(trained.tensors)
        if "0.roots" in arrays:
            none = joined([]).arrays(base=0.5)
            arrays |= {f"0.{name}": value for name, value in none.items()}
        trained = replace(trained, tensors=arrays)
        for count in (0, 1, 9):
            rows = rows_of(encoder, count)
            found = run(model_bytes(encoder, trained, None), fed(encoder, rows))
            for name, want_N in expected(encoder, trained, rows).items():
                np.testing.assert_allclose(found[name], want_N, rtol=0, atol=CLOSE)


# The combined score


@pytest.mark.parametrize(
    "formula",
    ["click", "click ** 0.5 * buy ** 2", "-click + 2 * (buy - .1) / (click + 1)", "1 - buy"],
)
def test_the_combined_score_is_its_formula_of_the_probabilities(formula: str) -> None:
    encoder = every_kind()
    agree(encoder, network(encoder, FSMDConfig(**SMALL)), rows_of(encoder, 100), formula)


def test_a_formula_names_tasks_whose_names_have_blanks() -> None:
    encoder = encoder_of([WORDS_ALONE], [], UNRELATED)
    trained = network(encoder, FSMDConfig(**SMALL, chain=False))
    agree(encoder, trained, rows_of(encoder, 20), 'click * column("long view") ** 0.3')


# The file


def test_the_file_is_the_same_each_time_and_passes_every_check() -> None:
    encoder = every_kind(FIVE)
    trained = network(encoder, FSMDConfig(**SMALL, extraction_levels=2))
    content = model_bytes(encoder, trained, "click * buy")
    assert content == model_bytes(encoder, trained, "click * buy")
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert model.ir_version <= 10
    versions = {each.domain: each.version for each in model.opset_import}
    assert versions == {"": 20, "ai.onnx.ml": 4, "com.microsoft": 1}
    assert [each.name for each in model.graph.input] == [i.name for i in encoder.inputs]


def test_words_that_columns_share_are_written_once() -> None:
    words = tuple(f"word number {i}" for i in range(2000))
    columns = [
        Vocabulary("item", words),
        Vocabulary("last", (), share="item"),
        Vocabulary("history", (), length=9, share="item"),
    ]
    encoder = encoder_of(columns, [], tags=["history"])
    trained = network(encoder, FSMDConfig(**SMALL))
    content = model_bytes(encoder, trained, None)
    assert content.count(b"word number 1234") == 1
    assert len(content) < 40 * 2000 + 4 * sum(array.size for array in trained.tensors.values())


def test_a_feature_named_as_an_output_is_refused_by_name() -> None:
    encoder = encoder_of([Vocabulary("P(buy)", ("a",))], [])
    trained = network(encoder, FSMDConfig(**SMALL))
    with pytest.raises(UserError, match=r"got 'P\(buy\)': rename the feature"):
        model_bytes(encoder, trained, None)
    scored = encoder_of([Vocabulary("score", ("a",))], [])
    model_bytes(scored, network(scored, FSMDConfig(**SMALL)), None)
    with pytest.raises(UserError, match="got 'score'"):
        model_bytes(scored, network(scored, FSMDConfig(**SMALL)), "click")


def test_a_column_that_leaves_no_text_for_missing_values_is_refused() -> None:
    encoder = encoder_of([Vocabulary("item", ("", "\0"))], [])
    with pytest.raises(UserError, match=r"of 'item' must not be both '' and U\+0000"):
        model_bytes(encoder, network(encoder, FSMDConfig(**SMALL)), None)


@pytest.mark.parametrize(
    ("most", "what"),
    [
        (100, r"the 11 words of 'item'"),
        (2000, r"the array 'embeddings.0.table.weight' of shape \(12, 64\)"),
    ],
)
def test_what_is_too_large_for_one_file_is_refused_with_a_way_out(
    monkeypatch: pytest.MonkeyPatch, most: int, what: str
) -> None:
    encoder = encoder_of([WORDS_ALONE], [])
    trained = network(encoder, FSMDConfig(**SMALL, embedding_size=64))
    monkeypatch.setattr(fsmd.onnx.graph, "LARGEST", most)
    with pytest.raises(UserError, match=f"{what}.*model.safetensors instead"):
        model_bytes(encoder, trained, None)
