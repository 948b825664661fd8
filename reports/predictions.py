"""Reads the kept predictions: what each row does to each training's figures."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.errors import shown
from fsmd.metrics import METRICS, Array, Metric, influences, is_certain
from fsmd.metrics.steps import step_scores
from fsmd.packing import unpack
from fsmd.stats.sampling import Sampling, shared_covariance
from fsmd.tasks import Task
from fsmd.training import step_key
from studies.reading import StoredError, stored_at
from studies.store.tables import (
    PREDICTIONS,
    TEST_ROWS,
    VALID_PREDICTIONS,
    VALID_ROWS,
    as_stored,
)

_TABLES = {"test": (TEST_ROWS, PREDICTIONS), "valid": (VALID_ROWS, VALID_PREDICTIONS)}
"""Split -> where its rows and their scores are."""
_KEPT = {
    "label": ("|i1", -1.0, 1.0),
    "user": ("<u4", 0.0, 2.0**32),
    "request": ("<u4", 0.0, 2.0**32),
    "item": ("<u4", 0.0, 2.0**32),
    "weight": ("<f4", 0.0, np.inf),
}
"""Kind of column -> its type, and the range of its values."""


class Figure(NamedTuple):
    """A metric of a task's scores."""

    task: str
    metric: Metric
    parent: str | None = None
    """The task that it follows, where it is the figure of that step; None: of reaching it."""

    @property
    def key(self) -> str:
        """The task's name where it is of reaching it, else `step_key`."""
        return self.task if self.parent is None else step_key(self.task, self.parent)


def own_figures(tasks: Iterable[Task]) -> list[Figure]:
    """Each task's by the metric that judges it."""
    return [Figure(task.name, METRICS[task.metric]) for task in tasks]


@dataclass(frozen=True)
class KeptRows:
    """The rows of a split as far as figures need them; one entry a row."""

    labels: Mapping[str, Array]
    """Task -> 0, 1, or NaN where it was not observed."""
    groups: Mapping[str, NDArray[np.int64]]
    """user, request, item -> numbers from 0, equal within one; those that are known."""
    weight_N: Array | None
    """None: all rows count alike."""
    split: str = "test"

    @property
    def unit(self) -> str | None:
        """What is independent of each other: users, else requests; None: every row.

        One alone, as one user, is no sample: by it, nothing would vary.
        """
        known = (name for name in ("user", "request") if self._several(name))
        return next(known, None)

    def _several(self, name: str) -> bool:
        return name in self.groups and bool(self.groups[name].any())

    @property
    def unit_N(self) -> NDArray[np.int64] | None:
        """The number of each row's unit; None: every row is on its own."""
        return None if self.unit is None else self.groups[self.unit]

    @property
    def units(self) -> int | None:
        """How many; None where rows are not grouped."""
        return None if self.unit_N is None else int(self.unit_N.max()) + 1

    @property
    def item_N(self) -> NDArray[np.int64] | None:
        """The number of each row's item; None where they are not known, or all one."""
        return self.groups["item"] if self._several("item") else None

    def labels_of(self, figure: Figure) -> Array:
        """NaN too where a step's rows are not reached."""
        label_N = self.labels[figure.task]
        if figure.parent is None:
            return label_N
        return np.where(self.labels[figure.parent] == 1, label_N, np.nan)

    def tell(self, figure: Figure) -> bool:
        """Whether they are enough to say how sure the figure is."""
        if not {figure.task, figure.parent or figure.task} <= set(self.labels):
            return False
        label_N = self.labels_of(figure)
        used_N = label_N if self.weight_N is None else label_N[self.weight_N > 0]
        fewer = min((used_N == 1).sum(), (used_N == 0).sum())
        return bool(fewer > 1) and is_certain(figure.metric, label_N, self.weight_N, self.groups)


def read_rows(connection: sa.Connection, data_hash: str, split: str = "test") -> KeptRows:
    """Those of a split of a data set's content; without labels where none were recorded."""
    table = _TABLES[split][0]
    columns = dict(_columns(connection, data_hash, table))
    lengths = {name: len(values_N) for name, values_N in columns.items()}
    if len(set(lengths.values())) > 1:
        raise StoredError(
            f"{table.name} of data {data_hash[:12]}",
            f"all columns must have one length; got {lengths}",
        )
    labels = {
        name.removeprefix("label:"): np.where(values_N < 0, np.nan, values_N)
        for name, values_N in columns.items()
        if name.startswith("label:")
    }
    groups: dict[str, NDArray[np.int64]] = {
        name: np.unique(columns[name], return_inverse=True)[1].astype(np.int64)
        for name in ("user", "request", "item")
        if name in columns
    }
    return KeptRows(labels, groups, columns.get("weight"), split)


