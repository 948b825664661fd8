"""Arrays in .npy files that grow, and that are read and changed piece by piece, in little memory.

By plain reading and writing, as a disk that gets full ends a process that writes by a memory map.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from io import BufferedRandom, BufferedReader
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
ROWS_OF_PIECE = 2**16


class Growing:
    """Arrays in a folder whose rows are appended; whole once the block ends."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._files = folder, ExitStack()
        self._open: dict[str, tuple[BufferedRandom, np.dtype[Any], tuple[int, ...]]] = {}
        self._rows: dict[str, int] = {}

    def append(self, name: str, rows: Array) -> None:
        """Add rows to the array of that name, all of one shape and type."""
        if name not in self._open:
            file = self._files.enter_context((self._folder / f"{name}.npy").open("w+b"))
            self._open[name] = file, rows.dtype, rows.shape[1:]
            self._rows[name] = 0
            _write_header(file, 0, rows.dtype, rows.shape[1:])
        file, dtype, shape = self._open[name]
        if rows.dtype != dtype or rows.shape[1:] != shape:
            raise TypeError(f"{name}: {dtype} {shape} is followed by {rows.dtype} {rows.shape}")
        file.write(np.ascontiguousarray(rows).data if rows.size else b"")
        self._rows[name] += len(rows)

    @property
    def names(self) -> set[str]:
        """Of the arrays that have been begun."""
        return set(self._open)

    def __enter__(self) -> "Growing":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with self._files:
            if kind is None:
                for name, (file, dtype, shape) in self._open.items():
                    file.seek(0)  # numpy leaves room in the header for the number of rows
                    _write_header(file, self._rows[name], dtype, shape)


def store(path: Path, array: Array) -> None:
    """Write a whole array."""
    with Growing(path.parent) as growing:
        growing.append(path.stem, array)


def whole(path: Path) -> Array:
    """Read a whole array."""
    return np.concatenate(list(pieces(path)))


def pieces(path: Path) -> Iterator[Array]:
    """The rows of an array, some at a time; one empty piece of an array without any."""
    with path.open("rb") as file:
        yield from _pieces(file)


def rewritten(path: Path) -> Iterator[Array]:
    """As `pieces`; whatever the loop's body writes into a piece is written into the file."""
    with path.open("r+b") as file:
        for piece in _pieces(file):
            yield piece
            file.seek(-piece.nbytes, os.SEEK_CUR)
            file.write(piece.data if piece.size else b"")


def _write_header(
    file: BufferedRandom, rows: int, dtype: np.dtype[Any], shape: tuple[int, ...]
) -> None:
    described = {
        "descr": np.lib.format.dtype_to_descr(dtype),
        "fortran_order": False,
        "shape": (rows, *shape),
    }
    np.lib.format.write_array_header_1_0(file, described)


def _pieces(file: BufferedReader | BufferedRandom) -> Iterator[Array]:
    np.lib.format.read_magic(file)
    (rows, *shape), _, dtype = np.lib.format.read_array_header_1_0(file)
    size = int(np.prod(shape)) * dtype.itemsize
    for start in range(0, max(rows, 1), ROWS_OF_PIECE):
        count = min(ROWS_OF_PIECE, rows - start)
        data = bytearray(file.read(count * size)) if count * size else bytearray()
        yield np.frombuffer(data, dtype).reshape(count, *shape)
