"""The bench of training holds together, on tiny data and without the rivals."""

from dataclasses import replace

import pytest
import torch

import fsmd
from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from fsmd.module import FSMDModule
from tests import bench_training
from tests.bench import rivals
from tests.bench.bound import linear_layers
from tests.bench.ours import Ours, workload

pytestmark = [
    pytest.mark.filterwarnings(r"ignore:::lightning\..*"),
    pytest.mark.usefixtures("one_thread"),
]


@pytest.fixture(scope="module")
def data() -> Dataset:
    return fsmd.load("planted:rows=2000")


@pytest.mark.parametrize("name", bench_training.MODELS)
def test_the_bound_has_every_linear_layer_of_the_model_and_no_other(
    data: Dataset, name: str
) -> None:
    work = workload(data, name, batch_size=64, examples=64)
    bare = replace(work.config, batch_norm=False, fm="none")
    module = FSMDModule.create(bare, data.schema, seed=0)
    tables = bare.embedding_size * sum(data.schema.cardinalities)
    linear = sum(
        each.number * (each.inputs + 1) * each.outputs
        for each in linear_layers(work.config, data.schema)
    )
    assert tables + linear == sum(p.numel() for p in module.parameters())


def test_a_run_without_rivals_measures_ours_and_the_bounds(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rivals, "installed", list)
    told: list[str] = []
    measured = bench_training.measure(data, "shared_bottom", 64, 200, 2, told.append)
    assert list(measured.medians) == [
        *("ours", "ours_bfloat16", "bound_float32", "bound_bfloat16")
    ]
    assert all(value > 0 for value in measured.medians.values())
    assert len(measured.work.train) == 192  # whole batches
    assert [line[: line.index(":")] for line in told] == [
        "shared_bottom, batch 64, turn 1 of 2",
        "shared_bottom, batch 64, turn 2 of 2",
    ]
    auc = measured.validated["ours"].figures
    assert list(auc) == ["click", "long_view"]
    assert all(0 <= value <= 1 for value in auc.values())
    assert sum(measured.operators.values()) <= 1
    assert measured.ratio("bound_float32") is not None
    assert measured.ratio("deepctr_torch") is None


def test_a_second_epoch_goes_on_with_the_state_of_the_optimiser(data: Dataset) -> None:
    ours = Ours(workload(data, "shared_bottom", batch_size=64, examples=128))
    for number in range(2):
        ours.epoch(number)
    optimiser = ours._module.configure_optimizers()
    assert isinstance(optimiser, torch.optim.Optimizer)
    assert {int(state["step"]) for state in optimiser.state.values()} == {4}


def test_a_batch_of_more_rows_than_an_epoch_is_refused(data: Dataset) -> None:
    with pytest.raises(UserError, match=r"^--batches must be at most .* 100; got 128$"):
        workload(data, "mmoe", batch_size=128, examples=100)
