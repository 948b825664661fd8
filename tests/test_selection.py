"""The one rule by which an epoch stands and a training ends, against a loop written anew."""

from collections.abc import Sequence

import numpy as np
import pytest

from fsmd.metrics import METRICS
from fsmd.selection import Selection
from fsmd.tasks import Task

TASKS = (Task("a"), Task("b", metric="log_loss"), Task("c", metric="normalized_entropy"))


def naive(
    tasks: Sequence[Task], patience: int, curve: Sequence[Sequence[float]]
) -> tuple[int, bool]:
    """One model's epoch and whether it has ended, epoch by epoch as one would by hand."""
    best, at = None, 0
    for epoch, values in enumerate(curve, start=1):
        if best is not None and epoch - 1 - at >= patience:
            break  # it had ended before
        gain = 0.0
        for task, value in zip(tasks, values, strict=True):
            metric = METRICS[task.metric]
            gain += (value if metric.higher else -value) / metric.margin
        if best is None or gain > best:
            best, at = gain, epoch
    return at, len(curve) - at >= patience


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("tasks", [TASKS[:1], TASKS[1:2], TASKS[:2], TASKS], ids=len)
def test_tasks_that_share_weights_are_judged_together(tasks: tuple[Task, ...], seed: int) -> None:
    draw = np.random.default_rng(seed)
    curve = [tuple(row) for row in draw.normal(0.6, 0.05, (12, len(tasks))).round(2).tolist()]
    patience = int(draw.integers(1, 5))
    rule = Selection.of(tasks, False, patience)
    for epochs in range(1, 13):
        epoch, over = naive(tasks, patience, curve[:epochs])
        standing = rule.standing(curve[:epochs])
        assert standing.epochs == (epoch,) * len(tasks)
        assert standing.exhausted == over
        assert rule.stands(curve[:epochs]) == curve[epoch - 1]
        assert rule.points(curve[:epochs])[-1] == curve[epoch - 1]


@pytest.mark.parametrize("seed", range(20))
def test_where_nothing_is_shared_each_task_is_judged_as_in_a_training_of_its_own(
    seed: int,
) -> None:
    draw = np.random.default_rng(seed)
    curve = [tuple(row) for row in draw.normal(0.6, 0.05, (12, 3)).round(2).tolist()]
    rule = Selection.of(TASKS, True, patience=3)
    for epochs in range(1, 13):
        alone = [
            naive((task,), 3, [(row[k],) for row in curve[:epochs]])
            for k, task in enumerate(TASKS)
        ]
        standing = rule.standing(curve[:epochs])
        assert standing.epochs == tuple(epoch for epoch, _ in alone)
        assert standing.exhausted == all(over for _, over in alone)


def test_less_is_better_where_the_metric_says_so() -> None:
    rule = Selection.of((Task("a", metric="log_loss"),), False, patience=2)
    assert rule.standing([(0.5,), (0.4,), (0.6,)]).epochs == (2,)
    assert rule.standing([(0.5,), (0.4,), (0.6,), (0.7,)]).exhausted


def test_of_equal_epochs_the_earlier_stands_and_none_stands_before_the_first() -> None:
    rule = Selection.of((Task("a"), Task("b")), False, patience=2)
    assert rule.standing([(0.5, 0.7), (0.75, 0.45)]).epochs == (1, 1)
    assert rule.standing([]).epochs == (0, 0)
    assert not rule.standing([]).exhausted
    assert rule.standing([(0.5, 0.7), (0.5, 0.7), (0.5, 0.7)]).exhausted
