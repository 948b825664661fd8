"""Estimates and tests of means and mean differences, over two sources of chance.

Seeds: replicates differ in them, and more of them make this part smaller. The test set: all are
measured on the same rows, so this part stays (`fsmd.stats.sampling` estimates it).
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

Array = NDArray[np.float64]
Kind = Literal["differs", "above", "below", "within", "beyond"]
"""What a test would show of a difference: that it differs from the bound, lies above it, below it,
inside of it on both sides of zero, or outside of it on either."""

LEVEL = 0.95
"""Of all intervals and regions."""
ALPHA = 0.05
"""The chance of any false statement in a family of tests."""
FEWER = 0.3
"""By how much a smaller part of estimated degrees of freedom counts in a test at a level ten times
as small, all of them at 0.05: half at 0.001. A variance that is put together from parts, some of
which may not belong to it, makes heavier tails than a t has, the heavier the further out. With it
families keep every level from 0.05 to 0.006 in simulation (`tests/bench_statistics.py`)."""
SAME_BY_CHANCE = 2
"""On so many seeds the difference of two models may be the same by chance."""
TOO_FEW = "not enough replicates to decide"

_EQUAL = 1e-12
"""Figures closer than this are equal; what is left of their difference is rounding."""


class Scatter(NamedTuple):
    """How much one paired difference scatters over seeds, where more than its own seeds tell it.

    `fsmd.stats.scatter` learns it from all arms.
    """

    variance: float
    df: float
    """How many degrees of freedom the variance has."""
    shared: float = 0.0
    """The correlation of two differences with the same reference."""
    together: float = 0.0
    """The part of the chance of this very estimate that is one and the same in all of them."""


class Estimate(NamedTuple):
    """A mean over `n` replicates with its 95 % interval, and standard errors by their source.

    There is no interval below two replicates. Nor is there where all values are equal and not
    zero, unless more than two are, and the test rows' part is known: no seed changes these models
    then, and the rows alone judge. `se_test` is None where no predictions were kept.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    se_seeds: float | None = None
    se_test: float | None = None
    df: float | None = None
    """Degrees of freedom of `se_seeds`; None: one less than replicates."""
    shared: float = 0.0
    together: float = 0.0
    """Both as `Scatter` has them."""

    @property
    def freedom(self) -> float:
        """Degrees of freedom of the interval."""
        return self.n - 1 if self.df is None else self.df

    def freedom_at(self, p: float) -> float:
        """Degrees of freedom of a test at this level: fewer than the interval's, see `counted`.

        One where there are no two seeds: nothing is tested then, but it counts in its family.
        """
        return float(counted(self.freedom, max(self.n - 1, 1), p))

    @property
    def se(self) -> float | None:
        """Standard error due to both."""
        return None if self.se_seeds is None else float(np.hypot(self.se_seeds, self.se_test or 0))


UNKNOWN = Estimate(float("nan"), None, None, 0)
"""Of no replicate."""


def mean_interval(
    values: Any,
    by_test: float | None = None,
    within: tuple[float, float] = (-inf, inf),
    scatter: Scatter | None = None,
) -> Estimate:
    """Mean and interval, over the seeds (t) or over both sources (see `tail`).

    values: one figure a replicate; NaNs are left out.
    by_test: the test set's part in the variance of the mean.
    within: the range of the figure; the interval is cut off at its ends, the tests are not.
    scatter: of one value over seeds, where more than these values tell it.

    >>> mean_interval([0.01, 0.03], within=(0.0, 1.0)).low
    0.0
    """
    finite = np.asarray(values, float).ravel()
    finite = finite[np.isfinite(finite)]
    n = len(finite)
    if n == 0:
        return UNKNOWN
    mean = float(finite.mean())
    equal = float(np.ptp(finite)) < _EQUAL
    known_rows = n > SAME_BY_CHANCE and by_test  # of models that no seed changes
    if n == 1 or (equal and abs(mean) >= _EQUAL and not known_rows):
        return Estimate(mean, None, None, n)
    known = scatter is not None and not equal
    variance = scatter.variance if scatter and known else float(finite.var(ddof=1))
    by_seeds = 0.0 if equal else (variance / n) ** 0.5
    by_rows = None if by_test is None else by_test**0.5
    learnt = scatter[1:] if scatter and known else ()
    found = Estimate(mean, None, None, n, by_seeds, by_rows, *learnt)
    half = half_width((1 - LEVEL) / 2, by_seeds, by_rows or 0.0, found.freedom)
    return found._replace(low=max(mean - half, within[0]), high=min(mean + half, within[1]))


