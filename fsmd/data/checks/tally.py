"""What is kept of a log of any size: counts by key, and a sample of rows.

Neither depends on the order of the rows, nor on the parts they come in: what is kept is what has
the smallest hashes.
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import members_of
from fsmd.data.fitting.hashing import combined, mixed
from fsmd.data.rows.hashes import hashes
from fsmd.data.rows.part import Part

MOST_KEYS = 2**18
MOST_ROWS = 2**16
"""Of each split, in a sample."""

Codes = NDArray[np.uint64]
Counts = NDArray[np.int64]

_ALL = np.uint64(2**64 - 1)


class Members(NamedTuple):
    """The words of a column of N rows, M in all, of W different ones."""

    code_W: Codes
    place_M: NDArray[np.intp]
    """In the W; W where a value is missing."""
    row_M: NDArray[np.int64]
    """Whose they are."""

    def codes(self) -> Codes:
        """The code of each of M words; 0 where a value is missing."""
        return np.append(self.code_W, np.uint64(0))[self.place_M]


def members(column: pa.Array) -> Members:
    """All words of a column of text or of lists of text."""
    found = members_of(column, length=len(column.flatten()) if _is_list(column) else 1)
    row_M = np.arange(len(found.code_M)) if found.row_M is None else found.row_M
    return Members(hashes(found.word_W), found.code_M.astype(np.intp), row_M)


def missing_of(column: pa.Array) -> NDArray[np.bool_]:
    """Whether each of N values is missing; a list without members is."""
    if _is_list(column):
        return np.asarray(pc.equal(pc.list_value_length(column).fill_null(0), 0)).astype(bool)
    return np.asarray(column.is_null()).astype(bool)


def numbers_of_column(column: pa.Array) -> NDArray[np.float64]:
    """N numbers, NaN where one is missing."""
    return np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), np.float64)


def _is_list(column: pa.Array) -> bool:
    return bool(pa.types.is_list(column.type))


class Counted(NamedTuple):
    """What a `KeyTally` kept of U keys: C counts of each."""

    key_U: Codes
    """Mixed, in ascending order."""
    counts_UC: Counts
    bound: np.uint64
    """Of the mixed keys that were kept."""

    @property
    def share(self) -> float:
        """Of all keys that these are; 1 where there were not too many."""
        return (int(self.bound) + 1) / 2**64

    @property
    def about(self) -> str:
        """What follows a subject, where not all are counted."""
        return "" if self.share == 1 else f" (about, from {self.share:.2%} of them)"

    def total(self, kept: float) -> int:
        """About how many of all there are, of a number among the kept."""
        return round(kept / self.share)


class KeyTally:
    """C counts of each of at most `most` keys: of all, or of a share of them drawn by a hash.

    All rows of a key that is kept are counted, so that what is said of it is exact.
    """

    def __init__(self, cells: int, most: int = MOST_KEYS) -> None:
        self._cells, self._most, self._bound = cells, most, _ALL
        self._runs = [(np.empty(0, np.uint64), np.empty((0, cells), np.int64))]

    def add(self, key_N: Codes, cell_N: NDArray[np.intp] | int) -> None:
        """Count each of N keys in a cell."""
        key_U, place_N = np.unique(key_N, return_inverse=True)
        self.add_counts(key_U, self.counts(place_N, cell_N, len(key_U)))

    def counts(self, place_N: NDArray[np.intp], cell_N: Any, keys: int) -> Counts:
        """U x C: how often each of U keys occurs with each cell."""
        flat = np.bincount(place_N * self._cells + cell_N, minlength=keys * self._cells)
        return flat.reshape(keys, self._cells)

    def add_counts(self, key_U: Codes, counts_UC: Counts) -> None:
        """Count keys, no two of which need to differ."""
        mixed_U = mixed(key_U)
        kept_U = mixed_U <= self._bound
        self._runs.append((mixed_U[kept_U], counts_UC[kept_U]))
        if sum(len(keys) for keys, _ in self._runs[1:]) > self._most:
            self._merge()

    def counted(self) -> Counted:
        """What is kept, by now."""
        self._merge()
        keys, counts = self._runs[0]
        return Counted(keys, counts, self._bound)

    def _merge(self) -> None:
        """One run of different keys, and a smaller share of them if they are too many."""
        keys = np.concatenate([keys for keys, _ in self._runs])
        order = np.argsort(keys, kind="stable")
        keys, begins = np.unique(keys[order], return_index=True)
        counts = np.concatenate([counts for _, counts in self._runs])[order]
        counts = np.add.reduceat(counts, begins) if len(keys) else counts
        while np.searchsorted(keys, self._bound, "right") > self._most:
            self._bound >>= np.uint64(1)
        kept = int(np.searchsorted(keys, self._bound, "right"))
        self._runs = [(keys[:kept], counts[:kept])]


class SampledRows(NamedTuple):
    """Some rows of one split, or all; N of them."""

    rows: int
    """That there are in all."""
    fields: pa.Table
    label_NK: NDArray[np.float64]
    time_N: NDArray[Any] | None
    odd_N: NDArray[np.bool_]
    """Half of the rows, by another hash."""

    def said(self) -> str:
        """Words for what is not all."""
        kept = len(self.label_NK)
        return f" (of {kept:,} rows drawn from {self.rows:,})" if kept < self.rows else ""


class SplitSample:
    """At most `most` rows of each split: those whose file and number have the smallest hashes."""

    def __init__(self, most: int = MOST_ROWS) -> None:
        self._most = most
        self._rows = dict.fromkeys(SPLITS, 0)
        self._bound = dict.fromkeys(SPLITS, _ALL)
        self._kept: dict[str, list[tuple[Codes, pa.Table, Any, Any]]] = {s: [] for s in SPLITS}

    def see(self, part: Part) -> None:
        """Take some rows, or none."""
        name = hashlib.sha256(part.where.source.encode()).digest()[:8]
        source_N = np.full(len(part.label_NK), int.from_bytes(name, "little"), np.uint64)
        hash_N = combined(source_N, part.where.rows_N.astype(np.uint64))
        self._rows[part.split] += len(hash_N)
        at = np.flatnonzero(hash_N <= self._bound[part.split])
        kept = self._kept[part.split]
        time_N = None if part.time_N is None else part.time_N[at]
        fields = pa.table(
            {name: _taken(part.fields.column(name), at) for name in part.fields.schema.names}
        )
        kept.append((hash_N[at], fields, part.label_NK[at], time_N))
        if sum(len(each[0]) for each in kept) > 2 * self._most:
            self._reduce(part.split)

    def of(self, split: str) -> SampledRows | None:
        """The rows of a split, by now; None where there are none."""
        if not self._rows[split]:
            return None
        self._reduce(split)
        hash_N, fields, label_NK, time_N = self._kept[split][0]
        odd_N = (mixed(hash_N) & np.uint64(1)).astype(bool)
        return SampledRows(self._rows[split], fields, label_NK, time_N, odd_N)

    def _reduce(self, split: str) -> None:
        kept = self._kept[split]
        hash_N = np.concatenate([each[0] for each in kept])
        at = np.argsort(hash_N)[: self._most]
        times = [each[3] for each in kept]
        time_N = None if any(time is None for time in times) else np.concatenate(times)[at]
        fields = pa.concat_tables([each[1] for each in kept]).take(at).combine_chunks()
        label_NK = np.concatenate([each[2] for each in kept])[at]
        if len(at) == self._most:
            self._bound[split] = hash_N[at[-1]]
        self._kept[split] = [(hash_N[at], fields, label_NK, time_N)]


def _taken(column: pa.Array, at: NDArray[np.intp]) -> pa.Array:
    """Some values, as text where they have codes: each part has codes of its own."""
    taken = column.take(pa.array(at))
    return taken.dictionary_decode() if pa.types.is_dictionary(taken.type) else taken


def count(number: float) -> str:
    """A number of rows.

    >>> count(1234567)
    '1,234,567'
    """
    return f"{number:,.0f}"


def percent(share: float) -> str:
    """A share of rows.

    >>> percent(0.5), percent(0.0001), percent(0.99999), percent(0.0)
    ('50.0%', '0.01%', '99.999%', '0.0%')
    """
    rest = min(share, 1 - share)
    return f"{share:.1%}" if rest >= 0.001 or rest <= 0 else f"{share:.3%}".replace("0%", "%")


def of_all(some: float, whole: float) -> str:
    """Some of all.

    >>> of_all(12, 600)
    '12 of 600 (2.0%)'
    """
    return f"{count(some)} of {count(whole)} ({percent(some / whole if whole else 0)})"


def listed(names: Sequence[str], most: int = 6) -> str:
    """Names in a sentence, the first few of many.

    >>> listed("abc"), listed("abcdefgh", 3)
    ('a, b, c', 'a, b, c and 5 more')
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
