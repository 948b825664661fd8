"""AdamW whose step costs what the rows that occur cost, however long a table is."""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class RowWiseAdamW(torch.optim.AdamW):
    """AdamW; of a parameter whose gradient is sparse, only the rows that occur move.

    Such a row is as if AdamW had seen it alone, in the steps in which it occurs: its moments, its
    count of steps and its weight decay stand still in all others. With dense gradients it is
    torch's own AdamW.
    """

    def __init__(
        self, parameters: Iterable[nn.Parameter], rate: float, weight_decay: float, fused: bool
    ) -> None:
        super().__init__(parameters, lr=rate, weight_decay=weight_decay, fused=fused)

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Move all parameters that have a gradient; the value of `closure`, if there is one."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        # What torch's scaler of half precision leaves to a fused optimiser.
        scale, infinite = getattr(self, "grad_scale", None), getattr(self, "found_inf", None)
        sparse: list[tuple[nn.Parameter, Tensor]] = []
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    gradient, parameter.grad = parameter.grad, None
                    sparse.append((parameter, gradient))
                    if infinite is None or not infinite:
                        self._move(parameter, gradient, scale, group)
        super().step()
        for parameter, gradient in sparse:
            parameter.grad = gradient
        return loss

    def _move(
        self, parameter: nn.Parameter, gradient: Tensor, scale: Tensor | None, group: Any
    ) -> None:
        """One step of the rows that the gradient names; each counts its own steps."""
        gradient = gradient.coalesce()
        (row_U,), slope_UE = gradient.indices(), gradient.values()
        kind = torch.promote_types(parameter.dtype, torch.float32)
        state: dict[str, Tensor] = self.state[parameter]
        first_decay, second_decay = group["betas"]
        if not state:
            # torch keeps the type of what is called `step` when it loads a state.
            state["step"] = parameter.new_zeros(len(parameter), dtype=torch.float32)
            for name in ("exp_avg", "exp_avg_sq"):
                state[name] = torch.zeros_like(parameter)

        def of_rows(name: str) -> Tensor:
            return state[name].index_select(0, row_U).to(kind)

        slope_UE = slope_UE.to(kind) if scale is None else slope_UE.to(kind) / scale
        step_U = state["step"].index_select(0, row_U) + 1
        mean_UE = of_rows("exp_avg").lerp_(slope_UE, 1 - first_decay)
        square_UE = of_rows("exp_avg_sq").mul_(second_decay)
        square_UE.addcmul_(slope_UE, slope_UE, value=1 - second_decay)
        state["step"].index_copy_(0, row_U, step_U)
        for name, value_UE in (("exp_avg", mean_UE), ("exp_avg_sq", square_UE)):
            state[name].index_copy_(0, row_U, value_UE.to(parameter.dtype))
        whole_U1, whole_square_U1 = (
            -torch.expm1(step_U.double() * math.log(decay)).to(kind).unsqueeze(1)
            for decay in (first_decay, second_decay)
        )
        size_UE = (square_UE / whole_square_U1).sqrt_().add_(group["eps"])
        vector_UE = parameter.index_select(0, row_U).to(kind)
        vector_UE.mul_(1 - group["lr"] * group["weight_decay"])
        vector_UE.addcdiv_(mean_UE / whole_U1, size_UE, value=-group["lr"])
        parameter.index_copy_(0, row_U, vector_UE.to(parameter.dtype))


def flat(gradient: Tensor) -> Tensor:
    """A gradient in one dimension; of a sparse one the rows that occur, as all others are 0."""
    return gradient.coalesce().values().flatten() if gradient.is_sparse else gradient.flatten()


def with_values(gradient: Tensor, values: Tensor) -> Tensor:
    """Inverse of `flat`, for a gradient of the same rows as another."""
    if not gradient.is_sparse:
        return values.view_as(gradient)
    return torch.sparse_coo_tensor(
        gradient.indices(),
        values.view_as(gradient.values()),
        gradient.shape,
        is_coalesced=True,
        check_invariants=False,
    )
