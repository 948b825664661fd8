"""Figures of validation and test at the chosen epochs: what a training is judged by."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from fsmd.data.schema import Dataset, Floats, Split
from fsmd.metrics import METRICS, Metric, measured
from fsmd.model import Parents, scores
from fsmd.module import Batches, FSMDModule
from fsmd.training import DivergedError, Measurement

EVALUATION_BATCH = 8192


class Scored(NamedTuple):
    """Logits and scores of a split's N rows, N x K each, by the weights of one epoch."""

    name: str
    """valid or test."""
    split: Split
    parents: Parents
    """Of the chain that made scores of the logits, if there is one."""
    logit_NK: Floats
    score_NK: Floats


@torch.no_grad()
def scored(module: FSMDModule, name: str, split: Split) -> Scored:
    """By the module as it is; DivergedError for a logit that is not finite."""
    module.eval()
    batches = Batches(split, EVALUATION_BATCH, module.device)
    logit_NK = torch.cat([module.model(batch[0], batch[1]).cpu() for batch in batches])
    if not bool(logit_NK.isfinite().all()):
        raise DivergedError(
            f"a logit is not finite on the {name} rows at the chosen epoch; "
            f"learning_rate is {module.config.learning_rate}"
        )
    parents = module.model.parents
    return Scored(name, split, parents, logit_NK.numpy(), scores(logit_NK, parents).numpy())


def final_measurements(
    data: Dataset, of: Scored, group: Sequence[int], epoch: int
) -> Iterator[Measurement]:
    """All metrics of a group's tasks; those that the rows do not define are left out.

    A task's own metric on validation is in the curve already. `test_unseen`: its own metric on
    rows whose features train has not. `conditional_auc`: of a chained task's own logit, among
    rows where the task that it follows is 1.
    """
    weight_N = of.split.weights

    def figure(
        metric: Metric, k: int, score_NK: Floats, rows: NDArray[np.bool_] | slice = slice(None)
    ) -> float | None:
        weights = None if weight_N is None else weight_N[rows]
        return measured(metric, score_NK[rows, k], of.split.labels[rows, k], weights)

    for k in group:
        task, own = data.schema.tasks[k], METRICS[data.schema.tasks[k].metric]
        figures = {
            (of.name, metric.name): figure(metric, k, of.score_NK)
            for metric in METRICS.values()
            if of.name == "test" or metric is not own
        }
        if of.name == "test":
            figures["test_unseen", own.name] = figure(own, k, of.score_NK, data.test_unseen)
        parent = of.parents[k] if of.parents else None
        if parent is not None:
            reached_N = of.split.labels[:, parent] > 0
            conditional = figure(METRICS["auc"], k, of.logit_NK, reached_N)
            figures[of.name, "conditional_auc"] = conditional
        for (split, metric_name), value in figures.items():
            if value is not None:
                yield Measurement(epoch, split, task.name, metric_name, value)
