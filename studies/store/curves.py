"""What trainings measured, as it is stored: a row for each curve of one metric over the epochs.

A row for each number would be some fifty times as many, most of each its key.
"""

import json
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby
from operator import attrgetter
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from fsmd.training import Measurement
from studies.reading import uncollected
from studies.store.faults import patient, refusal
from studies.store.tables import MEASUREMENTS, as_stored

_CURVE = ("split", "task", "metric")
_ORDER = ("run_id", *_CURVE, "epoch")
_NUMBER = r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?"
_AS_WRITTEN = rf"^\[{_NUMBER}(?:, {_NUMBER})*\]$"
"""A curve, letter by letter as `rows_of` writes it."""


@dataclass(frozen=True)
class Keys:
    """What a training measured, by columns; most trainings of a study measure the same."""

    epochs: tuple[int, ...] = ()
    splits: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        """Of hundreds of parts, and asked for each training."""
        return hash((self.epochs, self.texts))

    @property
    def texts(self) -> tuple[tuple[str, ...], ...]:
        """Splits, tasks and metrics."""
        return self.splits, self.tasks, self.metrics

    @property
    def rows(self) -> list[tuple[int, str, str, str]]:
        """(epoch, split, task, metric) of each figure."""
        return list(zip(self.epochs, *self.texts, strict=True))


class Figures(NamedTuple):
    """What a training measured, by columns: there are millions of measurements."""

    keys: Keys = Keys()
    values: Sequence[float] = ()
    """An array, if all are numbers."""

    @property
    def rows(self) -> Iterator[tuple[int, str, str, str, float]]:
        """(epoch, split, task, metric, value), as in a `Measurement`."""
        told = zip(self.keys.rows, self.values, strict=True)
        return ((*key, value) for key, value in told)


def rows_of(measurements: Iterable[Measurement]) -> list[dict[str, Any]]:
    """The rows that hold these, but for their training; an epoch left out begins another row."""
    rows = list[dict[str, Any]]()
    curve_of = attrgetter(*_CURVE)
    for key, own in groupby(sorted(measurements, key=attrgetter(*_CURVE, "epoch")), curve_of):
        for _, stretch in groupby(enumerate(own), lambda pair: pair[1].epoch - pair[0]):
            some = [measurement for _, measurement in stretch]
            values = json.dumps([m.value for m in some], allow_nan=False)
            named = dict(zip(_CURVE, key, strict=True))
            rows.append({**named, "epoch": some[0].epoch, "curve": values})
    return rows


def value_at(first: Any, curve: Any, epoch: int) -> Any:
    """What a row that begins at the epoch `first` has of another; None where it has nothing."""
    values, place = _numbers(curve), epoch - first if type(first) is int else -1
    return values[place] if 0 <= place < len(values) else None


@patient
@uncollected()
def figures_of(
    engine: sa.Engine, ids: Sequence[str], alike: dict[Any, Keys] | None = None
) -> dict[str, Figures]:
    """Identity -> what each of these trainings measured, as it is stored: by split, task, metric
    and epoch.

    alike: the keys of others, which are kept once.
    """
    order = (MEASUREMENTS.c[name] for name in _ORDER)
    measured = as_stored(MEASUREMENTS, *_ORDER, "curve").where(MEASUREMENTS.c.run_id.in_(ids))
    with engine.connect() as connection:
        result = connection.execute(measured.order_by(*order))
        try:  # of the driver itself: as rows of SQLAlchemy they take twice as long
            stored = result.cursor.fetchall()
        except engine.dialect.loaded_dbapi.Error as error:
            raise refusal(engine.url, error) from error
    found, alike = {id: Figures() for id in ids}, {} if alike is None else alike
    runs, *columns, curves = list(zip(*stored, strict=True)) or [(), ()]
    values, lengths = _values(curves)
    row = first = 0
    for run_id, rows in groupby(runs):
        end = row + len(list(rows))
        told = tuple(column[row:end] for column in (*columns, lengths))
        last = first + sum(told[-1])
        keys = alike[told] if told in alike else alike.setdefault(told, _keys(*told))
        found[run_id] = Figures(keys, _array(values[first:last]))
        row, first = end, last
    return found


def _keys(
    splits: Sequence[str],
    tasks: Sequence[str],
    metrics: Sequence[str],
    firsts: Sequence[Any],
    lengths: Sequence[int],
) -> Keys:
    def repeated(column: Sequence[str]) -> tuple[str, ...]:
        each = ([text] * n for text, n in zip(column, lengths, strict=True))
        return tuple(chain.from_iterable(each))

    epochs = (
        range(first, first + n) if type(first) is int else [first] * n  # refused when checked
        for first, n in zip(firsts, lengths, strict=True)
    )
    columns = map(repeated, (splits, tasks, metrics))
    return Keys(tuple(chain.from_iterable(epochs)), *columns)


def _values(curves: Sequence[Any]) -> tuple[Sequence[Any], tuple[int, ...]]:
    """The values of all curves one after another, and how many each has.

    Arrow reads the numbers in a fifth of the time that JSON takes, and reads the same.
    """
    if {*map(type, curves)} <= {str}:
        text = pa.array(curves, pa.string())
        if pc.all(pc.match_substring_regex(text, _AS_WRITTEN)).as_py():
            told = pc.split_pattern(pc.utf8_slice_codeunits(text, 1, -1), ", ")
            numbers = pc.cast(told.flatten(), pa.float64()).to_numpy()
            return array("d", numbers.tobytes()), tuple(pc.list_value_length(told).to_pylist())
    lists = [*map(_numbers, curves)]
    return [*chain.from_iterable(lists)], tuple(map(len, lists))


_decode = json.JSONDecoder(parse_int=float).decode  # of a whole number beyond all: infinite


def _numbers(curve: Any) -> Sequence[Any]:
    """The values of a curve; what is none stands as a text, which is refused when checked."""
    try:
        values = _decode(curve)
    except (TypeError, ValueError, RecursionError):
        return [str(curve)]
    return values if type(values) is list and values else [str(curve)]


def _array(values: Sequence[Any]) -> Sequence[float]:
    """An array, if all are numbers."""
    is_done = isinstance(values, array) or not {*map(type, values)} <= {float}
    return values if is_done else array("d", values)
