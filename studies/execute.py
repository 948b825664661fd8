"""The planner: hands out the cells that are missing and records what comes back.

It keeps no state of its own: missing = design - done. Stop it in any way, start it, it goes on.
For each training it writes, in this order: an Optuna trial (running), the run with all its
measurements (one transaction), the cell, the trial's values. A start repairs whatever a kill cut
off in between, without training again.
"""

import traceback
import warnings
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import optuna
import sqlalchemy as sa
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial

from fsmd.task import TrainingResult, TrainingTask
from search_spaces.axes import axis
from studies import storage
from studies.planning import Cell
from studies.storage import Failure, Provenance

ATTEMPTS = 3
POLL_SECONDS = 0.2

Work = Callable[[TrainingTask, Path, int | None], TrainingResult]
"""(what, its checkpoint, the epoch to pause at)."""


@dataclass(frozen=True)
class Event:
    """Told to the listener: a cell is `known` from before, `started`, `retried`, `paused`,
    `stopped`, `done` or `failed`; and, several times a second and without a cell, the planner is
    `waiting`.
    """

    kind: str
    cell: Cell | None = None
    detail: str = ""


class Step(NamedTuple):
    """Train a cell, up to the end or until an epoch after which the agenda decides again."""

    cell: Cell
    until: int | None = None


class Agenda(Protocol):
    """What is to be trained, and in which order."""

    def next(self) -> Step | None:
        """What a free worker does; None if there is nothing now. May be asked again later."""
        ...

    def ended(self, step: Step, result: TrainingResult | None) -> None:
        """A step is over; without a result where it failed for good."""
        ...


class Queue:
    """An agenda that is fixed: each cell to its end, in order."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._left = deque(cells)

    def next(self) -> Step | None:
        """The next cell."""
        return Step(self._left.popleft()) if self._left else None

    def ended(self, step: Step, result: TrainingResult | None) -> None:
        """Changes nothing."""


class Tally(NamedTuple):
    """How many cells were known from before, trained now, and in the end without a result."""

    known: int
    trained: int
    failed: int


@dataclass
class Planner:
    """Runs the cells of one study on an executor; the only writer to the database."""

    engine: sa.Engine
    study: optuna.Study
    tasks: tuple[str, ...]
    executor: Executor
    work: Work
    checkpoints: Path
    provenance: Provenance
    slots: int
    retry_failed: bool = False
    """Whether trainings that failed by themselves before are tried again."""
    listen: Callable[[Event], None] = lambda event: None
    attempts: dict[str, int] = field(default_factory=dict)
    """Identity -> how often a worker was given its last step, up to which it was paused."""

    def run(self, cells: Iterable[Cell]) -> Tally:
        """Bring every cell to its end; returns when nothing is missing."""
        cells = list(cells)
        known = storage.known_runs(self.engine, [cell.task.id for cell in cells])
        missing = []
        for cell in cells:
            if known.get(cell.task.id) in self._final:
                self.close(cell)
            else:
                missing.append(cell)
        self.follow(Queue(missing))
        statuses = storage.known_runs(self.engine, [cell.task.id for cell in cells])
        failed = sum(statuses[cell.task.id] != "done" for cell in cells)
        return Tally(len(cells) - len(self.attempts), len(self.attempts), failed)

    @property
    def _final(self) -> tuple[str, ...]:
        """What a run's status must be for it not to be trained again."""
        return ("done",) if self.retry_failed else ("done", "failed")

    def follow(self, agenda: Agenda) -> None:
        """Train what the agenda says until it has nothing and nothing is running."""
        again, running = list[Step](), dict[Future[TrainingResult], Step]()
        while True:
            while len(running) < self.slots:
                step = again.pop() if again else agenda.next()
                if step is None:
                    break
                # Another study may have trained it while this one ran.
                if storage.known_runs(self.engine, [step.cell.task.id]) == {
                    step.cell.task.id: "done"
                }:
                    self.close(step.cell)
                    agenda.ended(step, storage.known_result(self.engine, step.cell.task.id))
                    continue
                self._open(step.cell)
                running[self._submit(step)] = step
            if not running:
                return
            over, _ = wait(running, POLL_SECONDS, FIRST_COMPLETED)
            self.listen(Event("waiting"))
            for future in over:
                step = running.pop(future)
                if self._may_retry(step.cell, future.exception()):
                    again.append(step)
                else:
                    agenda.ended(step, self._record(step.cell, future))

    def _submit(self, step: Step) -> Future[TrainingResult]:
        cell = step.cell
        self.attempts[cell.task.id] = self.attempts.get(cell.task.id, 0) + 1
        self.listen(Event("started", cell))
        return self.executor.submit(self.work, cell.task, self._checkpoint(cell), step.until)

    def _checkpoint(self, cell: Cell) -> Path:
        return self.checkpoints / f"{cell.task.id}.ckpt"

    def _may_retry(self, cell: Cell, error: BaseException | None) -> bool:
        if error is None or not may_pass(error) or self.attempts[cell.task.id] >= ATTEMPTS:
            return False
        self.listen(Event("retried", cell, describe(error)))
        return True

    def _record(self, cell: Cell, future: Future[TrainingResult]) -> TrainingResult | None:
        error = future.exception()
        outcome = future.result() if error is None else _failure(error)
        attempts = self.attempts[cell.task.id]
        storage.record_run(self.engine, cell.task, outcome, attempts, self.provenance)
        if isinstance(outcome, TrainingResult) and not outcome.finished:
            self._link(cell)
            self.attempts[cell.task.id] = 0
            self.listen(Event("paused", cell))
            return outcome
        self._tell(cell)
        if error is None or not may_pass(error):  # else another run goes on from there
            self._checkpoint(cell).unlink(missing_ok=True)
        self.listen(Event("failed", cell, describe(error)) if error else Event("done", cell))
        return None if isinstance(outcome, Failure) else outcome

    def close(self, cell: Cell) -> None:
        """Take over a training that is known from before."""
        self._tell(cell)
        self.listen(Event("known", cell))

    def take_up(self, cell: Cell) -> None:
        """Take over a paused training of another study: its trial runs, its curve is known."""
        self._open(cell)
        self._link(cell)
        self.listen(Event("paused", cell))

    def stop(self, cell: Cell) -> None:
        """Give up a paused training: its trial is told PRUNED, its curve stays."""
        trial = self._open(cell)
        self._trials[_key(cell)] = self.study.tell(trial.number, state=TrialState.PRUNED)
        self._checkpoint(cell).unlink(missing_ok=True)
        self.listen(Event("stopped", cell))

    def _link(self, cell: Cell) -> None:
        name = self.study.study_name
        storage.link_cell(self.engine, name, cell.level, cell.replicate, cell.task.id)

    def _tell(self, cell: Cell) -> None:
        """Link the cell to its run and tell the trial; nothing is trained or told twice."""
        self._link(cell)
        done = storage.known_runs(self.engine, [cell.task.id])[cell.task.id] == "done"
        state = TrialState.COMPLETE if done else TrialState.FAIL
        trial = self._trials.get(_key(cell))
        if trial is not None and trial.state == state:
            return
        trial = self._open(cell)
        values = None
        if done:
            auc = storage.chosen_values(self.engine, cell.task.id, "valid", "auc")
            values = [*(auc[task] for task in self.tasks), *cell.cost]
        self._trials[_key(cell)] = self.study.tell(trial.number, values, state)

    def _open(self, cell: Cell) -> FrozenTrial:
        """The cell's running trial; a new one where there is none."""
        trial = self._trials.get(_key(cell))
        if trial is None or trial.state.is_finished():
            trial = self._trials[_key(cell)] = self._start_trial(cell)
        return trial

    def _start_trial(self, cell: Cell) -> FrozenTrial:
        params = dict(cell.arm.params)
        self.study.add_trial(
            create_trial(
                state=TrialState.RUNNING,
                params=params,
                distributions={name: axis(name, (level,)) for name, level in params.items()},
                user_attrs={
                    "level": cell.level,
                    "replicate": cell.replicate,
                    "seed": cell.task.seed,
                    "run": cell.task.id,
                    **cell.notes,
                },
            )
        )
        return next(
            trial
            for trial in reversed(self.study.get_trials(deepcopy=False))
            if trial.user_attrs.get("run") == cell.task.id
        )

    @cached_property
    def _trials(self) -> dict[tuple[str, int], FrozenTrial]:
        """The last trial of each cell; a running one was cut off and is taken up again."""
        return {
            (trial.user_attrs["level"], trial.user_attrs["replicate"]): trial
            for trial in self.study.get_trials(deepcopy=False)
            if "replicate" in trial.user_attrs
        }


