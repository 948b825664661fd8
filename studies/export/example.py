"""The rows of example.json: real rows of test, or made-up ones, with what they must score."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from decimal import Decimal
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from fsmd.data import description_of, source_of
from fsmd.data.description.expression import parse
from fsmd.data.description.toml import read
from fsmd.data.encode import quarter_of_machine
from fsmd.data.encoder import Encoder, Vocabulary
from fsmd.data.inputs import Input
from fsmd.data.rows.fields import UntypedRows
from fsmd.data.rows.log import Log
from fsmd.data.rows.part import Where
from fsmd.data.schema import FIRST_ID
from fsmd.saved.head import Example
from fsmd.saved.outputs import output_values
from fsmd.trained import TrainedModel

ROWS = 5
SEEN = 2000
"""Rows of test that the example is taken from, or made of."""
UNSEEN_TEXT, UNSEEN_NUMBER = "never seen in train", 987_654_321
MADE_UP = (
    "they are made up: each value is one of test's, and no two of a row need be of one row there"
)
REAL = "three are rows of test as they are, in two of them one value was changed"


class RawRows(NamedTuple):
    """Some rows of test as they are before any encoding, and how features are made of them."""

    batch: pa.RecordBatch
    features: Callable[[pa.RecordBatch], pa.RecordBatch]
    where: str


def example_of(
    asked: str, encoder: Encoder, trained: TrainedModel, real: bool, memory: int | None = None
) -> Example:
    """Five rows, among them one with an unseen and one with a missing value.

    asked: the data set, as `load` takes it. real: whether rows are those of test; else each column
    is shuffled by itself, and unknown categories are left out.
    """
    raw = _raw(asked, encoder, memory)
    there = raw.batch.schema.names  # columns of optional inputs may be nowhere
    names = [name for name in _columns(encoder.inputs) if name in there]
    columns = {name: raw.batch.column(name).to_pylist() for name in names}
    count = raw.batch.num_rows
    chosen = np.linspace(0, count - 1, ROWS).astype(int)
    places = dict.fromkeys(columns, chosen)
    if not real:
        known_N = _known(encoder, raw)
        draw = np.random.default_rng(0)
        places = {name: draw.choice(known_N[name], ROWS) for name in columns}
    lists = {name: [values[i] for i in places[name]] for name, values in columns.items()}
    _spoil(encoder, lists, raw.batch.schema)
    batch = pa.RecordBatch.from_arrays(
        [pa.array(v, raw.batch.schema.field(n).type) for n, v in lists.items()], names=[*lists]
    )
    rows = [
        {name: _plain(values[i], batch.schema.field(name).type) for name, values in lists.items()}
        for i in range(ROWS)
    ]
    where = Where(raw.where, np.arange(ROWS))
    ids_NC, dense_ND = encoder.transform(raw.features(batch), where)
    values = output_values(trained, encoder.score, ids_NC, dense_ND)
    expected = [{name: float(value_N[i]) for name, value_N in values.items()} for i in range(ROWS)]
    return Example(tuple(rows), tuple(expected), REAL if real else MADE_UP)


def _raw(asked: str, encoder: Encoder, memory: int | None) -> RawRows:
    """Of a description its files' columns; of data made by code the features themselves."""
    path = description_of(asked)
    if path is None:
        parts = (part.fields for part in source_of(asked, memory).parts() if part.split == "test")
        return RawRows(_first(parts), lambda batch: batch, asked)
    log = Log.of(read(path), (memory or quarter_of_machine()) // 2)

    def features(batch: pa.RecordBatch) -> pa.RecordBatch:
        where = Where(str(path), np.arange(batch.num_rows))
        return log.features(UntypedRows(batch, where, {}))

    return RawRows(_first(log.raw("test")), features, str(path))


def _first(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatch:
    """Some rows as one batch."""
    some, count = [], 0
    for batch in batches:
        some.append(batch)
        count += batch.num_rows
        if count >= SEEN:
            break
    table = pa.Table.from_batches(some).unify_dictionaries().combine_chunks()
    return table.slice(0, SEEN).to_batches()[0]


def _columns(inputs: Sequence[Input]) -> tuple[str, ...]:
    """The raw columns that any input is made of."""
    named = (name for each in inputs for name in parse(each.expression, each.name).columns)
    return tuple(dict.fromkeys(named))


def _known(encoder: Encoder, raw: RawRows) -> Mapping[str, Any]:
    """Column -> the rows all whose categories made of it are in the vocabulary, or else all."""
    where = Where(raw.where, np.arange(raw.batch.num_rows))
    ids_NC, _ = encoder.transform(raw.features(raw.batch), where)
    edges = np.cumsum([0, *(v.length for v in encoder.vocabularies)])
    known = dict.fromkeys(_columns(encoder.inputs), np.ones(len(ids_NC), bool))
    for f, each in enumerate(encoder.inputs[: len(encoder.vocabularies)]):
        of_field = ids_NC[:, edges[f] : edges[f + 1]]
        known_N = ((of_field >= FIRST_ID) | (of_field < 0)).all(axis=1)
        for name in parse(each.expression, each.name).columns:
            known[name] = known[name] & known_N
    return {
        name: np.flatnonzero(known_N) if known_N.any() else np.arange(len(known_N))
        for name, known_N in known.items()
    }


def _spoil(encoder: Encoder, lists: dict[str, list[Any]], schema: pa.Schema) -> None:
    """Put an unseen value into the last row but one, and a missing one into the last."""
    used = [c for i in encoder.inputs for c in set(parse(i.expression, i.name).columns)]
    alone = [
        (vocabulary, column)
        for vocabulary, each in zip(encoder.vocabularies, encoder.inputs, strict=False)
        if each.kind == "category"
        if (column := parse(each.expression, each.name).column) in lists
        and used.count(column) == 1
    ]
    for vocabulary, column in alone:
        value = _unseen(schema.field(column).type)
        if value is not None and not _knows(encoder, vocabulary, value):
            lists[column][-2] = value
            break
    if alone:
        lists[alone[-1][1]][-1] = None


def _unseen(type_: pa.DataType) -> Any:
    """A value of a column's type that hardly any train has; None for an unusual type."""
    if pa.types.is_dictionary(type_):
        type_ = type_.value_type
    if pa.types.is_string(type_) or pa.types.is_large_string(type_):
        return UNSEEN_TEXT
    return UNSEEN_NUMBER if type_ in (pa.int64(), pa.int32(), pa.float64()) else None


def _knows(encoder: Encoder, vocabulary: Vocabulary, value: Any) -> bool:
    root = encoder.root(vocabulary)
    return root.buckets is not None or str(value) in root.words


def _plain(value: Any, type_: pa.DataType) -> Any:
    """What JSON can hold."""
    if isinstance(value, list):
        return [_plain(each, type_.value_type) for each in value]
    if isinstance(value, float):
        if not isfinite(value):
            return None
        # 0.1 of 32 bits is 0.1, as in training.
        return float(str(np.float32(value))) if pa.types.is_float32(type_) else value
    if isinstance(value, date | datetime | time):
        return value.isoformat()
    return float(value) if isinstance(value, Decimal) else value
