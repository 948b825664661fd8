"""Reads a stored study: one tidy row for each measurement, one row for each training."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.errors import UserError
from reports.estimates import Array, Estimate, mean_interval
from reports.sampling import Sampling, load
from studies import catalog
from studies.definition import Study
from studies.storage import (
    CELLS,
    MEASUREMENTS,
    RUNS,
    StudyRecord,
    find_study,
    study_names,
)

COLUMNS = ("study", "data", "level", "replicate", "seed", "epoch", "split", "task", "metric",
           "value")  # fmt: skip
MEAN = "mean"
"""Stands for the mean of both tasks' AUC wherever a task's name may stand."""
WEIGHTS = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
"""Each target as a weighted sum of both tasks: targets x tasks."""


@dataclass(frozen=True)
class StudyResults:
    """A study as it lies in the database; `measurements` is tidy, `runs` has the failed ones."""

    record: StudyRecord
    definition: Study
    measurements: pd.DataFrame
    runs: pd.DataFrame
    engine: sa.Engine = field(repr=False, compare=False)
    """Where the test predictions are, too many to be read before they are asked for."""

    @cached_property
    def test_auc(self) -> "Scores":
        """Test AUC at the epochs that validation chose, with the test set's part."""
        scores = at_chosen(self, "test", "auc")
        return replace(scores, samplings=_samplings(self, scores))

    @property
    def test_sets(self) -> Mapping[str, str]:
        """Level -> the content hash of the data it is tested on, as the study was planned."""
        hashes = self.record.settings["data_hashes"]
        return {level: str(hashes[self.data_of(level)]) for level in self.levels}

    @property
    def same_seeds(self) -> bool:
        """Whether all planned levels are trained from the same seeds; else pairs are by number."""
        return len({arm["stream"] for arm in self.record.settings["arms"].values()}) < 2

    def data_of(self, level: str) -> str:
        """The data set that a level is trained on."""
        arms = self.record.settings["arms"]
        return str(arms[level]["data"]) if level in arms else self.record.data

    @property
    def tasks(self) -> tuple[str, ...]:
        """The data set's tasks, in order."""
        return tuple(self.record.data_facts["tasks"])

    @property
    def levels(self) -> tuple[str, ...]:
        """The planned levels, then stored ones that the study's definition no longer has."""
        known = tuple(self.record.settings["arms"])
        return known + tuple(sorted(set(self.runs["level"]) - set(known)))

    @property
    def reachable(self) -> Mapping[str, float]:
        """The best reachable AUC by task, where the data tells; may be empty."""
        return self.sets[self.record.data]["reachable"] or {}

    def reachable_at(self, level: str) -> Mapping[str, float]:
        """The best reachable AUC by task on the level's own data set."""
        return self.sets[self.data_of(level)]["reachable"] or {}

    @property
    def sets(self) -> Mapping[str, Mapping[str, Any]]:
        """Facts of each data set, the study's own first."""
        sets: Mapping[str, Mapping[str, Any]] = self.record.data_facts["sets"]
        return sets


