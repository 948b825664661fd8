"""Trainings of one shape as one program: each has the numbers that it has alone."""

import json
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import fsmd.layers
import fsmd.model
from fsmd import stack, trainer
from fsmd.baselines import BASELINES
from fsmd.config import MODELS, FSMDConfig, fitted
from fsmd.data import load
from fsmd.data.schema import Dataset, Field, Split
from fsmd.metrics import METRICS, measured
from fsmd.on_device import FIGURES, figure
from fsmd.packing import unpack
from fsmd.runtime import Runtime
from fsmd.stack import train_together, why_alone
from fsmd.training import DivergedError, Job, Training, TrainingProgress, TrainingResult, train
from studies.failure import Failure, failure_of
from studies.planner.agenda import STACKS_OF_STEP, LongestFirst, stacks
from studies.planner.design import Cell
from studies.request import Request
from studies.timing import EpochTime, measure
from studies.workers.local import processors
from studies.workers.worker import train_all
from tests import bench_gpu, made_up
from tests.test_baselines import data_of

pytestmark = pytest.mark.usefixtures("one_thread")

CLOSE = 1e-6
"""What a figure may differ by from the training's alone: sums come in another order. In double
precision, as a training carries on whatever its first steps' last digits were."""
ROUNDED = 5e-3
"""The same in single precision."""
PLACES = 2
ON_ANY = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load("planted:rows=600")


def of(data: Dataset, model: str = "fsmd", **changes: Any) -> Training:
    """A small training for a stack."""
    small: dict[str, Any] = {"layers": (16, 8), "tower_width": 8, "expert_count": 4}
    config = replace(
        fitted(MODELS[model], data.schema.tasks),
        learning_rate=0.0005,
        batch_size=192,
        **small,
        **changes,
    )
    training = Training.on(data, config)
    return replace(training, epochs=3, patience=1, runtime=Runtime(stack=PLACES))


def with_config(training: Training, **changes: object) -> Training:
    return replace(training, config=replace(training.config, **changes))  # type: ignore[arg-type]


def unlike(training: Training, count: int = 3) -> list[Training]:
    """Trainings of one shape that differ in all that is no shape."""
    return [
        replace(
            with_config(
                training,
                learning_rate=0.0005 + 0.0002 * i,
                dropout=(0.0, 0.2, 0.1)[i % 3],
                weight_decay=0.01 * i,
                task_weights=(1.0, 1.0 + i),
            ),
            seed=i,
            epochs=2 + i % 2,
        )
        for i in range(count)
    ]


def alone(training: Training) -> TrainingResult:
    return train(replace(training, runtime=replace(training.runtime, stack=1)))


def together(trainings: Sequence[Training]) -> list[TrainingResult]:
    results = []
    for outcome in train_together([Job(training) for training in trainings]):
        if isinstance(outcome, Exception):
            raise outcome
        results.append(outcome)
    return results


def assert_close(found: TrainingResult, wanted: TrainingResult, apart: float = CLOSE) -> None:
    assert found.chosen_epochs == wanted.chosen_epochs
    assert (found.epochs, found.finished) == (wanted.epochs, wanted.finished)
    assert found.parameters == wanted.parameters
    one, other = (
        {(m.epoch, m.split, m.task, m.metric): m.value for m in r.measurements}
        for r in (found, wanted)
    )
    assert list(one) == list(other)
    for key, value in one.items():
        assert value == pytest.approx(other[key], abs=apart), key
    for task, packed in found.predictions.items():
        assert np.allclose(unpack(packed), unpack(wanted.predictions[task]), atol=apart)


@pytest.fixture
def doubled() -> Iterator[None]:
    """Models are made in double precision."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("doubled")
@pytest.mark.parametrize("model", ["fsmd", "mmoe", "ple"])
def test_each_training_of_a_stack_has_the_numbers_it_has_alone(data: Dataset, model: str) -> None:
    trainings = unlike(of(data, model))  # one more than there are places
    assert len({training.shape for training in trainings}) == 1
    for found, training in zip(together(trainings), trainings, strict=True):
        assert_close(found, alone(training))


@pytest.mark.usefixtures("doubled")
@pytest.mark.parametrize(
    "changes",
    [
        {"balancing": "uncertainty", "fm": "per_task"},
        {"batch_norm": False, "gate": "equal", "extraction_levels": 2},
        {"sharing": "none", "chain": False, "fm": "none"},
        {"bias_fields": ("hour",), "gate_depth": 2, "bottom": (12,)},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_so_has_every_kind_of_model(data: Dataset, changes: dict[str, Any]) -> None:
    training = unlike(of(data, **changes))[1]
    assert_close(together([training])[0], alone(training))


@pytest.fixture(params=["as_on_a_cpu", "as_on_a_gpu"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack takes the steps that it takes on that device."""
    if request.param == "as_on_a_gpu":
        for module in (fsmd.layers, fsmd.model):
            monkeypatch.setattr(module, "AT_ONCE", ("cpu",))


