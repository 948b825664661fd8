"""What a data set is once encoded: integer ids, scaled floats, labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fsmd.data.settings import TrainingSettings
from fsmd.tasks import Task

Ids: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float32]
FIRST_ID = 2
"""Of a column's words; before it are those of what is unseen and what is missing."""
NOTHING = -1
"""The id where a row has fewer members than others."""
LARGE = 2**31
"""Bytes of a split above which its rows are read piece by piece, whatever the machine has."""


@dataclass(frozen=True)
class Field:
    """A categorical field with ids 0 .. cardinality - 1; id 0 stands for unseen in train."""

    name: str
    cardinality: int
    length: int = 1
    """Ids that a row has at most. Of more than one, each row's are padded with -1 (nothing), and
    the model takes the mean of their vectors (zeros without any)."""
    share: str | None = None
    """The field before it whose table, and so whose ids, it uses; None: it has its own."""


@dataclass(frozen=True)
class Schema:
    """The columns of a data set and its tasks."""

    name: str
    categorical: tuple[Field, ...]
    dense: tuple[str, ...]
    tasks: tuple[Task, ...]
    masked: bool = False
    """Whether some rows were not observed on some task."""
    weighted: bool = False
    """Whether rows carry weights."""

    @property
    def cardinalities(self) -> tuple[int, ...]:
        """How many ids each categorical field has."""
        return tuple(field.cardinality for field in self.categorical)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Schema":
        """Inverse of `dataclasses.asdict`, also after a walk through JSON."""
        return cls(
            name=values["name"],
            categorical=tuple(Field(**field) for field in values["categorical"]),
            dense=tuple(values["dense"]),
            tasks=tuple(Task.from_dict(task) for task in values["tasks"]),
            masked=values["masked"],
            weighted=values["weighted"],
        )


@dataclass(frozen=True)
class Split:
    """Rows of one split: ids N x C, dense N x D, labels N x K (0, 1; NaN = not observed).

    C is the sum of the fields' lengths, each field's columns side by side.
    """

    ids: Ids
    dense: Floats
    labels: Floats
    weights: Floats | None = None
    """N; None where every row counts alike."""
    users: NDArray[np.uint32] | None = None
    """N: rows of one user share a number, from 0. Of validation and test, if there are users; of
    train where most test rows are of users that train has not (see `fsmd.half`)."""
    requests: NDArray[np.uint32] | None = None
    """N: rows that were shown together share a number; of validation and test."""
    items: NDArray[np.uint32] | None = None
    """N: rows of one item share a number; as `requests`, where the description names items."""

    @property
    def groups(self) -> Mapping[str, NDArray[np.uint32]]:
        """user, request, item -> their numbers, of those that are known."""
        known = {"user": self.users, "request": self.requests, "item": self.items}
        return {name: code_N for name, code_N in known.items() if code_N is not None}

    @property
    def nbytes(self) -> int:
        """Of what is trained on."""
        weights = 0 if self.weights is None else self.weights.nbytes
        return self.ids.nbytes + self.dense.nbytes + self.labels.nbytes + weights

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class DataRef:
    """An encoded data set's name, its content's digest, and where this machine keeps it."""

    name: str
    content_hash: str
    path: Path
    shuffle: str = "rows"
    """See `TrainingSettings.shuffle`."""


@dataclass(frozen=True)
class Dataset:
    """An encoded data set; its arrays are memory-mapped, so processes share the pages."""

    name: str
    """As it was asked for, options included; of a description's path, the name that it has."""
    schema: Schema
    train: Split
    valid: Split
    test: Split
    test_unseen: NDArray[np.bool_]
    """N_test: rows of test whose features occur in no row of train."""
    content_hash: str
    """SHA-256 over schema and arrays."""
    path: Path
    reachable: Mapping[str, float] | None
    """Task -> its metric of the true probabilities on test; None where nobody knows them."""
    settings: TrainingSettings
    asked: str | None = None
    """What loads it again, where that is not its name."""

    def __repr__(self) -> str:
        rows = (f"{len(getattr(self, name)):,} {name}" for name in ("train", "valid", "test"))
        tasks = (t.name + (f" after {t.after}" if t.after else "") for t in self.schema.tasks)
        return f"<Dataset {self.name}: {', '.join(rows)} rows; tasks {', '.join(tasks)}>"

    @property
    def ref(self) -> DataRef:
        """What a training needs to know of it."""
        by_size = "blocks" if self.train.nbytes > LARGE else "rows"
        shuffle = self.settings.shuffle or by_size
        return DataRef(self.name, self.content_hash, self.path, shuffle)
