"""Expressions over the columns of a log: a closed grammar, read and evaluated here alone.

Nothing is compiled or run: a text is taken apart by Python's own parser, everything that is not
below is refused, and what is left is computed by Arrow on whole columns.

=============  ====================================================================================
columns        `play_time_ms`; `column("watch-time")` where a name is none of Python's
constants      `18000`, `0.5`, `1e6`, `'text'`, `True`, `False`
numbers        `+ - * / // % **`, of which `/` and `**` give fractions; the exponent is constant;
               `//` and `%` round down, as Python's do
comparisons    `== != < <= > >=`, also `1 < x <= 5`; `x in [1, 2]`, `x not in ['a', 'b']`
logic          `and`, `or`, `not`, `a if condition else b`
missing        `is_missing(x)`; `coalesce(x, y, ...)`: the first that is there
of numbers     `abs(x)`, `floor(x)`, `log(x)` (natural), `exp(x)`, `sqrt(x)`, `min(x, y, ...)`,
               `max(x, y, ...)`
of texts       `lower(x)`, `length(x)` (letters), `contains(x, 'part')`, `starts(x, 'start')`,
               `part(x, '_', 0)`: what is between separators, from 0
kinds          `number(x)`, `text(x)`
time           `seconds(x)`: of an ISO 8601 text, since 1970; of such seconds in UTC `hour(x)`
               (0 to 23), `weekday(x)` (0 is Monday), `day(x)` (whole days since 1970)
=============  ====================================================================================

Missing values: what is computed from a missing value is missing, and so is a comparison with one.
`False and missing` is False and `True or missing` is True, whichever comes first; `is_missing` and
`coalesce` ask. So is a quotient by 0, the logarithm or a root of what has none, and what is too
large for a float. NaN in a column is missing; infinity is refused.

Kinds: a value is a number, a text, or true or false. True and False are 1 and 0 where a number is
needed. Whole numbers stay exact (64 bits): one that would not fit is refused, never rounded or
wrapped, and comparisons of whole numbers with fractions are exact too. Moments and days of Parquet
are seconds since 1970 where a number is needed. A number beside a constant text (`tab in ['1']`,
`tab == '1'`) is compared as text: the shortest that stands for it, 1.0 as "1".

Columns of texts, as all of a CSV are, become numbers where a number is needed, as beside one; the
whole column as whole numbers if all are. A text that is none is refused, unless its row does not
need it (as in `number(x) if x != 'none' else 0`). Two columns of texts are compared once
`number(x)` or `text(x)` says as what.
"""

import ast
import keyword
import operator
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, Literal, NamedTuple, NoReturn, TypeAlias, cast
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.description.columns import (
    BOUND,
    DAY,
    Typed,
    instants,
    is_bytes,
    is_moment,
    is_number,
    is_text,
    numbers,
    plain,
    texts,
    value_type,
)
from fsmd.data.rows.part import Where
from fsmd.errors import UserError, alternatives, shown
from fsmd.errors import is_text as can_be_written

LONGEST = 500
"""Letters of an expression at most."""
MOST_PARTS = 100
"""Columns, constants, operators and functions of an expression at most."""
MOST_POSITIONS = 1000

Kind: TypeAlias = Literal["number", "text", "truth"]
_Inner: TypeAlias = Literal["number", "text", "truth", "untyped", "moment", "other"]
_Need: TypeAlias = Literal["number", "text", "truth", "read", "any"]
"""What a part must be turned into; read: a number, also out of a text; any: as it is."""
_NUMERIC = frozenset({"number", "truth", "moment"})
_FITS: Mapping[str, frozenset[str]] = {
    "number": _NUMERIC | {"untyped"},
    "text": frozenset({"text", "untyped", "number", "truth"}),
    "truth": frozenset({"truth"}),
    "read": _NUMERIC | {"untyped", "text"},
    "any": _NUMERIC | {"untyped", "text", "other"},
}
"""What is needed -> what may be there."""
_WORDS = {
    "number": "a number",
    "read": "a number or a text",
    "text": "a text",
    "truth": "true or false",
    "untyped": "a column of texts",
    "moment": "a moment",
    "other": "a value of another type (a list, a struct, a time of day ...)",
}


class Node(NamedTuple):
    """A part of an expression."""

    op: str
    """An operator, "name()" of a function, "column", "constant" or "if"."""
    part: str
    """As it is written."""
    at: int
    """Its first letter's position in the text, from 1."""
    args: tuple["Node", ...] = ()
    value: Any = None
    """Of a column its name, of a constant a `pa.Scalar`, of `in` the list."""


