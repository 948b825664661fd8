"""Any two arms of a study against each other, for the page's two lists."""

from collections.abc import Sequence
from itertools import combinations

from fsmd.stats.estimates import ALPHA, holm, p_value
from fsmd.tasks import Target
from reports import words
from reports.page.model import ComparedPairs, PairCell
from reports.results import Scores
from reports.study.analysis import StudyAnalysis
from reports.study.comparisons import Comparison
from reports.study.shape import scores_compared


def pairs_of(analysis: StudyAnalysis) -> ComparedPairs | None:
    """Of the trained arms, or of those that are compared where they are many; None below two.

    What the tables compare has the tables' word; other pairs are a family of their own, by Holm.
    """
    scores = scores_compared(analysis.results)
    pairs = list(combinations(scores.trained, 2))
    if not pairs:
        return None
    known = {(c.arm, c.other, c.target.key): c for c in analysis.comparisons}
    asked = [(pair, target) for pair in pairs for target in scores.targets]
    words_of = dict(zip(asked, _words(analysis, scores, asked), strict=True))

    def cell(arm: str, other: str, target: Target) -> PairCell:
        e = scores.difference(arm, other, target.key)
        word = _known(known, arm, other, target) or words_of[(arm, other), target]
        return PairCell(e.mean, e.low, e.high, word)

    return ComparedPairs(
        arms=scores.trained,
        headings=tuple(map(words.column, scores.targets)),
        digits=tuple(scores.metric(target.key).digits + 1 for target in scores.targets),
        cells=tuple(
            tuple(cell(*pair, target) for target in scores.targets)
            if scores.shared(*pair)
            else None
            for pair in pairs
        ),
    )


def _words(
    analysis: StudyAnalysis, scores: Scores, asked: Sequence[tuple[tuple[str, str], Target]]
) -> list[str]:
    """By the rule of the tables, over all that is asked."""
    gains = [scores.gain(*pair, target.key) for pair, target in asked]
    margins = [analysis.reading.margin(target) for _, target in asked]
    differ = holm([p_value(gain) for gain in gains])
    equal = holm([p_value(g, "within", m) for g, m in zip(gains, margins, strict=True)])
    said = []
    for gain, one, two in zip(gains, differ, equal, strict=True):
        word = "undecided"
        if two is not None and two < ALPHA:
            word = "equivalent"
        elif one is not None and one < ALPHA:
            word = "better" if gain.mean > 0 else "worse"
        said.append(word)
    return said


_REVERSED = {"better": "worse", "worse": "better"}


def _known(
    known: dict[tuple[str, str, str], Comparison], arm: str, other: str, target: Target
) -> str | None:
    """The tables' word on the first arm; None where they do not compare the two."""
    if made := known.get((arm, other, target.key)):
        return made.word
    made = known.get((other, arm, target.key))
    return None if made is None else _REVERSED.get(made.word, made.word)
