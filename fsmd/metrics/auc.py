"""Area under the ROC curve, exact in O(N log N); equal scores count half."""

from collections.abc import Sequence

import numpy as np

from fsmd.metrics.metric import Array, Metric, Rows
from fsmd.metrics.ties import Runs


def placements(rows: Rows) -> Array:
    """Share of the other class's weight that each row is on the right side of; ties count half.

    Within its group, where rows have one; of no meaning in a group of one class.
    """
    runs = Runs(rows.score_N, rows.group_N)

    def before_N(weight_R: Array) -> Array:
        in_all_R = runs.of_groups(weight_R)[runs.group_R]
        part_R = (runs.before(weight_R) + weight_R / 2) / np.where(in_all_R > 0, in_all_R, 1.0)
        return np.asarray(part_R[runs.run_N])

    positives_R, negatives_R = runs.of_labels(rows.weight_N, rows.label_N)
    return np.where(rows.label_N > 0, before_N(negatives_R), 1 - before_N(positives_R))


def _auc(parts: Sequence[Rows]) -> float:
    won = positives = negatives = 0.0
    for rows in parts:
        positives_R, negatives_R = Runs(rows.score_N).of_labels(rows.weight_N, rows.label_N)
        won += float(positives_R @ (negatives + np.cumsum(negatives_R) - negatives_R / 2))
        positives, negatives = positives + positives_R.sum(), negatives + negatives_R.sum()
    if not (positives > 0 and negatives > 0):
        return float("nan")
    return min(won / positives / negatives, 1.0)


def _auc_influence(rows: Rows) -> Array:
    """A row's placement about the AUC, over its class's share of the weight.

    Scaled by sqrt(m / (m - 1)) in a class of m rows (m the effective number, where weights
    differ): the sum of squares over N squared is then DeLong's variance exactly, not only up to a
    factor near 1. Needs two rows of each class.
    """
    placed_N, positive_N = placements(rows), rows.label_N > 0
    value = np.average(placed_N[positive_N], weights=rows.weight_N[positive_N])
    moved_N = np.empty(len(placed_N))
    for class_N in (positive_N, ~positive_N):
        weight = rows.weight_N[class_N]
        m = weight.sum() ** 2 / (weight @ weight)
        scale = len(placed_N) / (weight.sum() * np.sqrt(1 - 1 / m))
        moved_N[class_N] = weight * (placed_N[class_N] - value) * scale
    return moved_N


METRIC = Metric(
    "auc", "AUC", higher=True, high=1.0, of=_auc, influence=_auc_influence, by_score=True
)
