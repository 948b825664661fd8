"""AUC within each user, every user alike; users with rows of one class are skipped."""

import numpy as np

from fsmd.metrics.auc import placements
from fsmd.metrics.groups import mean_over
from fsmd.metrics.metric import GroupFigures, Rows
from fsmd.metrics.user_auc import aucs


def _alike(rows: Rows) -> GroupFigures:
    found = aucs(rows)
    return found._replace(weight_G=np.ones(len(found.weight_G)))


METRIC = mean_over("user", _alike, placements, name="user_auc_mean", label="user AUC (plain mean)")
