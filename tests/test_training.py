"""`train` is a pure function that never lets test data choose anything."""

import ast
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from fsmd import data as data_package
from fsmd.batches import Batches, EpochOrder
from fsmd.config import MODELS, FSMDConfig, fitted
from fsmd.data.encode import encoded
from fsmd.data.rows.frames import Tables, of_tables
from fsmd.data.schema import Dataset, Split
from fsmd.data.sets.planted import PlantedConfig, generate, load_planted, recipe_of
from fsmd.data.source import Source
from fsmd.errors import UserError
from fsmd.metrics import METRICS, measured
from fsmd.model import FSMD, scores
from fsmd.module import FSMDModule
from fsmd.packing import unpack
from fsmd.pretrain import pretrain
from fsmd.runtime import Runtime
from fsmd.selection import Selection
from fsmd.tasks import Task
from fsmd.training import (
    DivergedError,
    Measurement,
    Training,
    TrainingResult,
    _imported,
    _needed,
    pair_key,
    step_key,
    train,
)
from fsmd.training import _meaning as meaning
from tests.made_up.definitions import of_network

TAKES_LONG = True

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = FSMDConfig(
    layers=(16, 8),
    expert_count=2,
    tower_width=8,
    batch_size=512,
    dropout=0.2,
    learning_rate=0.01,
    weight_decay=0.0,
)


@pytest.fixture(scope="module")
def planted() -> Dataset:
    return load_planted(PlantedConfig(rows=2500, users=100, videos=50))


