"""What is stored is what was measured: records, trainings, test rows, trials."""

import json
from array import array
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.config import FSMDConfig
from fsmd.data.schema import DataRef, Dataset, Field, Schema, Split
from fsmd.data.settings import TrainingSettings
from fsmd.metrics import METRICS, measured
from fsmd.packing import pack, unpack
from fsmd.tasks import Task
from fsmd.training import Measurement, Training, TrainingResult
from reports.predictions import read_rows
from reports.results import read
from studies.failure import Failure
from studies.store.costs import CostKey, known_cost, known_costs, record_cost
from studies.store.curves import figures_of, rows_of
from studies.store.records import StudyRecord
from studies.store.runs import (
    Provenance,
    chosen_results,
    known_result,
    known_runs,
    link_cell,
    record_rows,
    record_run,
)
from studies.store.studies import find_study, insert_study, study_names, update_study
from studies.store.tables import CELLS, MEASUREMENTS, PREDICTIONS, RUNS, TEST_ROWS
from tests import made_up

HERE = Provenance({"torch": "1"}, "a machine")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = made_up.fresh_engine(tmp_path)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """A database for tests of which each has trainings of its own."""
    engine = made_up.fresh_engine(tmp_path_factory.mktemp("shared"))
    yield engine
    engine.dispose()


def count(engine: sa.Engine, table: sa.Table) -> int:
    with engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0


# Records


def test_a_stored_study_is_read_as_it_was_stored(engine: sa.Engine) -> None:
    for i, tasks in enumerate((*map(made_up.tasks, (1, 2, 3, 5)), made_up.MIXED)):
        reachable = {task.name: 0.8 for task in tasks}
        stored = made_up.store_study(
            engine,
            made_up.models(tasks),
            tasks=tasks,
            name=f"study {i}",
            replicates=0,
            reachable=reachable,
        )
        assert find_study(engine, f"study {i}") == stored
        assert StudyRecord.from_row(stored.to_row()) == stored


def test_a_stored_search_is_read_as_it_was_stored(engine: sa.Engine) -> None:
    stored = made_up.store_search(engine, {}, objectives=("tasks", "params"))
    assert find_study(engine, "search") == stored
    assert [method["sampler"] for method in stored.methods] == ["tpe", "gp"]
    assert stored.is_search
    with pytest.raises(TypeError, match="is a search"):
        _ = stored.study


def test_studies_are_listed_by_name_replaced_and_have_one_planner(engine: sa.Engine) -> None:
    stored = made_up.store_study(engine, name="b", replicates=0)
    made_up.store_study(engine, name="a", replicates=0)
    assert study_names(engine) == ("a", "b")
    assert find_study(engine, "c") is None
    with pytest.raises(sa.exc.IntegrityError):
        insert_study(engine, replace(stored, planner="another"))
    grown = replace(stored, definition=replace(stored.study, margins=(("auc", 0.5),)))
    for planner in ("me", "you"):
        update_study(engine, replace(grown, planner=planner))
        assert find_study(engine, "b") == replace(grown, planner=planner)


# Trainings

RESULT = TrainingResult(
    measurements=(
        Measurement(1, "valid", "click", "auc", 0.7),
        Measurement(2, "valid", "click", "auc", 0.8),
        Measurement(2, "test", "click", "auc", 0.75),
    ),
    chosen_epochs={"click": 2},
    epochs=2,
    finished=True,
    seconds=1.5,
    parameters=10,
    predictions={"click": pack(np.zeros(3, np.float32))},
)


def paused(epochs: int) -> TrainingResult:
    kept = tuple(m for m in RESULT.measurements if m.epoch <= epochs and m.split != "test")
    chosen = {"click": epochs}
    return replace(
        RESULT,
        measurements=kept,
        chosen_epochs=chosen,
        epochs=epochs,
        finished=False,
        predictions={},
    )


FAILED = Failure("diverged", "where")
LOST = Failure("killed", "there", passing=True)


def training(seed: int = 0) -> Training:
    config = TrainingSettings().applied(FSMDConfig())
    return Training(config, DataRef("planted", "hash", Path("nowhere")), seed)


