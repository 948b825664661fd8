"""Both tasks at once: the joint distribution of two mean differences, and what it says.

The plane of (difference on the first task, on the second) is cut by a margin d into four regions:
"equivalent" (both inside the margins), "dominates" (a gain of d or more, no loss of d or more),
"dominated" (the reverse) and "seesaw" (a gain of d or more on one task, a loss on the other).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import numpy as np
from scipy import stats

from reports.estimates import LEVEL, Array, RowPart, mean_interval
from reports.results import Scores

Region = Literal["dominates", "dominated", "seesaw", "equivalent"]
REGIONS: tuple[Region, ...] = ("dominates", "dominated", "seesaw", "equivalent")
DRAWS = 100_000


class Joint(NamedTuple):
    """Where both differences lie: a bivariate t distribution.

    `shape` is 2 x 2; with `df` degrees of freedom the covariance is shape * df / (df - 2).
    """

    mean: Array
    shape: Array
    df: float


class Ellipse(NamedTuple):
    """A region of the plane: `semi_axes` from its centre, the longer first.

    `angle` is the longer one's, in degrees from the first task's axis.
    """

    centre: tuple[float, float]
    semi_axes: tuple[float, float]
    angle: float


class PairVerdict(NamedTuple):
    """What `level` does to `other` on both tasks: the region with 95 % of the probability.

    No probabilities, and undecided, where there are too few replicates for a joint distribution.
    """

    level: str
    other: str
    probabilities: Mapping[Region, float]
    verdict: Region | Literal["undecided"]


def joint_difference(scores: Scores, level: str, other: str) -> Joint | None:
    """Of `level` minus `other`, first task then second; None below three paired replicates.

    The mean vector's covariance is the seeds' over n plus the test set's. With f degrees of
    freedom (the tasks' smaller ones, by Welch and Satterthwaite) its distribution is the t that
    belongs to Hotelling's T squared: f - 1 degrees of freedom, the covariance times f / (f - 1)
    (Box and Tiao 1973, chapter 8).
    """
    tasks = scores.targets[:2]
    values_KR = np.array([scores.differences(level, other, task) for task in tasks])
    n = values_KR.shape[1]
    if n < 3:
        return None
    found = scores.sampling(level, other)
    by_rows = _not_negative(found.of(level, other)) if found else np.zeros((2, 2))
    rows = found.rows if found else 2
    parts = [RowPart(float(by_rows[k, k]), rows) for k in range(2)]
    f = min(mean_interval(v, part).df or 0.0 for v, part in zip(values_KR, parts, strict=True))
    covariance = np.cov(values_KR) / n + by_rows
    return Joint(values_KR.mean(axis=1), covariance * f / (f - 1), f - 1)


def probabilities(joint: Joint, margin: float, seed: int = 0) -> dict[Region, float]:
    """Of each region, from 100,000 draws: within 0.0015 where it matters, at 0.95."""
    draws = stats.multivariate_t.rvs(
        joint.mean, joint.shape, joint.df, DRAWS, random_state=np.random.default_rng(seed)
    )
    low, high = draws.min(axis=1), draws.max(axis=1)
    gain, loss = high >= margin, low <= -margin
    shares = (gain & ~loss, loss & ~gain, gain & loss, ~gain & ~loss)
    return {region: float(share.mean()) for region, share in zip(REGIONS, shares, strict=True)}


def pair_verdict(
    scores: Scores, level: str, other: str, margin: float, seed: int = 0
) -> PairVerdict:
    """The two-task verdict on `level` against `other`."""
    joint = joint_difference(scores, level, other)
    if joint is None:
        return PairVerdict(level, other, {}, "undecided")
    found = probabilities(joint, margin, seed)
    sure = [region for region in REGIONS if found[region] >= LEVEL]
    return PairVerdict(level, other, found, sure[0] if sure else "undecided")


def joint_ellipse(joint: Joint, level: float = LEVEL) -> Ellipse:
    """The ellipse that holds `level` of the distribution; Hotelling's region for seeds alone."""
    values, vectors = np.linalg.eigh(joint.shape)
    radius = np.sqrt(2 * stats.f.ppf(level, 2, joint.df) * np.maximum(values[::-1], 0.0))
    x, y = vectors[:, 1]
    angle = float(np.degrees(np.arctan2(y, x))) % 180.0
    centre = float(joint.mean[0]), float(joint.mean[1])
    return Ellipse(centre, (float(radius[0]), float(radius[1])), angle)


def _not_negative(covariance: Array) -> Array:
    """The nearest covariance matrix: an estimate without bias may have an eigenvalue below 0."""
    values, vectors = np.linalg.eigh(covariance)
    near: Array = (vectors * np.maximum(values, 0.0)) @ vectors.T
    return near
