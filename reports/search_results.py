"""Reads a stored search: what was tried and how far each training went, and the fresh seeds."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
import sqlalchemy as sa

from fsmd.config import FSMDConfig
from reports.estimates import Array
from reports.results import MEAN, Scores, StudyResults, at_chosen, load_results
from search_spaces import Level
from search_spaces.spaces import Space
from studies.definition import Arm, Study
from studies.front import Point
from studies.pareto import NAME, QUESTION, TITLE, space_of
from studies.search import SEARCH
from studies.storage import StudyRecord
from studies.trials import StoredTrial, stored_trials

FAILED = ("failed", "lost")
State = Literal["ended", "stopped", "paused", "failed"]


@dataclass(frozen=True)
class Configuration:
    """One thing that the search tried, and its training on the search's own seed."""

    level: str
    params: Mapping[str, Level]
    state: State
    """ended by itself; stopped by the pruner; paused (cut off, or still running); failed."""
    epochs: int
    values: Point
    """Validation AUC of each task where it stands: at the chosen epoch. Empty before epoch 1."""
    parameters: int | None
    cost: float | None
    """The third objective, the lower the better; None where there is none."""

    @property
    def point(self) -> Point:
        """All objectives, the higher the better."""
        return self.values if self.cost is None else (*self.values, -self.cost)

    @property
    def mean(self) -> float:
        """Mean validation AUC of the tasks; NaN before epoch 1."""
        return float(np.mean(self.values)) if self.values else float("nan")


@dataclass(frozen=True)
class SearchResults:
    """A search as it lies in the database; configurations in the order of their proposal."""

    record: StudyRecord
    space: Space
    configurations: tuple[Configuration, ...]
    results: StudyResults
    """Every training of the search and of the confirmation, as of a study's arms."""

    @property
    def tasks(self) -> tuple[str, ...]:
        """The data set's tasks, in order."""
        return self.results.tasks

    @property
    def most_epochs(self) -> int:
        """Epochs at most of each training."""
        return int(self.record.settings["epochs"])

    @property
    def cost(self) -> str | None:
        """The third objective's name; None where there is none."""
        named = str(self.record.settings["objectives"]).split(",")
        return named[2] if len(named) > 2 else None

    def all_in(self, state: State) -> tuple[Configuration, ...]:
        """The configurations in a state."""
        return tuple(c for c in self.configurations if c.state == state)

    @cached_property
    def fresh(self) -> StudyResults:
        """The confirmation's trainings alone."""
        return _fresh(self.results)

    @property
    def fresh_failed(self) -> tuple[str, ...]:
        """Levels that failed by themselves on a fresh seed that others finished.

        They are no points, so that they take no seed from the others.
        """
        runs = self.fresh.runs
        finished = set(runs.loc[runs["status"] == "done", "replicate"])
        failed = runs[(runs["status"] == "failed") & runs["replicate"].isin(finished)]
        return tuple(c.level for c in self.configurations if c.level in set(failed["level"]))

    @cached_property
    def _sound(self) -> StudyResults:
        """`fresh` without the levels that failed."""
        return _among(self.fresh, set(self.fresh.runs["level"]) - set(self.fresh_failed))

    @cached_property
    def fresh_valid(self) -> Scores:
        """Validation AUC of the fresh seeds, at the chosen epoch."""
        return at_chosen(self._sound, "valid", "auc")

    @property
    def fresh_test(self) -> Scores:
        """Test AUC of the fresh seeds, with the test set's part."""
        return self._sound.test_auc


def read_search(engine: sa.Engine, record: StudyRecord) -> SearchResults:
    """A stored search, as far as it has come."""
    space = space_of(record, bool(record.data_facts["funnel"]))
    tried = [t for t in stored_trials(engine, record.name) if t.replicate == SEARCH]
    known = replace(record, settings=_as_study(record, space, tried))
    results = load_results(engine, known, _definition(space, tried))
    runs = {
        run["level"]: run for run in results.runs.to_dict("records") if run["replicate"] == SEARCH
    }
    stands = _stands(results)
    configurations = tuple(_configuration(t, runs.get(t.level), stands) for t in tried)
    return SearchResults(record, space, configurations, results)


def _configuration(
    trial: StoredTrial, run: Mapping[Any, Any] | None, stands: Mapping[str, Point]
) -> Configuration:
    status = run["status"] if run else ""
    state: State = "paused"
    if status == "done":
        state = "ended"
    elif status in FAILED:
        state = "failed"
    elif trial.state == "PRUNED":
        state = "stopped"
    return Configuration(
        trial.level, trial.params, state, _count(run, "epochs") or 0,
        stands.get(trial.level, ()), _count(run, "parameters"), trial.cost,
    )  # fmt: skip


def _count(run: Mapping[Any, Any] | None, column: str) -> int | None:
    value = run[column] if run else None
    return None if value is None or pd.isna(value) else int(value)


def _stands(results: StudyResults) -> Mapping[str, Point]:
    """Level -> validation AUCs at the epoch that its search training chose, ended or not."""
    both = replace(results, runs=results.runs.assign(
        status=results.runs["status"].replace("paused", "done")))  # fmt: skip
    scores = at_chosen(_only(both, search=True), "valid", "auc")
    if not scores.replicates:
        return {}
    values_LT: Array = scores.values_LRT[:, 0, : scores.targets.index(MEAN)]
    return {
        level: tuple(float(value) for value in values_T)
        for level, values_T in zip(scores.levels, values_LT, strict=True)
        if np.isfinite(values_T).all()
    }


def _fresh(results: StudyResults) -> StudyResults:
    """Only the levels that were trained on fresh seeds, and only these trainings."""
    only = _only(results, search=False)
    return _among(only, set(only.runs["level"]))


def _among(results: StudyResults, levels: Collection[str]) -> StudyResults:
    """Only these levels, as if the study had no others."""
    runs, measured = (
        frame[frame["level"].isin(levels)] for frame in (results.runs, results.measurements)
    )
    settings = results.record.settings
    arms = {level: arm for level, arm in settings["arms"].items() if level in levels}
    record = replace(results.record, settings={**settings, "arms": arms})
    return replace(results, record=record, runs=runs, measurements=measured)


def _only(results: StudyResults, search: bool) -> StudyResults:
    runs, measured = (
        frame[(frame["replicate"] == SEARCH) == search]
        for frame in (results.runs, results.measurements)
    )
    return replace(results, runs=runs, measurements=measured)


def _definition(space: Space, tried: list[StoredTrial]) -> Study:
    """The search seen as a study whose arms were found on the way."""
    arms = tuple(Arm(t.level, space.config(t.params), tuple(t.params.items())) for t in tried)
    return Study(NAME, TITLE, QUESTION, "configuration", arms, "", "", (), about="")


def _as_study(record: StudyRecord, space: Space, tried: list[StoredTrial]) -> dict[str, Any]:
    """A search's settings as a study's are: with its arms."""
    return {
        **record.settings,
        "arms": {
            t.level: {"config": asdict(space.config(t.params)), "data": record.data, "stream": 0}
            for t in tried
        },
        "same": {},
        "chain_dropped": not record.data_facts["funnel"],
    }


def own_fields(config: FSMDConfig) -> dict[str, Any]:
    """The fields that differ from FSMDConfig's defaults; `FSMDConfig.from_dict` reads them."""
    default = asdict(FSMDConfig())
    return {name: value for name, value in asdict(config).items() if value != default[name]}
