"""Reads and writes trainings, what they measured, and the cells that point at them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.config import digest
from fsmd.data.schema import Dataset, Split
from fsmd.packing import pack
from fsmd.tasks import Task
from fsmd.training import Measurement, Training, TrainingResult
from studies.failure import Failure
from studies.reading import from_json, of_study, read, stored_at
from studies.store.curves import Figures, figures_of, rows_of, value_at
from studies.store.database import now
from studies.store.faults import patient
from studies.store.tables import (
    CELLS,
    MEASUREMENTS,
    PREDICTIONS,
    RUNS,
    TEST_ROWS,
    VALID_PREDICTIONS,
    VALID_ROWS,
    as_stored,
)
from studies.store.trainings import Status, TrainingRow, training_of


@dataclass(frozen=True)
class Provenance:
    """Where and with what a training ran."""

    libraries: Mapping[str, str]
    machine: str


@patient
def record_rows(engine: sa.Engine, data: Dataset) -> None:
    """Keep labels, groups and weights of test and validation rows, which reports need beside the
    predictions.

    Once for each content.
    """
    for table, split in ((TEST_ROWS, data.test), (VALID_ROWS, data.valid)):
        for column, values_N in _columns_of(split, data.schema.tasks).items():
            row = {"data_hash": data.content_hash, "column": column, "packed": pack(values_N)}
            # Known from before, or from another study's planner meanwhile: the content is the
            # same.
            with suppress(sa.exc.IntegrityError), engine.begin() as connection:
                connection.execute(sa.insert(table).values(row))


def _columns_of(split: Split, tasks: Sequence[Task]) -> dict[str, NDArray[Any]]:
    labels_NK = np.asarray(split.labels)
    columns: dict[str, NDArray[Any]] = {
        f"label:{task.name}": np.nan_to_num(labels_NK[:, k], nan=-1).astype(np.int8)
        for k, task in enumerate(tasks)
    }
    columns |= {name: np.asarray(code_N, np.uint32) for name, code_N in split.groups.items()}
    if split.weights is not None:
        columns["weight"] = np.asarray(split.weights, np.float32)
    return columns


@patient
def known_runs(engine: sa.Engine, ids: list[str]) -> dict[str, str]:
    """Identity -> status (done, paused, failed, lost) of those of `ids` that have ended."""
    known: dict[str, str] = {}
    with engine.connect() as connection:
        for some in batches(ids):
            query = sa.select(RUNS.c.id, RUNS.c.status).where(RUNS.c.id.in_(some))
            known.update((row.id, row.status) for row in connection.execute(query))
    for run_id, status in known.items():
        with stored_at(f"training {run_id[:12]}, column status"):
            read(Status, status)
    return known


@patient
def record_run(
    engine: sa.Engine,
    training: Training,
    outcome: TrainingResult | Failure,
    attempts: int,
    provenance: Provenance,
) -> bool:
    """Store how a training ended, with all its measurements, in one transaction.

    Whether that is what is stored of it now, as far as is known.

    A failure or a pause recorded before is replaced; a result never is, whoever recorded it, nor
    is a pause by a shorter one of another study, or by a loss: the training goes on from it. A
    loss leaves its error there.
    """
    row = row_of(training, outcome, attempts, provenance)
    for last_try in (False, True):
        try:
            with engine.begin() as connection:
                is_new = _record(connection, training.id, row)
                if is_new and isinstance(outcome, TrainingResult):
                    _measure(connection, training.id, outcome)
            return is_new
        except sa.exc.IntegrityError:  # another study's planner recorded the same meanwhile
            if last_try:
                raise
    raise AssertionError("the last try returns or raises")


def row_of(
    training: Training, outcome: TrainingResult | Failure, attempts: int, provenance: Provenance
) -> dict[str, Any]:
    """The columns of a training's row, but for its identity."""
    identity = training.identity
    return {
        **_outcome_columns(outcome),
        "data": training.data.name,
        "data_hash": training.data.content_hash,
        "config": json.loads(training.config.to_json()),
        "config_hash": digest(identity["config"]),
        "seed": training.seed,
        "code": identity["code"],
        "runtime": identity["runtime"],
        "libraries": dict(provenance.libraries),
        "machine": provenance.machine,
        "attempts": attempts,
        "finished_at": now(),
    }


