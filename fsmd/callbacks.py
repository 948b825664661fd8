"""What happens before and after each epoch of a training, one job a class."""

import math
import os
import time
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple
from functools import partial
from io import BufferedWriter
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from lightning.fabric.utilities.apply_func import apply_to_collection  # type: ignore[attr-defined]
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import Tensor

from fsmd.batches import Batch
from fsmd.diagnostics import gradient_cosines, inner_figures
from fsmd.model import FSMD, generator
from fsmd.module import CHOSEN_WEIGHTS, FSMDModule
from fsmd.notices import say
from fsmd.selection import Point, Selection, Standing
from fsmd.tasks import ALL, names
from fsmd.training import DivergedError, Measurement, Training, TrainingProgress
from fsmd.writing import replacing


class EpochSeed(Callback):
    """Seeds an epoch's dropout from (seed, epoch), so that a resumed epoch draws the same."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Before each epoch."""
        torch.manual_seed(generator(self.seed, "epoch", trainer.current_epoch).initial_seed())


class Curve(Callback):
    """Losses and validation figures of every epoch; raises `DivergedError` for one not finite."""

    def __init__(self) -> None:
        self.measurements: list[Measurement] = []
        self.values_EK: list[Point] = []
        self._losses: list[Tensor] = []

    @property
    def epochs(self) -> int:
        """Whole epochs so far."""
        return len(self.values_EK)

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Forget the losses of the epoch before."""
        self._losses.clear()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        """Collect the losses; reading them here would make a GPU wait."""
        self._losses.append(outputs["loss"].detach())

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the epoch."""
        values_K = [pl_module.valid_figures[task.name] for task in pl_module.schema.tasks]
        self.add(pl_module, float(torch.stack(self._losses).mean()), values_K)

    def add(self, module: FSMDModule, loss: float, values_K: Sequence[float]) -> None:
        """An epoch more, by its mean loss and its validation figures."""
        epoch, tasks = self.epochs + 1, module.schema.tasks
        if not all(map(math.isfinite, (loss, *values_K))):
            raise DivergedError(
                f"the loss or a logit is not finite in epoch {epoch} (loss {loss}); "
                f"learning_rate is {module.config.learning_rate}"
            )
        self.measurements.append(Measurement(epoch, "train", ALL, "loss", loss))
        for task, value in zip(tasks, values_K, strict=True):
            self.measurements.append(Measurement(epoch, "valid", task.name, task.metric, value))
        self.values_EK.append(tuple(values_K))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        rows = [astuple(measurement) for measurement in self.measurements]
        return {"measurements": rows, "values": self.values_EK}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.measurements = [Measurement(*row) for row in state_dict["measurements"]]
        self.values_EK = state_dict["values"]


class Diagnostics(Callback):
    """Adds to the curve what goes on inside the model, on a few fixed rows."""

    def __init__(self, curve: Curve, train_rows: Batch, valid_rows: Batch) -> None:
        self.curve = curve
        self.train_rows = train_rows
        self.valid_rows = valid_rows

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Measure in evaluation mode; nothing of training is touched."""
        epoch, add = self.curve.epochs, self.curve.measurements.append
        for pair, cosine in gradient_cosines(pl_module, self.train_rows):
            add(Measurement(epoch, "train", pair, "gradient_cosine", cosine))
        for name, metric, value in inner_figures(pl_module, self.valid_rows):
            add(Measurement(epoch, "valid", name, metric, value))


class ChosenWeights(Callback):
    """Keeps the weights of each group's chosen epoch; ends training when patience has run out."""

    def __init__(self, selection: Selection, curve: Curve) -> None:
        self.selection = selection
        self.curve = curve
        self.weights: list[dict[str, Tensor]] = [{} for _ in selection.groups]

    @property
    def standing(self) -> Standing:
        """Chosen epochs so far, and whether training is over."""
        return self.selection.standing(self.curve.values_EK)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Keep a copy if this epoch is the best so far; stop or go on."""
        self.keep(pl_module.model.state_dict)
        if self.standing.exhausted:
            trainer.should_stop = True

    def keep(self, state: Callable[[], Mapping[str, Tensor]]) -> None:
        """Copy the model's state for each group whose best epoch was the last."""
        epochs = self.standing.epochs
        for g, group in enumerate(self.selection.groups):
            if epochs[group[0]] == self.curve.epochs:
                self.weights[g] = {name: t.detach().clone() for name, t in state().items()}

    def on_save_checkpoint(self, trainer: Any, pl_module: Any, checkpoint: dict[str, Any]) -> None:
        """Add one model of the weights chosen, each task's own where they are separate.

        It shares the tensors of `state_dict`, which are written once.
        """
        checkpoint[CHOSEN_WEIGHTS] = self.merged(pl_module.model)

    def merged(self, model: FSMD) -> dict[str, Tensor]:
        """One model's state of the weights chosen, each task's own where they are separate."""
        chosen = dict(self.weights[0])
        for group, weights in zip(self.selection.groups[1:], self.weights[1:], strict=True):
            for k in group:
                chosen |= {name: weights[name] for name in model.own_state(k)}
        return chosen

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        return {"weights": self.weights}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.weights = state_dict["weights"]


