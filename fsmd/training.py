"""What one training is (`Training`), what it yields, and `train`, the door to it.

A training is a value. Its identity is a digest of what determines its numbers, so that two
planners, two studies or two machines agree on what has been done. Imports no torch before `train`
is called.
"""

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from fsmd.config import FSMDConfig, digest
from fsmd.data.schema import DataRef, Dataset
from fsmd.errors import UserError
from fsmd.runtime import Runtime
from fsmd.selection import Point
from fsmd.tasks import Task


@dataclass(frozen=True)
class Training:
    """One training: which model, on which data, from which seed, for how long at most.

    Raises `UserError` for a configuration that leaves something open; `on` fills it in.
    """

    config: FSMDConfig
    data: DataRef
    seed: int
    epochs: int = 30
    """Epochs at most."""
    patience: int = 3
    """Epochs without better validation figures after which training ends."""
    runtime: Runtime = field(default_factory=Runtime)

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        if self.config.left_open:
            raise UserError(
                f"a training must know {' and '.join(self.config.left_open)}; fill them in from "
                "the data set: Training.on(data, config, seed)"
            )

    @classmethod
    def on(cls, data: Dataset, config: FSMDConfig, seed: int = 0) -> "Training":
        """Of a model on a data set, by the data set's own settings where the model has none."""
        settings = data.settings
        return cls(settings.applied(config), data.ref, seed, settings.epochs, settings.patience)

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the numbers; not where the data lies or who trains."""
        return {
            "config": asdict(self.config),
            "data_hash": self.data.content_hash,
            "seed": self.seed,
            "epochs": self.epochs,
            "patience": self.patience,
            "runtime": self.runtime.identity,
            "code": code_version(),
        }

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of `identity`."""
        return digest(self.identity)


@dataclass(frozen=True)
class Measurement:
    """One number: `epoch` counts from 1; `split` is train, valid, test or test_unseen."""

    epoch: int
    split: str
    task: str
    """A task's name, `ALL`, or a pair of tasks (`pair_key`)."""
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
    """Task -> its log-odds of the test rows at the chosen epoch, packed (`fsmd.packing`)."""

    def __repr__(self) -> str:
        if not self.finished:
            return f"<TrainingResult: paused after {self.epochs} epochs, {self.seconds:.1f} s>"
        chosen = ", ".join(f"{task} {epoch}" for task, epoch in self.chosen_epochs.items())
        return (
            f"<TrainingResult: {self.epochs} epochs in {self.seconds:.1f} s, {self.parameters:,} "
            f"parameters; chosen epochs: {chosen}>"
        )

    def value(self, split: str, task: str, metric: str) -> float:
        """The figure at the chosen epoch; KeyError if it was not measured."""
        epoch = self.chosen_epochs.get(task, -1)
        for m in self.measurements:
            if (m.epoch, m.split, m.task, m.metric) == (epoch, split, task, metric):
                return m.value
        raise KeyError((split, task, metric))

    def curve(self, tasks: Sequence[Task]) -> tuple[Point, ...]:
        """After each epoch every task's validation figure by its own metric."""
        value = {
            (m.epoch, m.task, m.metric): m.value for m in self.measurements if m.split == "valid"
        }
        return tuple(
            tuple(value[epoch, task.name, task.metric] for task in tasks)
            for epoch in range(1, self.epochs + 1)
        )


@dataclass(frozen=True)
class TrainingProgress:
    """Told while training: after each epoch, and about once a second within one."""

    epoch: int
    """Whole epochs so far."""
    figures: Mapping[str, float]
    """Task -> its validation figure after the last whole epoch; empty before the first."""
    done: float
    """Epochs so far, with the part of the one under way."""


class DivergedError(ArithmeticError):
    """Training produced a value that is not finite; it would again."""


def train(
    training: Training,
    until: int | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> TrainingResult:
    """Train, choose the epoch on validation, evaluate once on test. A pure function.

    until: pause after this many epochs; then `finished` may be False.
    checkpoint: written after every epoch (atomically), and gone on from if it exists. A paused and
    resumed training equals an uninterrupted one bit for bit on one machine.
    on_progress: told each epoch's validation figures and, between, how far the epoch is.

    Raises UserError for a model the data cannot carry, DivergedError for a loss or logit that is
    not finite.
    """
    from fsmd.trainer import run  # loads torch and Lightning

    return run(training, until, checkpoint, on_progress)


def pair_key(task: str, other: str) -> str:
    """What stands for two tasks where a figure is of both.

    >>> pair_key("click", "like")
    'click | like'
    """
    return f"{task} | {other}"


# ------------------------------------------------------------------------------------------
# The code that determines a training's numbers
# ------------------------------------------------------------------------------------------


@cache
def code_version() -> str:
    """Digest of that code, without comments and docstrings: whatever `trainer` imports here.

    Not the data's code: the digest of the data's content stands for it.
    """
    here = Path(__file__).parent
    files = sorted(path for name in _needed() for path in _files(here, name))
    return digest(
        {path.relative_to(here).as_posix(): _meaning(path.read_text("utf-8")) for path in files}
    )[:12]


def _needed() -> set[str]:
    """Modules and folders beside this file that `trainer` imports, directly or not."""
    here, known, ahead = Path(__file__).parent, set[str](), ["trainer"]
    while ahead:
        name = ahead.pop()
        if name not in known and name != "data":
            known.add(name)
            for path in _files(here, name):
                ahead += _imported(ast.parse(path.read_text("utf-8")), here.name)
    return known


def _files(here: Path, name: str) -> list[Path]:
    """The files of a module, or of a folder; none for a name inside a module."""
    return [path for path in (here / f"{name}.py", *(here / name).glob("*.py")) if path.is_file()]


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            parts = node.module.split(".")
            if parts[0] == package:
                yield from parts[1:2] or [alias.name for alias in node.names]


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
