"""The torch side of `fsmd.training.train`: the one door through which everything trains.

No database, no Optuna, no global state left behind. Early stopping and the choice of the epoch
use validation only; test is evaluated once, at the chosen epoch.
"""

import logging
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback

from fsmd.callbacks import (
    CheckpointFile,
    ChosenWeights,
    Curve,
    Diagnostics,
    EpochSeed,
    Reporting,
)
from fsmd.data.encoded import open_encoded
from fsmd.data.schema import Dataset
from fsmd.diagnostics import GATE_ROWS, GRADIENT_ROWS
from fsmd.errors import UserError
from fsmd.evaluation import EVALUATION_BATCH, final_measurements, predictions, scored
from fsmd.model import Embeddings
from fsmd.module import Batches, EpochOrder, FSMDModule, columns_of
from fsmd.pretrain import pretrained_table
from fsmd.selection import Selection
from fsmd.training import Measurement, Training, TrainingProgress, TrainingResult


def run(
    training: Training,
    until: int | None,
    checkpoint: Path | None,
    on_progress: Callable[[TrainingProgress], None] | None,
) -> TrainingResult:
    """See `fsmd.training.train`."""
    data = open_encoded(training.data.path)
    device = _device(training)
    with _quiet(), _one_thread(), torch.random.fork_rng():
        file = CheckpointFile(training, checkpoint)
        module = FSMDModule.create(training.config, data.schema, training.seed)
        curve = Curve(data.schema.tasks, training.config.learning_rate)
        rule = Selection.of(data.schema.tasks, training.config.sharing, training.patience)
        chosen = ChosenWeights(rule, curve)
        resumed = _resume(checkpoint, (file, curve, chosen))
        last = min(training.epochs, until or training.epochs)
        if curve.epochs < last and not chosen.standing.exhausted:
            if training.config.pretrain == "dae" and not resumed:
                _pretrain(training, data, module)
            rows = (
                columns_of(data.train, slice(GRADIENT_ROWS), device),
                columns_of(data.valid, slice(GATE_ROWS), device),
            )
            callbacks = [EpochSeed(training.seed), curve, Diagnostics(curve, *rows), chosen, file]
            if on_progress:
                callbacks.append(Reporting(curve, on_progress))
            _fit(training, data, module, callbacks, last, checkpoint if resumed else None)
        finished = chosen.standing.exhausted or curve.epochs >= training.epochs
        final, packed = _evaluated(data, module.to(device), chosen) if finished else ([], {})
    names = [task.name for task in data.schema.tasks]
    return TrainingResult(
        measurements=(*curve.measurements, *final),
        chosen_epochs=dict(zip(names, chosen.standing.epochs, strict=True)),
        epochs=curve.epochs,
        finished=finished,
        seconds=file.seconds,
        parameters=sum(p.numel() for p in module.parameters()),
        predictions=packed,
    )


def _device(training: Training) -> torch.device:
    """UserError for one that this machine has not."""
    device = torch.device(training.runtime.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device {training.runtime.device} is not here: this machine has "
            f"{torch.cuda.device_count()} GPUs; use cpu"
        )
    return device


def _resume(checkpoint: Path | None, callbacks: tuple[Callback, ...]) -> bool:
    """Bring the callbacks where the checkpoint is, if there is one."""
    state = _loaded(checkpoint) if checkpoint else None
    if state is None:
        return False
    for callback in callbacks:
        callback.load_state_dict(state["callbacks"][callback.state_key])
    return True


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


def _pretrain(training: Training, data: Dataset, module: FSMDModule) -> None:
    """Start every embedding table of the model from the auto-encoder's."""
    model = module.model
    tables = [part.table for part in model.embeddings if isinstance(part, Embeddings)]
    start = pretrained_table(
        training.config,
        data.schema,
        train=data.train,
        offset_F=model.offset_F,
        table=tables[0].weight,
        seed=training.seed,
    )
    for table in tables:
        table.load_state_dict({"weight": start})


def _fit(
    training: Training,
    data: Dataset,
    module: FSMDModule,
    callbacks: list[Callback],
    last: int,
    resumed: Path | None,
) -> None:
    """Train `module` up to epoch `last`, from the checkpoint `resumed` if there is one."""
    device = torch.device(training.runtime.device)
    trainer = lightning.Trainer(
        max_epochs=last,
        accelerator="cpu" if device.type == "cpu" else "gpu",
        devices=1 if device.index is None else [device.index],
        logger=False,
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    assert training.config.batch_size is not None
    order = EpochOrder(len(data.train), training.seed)
    trainer.fit(
        module,
        Batches(data.train, training.config.batch_size, device, order),
        Batches(data.valid, EVALUATION_BATCH, device),
        ckpt_path=resumed,
        weights_only=True if resumed else None,
    )
    if trainer.interrupted:
        raise KeyboardInterrupt


def _evaluated(
    data: Dataset, module: FSMDModule, chosen: ChosenWeights
) -> tuple[list[Measurement], dict[str, bytes]]:
    """Final figures and test predictions of each group by the weights of its chosen epoch."""
    final: list[Measurement] = []
    packed: dict[str, bytes] = {}
    epochs = chosen.standing.epochs
    for group, weights in zip(chosen.selection.groups, chosen.weights, strict=True):
        module.model.load_state_dict(weights)
        for name in ("valid", "test"):
            of = scored(module, name, getattr(data, name), module.device)
            epoch, chain = epochs[group[0]], module.config.chain
            final += final_measurements(data, of, group, epoch, chain=chain)
            if name == "test":
                packed |= predictions(data, of, group)
    return final, packed


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
