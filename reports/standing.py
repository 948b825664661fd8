"""Where each arm stands among all: the numbers of the answer and of the leaderboard.

Arms are those of a study, or the points of a search that were trained on fresh seeds.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fsmd.stats.estimates import Estimate


@dataclass(frozen=True)
class Standing:
    """One arm. Gains are differences turned so that more is better."""

    arm: str
    means: Mapping[str, Estimate]
    """Target -> its mean on test, as measured."""
    over_reference: Mapping[str, Estimate]
    """Target -> gain over the reference; empty for the reference itself."""
    behind_leader: Mapping[str, Estimate]
    """Target -> gain over the leader, mostly below zero; empty for the leader itself."""
    chance_best: float | None
    """That it is the best of all; None with too few seeds."""
    chance_worse: float | None
    """That it is worse than the reference; None with too few seeds, or for the reference."""
    parameters: float | None
    latency: float | None
    """Milliseconds per 1,000 rows on one thread; None where it was not measured."""
    seconds: float | None
    """Of one training, in the median."""
    is_leader: bool
    """Whether validation puts it first."""
    not_worse: bool
    """Whether it is not shown to be worse than the leader by more than what matters."""
    is_cheapest: bool
    """Whether none of those that are `not_worse` costs less."""


@dataclass(frozen=True)
class Leaderboard:
    """All arms that can be compared with each other, the leader first, then by `decided_by`."""

    standings: tuple[Standing, ...]
    reference: str | None
    decided_by: str
    """In words: the mean of the tasks, or their sum in units of what matters."""
    replicates: int
    """Complete at every arm."""
