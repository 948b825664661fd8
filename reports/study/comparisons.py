"""The reference against every other arm: better, worse, equivalent or undecided, by target.

These comparisons are there to be read beside the claims and are two families of their own:
whether something differs, and whether it is equivalent. Which arms are compared is fixed by the
definition.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from fsmd.metrics import METRICS, Metric
from fsmd.stats.estimates import ALPHA, TOO_FEW, Estimate, holm, p_value
from fsmd.stats.power import (
    MOST_REPLICATES,
    POWER,
    Needed,
    Obstacle,
    detectable,
    replicates_needed,
)
from fsmd.tasks import Target
from reports import words
from reports.results import Scores
from reports.study.reading import Reading
from reports.study.shape import reference_first
from studies.definition import Study

Word = Literal["better", "worse", "equivalent", "undecided"]

OBSTACLES: dict[Obstacle, str] = {
    "too few replicates": TOO_FEW,
    "too many replicates": f"more than {MOST_REPLICATES} seeds",
    "test set": "the test set is too small",
}
"""Why no number of seeds would decide, in words."""


class PairedTest(NamedTuple):
    """A p-value and what it is after Holm; None where the test could not be made."""

    raw: float | None
    p: float | None

    @property
    def significant(self) -> bool:
        """Whether it decides."""
        return self.p is not None and self.p < ALPHA


@dataclass(frozen=True)
class Comparison:
    """`arm` minus `other` on a target: whether they differ, and whether they are equivalent."""

    target: Target
    arm: str
    other: str
    difference: Estimate
    """As it was measured; of no replicates where the two share none."""
    differs: PairedTest
    equal: PairedTest
    margin: float
    tests: int
    """How many tests each of the two families has."""

    @property
    def metric(self) -> Metric:
        """What is measured."""
        return METRICS[self.target.metric]

    @property
    def gain(self) -> float:
        """The mean difference, turned so that more is better."""
        return self.metric.sign * self.difference.mean

    @property
    def word(self) -> Word:
        """Equivalent, if that is shown, whatever the sign; else better or worse, if it differs."""
        if self.equal.significant:
            return "equivalent"
        if self.differs.significant:
            return "better" if self.gain > 0 else "worse"
        return "undecided"

    @cached_property
    def needed(self) -> Needed:
        """What would decide it."""
        if self.word != "undecided":
            return Needed(self.difference.n)
        return replicates_needed(self.difference, self.margin, (self.tests, self.tests))


def pairs(study: Study, scores: Scores) -> tuple[tuple[str, str], ...]:
    """The reference and each other arm on the same test set, the one that is subtracted last.

    Which one that is, is the study's (`reference_first`), the same in the whole report.
    """
    reference = study.reference
    if reference not in scores.arms:
        return ()
    others = [o for o in scores.arms if o != reference and scores.comparable(reference, o)]
    return tuple((reference, o) if reference_first(study) else (o, reference) for o in others)


def compare(reading: Reading, scores: Scores) -> tuple[Comparison, ...]:
    """Each pair on each target, adjusted family by family, also pairs that share no replicate."""
    asked = [
        (target, arm, other)
        for arm, other in pairs(reading.study, scores)
        for target in scores.targets
    ]
    differences = [scores.difference(arm, other, target.key) for target, arm, other in asked]
    margins = [reading.margin(target) for target, _, _ in asked]
    within = (p_value(d, "within", m) for d, m in zip(differences, margins, strict=True))
    differs, equal = (_family(list(raw)) for raw in (map(p_value, differences), within))
    rows = zip(asked, differences, differs, equal, margins, strict=True)
    return tuple(
        Comparison(*who, difference, one, two, margin, len(asked))
        for who, difference, one, two, margin in rows
    )


def _family(raw: list[float | None]) -> list[PairedTest]:
    return [PairedTest(one, p) for one, p in zip(raw, holm(raw), strict=True)]


def of_arms(comparisons: Sequence[Comparison], arms: Iterable[str]) -> tuple[Comparison, ...]:
    """Those of which both arms are among these."""
    known = set(arms)
    return tuple(c for c in comparisons if {c.arm, c.other} <= known)


# In words


LARGEST_TOLD = 200
"""Margins of a metric: a study that can only show larger differences can show none."""


def detectable_differences(study: Study, comparisons: Sequence[Comparison]) -> tuple[str, ...]:
    """What this study would probably find, a sentence for each metric that was tested."""
    metrics = dict.fromkeys(c.metric for c in comparisons)
    groups = ([c for c in comparisons if c.metric == m and c.difference.se_seeds] for m in metrics)
    return tuple(_detectable(study, tested) for tested in groups if tested)


def _detectable(study: Study, comparisons: Sequence[Comparison]) -> str:
    """Of comparisons by one metric."""
    tested = [c.difference for c in comparisons]

    def smallest(tests: int) -> float:
        least = [
            detectable((e.se_seeds or 0) * e.n**0.5, e.se_test or 0, e.n, ALPHA / tests)
            for e in tested
        ]
        return float(np.median(least))

    metric, tests, claims = comparisons[0].metric, comparisons[0].tests, len(study.claims)
    seeds = words.count(int(np.median([e.n for e in tested])), "paired replicate")
    told = {number: smallest(number) for number in {tests, claims or tests}}
    if max(told.values()) > min(metric.high - metric.low, LARGEST_TOLD * metric.margin):
        return (
            f"With {seeds} this study would hardly show any difference in {metric.label}: they "
            "are too few."
        )
    claimed = f"{words.number(told[claims], 2)} for a claim, " if claims else ""
    return (
        f"With {seeds} a true difference in {metric.label} is found with {100 * POWER:g} % chance "
        f"from {claimed}{words.number(told[tests], 2)} in the comparisons on."
    )


def needed_in_words(needed: Needed) -> str:
    """What would decide an undecided comparison.

    >>> needed_in_words(Needed(34)), needed_in_words(Needed(None, "test set"))
    ('about 34 seeds', 'the test set is too small')
    """
    if needed.seeds is None:
        return OBSTACLES[needed.obstacle or "too few replicates"]
    about = "at least" if needed.at_least else "about"
    return f"{about} {words.count(needed.seeds, 'seed')}"
