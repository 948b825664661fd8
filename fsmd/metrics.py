"""What is measured of predictions: one number for a task and a split."""

import torch
from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    binary_calibration_error,
)

CALIBRATION_BINS = 15


def auc(score_B: Tensor, label_B: Tensor) -> float:
    """Exact area under the ROC curve, ties counted half.

    Scores may have any range. Raises ValueError where only one class is present.
    """
    positives = int(label_B.sum())
    if not 0 < positives < len(label_B):
        raise ValueError(
            f"AUC needs both classes; got {positives} positives of {len(label_B)} rows"
        )
    # torchmetrics squashes scores outside [0, 1] with a sigmoid, which can tie them: pass ranks.
    levels, rank_B = torch.unique(score_B, return_inverse=True)
    return float(binary_auroc(rank_B.double() / len(levels), label_B.long()))


def log_loss(log_p_B: Tensor, log_q_B: Tensor, label_B: Tensor) -> float:
    """Mean cross-entropy in nats."""
    return float(-torch.where(label_B > 0, log_p_B, log_q_B).double().mean())


def calibration_error(probability_B: Tensor, label_B: Tensor) -> float:
    """Expected calibration error over 15 equally wide bins."""
    return float(
        binary_calibration_error(probability_B.float(), label_B.long(), n_bins=CALIBRATION_BINS)
    )
