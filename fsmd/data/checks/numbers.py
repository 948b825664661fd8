"""Numbers: columns that say nothing, and values so far out that they are cut."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fsmd.data.checks.check import Finding
from fsmd.data.checks.tally import count
from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import SCALED_BOUND, checked_numbers, moved
from fsmd.data.fitting.numbers import Moments
from fsmd.data.rows.part import Part
from fsmd.data.source import Recipe

MOSTLY = 0.99
"""From this share on a column is missing nearly everywhere."""
_TAIL = 2**12
Numbers64 = NDArray[np.float64]


@dataclass
class Spread:
    """What is known of a column of numbers; `scaled` is of train."""

    rows: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    missing: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SPLITS, 0))
    low: float = np.inf
    """Of train, as `high`."""
    high: float = -np.inf
    scaled: Moments = field(default_factory=Moments)
    tails: Numbers64 = field(default_factory=lambda: np.empty(0))
    """The smallest and the largest of all splits, `_TAIL` of each."""

    def see(self, split: str, number_N: Numbers64, scaled_N: Numbers64) -> None:
        """Take N numbers in, as they are and as they are scaled."""
        there_N = ~np.isnan(number_N)
        self.rows[split] += len(number_N)
        self.missing[split] += int((~there_N).sum())
        scaled_N = scaled_N[there_N]
        if split == "train" and len(scaled_N):
            self.low = min(self.low, float(number_N[there_N].min()))
            self.high = max(self.high, float(number_N[there_N].max()))
            self.scaled.see(scaled_N)
        tails = np.concatenate([self.tails, scaled_N])
        if len(tails) > 2 * _TAIL:
            tails = np.partition(tails, (_TAIL, len(tails) - _TAIL))
            tails = np.concatenate([tails[:_TAIL], tails[-_TAIL:]])
        self.tails = tails

    @property
    def missing_shares(self) -> dict[str, float]:
        """Split -> share of its rows."""
        return {split: n / max(self.rows[split], 1) for split, n in self.missing.items()}

    @property
    def constant(self) -> bool:
        """Whether all of train have one value, or none."""
        return self.low >= self.high and self.missing["train"] in (0, self.rows["train"])

    def cut(self) -> int:
        """How many lie beyond `SCALED_BOUND` deviations; `_TAIL` at either end at most."""
        if not self.scaled.spread:
            return 0
        apart = np.abs(self.tails - self.scaled.mean)
        return int((apart > SCALED_BOUND * self.scaled.spread).sum())


class Numbers:
    """Looks at each column of numbers."""

    def __init__(self, recipe: Recipe) -> None:
        self._columns = recipe.dense
        self.spreads = {column.name: Spread() for column in recipe.dense}

    def see(self, part: Part) -> None:
        """Take moments and ends; UserError for a number that is refused."""
        for column in self._columns:
            number_N = checked_numbers(
                part.where,
                column.name,
                part.fields.column(column.name),
                column.scale,
                missing=column.missing != "error",
            )
            scaled_N = moved(number_N, column.scale) if column.scale == "log" else number_N
            self.spreads[column.name].see(part.split, number_N, scaled_N)

    def findings(self) -> Iterator[Finding]:
        """By column."""
        for column in self._columns:
            spread = self.spreads[column.name]
            if spread.constant and spread.rows["train"]:
                what = "missing" if spread.missing["train"] else f"{spread.low:g}"
                text = (
                    f"Column {column.name!r} is {what} in all rows of train, so nothing can be "
                    "learnt from it. Take it out of [fields]."
                )
                yield Finding("warning", text)
                continue
            if spread.missing_shares["train"] >= MOSTLY:
                text = (
                    f"Column {column.name!r} is missing in {count(spread.missing['train'])} of "
                    f"{count(spread.rows['train'])} rows of train: are its numbers read as they "
                    "are written?"
                )
                yield Finding("warning", text)
            if column.scale in ("standard", "log") and (cut := spread.cut()):
                rows = sum(spread.rows.values())
                text = (
                    f"{'At least ' if cut >= _TAIL else ''}{count(cut)} of {count(rows)} numbers "
                    f"of column {column.name!r} lie more than {SCALED_BOUND:g} standard "
                    "deviations from the mean of train and are cut there. If they are true, say "
                    'scale = "log" or "quantile"; if they stand for nothing, say so by `missing`.'
                )
                yield Finding("warning", text)
