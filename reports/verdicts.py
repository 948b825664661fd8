"""Judges each claim by the rules it was stated with, before any training ran.

A rule breaks down into paired comparisons, each a two-sided t test of the mean difference against
a bound: 0 (`Above`, `Best`) or the margin (`NotWorse`, `Flat`). All of a study's comparisons make
one family for Holm's adjustment. A claim holds if every comparison is significant in its
direction, fails if any is significant the other way, and is undecided otherwise.
"""

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from reports import words
from reports.estimates import ALPHA, TOO_FEW, Estimate, holm, mean_interval, p_value
from reports.results import Scores
from studies.definition import Above, Best, Claim, Flat, NotBoth, NotWorse, Rule, Study

Verdict = Literal["holds", "fails", "undecided"]
Kind = Literal["above", "not_worse", "flat"]
Outcome = Literal["for", "against", "open"]


@dataclass(frozen=True)
class Question:
    """What one comparison asks of `level` minus `other`."""

    target: str
    level: str
    other: str
    kind: Kind
    margin: float = 0.0


@dataclass(frozen=True)
class Comparison:
    """A question and its answer; `p` is after Holm, None where it could not be tested."""

    question: Question
    difference: Estimate
    p: float | None

    @property
    def outcome(self) -> Outcome:
        """Whether the answer is significant, and which way."""
        if self.p is None or self.p >= ALPHA:
            return "open"
        return "for" if _lead(self) > 0 else "against"


@dataclass(frozen=True)
class Judged:
    """A claim with its comparisons, its verdict and the sentence that says why."""

    claim: Claim
    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    found: str
    rule: str


def questions(rule: Rule, scores: Scores) -> tuple[Question, ...]:
    """The comparisons that a rule needs."""
    if isinstance(rule, NotBoth):
        return tuple(
            Question(each, str(rule.level), str(rule.other), "above")
            for each in scores.targets[:2]
        )
    target = _target(rule, scores)
    if isinstance(rule, Flat):
        pairs = combinations(scores.levels, 2)
        return tuple(Question(target, b, a, "flat", rule.margin) for a, b in pairs)
    level = str(rule.level)
    if isinstance(rule, Above):
        return (Question(target, level, str(rule.other), "above"),)
    others = [other for other in scores.levels if other != level]
    if isinstance(rule, NotWorse):
        return tuple(Question(target, level, o, "not_worse", rule.margin) for o in others)
    if rule.among:
        others = [other for other in others if other in map(str, rule.among)]
    return tuple(Question(target, level, other, "above") for other in others)


def compare(study: Study, scores: Scores) -> dict[Question, Comparison]:
    """All comparisons of a study's claims, adjusted together; each is made once."""
    asked = dict.fromkeys(
        question
        for claim in study.claims
        for rule in claim.rules
        for question in questions(rule, scores)
    )
    found = {q: scores.differences(q.level, q.other, q.target) for q in asked}
    estimates = {q: mean_interval(found[q]) for q in asked}
    adjusted = holm([p_value(found[q], _bound(q, estimates[q].mean)) for q in asked])
    return {q: Comparison(q, estimates[q], p) for q, p in zip(asked, adjusted, strict=True)}


def judge(study: Study, scores: Scores) -> tuple[Judged, ...]:
    """Every claim of the study, in its order."""
    made = compare(study, scores)
    judged = []
    for claim in study.claims:
        asked = [q for rule in claim.rules for q in questions(rule, scores)]
        comparisons = tuple(made[q] for q in dict.fromkeys(asked))
        verdict = _verdict(
            [_outcome(rule, [made[q] for q in questions(rule, scores)]) for rule in claim.rules]
        )
        rule = "; and ".join(in_words(rule, scores) for rule in claim.rules)
        found = _found(verdict, comparisons, len(made), len(scores.paired))
        judged.append(Judged(claim, comparisons, verdict, found, rule))
    return tuple(judged)


def in_words(rule: Rule, scores: Scores) -> str:
    """The rule as a sentence without its full stop."""
    if isinstance(rule, NotBoth):
        return f"{rule.level} is below {rule.other} on at least one task"
    target = _on(_target(rule, scores))
    if isinstance(rule, Flat):
        return f"no two levels differ by more than {rule.margin:g} in AUC {target}"
    if isinstance(rule, Above):
        return f"{rule.level} has a higher AUC {target} than {rule.other}"
    if isinstance(rule, NotWorse):
        return f"{rule.level} is at most {rule.margin:g} below every other level in AUC {target}"
    if rule.among:
        others = words.listed(level for level in rule.among if level != rule.level)
        return f"{rule.level} has a higher AUC {target} than each of {others}"
    return f"{rule.level} has a higher AUC {target} than every other level"


