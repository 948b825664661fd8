"""Estimates and tests of mean differences: pure functions.

Two sources of chance are kept apart. The seeds: replicates differ in their seed, and more of them
make this part smaller. The test set: all replicates are measured on the same finite sample of
rows, so this part stays however many seeds there are (`reports.sampling` estimates it).
"""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

Array = NDArray[np.float64]
Kind = Literal["above", "not_worse", "within", "beyond"]
"""What is asked of a difference: does it differ from 0, does it differ from -margin, is it inside
the margins, is it outside of them."""

LEVEL = 0.95
ALPHA = 0.05
TOO_FEW = "not enough replicates to decide"

_EQUAL = 1e-12
"""AUCs closer than this are equal; what is left of their difference is rounding."""


class RowPart(NamedTuple):
    """The test set's part in the variance of a mean, and its number of rows."""

    variance: float
    rows: int


class Estimate(NamedTuple):
    """A mean over `n` replicates with its 95 % t interval; no interval below two replicates.

    `se_seeds` and `se_test` are the standard errors due to the seeds and to the finite test set;
    the latter is None where no predictions were kept. `df` are the t interval's degrees of
    freedom.
    """

    mean: float
    low: float | None
    high: float | None
    n: int
    se_seeds: float | None = None
    se_test: float | None = None
    df: float | None = None

    @property
    def se(self) -> float | None:
        """Standard error due to both."""
        return None if self.se_seeds is None else float(np.hypot(self.se_seeds, self.se_test or 0))


def mean_interval(values: Any, part: RowPart | None = None) -> Estimate:
    """Mean and t interval, over the seeds or over both sources; NaNs are left out.

    The variances of both sources add. Their degrees of freedom are Welch's and Satterthwaite's.

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
    equal = float(np.ptp(finite)) < _EQUAL
    by_seeds = 0.0 if equal else float(finite.var(ddof=1)) / n
    by_rows, rows = part or RowPart(0.0, 2)
    df = float(satterthwaite(by_seeds, n - 1, by_rows, rows - 1))
    half = float(special.stdtrit(df, (1 + LEVEL) / 2)) * (by_seeds + by_rows) ** 0.5
    return Estimate(mean, mean - half, mean + half, n, by_seeds**0.5,
                    None if part is None else by_rows**0.5, df)  # fmt: skip


def satterthwaite(first: Any, df_first: Any, second: Any, df_second: Any) -> Any:
    """Degrees of freedom of a sum of two estimated variances (Satterthwaite 1946, Welch 1947).

    Where both are zero, the first one's.
    """
    below = first**2 / df_first + second**2 / df_second
    return np.where(below > 0, (first + second) ** 2 / np.where(below > 0, below, 1.0), df_first)


def p_value(estimate: Estimate, kind: Kind = "above", margin: float = 0.0) -> float | None:
    """The t test of a question about a mean; None below two replicates.

    Where nothing varies there is no t: a statement is then sure (p = 0), refuted (p = 1) or, with
    the mean on the bound of a one-sided question, even (p = 0.5).
    """
    if estimate.se is None or estimate.df is None:
        return None
    return float(p_values(kind, estimate.mean, estimate.se, estimate.df, margin))


def p_values(kind: Kind, mean: Any, se: Any, df: Any, margin: float) -> Any:
    """p of each mean with its standard error and degrees of freedom; all broadcast.

    "within" is the larger of the two one-sided tests (Schuirmann 1987); "beyond" adds both tails
    outside the margins, for a true difference that lies on one of them.
    """
    size = np.abs(mean)
    if kind == "above":
        return 2 * _tail(size, se, df)
    if kind == "not_worse":
        return 2 * _tail(np.abs(mean + margin), se, df)
    if kind == "within":
        return _tail(margin - size, se, df)
    return np.minimum(_tail(size - margin, se, df) + _tail(size + margin, se, df), 1.0)


def holm(p_values: Sequence[float | None]) -> tuple[float | None, ...]:
    """Holm's adjustment (1979); a test that could not be made still counts, as p = 1."""
    known = np.array([1.0 if p is None else p for p in p_values])
    order = np.argsort(known, kind="stable")
    steps = known[order] * np.arange(len(known), 0, -1)
    adjusted = np.empty(len(known))
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0) if len(known) else steps
    return tuple(None if p is None else float(a) for p, a in zip(p_values, adjusted, strict=True))


def _tail(distance: Any, se: Any, df: Any) -> Any:
    """Chance that a t variable exceeds distance / se."""
    far = np.where(np.abs(distance) < _EQUAL, 0.0, np.copysign(np.inf, distance))
    still = np.asarray(se) == 0
    t = np.where(still, far, distance / np.where(still, 1.0, se))
    return special.stdtr(df, -t)  # scipy.stats.t.sf is the same, at ten times the cost


def _finite(values: Any) -> Array:
    array: Array = np.asarray(values, dtype=float).ravel()
    finite: Array = array[np.isfinite(array)]
    return finite
