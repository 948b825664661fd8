"""One database: Optuna's tables for the dashboard, and ours with every replicate and epoch.

Only the planner writes. A training is a row of `runs` under its task's identity, whichever study
asked for it; a cell (study, level, replicate) points at one. Imports no torch.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
from filelock import FileLock

from fsmd.config import digest
from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from fsmd.task import Measurement, TrainingResult, TrainingTask
from fsmd.units import pack_units

METADATA = sa.MetaData()

STUDIES = sa.Table(
    "fsmd_studies",
    METADATA,
    sa.Column("name", sa.String(200), primary_key=True),
    sa.Column("definition", sa.String(200), nullable=False),  # file name in studies/catalog
    sa.Column("data", sa.String(200), nullable=False),
    sa.Column("settings", sa.JSON, nullable=False),  # what all its trainings share
    sa.Column("data_facts", sa.JSON, nullable=False),  # tasks, funnel, rows, reachable
    sa.Column("created_at", sa.String(40), nullable=False),
    sa.Column("planner", sa.String(200)),  # who runs or ran it last
)

RUNS = sa.Table(
    "fsmd_runs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),  # TrainingTask.id
    # done; paused: a curve so far; failed: it would again; lost: it might not
    sa.Column("status", sa.String(10), nullable=False),
    sa.Column("data", sa.String(200), nullable=False),
    sa.Column("data_hash", sa.String(64), nullable=False),
    sa.Column("config", sa.JSON, nullable=False),
    sa.Column("config_hash", sa.String(64), nullable=False),
    sa.Column("seed", sa.BigInteger, nullable=False),
    sa.Column("code", sa.String(64), nullable=False),
    sa.Column("device", sa.String(20), nullable=False),
    sa.Column("libraries", sa.JSON, nullable=False),
    sa.Column("machine", sa.String(400), nullable=False),
    sa.Column("chosen_epochs", sa.JSON),
    sa.Column("epochs", sa.Integer),
    sa.Column("seconds", sa.Float),
    sa.Column("parameters", sa.BigInteger),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("traceback", sa.Text),
    sa.Column("finished_at", sa.String(40), nullable=False),
)

CELLS = sa.Table(
    "fsmd_cells",
    METADATA,
    sa.Column("study", sa.ForeignKey("fsmd_studies.name"), primary_key=True),
    sa.Column("level", sa.String(200), primary_key=True),  # str(level)
    sa.Column("replicate", sa.Integer, primary_key=True),  # counts from 0
    sa.Column("run_id", sa.ForeignKey("fsmd_runs.id"), nullable=False, index=True),
)

MEASUREMENTS = sa.Table(
    "fsmd_measurements",
    METADATA,
    sa.Column("run_id", sa.ForeignKey("fsmd_runs.id"), primary_key=True),
    sa.Column("epoch", sa.Integer, primary_key=True),
    sa.Column("split", sa.String(20), primary_key=True),
    sa.Column("task", sa.String(100), primary_key=True),
    sa.Column("metric", sa.String(40), primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
)

PREDICTIONS = sa.Table(
    "fsmd_predictions",
    METADATA,
    sa.Column("run_id", sa.ForeignKey("fsmd_runs.id"), primary_key=True),
    sa.Column("task", sa.String(100), primary_key=True),
    sa.Column("ranks", sa.LargeBinary, nullable=False),  # of the test rows; see fsmd.predictions
)

COSTS = sa.Table(
    "fsmd_costs",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),  # of model, data, code and machine
    sa.Column("parameters", sa.BigInteger, nullable=False),
    sa.Column("milliseconds", sa.Float, nullable=False),  # to score 1,000 rows
)

LABELS = sa.Table(
    "fsmd_labels",
    METADATA,
    sa.Column("data_hash", sa.String(64), primary_key=True),
    sa.Column("task", sa.String(100), primary_key=True),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("bits", sa.LargeBinary, nullable=False),  # of the test rows, eight a byte
)

UNITS = sa.Table(
    "fsmd_units",
    METADATA,
    sa.Column("data_hash", sa.String(64), primary_key=True),
    sa.Column("packed", sa.LargeBinary, nullable=False),  # whose each test row is; see pack_units
)


@dataclass(frozen=True)
class StudyRecord:
    """A stored study; `settings` are what all its trainings share."""

    name: str
    definition: str
    data: str
    settings: Mapping[str, Any]
    data_facts: Mapping[str, Any]
    created_at: str
    planner: str | None = None


@dataclass(frozen=True)
class Failure:
    """A training that failed.

    `passing` marks a cause outside the task (killed, out of memory): the next run of the study
    tries it again.
    """

    error: str
    traceback: str
    passing: bool = False


@dataclass(frozen=True)
class Provenance:
    """Where and with what a training ran."""

    libraries: Mapping[str, str]
    machine: str


def open_engine(url: str, create: bool = False) -> sa.Engine:
    """Connect to the results database; with `create`, make its tables.

    Raises UserError for a URL that cannot be read or, without `create`, holds no results.
    """
    try:
        parsed = sa.make_url(url)
        if not create and parsed.get_backend_name() == "sqlite":
            # Connecting would make an empty file.
            parsed = parsed.set(
                database=f"file:{parsed.database}", query={"mode": "rw", "uri": "true"}
            )
        engine = sa.create_engine(parsed)
        sqlite = engine.dialect.name == "sqlite"
        if sqlite:
            sa.event.listen(engine, "connect", _prepare_sqlite)
        if create:
            with creating(engine):
                METADATA.create_all(engine)
        else:
            _check_tables(engine, url)
    except (sa.exc.SQLAlchemyError, ImportError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(_refusal(url, error)) from error
    return engine


def _check_tables(engine: sa.Engine, url: str) -> None:
    """Refuse a database without our tables, or with those of an earlier version."""
    missing = sorted(set(METADATA.tables) - set(sa.inspect(engine).get_table_names()))
    if STUDIES.name in missing:
        raise UserError(f"no study in {url}; run one first: python -m studies.run tower_shape")
    if missing:
        raise UserError(
            f"an earlier version made {url}: it has no table {' or '.join(missing)}; run "
            "each of its studies again with the same command, which adds what is missing"
        )


def _refusal(url: str, error: Exception) -> str:
    """Why a database cannot be opened, without its password, and what to do."""
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    advice = "a URL looks like sqlite:///studies.db or postgresql://user@host/name"
    try:
        parsed = sa.make_url(url)
        shown = parsed.render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return f"cannot open the database {url!r}: {advice}"
    if isinstance(error, ModuleNotFoundError):
        advice = f"install the package that speaks to it, such as: pip install {error.name}"
    elif parsed.get_backend_name() == "sqlite":
        folder = Path(parsed.database or "").absolute().parent
        advice = "there is no such file" if folder.is_dir() else f"there is no folder {folder}"
    return f"cannot open the database {shown!r}: {reason}; {advice}"


@contextmanager
def creating(engine: sa.Engine) -> Iterator[None]:
    """While tables are made: two processes at once would each find them missing."""
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database or not Path(database).parent.is_dir():
        yield
        return
    with FileLock(f"{Path(database).resolve()}.lock"):
        yield


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Let readers (dashboard, reports) go on while the planner writes."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=60000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def study_names(engine: sa.Engine) -> tuple[str, ...]:
    """Names of the stored studies, sorted."""
    with engine.connect() as connection:
        return tuple(connection.scalars(sa.select(STUDIES.c.name).order_by(STUDIES.c.name)))


def find_study(engine: sa.Engine, name: str) -> StudyRecord | None:
    """The stored study of this name, or None."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(STUDIES).where(STUDIES.c.name == name)).one_or_none()
    return StudyRecord(**row._mapping) if row else None


