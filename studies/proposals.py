"""Asks an Optuna sampler what to try next, given all that is known; a function without memory.

The sampler sees a study that lives for one question: finished and stopped trainings as complete
with their values so far, running ones as running. Optuna would let a multi-objective trial that
is told PRUNED carry no values, and a stored one change none; so the stored study is only a record.
A search that is resumed asks the same questions and gets the same answers.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from fsmd.config import digest
from fsmd.errors import UserError
from search_spaces import Level
from search_spaces.spaces import Params, Space

SAMPLERS = ("tpe", "nsga2", "nsga3", "gp", "random", "grid")
_ATTEMPTS, _DRAWS = 8, 50
_LARGEST_GRID = 100_000


@dataclass(frozen=True)
class Tried:
    """A configuration that was proposed before."""

    params: Params
    values: tuple[float, ...] | None
    """The objectives, the higher the better; None while nothing is known."""
    failed: bool = False
    constraints: Mapping[str, float] = field(default_factory=dict)
    """Feasible if none is above 0."""
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the sampler remembers with it, such as its generation."""


@dataclass(frozen=True)
class Proposal:
    """What to try next, and what the sampler wants remembered with it."""

    params: dict[str, Level]
    notes: Mapping[str, Any]


def propose(
    space: Space, tried: Sequence[Tried], sampler: str, seed: int, objectives: int = 2
) -> Proposal | None:
    """A configuration that was not tried; None if the space has no more (or none is found).

    A sampler that repeats itself is asked again, with the repetition as one more running trial,
    then chance decides.
    """
    known = {_key(t.params) for t in tried}
    if sampler == "grid":
        return _next_cell(space, known, seed)
    draw = int(digest([seed, len(tried)])[:8], 16)
    for name, attempts in ((sampler, _ATTEMPTS), ("random", _DRAWS)):
        study = optuna.create_study(
            directions=["maximize"] * objectives, sampler=_sampler(name, draw)
        )
        study.add_trials([_trial(space, t) for t in tried] if name != "random" else [])
        for _ in range(attempts):
            params = space.suggest(study.ask())
            if _key(params) not in known:
                notes = study.get_trials(deepcopy=False)[-1].system_attrs
                return Proposal(params, dict(notes))
    return _next_cell(space, known, seed) if _finite(space) else None


def _trial(space: Space, tried: Tried) -> optuna.trial.FrozenTrial:
    state = TrialState.RUNNING if tried.values is None else TrialState.COMPLETE
    domains: dict[str, BaseDistribution] = {c.name: c.domain for c in space.choices}
    return create_trial(
        state=TrialState.FAIL if tried.failed else state,
        values=None if tried.failed else tried.values,
        params=dict(tried.params),
        distributions={name: domains[name] for name in tried.params},
        system_attrs=dict(tried.notes),
        constraints=dict(tried.constraints) or None,
    )


def _sampler(name: str, seed: int) -> BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    if name == "nsga3":
        return optuna.samplers.NSGAIIISampler(seed=seed, population_size=20)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=seed)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    raise UserError(f"no sampler {name!r}; there are {', '.join(SAMPLERS)}")


def _next_cell(space: Space, known: set[str], seed: int) -> Proposal | None:
    """The first cell that was not tried, in an order drawn from the seed."""
    cells = []
    for n, params in zip(count(1), space.cells(), strict=False):
        if n > _LARGEST_GRID:
            raise UserError(
                f"a grid of space {space.name!r} has more than {_LARGEST_GRID:,} cells; "
                "use another sampler, or --space paper"
            )
        cells.append(params)
    for i in np.random.default_rng(seed).permutation(len(cells)):
        if _key(cells[i]) not in known:
            return Proposal(cells[i], {})
    return None


def _finite(space: Space) -> bool:
    try:
        for n, _ in enumerate(space.cells()):
            if n >= _LARGEST_GRID:
                return False
    except UserError:
        return False
    return True


def _key(params: Params) -> str:
    return digest(dict(params))