CHANGES: list[tuple[TrainingResult | Failure, TrainingResult | Failure, str]] = [
    (paused(1), paused(2), "paused 2"),
    (paused(2), paused(1), "paused 2"),
    (paused(2), LOST, "paused 2"),
    (paused(2), FAILED, "failed 0"),
    (paused(2), RESULT, "done 2"),
    (FAILED, RESULT, "done 2"),
    (FAILED, paused(1), "paused 1"),
    (LOST, FAILED, "failed 0"),
    (LOST, LOST, "lost 0"),
    (RESULT, paused(1), "done 2"),
    (RESULT, FAILED, "done 2"),
    (RESULT, LOST, "done 2"),
    (RESULT, replace(RESULT, epochs=3), "done 2"),
]


@pytest.mark.parametrize(("before", "after", "status"), CHANGES)
def test_a_result_is_never_replaced_and_a_pause_only_by_what_goes_on_from_it(
    shared: sa.Engine,
    before: TrainingResult | Failure,
    after: TrainingResult | Failure,
    status: str,
) -> None:
    one = training(CHANGES.index((before, after, status)))
    for outcome in (before, after):
        record_run(shared, one, outcome, 1, HERE)
    result = known_result(shared, one.id)
    assert f"{known_runs(shared, [one.id])[one.id]} {result.epochs}" == status
    assert (len(result.measurements) == 0) == (result.epochs == 0)


def test_of_the_chosen_epochs_alone_a_result_has_the_same_value(engine: sa.Engine) -> None:
    one, other, task = training(), training(1), Task("click")
    record_run(engine, one, RESULT, 3, HERE)
    record_run(engine, other, RESULT, 3, HERE)
    with engine.begin() as connection:
        short = sa.update(MEASUREMENTS).filter_by(run_id=other.id, split="valid")
        connection.execute(short.values(curve="[0.7]"))
    found = chosen_results(engine, [one.id, other.id], [task])
    assert list(found) == [one.id]
    assert found[one.id].measurements == (Measurement(2, "valid", "click", "auc", 0.8),)
    whole = replace(known_result(engine, one.id), measurements=())
    assert replace(found[one.id], measurements=()) == whole


def test_a_result_is_read_as_it_was_measured(engine: sa.Engine) -> None:
    one = training()
    record_run(engine, one, RESULT, 3, HERE)
    kept = known_result(engine, one.id)
    assert set(kept.measurements) == set(RESULT.measurements)
    assert replace(kept, measurements=()) == replace(RESULT, measurements=(), predictions={})
    assert kept.value("test", "click", "auc") == 0.75
    assert count(engine, PREDICTIONS) == 1
    with engine.connect() as connection:
        row = connection.execute(sa.select(RUNS)).one()
    assert FSMDConfig.from_dict(row.config) == one.config
    assert (row.attempts, row.machine, row.libraries) == (3, "a machine", {"torch": "1"})


def test_a_curve_is_a_row_and_one_more_after_each_epoch_left_out(engine: sa.Engine) -> None:
    """Every number is read as it was, to its last bit."""
    draws = np.random.default_rng(0).normal(size=2 * 9).tolist()
    told = [
        Measurement(epoch, "train", "click", metric, draws.pop())
        for metric in ("loss", "gate_weight_0")
        for epoch in (9, 1, 2, 3, 5, 6, 8, 10, 11)
    ]
    assert [(row["metric"], row["epoch"]) for row in rows_of(told)] == [
        *(("gate_weight_0", first) for first in (1, 5, 8)),
        *(("loss", first) for first in (1, 5, 8)),
    ]
    one = training()
    record_run(engine, one, replace(RESULT, measurements=tuple(told)), 1, HERE)
    assert count(engine, MEASUREMENTS) == 6
    read = [Measurement(*row) for row in figures_of(engine, [one.id])[one.id].rows]
    assert read == sorted(told, key=lambda m: (m.metric, m.epoch))


