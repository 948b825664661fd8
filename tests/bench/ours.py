"""What the bench trains, and our side of it: only what a user of the Lightning module has."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, NamedTuple, Protocol

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch.profiler import ProfilerActivity

from fsmd.batches import Batches, EpochOrder
from fsmd.config import MODELS, FSMDConfig, fitted
from fsmd.data.schema import Dataset, Schema, Split
from fsmd.errors import UserError
from fsmd.forward import EVALUATION_BATCH
from fsmd.memory import kept_memory
from fsmd.module import FSMDModule


@dataclass(frozen=True)
class Workload:
    """A model, and the rows that every contender trains and judges it on."""

    name: str
    """Of `MODELS`."""
    config: FSMDConfig
    """Nothing is left open in it."""
    schema: Schema
    train: Split
    """Whole batches."""
    valid: Split

    @property
    def batch_size(self) -> int:
        """Rows of a step."""
        assert self.config.batch_size is not None
        return self.config.batch_size


class Validated(NamedTuple):
    """What a validation cost, and found."""

    seconds: float
    """Of the processor."""
    figures: Mapping[str, float]
    """Task -> AUC."""


class Contender(Protocol):
    """One training of a workload that goes on from epoch to epoch."""

    def epoch(self, number: int) -> float:
        """Train one epoch more; the CPU-seconds that it took."""

    def validate(self) -> Validated:
        """Score the rows of validation as the model now is."""


def workload(data: Dataset, name: str, batch_size: int, examples: int) -> Workload:
    """A model at the bench's widths; at most so many examples of each split, drawn once.

    Raises UserError where they make no batch.
    """
    config = replace(
        fitted(MODELS[name], data.schema.tasks),
        layers=(256, 128),
        expert_count=8,
        tower_depth=1,
        tower_width=64,
        batch_size=batch_size,
    )
    rows = min(examples, len(data.train)) // batch_size * batch_size
    if not rows:
        raise UserError(
            f"--batches must be at most the examples of an epoch, "
            f"{min(examples, len(data.train)):,}; got {batch_size:,}"
        )
    train, valid = _some(data.train, rows), _some(data.valid, examples)
    return Workload(name, data.settings.applied(config), data.schema, train, valid)


def _some(split: Split, count: int) -> Split:
    drawn = np.random.default_rng(0).permutation(len(split))[:count]
    columns: dict[str, Any] = {field.name: getattr(split, field.name) for field in fields(split)}
    return replace(split, **{n: c[drawn] for n, c in columns.items() if c is not None})


class _Continued(FSMDModule):
    """Keeps its optimiser, and so the optimiser's state, from one trainer to the next."""

    _optimiser: torch.optim.Optimizer | None = None

    def configure_optimizers(self) -> torch.optim.Optimizer:
        if self._optimiser is None:
            self._optimiser = super().configure_optimizers()
        return self._optimiser


OURS: Mapping[str, Callable[[FSMDConfig, Schema], FSMDModule]] = {
    "ours": partial(_Continued.create, seed=0),
    "ours_bfloat16": partial(_Continued.create, seed=0, precision="bfloat16"),
}
"""Column -> what makes the module; the first trains in the default precision."""


class _Clock(Callback):
    """CPU-seconds of an epoch's training, or of a validation with its figures."""

    seconds = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.seconds = -time.process_time()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seconds += time.process_time()

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        self.seconds = -time.process_time()

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        self.seconds += time.process_time()


class _Profile(Callback):
    """The operators of an epoch's training."""

    def __init__(self) -> None:
        self.profile = torch.profiler.profile(activities=[ProfilerActivity.CPU], acc_events=True)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.profile.start()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.profile.stop()


class Ours:
    """A training by Lightning, as `fsmd.train` runs it, without what surrounds an epoch there."""

    def __init__(self, work: Workload, column: str = "ours") -> None:
        self._work = work
        self._module = OURS[column](work.config, work.schema)

    def epoch(self, number: int) -> float:
        """See `Contender`."""
        clock = _Clock()
        self._fit(number, clock)
        return clock.seconds

    def validate(self) -> Validated:
        """See `Contender`."""
        clock, groups = _Clock(), self._module.groups
        batches = Batches(self._work.valid, EVALUATION_BATCH, torch.device("cpu"), groups=groups)
        _trainer(clock).validate(self._module, batches, verbose=False)
        return Validated(clock.seconds, self._module.valid_figures)

    def operators(self, most: int = 10) -> dict[str, float]:
        """Operator -> its share of the self time of an epoch, largest first."""
        watch = _Profile()
        self._fit(0, watch)
        found = {e.key: float(e.self_cpu_time_total) for e in watch.profile.key_averages()}
        largest = sorted(found, key=lambda name: -found[name])[:most]
        return {name: found[name] / sum(found.values()) for name in largest}

    def _fit(self, number: int, callback: Callback) -> None:
        work = self._work
        order = EpochOrder(len(work.train), seed=number)
        batches = Batches(work.train, work.batch_size, torch.device("cpu"), order)
        with kept_memory():
            _trainer(callback).fit(self._module, batches)


def _trainer(callback: Callback) -> lightning.Trainer:
    return lightning.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        callbacks=[callback],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
