"""Which axes of a search matter: exact where the design is a factorial, else an estimate.

Suffixes: N trainings, M objectives (all the higher the better), K tasks.
"""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import NamedTuple

import moocore
import numpy as np

from reports.estimates import Array
from reports.search_results import SearchResults
from search_spaces.spaces import Params, Space
from studies.importance import ped_anova, share_of_best, varied

FEWEST = 20
"""Trainings below which nothing is estimated."""
SHUFFLES = 60


class Share(NamedTuple):
    """How much of a target an axis decides, and how much it would seem to by chance."""

    share: float
    by_chance: float
    """Analysis of variance: its expectation; PED-ANOVA: the 95 % quantile of shuffled targets."""


class Importance(NamedTuple):
    """Target (each task, then the front) -> axis -> share.

    Empty below `FEWEST` trainings, or where too few ended to tell which are the best.
    """

    exact: bool
    trainings: int
    targets: tuple[str, ...]
    axes: tuple[str, ...]
    shares: Mapping[tuple[str, str], Share]
    """By (target, axis)."""


FRONT = "the front"


def importance(found: SearchResults) -> Importance:
    """Over the trainings that ended or were stopped.

    A stopped one has no comparable value, but others were ahead of it where it was stopped: it
    counts as not among the best, which is all that the estimate asks.
    """
    tried = [c for c in found.configurations if c.state in ("ended", "stopped")]
    ended = [c for c in tried if c.state == "ended"]
    targets = (*found.tasks, FRONT)
    if len(tried) < FEWEST or len(ended) < share_of_best(len(tried)) * len(tried):
        return Importance(False, len(tried), targets, (), {})
    params = [c.params for c in tried]
    axes = tuple(varied(found.space, params))
    below_M = np.min([c.point for c in ended], axis=0) - 1
    values_NM = np.array([c.point if c.state == "ended" else below_M for c in tried])
    exact = len(ended) == len(tried) and is_factorial(params)
    made = _exact(params, values_NM, targets) if exact else _estimated(
        found.space, params, values_NM, targets)  # fmt: skip
    return Importance(exact, len(tried), targets, axes, made)


def is_factorial(params: Sequence[Params]) -> bool:
    """Whether every combination of the levels that occur is there, exactly once."""
    axes = tuple(params[0])
    if any(tuple(p) != axes for p in params):
        return False
    cells = [tuple(p.values()) for p in params]
    levels = [dict.fromkeys(cell[i] for cell in cells) for i in range(len(axes))]
    return len(set(cells)) == len(cells) == math.prod(map(len, levels)) and (
        set(cells) == set(product(*levels))
    )


def main_effects(params: Sequence[Params], values_N: Array) -> dict[str, float]:
    """Axis -> its share of the total sum of squares, of a complete factorial.

    Where nothing varies every share is 0.
    """
    centred_N = values_N - values_N.mean()
    total = float(centred_N @ centred_N)
    shares = {}
    for axis in params[0]:
        level_N = np.array([str(p[axis]) for p in params])
        groups = [centred_N[level_N == level] for level in np.unique(level_N)]
        squares = sum(len(group) * float(group.mean()) ** 2 for group in groups)
        shares[axis] = squares / total if total > 0 else 0.0
    return shares


def _exact(
    params: Sequence[Params], values_NM: Array, targets: tuple[str, ...]
) -> dict[tuple[str, str], Share]:
    """The front's values are the points' non-domination ranks."""
    found = {}
    rank_N = np.asarray(moocore.pareto_rank(values_NM, maximise=True), float)
    for k, target in enumerate(targets):
        shares = main_effects(params, rank_N if target == FRONT else values_NM[:, k])
        for axis, share in shares.items():
            freedom = len({p[axis] for p in params}) - 1
            if freedom:
                found[target, axis] = Share(share, freedom / (len(params) - 1))
    return found


def _estimated(
    space: Space, params: Sequence[Params], values_NM: Array, targets: tuple[str, ...]
) -> dict[tuple[str, str], Share]:
    """PED-ANOVA, beside what it finds where the values are dealt out anew."""
    by_chance = _by_chance(space, params)
    return {
        (target, axis): Share(share, by_chance[axis])
        for k, target in enumerate(targets)
        for axis, share in ped_anova(
            space, params, values_NM, None if target == FRONT else k
        ).items()
    }


def _by_chance(space: Space, params: Sequence[Params]) -> dict[str, float]:
    """Axis -> what its share stays below in 19 of 20 cases where chance says which are best.

    Dealt out at random, every target takes any trainings for the best, so one serves for all.
    """
    rng = np.random.default_rng(0)
    dealt = [
        ped_anova(space, params, rng.permutation(len(params))[:, None].astype(float), 0)
        for _ in range(SHUFFLES)
    ]
    return {axis: float(np.quantile([each[axis] for each in dealt], 0.95)) for axis in dealt[0]}
