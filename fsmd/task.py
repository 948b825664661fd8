"""What one training is (`TrainingTask`) and what it yields (`TrainingResult`); imports no torch.

A task is a value. Its identity is a digest of what determines its numbers, so that two planners,
two studies or two machines agree on what has been done.
"""

import ast
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fsmd.config import FSMDConfig, digest

# Whatever changes in these files makes every training a new one: what does not determine a number
# belongs elsewhere.
_SOURCES = (
    *("balancing.py", "config.py", "diagnostics.py", "metrics.py", "model.py", "module.py"),
    *("predictions.py", "pretrain.py", "training.py"),
)


@dataclass(frozen=True)
class DataRef:
    """An encoded data set: its name, its content, and where this machine keeps it."""

    name: str
    content_hash: str
    path: Path


@dataclass(frozen=True)
class TrainingTask:
    """One training: which model, on which data, from which seed, for how long at most."""

    config: FSMDConfig
    data: DataRef
    seed: int
    epochs: int = 30
    """Epochs at most."""
    patience: int = 3
    """Epochs without a better mean validation AUC after which training ends."""
    device: str = "cpu"

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the numbers; not where the data lies or who trains."""
        return {
            "config": asdict(self.config),
            "data_hash": self.data.content_hash,
            "seed": self.seed,
            "epochs": self.epochs,
            "patience": self.patience,
            "device": self.device.partition(":")[0],
            "code": code_version(),
        }

    @property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of `identity`."""
        return digest(self.identity)


@dataclass(frozen=True)
class Measurement:
    """One number: `epoch` counts from 1; `split` is train, valid, test or test_unseen."""

    epoch: int
    split: str
    task: str
    metric: str
    value: float


@dataclass(frozen=True)
class TrainingResult:
    """What a training measured."""

    measurements: tuple[Measurement, ...]
    chosen_epochs: Mapping[str, int]
    """Task -> the epoch validation chose; they differ only where the tasks share nothing."""
    epochs: int
    """Epochs trained in all."""
    finished: bool
    """False for a training paused before its end; such a one has no test figures."""
    seconds: float
    parameters: int
    predictions: Mapping[str, bytes] = field(default_factory=dict)
    """Task -> ranks of the test rows at the chosen epoch (see `fsmd.predictions`)."""

    def value(self, split: str, task: str, metric: str) -> float:
        """The figure at the chosen epoch; KeyError if it was not measured."""
        epoch = self.chosen_epochs.get(task, -1)
        for m in self.measurements:
            if (m.epoch, m.split, m.task, m.metric) == (epoch, split, task, metric):
                return m.value
        raise KeyError((split, task, metric))


@dataclass(frozen=True)
class Progress:
    """Told while training: after each epoch, and about once a second within one."""

    epoch: int
    """Whole epochs so far."""
    auc: Mapping[str, float]
    """Validation AUC after the last whole epoch; empty before the first."""
    done: float
    """Epochs so far, with the part of the one under way."""


@cache
def code_version() -> str:
    """Digest of the code that determines a training's numbers, without comments and docstrings."""
    here = Path(__file__).parent
    return digest({name: _meaning((here / name).read_text("utf-8")) for name in _SOURCES})[:12]


def _meaning(source: str) -> str:
    """The syntax tree without docstrings and positions: what a reformatting leaves as it was."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                part
                for part in body
                if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
    return json.dumps(_bare(tree))


def _bare(node: Any) -> Any:
    """A tree as lists without empty fields: what a newer Python adds is empty in older code."""
    if isinstance(node, list):
        return [_bare(part) for part in node]
    if isinstance(node, ast.AST):
        fields = [
            (name, value) for name, value in ast.iter_fields(node) if value not in (None, [])
        ]
        return [type(node).__name__, *((name, _bare(value)) for name, value in fields)]
    return ascii(node)  # which letters repr() shows differs too
