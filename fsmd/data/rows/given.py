"""Rows that are given in memory, as Arrow columns in plain types: dicts, pandas, Arrow.

A value means what it means in a file: None, NaN, NaT and NA are missing, and 7, 7.0 and "7" are
one category. A column of numbers and texts is taken value by value, as texts, which become numbers
where numbers are needed; so a row's values do not depend on the rows beside it.
"""

import datetime
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from numbers import Number
from typing import Any

import numpy as np
import pyarrow as pa

from fsmd.data.description.columns import (
    in_plain_type,
    is_plain,
    plain_type,
    texts,
)
from fsmd.errors import UserError, alternatives, shown

SOURCE = "the rows"
_LONGEST_INTEGER = 1024  # bits
_NONE: Mapping[str, str] = {}
_LISTS = (list, tuple, np.ndarray)
_MOMENTS = (datetime.date, np.datetime64)  # a datetime is a date, and one of pandas a datetime
_REFUSED = (pa.ArrowException, ValueError, TypeError, ArithmeticError, NotImplementedError)


def of_dicts(
    rows: Sequence[Mapping[str, Any]],
    columns: Sequence[str],
    optional: Collection[str] = (),
    padded: Mapping[str, str] = _NONE,
) -> pa.RecordBatch:
    """These columns of N rows; of optional ones those that some row has.

    padded: column that must hold no number -> one of its ids, which tells why.

    Raises UserError for what is no row, a column that is not there, and a value that is none.
    """
    arrays: dict[str, pa.Array] = {}
    for name in columns:
        try:
            values = [row[name] for row in rows]
        except (KeyError, TypeError, IndexError):
            values = _with_gaps(rows, name, optional)
            if not values:
                continue
        arrays[name] = _column(name, partial(of_values, values, name, padded.get(name)))
    return _batch(arrays, len(rows))


def of_frame(
    frame: Any,
    columns: Sequence[str],
    optional: Collection[str] = (),
    padded: Mapping[str, str] = _NONE,
) -> pa.RecordBatch:
    """These columns of a pandas table; see `of_dicts`."""
    if frame.columns.nlevels > 1:
        raise UserError(f"{SOURCE}: columns must have one level of names; got several")
    there = list(map(str, frame.columns))
    arrays: dict[str, pa.Array] = {}
    for name in _there(columns, optional, there):
        series = frame[name]
        is_object = series.dtype == object
        made: Callable[[], pa.Array] = (
            partial(of_values, series.tolist(), name, padded.get(name))
            if is_object
            else partial(pa.array, series, from_pandas=True)
        )
        arrays[name] = _column(name, made)
    return _batch(arrays, len(frame))


def of_arrow(
    table: pa.Table | pa.RecordBatch, columns: Sequence[str], optional: Collection[str] = ()
) -> pa.RecordBatch:
    """These columns of an Arrow table or batch; see `of_dicts`."""
    there = table.schema.names
    arrays = {
        name: _column(name, partial(table.column, name))
        for name in _there(columns, optional, there)
    }
    return _batch(arrays, table.num_rows)


def check_columns(
    source: str, columns: Sequence[str], optional: Collection[str], there: Collection[str]
) -> None:
    """Raise UserError for columns that are needed and not there, or there twice."""
    lost = [name for name in columns if name not in there and name not in optional]
    if lost:
        several = f" ({', '.join(map(repr, lost))} are not there)" if len(lost) > 1 else ""
        raise UserError(
            f"{source}: no column {lost[0]!r}, which the model needs{several}"
            f"{alternatives(lost[0], list(there))}"
        )
    for name in columns:
        if (times := list(there).count(name)) > 1:
            raise UserError(f"{source}: column {name!r} is there {times} times; keep one")


def of_values(
    values: Sequence[Any],
    name: str,
    padded: str | None = None,
    row_of: Sequence[int] | None = None,
) -> pa.Array:
    """A column of Python's values, in whatever mixture; UserError for one that is none.

    padded: see `of_dicts`. row_of: the row of each, for messages; None: its position.
    """
    row_of = range(len(values)) if row_of is None else row_of
    kinds = {type(value) for value in values if not _is_missing(value)}
    if any(issubclass(kind, _LISTS) for kind in kinds):
        return _lists(values, name, padded, row_of)
    if padded is not None and (numeric := set(filter(_is_number, kinds))):
        pairs = zip(row_of, values, strict=True)
        row, value = next(p for p in pairs if type(p[1]) in numeric and not _is_missing(p[1]))
        raise no_number(f"{SOURCE}, row {row} (from 0)", f"column {name!r}", value, padded)
    if any(issubclass(kind, _MOMENTS) for kind in kinds):
        return _moments(values, name, row_of)
    if len(kinds) <= 1 or kinds == {int, float}:
        try:
            array = pa.array(values, from_pandas=True)
            # Else as beside values of another kind: a number of 64 bits is a text, a set is none.
            if is_plain(array.type) and array.type != pa.uint64():
                return in_plain_type(array, plain_type(array.type))
        except _REFUSED:
            pass  # such as a whole number that no type holds, or half a pair of surrogates
    words = [_text(value, row, name) for row, value in zip(row_of, values, strict=True)]
    return pa.array(words, pa.string())