class _Plan(NamedTuple):
    """What each part is and needs, by the part's `id`."""

    kinds: dict[int, _Inner]
    needs: dict[int, list[_Need]]


@dataclass(frozen=True)
class Expression:
    """An expression that could be read; see `parse`."""

    text: str
    what: str
    """Whose it is, for messages, such as "[tasks] click.label"."""
    columns: tuple[str, ...]
    """Names in order of appearance, each once."""
    root: Node = field(repr=False)
    """The whole, as its parts."""

    @property
    def column(self) -> str | None:
        """The name, where the expression is a column and nothing else."""
        return self.root.value if self.root.op == "column" else None

    def kind(self, types: Mapping[str, pa.DataType], want: Kind | None = None) -> Kind:
        """What the values are, or `want`, which they can be turned into.

        `types` are those of all columns that are there. Raises UserError for a column that is not
        there, for a part that is of another kind than it must be, and for a whole that cannot be
        `want`.
        """
        return self._planned(types, want)[0]

    def evaluate(
        self,
        columns: Mapping[str, pa.Array],
        where: Where,
        rows: int,
        want: Kind | None = None,
    ) -> pa.Array:
        """The value of each row: int64, float64, string or bool; see `kind`.

        Raises UserError as `kind` does, and with file, row, column and value for one that is no
        number where one is needed.
        """
        types = {name: columns[name].type for name in self.columns if name in columns}
        kind, plan = self._planned(types, want)
        found = _Run(self, plan, columns, where).of(self.root, kind)
        return pa.repeat(found, rows) if isinstance(found, pa.Scalar) else found

    def _planned(self, types: Mapping[str, pa.DataType], want: Kind | None) -> tuple[Kind, _Plan]:
        def of_column(node: Node) -> _Inner:
            if node.value not in types:
                _refuse(self, node, f"no column {node.value!r}", alternatives(node.value, types))
            kind = _kind_of_type(types[node.value])
            return "untyped" if kind == "text" else kind

        plan = _Plan({}, {})
        found = _check(self, self.root, of_column, plan)
        natural = {"untyped": "text", "moment": "number", "other": "text"}.get(found, found)
        whole = want or cast(Kind, natural)
        _must_fit(self, self.root, found, whole)
        return whole, plan


def parse(text: str, what: str) -> Expression:
    """The expression that a text is; UserError, naming part and column of the text, for none.

    >>> parse("play_time >= 18 or column('is liked') == 1", "[tasks] good.label").columns
    ('play_time', 'is liked')
    """
    reader = _Reader(text, what)
    root = reader.root()
    return Expression(text, what, tuple(dict.fromkeys(reader.columns)), root)


def column_text(name: str) -> str:
    """The expression that is the column of a name.

    >>> column_text("click"), column_text("watch-time")
    ('click', "column('watch-time')")
    """
    is_name = name.isidentifier() and not keyword.iskeyword(name)
    return name if is_name and normalize("NFKC", name) == name else f"column({name!r})"


# Reading


_BINARY = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.Pow: "**",
}
_UNARY = {ast.USub: "negative", ast.UAdd: "positive", ast.Not: "not"}
_COMPARED = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}
_CLOSED = (
    "an expression has columns, constants, + - * / // % **, comparisons, in, and, or, not, "
    "`a if b else c` and functions"
)


