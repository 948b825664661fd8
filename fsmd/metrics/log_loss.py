"""Mean cross-entropy in nats."""

import numpy as np

from fsmd.metrics.metric import Array, Metric


def row_losses(score_N: Array, label_N: Array) -> Array:
    """Cross-entropy of each row in nats, stable at any score."""
    found: Array = np.logaddexp(0.0, np.where(label_N > 0, -score_N, score_N))
    return found


def log_loss(score_N: Array, label_N: Array, weight_N: Array) -> float:
    """The weighted mean of `row_losses`; NaN without any weight."""
    total = weight_N.sum()
    return float(row_losses(score_N, label_N) @ weight_N / total) if total > 0 else float("nan")


def _log_loss_influence(score_N: Array, label_N: Array, weight_N: Array) -> Array:
    loss_N = row_losses(score_N, label_N)
    share_N = len(score_N) * weight_N / weight_N.sum()
    found: Array = share_N * (loss_N - np.average(loss_N, weights=weight_N))
    return found


METRIC = Metric(
    name="log_loss",
    label="log loss",
    higher=False,
    digits=4,
    margin=0.001,
    low=0.0,
    high=float("inf"),
    of=log_loss,
    influence=_log_loss_influence,
)
