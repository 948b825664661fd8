"""What a search maximises or minimises: targets, and costs. Imports no torch.

A new cost is one file here with a `COST`; the file's name is its name.
"""

from collections.abc import Mapping, Sequence

from fsmd.errors import UserError, alternatives, listed
from fsmd.folder import held
from fsmd.tasks import MEAN, Task, names, targets
from studies.objectives.cost import Cost, OfTraining
from studies.objectives.objective import Objective, of_target

__all__ = ["ALL_TASKS", "Cost", "Objective", "cost", "costs", "end_costs", "named", "of_target"]

ALL_TASKS = "tasks"
"""Stands for every task where objectives are named."""


def costs() -> Mapping[str, Cost]:
    """Every cost by its name."""
    return held(__name__, "COST", Cost)


def cost(name: str) -> Cost:
    """The cost of this name; UserError lists the others."""
    known = costs()
    if name not in known:
        raise UserError(f"no cost {name!r}{alternatives(name, known)}")
    return known[name]


def end_costs(objectives: Sequence[Objective]) -> Mapping[str, OfTraining]:
    """Key -> how it is read off a training's result, of those that are known at its end."""
    asked = ((o.key, cost(o.key).of_training) for o in objectives if o.asked == "end")
    return {key: of_training for key, of_training in asked if of_training}


def named(keys: Sequence[str], tasks: Sequence[Task]) -> tuple[Objective, ...]:
    """The objectives that the keys name, in their order; any number of them.

    A key is `ALL_TASKS`, a target (a task's name or `mean`), or a cost. A task whose name is also
    a cost's is the task. Raises UserError for no key, an unknown one, or an objective twice.
    """
    by_target = {target.key: of_target(target) for target in targets(tasks)}
    if len(tasks) == 1:
        by_target[MEAN] = by_target[tasks[0].name]  # which is that task
    known = {name: cost.objective for name, cost in costs().items()} | by_target
    choices = tuple(dict.fromkeys((ALL_TASKS, *by_target, *known)))
    expanded = [name for key in keys for name in (names(tasks) if key == ALL_TASKS else (key,))]
    if not expanded:
        raise UserError(f"a search must have an objective; got none; there are {listed(choices)}")
    for n, key in enumerate(expanded):
        if key not in known:
            raise UserError(f"no objective {key!r}{alternatives(key, choices)}")
        if known[key] in [known[name] for name in expanded[:n]]:
            raise UserError(f"objective {key!r} is there twice in {','.join(keys)}; name it once")
    return tuple(known[key] for key in expanded)
