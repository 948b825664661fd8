"""Metrics that are a mean over groups of rows, such as users; some groups do not define them.

Rows of a group are not a sample: its influence lies on its rows, by their weight, so that summed
by unit (`fsmd.stats.sampling.by_unit`) it is the unit's, as of a ratio of sums over units.
"""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from fsmd.metrics.metric import Array, GroupFigures, Metric, Rows, summed

OfRows = Callable[[Rows], GroupFigures]


def mean_over(
    group: Literal["user", "request"], groups: OfRows, *, name: str, label: str
) -> Metric:
    """The metric, a figure from 0 to 1 of which more is better."""

    def of(parts: Sequence[Rows]) -> float:
        total, weight = summed(parts, lambda rows: _sums(groups(rows)))
        return total / weight if weight > 0 else float("nan")

    def influence(rows: Rows) -> Array:
        of_rows = groups(rows)
        return _influence(of_rows, rows.weight_N)

    return Metric(
        name,
        label,
        of=of,
        influence=influence,
        group=group,
        groups=groups,
        higher=True,
        high=1.0,
    )


def _sums(groups: GroupFigures) -> tuple[float, float]:
    used_G = ~np.isnan(groups.value_G)
    weight_G = groups.weight_G[used_G]
    return float(groups.value_G[used_G] @ weight_G), float(weight_G.sum())


def _influence(groups: GroupFigures, weight_N: Array) -> Array:
    """NaN for fewer than two groups that are not skipped."""
    used_G = ~np.isnan(groups.value_G)
    if used_G.sum() < 2:
        return weight_N * float("nan")
    total, weight = _sums(groups)
    moved_G = np.where(used_G, (groups.value_G - total / weight) * groups.weight_G / weight, 0.0)
    held_G = np.bincount(groups.group_N, weight_N, minlength=len(used_G))
    moved_N: Array = (moved_G / held_G)[groups.group_N] * weight_N * len(weight_N)
    return moved_N
