"""Judges each claim of a study by its rules.

What is judged is fixed by the definition. A claim is a statement about paired differences
(`fsmd.stats.compound`), each tested over both sources of chance (`fsmd.stats.estimates`), and has
two p-values: for showing that it holds, and that it fails. Holm adjusts them over all claims of
the study, two for each. Differences are turned so that more is better (gains); sentences tell
them as they were measured.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain, combinations, groupby, permutations
from typing import Literal

from fsmd.metrics import METRICS
from fsmd.stats.compound import (
    NOTHING,
    Evidence,
    Judgement,
    Question,
    Side,
    either,
    every,
    negated,
)
from fsmd.stats.compound import answered as evidence_of
from fsmd.stats.estimates import ALPHA, TOO_FEW, UNKNOWN, holm, p_value
from reports import words
from reports.results import Scores, turned
from reports.study.reading import Reading
from studies.definition import Above, Best, Claim, Flat, NotEverywhere, NotWorse, Rule, Trades
from studies.store.looks import SaidOfClaim

Verdict = Literal["holds", "leans towards", "open", "leans against", "fails"]
VERDICTS: tuple[Verdict, ...] = ("holds", "leans towards", "open", "leans against", "fails")
LEANING = 0.1
"""A claim leans where its p, taken alone and without Holm, is below this."""
OverTasks = NotEverywhere | Trades
"""Rules about all tasks at once."""
OverArms = Above | Best | NotWorse | Flat
"""Rules about one target."""


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict, its p-values and the sentence that says what was found."""

    claim: Claim
    text: str
    """The claim's, with what its tasks stand for on this data."""
    p_holds: float
    """After Holm over all claims, as `p_fails`."""
    p_fails: float
    alone: tuple[float, float]
    """The two without Holm."""
    verdict: Verdict
    found: str
    rule: str


@dataclass(frozen=True)
class AtLook:
    """At which look claims are judged."""

    alpha: float = ALPHA
    """Its level."""
    said: Mapping[str, SaidOfClaim] = field(default_factory=dict)
    """Claim -> what an earlier look decided; it stays decided, and those that are left are
    adjusted for each other alone."""
    behind: Callable[[str, str], float] = lambda arm, other: 1.0
    """Two arms -> by how much the look's level is above that of the look whose seeds they have:
    what had no more seeds since is judged as it was then."""


def judge(reading: Reading, scores: Scores, at: AtLook | None = None) -> tuple[Judged, ...]:
    """Every claim of the study, in its order; both p after Holm over all claims.

    at: the look; None: the only one.
    """
    at = at or AtLook()
    claims = reading.study.claims
    conditions = conditions_of(reading, scores, at)
    sides = [side.p for parts in conditions for side in every(parts)]
    for i, claim in enumerate(claims):
        if (said := at.said.get(claim.id)) is not None:
            sides[2 * i + (said.verdict == "fails")] = 0.0
    adjusted = [1.0 if p is None else p for p in holm(sides)]
    after = zip(adjusted[::2], adjusted[1::2], strict=True)
    return tuple(
        _judged(claim, parts, reading, scores, both, at)
        for claim, parts, both in zip(claims, conditions, after, strict=True)
    )


def conditions_of(reading: Reading, scores: Scores, at: AtLook) -> list[tuple[Evidence, ...]]:
    """What each claim of the study says, as statements that must all be true."""

    @cache
    def answered(question: Question) -> Evidence:
        arm, other = question.arm, question.other
        known = {arm, other} <= set(scores.arms)  # the data may lack what a claim names
        gain = scores.gain(arm, other, question.target) if known else UNKNOWN
        evidence, times = evidence_of(question, gain), at.behind(arm, other)
        return Evidence(*(side._replace(p=min(1.0, times * side.p)) for side in evidence))

    return [_of_claim(claim, reading, scores, answered) for claim in reading.study.claims]


# Rules as statements about differences

Answering = Callable[[Question], Evidence]


def _of_claim(
    claim: Claim, reading: Reading, scores: Scores, answered: Answering
) -> tuple[Evidence, ...]:
    """The statements that must all be true, each once; one about nothing, if a rule cannot be
    judged on this data."""
    if any(map(reading.lacking, claim.rules)):
        return (NOTHING,)
    parts = (_of_rule(rule, reading, scores, answered) for rule in claim.rules)
    return tuple(dict.fromkeys(chain(*parts)))


