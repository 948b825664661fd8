"""Trees as arrays that every library's trees become, and what they say of rows.

Suffixes: M nodes, T trees, N rows, F numbers of a row.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmd.data.schema import Floats

LEAF = -1
PART = 2048
"""Rows that go through the trees at once: more do not fit the processor's cache."""


class Nodes(NamedTuple):
    """Trees, one after the other; see `fsmd.baselines` for each array."""

    feature: NDArray[np.int32]
    threshold: NDArray[Any]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    value: NDArray[Any]
    roots: NDArray[np.int32]

    def scores(self, number_NF: Floats) -> NDArray[np.float64]:
        """N: the sum of what the trees add."""
        score_N = np.zeros(len(number_NF))
        for start in range(0, len(number_NF) if len(self.roots) else 0, PART):
            part_NF = number_NF[start : start + PART]
            flat, width = np.ascontiguousarray(part_NF).ravel(), part_NF.shape[1]
            row_N1 = (np.arange(len(part_NF), dtype=np.int32) * width)[:, None]
            at_NT = np.repeat(self.roots[None], len(part_NF), 0)
            while True:
                feature_NT = self.feature.take(at_NT)
                if (feature_NT == LEAF).all():
                    break
                number_NT = flat.take(row_N1 + np.maximum(feature_NT, 0))
                goes_left_NT = number_NT <= self.threshold.take(at_NT)
                at_NT = np.where(goes_left_NT, self.left.take(at_NT), self.right.take(at_NT))
            score_N[start : start + PART] = self.value.take(at_NT).sum(1, dtype=np.float64)
        return score_N

    def arrays(self, base: float) -> dict[str, NDArray[Any]]:
        """As a trained baseline's arrays of one task, without the task's number."""
        return {**self._asdict(), "base": np.array([base], np.float32)}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, NDArray[Any]], task: int) -> "Nodes":
        """Of a trained baseline's arrays."""
        return cls(*(arrays[f"{task}.{name}"] for name in cls._fields))


def joined(trees: Iterable[Nodes]) -> Nodes:
    """All in one; each has positions of its own."""
    trees = list(trees)
    if not trees:
        integers, numbers = np.zeros(0, np.int32), np.zeros(0, np.float32)
        return Nodes(integers, numbers, integers, integers, numbers, integers)
    offsets = np.cumsum([0, *(len(tree.feature) for tree in trees)]).astype(np.int32)
    moved = [
        tree._replace(left=tree.left + at, right=tree.right + at, roots=tree.roots + at)
        for tree, at in zip(trees, offsets, strict=False)
    ]
    return Nodes(*map(np.concatenate, zip(*moved, strict=True)))


def tree(
    feature_M: NDArray[Any],
    threshold_M: NDArray[Any],
    left_M: NDArray[Any],
    right_M: NDArray[Any],
    value_M: NDArray[Any],
) -> Nodes:
    """One tree whose first node is its root; `feature_M` is `LEAF` at leaves.

    Thresholds of float64 become the greatest float32 that is not above: float32 numbers fall on
    the same sides of them.
    """
    leaf_M, own_M = feature_M == LEAF, np.arange(len(feature_M), dtype=np.int32)
    exact_M = np.where(leaf_M, 0.0, threshold_M)
    with np.errstate(over="ignore"):
        near_M = exact_M.astype(np.float32)
    below_M = np.nextafter(near_M, np.float32(-np.inf))
    return Nodes(
        feature=feature_M.astype(np.int32),
        threshold=np.where(near_M > exact_M, below_M, near_M).astype(np.float32),
        left=np.where(leaf_M, own_M, left_M).astype(np.int32),
        right=np.where(leaf_M, own_M, right_M).astype(np.int32),
        value=np.where(leaf_M, value_M, 0.0).astype(np.float32),
        roots=np.zeros(1, np.int32),
    )
