"""What is kept of a column while a log streams by: counts, bounds, a tally of its values."""

from collections import Counter
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.checks.tally import Counted, KeyTally
from fsmd.data.description import columns
from fsmd.data.description.columns import is_moment, is_text, value_type
from fsmd.data.fitting.hashing import mixed
from fsmd.data.rows.hashes import hashes as text_hashes
from fsmd.errors import shown

TALLIED = 2**15
"""Distinct values that are counted exactly; more are estimated, within about 1 %."""
COUNTED = 10_000
"""Distinct values whose rows are counted; of columns with more a sample tells."""
FEW_TEXTS = 50
"""Texts that are no number, kept to tell a word for missing from a category."""

NO_VALUE = ("?", "\\N", "NULL", "null", "NaN", "nan", "N/A", "n/a")
"""Words that mean missing wherever they stand."""
NO_NUMBER = (*NO_VALUE, "NA", "None", "none", "-", "UNKNOWN", "unknown")
"""Words that mean missing among numbers; in other columns they may be a category."""
YES, NO = ("true", "yes", "y", "t"), ("false", "no", "n", "f")
SEPARATORS = (",", "|", ";", " ", "\t", "^", "#", "\x01")

NUMBER = r"^[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?$"
PADDED = r"^-?0\d+$"
ISO = r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d+)?)?( ?(Z|UTC|[+-]\d\d:?\d\d))?)?$"
YEAR_MONTH_DAY = r"^(19|20)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"


def hashes(values: pa.Array) -> NDArray[np.uint64]:
    """64 bits of each value, of texts, integers or 64-bit floats without nulls."""
    if is_text(values.type):
        return text_hashes(values)
    return mixed(np.ascontiguousarray(values.to_numpy(zero_copy_only=False)).view(np.uint64))


def plain(values: pa.Array) -> pa.Array:
    """The same values as texts, integers or 64-bit floats; lists as texts, others as nulls."""
    values = columns.plain(values)
    kind = values.type
    if is_text(kind) or pa.types.is_int64(kind) or pa.types.is_float64(kind):
        return values
    if pa.types.is_uint64(kind):  # of 2**63 and more, as hashes are
        return values.cast(pa.string())
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind):
        return values.cast(pa.int64(), safe=False)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return values.cast(pa.float64())
    if is_moment(kind):
        return columns.numbers(values).values
    if is_list(kind):
        texts = values.cast(pa.list_(pa.string()))
        return pc.binary_join(texts, pa.scalar("\x1f"))
    return pa.nulls(len(values), pa.string())


def is_list(kind: pa.DataType) -> bool:
    """Whether the type holds lists of plain values."""
    return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and not pa.types.is_nested(
        kind.value_type
    )


