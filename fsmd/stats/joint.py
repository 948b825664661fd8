"""All tasks at once: what one arm does to another, and a region of two differences to draw.

A margin d cuts the space of the differences on K tasks into four regions: "equivalent" (all
inside the margins), "dominates" (a gain of more than d on a task, a loss of more than d on none),
"dominated" (the reverse) and "seesaw" (a gain of more than d on a task, a loss on another). A
gain is a difference above zero: of a figure of which less is better, the caller turns the sign.

Suffixes: K tasks, P pairs, D draws; 2 is the two targets of a plane.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np

from fsmd.stats.estimates import ALPHA, LEVEL, Array, Estimate, Kind, p_of_each

Region = Literal["dominates", "dominated", "seesaw", "equivalent"]
REGIONS: tuple[Region, ...] = ("dominates", "dominated", "seesaw", "equivalent")
DRAWS = 100_000


class PairVerdict(NamedTuple):
    """What one arm does to another on all tasks: the region that is shown, if one is."""

    p: Mapping[Region, float]
    """Of each region; 1 where the scatter of what it needs is unknown."""
    verdict: Region | Literal["undecided"]
    alpha: float
    """What the region's p must be below."""


def pair_verdict(
    estimates_K: Sequence[Estimate],
    margin_K: Sequence[float],
    pairs: int = 1,
    level: float = ALPHA,
) -> PairVerdict:
    """The verdict on all tasks, one of `pairs` verdicts of a study.

    Each may be wrong with `level` over their number (Bonferroni), together with `level` at most.
    A gain on any task may show that one arm dominates, so each of K tasks has a Kth of that.
    """
    return pair_verdicts([estimates_K], margin_K, pairs, level)[0]


def pair_verdicts(
    estimates_PK: Sequence[Sequence[Estimate]],
    margin_K: Sequence[float],
    pairs: int = 1,
    level: float = ALPHA,
) -> list[PairVerdict]:
    """`pair_verdict` of each pair, all at once.

    For one task at least the smallest p counts, times their number (Bonferroni); for every task
    the largest.
    """
    if not margin_K:
        raise ValueError("a joint verdict needs at least one task; got none")
    estimates_KP = list(zip(*estimates_PK, strict=True))

    def p_KP(kind: Kind, sign: int) -> Array:
        of_tasks = zip(estimates_KP, margin_K, strict=True)
        found = [p_of_each(of_task, kind, sign * margin) for of_task, margin in of_tasks]
        return np.array([[1.0 if p is None else p for p in of_task] for of_task in found])

    def any_P(p_KP: Array) -> Array:
        any_P: Array = np.minimum(1.0, len(p_KP) * p_KP.min(axis=0))
        return any_P

    gain_P, no_gain_P = any_P(p_KP("above", 1)), p_KP("below", 1).max(axis=0)
    loss_P, no_loss_P = any_P(p_KP("below", -1)), p_KP("above", -1).max(axis=0)
    both_P = np.maximum(gain_P, loss_P)
    regions = (
        np.maximum(gain_P, no_loss_P),
        np.maximum(loss_P, no_gain_P),
        both_P if len(margin_K) > 1 else np.ones_like(both_P),
        p_KP("within", 1).max(axis=0),
    )
    alpha, verdicts = level / pairs, []
    for each in zip(*(region_P.tolist() for region_P in regions), strict=True):
        p = dict(zip(REGIONS, each, strict=True))
        likeliest = min(REGIONS, key=p.__getitem__)
        shown = likeliest if p[likeliest] < alpha else "undecided"
        verdicts.append(PairVerdict(p, shown, alpha))
    return verdicts


class Ellipse(NamedTuple):
    """A region of the plane; `angle` is that of the longer semi-axis, the first, in degrees."""

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float


def joint_ellipse(mean_2: Array, seeds_22: Array, rows_22: Array, *, n: int) -> Ellipse:
    """The ellipse, of the covariance's form, that holds 95 % of where both differences lie.

    They lie at their mean, plus a t vector as in Hotelling's T squared (n - 2 degrees of freedom,
    the covariance times (n - 1) / (n - 2); Box and Tiao 1973, chapter 8) for the seeds, plus a
    normal vector for the test set. For seeds alone it is Hotelling's region.

    mean_2: the mean difference on each of two targets.
    seeds_22: the covariance of these means over n paired seeds; ValueError below 3.
    rows_22: the test set's part in it; zeros where it is unknown.
    """
    values, vectors = np.linalg.eigh(seeds_22 + symmetric_root(rows_22) @ symmetric_root(rows_22))
    lengths = np.sqrt(np.maximum(values, 0.0))
    along_D2 = deviations(seeds_22, rows_22, n=n) @ vectors
    away_D2 = along_D2 / np.where(lengths > 0, lengths, 1.0)
    radius = float(np.quantile(np.hypot(away_D2[:, 0], away_D2[:, 1]), LEVEL))
    x, y = vectors[:, 1]
    angle = float(np.degrees(np.arctan2(y, x))) % 180.0
    centre = float(mean_2[0]), float(mean_2[1])
    return Ellipse(centre, (radius * float(lengths[1]), radius * float(lengths[0])), angle)


def deviations(seeds_22: Array, rows_22: Array, *, n: int, seed: int = 0) -> Array:
    """100,000 points of the distribution about its mean, D x 2; see `joint_ellipse`."""
    if n < 3:
        raise ValueError(f"a joint region of two means needs at least 3 replicates; got {n}")
    t_D2, z_D2 = _standard(n, seed, DRAWS)
    drawn_D2: Array = t_D2 @ symmetric_root(seeds_22) + z_D2 @ symmetric_root(rows_22)
    return drawn_D2


@lru_cache(maxsize=4)
def _standard(n: int, seed: int, draws: int) -> tuple[Array, Array]:
    """t and normal vectors, D x 2, that all pairs of a study share."""
    rng = np.random.default_rng(seed)
    normal, again = rng.standard_normal((2, draws, 2))
    mixed = np.sqrt((n - 1) / rng.chisquare(n - 2, (draws, 1)))
    return normal * mixed, again


def symmetric_root(covariance: Array) -> Array:
    """R with R R = the covariance; an estimate may have an eigenvalue below 0, taken for 0."""
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root
