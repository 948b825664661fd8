"""How the tasks' losses, or their gradients, are joined, where their weights are not fixed.

State is kept in buffers and parameters, so that a checkpoint holds it. Suffix: K tasks.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

# The authors' choices: how strongly the faster task is slowed down, and the weights' step size.
GRADNORM_ALPHA, GRADNORM_RATE = 1.5, 0.025


class Uncertainty(nn.Module):
    """A learned log variance s per task: sum of w exp(-s) L + s / 2 (Kendall et al., 2018)."""

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.log_variance_K = nn.Parameter(torch.zeros(tasks))

    def forward(self, weighted_K: Tensor) -> Tensor:
        """The joined loss of K weighted losses."""
        return ((-self.log_variance_K).exp() * weighted_K + self.log_variance_K / 2).sum()


class GradNorm(nn.Module):
    """Weights that even out the tasks' gradient norms and pace (Chen et al., 2018).

    The norms are taken at the last layer that the tasks share. After each step the weights move
    against the gradient of sum_k |G_k - mean(G) r_k^alpha|, the target held constant, and are
    scaled to sum to K.
    """

    def __init__(self, tasks: int) -> None:
        super().__init__()
        self.register_buffer("weight_K", torch.ones(tasks))
        self.register_buffer("first_K", torch.zeros(tasks))
        self.weight_K: Tensor
        self.first_K: Tensor

    def forward(self, weighted_K: Tensor, layer: Sequence[Tensor]) -> Tensor:
        """The joined loss by the weights before this step, which then move."""
        joined = (self.weight_K.clone() * weighted_K).sum()
        norm_K = torch.stack([_norm(loss, layer) for loss in weighted_K])
        with torch.no_grad():
            loss_K = weighted_K.detach()
            self.first_K.copy_(torch.where(self.first_K > 0, self.first_K, loss_K))
            here = loss_K > 0  # a task that was observed on no row of the batch moves no weight
            gradient_K = self.weight_K[here] * norm_K[here]
            pace_K = loss_K[here] / self.first_K[here]
            pace_K = (pace_K / pace_K.mean()) ** GRADNORM_ALPHA
            slope_K = torch.sign(gradient_K - gradient_K.mean() * pace_K) * norm_K[here]
            weight_K = self.weight_K.clone()
            moved_K = (weight_K[here] - GRADNORM_RATE * slope_K).clamp(min=1e-3)
            weight_K[here] = moved_K.to(weight_K.dtype)  # half precision's sums are longer
            self.weight_K.copy_(weight_K * len(weight_K) / weight_K.sum())
        return joined


def _norm(loss: Tensor, layer: Sequence[Tensor]) -> Tensor:
    gradients = torch.autograd.grad(loss, layer, retain_graph=True)
    return torch.sqrt(sum((g.square().sum() for g in gradients), torch.zeros(())))


def project(gradient_K: Sequence[Tensor]) -> Tensor:
    """Sum of the tasks' flat gradients, each freed of conflicts with others (Yu et al., 2020).

    Task i's loses, for each other task j in order, its part along j's where the two point apart.
    """
    freed = []
    for i, own in enumerate(gradient_K):
        for j, other in enumerate(gradient_K):
            along = own @ other
            if i != j and along < 0:
                own = own - along / (other @ other) * other
        freed.append(own)
    return torch.stack(freed).sum(0)


def add_projected_gradients(
    weighted_K: Tensor, parameters: Sequence[nn.Parameter], shared: Sequence[nn.Parameter]
) -> None:
    """Add to `.grad`: projected on the `shared` parameters, the plain sum on all others."""
    grad_K_P = [
        torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
        for loss in weighted_K
    ]
    joined_P = [torch.stack(grad_K).sum(0) for grad_K in zip(*grad_K_P, strict=True)]
    is_shared = {id(parameter) for parameter in shared}
    places = [i for i, parameter in enumerate(parameters) if id(parameter) in is_shared]
    flat_K = [torch.cat([grads[i].flatten() for i in places]) for grads in grad_K_P]
    joined = torch.split(project(flat_K), [parameters[i].numel() for i in places])
    for i, gradient in zip(places, joined, strict=True):
        joined_P[i] = gradient.view_as(parameters[i])
    for parameter, gradient in zip(parameters, joined_P, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient
