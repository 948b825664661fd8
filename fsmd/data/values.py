"""One rule from the values of a table to categories and numbers, whatever type they come in.

So 1, 1.0, True, Decimal(1) and the text "1" are one category, in every split and in any order.
"""

import sys
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsmd.errors import UserError, alternatives, is_text, shown

CATEGORIES = "categories of column {} must be text or finite numbers"
_NUMBERS = "column {} must be numeric"
_LONGEST_INTEGER = sys.float_info.max_exp  # bits

Floats64 = NDArray[np.float64]


class Words(NamedTuple):
    """The categories of a column of N values."""

    code_N: NDArray[np.intp]
    """Position in `words`; -1 where a value is missing."""
    words: tuple[str, ...]
    """In order of appearance."""
    ranks: tuple[tuple[int, float, str], ...]
    """What to sort each word by: numbers by value, then text."""


def column_of(where: str, frame: pd.DataFrame, name: str) -> pd.Series:
    """The one column of that name; UserError where there is none or there are several."""
    if name not in frame:
        raise UserError(f"{where}: no column {name!r}{alternatives(name, list(map(str, frame)))}")
    if frame.columns.nlevels > 1:
        raise UserError(f"{where}: columns must have one level of names; got several")
    column = frame[name]
    if isinstance(column, pd.DataFrame):
        raise UserError(f"{where}: column {name!r} is there {column.shape[1]} times; keep one")
    return column


def words_of(where: str, column: pd.Series, rule: str = CATEGORIES) -> Words:
    """Each value as text: a number as the shortest that stands for it, so 1.0 as "1".

    Raises UserError with `rule`, column and row for a value that is neither text nor a finite
    number.
    """
    values = column if _is_plain(column.dtype) else _python_values(column)
    try:
        code_N, unique_U = pd.factorize(values)
    except (TypeError, InvalidOperation):  # a list has no hash, nor has Decimal("sNaN")
        refused = next(i for i, value in enumerate(values) if not _is_hashable(value))
        raise _refused(where, column, refused, rule) from None
    ranks: dict[str, tuple[int, float, str]] = {}
    word_U: list[str] = []
    for u, value in enumerate(np.asarray(unique_U)):  # which keeps 32 bits 32 bits
        rank = _rank(value)
        if rank is None:
            raise _refused(where, column, int(np.argmax(code_N == u)), rule)
        word = rank[2]
        word_U.append(word)
        ranks[word] = min(rank, ranks.get(word, rank))
    position = {word: i for i, word in enumerate(ranks)}
    # The last one is for the code -1.
    moved = np.array([*(position[word] for word in word_U), -1], np.intp)
    return Words(moved[code_N], tuple(ranks), tuple(ranks.values()))


def numbers_of(where: str, column: pd.Series) -> Floats64:
    """Each value as a number, NaN where it is missing; UserError with column and row for text."""
    if column.dtype.kind in "biuf":
        with np.errstate(over="ignore"):  # of a type that is longer than 64 bits
            return column.to_numpy(np.float64, na_value=np.nan)
    found = words_of(where, column, _NUMBERS)
    text_N = np.array([*(kind == 1 for kind, *_ in found.ranks), False])[found.code_N]
    if text_N.any():
        raise _refused(where, column, int(np.argmax(text_N)), _NUMBERS)
    return np.array([*(float(number) for _, number, _ in found.ranks), np.nan])[found.code_N]


def bounded_numbers(
    where: str, column: pd.Series, low: float, high: float, missing: bool = False
) -> Floats64:
    """`numbers_of`; UserError with column and row for one that is out of range, or is missing
    unless some may be.
    """
    number_N = numbers_of(where, column)
    refused_N = (number_N < low) | (number_N > high)
    if not missing:
        refused_N |= np.isnan(number_N)
    if refused_N.any():
        rule = f"numbers of column {{}} must lie between {low:g} and {high:g}"
        rule += "" if missing else ", none missing"
        raise _refused(where, column, int(np.argmax(refused_N)), rule)
    return number_N


def labels_of(where: str, column: pd.Series) -> Floats64:
    """0, 1, or NaN where a value is missing; UserError for others."""
    found = words_of(where, column, "labels of {} must be 0, 1 or missing")
    others = [word for word in found.words if word not in ("0", "1")]
    if others:
        row = int(np.argmax(found.code_N == found.words.index(others[0])))
        raise UserError(
            f"{where}: labels of {column.name!r} must be 0, 1 or missing; got "
            f"{', '.join(others[:5])[:60]} (row {row}, from 0)"
        )
    return np.array([*map(float, found.words), np.nan])[found.code_N]


def _refused(where: str, column: pd.Series, row: int, rule: str) -> UserError:
    """`rule` has {} where the column's name goes."""
    value = column.iloc[row : row + 1].tolist()[0]  # nan, not np.float64(nan)
    return UserError(
        f"{where}: {rule.format(repr(column.name))}; row {row} (from 0) has {shown(value)}"
    )


def _rank(value: Any) -> tuple[int, float, str] | None:
    """What sorts a category, its word last; None for a value that can be none."""
    if isinstance(value, str):
        return (1, 0, str(value)) if is_text(value) else None
    number = _number(value)
    if number is None or abs(number) == np.inf or number != number:
        return None
    whole = int(number)
    return 0, number, str(whole) if whole == number else repr(number)


def _number(value: Any) -> int | float | None:
    """The number that a value is; None for what is none, or is longer than a float can be."""
    if isinstance(value, np.timedelta64):  # which numpy counts among the whole numbers
        return None
    if isinstance(value, bool | np.bool_ | int | np.integer):
        whole = int(value)
        return whole if whole.bit_length() < _LONGEST_INTEGER else None
    if isinstance(value, Decimal) and value.is_finite():
        if value.adjusted() >= sys.float_info.max_10_exp:
            return None
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, np.floating):
        # 0.1 of 32 bits is 0.1, but a whole number is what it is.
        return float(value if value.is_integer() else str(value))
    return value if isinstance(value, float) else None


def _is_plain(dtype: Any) -> bool:
    """Whether all values have one type, as numbers or as text."""
    if isinstance(dtype, np.dtype):
        return dtype.kind in "biuf"
    return pd.api.types.is_string_dtype(dtype)


def _python_values(column: pd.Series) -> NDArray[np.object_]:
    """As objects; numpy says that numbers are equal which are so only once they are rounded.

    No series: from one of objects pandas makes times and numbers where it can.
    """
    values = (_python_value(v) if isinstance(v, np.generic) else v for v in column)
    return np.fromiter(values, np.object_, len(column))


def _python_value(value: Any) -> Any:
    if isinstance(value, np.timedelta64) and not np.isnat(value):
        return ()  # no category either; numpy takes it for a number, or cannot hash it
    number = _number(value)
    return value if number is None else number


def _is_hashable(value: Any) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True
