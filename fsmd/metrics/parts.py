"""Many rows part by part, so that memory stays bounded however many there are.

A figure is exact all the same: each metric says how its rows may be parted, and sums over parts.
Where a metric needs ranges of the score or whole groups, the rows lie in temporary files
meanwhile (at most 25 bytes each, where Python's `tempfile` puts them; TMPDIR says where).
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fsmd.metrics.metric import Array, Metric, Rows
from fsmd.metrics.ties import Runs

PART = 2**21
"""Rows of a part, about; its working memory is some 100 bytes a row. Up to twice as many are one
part. A group is never parted, so the largest one must fit too."""
SAMPLE = 2**18
"""Rows by which the ends of parts are chosen, so that these are of about one size."""
_RECORD = np.dtype(
    [("score_N", "f8"), ("weight_N", "f8"), ("group_N", "u8"), ("label_N", "i1")], align=False
)


@dataclass(frozen=True)
class ScoredRows:
    """N rows as they come, of any float type and possibly mapped from a file."""

    score_N: NDArray[np.floating[Any]]
    label_N: NDArray[np.floating[Any]]
    weight_N: NDArray[np.floating[Any]] | None
    group_N: NDArray[Any] | None

    def __len__(self) -> int:
        return len(self.score_N)

    def used(self, some: slice = slice(None)) -> NDArray[np.bool_]:
        """Which rows count."""
        used_N: NDArray[np.bool_] = ~np.isnan(self.label_N[some])
        if self.weight_N is not None:
            used_N &= self.weight_N[some] > 0
        return used_N

    def rows(self, some: slice = slice(None)) -> Rows:
        """Those that count; ValueError for a NaN among the scores, of whatever row."""
        used_N = self.used(some)
        score_N = self.score_N[some]
        if np.isnan(score_N).any():
            raise ValueError("a metric of scores that are not numbers")
        weight_N = None if self.weight_N is None else self.weight_N[some][used_N].astype(float)
        return Rows(
            score_N[used_N].astype(float),
            self.label_N[some][used_N].astype(float),
            np.ones(int(used_N.sum())) if weight_N is None else weight_N,
            None if self.group_N is None else np.asarray(self.group_N[some])[used_N],
        )


@contextmanager
def in_parts(columns: ScoredRows, metric: Metric, size: int = PART) -> Iterator[Sequence[Rows]]:
    """The rows that count as the metric needs them, none of the parts empty."""
    slices = [slice(start, start + size) for start in range(0, len(columns), size)]
    if len(slices) < 3:
        rows = columns.rows()
        yield (rows,) if len(rows.score_N) else ()
    elif not metric.by_score and not metric.group:
        used = [some for some in slices if columns.used(some).any()]
        yield _Parts([partial(columns.rows, some) for some in used])
    else:
        with TemporaryDirectory(prefix="fsmd-parts-") as folder:
            paths = _written(columns, metric, slices, Path(folder))
            yield _Parts([partial(_read, path) for path in paths])


class _Parts(Sequence[Rows]):
    """Parts of which each is read whenever it is asked for: all would be too many for memory."""

    def __init__(self, reads: Sequence[Callable[[], Rows]]) -> None:
        self.reads = reads

    def __len__(self) -> int:
        return len(self.reads)

    @overload
    def __getitem__(self, i: int) -> Rows: ...
    @overload
    def __getitem__(self, i: slice) -> Sequence[Rows]: ...
    def __getitem__(self, i: int | slice) -> Rows | Sequence[Rows]:
        return _Parts(self.reads[i]) if isinstance(i, slice) else self.reads[i]()


def _read(path: Path) -> Rows:
    records = np.fromfile(path, _RECORD)
    score_N, label_N, weight_N, group_N = (
        np.ascontiguousarray(records[name]) for name in Rows._fields
    )
    return Rows(score_N, label_N.astype(float), weight_N, group_N)


def _written(
    columns: ScoredRows, metric: Metric, slices: Sequence[slice], folder: Path
) -> Iterator[Path]:
    """Files of the rows by ranges of their score or of the number of their group."""
    keys_N = columns.score_N if metric.by_score else columns.group_N
    assert keys_N is not None
    sample = np.sort(np.asarray(keys_N[:: max(len(columns) // SAMPLE, 1)]))
    ends = np.unique(sample[[len(sample) * i // len(slices) for i in range(1, len(slices))]])
    paths = [folder / f"{part}" for part in range(len(ends) + 1)]
    for some in slices:
        rows = columns.rows(some)
        if not len(rows.score_N):
            continue
        records = _merged(rows) if metric.by_score else _records(rows)
        part_N = np.searchsorted(
            ends, records["score_N" if metric.by_score else "group_N"], "right"
        )
        order_N = np.argsort(part_N, kind="stable")
        bounds = np.searchsorted(part_N[order_N], np.arange(len(paths) + 1))
        for path, start, end in zip(paths, bounds[:-1], bounds[1:], strict=True):
            with path.open("ab") as file:
                file.write(records[order_N[start:end]].tobytes())
    return (path for path in paths if path.exists() and path.stat().st_size)


def _records(rows: Rows) -> NDArray[np.void]:
    records = np.zeros(len(rows.score_N), _RECORD)
    for name, values_N in rows._asdict().items():
        if values_N is not None:
            records[name] = values_N
    return records


def _merged(rows: Rows) -> NDArray[np.void]:
    """Rows of equal score and label are one row of their weights: many equal scores stay few."""
    runs = Runs(rows.score_N)
    score_R = rows.score_N[runs.order_N[runs.start_R]]
    positives_R, negatives_R = runs.of_labels(rows.weight_N, rows.label_N)
    both: list[NDArray[np.void]] = []
    for label, weight_R in ((0.0, negatives_R), (1.0, positives_R)):
        some_R = weight_R > 0
        weight_S: Array = weight_R[some_R]
        both.append(_records(Rows(score_R[some_R], np.full(len(weight_S), label), weight_S)))
    return np.concatenate(both)
