"""Reads and writes trainings, what they measured, and the cells that point at them."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa

from fsmd.config import digest
from fsmd.data.schema import Dataset
from fsmd.packing import pack
from fsmd.training import Measurement, Training, TrainingResult
from studies.failure import Failure
from studies.store.database import now
from studies.store.tables import CELLS, COSTS, MEASUREMENTS, PREDICTIONS, RUNS, TEST_ROWS


@dataclass(frozen=True)
class Provenance:
    """Where and with what a training ran."""

    libraries: Mapping[str, str]
    machine: str


def record_test_rows(engine: sa.Engine, data: Dataset) -> None:
    """Keep the test rows' labels, units and weights, which reports need beside the predictions.

    Once for each content.
    """
    labels_NK = np.asarray(data.test.labels)
    columns = {
        f"label:{task.name}": np.nan_to_num(labels_NK[:, k], nan=-1).astype(np.int8)
        for k, task in enumerate(data.schema.tasks)
    }
    if data.test_units is not None:
        columns["unit"] = np.asarray(data.test_units, np.uint32)
    if data.test.weights is not None:
        columns["weight"] = np.asarray(data.test.weights, np.float32)
    rows = [
        {"data_hash": data.content_hash, "column": column, "packed": pack(values_N)}
        for column, values_N in columns.items()
    ]
    # Known from before, or recorded by another study's planner meanwhile: the content is the same.
    with suppress(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(TEST_ROWS), rows)


def known_runs(engine: sa.Engine, ids: list[str]) -> dict[str, str]:
    """Identity -> status (done, paused, failed, lost) of those of `ids` that have ended."""
    found: dict[str, str] = {}
    with engine.connect() as connection:
        for start in range(0, len(ids), 500):  # databases limit the number of parameters
            query = sa.select(RUNS.c.id, RUNS.c.status).where(
                RUNS.c.id.in_(ids[start : start + 500])
            )
            found.update((row.id, row.status) for row in connection.execute(query))
    return found


def record_run(
    engine: sa.Engine,
    training: Training,
    outcome: TrainingResult | Failure,
    attempts: int,
    provenance: Provenance,
) -> None:
    """Store how a training ended, with all its measurements, in one transaction.

    A failure or a pause recorded before is replaced; a result never is, whoever recorded it, nor
    is a pause by a shorter one of another study, or by a loss: the training goes on from it. A
    loss leaves its error there.
    """
    try:
        _insert_run(engine, training, outcome, attempts, provenance)
    except sa.exc.IntegrityError:
        # Another study's planner recorded the same training since this one was handed out.
        if known_runs(engine, [training.id]).get(training.id) != "done":
            raise


def _insert_run(
    engine: sa.Engine,
    training: Training,
    outcome: TrainingResult | Failure,
    attempts: int,
    provenance: Provenance,
) -> None:
    with engine.begin() as connection:
        if _adds_nothing(connection, training.id, outcome):
            if isinstance(outcome, Failure):
                told = {"error": outcome.error, "traceback": outcome.traceback}
                kept = sa.update(RUNS).filter_by(id=training.id)
                connection.execute(kept.values(attempts=attempts, **told))
            return
        cells = _take_out(connection, training.id)
        connection.execute(
            sa.insert(RUNS).values(
                **_identity_columns(training),
                **_outcome_columns(outcome),
                attempts=attempts,
                libraries=dict(provenance.libraries),
                machine=provenance.machine,
                finished_at=now(),
            )
        )
        if isinstance(outcome, TrainingResult):
            rows = [{"run_id": training.id, **asdict(m)} for m in outcome.measurements]
            connection.execute(sa.insert(MEASUREMENTS), rows)
            predictions = [
                {"run_id": training.id, "task": name, "scores": scores}
                for name, scores in outcome.predictions.items()
            ]
            if predictions:
                connection.execute(sa.insert(PREDICTIONS), predictions)
        if cells:
            connection.execute(sa.insert(CELLS), cells)


def _adds_nothing(
    connection: sa.Connection, run_id: str, outcome: TrainingResult | Failure
) -> bool:
    """Whether it is a loss, or a pause, of what is stored as paused later on its curve."""
    paused = sa.select(RUNS.c.epochs).where(RUNS.c.id == run_id, RUNS.c.status == "paused")
    epochs: int | None = connection.scalar(paused)
    if epochs is None:
        return False
    if isinstance(outcome, Failure):
        return outcome.passing
    return not outcome.finished and outcome.epochs < epochs


def _take_out(connection: sa.Connection, run_id: str) -> list[dict[str, Any]]:
    """Remove what is stored of a training that is not done; its cells, to be put back."""
    cells = connection.execute(sa.select(CELLS).filter_by(run_id=run_id)).mappings().all()
    connection.execute(sa.delete(CELLS).filter_by(run_id=run_id))
    replaced = connection.scalar(
        sa.select(RUNS.c.id).where(RUNS.c.id == run_id, RUNS.c.status != "done")
    )
    if replaced:
        connection.execute(sa.delete(MEASUREMENTS).filter_by(run_id=run_id))
        connection.execute(sa.delete(RUNS).filter_by(id=run_id))
    return [dict(cell) for cell in cells]


def _identity_columns(training: Training) -> dict[str, Any]:
    identity = training.identity
    return {
        "id": training.id,
        "data": training.data.name,
        "data_hash": training.data.content_hash,
        "config": json.loads(training.config.to_json()),
        "config_hash": digest(identity["config"]),
        "seed": training.seed,
        "code": identity["code"],
        "runtime": identity["runtime"],
    }


def _outcome_columns(outcome: TrainingResult | Failure) -> dict[str, Any]:
    if isinstance(outcome, Failure):
        status = "lost" if outcome.passing else "failed"
        return {"status": status, "error": outcome.error, "traceback": outcome.traceback}
    return {
        "status": "done" if outcome.finished else "paused",
        "chosen_epochs": dict(outcome.chosen_epochs),
        "epochs": outcome.epochs,
        "seconds": outcome.seconds,
        "parameters": outcome.parameters,
    }


def known_result(engine: sa.Engine, run_id: str) -> TrainingResult:
    """What is stored of a training, without its predictions."""
    with engine.connect() as connection:
        run = connection.execute(sa.select(RUNS).filter_by(id=run_id)).one()
        order = MEASUREMENTS.c.epoch
        rows = connection.execute(sa.select(MEASUREMENTS).filter_by(run_id=run_id).order_by(order))
        measurements = tuple(
            Measurement(m.epoch, m.split, m.task, m.metric, m.value) for m in rows
        )
    return TrainingResult(
        measurements=measurements,
        chosen_epochs=run.chosen_epochs or {},
        epochs=run.epochs or 0,
        finished=run.status == "done",
        seconds=run.seconds or 0.0,
        parameters=run.parameters or 0,
    )


def link_cell(engine: sa.Engine, study: str, arm: str, replicate: int, run_id: str) -> None:
    """Say which training a cell of a study is; saying it again changes nothing."""
    key = {"study": study, "arm": arm, "replicate": replicate}
    with engine.begin() as connection:
        connection.execute(sa.delete(CELLS).filter_by(**key))
        connection.execute(sa.insert(CELLS).values(**key, run_id=run_id))


def known_cost(engine: sa.Engine, cost_id: str) -> float | None:
    """What was measured of a model before training; None if it was not."""
    with engine.connect() as connection:
        value: float | None = connection.scalar(sa.select(COSTS.c.value).filter_by(id=cost_id))
    return value


def record_cost(engine: sa.Engine, cost_id: str, cost: str, value: float) -> None:
    """Keep what a model costs; the first measurement stays."""
    row = {"id": cost_id, "cost": cost, "value": value}
    with suppress(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(COSTS).values(row))


def chosen_values(engine: sa.Engine, run_id: str, split: str, metric: str) -> dict[str, float]:
    """Task -> a finished run's figure at the task's chosen epoch."""
    with engine.connect() as connection:
        chosen = connection.scalars(sa.select(RUNS.c.chosen_epochs).filter_by(id=run_id)).one()
        query = sa.select(MEASUREMENTS).filter_by(run_id=run_id, split=split, metric=metric)
        return {
            row.task: row.value
            for row in connection.execute(query)
            if row.epoch == chosen.get(row.task)
        }
