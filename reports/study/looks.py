"""A study judged at its looks: what each said, and what is decided by now.

A look is over the first so many replicates and at its own level (`fsmd.stats.looks`). What a look
decided stays decided. What it left open is judged again at the next one, over the seeds that both
arms have then; arms that had no more seeds since are judged as they were.

A look that was stored is read as it is; a stated look whose trainings have all ended is made here.
Between looks nothing is judged, however often a report is built.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from math import isfinite
from typing import NamedTuple

import numpy as np

from fsmd.stats.compound import Judgement
from fsmd.stats.joint import REGIONS, PairVerdict
from fsmd.stats.looks import PlannedLook, ahead, level, seeds_may_show
from reports.pairs import REVERSED, Comparison, Key, PairedTest, Shown, Word
from reports.results import Scores, StudyResults, samplings_of
from reports.standing import Tested
from reports.study.comparisons import compare, pairs
from reports.study.joint import JointVerdict, joint_verdicts
from reports.study.reading import Reading
from reports.study.verdicts import AtLook, Judged, conditions_of, judge
from studies.store.looks import (
    SaidOfClaim,
    SaidOfPair,
    SaidOfTasks,
    SaidTest,
    StoredLook,
    read_looks,
)

NO_LOOK = 0.0
"""The level of what no look has judged: nothing is decided."""
ENDED = ("done", "failed")
"""What becomes of a training that is not tried again by itself."""


def looks_of(results: StudyResults) -> tuple[StoredLook, ...]:
    """The looks at a study that were stored, and those stated ones that have all their seeds."""
    key = "looks"
    if key not in results.computed:
        made = list(read_looks(results.engine, results.record.name))
        for seeds in results.record.looks:
            if seeds > max((look.seeds for look in made), default=0):
                if not is_reached(results, seeds, made):
                    break
                made.append(look_at(results, seeds, made))
        results.computed[key] = tuple(made)
    looks: tuple[StoredLook, ...] = results.computed[key]
    return looks


def looks_to_come(results: StudyResults) -> tuple[PlannedLook, ...]:
    """The stated looks that were not made."""
    made = looks_of(results)
    return ahead(made[-1].seeds if made else 0, results.record.looks)


def is_reached(results: StudyResults, seeds: int, made: Sequence[StoredLook]) -> bool:
    """Whether all trainings of a look have ended: of the reference, and of what is still open."""
    of_all = [arm.name for arm in results.planned]
    needed = set(of_all)
    if made:
        asked, judged = set(made[-1].asked), set(made[-1].arms)
        needed = {arm for arm in of_all if arm in asked or arm not in judged}
        needed |= {results.study.reference} & set(of_all)
    have = seeds_ended(results)
    return bool(needed) and all(have.get(arm, 0) >= seeds for arm in needed)


def seeds_ended(results: StudyResults) -> Mapping[str, int]:
    """Arm -> of how many replicates, counted from the first without a gap, training has ended."""
    if "ended" not in results.computed:
        runs = results.runs[results.runs["status"].isin(ENDED)]
        there: dict[str, set[int]] = {}
        for arm, replicate in zip(runs["arm"], runs["replicate"], strict=True):
            there.setdefault(arm, set()).add(int(replicate))
        results.computed["ended"] = {
            arm: next(n for n in range(len(own) + 1) if n not in own) for arm, own in there.items()
        }
    ended: Mapping[str, int] = results.computed["ended"]
    return ended


def look_at(results: StudyResults, seeds: int, made: Sequence[StoredLook]) -> StoredLook:
    """Judge a study at so many seeds, after the looks that were made; stores nothing."""
    return _Looking(results, seeds, tuple(made)).look


@dataclass(frozen=True)
class _Looking:
    """A look that is being made."""

    results: StudyResults
    seeds: int
    made: tuple[StoredLook, ...]

    @property
    def alpha(self) -> float:
        before = self.made[-1].seeds if self.made else 0
        return level(self.seeds, before, self.results.record.looks)

    @cached_property
    def reading(self) -> Reading:
        return Reading(self.results.study, self.results.tasks)

    @cached_property
    def scores(self) -> Scores:
        """Over the replicates of the look; of an arm that has not all, over those of an earlier
        one: what was trained since then is no look."""
        test = self.results.test
        kept = tuple(r for r in test.replicates if r < self.seeds)
        values_ART = test.values_ART[:, [test.replicates.index(r) for r in kept]].copy()
        has_A1 = np.array([[self.has[arm]] for arm in test.arms])
        values_ART[np.array(kept, int) >= has_A1] = np.nan
        if np.array_equal(values_ART, test.values_ART, equal_nan=True):
            return test
        cut = replace(test, replicates=kept, values_ART=values_ART, samplings=())
        return replace(cut, samplings=samplings_of(self.results, cut))

    @cached_property
    def has(self) -> Mapping[str, int]:
        """Arm -> the look whose seeds it has, 0 where there is none."""
        ended, looks = seeds_ended(self.results), (*(e.seeds for e in self.made), self.seeds)
        return {
            arm: max((n for n in looks if n <= ended.get(arm, 0)), default=0)
            for arm in self.results.arms
        }

    @cached_property
    def of_this(self) -> Scores:
        """Of the arms that have all of its seeds alone."""
        behind = [self.has[arm] < self.seeds for arm in self.scores.arms]
        if not any(behind):
            return self.scores
        values_ART = self.scores.values_ART.copy()
        values_ART[behind] = np.nan
        return replace(self.scores, values_ART=values_ART)

    @property
    def before(self) -> StoredLook | None:
        return self.made[-1] if self.made else None

    @cached_property
    def comparisons(self) -> tuple[Comparison, ...]:
        before = self._tests_before.items()
        shown: Shown = {key: (_if_shown(d), _if_shown(e)) for key, (d, e) in before}
        made = compare(self.reading, self.of_this, self.alpha, shown)
        return tuple(map(self._kept, made))

    @cached_property
    def _tests_before(self) -> "Tests":
        return tests_of(self.before)

    @cached_property
    def _words_before(self) -> Mapping[Key, Word]:
        return words_of(self.before)

    def _kept(self, c: Comparison) -> Comparison:
        """As it was left where an arm had no more seeds since; the way it was found to differ."""
        word = self._words_before.get(c.key, "undecided")
        if word != "undecided" and not c.equal.significant:
            c = replace(c, said=word)
        if min(self.has[c.arm], self.has[c.other]) == self.seeds:
            return c
        differs, equal = self._tests_before.get(c.key, (c.differs, c.equal))
        difference = self.scores.difference(c.arm, c.other, c.target.key)
        return replace(c, difference=difference, differs=differs, equal=equal)

    @cached_property
    def at(self) -> AtLook:
        levels = {look.seeds: look.alpha for look in self.made} | {self.seeds: self.alpha}
        has, alpha = self.has, self.alpha

        def behind(arm: str, other: str) -> float:
            own = levels.get(min(has.get(arm, 0), has.get(other, 0)), alpha)
            return alpha / own if own > 0 and alpha > 0 else 1.0

        said = {id_: s for id_, s in _said(self.before, self.reading).items() if s.decided}
        return AtLook(alpha, said, behind)

    @property
    def tested(self) -> Tested:
        return Tested(self.scores, self.alpha, self.at.behind)

    @cached_property
    def judged(self) -> tuple[Judged, ...]:
        return judge(self.reading, self.scores, self.at)

    @property
    def joint(self) -> Iterator[SaidOfTasks]:
        compared = pairs(self.results.study, self.scores)
        of_this = joint_verdicts(self.reading, self.of_this, compared, self.alpha)
        new = {(j.arm, j.other): _of_tasks(j, self.seeds) for j in of_this}
        old = {(s.arm, s.other): s for s in self.before.pairs} if self.before else {}
        for pair in compared:
            was = old.get(pair)
            said = was if was and was.verdict != "undecided" else new.get(pair, was)
            if said:
                yield said

    # Who gets more seeds

    @property
    def highest(self) -> float:
        """The highest level of any look, at which something may be decided at last."""
        to_come = ahead(self.seeds, self.results.record.looks)
        made = [look.alpha for look in self.made]
        return max([self.alpha, *made, *(look.alpha for look in to_come)])

    def _open(self) -> Iterator[tuple[frozenset[str], bool]]:
        """Arms of which something is open, and whether more seeds might decide it.

        Of arms that are planned: those that were taken out of the study get no seeds. A pair
        without any seed waits for none: its trainings failed.
        """
        planned = {arm.name for arm in self.results.planned}
        for pair, n, may in chain(self._open_pairs(), self._open_claims()):
            if pair <= planned and n:
                yield pair, may

    def _open_pairs(self) -> Iterator[tuple[frozenset[str], int, bool]]:
        """Two arms, how many seeds they share, and whether more might decide."""
        open_ = [c for c in self.comparisons if c.word == "undecided"]
        alpha = self.highest / max(len(open_), 1)
        for c in open_:
            may = alpha > 0 and (
                seeds_may_show(c.difference, "differs", 0.0, alpha)
                or seeds_may_show(c.difference, "within", c.margin, alpha)
            )
            yield frozenset((c.arm, c.other)), c.difference.n, may

    def _open_claims(self) -> Iterator[tuple[frozenset[str], int, bool]]:
        conditions = conditions_of(self.reading, self.scores, self.at)
        decided = {j.claim.id for j in self.judged if j.verdict in ("holds", "fails")}
        sides = 2 * max(len(self.judged) - len(decided), 1)
        for j, parts in zip(self.judged, conditions, strict=True):
            if j.claim.id in decided:
                continue
            for part in parts:
                by = part.holds.by
                if by is not None and part.holds.p >= self.alpha / sides:
                    yield (
                        frozenset((by.question.arm, by.question.other)),
                        by.difference.n,
                        self.highest > 0 and _may_answer(by, self.highest / sides),
                    )

    @property
    def look(self) -> StoredLook:
        """What it says, for the database."""
        arms = tuple(arm.name for arm in self.results.planned)
        found = list(self._open())
        may = set(chain.from_iterable(pair for pair, may in found if may))
        may_not = set(chain.from_iterable(pair for pair, may in found if not may)) - may
        limited = may_not - {self.results.study.reference}
        runs = self.results.runs
        of_this = runs[runs["replicate"] < self.seeds]
        # Of the data, not of the clock: a page is the same whenever it is built.
        last = str(of_this["finished_at"].max())
        return StoredLook(
            seeds=self.seeds,
            alpha=self.alpha,
            made_at=last,
            comparisons=tuple(_of_pair(c, self.seeds) for c in self.comparisons),
            claims=tuple(self._of_claim(j) for j in self.judged),
            pairs=tuple(self.joint),
            arms=arms,
            asked=tuple(arm for arm in arms if arm in may),
            limited=tuple(arm for arm in arms if arm in limited),
        )

    def _of_claim(self, j: Judged) -> SaidOfClaim:
        if (said := self.at.said.get(j.claim.id)) is not None:
            return said
        asks = self.reading.study.asks(j.claim)
        return SaidOfClaim(
            j.claim.id, asks, j.verdict, j.p_holds, j.p_fails, self.seeds, self.alpha
        )


def _may_answer(by: Judgement, alpha: float) -> bool:
    """Whether more seeds might show what a claim asks, or that it is not so."""
    q = by.question
    return any(seeds_may_show(by.difference, k, q.bound, alpha) for k in (q.kind, q.opposite))


def stopped(results: StudyResults) -> dict[str, bool]:
    """Arms that got no more seeds at the last look -> whether they are worse than the reference.

    Worse: on one target at least, and better on none.
    """
    looks = looks_of(results)
    if not looks:
        return {}
    last, have, reference = looks[-1], seeds_ended(results), results.study.reference
    arms = [arm for arm in last.arms if have.get(arm, 0) < last.seeds and arm != reference]
    said: dict[str, set[str]] = {arm: set() for arm in arms}
    for arm, _, word in _sides(last):
        if arm in said:
            said[arm].add(word)
    return {arm: "worse" in found and "better" not in found for arm, found in said.items()}


def _sides(look: StoredLook) -> Iterator[tuple[str, str, str]]:
    """(Arm, target, the word for it), of both arms of each comparison."""
    for s in look.comparisons:
        yield s.arm, s.target, s.word
        yield s.other, s.target, REVERSED.get(s.word, s.word)


def tested(results: StudyResults) -> Tested:
    """The last look that had something to spend; before the first nothing is judged."""
    looks = {look.seeds: look for look in looks_of(results)}

    def at(each: _Looking) -> Tested:
        sides = _sides(looks[each.seeds])
        lost = frozenset((arm, target) for arm, target, word in sides if word == "worse")
        return each.tested._replace(lost=lost)

    made = _judging(results)
    if not made:
        return Tested(results.test, NO_LOOK)
    return at(made[-1])._replace(before=lambda: tuple(map(at, made[:-1])))


def tested_pairs(results: StudyResults) -> Tested:
    """As `tested`, of the arms that have all seeds of the look."""
    if not (made := _judging(results)):
        return Tested(results.test, NO_LOOK)
    return Tested(made[-1].of_this, made[-1].alpha)


def _judging(results: StudyResults) -> tuple[_Looking, ...]:
    """The looks that had something to spend, each as it was made."""
    key, made = "judging", looks_of(results)
    if key not in results.computed:
        results.computed[key] = tuple(
            _Looking(results, look.seeds, made[:i])
            for i, look in enumerate(made)
            if look.alpha > 0
        )
    judging: tuple[_Looking, ...] = results.computed[key]
    return judging


# Between what is stored and what reports show


class Found(NamedTuple):
    """What is decided by now: over all seeds that there are, as the last look has it."""

    comparisons: tuple[Comparison, ...]
    judged: tuple[Judged, ...]
    joint: tuple[JointVerdict, ...]


def found(results: StudyResults, reading: Reading) -> Found:
    """Estimates are of all seeds that there are; verdicts are of the looks alone."""
    looks, scores = looks_of(results), results.test
    last = looks[-1] if looks else None
    to_come = ahead(last.seeds if last else 0, results.record.looks)
    tests, said_words = tests_of(last), words_of(last)
    asked = (
        (*pair, target.key) for pair in pairs(results.study, scores) for target in scores.targets
    )
    made = compare(reading, scores, NO_LOOK, tests if all(key in tests for key in asked) else None)
    tested = [tests.get(c.key, (c.differs, c.equal)) for c in made]
    open_ = (
        max(1, sum(not differs.significant for differs, _ in tested)),
        max(1, sum(not equal.significant for _, equal in tested)),
    )
    comparisons = (
        replace(
            c,
            differs=differs,
            equal=equal,
            open=open_,
            to_come=to_come,
            said=said_words.get(c.key, "undecided"),
        )
        for c, (differs, equal) in zip(made, tested, strict=True)
    )
    joint = {(s.arm, s.other): s for s in last.pairs} if last else {}
    of_now = joint_verdicts(reading, scores, pairs(results.study, scores), NO_LOOK)
    return Found(
        tuple(comparisons),
        judge(reading, scores, AtLook(NO_LOOK, _said(last, reading))),
        tuple(_as_said(j, joint.get((j.arm, j.other))) for j in of_now),
    )


def _said(look: StoredLook | None, reading: Reading) -> Mapping[str, SaidOfClaim]:
    """Claim -> what a look said of it; nothing, where it asks something else since."""
    asks = {claim.id: reading.study.asks(claim) for claim in reading.study.claims}
    return {s.id: s for s in look.claims if s.asks == asks.get(s.id)} if look else {}


def _as_said(joint: JointVerdict, said: SaidOfTasks | None) -> JointVerdict:
    if said is None:
        return joint
    p = {region: said.p.get(region, 1.0) for region in REGIONS}
    return joint._replace(of=PairVerdict(p, said.verdict, said.alpha))


Tests = Mapping[Key, tuple[PairedTest, PairedTest]]


def tests_of(look: StoredLook | None) -> Tests:
    """What a look said of two arms on a target: whether they differ, whether they are equal."""
    return {
        (s.arm, s.other, s.target): (_paired(s.differs), _paired(s.equal))
        for s in (look.comparisons if look else ())
    }


def words_of(look: StoredLook | None) -> Mapping[Key, Word]:
    """The word that a look had for two arms on a target."""
    return {(s.arm, s.other, s.target): s.word for s in (look.comparisons if look else ())}


def _paired(test: SaidTest) -> PairedTest:
    return PairedTest(test.raw, test.p, test.alpha, test.seeds)


def _if_shown(test: PairedTest) -> PairedTest | None:
    return test if test.significant else None


def _of_pair(c: Comparison, seeds: int) -> SaidOfPair:
    differs, equal = (
        SaidTest(t.raw, t.p, t.seeds or seeds, t.alpha) for t in (c.differs, c.equal)
    )
    e = c.difference
    mean = e.mean if isfinite(e.mean) else None
    return SaidOfPair(*c.key, mean, e.low, e.high, e.n, differs, equal, c.word)


def _of_tasks(joint: JointVerdict, seeds: int) -> SaidOfTasks:
    of = joint.of
    p = {str(region): of_region for region, of_region in of.p.items()}
    return SaidOfTasks(joint.arm, joint.other, p, of.verdict, seeds, of.alpha)
