"""The planner: hands out the cells that are missing and records what comes back.

It keeps no state of its own: missing = design - done. Stop it in any way, start it, it goes on.
For each training it writes, in this order: an Optuna trial (running), the run with all its
measurements (one transaction), the cell, the trial's values; then it removes the checkpoint. The
next run makes up for whatever a kill cut off in between, without training again.
"""

import math
import shutil
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import NamedTuple, TypeVar

import sqlalchemy as sa

from fsmd.config import FSMDConfig, digest
from fsmd.errors import UserError
from fsmd.training import Training, TrainingProgress, TrainingResult
from fsmd.writing import sweep
from studies.failure import Failure, failure_of
from studies.planner.agenda import Agenda, LongestFirst, Step
from studies.planner.design import Cell
from studies.planner.lengths import NOTHING, expected, read_stored
from studies.planner.silence import Silence, unseen
from studies.store import runs
from studies.store.mirror import Mirror
from studies.store.runs import Provenance
from studies.workers.protocol import SILENCE_SECONDS, Deadline, Message, Workers

ATTEMPTS = 3
"""How often a training is given to a worker without one whole epoch more, where failures may
pass: machines that are taken away now and then do not end what gets on."""
POLL_SECONDS = 0.2
CHECKPOINT = ".ckpt"

T = TypeVar("T")
Outcome = TrainingResult | Failure
Work = Callable[..., Sequence[Outcome]]
"""(trainings of a step, the checkpoint of each, the epoch to pause at) -> how each of them ended;
a `Deadline`, too, where there is one: see `studies.workers.worker.train_all`. What it raises
befalls all of them."""


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
    workers: int = 0
    """While `waiting`: how many steps can be under way."""


class Tally(NamedTuple):
    """How many cells were known from before and trained now, and how many brought no result.

    Each is known, trained or cut; what failed or was lost is one of the first two.
    """

    known: int
    trained: int
    failed: int
    """By themselves."""
    lost: int
    """By what may pass: the next run tries them again."""
    cut: int = 0
    """For which the time did not suffice: another run goes on with them."""


class _Running(NamedTuple):
    """What a worker was given."""

    step: Step
    silence: Silence


