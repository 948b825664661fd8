"""A part of a log: some rows of one split, typed, ready to be fitted on or encoded."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


class Where(NamedTuple):
    """Where rows were read, for messages."""

    source: str
    """The file, or the name of the data set."""
    rows_N: NDArray[np.int64]
    """The number of each row in it, from 0: data rows, without a header line."""

    def row(self, i: int) -> str:
        """Words for one of the rows."""
        return f"{self.source}, row {self.rows_N[i]} (from 0)"


class Part(NamedTuple):
    """N rows of one split."""

    split: str
    """train, valid or test."""
    fields: pa.RecordBatch
    """A column for each feature, by its name: `pa.string()` or a dictionary of it for categories,
    `pa.float64()` for numbers, `pa.list_(pa.string())` for tags. A null is a missing value; no
    number is NaN."""
    label_NK: NDArray[np.float64]
    """0, 1 or NaN (not observed)."""
    where: Where
    weight_N: NDArray[np.float64] | None = None
    user_N: NDArray[np.uint64] | None = None
    """Equal where the user is: a 64-bit hash, or any other code. A row without one is alone."""
    request_N: NDArray[np.uint64] | None = None
    time_N: NDArray[Any] | None = None
    """int64 or float64, in the description's unit."""
    truth_NK: NDArray[np.float64] | None = None
    """True probabilities of test rows, of made-up data alone."""
    item_N: NDArray[np.uint64] | None = None
    """As `user_N`."""


def taken(part: Part, rows: NDArray[np.intp]) -> Part:
    """The part with some of its rows alone, by their position."""
    arrays: dict[str, Any] = {
        name: value[rows]
        for name, value in part._asdict().items()
        if isinstance(value, np.ndarray)
    }
    where = Where(part.where.source, part.where.rows_N[rows])
    return part._replace(fields=part.fields.take(pa.array(rows)), where=where, **arrays)


Parts: TypeAlias = Callable[[], Iterator[Part]]
"""Each call starts over and gives the same rows in the same order."""
