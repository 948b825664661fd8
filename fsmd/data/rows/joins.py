"""Side tables: rows of a log take the columns of the row that has their key."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.description.values import FileSet
from fsmd.data.rows.fields import words_of
from fsmd.data.rows.files import LogFile, batches
from fsmd.data.rows.hashes import Hashes, hashes, joined
from fsmd.errors import UserError, shown


class NothingFoundError(UserError):
    """No row of a log is in a side table; known when all its rows are read."""


@dataclass(frozen=True, eq=False)
class SideTable:
    """A table of R rows in memory."""

    paths: tuple[Path, ...]
    """Of its files."""
    on: tuple[str, ...]
    columns: Mapping[str, pa.Array]
    """R values each; without those of the key."""
    _hash_R: Hashes
    """Of the keys, in ascending order."""
    _row_R: NDArray[np.intp]
    """Of each of them."""
    _example: str
    """Its first key."""

    @classmethod
    def read(
        cls,
        files: Sequence[LogFile],
        shape: FileSet,
        on: tuple[str, ...],
        wanted: Collection[str],
        memory: int,
    ) -> "SideTable":
        """Read the wanted columns.

        A row without a key is left out. Raises UserError for a key that is there twice, for a
        table without keys, and for one of more than `memory` bytes.
        """
        names = [name for name in wanted if name not in on]
        found: list[pa.RecordBatch] = []
        keys: list[pa.Array] = []
        size = 0
        for file in files:
            for batch, where in batches(file, shape, [*on, *names]):
                key = joined([words_of(batch, name, where) for name in on]).dictionary_decode()
                is_there = key.is_valid()
                found.append(batch.select(names).filter(is_there))
                keys.append(key.filter(is_there))
                size += found[-1].nbytes + 3 * keys[-1].nbytes
                if size > memory:
                    raise UserError(
                        f"{file.path}: a side table must fit into {memory >> 20} MiB, its share "
                        "of the memory; it is larger: use fewer of its columns, or more memory"
                    )
        key_R = pa.chunked_array(keys, pa.string()).combine_chunks()
        paths = tuple(file.path for file in files)
        name = ", ".join(map(str, paths))
        if not len(key_R):
            raise UserError(f"{name}: a side table must have rows with a key; it has none")
        hash_R = hashes(key_R)
        order_R = np.argsort(hash_R, kind="stable")
        again_R = np.diff(hash_R[order_R]) == 0
        if again_R.any():
            i = int(order_R[1:][again_R].min())
            raise UserError(
                f"{name}: each key must be there once in a side table; "
                f"{', '.join(on)} = {shown(_words(key_R[i]))} is there again"
            )
        types = files[0].columns
        columns = {
            name: _different(
                pa.chunked_array([b.column(name) for b in found], types[name]).combine_chunks()
            )
            for name in names
        }
        return cls(paths, on, columns, hash_R[order_R], order_R, _words(key_R[0]))

    def joined(
        self, batch: pa.RecordBatch, key: pa.DictionaryArray, wanted: Collection[str]
    ) -> tuple[pa.RecordBatch, int]:
        """The batch with those columns of this table that are wanted; null where no key fits.

        Beside it how many of its rows find theirs.
        """
        hash_D = hashes(key.dictionary)
        at_D = np.searchsorted(self._hash_R, hash_D)
        known = np.append(self._hash_R, np.uint64(0))  # the end is none's place
        lost_D = (at_D == len(self._hash_R)) | (known[at_D] != hash_D)
        row_D = np.append(self._row_R, 0)[at_D]
        place = pa.array(row_D, pa.int64(), mask=lost_D).take(key.indices)
        arrays = {name: self.columns[name].take(place) for name in self.columns if name in wanted}
        names = [*batch.schema.names, *arrays]
        wider = pa.RecordBatch.from_arrays([*batch.columns, *arrays.values()], names=names)
        return wider, len(place) - place.null_count

    @property
    def name(self) -> str:
        """Of its files, in messages."""
        first, *others = self.paths
        return f"{first} and {len(others)} more" if others[2:] else ", ".join(map(str, self.paths))

    @property
    def not_found(self) -> str:
        """What to say where no row of a log finds one."""
        return (
            f"{self.name}: some row must find one in a side table; none does by "
            f"{', '.join(self.on)}, which here is such as {shown(self._example)}: are keys "
            "written alike in both?"
        )


def _different(column: pa.Array) -> pa.Array:
    """With each different value once, so that rows take its number alone."""
    return column if pa.types.is_nested(column.type) else column.dictionary_encode()


def _words(key: pa.Scalar) -> str:
    return ", ".join(str(key.as_py()).split("\x1f"))
