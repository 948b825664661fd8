"""Long tables are updated row by row: as if each row were trained alone, wherever it occurs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from fsmd import data as data_package
from fsmd.adamw import RowWiseAdamW
from fsmd.batches import Batches
from fsmd.config import FSMDConfig
from fsmd.data.schema import Dataset
from fsmd.module import FSMDModule
from fsmd.training import Training, train

pytestmark = [
    pytest.mark.usefixtures("one_thread"),
    pytest.mark.filterwarnings(r"ignore:::lightning\..*", "ignore:.*LeafSpec.*:FutureWarning"),
]

SMALL = FSMDConfig(
    layers=(16, 8),
    expert_count=2,
    tower_width=8,
    dropout=0.1,
    batch_size=256,
    learning_rate=0.02,
    weight_decay=0.01,
)
RATE, DECAY = 0.1, 0.05


@pytest.fixture(scope="module")
def data() -> Dataset:
    return data_package.load("planted:rows=1000,tasks=3")


@pytest.fixture
def all_row_wise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fsmd.model.ROW_WISE", 0)


class NaiveRow:
    """AdamW of one row, as its paper has it, in double precision."""

    def __init__(self, start: np.ndarray) -> None:
        self.x, self.steps = start.copy(), 0
        self.mean, self.square = np.zeros_like(start), np.zeros_like(start)

    def move(self, slope: np.ndarray) -> None:
        self.steps += 1
        self.x *= 1 - RATE * DECAY
        self.mean = 0.9 * self.mean + 0.1 * slope
        self.square = 0.999 * self.square + 0.001 * slope**2
        mean = self.mean / (1 - 0.9**self.steps)
        square = self.square / (1 - 0.999**self.steps)
        self.x -= RATE * mean / (np.sqrt(square) + 1e-8)


def test_a_row_is_as_if_adamw_had_seen_it_alone_in_the_steps_in_which_it_occurs() -> None:
    draw = torch.Generator().manual_seed(0)
    table = nn.Embedding(40, 3, sparse=True)
    other = nn.Parameter(torch.randn(3, generator=draw))
    naive = [NaiveRow(row.numpy()) for row in table.weight.detach().double()]
    naive_other = NaiveRow(other.detach().double().numpy())
    parameters = [*table.parameters(), other]
    optimiser = RowWiseAdamW(parameters, RATE, DECAY, fused=True)
    for _ in range(30):
        ids = torch.randint(0, 40, (12,), generator=draw).clamp(max=30)  # some again, some never
        factor_BE = torch.randn(12, 3, generator=draw)
        optimiser.zero_grad()
        (table(ids) * factor_BE + other * factor_BE).sum().backward()
        optimiser.step()
        for i in set(ids.tolist()):
            naive[i].move(factor_BE[ids == i].sum(0).double().numpy())
        naive_other.move(factor_BE.sum(0).double().numpy())
    want = np.stack([row.x for row in naive])
    np.testing.assert_allclose(table.weight.detach(), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(other.detach(), naive_other.x, rtol=1e-4, atol=1e-5)
    steps = optimiser.state[table.weight]["step"]
    assert steps.tolist() == [row.steps for row in naive]
    assert steps[31:].max() == 0 < steps[0]


def test_where_every_row_occurs_in_each_step_it_is_torchs_adamw() -> None:
    results = []
    for sparse in (True, False):
        torch.manual_seed(0)
        table = nn.Embedding(20, 4, sparse=sparse)
        optimiser = RowWiseAdamW(table.parameters(), RATE, DECAY, fused=True)
        for _ in range(20):
            optimiser.zero_grad()
            (table(torch.arange(20)) * torch.randn(20, 4)).sum().backward()
            optimiser.step()
        results.append(table.weight.detach())
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


def test_what_torchs_scaler_leaves_to_the_optimiser_is_done() -> None:
    tables = [nn.Embedding(5, 2, sparse=True, _weight=torch.ones(5, 2)) for _ in range(2)]
    for table, scale in zip(tables, (None, torch.tensor(1024.0)), strict=True):
        optimiser: Any = RowWiseAdamW(table.parameters(), RATE, DECAY, fused=True)
        (table(torch.tensor([1, 3])).sum() * (1 if scale is None else scale)).backward()
        if scale is not None:
            optimiser.grad_scale, optimiser.found_inf = scale, torch.tensor(1.0)
            optimiser.step()
            assert torch.equal(table.weight, torch.ones(5, 2))
            optimiser.found_inf = torch.tensor(0.0)
        optimiser.step()
    assert torch.equal(tables[0].weight, tables[1].weight)
    assert (tables[0].weight[1] < 1).all()


MODELS_OF_EACH_KIND = {
    "fsmd": SMALL,
    "esmm with gradnorm": replace(SMALL, sharing="embeddings", balancing="gradnorm"),
    "gradnorm": replace(SMALL, balancing="gradnorm"),
    "pcgrad": replace(SMALL, balancing="pcgrad"),
    "pcgrad of own fms": replace(
        SMALL, balancing="pcgrad", fm="per_task", bias_fields=("video_id", "hour")
    ),
    "separate": replace(SMALL, sharing="none", chain=False),
    "dae": replace(SMALL, pretrain="dae"),
}


@pytest.mark.usefixtures("all_row_wise")
@pytest.mark.parametrize("name", ["fsmd", "pcgrad of own fms", "dae"])
def test_a_row_wise_training_is_the_same_each_time_and_when_it_was_paused(
    data: Dataset, tmp_path: Path, name: str
) -> None:
    training = Training(MODELS_OF_EACH_KIND[name], data.ref, seed=1, epochs=2)
    whole = train(training)
    paused = tmp_path / "paused.ckpt"
    train(training, until=1, checkpoint=paused)
    resumed = train(training, checkpoint=paused)
    assert resumed.measurements == whole.measurements
    assert resumed.predictions == whole.predictions


class Gradients(Callback):
    """Those that the optimiser was given in each step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *_: Any) -> None:
        parts = pl_module.named_parameters()
        self.steps.append({name: p.grad.clone() for name, p in parts if p.grad is not None})


