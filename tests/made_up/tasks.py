"""Tasks of made-up data."""

from collections.abc import Sequence
from dataclasses import replace

from fsmd.data.sets.planted import TASKS
from fsmd.tasks import Task

CENSUS = (Task("income"), Task("never_married"))
"""Two tasks of which none follows the other."""


def tasks(count: int = 2, metrics: Sequence[str] = ("auc",)) -> tuple[Task, ...]:
    """The first `count` (1 to 5) tasks of the planted data, judged by `metrics` in turn."""
    return tuple(
        replace(task, metric=metrics[k % len(metrics)]) for k, task in enumerate(TASKS[:count])
    )


MIXED = tasks(2, ("auc", "log_loss"))
"""Two tasks with no mean: they are judged by different metrics."""


def positive_rate(of: Sequence[Task], k: int) -> float:
    """The share of positive rows: 0.4, and half of its parent's for a task that follows one."""
    parent = next((i for i, task in enumerate(of) if task.name == of[k].after), None)
    return 0.4 if parent is None else positive_rate(of, parent) / 2
