"""Columns of a sample that tell a label too well to have been known before it."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.checks.leaks import TELLING_AUC
from fsmd.data.checks.learnable.leaks import auc_alone, mean_labels
from fsmd.data.description.columns import numbers
from studies.data.draft.column import Column

LEAST_OF_CLASS = 20
"""Rows of each class in the judged half of the sample, with fewer of which nothing is told."""
ALWAYS = 0.995
"""Of the rows on which a column is there: so many have the label."""


class _Coded(NamedTuple):
    """A column of the sample by the position of each row's value."""

    code_N: NDArray[np.int64]
    number_C: NDArray[np.float64] | None
    """The numbers, missing ones the least; None for categories."""
    there_C: NDArray[np.bool_]
    """Whether a value is neither missing nor 0."""


def leaks(
    columns: list[Column], sample: pa.Table, labels: Mapping[str, NDArray[np.float64]]
) -> dict[str, str]:
    """Column -> why it looks like a consequence of a label.

    labels: of each row of the sample 0, 1 or NaN.
    """
    found = {}
    for column in columns:
        coded = _coded(column, sample.column(column.name).combine_chunks())
        if reason := next(_reasons(coded, labels), None):
            found[column.name] = reason
    return found


def _coded(column: Column, values: Any) -> _Coded:
    encoded = values.dictionary_encode()
    code_N = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    if not column.is_number:
        return _Coded(code_N, None, np.arange(len(encoded.dictionary) + 1) > 0)
    number = numbers(encoded.dictionary).values.cast(pa.float64(), safe=False)
    number_C = np.append(np.nan, np.asarray(number.to_numpy(zero_copy_only=False), np.float64))
    there_C = ~np.isnan(number_C) & (number_C != 0)
    return _Coded(code_N, np.where(np.isnan(number_C), -np.inf, number_C), there_C)


def _reasons(coded: _Coded, labels: Mapping[str, NDArray[np.float64]]) -> Iterator[str]:
    for name, label_N in labels.items():
        observed = np.flatnonzero(~np.isnan(label_N))
        fitted, judged = observed[::2], observed[1::2]
        positive = label_N[judged] == 1
        if min(positive.sum(), (~positive).sum()) < LEAST_OF_CLASS:
            continue
        there = coded.there_C[coded.code_N[observed]]
        if there.sum() >= 2 * LEAST_OF_CLASS and not there.all():
            rate = float(label_N[observed][there].mean())
            if rate >= ALWAYS and label_N[observed].mean() <= 0.9:
                yield (
                    f"is there (not missing, not 0) only where {name} is 1: {rate:.1%} of "
                    f"{there.sum():,} sampled rows"
                )
        area = _area(coded, label_N, fitted, judged)
        if area >= TELLING_AUC:
            yield f"tells {name} alone with an AUC of {area:.3f}"


def _area(
    coded: _Coded,
    label_N: NDArray[np.float64],
    fitted: NDArray[np.intp],
    judged: NDArray[np.intp],
) -> float:
    """See `auc_alone`; of the judged rows, categories by their rate on the fitted ones."""
    size = len(coded.there_C)

    def rows(at: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ones = np.bincount(coded.code_N[at], label_N[at], minlength=size)
        both = np.bincount(coded.code_N[at], minlength=size)
        return np.asarray(ones, np.float64), np.asarray(both - ones, np.float64)

    score_C = coded.number_C
    if score_C is None:
        ones_C, zeros_C = rows(fitted)
        score_C = mean_labels(ones_C, ones_C + zeros_C, float(label_N[fitted].mean()))
    ones_C, zeros_C = rows(judged)
    # Counts of each value are all that is needed, however many rows there are.
    label_2C, weight_2C = np.repeat([1.0, 0.0], size), np.concatenate([ones_C, zeros_C])
    return auc_alone(np.tile(score_C, 2), label_2C, weight_2C)
