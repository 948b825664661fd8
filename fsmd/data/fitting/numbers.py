"""Moments of a column of numbers, exact whatever the parts are, and a sample of rows."""

import numpy as np
from numpy.typing import NDArray

from fsmd.data.fitting.hashing import Hashes64, mixed

Floats64 = NDArray[np.float64]
MOST_SAMPLED = 200_000
_ROUNDING = 1e-12  # of the largest number


class Moments:
    """Count, mean and deviation of numbers that come in parts (Chan et al. 1983)."""

    def __init__(self) -> None:
        self.count, self.mean, self.largest = 0, 0.0, 0.0
        self._squares = 0.0

    def see(self, number_N: Floats64) -> None:
        """Take note of numbers, none NaN."""
        if not len(number_N):
            return
        count, mean = len(number_N), float(number_N.mean())
        squares = float(((number_N - mean) ** 2).sum())
        total, apart = self.count + count, mean - self.mean
        self._squares += squares + apart * apart * (self.count / total) * count
        self.mean = mean if not self.count else self.mean + apart * (count / total)
        self.count = total
        self.largest = max(self.largest, float(np.abs(number_N).max()))

    @property
    def spread(self) -> float:
        """The standard deviation; 0 without any number, and where it is no more than rounding."""
        found = float(np.sqrt(self._squares / self.count)) if self.count else 0.0
        return found if found > _ROUNDING * self.largest else 0.0


class RowSample:
    """Rows chosen by a hash of their number, so the same ones however they come in parts."""

    def __init__(self, most: int = MOST_SAMPLED) -> None:
        self._most, self._seen = most, 0
        self._limit = np.uint64(2**64 - 1)
        self._hashes: list[Hashes64] = []
        self._rows: list[Floats64] = []
        self._kept = 0

    def see(self, value_ND: Floats64) -> None:
        """Take note of N rows of D values."""
        hash_N = mixed(np.arange(self._seen, self._seen + len(value_ND), dtype=np.uint64))
        self._seen += len(value_ND)
        chosen = np.flatnonzero(hash_N <= self._limit)
        self._hashes.append(hash_N[chosen])
        self._rows.append(value_ND[chosen])
        self._kept += len(chosen)
        if self._kept > 2 * self._most:
            self._cut()

    def rows(self) -> Floats64:
        """At most as many rows as were asked for, in their order; at least one part was seen."""
        if len(self._rows) > 1 or self._kept > self._most:
            self._cut()
        return self._rows[0]

    def _cut(self) -> None:
        hash_N, rows = np.concatenate(self._hashes), np.concatenate(self._rows)
        if len(hash_N) > self._most:
            self._limit = np.partition(hash_N, self._most - 1)[self._most - 1]
            kept = np.flatnonzero(hash_N <= self._limit)
            rows, hash_N = rows[kept], hash_N[kept]
        self._hashes, self._rows, self._kept = [hash_N], [rows], len(hash_N)
