"""What goes on inside, on a few fixed rows: gates, dead units, and whether tasks pull apart."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import combinations

import torch
from torch import Tensor, nn

from fsmd.adamw import flat
from fsmd.batches import Batch
from fsmd.model import FSMD, Experts, SharedBottom
from fsmd.module import FSMDModule
from fsmd.tasks import ALL, names
from fsmd.training import pair_key

GRADIENT_ROWS = 1024
GATE_ROWS = 4096


def gradient_cosines(module: FSMDModule, batch: Batch) -> Iterator[tuple[str, float]]:
    """(`pair_key`, cosine) of each two tasks' loss gradients on the shared parameters.

    Below 0 a step for one task is a step against the other. A gradient that vanishes has none.
    """
    shared, tasks = module.model.shared_parameters(), names(module.schema.tasks)
    if not shared or len(tasks) == 1:
        return

    def gradient(loss: Tensor) -> Tensor:
        parts = torch.autograd.grad(loss, shared, retain_graph=True, materialize_grads=True)
        return torch.cat([flat(part) for part in parts])

    with _evaluating(module):
        gradients = [
            (task, gradient(loss)) for task, loss in zip(tasks, module.losses(batch), strict=True)
        ]
    yield from cosines(gradients)


def cosines(gradients: Sequence[tuple[str, Tensor]]) -> Iterator[tuple[str, float]]:
    """(`pair_key`, cosine) of each two tasks' flat gradients, but where one vanishes."""
    for (task, one), (other_task, other) in combinations(gradients, 2):
        norms = one.norm() * other.norm()
        if norms > 0:
            yield pair_key(task, other_task), float(one @ other / norms)


def inner_figures(module: FSMDModule, batch: Batch) -> Iterator[tuple[str, str, float]]:
    """(task or `ALL`, metric, value) of gates and hidden units.

    `gate_weight_<i>`: mean weight that the task's gate at the last level gives expert i, shared
    experts first; `gate_entropy`: mean entropy over its largest possible value, 1 for equal
    weights; `dead_units`: share of the experts' (or the bottom's) hidden units that are 0 on all
    rows.
    """
    with _evaluating(module), torch.no_grad():
        figures = inner_tensors(module, batch)
    for (name, metric), value in figures.items():
        yield name, metric, float(value)


def inner_tensors(module: FSMDModule, batch: Batch) -> dict[tuple[str, str], Tensor]:
    """As `inner_figures`, without a wait for the values; in the mode that the module is in."""
    model, figures = module.model, dict[tuple[str, str], Tensor]()
    gates = list(model.sharing.last.gates) if isinstance(model.sharing, Experts) else []
    units = _hidden_units(model)
    with _recorded([*gates, *units]) as outputs:
        model(batch[0], batch[1].to(module.dtype))
    for task, gate in zip(names(module.schema.tasks), gates, strict=False):  # or no gates
        (weight_BN,) = outputs[gate]
        for i, weight in enumerate(weight_BN.mean(0)):
            figures[task, f"gate_weight_{i}"] = weight
        if weight_BN.shape[1] > 1:
            entropy = torch.special.entr(weight_BN).sum(1).mean() / math.log(weight_BN.shape[1])
            figures[task, "gate_entropy"] = entropy
    if units:
        dead = torch.cat(
            [(out_BH == 0).all(-2).flatten() for unit in units for out_BH in outputs[unit]]
        )
        figures[ALL, "dead_units"] = dead.float().mean()
    return figures


def _hidden_units(model: FSMD) -> list[nn.Module]:
    """The ReLU layers of all experts, or of the bottom, each called for one network at a time.

    On a GPU for all, N x B x H.
    """
    if isinstance(model.sharing, Experts):
        wanted = {"shared", "own"}
    else:
        wanted = {"bottom"} if isinstance(model.sharing, SharedBottom) else set()
    return [
        part
        for name, part in model.sharing.named_modules()
        if isinstance(part, nn.ReLU) and wanted & set(name.split("."))
    ]


@contextmanager
def _recorded(modules: Sequence[nn.Module]) -> Iterator[dict[nn.Module, list[Tensor]]]:
    """Outputs of `modules` while the block runs: one for each time that a module is called."""
    outputs: dict[nn.Module, list[Tensor]] = {module: [] for module in modules}

    def keep(module: nn.Module, _: object, output: Tensor) -> None:
        outputs[module].append(output)

    hooks = [module.register_forward_hook(keep) for module in modules]
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """No dropout is drawn, no batch-norm statistic moves."""
    before = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(before)