def at(training: Training, **changes: object) -> Training:
    return replace(training, config=replace(training.config, **changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def training(planted: Dataset) -> Training:
    return Training(SMALL, planted.ref, seed=5, epochs=4, patience=2)


def test_weight_decay_shrinks_the_weights_and_is_otherwise_adam(planted: Dataset) -> None:
    def one_step(weight_decay: float) -> tuple[torch.Tensor, torch.Tensor]:
        config = replace(SMALL, weight_decay=weight_decay, dropout=0.0)
        module = FSMDModule.create(config, planted.schema, seed=1)
        weight = module.model.get_parameter("towers.0.logit.weight")
        before = weight.detach().clone()
        optimizer = module.configure_optimizers()
        batch = next(iter(Batches(planted.train, 256, torch.device("cpu"))))
        loss = module.training_step(batch, 0)
        assert loss is not None
        torch.autograd.backward(loss)
        optimizer.step()
        return before, weight.detach()

    before, plain = one_step(0.0)
    _, decayed = one_step(0.5)
    torch.testing.assert_close(decayed, plain - 0.01 * 0.5 * before)


def test_the_same_training_gives_the_same_numbers_whatever_ran_before(training: Training) -> None:
    training = replace(training, epochs=2)
    first = train(training)
    torch.manual_seed(12345)
    train(replace(training, seed=6, epochs=1))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert train(training).measurements == first.measurements
    finally:
        torch.set_num_threads(threads)


def test_another_seed_gives_other_numbers(training: Training) -> None:
    one, other = (train(replace(training, epochs=1, seed=seed)) for seed in (5, 6))
    assert one.measurements != other.measurements


def test_training_leaves_the_global_generator_and_threads_as_they_were(
    training: Training,
) -> None:
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(replace(training, epochs=1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"sharing": "none", "chain": False},
        {"balancing": "uncertainty"},
        {"balancing": "gradnorm"},
        {"balancing": "pcgrad"},
        {"pretrain": "dae"},
        {"bias_fields": ("hour",), "fm": "per_task"},
    ],
    ids=str,
)
def test_paused_and_resumed_equals_uninterrupted_bit_for_bit(
    training: Training, tmp_path: Path, change: dict[str, object]
) -> None:
    training = at(replace(training, epochs=3), **change)
    whole = train(training)
    checkpoint = tmp_path / "pause.ckpt"
    first = train(training, until=1, checkpoint=checkpoint)
    assert (first.epochs, first.finished) == (1, False)
    assert not [m for m in first.measurements if m.split == "test"]
    told: list[int] = []
    second = train(
        training, 2, checkpoint, on_progress=lambda progress: told.append(int(progress.done))
    )
    assert second.epochs == 2
    assert {*told} - {1} == {2}  # what was trained before is not trained again
    last = train(training, checkpoint=checkpoint)
    assert last.measurements == whole.measurements
    assert last.chosen_epochs == whole.chosen_epochs
    assert train(training, checkpoint=checkpoint).measurements == whole.measurements


def test_paused_before_the_epochs_that_are_said_it_goes_on(
    training: Training, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is chosen yet by then."""
    training, said = replace(training, epochs=2), {"click": 2, "long_view": 2}
    first = train(training, 1, tmp_path / "pause.ckpt", fixed_epochs=said)
    assert (first.epochs, first.finished) == (1, False)
    last = train(training, checkpoint=tmp_path / "pause.ckpt", fixed_epochs=said)
    assert not caplog.text
    assert last.measurements == train(training, fixed_epochs=said).measurements


def test_in_bfloat16_layers_train_otherwise_and_every_figure_is_of_single_precision(
    training: Training, planted: Dataset, tmp_path: Path
) -> None:
    training = replace(training, epochs=2)
    half = replace(training, runtime=Runtime(precision="bfloat16"))
    assert half.id != training.id
    result, single = train(half, keep_model=True), train(training)
    assert result.measurements != single.measurements
    for task in planted.schema.tasks:
        gap = result.value("valid", task.name, "auc") - single.value("valid", task.name, "auc")
        assert abs(gap) < 0.02
    model = result.model
    assert model is not None
    assert {array.dtype for array in model.tensors.values()} <= {np.dtype("f4"), np.dtype("i8")}
    score_NK = model.scores(planted.test.ids, planted.test.dense)
    for k, task in enumerate(planted.schema.tasks):
        stored_N = unpack(result.predictions[task.name]).astype(np.float32)
        assert np.allclose(stored_N, score_NK[:, k], rtol=0, atol=1e-3)

    checkpoint = tmp_path / "pause.ckpt"
    assert not train(half, until=1, checkpoint=checkpoint).finished
    assert train(half, checkpoint=checkpoint).measurements == result.measurements
    with pytest.raises(UserError, match="a precision must be float32 or bfloat16; got 'float16'"):
        Runtime(precision="float16")


def cut(path: Path, length: int) -> None:
    path.write_bytes(path.read_bytes()[:length])


def damage(path: Path) -> None:
    """One bit of the largest array."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def lack(path: Path, *names: Any) -> None:
    """names: of one part, within each other."""
    state = part = torch.load(path, weights_only=True)
    for name in names[:-1]:
        part = part[name]
    del part[names[-1]]
    torch.save(state, path)


def rename_weights(path: Path, of: Callable[[Any], dict[str, Any]]) -> None:
    state = torch.load(path, weights_only=True)
    weights = of(state)
    weights["another"] = weights.pop(next(iter(weights)))
    torch.save(state, path)


def chosen_weights(saved: Any) -> dict[str, Any]:
    (callback,) = (c for name, c in saved["callbacks"].items() if name.startswith("ChosenWeights"))
    weights: dict[str, Any] = callback["weights"][0]
    return weights


def become_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "something").touch()


def become_a_link_to_nowhere(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


SPOILT: dict[str, Callable[[Path], object]] = {
    "empty": lambda path: cut(path, 0),
    "cut": lambda path: cut(path, 1000),
    "cut at its end": lambda path: cut(path, -10),
    "damaged": damage,
    "text": lambda path: path.write_text("epoch 3"),
    "text like a pickle": lambda path: path.write_text("hello, I am no checkpoint"),
    "another archive": lambda path: torch.save([1, 2], path),
    "a pickle that runs code": lambda path: path.write_bytes(b"cos\nsystem\n(S'true'\ntR."),
    "without optimiser": lambda path: lack(path, "optimizer_states"),
    "without curve": lambda path: lack(path, "callbacks"),
    "another model's weights": lambda path: rename_weights(
        path, lambda saved: saved["state_dict"]
    ),
    "another model's chosen weights": lambda path: rename_weights(path, chosen_weights),
    "a folder": become_a_folder,
    "a link to nowhere": become_a_link_to_nowhere,
}


@pytest.fixture(scope="module")
def first_epoch(
    training: Training, tmp_path_factory: pytest.TempPathFactory
) -> tuple[TrainingResult, bytes]:
    """What the first of two epochs measured, and its checkpoint."""
    checkpoint = tmp_path_factory.mktemp("first") / "whole.ckpt"
    first = train(replace(training, epochs=2), until=1, checkpoint=checkpoint)
    return first, checkpoint.read_bytes()


@pytest.fixture(scope="module")
def two_epochs(training: Training) -> TrainingResult:
    """What the training comes to that nothing cuts off."""
    return train(replace(training, epochs=2))


@pytest.mark.parametrize("spoilt", SPOILT)
def test_what_is_no_sound_checkpoint_of_this_training_is_said_and_trained_anew(
    training: Training,
    first_epoch: tuple[TrainingResult, bytes],
    two_epochs: TrainingResult,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    spoilt: str,
) -> None:
    checkpoint = tmp_path / "spoilt.ckpt"
    training = replace(training, epochs=2)
    first, sound = first_epoch
    checkpoint.write_bytes(sound)
    SPOILT[spoilt](checkpoint)
    again = train(training, until=1, checkpoint=checkpoint)
    assert again.measurements == first.measurements
    assert f"{checkpoint} is no checkpoint of this training" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt.ckpt"]
    caplog.clear()
    whole = train(training, checkpoint=checkpoint)
    assert whole.measurements == two_epochs.measurements
    assert bool(caplog.text) == (spoilt == "a folder")  # which no checkpoint replaces


@pytest.mark.parametrize(
    "names",
    [
        ("pytorch-lightning_version",),
        ("loops", "fit_loop"),
        ("optimizer_states", 0, "param_groups"),
    ],
    ids=("version", "loops", "optimiser"),
)
def test_what_lightning_cannot_go_on_from_is_said_and_trained_anew(
    training: Training,
    first_epoch: tuple[TrainingResult, bytes],
    two_epochs: TrainingResult,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    names: tuple[Any, ...],
) -> None:
    checkpoint = tmp_path / "spoilt.ckpt"
    checkpoint.write_bytes(first_epoch[1])
    lack(checkpoint, *names)
    whole = train(replace(training, epochs=2), checkpoint=checkpoint)
    assert whole.measurements == two_epochs.measurements
    assert caplog.text.count(f"{checkpoint} is no checkpoint of this training") == 1


def test_of_another_training_no_checkpoint_is_gone_on_from(
    training: Training, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint, other = tmp_path / "other.ckpt", replace(training, epochs=1, seed=9)
    train(replace(training, epochs=1), checkpoint=checkpoint)
    assert train(other, checkpoint=checkpoint).measurements == train(other).measurements
    assert "it is of another training" in caplog.text


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit of a file's size here")
def test_a_checkpoint_that_cannot_be_written_costs_no_training_and_leaves_nothing(
    training: Training, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A disk that is full after half of the file."""
    training = replace(training, epochs=3)
    checkpoint = tmp_path / "full.ckpt"
    train(training, until=1, checkpoint=checkpoint)
    before = checkpoint.read_bytes()
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) // 2, hard))
    try:
        whole = train(training, checkpoint=checkpoint)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
    assert whole.measurements == train(training).measurements
    assert caplog.text.count("File too large") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["full.ckpt"]
    assert checkpoint.read_bytes() == before


def test_where_nothing_is_shared_a_tasks_choice_ends_with_its_own_patience(
    training: Training, planted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a training of its own, whatever the other task does meanwhile."""
    curves = {"click": [0.7, 0.6, 0.6, 0.6, 0.9], "long_view": [0.5, 0.6, 0.7, 0.8, 0.9]}

    def told(module: FSMDModule) -> None:
        epoch = module.trainer.current_epoch
        module.valid_figures = {name: curve[epoch] for name, curve in curves.items()}

    monkeypatch.setattr(FSMDModule, "on_validation_epoch_end", told)
    alone = at(replace(training, epochs=5, patience=3), sharing="none", chain=False)
    assert train(alone).chosen_epochs == {"click": 1, "long_view": 5}


def test_embeddings_from_the_auto_encoder_put_alike_ids_together(
    training: Training, planted: Dataset
) -> None:
    """A city tells its province: after pretraining, cities of one province are closer."""
    config = replace(
        SMALL,
        pretrain="dae",
        pretrain_fields=("city", "province"),
        pretrain_epochs=5,
        learning_rate=0.02,
    )
    model, again = (FSMD(config, planted.schema, seed=0) for _ in range(2))
    start = next(model.embeddings.parameters()).detach().clone()
    pretrain(model, planted, seed=0)
    pretrain(again, planted, seed=0)
    table = next(model.embeddings.parameters()).detach()
    assert torch.equal(table, next(again.embeddings.parameters()))
    names = [field.name for field in planted.schema.categorical]
    city, province = names.index("city"), names.index("province")
    pairs = {(int(row[city]), int(row[province])) for row in planted.train.ids}
    home = dict(pairs)
    rows = torch.tensor(sorted(home)) + int(model.columns.offset_C[city])
    vectors = torch.nn.functional.normalize(table[rows] - table[rows].mean(0))
    alike = vectors @ vectors.T
    same = torch.tensor([[home[a] == home[b] for b in sorted(home)] for a in sorted(home)])
    off = ~torch.eye(len(rows), dtype=torch.bool)
    assert alike[same & off].mean() > alike[~same].mean() + 0.1
    others = torch.ones(len(start), dtype=torch.bool)
    for field in (city, province):
        first = int(model.columns.offset_C[field])
        others[first : first + planted.schema.categorical[field].cardinality] = False
    assert torch.equal(table[others], start[others])


def test_a_pretraining_field_that_the_data_has_not_is_refused(training: Training) -> None:
    with pytest.raises(UserError, match="`pretrain_fields` must name categorical fields"):
        train(at(training, pretrain="dae", pretrain_fields=("weather",)))


def with_test_labels(data: Dataset, labels: np.ndarray) -> Dataset:
    return replace(data, test=replace(data.test, labels=labels.astype(np.float32)))


@pytest.mark.parametrize("name", ["fsmd", "single_task"])
def test_scrambled_test_labels_change_no_choice_and_no_validation_figure(
    name: str, planted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, fm=MODELS[name].fm, sharing=MODELS[name].sharing, chain=False)
    training = Training(config, planted.ref, seed=1, epochs=4, patience=2)
    honest = train(training)
    shuffled = np.random.default_rng(0).permutation(planted.test.labels)
    scrambled = with_test_labels(planted, shuffled)
    monkeypatch.setattr("fsmd.trainer.open_encoded", lambda path: scrambled)
    other = train(training)
    assert other.chosen_epochs == honest.chosen_epochs
    assert other.epochs == honest.epochs

    def choosing(result: tuple[Measurement, ...]) -> list[Measurement]:
        return [m for m in result if not m.split.startswith("test")]

    assert choosing(other.measurements) == choosing(honest.measurements)
    assert other.value("test", "click", "auc") != honest.value("test", "click", "auc")
    assert other.value("test", "click", "auc") == pytest.approx(0.5, abs=0.1)


def test_test_is_measured_at_the_chosen_epoch_only(training: Training) -> None:
    result = train(replace(training, epochs=6, patience=2))
    mean = {
        e: np.mean(
            [
                m.value
                for m in result.measurements
                if (m.split, m.metric, m.epoch) == ("valid", "auc", e)
                and m.task in result.chosen_epochs  # and is no step from one to the next
            ]
        )
        for e in range(1, result.epochs + 1)
    }
    best = max(mean, key=lambda e: (mean[e], -e))
    assert set(result.chosen_epochs.values()) == {best}
    assert {m.epoch for m in result.measurements if m.split == "test"} == {best}


def test_patience_ends_training_that_many_epochs_after_the_best(training: Training) -> None:
    result = train(at(replace(training, epochs=40, patience=2), learning_rate=0.1))
    assert result.epochs < 40
    assert result.epochs == max(result.chosen_epochs.values()) + 2


def test_models_that_share_nothing_choose_each_tasks_epoch_by_itself(planted: Dataset) -> None:
    config = replace(SMALL, sharing="none", fm="none", chain=False)
    result = train(Training(config, planted.ref, seed=1, epochs=6, patience=6))
    for name in ("click", "long_view"):
        curve = {
            m.epoch: m.value
            for m in result.measurements
            if (m.split, m.task, m.metric) == ("valid", name, "auc")
        }
        assert curve[result.chosen_epochs[name]] == max(curve.values())


def test_final_figures_agree_with_scikit_learn(planted: Dataset, tmp_path: Path) -> None:
    """The checkpoint, loaded as a user would, predicts what was measured."""
    training = Training(SMALL, planted.ref, seed=2, epochs=1)
    checkpoint = tmp_path / "model.ckpt"
    result = train(training, checkpoint=checkpoint)
    module = FSMDModule.load_from_checkpoint(checkpoint).eval()
    test = planted.test
    with torch.no_grad():
        p = module(torch.from_numpy(test.ids), torch.from_numpy(test.dense)).double().numpy()
        logits = module.model(torch.from_numpy(test.ids), torch.from_numpy(test.dense)).numpy()
    for k, name in enumerate(task.name for task in planted.schema.tasks):
        y = test.labels[:, k]
        assert result.value("test", name, "auc") == pytest.approx(roc_auc_score(y, p[:, k]))
        want = sklearn_log_loss(y, p[:, k])
        assert result.value("test", name, "log_loss") == pytest.approx(want, rel=1e-5)
    clicked = test.labels[:, 0] > 0
    want = roc_auc_score(test.labels[clicked, 1], logits[clicked, 1])
    (found,) = figures_of_step(result, "long_view|click", "auc")
    assert found == pytest.approx(want)
    assert (p[:, 1] <= p[:, 0]).all()


def test_a_loss_that_is_not_finite_is_told_with_its_epoch(training: Training) -> None:
    with pytest.raises(DivergedError, match=r"in epoch 1 .*learning_rate is 1e\+30"):
        train(at(training, learning_rate=1e30, batch_norm=False))


@pytest.mark.parametrize("split", ["valid", "test"])
def test_a_logit_that_is_not_finite_on_a_split_is_told(
    training: Training, planted: Dataset, monkeypatch: pytest.MonkeyPatch, split: str
) -> None:
    rows: Split = getattr(planted, split)
    dense = np.array(rows.dense)
    dense[7, 0] = np.inf
    broken = replace(planted, **{split: replace(rows, dense=dense)})  # type: ignore[arg-type]
    monkeypatch.setattr("fsmd.trainer.open_encoded", lambda path: broken)
    where = "in epoch 1" if split == "valid" else "on the test rows at the chosen epoch"
    with pytest.raises(DivergedError, match=f"not finite {where}"):
        train(replace(training, epochs=1))


def test_a_chain_on_tasks_without_a_funnel_is_refused(
    training: Training, planted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = tuple(replace(task, after=None) for task in planted.schema.tasks)
    flat = replace(planted, schema=replace(planted.schema, tasks=tasks))
    monkeypatch.setattr("fsmd.trainer.open_encoded", lambda path: flat)
    with pytest.raises(UserError, match="none of click, long_view does"):
        train(training)


def test_a_device_that_is_not_there_is_refused(training: Training) -> None:
    with pytest.raises(UserError, match="device cuda:63 is not here"):
        train(replace(training, runtime=Runtime("cuda:63")))


def test_a_configuration_that_leaves_something_open_is_no_training(planted: Dataset) -> None:
    with pytest.raises(UserError, match="must know batch_size and learning_rate and dropout"):
        Training(FSMDConfig(), planted.ref, seed=0)
    on = Training.on(planted, replace(FSMDConfig(), dropout=0.3), seed=4)
    assert (
        of_network(on.config).batch_size,
        on.config.learning_rate,
        of_network(on.config).dropout,
    ) == (512, 0.002, 0.3)
    assert (on.epochs, on.patience, on.seed) == (30, 2, 4)


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"patience": 0}, {"seed": -1}, {"seed": 1.5}, {"epochs": 2.0}]
)
def test_a_training_of_no_epoch_without_patience_or_of_no_seed_is_refused(
    training: Training, wrong: dict[str, Any]
) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(UserError, match=f"`{name}` of a training must be a whole number.*{value}"):
        replace(training, **wrong)


def test_paused_before_its_first_epoch_a_training_measured_nothing(training: Training) -> None:
    result = train(training, until=0)
    assert (result.epochs, result.finished, result.measurements) == (0, False, ())


# --- any number of tasks, hidden labels, weights, metrics ------------------------------------


def figures(result: TrainingResult, split: str) -> dict[tuple[str, str], float]:
    return {(m.task, m.metric): m.value for m in result.measurements if m.split == split}


@pytest.mark.parametrize(
    ("tasks", "sharing"), [(1, "extraction"), (2, "none"), (3, "none"), (5, "extraction")]
)
def test_any_number_of_tasks_trains_and_what_is_stored_gives_what_was_measured(
    tasks: int, sharing: str
) -> None:
    data = load_planted(PlantedConfig(rows=3000, users=100, videos=50, tasks=tasks))
    config = replace(SMALL, sharing=sharing, chain=tasks > 1)
    result = train(Training(config, data.ref, seed=3, epochs=2))
    names = [task.name for task in data.schema.tasks]
    assert list(result.chosen_epochs) == list(result.predictions) == names
    assert {len(point) for point in result.curve(data.schema.tasks)} == {tasks}
    for k, task in enumerate(data.schema.tasks):
        score_N = unpack(result.predictions[task.name])
        assert score_N.dtype == np.float32
        label_N = data.test.labels[:, k]
        want = roc_auc_score(label_N, score_N)
        assert result.value("test", task.name, "auc") == pytest.approx(want)
        valid_N = unpack(result.valid_predictions[task.name])
        of_valid = roc_auc_score(data.valid.labels[:, k], valid_N)
        assert result.value("valid", task.name, "auc") == pytest.approx(of_valid, abs=1e-6)
        p = 1 / (1 + np.exp(-score_N.astype(np.float64)))
        assert result.value("test", task.name, "log_loss") == pytest.approx(
            sklearn_log_loss(label_N, p), rel=1e-6
        )
        if task.after is not None:
            assert len(figures_of_step(result, step_key(task.name, task.after), "auc")) == 1
    pairs = {pair_key(a, b) for i, a in enumerate(names) for b in names[i + 1 :]}
    cosines = {m.task for m in result.measurements if m.metric == "gradient_cosine"}
    assert cosines == (pairs if sharing == "extraction" else set())
    assert f"{result.parameters:,} parameters; chosen epochs: click " in repr(result)


def figures_of_step(result: TrainingResult, step: str, metric: str) -> list[float]:
    wanted = ("test", step, metric)
    return [m.value for m in result.measurements if (m.split, m.task, m.metric) == wanted]


def of_task(result: TrainingResult, name: str) -> set[tuple[str, str]]:
    return {(m.split, m.metric) for m in result.measurements if m.task == name}


def changed(
    tasks: int, change: Callable[[pd.DataFrame], Any], weight: str | None = None
) -> Source:
    """Planted data of which every split is changed in place."""
    config = PlantedConfig(rows=3000, users=100, videos=50, tasks=tasks)

    def read() -> Tables:
        tables = generate(config)
        for frame in (tables.train, tables.valid, tables.test):
            change(frame)
        return tables

    return of_tables(replace(recipe_of(tasks), weight=weight), {"of": change.__name__}, read)


def hide_some(frame: pd.DataFrame) -> None:
    frame["like"] = frame["like"].astype(float).mask(frame.index % 3 == 0)
    frame["long_view"] = frame["long_view"].astype(float).mask(frame["click"] == 0)


def test_rows_where_a_task_was_not_observed_count_for_nothing_in_its_figures() -> None:
    data = encoded(changed(3, hide_some))
    assert data.schema.masked
    result = train(Training(SMALL, data.ref, seed=3, epochs=2))
    for k, task in enumerate(data.schema.tasks):
        label_N = data.test.labels[:, k]
        there = ~np.isnan(label_N)
        assert there.all() == (task.name == "click")
        score_N = unpack(result.predictions[task.name])
        assert len(score_N) == len(data.test)
        want = roc_auc_score(label_N[there], score_N[there])
        assert result.value("test", task.name, "auc") == pytest.approx(want)


@pytest.mark.parametrize("balancing", ["fixed", "uncertainty", "gradnorm", "pcgrad"])
def test_what_a_hidden_label_would_be_moves_nothing(
    balancing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Labels of like are hidden; training on the two others alone has the same losses."""

    def hide_all_of_train(frame: pd.DataFrame) -> None:
        hide_some(frame)

    data = encoded(changed(3, hide_all_of_train))
    hidden = np.array(data.train.labels)
    hidden[:, 2] = np.nan
    all_hidden = replace(data, train=replace(data.train, labels=hidden))
    monkeypatch.setattr("fsmd.trainer.open_encoded", lambda path: all_hidden)
    config = replace(SMALL, balancing=balancing, own_experts=1)
    result = train(Training(config, data.ref, seed=3, epochs=2))
    losses = [m.value for m in result.measurements if m.metric == "loss"]
    assert losses[1] < losses[0]
    liking = pair_key("click", "like")
    assert not [m for m in result.measurements if m.task == liking]  # it has no gradient
    assert result.value("valid", "click", "auc") > 0.5


def twice(frame: pd.DataFrame) -> None:
    frame["counts"] = 1 + (frame.index % 2)


def test_a_row_of_weight_two_counts_as_two_rows_in_every_figure() -> None:
    data = encoded(changed(2, twice, weight="counts"))
    assert data.test.weights is not None
    result = train(Training(SMALL, data.ref, seed=3, epochs=1))
    rows = np.repeat(np.arange(len(data.test)), data.test.weights.astype(int))
    for k, task in enumerate(data.schema.tasks):
        score_N = unpack(result.predictions[task.name]).astype(np.float64)[rows]
        label_N = data.test.labels[rows, k].astype(np.float64)
        for metric in METRICS.values():
            if metric.name.startswith("ndcg"):
                continue  # of a request twice as long
            groups = {name: code_N[rows] for name, code_N in data.test.groups.items()}
            want = measured(metric, score_N, label_N, None, groups)
            assert result.value("test", task.name, metric.name) == pytest.approx(want)
        unseen = data.test_unseen[rows]
        want = roc_auc_score(label_N[unseen], score_N[unseen])
        assert result.value("test_unseen", task.name, "auc") == pytest.approx(want)


def test_a_batch_of_weighted_rows_has_the_loss_of_the_rows_repeated(planted: Dataset) -> None:
    config = replace(SMALL, dropout=0.0, batch_norm=False)
    plain, weighing = (
        FSMDModule.create(config, replace(planted.schema, weighted=weighted), seed=1).double()
        for weighted in (False, True)
    )
    ids, dense, labels = next(iter(Batches(planted.train, 64, torch.device("cpu"))))
    counts = torch.arange(64) % 3
    rows = torch.repeat_interleave(torch.arange(64), counts)
    dense, labels = dense.double(), labels.double()
    weighted = weighing.training_step((ids, dense, labels, counts.double()), 0)
    repeated = plain.training_step((ids[rows], dense[rows], labels[rows]), 0)
    torch.testing.assert_close(weighted, repeated)


@pytest.mark.parametrize("weights", [(), (1.0, 0.0)])
def test_tasks_weigh_as_the_data_says_unless_the_configuration_says_otherwise(
    planted: Dataset, weights: tuple[float, ...]
) -> None:
    tasks = tuple(
        replace(task, weight=w) for task, w in zip(planted.schema.tasks, (3.0, 0.5), strict=True)
    )
    schema = replace(planted.schema, tasks=tasks)
    module = FSMDModule.create(replace(SMALL, task_weights=weights), schema, seed=1).eval()
    batch = next(iter(Batches(planted.train, 64, torch.device("cpu"))))
    want = torch.tensor(weights or (3.0, 0.5)) @ module.losses(batch)
    torch.testing.assert_close(module.training_step(batch, 0), want)


@pytest.mark.parametrize("name", ["auc", "log_loss", "pcoc_error", "ndcg@3"])
def test_the_epoch_is_the_one_whose_metric_is_best_whichever_it_is(
    name: str, training: Training
) -> None:
    data = data_package.load(f"planted:rows=3000,metric={name}")
    fast = at(replace(training, data=data.ref, epochs=6, patience=6), learning_rate=0.05)
    result = train(fast)
    curve = result.curve(data.schema.tasks)
    assert len(curve) == result.epochs == 6
    means = [METRICS[name].sign * sum(point) / len(point) for point in curve]
    best = max(range(6), key=lambda e: means[e]) + 1
    assert set(result.chosen_epochs.values()) == {best}
    rule = Selection.of(data.schema.tasks, separate=False, patience=6)
    assert rule.standing(curve).epochs == (best, best)
    if not METRICS[name].higher:
        assert best < 6  # it overfits: the last epoch is not the least
    for task in data.schema.tasks:
        assert (
            result.value("valid", task.name, name)
            == curve[best - 1][data.schema.tasks.index(task)]
        )
        assert ("test_unseen", name) in of_task(result, task.name)
        for split in ("valid", "test"):
            there = [
                m.metric
                for m in result.measurements
                if (m.epoch, m.split, m.task) == (best, split, task.name) and m.metric in METRICS
            ]
            assert sorted(there) == sorted({*METRICS, name})  # each once


@pytest.mark.parametrize("chain", [False, True])
def test_figures_of_a_step_are_of_the_rows_that_reached_it(chain: bool, planted: Dataset) -> None:
    """By the ratio of what is predicted of both tasks, which of a chain is its own logit."""
    result = train(Training(replace(SMALL, chain=chain), planted.ref, seed=3, epochs=1))
    click_N, view_N = planted.test.labels.T
    p_click, p_view = (
        1 / (1 + np.exp(-unpack(result.predictions[name]).astype(float)))
        for name in ("click", "long_view")
    )
    reached, p_N = click_N == 1, np.minimum(p_view / p_click, 1 - 1e-7)
    values = {
        metric: figures_of_step(result, "long_view|click", metric)[0]
        for metric in ("auc", "pcoc", "log_loss", "user_auc")
    }
    assert values["auc"] == pytest.approx(roc_auc_score(view_N[reached], p_N[reached]), abs=1e-5)
    assert values["pcoc"] == pytest.approx(p_N[reached].sum() / view_N[reached].sum(), rel=1e-4)
    want = sklearn_log_loss(view_N[reached], p_N[reached])
    assert values["log_loss"] == pytest.approx(want, rel=1e-4)
    for metric in ("auc", "pcoc"):
        assert values[metric] != result.value("test", "long_view", metric)  # of reaching it


def test_a_figure_that_its_rows_do_not_define_is_left_out(
    training: Training, planted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = np.zeros(len(planted.test), bool)
    seen[np.flatnonzero(planted.test.labels[:, 0] > 0)[:5]] = True  # one class of click
    labels = np.array(planted.test.labels)
    labels[:, 1] = labels[:, 0]  # no row is clicked and left
    odd = replace(planted, test_unseen=seen, test=replace(planted.test, labels=labels))
    monkeypatch.setattr("fsmd.trainer.open_encoded", lambda path: odd)
    result = train(replace(training, epochs=1))
    assert not [m for m in result.measurements if (m.split, m.task) == ("test_unseen", "click")]
    assert ("test", "auc") not in of_task(result, "long_view|click")
    assert ("valid", "auc") in of_task(result, "long_view|click")


# --- the module alone ------------------------------------------------------------------------


def test_validation_figures_are_those_of_the_whole_split_by_each_tasks_own_metric(
    planted: Dataset,
) -> None:
    tasks = (Task("click", metric="log_loss"), Task("long_view", after="click"))
    module = FSMDModule.create(SMALL, replace(planted.schema, tasks=tasks), seed=1).eval()
    for batch in Batches(planted.valid, 100, torch.device("cpu")):
        with torch.no_grad():
            module.validation_step(batch, 0)
    module.log = lambda *_, **__: None  # type: ignore[method-assign]
    module.on_validation_epoch_end()
    with torch.no_grad():
        logit_NK = module.model(
            torch.from_numpy(planted.valid.ids), torch.from_numpy(planted.valid.dense)
        )
    score_NK = scores(logit_NK, (None, 0)).double().numpy()
    label_NK = planted.valid.labels
    p = 1 / (1 + np.exp(-score_NK[:, 0]))
    want = {
        "click": sklearn_log_loss(label_NK[:, 0], p),
        "long_view": roc_auc_score(label_NK[:, 1], score_NK[:, 1]),
    }
    assert module.valid_figures == pytest.approx(want)


# --- conformance: every model on any number of tasks ------------------------------------------


def small(model: str, data: Dataset) -> Training:
    """Two epochs of a small model of that kind."""
    config = replace(
        MODELS[model],
        layers=(16, 8),
        tower_width=8,
        expert_count=2,
        batch_size=100,
        learning_rate=0.02,
        dropout=0.0,
    )
    return replace(Training.on(data, fitted(config, data.schema.tasks)), epochs=2)


def assert_learned(result: TrainingResult, data: Dataset, least: float) -> None:
    """Every task has a greater AUC on test, and the loss falls."""
    for task in data.schema.tasks:
        assert least < result.value("test", task.name, "auc") <= 1
        assert result.value("valid", task.name, "log_loss") > 0
        assert 0 <= result.value("test", task.name, "ece") <= 1
        assert least < result.value("test_unseen", task.name, "auc") <= 1
    losses = [m.value for m in result.measurements if m.metric == "loss"]
    assert losses[1] < losses[0]
    assert result.parameters > 0


@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns(model: str, planted: Dataset) -> None:
    """On real data: tests/test_data_real.py."""
    assert_learned(train(small(model, planted)), planted, 0.6)


@pytest.mark.parametrize("tasks", [1, 3])  # of two, above
@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_on_any_number_of_tasks(model: str, tasks: int) -> None:
    data = data_package.load(f"planted:rows=1500,tasks={tasks}")
    result = train(at(small(model, data), batch_size=250))
    for task in data.schema.tasks:
        for metric in METRICS.values():
            value = result.value("test", task.name, metric.name)
            assert metric.low <= value <= metric.high
    losses = [m.value for m in result.measurements if m.metric == "loss"]
    assert losses[1] < losses[0]


# --- batches -------------------------------------------------------------------------------


def test_an_epochs_order_depends_on_seed_and_epoch_alone() -> None:
    order = EpochOrder(100, seed=3)
    first = order.permutation()
    order.set_epoch(1)
    second = order.permutation()
    order.set_epoch(0)
    assert torch.equal(order.permutation(), first)
    assert not torch.equal(first, second)
    assert sorted(second.tolist()) == list(range(100))


@pytest.mark.parametrize(("rows", "sizes"), [(10, [4, 4, 2]), (9, [4, 4]), (8, [4, 4]), (3, [3])])
def test_training_batches_hold_each_row_once_but_never_a_single_row(
    rows: int, sizes: list[int]
) -> None:
    column = np.arange(rows, dtype=np.int32)[:, None]
    split = Split(column, column.astype(np.float32), column.astype(np.float32))
    batches = Batches(split, 4, torch.device("cpu"), EpochOrder(rows, 0))
    seen = [ids[:, 0].tolist() for ids, *_ in batches]
    assert [len(ids) for ids in seen] == sizes == [4] * (len(batches) - 1) + sizes[-1:]
    flat = [i for ids in seen for i in ids]
    assert len(set(flat)) == len(flat)
    for ids, dense, labels in batches:
        assert torch.equal(ids.float(), dense)
        assert torch.equal(dense, labels)
    weighted = replace(split, weights=np.arange(rows, dtype=np.float32))
    for ids, _, _, weights in Batches(weighted, 4, torch.device("cpu"), EpochOrder(rows, 0)):
        assert torch.equal(ids[:, 0].float(), weights)


def test_evaluation_batches_hold_every_row_in_order() -> None:
    column = np.arange(9, dtype=np.int32)[:, None]
    split = Split(column, column.astype(np.float32), column.astype(np.float32))
    batches = Batches(split, 4, torch.device("cpu"))
    assert [i for ids, *_ in batches for i in ids[:, 0].tolist()] == list(range(9))


# --- identity ------------------------------------------------------------------------------


def test_identity_names_what_determines_the_numbers_and_nothing_else(training: Training) -> None:
    moved = replace(training, data=replace(training.data, path=Path("elsewhere")))
    assert moved.id == training.id
    others = [
        replace(training, seed=6),
        replace(training, epochs=5),
        replace(training, patience=3),
        replace(training, runtime=Runtime("cuda")),
        at(training, tower_shape="increasing"),
        replace(training, data=replace(training.data, content_hash="f" * 64)),
        replace(training, data=replace(training.data, shuffle="blocks")),
    ]
    assert len({training.id, *(other.id for other in others)}) == 8


def test_the_code_of_a_training_is_whatever_its_trainer_imports_but_not_the_datas() -> None:
    needed = {name.partition("/")[0].removesuffix(".py") for name in _needed()}
    assert needed >= {
        *("balancing", "callbacks", "config", "diagnostics", "evaluation", "metrics", "model"),
        *("module", "packing", "pretrain", "selection", "tasks", "trainer"),
    }
    assert not needed & {"data", "stats"}


@pytest.mark.parametrize(
    "code",
    ["import fsmd.own", "from fsmd.own import f", "from fsmd import own", "import fsmd.own.f"],
)
def test_a_module_counts_however_it_is_imported(code: str) -> None:
    assert list(_imported(ast.parse(code), "fsmd")) == ["own"]
    assert list(_imported(ast.parse(code), "reports")) == []


def test_code_is_what_it_does_not_how_it_is_written_or_which_python_reads_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = "def f(x):\n    return {**x, 'a': None, 'b': 0, 'c': []}\n"
    written = (
        "def f(x):\n    '''Doc.'''\n    return {\n        **x, 'a': None, 'b': 0, 'c': []}  # so\n"
    )
    changes = [("None", "0"), ("0", "0.0"), ("0", "False"), ("[]", "()"), ("f(x)", "f(x=None)")]
    others = {meaning(code.replace(*change)) for change in changes}
    assert len(others | {meaning(code)}) == 6
    assert meaning("def f(*, a, b=1): ...") != meaning("def f(*, a=1, b): ...")
    assert meaning(written) == meaning(code)
    known = meaning(code)
    fields = (*ast.FunctionDef._fields, "added")  # as Python 3.12 added type_params
    monkeypatch.setattr(ast.FunctionDef, "_fields", fields)
    monkeypatch.setattr(ast.FunctionDef, "added", [], raising=False)
    assert meaning(code) == known