def _record(connection: sa.Connection, run_id: str, row: Mapping[str, Any]) -> bool:
    """Insert or replace the run; False where what is stored stays."""
    of_run = RUNS.c.id == run_id
    known = connection.execute(sa.select(RUNS.c.status, RUNS.c.epochs).where(of_run)).one_or_none()
    if known is None:
        connection.execute(sa.insert(RUNS).values(id=run_id, **row))
        return True
    replaced = of_run & (RUNS.c.status != "done")
    if known.status == "paused" and row["status"] == "lost":
        told = {name: row[name] for name in ("attempts", "error", "traceback")}
        connection.execute(sa.update(RUNS).where(replaced).values(told))
        return False
    if known.status == row["status"] == "paused" and row["epochs"] < known.epochs:
        return False
    if not connection.execute(sa.update(RUNS).where(replaced).values(row)).rowcount:
        return False
    connection.execute(sa.delete(MEASUREMENTS).filter_by(run_id=run_id))
    return True


def _measure(connection: sa.Connection, run_id: str, result: TrainingResult) -> None:
    rows = [{"run_id": run_id, **row} for row in rows_of(result.measurements)]
    connection.execute(sa.insert(MEASUREMENTS), rows)
    for table, kept in (
        (PREDICTIONS, result.predictions),
        (VALID_PREDICTIONS, result.valid_predictions),
    ):
        for task, scores in kept.items():
            row = {"run_id": run_id, "task": task, "scores": scores}
            connection.execute(sa.insert(table).values(row))


def _outcome_columns(outcome: TrainingResult | Failure) -> dict[str, Any]:
    """How a training ended; what only the other kind of end has is empty."""
    if isinstance(outcome, Failure):
        status = "lost" if outcome.passing else "failed"
        empty = dict.fromkeys(("chosen_epochs", "epochs", "seconds", "parameters"), sa.null())
        return {**empty, "status": status, "error": outcome.error, "traceback": outcome.traceback}
    status = "done" if outcome.finished else "paused"
    kept = ("epochs", "seconds", "parameters")
    columns = {name: getattr(outcome, name) for name in kept}
    empty = {"error": sa.null(), "traceback": sa.null()}
    return {**empty, **columns, "status": status, "chosen_epochs": dict(outcome.chosen_epochs)}


@patient
def seconds_since(engine: sa.Engine, study: str, since: str) -> float:
    """Seconds of all trainings of a study that came to a pause or an end since a time."""
    query = sa.select(RUNS.c.seconds).join(CELLS, RUNS.c.id == CELLS.c.run_id)
    query = query.where(CELLS.c.study == study, RUNS.c.finished_at >= since)
    with engine.connect() as connection:
        return sum(seconds or 0.0 for seconds in connection.scalars(query))


def known_result(engine: sa.Engine, run_id: str) -> TrainingResult:
    """What is stored of one training; see `known_results`."""
    return known_results(engine, [run_id])[run_id]


@patient
def known_results(
    engine: sa.Engine, ids: Sequence[str], tasks: Sequence[Task] = ()
) -> dict[str, TrainingResult]:
    """Identity -> what is stored of a training, without its predictions.

    tasks: what they predict, where that is to be checked too. Raises StoredError for what
    `record_run` never wrote.
    """
    results = dict[str, TrainingResult]()
    for some in batches(ids):
        figures = figures_of(engine, some)
        with engine.connect() as connection:
            cells = sa.select(CELLS.c.run_id, CELLS.c.study).where(CELLS.c.run_id.in_(some))
            studies = {row.run_id: row.study for row in connection.execute(cells)}
            rows = connection.execute(as_stored(RUNS).where(RUNS.c.id.in_(some))).all()
        for row in rows:
            with of_study(studies.get(row.id, "")), stored_at(f"training {row.id[:12]}"):
                run = training_of(row._mapping, figures[row.id], tasks)
            results[row.id] = _result(run, figures[row.id])
    return results


