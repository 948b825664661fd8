"""What a kind of baseline is given for one task, and what it gives after each epoch.

A kind is one file here with `grown(asked)`: it yields after each epoch, and ends when another
would change nothing.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fsmd.baselines.columns import TaskRows
from fsmd.baselines.config import Baseline
from fsmd.data.schema import Dataset, Floats


class BaselineTask(NamedTuple):
    """One task of a training."""

    config: Baseline
    data: Dataset
    rows: TaskRows
    """Of train, with the labels of the task."""
    some: NDArray[np.int64]
    """Positions among `rows` of those whose loss is measured."""
    seed: int
    epochs: int
    """That are asked for at most."""


class Grown(NamedTuple):
    """A task's model after an epoch."""

    arrays: Mapping[str, NDArray[Any]]
    """Of the task alone; see `fsmd.baselines`."""
    train_N: Floats
    """Scores of some rows of train (`BaselineTask.some`)."""
    valid_N: Floats
    """Scores of all rows of validation."""


class Kind(Protocol):
    """The function that each kind's file has."""

    def __call__(self, asked: BaselineTask) -> Iterator[Grown]:
        """After each epoch."""
