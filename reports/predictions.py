"""Reads the kept test predictions: what each test row does to each training's figures."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.errors import shown
from fsmd.metrics import METRICS, Array, influences
from fsmd.packing import unpack
from fsmd.stats.sampling import Sampling, by_unit, shared_covariance
from fsmd.tasks import Task
from studies.reading import StoredError, stored_at
from studies.store.tables import PREDICTIONS, TEST_ROWS, as_stored

_KEPT = {
    "label": ("|i1", -1.0, 1.0),
    "unit": ("<u4", 0.0, 2.0**32),
    "weight": ("<f4", 0.0, np.inf),
}
"""Kind of column -> its type, and the range of its values."""


@dataclass(frozen=True)
class TestRows:
    """The test rows of a data set as far as figures need them; one entry a row."""

    labels: Mapping[str, Array]
    """Task -> 0, 1, or NaN where it was not observed."""
    unit_N: NDArray[np.int64] | None
    """Rows of one user share a number; None: every row is on its own."""
    weight_N: Array | None
    """None: all rows count alike."""

    @property
    def units(self) -> int | None:
        """How many users; None where rows are not grouped."""
        return None if self.unit_N is None else int(self.unit_N.max()) + 1


def read_test_rows(connection: sa.Connection, data_hash: str) -> TestRows:
    """Those of a data set's content; without labels where none were recorded."""
    columns = dict(_columns(connection, data_hash))
    lengths = {name: len(values_N) for name, values_N in columns.items()}
    if len(set(lengths.values())) > 1:
        raise StoredError(
            f"{TEST_ROWS.name} of data {data_hash[:12]}",
            f"all columns must have one length; got {lengths}",
        )
    labels = {
        name.removeprefix("label:"): np.where(values_N < 0, np.nan, values_N)
        for name, values_N in columns.items()
        if name.startswith("label:")
    }
    unit_N, weight_N = columns.get("unit"), columns.get("weight")
    return TestRows(
        labels,
        None if unit_N is None else np.unique(unit_N, return_inverse=True)[1].astype(np.int64),
        weight_N,
    )


def _columns(connection: sa.Connection, data_hash: str) -> Iterator[tuple[str, Array]]:
    """Each column's name and values; StoredError for what is none."""
    for row in connection.execute(as_stored(TEST_ROWS).where(TEST_ROWS.c.data_hash == data_hash)):
        with stored_at(f"{TEST_ROWS.name} of data {data_hash[:12]}, column {shown(row.column)}"):
            kind, low, high = _KEPT.get(str(row.column).partition(":")[0], ("", 0.0, 0.0))
            values_N = _unpacked(row.packed, kind)
            if len(values_N) and not low <= values_N.min() <= values_N.max() <= high:
                raise ValueError(
                    f"must lie between {low:g} and {high:g}; got {values_N.min():g} to "
                    f"{values_N.max():g}"
                )
            yield row.column, values_N


def _unpacked(packed: Any, kind: str) -> Array:
    """Numbers of a kind (numpy's code), none of them NaN; ValueError for bytes that are none."""
    if not isinstance(packed, bytes | memoryview):
        raise ValueError(f"must be bytes; got {shown(packed)}")
    values_N = unpack(bytes(packed))
    if values_N.dtype.str != kind or not np.isfinite(values_N).all():
        raise ValueError(f"must be finite numbers of type {kind or 'none'}; got {values_N.dtype}")
    return values_N.astype(np.float64)


def read_sampling(
    connection: sa.Connection,
    data_hash: str,
    tasks: Sequence[Task],
    runs: Mapping[str, tuple[str, ...]],
    over: tuple[int, ...],
) -> Sampling | None:
    """The test set's part for arms on one test set.

    runs: each arm's trainings, one for each replicate of `over`. Arms without all their
    predictions are left out; None if none is left, or where a task has too few rows of a class
    to judge by. One replicate's predictions are in memory at a time.
    """
    rows = read_test_rows(connection, data_hash)
    names = [task.name for task in tasks]
    if not set(names) <= set(rows.labels) or min(_rarer_class(rows, n) for n in names) < 2:
        return None
    kept = _kept(connection, [run for ids in runs.values() for run in ids])
    whole = tuple(
        arm for arm, ids in runs.items() if {(run, n) for run in ids for n in names} <= kept
    )
    if not whole:
        return None
    trainings = zip(*(runs[arm] for arm in whole), strict=True)
    covariance_CC = shared_covariance(
        read_influences(connection, ids, tasks, rows) for ids in trainings
    )
    shape = (len(whole), len(tasks))
    return Sampling(whole, covariance_CC.reshape(shape * 2), over, rows.units)


def read_influences(
    connection: sa.Connection, ids: tuple[str, ...], tasks: Sequence[Task], rows: TestRows
) -> Array:
    """N x C, or units x C, of the trainings `ids`, the tasks of each side by side."""
    keys = [(run, task.name) for run in ids for task in tasks]
    metric = {task.name: METRICS[task.metric] for task in tasks}
    count = len(next(iter(rows.labels.values())))
    influence_NC = np.empty((count, len(keys)), order="F")
    for row in _rows_of(connection, as_stored(PREDICTIONS), ids):
        columns = [c for c, key in enumerate(keys) if key == (row.run_id, row.task)]
        if columns:
            task = row.task
            with stored_at(f"training {row.run_id[:12]}, {PREDICTIONS.name} of task {task!r}"):
                score_N = _unpacked(row.scores, "<f4")
                if len(score_N) != count:
                    raise ValueError(f"must be {count} scores, one a test row; got {len(score_N)}")
            moved_N = influences(metric[task], score_N, rows.labels[task], rows.weight_N)
            influence_NC[:, columns] = moved_N[:, None]
    return by_unit(influence_NC, rows.unit_N)


def _rarer_class(rows: TestRows, task: str) -> int:
    """Rows of the class that has fewer, among those that count."""
    label_N = rows.labels[task]
    if rows.weight_N is not None:
        label_N = label_N[rows.weight_N > 0]
    return int(min((label_N == 1).sum(), (label_N == 0).sum()))


def _kept(connection: sa.Connection, ids: Sequence[str]) -> set[tuple[str, str]]:
    """(training, task) of all predictions that are there."""
    query = sa.select(PREDICTIONS.c.run_id, PREDICTIONS.c.task)
    return {(row.run_id, row.task) for row in _rows_of(connection, query, ids)}


def _rows_of(
    connection: sa.Connection, query: sa.Select[Any], ids: Sequence[str], size: int = 50
) -> Iterator[sa.Row[Any]]:
    """Of these trainings, in pieces: databases limit the number of parameters, and so does
    memory."""
    for start in range(0, len(ids), size):
        some = ids[start : start + size]
        yield from connection.execute(query.where(PREDICTIONS.c.run_id.in_(some)))
