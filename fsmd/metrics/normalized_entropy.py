"""Log loss over that of always predicting the rate (He et al. 2014): 1 says nothing."""

import math
from collections.abc import Sequence

import numpy as np

from fsmd.metrics.log_loss import loss_and_weight, row_losses
from fsmd.metrics.metric import Array, Metric, Rows, share, summed


def _entropy(rate: float) -> float:
    return -sum(each * math.log(each) for each in (rate, 1 - rate) if each > 0)


def _normalized_entropy(parts: Sequence[Rows]) -> float:
    loss, weight, positive = summed(
        parts, lambda rows: (*loss_and_weight(rows), float(rows.label_N @ rows.weight_N))
    )
    entropy = _entropy(min(positive / weight, 1.0))
    return loss / weight / entropy if entropy > 0 else float("nan")


def _normalized_entropy_influence(rows: Rows) -> Array:
    loss_N = row_losses(rows.score_N, rows.label_N)
    loss, rate = (np.average(x_N, weights=rows.weight_N) for x_N in (loss_N, rows.label_N))
    entropy = _entropy(float(rate))
    by_rate_N = np.log((1 - rate) / rate) * (rows.label_N - rate)
    moved_N: Array = (loss_N - loss) / entropy - loss / entropy**2 * by_rate_N
    return share(rows.weight_N) * moved_N


METRIC = Metric(
    "normalized_entropy",
    "normalized entropy",
    of=_normalized_entropy,
    influence=_normalized_entropy_influence,
)
