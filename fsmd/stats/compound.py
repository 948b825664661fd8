"""What tests say for a statement and against it, and how the parts of a statement add up.

A statement is put together from comparisons by "every", "either" and "not". For each side of it
there is one valid p-value: under any truth on the other side, it is below alpha with a chance of
at most alpha. For "every", the largest p counts, without any adjustment: the intersection-union
test (Berger 1982, Technometrics 24). For "either", the smallest p, times the number of parts
(Bonferroni). What speaks against "every" speaks for "either" of the opposites, and conversely.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fsmd.stats.estimates import Estimate, Kind, p_value

_OPPOSITE: dict[Kind, Kind] = {
    "above": "below",
    "below": "above",
    "within": "beyond",
    "beyond": "within",
}


@dataclass(frozen=True)
class Question:
    """What one comparison would show of `arm` minus `other` on a target."""

    target: str
    arm: str
    other: str
    kind: Kind
    bound: float = 0.0

    @property
    def opposite(self) -> Kind:
        """What would show that it is not so; KeyError for "differs", which nothing refutes."""
        return _OPPOSITE[self.kind]


class Judgement(NamedTuple):
    """A question and the difference that was estimated."""

    question: Question
    difference: Estimate

    @property
    def tested(self) -> bool:
        """Whether its scatter is known."""
        return self.difference.se_seeds is not None


class Side(NamedTuple):
    """A p-value, and the comparison that it comes from if anything was compared."""

    p: float
    by: Judgement | None


class Evidence(NamedTuple):
    """What would show that a statement is true, and what would show that it is not."""

    holds: Side
    fails: Side


NOTHING = Evidence(Side(1.0, None), Side(1.0, None))
"""Of a statement about nothing."""


def answered(question: Question, difference: Estimate) -> Evidence:
    """Both sides of one comparison, each with p = 1 where the scatter is unknown."""

    def side(kind: Kind) -> Side:
        p = p_value(difference, kind, question.bound)
        return Side(1.0 if p is None else p, Judgement(question, difference))

    return Evidence(side(question.kind), side(question.opposite))


def every(parts: Sequence[Evidence]) -> Evidence:
    """That all parts are true."""
    if not parts:
        return NOTHING
    return Evidence(_all([part.holds for part in parts]), _any([part.fails for part in parts]))


def either(parts: Sequence[Evidence]) -> Evidence:
    """That at least one part is true."""
    return negated(every([negated(part) for part in parts]))


def negated(part: Evidence) -> Evidence:
    """That the part is not true."""
    return Evidence(part.fails, part.holds)


def _all(sides: Sequence[Side]) -> Side:
    """Shown for all: the largest p. Its reason is the weakest comparison that could be tested."""
    weakest = max(sides, key=lambda side: (side.by is not None and side.by.tested, side.p))
    return Side(max(side.p for side in sides), weakest.by)


def _any(sides: Sequence[Side]) -> Side:
    """Shown for one at least: the smallest p, times their number."""
    strongest = min(sides, key=lambda side: side.p)
    return Side(min(1.0, len(sides) * strongest.p), strongest.by)
