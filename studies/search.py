"""The agenda of a multi-objective search: which configuration to train next, and how far.

It has no state of its own beyond what the database holds: trials with their parameters, and the
curve of each training. Started again, it goes on where it was.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import optuna
import sqlalchemy as sa
from optuna.trial import TrialState

from fsmd.config import FSMDConfig
from fsmd.errors import UserError
from fsmd.task import DataRef, TrainingResult, TrainingTask
from search_spaces.spaces import Params, Space
from studies import storage
from studies.definition import Arm
from studies.execute import Planner, Step
from studies.front import Point
from studies.planning import Cell, replicate_seed
from studies.proposals import Tried, propose
from studies.pruning import Curve, Pruner, State

SEARCH = 0
"""The replicate that a search trains; 1, 2, ... are the confirmation's."""
REJECTIONS = 1000
"""Proposals in a row that may break a constraint before the search gives up."""
ASKED = 10
"""As many in a row before chance proposes instead of the sampler, which takes longer."""


@dataclass(frozen=True)
class Recipe:
    """What every training of a search shares."""

    data: DataRef
    tasks: tuple[str, ...]
    epochs: int
    patience: int
    device: str
    seed: int

    def cell(
        self,
        level: str,
        params: Params,
        config: FSMDConfig,
        replicate: int,
        sampler: Mapping[str, Any] | None = None,
        cost: float | None = None,
    ) -> Cell:
        """A training of a configuration; `sampler` is what the sampler remembers with it."""
        task = TrainingTask(
            config, self.data, replicate_seed(self.seed, replicate), self.epochs, self.patience,
            self.device,
        )  # fmt: skip
        known = {"sampler": sampler, "cost": cost}
        notes = {name: value for name, value in known.items() if value not in (None, {})}
        return Cell(
            Arm(level, config, tuple(params.items())), replicate, task, notes,
            () if cost is None else (cost,),
        )  # fmt: skip


@dataclass
class Candidate:
    """A configuration of the search and its training as far as it is known."""

    cell: Cell
    params: Params
    state: State
    points: tuple[Point, ...] = ()
    stopped: bool = False
    failed: bool = False

    @property
    def curve(self) -> Curve:
        """What the pruner sees: all objectives after each epoch, the higher the better.

        Networks that share nothing choose an epoch for each task, so there a task stands at the
        epoch it would choose alone.
        """
        lower = tuple(-cost for cost in self.cell.cost)
        points, task = self.points, self.cell.task
        if task.config.sharing == "none":
            own = (_alone(values, task.patience) for values in zip(*points, strict=True))
            points = tuple(zip(*own, strict=True))
        return Curve(tuple((*point, *lower) for point in points), self.state)

    @property
    def values(self) -> Point | None:
        """What the sampler is told: where the training stands."""
        return self.curve.stands if self.points and not self.failed else None


def _alone(values: Sequence[float], patience: int) -> Iterator[float]:
    """After each epoch the best value so far of a training that ends after `patience` without."""
    best, at = float("-inf"), 0
    for epoch, value in enumerate(values):
        if value > best and (epoch == 0 or epoch - at <= patience):
            best, at = value, epoch
        yield best