class Column:
    """A column of the files, seen part by part."""

    def __init__(self, name: str, kind: pa.DataType, table: str = "") -> None:
        self.name, self.kind = name, value_type(kind)
        self.table = table
        """The side table that it is of; "" for the log."""
        self.rows = self.nulls = self.infinite = 0
        self.tally = KeyTally(1, TALLIED)
        self.counts: Counter[Any] | None = Counter()
        """Rows of each value, stripped; None beyond `COUNTED` values."""
        self.words: Counter[str] = Counter()
        """Rows of each word that may mean missing."""
        self.blanks = self.numbers = self.integers = self.padded = self.iso = self.ymd = 0
        """Rows with blanks around the text; that are a number, a whole one, 007, a date ..."""
        self.other_texts: Counter[str] | None = Counter()
        """Rows of texts that are no number; None for many of them."""
        self.split_rows = dict.fromkeys(SEPARATORS, 0)
        self.bracketed = self.brackets = 0
        self.low, self.high = np.inf, -np.inf
        self.total = 0.0
        self.falls = 0
        """Rows whose number is below that of the row before."""
        self._before = -np.inf
        self.number_of_row: NDArray[np.float64] | None = None
        """Of the last part, NaN where there is none; None where a value is no number."""
        self.hash_of_row: NDArray[np.uint64] = np.empty(0, np.uint64)

    @property
    def is_readable(self) -> bool:
        """Whether its type is one that a field can have."""
        t = pa.types
        return bool(
            is_text(self.kind)
            or is_list(self.kind)
            or t.is_integer(self.kind)
            or t.is_floating(self.kind)
            or any(f(self.kind) for f in (t.is_boolean, t.is_decimal, t.is_null, is_moment))
        )

    @property
    def is_moment(self) -> bool:
        """Whether its type is a date, or a date and a time."""
        return is_moment(self.kind)

    def see(self, values: pa.Array) -> None:
        """Take note of the values of some rows."""
        values = plain(values)
        self.rows += len(values)
        self.nulls += values.null_count
        coded = values.dictionary_encode()
        unique = coded.dictionary
        code_N = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
        rows_U = np.bincount(code_N[code_N >= 0], minlength=len(unique)).astype(np.int64)
        if not len(unique):
            self.number_of_row = np.full(len(values), np.nan)
            self.hash_of_row = np.zeros(len(values), np.uint64)
            return
        hash_U = hashes(unique)
        self.hash_of_row = np.append(hash_U, np.uint64(0))[code_N]
        self.tally.add_counts(hash_U, rows_U[:, None])
        if is_text(unique.type):
            unique = pc.utf8_trim_whitespace(unique)
            number_U = self._texts(unique, rows_U, coded.dictionary)
        else:
            number_U = unique.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False)
            self._numbers(unique, number_U, rows_U)
        if self.counts is not None:
            for value, rows in zip(unique.to_pylist(), rows_U.tolist(), strict=True):
                self.counts[value] += rows
            if len(self.counts) > COUNTED:
                self.counts = None
        self._moments(number_U, rows_U, code_N)

    def _texts(
        self, unique: pa.Array, rows_U: NDArray[np.int64], raw: pa.Array
    ) -> NDArray[np.float64] | None:
        """The numbers that the texts are, NaN for words that mean missing; None for no numbers."""
        self.blanks += _rows(rows_U, pc.not_equal(unique, raw))
        is_number = pc.match_substring_regex(unique, NUMBER)
        other = pc.invert(is_number).to_numpy(zero_copy_only=False)
        self.numbers += _rows(rows_U, is_number)
        if other.any():
            self._words(unique.filter(pa.array(other)), rows_U[other])
            if self.other_texts is None or self.other_texts:
                return self._truths(unique)
        there = pc.if_else(is_number, unique, pa.scalar(None, unique.type))
        number_U = np.asarray(there.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)
        self.integers += int(rows_U[number_U == np.floor(number_U)].sum())
        for start in ("0", "-0"):
            begins = pc.starts_with(unique, start)
            if pc.any(begins).as_py():
                padded = pc.match_substring_regex(unique.filter(begins), PADDED)
                self.padded += _rows(rows_U[begins.to_numpy(zero_copy_only=False)], padded)
        self._dates(unique, number_U, rows_U)
        return number_U

    def _words(self, unique: pa.Array, rows_U: NDArray[np.int64]) -> None:
        """Counts of texts that are no numbers."""
        is_word = pc.is_in(unique, pa.array(NO_NUMBER)).to_numpy(zero_copy_only=False)
        for i in np.flatnonzero(is_word):
            self.words[unique[int(i)].as_py()] += int(rows_U[i])
        if self.other_texts is not None:
            for i in np.flatnonzero(~is_word)[: FEW_TEXTS + 1]:
                self.other_texts[unique[int(i)].as_py()] += int(rows_U[i])
            if len(self.other_texts) > FEW_TEXTS:
                self.other_texts = None
        self.iso += _rows(rows_U, pc.match_substring_regex(unique, ISO))
        for separator in SEPARATORS:
            self.split_rows[separator] += _rows(rows_U, pc.match_substring(unique, separator))
        self.bracketed += _rows(rows_U, pc.match_substring_regex(unique, r"^\[.*\]$"))
        self.brackets += _rows(rows_U, pc.match_substring_regex(unique, r"[\[\](){}]"))

    def _dates(
        self, unique: pa.Array, number_U: NDArray[np.float64], rows_U: NDArray[np.int64]
    ) -> None:
        """Rows whose number is a day written as yyyymmdd."""
        like = (number_U >= 19_000_101) & (number_U <= 20_991_231)
        if like.any():
            texts = unique.filter(pa.array(like)).cast(pa.string())
            days = pc.match_substring_regex(texts, YEAR_MONTH_DAY)
            self.ymd += _rows(rows_U[like], days)

    def _truths(self, unique: pa.Array) -> NDArray[np.float64] | None:
        """1 for yes, 0 for no, NaN for missing; None where a text is none of them."""
        if len(unique) > len(NO_NUMBER) + 4:
            return None
        number = {**dict.fromkeys(YES, 1.0), **dict.fromkeys(NO, 0.0)}
        number.update(dict.fromkeys(map(str.lower, NO_NUMBER), np.nan))
        found = [number.get(text.lower()) for text in unique.to_pylist()]
        return None if None in found else np.array(found, np.float64)

    def _numbers(
        self, unique: pa.Array, number_U: NDArray[np.float64], rows_U: NDArray[np.int64]
    ) -> None:
        """Counts of a column whose type is a number."""
        missing = int(rows_U[np.isnan(number_U)].sum())
        self.nulls += missing
        self.numbers += int(rows_U.sum()) - missing
        if pa.types.is_integer(unique.type):
            self.integers += int(rows_U.sum())
            self._dates(unique, number_U, rows_U)
        else:
            self.integers += int(rows_U[number_U == np.floor(number_U)].sum())

    def _moments(
        self,
        number_U: NDArray[np.float64] | None,
        rows_U: NDArray[np.int64],
        code_N: NDArray[np.int64],
    ) -> None:
        """Bounds, sum and order of the numbers."""
        if number_U is None:
            self.number_of_row = None
            return
        infinite_U = np.isinf(number_U)
        self.infinite += int(rows_U[infinite_U].sum())
        there_U = ~np.isnan(number_U) & ~infinite_U
        if there_U.any():
            self.low = min(self.low, float(number_U[there_U].min()))
            self.high = max(self.high, float(number_U[there_U].max()))
            self.total += float(number_U[there_U] @ rows_U[there_U])
        self.number_of_row = np.append(number_U, np.nan)[code_N]
        in_order = self.number_of_row[~np.isnan(self.number_of_row)]
        if len(in_order):
            in_order = np.append(self._before, in_order)
            self.falls += int((in_order[1:] < in_order[:-1]).sum())
            self._before = float(in_order[-1])

    # What it all says

    @cached_property
    def no_values(self) -> tuple[str, ...]:
        """The words of it that mean missing."""
        if not is_text(self.kind):
            return ()
        numbers = bool(self.numbers) and self.numbers + self.words.total() == self.texts
        return tuple(w for w in sorted(self.words) if numbers or w in NO_VALUE)

    @property
    def texts(self) -> int:
        """Rows with something in the file."""
        return self.rows - self.nulls

    @property
    def missing(self) -> int:
        """Rows with nothing, or with a word that means it."""
        return self.nulls + sum(self.words[word] for word in self.no_values)

    @property
    def there(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @cached_property
    def counted(self) -> Counted:
        """Of the hashes of values, as they are in the files."""
        return self.tally.counted()

    @property
    def distinct(self) -> int:
        """Values, without words for missing; an estimate where not all are counted."""
        values = self.counted.total(len(self.counted.key_U))
        return min(values - len(self.no_values), self.there)

    @property
    def is_exact(self) -> bool:
        """Whether `distinct` is exact."""
        return self.counted.share == 1

    @property
    def shown_distinct(self) -> str:
        """`distinct` in words."""
        return f"{'' if self.is_exact else 'about '}{self.distinct:,}"

    @property
    def is_number(self) -> bool:
        """Whether each value is a number."""
        return not is_list(self.kind) and self.there > 0 and self.numbers == self.there

    @property
    def is_whole(self) -> bool:
        """Whether each value is a whole number, 1.0 too."""
        return self.is_number and self.integers == self.there

    @property
    def values(self) -> list[tuple[Any, int]]:
        """Values and their rows, most frequent first; empty for a column with many."""
        if self.counts is None:
            return []
        known = {v: n for v, n in self.counts.items() if v not in self.no_values and v == v}
        return sorted(known.items(), key=lambda pair: (-pair[1], str(pair[0])))

    @property
    def mean(self) -> float:
        """Of the numbers."""
        return self.total / max(1, self.there - self.infinite)

    def shown_values(self, most: int = 3) -> str:
        """The most frequent values with their shares, in words."""
        found = ((str(v).replace("\x1f", ", "), n) for v, n in self.values[:most])
        return ", ".join(f"{shown(v)} {n / max(1, self.rows):.1%}" for v, n in found)


def _rows(rows_U: NDArray[np.int64], truth_U: pa.Array) -> int:
    """Rows of the values of which it is true."""
    return int(rows_U[truth_U.to_numpy(zero_copy_only=False)].sum())
