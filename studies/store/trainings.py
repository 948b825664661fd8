"""Reads the trainings of a study as values that are checked: what is stored may be anything.

A row is as `record_run` leaves it, and is the training that its cell stands for.
"""

import re
from array import array
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.baselines import Config
from fsmd.config import canonical_json, text_digest
from fsmd.data.settings import SHUFFLES
from fsmd.errors import shown
from fsmd.metrics import METRICS
from fsmd.runtime import Runtime
from fsmd.tasks import ALL, Task, names
from fsmd.training import pair_key, step_key
from studies.reading import (
    StoredError,
    check_time,
    of_study,
    read,
    read_row,
    read_together,
    stored_at,
)
from studies.store.curves import Figures, Keys, figures_of
from studies.store.faults import patient
from studies.store.records import Plan, PlannedArm, StudyRecord
from studies.store.tables import CELLS, MEASUREMENTS, RUNS, as_stored

_Key = tuple[int, str, str, str]
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


class StoredConfig(dict[str, Any]):
    """A model as it is stored, and what it is: many trainings of one read it once."""

    @cached_property
    def model(self) -> Config:
        """ValueError for what is none."""
        config: Config = read(Config, self)
        return config

    @cached_property
    def json(self) -> str:
        """Its canonical JSON."""
        return canonical_json(self)

    @cached_property
    def hash(self) -> str:
        """See `digest`."""
        return text_digest(self.json)


@dataclass(frozen=True)
class TrainingRow:
    """A row of the trainings; ValueError for one that `record_run` never wrote."""

    id: str
    status: Status
    data: str
    data_hash: str
    config: StoredConfig
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
            self.config.model  # noqa: B018  (which refuses what is none)
        if self.config_hash != self.config.hash:
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

    @property
    def model(self) -> Config:
        """What was trained."""
        return self.config.model

    @property
    def end(self) -> "_End":
        """What its measurements must agree with."""
        return _End(self.status, self.epochs or 0, tuple((self.chosen_epochs or {}).items()))


class _End(NamedTuple):
    """How a training ended, as far as its measurements hang on it."""

    status: Status
    epochs: int
    chosen: tuple[tuple[str, int], ...]


class CellTraining(NamedTuple):
    """A cell, and the training that it points at with all that it measured."""

    arm: str
    replicate: int
    run: TrainingRow
    figures: Figures


@dataclass(frozen=True)
class _CellRow:
    study: str
    arm: str
    replicate: int
    run_id: str


def training_of(
    row: TrainingRow | Mapping[Any, Any], figures: Figures, tasks: Sequence[Task] = ()
) -> TrainingRow:
    """A row of the trainings, with its measurements; ValueError for what `record_run` never wrote.

    row: as `read_together` left it.
    tasks: what is predicted; without them each task's curve may be of any metric that judges.
    """
    run = row if isinstance(row, TrainingRow) else read_row(TrainingRow, row)
    if not run.ended_well:
        if figures.values:
            raise ValueError(f"a training that is {run.status} must have no measurements")
        return run
    if tasks and set(run.chosen_epochs or ()) != set(names(tasks)):
        raise ValueError(
            f"column chosen_epochs must have the tasks {', '.join(names(tasks))}; got "
            f"{shown(run.chosen_epochs)}"
        )
    if not _are_right(run.end, figures, tasks):
        _refuse(run.end, figures, tasks)
    return run


def read_trainings(
    engine: sa.Engine, record: StudyRecord, planned: Sequence[PlannedArm]
) -> Iterator[CellTraining]:
    """All trainings of a study or a search; StoredError names the one that cannot be.

    They are read a few at a time, as all of them may be more than memory holds. planned: the arms
    that are known; a training must be of its arm's model and data.
    """
    arms, together = {arm.name: arm for arm in planned}, _Together()
    alike: dict[Any, Keys] = {}
    cells = _cell_rows(engine, record.name)
    for start in range(0, len(cells), _AT_ONCE):
        some = cells[start : start + _AT_ONCE]
        ids = [str(row.run_id) for row in some]
        runs, figures = _run_rows(engine, ids), figures_of(engine, ids, alike)
        told = read_together(_CellRow, CELLS.c.keys(), some)
        with of_study(record.name):
            for row, known in zip(some, told, strict=True):
                cell = _cell(row, known, record, arms, runs)
                with stored_at(f"arm {cell.arm!r}, replicate {cell.replicate}"):
                    found = figures[cell.run_id]
                    run = training_of(runs[cell.run_id], found, record.plan.tasks)
                    _check_place(run, record.plan, cell.replicate, arms.get(cell.arm))
                together.add(cell, run, arms)
                yield CellTraining(cell.arm, cell.replicate, run, found)
    with of_study(record.name):
        together.check()


