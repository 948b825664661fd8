"""Expected calibration error: how far predicted rates are from observed ones. Only shown."""

import numpy as np

from fsmd.metrics.metric import Array, Metric

CALIBRATION_BINS = 15


def _calibration_error(score_N: Array, label_N: Array, weight_N: Array) -> float:
    """Mean distance of predicted from observed rate over equally wide bins of probability."""
    total = weight_N.sum()
    if not total > 0:
        return float("nan")
    probability_N = 1 / (1 + np.exp(-np.clip(score_N, -700, 700)))
    bin_N = np.minimum((probability_N * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gap = np.bincount(bin_N, weight_N * (probability_N - label_N), minlength=CALIBRATION_BINS)
    return float(np.abs(gap).sum() / total)


METRIC = Metric("calibration_error", "calibration error", high=1.0, of=_calibration_error)
