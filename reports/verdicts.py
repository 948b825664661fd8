"""Judges each claim by its rules, and compares the reference with every other arm.

What a study tests is fixed by its definition. A claim is a statement about paired differences
(`reports.evidence`), each tested over both sources of chance (`reports.estimates`), and has two
p-values: for showing that it holds, and that it fails. Holm adjusts them over all claims of the
study, two for each. The comparisons of the reference with the other arms, on both tasks and their
mean, are there to be read beside the claims and are families of their own: whether something
differs, and whether it is equivalent.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import chain, combinations, groupby
from typing import Literal, NamedTuple

from reports import words
from reports.estimates import ALPHA, TOO_FEW, Estimate, holm, p_value
from reports.evidence import NOTHING, Answer, Evidence, Question, Side, denied, either, every
from reports.results import Scores
from reports.shape import leads
from studies.definition import Above, Best, Claim, Flat, NotBoth, NotWorse, Rule, Study, Trades

Verdict = Literal["holds", "fails", "undecided"]


@dataclass(frozen=True)
class Comparison:
    """A question and its answer; both p are None where it could not be tested."""

    question: Question
    difference: Estimate
    raw: float | None
    p: float | None
    """After Holm."""

    @property
    def significant(self) -> bool:
        """Whether the test decides."""
        return self.p is not None and self.p < ALPHA


class Families(NamedTuple):
    """How many tests Holm's adjustment counts: of a difference, and of equivalence."""

    difference: int
    equivalence: int


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict, the two p-values after Holm and the sentence that says why."""

    claim: Claim
    p_holds: float
    p_fails: float
    verdict: Verdict
    found: str
    rule: str


def pairs(study: Study, scores: Scores) -> tuple[tuple[str, str], ...]:
    """The reference and each other arm on the same test set, the one that is subtracted last.

    Which one that is, is the study's (`leads`), the same in the whole report.
    """
    reference = study.reference
    if reference not in scores.levels:
        return ()
    others = [o for o in scores.levels if o != reference and scores.comparable(reference, o)]
    return tuple((reference, o) if leads(study) else (o, reference) for o in others)


def study_questions(study: Study, scores: Scores) -> tuple[Question, ...]:
    """Of each pair, on each target: does it differ, is it equivalent?"""
    return tuple(
        question
        for level, other in pairs(study, scores)
        for target in scores.targets
        for question in (
            Question(target, level, other, "differs"),
            Question(target, level, other, "within", study.margin),
        )
    )


def compare(study: Study, scores: Scores) -> dict[Question, Comparison]:
    """The reference and the others, adjusted family by family."""
    asked = study_questions(study, scores)
    found = {q: scores.difference(q.level, q.other, q.target) for q in asked}
    raw = {q: p_value(found[q], q.kind, q.bound) for q in asked}
    adjusted = dict[Question, float | None]()
    for kind in ("differs", "within"):
        family = [q for q in asked if q.kind == kind]
        adjusted.update(zip(family, holm([raw[q] for q in family]), strict=True))
    return {q: Comparison(q, found[q], raw[q], adjusted[q]) for q in asked}


def families(made: Mapping[Question, Comparison]) -> Families:
    """The sizes of the two families."""
    kinds = [question.kind for question in made]
    return Families(kinds.count("differs"), kinds.count("within"))


def judge(study: Study, scores: Scores) -> tuple[Judged, ...]:
    """Every claim of the study, in its order; both p after Holm over all claims."""

    @cache
    def answered(question: Question) -> Evidence:
        return _answered(question, scores)

    asked = [[_conditions(r, scores, answered) for r in claim.rules] for claim in study.claims]
    conditions = [tuple(dict.fromkeys(chain(*some))) for some in asked]  # each is met once
    sides = [side for some in conditions for side in every(some)]
    adjusted = [1.0 if p is None else p for p in holm([side.p for side in sides])]
    after = zip(adjusted[::2], adjusted[1::2], strict=True)
    return tuple(
        _judged(claim, some, scores, study.margin, *both)
        for claim, some, both in zip(study.claims, conditions, after, strict=True)
    )


def in_words(rule: Rule, scores: Scores) -> str:
    """The rule as a sentence without its full stop."""
    if isinstance(rule, NotBoth):
        return (
            f"{rule.level} gains less than {rule.margin:g} in AUC over {rule.other} on at least "
            "one task"
        )
    if isinstance(rule, Trades):
        return (
            f"{rule.level} gains more than {rule.margin:g} in AUC over {rule.other} on one task "
            "and loses more than that on the other"
        )
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


def _together(rules: Sequence[Rule]) -> Iterator[Rule]:
    """Rules in a row that say the same of several levels as one, for words only."""

    def said(rule: Rule) -> Rule:
        return replace(rule, level="") if isinstance(rule, NotBoth | Trades) else rule

    for _, some in groupby(rules, key=said):
        first, *more = some
        if more and isinstance(first, NotBoth | Trades):
            levels = [first.level, *(r.level for r in more if isinstance(r, NotBoth | Trades))]
            yield replace(first, level=f"each of {words.listed(levels)}")
        else:
            yield from (first, *more)


def crowned(study: Study, scores: Scores) -> frozenset[str]:
    """The targets on which a claim puts the reference above another arm."""
    return frozenset(
        _target(rule, scores)
        for claim in study.claims
        for rule in claim.rules
        if isinstance(rule, Above | Best) and str(rule.level) == study.reference
    )


def _answered(question: Question, scores: Scores) -> Evidence:
    """Both sides of one comparison; where it could not be tested, nothing for either."""
    difference = scores.difference(question.level, question.other, question.target)
    by = Answer(question, difference)
    sides = (
        p_value(difference, kind, question.bound) for kind in (question.kind, question.opposite)
    )
    return Evidence(*(Side(1.0 if p is None else p, by) for p in sides))


def _conditions(
    rule: Rule, scores: Scores, answered: Callable[[Question], Evidence]
) -> tuple[Evidence, ...]:
    """The statements that must all be true for the rule to hold."""
    if isinstance(rule, NotBoth | Trades):
        level, other, tasks = str(rule.level), str(rule.other), scores.targets[:2]
        gains = [answered(Question(t, level, other, "above", rule.margin)) for t in tasks]
        if isinstance(rule, NotBoth):
            return (denied(every(gains)),)
        losses = [
            denied(answered(Question(t, level, other, "above", -rule.margin))) for t in tasks
        ]
        return (either([every(pair) for pair in zip(gains, losses[::-1], strict=True)]),)
    return tuple(map(answered, _questions(rule, scores))) or (NOTHING,)


def _questions(rule: Above | Best | NotWorse | Flat, scores: Scores) -> tuple[Question, ...]:
    """The comparisons that must all be as the rule says."""
    target = _target(rule, scores)
    if isinstance(rule, Flat):
        return tuple(
            Question(target, b, a, "within", rule.margin)
            for a, b in combinations(scores.levels, 2)
        )
    level = str(rule.level)
    if isinstance(rule, Above):
        return (Question(target, level, str(rule.other), "above"),)
    others = [other for other in scores.levels if other != level]
    if isinstance(rule, NotWorse):
        return tuple(Question(target, level, o, "above", -rule.margin) for o in others)
    among = set(map(str, rule.among)) or set(others)
    return tuple(Question(target, level, o, "above") for o in others if o in among)


def _target(rule: Above | Best | NotWorse | Flat, scores: Scores) -> str:
    return scores.targets[("first", "second", "mean").index(rule.target)]


def _judged(
    claim: Claim,
    conditions: tuple[Evidence, ...],
    scores: Scores,
    margin: float,
    p_holds: float,
    p_fails: float,
) -> Judged:
    verdict: Verdict = "undecided"
    if p_holds < ALPHA:
        verdict = "holds"
    elif p_fails < ALPHA:
        verdict = "fails"
    single = not any(isinstance(rule, NotBoth | Trades) for rule in claim.rules)
    noun = "comparison" if single else "condition"
    found = _found(verdict, conditions, noun, scores.levels, margin, p_holds, p_fails)
    rule = "; and ".join(in_words(rule, scores) for rule in _together(claim.rules))
    return Judged(claim, p_holds, p_fails, verdict, found, rule)


def _found(
    verdict: Verdict,
    conditions: tuple[Evidence, ...],
    noun: str,
    levels: Sequence[str],
    margin: float,
    p_holds: float,
    p_fails: float,
) -> str:
    """What decided, in one or two sentences: the strongest against it or the weakest for it."""
    answers = [c.holds.by for c in conditions if c.holds.by and c.holds.by.difference.n]
    tested = [c for c in conditions if c.holds.by and c.holds.by.tested]
    holds, fails = every(conditions)
    if not answers:
        return f"None of the comparisons could be made: {_lacking(conditions, levels)}."
    if not tested:
        return f"{TOO_FEW[:1].upper()}{TOO_FEW[1:]}: {_figure(answers[0])}."
    for_it, against = words.p_by_holm(holds.p, p_holds), words.p_by_holm(fails.p, p_fails)
    if verdict == "fails":
        return f"Significant the other way: {_figure(fails.by)}; {against}.{_small(fails, margin)}"
    several, total = len(conditions) > 1, words.count(len(conditions), noun)
    weakest = f"{'the weakest: ' if several else ''}{_figure(holds.by)}"
    if verdict == "holds":
        met = f"Each of {total} is met; " if several else ""
        return f"{met}{weakest}; {for_it}.{_small(holds, margin)}"
    missing = len(conditions) - len(tested)
    untested = f" {words.count(missing, noun)} could not be tested." if missing else ""
    lean = sum(condition.holds.p < condition.fails.p for condition in tested)
    many = f"of {total}, {lean} {'leans' if lean == 1 else 'lean'} its way; " if several else ""
    return f"Not decided: {many}{weakest}. For it {for_it}; against it {against}.{untested}"


def _lacking(conditions: Sequence[Evidence], levels: Sequence[str]) -> str:
    """Why nothing could be compared: levels that are not there, else too few replicates."""
    asked = [c.holds.by.question for c in conditions if c.holds.by]
    named = dict.fromkeys(level for q in asked for level in (q.level, q.other))
    absent = [level for level in named if level not in levels]
    are = "is not a level" if len(absent) == 1 else "are no levels"
    return f"{words.listed(absent)} {are} of this study here" if absent else TOO_FEW


def _small(side: Side, margin: float) -> str:
    """A word where a difference was shown not to be zero, and to be too small to matter."""
    if side.by is None or side.by.question.kind == "within" or side.by.question.bound:
        return ""  # shown was something else than that it is not zero
    p = p_value(side.by.difference, "within", margin)
    if p is None or p >= ALPHA:
        return ""
    return f" It is there, but below {margin:g}, which matters to nobody ({words.p(p)})."


def _figure(answer: Answer | None) -> str:
    """Who against whom, on what, by how much, over how many replicates."""
    assert answer is not None  # something was compared
    q, estimate = answer
    return (
        f"{q.level} minus {q.other} {words.on(q.target)} is {words.difference(estimate)} over "
        f"{words.count(estimate.n, 'paired replicate')}"
    )
