"""`train` is a pure function that never lets test data choose anything."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss as sklearn_log_loss
from sklearn.metrics import roc_auc_score

from fsmd import data as data_package
from fsmd import metrics
from fsmd.config import MODELS, FSMDConfig, fitted
from fsmd.data.planted import PlantedConfig, load_planted
from fsmd.data.schema import Dataset, Split
from fsmd.errors import UserError
from fsmd.model import FSMD
from fsmd.module import Batches, EpochOrder, FSMDModule
from fsmd.pretrain import pretrained_table
from fsmd.task import DataRef, Measurement, TrainingTask
from fsmd.task import _meaning as meaning
from fsmd.training import DivergedError, train

SMALL = FSMDConfig(
    layers=(16, 8),
    expert_count=2,
    tower_width=8,
    batch_size=256,
    dropout=0.2,
    learning_rate=0.01,
)


@pytest.fixture(scope="module")
def planted() -> Dataset:
    return load_planted(PlantedConfig(rows=4000, users=100, videos=50))


@pytest.fixture(scope="module")
def ref(planted: Dataset) -> DataRef:
    return DataRef("planted", planted.content_hash, planted.path)


def at(task: TrainingTask, **changes: object) -> TrainingTask:
    return replace(task, config=replace(task.config, **changes))  # type: ignore[arg-type]


@pytest.fixture
def task(ref: DataRef) -> TrainingTask:
    return TrainingTask(SMALL, ref, seed=5, epochs=4, patience=2)


def test_weight_decay_shrinks_the_weights_and_is_otherwise_adam(planted: Dataset) -> None:
    def one_step(weight_decay: float) -> tuple[torch.Tensor, torch.Tensor]:
        config = replace(SMALL, weight_decay=weight_decay, dropout=0.0)
        module = FSMDModule.create(config, planted.schema, seed=1)
        weight = module.model.get_parameter("towers.0.logit.weight")
        before = weight.detach().clone()
        optimizer = module.configure_optimizers()
        batch = next(iter(Batches(planted.train, 256, torch.device("cpu"))))
        torch.autograd.backward(module.training_step(batch, 0))
        optimizer.step()
        return before, weight.detach()

    before, plain = one_step(0.0)
    _, decayed = one_step(0.5)
    torch.testing.assert_close(decayed, plain - SMALL.learning_rate * 0.5 * before)


def test_the_same_task_gives_the_same_numbers_whatever_ran_before(task: TrainingTask) -> None:
    first = train(task)
    torch.manual_seed(12345)
    train(replace(task, seed=6, epochs=1))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert train(task).measurements == first.measurements
    finally:
        torch.set_num_threads(threads)


def test_another_seed_gives_other_numbers(task: TrainingTask) -> None:
    assert train(task).measurements != train(replace(task, seed=6)).measurements


def test_training_leaves_the_global_generator_and_threads_as_they_were(
    task: TrainingTask,
) -> None:
    torch.manual_seed(3)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(replace(task, epochs=1))
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
    task: TrainingTask, tmp_path: Path, change: dict[str, object]
) -> None:
    task = at(task, **change)
    whole = train(task)
    checkpoint = tmp_path / "pause.ckpt"
    first = train(task, until=1, checkpoint=checkpoint)
    assert (first.epochs, first.finished) == (1, False)
    assert not [m for m in first.measurements if m.split == "test"]
    told: list[int] = []
    second = train(task, 3, checkpoint, on_progress=lambda progress: told.append(progress.epoch))
    assert second.epochs == 3
    assert [e for e in dict.fromkeys(told) if e != 1] == [
        2,
        3,
    ]  # what was trained before is not trained again
    last = train(task, checkpoint=checkpoint)
    assert last.measurements == whole.measurements
    assert last.chosen_epochs == whole.chosen_epochs
    assert train(task, checkpoint=checkpoint).measurements == whole.measurements


@pytest.mark.parametrize("length", [0, 1000])
def test_a_checkpoint_that_a_power_cut_left_unreadable_is_trained_anew(
    task: TrainingTask, tmp_path: Path, length: int
) -> None:
    checkpoint = tmp_path / "cut.ckpt"
    train(task, until=1, checkpoint=checkpoint)
    checkpoint.write_bytes(checkpoint.read_bytes()[:length])
    assert train(task, checkpoint=checkpoint).measurements == train(task).measurements


def test_where_nothing_is_shared_a_tasks_choice_ends_with_its_own_patience(
    task: TrainingTask, planted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a training of its own, whatever the other task does meanwhile."""
    curves = {"click": [0.7, 0.6, 0.6, 0.6, 0.9], "long_view": [0.5, 0.6, 0.7, 0.8, 0.9]}

    def told(module: FSMDModule) -> None:
        epoch = module.trainer.current_epoch
        module.valid_auc = {name: curve[epoch] for name, curve in curves.items()}

    monkeypatch.setattr(FSMDModule, "on_validation_epoch_end", told)
    alone = at(replace(task, epochs=5, patience=3), sharing="none", chain=False)
    assert train(alone).chosen_epochs == {"click": 1, "long_view": 5}


