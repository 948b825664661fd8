"""A step of a funnel: whether a task is 1 on rows that reached the one that it follows."""

import numpy as np

from fsmd.metrics.metric import Array

CERTAIN = 1e-7
"""A step's probability is this far below 1 at least: models without a chain may give more."""


def step_scores(score_N: Array, parent_score_N: Array) -> Array:
    """Log-odds of the step, by the ratio of the probabilities of its task and of its parent."""
    log_N = np.logaddexp(0, -parent_score_N) - np.logaddexp(0, -score_N)
    log_N = np.minimum(log_N, np.log1p(-CERTAIN))
    return np.asarray(log_N - np.log(-np.expm1(log_N)))
