"""Rows by group and score, equal scores together: what every figure of an order is made of."""

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmd.metrics.metric import Array

Integers = NDArray[np.int64]


class Runs:
    """N rows sorted by group, then score; R runs of equal score in one group; G groups."""

    def __init__(self, score_N: Array, group_N: NDArray[Any] | None = None) -> None:
        self.order_N = np.argsort(score_N) if group_N is None else _by_both(score_N, group_N)
        opens_N = np.ones(len(score_N), bool)
        sorted_N = score_N[self.order_N]
        opens_N[1:] = sorted_N[1:] != sorted_N[:-1]
        self.start_G: Integers = np.zeros(1, np.int64)
        if group_N is not None:
            sorted_group_N = group_N[self.order_N]
            new_N = np.ones(len(score_N), bool)
            new_N[1:] = sorted_group_N[1:] != sorted_group_N[:-1]
            opens_N |= new_N
        self.start_R: Integers = np.flatnonzero(opens_N)
        if group_N is not None:
            self.start_G = np.flatnonzero(new_N[self.start_R])

    @cached_property
    def count_R(self) -> Integers:
        """Rows of each run."""
        return np.diff(self.start_R, append=len(self.order_N))

    @cached_property
    def group_R(self) -> Integers:
        """The group of each run."""
        return np.repeat(
            np.arange(len(self.start_G)), np.diff(self.start_G, append=len(self.start_R))
        )

    @cached_property
    def run_N(self) -> Integers:
        """The run of each row."""
        run_N = np.empty(len(self.order_N), np.int64)
        run_N[self.order_N] = np.repeat(np.arange(len(self.start_R)), self.count_R)
        return run_N

    def of_runs(self, values_N: NDArray[Any]) -> Array:
        """R: the sum of each run's rows."""
        return np.asarray(np.add.reduceat(values_N[self.order_N], self.start_R, dtype=float))

    def of_labels(self, weight_N: Array, label_N: Array) -> tuple[Array, Array]:
        """R each: the weight of each run's rows with label 1, and of those with 0."""
        positive_N = label_N > 0
        return self.of_runs(weight_N * positive_N), self.of_runs(weight_N * ~positive_N)

    def of_groups(self, values_R: NDArray[Any]) -> Array:
        """G: the sum of each group's runs."""
        return np.asarray(np.add.reduceat(values_R, self.start_G, dtype=float))

    def before(self, values_R: NDArray[Any]) -> Array:
        """R: the sum of the runs before each run in its group."""
        before_R = np.cumsum(values_R, dtype=float) - values_R
        return np.asarray(before_R - before_R[self.start_G][self.group_R])


def _by_both(score_N: Array, group_N: NDArray[Any]) -> Integers:
    """The order by group, then score: as `np.lexsort`, but faster where both fit in 64 bits."""
    exact_N = score_N.astype(np.float32)
    if not (exact_N == score_N).all() or int(group_N.min()) < 0 or int(group_N.max()) >= 2**32:
        return np.lexsort((score_N, group_N))
    # The bits of a float32, so turned that they sort as it does; + 0.0 makes one zero of both.
    bits_N = (exact_N + np.float32(0)).view(np.uint32)
    bits_N ^= np.where(bits_N >> 31, np.uint32(0xFFFFFFFF), np.uint32(0x80000000))
    return np.argsort(group_N.astype(np.uint64) << np.uint64(32) | bits_N)
