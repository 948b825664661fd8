"""A trained model as a value: what it is, and its tensors at the epoch that validation chose."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from fsmd.config import FSMDConfig
from fsmd.data.schema import Schema


@dataclass(frozen=True)
class TrainedModel:
    """What scores encoded rows; plain arrays, so that it goes anywhere without pickle of code."""

    config: FSMDConfig
    schema: Schema
    tensors: Mapping[str, NDArray[Any]] = field(repr=False)
    """Name -> array: the model's state. Where tasks share nothing, each task's own part is of its
    own chosen epoch."""
