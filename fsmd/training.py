"""`train(task)`: the one door through which everything trains. A pure function of the task.

No database, no Optuna, no global state left behind. Early stopping and the choice of the epoch
use validation only; test is evaluated once, at the chosen epoch.
"""

import logging
import os
import pickle
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from fsmd import metrics
from fsmd.data import open_encoded
from fsmd.data.schema import Dataset, Split
from fsmd.diagnostics import GATE_ROWS, GRADIENT_ROWS, gradient_cosine, inner_figures
from fsmd.model import Embeddings, generator, log_probabilities
from fsmd.module import Batch, Batches, EpochOrder, FSMDModule
from fsmd.predictions import pack_ranks
from fsmd.pretrain import pretrained_table
from fsmd.task import Measurement, Progress, TrainingResult, TrainingTask

EVALUATION_BATCH = 8192


class DivergedError(ArithmeticError):
    """Training produced a value that is not finite; it would again."""


def train(
    task: TrainingTask,
    until: int | None = None,
    checkpoint: Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> TrainingResult:
    """Train, choose the epoch on validation, evaluate once on test.

    until: pause after this many epochs; then `finished` may be False.
    checkpoint: written after every epoch (atomically), and gone on from if it exists. A paused and
    resumed training equals an uninterrupted one bit for bit on one machine.
    on_progress: told each epoch's validation AUCs and, between, how far the epoch is.

    Raises UserError for a model the data cannot carry, DivergedError for a loss or logit that is
    not finite.
    """
    started = time.perf_counter()
    data = open_encoded(task.data.path)
    with _quiet(), _one_thread(), torch.random.fork_rng():
        module = FSMDModule.create(task.config, data.schema, task.seed)
        selection = Selection(task, data, checkpoint, on_progress)
        _fit(task, data, module, selection, until, checkpoint)
        finished = selection.exhausted or selection.epochs >= task.epochs
        logits = dict(_chosen_logits(task, data, module, selection)) if finished else {}
    return TrainingResult(
        measurements=(*selection.curve, *_final_measurements(task, data, selection, logits)),
        chosen_epochs=selection.chosen_epochs,
        epochs=selection.epochs,
        finished=finished,
        seconds=selection.seconds_before + time.perf_counter() - started,
        parameters=sum(p.numel() for p in module.parameters()),
        predictions=dict(_predictions(task, data, selection, logits)),
    )


class Selection(Callback):
    """Keeps the curve and the best epoch's weights; ends training after `patience`.

    A group of tasks that share weights is judged by the mean of its validation AUCs. All tasks
    are one group, except where nothing is shared (`sharing="none"`): there each task is its own
    model and gets its own epoch, as it would in a training of its own.
    """

    def __init__(
        self,
        task: TrainingTask,
        data: Dataset,
        checkpoint: Path | None,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self.task = task
        self.groups = groups = _groups(task, data)
        device = torch.device(task.device)
        self.train_rows = _first(data.train, GRADIENT_ROWS, device)
        self.valid_rows = _first(data.valid, GATE_ROWS, device)
        self.checkpoint = checkpoint
        self.on_progress = on_progress
        self.told = time.monotonic()
        self.auc: dict[str, float] = {}
        self.epochs = 0
        self.curve: list[Measurement] = []
        self.best: list[tuple[float, int]] = [(float("-inf"), 0)] * len(groups)
        self.weights: list[dict[str, Tensor]] = [{} for _ in groups]
        self.losses: list[Tensor] = []
        self.started = time.perf_counter()
        self.seconds_before = 0.0

    @property
    def exhausted(self) -> bool:
        """Whether no group has improved within the patience."""
        return all(self.epochs - epoch >= self.task.patience for _, epoch in self.best)

    @property
    def chosen_epochs(self) -> dict[str, int]:
        """Task -> its group's best epoch."""
        return {
            name: epoch
            for group, (_, epoch) in zip(self.groups, self.best, strict=True)
            for name in group
        }

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        """Seed the epoch's dropout from (seed, epoch), so that a resumed epoch draws the same."""
        torch.manual_seed(generator(self.task.seed, "epoch", trainer.current_epoch).initial_seed())
        self.losses.clear()

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, *_: Any) -> None:
        """Collect the losses; reading them here would make a GPU wait."""
        self.losses.append(outputs["loss"].detach())
        if self.on_progress and time.monotonic() - self.told >= 1:
            self.told = time.monotonic()
            part = len(self.losses) / trainer.num_training_batches
            self.on_progress(Progress(self.epochs, self.auc, self.epochs + part))

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Record the epoch, keep its weights if it is the best, stop or go on, checkpoint."""
        self.epochs = trainer.current_epoch + 1
        loss = float(torch.stack(self.losses).mean())
        auc = dict(pl_module.valid_auc)
        if not all(map(_finite, (loss, *auc.values()))):
            raise DivergedError(
                f"the loss or a logit is not finite in epoch {self.epochs} (loss {loss}); "
                f"learning_rate is {self.task.config.learning_rate}"
            )
        self.curve.append(Measurement(self.epochs, "train", "all", "loss", loss))
        for name, value in auc.items():
            self.curve.append(Measurement(self.epochs, "valid", name, "auc", value))
        self.curve += self._diagnostics(pl_module)
        for i, group in enumerate(self.groups):
            score = sum(auc[name] for name in group) / len(group)
            ended = self.epochs - 1 - self.best[i][1] >= self.task.patience  # in its own training
            if score > self.best[i][0] and not ended:
                self.best[i] = (score, self.epochs)
                self.weights[i] = {
                    name: value.detach().clone()
                    for name, value in pl_module.model.state_dict().items()
                }
        if self.exhausted:
            trainer.should_stop = True
        if self.checkpoint:
            _save(trainer, self.checkpoint)
        self.auc = auc
        if self.on_progress:
            self.on_progress(Progress(self.epochs, auc, self.epochs))

    def _diagnostics(self, module: FSMDModule) -> Iterator[Measurement]:
        cosine = gradient_cosine(module, self.train_rows)
        if cosine is not None:
            yield Measurement(self.epochs, "train", "all", "gradient_cosine", cosine)
        for name, metric, value in inner_figures(module, self.valid_rows):
            yield Measurement(self.epochs, "valid", name, metric, value)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed training needs to know."""
        return {
            "task": self.task.id,
            "epochs": self.epochs,
            "curve": [asdict(measurement) for measurement in self.curve],
            "best": [list(pair) for pair in self.best],
            "weights": self.weights,
            "seconds": self.seconds_before + time.perf_counter() - self.started,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Inverse of `state_dict`."""
        self.epochs = state_dict["epochs"]
        self.curve = [Measurement(**values) for values in state_dict["curve"]]
        self.best = [(score, epoch) for score, epoch in state_dict["best"]]
        self.weights = state_dict["weights"]
        self.seconds_before = state_dict["seconds"]


def _groups(task: TrainingTask, data: Dataset) -> tuple[tuple[str, ...], ...]:
    tasks = data.schema.tasks
    return tuple((name,) for name in tasks) if task.config.sharing == "none" else (tasks,)


def _fit(
    task: TrainingTask,
    data: Dataset,
    module: FSMDModule,
    selection: Selection,
    until: int | None,
    checkpoint: Path | None,
) -> None:
    """Train `module` up to epoch `until`, from the checkpoint if there is one."""
    state = _loaded(checkpoint) if checkpoint else None
    resumed = checkpoint if state else None
    if state:
        kept = state["callbacks"][selection.state_key]
        if kept["task"] != task.id:
            raise ValueError(f"the checkpoint {resumed} is of another task")
        selection.load_state_dict(kept)
    last = min(task.epochs, until or task.epochs)
    if selection.exhausted or selection.epochs >= last:
        return
    if task.config.pretrain == "dae" and not resumed:
        _pretrain(task, data, module)
    device = torch.device(task.device)
    rows = EpochOrder(len(data.train), task.seed)
    trainer = lightning.Trainer(
        max_epochs=last,
        accelerator="cpu" if device.type == "cpu" else "gpu",
        devices=1 if device.index is None else [device.index],
        logger=False,
        callbacks=[selection],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(
        module,
        Batches(data.train, task.config.batch_size, device, rows),
        Batches(data.valid, EVALUATION_BATCH, device),
        ckpt_path=resumed,
        weights_only=True if resumed else None,
    )
    if trainer.interrupted:
        raise KeyboardInterrupt


def _pretrain(task: TrainingTask, data: Dataset, module: FSMDModule) -> None:
    """Start every embedding table of the model from the auto-encoder's."""
    model = module.model
    tables = [part.table for part in model.embeddings if isinstance(part, Embeddings)]
    start = pretrained_table(
        task.config, data.schema, data.train, model.offset_F, tables[0].weight, task.seed
    )
    for table in tables:
        table.load_state_dict({"weight": start})


def _first(split: Split, rows: int, device: torch.device) -> Batch:
    """The first rows of a split, as one batch."""
    arrays = (split.ids[:rows], split.dense[:rows], split.labels[:rows])
    ids, dense, labels = (torch.from_numpy(np.asarray(a)).to(device) for a in arrays)
    return ids, dense, labels


def _loaded(checkpoint: Path) -> dict[str, Any] | None:
    """The checkpoint's content; None, and it is removed, where a power cut left it unreadable."""
    if not checkpoint.exists():
        return None
    try:
        state: dict[str, Any] = torch.load(checkpoint, map_location="cpu", weights_only=True)
    except (EOFError, RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile):
        checkpoint.unlink()
        return None
    return state


def _save(trainer: lightning.Trainer, path: Path) -> None:
    """Write the checkpoint so that a kill leaves the old one or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    trainer.save_checkpoint(temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())  # so does a power cut
    temporary.replace(path)


def _chosen_logits(
    task: TrainingTask, data: Dataset, module: FSMDModule, selection: Selection
) -> Iterator[tuple[tuple[int, str], Tensor]]:
    """(group, split) -> logits of validation and test at the group's chosen epoch, N x K."""
    device = torch.device(task.device)
    for i, weights in enumerate(selection.weights):
        module.model.load_state_dict(weights)
        for split_name, split in (("valid", data.valid), ("test", data.test)):
            yield (i, split_name), _logits(module.to(device), split, device)


def _final_measurements(
    task: TrainingTask,
    data: Dataset,
    selection: Selection,
    logits: Mapping[tuple[int, str], Tensor],
) -> Iterator[Measurement]:
    """Figures of validation and test at each group's chosen epoch."""
    for (i, split_name), logit_NK in logits.items():
        epoch = selection.best[i][1]
        for key, value in _figures(task, data, split_name, logit_NK, selection.groups[i]):
            if (split_name, key[2]) != ("valid", "auc"):  # is in the curve
                yield Measurement(epoch, *key, value)


def _predictions(
    task: TrainingTask,
    data: Dataset,
    selection: Selection,
    logits: Mapping[tuple[int, str], Tensor],
) -> Iterator[tuple[str, bytes]]:
    """Task -> ranks of the test rows at the chosen epoch."""
    for (i, split_name), logit_NK in logits.items():
        if split_name == "test":
            log_p_NK, _ = log_probabilities(logit_NK, task.config.chain)
            for name in selection.groups[i]:
                yield name, pack_ranks(log_p_NK[:, data.schema.tasks.index(name)].numpy())


@torch.no_grad()
def _logits(module: FSMDModule, split: Split, device: torch.device) -> Tensor:
    module.eval()
    batches = Batches(split, EVALUATION_BATCH, device)
    return torch.cat([module.model(ids, dense).cpu() for ids, dense, _ in batches])


def _figures(
    task: TrainingTask,
    data: Dataset,
    split_name: str,
    logit_NK: Tensor,
    group: tuple[str, ...],
) -> Iterator[tuple[tuple[str, str, str], float]]:
    """((split, task, metric), value) of one group's tasks."""
    split: Split = getattr(data, split_name)
    label_NK = torch.from_numpy(split.labels)
    log_p_NK, log_q_NK = log_probabilities(logit_NK, task.config.chain)
    for k, name in enumerate(data.schema.tasks):
        if name not in group:
            continue
        log_p_N, label_N = log_p_NK[:, k], label_NK[:, k]
        yield (split_name, name, "auc"), metrics.auc(log_p_N, label_N)
        yield (split_name, name, "log_loss"), metrics.log_loss(log_p_N, log_q_NK[:, k], label_N)
        yield (
            (split_name, name, "calibration_error"),
            metrics.calibration_error(log_p_N.exp(), label_N),
        )
        if split_name == "test":
            unseen = torch.from_numpy(data.test_unseen)
            yield ("test_unseen", name, "auc"), metrics.auc(log_p_N[unseen], label_N[unseen])
        if task.config.chain and k > 0:
            reached = label_NK[:, k - 1] > 0
            yield (
                (split_name, name, "conditional_auc"),
                metrics.auc(logit_NK[reached, k], label_N[reached]),
            )


def _finite(value: float) -> bool:
    return abs(value) < float("inf")  # false for NaN too


@contextmanager
def _one_thread() -> Iterator[None]:
    """One torch thread: sums come in one order whatever else runs, and workers do not fight."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what Lightning tells every user about a Trainer it did not configure."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        try:
            yield
        finally:
            logger.setLevel(level)
