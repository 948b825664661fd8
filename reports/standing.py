"""Where each arm stands among all: the numbers of the answer and of the leaderboard.

Arms are those of a study, or the points of a search that were trained on fresh seeds. Validation
says which one leads; every figure is of test.

Suffixes: A arms, R replicates, K tasks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import inf
from statistics import median_low
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmd.config import FSMDConfig
from fsmd.metrics import METRICS, Array
from fsmd.stats.best import FEWEST_SEEDS, chances_of_best, drawn_together, shown_best
from fsmd.stats.estimates import ALPHA, UNKNOWN, Estimate, p_of_each, p_value
from fsmd.tasks import MEAN, Target
from reports import words
from reports.results import Scores, StudyResults, shared_part

WORTH_SAVING = 0.1
"""The least part of the leader's cost that makes another one cheaper."""
LIKELY = 0.5
"""From this chance on something is likely."""
_DRAWN_AT_ONCE = 100
"""Arms."""
_ROUNDING = 5e-10
"""Of what was drawn."""


class Tested(NamedTuple):
    """What may be told as shown is tested of these figures alone."""

    scores: Scores
    alpha: float = ALPHA
    """Of all targets together; 0 where nothing was judged yet."""
    behind: Callable[[str, str], float] = lambda arm, other: 1.0
    """Two arms -> by how much less may be spent on them; see `verdicts.AtLook`."""
    lost: frozenset[tuple[str, str]] = frozenset()
    """(Arm, target) on which it was shown to be worse than another."""
    before: "Callable[[], tuple[Tested, ...]]" = tuple
    """Of the looks before: what they showed stays shown."""


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
    best_on: tuple[str, ...]
    """Targets on which it is shown to be better than every other arm, also those that were stopped
    as worse on other targets."""
    chance_worse: float | None
    """That it is worse than the reference; None with too few seeds, or for the reference."""
    chance_far: float | None
    """That it is worse than the leader by more than what matters on any task; None with too few
    seeds, or for the leader."""
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
    """Whether it is not clearly worse than the leader by more than what matters; False where
    too few seeds could show it."""
    is_cheapest: bool
    """Whether none of those that are `not_worse` costs less; by less than a tenth is the same."""


@dataclass(frozen=True)
class SimpleModel:
    """The best simple model on validation, against the best other one on validation."""

    arm: str
    rival: str
    chance_beaten: float
    """That the rival gains more than what matters over it on any task."""
    wins: bool
    """Whether that is unlikely, and no other model is shown to gain so much on any task."""


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
    simple: SimpleModel | None = None
    """None with too few seeds, or without a simple model or any other."""
    left_out: tuple[str, ...] = ()
    """Arms with less than half of the replicates that others have, on other test rows, or worse
    than the reference at an earlier look."""
    beaten: int = 0
    """How many are left out as they are worse."""

    @property
    def leader(self) -> ArmStanding | None:
        """The first one, if validation puts it there."""
        return next((standing for standing in self.standings if standing.is_leader), None)

    @property
    def used(self) -> ArmStanding | None:
        """What to use: the simple model that wins, else the leader."""
        return self.of(self.simple.arm) if self.simple and self.simple.wins else self.leader

    @property
    def cheapest(self) -> ArmStanding | None:
        """See `ArmStanding.is_cheapest`; None with too few seeds."""
        return next((standing for standing in self.standings if standing.is_cheapest), None)

    def of(self, arm: str | None) -> ArmStanding | None:
        """An arm's; None for one that is not among them."""
        return next((standing for standing in self.standings if standing.arm == arm), None)


