"""Arms compared two by two: what is tested of each pair, and all pairs for the page's lists."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Literal, NamedTuple

from fsmd.metrics import METRICS, Metric
from fsmd.stats.estimates import ALPHA, Estimate, holm, p_of_each
from fsmd.stats.families import against_reference
from fsmd.stats.looks import PlannedLook, needed_at
from fsmd.stats.power import Needed, replicates_needed
from fsmd.tasks import Target
from reports import words
from reports.page.model import ComparedPairs, PairCell
from reports.results import Scores
from reports.standing import Tested

Word = Literal["better", "worse", "equivalent", "undecided"]


class PairedTest(NamedTuple):
    """A p-value, alone and adjusted over its family; None where the test could not be made."""

    raw: float | None
    p: float | None
    alpha: float = ALPHA
    """The level of the look at which it was made."""
    seeds: int | None = None
    """The look; None where nothing is judged at looks."""

    @property
    def significant(self) -> bool:
        """Whether it decides."""
        return self.p is not None and self.p < self.alpha


Key = tuple[str, str, str]
"""(arm, other arm, target)."""
Shown = Mapping[Key, tuple[PairedTest | None, PairedTest | None]]
"""What earlier looks showed: that two arms differ, that they are equivalent."""


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
    open: tuple[int, int] | None = None
    """How many of each no look decided; None where nothing is judged at looks."""
    to_come: tuple[PlannedLook, ...] | None = None
    """The looks that are to come; None where nothing is judged at looks."""
    said: Word | None = None
    """What a look said, which stays; None where the tests say it."""

    @property
    def key(self) -> Key:
        """What is compared."""
        return self.arm, self.other, self.target.key

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
        if self.said is not None:
            return self.said
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
        sizes = self.open or (self.tests, self.tests)
        if self.to_come is None:
            return replicates_needed(self.difference, self.margin, sizes)
        return needed_at(self.difference, self.margin, sizes, self.to_come)


def compared(
    pairs: Sequence[tuple[str, str]],
    scores: Scores,
    margin: Callable[[Target], float],
    one_reference: bool = False,
    alpha: float = ALPHA,
    shown: Shown | None = None,
) -> tuple[Comparison, ...]:
    """Each pair on each target, adjusted family by family, also pairs that share no replicate.

    margin: target -> the smallest difference on it that matters.
    one_reference: whether all pairs have the scores' reference, which asks for less adjustment.
    alpha: of the tests. shown: those that an earlier look decided, at its own level; they stay
    decided, and those that are left are adjusted for each other alone.
    """
    asked = [(target, arm, other) for arm, other in pairs for target in scores.targets]
    differences = [scores.difference(arm, other, target.key) for target, arm, other in asked]
    margins = [margin(target) for target, _, _ in asked]
    targets = [target for target, _, _ in asked]
    before = [(shown or {}).get((arm, other, t.key), (None, None)) for t, arm, other in asked]

    def differ(left: Sequence[int]) -> _Tests:
        some = [differences[i] for i in left]
        raw = p_of_each(some)
        if not one_reference:
            return raw, holm(raw)
        return raw, against_reference(some, [targets[i] for i in left])

    def equivalent(left: Sequence[int]) -> _Tests:
        raw = p_of_each([differences[i] for i in left], "within", [margins[i] for i in left])
        return raw, holm(raw)

    differs = _family([d for d, _ in before], differ, alpha)
    equal = _family([e for _, e in before], equivalent, alpha)
    rows = zip(asked, differences, differs, equal, margins, strict=True)
    return tuple(
        Comparison(*who, difference, one, two, margin, len(asked))
        for who, difference, one, two, margin in rows
    )


_Tests = tuple[Sequence[float | None], Sequence[float | None]]
"""p of each, and adjusted."""


def _family(
    before: Sequence[PairedTest | None], tests: Callable[[Sequence[int]], _Tests], alpha: float
) -> list[PairedTest]:
    """What was decided before stays so; the others are adjusted for each other alone.

    That is the order of step-down tests, in which what is decided is taken out of the family.
    """
    left = [i for i, done in enumerate(before) if done is None]
    made = dict(zip(left, zip(*tests(left), strict=True), strict=True)) if left else {}
    return [done or PairedTest(*made[i], alpha) for i, done in enumerate(before)]


# Any two


def pairs_of(
    scores: Scores,
    margin: Callable[[Target], float],
    tables: Sequence[Comparison] = (),
    tested: Tested | None = None,
) -> ComparedPairs | None:
    """Of the trained arms, for the page's two lists; None below two.

    What the tables compare has the tables' word; other pairs are a family of their own.

    margin: target -> the smallest difference on it that matters.
    tested: what words are told of, where that is not all that is shown.
    """
    pairs = list(combinations(scores.trained, 2))
    if not pairs:
        return None
    known = {(c.arm, c.other, c.target): c.word for c in tables}
    known |= {(c.other, c.arm, c.target): REVERSED.get(c.word, c.word) for c in tables}
    cells: dict[tuple[str, str], list[PairCell]] = {pair: [] for pair in pairs}
    at = tested or Tested(scores)
    for c in compared(pairs, at.scores, margin, alpha=at.alpha):
        word = known.get((c.arm, c.other, c.target), c.word)
        e = scores.difference(*c.key)
        cells[c.arm, c.other].append(PairCell(e.mean, e.low, e.high, word))
    return ComparedPairs(
        arms=scores.trained,
        headings=tuple(map(words.column, scores.targets)),
        digits=tuple(scores.metric(target.key).digits + 1 for target in scores.targets),
        cells=tuple(tuple(cells[pair]) if scores.shared(*pair) else None for pair in pairs),
    )


REVERSED: Mapping[Word, Word] = {"better": "worse", "worse": "better"}
