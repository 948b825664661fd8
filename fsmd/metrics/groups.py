"""Metrics that are a mean over groups of rows, such as users; some groups do not define them.

A group's influence lies on its rows, so that summed by unit (`fsmd.stats.sampling.by_unit`) it is
the unit's, as of a ratio of sums over units. Where each row has a place of its own in its group,
sums by item tell of items too; else it lies on rows by weight, and they tell nothing of items.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fsmd.metrics.metric import Array, GroupFigures, Metric, Rows, summed

OfRows = Callable[[Rows], GroupFigures]


def mean_over(
    group: Literal["user", "request"],
    groups: OfRows,
    placed: Callable[[Rows], Array] | None = None,
    *,
    name: str,
    label: str,
) -> Metric:
    """The metric, a figure from 0 to 1 of which more is better.

    placed: of each row a number, of which each class's weighted mean is its group's figure.
    """

    def of(parts: Sequence[Rows]) -> float:
        total, weight = summed(parts, lambda rows: _sums(groups(rows)))
        return total / weight if weight > 0 else float("nan")

    def influence(rows: Rows) -> Array:
        return _influence(groups(rows), rows, placed(rows) if placed else None)

    return Metric(
        name,
        label,
        of=of,
        influence=influence,
        group=group,
        groups=groups,
        by_row=placed is not None,
        higher=True,
        high=1.0,
    )


def _sums(groups: GroupFigures) -> tuple[float, float]:
    used_G = ~np.isnan(groups.value_G)
    weight_G = groups.weight_G[used_G]
    return float(groups.value_G[used_G] @ weight_G), float(weight_G.sum())


def _influence(groups: GroupFigures, rows: Rows, placed_N: Array | None) -> Array:
    """NaN for fewer than two groups that are not skipped."""
    used_G = ~np.isnan(groups.value_G)
    if used_G.sum() < 2:
        return rows.weight_N * float("nan")
    total, weight = _sums(groups)
    value = total / weight
    gap_N = np.where(used_G, groups.value_G - value, 0.0)[groups.group_N]
    if placed_N is None:
        held_G = np.bincount(groups.group_N, rows.weight_N, minlength=len(used_G))
        part_N = gap_N * rows.weight_N / held_G[groups.group_N]
    else:
        part_N = _of_pairs(gap_N, placed_N - value, groups.group_N, rows)
    counts_N = np.where(used_G, groups.weight_G / weight, 0.0)[groups.group_N]
    return np.asarray(part_N * counts_N * len(part_N))


def _of_pairs(gap_N: Array, placed_N: Array, group_N: NDArray[np.int64], rows: Rows) -> Array:
    """What each row does in the pairs of both classes that it is in; a group's sum is its gap.

    A pair is of two rows, and both have it in full: what is counted twice is taken off again, from
    each row what the others of its class have, so that its own stays whole.
    """
    class_N = 2 * group_N + (rows.label_N > 0)
    classes = 2 * int(group_N.max()) + 2
    count_C = np.bincount(class_N, minlength=classes)
    own_N = placed_N * rows.weight_N / np.bincount(class_N, rows.weight_N)[class_N]
    several_G2 = count_C.reshape(-1, 2) > 1
    share_G2 = several_G2 / np.maximum(several_G2.sum(1, keepdims=True), 1)
    taken_N = (share_G2.ravel() / np.maximum(count_C - 1, 1))[class_N]
    part_N = own_N - taken_N * (gap_N - own_N)
    return np.where((several_G2.sum(1) > 0)[group_N], part_N, own_N / 2)
