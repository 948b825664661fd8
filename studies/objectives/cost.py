"""What a cost is: an objective that no prediction decides."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fsmd.config import FSMDConfig
from fsmd.training import TrainingResult
from studies.objectives.objective import Objective


@dataclass(frozen=True)
class Cost:
    """One file of this folder holds one as `COST`. It is measured in one of two ways."""

    objective: Objective
    of_model: Callable[[FSMDConfig, Path], float] | None = None
    """Before training: a complete configuration and an encoded data set's folder -> value."""
    of_training: Callable[[TrainingResult], float] | None = None
    """When a training ended, or as far as it came."""
