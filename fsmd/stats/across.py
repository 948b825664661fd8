"""What several data sets tell of another one of their kind: a normal model with random effects.

On data set d an arm gains mu + b_d, measured with a known error: b_d is normal with deviation tau,
and what is asked is mu + b of a data set that nobody has measured. mu and tau have flat priors
(Gelman 2006, Bayesian Analysis 1): where the errors are small, the new gain has a t distribution
of D - 2 degrees of freedom about the mean, so that two data sets tell nothing of it and three
little. Nothing is drawn: tau is integrated on a grid, and all else is normal given tau.

Suffixes: D data sets, G places of the grid, A arms, R replicates, B draws.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import optimize, special, stats

from fsmd.stats.estimates import LEVEL, Array, Estimate, half_width

FEWEST_SETS = 3
"""Data sets below which nothing can be said of another one."""
FEWEST_FOR_RANKS = 5
"""Data sets below which draws with replacement tell too narrow an interval of a mean rank."""
_GRID, _FAR = 600, 1e4
_TAIL = (1 - LEVEL) / 2


@dataclass(frozen=True)
class Pooled:
    """An arm's gain on data sets of a kind."""

    mean: float
    """mu: the mean over all data sets of the kind."""
    interval: tuple[float, float]
    """Of mu, 95 %."""
    new: tuple[float, float]
    """95 % for the gain on a new data set."""
    better: float
    """The chance that the gain on a new data set is above zero."""
    tau: float
    """How much gains scatter over data sets: the median of what it may be."""
    tau_interval: tuple[float, float]
    share: float
    """I^2: the part of the scatter of the measured gains that is not their errors' (Higgins and
    Thompson 2002), at that tau."""


def normal_error(estimate: Estimate) -> float | None:
    """The standard error of a normal variable with as wide an interval; None without one."""
    if estimate.se_seeds is None:
        return None
    half = half_width(_TAIL, estimate.se_seeds, estimate.se_test or 0.0, estimate.freedom)
    return half / float(special.ndtri(1 - _TAIL))


def pooled(gain_D: Array, error_D: Array) -> Pooled | None:
    """Of the gains on each data set and their standard errors; None below `FEWEST_SETS`."""
    if len(gain_D) < FEWEST_SETS:
        return None
    sizes = np.array([np.ptp(gain_D), *error_D])
    if not sizes.any():
        gain = float(gain_D[0])
        sure = (1 + float(np.sign(gain))) / 2
        return Pooled(gain, (gain, gain), (gain, gain), sure, 0.0, (0.0, 0.0), 0.0)
    # By its logarithm, so that one huge error, or one far gain, takes no places from the others.
    tau_G = np.geomspace(sizes[sizes > 0].min() / _FAR, sizes.max() * _FAR, _GRID)
    weight_GD = 1 / (error_D**2 + tau_G[:, None] ** 2)
    variance_G = 1 / weight_GD.sum(1)
    mean_G = variance_G * (weight_GD @ gain_D)
    misfit_G = (weight_GD * (gain_D - mean_G[:, None]) ** 2).sum(1)
    log_G = (np.log(variance_G) + np.log(weight_GD).sum(1) - misfit_G) / 2
    log_G += np.log(tau_G)  # each place stands for as much of tau
    chance_G = np.exp(log_G - log_G.max())
    chance_G /= chance_G.sum()
    of_mean, of_new = (
        _Mixture(mean_G, np.sqrt(squares_G), chance_G)
        for squares_G in (variance_G, variance_G + tau_G**2)
    )
    below_G = np.cumsum(chance_G) - chance_G / 2
    low, tau, high = np.interp([_TAIL, 0.5, 1 - _TAIL], below_G, tau_G).tolist()
    return Pooled(
        mean=of_mean.quantile(0.5),
        interval=of_mean.middle,
        new=of_new.middle,
        better=1 - of_new.below(0.0),
        tau=tau,
        tau_interval=(low, high),
        share=tau**2 / (tau**2 + _typical(error_D)),
    )


