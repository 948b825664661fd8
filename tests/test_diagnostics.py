"""What is measured inside a model, and that measuring changes nothing."""

from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch

from fsmd.batches import Batch
from fsmd.callbacks import Diagnostics
from fsmd.config import FSMDConfig
from fsmd.data.schema import Dataset
from fsmd.data.sets.planted import PlantedConfig, load_planted
from fsmd.diagnostics import gradient_cosines, inner_figures
from fsmd.model import task_losses
from fsmd.module import FSMDModule
from fsmd.training import Training, pair_key, train

SMALL = FSMDConfig(
    layers=(16, 8),
    expert_count=4,
    tower_width=8,
    batch_size=256,
    dropout=0.2,
    weight_decay=0.0,
    chain=False,
    learning_rate=0.01,
)


@pytest.fixture(scope="module", params=[2, 3])
def data(request: pytest.FixtureRequest) -> Dataset:
    return load_planted(PlantedConfig(rows=1000, users=100, videos=50, tasks=request.param))


@pytest.fixture
def batch(data: Dataset) -> Batch:
    parts = (data.train.ids, data.train.dense, data.train.labels)
    ids, dense, labels = (torch.from_numpy(np.array(part[:200])) for part in parts)
    return ids, dense, labels


def module_of(config: FSMDConfig, data: Dataset) -> FSMDModule:
    module = FSMDModule.create(config, data.schema, seed=1)
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=draw))
    return module


@pytest.mark.parametrize("sharing", ["embeddings", "bottom", "experts", "extraction"])
def test_gradient_cosines_are_those_of_a_backward_pass_for_each_task(
    sharing: str, data: Dataset, batch: Batch
) -> None:
    module = module_of(replace(SMALL, sharing=sharing), data)
    got = dict(gradient_cosines(module, batch))
    module.eval()
    gradient_K = []
    for k in range(len(data.schema.tasks)):
        module.zero_grad()
        logits = module.model(batch[0], batch[1])
        task_losses(logits, batch[2], None)[k].backward()  # type: ignore[no-untyped-call]
        shared = module.model.shared_parameters()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in shared]
        gradient_K.append(torch.cat([g.flatten() for g in grads]))
    want = {
        pair_key(data.schema.tasks[i].name, data.schema.tasks[j].name): float(
            torch.nn.functional.cosine_similarity(gradient_K[i], gradient_K[j], dim=0)
        )
        for i, j in combinations(range(len(gradient_K)), 2)
    }
    assert got == pytest.approx(want, abs=1e-5)


def test_models_that_share_nothing_have_no_gradient_cosine(data: Dataset, batch: Batch) -> None:
    module = module_of(replace(SMALL, sharing="none"), data)
    assert list(gradient_cosines(module, batch)) == []


def test_one_task_has_no_gradient_cosine_but_its_inner_figures(
    data: Dataset, batch: Batch
) -> None:
    schema = replace(data.schema, tasks=data.schema.tasks[:1])
    module = FSMDModule.create(SMALL, schema, seed=1)
    alone = (batch[0], batch[1], batch[2][:, :1])
    assert list(gradient_cosines(module, alone)) == []
    assert {metric for _, metric, _ in inner_figures(module, alone)} > {"dead_units"}


def test_a_task_that_was_observed_on_none_of_the_rows_has_no_gradient_cosine(
    data: Dataset, batch: Batch
) -> None:
    labels = batch[2].clone()
    labels[:, 1] = torch.nan
    schema = replace(data.schema, masked=True)
    module = FSMDModule.create(SMALL, schema, seed=1)
    pairs = {pair for pair, _ in gradient_cosines(module, (batch[0], batch[1], labels))}
    assert pairs == ({pair_key("click", "like")} if len(schema.tasks) == 3 else set())


def test_gate_figures_are_means_over_rows(data: Dataset, batch: Batch) -> None:
    module: Any = module_of(SMALL, data)
    found = {(task, metric): value for task, metric, value in inner_figures(module, batch)}
    for k, task in enumerate(task.name for task in data.schema.tasks):
        x = module.eval().model
        level = x.sharing.levels[-1]
        rows = x.columns(batch[0])
        inputs = torch.cat([x.embeddings[0](rows).flatten(1), batch[1]], 1)
        weights = level.gates[k](inputs).detach()
        for i in range(4):
            want = float(weights[:, i].mean())
            assert found[task, f"gate_weight_{i}"] == pytest.approx(want, abs=1e-6)
        entropy = -(weights * weights.log()).sum(1).mean() / np.log(4)
        assert found[task, "gate_entropy"] == pytest.approx(float(entropy), abs=1e-5)


def test_equal_gates_have_entropy_one(data: Dataset, batch: Batch) -> None:
    module = module_of(replace(SMALL, gate="equal"), data)
    found = {metric: value for _, metric, value in inner_figures(module, batch)}
    assert found["gate_entropy"] == pytest.approx(1)
    assert found["gate_weight_3"] == pytest.approx(0.25)


def test_dead_units_are_those_that_are_zero_on_all_rows(data: Dataset, batch: Batch) -> None:
    module: Any = module_of(replace(SMALL, batch_norm=False), data)
    before = {m: v for _, m, v in inner_figures(module, batch)}["dead_units"]
    experts = module.model.sharing.levels[0].shared
    with torch.no_grad():
        experts[0].bias[0].fill_(-1e6)  # the first one's 16 units of the first layer
    after = {m: v for _, m, v in inner_figures(module, batch)}["dead_units"]
    experts_in_all = 2 + 2 * len(data.schema.tasks)  # two shared ones, two of each task
    units = experts_in_all * (16 + 8)  # each of two layers
    assert after - before == pytest.approx(16 / units, abs=8 / units)
    assert after >= 16 / units


@pytest.mark.parametrize("sharing", ["bottom", "extraction"])
def test_measuring_changes_nothing_of_training(
    sharing: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = Training(replace(SMALL, sharing=sharing), data.ref, seed=3, epochs=3)
    with_figures = train(training)

    def nothing(self: Diagnostics, trainer: Any, pl_module: Any) -> None:
        pass

    monkeypatch.setattr(Diagnostics, "on_train_epoch_end", nothing)
    without = train(training)
    assert set(without.measurements) < set(with_figures.measurements)
    extra = {m.metric.rstrip("0123456789") for m in with_figures.measurements} - {
        m.metric.rstrip("0123456789") for m in without.measurements
    }
    assert extra == {"gradient_cosine", "dead_units"} | (
        {"gate_weight_", "gate_entropy"} if sharing == "extraction" else set()
    )
    assert with_figures.predictions == without.predictions