@pytest.mark.parametrize(
    "curve",
    [
        *(
            "[0.1, -0.0, 1e-07, 2.5E+3, 5]",
            "[1e999]",
            f"[{'7' * 400}]",
            "[0.5]\n",
            "[1,2]",
            "[ 1]",
        ),
        *("[01]", "[.5]", "[1.]", "[+1]", "[NaN]", "[Infinity]", "[0x1]", "[1_0]", "[1 2]", "[]"),
        *("[1, ]", "[1.0", "1.0", "", "[[1.0]]", "[null]", '["1"]', "[true]", "[\u0661]", "{}"),
    ],
)
def test_a_curve_is_read_as_json_alone_and_among_others(engine: sa.Engine, curve: str) -> None:
    """To the last bit; what is no list of numbers is left for the check to refuse."""
    draws = np.random.default_rng(0).normal(size=3) * 10.0 ** np.array([-300, 0, 300])
    one = training()
    told = [Measurement(i, "train", "click", "loss", x) for i, x in enumerate(draws.tolist(), 1)]
    record_run(engine, one, replace(RESULT, measurements=tuple(told)), 1, HERE)
    others = figures_of(engine, [one.id])[one.id]
    assert isinstance(others.values, array)
    assert others.values.tolist() == draws.tolist()
    row = {"run_id": one.id, "split": "valid", "task": "click", "metric": "auc", "epoch": 1}
    with engine.begin() as connection:
        connection.execute(sa.insert(MEASUREMENTS).values(**row, curve=curve))
    found = figures_of(engine, [one.id])[one.id]
    try:
        own = json.loads(curve, parse_int=float)
    except ValueError:
        own = None
    expected = own if isinstance(own, list) and own else [curve]
    assert repr([*found.values]) == repr([*draws.tolist(), *expected])
    assert isinstance(found.values, array) == all(type(value) is float for value in expected)


def test_of_a_loss_after_a_pause_the_error_is_kept(engine: sa.Engine) -> None:
    one = training()
    record_run(engine, one, paused(2), 1, HERE)
    record_run(engine, one, LOST, 2, HERE)
    with engine.connect() as connection:
        row = connection.execute(sa.select(RUNS)).one()
    assert (row.status, row.error, row.traceback, row.attempts) == (
        "paused",
        *("killed", "there"),
        2,
    )


def test_only_trainings_that_ended_are_known(engine: sa.Engine) -> None:
    ids = [training(seed).id for seed in range(1200)]
    record_run(engine, training(0), RESULT, 1, HERE)
    record_run(engine, training(1199), FAILED, 1, HERE)
    assert known_runs(engine, ids) == {ids[0]: "done", ids[-1]: "failed"}


def test_a_cell_points_at_one_training_and_follows_it(engine: sa.Engine) -> None:
    made_up.store_study(engine, replicates=0)
    record_run(engine, training(0), FAILED, 1, HERE)
    record_run(engine, training(1), RESULT, 1, HERE)
    for seed in (0, 0, 1):
        link_cell(engine, "towers", "diamond", 0, training(seed).id)
    assert count(engine, CELLS) == 1
    link_cell(engine, "towers", "diamond", 1, training(0).id)
    record_run(engine, training(0), RESULT, 2, HERE)  # the failed one is replaced under its cell
    assert count(engine, CELLS) == 2
    assert set(known_runs(engine, [training(0).id]).values()) == {"done"}


def test_of_a_cost_the_first_measurement_stays(engine: sa.Engine) -> None:
    key = CostKey("latency", "a model", "some rows", "code", "a machine")
    assert known_cost(engine, key) is None
    record_cost(engine, key, 1.5)
    record_cost(engine, key, 2.5)
    assert known_cost(engine, key) == 1.5
    other = replace(key, machine="another one")
    record_cost(engine, other, 3.5)
    assert known_costs(engine, "latency", ["code"], ["a model"]) == {key: 1.5, other: 3.5}
    assert known_costs(engine, "latency", ["newer code"], ["a model"]) == {}


# Test rows


def data_with(label_NK: NDArray[np.float32], **more: Any) -> Dataset:
    tasks = made_up.tasks(label_NK.shape[1])
    rows = len(label_NK)
    split = Split(
        np.zeros((rows, 1), np.int32),
        np.zeros((rows, 0), np.float32),
        label_NK,
        more.pop("weights", None),
        more.pop("users", None),
        more.pop("requests", None),
    )
    return Dataset(
        name="planted",
        schema=Schema("planted", (Field("user", 3),), (), tasks),
        train=split,
        valid=split,
        test=split,
        test_unseen=np.ones(rows, bool),
        content_hash="hash",
        path=Path("nowhere"),
        reachable=None,
        settings=TrainingSettings(),
    )


