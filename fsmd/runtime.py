"""Where and how a training computes: part of its identity, as it moves the numbers."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from fsmd.errors import UserError

PRECISIONS = ("float32", "bfloat16")
MOST_STACKED = 1024


@dataclass(frozen=True)
class Runtime:
    """What a training runs on; whether the device is there is asked where it is used."""

    device: str = "cpu"
    """cpu, cuda or cuda:N."""
    precision: str = "float32"
    """Of the hidden layers' products and activations while they train, and of nothing else:
    parameters, optimiser, statistics, gates, logits and losses are of float32, and so is every
    figure."""

    stack: int = 1
    """Trainings of one shape that are one program, where they can be (`fsmd.stack`); 1: each is by
    itself. It is always of so many places, empty ones too, as sums of another size differ in
    their last digits: so a training's numbers do not hang on what trains beside it."""

    def __post_init__(self) -> None:
        """Raise `UserError` for the name of no device or precision, and for no stack."""
        kind, colon, index = self.device.partition(":")
        if kind not in ("cpu", "cuda") or (
            colon and (kind == "cpu" or not re.fullmatch("[0-9]{1,9}", index))
        ):
            raise UserError(f"a device must be cpu, cuda or cuda:N; got {self.device!r}")
        if self.precision not in PRECISIONS:
            raise UserError(
                f"a precision must be {' or '.join(PRECISIONS)}; got {self.precision!r}"
            )
        if not 1 <= self.stack <= MOST_STACKED:
            raise UserError(
                f"a stack must be of 1 to {MOST_STACKED} trainings; got {self.stack!r}"
            )

    @property
    def kind(self) -> str:
        """The device without its number, which moves nothing."""
        return self.device.partition(":")[0]

    @cached_property
    def identity(self) -> Mapping[str, Any]:
        """What determines the numbers."""
        return {"device": self.kind, "precision": self.precision, "stack": self.stack}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Runtime":
        """Inverse of `dataclasses.asdict`."""
        return cls(**values)
