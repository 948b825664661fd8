"""What a search maximises or minimises: targets, and costs. Imports no torch.

A new cost is one file here with a `COST`; the file's name is its name.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from pkgutil import iter_modules

from fsmd.errors import UserError
from fsmd.tasks import Task, names, targets
from studies.objectives.cost import Cost, OfTraining
from studies.objectives.objective import Objective, of_target

__all__ = ["ALL_TASKS", "Cost", "Objective", "cost", "costs", "end_costs", "named", "of_target"]

ALL_TASKS = "tasks"
"""Stands for every task where objectives are named."""


def costs() -> Mapping[str, Cost]:
    """Every cost by its name."""
    known = {}
    for module in iter_modules(__path__):
        try:
            held = getattr(import_module(f"{__name__}.{module.name}"), "COST", None)
        except Exception as error:
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            raise UserError(f"the objective's file {module.name}.py is faulty: {what}") from error
        if isinstance(held, Cost):
            known[module.name] = held
    return known


def cost(name: str) -> Cost:
    """The cost of this name; UserError lists the others."""
    known = costs()
    if name not in known:
        raise UserError(f"no cost {name!r}; there are {', '.join(known)}")
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
    known = {name: cost.objective for name, cost in costs().items()} | by_target
    choices = ", ".join(dict.fromkeys((ALL_TASKS, *by_target, *known)))
    expanded = [name for key in keys for name in (names(tasks) if key == ALL_TASKS else (key,))]
    if not expanded:
        raise UserError(f"a search must have an objective; got none; there are {choices}")
    for n, key in enumerate(expanded):
        if key not in known:
            raise UserError(f"no objective {key!r}; there are {choices}")
        if key in expanded[:n]:
            raise UserError(f"objective {key!r} is there twice in {','.join(keys)}; name it once")
    return tuple(known[key] for key in expanded)