class _Reader:
    """Takes one text apart."""

    def __init__(self, text: str, what: str) -> None:
        self.text, self.what = text, what
        self.columns: list[str] = []
        self._left = MOST_PARTS

    def root(self) -> Node:
        text = self.text
        if not isinstance(text, str) or not text.strip():
            raise UserError(f"{self.what}: an expression must be a text; got {shown(text)}")
        if len(text) > LONGEST:
            raise UserError(
                f"{self.what}: an expression must have at most {LONGEST} letters; "
                f"got {len(text)}: {shown(text)}"
            )
        if not can_be_written(text) or "\0" in text:
            raise UserError(f"{self.what}: an expression must be UTF-8; got {shown(text)}")
        # A text of several lines is one expression, as if it were in brackets.
        self._line = "".join(" " if letter in "\t\r\n\f" else letter for letter in text)
        self._blanks = len(self._line) - len(self._line.lstrip(" "))
        self._bytes = self._line.lstrip(" ").encode()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # `1or x` is a mistake
                tree = ast.parse(self._bytes.decode(), mode="eval").body
        except SyntaxError as error:
            at = max(error.offset or 1, 1) + self._blanks
            raise UserError(
                f"{self.what}: this is no expression ({error.msg}); got {shown(self.text)}, "
                f"column {at}"
            ) from None
        except (ValueError, RecursionError, MemoryError, Warning):
            raise UserError(
                f"{self.what}: this is no expression; got {shown(self.text)}"
            ) from None
        if b"#" in self._bytes[tree.end_col_offset :]:
            self._refuse(tree, "comments stand in the TOML, after the text")
        return self._node(tree)

    def _node(self, tree: ast.expr) -> Node:
        self._left -= 1
        if self._left < 0:
            raise UserError(
                f"{self.what}: an expression must have at most {MOST_PARTS} parts; "
                f"got {shown(self.text)}"
            )
        match tree:
            case ast.Constant():
                return self._made("constant", tree, value=self._constant(tree))
            case ast.Name():
                self.columns.append(tree.id)
                return self._made("column", tree, value=tree.id)
            case ast.BinOp(left, kind, right) if type(kind) in _BINARY:
                made = self._made(_BINARY[type(kind)], tree, left, right)
                if made.op == "**" and made.args[1].op != "constant":
                    self._refuse(right, "an exponent must be a constant")
                return made
            case ast.UnaryOp(kind, operand):
                if type(kind) in _UNARY:
                    return self._made(_UNARY[type(kind)], tree, operand)
            case ast.BoolOp(kind, values):
                return self._made("and" if isinstance(kind, ast.And) else "or", tree, *values)
            case ast.IfExp(test, body, orelse):
                return self._made("if", tree, body, test, orelse)
            case ast.Compare(left, kinds, others):
                return self._compared(tree, [left, *others], kinds)
            case ast.Call():
                return self._called(tree)
        return self._refuse(tree, _CLOSED)

    def _made(self, op: str, tree: ast.expr, *args: ast.expr, value: Any = None) -> Node:
        return self._node_of(op, tree, tree, tuple(self._node(arg) for arg in args), value)

    def _node_of(
        self, op: str, first: ast.expr, last: ast.expr, args: tuple[Node, ...], value: Any = None
    ) -> Node:
        part, at = self._where(first, last)
        node = Node(op, part, at, args, value)
        return _folded(self, node) if args and all(a.op == "constant" for a in args) else node

    def _constant(self, tree: ast.Constant) -> pa.Scalar:
        value = tree.value
        if isinstance(value, bool):
            return pa.scalar(value)
        if isinstance(value, int):
            if not value < BOUND:
                self._refuse(tree, "a whole number must lie below 2**63; write a longer one 1e20")
            return pa.scalar(value, pa.int64())
        if isinstance(value, float):
            if value == float("inf"):
                self._refuse(tree, "a number must be finite, below 1.8e308")
            return pa.scalar(value)
        if isinstance(value, str) and can_be_written(value):
            return pa.scalar(value, pa.string())
        return self._refuse(tree, "a constant must be a number, a text, True or False")

    def _compared(
        self, tree: ast.Compare, sides: Sequence[ast.expr], kinds: Sequence[ast.cmpop]
    ) -> Node:
        made = []
        for left, kind, right in zip(sides, kinds, sides[1:], strict=False):
            ends = (left, right) if len(kinds) > 1 else (tree, tree)
            if isinstance(kind, ast.In | ast.NotIn):
                if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
                    self._refuse(
                        right, "`in` must have a list of constants at its right, as [1, 2]"
                    )
                node = self._node_of("in", *ends, (self._node(left),), self._listed(right))
                if isinstance(kind, ast.NotIn):
                    node = self._node_of("not", *ends, (node,))
                made.append(node)
            elif type(kind) in _COMPARED:
                args = (self._node(left), self._node(right))
                made.append(self._node_of(_COMPARED[type(kind)], *ends, args))
            else:
                self._refuse(tree, "`is` compares nothing; write == or is_missing(x)")
        return made[0] if len(made) == 1 else self._node_of("and", tree, tree, tuple(made))

    def _listed(self, tree: ast.List | ast.Tuple) -> tuple[Any, ...]:
        """The constants right of `in`, as numbers or as texts."""
        items = [self._node(item) for item in tree.elts]
        for item, written in zip(items, tree.elts, strict=True):
            if item.op != "constant":
                self._refuse(written, "a list must have constants alone")
        kinds = {"text" if i.value.type == pa.string() else "number" for i in items}
        if len(kinds) > 1:
            self._refuse(tree, "a list must have numbers alone or texts alone")
        values = [item.value.as_py() for item in items]
        # As they are: a list of Arrow has one type, and would round whole numbers.
        return tuple(int(value) if isinstance(value, bool) else value for value in values)

    def _called(self, tree: ast.Call) -> Node:
        name = tree.func.id if isinstance(tree.func, ast.Name) else None
        if name is None:
            self._refuse(tree, _CLOSED)
        if name != "column" and name not in _FUNCTIONS:
            self._refuse(
                tree.func, f"no function {name!r}", alternatives(name, [*_FUNCTIONS, "column"])
            )
        if tree.keywords or any(isinstance(arg, ast.Starred) for arg in tree.args):
            self._refuse(tree, f"{name} takes values alone, without names and stars")
        if name == "column":
            match tree.args:
                case [ast.Constant(str(column))] if can_be_written(column):
                    self._left -= 1
                    self.columns.append(column)
                    return self._made("column", tree, value=column)
            self._refuse(tree, 'a column must be named by one text, as in column("watch-time")')
        function = _FUNCTIONS[name]
        if not function.least <= len(tree.args) <= function.most:
            counts = {function.least, function.most}
            several = f"{function.least} or more" if len(counts) > 1 else str(function.least)
            self._refuse(tree, f"{name} takes {several} values; it has {len(tree.args)}")
        args = tuple(self._node(arg) for arg in tree.args)
        for i, (check, rule) in function.constants.items():
            if not (args[i].op == "constant" and check(args[i].value.as_py())):
                self._refuse(tree.args[i], f"{name} {rule}")
        return self._node_of(f"{name}()", tree, tree, args)

    def _where(self, first: ast.expr, last: ast.expr) -> tuple[str, int]:
        """What is written from one part to another, and where it begins."""
        start, end = first.col_offset, last.end_col_offset
        before = self._bytes[:start].decode()
        return self._bytes[start:end].decode(), len(before) + self._blanks + 1

    def _refuse(self, tree: ast.expr, rule: str, there: str = "") -> NoReturn:
        part, at = self._where(tree, tree)
        _refuse(self, Node("", part, at), rule, there)


