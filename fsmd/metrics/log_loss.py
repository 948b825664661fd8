"""Mean cross-entropy in nats."""

from collections.abc import Sequence

import numpy as np

from fsmd.metrics.metric import Array, Metric, Rows, share, summed


def row_losses(score_N: Array, label_N: Array) -> Array:
    """Cross-entropy of each row in nats, stable at any score."""
    return np.asarray(np.logaddexp(0.0, np.where(label_N > 0, -score_N, score_N)))


def loss_and_weight(rows: Rows) -> tuple[float, float]:
    """The weighted sum of `row_losses`, and that of the weights."""
    loss = row_losses(rows.score_N, rows.label_N) @ rows.weight_N
    return float(loss), float(rows.weight_N.sum())


def _log_loss(parts: Sequence[Rows]) -> float:
    loss, weight = summed(parts, loss_and_weight)
    return loss / weight


def _log_loss_influence(rows: Rows) -> Array:
    loss_N = row_losses(rows.score_N, rows.label_N)
    return share(rows.weight_N) * (loss_N - np.average(loss_N, weights=rows.weight_N))


METRIC = Metric("log_loss", "log loss", of=_log_loss, influence=_log_loss_influence)
