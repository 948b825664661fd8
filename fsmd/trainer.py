"""The torch side of `fsmd.training.train`; leaves no global state behind.

Early stopping and the choice of the epoch use validation only; test is evaluated once, at the end.
"""

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from fsmd.batches import Batches, EpochOrder, columns_of
from fsmd.callbacks import CheckpointFile, ChosenWeights, Curve, Diagnostics, EpochSeed, Reporting
from fsmd.config import FSMDConfig
from fsmd.data.encoded import open_encoded
from fsmd.data.schema import Dataset
from fsmd.diagnostics import GATE_ROWS, GRADIENT_ROWS
from fsmd.errors import UserError
from fsmd.evaluation import final_measurements
from fsmd.forward import EVALUATION_BATCH, scored
from fsmd.memory import kept_memory
from fsmd.module import FSMDModule
from fsmd.packing import pack
from fsmd.pretrain import pretrain
from fsmd.selection import Selection
from fsmd.tasks import names
from fsmd.trained import TrainedModel
from fsmd.training import Job, Measurement, Training, TrainingResult

_NOTHING: Mapping[str, Mapping[str, bytes]] = {"valid": {}, "test": {}}
"""Predictions, by split, before the end."""


def run(job: Job) -> TrainingResult:
    """See `fsmd.training.train`."""
    training, checkpoint = job.limited, job.checkpoint
    data, config = open_encoded(training.data.path), training.config
    assert isinstance(config, FSMDConfig)
    device = device_of(training)
    with alone():
        file = CheckpointFile(training, checkpoint)
        module = FSMDModule.create(config, data.schema, training.seed, training.runtime.precision)
        curve = Curve()
        rule = Selection.of(
            data.schema.tasks, config.separate, training.patience, job.fixed_epochs
        )
        chosen = ChosenWeights(rule, curve)
        resumed = file.read(curve, chosen, module=module, by_lightning=True)
        last = training.epochs if job.until is None else min(training.epochs, job.until)
        if curve.epochs < last and not chosen.standing.exhausted:
            shuffle, half = training.data.shuffle, training.half
            if config.pretrain == "dae" and not resumed:
                pretrain(module.model, data, training.seed, shuffle, half)
            rows = (
                columns_of(data.train, [slice(GRADIENT_ROWS)], device),
                columns_of(data.valid, [slice(GATE_ROWS)], device),
            )
            callbacks = [EpochSeed(training.seed), curve, Diagnostics(curve, *rows), chosen, file]
            if job.on_progress:
                callbacks.append(Reporting(curve, job.on_progress))
            trainer = _trainer(device, last, callbacks)
            assert config.batch_size is not None
            order = EpochOrder.of(data.train, training.seed, shuffle, half)
            try:
                trainer.fit(
                    module,
                    Batches(data.train, config.batch_size, device, order),
                    Batches(data.valid, EVALUATION_BATCH, device, groups=module.groups),
                    ckpt_path=checkpoint if resumed else None,
                    weights_only=True if resumed else None,
                )
            except (MemoryError, torch.OutOfMemoryError):
                raise
            except Exception as error:
                if file.begun or not resumed:
                    raise
                file.discard(error)  # Lightning cannot go on from what it holds
                return run(job)
            if trainer.interrupted:
                raise KeyboardInterrupt
        return result_of(
            *(training, data, module.to(device), chosen), file=file, keep_model=job.keep_model
        )


def result_of(
    training: Training,
    data: Dataset,
    module: FSMDModule,
    chosen: ChosenWeights,
    *,
    file: CheckpointFile,
    keep_model: bool,
) -> TrainingResult:
    """What a training came to; one that has ended is evaluated now."""
    curve, model = chosen.curve, None
    finished = chosen.standing.exhausted or curve.epochs >= training.epochs
    final, packed = (
        _evaluated(data, module, chosen) if finished else ([], {"valid": {}, "test": {}})
    )
    if keep_model and finished:
        state = chosen.merged(module.model)
        arrays = {name: value.cpu().numpy() for name, value in state.items()}
        model = TrainedModel(module.config, data.schema, arrays)
    return TrainingResult(
        measurements=(*curve.measurements, *final),
        chosen_epochs=dict(zip(names(data.schema.tasks), chosen.standing.epochs, strict=True)),
        epochs=curve.epochs,
        finished=finished,
        seconds=file.seconds,
        parameters=sum(p.numel() for p in module.parameters()),
        predictions=packed["test"],
        valid_predictions=packed["valid"],
        model=model,
    )


def device_of(training: Training) -> torch.device:
    """UserError for one that this machine has not."""
    device = torch.device(training.runtime.device)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"device {training.runtime.device} is not here: this machine has "
            f"{torch.cuda.device_count()} GPUs; use cpu"
        )
    return device


def _trainer(device: torch.device, last: int, callbacks: list[Callback]) -> lightning.Trainer:
    return lightning.Trainer(
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


def _evaluated(
    data: Dataset, module: FSMDModule, chosen: ChosenWeights
) -> tuple[list[Measurement], Mapping[str, Mapping[str, bytes]]]:
    """Final figures and predictions, by split, of each group by its chosen epoch's weights."""
    final: list[Measurement] = []
    packed: dict[str, dict[str, bytes]] = {"valid": {}, "test": {}}
    for group, weights in zip(chosen.selection.groups, chosen.weights, strict=True):
        module.model.load_state_dict(weights)
        epoch = chosen.standing.epochs[group[0]]
        for split, kept in packed.items():
            of = scored(module, split, getattr(data, split))
            final += final_measurements(data, of, group, epoch)
            kept |= {data.schema.tasks[k].name: pack(of.score_NK[:, k]) for k in group}
    return final, packed


@contextmanager
def alone() -> Iterator[None]:
    """One thread, a generator of its own, and nothing of what Lightning tells every user.

    On one thread sums come in one order whatever else runs, and workers do not fight. So must
    numpy's, which figures are made of: with more threads their last digits move.
    """
    logger, threads = logging.getLogger("lightning.pytorch"), torch.get_num_threads()
    level = logger.level
    with (
        warnings.catch_warnings(),
        torch.random.fork_rng(),
        threadpool_limits(1, "blas"),
        kept_memory(),
    ):
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        logger.setLevel(logging.ERROR)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            logger.setLevel(level)
            torch.set_num_threads(threads)
