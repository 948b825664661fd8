"""Judges each claim by the rules it was stated with, before any training ran.

A rule breaks down into questions about paired differences, each answered by a test over both
sources of chance (`reports.estimates`). What a study tests is fixed by its definition: the
reference arm against every other arm on both tasks and their mean, and what the claims ask; each
different question once. Whether something differs, and whether it is equivalent, are two families
for Holm's adjustment.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple

from reports import words
from reports.estimates import ALPHA, TOO_FEW, Estimate, Kind, holm, p_value
from reports.results import Scores
from studies.definition import MARGIN, Above, Best, Claim, Flat, NotBoth, NotWorse, Rule, Study

Verdict = Literal["holds", "fails", "undecided"]
Outcome = Literal["for", "against", "open"]


@dataclass(frozen=True)
class Question:
    """What one comparison asks of `level` minus `other`."""

    target: str
    level: str
    other: str
    kind: Kind
    margin: float = 0.0

    @property
    def test(self) -> Hashable:
        """The same for two questions that one test answers: only "not_worse" has a direction."""
        levels = (self.level, self.other)
        pair = levels if self.kind == "not_worse" else tuple(sorted(levels))
        return self.target, pair, self.kind, self.margin


@dataclass(frozen=True)
class Comparison:
    """A question and its answer; `p` is after Holm, None where it could not be tested."""

    question: Question
    difference: Estimate
    p: float | None

    @property
    def significant(self) -> bool:
        """Whether the test decides."""
        return self.p is not None and self.p < ALPHA

    @property
    def outcome(self) -> Outcome:
        """Whether the answer is significant, and for or against the rule that asks."""
        if not self.significant:
            return "open"
        return "against" if self.question.kind == "beyond" or _lead(self) < 0 else "for"


class Families(NamedTuple):
    """How many tests Holm's adjustment counts: of a difference, and of equivalence."""

    difference: int
    equivalence: int


class Finding(NamedTuple):
    """What a rule's comparisons say of it, and the one that decides; None if it has none."""

    outcome: Outcome
    decisive: Comparison | None


@dataclass(frozen=True)
class Judged:
    """A claim with its comparisons, its verdict and the sentence that says why."""

    claim: Claim
    comparisons: tuple[Comparison, ...]
    verdict: Verdict
    found: str
    rule: str


def margin_of(study: Study) -> float:
    """The margin that the study's claims state, or the project's."""
    stated = [r.margin for c in study.claims for r in c.rules if isinstance(r, NotWorse | Flat)]
    return min(stated, default=MARGIN)


def questions(rule: Rule, scores: Scores) -> tuple[Question, ...]:
    """The comparisons that a rule needs."""
    if isinstance(rule, NotBoth):
        return tuple(
            Question(each, str(rule.level), str(rule.other), "above")
            for each in scores.targets[:2]
        )
    target = _target(rule, scores)
    if isinstance(rule, Flat):
        kinds: tuple[Kind, ...] = ("within", "beyond")
        return tuple(
            Question(target, b, a, kind, rule.margin)
            for a, b in combinations(scores.levels, 2)
            for kind in kinds
        )
    level = str(rule.level)
    if isinstance(rule, Above):
        return (Question(target, level, str(rule.other), "above"),)
    others = [other for other in scores.levels if other != level]
    if isinstance(rule, NotWorse):
        return tuple(Question(target, level, o, "not_worse", rule.margin) for o in others)
    if rule.among:
        others = [other for other in others if other in map(str, rule.among)]
    return tuple(Question(target, level, other, "above") for other in others)


def study_questions(study: Study, scores: Scores) -> tuple[Question, ...]:
    """Every study's own: the reference against each other arm on the same test set."""
    reference, margin = study.reference, margin_of(study)
    others = [
        other
        for other in scores.levels
        if other != reference in scores.levels and scores.comparable(reference, other)
    ]
    return tuple(
        question
        for other in others
        for target in scores.targets
        for question in (
            Question(target, reference, other, "above"),
            Question(target, reference, other, "within", margin),
        )
    )


def compare(study: Study, scores: Scores) -> dict[Question, Comparison]:
    """All of a study's comparisons, adjusted family by family; each is made once."""
    claimed = (q for c in study.claims for rule in c.rules for q in questions(rule, scores))
    asked = dict.fromkeys((*study_questions(study, scores), *claimed))
    estimates = {q: scores.difference(q.level, q.other, q.target) for q in asked}
    raw = {q.test: p_value(estimates[q], q.kind, q.margin) for q in asked}
    adjusted = dict[Hashable, float | None]()
    for family in _families(asked):
        adjusted.update(zip(family, holm([raw[test] for test in family]), strict=True))
    return {q: Comparison(q, estimates[q], adjusted[q.test]) for q in asked}


def families(made: Mapping[Question, Comparison]) -> Families:
    """The sizes of the two families."""
    difference, equivalence = _families(made)
    return Families(len(difference), len(equivalence))