def over_samples(estimate: Estimate, within: tuple[float, float] = (-inf, inf)) -> Estimate:
    """The estimate with an interval for other training samples; replicates are halves of one.

    Halves of one sample scatter about what all its rows give (`fsmd.half`), and more halves tell
    that better; but another sample moves all its halves together, by as much as one half scatters.
    How much of a scatter is by halves and how much by seeds is not known, so all of it counts:
    the interval is too wide where seeds are most of it, and no number of replicates makes it
    narrower than one replicate's scatter (the same as for cross-validation: Nadeau and Bengio
    2003, Machine Learning 52).

    within: as in `mean_interval`.
    """
    if estimate.se_seeds is None:
        return estimate
    se = estimate.se_seeds * (1 + estimate.n) ** 0.5
    half = half_width((1 - LEVEL) / 2, se, estimate.se_test or 0.0, estimate.freedom)
    low, high = max(estimate.mean - half, within[0]), min(estimate.mean + half, within[1])
    return estimate._replace(low=low, high=high, se_seeds=se)


def mean_intervals(
    values_AR: Array,
    within: tuple[float, float] = (-inf, inf),
    scatters: Sequence[Scatter | None] | None = None,
) -> list[Estimate]:
    """`mean_interval` of each row over the seeds alone: the same numbers, all at once.

    scatters: of each row; None where its own values tell it.
    """
    known = scatters or [None] * len(values_AR)
    if not np.isfinite(values_AR).all() or values_AR.shape[1] < 2:
        rows = zip(values_AR, known, strict=True)
        return [mean_interval(row_R, within=within, scatter=scatter) for row_R, scatter in rows]
    values_AR, n = np.ascontiguousarray(values_AR), values_AR.shape[1]
    mean_A, variance_A = values_AR.mean(axis=1), values_AR.var(axis=1, ddof=1)
    equal_A = np.ptp(values_AR, axis=1) < _EQUAL
    own = zip(variance_A.tolist(), known, strict=True)
    variance_A = np.array([scatter.variance if scatter else variance for variance, scatter in own])
    df_A = np.where(equal_A, n - 1.0, [scatter.df if scatter else n - 1.0 for scatter in known])
    # As of one: powers of a whole array may be rounded in another way.
    by_seeds_A = np.where(equal_A, 0.0, [part**0.5 for part in (variance_A / n).tolist()])
    half_A = -special.stdtrit(df_A, (1 - LEVEL) / 2) * by_seeds_A
    ends_2A = np.maximum(mean_A - half_A, within[0]), np.minimum(mean_A + half_A, within[1])
    found = [
        Estimate(mean, low, high, n, by_seeds)
        for mean, low, high, by_seeds in zip(
            *(column.tolist() for column in (mean_A, *ends_2A, by_seeds_A)), strict=True
        )
    ]
    for i, equal in enumerate(equal_A.tolist()):
        if equal and abs(found[i].mean) >= _EQUAL:
            found[i] = Estimate(found[i].mean, None, None, n)
        elif not equal and (scatter := known[i]):
            found[i] = Estimate(*found[i][:5], None, *scatter[1:])
    return found


def p_value(estimate: Estimate, kind: Kind = "differs", bound: float = 0.0) -> float | None:
    """The test that would show `kind` of a mean; None where its scatter is unknown."""
    if estimate.se_seeds is None:
        return None
    errors, own = (estimate.se_seeds, estimate.se_test or 0.0), max(estimate.n - 1, 1)

    def with_df(df: Array) -> Array:
        p: Array = p_values(kind, estimate.mean, *errors, df=float(df), bound=bound)
        return p

    return float(at_its_level(with_df, np.float64(max(estimate.freedom, own)), own))


def p_of_each(
    estimates: Sequence[Estimate], kind: Kind = "differs", bounds: Sequence[float] | float = 0.0
) -> list[float | None]:
    """`p_value` of each: the same numbers, of those over the seeds alone all at once."""
    bound_E = np.broadcast_to(np.asarray(bounds, float), len(estimates))
    at_once = [i for i, e in enumerate(estimates) if e.se_seeds and not e.se_test]
    told = [
        (e.mean, e.se_seeds, e.freedom, max(e.n - 1, 1))
        for e in map(estimates.__getitem__, at_once)
    ]
    mean_E, se_E, df_E, own_E = np.array(told, float).reshape(-1, 4).T.copy()
    known_E = bound_E[at_once]

    def with_df(df_E: Array) -> Array:
        p: Array = p_values(kind, mean_E, se_E, 0.0, df=df_E, bound=known_E)
        return p

    found = dict(
        zip(at_once, at_its_level(with_df, np.maximum(df_E, own_E), own_E).tolist(), strict=True)
    )
    return [
        found[i] if i in found else p_value(e, kind, float(bound))
        for i, (e, bound) in enumerate(zip(estimates, bound_E, strict=True))
    ]


