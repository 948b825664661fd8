"""What a search found, as numbers, before any words or ink.

Suffixes: A arms with fresh seeds, R paired seeds, M objectives, N attempts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sqlalchemy as sa

from fsmd.stats.estimates import Estimate
from fsmd.stats.pareto import (
    AttainmentBand,
    EpochsSpent,
    FrontGrowth,
    attained,
    epochs_spent,
    growth,
    mean_shrinkage,
    on_front,
)
from reports.results import NothingYet, StudyResults
from reports.search.axis_importance import AxisImportance, importance
from reports.search.confirmed import Confirmed, confirmed_of, fresh_figures, reaches
from reports.search.picked import Pick, picks_of
from reports.search.picks import default_rules, pick_rule
from reports.search.results import OUTCOMES, Outcome, SearchResults, outcome_of, read_search
from reports.words import count
from studies.objectives import Objective
from studies.store.records import StudyRecord


@dataclass(frozen=True)
class SearchAnalysis:
    """A search, judged; `front`, `confirmed` and `picks` by the first objective, the best last."""

    search: SearchResults
    front: tuple[str, ...]
    """The front that the search saw."""
    seeds: tuple[int, ...]
    """Fresh seeds complete at every confirmed arm."""
    confirmed: tuple[Confirmed, ...]
    """Empty where there are no such seeds."""
    shrinkage: tuple[Estimate, ...]
    """For each target, over the points of the search's front that were confirmed."""
    band: AttainmentBand | None
    """What the fresh seeds' fronts attain; None below two seeds or unless of two objectives."""
    picks: tuple[Pick, ...]
    growth: FrontGrowth
    spent: EpochsSpent
    have: str | None = None
    """The point that the user has, in the reference's place in the answer."""

    def __repr__(self) -> str:
        name, points = self.search.record.name, ", ".join(self.fresh_front or self.front)
        return f"SearchAnalysis({name!r}, the front: {points})"

    @property
    def results(self) -> StudyResults:
        """All trainings."""
        return self.search.results

    @property
    def fresh_front(self) -> tuple[str, ...]:
        """The confirmed attempts whose fresh means are non-dominated."""
        return tuple(point.name for point in self.confirmed if point.on_front)

    @property
    def picked_by(self) -> Mapping[str, tuple[str, ...]]:
        """Name of an attempt -> names of the rules that picked it."""
        return {pick.name: tuple(rule.name for rule in pick.rules) for pick in self.picks}

    def value(self, point: Confirmed, objective: Objective) -> Estimate:
        """A confirmed point's value of an objective over the fresh seeds, as it was measured."""
        if objective.is_cost:
            return point.costs[self.search.costs.index(objective)]
        keys = [target.key for target in self.search.targets]
        return point.fresh[keys.index(objective.key)]

    @cached_property
    def importance(self) -> AxisImportance:
        """How much every axis decides."""
        return importance(self.search)


def analyse(engine: sa.Engine, record: StudyRecord, picks: Sequence[str] = ()) -> SearchAnalysis:
    """Judge a stored search; UserError if nothing has ended yet, or for an unknown pick.

    picks: rules by which one is picked, beside the default rules.
    """
    return analyse_search(read_search(engine, record), picks)


def analyse_search(search: SearchResults, picks: Sequence[str] = ()) -> SearchAnalysis:
    """See `analyse`."""
    if not search.all_in("ended", "failed") and search.fresh.done.empty:
        raise NothingYet(
            f"search {search.record.name!r} has no finished training yet: of "
            f"{count(len(search.attempts), 'configuration')} none was trained to its end; "
            "run it again and it goes on"
        )
    names = dict.fromkeys((*default_rules(search.tasks, search.objectives), *picks))
    rules = [pick_rule(name, search.tasks, search.objectives) for name in names]
    confirmed, front = confirmed_of(search), _search_front(search)
    ended, stopped, other = (
        [attempt.epochs for attempt in search.all_in(*outcomes)]
        for outcomes in (("ended",), ("stopped",), ("paused", "failed"))
    )
    return SearchAnalysis(
        search=search,
        front=front,
        seeds=_seeds(search) if confirmed else (),
        confirmed=confirmed,
        shrinkage=_mean_shrinkage(search, confirmed, front),
        band=_band(confirmed),
        picks=picks_of(search, confirmed, rules),
        growth=growth(
            [attempt.epochs for attempt in search.attempts],
            [a.gains if outcome_of(a) == "ended" else None for a in search.attempts],
        ),
        spent=epochs_spent(ended, stopped, other, search.most_epochs),
    )


def _search_front(search: SearchResults) -> tuple[str, ...]:
    """The names of what is non-dominated among what ended, by the first objective."""
    point_of = {attempt.name: attempt.gains for attempt in search.all_in("ended")}
    kept = on_front(np.array(list(point_of.values())))
    best = [name for name, is_on in zip(point_of, kept, strict=True) if is_on]
    return tuple(sorted(best, key=lambda name: point_of[name]))


# On fresh seeds


def not_trained_again(analysis: SearchAnalysis) -> Mapping[Outcome, tuple[str, ...]]:
    """Outcome -> the paper's models that the search tried, and that no fresh seed was given to."""
    search = analysis.search
    again = {*(point.name for point in analysis.confirmed), *search.fresh_failed}
    missing = [a for a in search.attempts if a.name in {*search.space.known} - again]
    names = {
        outcome: tuple(attempt.name for attempt in missing if outcome_of(attempt) == outcome)
        for outcome in OUTCOMES
    }
    return {outcome: of_outcome for outcome, of_outcome in names.items() if of_outcome}


def _seeds(search: SearchResults) -> tuple[int, ...]:
    """Of the paired replicates."""
    runs = search.fresh.runs
    seed_of = dict(zip(runs["replicate"], runs["seed"], strict=True))
    return tuple(int(seed_of[replicate]) for replicate in search.fresh_sound.valid.paired)


def _mean_shrinkage(
    search: SearchResults, confirmed: Sequence[Confirmed], front: Sequence[str]
) -> tuple[Estimate, ...]:
    points = [point for point in confirmed if point.name in front]
    if not points:
        return ()
    fresh_ART = fresh_figures(search, [point.name for point in points])
    searched_AT = np.array([point.searched for point in points])
    return mean_shrinkage(searched_AT, fresh_ART, reaches(search))


def _band(confirmed: Sequence[Confirmed]) -> AttainmentBand | None:
    points_ARM = np.array([point.points for point in confirmed])
    if not confirmed or points_ARM.shape[1] < 2 or points_ARM.shape[2] != 2:
        return None
    return attained(points_ARM)