def _key(cell: Cell) -> tuple[str, int]:
    return cell.level, cell.replicate


def may_pass(error: BaseException) -> bool:
    """Whether another try may succeed: the process was killed, or memory or disk ran out."""
    if isinstance(error, BrokenProcessPool | MemoryError | OSError):
        return True
    if not isinstance(error, Exception):  # such as the exit that a SIGTERM asks for
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )


def describe(error: BaseException) -> str:
    """One line for people."""
    if isinstance(error, BrokenProcessPool):
        return "the worker process was killed"
    if not isinstance(error, Exception):
        return f"the worker process was asked to end ({type(error).__name__})"
    return f"{type(error).__name__}: {error}".splitlines()[0]


def _failure(error: BaseException) -> Failure:
    trace = "".join(traceback.format_exception(error))
    return Failure(describe(error), trace, passing=may_pass(error))


def open_study(
    engine: sa.Engine, name: str, tasks: tuple[str, ...], cost: str | None = None
) -> optuna.Study:
    """The Optuna study of this name in the same database.

    Every task's AUC is maximised and the cost, if there is one, minimised.
    """
    maximise, minimise = StudyDirection.MAXIMIZE, StudyDirection.MINIMIZE
    with storage.creating(engine):
        study = optuna.create_study(
            storage=_optuna_storage(engine),
            study_name=name,
            directions=[maximise] * len(tasks) + [minimise] * bool(cost),
            load_if_exists=True,
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        names = [f"{task}: validation AUC" for task in tasks]
        study.set_metric_names([*names, *([cost] if cost else [])])
    return study


def stored_study(engine: sa.Engine, name: str) -> optuna.Study:
    """The Optuna study of a study that was run."""
    return optuna.load_study(study_name=name, storage=_optuna_storage(engine))


def _optuna_storage(engine: sa.Engine) -> optuna.storages.RDBStorage:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    connect = {"timeout": 60} if engine.dialect.name == "sqlite" else {}
    return optuna.storages.RDBStorage(
        engine.url.render_as_string(hide_password=False),
        engine_kwargs={"connect_args": connect},
    )
