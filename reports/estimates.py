"""Intervals, paired differences and tests over replicates: pure functions.

All inference here is about training randomness on one data set: replicates differ in their seed,
the rows are the same.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from statsmodels.stats.multitest import multipletests

Array = NDArray[np.float64]

LEVEL = 0.95
ALPHA = 0.05
TOO_FEW = "not enough replicates to decide"

_EQUAL = 1e-12
"""AUCs closer than this are equal; what is left of their difference is rounding."""


class Estimate(NamedTuple):
    """A mean over `n` replicates with its 95 % t interval; no interval below two replicates."""

    mean: float
    low: float | None
    high: float | None
    n: int


def mean_interval(values: Any) -> Estimate:
    """Mean and t interval; NaNs are left out.

    >>> mean_interval([1.0, 2.0, 3.0]).n
    3
    >>> mean_interval([0.7]).low is None
    True
    """
    finite = _finite(values)
    n = len(finite)
    if n == 0:
        return Estimate(float("nan"), None, None, 0)
    mean = float(finite.mean())
    if n == 1:
        return Estimate(mean, None, None, 1)
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * finite.std(ddof=1) / np.sqrt(n))
    return Estimate(mean, mean - half, mean + half, n)


def paired_difference(values: Any, others: Any) -> Estimate:
    """`values` minus `others`, pair by pair; a pair with a NaN is left out."""
    return mean_interval(np.asarray(values, float) - np.asarray(others, float))


def p_value(differences: Any, bound: float = 0.0) -> float | None:
    """Two-sided paired t test that the mean difference equals `bound`; None below two pairs.

    Where all differences are equal the t test has no variance to work with: the answer is 1 if
    they equal the bound and 0 if not.
    """
    finite = _finite(differences)
    if len(finite) < 2:
        return None
    if np.ptp(finite) < _EQUAL:
        return 1.0 if abs(float(finite.mean()) - bound) < _EQUAL else 0.0
    return float(stats.ttest_1samp(finite, bound).pvalue)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjustment; a test that could not be made still counts in the family, as p = 1."""
    if not p_values:
        return ()
    known = [1.0 if p is None else p for p in p_values]
    adjusted = multipletests(known, alpha=ALPHA, method="holm")[1]
    return tuple(None if p is None else float(a) for p, a in zip(p_values, adjusted, strict=True))


def _finite(values: Any) -> Array:
    array: Array = np.asarray(values, dtype=float).ravel()
    finite: Array = array[np.isfinite(array)]
    return finite
