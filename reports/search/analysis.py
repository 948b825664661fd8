"""What a search found, as numbers, before any words or ink.

Suffixes: A arms with fresh seeds, R paired seeds, M objectives, N attempts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sqlalchemy as sa

from fsmd.metrics import METRICS, Array
from fsmd.stats.estimates import Estimate, mean_interval
from fsmd.stats.joint import Ellipse, joint_ellipse
from fsmd.stats.pareto import (
    AttainmentBand,
    EpochsSpent,
    FrontGrowth,
    Point,
    attained,
    epochs_spent,
    growth,
    mean_shrinkage,
    membership,
    on_front,
    shrinkage,
)
from reports.results import NothingYet, StudyResults
from reports.search.axis_importance import AxisImportance, importance
from reports.search.picks import Candidates, PickRule, default_rules, pick_rule, picked
from reports.search.results import OUTCOMES, Outcome, SearchResults, outcome_of, read_search
from reports.words import count
from studies.objectives import Objective, end_costs
from studies.search.attempt import Attempt
from studies.search.confirmation import references
from studies.store.records import StudyRecord
from studies.store.runs import known_result

FEWEST_SEEDS = 4
"""For a joint region, whose half axes are 20 standard errors with three, and for P(front)."""


@dataclass(frozen=True)
class Confirmed:
    """An attempt that was trained again on fresh seeds; tuples have one entry a target."""

    name: str
    searched: tuple[float, ...]
    """Validation figures that the search saw; empty if it stopped the training."""
    fresh: tuple[Estimate, ...]
    """Validation figures over the paired fresh seeds."""
    shrinkage: tuple[Estimate, ...]
    """Searched minus fresh; empty with `searched`."""
    test: tuple[Estimate, ...]
    """Test figures over the same seeds; shown, and chooses nothing."""
    costs: tuple[Estimate, ...]
    """One for each objective that is a cost, over the same seeds."""
    points: tuple[Point, ...]
    """Of each paired seed: all objectives, turned so that more is better."""
    probability: float
    """Of being non-dominated on validation; NaN below `FEWEST_SEEDS`."""
    on_front: bool
    """Whether its mean over the fresh seeds is non-dominated."""

    @property
    def point(self) -> Point:
        """The mean over the fresh seeds."""
        return tuple(np.mean(self.points, axis=0).tolist())


@dataclass(frozen=True)
class Pick:
    """An attempt and the rules that chose it, with its differences to the references on test.

    `differences` has (reference, one estimate for each target); empty without fresh seeds.
    """

    name: str
    rules: tuple[PickRule, ...]
    differences: tuple[tuple[str, tuple[Estimate, ...]], ...]


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
    confirmed, front = _confirmed(search), _search_front(search)
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
        picks=_picks(search, confirmed, rules),
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


def _confirmed(search: SearchResults) -> tuple[Confirmed, ...]:
    """Every attempt with fresh seeds, over those that all of them have.

    Baselines are no points of the space; the leaderboard has them.
    """
    valid, test = search.fresh_sound.valid, search.fresh_sound.test
    attempts = [attempt for attempt in search.attempts if attempt.name in valid.trained]
    if not attempts or not valid.paired:
        return ()
    fresh_ART = _fresh_figures(search, [attempt.name for attempt in attempts])
    costs = {cost.key: _cost_on_fresh_seeds(search, cost, attempts) for cost in search.costs}
    points_ARM = _points(search, fresh_ART, costs)
    is_on_A = on_front(points_ARM.mean(axis=1))
    enough = points_ARM.shape[1] >= FEWEST_SEEDS
    probability_A = membership(points_ARM) if enough else np.full(len(attempts), np.nan)
    keys = [target.key for target in search.targets]
    confirmed, reach_T = [], _reaches(search)
    for i, attempt in enumerate(attempts):
        seen = search.figures(attempt) if outcome_of(attempt) == "ended" else ()
        confirmed.append(
            Confirmed(
                name=attempt.name,
                searched=seen,
                fresh=tuple(valid.mean(attempt.name, key, valid.paired) for key in keys),
                shrinkage=shrinkage(np.array(seen), fresh_ART[i], reach_T) if seen else (),
                test=tuple(test.mean(attempt.name, key, valid.paired) for key in keys),
                costs=tuple(mean_interval(c[i], within=(0.0, np.inf)) for c in costs.values()),
                points=tuple(map(tuple, points_ARM[i].tolist())),
                probability=float(probability_A[i]),
                on_front=bool(is_on_A[i]),
            )
        )
    return tuple(sorted(confirmed, key=lambda point: (point.point[0], point.name)))


def _fresh_figures(search: SearchResults, arms: Sequence[str]) -> Array:
    """A x R x T: the arms' validation figures on the paired seeds, on all targets."""
    valid = search.fresh_sound.valid
    rows = [valid.arms.index(arm) for arm in arms]
    seeds = [valid.replicates.index(replicate) for replicate in valid.paired]
    columns = [valid.targets.index(target) for target in search.targets]
    values_ART: Array = valid.values_ART[np.ix_(rows, seeds, columns)]
    return values_ART