@dataclass(frozen=True)
class Scores:
    """One figure of every finished replicate: levels x replicates x targets, NaN where missing.

    The targets are the two tasks and their mean. Levels on different test sets are not compared;
    one that `test_sets` does not name is on the same as all others that it does not name.
    """

    levels: tuple[str, ...]
    replicates: tuple[int, ...]
    targets: tuple[str, ...]
    values_LRT: Array
    test_sets: Mapping[str, str] = field(default_factory=dict)
    samplings: tuple[Sampling, ...] = ()
    """The test sets' part in the variance of mean differences, where predictions were kept."""

    @cached_property
    def _finished_LR(self) -> NDArray[np.bool_]:
        return np.asarray(np.isfinite(self.values_LRT).all(axis=2))

    @cached_property
    def trained(self) -> tuple[str, ...]:
        """Levels with at least one finished replicate."""
        finished_L = self._finished_LR.any(axis=1)
        return tuple(np.array(self.levels)[finished_L].tolist())

    @cached_property
    def paired(self) -> tuple[int, ...]:
        """Replicates finished at every trained level: only over these may means be ranked."""
        trained_LR = self._finished_LR[self._finished_LR.any(axis=1)]
        complete_R = trained_LR.all(axis=0) & trained_LR.any(axis=0)  # no level: no replicate
        return tuple(np.array(self.replicates)[complete_R].tolist())

    @property
    def left_out(self) -> tuple[int, ...]:
        """Replicates finished at some trained levels but not at all of them."""
        some = np.array(self.replicates)[self._finished_LR.any(axis=0)].tolist()
        return tuple(r for r in some if r not in self.paired)

    @cached_property
    def pairings(self) -> Mapping[tuple[str, tuple[int, ...]], tuple[str, ...]]:
        """(test set, replicates that a pair of levels shares there) -> the levels of such pairs.

        One entry a test set, unless something failed or is still to come.
        """
        found: dict[tuple[str, tuple[int, ...]], dict[str, None]] = {}
        for level, other in combinations(self.trained, 2):
            if shared := self.shared(level, other):
                key = self.test_sets.get(level, ""), shared
                found.setdefault(key, {}).update({level: None, other: None})
        return {key: tuple(x for x in self.trained if x in some) for key, some in found.items()}

    @property
    def most_shared(self) -> int:
        """The number of replicates of the pair that shares the most."""
        return max((len(replicates) for _, replicates in self.pairings), default=0)

    def shared(self, level: str, other: str) -> tuple[int, ...]:
        """Replicates finished at both levels; none if these cannot be compared."""
        if not {level, other} <= set(self.trained) or not self.comparable(level, other):
            return ()
        rows = [self.levels.index(level), self.levels.index(other)]
        both_R = self._finished_LR[rows].all(axis=0)
        return tuple(np.array(self.replicates)[both_R].tolist())

    def of(self, level: str, target: str) -> Array:
        """A level's figures by replicate, NaN where missing."""
        index = self.levels.index(level), slice(None), self.targets.index(target)
        values: Array = self.values_LRT[index]
        return values

    def comparable(self, level: str, other: str) -> bool:
        """Whether the levels are tested on the same rows; known before anything is trained."""
        return self.test_sets.get(level) == self.test_sets.get(other)

    def differences(self, level: str, other: str, target: str) -> Array:
        """`level` minus `other` over the replicates that both share; may be empty.

        What failed or is missing at a third level costs this pair nothing.
        """
        chosen = [self.replicates.index(r) for r in self.shared(level, other)]
        if not chosen:
            return np.empty(0)  # one of them may be no level of the stored study at all
        return self.of(level, target)[chosen] - self.of(other, target)[chosen]

    def sampling(self, level: str, other: str) -> Sampling | None:
        """The one that has both levels, over the replicates that they share."""
        over = (None, self.shared(level, other))
        return next(
            (s for s in self.samplings
             if {level, other} <= set(s.levels) and s.replicates in over), None
        )  # fmt: skip

    def difference(self, level: str, other: str, target: str) -> Estimate:
        """The mean of `differences`, its interval over seeds and, where known, the test set."""
        found, weight_K = self.sampling(level, other), WEIGHTS[self.targets.index(target)]
        part = found.part(level, other, weight_K) if found else None
        return mean_interval(self.differences(level, other, target), part)


def read(engine: sa.Engine, study_name: str) -> StudyResults:
    """The stored study of this name; UserError names the stored ones if there is none."""
    record = find_study(engine, study_name)
    if record is None:
        stored = ", ".join(study_names(engine)) or "none yet"
        raise UserError(f"no study {study_name!r} in this database; stored: {stored}")
    return load_results(engine, record, catalog.get(record.definition))


