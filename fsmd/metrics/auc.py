"""Area under the ROC curve, exact in O(N log N)."""

import numpy as np

from fsmd.metrics.metric import Array, Metric


def placements(score_N: Array, label_N: Array, weight_N: Array) -> Array:
    """Share of the other class's weight that each row is on the right side of; ties count half."""
    levels_S, rank_N = np.unique(score_N, return_inverse=True)
    positive_N = label_N > 0
    positives_S = np.bincount(rank_N, weight_N * positive_N, minlength=len(levels_S))
    negatives_S = np.bincount(rank_N, weight_N * ~positive_N, minlength=len(levels_S))
    below_S = (np.cumsum(negatives_S) - negatives_S / 2) / negatives_S.sum()
    above_S = 1 - (np.cumsum(positives_S) - positives_S / 2) / positives_S.sum()
    return np.asarray(np.where(positive_N, below_S[rank_N], above_S[rank_N]))


def _auc(score_N: Array, label_N: Array, weight_N: Array) -> float:
    positive_N = label_N > 0
    weight = weight_N[positive_N].sum()
    if not (weight > 0 and weight_N[~positive_N].sum() > 0):
        return float("nan")
    placed_N = placements(score_N, label_N, weight_N)[positive_N]
    return float(placed_N @ weight_N[positive_N] / weight)


def _auc_influence(score_N: Array, label_N: Array, weight_N: Array) -> Array:
    """A row's placement about the AUC, over its class's share of the weight.

    Scaled by sqrt(m / (m - 1)) in a class of m rows (m the effective number, where weights
    differ): the sum of squares over N squared is then DeLong's variance exactly, not only up to a
    factor near 1. Needs two rows of each class.
    """
    influence_N, used_N = np.zeros(len(score_N)), weight_N > 0
    score_N, label_N, weight_N = score_N[used_N], label_N[used_N], weight_N[used_N]
    placed_N, positive_N = placements(score_N, label_N, weight_N), label_N > 0
    value = np.average(placed_N[positive_N], weights=weight_N[positive_N])
    moved_N = np.empty(len(score_N))
    for class_N in (positive_N, ~positive_N):
        weight = weight_N[class_N]
        m = weight.sum() ** 2 / (weight @ weight)
        scale = len(used_N) / (weight.sum() * np.sqrt(1 - 1 / m))
        moved_N[class_N] = weight * (placed_N[class_N] - value) * scale
    influence_N[used_N] = moved_N
    return influence_N


METRIC = Metric("auc", "AUC", higher=True, high=1.0, of=_auc, influence=_auc_influence)
