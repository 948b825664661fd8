"""How the models are trained on a data set, where neither study nor user says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fsmd.config import FSMDConfig
from fsmd.errors import UserError

SHUFFLES = ("rows", "blocks")


@dataclass(frozen=True)
class TrainingSettings:
    """What the data decides about training; a data set brings its own."""

    batch_size: int = 2048
    learning_rate: float = 0.001
    dropout: float = 0.0
    weight_decay: float = 0.0
    epochs: int = 30
    """Epochs at most."""
    patience: int = 3
    """Epochs without better validation figures after which training ends."""
    shuffle: str | None = None
    """What an epoch shuffles: rows (all of them), or blocks (blocks of neighbours, then the rows
    of a thousand blocks at a time, which need not fit in memory). None: blocks where the train
    rows take more than `fsmd.data.schema.LARGE` bytes."""

    def __post_init__(self) -> None:
        """Raise `UserError` for settings with which nothing can be trained."""
        for name in ("epochs", "patience"):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < 1:
                raise UserError(
                    f"`{name}` must be a whole number of at least 1; got {getattr(self, name)!r}"
                )
        if self.shuffle not in (None, *SHUFFLES):
            raise UserError(
                f"`shuffle` must be {' or '.join(SHUFFLES)}, or None for what the size asks for; "
                f"got {self.shuffle!r}"
            )
        self.applied(FSMDConfig())  # refuses the others

    def applied(self, config: FSMDConfig) -> FSMDConfig:
        """`config` with what it leaves open filled in; what it sets stays."""
        return replace(config, **{name: getattr(self, name) for name in config.left_open})

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingSettings":
        """Inverse of `dataclasses.asdict`."""
        return cls(**values)