def judge(
    study: Study, scores: Scores, made: Mapping[Question, Comparison] | None = None
) -> tuple[Judged, ...]:
    """Every claim of the study, in its order; `made` are its comparisons, if they are at hand."""
    made = compare(study, scores) if made is None else made
    judged = []
    for claim in study.claims:
        answers = [[made[q] for q in questions(rule, scores)] for rule in claim.rules]
        asked = tuple(dict.fromkeys(c for some in answers for c in some))
        findings = tuple(map(_finding, claim.rules, answers))
        verdict = _verdict([finding.outcome for finding in findings])
        rule = "; and ".join(in_words(rule, scores) for rule in claim.rules)
        found = _found(verdict, findings, asked, len(scores.paired))
        judged.append(Judged(claim, asked, verdict, found, rule))
    return tuple(judged)


def in_words(rule: Rule, scores: Scores) -> str:
    """The rule as a sentence without its full stop."""
    if isinstance(rule, NotBoth):
        return f"{rule.level} is below {rule.other} on at least one task"
    target = words.on(_target(rule, scores))
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
        return f"{q.level} against {q.other} {words.on(q.target)} cannot be compared"
    against = words.against(q.kind, q.margin)
    test = "" if comparison.p is None else f", {words.p(comparison.p)} after Holm{against}"
    seeds = words.count(estimate.n, "paired seed")
    return (
        f"{q.level} minus {q.other} {words.on(q.target)} is {words.difference(estimate)} over "
        f"{seeds}{test}"
    )


def _families(asked: Mapping[Question, object]) -> tuple[list[Hashable], list[Hashable]]:
    """The different tests: of a difference, and of equivalence."""
    difference = dict.fromkeys(q.test for q in asked if q.kind != "within")
    equivalence = dict.fromkeys(q.test for q in asked if q.kind == "within")
    return list(difference), list(equivalence)


def _target(rule: Above | Best | NotWorse | Flat, scores: Scores) -> str:
    return scores.targets[("first", "second", "mean").index(rule.target)]


def _lead(comparison: Comparison) -> float:
    """How far the difference lies on the claim's side of its bound."""
    q, mean = comparison.question, comparison.difference.mean
    return q.margin - abs(mean) if q.kind in ("within", "beyond") else mean + q.margin


def _finding(rule: Rule, comparisons: Sequence[Comparison]) -> Finding:
    """The rule's outcome: against it if any answer is, for it if all are.

    Decisive is the strongest answer against it, the weakest for it, or the one furthest from
    being for it. A rule that denies two gains is the reverse of the rule that claims them.
    """
    against = [c for c in comparisons if c.outcome == "against"]
    needed = [c for c in comparisons if c.question.kind != "beyond"]
    open_ = [c for c in needed if c.outcome == "open"]
    reverse = isinstance(rule, NotBoth)
    if not needed:
        return Finding("open", None)
    if against:
        return Finding("for" if reverse else "against", min(against, key=_p))
    if not open_:
        return Finding("against" if reverse else "for", max(needed, key=_p))
    return Finding("open", min(open_, key=lambda c: (c.difference.n == 0, _lead(c))))


def _p(comparison: Comparison) -> float:
    return 1.0 if comparison.p is None else comparison.p


def _verdict(outcomes: Sequence[Outcome]) -> Verdict:
    if "against" in outcomes:
        return "fails"
    return "holds" if outcomes and set(outcomes) == {"for"} else "undecided"


def _found(
    verdict: Verdict, findings: Sequence[Finding], asked: Sequence[Comparison], replicates: int
) -> str:
    """What decided, in one or two sentences."""
    needed = [c for c in asked if c.question.kind != "beyond"]
    missing = sum(c.difference.n == 0 for c in needed)
    if missing == len(needed):
        return f"None of the comparisons could be made: {TOO_FEW}."
    deciding = {"holds": "for", "fails": "against", "undecided": "open"}[verdict]
    decisive = [f.decisive for f in findings if f.decisive and f.outcome == deciding] or needed
    if replicates < 2:
        return f"{_capital(TOO_FEW)}: {sentence(decisive[0])}."
    if verdict == "fails":
        return f"Significant the other way: {sentence(min(decisive, key=_p))}."
    total = words.count(len(needed), "comparison")
    if verdict == "holds":
        return f"The weakest of {total}: {sentence(max(decisive, key=_p))}."
    won = sum(c.outcome == "for" for c in needed)
    untested = f" {words.count(missing, 'comparison')} could not be made." if missing else ""
    if len(needed) == 1:
        return f"Not decided: {sentence(decisive[0])}."
    count = f"{won or 'none'} {'is' if won < 2 else 'are'}"
    return (
        f"Of {total}, {count} significant for it and none decides against it. The furthest from "
        f"it: {sentence(decisive[0])}.{untested}"
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