def leaderboard(
    results: StudyResults,
    margins: Mapping[str, float],
    reference: str | None,
    stopped: Mapping[str, bool] | None = None,
    tested: Tested | None = None,
) -> Leaderboard:
    """Of the arms that have the reference's test rows.

    margins: task that counts -> the smallest difference on it that matters.
    reference: with whom gains are compared; where it is no arm, the first arm's test rows count.
    stopped: arms that got no more seeds as they were decided -> whether they were shown to be
    worse than the reference. Those are not ranked, the others are, however few seeds they have.
    tested: the last look, where there are looks; None: all figures, judged once.
    """
    key = "leaderboard", tuple(margins.items()), reference
    if key not in results.computed:
        of_all = Tested(results.test)
        ranking = _Ranking(results, margins, reference, stopped or {}, tested or of_all)
        results.computed[key] = _leaderboard(ranking)
    board: Leaderboard = results.computed[key]
    return board


def _leaderboard(ranking: "_Ranking") -> Leaderboard:
    results, reference = ranking.results, ranking.reference
    standings, ranked = [ranking.standing(arm) for arm in ranking.order], set(ranking.arms)
    cheapest = _cheapest([standing for standing in standings if standing.not_worse])
    return Leaderboard(
        standings=tuple(replace(s, is_cheapest=s.arm == cheapest) for s in standings),
        reference=reference if reference in results.test.arms else None,
        decided_by=ranking.decided_by,
        replicates=len(ranking.complete),
        simple=ranking.simple,
        left_out=tuple(arm for arm in results.arms if arm not in ranked),
        beaten=sum(ranking.stopped.values()),
    )


@dataclass(frozen=True)
class _Drawn:
    """Draws of the arms' true means, some arms at once: all of many are more than memory holds.

    Where the test rows have a part in them, which all arms share, all are drawn at once.
    """

    arms: tuple[str, ...]
    values_ARK: Array
    rows_AKAK: Array | None

    def blocks_SAK(self) -> Iterator[Array]:
        """In the order of the arms, the same each time."""
        yield from [self._first_SAK] if self._is_one else map(self._block_SAK, self._starts)

    @property
    def _starts(self) -> range:
        return range(0, len(self.arms), _DRAWN_AT_ONCE)

    @property
    def _is_one(self) -> bool:
        return self.rows_AKAK is not None or len(self._starts) < 2

    @cached_property
    def _first_SAK(self) -> Array:
        return drawn_together(self.values_ARK, self.rows_AKAK)

    def _block_SAK(self, start: int) -> Array:
        return drawn_together(self.values_ARK[start : start + _DRAWN_AT_ONCE])

    @cached_property
    def best(self) -> Mapping[str, float]:
        """Arm -> the chance that it is the best on all tasks together."""
        tasks = self.values_ARK.shape[2]
        chance_A = chances_of_best(b @ np.full(tasks, 1 / tasks) for b in self.blocks_SAK())
        return dict(zip(self.arms, chance_A.tolist(), strict=True))

    def beaten_by(self, other: str) -> Mapping[str, float]:
        """Arm -> the chance that the other gains more than what matters over it on any task."""
        if other not in self._beaten_by:
            place = self.arms.index(other)
            begun_SAK = self._first_SAK[:, place:] if self._is_one else self._block_SAK(place)
            other_S1K = begun_SAK[:, :1]
            over = (other_S1K - drawn_SAK for drawn_SAK in self.blocks_SAK())
            chances = [
                np.any([of_SA > 1 + _ROUNDING for of_SA in np.moveaxis(over_SAK, 2, 0)], axis=0)
                .mean(axis=0)
                .tolist()
                for over_SAK in over
            ]
            self._beaten_by[other] = dict(zip(self.arms, chain(*chances), strict=True))
        return self._beaten_by[other]

    @cached_property
    def _beaten_by(self) -> dict[str, Mapping[str, float]]:
        return {}


