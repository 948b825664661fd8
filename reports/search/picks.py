"""Rules that pick one configuration of several.

Suffixes: N candidates, M objectives, K tasks; all figures turned so that more is better.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from string import ascii_uppercase
from typing import NamedTuple

import numpy as np

from fsmd.errors import UserError, alternatives
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

    They ask for the targets that the search is for, or else for its costs; where these are several
    tasks also for equal weights and for floors.
    """
    sought = [o.key for o in objectives if not o.is_cost] or [o.key for o in objectives]
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
    floors = {task.name: task for task in tasks if len(tasks) > 1}
    best = {target.key: _best_target(target) for target in targets(tasks)}
    best |= {o.key: f"{best_word(o.higher)} {o.label}" for o in objectives if o.is_cost}
    if name == KNEE:
        return _knee(len(objectives))
    if kind == "best" and argument in best:
        return PickRule(name, f"the {best[argument]}", lambda found: found.gains[argument])
    if kind == "weights":
        return _weights(name, argument, tasks)
    if kind == "floor" and argument in floors:
        return _floor(name, floors[argument], tasks)
    known = (
        KNEE,
        *(f"best:{key}" for key in best),
        *(f"floor:{task}" for task in floors),
        f"weights:{','.join(ascii_uppercase[: len(tasks)])}",
    )
    raise UserError(f"no rule {name!r} to pick by{alternatives(name, known)}")


def _knee(objectives: int) -> PickRule:
    why = (
        "farthest above the line through the ends of the front"
        if objectives == 2
        else "the highest sum of the objectives, each scaled to the front's range"
    )
    return PickRule(KNEE, why, lambda candidates: knee_score(candidates.points_NM))


def _best_target(target: Target) -> str:
    metric = METRICS[target.metric]
    return f"{best_word(metric.higher)} {metric.label} {words.on_target(target.key)}"


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
    if not 0 < sum(weights) < math.inf:
        raise UserError(f"the weights of {name!r} must have a finite sum above 0")
    terms = [f"{w:g} \u00d7 {t.name}" for w, t in zip(weights, tasks, strict=True)]
    why = f"the {_of(tasks)} {' + '.join(terms)}"
    return PickRule(name, why, lambda found: _sum(found, tasks, weights))


def _floor(name: str, task: Task, tasks: Sequence[Task]) -> PickRule:
    others = [other for other in tasks if other != task]
    margin = METRICS[task.metric].margin

    def score(candidates: Candidates) -> Array:
        gain_N = candidates.gains[task.name]
        enough_N = gain_N >= gain_N.max() - margin
        mean_N = _sum(candidates, others, [1 / len(others)] * len(others))
        return np.where(enough_N, mean_N, -np.inf)

    label, *more = dict.fromkeys(METRICS[other.metric].label for other in others)
    label, what = "figure" if more else label, "mean " if len(others) > 1 else ""
    best = f"{_of(others)} {what}{label} on {words.listed(other.name for other in others)}"
    floor = f"with {task.name} within {words.number(margin)} of its best"
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
