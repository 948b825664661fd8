"""Which configuration of a study or a search to take home, and what is known of it.

The rules are those of the reports, and so are the figures.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median_low
from typing import Any

import numpy as np
import sqlalchemy as sa

from fsmd.baselines import Baseline
from fsmd.errors import UserError, alternatives
from fsmd.metrics import METRICS
from fsmd.saved.facts import ModelFigure
from fsmd.tasks import names
from reports import words
from reports.results import NothingYet, StudyResults, at_chosen, load_results, stored_record
from reports.search.analysis import analyse_search
from reports.search.leaderboard import leaderboard_of as leaderboard_of_search
from reports.search.picked import candidates_of
from reports.search.picks import Candidates, pick_rule, picked
from reports.search.results import read_search
from reports.standing import Leaderboard
from reports.study.leaderboard import leaderboard_of
from studies.export.chosen import ChosenArm
from studies.objectives import ALL_TASKS, Objective, named
from studies.store.records import StudyRecord

BEST = "best"
"""The arm that the report's answer names."""
SPLITS = ("valid", "test")


def choose(
    engine: sa.Engine, study_name: str, pick: str, replicate: int | None = None
) -> ChosenArm:
    """The arm that a rule picks: best, knee, best:TARGET, weights:A,B, floor:TASK, arm:NAME,
    trial:N.

    replicate: which of its trainings is meant; None: the first one, of a search on fresh seeds.

    Raises UserError for an unknown study, rule or name, and where nothing has ended.
    """
    record = stored_record(engine, study_name)
    found = _of_search(engine, record) if record.is_search else _of_study(engine, record)
    name, why = found.picked(pick)
    return _chosen(found, name, why, replicate)


@dataclass(frozen=True)
class _Found:
    """What there is to pick from."""

    results: StudyResults
    """Every training."""
    fresh: StudyResults | None
    """Of a search those on fresh seeds alone."""
    board: Leaderboard
    candidates: Candidates
    objectives: Sequence[Objective]

    def figures_of(self, arm: str) -> StudyResults:
        """The trainings that an arm's figures are of."""
        if self.fresh is not None and arm in set(self.fresh.done["arm"]):
            return self.fresh
        return self.results

    def picked(self, pick: str) -> tuple[str, str]:
        """The arm's name, and why it is that."""
        kind, _, argument = pick.partition(":")
        if kind == "arm":
            return self._named(argument), "asked for by name"
        if kind == "trial":
            return self._trial(argument), "asked for by its number"
        if pick == BEST:
            return self._leader()
        if kind not in ("knee", "best", "weights", "floor"):
            raise UserError(f"no rule {pick!r} to pick by{alternatives(pick, self._rules())}")
        rule = pick_rule(pick, self.results.tasks, self.objectives)
        if not self.candidates.names:
            raise self._nothing()
        return picked(rule, self.candidates), f"{rule.why}, on validation"

    def _rules(self) -> list[str]:
        tasks = names(self.results.tasks)
        trial = ["trial:N"] if self.results.record.is_search else []
        return [BEST, "knee", *(f"best:{task}" for task in tasks), "arm:NAME", *trial]

    def _named(self, name: str) -> str:
        arms = self.results.arms
        for left_out, arm in self.results.record.plan.same:
            if name == left_out:
                return arm
        if name not in arms:
            raise UserError(f"no arm {name!r} here{alternatives(name, arms)}")
        return name

    def _trial(self, number: str) -> str:
        if not self.results.record.is_search:
            raise UserError("trial:N goes with a search; arm:NAME names an arm of a study")
        planned = self.results.planned
        arms = [arm.name for arm in planned if not isinstance(arm.config, Baseline)]
        if not (number.isdecimal() and int(number) < len(arms)):
            raise UserError(
                f"trial:N must name one of the trials 0 to {len(arms) - 1}; got {number!r}"
            )
        return arms[int(number)]

    def _leader(self) -> tuple[str, str]:
        used, board = self.board.used, self.board
        if used is not None:
            over = f"over the {words.count(board.replicates, 'replicate')} that all arms have"
            if used.is_leader:
                return used.arm, f"the best {board.decided_by} on validation, {over}"
            return (
                used.arm,
                f"a simple model that the others are unlikely to beat by what matters, {over}",
            )
        if self.fresh is None or not self.candidates.names:
            raise self._nothing()
        rule = pick_rule(
            f"weights:{','.join('1' for _ in self.results.tasks)}",
            self.results.tasks,
            self.objectives,
        )
        return picked(rule, self.candidates), f"{rule.why}, on the search's own seed alone"

    def _nothing(self) -> UserError:
        return NothingYet(
            f"{self.results.record.name!r} has no replicate that all arms have, so none is the "
            "best; run it again and it goes on, or name one by arm:NAME"
        )


