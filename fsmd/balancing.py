"""How the tasks' losses, or their gradients, are joined: fixed weights or one of three methods.

All of them work on any number of tasks K and keep their state in buffers and parameters, so that
a checkpoint holds it.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

GRADNORM_ALPHA = 1.5
"""How strongly GradNorm slows down the task that learns faster; the authors' value for tasks
that differ in nature."""
GRADNORM_RATE = 0.025
"""Step size of GradNorm's weights, the authors' choice."""


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

    def forward(self, weighted_K: Tensor, layer: Sequence[nn.Parameter]) -> Tensor:
        """The joined loss by the weights before this step, which then move."""
        joined = (self.weight_K.clone() * weighted_K).sum()
        norm_K = torch.stack([_norm(loss, layer) for loss in weighted_K])
        with torch.no_grad():
            loss_K = weighted_K.detach()
            # A task that was observed on no row yet has no loss; its pace is then that of all.
            self.first_K.copy_(torch.where(self.first_K > 0, self.first_K, loss_K))
            pace_K = torch.where(self.first_K > 0, loss_K / self.first_K, 1.0)
            pace_K = (pace_K / pace_K.mean()) ** GRADNORM_ALPHA
            gradient_K = self.weight_K * norm_K
            slope_K = torch.sign(gradient_K - gradient_K.mean() * pace_K) * norm_K
            weight_K = (self.weight_K - GRADNORM_RATE * slope_K).clamp(min=1e-3)
            self.weight_K.copy_(weight_K * len(weight_K) / weight_K.sum())
        return joined


def _norm(loss: Tensor, layer: Sequence[nn.Parameter]) -> Tensor:
    gradients = torch.autograd.grad(loss, layer, retain_graph=True)
    return torch.sqrt(sum((g.square().sum() for g in gradients), torch.zeros(())))


def project(gradient_K: Sequence[Tensor]) -> Tensor:
    """Sum of the tasks' gradients, each freed of what conflicts with another (Yu et al., 2020).

    gradient_K: K flat gradients. Task i's loses, for each other task j in order, its part along
    j's where the two point apart. With two tasks there is no order to draw.
    """
    freed = []
    for i, own in enumerate(gradient_K):
        for j, other in enumerate(gradient_K):
            along = own @ other
            if i != j and along < 0:
                own = own - along / (other @ other) * other
        freed.append(own)
    return torch.stack(freed).sum(0)


def set_projected_gradients(
    weighted_K: Tensor, parameters: Sequence[nn.Parameter], shared: Sequence[nn.Parameter]
) -> None:
    """Write `.grad`: projected on the `shared` parameters, the plain sum on all others."""
    is_shared = {id(parameter) for parameter in shared}
    grad_K_P = [
        torch.autograd.grad(loss, parameters, retain_graph=True, materialize_grads=True)
        for loss in weighted_K
    ]
    places = [i for i, parameter in enumerate(parameters) if id(parameter) in is_shared]
    flat_K = [torch.cat([grads[i].flatten() for i in places]) for grads in grad_K_P]
    sizes = [parameters[i].numel() for i in places]
    joined = iter(torch.split(project(flat_K), sizes))
    for i, parameter in enumerate(parameters):
        if id(parameter) in is_shared:
            parameter.grad = next(joined).view_as(parameter)
        else:
            parameter.grad = torch.stack([grads[i] for grads in grad_K_P]).sum(0)
