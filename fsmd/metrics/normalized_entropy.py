"""Log loss over that of always predicting the rate (He et al. 2014): 1 says nothing."""

import numpy as np
from scipy.special import entr

from fsmd.metrics.log_loss import log_loss, row_losses, share
from fsmd.metrics.metric import Array, Metric


def _entropy(rate: float) -> float:
    return float(entr(rate) + entr(1 - rate))


def _normalized_entropy(score_N: Array, label_N: Array, weight_N: Array) -> float:
    if not weight_N.sum() > 0:
        return float("nan")
    entropy = _entropy(float(np.average(label_N, weights=weight_N)))
    return log_loss(score_N, label_N, weight_N) / entropy if entropy > 0 else float("nan")


def _normalized_entropy_influence(score_N: Array, label_N: Array, weight_N: Array) -> Array:
    loss_N, rate = row_losses(score_N, label_N), float(np.average(label_N, weights=weight_N))
    loss, entropy = float(np.average(loss_N, weights=weight_N)), _entropy(rate)
    by_rate_N = np.log((1 - rate) / rate) * (label_N - rate)
    moved_N: Array = (loss_N - loss) / entropy - loss / entropy**2 * by_rate_N
    return share(weight_N) * moved_N


METRIC = Metric(
    "normalized_entropy",
    "normalized entropy",
    of=_normalized_entropy,
    influence=_normalized_entropy_influence,
)