@patient
def chosen_results(
    engine: sa.Engine, ids: Sequence[str], tasks: Sequence[Task]
) -> dict[str, TrainingResult]:
    """Identity -> how a training ended, with its validation figures at the chosen epochs alone.

    These are a few of all that it measured. A training without one of them is left out.
    """
    results = dict[str, TrainingResult]()
    columns = as_stored(MEASUREMENTS, "run_id", "epoch", "curve")
    told = ("id", "status", "chosen_epochs", "epochs", "seconds", "parameters")
    ends = as_stored(RUNS, *told)
    for some in batches(ids):
        figures: dict[str, list[Measurement]] = {run_id: [] for run_id in some}
        own = MEASUREMENTS.c.run_id.in_(some)
        with engine.connect() as connection:
            runs = connection.execute(ends.where(RUNS.c.id.in_(some))).all()
            epochs = {run.id: _chosen_epochs(run.chosen_epochs) for run in runs}
            for task in tasks:
                key = {"split": "valid", "task": task.name, "metric": task.metric}
                for run_id, first, curve in connection.execute(
                    columns.filter_by(**key).where(own)
                ):
                    epoch = epochs.get(run_id, {}).get(task.name, 0)
                    value = value_at(first, curve, epoch)
                    if value is not None:
                        figures[run_id].append(Measurement(epoch, value=value, **key))
        for run in runs:
            if len(figures[run.id]) == len(tasks):
                results[run.id] = TrainingResult(
                    tuple(figures[run.id]),
                    epochs[run.id],
                    run.epochs,
                    run.status == "done",
                    run.seconds,
                    run.parameters,
                )
    return results


def _chosen_epochs(stored: Any) -> Mapping[str, int]:
    """Empty where it cannot be read."""
    with suppress(ValueError):
        chosen = from_json(stored)
        if isinstance(chosen, dict) and {*map(type, chosen.values())} <= {int}:
            return chosen
    return {}


def batches(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Databases limit the number of a query's parameters."""
    return (ids[start : start + 500] for start in range(0, len(ids), 500))


def _result(run: TrainingRow, figures: Figures) -> TrainingResult:
    return TrainingResult(
        measurements=tuple(Measurement(*row) for row in figures.rows),
        chosen_epochs=run.chosen_epochs or {},
        epochs=run.epochs or 0,
        finished=run.status == "done",
        seconds=run.seconds or 0.0,
        parameters=run.parameters or 0,
    )


@patient
def link_cell(engine: sa.Engine, study: str, arm: str, replicate: int, run_id: str) -> None:
    """Say which training a cell of a study is; saying it again changes nothing."""
    key = {"study": study, "arm": arm, "replicate": replicate}
    with engine.begin() as connection:
        connection.execute(sa.delete(CELLS).filter_by(**key))
        connection.execute(sa.insert(CELLS).values(**key, run_id=run_id))


@patient
def known_cells(engine: sa.Engine, study: str) -> dict[tuple[str, int], tuple[str, str]]:
    """(arm, replicate) -> the training's identity and status, of a study's or search's cells."""
    query = sa.select(CELLS.c.arm, CELLS.c.replicate, RUNS.c.id, RUNS.c.status)
    query = query.join(RUNS, CELLS.c.run_id == RUNS.c.id).where(CELLS.c.study == study)
    with engine.connect() as connection:
        rows = connection.execute(query.order_by(CELLS.c.replicate)).all()
    return {(row.arm, row.replicate): (row.id, row.status) for row in rows}