def _columns(
    connection: sa.Connection, data_hash: str, table: sa.Table
) -> Iterator[tuple[str, Array]]:
    """Each column's name and values; StoredError for what is none."""
    for row in connection.execute(as_stored(table).where(table.c.data_hash == data_hash)):
        with stored_at(f"{table.name} of data {data_hash[:12]}, column {shown(row.column)}"):
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
    figures: Sequence[Figure],
    runs_of_arms: Callable[[], Mapping[str, tuple[str, ...]]],
    over: tuple[int, ...],
    split: str = "test",
) -> Sampling | None:
    """The part of a split's rows, for arms that are measured on the same ones.

    runs_of_arms: gives each arm's trainings, one for each replicate of `over`. Arms without all
    their predictions are left out; None if none is left, or where the rows are too few to tell of
    a figure. One replicate's predictions are in memory at a time.
    """
    rows = read_rows(connection, data_hash, split)
    if not all(map(rows.tell, figures)):
        return None
    names = {name for figure in figures for name in (figure.task, figure.parent) if name}
    runs = runs_of_arms()
    kept = _kept(connection, [run for ids in runs.values() for run in ids], split)
    whole = tuple(
        arm for arm, ids in runs.items() if {(run, n) for run in ids for n in names} <= kept
    )
    if not whole:
        return None
    trainings = zip(*(runs[arm] for arm in whole), strict=True)
    by_item_K = [figure.metric.by_row for figure in figures]
    item_N = rows.item_N if any(by_item_K) else None
    found = (read_influences(connection, ids, figures, rows) for ids in trainings)
    by_item_C = np.tile(by_item_K, len(whole))
    covariance_CC = shared_covariance(found, rows.unit_N, item_N, by_item_C)
    shape = (len(whole), len(figures))
    covariance = covariance_CC.reshape(shape * 2)
    items = None if item_N is None else int(item_N.max()) + 1
    return Sampling(whole, covariance, over, rows.units, rows.unit or "row", items)


def read_influences(
    connection: sa.Connection, ids: tuple[str, ...], figures: Sequence[Figure], rows: KeptRows
) -> Array:
    """N x C of the trainings `ids`, the figures of each side by side."""
    count = len(next(iter(rows.labels.values())))
    influence_NC = np.empty((count, len(ids) * len(figures)), order="F")
    for i, run in enumerate(ids):  # one at a time, so that no other's scores are in memory
        scores = read_scores(connection, run, count, rows.split)
        for k, figure in enumerate(figures, i * len(figures)):
            score_N, label_N = scores_of(figure, scores), rows.labels_of(figure)
            influence_NC[:, k] = influences(
                figure.metric, score_N, label_N, rows.weight_N, rows.groups
            )
    return influence_NC


def read_scores(
    connection: sa.Connection, run: str, count: int, split: str = "test"
) -> Mapping[str, Array]:
    """Task -> log-odds of `count` rows of a split, of the tasks whose predictions were kept."""
    table = _TABLES[split][1]
    kept = connection.execute(as_stored(table).where(table.c.run_id == run)).all()
    return {row.task: _scores(row, count, table.name) for row in kept}


def scores_of(figure: Figure, scores: Mapping[str, Array]) -> Array:
    """N log-odds of what the figure is of: of a step, by the ratio of both probabilities."""
    score_N = scores[figure.task]
    return score_N if figure.parent is None else step_scores(score_N, scores[figure.parent])


def _scores(row: sa.Row[Any], count: int, table: str) -> Array:
    with stored_at(f"training {row.run_id[:12]}, {table} of task {row.task!r}"):
        score_N = _unpacked(row.scores, "<f4")
        if len(score_N) != count:
            raise ValueError(f"must be {count} scores, one a row; got {len(score_N)}")
    return score_N


def _kept(
    connection: sa.Connection, ids: Sequence[str], split: str, size: int = 500
) -> set[tuple[str, str]]:
    """(training, task) of all predictions that are there; databases limit the parameters."""
    table = _TABLES[split][1]
    query, kept = sa.select(table.c.run_id, table.c.task), set()
    for start in range(0, len(ids), size):
        some = table.c.run_id.in_(ids[start : start + size])
        kept |= {(row.run_id, row.task) for row in connection.execute(query.where(some))}
    return kept
