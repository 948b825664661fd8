"""What fresh seeds show of the attempts that were trained again.

Suffixes: A arms with fresh seeds, R paired seeds, M objectives, T targets, K tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from fsmd.metrics import METRICS, Array
from fsmd.stats.estimates import Estimate, mean_interval
from fsmd.stats.front import chances_of_front
from fsmd.stats.joint import Ellipse, joint_ellipse
from fsmd.stats.pareto import Point, on_front, shrinkage
from reports.results import rows_part
from reports.search.results import SearchResults, outcome_of
from studies.objectives import Objective, end_costs
from studies.search.attempt import Attempt
from studies.store.runs import known_result

FEWEST_SEEDS = 4
"""For a joint region, whose half axes are 20 standard errors with three."""


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
    """Of being non-dominated on validation; NaN of one seed."""
    with_rows: bool
    """Whether the finite validation rows count in the probability."""
    on_front: bool
    """Whether its mean over the fresh seeds is non-dominated."""

    @property
    def point(self) -> Point:
        """The mean over the fresh seeds."""
        return tuple(np.mean(self.points, axis=0).tolist())


def confirmed_of(search: SearchResults) -> tuple[Confirmed, ...]:
    """Every attempt with fresh seeds, over those that all of them have, by the first objective.

    Baselines are no points of the space; the leaderboard has them.
    """
    valid, test = search.fresh_sound.valid, search.fresh_sound.test
    attempts = [attempt for attempt in search.attempts if attempt.name in valid.trained]
    if not attempts or not valid.paired:
        return ()
    fresh_ART = fresh_figures(search, [attempt.name for attempt in attempts])
    costs = {cost.key: _cost_on_fresh_seeds(search, cost, attempts) for cost in search.costs}
    points_ARM = _points(search, fresh_ART, costs)
    is_on_A = on_front(points_ARM.mean(axis=1))
    rows_AMAM = _rows(search, [attempt.name for attempt in attempts])
    probability_A = chances_of_front(points_ARM, rows_AMAM)
    keys = [target.key for target in search.targets]
    confirmed, reach_T = [], reaches(search)
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
                with_rows=rows_AMAM is not None,
                on_front=bool(is_on_A[i]),
            )
        )
    return tuple(sorted(confirmed, key=lambda point: (point.point[0], point.name)))


def fresh_figures(search: SearchResults, arms: Sequence[str]) -> Array:
    """A x R x T: the arms' validation figures on the paired seeds, on all targets."""
    valid = search.fresh_sound.valid
    rows = [valid.arms.index(arm) for arm in arms]
    seeds = [valid.replicates.index(replicate) for replicate in valid.paired]
    columns = [valid.targets.index(target) for target in search.targets]
    values_ART: Array = valid.values_ART[np.ix_(rows, seeds, columns)]
    return values_ART


def reaches(search: SearchResults) -> tuple[float, ...]:
    """What figures of each target can differ by at most."""
    metrics = [METRICS[target.metric] for target in search.targets]
    return tuple(metric.high - metric.low for metric in metrics)


def region(points_R2: Array) -> Ellipse | None:
    """Of both means together (95 %), over the seeds alone; None below `FEWEST_SEEDS`.

    Hotelling's.
    """
    n = len(points_R2)
    if n < FEWEST_SEEDS:
        return None
    seeds_22 = np.cov(points_R2.T) / n
    return joint_ellipse(points_R2.mean(axis=0), seeds_22, np.zeros((2, 2)), n=n)


def _points(search: SearchResults, fresh_ART: Array, costs: Mapping[str, Array]) -> Array:
    """A x R x M: every objective, turned so that more is better."""
    values = {t.key: fresh_ART[..., k] for k, t in enumerate(search.targets)} | dict(costs)
    gains = [values[o.key] if o.higher else -values[o.key] for o in search.objectives]
    return np.stack(gains, axis=2)


def _rows(search: SearchResults, arms: Sequence[str]) -> Array | None:
    """A x M x A x M: the validation rows' part in the covariance of the mean points.

    None where their scores were not kept; rows do nothing to a cost.
    """
    fresh = search.fresh_sound
    part = rows_part(fresh, arms, fresh.valid.paired, "valid")
    if part is None or set(part.arms) != set(arms):
        return None
    at = [part.place[arm] for arm in arms]
    weights = {target.key: target.weights for target in search.targets}
    none = (0.0,) * len(search.tasks)
    weight_MK = np.array([weights.get(o.key, none) for o in search.objectives])
    weight_MK *= np.array([[1.0 if o.higher else -1.0] for o in search.objectives])
    covariance_AKAK = part.covariance_AKAK[at][:, :, at]
    rows_AMAM: Array = np.einsum("mk,akbl,nl->ambn", weight_MK, covariance_AKAK, weight_MK)
    return rows_AMAM


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
