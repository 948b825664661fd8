"""Reads the trainings of a study as values that are checked: what is stored may be anything.

A row is as `record_run` leaves it, and is the training that its cell stands for.
"""

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, NamedTuple

import sqlalchemy as sa

from fsmd.baselines import Config, config_class
from fsmd.config import digest
from fsmd.data.settings import SHUFFLES
from fsmd.errors import shown
from fsmd.metrics import METRICS
from fsmd.runtime import Runtime
from fsmd.tasks import ALL, Task, names
from fsmd.training import Measurement, pair_key, step_key
from studies.reading import StoredError, check_time, of_study, read, read_row, stored_at
from studies.store.faults import patient
from studies.store.records import Plan, PlannedArm, StudyRecord
from studies.store.tables import CELLS, MEASUREMENTS, RUNS, as_stored

SPLITS = ("train", "valid", "test", "test_unseen")
Status = Literal["done", "paused", "failed", "lost"]
_INNER = {
    "loss": (-inf, inf),
    "gradient_cosine": (-1.0, 1.0),
    "dead_units": (0.0, 1.0),
    "gate_entropy": (0.0, 1.0),
    "gate_weight": (0.0, 1.0),
}
"""What is measured besides the metrics, and the range that it cannot leave."""
_LEAST = {"seed": 0, "attempts": 1, "epochs": 1, "seconds": 0, "parameters": 0}


@dataclass(frozen=True)
class TrainingRow:
    """A row of the trainings; ValueError for one that `record_run` never wrote."""

    id: str
    status: Status
    data: str
    data_hash: str
    config: Mapping[str, Any]
    config_hash: str
    seed: int
    code: str
    runtime: Runtime
    libraries: Mapping[str, str]
    machine: str
    chosen_epochs: Mapping[str, int] | None
    epochs: int | None
    seconds: float | None
    parameters: int | None
    attempts: int
    error: str | None
    traceback: str | None
    finished_at: str

    def __post_init__(self) -> None:
        """Refuse what contradicts itself."""
        with stored_at("column config"):
            read(Config, self.config)
        if self.config_hash != digest(self.config):
            raise ValueError("column config_hash must be the digest of column config")
        check_time("column finished_at", self.finished_at)
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"column {name} must be at least {least}; got {value}")
        told = ("chosen_epochs", "epochs", "seconds", "parameters")
        missing = [name for name in told if getattr(self, name) is None]
        if self.ended_well:
            if missing:
                raise ValueError(
                    f"column {missing[0]} must not be empty where status is {self.status}"
                )
            chosen, epochs = self.chosen_epochs or {}, self.epochs or 0
            if not chosen or not all(1 <= epoch <= epochs for epoch in chosen.values()):
                raise ValueError(
                    f"column chosen_epochs must have epochs from 1 to {epochs}; got "
                    f"{shown(dict(chosen))}"
                )
        elif len(missing) < len(told) or self.error is None:
            raise ValueError(f"a training that is {self.status} has an error, and no epochs")
        if self.status == "done" and self.error is not None:
            raise ValueError("column error must be empty where status is done")

    @property
    def ended_well(self) -> bool:
        """Whether it measured anything."""
        return self.status in ("done", "paused")


class CellTraining(NamedTuple):
    """A cell, and the training that it points at with all that it measured."""

    arm: str
    replicate: int
    run: TrainingRow
    measurements: tuple[Measurement, ...]


@dataclass(frozen=True)
class _CellRow:
    study: str
    arm: str
    replicate: int
    run_id: str


def training_of(
    row: Mapping[Any, Any], rows: Sequence[Any], tasks: Sequence[Task] = ()
) -> tuple[TrainingRow, tuple[Measurement, ...]]:
    """A row of the trainings with its measurements; ValueError for what `record_run` never wrote.

    tasks: what is predicted; without them each task's curve may be of any metric that judges.
    """
    run, measurements = read_row(TrainingRow, row), tuple(map(_measurement, rows))
    if not run.ended_well:
        if measurements:
            raise ValueError(f"a training that is {run.status} must have no measurements")
        return run, ()
    if tasks and set(run.chosen_epochs or ()) != set(names(tasks)):
        raise ValueError(
            f"column chosen_epochs must have the tasks {', '.join(names(tasks))}; got "
            f"{shown(run.chosen_epochs)}"
        )
    for m in measurements:
        _check_kept(run, m)
    _check_whole(run, measurements, {task.name: task.metric for task in tasks})
    return run, measurements


