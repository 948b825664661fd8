"""How much paired differences scatter over seeds, learnt from all arms of a study together.

With few seeds an arm's own scatter is hardly known, and arms of one study scatter much alike. So
the scatter of a comparison is put together from two parts:

- what a seed does to the reference alone, against the mean of all others. Every comparison with
  the reference has this part, so it is estimated from the reference's own seeds and nothing else:
  a reference that scatters more than is usual would spoil all comparisons at once.
- what it does to the other arm. Here each arm's own estimate is drawn towards what is usual
  among the arms (Smyth 2004, Statistical Applications in Genetics 3: a prior of the inverse gamma
  form, fitted by moments), the less, the further it lies above that: such an arm may be unlike
  the others.

What a seed does to all arms cancels. Where all arms scatter alike, the two parts are independent
of each other and without bias; `tests/bench_statistics.py` shows what holds where they do not.

Suffixes: A arms, O the others, R paired seeds; leading axes (...) are studies.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from fsmd.stats.estimates import Array, Scatter

MOST_BORROWED = 4.0
"""The prior counts at most so many times as much as an arm's own seeds."""
UNLIKE = 2.0
"""At so many times the usual variance, half of the prior's weight is left."""
_LEAST = 1e-6
"""Of the usual variance: what is below counts as this in the fit, which takes logarithms."""
_SURE = 1e6
"""Degrees of freedom of a prior of which all arms' variances are one."""


class Scatters(NamedTuple):
    """`Scatter` of each other arm minus the reference, in the order of the arms."""

    variance_O: Array
    df_O: Array
    shared_O: Array

    def of(self, other: int) -> Scatter:
        """Of one comparison of one study."""
        return Scatter(*(float(part_O[other]) for part_O in self))


def scatters(values_AR: Array, reference: int) -> Scatters:
    """Of every comparison with the reference.

    values_AR: a figure of every arm on every seed, without gaps: two arms, two seeds at least.
    """
    own = values_AR.shape[-1] - 1
    others_OR = np.delete(values_AR, reference, axis=-2)
    others = others_OR.shape[-2]
    usual_1R = others_OR.mean(axis=-2, keepdims=True)
    alone_1 = (values_AR[..., [reference], :] - usual_1R).var(axis=-1, ddof=1)
    apart_O = (others_OR - usual_1R).var(axis=-1, ddof=1)
    df_O = np.full(apart_O.shape, float(own))
    if others > 3 and own > 1:
        apart_O, df_O = moderated(apart_O, own, min(MOST_BORROWED, others - 2.0) * own)
    if others > 2:
        # An arm is a part of the mean that it is measured against, which hides some of what its
        # scatter is above the others'.
        mean_1 = apart_O.mean(axis=-1, keepdims=True)
        apart_O = np.maximum(apart_O, mean_1 + (apart_O - mean_1) * others / (others - 2))
    variance_O = alone_1 + apart_O
    sure_O = np.where(variance_O > 0, variance_O, 1.0)
    inverse_O = (alone_1 / sure_O) ** 2 / own + (apart_O / sure_O) ** 2 / df_O
    df_O = np.where(variance_O > 0, 1 / np.where(inverse_O > 0, inverse_O, 1.0), own)
    return Scatters(variance_O, np.maximum(df_O, own), alone_1 / sure_O)


def moderated(variance_O: Array, own: int, most: float) -> tuple[Array, Array]:
    """The variances drawn towards what is usual, and the degrees of freedom that they then have.

    own: degrees of freedom of each as it comes.
    most: how many it may borrow.
    """
    median_1 = np.median(variance_O, axis=-1, keepdims=True)
    usual_1 = np.where(median_1 > 0, median_1, 1.0)
    prior_1, df_1 = prior_of(np.maximum(variance_O, _LEAST * usual_1), own)
    borrowed_O = np.minimum(df_1, most) / (1 + (variance_O / (UNLIKE * usual_1)) ** 2)
    borrowed_O = np.where(median_1 > 0, borrowed_O, 0.0)  # most arms do not scatter: none does
    return (borrowed_O * prior_1 + own * variance_O) / (borrowed_O + own), borrowed_O + own


def prior_of(variance_O: Array, own: int) -> tuple[Array, Array]:
    """The usual variance and its degrees of freedom, by the logarithms' mean and variance."""
    log_O = np.log(variance_O)
    mean_1 = log_O.mean(axis=-1, keepdims=True) - special.digamma(own / 2) + np.log(own / 2)
    beyond_1 = log_O.var(axis=-1, ddof=1, keepdims=True) - special.polygamma(1, own / 2)
    half_1 = trigamma_inverse(np.maximum(beyond_1, 2 / _SURE))
    return np.exp(mean_1 + special.digamma(half_1) - np.log(half_1)), 2 * half_1


def trigamma_inverse(value: Array) -> Array:
    """The x whose trigamma is the value, above zero, by Newton's method (Smyth 2004).

    >>> trigamma_inverse(special.polygamma(1, np.array([0.1, 2.5, 1e4]))).round(6).tolist()
    [0.1, 2.5, 10000.0]
    """
    x = 0.5 + 1 / value
    for _ in range(12):  # it converges from below, without overshooting
        found = special.polygamma(1, x)
        x = x + found * (1 - found / value) / special.polygamma(2, x)
    return x
