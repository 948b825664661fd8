"""Tasks, the tree that they form, and what is compared of them."""

from dataclasses import asdict
from typing import Any

import pytest

from fsmd.errors import UserError
from fsmd.metrics import METRICS
from fsmd.tasks import MEAN, Target, Task, check_tasks, is_funnel, names, parents, targets

SHOP = (
    Task("click"),
    Task("cart", after="click"),
    Task("like", after="click"),
    Task("buy", after="cart"),
    Task("share"),
)


def test_parents_are_positions_along_the_tree() -> None:
    assert parents(SHOP) == (None, 0, 0, 1, None)
    assert names(SHOP) == ("click", "cart", "like", "buy", "share")
    assert is_funnel(SHOP)
    assert not is_funnel((Task("income"), Task("marital")))
    check_tasks(SHOP)


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        ((), "at least one task"),
        ((Task("a"), Task("a")), "'a' is there twice"),
        ((Task("a", after="b"), Task("b")), r"must follow a task named before it \(none\)"),
        ((Task("a"), Task("b", after="c")), r"before it \(a\); got after='c'"),
        ((Task("a", after="a"),), "got after='a'"),
    ],
)
def test_tasks_that_form_no_tree_are_refused(tasks: tuple[Task, ...], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_tasks(tasks)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": ""}, "must have 1 to 100 letters"),
        ({"name": "mean"}, "'mean', 'all' and '|' stand for several tasks"),
        ({"name": "a | b"}, "got 'a | b'"),
        ({"name": "all"}, "got 'all'"),
        (
            {"name": "a", "metric": "speed"},
            "must be one of auc, ece, log_loss, ndcg@10, normalized",
        ),
        ({"name": "a", "metric": "pcoc"}, "got 'pcoc'"),
        ({"name": "a", "metric": "ndcg@0"}, "of ndcg@K any K from 1 to 1000"),
        ({"name": "a", "metric": None}, "got None"),
        ({"name": "a", "weight": 0.0}, "must be above 0 and finite; got 0.0"),
        ({"name": "a", "weight": float("inf")}, "got inf"),
        ({"name": "a", "weight": float("nan")}, "got nan"),
    ],
)
def test_what_no_task_is_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Task(**values)


@pytest.mark.parametrize("task", SHOP, ids=lambda task: task.name)
def test_a_task_survives_a_dictionary(task: Task) -> None:
    assert Task.from_dict(asdict(task)) == task


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_targets_are_each_task_alone_and_the_mean_of_several(count: int) -> None:
    found = targets(SHOP[:count])
    assert [target.key for target in found[:count]] == list(names(SHOP[:count]))
    for k, target in enumerate(found[:count]):
        assert target.weights == tuple(float(i == k) for i in range(count))
    assert found[count:] == (() if count == 1 else (Target(MEAN, "auc", (1 / count,) * count),))


def test_tasks_of_different_metrics_have_no_mean() -> None:
    mixed = (Task("click"), Task("buy", metric="log_loss"))
    assert [(target.key, target.metric) for target in targets(mixed)] == [
        ("click", "auc"),
        ("buy", "log_loss"),
    ]


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_all_that_a_report_needs(name: str) -> None:
    metric = METRICS[name]
    assert metric.name == name
    assert metric.sign == (1 if metric.higher else -1)
    assert metric.label
    assert metric.low < metric.high
    assert metric.margin > 0
    assert metric.digits > 0