def sentence(comparison: Comparison) -> str:
    """The comparison's figure: who against whom, on what, by how much, over how many seeds."""
    q, estimate = comparison.question, comparison.difference
    if estimate.n == 0:
        return f"{q.level} against {q.other} {_on(q.target)} cannot be compared"
    against = words.against(q.kind, q.margin)
    test = "" if comparison.p is None else f", {words.p(comparison.p)}{against} after Holm"
    seeds = words.count(estimate.n, "paired seed")
    return (
        f"{q.level} minus {q.other} {_on(q.target)} is {words.difference(estimate)} over "
        f"{seeds}{test}"
    )


def factor_sentences(study: Study, scores: Scores, margin: float) -> tuple[str, ...]:
    """The paper's winner against every other level, one sentence each.

    On the mean AUC, or on the task that the study's claims crown the winner on.
    """
    winner, made = study.reference, compare(study, scores)
    crowned = {q.target for q in made if q.kind == "above" and q.level == winner}
    target = next((t for t in reversed(scores.targets) if t in crowned), scores.targets[-1])
    told = []
    for other in (level for level in scores.levels if level != winner):
        asked = made.get(Question(target, winner, other, "above"))
        estimate = mean_interval(scores.differences(winner, other, target))
        finding = _factor_finding(estimate, asked.p if asked else None, margin)
        told.append(f"{winner} vs {other} {_on(target)}: {finding}")
    return tuple(told)


def _factor_finding(estimate: Estimate, p: float | None, margin: float) -> str:
    if estimate.n == 0:
        return "not compared, no replicate has both."
    figure = f"AUC {words.difference(estimate)}, {words.count(estimate.n, 'paired seed')}"
    if estimate.low is None or estimate.high is None:
        return f"{figure}; {TOO_FEW}."
    inside = -margin < estimate.low and estimate.high < margin
    if p is None:
        return f"{figure}; no claim compares them."
    if p < ALPHA:
        way = "better" if estimate.mean > 0 else "worse"
        small = f", by less than the margin of {margin:g}" if inside else ""
        return f"{figure}, {words.p(p)} after Holm: {way}{small}."
    equal = "equivalent" if inside else "not shown to be equivalent"
    return f"{figure}, {words.p(p)} after Holm: inconclusive; {equal} at ±{margin:g}."


def _target(rule: Above | Best | NotWorse | Flat, scores: Scores) -> str:
    return scores.targets[("first", "second", "mean").index(rule.target)]


def _on(target: str) -> str:
    return "on the mean" if target == "mean" else f"on {target}"


def _bound(question: Question, mean: float) -> float:
    """What the difference is tested against; of a flat rule's two margins, the nearer one."""
    if question.kind == "flat":
        return question.margin if mean > 0 else -question.margin
    return -question.margin


def _lead(comparison: Comparison) -> float:
    """How far the difference lies on the claim's side of its bound."""
    q, mean = comparison.question, comparison.difference.mean
    return q.margin - abs(mean) if q.kind == "flat" else mean + q.margin


def _outcome(rule: Rule, comparisons: list[Comparison]) -> Outcome:
    """Whether all comparisons speak for the rule, or any against it."""
    outcomes = {comparison.outcome for comparison in comparisons}
    if isinstance(rule, NotBoth):  # one loss is enough for it, two gains decide against it
        return "for" if "against" in outcomes else "against" if outcomes == {"for"} else "open"
    return "against" if "against" in outcomes else "for" if outcomes == {"for"} else "open"


def _verdict(outcomes: list[Outcome]) -> Verdict:
    if "against" in outcomes:
        return "fails"
    return "holds" if outcomes and set(outcomes) == {"for"} else "undecided"


def _found(
    verdict: Verdict, comparisons: tuple[Comparison, ...], family: int, replicates: int
) -> str:
    """What decided, in one or two sentences."""
    by_lead = sorted(comparisons, key=lambda c: (c.difference.n > 0, _lead(c)))
    tested = [c for c in by_lead if c.difference.n > 0]
    if not tested:
        return f"None of the comparisons could be made: {TOO_FEW}."
    if replicates < 2:
        return f"{_capital(TOO_FEW)}: {sentence(tested[0])}."
    total = words.count(len(comparisons), "comparison")
    over = f"over {words.count(family, 'comparison')}"
    if verdict == "holds":
        weakest = max(tested, key=lambda c: c.p or 0.0)
        return f"The weakest of {total}: {sentence(weakest)} {over}."
    if verdict == "fails":
        against = min((c for c in tested if c.outcome == "against"), key=lambda c: c.p or 0.0)
        return f"Significant the other way: {sentence(against)} {over}."
    won = sum(c.outcome == "for" for c in comparisons)
    missing = len(comparisons) - len(tested)
    untested = f" {words.count(missing, 'comparison')} could not be made." if missing else ""
    open_ = next((c for c in tested if c.outcome == "open"), tested[0])
    return (
        f"{won} of {total} significant in its direction, none against it; the furthest from "
        f"deciding for it: {sentence(open_)} {over}.{untested}"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