def gradients(config: FSMDConfig, data: Dataset, **options: Any) -> dict[str, Tensor]:
    """Of the last step of one or more."""
    kept, module = Gradients(), FSMDModule.create(config, data.schema, seed=0)
    quiet: dict[str, Any] = {
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(**quiet, callbacks=[kept], **{"max_steps": 1, **options})
    trainer.fit(module, Batches(data.train, 256, torch.device("cpu")))
    return kept.steps[-1]


@pytest.mark.parametrize("batches", [1, 2])
@pytest.mark.parametrize("name", ["fsmd", "esmm with gradnorm", "gradnorm", "pcgrad of own fms"])
def test_gradients_are_those_of_a_short_table(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, name: str, batches: int
) -> None:
    config = replace(MODELS_OF_EACH_KIND[name], dropout=0.0)
    want = gradients(config, data, accumulate_grad_batches=batches)
    monkeypatch.setattr("fsmd.model.ROW_WISE", 0)
    got = gradients(config, data, accumulate_grad_batches=batches)
    assert got.keys() == want.keys()
    for part, gradient in got.items():
        is_table = "table" in part or part.endswith("fms.0.weight.weight")
        assert (gradient.is_sparse, want[part].is_sparse) == (is_table, False)
        torch.testing.assert_close(gradient.to_dense(), want[part], rtol=1e-4, atol=1e-7)


@pytest.mark.usefixtures("all_row_wise")
@pytest.mark.parametrize("name", MODELS_OF_EACH_KIND)
def test_every_kind_of_model_learns_row_by_row(data: Dataset, name: str) -> None:
    result = train(Training(MODELS_OF_EACH_KIND[name], data.ref, seed=1, epochs=2))
    losses = [m.value for m in result.measurements if m.metric == "loss"]
    assert losses[1] < losses[0]


@pytest.mark.usefixtures("all_row_wise")
@pytest.mark.parametrize("precision", ["32-true", "64-true", "bf16-true", "bf16-mixed"])
@pytest.mark.parametrize("algorithm", ["norm", "value"])
def test_gradients_are_clipped_over_all_parameters(
    data: Dataset, precision: Any, algorithm: str
) -> None:
    limit = 1e-3
    clipping: dict[str, Any] = {"gradient_clip_val": limit, "gradient_clip_algorithm": algorithm}
    found = gradients(SMALL, data, max_steps=3, precision=precision, **clipping).values()
    assert any(gradient.is_sparse for gradient in found)
    flat_P = torch.cat([gradient.to_dense().flatten().double() for gradient in found])
    reached = flat_P.norm() if algorithm == "norm" else flat_P.abs().max()
    assert float(reached) == pytest.approx(limit, rel=0.02)
