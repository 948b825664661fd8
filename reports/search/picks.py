"""Rules that pick one configuration of several.

Suffixes: N candidates, M objectives, K tasks; all figures turned so that more is better.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np

from fsmd.errors import UserError
from fsmd.metrics import METRICS, Array
from fsmd.stats.pareto import highest, knee_score
from fsmd.tasks import Target, Task, targets
from reports import words
from studies.objectives.objective import Objective

KNEE = "knee"


class Candidates(NamedTuple):
    """What a rule picks from."""

    names: tuple[str, ...]
    points_NM: Array
    """The search's objectives."""
    gains: Mapping[str, Array]
    """Key of a target or an objective -> N."""


class PickRule(NamedTuple):
    """Picks the candidate of the largest score."""

    name: str
    why: str
    score: Callable[[Candidates], Array]


def picked(rule: PickRule, candidates: Candidates) -> str:
    """The candidate that a rule picks; among equals one on the front, of the highest sum."""
    return candidates.names[highest(rule.score(candidates), candidates.points_NM)]


def default_rules(tasks: Sequence[Task], objectives: Sequence[Objective]) -> tuple[str, ...]:
    """The rules that every report of a search applies.

    They ask for the targets that the search is for; where these are several tasks also for equal
    weights and for floors.
    """
    sought = [objective.key for objective in objectives if not objective.is_cost]
    names = [task.name for task in tasks if task.name in sought]
    several = len(names) > 1
    return (
        *([KNEE] if len(objectives) > 1 else []),
        *(f"best:{key}" for key in sought),
        *([f"weights:{','.join('1' if t.name in names else '0' for t in tasks)}"] * several),
        *(f"floor:{name}" for name in names if several),
    )


def pick_rule(name: str, tasks: Sequence[Task], objectives: Sequence[Objective]) -> PickRule:
    """The rule of this name; UserError lists the others."""
    kind, _, argument = name.partition(":")
    task_names = [task.name for task in tasks]
    by_key = {target.key: _best_target(name, target) for target in targets(tasks)}
    costs = (objective for objective in objectives if objective.is_cost)
    by_key |= {cost.key: _best_cost(name, cost) for cost in costs}
    if kind == KNEE and not argument:
        return _knee(len(objectives))
    if kind == "best" and argument in by_key:
        return by_key[argument]
    if kind == "weights":
        return _weights(name, argument, tasks)
    if kind == "floor" and argument in task_names and len(tasks) > 1:
        return _floor(name, tasks[task_names.index(argument)], tasks)
    known = [
        KNEE,
        *(f"best:{key}" for key in by_key),
        *(f"floor:{task}" for task in task_names if len(tasks) > 1),
        f"weights:{','.join(ascii_uppercase[: len(tasks)])}",
    ]
    raise UserError(f"no rule {name!r} to pick by; there are {', '.join(known)}")


def _knee(objectives: int) -> PickRule:
    why = (
        "farthest above the line through the ends of the front"
        if objectives == 2
        else "the highest sum of the objectives, each scaled to the front's range"
    )
    return PickRule(KNEE, why, lambda candidates: knee_score(candidates.points_NM))


def _best_target(name: str, target: Target) -> PickRule:
    metric = METRICS[target.metric]
    why = f"the {best_word(metric.higher)} {metric.label} {words.on_target(target.key)}"
    return PickRule(name, why, lambda candidates: candidates.gains[target.key])


def _best_cost(name: str, cost: Objective) -> PickRule:
    why = f"the {best_word(cost.higher)} {cost.label}"
    return PickRule(name, why, lambda candidates: candidates.gains[cost.key])


def best_word(higher: bool) -> str:
    """What the best figure is, in a word."""
    return "highest" if higher else "lowest"


def _weights(name: str, argument: str, tasks: Sequence[Task]) -> PickRule:
    try:
        weights = [float(text) for text in argument.split(",")]
    except ValueError:
        weights = []
    if len(weights) != len(tasks) or not all(0 <= w < math.inf for w in weights):
        listed = ", ".join(task.name for task in tasks)
        raise UserError(f"{name!r} needs a weight of at least 0 for each of {listed}")
    terms = [f"{w:g} \u00d7 {t.name}" for w, t in zip(weights, tasks, strict=True)]
    why = f"the {_of(tasks)} {' + '.join(terms)}"

    def score(candidates: Candidates) -> Array:
        return _sum(candidates, tasks, weights)

    return PickRule(name, why, score)


def _floor(name: str, task: Task, tasks: Sequence[Task]) -> PickRule:
    others = [other for other in tasks if other != task]
    margin = METRICS[task.metric].margin

    def score(candidates: Candidates) -> Array:
        gain_N = candidates.gains[task.name]
        enough_N = gain_N >= gain_N.max() - margin
        mean_N = _sum(candidates, others, [1 / len(others)] * len(others))
        return np.where(enough_N, mean_N, -np.inf)

    labels = dict.fromkeys(METRICS[other.metric].label for other in others)
    label = next(iter(labels)) if len(labels) == 1 else "figure"
    what = "mean " if len(others) > 1 else ""
    best = f"{_of(others)} {what}{label} on {words.listed(other.name for other in others)}"
    floor = f"with {task.name} within {margin:g} of its best"
    return PickRule(name, f"the {best} {floor}", score)


def _sum(candidates: Candidates, tasks: Sequence[Task], weights: Sequence[float]) -> Array:
    """Metrics that differ are added in units of the difference that matters."""
    margins = [METRICS[task.metric].margin for task in tasks]
    return np.asarray(
        sum(
            weight * candidates.gains[task.name] / (margin / margins[0])
            for weight, task, margin in zip(weights, tasks, margins, strict=True)
        )
    )


def _of(tasks: Sequence[Task]) -> str:
    directions = {METRICS[task.metric].higher for task in tasks}
    return best_word(directions.pop()) if len(directions) == 1 else "best"
