"""What a data set is once encoded: integer ids, scaled floats, labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Ids: TypeAlias = NDArray[np.int32]
Floats: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Field:
    """A categorical field with ids 0 .. cardinality - 1; id 0 stands for unseen in train."""

    name: str
    cardinality: int


@dataclass(frozen=True)
class Schema:
    """The columns of a data set and its tasks.

    `funnel`: task k + 1 can be 1 only where task k is, as a conversion follows a click.
    """

    name: str
    categorical: tuple[Field, ...]
    dense: tuple[str, ...]
    tasks: tuple[str, ...]
    funnel: bool

    @property
    def unit(self) -> int | None:
        """Position of the field `user_id`, whose rows belong together; None without one."""
        names = [field.name for field in self.categorical]
        return names.index("user_id") if "user_id" in names else None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Schema":
        """Inverse of `dataclasses.asdict`, also after a walk through JSON."""
        return cls(
            name=values["name"],
            categorical=tuple(Field(**field) for field in values["categorical"]),
            dense=tuple(values["dense"]),
            tasks=tuple(values["tasks"]),
            funnel=values["funnel"],
        )


@dataclass(frozen=True)
class Split:
    """Rows of one split: ids N x F, dense N x D, labels N x K (0 or 1)."""

    ids: Ids
    dense: Floats
    labels: Floats

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Dataset:
    """An encoded data set; its arrays are memory-mapped, so processes share the pages."""

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
    """Task, and "mean", -> AUC of the true probabilities on test; None where nobody knows them."""
