"""Points in the space of objectives, all maximised: who dominates whom, and how surely.

Suffixes: N points or trainings, M objectives, A arms, R paired seeds, K tasks, S draws, C values
of the horizontal objective.
"""

from collections.abc import Sequence
from math import inf
from statistics import median_low
from typing import NamedTuple

import moocore
import numpy as np
from numpy.typing import ArrayLike, NDArray

from fsmd.stats.estimates import Array, Estimate, mean_interval

Point = tuple[float, ...]
"""One value per objective, the higher the better."""

DRAWS = 4000


def on_front(points_NM: ArrayLike, slack: ArrayLike = 0.0) -> NDArray[np.bool_]:
    """Whether no other point is better by more than `slack` on every objective.

    slack: one number, or one for each objective. Without it: all that nothing dominates.
    """
    points_NM = np.asarray(points_NM, float)
    if not len(points_NM):
        return np.zeros(0, bool)
    if not np.any(slack):
        return np.asarray(moocore.is_nondominated(points_NM, maximise=True, keep_weakly=True))
    above_NN = np.all(points_NM[None, :, :] > points_NM[:, None, :] + np.asarray(slack), axis=2)
    return np.asarray(~np.any(above_NN, axis=1))


def best_first(points_NM: ArrayLike) -> list[int]:
    """All points in order: by non-domination rank, then by share of the rank's own hypervolume.

    A dominating point comes before the one it dominates; ties keep their order.
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


def below_worst(points_NM: ArrayLike) -> Array:
    """A tenth of each objective's range below its worst: so the ends of a front have a volume."""
    points_NM = np.asarray(points_NM, float)
    low_M, high_M = points_NM.min(axis=0), points_NM.max(axis=0)
    return np.asarray(low_M - 0.1 * np.where(high_M > low_M, high_M - low_M, 1.0))


def hypervolume(points_NM: ArrayLike, reference: Sequence[float]) -> float:
    """The volume between `reference` and the front (Fonseca et al. 2006); none is below it."""
    points_NM = np.asarray(points_NM, float).reshape(-1, len(reference))
    inside_N = (points_NM > np.asarray(reference)).all(axis=1)
    if not inside_N.any():
        return 0.0
    return float(moocore.hypervolume(points_NM[inside_N], ref=reference, maximise=True))


def knee_score(points_NM: Array) -> Array:
    """The sum of the objectives, each scaled to the front's range; dominated points: -inf.

    With two objectives it is, but for a constant, the distance above the line through the ends.
    """
    front_N = on_front(points_NM)
    low_M, high_M = points_NM[front_N].min(axis=0), points_NM[front_N].max(axis=0)
    range_M = np.where(high_M > low_M, high_M - low_M, 1.0)
    return np.where(front_N, ((points_NM - low_M) / range_M).sum(axis=1), -np.inf)


def highest(score_N: Array, points_NM: Array) -> int:
    """The point of the highest score; among equals one on the front, of the highest sum."""
    order = np.lexsort((-points_NM.sum(axis=1), ~on_front(points_NM), -np.round(score_N, 12)))
    return int(order[0])


def drawn_means(values_AR: Array, rng: np.random.Generator, draws: int = DRAWS) -> Array:
    """S x A (x more): all arms' means, drawn together from their joint t distribution.

    values_AR: figures by arm and paired seed, of any more axes; two seeds at least.
    """
    arms, seeds, *more = values_AR.shape
    weight_SR = rng.standard_normal((draws, seeds)) / np.sqrt(seeds * (seeds - 1))
    weight_SR *= np.sqrt((seeds - 1) / rng.chisquare(seeds - 1, size=(draws, 1)))
    mean_A = values_AR.mean(axis=1)
    away_RN = (values_AR - mean_A[:, None]).swapaxes(0, 1).reshape(seeds, -1)
    drawn_SA: Array = mean_A + (weight_SR @ away_RN).reshape(draws, arms, *more)
    return drawn_SA


