"""Both tasks at once: the joint distribution of two mean differences, and what it says.

The plane of (difference on the first task, on the second) is cut by a margin d into four regions:
"equivalent" (both inside the margins), "dominates" (a gain of d or more, no loss of d or more),
"dominated" (the reverse) and "seesaw" (a gain of d or more on one task, a loss on the other).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.estimates import ALPHA, LEVEL, Array, mean_interval
from reports.results import Scores

Region = Literal["dominates", "dominated", "seesaw", "equivalent"]
REGIONS: tuple[Region, ...] = ("dominates", "dominated", "seesaw", "equivalent")
Flags = NDArray[np.bool_]
DRAWS = 100_000


def by_a_task(threshold: float) -> float:
    """Half the room for error, since either of two tasks may bring it."""
    return (1 + threshold) / 2


class Joint(NamedTuple):
    """Where both differences lie: their mean, plus a t and a normal vector.

    `seeds` is the 2 x 2 covariance of the mean over n seeds, `rows` the test set's part.
    """

    mean: Array
    seeds: Array
    rows: Array
    n: int


class Ellipse(NamedTuple):
    """A region of the plane: `semi_axes` from its centre, the longer first.

    `angle` is the longer one's, in degrees from the first task's axis.
    """

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float


class PairVerdict(NamedTuple):
    """What `level` does to `other` on both tasks: the region with enough of the probability.

    It is the posterior probability from a prior without information, so that of a half plane is
    a one-sided p-value. No probabilities, and undecided, where there are too few replicates.
    """

    level: str
    other: str
    probabilities: Mapping[Region, float]
    verdict: Region | Literal["undecided"]
    threshold: float
    """The probability that seesaw and equivalent need."""

    @property
    def by_a_task(self) -> float:
        """What dominates and dominated need, for a gain or a loss on a task that can be named."""
        return by_a_task(self.threshold)


def joint_difference(scores: Scores, level: str, other: str) -> Joint | None:
    """Of `level` minus `other`, first task then second; None below three paired replicates, or
    where a task's scatter over them is unknown.

    The seeds' part is a t vector as in Hotelling's T squared: n - 2 degrees of freedom, the
    covariance times (n - 1) / (n - 2) (Box and Tiao 1973, chapter 8). The test set's is normal.
    """
    values_KR = np.array([scores.differences(level, other, t) for t in scores.targets[:2]])
    n = values_KR.shape[1]
    if n < 3 or any(mean_interval(values_R).se_seeds is None for values_R in values_KR):
        return None
    found = scores.sampling(level, other)
    rows = found.of(level, other) if found else np.zeros((2, 2))
    return Joint(values_KR.mean(axis=1), np.cov(values_KR) / n, rows, n)


def draws(joint: Joint, seed: int = 0) -> Array:
    """100,000 points of the distribution, draws x tasks; the same seed, the same points."""
    t_DK, z_DK = _standard(joint.n, seed)
    found: Array = joint.mean + t_DK @ _root(joint.seeds) + z_DK @ _root(joint.rows)
    return found


def probabilities(joint: Joint, margin: float, seed: int = 0) -> dict[Region, float]:
    """Of each region, by draws: within 0.0015 where it matters, at 0.95."""
    return _of_regions(*_moved(joint, margin, seed))


def _of_regions(gain_DK: Flags, loss_DK: Flags) -> dict[Region, float]:
    gain, loss = gain_DK.any(axis=1), loss_DK.any(axis=1)
    shares = (gain & ~loss, loss & ~gain, gain & loss, ~gain & ~loss)
    return {region: float(share.mean()) for region, share in zip(REGIONS, shares, strict=True)}


def _by_a_task(gain_DK: Flags, loss_DK: Flags) -> dict[Region, float]:
    """Of dominating by a gain on the likelier task, and of being dominated by a loss on it."""
    sides: dict[Region, Flags] = {
        "dominates": gain_DK & ~loss_DK.any(axis=1, keepdims=True),
        "dominated": loss_DK & ~gain_DK.any(axis=1, keepdims=True),
    }
    return {region: float(part_DK.mean(axis=0).max()) for region, part_DK in sides.items()}


def _moved(joint: Joint, margin: float, seed: int) -> tuple[Flags, Flags]:
    """Which draws gain the margin or more on a task, and which lose it."""
    points_DK = draws(joint, seed)
    return points_DK >= margin, points_DK <= -margin


def pair_verdict(
    scores: Scores, level: str, other: str, margin: float, pairs: int = 1, seed: int = 0
) -> PairVerdict:
    """The two-task verdict on `level` against `other`, one of `pairs` verdicts of a study.

    Each may be wrong with 0.05 over their number (Bonferroni), together with 0.05 at most. A gain
    on either task may show that one dominates, so each of the two tasks has half of that: where
    both lie just below the margin, that one of them is above it is soon probable and false.
    """
    joint, threshold = joint_difference(scores, level, other), 1 - ALPHA / pairs
    if joint is None:
        return PairVerdict(level, other, {}, "undecided", threshold)
    moved = _moved(joint, margin, seed)
    found, named = _of_regions(*moved), _by_a_task(*moved)
    sure = [
        region
        for region in REGIONS
        if found[region] >= threshold and named.get(region, 1.0) >= by_a_task(threshold)
    ]
    return PairVerdict(level, other, found, sure[0] if sure else "undecided", threshold)


def joint_ellipse(joint: Joint, level: float = LEVEL, seed: int = 0) -> Ellipse:
    """The ellipse of the covariance's form that holds `level` of the draws.

    For seeds alone it is Hotelling's region.
    """
    values, vectors = np.linalg.eigh(joint.seeds + _root(joint.rows) @ _root(joint.rows))
    lengths = np.sqrt(np.maximum(values, 0.0))
    along = (draws(joint, seed) - joint.mean) @ vectors
    away = along / np.where(lengths > 0, lengths, 1.0)
    radius = float(np.quantile(np.hypot(away[:, 0], away[:, 1]), level))
    x, y = vectors[:, 1]
    angle = float(np.degrees(np.arctan2(y, x))) % 180.0
    centre = float(joint.mean[0]), float(joint.mean[1])
    return Ellipse(centre, (radius * float(lengths[1]), radius * float(lengths[0])), angle)


@lru_cache(maxsize=4)
def _standard(n: int, seed: int) -> tuple[Array, Array]:
    """t and normal vectors, draws x tasks, that all pairs of a study share."""
    rng = np.random.default_rng(seed)
    normal, again = rng.standard_normal((2, DRAWS, 2))
    mixed = np.sqrt((n - 1) / rng.chisquare(n - 2, (DRAWS, 1)))
    return normal * mixed, again


def _root(covariance: Array) -> Array:
    """Symmetric root; an estimate without bias may have an eigenvalue below 0, taken for 0."""
    values, vectors = np.linalg.eigh(covariance)
    root: Array = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return root
