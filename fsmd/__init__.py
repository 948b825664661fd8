"""Multi-task rankers of the paper, their data and their training; knows no Optuna and no reports.

>>> import fsmd
>>> data = fsmd.load("planted:rows=2000")
>>> training = fsmd.Training.on(data, fsmd.MODELS["mmoe"], seed=0)
>>> training.config.batch_size
512

`fsmd.train(training)` trains it. torch is loaded by what needs it, not by `import fsmd`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsmd.config import MODELS, FSMDConfig
    from fsmd.data import load, names
    from fsmd.data.schema import Dataset
    from fsmd.data.settings import TrainingSettings
    from fsmd.errors import UserError
    from fsmd.metrics import METRICS
    from fsmd.module import FSMDModule
    from fsmd.runtime import Runtime
    from fsmd.tasks import Target, Task
    from fsmd.training import DivergedError, Training, TrainingResult, train

__all__ = [
    "METRICS",
    "MODELS",
    "Dataset",
    "DivergedError",
    "FSMDConfig",
    "FSMDModule",
    "Runtime",
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

_HOME = {
    "METRICS": "metrics",
    "MODELS": "config",
    "Dataset": "data.schema",
    "DivergedError": "training",
    "FSMDConfig": "config",
    "FSMDModule": "module",
    "Runtime": "runtime",
    "Target": "tasks",
    "Task": "tasks",
    "Training": "training",
    "TrainingResult": "training",
    "TrainingSettings": "data.settings",
    "UserError": "errors",
    "load": "data",
    "names": "data",
    "train": "training",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, now."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