@dataclass
class Planner:
    """Runs the cells of one study on workers; the only writer to the database."""

    engine: sa.Engine
    mirror: Mirror
    workers: Workers
    work: Work
    checkpoints: Path
    """A folder for this database alone; each study has its own below it."""
    provenance: Provenance
    slots: int
    """Steps under way at once, at most; how many the workers take may change."""
    retry_failed: bool = False
    """Whether trainings that failed by themselves before are tried again."""
    listen: Callable[[Event], None] = lambda event: None
    deadline: float = math.inf
    """On the monotonic clock, as the other may be set back: nothing is begun after it, and what
    runs is paused after its epoch."""
    silence: float = SILENCE_SECONDS
    """Seconds that a training may tell nothing; see `studies.planner.silence`."""
    attempts: dict[str, int] = field(default_factory=dict)
    """Identity -> how often a worker was given its step that is under way; but for what was lost
    after an epoch that none before had reached."""
    _reached: dict[str, int] = field(default_factory=dict, init=False)
    """Identity -> whole epochs, as workers told."""
    _credited: dict[str, int] = field(default_factory=dict, init=False)
    """The same, when an attempt was lost that does not count."""
    _looked: float = field(default=-math.inf, init=False)
    """When it looked last for what is silent."""

    def run(self, cells: Sequence[Cell], paused: Collection[Cell] = ()) -> Tally:
        """Bring every cell to its end; returns when nothing is missing, or at the deadline.

        paused: others that a later run goes on with. What a kill left of the rest is ended.
        """
        before = set(self.attempts)
        ended = {id for id, status in self._statuses(cells).items() if self.is_final(status)}
        self.take_over([cell for cell in cells if cell.training.id in ended])
        self.follow(self.in_order([cell for cell in cells if cell.training.id not in ended]))
        ends = self._statuses(cells)
        cut = [c for c in cells if ends.get(c.training.id) in (None, "paused")]
        self.mirror.rest((*paused, *cut))
        self._sweep(kept=[cell.training.id for cell in (*cells, *paused)])
        told = list(ends.values())
        trained = len(self.attempts.keys() - before - {cell.training.id for cell in cut})
        known = len(cells) - len(cut) - trained
        return Tally(known, trained, told.count("failed"), told.count("lost"), len(cut))

    def in_order(self, cells: Sequence[Cell]) -> Agenda:
        """Each of them to its end, the longest first, as far as is known how long they take."""
        trainings = [cell.training for cell in cells]
        hashes = {training.data.content_hash for training in trainings}
        stored = read_stored(self.engine, hashes, trainings) if cells else NOTHING

        def has_room(cells: Sequence[Cell], overdue: bool) -> bool:
            return self.workers.has_room([cell.training for cell in cells], overdue=overdue)

        return LongestFirst(cells, expected(stored, trainings), self.at_once, has_room)

    @property
    def at_once(self) -> int:
        """Steps to be under way now."""
        return min(self.slots, self.workers.slots())

    def is_final(self, status: str | None) -> bool:
        """Whether a training of this stored status is not trained again."""
        return status == "done" or (status == "failed" and not self.retry_failed)

    def follow(self, agenda: Agenda) -> None:
        """Train what the agenda says until it has nothing and nothing is running."""
        self._sweep()
        again, running = list[Step](), dict[Future[Sequence[Outcome]], _Running]()
        self._looked = time.monotonic()
        ended = SimpleQueue[Future[Sequence[Outcome]]]()
        while True:
            while self._in_time and len(running) < self.at_once:
                step = again.pop() if again else agenda.next()
                if step is None:
                    break
                step = self._without_known(step, agenda)
                if step.cells:
                    future = self._submit(step)
                    running[future] = _Running(step, self._silence_of(step))
                    future.add_done_callback(ended.put)
            if not self._in_time:
                self._cut_off(again, running, agenda)
            if not running:
                return
            over = [future for future in _waited(ended) if future in running]
            told = tuple(self.workers.messages())
            self.listen(Event("waiting", progress=told, workers=self.at_once))
            for training_id, progress in told:
                whole = max(self._reached.get(training_id, 0), int(progress.done))
                self._reached[training_id] = whole
            self._end_the_silent(running, told)
            for future in over:
                agenda.settle()
                retried = self._over(running.pop(future), future, agenda)
                if retried.cells:
                    again.append(retried)

    @property
    def _in_time(self) -> bool:
        return time.monotonic() < self.deadline

    def _cut_off(
        self,
        again: list[Step],
        running: dict[Future[Sequence[Outcome]], _Running],
        agenda: Agenda,
    ) -> None:
        """Take back what no worker has begun, and try nothing again."""
        withdrawn = [future for future in running if self.workers.withdraw(future)]
        cut = [*again, *(running.pop(future).step for future in withdrawn)]
        again.clear()
        for cell in (cell for step in cut for cell in step.cells):
            if self._statuses([cell]).get(cell.training.id) is None:
                self.attempts.pop(cell.training.id, None)
            agenda.waits(cell)

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
        ends = () if math.isinf(self.deadline) else (Deadline(self.deadline),)
        return self.workers.submit(self.work, trainings, checkpoints, step.until, *ends)

    def _silence_of(self, step: Step) -> Silence:
        networks = all(isinstance(cell.training.config, FSMDConfig) for cell in step.cells)
        return Silence(self.silence, from_the_first=networks)

    def _end_the_silent(
        self, running: Mapping[Future[Sequence[Outcome]], _Running], told: Sequence[Message]
    ) -> None:
        now = time.monotonic()
        gap, self._looked = unseen(self._looked, now), now
        for future, each in running.items():
            each.silence.skip(gap, now)
            each.silence.hear(now, told, {cell.training.id for cell in each.step.cells})
            if not future.running():
                each.silence.begin(now)
            elif each.silence.lasts(now):
                self.workers.end(future)

    @property
    def _folder(self) -> Path:
        return self.checkpoints / self.mirror.name

    def _checkpoint(self, cell: Cell) -> Path:
        return self._folder / f"{cell.training.id}{CHECKPOINT}"

    def _over(self, running: _Running, future: Future[Sequence[Outcome]], agenda: Agenda) -> Step:
        """Record how the trainings of a step ended; those that are to be tried again."""
        step, error, retried = running.step, future.exception(), []
        if error is None:
            outcomes = future.result()
        elif isinstance(error, UserError):  # nothing can be trained here: no training's fault
            raise error
        else:
            failure = failure_of(error, self.workers.lost(error))
            if failure.passing and running.silence.was_long:
                failure = replace(failure, error=running.silence.told)
            outcomes = [failure] * len(step.cells)
        machine = self.workers.machine(future)
        for cell, outcome in zip(step.cells, outcomes, strict=True):
            passing = outcome if isinstance(outcome, Failure) and outcome.passing else None
            if passing and self._tries_left(cell.training):
                self.listen(Event("retried", cell, passing.error))
                retried.append(cell)
            else:
                agenda.ended(cell, self._record(cell, outcome, machine))
        return step._replace(cells=tuple(retried))

    def _tries_left(self, training: Training) -> bool:
        """Whether what was lost is given to a worker again.

        As often as it gets on, which ends, and `ATTEMPTS` times where it does not. A baseline
        begins anew each time.
        """
        reached = self._reached.get(training.id, 0)
        goes_on = isinstance(training.config, FSMDConfig)
        if goes_on and reached > self._credited.get(training.id, 0):
            self._credited[training.id] = reached
            self.attempts[training.id] -= 1
        return self.attempts[training.id] < ATTEMPTS

    def _record(self, cell: Cell, outcome: Outcome, machine: str) -> TrainingResult | None:
        training = cell.training
        attempts = self.attempts[training.id]
        there = replace(self.provenance, machine=machine) if machine else self.provenance
        is_stored = runs.record_run(self.engine, training, outcome, attempts, there)
        self.attempts[training.id] = 0
        if isinstance(outcome, TrainingResult) and not outcome.finished:
            self.link(cell)
            self.listen(Event("paused", cell))
            return outcome
        own = outcome if is_stored and isinstance(outcome, TrainingResult) else None
        result = self._tell(cell, own)
        error, lost = "", False
        if result is None and isinstance(outcome, Failure):
            error, lost = outcome.error, outcome.passing
        if not lost:  # else another run of the study goes on from there
            _remove(self._checkpoint(cell))
        self.listen(Event("failed" if result is None else "done", cell, error))
        return result

    def take_over(self, cells: Sequence[Cell]) -> None:
        """Take over trainings that ended before; writes only what a kill cut off."""
        known, linked = self._statuses(cells), runs.known_cells(self.engine, self.mirror.name)
        for cell in cells:
            run_id, _ = linked.get((cell.arm, cell.replicate), ("", ""))
            done = known.get(cell.training.id) == "done"
            if run_id == cell.training.id and self.mirror.tells(cell, done):
                self.listen(Event("known", cell))
            else:
                self.close(cell)

    def close(self, cell: Cell) -> TrainingResult | None:
        """Take over a training that ended before; nothing is told twice."""
        result = self._tell(cell)
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
        _remove(self._checkpoint(cell))
        self.listen(Event("stopped", cell))

    def link(self, cell: Cell) -> None:
        """Say which training the cell is, in the database."""
        runs.link_cell(self.engine, self.mirror.name, cell.arm, cell.replicate, cell.training.id)

    def _sweep(self, kept: Collection[str] | None = None) -> None:
        """Remove the checkpoints of what has ended, and what a kill left half written.

        kept: identities of all that a later run may go on with; None while that is not known.
        Another planner may need the rest of what is in another study's folder.
        """
        sweep(self._folder)
        files = list(self.checkpoints.glob(f"*/*{CHECKPOINT}"))
        known = runs.known_runs(self.engine, [file.stem for file in files])
        for file in files:
            ended, own = known.get(file.stem), file.parent == self._folder
            dropped = file.is_dir() or (kept is not None and file.stem not in kept)
            if ended == "done" or (own and (self.is_final(ended) or dropped)):
                _remove(file)
        for folder in (self._folder, self.checkpoints):
            with suppress(OSError):  # there is none, or something is in it
                folder.rmdir()

    def _tell(self, cell: Cell, result: TrainingResult | None = None) -> TrainingResult | None:
        """Link the cell to its run and tell the trial what is stored of it.

        result: what was just stored. Another study's planner may have been the first, or luckier.
        """
        self.link(cell)
        if result is None and self._statuses([cell])[cell.training.id] == "done":
            result = runs.known_result(self.engine, cell.training.id)
        self.mirror.tell(cell, result)
        return result


def _waited(queue: SimpleQueue[T]) -> list[T]:
    """What came to a queue; waits a little for the first, as for as many as there are workers."""
    came = list[T]()
    with suppress(Empty):
        came.append(queue.get(timeout=POLL_SECONDS))
        while True:
            came.append(queue.get_nowait())
    return came


def checkpoint_folder(cache: Path, engine: sa.Engine) -> Path:
    """Where a database's planners keep checkpoints: what one removes, no other database needs."""
    url = engine.url.set(drivername=engine.url.get_backend_name(), username=None, password=None)
    if engine.dialect.name == "sqlite":
        url = url.set(database=str(Path(url.database or "").resolve()))
    return cache / "checkpoints" / digest(url.render_as_string())[:16]


def _remove(checkpoint: Path) -> None:
    """Also a folder in its place; what cannot be removed now is tried again by the next run."""
    with suppress(OSError):
        if checkpoint.is_dir() and not checkpoint.is_symlink():
            shutil.rmtree(checkpoint)
        else:
            checkpoint.unlink(missing_ok=True)