def insert_study(engine: sa.Engine, record: StudyRecord) -> None:
    """Store a new study."""
    with engine.begin() as connection:
        connection.execute(sa.insert(STUDIES).values(**asdict(record)))


def update_settings(engine: sa.Engine, study: str, settings: Mapping[str, Any]) -> None:
    """Replace a study's settings, when arms were added to it."""
    with engine.begin() as connection:
        connection.execute(sa.update(STUDIES).filter_by(name=study).values(settings=settings))


def record_test_rows(engine: sa.Engine, data: Dataset) -> None:
    """Keep the test rows' labels, and whose they are, which reports need beside the predictions.

    Once for each content.
    """
    labels_NK = np.asarray(data.test.labels) > 0
    rows = [
        {"data_hash": data.content_hash, "task": task, "rows": len(labels_NK),
         "bits": np.packbits(labels_NK[:, k]).tobytes()}
        for k, task in enumerate(data.schema.tasks)
    ]  # fmt: skip
    # Known from before, or recorded by another study's planner meanwhile: the content is the same.
    with suppress(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(LABELS), rows)
    if data.schema.unit is not None:
        packed = pack_units(data.test.ids[:, data.schema.unit])
        with suppress(sa.exc.IntegrityError), engine.begin() as connection:
            row = {"data_hash": data.content_hash, "packed": packed}
            connection.execute(sa.insert(UNITS).values(row))