@patient
def read_trainings(
    engine: sa.Engine, record: StudyRecord, planned: Sequence[PlannedArm]
) -> tuple[CellTraining, ...]:
    """All trainings of a study or a search; StoredError names the one that cannot be.

    planned: the arms that are known; a training must be of its arm's model and data.
    """
    cells = as_stored(CELLS).where(CELLS.c.study == record.name)
    wanted = sa.select(CELLS.c.run_id).filter_by(study=record.name)
    runs = as_stored(RUNS).where(RUNS.c.id.in_(wanted))
    measured = as_stored(MEASUREMENTS).where(MEASUREMENTS.c.run_id.in_(wanted))
    with engine.connect() as connection:
        cell_rows = connection.execute(cells).all()
        run_rows = {row.id: row._mapping for row in connection.execute(runs)}
        measurement_rows: dict[Any, list[Any]] = {}
        for row in connection.execute(measured):
            measurement_rows.setdefault(row.run_id, []).append(row)
    arms, found = {arm.name: arm for arm in planned}, []
    with of_study(record.name):
        for cell_row in cell_rows:
            with stored_at(f"the row {shown(tuple(cell_row))} of {CELLS.name}"):
                cell = read_row(_CellRow, cell_row._mapping)
                if not cell.arm.isprintable() or not cell.arm:
                    raise ValueError(f"column arm must be a name; got {shown(cell.arm)}")
                if record.is_search and cell.arm not in arms:
                    raise ValueError(f"column arm must be an attempt; got {shown(cell.arm)}")
                if cell.replicate < 0:
                    raise ValueError(f"column replicate must be at least 0; got {cell.replicate}")
                if cell.run_id not in run_rows:
                    raise ValueError("column run_id names a training that is not there")
            with stored_at(f"arm {cell.arm!r}, replicate {cell.replicate}"):
                rows = measurement_rows.get(cell.run_id, [])
                run, measurements = training_of(run_rows[cell.run_id], rows, record.plan.tasks)
                _check_place(run, record.plan, arms.get(cell.arm))
            found.append(CellTraining(cell.arm, cell.replicate, run, measurements))
        _check_together(found, arms)
    return tuple(found)


def _measurement(row: Any) -> Measurement:
    """Of a row; quick, as there are many."""
    epoch, split, task, metric, value = row.epoch, row.split, row.task, row.metric, row.value
    known = METRICS.get(metric) if isinstance(metric, str) else None
    if known is not None:
        low, high = known.low, known.high
    else:
        low, high = _INNER.get(re.sub(r"_\d+$", "", str(metric)), (inf, -inf))
    right = (
        type(epoch) is int
        and epoch >= 1
        and split in SPLITS
        and isinstance(task, str)
        and type(value) in (int, float)
        and low - 1e-6 <= value <= high + 1e-6
        and abs(value) < inf
    )
    if not right:
        raise ValueError(
            f"the row {shown((epoch, split, task, metric, value))} of {MEASUREMENTS.name} must "
            "be an epoch from 1, a split, a task, a known metric and a finite value in its range"
        )
    return Measurement(epoch, split, task, metric, value)


def _check_kept(run: TrainingRow, m: Measurement) -> None:
    """A row must be of a task and an epoch of its training."""
    chosen, epochs = run.chosen_epochs or {}, run.epochs or 0
    a, bar, b = m.task.partition(pair_key("", ""))
    task, step, parent = m.task.partition(step_key("", ""))
    is_step = step and {task, parent} <= set(chosen) and m.metric in METRICS
    if m.task not in (ALL, *chosen) and not is_step and not (bar and {a, b} <= set(chosen)):
        raise ValueError(f"a row of {MEASUREMENTS.name} is of an unknown task, {shown(m.task)}")
    if m.epoch > epochs:
        raise ValueError(f"epoch {m.epoch} is measured, but column epochs is {epochs}")
    if m.split.startswith("test") and not (run.status == "done" and m.epoch == chosen.get(task)):
        raise ValueError(
            "test must be measured at the chosen epoch of a training that is done; got epoch "
            f"{m.epoch} of {shown(m.task)}, status {run.status}, chosen {shown(dict(chosen))}"
        )


