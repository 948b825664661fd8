"""The training of a baseline: what `fsmd.training.train` does without torch.

Validation alone ends it and chooses the epoch; test is evaluated once, at the end.
"""

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from fsmd.baselines.columns import task_rows
from fsmd.baselines.config import Baseline
from fsmd.baselines.grown import BaselineTask, Grown, Kind
from fsmd.baselines.scoring import log_odds
from fsmd.data.encoded import open_encoded
from fsmd.data.schema import Dataset
from fsmd.evaluation import Scored, final_measurements
from fsmd.metrics import METRICS, measured
from fsmd.packing import pack
from fsmd.selection import Selection
from fsmd.tasks import ALL, names
from fsmd.trained import TrainedModel
from fsmd.training import (
    DivergedError,
    Measurement,
    Training,
    TrainingProgress,
    TrainingResult,
)

LOSS_ROWS = 20_000
"""Rows of train whose loss is measured, evenly spread."""
QUICK_ROWS, QUICK_EPOCHS = 20_000, 10
STACKED = ("bias", "ids", "dense", "rates", "counts", "overall")
"""Arrays with a column for each task; the others begin with the task's number."""


class _Fitted(NamedTuple):
    """A task's model at its chosen epoch, and what came after each epoch."""

    arrays: Mapping[str, NDArray[Any]]
    epoch: int
    losses: Sequence[float]
    figures: Sequence[float]


def run(
    training: Training,
    on_progress: Callable[[TrainingProgress], None] | None,
    *,
    keep_model: bool,
    fixed_epochs: Mapping[str, int] | None,
) -> TrainingResult:
    """See `fsmd.training.train`; one task after the other, as they share nothing."""
    started = time.perf_counter()
    data, config = open_encoded(training.data.path), training.config
    assert isinstance(config, Baseline)
    tasks, count = data.schema.tasks, len(data.schema.tasks)
    fitted: list[_Fitted] = []
    with _one_thread(config) as kind:
        for k in range(count):

            def tell(epochs: int, figure: float, k: int = k) -> None:
                if on_progress:
                    done = (k * training.epochs + epochs) / count
                    on_progress(TrainingProgress({tasks[k].name: figure}, done))

            fitted.append(_fit(kind, training, data, k, fixed_epochs, tell))
        arrays = _joined([each.arrays for each in fitted])
        epochs = max(max(each.epoch, len(each.figures)) for each in fitted)
        measurements = _curve(data, fitted, epochs)
        packed = dict[str, dict[str, bytes]]()
        for name in ("valid", "test"):
            split = getattr(data, name)
            score_NK = log_odds(arrays, data.schema, split.ids, split.dense)
            packed[name] = {task.name: pack(score_NK[:, k]) for k, task in enumerate(tasks)}
            of = Scored(name, split, None, score_NK, score_NK)
            for k, each in enumerate(fitted):
                measurements += final_measurements(data, of, (k,), each.epoch)
    chosen = [each.epoch for each in fitted]
    return TrainingResult(
        measurements=tuple(measurements),
        chosen_epochs=dict(zip(names(tasks), chosen, strict=True)),
        epochs=epochs,
        finished=True,
        seconds=time.perf_counter() - started,
        parameters=sum(array.size for array in arrays.values()),
        predictions=packed["test"],
        valid_predictions=packed["valid"],
        model=TrainedModel(config, data.schema, arrays) if keep_model else None,
    )


def quick_model(config: Baseline, data: Dataset) -> TrainedModel:
    """Of a tenth of the usual size of training, for what a baseline costs: it has as many
    weights, and trees of as many leaves, as far as `QUICK_ROWS` rows give them.
    """
    parts = ("ids", "dense", "labels", "weights")
    few: dict[str, Any] = {
        name: None if (array := getattr(data.train, name)) is None else array[:QUICK_ROWS]
        for name in parts
    }
    data = replace(data, train=replace(data.train, **few))
    training = Training(config, data.ref, seed=0, epochs=QUICK_EPOCHS)
    epochs = {task.name: QUICK_EPOCHS for task in data.schema.tasks}
    with _one_thread(config) as kind:
        fitted = [
            _fit(kind, training, data, k, epochs, lambda *_: None)
            for k in range(len(data.schema.tasks))
        ]
    return TrainedModel(config, data.schema, _joined([each.arrays for each in fitted]))


@contextmanager
def _one_thread(config: Baseline) -> Iterator[Kind]:
    """Sums come in one order whatever else runs.

    What is loaded within has as many threads as it likes, so the kind's library is loaded before.
    """
    kind: Kind = import_module(f"fsmd.baselines.{config.kind}").grown
    with threadpool_limits(1):
        yield kind


def _fit(
    kind: Kind,
    training: Training,
    data: Dataset,
    k: int,
    fixed_epochs: Mapping[str, int] | None,
    tell: Callable[[int, float], None],
) -> _Fitted:
    task, valid, rows = data.schema.tasks[k], data.valid, task_rows(data, k, training.half)
    epochs = training.epochs if fixed_epochs is None else fixed_epochs[task.name]
    rule = Selection.of((task,), True, training.patience, fixed_epochs)
    some = np.arange(0, len(rows.rows), max(len(rows.rows) // LOSS_ROWS, 1))
    assert isinstance(training.config, Baseline)
    asked = BaselineTask(training.config, data, rows, some, training.seed, epochs)
    arrays: Mapping[str, NDArray[Any]] = {}
    losses, figures, epoch = list[float](), list[float](), 0
    grown: Grown
    for grown in kind(asked):
        loss = measured(
            METRICS["log_loss"], grown.train_N, rows.label_N[some], rows.weight_N[some]
        )
        metric, label_N = METRICS[task.metric], valid.labels[:, k]
        figure = measured(metric, grown.valid_N, label_N, valid.weights, valid.groups)
        if figure is None or not math.isfinite(figure):
            raise DivergedError(
                f"the {metric.label} of task {task.name!r} on validation is no "
                f"number in epoch {len(figures) + 1}"
            )
        losses.append(0.0 if loss is None else loss)
        figures.append(figure)
        standing = rule.standing([(each,) for each in figures])
        if standing.epochs[0] == len(figures) or fixed_epochs is not None:
            arrays, epoch = grown.arrays, standing.epochs[0]
        tell(len(figures), figure)
        if standing.exhausted:
            break
    return _Fitted(arrays, epoch, losses, figures)


def _joined(parts: Sequence[Mapping[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """All tasks' arrays as a trained baseline has them."""
    own = {
        f"{k}.{name}": array
        for k, part in enumerate(parts)
        for name, array in part.items()
        if name not in STACKED
    }
    stacked = (name for name in STACKED if name in parts[0])
    return {name: np.stack([part[name] for part in parts], -1) for name in stacked} | own


def _curve(data: Dataset, fitted: Sequence[_Fitted], epochs: int) -> list[Measurement]:
    """After each epoch; a task that has ended stays as it is while others go on."""
    tasks, curve = data.schema.tasks, []
    for epoch in range(epochs):
        losses = [each.losses[min(epoch, len(each.losses) - 1)] for each in fitted]
        loss = sum(task.weight * each for task, each in zip(tasks, losses, strict=True))
        curve.append(Measurement(epoch + 1, "train", ALL, "loss", loss))
        for task, each in zip(tasks, fitted, strict=True):
            value = each.figures[min(epoch, len(each.figures) - 1)]
            curve.append(Measurement(epoch + 1, "valid", task.name, task.metric, value))
    return curve
