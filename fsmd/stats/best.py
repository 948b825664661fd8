"""How surely one of several arms is the best of them, over seeds and test rows together.

Suffixes: A arms, R paired seeds, S draws.
"""

import numpy as np

from fsmd.stats.estimates import Array
from fsmd.stats.joint import symmetric_root
from fsmd.stats.pareto import DRAWS, drawn_means

FEWEST_SEEDS = 3
"""For any chance: the scatter of two seeds is hardly known."""


def chances_of_best(
    values_AR: Array, rows_AA: Array | None = None, draws: int = DRAWS, seed: int = 0
) -> Array:
    """A: the chance that an arm's true mean is the highest; they add up to 1, equals share it.

    All arms' means are drawn together: from the joint t distribution of the paired seeds, in which
    what a seed does to all arms cancels, and for the test rows from a normal one. Nothing is
    assumed about how far apart arms are, so of many that lie closer together than their noise the
    first is told too surely.

    values_AR: figures, more being better, on seeds that all arms have.
    rows_AA: the test rows' part in the covariance of the means; None: the seeds alone.
    NaN below `FEWEST_SEEDS`.
    """
    arms, seeds = values_AR.shape
    if seeds < FEWEST_SEEDS:
        return np.full(arms, np.nan)
    rng = np.random.default_rng(seed)
    mean_SA = drawn_means(values_AR - values_AR.mean(), rng, draws)
    if rows_AA is not None:
        mean_SA = mean_SA + rng.standard_normal((draws, arms)) @ symmetric_root(rows_AA)
    mean_SA = mean_SA.round(9)  # equal arms stay equal
    is_best_SA = mean_SA == mean_SA.max(axis=1, keepdims=True)
    chance_A: Array = (is_best_SA / is_best_SA.sum(axis=1, keepdims=True)).mean(axis=0)
    return chance_A
