"""How many rows each split has, and how often each label is 1 in them."""

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmd.data.checks.check import Finding
from fsmd.data.checks.tally import count, of_all, percent
from fsmd.data.encoded import SPLITS
from fsmd.data.rows.part import Part
from fsmd.data.source import Recipe

FEW = 100
"""Rows of the rarer class from which on an AUC is known to about 0.06."""
RATE_RATIO = 1.5
"""Of test and train, from which on a label's rates are told apart."""
_Z = 1.96


class Rate(NamedTuple):
    """How often a label is 1 among the rows where it was observed, with an interval of 95 %."""

    ones: int
    rows: int

    @property
    def mean(self) -> float:
        """NaN without rows."""
        return self.ones / self.rows if self.rows else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's: inside of 0 to 1, for rare labels too."""
        n = max(self.rows, 1)
        p, z = self.ones / n, _Z * _Z / n
        middle, half = p + z / 2, _Z * sqrt(p * (1 - p) / n + z / 4 / n)
        return max((middle - half) / (1 + z), 0.0), min((middle + half) / (1 + z), 1.0)

    def __str__(self) -> str:
        low, high = self.interval
        return f"{percent(self.mean)} [{percent(low)}, {percent(high)}]" if self.rows else "none"


class Rates:
    """Rows and label rates by split, rows without a label, classes too small for an interval."""

    def __init__(self, recipe: Recipe) -> None:
        self._tasks = recipe.tasks
        self.rows = dict.fromkeys(SPLITS, 0)
        self.observed: dict[str, NDArray[np.int64]] = {
            split: np.zeros((len(recipe.tasks), 2), np.int64) for split in SPLITS
        }
        """Split -> K x 2: rows with label 0 and 1."""

    def see(self, part: Part) -> None:
        """Count labels."""
        self.rows[part.split] += len(part.label_NK)
        for label in (0, 1):
            self.observed[part.split][:, label] += (part.label_NK == label).sum(0)

    def rate(self, k: int, split: str) -> Rate:
        """Of a task in a split."""
        zeros, ones = map(int, self.observed[split][k])
        return Rate(ones, zeros + ones)

    def findings(self) -> Iterator[Finding]:
        """Rows first, then by task."""
        yield Finding(
            "note", f"Rows: {', '.join(f'{count(n)} {s}' for s, n in self.rows.items())}."
        )
        for k, task in enumerate(self._tasks):
            name = f"Task {task.name!r}"
            rates = {split: self.rate(k, split) for split in SPLITS}
            told = ", ".join(f"{rate} of {split}" for split, rate in rates.items())
            yield Finding("note", f"{name} is 1 on {told} rows.")
            rows = sum(self.rows.values())
            unobserved = rows - sum(rate.rows for rate in rates.values())
            if unobserved:
                text = (
                    f"{name} has no label on {of_all(unobserved, rows)} rows: it has no loss and "
                    'no figure there. If no label means 0, say label_missing = "zero".'
                )
                yield Finding("note", text)
            for split in SPLITS[1:]:
                rarer = int(self.observed[split][k].min())
                if 0 < rarer < FEW:
                    text = (
                        f"{name} has {rarer} {split} rows of its rarer class: no AUC there is "
                        f"known better than to about {_Z / sqrt(12 * rarer):.2f}. Give {split} "
                        "more rows, or compare on another task."
                    )
                    yield Finding("warning", text)
            if _differ(rates["train"], rates["test"]):
                text = (
                    f"{name} is 1 more often in one split than in another: {rates['train']} of "
                    f"train, {rates['test']} of test. Probabilities learnt on the one are wrong "
                    "on the other: look whether the label means the same in both, and whether the "
                    "days of test are complete."
                )
                yield Finding("warning", text)


def _differ(train: Rate, test: Rate) -> bool:
    (low, high), (least, most) = train.interval, test.interval
    if not (train.rows and test.rows) or (low <= most and least <= high):
        return False
    smaller, larger = sorted((train.mean, test.mean))
    return larger >= RATE_RATIO * smaller
