"""Expressions: against an interpreter of rows, hostile texts, kinds, the rule of columns."""

import math
import operator
import random
import re
import time
from collections.abc import Callable
from decimal import Decimal
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fsmd.data.description.columns import instants, numbers, parsed, texts
from fsmd.data.description.expression import LONGEST, MOST_PARTS, parse
from fsmd.data.rows.part import Where
from fsmd.data.values import numbers_of, words_of
from fsmd.errors import UserError
from studies.data.draft.column import ISO

WHAT = "[tasks] click.label"


def where(rows: int) -> Where:
    return Where("log.csv", np.arange(rows))


def values(text: str, want: Any = None, **columns: pa.Array) -> list[Any]:
    rows = len(next(iter(columns.values()))) if columns else 1
    found = parse(text, WHAT).evaluate(columns, where(rows), rows, want)
    assert len(found) == rows
    return list(found.to_pylist())


def refused(text: str, want: Any = None, **columns: pa.Array) -> str:
    with pytest.raises(UserError) as error:
        values(text, want, **columns)
    return str(error.value)


# Against an interpreter, row by row


class Overflow(Exception):
    """A whole number that 64 bits do not hold."""


class Tree(NamedTuple):
    """A random expression: its text, its type, and its value on a row."""

    text: str
    type: str
    of: Callable[[dict[str, Any]], Any]


Row = dict[str, Any]
INTS = st.integers(-5, 5) | st.sampled_from([2**53 + 1, 2**53, -(2**63), 2**63 - 1, 86_400])
FLOATS = st.sampled_from([0.0, -0.0, 0.5, -1.5, 2.0, 3.25, 2.0**53, 1e19, 1e300, -1e-5])
WORDS = st.sampled_from(["", "a", "b_c", "1", "é", "A_b_c", "2022-05-02"])
COLUMNS = {
    "i": ("int", INTS, pa.int64()),
    "f": ("float", FLOATS | st.just(math.nan), pa.float64()),
    "t": ("truth", st.booleans(), pa.bool_()),
    "s": ("text", WORDS, pa.string()),
    "n": ("int", INTS, pa.string()),
    "m": ("float", FLOATS, pa.string()),
    "c": ("text", WORDS, pa.string()),
}
"""Type, values and Arrow's type; n and m are numbers kept as texts, as those of a CSV."""


