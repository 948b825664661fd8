"""Figures of validation and test at the chosen epochs: what a training is judged by.

Scores in, measurements out, whatever gave the scores.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmd.data.schema import Dataset, Floats, Split
from fsmd.metrics import METRICS, Metric, measured
from fsmd.metrics.steps import step_scores
from fsmd.tasks import parents
from fsmd.training import Measurement, step_key


class Scored(NamedTuple):
    """Logits and scores of a split's N rows, N x K each, by the weights of one epoch."""

    name: str
    """valid or test."""
    split: Split
    parents: Sequence[int | None] | None
    """Of the chain that made scores of the logits, if there is one."""
    logit_NK: Floats
    score_NK: Floats


def final_measurements(
    data: Dataset, of: Scored, group: Sequence[int], epoch: int
) -> Iterator[Measurement]:
    """All metrics of a group's tasks; those that the rows do not define are left out.

    A task's own metric on validation is in the curve already. `test_unseen`: its own metric on
    rows whose features train has not. A task that follows another has all metrics of the step too
    (`step_key`), on rows where the other is 1.
    """
    tasks, split = data.schema.tasks, of.split

    def figure(
        metric: Metric, k: int, score_N: Floats, rows: NDArray[np.bool_] | slice = slice(None)
    ) -> float | None:
        weight_N = None if split.weights is None else split.weights[rows]
        groups = {name: code_N[rows] for name, code_N in split.groups.items()}
        return measured(metric, score_N[rows], split.labels[rows, k], weight_N, groups)

    for k in group:
        task, score_N, parent = tasks[k], of.score_NK[:, k], parents(tasks)[k]
        own = METRICS[task.metric]
        metrics = {metric.name: metric for metric in (*METRICS.values(), own)}
        figures = {
            (of.name, task.name, name): figure(metric, k, score_N)
            for name, metric in metrics.items()
            if of.name == "test" or metric is not own
        }
        if of.name == "test":
            unseen = figure(own, k, score_N, data.test_unseen)
            figures["test_unseen", task.name, own.name] = unseen
        if parent is not None:
            step, reached_N = step_key(task.name, tasks[parent].name), split.labels[:, parent] == 1
            step_N = _of_step(of, k, parent)
            for name, metric in metrics.items():
                figures[of.name, step, name] = figure(metric, k, step_N, reached_N)
        for (name, key, metric_name), value in figures.items():
            if value is not None:
                yield Measurement(epoch, name, key, metric_name, value)


def _of_step(of: Scored, k: int, parent: int) -> Floats:
    """Log-odds of task k given its parent: what a chain gives, else by both tasks' scores."""
    if of.parents is not None:
        return of.logit_NK[:, k]
    return step_scores(*of.score_NK[:, [k, parent]].T.astype(np.float64)).astype(np.float32)
