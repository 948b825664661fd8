"""Where each arm stands among all: the numbers of the answer and of the leaderboard.

Arms are those of a study, or the points of a search that were trained on fresh seeds. Validation
says which one leads; every figure is of test.

Suffixes: A arms, R replicates, K tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median_low

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsmd.config import FSMDConfig
from fsmd.metrics import METRICS, Array
from fsmd.stats.best import FEWEST_SEEDS, chances_of_best
from fsmd.stats.estimates import ALPHA, Estimate, mean_interval, p_value
from fsmd.tasks import MEAN, Target
from reports import words
from reports.results import Scores, StudyResults, samplings_of

WORTH_SAVING = 0.1
"""The least part of the leader's cost that makes another one cheaper."""


@dataclass(frozen=True)
class ArmStanding:
    """One arm. Gains are differences turned so that more is better."""

    arm: str
    means: Mapping[str, Estimate]
    """Target -> its mean on test, as measured."""
    over_reference: Mapping[str, Estimate]
    """Target -> gain over the reference; empty for the reference itself."""
    behind_leader: Mapping[str, Estimate]
    """Target -> gain over the leader, mostly below zero; empty for the leader itself."""
    behind_in_all: Estimate | None
    """Gain over the leader on all tasks together, 1 being what matters on each; None for it."""
    chance_best: float | None
    """That it is the best of all; None with too few seeds."""
    chance_worse: float | None
    """That it is worse than the reference; None with too few seeds, or for the reference."""
    chance_far: float | None
    """That it is worse than the leader by more than what matters, on the task where this is
    likeliest; None with too few seeds, or for the leader."""
    parameters: float | None
    latency: float | None
    """Milliseconds per 1,000 rows on one thread; None where it was not measured."""
    seconds: float | None
    """Of one training, in the median."""
    is_baseline: bool
    """Whether it is a simple model."""
    is_leader: bool
    """Whether validation puts it first."""
    not_worse: bool
    """Whether it is not shown to be worse than the leader by more than what matters; False where
    too few seeds could show it."""
    is_cheapest: bool
    """Whether none of those that are `not_worse` costs less; by less than a tenth is the same."""


@dataclass(frozen=True)
class Leaderboard:
    """All arms that can be compared with each other, the leader first, then by test.

    Without any replicate that all of them have there is no leader.
    """

    standings: tuple[ArmStanding, ...]
    reference: str | None
    decided_by: str
    """In words: the mean of the tasks, or their sum in units of what matters."""
    replicates: int
    """Complete at every arm."""
    simple: str | None = None
    """The simple model that wins: over which no other gains more than what matters on any task."""
    left_out: tuple[str, ...] = ()
    """Arms with less than half of the replicates that others have, or on other test rows."""

    @property
    def leader(self) -> ArmStanding | None:
        """The first one, if validation puts it there."""
        return next((standing for standing in self.standings if standing.is_leader), None)

    @property
    def used(self) -> ArmStanding | None:
        """What to use: the simple model that wins, else the leader."""
        return self.of(self.simple) or self.leader

    @property
    def cheapest(self) -> ArmStanding | None:
        """See `ArmStanding.is_cheapest`; None with too few seeds."""
        return next((standing for standing in self.standings if standing.is_cheapest), None)

    def of(self, arm: str | None) -> ArmStanding | None:
        """An arm's; None for one that is not among them."""
        return next((standing for standing in self.standings if standing.arm == arm), None)


def leaderboard(
    results: StudyResults, margins: Mapping[str, float], reference: str | None
) -> Leaderboard:
    """Of the arms that have the reference's test rows.

    margins: task that counts -> the smallest difference on it that matters.
    reference: with whom gains are compared; where it is no arm, the first arm's test rows count.
    """
    key = "leaderboard", tuple(margins.items()), reference
    if key not in results.computed:
        results.computed[key] = _leaderboard(_Ranking(results, margins, reference))
    board: Leaderboard = results.computed[key]
    return board


def _leaderboard(ranking: "_Ranking") -> Leaderboard:
    results, arms, reference = ranking.results, ranking.arms, ranking.reference
    chances = dict(zip(arms, ranking.chances_of_best(), strict=True))
    standings = [ranking.standing(arm, chances[arm]) for arm in ranking.order]
    cheapest = _cheapest([standing for standing in standings if standing.not_worse])
    return Leaderboard(
        standings=tuple(replace(s, is_cheapest=s.arm == cheapest) for s in standings),
        reference=reference if reference in results.test.arms else None,
        decided_by=ranking.decided_by,
        replicates=len(ranking.complete),
        simple=ranking.simple(standings),
        left_out=tuple(arm for arm in results.arms if arm not in arms),
    )


