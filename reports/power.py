"""What a number of paired seeds can show: the chance that a test will decide, and its reverse."""

from functools import lru_cache

import numpy as np
from scipy import optimize, special

from reports.estimates import Array, half_width

POWER = 0.8
"""The customary chance to find what is there."""


def chance_to_decide(
    mean: float, seeds: float, rows: float, n: float, margin: float, alphas: tuple[float, float]
) -> float:
    """That n new seeds, tested on the same rows, show a difference or equivalence.

    `seeds` is the standard deviation over seeds, `rows` the standard error due to the test set,
    which no seed changes; `alphas` are the levels of the two-sided test and of each of the two
    one-sided ones. Over the chance of the seeds' own estimated deviation, too.
    """
    if np.isinf(n):
        differs, inside = (-special.ndtri(a) * rows for a in (alphas[0] / 2, alphas[1]))
        return float(abs(mean) > differs or abs(mean) < margin - inside)
    error = seeds / n**0.5
    differs_S, inside_S = (
        margins_of_error(a, error, rows, n - 1) for a in (alphas[0] / 2, alphas[1])
    )
    shown_S = special.ndtr((mean - differs_S) / error) + special.ndtr((-mean - differs_S) / error)
    room_S = np.maximum(margin - inside_S, 0.0)
    shown_S += special.ndtr((room_S - mean) / error) - special.ndtr((-room_S - mean) / error)
    return float(np.minimum(shown_S, 1.0).mean())  # above 1 where every outcome shows one or both


def detectable(seeds: float, rows: float, n: int, alpha: float) -> float:
    """The smallest true difference that a two-sided test at alpha finds with 80 % chance.

    Over new seeds and another test set of the same size. Over seeds alone it is that of the
    noncentral t distribution.
    """
    error = seeds / n**0.5
    needed_S = margins_of_error(alpha / 2, error, rows, n - 1)
    spread = float(np.hypot(error, rows))

    def missing(true: float) -> float:
        found_S = special.ndtr((true - needed_S) / spread)
        found_S += special.ndtr((-true - needed_S) / spread)
        return float(found_S.mean()) - POWER

    most = float(needed_S.max()) + 10 * spread
    return float(optimize.brentq(missing, 0.0, most, xtol=1e-6 * most))


def margins_of_error(alpha: float, se_seeds: float, se_test: float, df: float) -> Array:
    """Distances that a one-sided test at alpha asks for, as the estimated deviation varies.

    At equally probable values of a deviation estimated with `df` degrees of freedom.
    """
    error_S = se_seeds * _deviations(df)
    total_S = np.hypot(error_S, se_test)
    shares, distances = _distances(alpha, df)
    found_S: Array = total_S * np.interp(error_S / total_S, shares, distances)
    return found_S


@lru_cache(maxsize=1024)
def _distances(alpha: float, df: float, points: int = 33) -> tuple[Array, Array]:
    """Distance in standard errors by the seeds' share of them, for interpolation."""
    shares = np.linspace(0.0, 1.0, points)
    found = [half_width(alpha, share, (1 - share**2) ** 0.5, df) for share in shares]
    return shares, np.array(found)


@lru_cache(maxsize=1024)
def _deviations(df: float, values: int = 64) -> Array:
    """Estimated over true standard deviation: the middles of equally probable parts."""
    chance_S = (np.arange(values) + 0.5) / values
    found: Array = np.sqrt(special.chdtri(df, 1 - chance_S) / df)
    return found