def _of_search(engine: sa.Engine, record: StudyRecord) -> _Found:
    search = read_search(engine, record)
    analysis = analyse_search(search)
    return _Found(
        results=search.results,
        fresh=search.fresh,
        board=leaderboard_of_search(analysis),
        candidates=candidates_of(search, analysis.confirmed),
        objectives=search.objectives,
    )


def _of_study(engine: sa.Engine, record: StudyRecord) -> _Found:
    results = load_results(engine, record, record.plan.arms)
    if results.done.empty:
        raise NothingYet(
            f"study {record.name!r} has no finished training yet; run it again and it goes on"
        )
    board = leaderboard_of(results)
    valid = results.valid
    arms = tuple(standing.arm for standing in board.standings)
    complete = [r for r in valid.replicates if all(r in valid.shared(a, a) for a in arms)]
    arms = arms if complete else ()
    gains = {
        target.key: METRICS[target.metric].sign
        * np.array([valid.mean(arm, target.key, complete).mean for arm in arms])
        for target in results.targets
    }
    points_NM = np.stack([gains[task.name] for task in results.tasks], axis=1)
    objectives = named((ALL_TASKS,), results.tasks)
    return _Found(results, None, board, Candidates(arms, points_NM, gains), objectives)


def _chosen(found: _Found, name: str, why: str, replicate: int | None) -> ChosenArm:
    results, of_arm = found.results, found.figures_of(name)
    arm = results.planned_arm(name)
    if arm is None:
        raise UserError(f"arm {name!r} is stored, but the study no longer plans it; pick another")
    done = results.done[results.done["arm"] == name]
    there = sorted(int(r) for r in done["replicate"])
    if not there:
        raise UserError(f"arm {name!r} has no finished training; pick another")
    if replicate is None:
        replicate = min(int(r) for r in of_arm.done[of_arm.done["arm"] == name]["replicate"])
    if replicate not in there:
        listed = words.listed(map(str, there))
        raise UserError(
            f"--replicate must be a finished one of {name!r}: {listed}; got {replicate}"
        )
    run = done[done["replicate"] == replicate].iloc[0]
    stored = _stored(results, run)
    return ChosenArm(
        record=results.record,
        arm=arm,
        why=why,
        replicate=replicate,
        run_id=str(run["run_id"]),
        stored=stored,
        figures=tuple(_figures(of_arm, name, stored)),
        latency=results.latency(name),
        seconds=float(median_low(done["seconds"])),
    )


def _stored(results: StudyResults, run: Any) -> Mapping[tuple[str, str, str], float]:
    """Of one training, a row of `runs`: its figures at its chosen epochs."""
    rows: Any = results.measurements
    rows = rows[(rows["arm"] == run["arm"]) & (rows["replicate"] == run["replicate"])]
    chosen = run["chosen_epochs"]
    return {
        (row.split, row.task, row.metric): float(row.value)
        for row in rows.itertuples()
        if row.metric in METRICS and chosen.get(row.task) == row.epoch
    }


def _figures(
    results: StudyResults, arm: str, stored: Mapping[tuple[str, str, str], float]
) -> Iterator[ModelFigure]:
    """All metrics of every task."""
    metrics = dict.fromkeys((*METRICS, *(task.metric for task in results.tasks)))
    for split in SPLITS:
        for metric in metrics:
            scores = at_chosen(results, split, metric)
            for task in results.task_names:
                mean = scores.mean(arm, task)
                if mean.n:
                    this = stored.get((split, task, metric))
                    over = (mean.mean, mean.low, mean.high, mean.n)
                    yield ModelFigure(split, task, metric, this, *over)
