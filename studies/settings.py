"""How each data set is trained: Tables I and III of the paper, and our own for planted data."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from fsmd.config import FSMDConfig


@dataclass(frozen=True)
class TrainingSettings:
    """What the data decides about training, whatever the study varies."""

    batch_size: int
    learning_rate: float
    dropout: float
    epochs: int
    """Epochs at most."""
    patience: int
    """Epochs without a better mean validation AUC after which training ends."""

    def applied(self, config: FSMDConfig) -> FSMDConfig:
        """`config` trained this way."""
        return replace(
            config,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            dropout=self.dropout,
        )


_CENSUS = TrainingSettings(batch_size=256, learning_rate=0.001, dropout=0.0, epochs=30, patience=3)

SETTINGS: Mapping[str, TrainingSettings] = MappingProxyType(
    {
        "planted": TrainingSettings(
            batch_size=512, learning_rate=0.002, dropout=0.0, epochs=30, patience=2
        ),
        "census": _CENSUS,
        "census_no_leak": _CENSUS,
        "kuairand": TrainingSettings(
            batch_size=2048, learning_rate=0.001, dropout=0.5, epochs=30, patience=3
        ),
    }
)
