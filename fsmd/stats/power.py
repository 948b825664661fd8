"""What a number of paired seeds can show: the chance that a test will decide, and its reverse.

Suffix: S equally probable values of an estimated standard deviation.
"""

from bisect import bisect_left
from functools import lru_cache, partial
from math import inf
from typing import Literal, NamedTuple

import numpy as np
from scipy import optimize, special

from fsmd.stats.estimates import ALPHA, Array, Estimate, half_width

POWER = 0.8
"""The customary chance to find what is there."""
MOST_REPLICATES = 1000
"""Nobody trains more than this."""

Obstacle = Literal["too few replicates", "too many replicates", "test set", "last look"]
"""Why no number can be named: the scatter is unknown; more than `MOST_REPLICATES` would be needed;
the test set is too small, however many seeds there are; or none of a study's looks would do."""


class Needed(NamedTuple):
    """Paired seeds in all that would probably decide a comparison, or what is in the way."""

    seeds: int | None
    obstacle: Obstacle | None = None
    at_least: bool = False
    """Whether the test set's part is unknown, and more may be needed."""


def replicates_needed(
    estimate: Estimate, margin: float, sizes: tuple[int, int] = (1, 1), alpha: float = ALPHA
) -> Needed:
    """The smallest number of paired seeds that would decide, either way, with 80 % chance.

    A rough guess: as if the estimates were true. Asks for p below alpha over the family's size,
    where the family's own adjustment may ask for less. A test set's part that was estimated as
    zero is too small to be measured, not zero: the answer is then the least number.

    sizes: the number of tests of a difference, and of equivalence.
    """
    if estimate.se_seeds is None:
        return Needed(None, "too few replicates")
    seeds, rows = estimate.se_seeds * estimate.n**0.5, estimate.se_test or 0.0
    alphas = alpha / sizes[0], alpha / sizes[1]
    chance = partial(chance_to_decide, estimate.mean, seeds, rows, margin=margin, alphas=alphas)
    per_seed = df_per_seed(estimate, min(alphas))

    def decided(n: float) -> bool:
        return chance(n=n, per_seed=per_seed) >= POWER

    if decided(MOST_REPLICATES):  # once decided, more seeds leave it so
        enough = bisect_left(range(MOST_REPLICATES), True, lo=2, key=decided)
        return Needed(enough, at_least=estimate.se_test == 0)
    return Needed(None, "too many replicates" if decided(inf) else "test set")


def rows_needed(estimate: Estimate, margin: float) -> float:
    """How many times as many test rows would decide with any number of seeds; may be infinite.

    As if the estimate were true; at most 1 where the rows there are would do.
    """
    rows, size = estimate.se_test or 0.0, abs(estimate.mean)
    distances = (size, ALPHA / 2), (margin - size, ALPHA)  # of a difference, of equivalence
    times = [(-special.ndtri(a) * rows / d) ** 2 for d, a in distances if d > 0]
    return float(min(times, default=inf))


def chance_to_decide(
    mean: float,
    seeds: float,
    rows: float,
    *,
    n: float,
    margin: float,
    alphas: tuple[float, float],
    per_seed: float = 1.0,
) -> float:
    """That n new paired seeds (may be infinite), on the same rows, show difference or equivalence.

    Over the chance of the seeds' own estimated deviation, too.

    mean: the true difference.
    seeds: the standard deviation over seeds.
    rows: the standard error due to the test set, which no seed changes.
    margin: the smallest difference that matters.
    alphas: of the two-sided test and of each of the two one-sided ones.
    per_seed: degrees of freedom that each seed after the first gives.
    """
    if np.isinf(n) or seeds == 0:  # seeds that all agree say what infinitely many would
        differs, inside = (-special.ndtri(a) * rows for a in (alphas[0] / 2, alphas[1]))
        return float(abs(mean) > differs or abs(mean) < margin - inside)
    error = seeds / n**0.5
    differs_S, inside_S = (
        margins_of_error(a, error, rows, int(per_seed * (n - 1)))
        for a in (alphas[0] / 2, alphas[1])
    )
    shown_S = special.ndtr((mean - differs_S) / error) + special.ndtr((-mean - differs_S) / error)
    room_S = np.maximum(margin - inside_S, 0.0)
    shown_S += special.ndtr((room_S - mean) / error) - special.ndtr((-room_S - mean) / error)
    return float(np.minimum(shown_S, 1.0).mean())  # above 1 where every outcome shows one or both


def df_per_seed(estimate: Estimate, alpha: float) -> float:
    """Degrees of freedom of a test at this level for each seed after the first: more than one
    where other arms tell of the scatter."""
    return estimate.freedom_at(alpha) / (estimate.n - 1)


def detectable(seeds: float, rows: float, n: int, alpha: float, per_seed: float = 1.0) -> float:
    """The smallest true difference that a two-sided test at alpha finds with 80 % chance.

    Over n new seeds and another test set of the same size (see `chance_to_decide`). Over seeds
    alone it is that of the noncentral t distribution.
    """
    error = seeds / n**0.5
    spread = float(np.hypot(error, rows))
    return spread * _detectable(error / spread, alpha, int(per_seed * (n - 1)))


@lru_cache(maxsize=1024)
def _detectable(share: float, alpha: float, df: int) -> float:
    """`detectable` in standard errors, of which the seeds' is a share: the same for many arms."""
    needed_S = margins_of_error(alpha / 2, share, (1 - share**2) ** 0.5, df)

    def missing(true: float) -> float:
        shown_S = special.ndtr(true - needed_S) + special.ndtr(-true - needed_S)
        return float(shown_S.mean()) - POWER

    most = float(needed_S.max()) + 10
    return float(optimize.brentq(missing, 0.0, most, xtol=1e-6 * most))


def margins_of_error(alpha: float, se_seeds: float, se_test: float, df: float) -> Array:
    """S: distances that a one-sided test asks for as a deviation of `df` degrees varies."""
    error_S = se_seeds * _deviations(df)
    total_S = np.hypot(error_S, se_test)
    shares, distances = _distances(alpha, df)
    asked_S: Array = total_S * np.interp(error_S / total_S, shares, distances)
    return asked_S


@lru_cache(maxsize=1024)
def _distances(alpha: float, df: float, points: int = 33) -> tuple[Array, Array]:
    """Distance in standard errors by the seeds' share of them, for interpolation."""
    shares = np.linspace(0.0, 1.0, points)
    widths = [half_width(alpha, share, (1 - share**2) ** 0.5, df) for share in shares]
    return shares, np.array(widths)


@lru_cache(maxsize=1024)
def _deviations(df: float, values: int = 64) -> Array:
    """Estimated over true standard deviation: the middles of equally probable parts."""
    chance_S = (np.arange(values) + 0.5) / values
    deviation_S: Array = np.sqrt(special.chdtri(df, 1 - chance_S) / df)
    return deviation_S
