"""What is measured inside a model, and that measuring changes nothing."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from fsmd.config import FSMDConfig
from fsmd.data.planted import PlantedConfig, load_planted
from fsmd.data.schema import Dataset
from fsmd.diagnostics import gradient_cosine, inner_figures
from fsmd.model import task_losses
from fsmd.module import Batch, FSMDModule
from fsmd.predictions import pack_ranks, unpack_ranks
from fsmd.task import DataRef, TrainingTask
from fsmd.training import Selection, train

SMALL = FSMDConfig(
    layers=(16, 8), expert_count=4, tower_width=8, batch_size=256, dropout=0.2, chain=False,
    learning_rate=0.01,
)  # fmt: skip


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_planted(PlantedConfig(rows=4000, users=100, videos=50))


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
def test_gradient_cosine_is_that_of_two_backward_passes(
    sharing: str, data: Dataset, batch: Batch
) -> None:
    module = module_of(replace(SMALL, sharing=sharing), data)
    got = gradient_cosine(module, batch)
    module.eval()
    found = []
    for k in range(2):
        module.zero_grad()
        logits = module.model(batch[0], batch[1])
        task_losses(logits, batch[2], chain=False)[k].backward()  # type: ignore[no-untyped-call]
        shared = module.model.shared_parameters()
        grads = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in shared]
        found.append(torch.cat([g.flatten() for g in grads]))
    want = torch.nn.functional.cosine_similarity(found[0], found[1], dim=0)
    assert got == pytest.approx(float(want), abs=1e-5)


def test_models_that_share_nothing_have_no_gradient_cosine(data: Dataset, batch: Batch) -> None:
    assert gradient_cosine(module_of(replace(SMALL, sharing="none"), data), batch) is None


def test_gate_figures_are_means_over_rows(data: Dataset, batch: Batch) -> None:
    module: Any = module_of(SMALL, data)
    found = {(task, metric): value for task, metric, value in inner_figures(module, batch)}
    for k, task in enumerate(data.schema.tasks):
        x = module.eval().model
        level = x.sharing.levels[-1]
        rows = batch[0] + x.offset_F
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
    experts = [*module.model.sharing.levels[0].shared]
    with torch.no_grad():
        experts[0].net[0].bias.fill_(-1e6)  # its 16 units of the first layer
    after = {m: v for _, m, v in inner_figures(module, batch)}["dead_units"]
    units = 6 * (16 + 8)  # two shared and two own experts a task, each of two layers
    assert after - before == pytest.approx(16 / units, abs=8 / units)
    assert after >= 16 / units


@pytest.mark.parametrize("sharing", ["bottom", "extraction"])
def test_measuring_changes_nothing_of_training(
    sharing: str, data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = TrainingTask(
        replace(SMALL, sharing=sharing), DataRef("planted", data.content_hash, data.path), 3, 3
    )
    with_figures = train(task)

    def nothing(self: Selection, module: FSMDModule) -> Iterator[Any]:
        return iter(())

    monkeypatch.setattr(Selection, "_diagnostics", nothing)
    without = train(task)
    assert set(without.measurements) < set(with_figures.measurements)
    extra = {m.metric.rstrip("0123456789") for m in with_figures.measurements} - {
        m.metric.rstrip("0123456789") for m in without.measurements
    }
    assert extra == {"gradient_cosine", "dead_units"} | (
        {"gate_weight_", "gate_entropy"} if sharing == "extraction" else set()
    )
    assert with_figures.predictions == without.predictions


# --- stored predictions --------------------------------------------------------------------


@pytest.mark.parametrize("sharing", ["none", "extraction"])
def test_stored_ranks_give_the_measured_auc(sharing: str, data: Dataset) -> None:
    ref = DataRef("planted", data.content_hash, data.path)
    result = train(TrainingTask(replace(SMALL, sharing=sharing), ref, 3, 2))
    assert set(result.predictions) == set(data.schema.tasks)
    for k, task in enumerate(data.schema.tasks):
        ranks = unpack_ranks(result.predictions[task])
        auc = roc_auc_score(data.test.labels[:, k], ranks)
        assert result.value("test", task, "auc") == pytest.approx(auc, abs=1e-7)


@pytest.mark.parametrize("rows", [1, 10, 65_536])
def test_ranks_keep_order_and_ties_exactly(rows: int) -> None:
    draw = np.random.default_rng(0)
    scores = draw.normal(size=rows).astype(np.float32)
    scores[rows // 2 :] = scores[: rows - rows // 2]
    for values in (scores, draw.permutation(rows).astype(np.float64)):
        packed = pack_ranks(values)
        assert len(packed) == 2 * rows
        want = np.unique(values, return_inverse=True)[1]
        np.testing.assert_array_equal(unpack_ranks(packed), want)


def test_beyond_two_bytes_of_ranks_the_auc_hardly_moves() -> None:
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 2, 200_000)
    scores = draw.normal(size=200_000) + labels
    ranks = unpack_ranks(pack_ranks(scores))
    assert roc_auc_score(labels, ranks) == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
