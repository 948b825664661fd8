"""Multi-task rankers of the paper, their data and their training; knows no Optuna and no reports.

>>> import fsmd
>>> data = fsmd.load("planted:rows=2000")
>>> training = fsmd.Training.on(data, fsmd.MODELS["mmoe"], seed=0)
>>> training.config.batch_size
512

`fsmd.train(training)` trains it. torch is loaded by what needs it, not by `import fsmd`.
"""

from typing import TYPE_CHECKING, Any

from fsmd.baselines import BASELINES, Baseline
from fsmd.config import MODELS, FSMDConfig
from fsmd.data import load, names
from fsmd.data.schema import Dataset
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.metrics import METRICS
from fsmd.runtime import Runtime
from fsmd.tasks import Target, Task
from fsmd.training import DivergedError, Training, TrainingResult, train

if TYPE_CHECKING:
    from fsmd.module import FSMDModule
    from fsmd.scorer import Scorer

__all__ = [
    "BASELINES",
    "METRICS",
    "MODELS",
    "Baseline",
    "Dataset",
    "DivergedError",
    "FSMDConfig",
    "FSMDModule",
    "Runtime",
    "Scorer",
    "Target",
    "Task",
    "Training",
    "TrainingResult",
    "TrainingSettings",
    "UserError",
    "load",
    "names",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a name when it is asked for: one needs torch, one Arrow."""
    if name == "FSMDModule":
        from fsmd.module import FSMDModule

        return FSMDModule
    if name == "Scorer":
        from fsmd.scorer import Scorer

        return Scorer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