def _of_rule(
    rule: Rule, reading: Reading, scores: Scores, answered: Answering
) -> tuple[Evidence, ...]:
    if not isinstance(rule, OverTasks):
        return tuple(map(answered, _questions(rule, reading, scores))) or (NOTHING,)
    tasks = [(t.key, reading.margin(t, rule.margin)) for t in reading.claimed_tasks]
    gains = [answered(Question(t, rule.arm, rule.other, "above", m)) for t, m in tasks]
    if isinstance(rule, NotEverywhere):
        return (negated(every(gains)),)
    losses = [negated(answered(Question(t, rule.arm, rule.other, "above", -m))) for t, m in tasks]
    pairs = permutations(range(len(tasks)), 2)
    return (either([every((gains[won], losses[lost])) for won, lost in pairs]),)


def _questions(rule: OverArms, reading: Reading, scores: Scores) -> tuple[Question, ...]:
    """The comparisons that must all be as the rule says."""
    target = reading.target(rule.target)
    assert target is not None  # else the claim is not judged
    if isinstance(rule, Flat):
        margin = reading.margin(target, rule.margin)
        pairs = combinations(scores.arms, 2)
        return tuple(Question(target.key, b, a, "within", margin) for a, b in pairs)
    if isinstance(rule, Above):
        return (Question(target.key, rule.arm, rule.other, "above"),)
    others = [other for other in scores.arms if other != rule.arm]
    if isinstance(rule, NotWorse):
        bound = -reading.margin(target, rule.margin)
        return tuple(Question(target.key, rule.arm, other, "above", bound) for other in others)
    among = set(rule.among) or set(others)
    return tuple(Question(target.key, rule.arm, o, "above") for o in others if o in among)


# Rules in words


def in_words(rule: Rule, reading: Reading) -> str:
    """The rule as a sentence without its full stop."""
    arm = words.called(getattr(rule, "arm", ""), reading.study.factor)
    if isinstance(rule, OverTasks):
        amount, other = _amount(rule, reading), rule.other
        if isinstance(rule, NotEverywhere):
            return f"{arm} gains less than {amount} over {other} on at least one task"
        return (
            f"{arm} gains more than {amount} over {other} on one task and loses more than "
            "that on another"
        )
    target = reading.target(rule.target)
    if target is None:
        return _without_target(rule)
    metric = METRICS[target.metric]
    on_it = f"{metric.label} {words.on_target(target.key)}"
    margin = words.number(reading.margin(target, getattr(rule, "margin", None)))
    if isinstance(rule, Flat):
        return f"no two arms differ by more than {margin} in {on_it}"
    if isinstance(rule, NotWorse):
        below = "below" if metric.higher else "above"
        return f"{arm} is at most {margin} {below} every other arm in {on_it}"
    higher = "higher" if metric.higher else "lower"
    return f"{arm} has a {higher} {on_it} than {_others(rule)}"


def _without_target(rule: OverArms) -> str:
    """As a claim has it, where the data has nothing that its target stands for."""
    on_it = words.on_target(rule.target)
    if isinstance(rule, Flat):
        return f"no two arms differ {on_it} by more than matters"
    if isinstance(rule, NotWorse):
        return f"{rule.arm} is worse {on_it} than no other arm"
    return f"{rule.arm} is better {on_it} than {_others(rule)}"


def _others(rule: Above | Best) -> str:
    if isinstance(rule, Above):
        return rule.other
    if not rule.among:
        return "every other arm"
    others = [arm for arm in rule.among if arm != rule.arm]
    return f"{'each of ' if len(others) > 1 else ''}{words.listed(others)}"


def _amount(rule: OverTasks, reading: Reading) -> str:
    """`0.001 in AUC`, where all tasks have one margin."""
    tasks = reading.claimed_tasks
    margins = {reading.margin(target, rule.margin) for target in tasks}
    if len(margins) > 1:
        return "the margin of its metric"
    return f"{words.number(min(margins))} in {words.measured(tasks)}"


def _together(rules: Sequence[Rule]) -> Iterator[Rule]:
    """Rules in a row that say the same of several arms as one, for words only."""

    def without_arm(rule: Rule) -> Rule:
        return replace(rule, arm="") if isinstance(rule, OverTasks) else rule

    for _, alike in groupby(rules, key=without_arm):
        first, *more = alike
        if more and isinstance(first, OverTasks):
            arms = words.listed(rule.arm for rule in (first, *more) if isinstance(rule, OverTasks))
            yield replace(first, arm=f"each of {arms}")
        else:
            yield from (first, *more)


# Verdicts in words


