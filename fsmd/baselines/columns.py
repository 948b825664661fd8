"""What baselines read of encoded rows: a row of a table for each id, and means of its members.

Suffixes: N rows, C columns of ids, L of one field, R rows of a table over all fields' ids, D
numbers, F numbers that trees read.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmd.data.schema import Dataset, Floats, Ids, Schema
from fsmd.half import half_of

FOLDS = 5
"""Parts of train, each of whose rows get means of the others' labels."""
Doubles = NDArray[np.float64]


class FieldColumns(NamedTuple):
    """Where a field lies: its columns of ids, and where its rows of a table begin."""

    columns: slice
    offset: int
    cardinality: int


class TaskRows(NamedTuple):
    """The rows of train on which a task was observed."""

    rows: NDArray[np.int64]
    """Their positions among all rows of train, ascending."""
    label_N: Doubles
    """0 or 1."""
    weight_N: Doubles
    """Of mean 1; all 1 where every row counts alike."""

    @property
    def rate(self) -> float:
        """The weighted mean label; 0 without any row."""
        total = self.weight_N.sum()
        return float(self.weight_N @ self.label_N / total) if total else 0.0

    @property
    def is_constant(self) -> bool:
        """Whether there is nothing to tell apart: one class, or none."""
        return len(np.unique(self.label_N[self.weight_N > 0])) < 2

    @property
    def log_odds(self) -> float:
        """Of the rate; of one class alone as if half a row were of the other; 0 without rows."""
        if not len(self.rows):
            return 0.0
        least = 0.5 / len(self.rows)
        rate = min(max(self.rate, least), 1 - least)
        return float(np.log(rate) - np.log1p(-rate))


def fields_of(schema: Schema) -> Iterator[FieldColumns]:
    """Each categorical field, in order."""
    column = offset = 0
    for field in schema.categorical:
        yield FieldColumns(slice(column, column + field.length), offset, field.cardinality)
        column, offset = column + field.length, offset + field.cardinality


def table_rows(schema: Schema) -> int:
    """R: how many ids all fields have together."""
    return sum(schema.cardinalities)


def task_rows(data: Dataset, k: int, half: int | None = None) -> TaskRows:
    """The rows of train that a baseline of task k learns from; half: as `Training` has it."""
    label_N = np.asarray(data.train.labels[:, k], np.float64)
    observed_N = ~np.isnan(label_N)
    rows = np.flatnonzero(observed_N if half is None else observed_N & half_of(data.train, half))
    weight_N = np.ones(len(rows))
    if data.train.weights is not None:
        weight_N = np.asarray(data.train.weights[rows], np.float64)
        weight_N = weight_N / (weight_N.mean() or 1.0) if len(rows) else weight_N
    return TaskRows(rows, label_N[rows], weight_N)


def member_means(table_R: Floats, field: FieldColumns, id_NC: Ids, empty: float) -> Floats:
    """N: the mean of a table's numbers over each row's members of a field.

    empty: of a row without any. Sums are float32 in the columns' order.
    """
    id_NL = np.asarray(id_NC[:, field.columns])
    if id_NL.shape[1] == 1:
        return table_R[id_NL[:, 0] + field.offset]
    total_N, count_N = np.zeros(len(id_NL), np.float32), np.zeros(len(id_NL), np.float32)
    for id_N in id_NL.T:
        there_N = id_N >= 0
        total_N += np.where(there_N, table_R[np.maximum(id_N, 0) + field.offset], np.float32(0))
        count_N += there_N
    mean_N = total_N / np.maximum(count_N, np.float32(1))
    return np.where(count_N > 0, mean_N, np.float32(empty))