def test_a_checkpoint_of_another_task_is_refused(task: TrainingTask, tmp_path: Path) -> None:
    checkpoint = tmp_path / "other.ckpt"
    train(replace(task, epochs=1), checkpoint=checkpoint)
    with pytest.raises(ValueError, match="of another task"):
        train(replace(task, epochs=1, seed=9), checkpoint=checkpoint)


def test_embeddings_from_the_auto_encoder_put_alike_ids_together(
    task: TrainingTask, planted: Dataset
) -> None:
    """A city tells its province: after pretraining, cities of one province are closer."""
    config = replace(SMALL, pretrain="dae", pretrain_fields=("city", "province"),
                     pretrain_epochs=5, learning_rate=0.02)  # fmt: skip
    model = FSMD(config, planted.schema, seed=0)
    start = model.embeddings[0].table.weight  # type: ignore[union-attr]
    assert isinstance(start, torch.Tensor)
    table = pretrained_table(config, planted.schema, planted.train, model.offset_F, start, 0)
    again = pretrained_table(config, planted.schema, planted.train, model.offset_F, start, 0)
    assert torch.equal(table, again)
    names = [field.name for field in planted.schema.categorical]
    city, province = names.index("city"), names.index("province")
    pairs = {(int(row[city]), int(row[province])) for row in planted.train.ids}
    home = dict(pairs)
    rows = torch.tensor(sorted(home)) + int(model.offset_F[city])
    vectors = torch.nn.functional.normalize(table[rows] - table[rows].mean(0))
    alike = vectors @ vectors.T
    same = torch.tensor([[home[a] == home[b] for b in sorted(home)] for a in sorted(home)])
    off = ~torch.eye(len(rows), dtype=torch.bool)
    assert alike[same & off].mean() > alike[~same].mean() + 0.1
    others = torch.ones(len(start), dtype=torch.bool)
    for field in (city, province):
        first = int(model.offset_F[field])
        others[first : first + planted.schema.categorical[field].cardinality] = False
    assert torch.equal(table[others], start[others])


def test_a_pretraining_field_that_the_data_has_not_is_refused(task: TrainingTask) -> None:
    with pytest.raises(UserError, match="`pretrain_fields` must name categorical fields"):
        train(at(task, pretrain="dae", pretrain_fields=("weather",)))


def with_test_labels(data: Dataset, labels: np.ndarray) -> Dataset:
    test = Split(data.test.ids, data.test.dense, labels.astype(np.float32))
    return replace(data, test=test)


