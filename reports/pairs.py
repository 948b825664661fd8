"""Any two arms of a study, or points of a search, for the page's two lists."""

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations

from fsmd.stats.estimates import ALPHA, holm, p_value
from fsmd.tasks import Target
from reports import words
from reports.page.model import ComparedPairs, PairCell
from reports.results import Scores


def pairs_of(
    scores: Scores,
    margin: Callable[[Target], float],
    known: Mapping[tuple[str, str, str], str] = {},
) -> ComparedPairs | None:
    """Of the trained arms; None below two.

    What the tables compare has the tables' word; other pairs are a family of their own, by Holm.

    margin: target -> the smallest difference on it that matters; known: an arm, the
    other and a target's key -> the tables' word on the first.
    """
    pairs = list(combinations(scores.trained, 2))
    if not pairs:
        return None
    asked = [(pair, target) for pair in pairs for target in scores.targets]
    words_of = dict(zip(asked, _words(scores, margin, asked), strict=True))

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
    scores: Scores,
    margin: Callable[[Target], float],
    asked: Sequence[tuple[tuple[str, str], Target]],
) -> list[str]:
    """By the rule of the tables, over all that is asked."""
    gains = [scores.gain(*pair, target.key) for pair, target in asked]
    margins = [margin(target) for _, target in asked]
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
    known: Mapping[tuple[str, str, str], str], arm: str, other: str, target: Target
) -> str | None:
    """The tables' word on the first arm; None where they do not compare the two."""
    if word := known.get((arm, other, target.key)):
        return word
    word = known.get((other, arm, target.key))
    return None if word is None else _REVERSED.get(word, word)
