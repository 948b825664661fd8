"""Joining the tasks' losses and gradients: the formulas, by hand."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from fsmd import balancing
from fsmd.balancing import GradNorm, Uncertainty, add_projected_gradients, project


def test_uncertainty_starts_as_the_sum_and_follows_its_formula() -> None:
    joined = Uncertainty(2)
    losses = torch.tensor([0.7, 0.2])
    assert joined(losses).item() == pytest.approx(0.9)
    with torch.no_grad():
        joined.log_variance_K.copy_(torch.tensor([1.0, -2.0]))
    want = 0.7 * torch.e**-1 + 0.5 + 0.2 * torch.e**2 - 1.0
    assert joined(losses).item() == pytest.approx(want)


def test_uncertainty_is_least_where_the_variance_is_twice_the_loss() -> None:
    joined = Uncertainty(2)
    losses = torch.tensor([0.7, 0.2])
    with torch.no_grad():
        joined.log_variance_K.copy_((2 * losses).log())
    joined(losses).backward()
    assert joined.log_variance_K.grad is not None
    torch.testing.assert_close(joined.log_variance_K.grad, torch.zeros(2), atol=1e-7, rtol=0)


def test_gradients_that_agree_are_summed_as_they_are() -> None:
    one, other = torch.tensor([1.0, 2.0]), torch.tensor([2.0, -0.5])
    torch.testing.assert_close(project([one, other]), one + other)


def test_of_gradients_in_conflict_each_loses_its_part_along_the_other() -> None:
    one, other = torch.tensor([1.0, 0.0]), torch.tensor([-1.0, 1.0])
    # one: minus (-1/2) * (-1, 1) = (1/2, 1/2); other: minus (-1) * (1, 0) = (0, 1).
    torch.testing.assert_close(project([one, other]), torch.tensor([0.5, 1.5]))


@pytest.mark.parametrize("seed", range(5))
def test_the_projected_sum_worsens_neither_of_two_tasks(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    one, other = torch.randn(2, 40, generator=draw)
    other = other - 0.8 * one
    joined = project([one, other])
    assert joined @ one >= -1e-5
    assert joined @ other >= -1e-5


class Toy(nn.Module):
    """A shared layer and a head for each of two tasks."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.shared = nn.Linear(4, 3)
        self.heads = nn.ModuleList(nn.Linear(3, 1) for _ in range(2))

    def losses(self, scale: float = 1.0, sign: float = 1.0) -> Tensor:
        draw = torch.Generator().manual_seed(1)
        x = torch.randn(16, 4, generator=draw)
        hidden = torch.tanh(self.shared(x))
        first, second = (head(hidden).squeeze(1) for head in self.heads)
        y = x[:, 0]
        return torch.stack([((first - y) ** 2).mean(), scale * ((second - sign * y) ** 2).mean()])