@pytest.mark.parametrize("name", ["fsmd", "single_task"])
def test_scrambled_test_labels_change_no_choice_and_no_validation_figure(
    name: str, ref: DataRef, planted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(SMALL, fm=MODELS[name].fm, sharing=MODELS[name].sharing, chain=False)
    task = TrainingTask(config, ref, seed=1, epochs=4, patience=2)
    honest = train(task)
    shuffled = np.random.default_rng(0).permutation(planted.test.labels)
    scrambled = with_test_labels(planted, shuffled)
    monkeypatch.setattr("fsmd.training.open_encoded", lambda path: scrambled)
    other = train(task)
    assert other.chosen_epochs == honest.chosen_epochs
    assert other.epochs == honest.epochs

    def choosing(result: tuple[Measurement, ...]) -> list[Measurement]:
        return [m for m in result if not m.split.startswith("test")]

    assert choosing(other.measurements) == choosing(honest.measurements)
    assert other.value("test", "click", "auc") != honest.value("test", "click", "auc")
    assert other.value("test", "click", "auc") == pytest.approx(0.5, abs=0.1)


def test_test_is_measured_at_the_chosen_epoch_only(task: TrainingTask) -> None:
    result = train(replace(task, epochs=6, patience=2))
    mean = {
        e: np.mean(
            [
                m.value
                for m in result.measurements
                if (m.split, m.metric, m.epoch) == ("valid", "auc", e)
            ]
        )
        for e in range(1, result.epochs + 1)
    }
    best = max(mean, key=lambda e: (mean[e], -e))
    assert set(result.chosen_epochs.values()) == {best}
    assert {m.epoch for m in result.measurements if m.split == "test"} == {best}


def test_patience_ends_training_that_many_epochs_after_the_best(task: TrainingTask) -> None:
    result = train(at(replace(task, epochs=40, patience=2), learning_rate=0.1))
    assert result.epochs < 40
    assert result.epochs == max(result.chosen_epochs.values()) + 2


def test_models_that_share_nothing_choose_each_tasks_epoch_by_itself(ref: DataRef) -> None:
    config = replace(SMALL, sharing="none", fm="none", chain=False)
    result = train(TrainingTask(config, ref, seed=1, epochs=6, patience=6))
    for name in ("click", "long_view"):
        curve = {
            m.epoch: m.value
            for m in result.measurements
            if (m.split, m.task, m.metric) == ("valid", name, "auc")
        }
        assert curve[result.chosen_epochs[name]] == max(curve.values())


def test_final_figures_agree_with_scikit_learn(
    ref: DataRef, planted: Dataset, tmp_path: Path
) -> None:
    """The checkpoint, loaded as a user would, predicts what was measured."""
    task = TrainingTask(SMALL, ref, seed=2, epochs=1)
    checkpoint = tmp_path / "model.ckpt"
    result = train(task, checkpoint=checkpoint)
    module = FSMDModule.load_from_checkpoint(checkpoint).eval()
    test = planted.test
    with torch.no_grad():
        p = module(torch.from_numpy(test.ids), torch.from_numpy(test.dense)).double().numpy()
        logits = module.model(torch.from_numpy(test.ids), torch.from_numpy(test.dense)).numpy()
    for k, name in enumerate(planted.schema.tasks):
        y = test.labels[:, k]
        assert result.value("test", name, "auc") == pytest.approx(roc_auc_score(y, p[:, k]))
        want = sklearn_log_loss(y, p[:, k])
        assert result.value("test", name, "log_loss") == pytest.approx(want, rel=1e-5)
    clicked = test.labels[:, 0] > 0
    want = roc_auc_score(test.labels[clicked, 1], logits[clicked, 1])
    assert result.value("test", "long_view", "conditional_auc") == pytest.approx(want)
    assert (p[:, 1] <= p[:, 0]).all()


@pytest.mark.parametrize("seed", range(5))
def test_auc_agrees_with_scikit_learn_with_ties_and_any_range(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores = draw.integers(-30, 30, 500) * 10.0
    labels = (draw.random(500) < 1 / (1 + np.exp(-scores / 100))).astype(np.float32)
    got = metrics.auc(torch.from_numpy(scores), torch.from_numpy(labels))
    assert got == pytest.approx(roc_auc_score(labels, scores), abs=1e-7)


def test_auc_of_one_class_is_an_error_not_a_half() -> None:
    with pytest.raises(ValueError, match="both classes"):
        metrics.auc(torch.rand(5), torch.zeros(5))


def test_calibration_error_of_a_constant_is_its_distance_from_the_rate() -> None:
    labels = torch.tensor([1.0, 0.0, 0.0, 0.0])
    assert metrics.calibration_error(torch.full((4,), 0.65), labels) == pytest.approx(0.4)


def test_a_loss_that_is_not_finite_is_told_with_its_epoch(task: TrainingTask) -> None:
    with pytest.raises(DivergedError, match=r"in epoch 1 .*learning_rate is 1e\+30"):
        train(at(task, learning_rate=1e30, batch_norm=False))


def test_a_chain_on_tasks_without_a_funnel_is_refused(
    task: TrainingTask, planted: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = replace(planted, schema=replace(planted.schema, funnel=False))
    monkeypatch.setattr("fsmd.training.open_encoded", lambda path: flat)
    with pytest.raises(UserError, match="click and long_view do not"):
        train(task)


# --- conformance: every model on every data set --------------------------------------------

LEARNS = {"planted": 0.6, "census": 0.8, "census_no_leak": 0.8, "kuairand": 0.55}
"""AUC on test that a small model passes on either task after two epochs over 3,000 rows."""


@pytest.fixture(scope="module")
def excerpts() -> dict[str, Dataset]:
    return {}


def excerpt(data: Dataset, rows: int) -> Dataset:
    def cut(split: Split) -> Split:
        return Split(split.ids[:rows], split.dense[:rows], split.labels[:rows])

    return replace(
        data,
        train=cut(data.train),
        valid=cut(data.valid),
        test=cut(data.test),
        test_unseen=data.test_unseen[:rows],
    )


@pytest.mark.parametrize("data_name", data_package.names())
@pytest.mark.parametrize("model", MODELS)
def test_every_model_trains_on_every_data_set(
    model: str, data_name: str, excerpts: dict[str, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    if data_name not in excerpts:
        try:
            excerpts[data_name] = excerpt(data_package.load(data_name), 3000)
        except UserError as error:
            pytest.skip(f"{data_name}: {error}")
    data = excerpts[data_name]
    monkeypatch.setattr("fsmd.training.open_encoded", lambda path: data)
    small = replace(
        MODELS[model], layers=(16, 8), tower_width=8, expert_count=2,
        batch_size=50, learning_rate=0.01,
    )  # fmt: skip
    config = fitted(small, data.schema.funnel)
    ref = DataRef(data_name, data.content_hash, data.path)
    result = train(TrainingTask(config, ref, seed=0, epochs=2))
    for name in data.schema.tasks:
        assert LEARNS[data_name] < result.value("test", name, "auc") <= 1
        assert result.value("valid", name, "log_loss") > 0
        assert 0 <= result.value("test", name, "calibration_error") <= 1
        assert LEARNS[data_name] < result.value("test_unseen", name, "auc") <= 1
    losses = [m.value for m in result.measurements if m.metric == "loss"]
    assert losses[1] < losses[0]
    assert result.parameters > 0


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
    seen = [ids[:, 0].tolist() for ids, _, _ in batches]
    assert [len(ids) for ids in seen] == sizes == [4] * (len(batches) - 1) + sizes[-1:]
    flat = [i for ids in seen for i in ids]
    assert len(set(flat)) == len(flat)
    for ids, dense, labels in batches:
        assert torch.equal(ids.float(), dense)
        assert torch.equal(dense, labels)


def test_evaluation_batches_hold_every_row_in_order() -> None:
    column = np.arange(9, dtype=np.int32)[:, None]
    split = Split(column, column.astype(np.float32), column.astype(np.float32))
    batches = Batches(split, 4, torch.device("cpu"))
    assert [i for ids, _, _ in batches for i in ids[:, 0].tolist()] == list(range(9))


# --- identity ------------------------------------------------------------------------------


def test_identity_names_what_determines_the_numbers_and_nothing_else(task: TrainingTask) -> None:
    moved = replace(task, data=replace(task.data, path=Path("elsewhere")))
    assert moved.id == task.id
    others = [
        replace(task, seed=6),
        replace(task, epochs=5),
        replace(task, patience=3),
        replace(task, device="cuda"),
        at(task, tower_shape="increasing"),
        replace(task, data=replace(task.data, content_hash="f" * 64)),
    ]
    assert len({task.id, *(other.id for other in others)}) == 7


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