def _judged(
    claim: Claim,
    conditions: tuple[Evidence, ...],
    reading: Reading,
    scores: Scores,
    p: tuple[float, float],
    at: AtLook,
) -> Judged:
    holds, fails = every(conditions)
    alone = holds.p, fails.p
    verdict = _verdict(p, alone, at.alpha)
    if (said := at.said.get(claim.id)) is not None:
        verdict, p = said.verdict, (said.p_holds, said.p_fails)
    rule = "; and ".join(in_words(rule, reading) for rule in _together(claim.rules))
    lacking = dict.fromkeys(filter(None, map(reading.lacking, claim.rules)))
    found = f"It cannot be judged on this data: {'; '.join(lacking)}."
    if not lacking:
        single = not any(isinstance(rule, OverTasks) for rule in claim.rules)
        noun = "comparison" if single else "condition"
        level = (at.alpha, None) if said is None else (said.alpha, said.seeds)
        found = _Telling(reading, scores, noun, conditions, *level).sentence(verdict)
    return Judged(claim, reading.in_words(claim), *p, alone, verdict, found, rule)


def _verdict(p: tuple[float, float], alone: tuple[float, float], alpha: float) -> Verdict:
    """p: that it holds and that it fails, after Holm; alone: without."""
    if min(p) < alpha:
        return "holds" if p[0] <= p[1] else "fails"
    if min(alone) < LEANING:
        return "leans towards" if alone[0] <= alone[1] else "leans against"
    return "open"


@dataclass(frozen=True)
class _Telling:
    """What decided on a claim, or did not."""

    reading: Reading
    scores: Scores
    noun: str
    """What a part of the claim is called."""
    conditions: tuple[Evidence, ...]
    alpha: float
    """Of the look that decided."""
    seeds: int | None
    """Its seeds, where it is an earlier one."""

    def sentence(self, verdict: Verdict) -> str:
        """The strongest against it or the weakest for it."""
        conditions = self.conditions
        answers = [c.holds.by for c in conditions if c.holds.by and c.holds.by.difference.n]
        tested = [c for c in conditions if c.holds.by and c.holds.by.tested]
        holds, fails = every(conditions)
        if not answers:
            return f"None of the comparisons could be made: {self._reason()}."
        if not tested:
            return f"{words.capital(TOO_FEW)}: {self._figure(answers[0])}."
        if verdict in ("fails", "leans against"):
            return f"{self._figure(fails.by)}.{self._small(verdict, fails)}"
        several, total = len(conditions) > 1, words.count(len(conditions), self.noun)
        lean = sum(condition.holds.p < condition.fails.p for condition in tested)
        missing = len(conditions) - len(tested)
        untested = f", {missing} could not be tested" if missing else ""
        went = "all are met" if verdict == "holds" else f"{lean} go its way{untested}"
        before = f"Of {total} {went}; the weakest: " if several else ""
        return f"{before}{self._figure(holds.by)}.{self._small(verdict, holds)}"

    def _reason(self) -> str:
        """Why nothing could be compared: arms that are not there, else too few replicates."""
        asked = [c.holds.by.question for c in self.conditions if c.holds.by]
        named = dict.fromkeys(arm for q in asked for arm in (q.arm, q.other))
        absent = [arm for arm in named if arm not in self.scores.arms]
        are = "is not an arm" if len(absent) == 1 else "are no arms"
        return f"{words.listed(absent)} {are} of this study here" if absent else TOO_FEW

    def _figure(self, answer: Judgement | None) -> str:
        """Which arms, on what, by how much, over how many replicates; as it was measured."""
        assert answer is not None  # something was compared
        q, metric = answer.question, self.scores.metric(answer.question.target)
        difference = turned(answer.difference, metric.sign)
        arm = words.called(q.arm, self.reading.study.factor)
        return (
            f"{arm} minus {q.other} {words.on_target(q.target)} is "
            f"{words.difference(difference, metric.digits + 1)} over "
            f"{words.count(difference.n, 'replicate')}"
        )

    def _small(self, verdict: Verdict, side: Side) -> str:
        """A word where a difference was shown not to be zero, and to be too small to matter."""
        q = side.by.question if side.by else None
        if verdict not in ("holds", "fails") or q is None or q.kind == "within" or q.bound:
            return ""  # shown was something else than that it is not zero
        assert side.by is not None
        margin = self.reading.margin(self.scores.target(q.target))
        if self.seeds is not None and side.by.difference.n > self.seeds:
            return ""  # between looks nothing is judged
        p = p_value(side.by.difference, "within", margin)
        small = f" It is there, but below {words.number(margin)}, which matters to nobody."
        claims = len(self.reading.study.claims)
        return "" if p is None or p >= self.alpha / claims else small
