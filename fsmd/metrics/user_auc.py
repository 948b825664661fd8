"""AUC within each user, weighed by the user's rows (GAUC, Zhu et al. 2017); one class is skipped.

It is blind to what tells users apart, as a ranker's page is.
"""

import numpy as np

from fsmd.metrics.auc import placements
from fsmd.metrics.groups import mean_over
from fsmd.metrics.metric import GroupFigures, Rows
from fsmd.metrics.ties import Runs


def aucs(rows: Rows) -> GroupFigures:
    """Of each group, weighed by the weight of its rows; equal scores count half."""
    runs = Runs(rows.score_N, rows.group_N)
    positives_R, negatives_R = runs.of_labels(rows.weight_N, rows.label_N)
    won_G = runs.of_groups(positives_R * (runs.before(negatives_R) + negatives_R / 2))
    positives_G, negatives_G = runs.of_groups(positives_R), runs.of_groups(negatives_R)
    value_G = np.full(len(won_G), np.nan)
    both_G = (positives_G > 0) & (negatives_G > 0)
    np.divide(won_G, positives_G * negatives_G, out=value_G, where=both_G)
    value_G = np.minimum(value_G, 1.0)
    return GroupFigures(value_G, positives_G + negatives_G, runs.group_R[runs.run_N])


METRIC = mean_over("user", aucs, placements, name="user_auc", label="user AUC")
