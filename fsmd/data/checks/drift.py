"""Columns whose values are others at test than in train, by the population stability index.

PSI = sum over bins of (q - p) log(q / p), with p and q the bins' shares of train and test rows;
half a row is added to each bin. Bins: tenths of train's numbers, the `_WORDS` most frequent
categories of train and all others; missing values are one more. Beyond 0.25 is called large.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.checks.check import Finding
from fsmd.data.checks.tally import SampledRows, missing_of, numbers_of_column, percent
from fsmd.data.source import Categorical, Dense, Recipe

LARGE_PSI = 0.25
_TENTHS = 10
_WORDS = 20


class Bins(NamedTuple):
    """Counts of B bins of a column; the last one is of missing values."""

    labels: list[str]
    train_B: NDArray[np.int64]
    test_B: NDArray[np.int64]

    @property
    def shares(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of train and test."""
        train_B, test_B = self.train_B + 0.5, self.test_B + 0.5
        return train_B / train_B.sum(), test_B / test_B.sum()

    @property
    def parts(self) -> NDArray[np.float64]:
        """What each bin adds to the PSI."""
        p_B, q_B = self.shares
        return np.asarray((q_B - p_B) * np.log(q_B / p_B))

    @property
    def psi(self) -> float:
        """Less what chance gives: about (B - 1) (1 / rows of train + 1 / rows of test)."""
        rows = int(self.train_B.sum()), int(self.test_B.sum())
        if not all(rows):
            return 0.0
        noise = (len(self.labels) - 1) * (1 / rows[0] + 1 / rows[1])
        return max(float(self.parts.sum() - noise), 0.0)


def drifts(recipe: Recipe, train: SampledRows, test: SampledRows) -> Iterator[Finding]:
    """A warning for each column that drifted, the largest PSI leading."""
    found = [(column, bins_of(column, train, test)) for column in recipe.features]
    for column, bins in sorted(found, key=lambda pair: -pair[1].psi):
        if bins.psi >= LARGE_PSI:
            worst = int(np.argmax(bins.parts))
            p_B, q_B = bins.shares
            text = (
                f"Column {column.name!r} is not the same in train and test: its PSI is "
                f"{bins.psi:.2f}, and {LARGE_PSI} is large{train.said()}. Most of it is "
                f"{bins.labels[worst]}: {percent(float(p_B[worst]))} of train, "
                f"{percent(float(q_B[worst]))} of test. If it counts up with time or means "
                "another thing by now, take it out of [fields]."
            )
            yield Finding("warning", text)


def bins_of(column: Categorical | Dense, train: SampledRows, test: SampledRows) -> Bins:
    """The bins of a column."""
    tables = [sample.fields.column(column.name).combine_chunks() for sample in (train, test)]
    missing = [int(missing_of(values).sum()) for values in tables]
    make = _of_numbers if isinstance(column, Dense) else _of_categories
    labels, counts = make(tables)
    train_B, test_B = (np.append(c, m) for c, m in zip(counts, missing, strict=True))
    return Bins([*labels, "missing values"], train_B, test_B)


def _of_numbers(tables: list[pa.Array]) -> tuple[list[str], list[NDArray[np.int64]]]:
    numbers = [numbers_of_column(values) for values in tables]
    numbers = [number_N[~np.isnan(number_N)] for number_N in numbers]
    tenths = np.linspace(0, 1, _TENTHS + 1)[1:-1]
    edges = np.unique(np.quantile(numbers[0], tenths)) if len(numbers[0]) else np.empty(0)
    counts = [np.bincount(np.searchsorted(edges, n), minlength=len(edges) + 1) for n in numbers]
    if not len(edges):
        return ["all numbers"], counts
    between = [f"above {low:g} and at most {high:g}" for low, high in pairwise(edges)]
    return [f"at most {edges[0]:g}", *between, f"above {edges[-1]:g}"], counts


def _of_categories(tables: list[pa.Array]) -> tuple[list[str], list[NDArray[np.int64]]]:
    found = []
    for values in tables:
        words = values.flatten() if pa.types.is_list(values.type) else values
        counted = words.drop_null().value_counts()
        found.append(dict(zip(*(f.to_pylist() for f in counted.flatten()), strict=True)))
    frequent = sorted(found[0], key=lambda word: (-found[0][word], word))[:_WORDS]
    counts = [
        np.array([*(c.get(w, 0) for w in frequent), sum(c.values())], np.int64) for c in found
    ]
    for count_B in counts:
        count_B[-1] -= count_B[:-1].sum()
    return [*(f"category {word!r}" for word in frequent), "all other categories"], counts