def _typical(error_D: Array) -> float:
    """The errors' typical variance (Higgins and Thompson 2002)."""
    if not error_D.all():
        return 0.0
    weight_D = error_D**-2
    total = weight_D.sum()
    return float((len(error_D) - 1) * total / (total**2 - (weight_D**2).sum()))


class _Mixture(NamedTuple):
    """Normal distributions with their chances."""

    mean_G: Array
    deviation_G: Array
    chance_G: Array

    def below(self, value: float) -> float:
        return float(special.ndtr((value - self.mean_G) / self.deviation_G) @ self.chance_G)

    def quantile(self, part: float) -> float:
        centre, reach = float(self.mean_G @ self.chance_G), float(self.deviation_G.max())
        ends = centre - 10 * reach, centre + 10 * reach
        exact = 1e-6 * float(self.deviation_G.min())
        return float(
            optimize.brentq(lambda x: self.below(x) - part, *ends, xtol=exact, maxiter=1000)
        )

    @property
    def middle(self) -> tuple[float, float]:
        return self.quantile(_TAIL), self.quantile(1 - _TAIL)


class MeanRank(NamedTuple):
    """An arm's rank among all, 1 being the best, as a mean over data sets."""

    mean: float
    low: float | None
    high: float | None
    """None, as `low`, below `FEWEST_FOR_RANKS` data sets."""


def mean_ranks(
    value_D_AR: Sequence[Array],
    rows_D_AA: Sequence[Array | None],
    draw: np.random.Generator,
    draws: int = 2000,
) -> tuple[MeanRank, ...]:
    """Of each arm, by its mean over replicates on each data set; more is better.

    Intervals are of draws with replacement of data sets and, within each, of replicates
    (Agarwal et al. 2021, NeurIPS), with what the test rows do to the means.

    value_D_AR: the figures on each data set, on replicates that all arms have there.
    rows_D_AA: the test set's part in the covariance of the arms' means; None where unknown.
    """
    rank_DA = np.array([ranks(value_AR.mean(1)) for value_AR in value_D_AR])
    sets, mean_A = len(rank_DA), rank_DA.mean(0)
    if sets < FEWEST_FOR_RANKS:
        return tuple(MeanRank(float(mean), None, None) for mean in mean_A)
    drawn_DBA = np.array(
        [
            ranks(_drawn_means(value_AR, rows_AA, draw, draws))
            for value_AR, rows_AA in zip(value_D_AR, rows_D_AA, strict=True)
        ]
    )
    which_BD = draw.integers(sets, size=(draws, sets))
    mean_BA = drawn_DBA[which_BD, np.arange(draws)[:, None]].mean(1)
    low_A, high_A = np.quantile(mean_BA, [_TAIL, 1 - _TAIL], axis=0)
    ends = zip(mean_A.tolist(), low_A.tolist(), high_A.tolist(), strict=True)
    return tuple(MeanRank(*each) for each in ends)


def ranks(value_A: Array) -> Array:
    """1 for the best of the last axis; equal ones share the mean of their ranks.

    >>> ranks(np.array([0.1, 0.3, 0.3])).tolist()
    [3.0, 1.5, 1.5]
    """
    return np.asarray(stats.rankdata(-value_A, axis=-1))


def _drawn_means(
    value_AR: Array, rows_AA: Array | None, draw: np.random.Generator, draws: int
) -> Array:
    """B x A."""
    arms, replicates = value_AR.shape
    which_BR = draw.integers(replicates, size=(draws, replicates))
    mean_BA: Array = value_AR.T[which_BR].mean(1)
    if rows_AA is not None:
        value_A, vector_AA = np.linalg.eigh(rows_AA)
        root_AA = vector_AA * np.sqrt(np.maximum(value_A, 0.0))
        mean_BA = mean_BA + draw.normal(size=(draws, arms)) @ root_AA.T
    return mean_BA