class MeanLabels(NamedTuple):
    """What stands for ids in trees of one task."""

    rate_R: Floats
    """Smoothed mean label of each id."""
    count_R: Floats
    """log(1 + rows of train that have it)."""
    overall: float
    """The mean label."""

    def numbers(self, schema: Schema, id_NC: Ids, dense_ND: Floats) -> Floats:
        """N x F: the rates of each field, then the counts of each, then the numbers."""
        fields = list(fields_of(schema))
        rates = [member_means(self.rate_R, field, id_NC, self.overall) for field in fields]
        counts = [member_means(self.count_R, field, id_NC, 0.0) for field in fields]
        if not fields:
            return np.array(dense_ND, np.float32)
        return np.concatenate([np.stack(rates + counts, 1), dense_ND], 1, dtype=np.float32)


def mean_labels(data: Dataset, rows: TaskRows, smoothing: float) -> tuple[MeanLabels, Floats]:
    """What stands for ids, of all rows of train; and the numbers N x F that train itself gets.

    A row of train gets means of the labels of other folds alone: with its own label among them a
    rare id would tell the label. Folds are one after the other in the rows' order, as rows that
    lie together tell of one another.
    """
    schema, count = data.schema, len(rows.rows)
    fold_N = np.arange(count) * FOLDS // max(count, 1)
    fold_rates = _shares(_sums(fold_N, rows.weight_N * rows.label_N), _sums(fold_N, rows.weight_N))
    numbers_NF = np.empty((count, 2 * len(schema.categorical) + len(schema.dense)), np.float32)
    rate_R = np.empty(table_rows(schema), np.float32)
    count_R = np.empty(table_rows(schema), np.float32)
    share_B = 1 - np.bincount(fold_N, minlength=FOLDS) / max(count, 1)
    for f, field in enumerate(fields_of(schema)):
        id_NL = np.asarray(data.train.ids[rows.rows, field.columns])
        own = slice(field.offset, field.offset + field.cardinality)
        member_NL = id_NL >= 0
        row_M, id_M = np.nonzero(member_NL)[0], id_NL[member_NL]
        key_M = fold_N[row_M] * field.cardinality + id_M
        sums = [
            np.bincount(key_M, value_N[row_M], FOLDS * field.cardinality).reshape(FOLDS, -1)
            for value_N in (rows.weight_N * rows.label_N, rows.weight_N, np.ones(count))
        ]
        positive_BW, weight_BW, rows_BW = (each.sum(0) - each for each in sums)
        rate_R[own] = _smoothed(sums[0].sum(0), sums[1].sum(0), smoothing, rows.rate)
        count_R[own] = np.log1p(sums[2].sum(0))
        other_BW = _smoothed(positive_BW, weight_BW, smoothing, fold_rates[:, None])
        seen_BW = np.log1p(rows_BW / np.where(share_B > 0, share_B, 1.0)[:, None])
        for at, table_BW, empty_B in (
            (f, other_BW, fold_rates),
            (f + len(schema.categorical), seen_BW, np.zeros(FOLDS)),
        ):
            total_N = np.bincount(row_M, table_BW.ravel()[key_M], count)
            members_N = member_NL.sum(1)
            numbers_NF[:, at] = np.where(
                members_N > 0, total_N / np.maximum(members_N, 1), empty_B[fold_N]
            )
    numbers_NF[:, 2 * len(schema.categorical) :] = data.train.dense[rows.rows]
    return MeanLabels(rate_R, count_R, rows.rate), numbers_NF


def _sums(fold_N: NDArray[np.int64], value_N: Doubles) -> Doubles:
    """B: of all folds but one, for each one."""
    sum_B = np.bincount(fold_N, value_N, FOLDS)
    return np.asarray(sum_B.sum() - sum_B)


def _shares(part_B: Doubles, total_B: Doubles) -> Doubles:
    return np.divide(part_B, total_B, out=np.zeros(len(part_B)), where=total_B > 0)


def _smoothed(
    positive_W: Doubles, weight_W: Doubles, smoothing: float, rate: float | Doubles
) -> Doubles:
    total_W = weight_W + smoothing
    mean_W = (positive_W + smoothing * rate) / np.where(total_W > 0, total_W, 1.0)
    return np.where(total_W > 0, mean_W, rate)
