"""Figures of validation and test at the chosen epochs: what a training is judged by."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from fsmd.data.schema import Dataset, Split
from fsmd.metrics import METRICS, Array, Metric, measured
from fsmd.model import scores
from fsmd.module import Batches, FSMDModule, as_array
from fsmd.packing import pack
from fsmd.tasks import parents
from fsmd.training import DivergedError, Measurement

EVALUATION_BATCH = 8192


@dataclass(frozen=True)
class Scored:
    """Logits and scores of a split's N rows, N x K each, by the weights of one epoch."""

    name: str
    """valid or test."""
    split: Split
    logit_NK: Tensor
    score_NK: Tensor

    def figure(
        self, metric: Metric, k: int, score_N: Array, rows: NDArray[np.bool_] | slice
    ) -> float | None:
        """Of task k on some rows; None where they do not define it."""
        weights = self.split.weights
        label_N = self.split.labels[rows, k].astype(np.float64)
        weight_N = None if weights is None else weights[rows].astype(np.float64)
        return measured(metric, score_N[rows], label_N, weight_N)


@torch.no_grad()
def scored(module: FSMDModule, name: str, split: Split, device: torch.device) -> Scored:
    """Of the module as it is, in evaluation mode.

    Raises DivergedError for a logit that is not finite.
    """
    module.eval()
    batches = Batches(split, EVALUATION_BATCH, device)
    logit_NK = torch.cat([module.model(batch[0], batch[1]).cpu() for batch in batches])
    if not bool(logit_NK.isfinite().all()):
        raise DivergedError(
            f"a logit is not finite on the {name} rows at the chosen epoch; "
            f"learning_rate is {module.config.learning_rate}"
        )
    return Scored(name, split, logit_NK, scores(logit_NK, module.model.parents))


def final_measurements(
    data: Dataset, of: Scored, group: Sequence[int], epoch: int, chain: bool
) -> Iterator[Measurement]:
    """All metrics of a group's tasks; those that the rows do not define are left out.

    A task's own metric on validation is in the curve already. `test_unseen`: its own metric on
    rows whose features train has not. `conditional_auc`: of a chained task's own logit, among
    rows where the task that it follows is 1.
    """
    tasks, test = data.schema.tasks, of.name == "test"
    for k in group:
        task, score_N = tasks[k], as_array(of.score_NK[:, k])
        figures = {
            (of.name, metric.name): of.figure(metric, k, score_N, slice(None))
            for metric in METRICS.values()
            if test or metric.name != task.metric
        }
        if test:
            own = METRICS[task.metric]
            figures["test_unseen", own.name] = of.figure(own, k, score_N, data.test_unseen)
        parent = parents(tasks)[k]
        if chain and parent is not None:
            reached_N = of.split.labels[:, parent] > 0
            logit_N = as_array(of.logit_NK[:, k])
            conditional = of.figure(METRICS["auc"], k, logit_N, reached_N)
            figures[of.name, "conditional_auc"] = conditional
        for (split, metric_name), value in figures.items():
            if value is not None:
                yield Measurement(epoch, split, task.name, metric_name, value)


def predictions(data: Dataset, test: Scored, group: Sequence[int]) -> dict[str, bytes]:
    """Task -> packed float32 scores of the test rows."""
    return {
        data.schema.tasks[k].name: pack(test.score_NK[:, k].contiguous().numpy()) for k in group
    }
