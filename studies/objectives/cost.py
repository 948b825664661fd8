"""What a cost is: an objective that no prediction decides."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fsmd.baselines import Config
from fsmd.training import TrainingResult
from studies.objectives.objective import Objective

OfTraining = Callable[[TrainingResult], float]


@dataclass(frozen=True)
class Cost:
    """One file of this folder holds one as `COST`. It is measured in one of two ways."""

    objective: Objective
    of_model: Callable[[Config, Path], float] | None = None
    """Before training: a complete configuration and an encoded data set's folder -> value. A
    function of a module, not a lambda: it is pickled on its way to the process that measures."""
    of_training: OfTraining | None = None
    """When a training ended, or as far as it came."""
