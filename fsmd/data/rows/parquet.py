"""Parquet files: their columns, and their rows in batches."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from fsmd.data.description.columns import in_plain_type, plain_type
from fsmd.errors import UserError

_MOST_ROWS, _MOST_BYTES = 2**16, 2**26  # of a batch, uncompressed


def columns(path: Path) -> dict[str, pa.DataType]:
    """Name -> type without what is only a way to store it; UserError for a name there twice."""
    with pq.ParquetFile(path, pre_buffer=False) as file:
        schema = file.schema_arrow
    names = schema.names
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f"{path}: column {name!r} is there {names.count(name)} times; keep one"
            )
    if not names:
        raise UserError(f"{path} has no columns")
    return {field.name: plain_type(field.type) for field in schema}


def batches(
    path: Path, types: Mapping[str, pa.DataType], coded: Collection[str]
) -> Iterator[pa.RecordBatch]:
    """The rows in order with these columns in these types (see `columns`).

    coded: columns whose texts come as dictionaries of them.
    """
    texts = [name for name, kind in types.items() if name in coded and kind == pa.string()]
    done = 0
    # pre_buffer would hold whole row groups in memory.
    with pq.ParquetFile(path, pre_buffer=False, read_dictionary=texts) as file:
        read = file.iter_batches(
            _batch_size(file, len(types)), columns=list(types), use_threads=False
        )
        while (batch := _next(read, path, file, list(types))) is not None:
            if types:
                arrays = [
                    _as(path, done, n, batch.column(n), t, n in coded) for n, t in types.items()
                ]
                yield pa.RecordBatch.from_arrays(arrays, names=list(types))
            else:
                yield batch
            done += batch.num_rows


def _next(
    read: Iterator[pa.RecordBatch], path: Path, file: pq.ParquetFile, columns: list[str]
) -> pa.RecordBatch | None:
    try:
        return next(read, None)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, file, columns, error) from error


def _damaged(path: Path, file: pq.ParquetFile, columns: list[str], error: Exception) -> UserError:
    """Names the first row group that cannot be read."""
    count, row = file.num_row_groups, 0
    for group in range(count):
        try:
            for _ in file.iter_batches(row_groups=[group], columns=columns, use_threads=False):
                pass
        except (OSError, pa.ArrowException):
            break
        row += file.metadata.row_group(group).num_rows
    return UserError(
        f"{path}, in or after row {row} (from 0), row group {group} of {count} (from 0): cannot "
        f"be read ({error}); write the file again"
    )


def _batch_size(file: pq.ParquetFile, used: int) -> int:
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    widest = max((g.total_byte_size / max(g.num_rows, 1) for g in groups), default=1.0)
    width = widest * max(used, 1) / file.metadata.num_columns
    return max(1, min(_MOST_ROWS, int(_MOST_BYTES / max(width, 1.0))))


def _as(
    path: Path, done: int, name: str, array: pa.Array, kind: pa.DataType, coded: bool
) -> pa.Array:
    """The array in a plain type; UserError for text that is not UTF-8."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if coded and kind == pa.string() and pa.types.is_dictionary(array.type):
        try:
            words = in_plain_type(array.dictionary, kind)
            return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), words)
        except pa.ArrowInvalid:
            array = array.dictionary_decode()  # perhaps no row has that word
    try:
        return in_plain_type(array, kind)
    except pa.ArrowInvalid as error:
        for i in range(len(array)):
            part = array.slice(i, 1)
            try:
                in_plain_type(part, kind)
            except pa.ArrowInvalid:
                value = error if pa.types.is_nested(kind) else part.cast(pa.binary())[0]
                raise UserError(
                    f"{path}, row {done + i} (from 0): column {name!r} must be text in UTF-8; "
                    f"got {value}"
                ) from error
        raise