def load_results(engine: sa.Engine, record: StudyRecord, definition: Study) -> StudyResults:
    """What is stored of a study; the order of its levels is that of the record's arms."""
    cells = sa.select(CELLS, RUNS).join(RUNS, CELLS.c.run_id == RUNS.c.id).filter_by(
        study=record.name)  # fmt: skip
    wanted = sa.select(CELLS.c.run_id).filter_by(study=record.name)
    values = sa.select(MEASUREMENTS).where(MEASUREMENTS.c.run_id.in_(wanted))
    with engine.connect() as connection:
        runs = _frame(connection, cells)
        measured = _frame(connection, values)
    order = {level: i for i, level in enumerate(record.settings["arms"])}
    return StudyResults(record, definition, _tidy(record, runs, measured, order),
                        _sorted_runs(runs, order), engine)  # fmt: skip


def _frame(connection: sa.Connection, query: sa.Select[Any]) -> pd.DataFrame:
    result = connection.execute(query)
    return pd.DataFrame([tuple(row) for row in result], columns=list(result.keys()))


def _level_rank(levels: "pd.Series[str]", order: Mapping[str, int]) -> "pd.Series[int]":
    return levels.map(lambda level: order.get(level, len(order)))


def _sorted_runs(runs: pd.DataFrame, order: Mapping[str, int]) -> pd.DataFrame:
    ranked = runs.assign(rank=_level_rank(runs["level"], order))
    return ranked.sort_values(["rank", "level", "replicate"], ignore_index=True).drop(
        columns="rank"
    )


def _tidy(
    record: StudyRecord, runs: pd.DataFrame, measured: pd.DataFrame, order: Mapping[str, int]
) -> pd.DataFrame:
    """One row a measurement, in an order that does not depend on the database's."""
    cells = runs[["run_id", "level", "replicate", "seed"]]
    tidy = cells.merge(measured, on="run_id").assign(study=record.name, data=record.data)
    tidy["rank"] = _level_rank(tidy["level"], order)
    keys = ["rank", "level", "replicate", "epoch", "split", "task", "metric"]
    return tidy.sort_values(keys, ignore_index=True)[list(COLUMNS)]


def at_chosen(results: StudyResults, split: str, metric: str) -> Scores:
    """A metric of `split` at each task's chosen epoch."""
    done = results.runs[results.runs["status"] == "done"]
    replicates = tuple(sorted(int(r) for r in set(results.runs["replicate"])))
    levels, tasks = results.levels, results.tasks
    values_LRK = np.full((len(levels), len(replicates), len(tasks)), np.nan)
    chosen: dict[Any, Any] = {
        (run.level, run.replicate): run.chosen_epochs or {} for run in done.itertuples()
    }
    frame = results.measurements
    for row in frame[(frame["split"] == split) & (frame["metric"] == metric)].itertuples():
        epochs: Any = chosen.get((row.level, row.replicate), {})
        if row.task in tasks and epochs.get(row.task) == row.epoch:
            index = levels.index(str(row.level)), replicates.index(int(str(row.replicate)))
            values_LRK[(*index, tasks.index(str(row.task)))] = row.value
    values_LRT = np.concatenate([values_LRK, values_LRK.mean(axis=2, keepdims=True)], axis=2)
    return Scores(levels, replicates, (*tasks, MEAN), values_LRT, results.test_sets)


def auc_on_test(results: StudyResults) -> Scores:
    """Test AUC at the epochs that validation chose; the predictions are read once."""
    return results.test_auc


def _samplings(results: StudyResults, scores: Scores) -> tuple[Sampling, ...]:
    """One for each test set with predictions and each choice of replicates that pairs share."""
    cells = results.runs.set_index(["level", "replicate"])["run_id"].to_dict()
    found = []
    with results.engine.connect() as connection:
        for (data_hash, replicates), levels in scores.pairings.items():
            runs = {
                level: tuple(str(cells[level, replicate]) for replicate in replicates)
                for level in levels
            }
            found.append(load(connection, data_hash, results.tasks, runs, replicates))
    return tuple(filter(None, found))
