"""What a search found, as numbers, before any words or ink."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fsmd.errors import UserError
from reports import front
from reports.estimates import Array, Estimate, mean_interval
from reports.front import Band, Progress, Rule, Spent, Training
from reports.joint import Ellipse, Joint, joint_ellipse
from reports.results import Scores
from reports.search_results import Configuration, SearchResults
from reports.words import count
from studies.front import Point, on_front
from studies.pareto import references

FEWEST_SEEDS = 4
"""For a joint region, whose half axes are 20 standard errors with three, and for P(front)."""


@dataclass(frozen=True)
class Confirmed:
    """A point that was trained again on fresh seeds; the tuples hold one value for each task."""

    level: str
    searched: Point
    """Validation AUC that the search saw; empty if it stopped the training."""
    fresh: tuple[Estimate, ...]
    """Validation AUC over the paired fresh seeds."""
    shrinkage: tuple[Estimate, ...]
    """Searched minus fresh; empty with `searched`."""
    test: tuple[Estimate, ...]
    """Test AUC over the same seeds; shown, and chooses nothing."""
    probability: float
    """Of being non-dominated on validation; NaN below `FEWEST_SEEDS`."""
    on_front: bool
    """Whether its fresh mean is non-dominated."""
    region: Ellipse | None
    """Of both tasks' fresh means together (95 %); None below `FEWEST_SEEDS`."""


@dataclass(frozen=True)
class Pick:
    """A point and the rules that chose it, with its differences to the references on test.

    `differences` has (reference, one estimate for each task); empty without fresh seeds.
    """

    level: str
    rules: tuple[Rule, ...]
    differences: tuple[tuple[str, tuple[Estimate, ...]], ...]


@dataclass(frozen=True)
class SearchAnalysis:
    """A search, judged; `confirmed` and `picks` by the first task's AUC, the highest last."""

    found: SearchResults
    front: tuple[str, ...]
    """The front that the search saw, by the first task's AUC."""
    seeds: tuple[int, ...]
    """Fresh replicates complete at every confirmed level."""
    confirmed: tuple[Confirmed, ...]
    """Empty where there are no such seeds."""
    shrinkage: tuple[Estimate, ...]
    """For each task, over the points of the search's front that were confirmed."""
    band: Band | None
    """What the fresh seeds' fronts attain; None below two seeds or with a third objective."""
    picks: tuple[Pick, ...]
    progress: Progress
    spent: Spent

    @property
    def fresh_front(self) -> tuple[str, ...]:
        """The confirmed points whose fresh means are non-dominated."""
        return tuple(c.level for c in self.confirmed if c.on_front)

    @property
    def picked_by(self) -> Mapping[str, tuple[str, ...]]:
        """Level -> names of the rules that picked it."""
        return {pick.level: tuple(rule.name for rule in pick.rules) for pick in self.picks}


def analyse_search(found: SearchResults, rules: Sequence[str] = ()) -> SearchAnalysis:
    """Judge a search; UserError if nothing has ended yet.

    rules: how points are picked, beside the default rules.
    """
    ended = found.all_in("ended")
    if not ended and not found.all_in("failed"):
        raise UserError(
            f"study {found.record.name!r} has no finished training yet: of "
            f"{count(len(found.configurations), 'configuration')} none was trained to its end; "
            "run it again and it goes on"
        )
    names = dict.fromkeys((*front.default_rules(found.tasks), *rules))
    chosen_by = tuple(front.rule(name, found.tasks) for name in names)
    confirmed = confirm(found)
    searched = search_front(ended)
    return SearchAnalysis(
        found, searched, _seeds(found) if confirmed else (), confirmed,
        _mean_shrinkage(found, confirmed, searched), _band(found, confirmed),
        pick_points(found, confirmed, chosen_by), front.progress(_trainings(found)),
        _spent(found),
    )  # fmt: skip


def search_front(ended: Sequence[Configuration]) -> tuple[str, ...]:
    """The levels that are non-dominated among what ended, by the first task's AUC."""
    kept = on_front(np.array([c.point for c in ended]))
    best = [c for c, is_on in zip(ended, kept, strict=True) if is_on]
    return tuple(c.level for c in sorted(best, key=lambda c: c.point))


def confirm(found: SearchResults) -> tuple[Confirmed, ...]:
    """Every level with fresh seeds, over those that all of them have."""
    valid, known = found.fresh_valid, {c.level: c for c in found.configurations}
    levels = valid.trained
    if not valid.paired:
        return ()
    searched = [known[e].values if known[e].state == "ended" else () for e in levels]
    valid_LRK, test_LRK = (paired(scores, levels) for scores in (valid, found.fresh_test))
    points_LRM = _with_cost(valid_LRK, [known[level].cost for level in levels])
    on_front_L = on_front(points_LRM.mean(axis=1))
    enough = points_LRM.shape[1] >= FEWEST_SEEDS
    probability_L = front.membership(points_LRM) if enough else np.full(len(levels), np.nan)
    made = [
        Confirmed(
            level, searched[i], _intervals(valid_LRK[i]),
            front.shrinkage(np.array(searched[i]), valid_LRK[i]) if searched[i] else (),
            _intervals(test_LRK[i]), float(probability_L[i]), bool(on_front_L[i]),
            region(valid_LRK[i]),
        )
        for i, level in enumerate(levels)
    ]  # fmt: skip
    return tuple(sorted(made, key=lambda c: (c.fresh[0].mean, c.level)))