def _points(search: SearchResults, fresh_ART: Array, costs: Mapping[str, Array]) -> Array:
    """A x R x M: every objective, turned so that more is better."""
    values = {t.key: fresh_ART[..., k] for k, t in enumerate(search.targets)} | dict(costs)
    gains = [values[o.key] if o.higher else -values[o.key] for o in search.objectives]
    return np.stack(gains, axis=2)


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


def region(points_R2: Array) -> Ellipse | None:
    """Of both means together (95 %); None below `FEWEST_SEEDS`.

    Hotelling's; validation rows are the same for all points and add nothing here.
    """
    n = len(points_R2)
    if n < FEWEST_SEEDS:
        return None
    seeds_22 = np.cov(points_R2.T) / n
    return joint_ellipse(points_R2.mean(axis=0), seeds_22, np.zeros((2, 2)), n=n)


def _cost_on_fresh_seeds(
    search: SearchResults, objective: Objective, attempts: Sequence[Attempt]
) -> Array:
    """A x R: what is known before training is the same on all seeds."""
    replicates = search.fresh_sound.valid.paired
    of_training = end_costs([objective]).get(objective.key)
    if of_training is None:
        return np.array([[a.costs[objective.key]] * len(replicates) for a in attempts])
    run_of = search.fresh_sound.runs.set_index(["arm", "replicate"])["run_id"].to_dict()

    def value(arm: str, replicate: int) -> float:
        return of_training(known_result(search.results.engine, str(run_of[arm, replicate])))

    return np.array([[value(a.name, r) for r in replicates] for a in attempts])


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
    fresh_ART = _fresh_figures(search, [point.name for point in points])
    searched_AT = np.array([point.searched for point in points])
    return mean_shrinkage(searched_AT, fresh_ART, _reaches(search))


def _reaches(search: SearchResults) -> tuple[float, ...]:
    """What figures of each target can differ by at most."""
    metrics = [METRICS[target.metric] for target in search.targets]
    return tuple(metric.high - metric.low for metric in metrics)


def _band(confirmed: Sequence[Confirmed]) -> AttainmentBand | None:
    points_ARM = np.array([point.points for point in confirmed])
    if not confirmed or points_ARM.shape[1] < 2 or points_ARM.shape[2] != 2:
        return None
    return attained(points_ARM)


# Picks


def _picks(
    search: SearchResults, confirmed: Sequence[Confirmed], rules: Sequence[PickRule]
) -> tuple[Pick, ...]:
    """Chosen on fresh validation means; without fresh seeds on what the search saw."""
    if not confirmed and not search.all_in("ended"):
        return ()
    candidates = candidates_of(search, confirmed)
    by_name: dict[str, list[PickRule]] = {}
    for rule in rules:
        by_name.setdefault(picked(rule, candidates), []).append(rule)
    point_of = dict(zip(candidates.names, candidates.points_NM.tolist(), strict=True))
    return tuple(
        Pick(name, tuple(by_name[name]), _minus_references(search, confirmed, name))
        for name in sorted(by_name, key=lambda name: (point_of[name], name))
    )


def candidates_of(search: SearchResults, confirmed: Sequence[Confirmed]) -> Candidates:
    """All that is known of whom a rule may pick, turned so that more is better."""
    if confirmed:
        names = tuple(point.name for point in confirmed)
        points_NM = np.array([point.point for point in confirmed])
        tasks = range(len(search.tasks))  # come first among the targets
        figures_NK = np.array([[point.fresh[k].mean for k in tasks] for point in confirmed])
    else:
        ended = search.all_in("ended")
        names = tuple(attempt.name for attempt in ended)
        points_NM = np.array([a.gains for a in ended]).reshape(-1, len(search.objectives))
        figures_NK = np.array([a.stands for a in ended]).reshape(-1, len(search.tasks))
    gains = {o.key: points_NM[:, m] for m, o in enumerate(search.objectives)}
    for target in search.results.targets:
        sign = METRICS[target.metric].sign
        gains.setdefault(target.key, sign * (figures_NK @ np.array(target.weights)))
    return Candidates(names, points_NM, gains)


def _minus_references(
    search: SearchResults, confirmed: Sequence[Confirmed], name: str
) -> tuple[tuple[str, tuple[Estimate, ...]], ...]:
    """The pick minus each of the paper's models that was confirmed too, on test."""
    names = {point.name for point in confirmed}
    test = search.fresh_sound.test
    return tuple(
        (other, tuple(test.difference(name, other, target.key) for target in search.targets))
        for other in references(names)
        if name in names and other != name
    )
