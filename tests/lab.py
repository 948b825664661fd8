"""A database, a planner and work that trains nothing, for tests of what surrounds training."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ParamSpec, Self, TypeVar

import numpy as np
import pytest
import sqlalchemy as sa
from optuna.trial import TrialState

from fsmd.data import load
from fsmd.data.schema import Dataset, Field, Schema, Split
from fsmd.data.settings import TrainingSettings
from fsmd.runtime import Runtime
from fsmd.tasks import Task
from fsmd.training import Measurement, Training, TrainingResult
from studies.definition import Study
from studies.failure import Failure
from studies.planner.design import Cell, cells, plan
from studies.planner.planner import Planner, Tally
from studies.session import open_record, stored_cells
from studies.store.means import Means
from studies.store.mirror import Mirror, open_mirror, study_axes, task_objectives
from studies.store.records import StudyRecord
from studies.store.runs import Provenance
from studies.timing import EpochTime
from studies.workers.local import ThisMachine, WorkerLostError
from studies.workers.protocol import Message

P = ParamSpec("P")
T = TypeVar("T")

TASKS = (Task("click"), Task("long_view", after="click"))
UNRELATED = (Task("click"), Task("long_view"))
NOW = "2026-01-02T03:04:05+00:00"
SETTINGS = TrainingSettings(batch_size=512, learning_rate=0.002, patience=2)


def small_data(tasks: Sequence[Task] = TASKS, name: str = "planted") -> Dataset:
    """Four rows, for what needs a data set and trains nothing on it."""
    split = Split(
        ids=np.zeros((4, 1), np.int32),
        dense=np.zeros((4, 0), np.float32),
        labels=np.zeros((4, len(tasks)), np.float32),
    )
    return Dataset(
        name=name,
        schema=Schema("planted", (Field("user", 3),), (), tuple(tasks)),
        train=split,
        valid=split,
        test=split,
        test_unseen=np.ones(4, bool),
        content_hash=f"hash of {name}",
        path=Path("here"),
        reachable=None,
        settings=SETTINGS,
    )


def record_of(
    study: Study, data: Dataset | None = None, settings: TrainingSettings = SETTINGS
) -> StudyRecord:
    """A study as it is stored."""
    data = data or small_data()
    planned = plan(study, {data.name: data}, settings, seed=0, runtime=Runtime())
    return StudyRecord(study.name, study, study, planned, created_at=NOW)


def result_of(
    training: Training, tasks: Sequence[Task] = TASKS, finished: bool = True
) -> TrainingResult:
    """Figures that depend on the training alone."""
    value = 0.5 + (int(training.id[:6], 16) % 1000) / 4000
    epochs = ((1, "valid"), (2, "valid"), (2, "test"))
    measurements = [
        Measurement(epoch, split, task.name, task.metric, value + i / 10 + epoch / 1000)
        for i, task in enumerate(tasks)
        for epoch, split in epochs
    ]
    chosen = {task.name: 2 for task in tasks}
    return TrainingResult(tuple(measurements), chosen, 2, finished, 0.1, 10)


def no_report(_: object, name: str, out: Path, *__: object, **___: object) -> SimpleNamespace:
    """In the place of `reports.build.build`: files with nothing in them, at once."""
    page = out / name / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    for path in (page, page.with_name("report.pdf")):
        path.touch()
    return SimpleNamespace(page=page, lines=(), figures=(), means=Means((), (), "", ()))


def without_training(patch: pytest.MonkeyPatch, data: str, folder: Path) -> None:
    """Trainings that bring made-up figures at once, an empty report, and a folder to work in."""
    tasks = load(data).schema.tasks
    patch.setattr("reports.build.build", no_report)
    patch.setattr("studies.session.LocalWorkers", lambda _: Immediate())
    patch.setattr("studies.session.measure_latency", lambda *_: None)
    patch.setattr("studies.session.measure", lambda *_: EpochTime(0.5))
    patch.setattr(
        "studies.session.train_all", lambda some, *_, **__: [result_of(t, tasks) for t in some]
    )
    patch.chdir(folder)


class Immediate(ThisMachine):
    """The simplest workers there are: everything is done here, when it is submitted."""

    def __init__(self, count: int = 1) -> None:
        """One process does all, however many are asked for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def prepare(self) -> None:
        """Nothing is to be loaded first."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
        try:
            future.set_result(work(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future

    def slots(self) -> int:
        return 1_000

    def withdraw(self, future: Future[Any]) -> bool:
        """All is begun."""
        return False

    def messages(self) -> Iterator[Message]:
        return iter(())

    def machine(self, future: Future[Any]) -> str:
        return ""

    def lost(self, error: BaseException) -> bool:
        return isinstance(error, WorkerLostError)

    def end(self, future: Future[Any]) -> None:
        """It has ended."""

    def close(self) -> None:
        """There is nothing to end."""


class Threads(Immediate):
    """Workers that are threads of this process."""

    def __init__(self, count: int) -> None:
        self._pool = ThreadPoolExecutor(count)

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        return self._pool.submit(work, *args, **kwargs)

    def close(self) -> None:
        self._pool.shutdown()


@dataclass
class Lab:
    """A study in a database, a planner of it, and work that counts."""

    engine: sa.Engine
    work: Callable[[Training], TrainingResult | Failure]
    definition: Study
    folder: Path
    done: list[str] = field(default_factory=list)
    """Identities of what was trained, in order."""
    events: list[tuple[str, str]] = field(default_factory=list)

    def record(self) -> StudyRecord:
        return open_record(self.engine, record_of(self.definition))

    def cells(self, replicates: int) -> tuple[Cell, ...]:
        return cells(self.record(), {"planted": small_data().ref}, replicates)

    def mirror(self) -> Mirror:
        """As it is stored; `planner` makes it what our tables say."""
        axes = study_axes(self.definition)
        name = self.definition.name
        return open_mirror(self.engine, name, TASKS, task_objectives(TASKS), axes)

    def planner(
        self, workers: Immediate, *, slots: int = 2, retry_failed: bool = False
    ) -> Planner:
        def work(
            trainings: Sequence[Training], checkpoints: Sequence[Path], _: int | None
        ) -> list[TrainingResult | Failure]:
            self.done += [training.id for training in trainings]
            assert [path.stem for path in checkpoints] == [t.id for t in trainings]
            return [self.work(training) for training in trainings]

        mirror, refs = self.mirror(), {"planted": small_data().ref}
        mirror.show(stored_cells(self.engine, self.record(), refs))
        return Planner(
            engine=self.engine,
            mirror=mirror,
            workers=workers,
            work=work,
            checkpoints=self.folder,
            provenance=Provenance({"torch": "1"}, "a machine"),
            slots=slots,
            retry_failed=retry_failed,
            listen=lambda event: self.events.append((event.kind, event.detail)),
        )

    def run(
        self,
        replicates: int,
        workers: Immediate | None = None,
        slots: int = 2,
        retry_failed: bool = False,
    ) -> Tally:
        workers = workers or Threads(2)
        try:
            planner = self.planner(workers, slots=slots, retry_failed=retry_failed)
            return planner.run(self.cells(replicates))
        finally:
            workers.close()

    def count(self, table: sa.Table) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0

    def column(self, column: sa.Column[Any]) -> list[Any]:
        with self.engine.connect() as connection:
            return list(connection.scalars(sa.select(column)))

    def states(self) -> list[TrialState]:
        return [trial.state for trial in self.mirror().study.trials]