class CheckpointFile(Callback):
    """Writes the checkpoint after every epoch, so that a kill leaves the old or the new one.

    It spares time alone: where it cannot be written or read, the training goes on without.
    """

    def __init__(
        self,
        training: Training,
        path: Path | None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.id = training.id
        self.path = path
        self.clock = clock
        self.started = clock()
        self.seconds_before = 0.0
        self.told = False
        self.begun = False
        """Whether all that a checkpoint holds was taken over."""

    @property
    def seconds(self) -> float:
        """Spent so far, before a pause too."""
        return self.seconds_before + self.clock() - self.started

    def read(
        self, *others: Callback, module: FSMDModule | None = None, by_lightning: bool = False
    ) -> bool:
        """Set this and the others to where the checkpoint is; whether there is one to go on from.

        module: what goes on with it; by_lightning: which reads more of it.

        What is none of this training, or not as it was written, is said and left unread.
        """
        if self.path is None or not os.path.lexists(self.path):
            return False
        before = [(callback, dict(vars(callback))) for callback in (self, *others)]
        try:
            with zipfile.ZipFile(self.path) as archive:
                if damaged := archive.testzip():  # of which torch.load takes no notice
                    raise zipfile.BadZipFile(f"{damaged} is damaged")
            state = torch.load(self.path, map_location="cpu", weights_only=True)
            apply_to_collection(state, Tensor, _check_plain)
            if by_lightning and (missing := _NEEDED - state.keys()):
                raise KeyError(*missing)
            for callback, _ in before:
                callback.load_state_dict(state["callbacks"][callback.state_key])
            if module is not None:
                if by_lightning:
                    check_like(state["state_dict"], module.state_dict())
                for chosen in (each for each in others if isinstance(each, ChosenWeights)):
                    for weights in filter(None, chosen.weights):  # none before a fixed epoch
                        check_like(weights, module.model.state_dict())
        except MemoryError:
            raise
        except Exception as error:  # whatever a file may hold
            self._say(error)
            for callback, state in before:
                vars(callback).update(state)
            return False
        return True

    def discard(self, error: Exception) -> None:
        """Remove a checkpoint that was read, and is not as it was written all the same."""
        self._say(error)
        assert self.path is not None
        self.path.unlink()

    def _say(self, error: Exception) -> None:
        reason = f"{type(error).__name__}: {error}".splitlines()[0].partition(". ")[0]
        say(f"{self.path} is no checkpoint of this training, which starts anew ({reason})")

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """It begins, or goes on."""
        self.begun = True

    def setup(self, trainer: lightning.Trainer, pl_module: Any, stage: str) -> None:
        """Have checkpoints written where it is said, and nowhere else in between."""
        trainer.strategy.checkpoint_io = _Direct()

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Write Lightning's."""
        self.write(trainer.save_checkpoint)

    def write_of(self, *others: Callback) -> None:
        """Write what `read` sets, and nothing else."""
        states = {part.state_key: part.state_dict() for part in (self, *others)}
        self.write(partial(_Direct().save_checkpoint, {"callbacks": states}))

    def write(self, save: Callable[[Path], None]) -> None:
        """Write it whole, or leave the one before."""
        if self.path is None:
            return
        try:
            with replacing(self.path) as fresh:
                save(fresh)
        except OSError as error:
            if not self.told:
                say(f"the checkpoint {self.path} cannot be written, training goes on: {error}")
            self.told = True

    def state_dict(self) -> dict[str, Any]:
        """Whose checkpoint it is, and what it took."""
        return {"training": self.id, "seconds": self.seconds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`; ValueError for a checkpoint of another training."""
        if state_dict["training"] != self.id:
            raise ValueError("it is of another training")
        self.seconds_before = state_dict["seconds"]


def _check_plain(tensor: Tensor) -> None:
    """Raise ValueError for more than values, with which it could not be written again."""
    if tensor._backward_hooks:
        raise ValueError("a tensor of it has hooks")


def check_like(found: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> None:
    """Raise ValueError where weights have not the names and shapes of a model's own."""
    if len({frozenset((n, t.shape) for n, t in weights.items()) for weights in (found, own)}) > 1:
        raise ValueError("its weights are of another model")


_NEEDED = {"state_dict", "optimizer_states", "lr_schedulers", "loops", "epoch", "global_step"}
"""What a training that goes on reads of a checkpoint, beside the callbacks' states."""


class _Direct(TorchCheckpointIO):
    """Lightning's own writes to the system's temporary folder first, where a kill leaves it."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        """Straight to the file, as a long table would not fit in memory again."""
        with Path(path).open("wb") as file:
            writer = _Writer(file)
            torch.save(checkpoint, cast(Any, writer))
        if writer.error:
            raise writer.error


class _Writer:
    """Keeps the first error of a file, which torch would tell as one that says something else."""

    def __init__(self, file: BufferedWriter) -> None:
        self.file = file
        self.error: OSError | None = None

    def write(self, content: bytes) -> int:
        """Nothing more after an error."""
        try:
            return len(content) if self.error else self.file.write(content)
        except OSError as error:
            self.error = error
            return len(content)

    def flush(self) -> None:
        """Left to the file's end."""


class Reporting(Callback):
    """Tells `on_progress` after each epoch, and about once a second within one."""

    def __init__(self, curve: Curve, on_progress: Callable[[TrainingProgress], None]) -> None:
        self.curve = curve
        self.on_progress = on_progress
        self.last = time.monotonic()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """How far the epoch is."""
        if time.monotonic() - self.last >= 1:
            self._report(pl_module, (batch_idx + 1) / trainer.num_training_batches)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """What the epoch came to."""
        self._report(pl_module, 0.0)

    def _report(self, module: FSMDModule, part: float) -> None:
        self.last = time.monotonic()
        epochs, values_EK = self.curve.epochs, self.curve.values_EK
        figures = (
            dict(zip(names(module.schema.tasks), values_EK[-1], strict=True)) if epochs else {}
        )
        self.on_progress(TrainingProgress(figures, done=epochs + part))
