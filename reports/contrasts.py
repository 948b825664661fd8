"""The reference arm and every other: better, worse, equivalent, undecided; by target."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from reports import words
from reports.estimates import ALPHA, TOO_FEW, Estimate
from reports.evidence import Question
from reports.power import POWER, chance_to_decide, detectable
from reports.results import Scores
from reports.verdicts import Comparison, Families, crowned, families, pairs
from studies.definition import Study

Word = Literal["better", "worse", "equivalent", "undecided"]
MOST = 1000
"""Nobody trains more replicates than this."""
TEST_SET = "the test set is too small"


class Needed(NamedTuple):
    """Paired seeds in all that would probably decide a comparison, or why none would."""

    seeds: int | None
    reason: str = ""
    at_least: bool = False
    """Whether the test set's part is unknown, and more may be needed."""


@dataclass(frozen=True)
class Contrast:
    """`level` minus `other` on a target: whether they differ, and whether they are equivalent."""

    target: str
    level: str
    other: str
    differs: Comparison
    equal: Comparison
    margin: float
    sizes: Families

    @property
    def difference(self) -> Estimate:
        """The mean difference."""
        return self.differs.difference

    @property
    def significant(self) -> bool:
        """Whether the levels differ, by whatever amount."""
        return self.differs.significant

    @property
    def word(self) -> Word:
        """Equivalent, if that is shown, whatever the sign; else better or worse, if it differs."""
        if self.equal.significant:
            return "equivalent"
        if self.differs.significant:
            return "better" if self.difference.mean > 0 else "worse"
        return "undecided"

    @cached_property
    def needed(self) -> Needed:
        """What would decide it."""
        if self.word != "undecided":
            return Needed(self.difference.n)
        return replicates_needed(self.difference, self.margin, self.sizes)


ALONE = Families(1, 1)


def contrasts(
    study: Study, scores: Scores, made: Mapping[Question, Comparison]
) -> tuple[Contrast, ...]:
    """Of the reference and each other level, target by target; `made` by `compare`.

    Which of the two is subtracted is the study's (`leads`), the same in the whole report.
    """
    margin, sizes = study.margin, families(made)
    found = []
    for level, other in pairs(study, scores):
        for target in scores.targets:
            differs = made.get(Question(target, level, other, "differs"))
            equal = made.get(Question(target, level, other, "within", margin))
            if differs is not None and equal is not None and differs.difference.n:
                found.append(Contrast(target, level, other, differs, equal, margin, sizes))
    return tuple(found)


def replicates_needed(estimate: Estimate, margin: float, sizes: Families = ALONE) -> Needed:
    """The smallest number of paired seeds that would decide, either way, with 80 % chance.

    Were the true mean, the seeds' standard deviation and the test set's part what they are
    estimated to be: a rough guess. Asks for p below ALPHA over the family's size, where Holm may
    ask for less. A test set's part that was estimated as nothing is too small to be measured, not
    nothing: then it is the least number.
    """
    if estimate.se_seeds is None:
        return Needed(None, TOO_FEW)
    seeds, rows = estimate.se_seeds * estimate.n**0.5, estimate.se_test or 0.0
    alphas = ALPHA / sizes.difference, ALPHA / sizes.equivalence

    def decided(n: float) -> bool:
        return chance_to_decide(estimate.mean, seeds, rows, n, margin, alphas) >= POWER

    if decided(MOST):  # once decided, more seeds leave it so
        found = bisect_left(range(MOST), True, lo=2, key=decided)
        return Needed(found, at_least=estimate.se_test == 0)
    return Needed(None, f"more than {MOST} seeds" if decided(np.inf) else TEST_SET)


def detectable_differences(study: Study, found: tuple[Contrast, ...]) -> tuple[str, ...]:
    """What this study would probably find, in a sentence; none if it tested nothing."""
    tested = [c.difference for c in found if c.difference.se_seeds]
    if not tested:
        return ()

    def smallest(tests: int) -> str:
        least = [
            detectable((e.se_seeds or 0) * e.n**0.5, e.se_test or 0, e.n, ALPHA / tests)
            for e in tested
        ]
        return f"{float(np.median(least)):.2g}"

    tests, claims = found[0].sizes.difference, len(study.claims)
    claimed = (
        f"{smallest(claims)} for a claim that rests on one comparison (after Holm over "
        f"{words.count(claims, 'claim')}; more for one that rests on several), and "
        if claims
        else ""
    )
    seeds = words.count(int(np.median([e.n for e in tested])), "paired replicate")
    return (
        f"With {seeds} this study shows with {100 * POWER:g} % chance a true difference in AUC of "
        f"{claimed}{smallest(tests)} in the comparisons with {study.reference} (after Holm over "
        f"{words.count(tests, 'test')}); medians. Smaller ones will mostly stay undecided.",
    )


def factor_sentences(
    study: Study, scores: Scores, made: Mapping[Question, Comparison]
) -> tuple[str, ...]:
    """The reference and every other level on its test set, one sentence each.

    On the mean AUC, or on the task that the study's claims crown the reference on.
    """
    claimed = crowned(study, scores)
    target = next((t for t in reversed(scores.targets) if t in claimed), scores.targets[-1])
    known = {(c.level, c.other): c for c in contrasts(study, scores, made) if c.target == target}
    return tuple(
        f"{level} vs {other} {words.on(target)}: {_told(known.get((level, other)))}"
        for level, other in pairs(study, scores)
    )


def needed_in_words(needed: Needed) -> str:
    """What would decide an undecided comparison.

    >>> needed_in_words(Needed(34)), needed_in_words(Needed(None, TEST_SET))
    ('at this estimate about 34 seeds would decide', 'at this estimate the test set is too small')
    """
    if needed.reason == TOO_FEW:
        return TOO_FEW
    if needed.seeds is None:
        return f"at this estimate {needed.reason}{'' if needed.reason == TEST_SET else ' needed'}"
    about = "at least " if needed.at_least else "about "
    return f"at this estimate {about}{words.count(needed.seeds, 'seed')} would decide"


def _told(contrast: Contrast | None) -> str:
    if contrast is None:
        return "not compared; no replicate has both."
    estimate, differs, equal = contrast.difference, contrast.differs, contrast.equal
    figure = f"AUC {words.difference(estimate)}, {words.count(estimate.n, 'paired replicate')}"
    if differs.p is None or equal.p is None:
        return f"{figure}; {TOO_FEW}."
    if contrast.word == "equivalent":
        way = "above" if estimate.mean > 0 else "below"
        real = f" (it is {way}, but by less than matters)" if contrast.significant else ""
        inside = f"for being inside ±{contrast.margin:g}"
        return f"{figure}, {words.p(equal.p)} {inside} after Holm: equivalent{real}."
    more = f"; {needed_in_words(contrast.needed)}" if contrast.word == "undecided" else ""
    return f"{figure}, {words.p(differs.p)} after Holm: {contrast.word}{more}."
