"""A stored search as far as it has come: what it tried, and its trainings on fresh seeds."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from math import inf
from types import MappingProxyType
from typing import Any, Literal

import sqlalchemy as sa

from fsmd.config import FSMDConfig
from fsmd.metrics import METRICS
from fsmd.tasks import MEAN, Target, Task
from reports import words
from reports.results import StudyResults, load_results
from search_spaces.space import Space
from studies.objectives import Objective, of_target
from studies.search.attempt import (
    SEARCH_REPLICATE,
    Attempt,
    AttemptState,
    objectives_of,
    search_arms,
    space_of,
    tried_attempts,
)
from studies.store.records import StudyRecord

Outcome = Literal["ended", "stopped", "paused", "failed"]
OUTCOMES: Mapping[Outcome, str] = MappingProxyType(
    {
        "ended": "trained to the end",
        "stopped": "stopped early",
        "paused": "not finished",
        "failed": "failed",
    }
)
"""How an attempt went, and its words."""


def outcome_of(attempt: Attempt) -> Outcome:
    """How it went so far; what was lost counts as failed, what runs as paused."""
    if attempt.failed:
        return "failed"
    if attempt.state == AttemptState.ENDED:
        return "ended"
    return "stopped" if attempt.state == AttemptState.STOPPED else "paused"


@dataclass(frozen=True)
class SearchResults:
    """A search as it lies in the database."""

    attempts: tuple[Attempt, ...]
    """In the order of their proposal."""
    results: StudyResults
    """Every training, on the search's seed and on fresh ones; its arms are the attempts, and the
    baselines, which have fresh seeds alone."""

    @property
    def sought(self) -> str:
        """What is looked for: the front of several objectives, or the best by one."""
        return "best" if len(self.objectives) == 1 else "front"

    @property
    def record(self) -> StudyRecord:
        """What is stored of the search itself."""
        return self.results.record

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is predicted, in order."""
        return self.results.tasks

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """What the search is for, in order."""
        return objectives_of(self.record)

    @property
    def costs(self) -> tuple[Objective, ...]:
        """The objectives that are no targets."""
        return tuple(objective for objective in self.objectives if objective.is_cost)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is shown of every model: each task and, where it is an objective, their mean."""
        keys = {*self.results.task_names, *(objective.key for objective in self.objectives)}
        return tuple(target for target in self.results.targets if target.key in keys)

    @property
    def ranked_by(self) -> Objective:
        """One target by which all models are put in an order, where one order is needed.

        The only one sought, else the tasks' mean, else the first one.
        """
        sought = [objective for objective in self.objectives if not objective.is_cost]
        if len(sought) == 1:
            return sought[0]
        mean = (target for target in self.results.targets if target.key == MEAN)
        return next(map(of_target, mean), (*sought, of_target(self.results.targets[0]))[0])

    @cached_property
    def space(self) -> Space:
        """What the search could choose from, on its data."""
        return space_of(self.record)

    @property
    def most_epochs(self) -> int:
        """Epochs at most of each training."""
        return self.record.plan.settings.epochs

    def range_of(self, objective: Objective) -> tuple[float, float]:
        """What the objective can be: a target what its metric can, a cost not below zero."""
        metrics = {t.key: METRICS[t.metric] for t in self.results.targets}
        if objective.is_cost:
            return 0.0, inf
        return metrics[objective.key].low, metrics[objective.key].high

    def all_in(self, *outcomes: Outcome) -> tuple[Attempt, ...]:
        """The attempts that went one of these ways."""
        return tuple(attempt for attempt in self.attempts if outcome_of(attempt) in outcomes)

    def attempt(self, name: str) -> Attempt:
        """The attempt of this name; KeyError if there is none."""
        return {attempt.name: attempt for attempt in self.attempts}[name]

    def figures(self, attempt: Attempt) -> tuple[float, ...]:
        """Its validation figure on each target, where it stands; empty before epoch 1."""
        if not attempt.curve:
            return ()
        return tuple(of_target(target).value(attempt.stands) for target in self.targets)

    # The trainings on fresh seeds

    @cached_property
    def fresh(self) -> StudyResults:
        """The trainings on fresh seeds alone, and the arms that have some."""
        runs, measurements = (
            frame[frame["replicate"] != SEARCH_REPLICATE]
            for frame in (self.results.runs, self.results.measurements)
        )
        only = replace(self.results, runs=runs, measurements=measurements)
        return _among(only, set(runs["arm"]))

    @property
    def fresh_failed(self) -> tuple[str, ...]:
        """Arms that failed by themselves on a fresh seed that others finished.

        They are no points, so that they take no seed from the others.
        """
        runs = self.fresh.runs
        finished = set(runs.loc[runs["status"] == "done", "replicate"])
        failed = runs[(runs["status"] == "failed") & runs["replicate"].isin(finished)]
        return tuple(arm.name for arm in self.results.planned if arm.name in set(failed["arm"]))

    @cached_property
    def fresh_sound(self) -> StudyResults:
        """`fresh` without the arms that failed."""
        return _among(self.fresh, set(self.fresh.runs["arm"]) - set(self.fresh_failed))

    @property
    def fresh_epochs(self) -> int:
        """Epochs of the trainings on fresh seeds."""
        return int(self.fresh.runs["epochs"].dropna().sum())


def read_search(engine: sa.Engine, record: StudyRecord) -> SearchResults:
    """A stored search, as far as it has come."""
    attempts = tried_attempts(engine, record)
    return SearchResults(attempts, load_results(engine, record, search_arms(record, attempts)))


def in_words(objective: Objective) -> str:
    """In a sentence: `validation AUC on click`, `parameters`."""
    if objective.is_cost:
        return objective.label
    measured = objective.label.removesuffix(f", {objective.key}")
    return f"{measured} {words.on_target(objective.key)}"


def own_fields(config: FSMDConfig, axes: Collection[str] = ()) -> dict[str, Any]:
    """The fields that differ from FSMDConfig's defaults, and those that the axes set.

    `FSMDConfig(**own_fields(config))` is the configuration.
    """
    default = asdict(FSMDConfig())
    searched = {axis if axis in default else "task_weights" for axis in axes}
    return {
        name: value
        for name, value in asdict(config).items()
        if name in searched or value != default[name]
    }


def _among(results: StudyResults, arms: Collection[str]) -> StudyResults:
    """Only these arms, as if there were no others."""
    runs, measurements = (
        frame[frame["arm"].isin(arms)] for frame in (results.runs, results.measurements)
    )
    planned = tuple(arm for arm in results.planned if arm.name in arms)
    return replace(results, planned=planned, runs=runs, measurements=measurements)