def name_planner(engine: sa.Engine, study: str, planner: str) -> None:
    """Say who runs the study."""
    with engine.begin() as connection:
        connection.execute(sa.update(STUDIES).filter_by(name=study).values(planner=planner))


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
    task: TrainingTask,
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
        _insert_run(engine, task, outcome, attempts, provenance)
    except sa.exc.IntegrityError:
        # Another study's planner recorded the same training since this one was handed out.
        if known_runs(engine, [task.id]).get(task.id) != "done":
            raise


def _insert_run(
    engine: sa.Engine,
    task: TrainingTask,
    outcome: TrainingResult | Failure,
    attempts: int,
    provenance: Provenance,
) -> None:
    with engine.begin() as connection:
        if _adds_nothing(connection, task.id, outcome):
            if isinstance(outcome, Failure):
                told = {"error": outcome.error, "traceback": outcome.traceback}
                kept = sa.update(RUNS).filter_by(id=task.id)
                connection.execute(kept.values(attempts=attempts, **told))
            return
        cells = _take_out(connection, task.id)
        connection.execute(
            sa.insert(RUNS).values(
                **_identity_columns(task), **_outcome_columns(outcome), attempts=attempts,
                libraries=dict(provenance.libraries), machine=provenance.machine,
                finished_at=now(),
            )
        )  # fmt: skip
        if isinstance(outcome, TrainingResult):
            rows = [{"run_id": task.id, **asdict(m)} for m in outcome.measurements]
            connection.execute(sa.insert(MEASUREMENTS), rows)
            predictions = [
                {"run_id": task.id, "task": name, "ranks": ranks}
                for name, ranks in outcome.predictions.items()
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


def _identity_columns(task: TrainingTask) -> dict[str, Any]:
    identity = task.identity
    return {
        "id": task.id,
        "data": task.data.name,
        "data_hash": task.data.content_hash,
        "config": json.loads(task.config.to_json()),
        "config_hash": digest(identity["config"]),
        "seed": task.seed,
        "code": identity["code"],
        "device": identity["device"],
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
        measurements, run.chosen_epochs or {}, run.epochs or 0, run.status == "done",
        run.seconds or 0.0, run.parameters or 0,
    )  # fmt: skip


def link_cell(engine: sa.Engine, study: str, level: str, replicate: int, run_id: str) -> None:
    """Say which training a cell of a study is; saying it again changes nothing."""
    key = {"study": study, "level": level, "replicate": replicate}
    with engine.begin() as connection:
        connection.execute(sa.delete(CELLS).filter_by(**key))
        connection.execute(sa.insert(CELLS).values(**key, run_id=run_id))


def known_cost(engine: sa.Engine, cost_id: str) -> tuple[int, float] | None:
    """Parameters, and milliseconds to score 1,000 rows; None if it was not measured."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(COSTS).filter_by(id=cost_id)).one_or_none()
    return (row.parameters, row.milliseconds) if row else None


def record_cost(engine: sa.Engine, cost_id: str, parameters: int, milliseconds: float) -> None:
    """Keep what a model costs; the first measurement stays."""
    with suppress(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(COSTS).values(
            id=cost_id, parameters=parameters, milliseconds=milliseconds))  # fmt: skip


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


def now() -> str:
    """This moment, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