@dataclass
class Search:
    """Hands the planner one step after the other; see `Agenda`."""

    planner: Planner
    space: Space
    recipe: Recipe
    sampler: str
    pruner: Pruner
    trials: int
    """Configurations at most, those of earlier runs of the search included."""
    allowed: Callable[[FSMDConfig], bool] = lambda config: True
    """Whether a configuration keeps the constraints; asked before it is trained."""
    cost: Callable[[FSMDConfig], float | None] = lambda config: None
    """A third objective, the lower the better."""
    deadline: float = float("inf")
    """When nothing is started or gone on with any more, on the monotonic clock."""
    candidates: list[Candidate] = field(default_factory=list)
    rejected: list[Params] = field(default_factory=list)
    """What broke a constraint since the last configuration was added: so what comes next depends
    on the candidates alone, and a search that is started again proposes the same."""
    exhausted: bool = False
    """Whether the space has nothing more to try that keeps the constraints."""

    def next(self) -> Step | None:
        """Promote a paused training, or start a new one, or nothing now."""
        while time.monotonic() < self.deadline:
            complete = self.exhausted or len(self.candidates) >= self.trials
            curves = [candidate.curve for candidate in self.candidates]
            i = self._cut_off()
            if i is None:
                i = self.pruner.promoted(curves, complete)
            if i is not None:
                return self._step(self.candidates[i])
            if complete:
                return None
            if not self._add():
                self.exhausted = time.monotonic() < self.deadline
                continue  # the pruner may have waited for the last one
            candidate = self.candidates[-1]
            if not candidate.points:  # new; else it is known from another study
                return self._step(candidate)
        return None

    def ended(self, step: Step, result: TrainingResult | None) -> None:
        """Keep what a step brought."""
        candidate = next(c for c in self.candidates if c.cell.task.id == step.cell.task.id)
        if result is None:
            # What it reached before is no one's rival: it holds no place among the promoted.
            candidate.state, candidate.failed, candidate.points = "ended", True, ()
            return
        candidate.points = curve_of(result, self.recipe.tasks)
        candidate.state = "ended" if result.finished else "paused"

    def stop_the_rest(self) -> None:
        """Give up what is paused, as nothing will promote it; after the deadline something may."""
        if time.monotonic() >= self.deadline:
            return
        for candidate in self.candidates:
            if candidate.state == "paused" and not candidate.stopped:
                self.planner.stop(candidate.cell)
                candidate.stopped = True

    def _cut_off(self) -> int | None:
        """A training of an earlier run of the search that has no whole epoch to show."""
        return next(
            (i for i, c in enumerate(self.candidates) if c.state == "paused" and not c.points),
            None,
        )

    def _step(self, candidate: Candidate) -> Step:
        candidate.state, candidate.stopped = "running", False
        return Step(candidate.cell, self.pruner.until(len(candidate.points)))

    def _add(self) -> bool:
        """Add a configuration that was not tried; whether there is one."""
        for _ in range(REJECTIONS):
            if time.monotonic() >= self.deadline:
                return False
            found = self._known_point() or self._proposed()
            if found is None:
                return False
            name, params, notes = found
            config = self.space.config(params)
            if self.allowed(config):
                self._admit(name, params, config, notes)
                self.rejected.clear()
                return True
            self.rejected.append(params)
        return False

    def _admit(
        self, name: str, params: Params, config: FSMDConfig, notes: Mapping[str, Any]
    ) -> None:
        level = name or f"#{len(self.candidates) + 1}"
        cell = self.recipe.cell(level, params, config, SEARCH, notes, self.cost(config))
        candidate = Candidate(cell, params, "paused")
        known = storage.known_runs(self.planner.engine, [cell.task.id]).get(cell.task.id)
        if known in ("done", "paused"):
            result = storage.known_result(self.planner.engine, cell.task.id)
            candidate.points = curve_of(result, self.recipe.tasks)
        if known == "done":
            self.planner.close(cell)
            candidate.state = "ended"
        elif known == "paused":
            self.planner.take_up(cell)
        self.candidates.append(candidate)

    def _known_point(self) -> tuple[str, Params, Mapping[str, Any]] | None:
        """A model of the paper that the search has not had yet."""
        had = [*(c.params for c in self.candidates), *self.rejected]
        for name, params in self.space.known.items():
            if params not in had:
                return name, params, {}
        return None

    def _proposed(self) -> tuple[str, Params, Mapping[str, Any]] | None:
        tried = [
            *(Tried(c.params, c.values, c.failed, notes=c.cell.notes.get("sampler", {}))
              for c in self.candidates),
            *(Tried(params, None, failed=True) for params in self.rejected),
        ]  # fmt: skip
        objectives = len(self.planner.study.directions)
        known = self.space.known.values()
        broken = sum(params not in known for params in self.rejected)
        chance = self.sampler != "grid" and broken >= ASKED
        sampler = "random" if chance else self.sampler
        proposal = propose(self.space, tried, sampler, self.recipe.seed, objectives)
        return ("", proposal.params, proposal.notes) if proposal else None


def curve_of(result: TrainingResult, tasks: Sequence[str]) -> tuple[Point, ...]:
    """Each epoch's validation AUC of every task."""
    value = {
        (m.epoch, m.task): m.value
        for m in result.measurements
        if m.split == "valid" and m.metric == "auc"
    }
    return tuple(
        tuple(value[epoch, task] for task in tasks) for epoch in range(1, result.epochs + 1)
    )


def resumed(
    engine: sa.Engine,
    study: optuna.Study,
    space: Space,
    recipe: Recipe,
    retry_failed: bool = False,
) -> list[Candidate]:
    """The candidates of a stored search, in the order of their proposals.

    Raises UserError if a stored trial no longer means the training it meant.
    """
    found: dict[str, Candidate] = {}
    for trial in study.get_trials(deepcopy=False):
        if trial.user_attrs.get("replicate") != SEARCH:
            continue
        level, params = trial.user_attrs["level"], dict(trial.params)
        notes, cost = trial.user_attrs.get("sampler"), trial.user_attrs.get("cost")
        cell = recipe.cell(level, params, space.config(params), SEARCH, notes, cost)
        if cell.task.id != trial.user_attrs["run"]:
            raise UserError(
                f"trial {trial.number} of {study.study_name!r} means another training now; "
                "keep this search apart with --name"
            )
        known = storage.known_runs(engine, [cell.task.id]).get(cell.task.id)
        failed = known == "failed" and not retry_failed
        candidate = Candidate(
            cell, params, "ended" if known == "done" or failed else "paused",
            stopped=trial.state == TrialState.PRUNED, failed=failed,
        )  # fmt: skip
        if known in ("done", "paused"):
            result = storage.known_result(engine, cell.task.id)
            candidate.points = curve_of(result, recipe.tasks)
        found[level] = candidate
    return list(found.values())


def confirmation(
    recipe: Recipe, candidates: Sequence[Candidate], levels: Sequence[str], replicates: int
) -> tuple[Cell, ...]:
    """The trainings that confirm some levels: fresh seeds, the same for all of them."""
    cells = {candidate.cell.level: candidate.cell for candidate in candidates}
    return tuple(
        recipe.cell(
            level,
            dict(cells[level].arm.params),
            cells[level].task.config,
            replicate,
            cost=next(iter(cells[level].cost), None),
        )
        for replicate in range(1, replicates + 1)
        for level in levels
    )