def _refuse(whose: Expression | _Reader, node: Node, rule: str, there: str = "") -> NoReturn:
    whole = shown(whose.text)
    of = f" of {whole}" if node.part.strip() != whose.text.strip() else ""
    raise UserError(f"{whose.what}: {rule}; got {shown(node.part)}, column {node.at}{of}{there}")


# Operators and functions


def _exact(operation: Callable[..., int], checked: Callable[..., Any]) -> Callable[..., Any]:
    """An operation whose whole numbers are exact, or refused where 64 bits do not hold them."""

    def of(*data: Any) -> Any:
        data = _alike(*data)
        if data[0].type == pa.float64():
            return _finite(checked(*data))
        try:
            return checked(*data)
        except pa.ArrowInvalid:  # which does not say where
            rows = max(len(x) for x in data if not isinstance(x, pa.Scalar))
            lists = [
                [x.as_py()] * rows if isinstance(x, pa.Scalar) else x.to_pylist() for x in data
            ]
            made = [
                None if None in of_row else operation(*of_row)
                for of_row in zip(*lists, strict=True)
            ]
            refused = [x is not None and not -BOUND <= x < BOUND for x in made]
            kept = [None if no else x for x, no in zip(made, refused, strict=True)]
            return Typed(pa.array(kept, pa.int64()), np.array(refused))

    return of


def _quotient(a: Any, b: Any) -> Any:
    return _finite(pc.divide(_float(a), _float(b)))


def _by_numpy(operation: Callable[..., Any]) -> Callable[..., Any]:
    """An operation of two numbers with Python's meaning; missing where the second one is 0."""

    def of(a: Any, b: Any) -> Any:
        a, b = _alike(a, b)
        b = pc.if_else(pc.equal(b, pa.scalar(0, b.type)), pa.scalar(None, b.type), b)
        with np.errstate(all="ignore"):
            made_N = operation(_values(a, 1), _values(b, 1))
        valid = pc.and_(pc.is_valid(a), pc.is_valid(b))
        made = pc.if_else(valid, pa.array(np.atleast_1d(made_N)), pa.scalar(None, a.type))
        if a.type == pa.float64():
            return _finite(made)
        # -2**63 // -1 is 2**63, which numpy wraps.
        wrapped = pc.and_(pc.equal(a, -BOUND), pc.equal(b, -1))
        refused_N = np.logical_and(_values(wrapped, False), operation is np.floor_divide)
        return Typed(made, np.atleast_1d(refused_N)) if refused_N.any() else made

    return of


def _power(a: Any, b: Any) -> Any:
    return _finite(pc.power(_float(a), _float(b)))