@dataclass(frozen=True)
class _Ranking:
    results: StudyResults
    margins: Mapping[str, float]
    reference: str | None

    @cached_property
    def weight_K(self) -> Array:
        """What a task's figure counts: a worth of 1 is what matters on every task that counts."""
        own = [(task.name, METRICS[task.metric].sign) for task in self.results.tasks]
        count = len(self.margins)
        return np.array([s / self.margins[n] / count if n in self.margins else 0 for n, s in own])

    def worth_AR(self, scores: Scores) -> Array:
        """Of every arm of the study in every replicate; NaN where a task has no figure."""
        names = self.results.task_names
        columns = [scores.targets.index(scores.target(name)) for name in names]
        worth_AR: Array = scores.values_ART[..., columns] @ self.weight_K
        return worth_AR

    @cached_property
    def has_AR(self) -> NDArray[np.bool_]:
        """Whether a training can be ranked: of every arm of the study."""
        both = self.worth_AR(self.results.valid) + self.worth_AR(self.results.test)
        return np.isfinite(both)

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Those with the same test rows, and at least half as many replicates as any."""
        test = self.results.test
        anchor = self.reference if self.reference in test.arms else next(iter(test.trained), "")
        count = dict(zip(test.arms, self.has_AR.sum(axis=1).tolist(), strict=True))
        home = [arm for arm in test.arms if count[arm] and test.comparable(arm, anchor)]
        return tuple(arm for arm in home if 2 * count[arm] >= max(count[a] for a in home))

    @cached_property
    def complete(self) -> tuple[int, ...]:
        """Replicates that all of them have."""
        rows = [self.results.test.arms.index(arm) for arm in self.arms]
        every = self.results.test.replicates if rows else ()
        return tuple(r for i, r in enumerate(every) if self.has_AR[rows, i].all())

    def _at_complete(self, scores: Scores) -> Array:
        """Arms x complete replicates: their worth."""
        rows = [scores.arms.index(arm) for arm in self.arms]
        columns = [scores.replicates.index(replicate) for replicate in self.complete]
        return self.worth_AR(scores)[np.ix_(rows, columns)]

    @cached_property
    def leader(self) -> str | None:
        """The best on validation."""
        if not self.complete:
            return None
        worth_A = self._at_complete(self.results.valid).mean(axis=1)
        return self.arms[int(worth_A.argmax())]

    @cached_property
    def order(self) -> list[str]:
        """The leader, then by test over the complete replicates, or else over each arm's own."""
        test = self.results.test
        worth_AR = self.worth_AR(test)
        if self.complete:
            worth_AR = worth_AR[:, [test.replicates.index(r) for r in self.complete]]
        worth = {arm: float(np.nanmean(worth_AR[test.arms.index(arm)])) for arm in self.arms}
        return sorted(self.arms, key=lambda arm: (arm != self.leader, -worth[arm]))

    def chances_of_best(self) -> list[float | None]:
        """Of each arm; None with too few seeds."""
        if len(self.complete) < FEWEST_SEEDS:
            return [None] * len(self.arms)
        chances: list[float | None] = chances_of_best(
            self._at_complete(self.results.test), self._rows_AA()
        ).tolist()
        return chances

    def _rows_AA(self) -> Array | None:
        """The test rows' part in the covariance of the arms' worth; None without predictions."""
        test = self.results.test
        known = [s for s in test.samplings if set(self.arms) <= set(s.arms)]
        if not known and test.samplings:  # no two arms share just the complete replicates
            rows = [test.arms.index(arm) for arm in self.arms]
            columns = [test.replicates.index(replicate) for replicate in self.complete]
            values_ART = test.values_ART[np.ix_(rows, columns)]
            scores = replace(test, arms=self.arms, replicates=self.complete, samplings=())
            known = list(samplings_of(self.results, replace(scores, values_ART=values_ART)))
        sampling = next((s for s in known if set(self.arms) <= set(s.arms)), None)
        if sampling is None:
            return None
        at = [sampling.arms.index(arm) for arm in self.arms]
        covariance_AKAK = sampling.covariance_AKAK[at][:, :, at]
        rows_AA: Array = np.einsum("akbl,k,l->ab", covariance_AKAK, self.weight_K, self.weight_K)
        return rows_AA

    def standing(self, arm: str, chance_best: float | None) -> ArmStanding:
        """All but whether it is the cheapest."""
        results, test, leader = self.results, self.results.test, self.leader
        shown = [target for target in test.targets if self._counts(target)]
        means = {t.key: test.mean(arm, t.key, self.complete or None) for t in shown}
        other = self.reference if self.reference in test.arms else None
        far = None if leader is None or arm == leader else self._losses_too_large(arm, leader)
        runs = results.done[results.done["arm"] == arm]
        planned = results.planned_arm(arm)
        return ArmStanding(
            arm=arm,
            means=means,
            over_reference=self._gains(arm, other, shown),
            behind_leader=self._gains(arm, leader, shown),
            behind_in_all=self._worth(arm, leader),
            chance_best=chance_best,
            chance_worse=self._chance_worse(arm, other),
            chance_far=None if far is None else 1 - min(far),
            parameters=_largest(runs["parameters"]),
            latency=results.latency(arm),
            seconds=float(median_low(runs["seconds"])),
            is_baseline=planned is not None and not isinstance(planned.config, FSMDConfig),
            is_leader=arm == leader,
            not_worse=arm == leader or (far is not None and len(far) * min(far) >= ALPHA),
            is_cheapest=False,
        )

    def simple(self, standings: Sequence[ArmStanding]) -> str | None:
        """See `Leaderboard.simple`; None with too few seeds."""
        best = next((standing.arm for standing in standings if standing.is_baseline), None)
        if best is None or len(self.complete) < FEWEST_SEEDS:
            return None
        gains = (
            self.results.test.gain(other.arm, best, key).mean - margin
            for other in standings
            for key, margin in self.margins.items()
            if not other.is_baseline
        )
        return best if all(gain <= 0 for gain in gains) else None

    def _counts(self, target: Target) -> bool:
        """Whether it is shown: a task that counts, and the mean where all do."""
        if target.key == MEAN:
            return len(self.margins) == len(self.results.tasks)
        return target.key in self.margins

    def _gains(
        self, arm: str, other: str | None, shown: Sequence[Target]
    ) -> Mapping[str, Estimate]:
        if other is None or other == arm:
            return {}
        gains = {target.key: self.results.test.gain(arm, other, target.key) for target in shown}
        return {key: gain for key, gain in gains.items() if gain.n}

    def _losses_too_large(self, arm: str, leader: str) -> list[float] | None:
        """p of each task that it loses more than what matters; None with too few seeds."""
        gains = self._gains(arm, leader, [self.results.test.target(key) for key in self.margins])
        tested = [p_value(gain, "below", -self.margins[key]) for key, gain in gains.items()]
        known = [p for p in tested if p is not None]
        few = len(self.results.test.shared(arm, leader)) < FEWEST_SEEDS
        return None if few or len(known) < len(self.margins) else known

    def _chance_worse(self, arm: str, other: str | None) -> float | None:
        gain = self._worth(arm, other)
        return None if gain is None or gain.n < FEWEST_SEEDS else p_value(gain, "above")

    def _worth(self, arm: str, other: str | None) -> Estimate | None:
        """The paired difference of two arms on all tasks together; None where there is none."""
        test = self.results.test
        if other is None or other == arm or not test.shared(arm, other):
            return None
        differences = [test.differences(arm, other, name) for name in self.results.task_names]
        sampling = test.sampling(arm, other)
        part = sampling.part(arm, other, self.weight_K) if sampling else None
        return mean_interval(self.weight_K @ np.array(differences), part)

    @property
    def decided_by(self) -> str:
        """See `Leaderboard`."""
        targets = [self.results.test.target(name) for name in self.margins]
        names = words.listed(self.margins)
        if len({target.metric for target in targets}) > 1:
            return f"the sum over {names} in units of the difference that matters"
        return f"{'mean ' if len(targets) > 1 else ''}{words.measured(targets)} on {names}"


def _cheapest(standings: Sequence[ArmStanding]) -> str | None:
    """By latency where it is known of all, else by parameters; None with nothing to choose.

    The leader, which is the first, where none is cheaper by what is worth saving.
    """
    costs = [standing.latency for standing in standings]
    if None in costs:
        costs = [standing.parameters for standing in standings]
    known = {s.arm: cost for s, cost in zip(standings, costs, strict=True) if cost is not None}
    if len(known) < 2:
        return None
    leader = standings[0].arm
    cheapest = min(known, key=lambda arm: known[arm])
    enough = leader not in known or known[cheapest] <= (1 - WORTH_SAVING) * known[leader]
    return cheapest if enough else leader


def _largest(values: pd.Series) -> float | None:
    known = values.dropna()
    return float(known.max()) if len(known) else None
