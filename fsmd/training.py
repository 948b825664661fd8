"""What one training is (`Training`), what it yields, and `train`, which everything calls.

A training is a value. Its identity is a digest of what determines its numbers, so that two
planners or machines agree on what has been done. Imports no torch before `train` is called.
"""

import ast
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from fsmd.baselines import Baseline, Config
from fsmd.config import FSMDConfig, digest
from fsmd.data.schema import DataRef, Dataset
from fsmd.errors import UserError
from fsmd.runtime import Runtime
from fsmd.selection import Point
from fsmd.tasks import Task
from fsmd.trained import TrainedModel

NO_SHAPE = ("learning_rate", "weight_decay", "dropout", "task_weights")
"""Fields of a configuration that are numbers in a program and not its form."""


@dataclass(frozen=True)
class Training:
    """One training: which model, on which data, from which seed, for how long at most.

    Raises `UserError` for numbers that cannot be, or an open field; `on` fills those in.
    """

    config: Config
    data: DataRef
    seed: int
    epochs: int = 30
    """Epochs at most."""
    patience: int = 3
    """Epochs without better validation figures after which training ends."""
    runtime: Runtime = field(default_factory=Runtime)
    half: int | None = None
    """Seed of the half of train that it trains on (`fsmd.half`); None: it trains on all rows."""

    def __post_init__(self) -> None:
        """Refuse what cannot be trained."""
        for name, least in (("seed", 0), ("epochs", 1), ("patience", 1)):
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise UserError(
                    f"`{name}` of a training must be a whole number of at least {least}; "
                    f"got {getattr(self, name)!r}"
                )
        if self.half is not None and (not isinstance(self.half, int) or self.half < 0):
            raise UserError(f"`half` of a training must be a seed from 0; got {self.half!r}")
        if self.config.left_open:
            raise UserError(
                f"a training must know {' and '.join(self.config.left_open)}; fill them in from "
                "the data set: Training.on(data, config, seed)"
            )

    @classmethod
    def on(cls, data: Dataset, config: Config, seed: int = 0) -> "Training":
        """Of a model on a data set, by the data set's own settings where the model has none."""
        settings = data.settings
        complete = settings.applied(config) if isinstance(config, FSMDConfig) else config
        return cls(complete, data.ref, seed, settings.epochs, settings.patience)

    @property
    def identity(self) -> dict[str, Any]:
        """What determines the numbers; not where the data lies or who trains."""
        runtime = replace(self.runtime, stack=1) if self.why_alone else self.runtime
        return {
            "config": asdict(self.config),
            "data_hash": self.data.content_hash,
            "shuffle": self.data.shuffle,
            "seed": self.seed,
            "epochs": self.epochs,
            "patience": self.patience,
            "half": self.half,
            "runtime": runtime.identity,
            "code": code_version(type(self.config)),
        }

    @property
    def why_alone(self) -> str | None:
        """Why it is no part of a stack, whatever its data; see `fsmd.stack.why_alone`."""
        config = self.config
        if not isinstance(config, FSMDConfig):
            return "it is no network"
        if self.runtime.stack == 1:
            return "its runtime has no stack"
        if config.balancing not in ("fixed", "uncertainty"):
            return f"balancing {config.balancing!r} takes gradients within a step"
        if config.pretrain != "none":
            return f"pretrain {config.pretrain!r} trains something else first"
        if self.data.shuffle != "rows":
            return "its rows come in blocks, as they are not held in memory"
        return None

    @cached_property
    def id(self) -> str:
        """SHA-256 of the canonical JSON of `identity`."""
        return digest(self.identity)

    @cached_property
    def shape(self) -> str:
        """Digest of what determines the program: trainings of one shape may be one stack."""
        told = ("data_hash", "shuffle", "runtime", "code")
        of_rows = {name: self.identity[name] for name in told} | {"half": self.half is not None}
        return digest({"form": form(self.config), **of_rows})


def form(config: Config) -> str:
    """Digest of what determines the program of a configuration: all but `NO_SHAPE`."""
    return digest({n: v for n, v in asdict(config).items() if n not in NO_SHAPE})


@dataclass(frozen=True)
class Measurement:
    """One number: `epoch` counts from 1; `split` is train, valid, test or test_unseen."""

    epoch: int
    split: str
    task: str
    """A task's name, `ALL`, a pair of tasks (`pair_key`), or a step (`step_key`)."""
    metric: str
    value: float