def known(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def whole(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
        raise Overflow
    return value


def strict(function: Callable[..., Any]) -> Callable[..., Any]:
    """Missing in, missing out; an error of floats is missing."""

    def of(*data: Any) -> Any:
        if None in data:
            return None
        try:
            made = function(*data)
        except (ZeroDivisionError, ValueError, OverflowError):
            return None
        return None if isinstance(made, complex) else whole(known(made))

    return of


def as_type(type_: str, value: Any) -> Any:
    if value is None or type_ not in ("int", "float"):
        return value
    return float(value) if type_ == "float" else int(value)


def word(value: Any) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return value if isinstance(value, str) else str(int(value))


def apply(name: str, type_: str, function: Callable[..., Any], *args: Tree) -> Tree:
    text = (
        f"({args[0].text} {name} {args[1].text})" if len(args) == 2 else f"({name} {args[0].text})"
    )
    if name[0].isalpha() and name not in ("and", "or", "not"):
        text = f"{name}({', '.join(arg.text for arg in args)})"
    return Tree(text, type_, lambda row: strict(function)(*(arg.of(row) for arg in args)))


def join(*args: Tree) -> str:
    return "float" if "float" in [a.type for a in args] else "int"


class Draw:
    """Random trees."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, depth: int) -> Tree:
        r = self.random
        if depth == 0 or r.random() < 0.15:
            return r.choice([self.column("i"), self.column("f"), self.csv(), self.constant()])
        one, two = self.number(depth - 1), self.number(depth - 1)
        mixed = join(one, two)
        pick = r.randrange(12)
        if pick < 3:
            sums = [("+", operator.add), ("-", operator.sub), ("*", operator.mul)]
            return self.both(sums, one, two)
        if pick == 3:
            return apply("/", "float", lambda a, b: float(a) / float(b), one, two)
        if pick == 4:
            return self.both([("//", operator.floordiv), ("%", operator.mod)], one, two)
        if pick == 5:
            power = r.choice([0.5, 2.0, -1.0])
            constant = Tree(repr(power), "float", lambda row: power)
            return apply("**", "float", lambda a, b: float(a) ** b, one, constant)
        if pick == 6:
            sign = r.choice(["-", "abs"])
            return apply(sign, one.type, operator.neg if sign == "-" else abs, one)
        if pick == 7:
            return self.both([("min", min), ("max", max)], one, two)
        if pick == 8:
            root = r.random() < 0.5
            of = math.sqrt if root else math.log
            return apply("sqrt" if root else "log", "float", lambda a: of(float(a)), one)
        if pick == 9:
            return apply("length", "int", len, self.text(depth - 1))
        if pick == 10:
            return self.choice(mixed, one, two, self.truth(depth - 1))
        return self.coalesced(mixed, one, two)

    def text(self, depth: int) -> Tree:
        r = self.random
        if depth == 0 or r.random() < 0.2:
            name = r.choice(["s", "c", "t", "i", "f", ""])
            if name in ("t", "i", "f"):
                return apply("text", "text", word, self.column(name))
            some = r.choice(["", "a", "1", "é"])
            return self.column(name) if name else Tree(repr(some), "text", lambda row: some)
        one, two = self.text(depth - 1), self.text(depth - 1)
        pick = r.randrange(4)
        if pick == 0:
            return apply("lower", "text", str.lower, one)
        if pick == 1:
            at = r.randrange(3)

            def piece(value: str) -> str | None:
                pieces = value.split("_")
                return pieces[at] if at < len(pieces) else None

            return Tree(
                f"part({one.text}, '_', {at})", "text", lambda row: strict(piece)(one.of(row))
            )
        if pick == 2:
            return self.choice("text", one, two, self.truth(depth - 1))
        return self.coalesced("text", one, two)

    def truth(self, depth: int) -> Tree:
        r = self.random
        if depth == 0:
            return self.column("t")
        pick = r.randrange(8)
        if pick < 3:
            name, function = r.choice(list(ORDERS.items()))
            kind = self.text if r.random() < 0.3 else self.number
            one, two = kind(depth - 1), kind(depth - 1)
            if {one.text, two.text} <= {"n", "m", "c", "s"}:
                return self.column("t")  # columns of texts must say as what
            return apply(name, "truth", function, one, two)
        if pick == 3:
            numbers_ = r.sample([1, 2, -5, 2**53 + 1, 0.5, 2.0, 9007199254740992.0], 3)
            one = self.number(depth - 1)
            return Tree(
                f"({one.text} in {numbers_})",
                "truth",
                lambda row: strict(lambda a: a in numbers_)(one.of(row)),
            )
        if pick == 4:
            one = r.choice([self.number, self.text, self.truth])(depth - 1)
            return Tree(f"is_missing({one.text})", "truth", lambda row: one.of(row) is None)
        if pick == 5:
            return apply("not", "truth", operator.not_, self.truth(depth - 1))
        name, decided = r.choice([("and", False), ("or", True)])
        one, two = self.truth(depth - 1), self.truth(depth - 1)

        def both(row: Row) -> Any:
            first = one.of(row)
            if first is decided:
                return decided
            second = two.of(row)
            return second if second is decided or first is not None else None

        return Tree(f"({one.text} {name} {two.text})", "truth", both)

    def both(self, some: list[tuple[str, Callable[..., Any]]], one: Tree, two: Tree) -> Tree:
        name, function = self.random.choice(some)
        type_ = join(one, two)
        return apply(
            name, type_, lambda a, b: function(as_type(type_, a), as_type(type_, b)), one, two
        )

    def column(self, name: str) -> Tree:
        return Tree(name, COLUMNS[name][0], lambda row: known(row[name]))

    def csv(self) -> Tree:
        tree = self.column(self.random.choice("nm"))
        return tree._replace(text=f"number({tree.text})")

    def constant(self) -> Tree:
        value = self.random.choice([0, 1, 3, -2, 0.5, 2**53 + 1, 2**63 - 1, 1e19])
        return Tree(f"({value})", "int" if isinstance(value, int) else "float", lambda row: value)

    def choice(self, type_: str, one: Tree, two: Tree, test: Tree) -> Tree:
        def of(row: Row) -> Any:
            asked = test.of(row)
            return None if asked is None else as_type(type_, (one if asked else two).of(row))

        return Tree(f"({one.text} if {test.text} else {two.text})", type_, of)

    def coalesced(self, type_: str, one: Tree, two: Tree) -> Tree:
        def of(row: Row) -> Any:
            found = [as_type(type_, tree.of(row)) for tree in (one, two)]
            return found[1] if found[0] is None else found[0]

        return Tree(f"coalesce({one.text}, {two.text})", type_, of)


ORDERS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[Row], dict[str, pa.Array]]:
    count = draw(st.integers(1, 6))
    rows: list[Row] = [
        {name: draw(st.none() | some) for name, (_, some, _) in COLUMNS.items()}
        for _ in range(count)
    ]
    if all(row["m"] is None for row in rows):
        rows[0]["m"] = 0.5  # without a fraction the texts would be whole numbers
    columns = {}
    for name, (_, _, type_) in COLUMNS.items():
        given_ = [row[name] for row in rows]
        if name in "nm":
            given_ = [None if x is None else repr(x) for x in given_]
        before = pa.scalar(None, type_).as_py()
        columns[name] = pa.array([before, *given_], type_).slice(1)  # as a batch of a file is
    return rows, columns


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**40), tables())
def test_an_expression_gives_what_an_interpreter_of_rows_gives(
    seed: int, table: tuple[list[Row], dict[str, pa.Array]]
) -> None:
    rows, columns = table
    draw = Draw(seed)
    tree = draw.random.choice([draw.number, draw.text, draw.truth])(
        draw.random.choice([1, 2, 3, 4])
    )
    assume(len(tree.text) <= LONGEST)
    try:
        expression = parse(tree.text, WHAT)
    except UserError as error:
        assume("of constants" not in str(error) and "2**63" not in str(error))
        assume(f"at most {MOST_PARTS} parts" not in str(error))
        raise
    types = {name: column.type for name, column in columns.items()}
    try:
        expression.kind(types)
    except UserError as error:
        assume("two columns of texts" not in str(error))
        raise
    try:
        wanted = [tree.of(row) for row in rows]
    except Overflow:
        with pytest.raises(UserError, match=r"log.csv, row \d+ \(from 0\): column.*2\*\*63"):
            expression.evaluate(columns, where(len(rows)), len(rows))
        return
    found = expression.evaluate(columns, where(len(rows)), len(rows)).to_pylist()
    if tree.text in ("n", "m"):
        return
    assert found == wanted, tree.text
    assert [type(x) for x in found] == [type(x) for x in wanted], tree.text


# Hostile texts

ATTACKS = [
    "__import__('os').system('id')",
    "().__class__.__bases__[0].__subclasses__()",
    "i.__class__",
    "''.join(['a'])",
    "'%s' % i",
    "'a' * 10**9",
    "[0] * 10**9",
    "'{}'.format(i)",
    "f'{i}'",
    "f'{__import__(\"os\")}'",
    "lambda: 1",
    "(lambda x: x)(1)",
    "[x for x in i]",
    "{x for x in i}",
    "{x: 1 for x in i}",
    "(x for x in i)",
    "(x := 1)",
    "x := 1",
    "i = 1",
    "i; i",
    "import os",
    "exec('1')",
    "eval('1')",
    "compile('1', '', 'eval')",
    "open('/etc/passwd')",
    "getattr(i, 'x')",
    "globals()",
    "vars()",
    "print(i)",
    "pow(9, 9)",
    "9**9**9",
    "9**9**9**9**9",
    "2**0.5**-1e9",
    "10.0**400",
    "1e999",
    "-1e999",
    "1e308 * 10",
    "1 / 0",
    "1 // 0",
    "1 % 0",
    "0 ** -1",
    "(-1) ** 0.5",
    "log(0)",
    "sqrt(-1)",
    "exp(1e6)",
    "9223372036854775808",
    "9223372036854775807 + 1",
    "0x" + "f" * 400,
    "9" * 490,
    "1" + "0" * 490,
    "1." + "0" * 490 + "e999",
    "1j",
    "i + 1j",
    "None",
    "i == None",
    "...",
    "i[0]",
    "i[0:1]",
    "i[...]",
    "b'a'",
    "s == b'a'",
    "{}",
    "{1}",
    "{1: 2}",
    "[]",
    "[1, 2]",
    "(1, 2)",
    "i, i",
    "()",
    "i in i",
    "i in ()",
    "i in []",
    "i in [i]",
    "i in [[1]]",
    "i in [1, 'a']",
    "i in {1, 2}",
    "i in 'abc'",
    "i in [None]",
    "i is 1",
    "i is not None",
    "max(*[1, 2])",
    "max(**{})",
    "max(i, key=i)",
    "max(i, default=1)",
    "max()",
    "max(i)",
    "min(x for x in i)",
    "abs()",
    "abs(i, i)",
    "column()",
    "column(i)",
    "column('i', 'j')",
    "column(f'i')",
    "column(b'i')",
    "column('a' + 'b')",
    "column(name='i')",
    "i()",
    "i(1)",
    "1(2)",
    "'a'('b')",
    "max(i, i)(1)",
    "await i",
    "yield i",
    "yield",
    "(yield)",
    "async",
    "not",
    "*i",
    "**i",
    "i if t",
    "if t: i",
    "i @ i",
    "i & i",
    "i | i",
    "i ^ i",
    "i << 3",
    "i >> 3",
    "~i",
    "i ** i",
    "i ** s",
    "i && i",
    "!t",
    "i <> 1",
    "i === 1",
    "i ? 1 : 2",
    "SELECT 1",
    "i; DROP TABLE x",
    "i -- comment",
    "i # comment",
    "# comment",
    "i /* x */",
    "i \\",
    "i\\\n+ 1 #",
    "$i",
    "i$",
    "`i`",
    '"',
    "'",
    "'''",
    "'a\nb",
    "'\\ud800'",
    "'\\N{DIGIT ONE'",
    "'\\d'",
    "1or i",
    "0777",
    "1__0",
    "1e",
    "0x",
    "\0",
    "i\0",
    "\ud800",
    "i == '\ud800'",
    "\ufeffi",
    "i\u00a0+ 1",
    "i\u200b",
    "\u202ei",
    "\uff11 + i",
    "i \uff0b 1",
    "\U0001d48a + \U0001d48b",
    "ﬁ == 1",
    "привет + 1",
    "変数",
    "🙂",
    "(" * 250 + "i" + ")" * 250,
    "(" * 500,
    "[" * 250 + "]" * 250,
    "-" * 499 + "i",
    "not " * 120 + "t",
    "~" * 499 + "i",
    "i" + "+i" * 249,
    "i" + " or i" * 99,
    "i" + "<i" * 249,
    "i" + "**i" * 160,
    "abs(" * 124 + "i" + ")" * 124,
    "t if t else " * 41 + "t",
    "lambda:" * 70 + "1",
    "i." * 240 + "i",
    "i" + "[0]" * 160,
    "i" + "()" * 240,
    "a" * 10_000,
    "1+" * 5_000 + "1",
    "'" + "a" * 10_000 + "'",
    "",
    " ",
    "\n",
    "\t\n ",
    "part(s, '', 0)",
    "part(s, '_', -1)",
    "part(s, '_', 10**9)",
    "part(s, '_', 1.0)",
    "part(s, '_', True)",
    "part(s, s, 0)",
    "part(s, '_', i)",
    "contains(s, s)",
    "contains(s, '')",
    "contains(s, 1)",
    "starts(s)",
    "seconds('yesterday')",
    "seconds(5)",
    "number('x')",
    "number('nan')",
    "number('1e999')",
    "number('0x1F')",
    "lower(t) + 1",
    "text(s) + text(s)",
    "text(s) * 2",
    "text(s) < 1",
    "text(s) == 1",
    "text(s) and t",
    "i and t",
    "not i",
    "i if i else i",
    "i if t else text(s)",
    "coalesce(i, text(s))",
    "coalesce(i)",
    "-text(s)",
    "i == text(s)",
    "c == n",
    "nobody == 1",
    "__class__",
    "__builtins__",
    "column('__import__')",
    "True = 1",
]


def survives(text: str) -> str | None:
    """The message of an expression that is refused, in one line; None of one that is not."""
    table = {name: pa.array([None, None], type_) for name, (_, _, type_) in COLUMNS.items()}
    try:
        expression = parse(text, WHAT)
        expression.kind({n: c.type for n, c in table.items()})
        assert len(expression.evaluate(table, where(2), 2)) == 2
    except UserError as error:
        message = str(error)
        assert message.isprintable(), message
        assert message.startswith(WHAT), message
        assert len(message) < 1500
        return message
    return None


@pytest.mark.parametrize("text", ATTACKS, ids=lambda text: ascii(text[:30]))
def test_what_the_grammar_does_not_have_is_refused_in_one_line_that_names_it(text: str) -> None:
    begin = time.perf_counter()
    assert survives(text) is not None
    assert time.perf_counter() - begin < 5


LETTERS = st.sampled_from("ifstnmc+-*/%<>()[]{},.:=#@~&|^;\n\\\"'\ud800é")
# fmt: off
WORDS_OF_PYTHON = st.sampled_from([
    "//", "**", "==", "!=", "<=", ">=", ":=", "...", "in", "not", "and", "or", "if", "else",
    "lambda", "for", "is", "None", "1", "0", "0.5", "1e9", "'a'", "''", "b'a'", "f'a'", "max",
    "abs", "part", "column", "coalesce", "seconds", "is_missing", "number", "text", "__class__",
])
# fmt: on
PIECES = LETTERS | WORDS_OF_PYTHON


@settings(max_examples=600, deadline=None)
@given(
    st.lists(PIECES, max_size=14).map(" ".join)
    | st.lists(PIECES, max_size=8).map("".join)
    | st.text(max_size=30)
)
def test_any_text_is_an_expression_or_a_line(text: str) -> None:
    survives(text)


# Words of the messages


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("is_clik == 1", "no column 'is_clik'; got 'is_clik', column 1 of 'is_clik == 1'; did you "
         "mean 'is_click'? There are is_click, price, é"),
        ("is_click == 1 and prise > 2", "no column 'prise'; got 'prise', column 19 of"),
        ("column('é') == 1 or  q", "got 'q', column 22 of"),
        ("  is_click .x", "got 'is_click .x', column 3"),
        ("flor(price)", "no function 'flor'; got 'flor', column 1 of 'flor(price)'; did you mean"),
        ("is_click and price", "here must be true or false, not a column of texts; got "
         "'is_click', column 1 of 'is_click and price'; compare it, as in `is_click == 1`"),
        ("price + 'a'", "here must be a number, not a text; got \"'a'\", column 9 of"),
        ("is_click ==", "this is no expression (invalid syntax); got 'is_click =='"),
        ("is_click == price", "write number(is_click) == number(price), or text() for both"),
    ],
)  # fmt: skip
def test_a_line_names_expression_part_column_and_what_was_meant(text: str, words: str) -> None:
    types = dict.fromkeys(("is_click", "price", "é"), pa.string())
    with pytest.raises(UserError) as error:
        parse(text, WHAT).kind(types)
    assert str(error.value).startswith(f"{WHAT}: ")
    assert words in str(error.value)


def test_a_text_that_is_no_number_names_file_row_column_and_value() -> None:
    price = pa.array(["1", None, "many"])
    assert refused("1 + price > 2", price=price) == (
        "log.csv, row 2 (from 0): column 'price': a number must be a finite decimal, whole ones "
        "below 2**63; got 'many' for 'price' of [tasks] click.label = '1 + price > 2'"
    )


def test_a_value_is_refused_only_on_rows_that_ask_for_it() -> None:
    price = pa.array(["1", "none", "3"])
    assert values("price if price != 'none' else 0", "number", price=price) == [1, 0, 3]
    assert values("price != 'none' and price > 2", price=price) == [False, False, True]
    assert values("price == 'none' or price > 2", price=price) == [False, True, True]
    assert "got 'none'" in refused("price > 2 and price != 'none'", price=price)


@pytest.mark.parametrize(
    "text",
    ["x + 9223372036854775807", "9223372036854775807 + x", "x * x", "-x - 2", "(-x - 1) // -1",
     "abs(-x - 1)", "x - -1", "-2 * x"],
)  # fmt: skip
def test_a_whole_number_that_does_not_fit_names_its_row_and_value(text: str) -> None:
    message = refused(text, x=pa.array([None, 0, 2**63 - 1]))
    assert message.startswith(
        "log.csv, row 2 (from 0): column 'x': a whole number must stay below"
    )
    assert "write 1.0 * x for a fraction; got " in message


# Kinds


def test_a_column_of_a_csv_is_what_its_context_asks_for() -> None:
    tab = pa.array(["1", "01", "1.0", None])
    assert values("tab == 1", tab=tab) == [True, True, True, None]
    assert values("tab == '1'", tab=tab) == [True, False, False, None]
    assert values("tab in ['1', '01']", tab=tab) == [True, True, False, None]
    assert values("tab", tab=tab) == ["1", "01", "1.0", None]
    assert values("tab", "number", tab=tab) == [1, 1, 1, None]


def test_a_number_beside_a_constant_text_is_compared_as_its_shortest_text() -> None:
    tab = pa.array([1.0, 1.5, None])
    assert values("tab == '1'", tab=tab) == [True, False, None]
    assert values("tab in ['1.5']", tab=tab) == [False, True, None]
    assert values("tab", "text", tab=tab) == ["1", "1.5", None]


def test_whole_numbers_are_exact_beyond_what_a_float_holds() -> None:
    big = 2**53
    ids = pa.array([big, big + 1, big + 2])
    for column in (ids, ids.cast(pa.string()), ids.cast(pa.decimal128(20, 0))):
        assert values(f"x == {big + 1}", x=column) == [False, True, False]
        assert values(f"x > {float(big)}", x=column) == [False, True, True]
        assert values(f"x in [{big + 1}, 0.5]", x=column) == [False, True, False]
    assert values("x", "text", x=pa.array([2**64 - 1], pa.uint64())) == ["18446744073709551615"]
    assert "whole ones below 2**63" in refused("x > 1", x=pa.array([2**64 - 1], pa.uint64()))


@pytest.mark.parametrize("want", ["number", "text", "truth"])
def test_the_kind_that_is_asked_for_is_the_kind_that_comes(want: Any) -> None:
    fits = {"number": "ifnmcst", "text": "ifnmcst", "truth": "t"}[want]
    for name, (_, _, type_) in COLUMNS.items():
        expression = parse(name, WHAT)
        types = {name: type_}
        if name not in fits:
            with pytest.raises(UserError, match="here must be"):
                expression.kind(types, want)
            continue
        assert expression.kind(types, want) == want
        found = expression.evaluate({name: pa.array([None], type_)}, where(1), 1, want)
        allowed = {"number": (pa.int64(), pa.float64()), "text": (pa.string(),)}
        assert found.type in allowed.get(want, (pa.bool_(),))


def test_moments_of_parquet_are_seconds_since_1970_in_utc() -> None:
    zoned = pa.array([1_651_485_600_123_456], pa.timestamp("us", "Asia/Shanghai"))
    assert values("x", "number", x=zoned) == [1651485600.123456]
    assert values("hour(x) == 10 and weekday(x) == 0 and day(x) == 19114", x=zoned) == [True]
    assert values("x >= seconds('2022-05-02T18:00:00+08:00')", x=zoned) == [True]
    day = pa.array([19114], pa.date32())
    assert values("x == seconds('2022-05-02')", x=day) == [True]
    assert values("seconds(x)", x=day) == [19114 * 86400.0]
    assert "around the text" in refused("x >= '2022-05-02'", x=day)


def test_times_before_1970_round_down() -> None:
    x = pa.array([-1, -86_400, -86_401])
    assert values("hour(x)", x=x) == [23, 0, 23]
    assert values("day(x)", x=x) == [-1, -1, -2]
    assert values("weekday(x)", x=x) == [2, 2, 1]
    assert values("day(x / 1.0)", x=x) == [-1, -1, -2]


@pytest.mark.parametrize(
    "type_", [pa.list_(pa.int64()), pa.struct({"a": pa.int64()}), pa.time32("s"), pa.duration("s")]
)
def test_a_column_without_numbers_or_texts_can_only_be_asked_if_it_is_missing(
    type_: pa.DataType,
) -> None:
    column = pa.nulls(2, type_)
    assert values("is_missing(x)", x=column) == [True, True]
    for text in ("x", "x == 1", "x == 'a'", "coalesce(x, 1)", "lower(x)", "number(x)", "x and x"):
        assert "a value of another type" in refused(text, x=column)


@pytest.mark.parametrize(
    "type_",
    [
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.dictionary(pa.int32(), pa.string()),
        pa.dictionary(pa.int8(), pa.large_string()),
    ],
)
def test_texts_are_texts_however_they_are_stored(type_: pa.DataType) -> None:
    column = pa.array(["7", None, "b"], pa.string()).cast(type_)
    assert values("x", x=column) == ["7", None, "b"]
    assert values("x == '7'", x=column) == [True, None, False]
    assert values("number(x) if x != 'b' else 0", x=column) == [7, None, 0]


def test_bytes_that_are_no_utf8_are_refused_by_row() -> None:
    message = refused("x", x=pa.array([b"a", b"\xff"]))
    assert message.startswith("log.csv, row 1 (from 0): column 'x': ")


def test_a_column_of_nothing_is_missing_in_every_kind() -> None:
    nothing = pa.nulls(2)
    for text in ("x", "x + 1", "x == 'a'", "x == 1", "lower(x)", "not x == 1"):
        assert values(text, x=nothing) == [None, None]


def test_a_constant_is_there_on_every_row_and_no_rows_give_none() -> None:
    assert parse("1", WHAT).evaluate({}, where(3), 3).to_pylist() == [1, 1, 1]
    for text in ("x + 1", "x // 2", "x > 0.5", "number(text(x))", "1", "x in [1]"):
        found = parse(text, WHAT).evaluate({"x": pa.array([], pa.int64())}, where(0), 0)
        assert len(found) == 0


def test_columns_are_named_in_order_of_appearance_once() -> None:
    expression = parse("b if column('a c') > 1 and b == 1 else d", WHAT)
    assert expression.columns == ("b", "a c", "d")
    assert expression.column is None
    assert parse("(b)", WHAT).column == "b"


def test_lines_of_one_expression_are_as_one_line() -> None:
    assert values("\n  x > 1\n  and x < 3\n", x=pa.array([1, 2])) == [False, True]


def test_an_expression_of_the_largest_size_is_read() -> None:
    assert values("+".join(["x"] * (MOST_PARTS // 2)), x=pa.array([2])) == [MOST_PARTS]
    assert f"at most {MOST_PARTS} parts" in refused("+".join(["x"] * (MOST_PARTS // 2 + 1)))


# The rule of columns


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.none() | st.floats(allow_infinity=False) | st.integers(-(10**17), 10**17), max_size=9
    )
)
def test_numbers_become_the_texts_that_tables_of_pandas_give(given_: list[Any]) -> None:
    floats = [None if x is None else float(x) for x in given_]
    for type_ in (pa.float64(), pa.float32(), pa.float16()):
        with np.errstate(over="ignore"):
            raw = np.array(floats, np.float64).astype(type_.to_pandas_dtype())
        raw[np.isinf(raw)] = np.nan
        column = pa.array(raw, type_)
        words = words_of("x", pd.Series(raw, name="x"))
        wanted = [None if code < 0 else words.words[code] for code in words.code_N]
        assert texts(column).values.to_pylist() == wanted


def test_other_types_become_the_texts_that_tables_of_pandas_give() -> None:
    columns: list[tuple[list[Any], pa.DataType]] = [
        ([True, None, False], pa.bool_()),
        ([Decimal("1.50"), None, Decimal("2.00"), Decimal("-0.10")], pa.decimal128(9, 2)),
        ([Decimal(10) ** 30, Decimal(7)], pa.decimal256(40, 0)),
        ([2**64 - 1, None], pa.uint64()),
        ([-(2**63), 2**53 + 1], pa.int64()),
        ([1e22, 1e16, 1.5e-7, 123456789012345.6, 99999999999999.95, 1e-4, 0.3], pa.float64()),
    ]
    for given_, type_ in columns:
        words = words_of("x", pd.Series(given_, dtype=object, name="x"))
        wanted = [None if code < 0 else words.words[code] for code in words.code_N]
        assert texts(pa.array(given_, type_)).values.to_pylist() == wanted


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.none()
        | st.floats(allow_nan=False, allow_infinity=False).map(repr)
        | st.integers().map(str)
        | st.from_regex(r"[+-]?[0-9]{1,3}\.?[0-9]{0,3}([eE][+-]?[0-9]{1,2})?", fullmatch=True)
        | st.sampled_from(["nan", "inf", "0x1F", "1_0", "", " 7 ", "+5", "1e999", "x", "٣", "+-1"])
        | st.text(max_size=4),
        max_size=6,
    )
)
def test_a_text_is_the_number_that_python_reads_or_it_is_refused(given_: list[str | None]) -> None:
    def number(text: str) -> float | None:
        try:
            value = float(text) if text.isascii() and "_" not in text else math.nan
        except ValueError:
            return None
        return value if math.isfinite(value) else None

    found = parsed(pa.array(given_, pa.string()))
    for i, text in enumerate(given_):
        wanted = None if text is None else number(text)
        assert found.values[i].as_py() == wanted, text
        refused_ = found.refused_N is not None and bool(found.refused_N[i])
        assert refused_ == (text is not None and wanted is None), text


def test_numbers_of_arrow_are_those_of_pandas() -> None:
    for type_ in (pa.float32(), pa.float64(), pa.int8(), pa.uint32(), pa.bool_()):
        raw = np.array([0, 1, 1]).astype(type_.to_pandas_dtype())
        wanted = numbers_of("x", pd.Series(raw, name="x"))
        assert numbers(pa.array(raw)).values.to_pylist() == wanted.tolist()
    infinite = numbers(pa.array([1.0, math.inf, math.nan, None]))
    assert infinite.values.to_pylist() == [1.0, None, None, None]
    assert infinite.refused_N is not None
    assert infinite.refused_N.tolist() == [False, True, False, False]


def test_moments_are_read_with_and_without_a_zone_and_others_refused() -> None:
    given_ = ["1970-01-02", "1970-01-01T00:00:01Z", "1970-01-01 02:00:00+02:00", "soon", None, ""]
    found = instants(pa.array(given_))
    assert found.values.to_pylist() == [86400, 1, 0, None, None, None]
    assert found.refused_N is not None
    assert found.refused_N.tolist() == [False, False, False, True, False, True]


def test_whatever_a_draft_takes_for_a_moment_is_read_as_one() -> None:
    seconds = {"": 0, ":01": 1, ":01.5": 1.5, ":01,5": 1.5}
    zones = {"": 0, "Z": 0, " UTC": 0, "+01:00": -3600, " +0100": -3600, " -0100": 3600}
    told = {
        f"1970-01-01{between}00:00{second}{zone}": seconds[second] + zones[zone]
        for between, second, zone in product(" T", seconds, zones)
    }
    assert all(re.fullmatch(ISO, text) for text in told)
    assert instants(pa.array(told)).values.to_pylist() == [*told.values()]
    for text, second in told.items():
        assert instants(pa.array([text])).values.to_pylist() == [second]


def test_moments_as_pandas_writes_them_are_read_to_the_microsecond() -> None:
    frame = pd.DataFrame({"at": pd.to_datetime([1_119_988_530, 2_000_000_000], unit="ns")})
    written = frame.to_csv(index=False).splitlines()[1:]
    assert written[0].endswith("01.119988530")
    assert instants(pa.array(written)).values.to_pylist() == [1.119988, 2.0]
    zoned = instants(pa.array(["1970-01-01T00:00:01.1199885300Z", "1970-01-01T01:00:00+01:00"]))
    assert zoned.values.to_pylist() == [1.119988, 0]
    assert zoned.refused_N is None or not zoned.refused_N.any()
