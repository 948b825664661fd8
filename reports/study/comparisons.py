"""The reference against every other arm: better, worse, equivalent or undecided, by target.

These comparisons are there to be read beside the claims and are two families of their own:
whether something differs, and whether it is equivalent. Which arms are compared is fixed by the
definition.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from fsmd.stats.estimates import ALPHA, TOO_FEW
from fsmd.stats.power import (
    MOST_REPLICATES,
    POWER,
    Needed,
    Obstacle,
    detectable,
    df_per_seed,
)
from reports import words
from reports.pairs import Comparison, Shown, compared
from reports.results import Scores
from reports.study.reading import Reading
from reports.study.shape import reference_first
from studies.definition import Study

OBSTACLES: dict[Obstacle, str] = {
    "too few replicates": TOO_FEW,
    "too many replicates": f"more than {MOST_REPLICATES} seeds",
    "test set": "the test set is too small",
    "last look": "more seeds than the last look has",
}
"""Why no number of seeds would decide, in words."""


def pairs(study: Study, scores: Scores) -> tuple[tuple[str, str], ...]:
    """The reference and each other arm on the same test set, the one that is subtracted last.

    Which one that is, is the study's (`reference_first`), the same in the whole report.
    """
    reference = study.reference
    if reference not in scores.arms:
        return ()
    others = [o for o in scores.arms if o != reference and scores.comparable(reference, o)]
    return tuple((reference, o) if reference_first(study) else (o, reference) for o in others)


def compare(
    reading: Reading, scores: Scores, alpha: float = ALPHA, shown: Shown | None = None
) -> tuple[Comparison, ...]:
    """Each pair on each target, adjusted family by family, also pairs that share no replicate.

    alpha, shown: of the look and of those before it; see `compared`.
    """
    return compared(
        *(pairs(reading.study, scores), scores, reading.margin),
        one_reference=True,
        alpha=alpha,
        shown=shown,
    )


def of_arms(comparisons: Sequence[Comparison], arms: Iterable[str]) -> tuple[Comparison, ...]:
    """Those of which both arms are among these."""
    known = set(arms)
    return tuple(c for c in comparisons if {c.arm, c.other} <= known)


# In words


LARGEST_TOLD = 200
"""Margins of a metric: a study that can only show larger differences can show none."""


def detectable_differences(
    study: Study, comparisons: Sequence[Comparison], alpha: float = ALPHA
) -> tuple[str, ...]:
    """What this study would probably find, a sentence for each metric that was tested.

    alpha: the level of the look.
    """
    metrics = dict.fromkeys(c.metric for c in comparisons)
    groups = ([c for c in comparisons if c.metric == m and c.difference.se_seeds] for m in metrics)
    return tuple(_detectable(study, tested, alpha) for tested in groups if tested)


def _detectable(study: Study, comparisons: Sequence[Comparison], alpha: float) -> str:
    """Of comparisons by one metric."""
    tested = [c.difference for c in comparisons]

    def smallest(tests: int) -> float:
        least = [
            detectable(
                *((e.se_seeds or 0) * e.n**0.5, e.se_test or 0, e.n),
                *(alpha / tests, df_per_seed(e, alpha / tests)),
            )
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
