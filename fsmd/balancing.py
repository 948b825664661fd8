"""How the tasks' losses, or their gradients, are joined, where their weights are not fixed.

State is kept in buffers and parameters, so that a checkpoint holds it. Suffix: K tasks.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor, nn

from fsmd.adamw import flat, with_values

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
    return torch.sqrt(sum((flat(g).square().sum() for g in gradients), torch.zeros(())))


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
    """Add to `.grad`: projected on the `shared` parameters, the plain sum on all others.

    A shared parameter's gradients are of one kind: where one task's is sparse all tasks' are, and
    name the same rows.
    """
    grad_P_K = [
        _alike(grad_K, parameter)
        for parameter, *grad_K in zip(
            parameters,
            *(
                torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
                for loss in weighted_K
            ),
            strict=True,
        )
    ]
    joined_P = [_sum(grad_K) for grad_K in grad_P_K]
    is_shared = {id(parameter) for parameter in shared}
    at = [i for i, parameter in enumerate(parameters) if id(parameter) in is_shared]
    flat_K = [torch.cat([flat(grad_P_K[i][k]) for i in at]) for k in range(len(weighted_K))]
    joined = torch.split(project(flat_K), [flat(grad_P_K[i][0]).numel() for i in at])
    for i, values in zip(at, joined, strict=True):
        joined_P[i] = with_values(grad_P_K[i][0], values)
    for parameter, gradient in zip(parameters, joined_P, strict=True):
        parameter.grad = gradient if parameter.grad is None else parameter.grad + gradient


def _alike(grad_K: Sequence[Tensor | None], parameter: nn.Parameter) -> list[Tensor]:
    """Of the tasks that move a parameter whose gradient is sparse; of any other, of all tasks."""
    there = [gradient for gradient in grad_K if gradient is not None]
    if there and there[0].is_sparse:
        return [gradient.coalesce() for gradient in there]
    return [torch.zeros_like(parameter) if g is None else g for g in grad_K]


def _sum(gradients: Sequence[Tensor]) -> Tensor:
    if gradients[0].is_sparse:
        return reduce(torch.add, gradients)
    return torch.stack(list(gradients)).sum(0)