_AT_ONCE = 500
"""Trainings that are read by one query."""


@patient
def _cell_rows(engine: sa.Engine, study: str) -> Sequence[Any]:
    with engine.connect() as connection:
        cells = as_stored(CELLS).where(CELLS.c.study == study)
        return connection.execute(cells.order_by(CELLS.c.arm, CELLS.c.replicate)).all()


@patient
def _run_rows(engine: sa.Engine, ids: Sequence[str]) -> dict[str, TrainingRow | Mapping[Any, Any]]:
    with engine.connect() as connection:
        rows = connection.execute(as_stored(RUNS).where(RUNS.c.id.in_(ids))).all()
    told = read_together(TrainingRow, RUNS.c.keys(), rows)
    return {row.id: read for row, read in zip(rows, told, strict=True)}


def _cell(
    row: sa.Row[Any],
    known: _CellRow | Mapping[Any, Any],
    record: StudyRecord,
    arms: Mapping[str, PlannedArm],
    runs: Mapping[str, Any],
) -> _CellRow:
    try:
        cell = known if isinstance(known, _CellRow) else read_row(_CellRow, known)
        if not cell.arm.isprintable() or not cell.arm:
            raise ValueError(f"column arm must be a name; got {shown(cell.arm)}")
        if record.is_search and cell.arm not in arms:
            raise ValueError(f"column arm must be an attempt; got {shown(cell.arm)}")
        if not 0 <= cell.replicate < 2**31:
            raise ValueError(
                f"column replicate must be at least 0, and below 2^31; got {cell.replicate}"
            )
        if cell.run_id not in runs:
            raise ValueError("column run_id names a training that is not there")
    except ValueError:
        with stored_at(f"the row {shown(tuple(row))} of {CELLS.name}"):
            raise
    return cell


def _are_right(end: _End, figures: Figures, tasks: Sequence[Task]) -> bool:
    """Whether a training that ended so measures these; quick, as there are many."""
    limits = _limits(end, figures.keys, tuple(tasks))
    if limits is None or not isinstance(figures.values, array):
        return False
    low_N, high_N = limits
    value_N = np.asarray(figures.values)
    return bool(((low_N <= value_N) & (value_N <= high_N)).all())


