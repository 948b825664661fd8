"""The planner: hands out the cells that are missing and records what comes back.

It keeps no state of its own: missing = design - done. Stop it in any way, start it, it goes on.
For each training it writes, in this order: an Optuna trial (running), the run with all its
measurements (one transaction), the cell, the trial's values. A start repairs whatever a kill cut
off in between, without training again.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from fsmd.training import Training, TrainingProgress, TrainingResult
from studies.failure import Failure, failure_of
from studies.planner.agenda import Agenda, Queue, Step
from studies.planner.design import Cell
from studies.store import runs
from studies.store.mirror import Mirror
from studies.store.runs import Provenance
from studies.workers.protocol import Workers

ATTEMPTS = 3
"""How often a training is given to a worker whose failures may pass."""
POLL_SECONDS = 0.2

Outcome = TrainingResult | Failure
Work = Callable[[Sequence[Training], Sequence[Path], int | None], Sequence[Outcome]]
"""(trainings of a step, the checkpoint of each, the epoch to pause at) -> how each of them ended.
What it raises befalls all of them."""


@dataclass(frozen=True)
class Event:
    """Told to the listener: a cell is `known` from before, `started`, `retried`, `paused`,
    `stopped`, `done` or `failed`; and, several times a second and without a cell, the planner is
    `waiting`.
    """

    kind: str
    cell: Cell | None = None
    detail: str = ""
    progress: tuple[tuple[str, TrainingProgress], ...] = ()
    """While `waiting`: (identity of a training, how far it is), as workers told since then."""


class Tally(NamedTuple):
    """How many cells were known from before, trained now, and in the end without a result."""

    known: int
    trained: int
    failed: int


@dataclass
class Planner:
    """Runs the cells of one study on workers; the only writer to the database."""

    engine: sa.Engine
    mirror: Mirror
    workers: Workers
    work: Work
    checkpoints: Path  # a folder
    provenance: Provenance
    slots: int
    """Steps under way at once."""
    retry_failed: bool = False
    """Whether trainings that failed by themselves before are tried again."""
    listen: Callable[[Event], None] = lambda event: None
    attempts: dict[str, int] = field(default_factory=dict)
    """Identity -> how often a worker was given its last step, up to which it was paused."""

    def run(self, cells: Sequence[Cell]) -> Tally:
        """Bring every cell to its end; returns when nothing is missing."""
        before = len(self.attempts)
        known = self._statuses(cells)
        missing = []
        for cell in cells:
            if self.is_final(known.get(cell.training.id)):
                self.close(cell)
            else:
                missing.append(cell)
        self.follow(Queue(missing))
        failed = sum(status != "done" for status in self._statuses(cells).values())
        trained = len(self.attempts) - before
        return Tally(len(cells) - trained, trained, failed)

    def is_final(self, status: str | None) -> bool:
        """Whether a training of this stored status is not trained again."""
        return status == "done" or (status == "failed" and not self.retry_failed)

    def follow(self, agenda: Agenda) -> None:
        """Train what the agenda says until it has nothing and nothing is running."""
        again, running = list[Step](), dict[Future[Sequence[Outcome]], Step]()
        while True:
            while len(running) < self.slots:
                step = again.pop() if again else agenda.next()
                if step is None:
                    break
                step = self._without_known(step, agenda)
                if step.cells:
                    running[self._submit(step)] = step
            if not running:
                return
            over, _ = wait(running, POLL_SECONDS, FIRST_COMPLETED)
            self.listen(Event("waiting", progress=tuple(self.workers.messages())))
            for future in over:
                retried = self._over(running.pop(future), future, agenda)
                if retried.cells:
                    again.append(retried)

    def _statuses(self, cells: Sequence[Cell]) -> dict[str, str]:
        return runs.known_runs(self.engine, [cell.training.id for cell in cells])

    def _without_known(self, step: Step, agenda: Agenda) -> Step:
        """The step without what another study has trained while this one ran."""
        known, left = self._statuses(step.cells), []
        for cell in step.cells:
            if known.get(cell.training.id) == "done":
                agenda.ended(cell, self.close(cell))
            else:
                left.append(cell)
        return step._replace(cells=tuple(left))

    def _submit(self, step: Step) -> Future[Sequence[Outcome]]:
        for cell in step.cells:
            self.mirror.open(cell)
            self.attempts[cell.training.id] = self.attempts.get(cell.training.id, 0) + 1
            self.listen(Event("started", cell))
        trainings = tuple(cell.training for cell in step.cells)
        checkpoints = tuple(map(self._checkpoint, step.cells))
        return self.workers.submit(self.work, trainings, checkpoints, step.until)

    def _checkpoint(self, cell: Cell) -> Path:
        return self.checkpoints / f"{cell.training.id}.ckpt"

    def _over(self, step: Step, future: Future[Sequence[Outcome]], agenda: Agenda) -> Step:
        """Record how the trainings of a step ended; those that are to be tried again."""
        error, retried = future.exception(), []
        if error is None:
            outcomes = future.result()
        else:
            outcomes = [failure_of(error, self.workers.lost(error))] * len(step.cells)
        for cell, outcome in zip(step.cells, outcomes, strict=True):
            tries_left = self.attempts[cell.training.id] < ATTEMPTS
            if isinstance(outcome, Failure) and outcome.passing and tries_left:
                self.listen(Event("retried", cell, outcome.error))
                retried.append(cell)
            else:
                agenda.ended(cell, self._record(cell, outcome))
        return step._replace(cells=tuple(retried))

    def _record(self, cell: Cell, outcome: Outcome) -> TrainingResult | None:
        training = cell.training
        attempts = self.attempts[training.id]
        runs.record_run(self.engine, training, outcome, attempts, self.provenance)
        if isinstance(outcome, Failure):
            self._tell(cell)
            if not outcome.passing:  # else another run of the study goes on from there
                self._checkpoint(cell).unlink(missing_ok=True)
            self.listen(Event("failed", cell, outcome.error))
            return None
        if not outcome.finished:
            self.attempts[training.id] = 0
            self.link(cell)
            self.listen(Event("paused", cell))
            return outcome
        self._tell(cell)
        self._checkpoint(cell).unlink(missing_ok=True)
        self.listen(Event("done", cell))
        return outcome

    def close(self, cell: Cell) -> TrainingResult | None:
        """Take over a training that ended before; nothing is told twice."""
        result = self._tell(cell)
        self._checkpoint(cell).unlink(missing_ok=True)
        self.listen(Event("known", cell))
        return result

    def take_up(self, cell: Cell) -> None:
        """Take over a paused training of another study: its trial runs, its curve is known."""
        self.mirror.open(cell)
        self.link(cell)
        self.listen(Event("paused", cell))

    def stop(self, cell: Cell) -> None:
        """Give up a paused training: its trial is told PRUNED, its curve stays."""
        self.mirror.prune(cell)
        self._checkpoint(cell).unlink(missing_ok=True)
        self.listen(Event("stopped", cell))

    def link(self, cell: Cell) -> None:
        """Say which training the cell is, in the database."""
        runs.link_cell(self.engine, self.mirror.name, cell.arm, cell.replicate, cell.training.id)

    def _tell(self, cell: Cell) -> TrainingResult | None:
        """Link the cell to its run and tell the trial what is stored of it."""
        self.link(cell)
        result = None
        if self._statuses([cell])[cell.training.id] == "done":
            result = runs.known_result(self.engine, cell.training.id)
        self.mirror.tell(cell, result)
        return result