def gradients(model: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    found = torch.autograd.grad(
        loss, list(model.parameters()), retain_graph=True, materialize_grads=True
    )
    return dict(zip(dict(model.named_parameters()), found, strict=True))


def test_projection_changes_shared_parameters_only() -> None:
    model = Toy()
    with torch.no_grad():  # equal heads and opposed targets: the tasks pull apart
        model.heads[1].load_state_dict(model.heads[0].state_dict())
    losses = model.losses(sign=-1.0)
    first, second = (gradients(model, loss) for loss in losses)
    flat = [torch.cat([g["shared.weight"].flatten(), g["shared.bias"]]) for g in (first, second)]
    assert flat[0] @ flat[1] < 0
    shared = list(model.shared.parameters())
    add_projected_gradients(losses, list(model.parameters()), shared)
    got = {name: parameter.grad for name, parameter in model.named_parameters()}
    for name, grad in got.items():
        assert grad is not None
        plain = first[name] + second[name]
        assert torch.allclose(grad, plain) == (not name.startswith("shared"))
    weight, bias = got["shared.weight"], got["shared.bias"]
    assert weight is not None
    assert bias is not None
    torch.testing.assert_close(torch.cat([weight.flatten(), bias]), project(flat))


def naive_gradnorm(weights: list[float], norms: list[float], pace: list[float]) -> list[float]:
    """One step of the weights, in plain numbers."""
    mean_pace = sum(pace) / 2
    target = [(p / mean_pace) ** balancing.GRADNORM_ALPHA for p in pace]
    mean_norm = sum(w * n for w, n in zip(weights, norms, strict=True)) / 2
    moved = []
    for w, n, t in zip(weights, norms, target, strict=True):
        slope = n if w * n > mean_norm * t else -n
        moved.append(w - balancing.GRADNORM_RATE * slope)
    return [2 * w / sum(moved) for w in moved]


def test_gradnorm_moves_its_weights_as_the_formula_says() -> None:
    model, joined = Toy(), GradNorm(2)
    layer: Any = [model.shared.weight]
    first = model.losses(scale=5.0).detach()
    weights = [1.0, 1.0]
    for step in range(3):
        losses = model.losses(scale=5.0) / (1 + step * torch.tensor([0.5, 0.1]))
        norms = [float(gradients(model, loss)["shared.weight"].norm()) for loss in losses]
        pace = [float(now / then) for now, then in zip(losses.detach(), first, strict=True)]
        want = sum(w * float(loss) for w, loss in zip(weights, losses.detach(), strict=True))
        assert float(joined(losses, layer).detach()) == pytest.approx(want)
        weights = naive_gradnorm(weights, norms, pace)
        torch.testing.assert_close(joined.weight_K, torch.tensor(weights))
        assert float(joined.weight_K.sum()) == pytest.approx(2)
    assert joined.weight_K[1] < joined.weight_K[0]  # the steeper task counts less


@pytest.mark.parametrize("tasks", [1, 3])
def test_any_number_of_tasks_is_balanced(tasks: int) -> None:
    losses = torch.linspace(0.2, 0.9, tasks)
    assert Uncertainty(tasks)(losses).item() == pytest.approx(float(losses.sum()))
    gradients_K = list(torch.randn(tasks, 40, generator=torch.Generator().manual_seed(0)))
    assert project(gradients_K).shape == (40,)
    layer = nn.Parameter(torch.ones(3))
    joined = GradNorm(tasks)
    for step in range(3):
        moving = torch.stack([(layer * (k + 1)).square().sum() for k in range(tasks)])
        joined(moving / (step + 1), [layer])
    assert joined.weight_K.isfinite().all()
    assert float(joined.weight_K.sum()) == pytest.approx(tasks)


def test_gradnorm_waits_for_the_first_loss_of_a_task_that_was_not_observed_yet() -> None:
    layer, joined = nn.Parameter(torch.ones(3)), GradNorm(2)
    for seen in (0.0, 0.0, 1.0, 0.5):
        losses = torch.stack([layer.square().sum(), seen * layer.sum()])
        assert joined(losses, [layer]).isfinite()
        assert joined.weight_K.isfinite().all()
    torch.testing.assert_close(joined.first_K, torch.tensor([3.0, 3.0]))


@pytest.mark.parametrize("seen", [(1.0, 0.0), (0.0, 0.0)])
def test_a_batch_that_shows_one_task_at_most_moves_no_weight_of_gradnorm(
    seen: tuple[float, float],
) -> None:
    layer, joined = nn.Parameter(torch.ones(3)), GradNorm(2)
    for scale in (1.0, 0.5):
        joined(torch.stack([scale * layer.square().sum(), 2 * layer.sum()]), [layer])
    before = joined.weight_K.clone()
    assert not torch.equal(before, torch.ones(2))
    joined(torch.stack([seen[0] * layer.square().sum(), seen[1] * layer.sum()]), [layer])
    torch.testing.assert_close(joined.weight_K, before)
