"""What a metric is."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
OfRows = Callable[[Array, Array, Array], float]
"""Score, label and weight of each row -> one number; NaN where it is not defined."""
InfluenceOfRows = Callable[[Array, Array, Array], Array]


@dataclass(frozen=True)
class Metric:
    """A figure of predictions: how to compute it, how to write it, and what matters of it."""

    name: str
    label: str
    of: OfRows
    influence: InfluenceOfRows | None = None
    """None for a figure that is only shown: it chooses no epoch and is not judged."""
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