def paired(scores: Scores, levels: Sequence[str]) -> Array:
    """L x R x K: the levels' figures on the paired seeds, without the mean of the tasks."""
    where = [scores.levels.index(level) for level in levels]
    seeds = [scores.replicates.index(replicate) for replicate in scores.paired]
    values: Array = scores.values_LRT[where][:, seeds, :-1]
    return values


def _seeds(found: SearchResults) -> tuple[int, ...]:
    """The paired replicates' seeds."""
    runs = found.fresh.runs
    seed_of = dict(zip(runs["replicate"], runs["seed"], strict=True))
    return tuple(int(seed_of[replicate]) for replicate in found.fresh_valid.paired)


def _intervals(values_RK: Array) -> tuple[Estimate, ...]:
    return tuple(mean_interval(values_R) for values_R in values_RK.T)


def region(values_RK: Array) -> Ellipse | None:
    """Hotelling's region; validation rows are the same for all points and add nothing here."""
    n = len(values_RK)
    if n < FEWEST_SEEDS:
        return None
    mean_K, seeds_KK = values_RK.mean(axis=0), np.cov(values_RK.T) / n
    return joint_ellipse(Joint(mean_K, seeds_KK, np.zeros((2, 2)), n))


def _with_cost(values_LRK: Array, costs: Sequence[float | None]) -> Array:
    """L x R x M: the third objective, where there is one, is the same on all seeds."""
    if any(cost is None for cost in costs):
        return values_LRK
    cost_LR1 = np.broadcast_to(np.array(costs, float)[:, None, None], (*values_LRK.shape[:2], 1))
    return np.concatenate([values_LRK, -cost_LR1], axis=2)


def _mean_shrinkage(
    found: SearchResults, confirmed: Sequence[Confirmed], searched: Sequence[str]
) -> tuple[Estimate, ...]:
    levels = [c.level for c in confirmed if c.level in searched]
    if not levels:
        return ()
    values = {c.level: c.searched for c in confirmed}
    searched_LK = np.array([values[level] for level in levels])
    return front.mean_shrinkage(searched_LK, paired(found.fresh_valid, levels))


def _band(found: SearchResults, confirmed: Sequence[Confirmed]) -> Band | None:
    if found.cost or len(found.fresh_valid.paired) < 2:
        return None
    return front.attained(paired(found.fresh_valid, [c.level for c in confirmed]))


# Picks


def pick_points(
    found: SearchResults, confirmed: Sequence[Confirmed], rules: Sequence[Rule]
) -> tuple[Pick, ...]:
    """Chosen on fresh validation means; without fresh seeds on what the search saw."""
    points = _candidates(found, confirmed)
    if not points:
        return ()
    levels, points_NM = list(points), np.array(list(points.values()))
    by_level: dict[str, list[Rule]] = {}
    for rule in rules:
        by_level.setdefault(levels[front.picked(rule, points_NM)], []).append(rule)
    return tuple(
        Pick(level, tuple(by_level[level]), _against(found, confirmed, level))
        for level in sorted(by_level, key=lambda level: (points[level], level))
    )


def _candidates(found: SearchResults, confirmed: Sequence[Confirmed]) -> dict[str, Point]:
    known = {c.level: c for c in found.configurations}
    if not confirmed:
        return {c.level: c.point for c in found.all_in("ended")}
    return {
        c.level: (*(e.mean for e in c.fresh), *known[c.level].point[len(c.fresh):])
        for c in confirmed
    }  # fmt: skip


def _against(
    found: SearchResults, confirmed: Sequence[Confirmed], level: str
) -> tuple[tuple[str, tuple[Estimate, ...]], ...]:
    """The level minus each of the paper's models that was confirmed too, on test."""
    there = {c.level for c in confirmed}
    return tuple(
        (other, tuple(found.fresh_test.difference(level, other, task) for task in found.tasks))
        for other in references(there)
        if level in there and other != level
    )


# What was spent


def _trainings(found: SearchResults) -> list[Training]:
    return [
        Training(c.epochs, c.point if c.state == "ended" else None) for c in found.configurations
    ]


def _spent(found: SearchResults) -> Spent:
    ended, stopped, paused, failed = (
        [c.epochs for c in found.configurations if c.state == state]
        for state in ("ended", "stopped", "paused", "failed")
    )
    return front.spent(ended, stopped, paused + failed, found.most_epochs)


def confirmation_epochs(found: SearchResults) -> int:
    """Epochs of the fresh seeds' trainings."""
    return int(math.fsum(found.fresh.runs["epochs"].dropna()))