def _of_float(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda a: _finite(function(_float(a)))


def _order(name: str) -> Callable[[Any, Any], Any]:
    """A comparison; exact between whole numbers and fractions, which floats are not."""
    of_arrow, of_numpy = getattr(pc, name), getattr(np, name)

    def of(a: Any, b: Any) -> Any:
        a, b = _as_whole(a, b.type), _as_whole(b, a.type)
        if a.type == b.type:
            return of_arrow(a, b)
        if _has_floats(a if a.type == pa.int64() else b):
            return of_arrow(_float(a), _float(b))
        sign_N = _sign(a, b) if a.type == pa.int64() else -_sign(b, a)
        valid = pc.and_(pc.is_valid(a), pc.is_valid(b))
        return pc.if_else(valid, pa.array(of_numpy(sign_N, 0)), pa.scalar(None, pa.bool_()))

    return of


def _as_whole(data: Any, other: pa.DataType) -> Any:
    """A constant such as 18000.0 as a whole number, where it is compared with whole ones."""
    if not isinstance(data, pa.Scalar) or data.type == other or other != pa.int64():
        return data
    value = data.as_py()
    return pa.scalar(int(value)) if value.is_integer() and abs(value) < BOUND else data


def _has_floats(whole: Any) -> bool:
    """Whether floats stand for all the whole numbers exactly."""
    if isinstance(whole, pa.Scalar):
        return bool(abs(whole.as_py()) <= 2**53)
    ends = pc.min_max(whole).as_py().values()
    return all(end is None or abs(end) <= 2**53 for end in ends)


def _sign(whole: Any, fraction: Any) -> NDArray[np.int8]:
    """-1, 0 or 1 where a whole number is less than a fraction, equal or more."""
    whole_N, fraction_N = np.atleast_1d(_values(whole, 0)), np.atleast_1d(_values(fraction, 0))
    whole_N, fraction_N = np.broadcast_arrays(whole_N, fraction_N)
    rounded_N = whole_N.astype(np.float64)
    sign_N = (rounded_N > fraction_N).astype(np.int8) - (rounded_N < fraction_N)
    close_N = (sign_N == 0) & (np.abs(fraction_N) >= 2.0**53)
    if close_N.any():  # the float may stand for a neighbour
        whole_C, fraction_C = whole_N[close_N], fraction_N[close_N]
        exact_C = np.where(fraction_C < BOUND, fraction_C, 0).astype(np.int64)
        sign_C = (whole_C > exact_C).astype(np.int8) - (whole_C < exact_C)
        sign_N[close_N] = np.where(fraction_C < BOUND, sign_C, -1)
    return sign_N


def _is_in(data: Any, constants: tuple[Any, ...]) -> Any:
    if data.type == pa.float64():
        fitting = [float(x) for x in constants if float(x) == x]  # the others equal no float
    elif data.type == pa.int64():
        fitting = [int(x) for x in constants if int(x) == x and -BOUND <= x < BOUND]
    else:
        fitting = list(constants)
    found = pc.is_in(data, pa.array(fitting, data.type))
    return pc.if_else(pc.is_valid(data), found, pa.scalar(None, pa.bool_()))


def _choice(body: Any, test: Any, orelse: Any) -> Any:
    return pc.if_else(test, *_alike(body, orelse))


def _extreme(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *data: function(*_alike(*data), skip_nulls=False)


def _piece(text: Any, separator: Any, position: Any) -> Any:
    """What is before, between or after separators; missing where there are fewer."""
    at = position.as_py()
    lists = pc.split_pattern(text, separator.as_py(), max_splits=at + 1)
    return pc.list_slice(lists, at, at + 1, return_fixed_size_list=True).values


def _day(a: Any) -> Any:
    return _over(_whole_seconds(a), DAY)


def _over(a: Any, by: int) -> Any:
    return _ARITHMETIC["//"](a, pa.scalar(by, pa.int64()))


def _modulo(a: Any, by: int) -> Any:
    return _ARITHMETIC["%"](a, pa.scalar(by, pa.int64()))


def _whole_seconds(a: Any) -> Any:
    """Rounded down; missing where 64 bits do not hold it, which no calendar has."""
    if a.type == pa.int64():
        return a
    kept = pc.if_else(pc.less(pc.abs(a), 2.0**62), pc.floor(a), pa.scalar(None, pa.float64()))
    return kept.cast(pa.int64())


def _weekday(a: Any) -> Any:
    return _modulo(pc.add(_modulo(_day(a), 7), 3), 7)  # the first of 1970 was a Thursday


def _alike(*data: Any) -> tuple[Any, ...]:
    """Numbers as one type: int64 if all are."""
    types = {x.type for x in data}
    return data if len(types) == 1 or pa.float64() not in types else tuple(map(_float, data))


def _float(data: Any) -> Any:
    return data if data.type == pa.float64() else pc.cast(data, pa.float64(), safe=False)


def _finite(data: Any) -> Any:
    """What is too large or no number is missing."""
    return pc.if_else(pc.is_finite(data), data, pa.scalar(None, pa.float64()))


def _values(data: Any, missing: Any) -> Any:
    """As numpy has it, with a value in place of missing ones."""
    if isinstance(data, pa.Scalar):
        return np.asarray(data.as_py() if data.is_valid else missing)
    filled = pc.fill_null(data, pa.scalar(missing, data.type)) if data.null_count else data
    return filled.to_numpy(zero_copy_only=False)


def _equal(condition: Any, asked: bool) -> Any:
    return _values(condition, not asked) == asked


def _unequal(condition: Any, decided: bool) -> Any:
    return _values(condition, not decided) != decided


def _same(data: Any) -> Any:
    return data


_ARITHMETIC: Mapping[str, Callable[..., Any]] = {
    "+": _exact(operator.add, pc.add_checked),
    "-": _exact(operator.sub, pc.subtract_checked),
    "*": _exact(operator.mul, pc.multiply_checked),
    "/": _quotient,
    "//": _by_numpy(np.floor_divide),
    "%": _by_numpy(np.remainder),
    "**": _power,
    "negative": _exact(operator.neg, pc.negate_checked),
    "positive": _same,
}
_COMPARISONS: Mapping[str, Callable[..., Any]] = {
    "==": _order("equal"),
    "!=": _order("not_equal"),
    "<": _order("less"),
    "<=": _order("less_equal"),
    ">": _order("greater"),
    ">=": _order("greater_equal"),
}
_LOGIC: Mapping[str, Callable[..., Any]] = {
    "and": lambda *data: reduce(pc.and_kleene, data),
    "or": lambda *data: reduce(pc.or_kleene, data),
    "not": pc.invert,
    "if": _choice,
}
_OPERATORS = {**_ARITHMETIC, **_COMPARISONS, **_LOGIC}


class _Function(NamedTuple):
    """A function: how many values it takes, of which kind, and what it gives."""

    takes: _Need
    gives: _Inner
    of: Callable[..., Any]
    least: int = 1
    most: int = 1
    constants: Mapping[int, tuple[Callable[[Any], bool], str]] = {}
    """Position of a value that must be a constant -> what it must be, and in words."""


def _is_filled(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_position(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST_POSITIONS


_SOUGHT = {1: (_is_filled, "must have a constant text after the comma, not an empty one")}
_PIECE = _SOUGHT | {2: (_is_position, f"counts from 0 to {MOST_POSITIONS - 1}, as a constant")}

_FUNCTIONS: Mapping[str, _Function] = {
    "is_missing": _Function("any", "truth", pc.is_null),
    "coalesce": _Function("any", "other", lambda *x: pc.coalesce(*_alike(*x)), 2, MOST_PARTS),
    "abs": _Function("number", "number", _exact(operator.abs, pc.abs_checked)),
    "floor": _Function("number", "number", lambda x: x if x.type == pa.int64() else pc.floor(x)),
    "log": _Function("number", "number", _of_float(pc.ln)),
    "exp": _Function("number", "number", _of_float(pc.exp)),
    "sqrt": _Function("number", "number", _of_float(pc.sqrt)),
    "min": _Function("number", "number", _extreme(pc.min_element_wise), 2, MOST_PARTS),
    "max": _Function("number", "number", _extreme(pc.max_element_wise), 2, MOST_PARTS),
    "number": _Function("read", "number", _same),
    "text": _Function("text", "text", _same),
    "lower": _Function("text", "text", pc.utf8_lower),
    "length": _Function("text", "number", lambda x: pc.utf8_length(x).cast(pa.int64())),
    "contains": _Function(
        "text", "truth", lambda x, y: pc.match_substring(x, y.as_py()), 2, 2, _SOUGHT
    ),
    "starts": _Function("text", "truth", lambda x, y: pc.starts_with(x, y.as_py()), 2, 2, _SOUGHT),
    "part": _Function("text", "text", _piece, 3, 3, _PIECE),
    "hour": _Function("number", "number", lambda x: _modulo(_over(_whole_seconds(x), 3600), 24)),
    "weekday": _Function("number", "number", _weekday),
    "day": _Function("number", "number", _day),
    "seconds": _Function("any", "number", lambda x: instants(x) if is_text(x.type) else _float(x)),
}


# Kinds


def _kind_of_type(type_: pa.DataType) -> _Inner:
    type_ = value_type(type_)
    if pa.types.is_boolean(type_):
        return "truth"
    if pa.types.is_null(type_):
        return "untyped"
    if is_text(type_) or is_bytes(type_):
        return "text"
    if is_moment(type_):
        return "moment"
    return "number" if is_number(type_) else "other"


def _check(
    whose: "Expression | _Reader",
    node: Node,
    of_column: Callable[[Node], _Inner],
    plan: _Plan,
) -> _Inner:
    """The kind of a part, whose own parts are of the kinds that they must be, into the plan."""
    if node.op == "column":
        found = of_column(node)
    elif node.op == "constant":
        found = _kind_of_type(node.value.type)
    else:
        kinds = [_check(whose, arg, of_column, plan) for arg in node.args]
        found, needs = _rule(whose, node, kinds)
        for arg, kind, need in zip(node.args, kinds, needs, strict=True):
            _must_fit(whose, arg, kind, need)
        plan.needs[id(node)] = needs
    plan.kinds[id(node)] = found
    return found


def _must_fit(whose: "Expression | _Reader", node: Node, kind: _Inner, need: _Need) -> None:
    """Raise UserError for a part that is of another kind than it must be."""
    if kind in _FITS[need]:
        return
    hint = ""
    if need == "number" and kind == "text":
        hint = f"; write number({node.part}) for the number in it"
    elif need == "truth" and kind != "other":
        hint = f"; compare it, as in `{node.part} == 1`"
    _refuse(whose, node, f"here must be {_WORDS[need]}, not {_WORDS[kind]}", hint)


def _rule(
    whose: "Expression | _Reader", node: Node, kinds: Sequence[_Inner]
) -> tuple[_Inner, list[_Need]]:
    """The kind of a part, and what each of its own parts must be turned into."""
    op = node.op
    if op in ("and", "or", "not"):
        return "truth", ["truth"] * len(kinds)
    if op == "if":
        one = _common(whose, node, [kinds[0], kinds[2]])
        return one, [_kept(one), "truth", _kept(one)]
    if op in _COMPARISONS:
        return "truth", [_compared_as(whose, node, kinds)] * 2
    if op == "in":
        return "truth", ["text" if isinstance(node.value[0], str) else "number"]
    if op == "coalesce()":
        one = _common(whose, node, kinds)
        return one, [_kept(one)] * len(kinds)
    if op == "seconds()":
        return "number", ["number" if kinds[0] == "moment" else "text"]
    if op in _ARITHMETIC:
        return "number", ["number"] * len(kinds)
    function = _FUNCTIONS[op[:-2]]
    count = len(kinds) - len(function.constants)
    return function.gives, [function.takes] * count + ["any"] * len(function.constants)


def _kept(kind: _Inner) -> _Need:
    return "text" if kind == "untyped" else cast(_Need, kind)


def _common(whose: "Expression | _Reader", node: Node, kinds: Sequence[_Inner]) -> _Inner:
    """The kind that values have which stand for each other."""
    found = set(kinds) - {"untyped"}
    if "other" in found or ("text" in found and len(found) > 1):
        words = " and ".join(_WORDS[kind] for kind in dict.fromkeys(kinds))
        _refuse(whose, node, f"values of one kind are needed; these are {words}")
    if not found:
        return "untyped"
    if found == {"truth"} and "untyped" not in kinds:
        return "truth"
    return "number" if found <= _NUMERIC else "text"


def _compared_as(whose: "Expression | _Reader", node: Node, kinds: Sequence[_Inner]) -> _Need:
    found = set(kinds)
    if found == {"untyped"}:
        one, other = (arg.part for arg in node.args)
        written = f"number({one}) {node.op} number({other})"
        rule = "two columns of texts must say as what they are compared"
        _refuse(whose, node, rule, f"; write {written}, or text() for both")
    if found <= _NUMERIC | {"untyped"}:
        return "number"
    if found <= {"text", "untyped"}:
        return "text"
    constant = any(
        kind == "text" and arg.op == "constant" for arg, kind in zip(node.args, kinds, strict=True)
    )
    if constant and node.op in ("==", "!=") and found <= {"text", "number", "truth"}:
        return "text"  # a number beside a constant text is compared as categories are
    hint = "seconds() around the text" if "moment" in found else "number() or text() around one"
    words = " with ".join(_WORDS[kind] for kind in kinds)
    _refuse(whose, node, f"values of one kind are compared, not {words}", f"; write {hint}")


# Evaluating


def _folded(reader: "_Reader", node: Node) -> Node:
    """A part of constants alone, as one; UserError if it has no value."""
    plan = _Plan({}, {})
    kind = _check(reader, node, lambda _: "other", plan)
    found = _Run(reader, plan, {}, None).of(node, _kept(kind))
    if not found.is_valid:
        _refuse(reader, node, "a part of constants must have a value, and a finite one")
    return node._replace(op="constant", args=(), value=found)


class _Run:
    """One evaluation."""

    def __init__(
        self,
        whose: "Expression | _Reader",
        plan: _Plan,
        columns: Mapping[str, pa.Array],
        where: Where | None,
    ) -> None:
        self._whose, self._plan, self._columns, self._where = whose, plan, columns, where
        self._typed: dict[tuple[str, _Need], Typed] = {}
        self._asked: list[Callable[[], Any]] = []
        """For each condition around the part: the rows on which it asks for the part."""

    def of(self, node: Node, need: _Need) -> Any:
        """The part's values, turned into what is needed: an array; a scalar of a constant."""
        if node.op == "column":
            key = (node.value, need)
            if key not in self._typed:
                self._typed[key] = _turned(self._columns[node.value], need)
            return self._kept(node, self._typed[key], _TURNED, self._columns[node.value])
        if node.op == "constant":
            return self._turned(node, node.value, need)
        data = self._arguments(node)
        if all(isinstance(x, pa.Scalar) for x in data):
            # Of functions with constants all parts but the first are passed as they are.
            alone = node.op.endswith("()") and _FUNCTIONS[node.op[:-2]].constants
            arrays = [
                x if alone and i else pa.array([x.as_py()], x.type) for i, x in enumerate(data)
            ]
            return self._turned(node, self._applied(node, arrays)[0], need)
        return self._turned(node, self._applied(node, data), need)

    def _arguments(self, node: Node) -> list[Any]:
        """The values of a part's parts, each wanted on the rows that ask for it alone."""
        needs = self._plan.needs[id(node)]
        if node.op == "if":
            body, test, orelse = node.args
            condition = self.of(test, "truth")
            found = []
            for arg, need, asked in ((body, needs[0], True), (orelse, needs[2], False)):
                self._asked.append(partial(_equal, condition, asked))
                found.append(self.of(arg, need))
                self._asked.pop()
            return [found[0], condition, found[1]]
        found = []
        for arg, need in zip(node.args, needs, strict=True):
            found.append(self.of(arg, need))
            if node.op in ("and", "or"):
                self._asked.append(partial(_unequal, found[-1], node.op == "or"))
        if node.op in ("and", "or"):
            del self._asked[len(self._asked) - len(node.args) :]
        return found

    def _applied(self, node: Node, data: list[Any]) -> Any:
        if node.op == "in":
            return _is_in(data[0], node.value)
        if node.op.endswith("()"):
            made = _FUNCTIONS[node.op[:-2]].of(*data)
        else:
            made = _OPERATORS[node.op](*data)
        if not isinstance(made, Typed):
            return made
        given = next(x for x in data if not isinstance(x, pa.Scalar))
        return self._kept(node, made, _MOMENT if node.op == "seconds()" else _MADE, given)

    def _turned(self, node: Node, data: Any, need: _Need) -> Any:
        if isinstance(data, pa.Scalar):
            array = pa.array([data.as_py()], data.type)
            return self._kept(node, _turned(array, need), _TURNED, array)[0]
        return self._kept(node, _turned(data, need), _TURNED, data)

    def _kept(self, node: Node, made: Typed, rule: str, given: Any) -> Any:
        """The values; UserError if one is refused on a row that is asked for."""
        if made.refused_N is None:
            return made.values
        asked_N = made.refused_N.copy()
        for condition in self._asked:
            asked_N &= np.asarray(condition())
        if not asked_N.any():
            return made.values
        if self._where is None:
            _refuse(self._whose, node, rule)
        row = int(np.argmax(asked_N))
        value = given[row].as_py()
        names = dict.fromkeys(_column_names(node))
        what = "column" if len(names) == 1 else "columns"
        raise UserError(
            f"{self._where.row(row)}: {what} {', '.join(map(repr, names))}: {rule}; got "
            f"{shown(value)} for {shown(node.part)} of {self._whose.what} = "
            f"{shown(self._whose.text)}"
        )


_TURNED = "a number must be a finite decimal, whole ones below 2**63"
_MADE = "a whole number must stay below 2**63; write 1.0 * x for a fraction"
_MOMENT = "a moment must be an ISO 8601 day, or day and time, such as 2022-05-02T10:30:00Z"


def _turned(data: pa.Array, need: _Need) -> Typed:
    if need in ("number", "read"):
        return numbers(data)
    if need == "text":
        return texts(data)
    data = plain(data)
    if pa.types.is_floating(data.type):  # NaN is missing
        data = pc.if_else(pc.is_nan(data), pa.scalar(None, data.type), data)
    return Typed(data)


def _column_names(node: Node) -> Iterator[str]:
    if node.op == "column":
        yield node.value
    for arg in node.args:
        yield from _column_names(arg)