@pytest.mark.usefixtures("doubled")
@pytest.mark.parametrize("changes", [{}, {"extraction_levels": 2, "own_experts": 4}], ids=str)
def test_so_it_is_by_the_steps_that_a_gpu_takes(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    trainings = unlike(of(data, **changes), PLACES)
    wanted = [alone(training) for training in trainings]
    for module in (fsmd.layers, fsmd.model):
        monkeypatch.setattr(module, "AT_ONCE", ("cpu",))
    for found, each in zip(together(trainings), wanted, strict=True):
        assert_close(found, each)
    assert_close(alone(trainings[1]), wanted[1])


@pytest.mark.usefixtures("doubled", "way")
def test_so_it_is_with_weights_masks_several_ids_and_metrics_of_groups(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = data_of(masked=True, weighted=True)
    fields = tuple(replace(field, cardinality=6) for field in made.schema.categorical)
    assert Field("tags", 6, length=3) in fields
    tasks = tuple(
        replace(task, metric=metric)
        for task, metric in zip(made.schema.tasks, ("user_auc", "auc"), strict=True)
    )
    made = replace(made, schema=replace(made.schema, categorical=fields, tasks=tasks))
    for module in (stack, trainer):
        monkeypatch.setattr(module, "open_encoded", lambda _: made)
    for found, training in zip(together(trainings := unlike(of(made), 2)), trainings, strict=True):
        assert_close(found, alone(training))


@pytest.mark.usefixtures("way")
def test_a_stack_trains_in_bfloat16(data: Dataset) -> None:
    training = of(data)
    half = replace(training, runtime=Runtime(precision="bfloat16", stack=PLACES))
    found, wanted, single = together([half])[0], alone(half), alone(training)
    losses = [
        [m.value for m in result.measurements if m.metric == "loss"]
        for result in (found, wanted, single)
    ]
    assert losses[0] == pytest.approx(losses[1], rel=0.01)
    assert losses[1] != losses[2]


@ON_ANY
def test_what_trains_beside_it_moves_no_bit(data: Dataset, device: str) -> None:
    first, *others = (
        replace(each, runtime=Runtime(device, stack=PLACES)) for each in unlike(of(data))
    )
    by_itself, beside = together([first])[0], together([first, *others])[0]
    assert by_itself.measurements == beside.measurements
    assert by_itself.predictions == beside.predictions
    assert train(first).measurements == beside.measurements


@ON_ANY
def test_paused_and_resumed_a_stack_equals_an_uninterrupted_one_bit_for_bit(
    data: Dataset, tmp_path: Path, device: str
) -> None:
    trainings = [
        replace(each, runtime=Runtime(device, stack=PLACES)) for each in unlike(of(data), PLACES)
    ]
    whole = together(trainings)
    jobs = [Job(training, tmp_path / training.id) for training in trainings]
    paused = train_together([replace(job, until=1) for job in jobs])
    assert [(r.epochs, r.finished) for r in paused if isinstance(r, TrainingResult)] == [
        (1, False)
    ] * PLACES
    late = train_together(jobs, deadline=time.monotonic())  # paused after the epoch that it is in
    assert [r.epochs for r in late if isinstance(r, TrainingResult)] == [2] * PLACES
    (alone_again,) = train_together(jobs[1:])  # in its own place
    assert isinstance(alone_again, TrainingResult)
    assert alone_again.measurements == whole[1].measurements
    for found, wanted in zip(train_together(jobs), whole, strict=True):
        assert isinstance(found, TrainingResult)
        assert found.measurements == wanted.measurements
        assert found.predictions == wanted.predictions


def test_a_stacks_checkpoint_with_other_weights_is_said_and_trained_anew(
    data: Dataset, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    training, path = of(data), tmp_path / "pause.ckpt"
    (first,) = train_together([Job(training, path, until=1)])
    saved = torch.load(path, weights_only=True)
    (held,) = (part for name, part in saved["callbacks"].items() if name.startswith("_Held"))
    held["tensors"]["another"] = held["tensors"].pop(next(iter(held["tensors"])))
    torch.save(saved, path)
    (again,) = train_together([Job(training, path, until=1)])
    assert isinstance(first, TrainingResult)
    assert isinstance(again, TrainingResult)
    assert again.measurements == first.measurements
    assert "its weights are of another model" in caplog.text


def test_one_that_diverges_ends_and_the_others_go_on(data: Dataset) -> None:
    good = of(data)
    bad = with_config(good, learning_rate=1e30)
    first, second = train_together([Job(bad), Job(good)])
    assert isinstance(first, DivergedError)
    assert isinstance(second, TrainingResult)
    assert second.finished


def test_an_error_of_whoever_is_told_ends_one_training_alone(data: Dataset) -> None:
    def refuse(progress: TrainingProgress) -> None:
        raise LookupError("enough")

    first, second = train_together([Job(of(data), None, refuse), Job(of(data))])
    assert isinstance(first, LookupError)
    assert isinstance(second, TrainingResult)


def test_a_model_of_a_stack_scores_as_its_figures_say(data: Dataset) -> None:
    result = train(of(data), keep_model=True)
    assert result.model is not None
    score_NK = result.model.scores(data.test.ids, data.test.dense)
    for k, task in enumerate(data.schema.tasks):
        assert np.array_equal(score_NK[:, k], unpack(result.predictions[task.name]))


@pytest.mark.parametrize(
    ("reason", "changes"),
    [
        ("gradients within a step", {"balancing": "gradnorm"}),
        ("gradients within a step", {"balancing": "pcgrad"}),
        ("something else first", {"pretrain": "dae"}),
    ],
)
def test_what_cannot_be_stacked_trains_alone_for_a_reason_that_has_a_name(
    data: Dataset, reason: str, changes: dict[str, object]
) -> None:
    training = with_config(of(data), **changes)
    assert reason in str(why_alone(training, data))
    assert training.why_alone
    assert training.id == replace(training, runtime=Runtime()).id
    short = replace(training, epochs=1)
    assert train(short).measurements == alone(short).measurements


def test_one_row_rows_on_disk_and_tables_updated_row_by_row_train_alone(data: Dataset) -> None:
    training = of(data)
    assert why_alone(training, data) is None
    blocks = replace(training, data=replace(training.data, shuffle="blocks"))
    assert "not held in memory" in str(why_alone(blocks, data))
    long = (Field("user", 2**20), *data.schema.categorical[1:])
    large = replace(data, schema=replace(data.schema, categorical=long))
    assert "row by row" in str(why_alone(training, large))
    row = Split(data.train.ids[:1], data.train.dense[:1], data.train.labels[:1])
    assert "one row" in str(why_alone(training, replace(data, train=row)))
    assert "no stack" in str(why_alone(replace(training, runtime=Runtime()), data))


def test_places_of_products_are_aligned_and_looked_up_tables_have_no_gap() -> None:
    like = {name: torch.zeros(300, 219) for name in ("table", "product")} | {"b": torch.zeros(3)}
    blocks = stack._Blocks(like, PLACES, torch.device("cpu"), apart=["table"])
    assert blocks.views["table"].is_contiguous()
    for name in ("product", "b"):
        assert blocks.views[name].stride(0) % stack.ALIGNED == 0


def test_who_has_ended_keeps_no_model_and_no_optimiser(data: Dataset) -> None:
    for outcome in (DivergedError("it is infinite"), train(of(data))):
        member = stack._Member(Job(of(data)), data)
        member.begin()
        member.end(outcome)
        assert member.outcome is outcome
        assert not {"module", "held", "chosen"} & vars(member).keys()


def test_a_stack_that_does_not_fit_a_gpu_says_how_to_take_fewer(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nOf 80 GiB")

    for name in ("__init__", "put", "step", "measured"):
        with monkeypatch.context() as patch:
            patch.setattr(stack._Program, name, full)
            outcomes = train_together([Job(each) for each in unlike(of(data))])
        for outcome in outcomes:
            assert isinstance(outcome, MemoryError)
            assert "with --stack N --name NAME (CUDA out of memory" in str(outcome)
            assert failure_of(outcome).passing


@pytest.mark.gpu
@pytest.mark.usefixtures("doubled")
@pytest.mark.parametrize("model", ["fsmd", "ple"])
def test_on_a_gpu_a_stack_has_the_numbers_of_one_by_itself(data: Dataset, model: str) -> None:
    runtime = Runtime("cuda", stack=PLACES)
    trainings = [
        replace(with_config(each, dropout=0.0), runtime=runtime)  # it draws another stream
        for each in unlike(of(data, model))
    ]
    for found, training in zip(together(trainings), trainings, strict=True):
        assert_close(found, alone(training))


# On the device


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.booleans(), st.booleans())
def test_figures_on_the_device_are_those_of_numpy(
    seed: int, rows: int, weighted: bool, masked: bool
) -> None:
    draw = np.random.default_rng(seed)
    score_SN = draw.normal(scale=30, size=(3, rows)).round(draw.integers(-1, 3)).astype("f4")
    label_N = draw.choice([0, 1, np.nan] if masked else [0, 1], rows).astype("f4")
    weight_N = draw.choice([0, 0.5, 2], rows).astype("f4") if weighted else None
    given = torch.from_numpy(label_N), None if weight_N is None else torch.from_numpy(weight_N)
    for name in FIGURES:
        found_S = figure(name, torch.from_numpy(score_SN), *given)
        for found, score_N in zip(found_S.tolist(), score_SN, strict=True):
            wanted = measured(METRICS[name], score_N, label_N, weight_N)
            expected = math.nan if wanted is None else wanted
            assert found == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_a_score_that_is_not_finite_has_no_figure() -> None:
    score_SN = torch.tensor([[0.0, math.inf], [0.0, 1.0]])
    found = figure("auc", score_SN, torch.tensor([0.0, 1.0]))
    assert math.isnan(found[0])
    assert found[1] == 1


@pytest.mark.slow
def test_the_bench_of_a_gpu_runs_on_a_processor_and_ends_in_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bench_gpu", "--device", "cpu", "--tiny"])
    bench_gpu.main()
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert [name for name in found if name.endswith("_failed")] == []
    assert found["fsmd_float32"]["same_bits_whatever_is_beside"]
    assert max(found["fsmd_float32"]["auc_apart"]) < ROUNDED


# In a study


def cells(trainings: Sequence[Training]) -> list[Cell]:
    return [Cell(f"arm {i}", (), 0, training) for i, training in enumerate(trainings)]


def test_the_planner_makes_steps_of_one_shape_and_without_a_stack_of_one_training(
    data: Dataset,
) -> None:
    many = [replace(of(data), seed=i) for i in range(STACKS_OF_STEP * PLACES + 1)]
    other = with_config(of(data), gate_depth=2)
    found = stacks(cells([many[0], other, *many[1:]]))
    assert [len(step) for step in found] == [STACKS_OF_STEP * PLACES, 1, 1]
    assert [len({cell.training.shape for cell in step}) for step in found] == [1, 1, 1]
    single = [replace(training, runtime=Runtime()) for training in many]
    lone = [with_config(training, balancing="gradnorm") for training in many]
    simple = [replace(training, config=BASELINES["constant"]) for training in many]
    assert {len(step) for step in stacks(cells([*lone, *simple]))} == {1}
    seconds = {training.id: 1.0 for training in single}
    queue = LongestFirst(cells(single), seconds, workers=2)
    assert [queue.next() is not None for _ in range(len(many) + 1)] == [True] * len(many) + [False]


def test_a_worker_trains_stacks_and_what_is_alone_and_tells_each_outcome(
    data: Dataset, tmp_path: Path
) -> None:
    good, other = of(data), replace(of(data), seed=1)
    single = with_config(good, balancing="gradnorm")
    bad = with_config(good, learning_rate=1e30)
    trainings = [replace(each, epochs=1) for each in (good, single, bad, other)]
    outcomes = train_all(trainings, [tmp_path / t.id for t in trainings], None)
    assert [type(outcome) for outcome in outcomes] == [
        *(TrainingResult, TrainingResult, Failure, TrainingResult)
    ]
    first, _, _, last = outcomes
    assert isinstance(first, TrainingResult)
    assert isinstance(last, TrainingResult)
    assert first.measurements == train(trainings[0]).measurements
    assert_close(last, train(trainings[3]), ROUNDED)


def test_a_baseline_is_the_same_training_whatever_the_stack(data: Dataset) -> None:
    simple = Training.on(data, BASELINES["constant"])
    assert replace(simple, runtime=Runtime(stack=PLACES)).id == simple.id
    assert of(data).id != replace(of(data), runtime=Runtime()).id


def test_an_epoch_takes_a_place_its_share_of_a_stack_and_what_is_alone_all_of_it(
    data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.timing.train", lambda *_, **__: None)
    monkeypatch.setattr("studies.timing.epoch_time", lambda *_: EpochTime(6.0))
    together = of(data)
    lone = with_config(together, balancing="gradnorm")
    simple = replace(together, config=BASELINES["constant"])
    found = [measure(training, 1.0).seconds for training in (together, lone, simple)]
    assert found == [6.0 / PLACES, 6.0, 6.0]


def test_stacks_take_a_worker_alone_unless_more_are_asked_for() -> None:
    asked = Request(made_up.towers())
    assert [asked.most(1), asked.most(PLACES)] == [processors(), 1]
    assert replace(asked, workers=3).most(PLACES) == 3


def test_the_shape_is_all_but_what_are_numbers_in_a_program(data: Dataset) -> None:
    training = of(data)
    assert isinstance(training.config, FSMDConfig)
    assert {each.shape for each in unlike(training)} == {training.shape}
    for changes in ({"gate_depth": 2}, {"batch_size": 64}, {"batch_norm": False}):
        assert with_config(training, **changes).shape != training.shape
    assert replace(training, runtime=Runtime(stack=5)).shape != training.shape
