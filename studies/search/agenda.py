"""The agenda of a search: which configuration to train next, and how far.

It has no state of its own beyond what the database holds: trials with their parameters, and the
curve of each training. Started again, it goes on where it was.

While workers train, it looks for the configuration that comes next, from when the newest one is
handed out: what is asked of the sampler then, that one's figures never among it, is the same
however long the answer takes. The answer is stored before the figures of what is trained meanwhile
are, where one worker trains; so a search that was killed asks the same again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from threading import Thread
from typing import Any, NamedTuple

import sqlalchemy as sa

from fsmd.config import FSMDConfig
from fsmd.data.schema import DataRef
from fsmd.errors import UserError
from fsmd.training import TrainingResult
from search_spaces.space import Params, Space
from studies.planner.agenda import Step
from studies.planner.design import Cell
from studies.planner.planner import ATTEMPTS, Event, Planner
from studies.search.attempt import (
    Attempt,
    AttemptState,
    cell_of,
    objectives_of,
    read_attempts,
    selection_of,
)
from studies.search.confirmation import fresh_cells
from studies.search.proposals import Proposal, Tried, propose
from studies.search.pruning import Pruner
from studies.store.attempts import StoredAttempt, insert_attempt, set_stopped
from studies.store.records import StudyRecord
from studies.store.runs import known_result, known_runs
from studies.workers.protocol import Workers, awaited

REJECTIONS_AT_MOST = 1000
"""Proposals in a row that may break a constraint before the search gives up."""
REJECTIONS_BEFORE_CHANCE = 10
"""As many in a row before chance proposes instead of the sampler, which takes longer."""


class _Proposed(NamedTuple):
    """What to try next."""

    name: str
    """Empty, where it has none."""
    params: Params
    notes: Mapping[str, Any]
    """What the sampler wants remembered."""


@dataclass
class SearchAgenda:
    """Hands the planner one step after the other; see `studies.planner.agenda.Agenda`."""

    planner: Planner
    record: StudyRecord
    data: DataRef
    space: Space
    pruner: Pruner
    allowed: Callable[[FSMDConfig], bool] = lambda config: True
    """Whether a configuration keeps the constraints; asked before it is trained."""
    costs: Callable[[FSMDConfig], Mapping[str, float]] = lambda config: {}
    """Key of an objective -> its value, of those that are known before training."""
    thinker: Workers | None = None
    """Where the sampler is asked; on the planner's workers, if nowhere else."""
    deadline: float = float("inf")
    """When nothing is started or gone on with any more, on the monotonic clock."""
    attempts: list[Attempt] = field(default_factory=list)
    rejected: list[Params] = field(default_factory=list)
    """What broke a constraint since the last attempt was added: so what comes next depends on the
    attempts alone, and a search that is started again proposes the same."""
    exhausted: bool = False
    """Whether the space has nothing more to try that keeps the constraints."""
    _once_more: set[int] = field(default_factory=set, init=False)
    """Which attempts were lost, and begun anew; see `_cut_off`."""
    _sought: "Future[Attempt | None] | None" = field(default=None, init=False, compare=False)
    """What comes next, while it is looked for."""
    _ahead: Attempt | None = field(default=None, init=False)
    """What comes next, as it is stored."""

    def __post_init__(self) -> None:
        """What an earlier run stored last and did not begin comes next."""
        if self.attempts and self.attempts[-1].is_new:
            self.attempts, self._ahead = self.attempts[:-1], self.attempts[-1]

    def next(self) -> Step | None:
        """Promote a paused training, or start a new one, or nothing now."""
        step = self._next()
        if step and not (self._complete or self._sought or self._ahead):
            self._sought = Future()
            asked = (self._sought, tuple(self.attempts))  # what ends meanwhile changes no answer
            Thread(target=self._seek, args=asked, daemon=True).start()
        return step

    def settle(self) -> None:
        """Store what comes next before the figures of what was trained meanwhile are known.

        What cannot be found is said when it is asked for: what was trained is recorded first.
        """
        sought = self._sought
        if sought and (self.planner.at_once == 1 or sought.done()) and not sought.exception():
            self._store_sought()

    @property
    def _complete(self) -> bool:
        return self.exhausted or len(self.attempts) >= self.record.search.trials

    def _next(self) -> Step | None:
        while time.monotonic() < self.deadline:
            i = self._cut_off()
            if i is None:
                i = self.pruner.promoted([a.for_pruner for a in self.attempts], self._complete)
            if i is not None:
                return self._step(i)
            if self._complete or (self._sought and not self._sought.done() and self._trains):
                return None  # while it is looked for, what others bring may be gone on with
            if not self._add():
                continue  # the pruner may have waited for the last one
            if self.attempts[-1].is_new:  # another study may have trained it
                return self._step(len(self.attempts) - 1)
        return None

    @property
    def _trains(self) -> bool:
        return any(attempt.state == AttemptState.RUNNING for attempt in self.attempts)

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        """Keep what a step brought."""
        i = self._of(cell)
        if result is None:
            ends = known_runs(self.planner.engine, [cell.training.id])
            itself = ends[cell.training.id] == "failed"
            state = AttemptState.FAILED if itself else AttemptState.LOST
            self.attempts[i] = self.attempts[i].without_result(state)
            return
        state = AttemptState.ENDED if result.finished else AttemptState.PAUSED
        self.attempts[i] = replace(self.attempts[i].with_result(result, self.record), state=state)

    def waits(self, cell: Cell) -> None:
        """Keep it for a later run."""
        i = self._of(cell)
        self.attempts[i] = replace(self.attempts[i], state=AttemptState.PAUSED)

    def _of(self, cell: Cell) -> int:
        return next(n for n, a in enumerate(self.attempts) if a.training_id == cell.training.id)

    def repair(self) -> None:
        """Finish what a kill cut off between two writes of the planner; trains nothing.

        Optuna's trials become those of the attempts, whatever they are.
        """
        fresh = fresh_cells(self.planner.engine, self.record, self.data, self.attempts)
        ahead = (self._ahead,) if self._ahead else ()
        own = ((self._cell(attempt), attempt.state) for attempt in (*self.attempts, *ahead))
        self.planner.mirror.show((*own, *fresh))
        over = [a for a in self.attempts if a.failed or a.state == AttemptState.ENDED]
        self.planner.take_over(list(map(self._cell, over)))
        for attempt in self.attempts:
            if attempt.state == AttemptState.STOPPED:
                self.planner.listen(Event("known", self._cell(attempt)))
        for attempt in self.attempts:
            if attempt.curve and attempt.state != AttemptState.ENDED:
                self.planner.link(self._cell(attempt))

    @property
    def waiting(self) -> tuple[Cell, ...]:
        """What a later run goes on with: paused at the deadline, lost, or not begun."""
        waits = (AttemptState.PAUSED, AttemptState.LOST)
        ahead = (self._ahead,) if self._ahead and not self._complete else ()
        return tuple(self._cell(a) for a in (*self.attempts, *ahead) if a.state in waits)

    def stop_the_rest(self) -> None:
        """Give up what is paused, as nothing will promote it; after the deadline something may."""
        if time.monotonic() >= self.deadline:
            return
        for i, attempt in enumerate(self.attempts):
            if attempt.state == AttemptState.PAUSED:
                self.planner.stop(self._cell(attempt))
                set_stopped(self.planner.engine, self.record.name, i, stopped=True)
                self.attempts[i] = replace(attempt, state=AttemptState.STOPPED)

    def _cut_off(self) -> int | None:
        """What has no whole epoch to show: of an earlier run, or lost in this one.

        What was lost is begun anew once, when all the rest has begun: before anything is ranked
        for good, and late enough for what it was lost by to have passed.
        """
        waiting = (AttemptState.PAUSED, AttemptState.STOPPED)
        for i, attempt in enumerate(self.attempts):
            is_lost = attempt.state == AttemptState.LOST and i not in self._once_more
            if (attempt.state in waiting and not attempt.curve) or (is_lost and self._complete):
                return i
        return None

    def _cell(self, attempt: Attempt) -> Cell:
        return cell_of(attempt, self.record, self.data)

    def _step(self, i: int) -> Step:
        attempt = self.attempts[i]
        if attempt.state == AttemptState.STOPPED:
            set_stopped(self.planner.engine, self.record.name, i, stopped=False)
        elif attempt.state == AttemptState.LOST:
            self._once_more.add(i)
        self.attempts[i] = replace(attempt, state=AttemptState.RUNNING)
        return Step((self._cell(attempt),), self.pruner.until(attempt.epochs))

    def _add(self) -> bool:
        """Add a configuration that was not tried; whether there is one."""
        if not self._ahead:
            if not self._sought:
                self._sought = Future()
                self._seek(self._sought, tuple(self.attempts))
            self._store_sought()
        attempt, self._ahead = self._ahead, None
        if attempt is None:
            return False
        self.attempts.append(attempt)
        engine, cell = self.planner.engine, self._cell(attempt)
        status = known_runs(engine, [cell.training.id]).get(cell.training.id)
        if self.planner.is_final(status):
            self.ended(cell, self.planner.close(cell))
        elif status == "paused":
            self.planner.take_up(cell)
            self.ended(cell, known_result(engine, cell.training.id))
        return True

    def _store_sought(self) -> None:
        """Wait for what comes next, and store it."""
        assert self._sought, "it is looked for"
        attempt, self._sought = self._sought.result(), None
        if attempt is None:
            self.exhausted = time.monotonic() < self.deadline
        else:
            params, run_id = attempt.params, attempt.training_id
            stored = StoredAttempt(
                attempt.name, params, run_id, attempt.costs_before, attempt.notes
            )
            insert_attempt(self.planner.engine, self.record.name, len(self.attempts), stored)
            self._ahead = attempt

    def _seek(self, sought: "Future[Attempt | None]", attempts: Sequence[Attempt]) -> None:
        """Look for a configuration that was not tried and keeps the constraints."""
        try:
            sought.set_result(self._found(attempts))
        except BaseException as error:
            sought.set_exception(error)

    def _found(self, attempts: Sequence[Attempt]) -> Attempt | None:
        for _ in range(REJECTIONS_AT_MOST):
            if time.monotonic() >= self.deadline:
                return None
            proposed = self._known_point(attempts) or self._proposed(attempts)
            if proposed is None:
                return None
            config = self.space.config(proposed.params)
            if self.allowed(config):
                self.rejected.clear()
                return self._attempt(len(attempts), config, proposed)
            self.rejected.append(proposed.params)
        return None

    def _attempt(self, number: int, config: FSMDConfig, proposed: _Proposed) -> Attempt:
        attempt = Attempt(
            name=proposed.name or f"#{number}",  # which its trial has in Optuna's study
            params=proposed.params,
            config=config,
            state=AttemptState.PAUSED,
            training_id="",
            selection=selection_of(self.record, config),
            objectives=objectives_of(self.record),
            costs=self.costs(config),
            notes=proposed.notes,
        )
        return replace(attempt, training_id=self._cell(attempt).training.id)

    def _known_point(self, attempts: Sequence[Attempt]) -> _Proposed | None:
        """A model of the paper that the search has not had yet."""
        had = [*(attempt.params for attempt in attempts), *self.rejected]
        ahead = ((name, p) for name, p in self.space.known.items() if p not in had)
        return next((_Proposed(name, params, {}) for name, params in ahead), None)

    def _proposed(self, attempts: Sequence[Attempt]) -> _Proposed | None:
        """What the sampler proposes, to whom the newest one is under way, whatever is known."""
        tried = [Tried(a.params, a.gains or None, a.failed, a.notes) for a in attempts]
        tried[-1:] = [replace(newest, values=None, failed=False) for newest in tried[-1:]]
        tried += [Tried(params, None, failed=True) for params in self.rejected]
        known, sampler = self.space.known.values(), self.record.search.sampler
        broken = sum(params not in known for params in self.rejected)
        if sampler != "grid" and broken >= REJECTIONS_BEFORE_CHANCE:
            sampler = "random"
        seed, objectives = self.record.plan.seed, len(objectives_of(self.record))
        proposal = self._asked(self.space, tried, sampler, seed, objectives)
        return _Proposed("", *proposal) if proposal else None

    def _asked(self, *question: Any) -> Proposal | None:
        """The sampler's answer, of a process of its own: it takes seconds of a processor."""
        workers = self.thinker or self.planner.workers
        for _ in range(ATTEMPTS):
            try:
                return awaited(workers, workers.submit(propose, *question))
            except Exception as error:
                if not workers.lost(error):
                    raise
        raise UserError(
            f"the process that asks the sampler died {ATTEMPTS} times, maybe for want of memory; "
            "what was trained is kept: the same command goes on from here"
        )


def resumed(
    engine: sa.Engine, record: StudyRecord, data: DataRef, retry_failed: bool = False
) -> list[Attempt]:
    """The attempts of a stored search, to go on with.

    Raises UserError if one of them no longer means the training it meant.
    """
    attempts = []
    for attempt in read_attempts(engine, record):
        if cell_of(attempt, record, data).training.id != attempt.training_id:
            raise UserError(
                f"{attempt.name!r} of {record.name!r} means another training now; "
                "keep this search apart with --name"
            )
        again = attempt.state == AttemptState.LOST or (
            retry_failed and attempt.state == AttemptState.FAILED
        )
        attempts.append(replace(attempt, state=AttemptState.PAUSED) if again else attempt)
    return attempts
