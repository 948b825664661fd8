"""AUC and log loss of many models at once, on the device where their scores are.

They equal those of `fsmd.metrics` but for rounding. Suffixes: S models, N rows.
"""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Figure = Callable[[Tensor, Tensor, Tensor], Tensor]
"""(scores S x N, labels N, weights N) -> S, of double precision."""


def auc(score_SN: Tensor, label_N: Tensor, weight_N: Tensor) -> Tensor:
    """Area under the ROC curve; equal scores count half. NaN without rows of both classes."""
    sorted_SN, order_SN = score_SN.sort(1)
    weight_SN, positive_SN = weight_N.double()[order_SN], label_N[order_SN] > 0
    below_SN = torch.where(positive_SN, 0.0, weight_SN).cumsum(1)
    differs_SN = sorted_SN[:, 1:] != sorted_SN[:, :-1]
    # Of a run of equal scores: the negatives before it, and those up to its end.
    edge_S1 = torch.ones_like(differs_SN[:, :1])
    first_SN, last_SN = torch.cat([edge_S1, differs_SN], 1), torch.cat([differs_SN, edge_S1], 1)
    before_SN = F.pad(below_SN[:, :-1], (1, 0)).where(first_SN, 0.0).cummax(1).values
    until_SN = below_SN.where(last_SN, torch.inf).flip(1).cummin(1).values.flip(1)
    gained_SN = torch.where(positive_SN, weight_SN, 0.0)
    won_S = (gained_SN * (before_SN + until_SN)).sum(1) / 2
    auc_S = won_S / gained_SN.sum(1) / below_SN[:, -1]
    return auc_S.clamp(max=1.0)


def log_loss(score_SN: Tensor, label_N: Tensor, weight_N: Tensor) -> Tensor:
    """Mean cross-entropy in nats."""
    signed_SN = torch.where(label_N > 0, -score_SN, score_SN).double()
    loss_SN = torch.logaddexp(signed_SN, signed_SN.new_zeros(()))
    return loss_SN @ weight_N.double() / weight_N.double().sum()


FIGURES: Mapping[str, Figure] = {of.__name__: of for of in (auc, log_loss)}
"""By the metric's name in `fsmd.metrics.METRICS`."""


def figure(
    metric: str, score_SN: Tensor, label_N: Tensor, weight_N: Tensor | None = None
) -> Tensor:
    """S of double precision, over the rows of a label and a weight.

    NaN where they do not define it, and for a model one of whose scores is not finite.
    """
    counts_N = ~label_N.isnan() if weight_N is None else ~label_N.isnan() & (weight_N > 0)
    weight_N = counts_N.float() if weight_N is None else weight_N
    if bool(counts_N.all()):
        figure_S = FIGURES[metric](score_SN, label_N, weight_N)
    else:
        counted = score_SN[:, counts_N], label_N[counts_N], weight_N[counts_N]
        if not len(counted[1]):
            return score_SN.new_full((len(score_SN),), torch.nan, dtype=torch.float64)
        figure_S = FIGURES[metric](*counted)
    return figure_S.where(score_SN.isfinite().all(1), torch.nan)
