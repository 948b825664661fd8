"""What a metric is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Rows(NamedTuple):
    """N rows that count: at least one, each observed and of a weight above 0."""

    score_N: Array
    """Log-odds."""
    label_N: Array
    """0 or 1."""
    weight_N: Array
    group_N: NDArray[Any] | None = None
    """A whole number each; rows of one group share it. None for a metric without groups."""


class GroupFigures(NamedTuple):
    """The G groups of N rows."""

    value_G: Array
    """NaN for a group that does not define it, which is skipped."""
    weight_G: Array
    """What a group that is not skipped weighs in the mean."""
    group_N: NDArray[np.int64]
    """The position of each row's group."""


OfParts = Callable[[Sequence[Rows]], float]
"""At least one part of the rows -> one number; NaN where they do not define it."""
InfluenceOfRows = Callable[[Rows], Array]
"""What each of N rows does to it, N; NaN where the rows are too few to tell."""


@dataclass(frozen=True)
class Metric:
    """A figure of predictions: how to compute it, how to write it, and what matters of it."""

    name: str
    label: str
    of: OfParts
    influence: InfluenceOfRows
    by_score: bool = False
    """Whether several parts must be ranges of the score, ascending, equal scores in one part."""
    group: Literal["user", "request"] | None = None
    """Whose rows belong together; several parts then hold whole groups."""
    groups: Callable[[Rows], GroupFigures] | None = None
    """Of a metric that is a mean over groups: each one's own figure."""
    by_row: bool = True
    """Whether a row's influence is its own, not its group's alone, so that it tells of items."""
    judges: bool = True
    """Whether it may choose an epoch and be compared: one direction is better."""
    calibration: bool = False
    """Whether it asks if probabilities are right on average, whatever order they put rows in."""
    higher: bool = False
    """Whether more is better."""
    digits: int = 4
    """Decimals that are written."""
    margin: float = 0.001
    """The smallest difference that matters to anybody, where nothing else is stated."""
    low: float = 0.0
    high: float = inf
    """The range that it cannot leave."""

    def check(self, value: float) -> None:
        """Raise ValueError for what the figure cannot be; rounding may pass an end by a little."""
        slack = 1e-6
        if not self.low - slack <= value <= self.high + slack or value == inf:
            raise ValueError(
                f"{self.label} must lie between {self.low:g} and {self.high:g}; got {value!r}"
            )

    @property
    def sign(self) -> int:
        """1 where more is better, else -1."""
        return 1 if self.higher else -1


def summed(parts: Sequence[Rows], of: Callable[[Rows], tuple[float, ...]]) -> tuple[float, ...]:
    """The sums over all parts of what `of` gives for one."""
    return tuple(map(sum, zip(*map(of, parts), strict=True)))


def share(weight_N: Array) -> Array:
    """What a row counts over what it would if all counted alike."""
    return np.asarray(len(weight_N) * weight_N / weight_N.sum())


def probabilities(score_N: Array) -> Array:
    """Of log-odds."""
    return np.asarray(1 / (1 + np.exp(-np.clip(score_N, -700, 700))))