@dataclass(frozen=True)
class TrainingResult:
    """What a training measured; one that was paused (`finished` False) has no test figures."""

    measurements: tuple[Measurement, ...]
    chosen_epochs: Mapping[str, int]
    """Task -> the epoch validation chose; they differ only where the tasks share nothing."""
    epochs: int
    """Epochs trained in all."""
    finished: bool
    seconds: float
    parameters: int
    predictions: Mapping[str, bytes] = field(default_factory=dict)
    """Task -> its log-odds of the test rows at the chosen epoch, packed (`fsmd.packing`)."""
    valid_predictions: Mapping[str, bytes] = field(default_factory=dict)
    """Of the validation rows."""
    model: TrainedModel | None = None
    """At the chosen epochs, where it was asked for and the training has ended."""

    def __repr__(self) -> str:
        chosen = ", ".join(f"{task} {epoch}" for task, epoch in self.chosen_epochs.items())
        return (
            f"<TrainingResult: {self.epochs} epochs in {self.seconds:.1f} s, {self.parameters:,} "
            f"parameters; {f'chosen epochs: {chosen}' if self.finished else 'paused'}>"
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
        valid = [m for m in self.measurements if m.split == "valid"]
        value = {(m.epoch, m.task, m.metric): m.value for m in valid}
        return tuple(
            tuple(value[epoch, task.name, task.metric] for task in tasks)
            for epoch in range(1, self.epochs + 1)
        )


@dataclass(frozen=True)
class TrainingProgress:
    """What `train` tells after each epoch, and about once a second within one."""

    figures: Mapping[str, float]
    """Task -> its validation figure after the last whole epoch; empty before the first."""
    done: float
    """Epochs so far, with the part of the one under way."""


class DivergedError(ArithmeticError):
    """Training produced a value that is not finite; it would again."""


@dataclass(frozen=True)
class Job:
    """A training, and what `train` is given beside it."""

    training: Training
    checkpoint: Path | None = None
    on_progress: Callable[[TrainingProgress], None] | None = None
    until: int | None = None
    keep_model: bool = False
    fixed_epochs: Mapping[str, int] | None = None

    @property
    def limited(self) -> Training:
        """The training, which ends at the last of the epochs that are fixed, if they are."""
        if self.fixed_epochs is None:
            return self.training
        return replace(self.training, epochs=max(self.fixed_epochs.values()))


def train(
    training: Training,
    until: int | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[TrainingProgress], None] | None = None,
    *,
    keep_model: bool = False,
    fixed_epochs: Mapping[str, int] | None = None,
) -> TrainingResult:
    """Train, choose the epoch on validation, evaluate once on test. A pure function.

    until: pause after this many epochs; a baseline goes to its end at once.
    checkpoint: written after every epoch (atomically), and gone on from if it exists. A paused and
    resumed training equals an uninterrupted one bit for bit on one machine.
    keep_model: whether the result has the model too.
    fixed_epochs: task -> the epoch that stands, decided before, so that validation chooses none;
    the training ends at the last of them.

    Raises UserError for a model the data cannot carry, DivergedError for a loss or logit that is
    not finite.
    """
    if isinstance(training.config, Baseline):
        from fsmd.baselines import fitting

        return fitting.run(training, on_progress, keep_model=keep_model, fixed_epochs=fixed_epochs)
    if training.why_alone:
        from fsmd.trainer import run  # loads torch and Lightning
    else:
        from fsmd.stack import run_stacked as run

    return run(Job(training, checkpoint, on_progress, until, keep_model, fixed_epochs))


def pair_key(task: str, other: str) -> str:
    """What stands for two tasks where a figure is of both."""
    return f"{task} | {other}"


def step_key(task: str, parent: str) -> str:
    """What stands for a task on the rows alone that reached the one that it follows.

    The task's name itself stands for reaching it, among all rows. A name has no blank at its ends,
    so that this is no `pair_key`.
    """
    return f"{task}|{parent}"


def code_version(of: type[Config] = FSMDConfig) -> str:
    """Digest of the code that determines a training's numbers, comments and docstrings left out.

    of: of networks or of baselines, which share little. It is whatever their trainer imports, but
    for the data's: the digest of the content stands for it.
    """
    return _code_version(of.__name__)


@cache
def _code_version(of: str) -> str:
    return digest({name: _meaning(source) for name, source in _needed(of).items()})[:12]


_CODE = {
    "FSMDConfig": ("stack", {"data", "baselines"}),
    "Baseline": ("baselines", {"data", "stack", "trainer", "forward", "module"}),
}
"""The class of a configuration -> where its code begins, and what is not of it."""


def _needed(of: str = "FSMDConfig") -> dict[str, str]:
    """Path -> text of the files beside this one that a trainer imports, directly or not."""
    first, apart = _CODE[of]
    here, texts, ahead = Path(__file__).parent, dict[str, str](), [first]
    seen = set(apart)
    while ahead:
        name = ahead.pop()
        if name in seen:
            continue
        seen.add(name)
        for path in (here / f"{name}.py", *(here / name).glob("*.py")):
            if path.is_file():  # else it is a name inside a module
                text = texts[path.relative_to(here).as_posix()] = path.read_text("utf-8")
                ahead += _imported(_tree(path, text), here.name)
    return texts


def _tree(path: Path, text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise UserError(f"the file {path} is faulty: {error}; mend it, or take it away") from error


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    """Modules and folders of the package, and names in its `__init__`."""
    for node in ast.walk(tree):
        modules = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            modules = [f"{node.module}.{alias.name}" for alias in node.names]
        for parts in (module.split(".") for module in modules):
            if parts[0] == package:
                yield from parts[1:2]


def _meaning(source: str) -> str:
    """The syntax tree without docstrings and positions: what a reformatting leaves as it was."""
    return json.dumps(_bare(ast.parse(source)))


def _bare(node: Any) -> Any:
    """A tree as lists without empty fields: what a newer Python adds is empty in older code."""
    if isinstance(node, list):
        return [_bare(part) for part in node if not _is_note(part)]
    if isinstance(node, ast.AST):
        fields = [
            (name, value) for name, value in ast.iter_fields(node) if value not in (None, [])
        ]
        return [type(node).__name__, *((name, _bare(value)) for name, value in fields)]
    return ascii(node)  # which letters repr() shows differs too


def _is_note(node: Any) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
