"""What a search seeks: targets and costs, any number, each in its own direction."""

import sys
from itertools import permutations
from pathlib import Path

import pytest

from fsmd.config import FSMDConfig
from fsmd.data import load
from fsmd.errors import UserError
from fsmd.metrics import METRICS
from fsmd.tasks import Task
from fsmd.training import Training, TrainingResult, train
from studies import objectives
from studies.objectives import Objective, cost, costs, end_costs, named, of_target

TASKS = (Task("click"), Task("long_view", after="click"), Task("like", after="click"))
LOSS = Task("share", metric="log_loss")
RESULT = TrainingResult((), {}, 3, False, 12.5, 1000)


def keys(*asked: str, tasks: tuple[Task, ...] = TASKS) -> list[str]:
    return [objective.key for objective in named(asked, tasks)]


def test_tasks_stands_for_every_task_and_the_order_is_as_asked() -> None:
    assert keys("tasks") == ["click", "long_view", "like"]
    assert keys("params", "tasks", "seconds")[0] == "params"
    assert keys("tasks", tasks=TASKS[:1]) == ["click"]
    for asked in permutations(("like", "latency", "mean")):
        assert keys(*asked) == list(asked)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ((), "a search must have an objective; got none; there are tasks, click"),
        (("auc",), "no objective 'auc'; there are tasks, click, long_view, like, mean, latency"),
        (("tasks", "like"), "objective 'like' is there twice in tasks,like; name it once"),
        (("params", "params"), "objective 'params' is there twice"),
    ],
)
def test_what_is_no_objective_or_there_twice_is_refused(asked: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        named(asked, TASKS)


def test_tasks_of_unlike_metrics_have_no_mean() -> None:
    with pytest.raises(UserError, match="no objective 'mean'; there are tasks, click, share, l"):
        named(("mean",), (TASKS[0], LOSS))


def test_a_target_is_asked_each_epoch_and_has_its_metrics_label_direction_and_margin() -> None:
    for objective, task in zip(named(("tasks",), (TASKS[0], LOSS)), (TASKS[0], LOSS), strict=True):
        metric = METRICS[task.metric]
        assert objective.label == f"validation {metric.label}, {task.name}"
        assert (objective.higher, objective.margin) == (metric.higher, metric.margin)
        assert not objective.is_cost
    (mean,) = named(("mean",), TASKS)
    assert mean.value((0.6, 0.7, 0.8)) == pytest.approx(0.7)


def test_a_sign_is_turned_where_less_is_better() -> None:
    click, share = named(("tasks",), (TASKS[0], LOSS))
    assert click.gain(click.value((0.7, 0.3))) == 0.7
    assert share.gain(share.value((0.7, 0.3))) == -0.3
    assert cost("params").objective.gain(5.0) == -5.0


def test_every_cost_is_a_file_that_names_it_and_is_measured_in_one_way() -> None:
    assert set(costs()) == {"params", "latency", "seconds"}
    for name, each in costs().items():
        assert each.objective.key == name
        assert not each.objective.higher
        assert each.objective.margin == 0
        assert (each.of_model is None) != (each.of_training is None)
        assert each.objective.asked == ("before" if each.of_model else "end")
    with pytest.raises(UserError, match="no cost 'watts'; there are latency, params, seconds"):
        cost("watts")


def test_what_is_known_at_the_end_is_read_off_the_result() -> None:
    (read,) = end_costs(named(("tasks", "params", "seconds"), TASKS)).values()
    assert read(RESULT) == 12.5
    assert end_costs(named(("tasks", "params"), TASKS)) == {}


def test_a_new_objective_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "epochs.py").write_text(
        "from studies.objectives.cost import Cost\n"
        "from studies.objectives.objective import Objective\n"
        "COST = Cost(Objective('epochs', 'epochs', False, 'end', 0, 0.0),\n"
        "            of_training=lambda result: result.epochs)\n",
        "utf-8",
    )
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(tmp_path)])
    (epochs,) = named(("epochs",), TASKS)
    assert isinstance(epochs, Objective)
    assert end_costs((epochs,))["epochs"](RESULT) == 3
    sys.modules.pop("studies.objectives.epochs")


def test_a_faulty_objective_is_one_clear_line_and_hurts_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "slip.py").write_text("1 / 0\n", "utf-8")
    monkeypatch.setattr(objectives, "__path__", [*objectives.__path__, str(tmp_path)])
    assert [objective.key for objective in named(("tasks", "params"), TASKS)][-1] == "params"
    (told,) = caplog.messages
    assert told.startswith("left out studies/objectives/slip.py, which is faulty: ZeroDivision")
    assert told.endswith(" (line 1)")
    with pytest.raises(UserError, match="no objective 'slip'"):
        named(("slip",), TASKS)


def test_the_costs_of_a_model_are_known_without_training() -> None:
    data = load("planted:rows=1000")
    config = FSMDConfig(layers=(16,), expert_count=2, tower_width=8)
    of_model = {name: each.of_model for name, each in costs().items() if each.of_model}
    complete = Training.on(data, config)
    values = {name: of(complete.config, data.path) for name, of in of_model.items()}
    assert values["params"] == train(complete, until=1).parameters
    assert values["latency"] > 0


def test_an_objective_of_a_target_weighs_its_tasks() -> None:
    from fsmd.tasks import targets

    for target in targets(TASKS):
        objective = of_target(target)
        figures = (0.1, 0.2, 0.4)
        assert objective.value(figures) == pytest.approx(
            sum(w * f for w, f in zip(target.weights, figures, strict=True))
        )