def _check_whole(
    run: TrainingRow, measurements: Sequence[Measurement], metrics: Mapping[str, str]
) -> None:
    """Each task must have its curve and, at the end, its test figure by the metric that judges."""
    keys = {(m.epoch, m.split, m.task, m.metric) for m in measurements}
    if len(keys) < len(measurements):
        raise ValueError(f"a row of {MEASUREMENTS.name} is there twice")
    there = {m.metric for m in measurements if m.metric in METRICS}
    judging = [name for name in sorted({*METRICS, *there}) if METRICS[name].judges]
    for task, chosen in (run.chosen_epochs or {}).items():
        lacking = [
            _lacking(run, keys, task, chosen, metric)
            for metric in ([metrics[task]] if metrics else judging)
        ]
        if all(lacking):
            raise ValueError(f"{MEASUREMENTS.name} must have {lacking[0]} of task {task!r}")


def _lacking(
    run: TrainingRow, keys: Set[tuple[int, str, str, str]], task: str, chosen: int, metric: str
) -> str:
    """The first figure of the task that is not there; empty if all are."""
    for epoch in range(1, (run.epochs or 0) + 1):
        if (epoch, "valid", task, metric) not in keys:
            return f"the validation {metric} of epoch {epoch}"
    at_end = run.status == "done" and (chosen, "test", task, metric) not in keys
    return f"the test {metric}" if at_end else ""


def _check_place(run: TrainingRow, plan: Plan, arm: PlannedArm | None) -> None:
    """The training must be what its identity says, and its arm's."""
    identity = {
        "config": run.config,
        "data_hash": run.data_hash,
        "seed": run.seed,
        "epochs": plan.settings.epochs,
        "patience": plan.settings.patience,
        "runtime": run.runtime.identity,
        "code": run.code,
    }
    if run.id not in [digest({**identity, "shuffle": shuffle}) for shuffle in SHUFFLES]:
        raise ValueError(
            "column id must be the digest of config, data_hash, seed, runtime, code, of a way to "
            "shuffle, and of the epochs and the patience that are planned"
        )
    if arm is None:
        return  # the plan no longer has it
    if read(Config, run.config) != arm.config:
        raise ValueError("column config must be the model that is planned for the arm")
    planned = plan.facts(arm.data).content_hash
    if run.data_hash != planned:
        raise ValueError(
            f"column data_hash must be that of {arm.data}, {planned[:12]}; got "
            f"{run.data_hash[:12]}"
        )


def _check_together(found: Sequence[CellTraining], arms: Mapping[str, PlannedArm]) -> None:
    """Trainings that are compared must be of one code, and of one seed where they are paired."""
    codes: dict[type, set[str]] = {}
    for cell in found:
        codes.setdefault(config_class(cell.run.config), set()).add(cell.run.code)
    for several in codes.values():
        if len(several) > 1:
            raise StoredError(f"column code of {RUNS.name}", f"must be one; got {sorted(several)}")
    seeds: dict[tuple[int, int], int] = {}
    for cell in found:
        if cell.arm not in arms:
            continue
        stream = arms[cell.arm].stream
        seed = seeds.setdefault((stream, cell.replicate), cell.run.seed)
        if seed != cell.run.seed:
            raise StoredError(
                f"arm {cell.arm!r}, replicate {cell.replicate}",
                f"column seed must be {seed}, as at the other arms; got {cell.run.seed}",
            )
    first: dict[tuple[int, int], int] = {}
    for (stream, replicate), seed in seeds.items():
        twin = first.setdefault((stream, seed), replicate)
        if twin != replicate:
            raise StoredError(
                f"replicates {twin} and {replicate}", f"must have a seed each; both have {seed}"
            )