def counted(df: Any, own: Any, p: Any) -> Any:
    """Degrees of freedom that a test at level p counts, of which its own seeds give `own`.

    Those are sure; of the others see `FEWER`, in steps of a fiftieth: less is safer.
    """
    part = 1 + FEWER * np.log10(np.minimum(np.maximum(p, 1e-9) / ALPHA, 1.0))
    return np.maximum(np.floor(50 * part) / 50 * df, own)


def at_its_level(with_df: Callable[[Any], Any], df: Any, own: Any) -> Any:
    """The smallest level at which a test shows what it tests: p, by what is counted at p.

    So the more is asked for, the less is counted, and a larger difference never has a larger p.

    with_df: degrees of freedom -> p, the larger the fewer there are.
    """
    if np.array_equal(df, own):
        return with_df(df)
    low = all_of_them = with_df(df)
    high = with_df(np.minimum(df, own))
    is_settled = (low == high) | (low >= ALPHA)
    if np.all(is_settled):
        return low
    for _ in range(10):
        middle = np.sqrt(low * high)
        is_above = with_df(counted(df, own, middle)) > middle
        low, high = np.where(is_above, middle, low), np.where(is_above, high, middle)
    return np.where(is_settled, all_of_them, high)


def p_values(kind: Kind, mean: Any, se_seeds: Any, se_test: float, *, df: Any, bound: Any) -> Any:
    """p of each mean with these standard errors, the seeds' with `df` degrees of freedom; each may
    have its own where there is no part of the test set.

    "within" is the larger of the two one-sided tests (Schuirmann 1987); "beyond" adds both tails
    outside the bounds, for a true difference that lies on one of them.
    """
    size, errors = np.abs(mean), (se_seeds, se_test, df)
    if kind == "differs":
        return np.minimum(2 * tail(np.abs(mean - bound), *errors), 1.0)
    if kind == "above":
        return tail(mean - bound, *errors)
    if kind == "below":
        return tail(bound - mean, *errors)
    if kind == "within":
        return tail(bound - size, *errors)
    return np.minimum(tail(size - bound, *errors) + tail(size + bound, *errors), 1.0)


def tail(distance: Any, se_seeds: Any, se_test: float, df: Any) -> Any:
    """Chance that se_seeds * T + se_test * Z exceeds each distance; T is t, Z is normal.

    The distribution of Behrens (1929) and Fisher (1935), with a test set so large that its own
    standard error is known. Its tests keep their level (Robinson 1976). A single t with Welch's
    and Satterthwaite's degrees of freedom does not where few seeds scatter little by chance: at
    p = 0.0056 it is wrong up to five times as often as it says with three seeds.

    Where nothing varies, a statement is sure (0 or 1) or, on its bound, even (1/2).
    """
    distance = np.asarray(distance, float)
    if se_test == 0 and np.all(se_seeds == 0):
        return np.where(np.abs(distance) < _EQUAL, 0.5, np.where(distance < 0, 1.0, 0.0))
    if se_test == 0:
        return special.stdtr(df, -distance / se_seeds)
    variance_W, weight_W = mixture(df)
    spread_W = np.sqrt(se_seeds**2 * variance_W + se_test**2)
    return special.ndtr(-distance[..., None] / spread_W) @ weight_W


@lru_cache(maxsize=2 * 1024)
def mixture(df: float, nodes: int = 160) -> tuple[Array, Array]:
    """A t variable as normal ones of random variance: the variances and their weights.

    df / variance is chi-squared. The trapezoid rule over its logarithm is exact to ten digits.
    """
    low, high = special.gammaincinv(df / 2, 1e-14), special.gammainccinv(df / 2, 1e-14)
    log_W = np.linspace(float(np.log(2 * low)), float(np.log(2 * high)), nodes)
    density_W = np.exp(df / 2 * (log_W - np.log(df)) - (np.exp(log_W) - df) / 2)
    return df / np.exp(log_W), density_W / density_W.sum()


def half_width(alpha: float, se_seeds: float, se_test: float, df: float) -> float:
    """The distance whose `tail` is alpha."""
    at_seeds = -float(special.stdtrit(df, alpha))
    if se_test == 0:
        return at_seeds * se_seeds
    most = at_seeds * (se_seeds + se_test)

    def above_alpha(half: float) -> float:
        return float(tail(half, se_seeds, se_test, df)) - alpha

    return float(optimize.brentq(above_alpha, 0, most, xtol=1e-9 * most))


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjustment (1979); a test that could not be made still counts, as p = 1."""
    known_P = np.array([1.0 if p is None else p for p in p_values])
    order_P = np.argsort(known_P)
    stepped_P = np.maximum.accumulate(known_P[order_P] * np.arange(len(known_P), 0, -1))
    adjusted_P = np.empty(len(known_P))
    adjusted_P[order_P] = np.minimum(stepped_P, 1.0)
    adjusted = zip(p_values, adjusted_P.tolist(), strict=True)
    return tuple(None if p is None else stepped for p, stepped in adjusted)
