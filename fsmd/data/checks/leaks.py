"""Features that alone know a label too well; `learnable` refuses what it knows to be the label.

A feature is fitted on half of the sampled train rows and judged on the others.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.checks.check import Finding
from fsmd.data.checks.learnable.leaks import auc_alone, mean_labels
from fsmd.data.checks.tally import (
    SampledRows,
    members,
    missing_of,
    numbers_of_column,
    of_all,
)
from fsmd.data.source import Categorical, Dense, Recipe

TELLING_AUC = 0.95
"""From which on a feature is told; few columns that are known before know so much."""
_LEAST = 10
"""Judged rows of the rarer class, below which an AUC is chance."""
_BINS = 64

Numbers64 = NDArray[np.float64]


def leaks(recipe: Recipe, train: SampledRows) -> Iterator[Finding]:
    """A warning for each feature and task with an AUC from `TELLING_AUC` on."""
    for column in recipe.features:
        values = train.fields.column(column.name).combine_chunks()
        values = values.chunk(0) if isinstance(values, pa.ChunkedArray) else values
        there_N = ~missing_of(values)
        for task, label_N in zip(recipe.tasks, train.label_NK.T, strict=True):
            seen_N = there_N & ~np.isnan(label_N)
            fitted_N, judged = seen_N & train.odd_N, np.flatnonzero(seen_N & ~train.odd_N)
            ones = int(label_N[judged].sum())
            if min(ones, len(judged) - ones) < _LEAST or len(set(label_N[fitted_N])) < 2:
                continue
            scores = _scores(column, values, label_N, fitted_N)
            found = [(auc_alone(score_N[judged], label_N[judged]), score_N) for score_N in scores]
            value, score_N = max(found, key=lambda pair: pair[0])
            if value >= TELLING_AUC:
                right, of = _on_their_side(score_N[judged], label_N[judged])
                text = (
                    f"Column {column.name!r} alone gives task {task.name!r} an AUC of "
                    f"{value:.3f}{train.said()}: one cut puts {of_all(right[1], of[1])} rows with "
                    f"1 and {of_all(right[0], of[0])} with 0 on their sides. If it is known only "
                    "afterwards, take it out of [fields]."
                )
                yield Finding("warning", text)


def _scores(
    column: Categorical | Dense,
    values: pa.Array,
    label_N: Numbers64,
    fitted_N: NDArray[np.bool_],
) -> Iterator[Numbers64]:
    """Of a number itself and the mean label of its range; of categories their mean labels'."""
    if isinstance(column, Dense):
        number_N = np.nan_to_num(numbers_of_column(values))
        yield number_N
        edges = np.unique(np.quantile(number_N[fitted_N], np.linspace(0, 1, _BINS + 1)[1:-1]))
        place_M, row_M = np.searchsorted(edges, number_N), np.arange(len(number_N))
    else:
        words = members(values)
        place_M, row_M = words.place_M, words.row_M
    used_M = fitted_N[row_M]
    places = int(place_M.max(initial=0)) + 1
    counts = np.bincount(place_M[used_M], minlength=places)
    sums = np.bincount(place_M[used_M], label_N[row_M[used_M]], places)
    means = mean_labels(sums, counts, float(label_N[fitted_N].mean()))
    total_N = np.bincount(row_M, means[place_M], len(label_N))
    yield total_N / np.maximum(np.bincount(row_M, minlength=len(label_N)), 1)


def _on_their_side(score_N: Numbers64, label_N: Numbers64) -> tuple[list[int], list[int]]:
    """Of the rows with 0 and with 1: how many the best cut puts on their side, and how many."""
    levels, place_N = np.unique(score_N, return_inverse=True)
    by_label = [
        np.append(0, np.cumsum(np.bincount(place_N[label_N == label], minlength=len(levels))))
        for label in (0, 1)
    ]
    zeros, ones = by_label[0][-1], by_label[1][-1]
    gain = by_label[0] / zeros - by_label[1] / ones  # 0s below the cut, 1s above it
    best = int(np.argmax(np.abs(gain)))
    right = [by_label[0][best], ones - by_label[1][best]]
    if gain[best] < 0:
        right = [zeros - by_label[0][best], by_label[1][best]]
    return [int(x) for x in right], [int(zeros), int(ones)]
