"""Points in the space of objectives, all maximised: who dominates whom, and in which order.

moocore does the sorting and the volumes (Fonseca, Paquete and Lopez-Ibanez 2006).
"""

from collections.abc import Sequence

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

Point = tuple[float, ...]
"""One value per objective, the higher the better."""


def on_front(points_NM: ArrayLike, slack: float = 0.0) -> NDArray[np.bool_]:
    """Whether no other point is better by more than `slack` on every objective.

    Without slack these are the non-dominated points, equal ones included.
    """
    points_NM = np.asarray(points_NM, float)
    if not len(points_NM):
        return np.zeros(0, bool)
    if not slack:
        return np.asarray(moocore.is_nondominated(points_NM, maximise=True, keep_weakly=True))
    above_NN = np.all(points_NM[None, :, :] > points_NM[:, None, :] + slack, axis=2)
    return np.asarray(~np.any(above_NN, axis=1))


def best_first(points_NM: ArrayLike) -> list[int]:
    """All points in order: by non-domination rank, then by hypervolume contribution.

    A rank's contributions are to the hypervolume of that rank alone, above `below_worst` of all
    points. A dominating point comes before the one it dominates; ties keep their order.
    """
    points_NM = np.asarray(points_NM, float)
    if not len(points_NM):
        return []
    if points_NM.shape[1] == 1:
        return [int(i) for i in np.argsort(-points_NM[:, 0], kind="stable")]
    rank_N = moocore.pareto_rank(points_NM, maximise=True)
    share_N = np.zeros(len(points_NM))
    worst_M = below_worst(points_NM)
    for rank in np.unique(rank_N):
        where = np.flatnonzero(rank_N == rank)
        share_N[where] = moocore.hv_contributions(points_NM[where], ref=worst_M, maximise=True)
    return sorted(range(len(points_NM)), key=lambda i: (rank_N[i], -share_N[i]))


def below_worst(points_NM: ArrayLike) -> NDArray[np.float64]:
    """A reference for volumes: a tenth of each objective's range below its worst value.

    Above the worst value itself, the ends of a front would have no volume.
    """
    points_NM = np.asarray(points_NM, float)
    low_M, high_M = points_NM.min(axis=0), points_NM.max(axis=0)
    return np.asarray(low_M - 0.1 * np.where(high_M > low_M, high_M - low_M, 1.0))


def hypervolume(points_NM: ArrayLike, reference: Sequence[float]) -> float:
    """The volume between `reference` and the front; points below it count nothing."""
    points_NM = np.asarray(points_NM, float).reshape(-1, len(reference))
    inside = (points_NM > np.asarray(reference)).all(axis=1)
    if not inside.any():
        return 0.0
    return float(moocore.hypervolume(points_NM[inside], ref=reference, maximise=True))


def chosen(curve: Sequence[Point], epochs: int | None = None) -> Point:
    """Where a training stands after its first `epochs`: at the epoch of the best mean.

    This is the epoch that the training itself would choose if it ended there.
    """
    return max(curve[:epochs], key=lambda point: sum(point) / len(point))
