"""What is predicted (`Task`), and what is compared (`Target`); imports no torch.

A funnel is a tree of `after`: a buy follows a cart, a cart and a like each follow a click.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fsmd.errors import UserError, meant
from fsmd.metrics import METRICS

MEAN = "mean"
"""The key of the target that weighs all tasks alike."""
ALL = "all"
"""Stands for all tasks where a figure is of none alone, such as the loss."""
LONGEST_LABEL = 100
"""Letters that the name of a task or an arm has at most."""


@dataclass(frozen=True)
class Task:
    """One label, the metric that judges it, and the task that it follows, if any."""

    name: str
    metric: str = "auc"
    """Chooses the epoch on validation, and is what studies compare on test (`METRICS`)."""
    after: str | None = None
    """The task without which this one cannot be 1, as a purchase needs a click."""
    weight: float = 1.0
    """Of its loss among the tasks', where the model's configuration says nothing else."""

    def __post_init__(self) -> None:
        """Raise `UserError` for what no task is."""
        check_label(self.name, "the name of a task")
        if self.name in (MEAN, ALL) or "|" in self.name:
            raise UserError(
                f"a task must have a name of its own: {MEAN!r}, {ALL!r} and '|' stand for several "
                f"tasks; got {self.name!r}"
            )
        if self.metric not in METRICS or not METRICS[self.metric].judges:
            judging = [name for name, metric in METRICS.items() if metric.judges]
            raise UserError(
                f"the metric of task {self.name!r} must be one of {', '.join(judging)} (of ndcg@K "
                f"any K from 1 to 1000); got {self.metric!r}{meant(self.metric, judging)}"
            )
        if not 0 < self.weight < math.inf:
            raise UserError(
                f"the weight of task {self.name!r} must be above 0 and finite; got {self.weight}"
            )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Task":
        """Inverse of `dataclasses.asdict`."""
        return cls(**values)


@dataclass(frozen=True)
class Target:
    """A weighted sum of the tasks' figures: one task alone, or their mean."""

    key: str
    """The task's name, or `MEAN`."""
    metric: str
    """Whose figures are summed."""
    weights: tuple[float, ...]
    """One a task."""


def check_label(name: str, what: str) -> None:
    """Raise UserError for a name that no line can show; `what` it is the name of."""
    if not 0 < len(name) <= LONGEST_LABEL or not name.isprintable() or name != name.strip():
        raise UserError(
            f"{what} must have 1 to {LONGEST_LABEL} letters, no control character and no blank at "
            f"either end; got {name[: LONGEST_LABEL + 20]!r}"
        )


def check_tasks(tasks: Sequence[Task]) -> None:
    """Raise `UserError` for no task, a name twice, or a task that follows none before it."""
    if not tasks:
        raise UserError("a data set must have at least one task; got none")
    seen: list[str] = []
    for task in tasks:
        if task.name in seen:
            raise UserError(f"task {task.name!r} is there twice; give each its own name")
        if task.after is not None and task.after not in seen:
            raise UserError(
                f"task {task.name!r} must follow a task named before it "
                f"({', '.join(seen) or 'none'}); got after={task.after!r}"
            )
        seen.append(task.name)


def names(tasks: Sequence[Task]) -> tuple[str, ...]:
    """The tasks' names, in order."""
    return tuple(task.name for task in tasks)


def parents(tasks: Sequence[Task]) -> tuple[int | None, ...]:
    """For each task the position of the one that it follows; None for one that follows none.

    >>> parents((Task("click"), Task("like", after="click"), Task("buy", after="click")))
    (None, 0, 0)
    """
    known = names(tasks)
    return tuple(None if task.after is None else known.index(task.after) for task in tasks)


def is_funnel(tasks: Sequence[Task]) -> bool:
    """Whether any task follows another, so that a chain has something to chain."""
    return any(task.after is not None for task in tasks)


def targets(tasks: Sequence[Task]) -> tuple[Target, ...]:
    """Each task alone and, of several tasks that share one metric, their mean.

    >>> [target.key for target in targets((Task("click"), Task("like")))]
    ['click', 'like', 'mean']
    """
    count = len(tasks)
    alone = tuple(
        Target(task.name, task.metric, tuple(float(i == k) for i in range(count)))
        for k, task in enumerate(tasks)
    )
    if count == 1 or len({task.metric for task in tasks}) > 1:
        return alone
    return (*alone, Target(MEAN, tasks[0].metric, (1 / count,) * count))
