"""How much paired differences scatter over seeds, learnt from all comparisons with a reference.

With few seeds a comparison's own scatter is hardly known, and comparisons with one reference
scatter much alike. So each one's variance is drawn towards what is usual among them (Smyth 2004,
Statistical Applications in Genetics 3: a prior of the inverse gamma form, fitted by moments), the
less, the more unlike the others it is.

What is learnt that way has a limit, which nothing but seeds moves: all these comparisons have the
reference's own scatter. A reference that scatters more than the others makes all of them scatter
alike, and all of them wrong together. How much they share is measured by their correlations over
seeds. From it follows how many degrees of freedom the usual variance has (Box 1954, Annals of
Mathematical Statistics 25), and none may have more. `tests/bench_statistics.py` shows what holds
where arms scatter unlike each other, or go together in groups.

Suffixes: A arms, O the others, R paired seeds; leading axes (...) are studies.
"""

from typing import NamedTuple

import numpy as np
from scipy import special

from fsmd.stats.estimates import Array, Scatter

FEWEST_OTHERS = 3
"""Comparisons that can tell what is usual."""
FEWEST_OWN = 4
"""Degrees of freedom, so five seeds: with fewer, neither an arm unlike the others nor what all
share is recognised well enough, and families exceed their level."""
KNOWN = 0.9
"""The part of the usual variance's degrees of freedom that counts: their number is estimated."""
MUCH_MORE, MUCH_LESS = 2.0, 1 / 20
"""Times the median variance: there about half of the prior's weight is left. Few seeds scatter
far too little by chance more easily than far too much."""
_LEAST = 1e-6
"""Of the median: what is below counts as this in the fit, which takes logarithms."""
_ALL_ONE = 1e6
"""Degrees of freedom of a prior where all variances are one."""


class Scatters(NamedTuple):
    """`Scatter` of each other arm minus the reference, in the order of the arms."""

    variance_O: Array
    df_O: Array
    shared_O: Array
    together_O: Array

    def of(self, other: int) -> Scatter:
        """Of one comparison of one study."""
        return Scatter(*(float(part_O[other]) for part_O in self))

    @property
    def each(self) -> list[Scatter]:
        """Of all comparisons of one study."""
        return [Scatter(*row) for row in np.stack(self, axis=1).tolist()]


def scatters(values_AR: Array, reference: int) -> Scatters:
    """Of every comparison with the reference.

    values_AR: a figure of every arm on every seed, without gaps: two arms, two seeds at least.
    """
    own = values_AR.shape[-1] - 1
    difference_OR = np.delete(values_AR, reference, axis=-2) - values_AR[..., [reference], :]
    away_OR = difference_OR - difference_OR.mean(axis=-1, keepdims=True)
    variance_O = (away_OR**2).sum(axis=-1) / own
    alike_1 = alikeness(away_OR) if own >= FEWEST_OWN else np.zeros((*variance_O.shape[:-1], 1))
    others, borrowed_O = variance_O.shape[-1], np.zeros(variance_O.shape)
    most_1 = np.maximum(KNOWN * own * others / (1 + (others - 1) * alike_1), own)
    if others >= FEWEST_OTHERS and own >= FEWEST_OWN:
        variance_O, borrowed_O = moderated(variance_O, own, alike_1, most_1)
    df_O = np.minimum(own + borrowed_O, most_1)
    apart_O = (own / (own + borrowed_O)) ** 2 * (1 - alike_1) * df_O / own
    return Scatters(
        variance_O,
        df_O,
        np.broadcast_to(np.sqrt(alike_1), variance_O.shape),
        np.clip(1 - apart_O, 0.0, 1.0),
    )


def alikeness(away_OR: Array) -> Array:
    """1: the mean squared correlation of two comparisons, without what chance adds to it.

    0 where nothing tells it: of one comparison, or of two seeds.

    away_OR: from each comparison's mean. The sum of the squared correlations is that of an R x R
    matrix, too: with many comparisons O x O is too large.
    """
    others, own = away_OR.shape[-2], away_OR.shape[-1] - 1
    if others < 2 or own < 2:
        return np.zeros((*away_OR.shape[:-2], 1))
    length_O1 = np.linalg.norm(away_OR, axis=-1, keepdims=True)
    unit_OR = away_OR / np.where(length_O1 > 0, length_O1, 1.0)
    squares_RR = (np.swapaxes(unit_OR, -1, -2) @ unit_OR) ** 2
    mean_1 = (squares_RR.sum(axis=(-1, -2))[..., None] - others) / (others * (others - 1))
    alike_1: Array = np.clip((mean_1 - 1 / own) / (1 - 1 / own), 0.0, 1.0)
    return alike_1


def moderated(variance_O: Array, own: int, alike_1: Array, most_1: Array) -> tuple[Array, Array]:
    """The variances drawn towards what is usual, and the degrees of freedom that they borrow.

    own: degrees of freedom of each as it comes.
    alike_1: how much of their chance is one and the same.
    most_1: degrees of freedom of what is usual.
    """
    median_1 = np.median(variance_O, axis=-1, keepdims=True)
    median_1 = np.where(median_1 > 0, median_1, np.inf)  # most do not scatter: nothing is usual
    times_O = np.maximum(variance_O / median_1, _LEAST)
    prior_1, df_1 = prior_of(times_O, own, alike_1)
    doubt_O = (times_O / MUCH_MORE) ** 2 + (MUCH_LESS / times_O) ** 4
    borrowed_O = np.minimum(df_1, most_1) / (1 + doubt_O)
    usual_1 = np.where(np.isfinite(median_1), prior_1 * median_1, 0.0)
    moderated_O = (borrowed_O * usual_1 + own * variance_O) / (borrowed_O + own)
    return moderated_O, borrowed_O


def prior_of(variance_O: Array, own: int, alike_1: Array) -> tuple[Array, Array]:
    """The usual variance and its degrees of freedom, by the logarithms' mean and variance."""
    log_O, apart_1 = np.log(variance_O), 1 - alike_1
    mean_1 = log_O.mean(axis=-1, keepdims=True)
    mean_1 = mean_1 - apart_1 * (special.digamma(own / 2) - np.log(own / 2))
    by_chance_1 = apart_1 * special.polygamma(1, own / 2)
    beyond_1 = log_O.var(axis=-1, ddof=1, keepdims=True) - by_chance_1
    half_1 = trigamma_inverse(np.maximum(beyond_1, 2 / _ALL_ONE))
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


def of_mixture(each_RR: Array) -> Scatter:
    """Of a mean of which each seed tells of a point that was chosen without it.

    What is told scatters by itself too little: where a seed is kind to a point, others choose it,
    and where it is not, they do as well. So it is no less than what the points scatter on average.

    each_RR: a row a seed, the figures on all seeds of the point of which it tells; it tells the
    figure on the diagonal. Two seeds at least.
    """
    told = float(np.diagonal(each_RR).var(ddof=1))
    return Scatter(max(told, float(each_RR.var(axis=1, ddof=1).mean())), len(each_RR) - 1)
