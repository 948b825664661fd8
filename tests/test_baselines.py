"""Simple models that networks have to beat: against plain implementations, and as trainings."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from fsmd.baselines import BASELINES, Baseline, Config, fitting
from fsmd.baselines.columns import FOLDS, TaskRows, mean_labels, task_rows
from fsmd.baselines.libraries import BOOSTING, check_library, library
from fsmd.baselines.nodes import LEAF, joined, tree
from fsmd.baselines.trees import TREES, Boosted
from fsmd.config import MODELS
from fsmd.data.schema import Dataset, Field, Schema, Split
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.packing import unpack
from fsmd.runtime import Runtime
from fsmd.tasks import Task
from fsmd.training import Training, TrainingResult, _needed, code_version, train
from studies.changes import changed
from studies.definition import Search, Study, baselines, definition_of, models
from studies.planner.design import baseline_arms, check, going_on, plan, search_plan
from studies.reading import read
from studies.run import main
from studies.search.confirmation import baseline_cells
from studies.store.records import StudyRecord
from tests.lab import NOW, Immediate, small_data

KINDS = tuple(kind for kind in BASELINES if kind not in BOOSTING or find_spec(kind))
"""Those whose libraries are installed."""
BASE = MODELS["base"]
FIELDS = (Field("user", 6), Field("tags", 5, length=3), Field("hour", 3, share="user"))


def split_of(rows: int, tasks: int, seed: int, masked: bool, weighted: bool) -> Split:
    """Rows whose labels follow one number, one id and one tag; later tasks imply earlier ones."""
    draw = np.random.default_rng(seed)
    user_N, hour_N = draw.integers(0, 6, rows), draw.integers(0, 3, rows)
    tag_NL = np.where(draw.random((rows, 3)) < 0.6, draw.integers(0, 5, (rows, 3)), -1)
    dense_ND = draw.normal(size=(rows, 2)).astype(np.float32)
    score_N = dense_ND[:, 0] + 0.5 * (user_N - 2.5) + (tag_NL == 2).sum(1)
    label_NK = np.ones((rows, tasks), np.float32)
    for k in range(tasks):
        label_NK[:, k] = (score_N + draw.logistic(size=rows) > 0) & (
            label_NK[:, max(k - 1, 0)] > 0
        )
    if masked:
        label_NK[draw.random((rows, tasks)) < 0.2] = np.nan
    return Split(
        ids=np.column_stack([user_N, tag_NL, hour_N]).astype(np.int32),
        dense=dense_ND,
        labels=label_NK,
        weights=draw.uniform(0.5, 2, rows).astype(np.float32) if weighted else None,
        users=(user_N // 2).astype(np.uint32),
    )


def data_of(
    tasks: Sequence[Task] = (Task("click"), Task("buy", after="click")),
    *,
    rows: int = 600,
    masked: bool = False,
    weighted: bool = False,
) -> Dataset:
    """In memory alone; `trained` trains on it."""
    train, valid, test = (split_of(rows, len(tasks), seed, masked, weighted) for seed in (0, 1, 2))
    return Dataset(
        name="made",
        schema=Schema("made", FIELDS, ("x", "y"), tuple(tasks), masked, weighted),
        train=train,
        valid=valid,
        test=test,
        test_unseen=np.arange(rows) % 2 == 0,
        content_hash="hash of made",
        path=Path("made"),
        reachable=None,
        settings=TrainingSettings(epochs=2, patience=2),
    )


Trained = Callable[..., TrainingResult]


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    """`train` on a data set that lies in memory."""

    def run(data: Dataset, config: Config, seed: int = 0, **options: Any) -> TrainingResult:
        monkeypatch.setattr(fitting, "open_encoded", lambda _: data)
        return train(Training.on(data, config, seed), **options)

    return run


def scores(result: TrainingResult) -> dict[str, Any]:
    return {task: unpack(packed) for task, packed in result.predictions.items()}


def same(one: TrainingResult, other: TrainingResult) -> bool:
    return replace(one, seconds=0.0) == replace(other, seconds=0.0)


# The models


def test_the_log_loss_of_the_constant_rate_is_the_entropy_of_the_labels(trained: Trained) -> None:
    data = data_of(weighted=True)
    result = trained(replace(data, test=data.train), BASELINES["constant"])
    rate = np.average(data.train.labels[:, 0], weights=data.train.weights)
    entropy = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert result.value("test", "click", "log_loss") == pytest.approx(entropy, abs=1e-6)
    assert result.value("test", "click", "auc") == 0.5
    assert (result.epochs, result.parameters) == (1, 2)


@pytest.mark.parametrize("masked", [False, True])
def test_logistic_regression_is_the_one_on_dense_one_hot_columns(
    trained: Trained, masked: bool
) -> None:
    data = data_of(masked=masked, weighted=True)
    patient = replace(data, settings=TrainingSettings(epochs=40, patience=40))
    fixed = {"click": 40, "buy": 40}
    found = scores(trained(patient, Baseline("logistic", l2=3.0), fixed_epochs=fixed))
    train_NF, test_NF = (dense_one_hot(data.schema, s) for s in (data.train, data.test))
    for k, task in enumerate(("click", "buy")):
        seen_N = ~np.isnan(data.train.labels[:, k])
        weight_N = np.asarray(data.train.weights)[seen_N]
        weight_N = weight_N / weight_N.mean()
        plain = LogisticRegression(C=1 / 3, solver="newton-cholesky", tol=1e-9)
        plain.fit(train_NF[seen_N], data.train.labels[seen_N, k], weight_N)
        wanted = plain.decision_function(test_NF)
        np.testing.assert_allclose(found[task], wanted, atol=0.01)


def dense_one_hot(schema: Schema, split: Split) -> np.ndarray:
    columns, at = [], 0
    for field in schema.categorical:
        hot = np.zeros((len(split), field.cardinality))
        for n, ids in enumerate(split.ids[:, at : at + field.length]):
            members = [i for i in ids if i >= 0]
            for i in members:
                hot[n, i] += 1 / len(members)
        columns.append(hot)
        at += field.length
    return np.concatenate([*columns, split.dense], 1)


@pytest.mark.parametrize(("masked", "weighted"), [(False, False), (True, True)])
def test_ids_become_mean_labels_of_other_folds_in_train_and_of_all_rows_elsewhere(
    masked: bool, weighted: bool
) -> None:
    data, smoothing = data_of(rows=83, masked=masked, weighted=weighted), 3.0
    rows = task_rows(data, 1)
    means, found_NF = mean_labels(data, rows, smoothing)
    ids, count = data.train.ids[rows.rows], len(rows.rows)
    spans = ((0, 1), (1, 4), (4, 5))

    def plain(others: list[int], row: np.ndarray) -> list[float]:
        """The rates, then the counts of a row, by rows of train."""
        weights, labels = rows.weight_N[others], rows.label_N[others]
        mean, rates, counts = weights @ labels / weights.sum(), [], []
        for start, end in spans:
            rate, number = [], []
            for i in (i for i in row[start:end] if i >= 0):
                hits = (ids[others, start:end] == i).sum(1)
                total = weights @ hits + smoothing
                rate.append((weights * labels @ hits + smoothing * mean) / total)
                number.append(np.log1p(hits.sum() * count / len(others)))
            rates.append(np.mean(rate) if rate else mean)
            counts.append(np.mean(number) if number else 0.0)
        return [*rates, *counts]

    fold = [n * FOLDS // count for n in range(count)]
    for n in range(count):
        others = [m for m in range(count) if fold[m] != fold[n]]
        np.testing.assert_allclose(found_NF[n, :6], plain(others, ids[n]), rtol=1e-5)
    valid_NF = means.numbers(data.schema, data.valid.ids, data.valid.dense)
    for n, row in enumerate(data.valid.ids):
        np.testing.assert_allclose(valid_NF[n, :6], plain([*range(count)], row), rtol=1e-5)
    np.testing.assert_array_equal(valid_NF[:, 6:], data.valid.dense)


def boosted_rows() -> tuple[np.ndarray, TaskRows]:
    draw = np.random.default_rng(3)
    number_NF = draw.normal(size=(1500, 5)).astype(np.float32)
    number_NF[:, 2] = np.round(number_NF[:, 2])
    label_N = (number_NF[:, 0] * number_NF[:, 1] + draw.normal(size=1500) > 0).astype(float)
    return number_NF, TaskRows(np.arange(1500), label_N, draw.uniform(0.5, 2, 1500))


def own_scores(boost: Boosted, number_NF: np.ndarray) -> np.ndarray:
    base, trees = boost
    return base + joined(trees).scores(number_NF)


def recorded(monkeypatch: pytest.MonkeyPatch, kind: type, name: str) -> list[Any]:
    """The objects whose method of this name was called."""
    called, method = list[Any](), getattr(kind, name)

    def keep(self: Any, *given: Any, **options: Any) -> Any:
        called.append(self)
        return method(self, *given, **options)

    monkeypatch.setattr(kind, name, keep)
    return called


def test_trees_say_what_scikit_learn_says_of_them() -> None:
    from fsmd.baselines.trees import SHARE, _boost

    number_NF, rows = boosted_rows()
    with threadpool_limits(1):
        plain = HistGradientBoostingClassifier(
            max_iter=30,
            min_samples_leaf=20,
            max_features=SHARE,
            early_stopping=False,
            random_state=7,
        ).fit(number_NF, rows.label_N, rows.weight_N)
        found = own_scores(_boost(BASELINES["trees"], number_NF, rows, 30, 7), number_NF)
    np.testing.assert_allclose(found, plain.decision_function(number_NF), atol=1e-5)


def test_trees_say_what_lightgbm_says_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lightgbm = pytest.importorskip("lightgbm")
    from fsmd.baselines.lightgbm import _boost

    boosters = recorded(monkeypatch, lightgbm.Booster, "dump_model")
    number_NF, rows = boosted_rows()
    found = own_scores(_boost(BASELINES["lightgbm"], number_NF, rows, 30, 7), number_NF)
    wanted = boosters[-1].predict(number_NF, raw_score=True)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if BASELINES[kind].min_rows])
def test_trees_that_nothing_can_split_say_the_rate(trained: Trained, kind: str) -> None:
    data = data_of((Task("click"),))
    result = trained(data, Baseline(kind, min_rows=len(data.train)))
    log_odds = task_rows(data, 0).log_odds
    np.testing.assert_allclose(scores(result)["click"], log_odds, rtol=1e-5)


def test_trees_say_what_catboost_says_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    catboost = pytest.importorskip("catboost")
    from fsmd.baselines.catboost import _boost

    fitted = recorded(monkeypatch, catboost.CatBoostClassifier, "save_model")
    number_NF, rows = boosted_rows()
    boost = _boost(BASELINES["catboost"], number_NF, rows, 70, 7)  # in two parts
    found = own_scores(boost, number_NF)
    wanted = fitted[-1].predict(number_NF, prediction_type="RawFormulaVal")
    assert fitted[-1].tree_count_ == 70
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@given(st.floats(-1e30, 1e30), st.integers(-3, 3))
def test_a_threshold_of_float64_parts_float32_numbers_as_before(
    threshold: float, steps: int
) -> None:
    number = np.float32(threshold)
    for _ in range(abs(steps)):
        number = np.nextafter(number, np.float32(np.copysign(np.inf, steps)))
    feature, left, right = (np.array(x) for x in ([0, LEAF, LEAF], [1, 1, 2], [2, 1, 2]))
    nodes = tree(feature, np.array([threshold, 0, 0]), left, right, np.array([0.0, 1.0, 2.0]))
    (score,) = nodes.scores(np.array([[number]], np.float32))
    assert (score == 1) == (float(number) <= threshold)


# As trainings


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "tasks",
    [
        (Task("click"),),
        (Task("click"), Task("buy", after="click", metric="log_loss")),
        tuple(Task(f"t{k}", metric="user_auc" if k else "auc") for k in range(3)),
        tuple(Task(f"t{k}") for k in range(5)),
    ],
)
def test_any_number_of_tasks_and_any_metric_trains_and_the_model_gives_the_stored_scores(
    trained: Trained, kind: str, tasks: tuple[Task, ...]
) -> None:
    data = data_of(tasks, rows=300, masked=True, weighted=True)
    result = trained(data, BASELINES[kind], keep_model=True)
    assert result.model is not None
    found_NK = result.model.logits(data.test.ids, data.test.dense)
    np.testing.assert_array_equal(found_NK, result.model.scores(data.test.ids, data.test.dense))
    for k, (task, score_N) in enumerate(scores(result).items()):
        np.testing.assert_array_equal(found_NK[:, k], score_N)
        assert 1 <= result.chosen_epochs[task] <= result.epochs
    assert len(result.curve(tasks)) == result.epochs
    assert result.parameters == sum(a.size for a in result.model.tensors.values())
    curve = {m.epoch: m.value for m in result.measurements if m.metric == "loss"}
    assert sorted(curve) == [*range(1, result.epochs + 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_scrambled_test_labels_change_no_choice_and_no_score(trained: Trained, kind: str) -> None:
    data = data_of()
    scrambled = replace(data.test, labels=data.test.labels[::-1].copy())
    before = trained(data, BASELINES[kind])
    after = trained(replace(data, test=scrambled), BASELINES[kind])
    assert before.chosen_epochs == after.chosen_epochs
    assert before.predictions == after.predictions
    kept = [[m for m in r.measurements if m.split != "test"] for r in (before, after)]
    assert [m for m in kept[0] if m.split == "valid"] == [m for m in kept[1] if m.split == "valid"]
    assert before.value("test", "click", "auc") != after.value("test", "click", "auc") or (
        kind == "constant"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_one_seed_gives_the_same_numbers_and_seeds_differ_where_chance_decides(
    trained: Trained, kind: str
) -> None:
    data = data_of()
    one, again, other = (trained(data, BASELINES[kind], seed) for seed in (1, 1, 2))
    assert same(one, again)
    assert same(one, other) == (kind in ("constant", "logistic"))


@pytest.mark.parametrize("kind", KINDS)
def test_rows_where_the_task_was_not_observed_are_as_if_they_were_not_there(
    trained: Trained, kind: str
) -> None:
    data = data_of((Task("click"),), masked=True, weighted=True)
    seen = np.flatnonzero(~np.isnan(data.train.labels[:, 0]))
    without = Split(*(part[seen] for part in _parts(data.train)))
    shorter = trained(replace(data, train=without), BASELINES[kind])
    assert scores(trained(data, BASELINES[kind]))["click"] == pytest.approx(
        scores(shorter)["click"]
    )


def _parts(split: Split) -> tuple[Any, ...]:
    return split.ids, split.dense, split.labels, split.weights


@pytest.mark.parametrize("kind", ["constant", "logistic"])
def test_a_row_of_weight_three_counts_as_three_rows(trained: Trained, kind: str) -> None:
    data = data_of((Task("click"),))
    count_N = np.where(np.arange(600) % 3 == 0, 3, 1)
    times = Split(*(np.repeat(part, count_N, 0) for part in _parts(data.train)[:3]))
    weighted = replace(data.train, weights=count_N.astype(np.float32))
    own = replace(data, settings=TrainingSettings(epochs=40, patience=40))
    mean = float(count_N.mean())  # weights are of mean 1: so are the rows against the squares
    config, heavier = BASELINES[kind], BASELINES[kind]
    if kind == "logistic":
        config, heavier = Baseline(kind, l2=1.0), Baseline(kind, l2=mean)
    fixed = {"click": 1 if kind == "constant" else 40}
    found = trained(replace(own, train=weighted), config, fixed_epochs=fixed)
    wanted = trained(replace(own, train=times), heavier, fixed_epochs=fixed)
    np.testing.assert_allclose(scores(found)["click"], scores(wanted)["click"], atol=0.01)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("label", [0.0, 1.0, np.nan])
def test_a_task_of_one_class_in_train_gets_its_rate(
    trained: Trained, kind: str, label: float
) -> None:
    data = data_of((Task("click"), Task("buy")))
    labels = data.train.labels.copy()
    labels[:, 1] = label
    result = trained(replace(data, train=replace(data.train, labels=labels)), BASELINES[kind])
    buy_N = scores(result)["buy"]
    assert np.ptp(buy_N) == 0
    assert np.sign(buy_N[0]) == (0 if np.isnan(label) else 2 * label - 1)
    assert abs(buy_N[0]) < 8
    assert result.value("test", "click", "auc") >= 0.5


def test_epochs_decided_before_are_those_that_stand(trained: Trained) -> None:
    fixed = {"click": 3, "buy": 1}
    result = trained(data_of(), BASELINES["trees"], fixed_epochs=fixed, keep_model=True)
    assert result.chosen_epochs == fixed
    assert result.model is not None
    assert [len(result.model.tensors[f"{k}.roots"]) for k in (0, 1)] == [3 * TREES, TREES]


def test_patience_ends_each_task_by_itself(trained: Trained) -> None:
    data = replace(data_of(), settings=TrainingSettings(epochs=30, patience=1))
    result = trained(data, Baseline("trees", learning_rate=0.5))
    assert result.epochs <= max(result.chosen_epochs.values()) + 1 < 30


def test_the_first_training_of_a_process_has_one_thread_too() -> None:
    program = (
        "from fsmd.baselines import BASELINES, fitting\n"
        "from threadpoolctl import threadpool_info\n"
        "with fitting._one_thread(BASELINES['trees']):\n"
        "    print({each['num_threads'] for each in threadpool_info()})"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert told.stdout == "{1}\n", told.stderr


def test_networks_and_baselines_have_each_their_own_code_and_baselines_no_torch() -> None:
    assert not [path for path in _needed() if path.startswith("baselines/")]
    own = _needed("Baseline")
    assert {"baselines/fitting.py", "evaluation.py", "metrics/__init__.py"} <= set(own)
    assert not set(own) & {"model.py", "trainer.py", "module.py", "batches.py"}
    assert not [path for path, text in own.items() if "import torch" in text]
    assert code_version() != code_version(Baseline)


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"kind": "forest"}, "no baseline 'forest'"),
        ({"kind": "tree"}, "did you mean 'trees'"),
        ({"kind": "constant", "l2": 1.0}, "`l2` is no setting of constant"),
        ({"kind": "logistic", "l2": -1.0}, "`l2` must be"),
        ({"kind": "logistic", "l2": float("inf")}, "`l2` must be"),
        ({"kind": "trees", "leaves": 1}, "`leaves` must be"),
        ({"kind": "trees", "leaves": 3.5}, "`leaves` must be"),
        ({"kind": "trees", "min_rows": True}, "`min_rows` must be"),
        ({"kind": "trees", "learning_rate": "0.1"}, "`learning_rate` must be"),
        ({"kind": "catboost", "leaves": 31}, "`leaves` is no setting of catboost"),
    ],
)
def test_a_baseline_that_cannot_be_is_refused_in_one_line(
    values: dict[str, Any], wrong: str
) -> None:
    with pytest.raises(UserError, match=wrong):
        Baseline(**values)


@pytest.mark.parametrize("kind", ["lightgbm", "catboost"])
def test_a_library_that_is_missing_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr("fsmd.baselines.libraries.find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, kind, None)
    for missed in (check_library, library):
        with pytest.raises(UserError, match=rf"{kind} .*pip install 'fsmd\[boosting\]'"):
            missed(kind)
    with pytest.raises(UserError, match=f"needs the library {kind}"):
        plan(study_of(kind), {"planted": small_data()}, SETTINGS, 0, Runtime())


# In studies and searches

SETTINGS = TrainingSettings(batch_size=512, learning_rate=0.002)


def study_of(*names: str) -> Study:
    arms = (*models(("base", "fs"), BASE), *baselines(names))
    return Study("own", "Own", "Which?", "model", BASE, arms, reference="base")


@pytest.mark.parametrize("config", [*BASELINES.values(), BASE, Baseline("trees", leaves=7)])
def test_what_is_stored_of_a_model_is_read_as_what_it_was(config: Config) -> None:
    assert read(Config, asdict(config)) == config


def test_a_study_with_baselines_is_planned_and_read_back_as_it_was() -> None:
    study = study_of("constant", "trees")
    check(study)
    assert Study.from_dict(study.to_dict()) == study
    planned = plan(study, {"planted": small_data()}, SETTINGS, 0, Runtime())
    assert [arm.config for arm in planned.arms[2:]] == [BASELINES["constant"], BASELINES["trees"]]
    record = StudyRecord("own", study, study, planned, NOW)
    assert StudyRecord.from_row(record.to_row()) == record


def test_another_base_leaves_baselines_as_they_are() -> None:
    study = study_of("trees")
    other = changed(study, None, ["embedding_size=8"])
    assert other.config("trees") == study.config("trees") == BASELINES["trees"]
    assert other.config("base") != study.config("base")
    alone = replace(study, arms=baselines(("constant", "trees")), reference="trees")
    with pytest.raises(UserError, match="every arm of 'own' sets `embedding_size` itself"):
        changed(alone, None, ["embedding_size=8"])


def test_a_baseline_changes_nothing_of_the_base() -> None:
    arm = replace(baselines(["trees"])[0], changes=(("embedding_size", 8),))
    with pytest.raises(UserError, match="'trees' of 'own' is the baseline trees"):
        check(replace(study_of(), arms=(*study_of().arms, arm)))


SEARCH = Search("pareto", "Pareto", "Which?", "paper", baselines=("constant", "trees"), confirm=3)


def search_record(search: Search) -> StudyRecord:
    planned = search_plan(small_data(), SETTINGS, 0, Runtime())
    planned = replace(planned, arms=baseline_arms(search, small_data()))
    way = {name: getattr(search, name) for name in Search.METHOD}
    return StudyRecord("pareto", search, search, planned, NOW, methods=(way,))


def test_a_search_trains_its_baselines_on_the_fresh_seeds_alone() -> None:
    cells = baseline_cells(search_record(SEARCH), small_data().ref)
    assert [(c.arm, c.replicate) for c in cells] == [
        (arm, replicate) for replicate in (1, 2, 3) for arm in ("constant", "trees")
    ]
    assert definition_of("search", SEARCH.to_dict()) == SEARCH
    with pytest.raises(UserError, match="no baseline 'treees'; did you mean 'trees'"):
        baseline_arms(replace(SEARCH, baselines=("treees",)), small_data())


def test_a_search_that_goes_on_without_baselines_keeps_those_that_have_begun() -> None:
    asked = search_record(replace(SEARCH, baselines=()))
    record = going_on(search_record(SEARCH), asked)
    assert [arm.name for arm in record.plan.arms] == ["constant", "trees"]
    assert baseline_cells(record, small_data().ref) == ()
    begun = baseline_cells(record, small_data().ref, begun=("trees", "fsmd"))
    assert {cell.arm for cell in begun} == {"trees"}


def test_a_study_of_baselines_runs_reports_and_is_there_when_asked_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    blank_figures: None,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("studies.session.LocalWorkers", lambda _: Immediate())
    monkeypatch.setattr("studies.session.measure_latency", lambda *_: None)
    Path("mine.py").write_text(
        "from fsmd.config import MODELS\n"
        "from studies.definition import Study, baselines\n"
        "arms = baselines(('constant', 'logistic', 'trees'))\n"
        "STUDY = Study('mine', 'Mine', 'Which?', 'model', MODELS['base'], arms, 'constant')\n"
    )
    asked = ("mine.py", "--data", "planted:rows=1000", "--replicates", "3", "--epochs", "2")
    assert main(asked) == 0
    assert "Trained 9, found 0 already there" in capsys.readouterr().out
    page = next(tmp_path.glob("out/*/report.html")).read_text("utf-8")
    assert all(name in page for name in ("constant", "logistic", "trees"))
    before = runs_in(tmp_path)
    assert len(before) == 9

    def unwritten(*_: object) -> None:
        raise UserError("no report this time")

    monkeypatch.setattr("reports.build.build", unwritten)  # it takes longest, and is there
    assert main(asked) == 2
    assert runs_in(tmp_path) == before


def runs_in(folder: Path) -> list[Any]:
    """Identity and end of each training in the database of a folder."""
    with closing(sqlite3.connect(next(folder.glob("*.db")))) as connection:
        return sorted(connection.execute("SELECT id, status, finished_at FROM fsmd_runs"))
