"""The agenda of a search: which configuration to train next, and how far.

It has no state of its own beyond what the database holds: trials with their parameters, and the
curve of each training. Started again, it goes on where it was.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from fsmd.config import FSMDConfig
from fsmd.data.schema import DataRef
from fsmd.errors import UserError
from fsmd.training import TrainingResult
from search_spaces.space import Params, Space
from studies.planner.agenda import Step
from studies.planner.design import Cell
from studies.planner.planner import Planner
from studies.search.attempt import (
    Attempt,
    AttemptState,
    cell_of,
    objectives_of,
    read_attempts,
    selection_of,
)
from studies.search.confirmation import fresh_cells
from studies.search.proposals import Tried, propose
from studies.search.pruning import Pruner
from studies.store.attempts import StoredAttempt, insert_attempt, set_stopped
from studies.store.records import StudyRecord
from studies.store.runs import known_result, known_runs

REJECTIONS_AT_MOST = 1000
"""Proposals in a row that may break a constraint before the search gives up."""
REJECTIONS_BEFORE_CHANCE = 10
"""As many in a row before chance proposes instead of the sampler, which takes longer."""

_Proposed = tuple[str, Params, Mapping[str, Any]]
"""(name, or empty; parameters; what the sampler wants remembered)."""


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
    deadline: float = float("inf")
    """When nothing is started or gone on with any more, on the monotonic clock."""
    attempts: list[Attempt] = field(default_factory=list)
    rejected: list[Params] = field(default_factory=list)
    """What broke a constraint since the last attempt was added: so what comes next depends on the
    attempts alone, and a search that is started again proposes the same."""
    exhausted: bool = False
    """Whether the space has nothing more to try that keeps the constraints."""

    def next(self) -> Step | None:
        """Promote a paused training, or start a new one, or nothing now."""
        while time.monotonic() < self.deadline:
            complete = self.exhausted or len(self.attempts) >= self.record.search.trials
            i = self._cut_off()
            if i is None:
                i = self.pruner.promoted([a.for_pruner for a in self.attempts], complete)
            if i is not None:
                return self._step(i)
            if complete:
                return None
            if not self._add():
                self.exhausted = time.monotonic() < self.deadline
                continue  # the pruner may have waited for the last one
            newest = self.attempts[-1]  # which another study may have trained
            if newest.state == AttemptState.PAUSED and not newest.curve:
                return self._step(len(self.attempts) - 1)
        return None

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        """Keep what a step brought."""
        i = next(n for n, a in enumerate(self.attempts) if a.training_id == cell.training.id)
        if result is None:
            ends = known_runs(self.planner.engine, [cell.training.id])
            itself = ends[cell.training.id] == "failed"
            state = AttemptState.FAILED if itself else AttemptState.LOST
            self.attempts[i] = self.attempts[i].without_result(state)
            return
        state = AttemptState.ENDED if result.finished else AttemptState.PAUSED
        self.attempts[i] = replace(self.attempts[i].with_result(result, self.record), state=state)

    def repair(self) -> None:
        """Finish what a kill cut off between two writes of the planner; trains nothing.

        Optuna's trials become those of the attempts, whatever they are.
        """
        fresh = fresh_cells(self.planner.engine, self.record, self.data, self.attempts)
        own = ((self._cell(attempt), attempt.state) for attempt in self.attempts)
        self.planner.mirror.show((*own, *fresh))
        over = [a for a in self.attempts if a.failed or a.state == AttemptState.ENDED]
        self.planner.take_over(list(map(self._cell, over)))
        for attempt in self.attempts:
            if attempt.curve and attempt.state != AttemptState.ENDED:
                self.planner.link(self._cell(attempt))

    @property
    def waiting(self) -> tuple[Cell, ...]:
        """What a later run goes on with: paused at the deadline, or lost."""
        waits = (AttemptState.PAUSED, AttemptState.LOST)
        return tuple(self._cell(a) for a in self.attempts if a.state in waits)

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
        """A training of an earlier run of the search that has no whole epoch to show."""
        waiting = (AttemptState.PAUSED, AttemptState.STOPPED)
        return next(
            (i for i, a in enumerate(self.attempts) if a.state in waiting and not a.curve), None
        )

    def _cell(self, attempt: Attempt) -> Cell:
        return cell_of(attempt, self.record, self.data)

    def _step(self, i: int) -> Step:
        attempt = self.attempts[i]
        if attempt.state == AttemptState.STOPPED:
            set_stopped(self.planner.engine, self.record.name, i, stopped=False)
        self.attempts[i] = replace(attempt, state=AttemptState.RUNNING)
        return Step((self._cell(attempt),), self.pruner.until(attempt.epochs))

    def _add(self) -> bool:
        """Add a configuration that was not tried; whether there is one."""
        for _ in range(REJECTIONS_AT_MOST):
            if time.monotonic() >= self.deadline:
                return False
            proposed = self._known_point() or self._proposed()
            if proposed is None:
                return False
            config = self.space.config(proposed[1])
            if self.allowed(config):
                self._admit(config, *proposed)
                self.rejected.clear()
                return True
            self.rejected.append(proposed[1])
        return False

    def _admit(
        self, config: FSMDConfig, name: str, params: Params, notes: Mapping[str, Any]
    ) -> None:
        number = len(self.attempts)
        attempt = Attempt(
            name=name or f"#{number}",  # which its trial has in Optuna's study
            params=params,
            config=config,
            state=AttemptState.PAUSED,
            training_id="",
            selection=selection_of(self.record, config),
            objectives=objectives_of(self.record),
            costs=self.costs(config),
            notes=notes,
        )
        cell = self._cell(attempt)
        engine, run_id = self.planner.engine, cell.training.id
        stored = StoredAttempt(attempt.name, params, run_id, attempt.costs_before, notes)
        insert_attempt(engine, self.record.name, number, stored)
        self.attempts.append(replace(attempt, training_id=run_id))
        status = known_runs(engine, [run_id]).get(run_id)
        if self.planner.is_final(status):
            self.ended(cell, self.planner.close(cell))
        elif status == "paused":
            self.planner.take_up(cell)
            self.ended(cell, known_result(engine, run_id))

    def _known_point(self) -> _Proposed | None:
        """A model of the paper that the search has not had yet."""
        had = [*(attempt.params for attempt in self.attempts), *self.rejected]
        ahead = ((name, p) for name, p in self.space.known.items() if p not in had)
        return next(((name, params, {}) for name, params in ahead), None)

    def _proposed(self) -> _Proposed | None:
        tried = [
            *(Tried(a.params, a.gains or None, a.failed, a.notes) for a in self.attempts),
            *(Tried(params, None, failed=True) for params in self.rejected),
        ]
        known, sampler = self.space.known.values(), self.record.search.sampler
        broken = sum(params not in known for params in self.rejected)
        if sampler != "grid" and broken >= REJECTIONS_BEFORE_CHANCE:
            sampler = "random"
        seed, objectives = self.record.plan.seed, len(objectives_of(self.record))
        proposal = propose(self.space, tried, sampler, seed, objectives)
        return ("", *proposal) if proposal else None


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