@dataclass(frozen=True)
class _Ranking:
    results: StudyResults
    margins: Mapping[str, float]
    reference: str | None
    stopped: Mapping[str, bool]
    tested: Tested

    @cached_property
    def weight_K(self) -> Array:
        """What a task's figure counts: a worth of 1 is what matters on every task that counts."""
        own = [(task.name, METRICS[task.metric].sign) for task in self.results.tasks]
        count = len(self.margins)
        return np.array([s / self.margins[n] / count if n in self.margins else 0 for n, s in own])

    def worth_AR(self, scores: Scores) -> Array:
        """Of every arm of the study in every replicate; NaN where a task has no figure."""
        columns = self._columns(scores)
        worth_AR: Array = scores.values_ART[..., columns] @ self.weight_K
        return worth_AR

    def _columns(self, scores: Scores) -> list[int]:
        """Of the tasks among the targets."""
        return [scores.targets.index(scores.target(name)) for name in self.results.task_names]

    @cached_property
    def has_AR(self) -> NDArray[np.bool_]:
        """Whether a training can be ranked: of every arm of the study."""
        both = self.worth_AR(self.results.valid) + self.worth_AR(self.results.test)
        return np.isfinite(both)

    @cached_property
    def arms(self) -> tuple[str, ...]:
        """Those with the same test rows, and at least half as many replicates as any.

        See `leaderboard` for those that were stopped.
        """
        home = {arm: n for arm, n in self._home.items() if not self.stopped.get(arm)}
        most = max(home.values(), default=0)
        return tuple(arm for arm, n in home.items() if 2 * n >= most or arm in self.stopped)

    @cached_property
    def _home(self) -> Mapping[str, int]:
        """Arm with the same test rows -> how many of its trainings can be ranked."""
        test = self.results.test
        anchor = self.reference if self.reference in test.arms else next(iter(test.trained), "")
        count = dict(zip(test.arms, self.has_AR.sum(axis=1).tolist(), strict=True))
        return {arm: n for arm, n in count.items() if n and test.comparable(arm, anchor)}

    @cached_property
    def _rivals(self) -> tuple[str, ...]:
        """All that may be the best on a target: the arms, and those that were stopped as worse."""
        return (*self.arms, *(arm for arm in self._home if self.stopped.get(arm)))

    @cached_property
    def complete(self) -> tuple[int, ...]:
        """Replicates that all of them have."""
        rows = self._rows
        every = self.results.test.replicates if rows else ()
        return tuple(r for i, r in enumerate(every) if self.has_AR[rows, i].all())

    def _at_complete(self, scores: Scores) -> Array:
        """Arms x complete replicates: their worth."""
        columns = [scores.replicates.index(replicate) for replicate in self.complete]
        return self.worth_AR(scores)[np.ix_(self._rows, columns)]

    @cached_property
    def _rows(self) -> list[int]:
        """Of the arms among those of the study."""
        return [self.results.test.place[arm] for arm in self.arms]

    @cached_property
    def by_validation(self) -> list[str]:
        """The best first; none without a complete replicate."""
        if not self.complete:
            return []
        worth_A = self._at_complete(self.results.valid).mean(axis=1)
        return [self.arms[i] for i in np.argsort(-worth_A, kind="stable")]

    @property
    def leader(self) -> str | None:
        """The best on validation."""
        return next(iter(self.by_validation), None)

    @cached_property
    def order(self) -> list[str]:
        """The leader, then by test over the complete replicates, or else over each arm's own."""
        test = self.results.test
        worth_AR = self.worth_AR(test)
        if self.complete:
            worth_AR = worth_AR[:, [test.replicates.index(r) for r in self.complete]]
        worth = {arm: float(np.nanmean(worth_AR[test.place[arm]])) for arm in self.arms}
        return sorted(self.arms, key=lambda arm: (arm != self.leader, -worth[arm]))

    @cached_property
    def _drawn(self) -> "_Drawn | None":
        """Draws of all true means on the tasks that count, together, in units of what matters."""
        if len(self.complete) < FEWEST_SEEDS:
            return None
        test, names = self.results.test, self.results.task_names
        counts = [k for k, name in enumerate(names) if name in self.margins]
        columns = [test.replicates.index(replicate) for replicate in self.complete]
        of = [test.targets.index(test.target(names[k])) for k in counts]
        unit_K = self.weight_K[counts] * len(counts)
        rows_AKAK = self._rows_AKAK()
        if rows_AKAK is not None:
            rows_AKAK = rows_AKAK[:, counts][..., counts] * unit_K[:, None, None] * unit_K
        values_ARK = test.values_ART[np.ix_(self._rows, columns, of)] * unit_K
        return _Drawn(self.arms, values_ARK, rows_AKAK)

    @cached_property
    def chance_best(self) -> Mapping[str, float]:
        """Arm -> that it is the best on all tasks together; empty with too few seeds."""
        return {} if self._drawn is None else self._drawn.best

    def _chance_beaten(self, arm: str, other: str) -> float | None:
        """That the other gains more than what matters over an arm on any task."""
        return None if self._drawn is None else self._drawn.beaten_by(other)[arm]

    def _rows_AKAK(self) -> Array | None:
        """The test rows' part in the covariance of the arms' means; None without predictions."""
        sampling = shared_part(self.results, self.arms, self.complete)
        if sampling is None:
            return None
        at = [sampling.arms.index(arm) for arm in self.arms]
        rows_AKAK: Array = sampling.covariance_AKAK[at][:, :, at]
        return rows_AKAK

    def standing(self, arm: str) -> ArmStanding:
        """All but whether it is the cheapest."""
        results, test, leader, shown = self.results, self.results.test, self.leader, self._shown
        means = {t.key: test.mean(arm, t.key, self.complete or None) for t in shown}
        other = self.reference if self.reference in test.arms else None
        far = self._far.get(arm)
        runs = results.finished[arm]
        return ArmStanding(
            arm=arm,
            means=means,
            over_reference=self._gains(arm, other, shown),
            behind_leader=self._gains(arm, leader, shown),
            behind_in_all=self._worth(arm, leader),
            chance_best=self.chance_best.get(arm),
            best_on=tuple(key for key, best in self._best_on.items() if best == arm),
            chance_worse=self._chance_worse.get(arm),
            chance_far=None if far is None or leader is None else self._chance_beaten(arm, leader),
            parameters=float(max(run.parameters for run in runs)),
            latency=results.latency(arm),
            seconds=float(median_low(run.seconds for run in runs)),
            is_baseline=self._is_simple(arm),
            is_leader=arm == leader,
            not_worse=arm == leader or (far is not None and len(far) * min(far) >= ALPHA),
            is_cheapest=False,
        )

    @cached_property
    def _shown(self) -> Sequence[Target]:
        return [target for target in self.results.test.targets if self._counts(target)]

    @cached_property
    def _best_on(self) -> Mapping[str, str | None]:
        """Target -> the arm that is shown to be the best on it, by the first look that shows one.

        It may be one that is not ranked, as it is worse elsewhere.
        """
        looks = *self.tested.before(), self.tested
        return {
            t.key: next(filter(None, (self._best_at(at, t) for at in looks)), None)
            for t in self._shown
        }

    def _best_at(self, at: Tested, target: Target) -> str | None:
        """At the level over the number of targets, on any of which it may be.

        An arm that was stopped is left out where it had lost by then, and tested elsewhere.
        """
        test, key = at.scores, target.key
        by_mean, sign = self._by_mean[key], METRICS[target.metric].sign
        among = [a for a in by_mean if (a, key) not in at.lost or not self.stopped.get(a)]
        if at.alpha == 0 or len(among) < 2:
            return None
        level = at.alpha / len(self._shown)
        worth_AR = sign * test.finished_AR(key)[[test.place[arm] for arm in among]]

        def over_A(place: int) -> Array:
            return np.asarray(np.nansum(worth_AR[place] - worth_AR, axis=1))

        # Nearly none: what is not ahead of the first one does not lead.
        ahead = [0, *np.flatnonzero(over_A(0) < 0).tolist()]
        leads = {among[i] for i in ahead if np.delete(over_A(i), i).min() > 0}

        def is_shown(arm: str) -> bool:
            others = (other for other in among if other != arm)
            tested = (([test.gain(arm, o, key)], level / at.behind(arm, o)) for o in others)
            return all(shown_best(gains, own) for gains, own in tested)

        leading = (arm for arm in self._rivals if arm in leads)
        return next(filter(is_shown, leading), None)

    @cached_property
    def _by_mean(self) -> Mapping[str, list[str]]:
        """Target -> all that may be the best on it, the best first, by what is tested."""
        scores, ordered = self.tested.scores, dict[str, list[str]]()
        for t, target in enumerate(scores.targets):
            worth_AR = METRICS[target.metric].sign * scores.values_ART[..., t]
            has_AR = np.isfinite(worth_AR)
            sum_A = np.where(has_AR, worth_AR, 0.0).sum(axis=1)
            worth_A = np.where(has_AR.any(axis=1), sum_A / np.maximum(has_AR.sum(axis=1), 1), -inf)
            worth = dict(zip(scores.arms, worth_A.tolist(), strict=True))
            ordered[target.key] = sorted(self._rivals, key=worth.__getitem__, reverse=True)
        return ordered

    def _is_simple(self, arm: str) -> bool:
        planned = self.results.planned_arm(arm)
        return planned is not None and not isinstance(planned.config, FSMDConfig)

    @property
    def simple(self) -> SimpleModel | None:
        """See `Leaderboard.simple`."""
        simple = [arm for arm in self.by_validation if self._is_simple(arm)]
        others = [arm for arm in self.by_validation if not self._is_simple(arm)]
        if not simple or not others:
            return None
        best, rival = simple[0], others[0]
        chance = self._chance_beaten(best, rival)
        if chance is None:
            return None
        tests = [
            p_value(self.results.test.gain(other, best, key), "above", margin)
            for other in others
            for key, margin in self.margins.items()
        ]
        shown = any(p is not None and p * len(tests) < ALPHA for p in tests)
        return SimpleModel(best, rival, chance, wins=chance < LIKELY and not shown)

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
        gain = self.results.test.gain
        gains = {target.key: gain(arm, other, target.key, at_once=True) for target in shown}
        return {key: gain for key, gain in gains.items() if gain.n}

    @cached_property
    def _far(self) -> Mapping[str, list[float]]:
        """Arm -> p of each task that it loses more than what matters to the leader; not of the
        leader, nor with too few seeds."""
        test, leader = self.results.test, self.leader
        if leader is None:
            return {}
        enough = (arm for arm in self.arms if len(test.shared(arm, leader)) >= FEWEST_SEEDS)
        arms, targets = [a for a in enough if a != leader], [*map(test.target, self.margins)]
        gains = [self._gains(arm, leader, targets) for arm in arms]
        of_tasks = (
            p_of_each([gain.get(key, UNKNOWN) for gain in gains], "below", -margin)
            for key, margin in self.margins.items()
        )
        told = zip(arms, zip(*of_tasks, strict=True), strict=True)
        known = ((arm, [p for p in of_arm if p is not None]) for arm, of_arm in told)
        return {arm: p for arm, p in known if len(p) == len(self.margins)}

    @cached_property
    def _chance_worse(self) -> Mapping[str, float | None]:
        """Arm -> that it is worse than the reference; None with too few seeds, or for that."""
        other = self.reference if self.reference in self.results.test.arms else None
        worth = [self._worth(arm, other) or UNKNOWN for arm in self.arms]
        enough = [gain if gain.n >= FEWEST_SEEDS else UNKNOWN for gain in worth]
        return dict(zip(self.arms, p_of_each(enough, "above"), strict=True))

    def _worth(self, arm: str, other: str | None) -> Estimate | None:
        """The paired difference of two arms on all tasks together; None where there is none."""
        test = self.results.test
        if other is None or other == arm or not test.shared(arm, other):
            return None
        return test.summed(arm, other, self._weight_T, at_once=True)

    @cached_property
    def _weight_T(self) -> tuple[float, ...]:
        """As `weight_K`, of the targets of test."""
        test = self.results.test
        weight_T = np.zeros(len(test.targets))
        weight_T[self._columns(test)] = self.weight_K
        return tuple(weight_T.tolist())

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