@lru_cache(maxsize=256)
def _limits(
    end: _End, measured: Keys, tasks: tuple[Task, ...]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """The least and the greatest value of each, where a training measures these; else None."""
    keys = measured.rows
    try:
        ranges = [_range(*key) for key in keys]
        for key in keys:
            _check_kept(end, key)
        _check_whole(end, keys, {task.name: task.metric for task in tasks})
    except (ValueError, TypeError):
        return None
    low_N, high_N = np.array(ranges, np.float64).reshape(-1, 2).T
    most = np.finfo(np.float64).max  # each must be finite
    return np.maximum(low_N - 1e-6, -most), np.minimum(high_N + 1e-6, most)


def _refuse(end: _End, figures: Figures, tasks: Sequence[Task]) -> None:
    """Say what is wrong with measurements."""
    for epoch, split, task, metric, value in figures.rows:
        low, high = inf, -inf
        with suppress(ValueError, TypeError):
            low, high = _range(epoch, split, task, metric)
        number = type(value) in (int, float)
        if not (number and low - 1e-6 <= value <= high + 1e-6 and abs(value) < inf):
            raise ValueError(
                f"the row {shown((epoch, split, task, metric, value))} of {MEASUREMENTS.name} "
                "must be an epoch from 1, a split, a task, a known metric and a finite value in "
                "its range"
            )
    keys = figures.keys.rows
    for each in keys:
        _check_kept(end, each)
    _check_whole(end, keys, {task.name: task.metric for task in tasks})


def _range(epoch: int, split: str, task: str, metric: str) -> tuple[float, float]:
    """Between which values a measurement is; ValueError for what is measured by nobody."""
    texts = isinstance(split, str) and isinstance(task, str) and isinstance(metric, str)
    if texts and type(epoch) is int and epoch >= 1 and split in SPLITS:
        if metric in METRICS:
            return METRICS[metric].low, METRICS[metric].high
        inner = re.sub(r"_\d+$", "", metric)
        if inner in _INNER:
            return _INNER[inner]
    raise ValueError("no such measurement")


def _check_kept(end: _End, key: _Key) -> None:
    """A row must be of a task and an epoch of its training."""
    chosen, (epoch, split, name, metric) = dict(end.chosen), key
    a, bar, b = name.partition(pair_key("", ""))
    task, step, parent = name.partition(step_key("", ""))
    is_step = step and {task, parent} <= set(chosen) and metric in METRICS
    if name not in (ALL, *chosen) and not is_step and not (bar and {a, b} <= set(chosen)):
        raise ValueError(f"a row of {MEASUREMENTS.name} is of an unknown task, {shown(name)}")
    if epoch > end.epochs:
        raise ValueError(f"epoch {epoch} is measured, but column epochs is {end.epochs}")
    if split.startswith("test") and not (end.status == "done" and epoch == chosen.get(task)):
        raise ValueError(
            "test must be measured at the chosen epoch of a training that is done; got epoch "
            f"{epoch} of {shown(name)}, status {end.status}, chosen {shown(chosen)}"
        )


def _check_whole(end: _End, measured: Sequence[_Key], metrics: Mapping[str, str]) -> None:
    """Each task must have its curve and, at the end, its test figure by the metric that judges."""
    keys = set(measured)
    if len(keys) < len(measured):
        raise ValueError(f"a row of {MEASUREMENTS.name} is there twice")
    there = {metric for *_, metric in measured if metric in METRICS}
    judging = [name for name in sorted({*METRICS, *there}) if METRICS[name].judges]
    for task, chosen in end.chosen:
        lacking = [
            _lacking(end, keys, task, chosen, metric)
            for metric in ([metrics[task]] if metrics else judging)
        ]
        if all(lacking):
            raise ValueError(f"{MEASUREMENTS.name} must have {lacking[0]} of task {task!r}")


def _lacking(end: _End, keys: Set[_Key], task: str, chosen: int, metric: str) -> str:
    """The first figure of the task that is not there; empty if all are."""
    for epoch in range(1, end.epochs + 1):
        if (epoch, "valid", task, metric) not in keys:
            return f"the validation {metric} of epoch {epoch}"
    at_end = end.status == "done" and (chosen, "test", task, metric) not in keys
    return f"the test {metric}" if at_end else ""


def _check_place(run: TrainingRow, plan: Plan, replicate: int, arm: PlannedArm | None) -> None:
    """The training must be what its identity says, and its arm's."""
    identity = {
        "config": None,  # its JSON is put in below: many trainings are of one
        "data_hash": run.data_hash,
        "seed": run.seed,
        "epochs": plan.settings.epochs,
        "patience": plan.settings.patience,
        "half": plan.half(replicate),
        "runtime": run.runtime.identity,
        "code": run.code,
    }
    every = (canonical_json({**identity, "shuffle": shuffle}) for shuffle in SHUFFLES)
    config = f'"config":{run.config.json}'  # in a text there is a stroke before each quote
    if not any(run.id == text_digest(text.replace('"config":null', config)) for text in every):
        raise ValueError(
            "column id must be the digest of config, data_hash, seed, runtime, code, of a way to "
            "shuffle, and of the epochs, the patience and the half of train that are planned"
        )
    if arm is None:
        return  # the plan no longer has it
    if run.model != arm.config:
        raise ValueError("column config must be the model that is planned for the arm")
    planned = plan.facts(arm.data).content_hash
    if run.data_hash != planned:
        raise ValueError(
            f"column data_hash must be that of {arm.data}, {planned[:12]}; got "
            f"{run.data_hash[:12]}"
        )


class _Together:
    """Trainings that are compared: of one code, and of one seed where they are paired."""

    def __init__(self) -> None:
        self._codes: dict[type, set[str]] = {}
        self._seeds: dict[tuple[int, int], int] = {}
        self._unlike: StoredError | None = None

    def add(self, cell: _CellRow, run: TrainingRow, arms: Mapping[str, PlannedArm]) -> None:
        """One more of them."""
        self._codes.setdefault(type(run.model), set()).add(run.code)
        if cell.arm not in arms:
            return
        seed = self._seeds.setdefault((arms[cell.arm].stream, cell.replicate), run.seed)
        if seed != run.seed and self._unlike is None:
            self._unlike = StoredError(
                f"arm {cell.arm!r}, replicate {cell.replicate}",
                f"column seed must be {seed}, as at the other arms; got {run.seed}",
            )

    def check(self) -> None:
        """Raise StoredError for what contradicts itself."""
        for several in self._codes.values():
            if len(several) > 1:
                place = f"column code of {RUNS.name}"
                raise StoredError(place, f"must be one; got {sorted(several)}")
        if self._unlike:
            raise self._unlike
        first: dict[tuple[int, int], int] = {}
        for (stream, replicate), seed in self._seeds.items():
            twin = first.setdefault((stream, seed), replicate)
            if twin != replicate:
                raise StoredError(
                    f"replicates {twin} and {replicate}",
                    f"must have a seed each; both have {seed}",
                )
