"""What a search has tried: one type, read from the database by one reader.

The agenda that goes on with a search and the report of it read the same. Imports no torch, needs
no data set, and changes nothing in the database.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from typing import Any

import sqlalchemy as sa

from fsmd.config import FSMDConfig
from fsmd.data.schema import DataRef
from fsmd.selection import Point, Selection
from fsmd.training import TrainingResult
from search_spaces.axes import contains
from search_spaces.space import Params, Space
from search_spaces.spaces import space
from studies.objectives import Objective, end_costs, named
from studies.planner.design import Cell, replicate_seed
from studies.reading import of_study, stored_at
from studies.search.pruning import StandingCurve
from studies.store.attempts import StoredAttempt, stored_attempts
from studies.store.records import PlannedArm, StudyRecord
from studies.store.runs import known_cells, known_results, known_runs

SEARCH_REPLICATE = 0
"""The replicate that a search trains; 1, 2, ... are the confirmation's fresh seeds."""


class AttemptState(StrEnum):
    """How far the training of an attempt is."""

    RUNNING = "running"  # a worker of this process trains it
    PAUSED = "paused"  # it waits at a rung, or was cut off
    STOPPED = "stopped"  # the pruner gave it up; a search that goes on may take it up again
    ENDED = "ended"  # by its own early stopping, or at the last epoch
    FAILED = "failed"  # by itself; it would again
    LOST = "lost"  # its workers died, or memory ran out; the next run tries again


OVER = (AttemptState.ENDED, AttemptState.STOPPED, AttemptState.FAILED)
"""States of attempts with which a search is done."""


@dataclass(frozen=True)
class Attempt:
    """A configuration that a search proposed, and its training as far as it is known."""

    name: str
    params: Params
    config: FSMDConfig
    state: AttemptState
    training_id: str
    """Of its training on the search's own seed."""
    selection: Selection
    objectives: tuple[Objective, ...]
    curve: tuple[Point, ...] = ()
    """Every task's validation figure after each epoch."""
    costs: Mapping[str, float] = field(default_factory=dict)
    """Key of an objective -> its value, of the costs that are known."""
    parameters: int | None = None
    seconds: float | None = None
    """Of training so far; it and the parameters are None before the training came to a pause."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the sampler remembers with it."""

    @property
    def epochs(self) -> int:
        """Whole epochs trained."""
        return len(self.curve)

    @property
    def failed(self) -> bool:
        """Whether it brought no result."""
        return self.state in (AttemptState.FAILED, AttemptState.LOST)

    @property
    def is_new(self) -> bool:
        """Whether its training has nothing to show yet; a search stores what comes next so."""
        return self.state == AttemptState.PAUSED and not self.curve

    @property
    def stands(self) -> Point:
        """Every task's validation figure at the epoch it chooses so far; empty before epoch 1."""
        return self.selection.stands(self.curve) if self.curve else ()

    @property
    def values(self) -> Point:
        """Every objective where the training stands; empty before epoch 1."""
        stands = self.stands
        return tuple(self._value(o, stands, self.epochs) for o in self.objectives if stands)

    @property
    def gains(self) -> Point:
        """`values`, each turned so that more is better."""
        return self._gains[-1] if self.curve else ()

    @cached_property
    def for_pruner(self) -> StandingCurve:
        """What the pruner decides on."""
        if self.failed or self.state == AttemptState.ENDED:
            return StandingCurve(self._gains, "ended")
        running = self.state == AttemptState.RUNNING
        return StandingCurve(self._gains, "running" if running else "paused")

    @cached_property
    def _gains(self) -> tuple[Point, ...]:
        """After each epoch all objectives, where the training stood then."""
        return tuple(
            tuple(o.gain(self._value(o, figures_K, epoch)) for o in self.objectives)
            for epoch, figures_K in enumerate(self.selection.points(self.curve), start=1)
        )

    def _value(self, objective: Objective, figures_K: Point, epoch: int) -> float:
        """What is known at the end only grows evenly over the epochs, as far as anybody knows."""
        if not objective.is_cost:
            return objective.value(figures_K)
        cost = self.costs[objective.key]
        return cost * (epoch / self.epochs) if objective.asked == "end" else cost

    def with_result(self, result: TrainingResult, record: StudyRecord) -> "Attempt":
        """With what its training brought so far."""
        ended = {key: read(result) for key, read in end_costs(self.objectives).items()}
        return replace(
            self,
            curve=result.curve(record.plan.tasks),
            costs={**self.costs, **ended},
            parameters=result.parameters,
            seconds=result.seconds,
        )

    def without_result(self, state: AttemptState) -> "Attempt":
        """It must not count when others are ranked, whatever it reached before."""
        failed = replace(self, state=state, curve=(), costs=self.costs_before)
        return replace(failed, parameters=None, seconds=None)

    @property
    def costs_before(self) -> Mapping[str, float]:
        """The costs that were known before its training."""
        return {o.key: self.costs[o.key] for o in self.objectives if o.asked == "before"}


