"""Which kind of field a column may be, and why: category, number, tags or sequence."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.description.columns import is_text
from fsmd.data.source import MOST_MEMBERS
from fsmd.errors import shown
from studies.data.draft.column import SEPARATORS, Column, is_list
from studies.data.draft.look import Seen
from studies.data.draft.names import column as written
from studies.data.draft.text import value as toml
from studies.data.draft.values import Toml
from studies.data.draft.words import CODES, NUMBERS, SEQUENCES, has

MANY_VALUES, RARE_COUNT = 10_000, 5
"""Categories of more values want some rows of each to be learnt."""
HUGE, BUCKETS = 5_000_000, 2**20
_AMOUNT = r"""^([^\w\s.,+\-()'"\\]?)\s*-?\d+(?:\.\d+)?\s*([^\d\s.,+\-()'"\\]{0,3})$"""
"""A number with a sign of money before it, or one of a unit behind it."""
FEW_NUMBERS = 30
"""Whole numbers of so few values are categories unless they are named like an amount."""


def kind_of(
    column: Column, seen: Seen, separator: str | None, is_key: bool
) -> tuple[dict[str, Toml], str]:
    """The field that a column may be, and why.

    separator: of its tags, see `separator_of`. is_key: of users or of items.
    """
    missing = f", {column.missing / column.rows:.1%} missing" if column.missing else ""
    values = f"{column.shown_distinct} values{missing}"
    if is_list(column.kind) or separator is not None:
        return _tags(column, seen, separator, missing)
    code = _why_code(column, seen, is_key)
    if code is None:
        return _number(column, seen, missing)
    value: dict[str, Toml] = {"kind": "category"}
    why = f"{values}; {code}" if code else values
    if column.distinct > HUGE:
        value["hash"] = BUCKETS
        why += "; more than a table should have rows"
    elif column.distinct >= MANY_VALUES:
        value["min_count"] = RARE_COUNT
    return value, why


def _why_code(column: Column, seen: Seen, is_key: bool) -> str | None:
    """Why a column is of categories; "" where that is plain, None where it is a number."""
    if not column.is_number:
        texts = column.other_texts
        if column.numbers and texts:
            example, rows = texts.most_common(1)[0]
            return f"numbers but for texts as {shown(example)} on {rows:,} rows"
        return "" if is_key else why_amount(column, seen)
    if column.padded:
        return "digits with a 0 before them"
    if not column.is_whole:
        return None
    if any(column.name in side.on for side in seen.sides):
        return "the key of a side table"
    if is_key:
        return ""
    if has(column.name, CODES):
        return "named like a code"
    if column.distinct <= 2:
        return ""
    if has(column.name, NUMBERS):
        return None
    if column.distinct <= FEW_NUMBERS:
        return "few whole numbers: a number if their order means something"
    span = column.high - column.low + 1
    if column.low in (0, 1) and column.distinct >= 0.9 * span:
        return "all whole numbers up to the largest, as codes are"
    return None


def why_amount(column: Column, seen: Seen) -> str:
    """How a text such as "$4.61" or "12 kg" becomes a number, where all have the same sign.

    Empty for others.
    """
    if not is_text(column.kind):
        return ""
    texts = pc.unique(seen.sample.column(column.name).drop_null())
    before, behind = (
        pc.unique(pc.replace_substring_regex(texts, _AMOUNT, side)).to_pylist()
        for side in (r"\1", r"\2")
    )
    if len(before) != 1 or len(behind) != 1 or bool(before[0]) == bool(behind[0]):
        return ""  # of another text both sides are the text
    sign = before[0] or behind[0]
    number = f"number(part({written(column.name)}, {sign!r}, {int(bool(before[0]))}))"
    return f"a number beside {sign!r}: {toml({'kind': 'number', 'from': number})}"


def _number(column: Column, seen: Seen, missing: str) -> tuple[dict[str, Toml], str]:
    number_N = seen.numbers(column)
    number_N = number_N[np.isfinite(number_N)]
    why = f"{_short(column.low)} to {_short(column.high)}, mean {_short(column.mean)}{missing}"
    skew = _skew(number_N)
    if column.low >= 0 and skew > 2 and _skew(np.log1p(number_N)) < skew:
        return {"kind": "number", "scale": "log"}, f"{why}, a long tail"
    if abs(skew) > 20:
        return {"kind": "number", "scale": "quantile"}, f"{why}, long tails"
    return {"kind": "number"}, why


def _tags(
    column: Column, seen: Seen, separator: str | None, missing: str
) -> tuple[dict[str, Toml], str]:
    kind = "sequence" if has(column.name, SEQUENCES) else "tags"
    value: dict[str, Toml] = {"kind": kind}
    values = seen.sample.column(column.name).combine_chunks()
    if separator is None:
        separator, why = "\x1f", "a list"
    else:
        value["separator"] = separator
        why = f"values parted by {separator!r}"
        if column.bracketed == column.there:
            value["strip"] = "[]"
    lengths = pc.add(pc.count_substring(values, separator), 1).drop_null()
    length = int(pc.quantile(lengths, 0.95)[0].as_py() or 1) if len(lengths) else 1
    value["max_length"] = min(max(length, 1), MOST_MEMBERS)
    return value, f"{why}{missing}, 95 % have at most {length}"


def separator_of(column: Column, seen: Seen) -> str | None:
    """What parts the members of a column of tags: they are fewer than the texts they make."""
    if not is_text(column.kind) or not column.there:
        return None
    if column.iso == column.there or column.is_number:
        return None
    if column.brackets and column.bracketed < column.there:
        return None  # as "(10,50]", an interval
    texts = pc.drop_null(seen.sample.column(column.name)).combine_chunks()
    texts = pc.utf8_trim(texts, "[]").slice(0, 20_000)
    for separator in SEPARATORS:
        if column.split_rows[separator] < 0.1 * column.there:
            continue
        parted = pc.split_pattern(texts, separator)
        members = pc.utf8_trim_whitespace(parted.flatten())
        if pc.any(pc.greater(pc.utf8_length(members), 40)).as_py():
            continue
        together = pc.count_distinct(texts).as_py()
        apart = pc.count_distinct(members).as_py()
        alone = pc.is_in(members.unique(), texts.unique())
        often = float(np.mean(alone.to_numpy(zero_copy_only=False)))
        if 2 * apart < together or (apart < together and often >= 0.2):
            return _with_blank(texts, separator)
    return None


def _with_blank(texts: pa.Array, separator: str) -> str:
    """The separator with the blank that follows it everywhere."""
    total = pc.sum(pc.count_substring(texts, separator)).as_py()
    spaced = pc.sum(pc.count_substring(texts, f"{separator} ")).as_py()
    return f"{separator} " if total == spaced and separator != " " else separator


def _short(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}"


def _skew(number_N: NDArray[np.float64]) -> float:
    """The third moment about the mean, in deviations; 0 for a constant."""
    spread = float(number_N.std()) if len(number_N) else 0.0
    if not spread or not np.isfinite(spread):
        return 0.0
    return float((((number_N - number_N.mean()) / spread) ** 3).mean())
