"""Tables in memory as the same parts that a log is read in."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import NUMBER_BOUND
from fsmd.data.rows.hashes import owner_codes
from fsmd.data.rows.part import Part, Where
from fsmd.data.source import Recipe, Source, Tags
from fsmd.data.values import (
    Floats64,
    bounded_numbers,
    column_of,
    labels_of,
    numbers_of,
    words_of,
)
from fsmd.errors import UserError
from fsmd.tasks import names

ROWS_OF_PART = 2**16


@dataclass(frozen=True)
class Tables:
    """The rows of each split in order; `truth` holds the test rows' true probabilities."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    truth: pd.DataFrame | None = None

    def __post_init__(self) -> None:
        """Refuse what is no table."""
        for name, table in vars(self).items():
            if not isinstance(table, pd.DataFrame) and (name, table) != ("truth", None):
                raise UserError(f"`{name}` must be a pandas table; got {type(table).__name__}")


def of_tables(recipe: Recipe, key: Mapping[str, object], read: Callable[[], Tables]) -> Source:
    """A source of tables; `key` changes with their content."""

    def parts() -> Iterator[Part]:
        tables = read()
        if not isinstance(tables, Tables):
            raise TypeError(f"`read` must give Tables; got {tables!r:.60}")
        yield from parts_of(recipe, tables)

    return Source(recipe, key, parts)


def parts_of(recipe: Recipe, tables: Tables) -> Iterator[Part]:
    """The rows of all splits; UserError with split, column and row of an impossible value."""
    first = 0
    for split in SPLITS:
        frame = getattr(tables, split)
        yield from _parts_of_split(recipe, split, frame, first, tables.truth)
        first += len(frame)


def fields_of(recipe: Recipe, where: str, frame: pd.DataFrame) -> pa.RecordBatch:
    """The features of a table's rows, as `Part.fields` has them."""
    columns: dict[str, pa.Array] = {}
    for column in recipe.categorical:
        values = column_of(where, frame, column.name)
        made = _lists if isinstance(column, Tags) else _texts
        columns[column.name] = made(where, values)
    for dense in recipe.dense:
        values = column_of(where, frame, dense.name)
        number_N = bounded_numbers(where, values, -NUMBER_BOUND, NUMBER_BOUND, missing=True)
        columns[dense.name] = pa.array(number_N, from_pandas=True)
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _parts_of_split(
    recipe: Recipe, split: str, frame: pd.DataFrame, first: int, truth: pd.DataFrame | None
) -> Iterator[Part]:
    """first: the rows of the splits before it."""
    where = f"{recipe.name}, {split}"
    rows = len(frame)
    if not rows:
        raise UserError(f"{where}: there are no rows")
    columns = [column.name for column in recipe.features]
    for name in (*columns, *names(recipe.tasks)):
        column_of(where, frame, name)
    labels = [labels_of(where, frame[task.name]) for task in recipe.tasks]
    arrays: dict[str, np.ndarray[Any, Any]] = {"label_NK": np.stack(labels, 1)}
    if recipe.weight is not None:
        arrays["weight_N"] = numbers_of(where, column_of(where, frame, recipe.weight))
    for name, column in (("user_N", recipe.user), ("request_N", recipe.request)):
        if column is not None:
            words = _words(where, column_of(where, frame, column))
            arrays[name] = owner_codes(words, first + np.arange(rows))
    if truth is not None and split == "test":
        arrays["truth_NK"] = _truth(recipe, truth, rows)
    fields = fields_of(recipe, where, frame)
    for start in range(0, rows, ROWS_OF_PART):
        these = slice(start, min(start + ROWS_OF_PART, rows))
        yield Part(
            split=split,
            fields=fields.slice(start, these.stop - start),
            where=Where(where, np.arange(start, these.stop)),
            **{name: array[these] for name, array in arrays.items()},
        )


def _texts(where: str, values: pd.Series) -> pa.Array:
    return _words(where, values).dictionary_decode()


def _words(where: str, values: pd.Series) -> pa.DictionaryArray:
    found = words_of(where, values)
    codes = pa.array(found.code_N, pa.int32(), mask=found.code_N < 0)
    return pa.DictionaryArray.from_arrays(codes, pa.array(found.words, pa.string()))


def _lists(where: str, values: pd.Series) -> pa.Array:
    """Lists, tuples or arrays of categories; a missing value is no list, an empty one is."""
    lists = [
        list(value) if isinstance(value, list | tuple | np.ndarray) else None for value in values
    ]
    for row, (value, members) in enumerate(zip(values, lists, strict=True)):
        if members is None and not (pd.api.types.is_scalar(value) and pd.isna(value)):
            raise UserError(
                f"{where}: tags of column {values.name!r} must be lists; row {row} (from 0) has "
                f"{value!r:.60}"
            )
    flat = pd.Series([m for each in lists for m in each or ()], dtype=object, name=values.name)
    edges = np.cumsum([0, *(len(each or ()) for each in lists)])
    none = np.array([*(each is None for each in lists), False])
    offsets = pa.array(edges, pa.int32(), mask=none)
    return pa.ListArray.from_arrays(offsets, _texts(f"{where}, members in order", flat))


def _truth(recipe: Recipe, truth: pd.DataFrame, rows: int) -> Floats64:
    where = f"{recipe.name}, true probabilities"
    if len(truth) != rows:
        raise UserError(f"{where}: there must be one for each of {rows} rows; got {len(truth)}")
    columns = [
        bounded_numbers(where, column_of(where, truth, task.name), 0, 1) for task in recipe.tasks
    ]
    return np.stack(columns, 1)