def space_of(record: StudyRecord) -> Space:
    """The space of a stored search."""
    return space(record.search.space, record.plan.tasks, record.plan.settings)


def objectives_of(record: StudyRecord) -> tuple[Objective, ...]:
    """What a stored search seeks."""
    return named(record.search.objectives, record.plan.tasks)


def selection_of(record: StudyRecord, config: FSMDConfig) -> Selection:
    """Which epoch stands in a training of a stored search."""
    plan = record.plan
    return Selection.of(plan.tasks, config.separate, plan.settings.patience)


def cell_of(
    attempt: Attempt, record: StudyRecord, data: DataRef, replicate: int = SEARCH_REPLICATE
) -> Cell:
    """An attempt's training on the search's seed, or on a fresh one."""
    plan = record.plan
    return Cell(
        arm=attempt.name,
        params=tuple(attempt.params.items()),
        replicate=replicate,
        training=plan.training(attempt.config, data, replicate_seed(plan.seed, replicate)),
        costs=attempt.costs_before,
    )


def tried_attempts(engine: sa.Engine, record: StudyRecord) -> tuple[Attempt, ...]:
    """`read_attempts` without what comes next, which the search has stored and not begun."""
    attempts = read_attempts(engine, record)
    return attempts[:-1] if attempts and attempts[-1].is_new else attempts


def read_attempts(engine: sa.Engine, record: StudyRecord) -> tuple[Attempt, ...]:
    """What a stored search has proposed, in order; the last one may come next, not be tried."""
    stored = stored_attempts(engine, record.name)
    known = known_runs(engine, [each.run_id for each in stored])
    measured = [run_id for run_id, status in known.items() if status in ("done", "paused")]
    results = known_results(engine, measured, record.plan.tasks)
    cells = known_cells(engine, record.name)
    chosen_space, objectives = space_of(record), objectives_of(record)
    attempts = []
    for each in stored:
        with of_study(record.name), stored_at(f"attempt {each.name!r}"):
            config = _config_of(each, chosen_space, objectives)
            linked, _ = cells.get((each.name, SEARCH_REPLICATE), (each.run_id, ""))
            if linked != each.run_id:
                raise ValueError("column run_id must be that of its row of fsmd_cells")
        attempt = Attempt(
            name=each.name,
            params=each.params,
            config=config,
            state=_state(each, known.get(each.run_id)),
            training_id=each.run_id,
            selection=selection_of(record, config),
            objectives=objectives,
            costs=each.costs,
            notes=each.notes,
        )
        result = results.get(each.run_id)
        attempts.append(attempt.with_result(result, record) if result else attempt)
    return tuple(attempts)


def arms_of(engine: sa.Engine, record: StudyRecord) -> tuple[PlannedArm, ...]:
    """Of a study as planned; of a search what it has tried, and its baselines."""
    if not record.is_search:
        return record.plan.arms
    return search_arms(record, read_attempts(engine, record))


def search_arms(record: StudyRecord, attempts: Sequence[Attempt]) -> tuple[PlannedArm, ...]:
    """A search's attempts as arms, and its baselines."""
    data = record.plan.data.name
    tried = (PlannedArm(each.name, each.config, data) for each in attempts)
    return (*tried, *record.plan.arms)


def _config_of(
    stored: StoredAttempt, chosen: Space, objectives: Sequence[Objective]
) -> FSMDConfig:
    """The model; ValueError for a point outside of the space, or without a cost that it has."""
    domains = {choice.name: choice.domain for choice in chosen.choices}
    for name, value in stored.params.items():
        if name not in domains or not contains(domains[name], value):
            raise ValueError(f"column params must be of space {chosen.name}; got {name}={value!r}")
    for objective in objectives:
        if objective.asked == "before" and objective.key not in stored.costs:
            raise ValueError(f"column costs must have {objective.key}; got {dict(stored.costs)}")
    return chosen.config(stored.params)


def _state(stored: StoredAttempt, status: str | None) -> AttemptState:
    if status == "done":
        return AttemptState.ENDED
    if status in ("failed", "lost"):
        return AttemptState(status)
    return AttemptState.STOPPED if stored.stopped else AttemptState.PAUSED
