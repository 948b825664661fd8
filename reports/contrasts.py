"""The reference arm against every other: better, worse, equivalent, undecided; by target."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from reports import words
from reports.estimates import ALPHA, TOO_FEW, Estimate, p_values
from reports.results import Scores
from reports.verdicts import Comparison, Families, Question, families, margin_of, questions
from studies.definition import Study

Word = Literal["better", "worse", "equivalent", "undecided"]
MOST = 1000
"""Nobody trains more replicates than this."""
TEST_SET = "the test set is too small"


class Needed(NamedTuple):
    """Paired seeds in all that would decide a comparison, or why none would."""

    seeds: int | None
    reason: str = ""


@dataclass(frozen=True)
class Contrast:
    """`level` minus `other` on a target; both p are after Holm, each in its own family."""

    target: str
    level: str
    other: str
    difference: Estimate
    p: float | None
    p_equivalent: float | None
    word: Word
    needed: Needed

    @property
    def significant(self) -> bool:
        """Whether the levels differ, by whatever amount."""
        return self.p is not None and self.p < ALPHA


ALONE = Families(1, 1)


def contrasts(
    study: Study, scores: Scores, made: Mapping[Question, Comparison]
) -> tuple[Contrast, ...]:
    """Of the reference against each other level, target by target; `made` by `compare`.

    A difference that is shown to be inside the margins is equivalent whatever its sign; one that
    is not, and differs from zero, is better or worse; the rest is undecided.
    """
    margin, sizes = margin_of(study), families(made)
    found = []
    for other in scores.levels:
        for target in scores.targets:
            differs = made.get(Question(target, study.reference, other, "above"))
            equal = made.get(Question(target, study.reference, other, "within", margin))
            if differs is not None and equal is not None and differs.difference.n:
                found.append(_contrast(differs, equal, margin, sizes))
    return tuple(found)


def replicates_needed(estimate: Estimate, margin: float, sizes: Families = ALONE) -> Needed:
    """The smallest number of paired seeds at which the comparison would be decided, either way.

    Assumes that the mean, the seeds' standard deviation and the test set's part stay as they are
    now, and asks for p below ALPHA over the family's size, where Holm may ask for less.
    """
    if estimate.se_seeds is None:
        return Needed(None, TOO_FEW)
    by_seed, by_rows = estimate.se_seeds * estimate.n**0.5, estimate.se_test or 0.0

    def decided(n: float) -> bool:
        errors = by_seed / n**0.5, by_rows, min(n, MOST) - 1
        differ = p_values("above", estimate.mean, *errors, 0.0)
        equal = p_values("within", estimate.mean, *errors, margin)
        return bool(differ < ALPHA / sizes.difference or equal < ALPHA / sizes.equivalence)

    if decided(MOST):  # once decided, more seeds leave it so
        return Needed(bisect_left(range(MOST), True, lo=2, key=decided))
    return Needed(None, f"more than {MOST} seeds" if decided(np.inf) else TEST_SET)


def factor_sentences(
    study: Study, scores: Scores, made: Mapping[Question, Comparison]
) -> tuple[str, ...]:
    """The reference against every other level on its test set, one sentence each.

    On the mean AUC, or on the task that the study's claims crown the reference on.
    """
    reference = study.reference
    claimed = {
        q.target
        for claim in study.claims
        for rule in claim.rules
        for q in questions(rule, scores)
        if q.kind == "above" and q.level == reference
    }
    target = next((t for t in reversed(scores.targets) if t in claimed), scores.targets[-1])
    known = {c.other: c for c in contrasts(study, scores, made) if c.target == target}
    return tuple(
        f"{reference} vs {other} {words.on(target)}: {_told(known.get(other), margin_of(study))}"
        for other in scores.levels
        if other != reference and scores.comparable(reference, other)
    )


def needed_in_words(needed: Needed) -> str:
    """What would decide an undecided comparison.

    >>> needed_in_words(Needed(34)), needed_in_words(Needed(None, TEST_SET))
    ('34 seeds would decide', 'the test set is too small to decide')
    """
    if needed.seeds is not None:
        return f"{words.count(needed.seeds, 'seed')} would decide"
    return f"{needed.reason} to decide" if needed.reason != TOO_FEW else TOO_FEW


def _contrast(differs: Comparison, equal: Comparison, margin: float, sizes: Families) -> Contrast:
    q, estimate = differs.question, differs.difference
    word: Word = "undecided"
    if equal.significant:
        word = "equivalent"
    elif differs.significant:
        word = "better" if estimate.mean > 0 else "worse"
    needed = (
        Needed(estimate.n) if word != "undecided" else replicates_needed(estimate, margin, sizes)
    )
    return Contrast(q.target, q.level, q.other, estimate, differs.p, equal.p, word, needed)


def _told(contrast: Contrast | None, margin: float) -> str:
    if contrast is None:
        return "not compared; no replicate has both."
    estimate = contrast.difference
    figure = f"AUC {words.difference(estimate)}, {words.count(estimate.n, 'paired seed')}"
    if contrast.p is None or contrast.p_equivalent is None:
        return f"{figure}; {TOO_FEW}."
    if contrast.word == "equivalent":
        way = "above" if estimate.mean > 0 else "below"
        real = f" (it is {way}, but by less than matters)" if contrast.significant else ""
        inside = words.against("within", margin)
        return f"{figure}, {words.p(contrast.p_equivalent)}{inside} after Holm: equivalent{real}."
    more = f"; {needed_in_words(contrast.needed)}" if contrast.word == "undecided" else ""
    return f"{figure}, {words.p(contrast.p)} after Holm: {contrast.word}{more}."
