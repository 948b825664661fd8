"""Mean cross-entropy in nats."""

import numpy as np

from fsmd.metrics.metric import Array, Metric


def row_losses(score_N: Array, label_N: Array) -> Array:
    """Cross-entropy of each row in nats, stable at any score."""
    return np.asarray(np.logaddexp(0.0, np.where(label_N > 0, -score_N, score_N)))


def share(weight_N: Array) -> Array:
    """What a row counts over what it would if all counted alike."""
    return np.asarray(len(weight_N) * weight_N / weight_N.sum())


def log_loss(score_N: Array, label_N: Array, weight_N: Array) -> float:
    """The weighted mean of `row_losses`; NaN without any weight."""
    total = weight_N.sum()
    return float(row_losses(score_N, label_N) @ weight_N / total) if total > 0 else float("nan")


def _log_loss_influence(score_N: Array, label_N: Array, weight_N: Array) -> Array:
    loss_N = row_losses(score_N, label_N)
    return share(weight_N) * (loss_N - np.average(loss_N, weights=weight_N))


METRIC = Metric("log_loss", "log loss", of=log_loss, influence=_log_loss_influence)
