"""The numbers of a search's report: pure functions of what was read.

Suffixes: N points or trainings, M objectives (all the higher the better), R paired seeds,
L confirmed levels, K tasks, T targets.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fsmd.errors import UserError
from reports.estimates import Array, Estimate, mean_interval
from studies.front import Point, below_worst, hypervolume, on_front

DRAWS = 4000
FLOOR = 0.001
"""How far below its best a task may fall in a pick by a floor."""


# Who is on the front


def membership(points_LRM: Array, draws: int = DRAWS, seed: int = 0) -> Array:
    """L: the probability that a level's mean point is non-dominated.

    The means are drawn from a joint t distribution in which every difference of two of them has
    that of its paired t test, with R - 1 degrees of freedom. A draw weighs the seeds' deviations
    the same way for all levels, so that what a seed does to all of them cancels. A bootstrap
    would be too narrow with few seeds. Of levels closer together than their noise some are still
    ruled out too readily, as no prior draws their means together. NaN with fewer than two seeds.
    """
    levels, seeds, objectives = points_LRM.shape
    if seeds < 2:
        return np.full(levels, np.nan)
    rng = np.random.default_rng(seed)
    weight_SR = rng.standard_normal((draws, seeds)) / np.sqrt(seeds * (seeds - 1))
    weight_SR *= np.sqrt((seeds - 1) / rng.chisquare(seeds - 1, size=(draws, 1)))
    mean_LM = points_LRM.mean(axis=1)
    away_RN = (points_LRM - mean_LM[:, None]).transpose(1, 0, 2).reshape(seeds, -1)
    mean_SLM = mean_LM + (weight_SR @ away_RN).reshape(draws, levels, objectives)
    hits_SL = [on_front(drawn_LM) for drawn_LM in mean_SLM.round(12)]  # equal levels stay equal
    found: Array = np.mean(hits_SL, axis=0)
    return found


def shrinkage(searched_K: Array, fresh_RK: Array) -> tuple[Estimate, ...]:
    """The search's value minus the fresh seeds', for each task; the interval is the fresh mean's.

    The search's own value is one training and taken as it is.
    """
    return tuple(
        mean_interval(searched - fresh_R)
        for searched, fresh_R in zip(searched_K, fresh_RK.T, strict=True)
    )


def mean_shrinkage(searched_LK: Array, fresh_LRK: Array) -> tuple[Estimate, ...]:
    """The mean over levels of `shrinkage`, for each task; seeds are shared by all levels."""
    return shrinkage(searched_LK.mean(axis=0), fresh_LRK.mean(axis=0))


class Band(NamedTuple):
    """Steps over the first objective: the second one that all seeds reach, at least half, and one.

    A value holds from the first objective's value before up to its own; -inf: not reached.
    """

    first: tuple[float, ...]
    by_all: tuple[float, ...]
    by_half: tuple[float, ...]
    by_one: tuple[float, ...]


def attained(points_LR2: Array) -> Band:
    """What the front of each seed attains of two objectives, over the seeds.

    The least, the median and the greatest attainment surface (Grunert da Fonseca et al. 2001).
    """
    x_C = np.unique(points_LR2[..., 0])
    reached_CLR = points_LR2[None, :, :, 0] >= x_C[:, None, None]
    best_CR = np.where(reached_CLR, points_LR2[None, :, :, 1], -np.inf).max(axis=1)
    rising_RC = np.sort(best_CR.T, axis=0)
    seeds = len(rising_RC)
    surfaces = (rising_RC[0], rising_RC[seeds // 2], rising_RC[-1])
    return Band(tuple(x_C.tolist()), *(tuple(surface_C.tolist()) for surface_C in surfaces))


# Picks


class Rule(NamedTuple):
    """How one point of several is chosen: the largest of `score`, which is N of points N x M."""

    name: str
    why: str
    score: Callable[[Array], Array]


def default_rules(tasks: Sequence[str]) -> tuple[str, ...]:
    """The rules that every report applies."""
    return ("knee", *(f"best:{task}" for task in tasks), "weights:0.5,0.5",
            *(f"floor:{task}" for task in tasks))  # fmt: skip


def rule(name: str, tasks: Sequence[str]) -> Rule:
    """The rule of this name; UserError lists the others."""
    kind, _, argument = name.partition(":")
    if kind == "knee" and not argument:
        return Rule(name, "farthest above the line through the ends of the front", knee_score)
    if kind == "best" and argument in tasks:
        k = tasks.index(argument)
        return Rule(name, f"the highest AUC on {argument}", lambda points_NM: points_NM[:, k])
    if kind == "weights":
        return _weights(name, argument, tasks)
    if kind == "floor" and argument in tasks:
        return _floor(name, tasks.index(argument), tasks)
    known = ("knee", *(f"{kind}:{task}" for kind in ("best", "floor") for task in tasks))
    raise UserError(f"no rule {name!r} to pick by; there are {', '.join(known)}, weights:A,B")


def _weights(name: str, argument: str, tasks: Sequence[str]) -> Rule:
    try:
        weights = [float(text) for text in argument.split(",")]
    except ValueError:
        weights = []
    if len(weights) != len(tasks) or not all(0 <= w < float("inf") for w in weights):
        raise UserError(f"{name!r} needs a weight of at least 0 for each of {', '.join(tasks)}")
    told = " + ".join(f"{w:g} \u00d7 {task}" for w, task in zip(weights, tasks, strict=True))
    return Rule(name, f"the highest {told}",
                lambda points_NM: points_NM[:, : len(tasks)] @ np.array(weights))  # fmt: skip


def _floor(name: str, k: int, tasks: Sequence[str]) -> Rule:
    other = 1 - k

    def score(points_NM: Array) -> Array:
        enough = points_NM[:, k] >= points_NM[:, k].max() - FLOOR
        return np.where(enough, points_NM[:, other], -np.inf)

    why = f"the highest AUC on {tasks[other]} with {tasks[k]} within {FLOOR:g} of its best"
    return Rule(name, why, score)


def knee_score(points_NM: Array) -> Array:
    """The sum of the objectives, each scaled to the front's range; dominated points: -inf.

    With two objectives the ends of the front are (0, 1) and (1, 0), so this is the distance above
    the line through them, but for a constant.
    """
    front_N = on_front(points_NM)
    low_M, high_M = points_NM[front_N].min(axis=0), points_NM[front_N].max(axis=0)
    range_M = np.where(high_M > low_M, high_M - low_M, 1.0)
    return np.where(front_N, ((points_NM - low_M) / range_M).sum(axis=1), -np.inf)


def picked(chosen: Rule, points_NM: Array) -> int:
    """The point that a rule picks; among equals one on the front, of the highest sum."""
    score_N = np.round(chosen.score(points_NM), 12)
    order = np.lexsort((-points_NM.sum(axis=1), ~on_front(points_NM), -score_N))
    return int(order[0])


# What was spent


class Training(NamedTuple):
    """What the accounts need of a training: its epochs, and its point if it ended by itself."""

    epochs: int
    point: Point | None


class Progress(NamedTuple):
    """Hypervolume after each training, in the order of proposal; epochs add up."""

    epochs: tuple[int, ...]
    volumes: tuple[float, ...]
    reference: Point


def progress(trainings: Sequence[Training]) -> Progress:
    """Only what ended counts for the volume, above a tenth below the worst of it, so that the
    ends of the front count too; all count for the epochs.
    """
    ended = [t.point for t in trainings if t.point is not None]
    reference = tuple(below_worst(ended).tolist()) if ended else ()
    volumes, seen = [], list[Point]()
    for training in trainings:
        seen += [] if training.point is None else [training.point]
        volumes.append(hypervolume(np.array(seen), reference) if seen else 0.0)
    epochs = np.cumsum([training.epochs for training in trainings])
    return Progress(tuple(epochs.tolist()), tuple(volumes), reference)


class Spent(NamedTuple):
    """Epochs of the search, and what stopping and early stopping saved of `most` each."""

    ended: int
    stopped: int
    other: int
    saved_at_most: int
    """By stopping, if every stopped training had gone on to the last epoch."""
    saved_fairly: float
    """By stopping, if each had gone on as long as the median of those that ended."""
    saved_by_patience: int
    typical: float
    """The median epochs of those that ended by themselves; NaN if none did."""

    @property
    def total(self) -> int:
        """All epochs of the search."""
        return self.ended + self.stopped + self.other


def spent(ended: Sequence[int], stopped: Sequence[int], other: Sequence[int], most: int) -> Spent:
    """The account, from the epochs of each training and the most that one may have."""
    typical = float(np.median(ended)) if len(ended) else float("nan")
    return Spent(
        sum(ended), sum(stopped), sum(other),
        sum(most - epochs for epochs in stopped),
        sum(max(typical - epochs, 0.0) for epochs in stopped) if len(ended) else float("nan"),
        sum(most - epochs for epochs in ended), typical,
    )  # fmt: skip