def test_test_rows_are_read_as_they_are_in_the_data(engine: sa.Engine) -> None:
    label_NK = np.array([[1, 1, np.nan], [0, 0, 0], [1, np.nan, 1], [0, 0, 0]], np.float32)
    weight_N = np.array([1, 2, 0.5, 0], np.float32)
    users, requests = np.array([7, 7, 3, 9], np.uint32), np.array([5, 6, 6, 8], np.uint32)
    data = data_with(label_NK, users=users, requests=requests, weights=weight_N)
    for lost in ("label:like", "user", "request"):  # and what is lost by then is there again
        record_rows(engine, data)
        with engine.begin() as connection:
            connection.execute(sa.delete(TEST_ROWS).filter_by(column=lost))
    record_rows(engine, data)
    with engine.connect() as connection:
        rows = read_rows(connection, "hash")
        nothing = read_rows(connection, "of other data")
        valid = read_rows(connection, "hash", "valid")
    for k, name in enumerate(("click", "long_view", "like")):
        np.testing.assert_array_equal(valid.labels[name], data.valid.labels[:, k])
    assert set(rows.labels) == {"click", "long_view", "like"}
    for k, name in enumerate(("click", "long_view", "like")):
        np.testing.assert_array_equal(rows.labels[name], label_NK[:, k])
    assert rows.unit_N is not None
    assert rows.unit_N.tolist() == [1, 1, 0, 2]
    assert (rows.units, rows.unit) == (3, "user")
    assert rows.groups["request"].tolist() == [0, 1, 1, 2]
    np.testing.assert_array_equal(rows.weight_N, weight_N)
    assert (nothing.labels, nothing.unit_N, nothing.weight_N) == ({}, None, None)


def test_rows_without_users_and_weights_are_independent_and_count_alike(
    engine: sa.Engine,
) -> None:
    record_rows(engine, data_with(np.zeros((4, 1), np.float32)))
    with engine.connect() as connection:
        rows = read_rows(connection, "hash")
    assert (rows.unit_N, rows.units, rows.weight_N) == (None, None, None)
    assert count(engine, TEST_ROWS) == 1


# What the made-up studies of the other tests rest on


@pytest.mark.parametrize("tasks", [made_up.tasks(3), made_up.MIXED, made_up.CENSUS])
def test_a_made_up_test_figure_is_the_metric_of_the_stored_scores(
    engine: sa.Engine, tasks: tuple[Task, ...]
) -> None:
    made_up.store_study(
        engine,
        tasks=tasks,
        replicates=2,
        rows=200,
        users=40,
        weighted=True,
        observed={tasks[0].name: 0.9},
        effects={"diamond": 0.02},
    )
    results = read(engine, "towers")
    with engine.connect() as connection:
        rows = read_rows(connection, results.record.plan.data.content_hash)
        kept = {
            (row.run_id, row.task): unpack(row.scores).astype(float)
            for row in connection.execute(sa.select(PREDICTIONS))
        }
    assert len(kept) == 4 * 2 * len(tasks)
    for run in results.runs.itertuples():
        for task in tasks:
            figure = measured(
                METRICS[task.metric],
                kept[str(run.run_id), task.name],
                rows.labels[task.name],
                rows.weight_N,
                rows.groups,
            )
            stored = results.test.of(str(run.arm), task.name)[int(str(run.replicate))]
            assert figure == stored
    assert results.test.samplings[0].units == 40
    for target in results.targets:
        assert results.test.gain("diamond", "constant", target.key).mean > 0.01


def test_a_made_up_label_keeps_to_the_funnel(engine: sa.Engine) -> None:
    tasks = made_up.tasks(5)
    record = made_up.store_study(engine, tasks=tasks, replicates=0, rows=400)
    with engine.connect() as connection:
        labels = read_rows(connection, record.plan.data.content_hash).labels
    for task in tasks:
        assert labels[task.name].sum() > 10
        if task.after:
            assert (labels[task.name] <= labels[task.after]).all()


def test_of_a_made_up_study_only_what_is_asked_for_is_missing_failed_or_paused(
    engine: sa.Engine,
) -> None:
    made_up.store_study(
        engine,
        replicates=2,
        failures={("diamond", 0): made_up.FAILURE},
        missing=[("diamond", 1)],
        paused=[("constant", 0)],
    )
    results = read(engine, "towers")
    found = {(r.arm, r.replicate): r.status for r in results.runs.itertuples()}
    assert found == {
        ("constant", 0): "paused",
        ("constant", 1): "done",
        ("increasing", 0): "done",
        ("increasing", 1): "done",
        ("decreasing", 0): "done",
        ("decreasing", 1): "done",
        ("diamond", 0): "failed",
    }
    assert results.test.trained == ("constant", "increasing", "decreasing")