def no_number(place: str, what: str, value: object, padded: str) -> UserError:
    """For a number in the place of ids that begin with zeros: as a text it would be another id."""
    return UserError(
        f"{place}: {what} must hold texts, not numbers, as ids of the model begin with "
        f"zeros, such as {padded!r}; got {shown(value)}: read the column as text (pandas: "
        "dtype=str)"
    )


def _is_number(kind: type) -> bool:
    return issubclass(kind, Number) and not issubclass(kind, bool)


def _lists(
    values: Sequence[Any], name: str, padded: str | None, row_of: Sequence[int]
) -> pa.Array:
    members: list[Any] = []
    row_of_members: list[int] = []
    edges: list[int | None] = []
    for row, value in zip(row_of, values, strict=True):
        if isinstance(value, _LISTS):
            edges.append(len(members))
            members.extend(value)
            row_of_members.extend([row] * len(value))
        elif _is_missing(value):
            edges.append(None)
        else:
            other = next(i for i, v in enumerate(values) if isinstance(v, _LISTS))
            raise UserError(
                f"{SOURCE}: column {name!r} must have lists in all rows or in none; row "
                f"{row_of[other]} (from 0) has {shown(values[other])}, and row {row} has "
                f"{shown(value)}"
            )
    return pa.ListArray.from_arrays(
        pa.array([*edges, len(members)], pa.int32()),
        of_values(members, name, padded, row_of_members),
    )


def _moments(values: Sequence[Any], name: str, row_of: Sequence[int]) -> pa.Array:
    """In UTC; of days and times alike."""
    found: list[datetime.datetime | None] = []
    for row, value in zip(row_of, values, strict=True):
        is_of_numpy = isinstance(value, np.datetime64)
        moment = value.astype("datetime64[us]").item() if is_of_numpy else value
        if _is_missing(value):
            moment = None
        elif not isinstance(moment, datetime.date):
            raise _refused(name, row, value, "beside moments there must be moments")
        elif not isinstance(moment, datetime.datetime):
            moment = datetime.datetime.combine(moment, datetime.time())
        elif moment.tzinfo is not None:
            moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
        found.append(moment)
    return pa.array(found, pa.timestamp("us"), from_pandas=True)


def _text(value: Any, row: int, name: str) -> str | None:
    """As `columns.texts` has it."""
    if _is_missing(value):
        return None
    if isinstance(value, int) and value.bit_length() < _LONGEST_INTEGER:
        return str(int(value))
    try:
        array = pa.array([value], from_pandas=True)
        if is_plain(array.type):
            text, refused_N = texts(array)
            if refused_N is None or not refused_N.any():
                found: str | None = text[0].as_py()
                return found
    except _REFUSED:
        pass
    raise _refused(name, row, value, "a value must be a text or a finite number")


def _refused(name: str, row: int, value: Any, rule: str) -> UserError:
    return UserError(f"{SOURCE}, row {row} (from 0): column {name!r}: {rule}; got {shown(value)}")


def _is_missing(value: Any) -> bool:
    """Whether it is None, NaN, NaT or NA."""
    kind = type(value)
    if value is None:
        return True
    if kind in (str, int, bool, bytes, datetime.datetime, datetime.date):
        return False
    if kind is float:
        return bool(value != value)
    if isinstance(value, _LISTS):
        return False
    if kind.__name__ == "NAType":
        return True
    try:
        return bool(value != value)
    except Exception:  # an object may compare as it likes; then it is refused by what it is
        return False


def _with_gaps(
    rows: Sequence[Mapping[str, Any]], name: str, optional: Collection[str]
) -> list[Any]:
    """The values of an optional column, None where a row has it not; none where no row has it."""
    for i, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise UserError(
                f"{SOURCE}, row {i} (from 0): a row must be a dict of columns; got {shown(row)}"
            )
        if name not in row and name not in optional:
            there = alternatives(name, [key for key in row if isinstance(key, str)])
            raise UserError(
                f"{SOURCE}, row {i} (from 0): no column {name!r}, which the model needs (None "
                f"stands for a missing value){there}"
            )
    is_there = any(name in row for row in rows)
    return [row.get(name) for row in rows] if is_there else []


def _there(columns: Sequence[str], optional: Collection[str], there: Sequence[str]) -> list[str]:
    check_columns(SOURCE, columns, optional, there)
    return [name for name in columns if name in there]


def _column(name: str, made: Callable[[], pa.Array | pa.ChunkedArray]) -> pa.Array:
    """In a plain type; UserError for what Arrow cannot hold, or is no text."""
    try:
        array = made()
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        kind = plain_type(array.type)
        if isinstance(array, pa.ExtensionArray):
            array = array.storage
        return array if array.type == kind == pa.string() else in_plain_type(array, kind)
    except UserError:
        raise
    except _REFUSED as error:
        raise UserError(
            f"{SOURCE}: column {name!r} must have texts, numbers, moments or lists of them "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        ) from error


def _batch(arrays: Mapping[str, pa.Array], rows: int) -> pa.RecordBatch:
    if not arrays:  # which a batch of Arrow would take for no rows
        return pa.RecordBatch.from_arrays([pa.nulls(rows)], names=["\0"])
    return pa.RecordBatch.from_arrays(list(arrays.values()), names=list(arrays))
