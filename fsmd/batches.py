"""Batches of a split, in order or in an epoch's; of a split too large for memory, piece by piece.

Batches are slices of tensors by an index. Collating row by row would cost more than the model.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from tempfile import TemporaryFile
from typing import IO, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsmd.data.schema import LARGE, Split
from fsmd.half import half_of

Batch = tuple[Tensor, ...]
"""ids B x C, dense B x D, labels B x K and, where the schema is weighted, weights B.

Of validation and test, then users B and requests B (whole numbers, equal within a group), those of
`FSMDModule.groups`."""
POOL_BYTES = 2**27
BLOCKS_OF_POOL = 1024
"""So a pool is of a thousand places of the data, and a block (128 KiB) is quick to read."""
IN_MEMORY = 10**7


class Pool(NamedTuple):
    """Some of an epoch's rows: which to read, in the disk's order, and how to shuffle them."""

    slices: list[slice]
    order: NDArray[np.int64]


@dataclass
class EpochOrder:
    """The order of rows in an epoch, from (seed, epoch) alone.

    Lightning calls `set_epoch` on a loader's `sampler` before each epoch, resumed ones too.
    """

    total: int
    """Rows that there are."""
    seed: int
    pool: int | None = None
    """Rows that are shuffled together, of blocks from anywhere; None: all rows."""
    in_N: NDArray[np.bool_] | None = None
    """Which rows an epoch has; None: all."""
    epoch: int = 0

    @classmethod
    def of(cls, split: Split, seed: int, shuffle: str, half: int | None = None) -> "EpochOrder":
        """shuffle: rows or blocks, see `TrainingSettings.shuffle`. half: as `Training` has it."""
        rows = len(split)
        pool = max(1, POOL_BYTES * rows // split.nbytes) if shuffle == "blocks" else None
        return cls(rows, seed, pool, None if half is None else half_of(split, half))

    @cached_property
    def rows(self) -> int:
        """Of an epoch."""
        return self.total if self.in_N is None else int(self.in_N.sum())

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch, counted from 0."""
        self.epoch = epoch

    def permutation(self) -> Tensor:
        """Row numbers, each once."""
        draw = np.random.default_rng([self.seed, self.epoch])
        return torch.from_numpy(draw.permutation(self.numbers))

    @property
    def numbers(self) -> NDArray[np.int64]:
        """Of an epoch's rows, ascending."""
        return np.arange(self.total) if self.in_N is None else np.flatnonzero(self.in_N)

    def pools(self) -> Iterator[Pool]:
        """Each row once: blocks of neighbours in random order, so many at once as make a pool."""
        pool = self.pool or self.total
        draw = np.random.default_rng([self.seed, self.epoch])
        block = max(1, pool // BLOCKS_OF_POOL)
        first_P = block * draw.permutation(-(-self.total // block))
        for some in np.split(first_P, range(pool // block, len(first_P), pool // block)):
            slices = [slice(first, min(first + block, self.total)) for first in np.sort(some)]
            yield Pool(slices, draw.permutation(self._places(slices)))

    def _places(self, slices: list[slice]) -> NDArray[np.int64]:
        """Where the epoch's rows are among those of slices."""
        if self.in_N is None:
            return np.arange(sum(s.stop - s.start for s in slices))
        return np.flatnonzero(np.concatenate([self.in_N[s] for s in slices]))


class Batches:
    """Batches of a split (see `Batch`), in the order of `sampler` if given.

    Where the sampler has pools, or without one the split is large, no more than a pool of rows is
    held at once; else the whole split is, on the device.
    """

    batch_sampler = None  # Lightning looks for one wherever there is a sampler

    def __init__(
        self,
        split: Split,
        batch_size: int,
        device: torch.device,
        sampler: EpochOrder | None = None,
        groups: Sequence[str] = (),
    ) -> None:
        self.split = split
        self.batch_size = batch_size
        self.device = device
        self.sampler = sampler
        self.groups = groups
        held = sampler.pool is None if sampler else split.nbytes <= LARGE
        self.whole = self._read([slice(None)]) if held else None

    def __len__(self) -> int:
        # Training leaves out a last batch of one row: batch norm has no variance there.
        rows = self.sampler.rows if self.sampler else len(self.split)
        spare = rows - 1 if self.sampler and rows > 1 else rows
        return -(-spare // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        size = self.batch_size
        places = (slice(i * size, (i + 1) * size) for i in range(len(self)))
        if self.sampler is None:
            for rows in places:
                yield self._read([rows]) if self.whole is None else _at(self.whole, rows)
        elif self.whole is not None:
            order = self.sampler.permutation().to(self.device)
            for rows in places:
                yield _at(self.whole, order[rows])
        else:
            yield from self._pooled(self.sampler)

    def _pooled(self, sampler: EpochOrder) -> Iterator[Batch]:
        """A batch that a pool leaves short is filled up from the next one."""
        size, short = self.batch_size, self._read([slice(0)])
        for slices, order in sampler.pools():
            columns = self._read(slices, order)
            rows = len(columns[0])
            first = min(rows, -len(short[0]) % size)
            head = _at(columns, slice(first))
            short = tuple(torch.cat(parts) for parts in zip(short, head, strict=True))
            if first < rows:
                if len(short[0]):
                    yield short
                last = first + (rows - first) // size * size
                for start in range(first, last, size):
                    yield _at(columns, slice(start, start + size))
                short = tuple(column[last:].clone() for column in columns)
            del columns, head  # before the next pool is read
        if len(short[0]) > 1 or (len(short[0]) and sampler.rows == 1):
            yield short

    def _read(self, slices: list[slice], order: NDArray[np.int64] | None = None) -> Batch:
        return columns_of(self.split, slices, self.device, self.groups, order)


def _at(columns: Batch, rows: slice | Tensor) -> Batch:
    return tuple(column[rows] for column in columns)


def columns_of(
    split: Split,
    slices: Sequence[slice],
    device: torch.device,
    groups: Sequence[str] = (),
    order: NDArray[np.int64] | None = None,
) -> Batch:
    """Some rows of a split as one batch."""
    arrays: list[NDArray[Any] | None] = [split.ids, split.dense, split.labels, split.weights]
    arrays += [split.groups[name] for name in groups]
    columns = []
    for array in arrays:
        if array is None:
            continue
        parts = [np.asarray(array[rows]) for rows in slices]
        part = parts[0] if len(parts) == 1 else np.concatenate(parts)
        part = part if order is None else part[order]
        part = part.astype(np.int64) if part.dtype == np.uint32 else part
        columns.append(torch.from_numpy(part).to(device))
    return tuple(columns)


class Pile:
    """Rows that come part by part; more than `IN_MEMORY` lie in a temporary file.

    They are copied at once, as parts that are kept between what is freed would scatter memory.
    """

    def __init__(self) -> None:
        self._held: NDArray[Any] = np.empty(0)
        self._rows = 0
        self._file: IO[bytes] | None = None

    def add(self, part: Tensor) -> None:
        """Rows of one shape and type, from any device."""
        rows = part.detach().cpu().numpy()
        if self._file is None and self._rows + len(rows) > IN_MEMORY:
            self._file = TemporaryFile()  # noqa: SIM115 (`joined` closes it)
            self._held[: self._rows].tofile(self._file)
            self._held = rows[:0]
        if self._file is not None:
            np.ascontiguousarray(rows).tofile(self._file)
        else:
            if self._rows + len(rows) >= len(self._held):
                longer = np.empty((2 * (self._rows + len(rows)), *rows.shape[1:]), rows.dtype)
                if self._rows:
                    longer[: self._rows] = self._held[: self._rows]
                self._held = longer
            self._held[self._rows : self._rows + len(rows)] = rows
        self._rows += len(rows)

    def joined(self) -> NDArray[Any]:
        """All rows, once; there must be a part."""
        if self._file is None:
            return self._held[: self._rows]
        with self._file:  # the memory map keeps what lies in it
            self._file.flush()
            shape = (self._rows, *self._held.shape[1:])
            return np.memmap(self._file, self._held.dtype, mode="r+", shape=shape)