class AttainmentBand(NamedTuple):
    """The vertical objective that all seeds reach, half of them, and one, over the horizontal one.

    A value holds from the x before up to its own; -inf: not reached.
    """

    x: tuple[float, ...]
    by_all: tuple[float, ...]
    by_half: tuple[float, ...]
    by_one: tuple[float, ...]


def attained(points_AR2: Array) -> AttainmentBand:
    """What the front of each seed attains of two objectives, over the seeds.

    The least, the median and the greatest attainment surface (Grunert da Fonseca et al. 2001).
    """
    x_C = np.unique(points_AR2[..., 0])
    reached_CAR = points_AR2[None, :, :, 0] >= x_C[:, None, None]
    best_CR = np.where(reached_CAR, points_AR2[None, :, :, 1], -np.inf).max(axis=1)
    rising_RC = np.sort(best_CR.T, axis=0)
    surfaces = (x_C, rising_RC[0], rising_RC[len(rising_RC) // 2], rising_RC[-1])
    return AttainmentBand(*(tuple(surface_C.tolist()) for surface_C in surfaces))


def shrinkage(
    searched_K: Array, fresh_RK: Array, reach_K: Sequence[float] | None = None
) -> tuple[Estimate, ...]:
    """The search's own value minus the fresh seeds', for each task, with the latter's interval.

    reach_K: what a task's figures can differ by at most; without any bound where none is given.
    """
    reaches = [inf] * len(searched_K) if reach_K is None else reach_K
    return tuple(
        mean_interval(searched - fresh_R, within=(-reach, reach))
        for searched, fresh_R, reach in zip(searched_K, fresh_RK.T, reaches, strict=True)
    )


def mean_shrinkage(
    searched_AK: Array, fresh_ARK: Array, reach_K: Sequence[float] | None = None
) -> tuple[Estimate, ...]:
    """The mean over arms of `shrinkage`, for each task; seeds are shared by all arms."""
    return shrinkage(searched_AK.mean(axis=0), fresh_ARK.mean(axis=0), reach_K)


class FrontGrowth(NamedTuple):
    """Hypervolume after each training, in the order of proposal; epochs add up."""

    epochs: tuple[int, ...]
    volumes: tuple[float, ...]
    reference: Point
    """The corner that volumes are measured from; empty if nothing ended."""


def growth(epochs_N: Sequence[int], points_N: Sequence[Point | None]) -> FrontGrowth:
    """How the front grew, training by training, above `below_worst` of all that ended.

    points_N: where each training ended; None, if it was stopped or failed: only epochs count then.
    """
    ended = [point for point in points_N if point is not None]
    reference = tuple(below_worst(ended).tolist()) if ended else ()
    volumes, seen = [], list[Point]()
    for point in points_N:
        seen += [] if point is None else [point]
        volumes.append(hypervolume(np.array(seen), reference) if seen else 0.0)
    return FrontGrowth(tuple(np.cumsum(epochs_N).tolist()), tuple(volumes), reference)


class EpochsSpent(NamedTuple):
    """Epochs of the search, and what stopping and early stopping saved of `most` each."""

    ended: int
    stopped: int
    other: int
    saved_at_most: int
    """By stopping, if every stopped training had gone on to the last epoch."""
    saved_fairly: int | None
    """By stopping, if each had gone on as long as the median of those that ended."""
    saved_by_patience: int
    typical: int | None
    """The (lower) median epochs of those that ended by themselves; None if none did."""

    @property
    def total(self) -> int:
        """All epochs of the search."""
        return self.ended + self.stopped + self.other


def epochs_spent(
    ended: Sequence[int], stopped: Sequence[int], other: Sequence[int], most: int
) -> EpochsSpent:
    """The account, from the epochs of each training and the most that one may have."""
    typical = median_low(ended) if ended else None
    return EpochsSpent(
        ended=sum(ended),
        stopped=sum(stopped),
        other=sum(other),
        saved_at_most=sum(most - epochs for epochs in stopped),
        saved_fairly=None
        if typical is None
        else sum(max(typical - epochs, 0) for epochs in stopped),
        saved_by_patience=sum(most - epochs for epochs in ended),
        typical=typical,
    )
