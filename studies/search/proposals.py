"""Asks an Optuna sampler what to try next, given all that is known; a function without memory.

The sampler sees a study that lives for one question: trainings as complete with their values so
far, finished or not, and those without a whole epoch as running. Optuna would let a
multi-objective trial that ends as PRUNED carry no values, and a stored one change none; so the
stored study is only a record. A search that is resumed asks the same questions and gets the same
answers.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import signature
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState, create_trial

from fsmd.config import digest
from fsmd.errors import UserError
from search_spaces import Value
from search_spaces.space import Params, Space

SAMPLERS = ("gp", "tpe", "nsga2", "nsga3", "random", "grid")
_POPULATIONS: Mapping[str, Any] = {
    "nsga2": optuna.samplers.NSGAIISampler,
    "nsga3": optuna.samplers.NSGAIIISampler,
}
"""Samplers that breed one generation from another."""
_ASKED_AT_MOST, _DRAWN_AT_MOST = 8, 50
"""How often a sampler is asked that repeats itself, and then chance."""
_LARGEST_GRID = 100_000
_WEIGHED_AT_MOST = 2048
"""Combinations that a Gaussian process weighs one by one; of more, Optuna draws as many."""
_SPREAD = 8
"""Configurations with values from which on a Gaussian process proposes; before, of a small space,
what lies furthest from all that was tried, and else chance."""


@dataclass(frozen=True)
class Tried:
    """A configuration that was proposed before."""

    params: Params
    values: tuple[float, ...] | None
    """The objectives, the higher the better; None while nothing is known."""
    failed: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)
    """What the sampler remembers with it, such as its generation."""


class Proposal(NamedTuple):
    """What to try next, and what the sampler wants remembered with it."""

    params: dict[str, Value]
    notes: Mapping[str, Any]


def propose(
    space: Space, tried: Sequence[Tried], sampler: str, seed: int, objectives: int
) -> Proposal | None:
    """A configuration that was not tried; None if the space has no more (or none is found).

    A sampler that repeats itself is asked again, with the repetition as one more running trial,
    then chance decides.
    """
    # Not even warnings: where a Gaussian process cannot be fitted, its priors propose.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    known = {_key(t.params) for t in tried}
    if sampler == "grid":
        return _next_of_grid(space, known, seed)
    draw = int(digest([seed, len(tried)])[:8], 16)
    untried = _untried(space, known) if sampler == "gp" else []
    if untried and sum(t.values is not None for t in tried) < _SPREAD:
        return Proposal(_furthest(space, untried, tried, draw), {})
    for name, attempts in ((sampler, _ASKED_AT_MOST), ("random", _DRAWN_AT_MOST)):
        study = optuna.create_study(
            directions=["maximize"] * objectives, sampler=_sampler(name, draw, space, untried)
        )
        if name != "random":
            study.add_trials([_trial(space, t, name) for t in tried if not t.failed])
        for _ in range(attempts):
            params = space.suggest(study.ask())
            if _key(params) not in known:
                notes = study.get_trials(deepcopy=False)[-1].system_attrs
                return Proposal(params, dict(notes))
    try:
        return _next_of_grid(space, known, seed)
    except UserError:  # it has no end
        return None


def _trial(space: Space, tried: Tried, sampler: str) -> optuna.trial.FrozenTrial:
    """As the sampler sees it.

    Of a population's, what it did not propose itself (the paper's models) belongs to the first
    generation. A Gaussian process knows only axes that every trial has, so it sees all of them.
    """
    params = space.filled(tried.params) if sampler == "gp" else dict(tried.params)
    population = _POPULATIONS.get(sampler)
    first = {f"{population.__name__}:generation": 0} if population else {}
    return create_trial(
        state=TrialState.RUNNING if tried.values is None else TrialState.COMPLETE,
        values=tried.values,
        params=params,
        distributions={c.name: c.domain for c in space.choices if c.name in params},
        system_attrs={**first, **tried.notes},
    )


def _sampler(name: str, seed: int, space: Space, untried: Sequence[Params]) -> BaseSampler:
    if name == "tpe":
        return optuna.samplers.TPESampler(seed=seed)
    if name in _POPULATIONS:
        evolving: BaseSampler = _POPULATIONS[name](seed=seed, population_size=20)
        return evolving
    if name == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    assert name == "gp"
    import torch

    torch.set_num_threads(1)  # else it takes the cores of the workers, and longer
    return _GaussianProcess(seed, [space.filled(params) for params in untried])


class _GaussianProcess(optuna.samplers.GPSampler):
    """Optuna's; of a small space it takes the best of all that was not tried.

    Optuna looks for the best from one combination to the next, which takes longer, and often ends
    at one that was tried. The noise of a seed is left to be estimated: a process that goes
    through every value takes it for a shape.
    """

    def __init__(self, seed: int, untried: Sequence[Params]) -> None:
        check_gaussian_process()
        super().__init__(seed=seed, n_startup_trials=_SPREAD)
        self._untried = untried

    def _optimize_acqf(self, acqf: Any, best_params: Any) -> Any:
        if not self._untried:
            return super()._optimize_acqf(acqf, best_params)
        points_ND = acqf.search_space.get_normalized_params(self._untried, self._untried)
        return points_ND[np.argmax(acqf.eval_acqf_no_grad(points_ND))]


Method = tuple[type, str, tuple[str, ...]]
"""A class, its method, and the names of what the method takes."""


def _of_optuna() -> tuple[Method, ...]:
    """What `_GaussianProcess` overrides and calls, which is Optuna's own and may change."""
    from optuna._gp.acqf import BaseAcquisitionFunc  # loads torch
    from optuna._gp.search_space import SearchSpace

    return (
        (optuna.samplers.GPSampler, "_optimize_acqf", ("acqf", "best_params")),
        (SearchSpace, "get_normalized_params", ("trials", "trial_params")),
        (BaseAcquisitionFunc, "eval_acqf_no_grad", ("x",)),
    )


def check_gaussian_process(methods: Callable[[], Iterable[Method]] = _of_optuna) -> None:
    """Raise UserError where Optuna's own methods are not those that the process above knows."""
    try:
        needed = tuple(methods())
    except ImportError as error:
        raise UserError(
            f"--sampler gp finds Optuna {optuna.__version__} otherwise ({error}); install the "
            "tested version (constraints.txt), or choose another --sampler, such as tpe"
        ) from error
    for kind, name, takes in needed:
        method = getattr(kind, name, None)
        if method is None or tuple(signature(method).parameters)[1:] != takes:
            raise UserError(
                f"--sampler gp needs {kind.__name__}.{name}({', '.join(takes)}), which Optuna "
                f"{optuna.__version__} has not; install the tested version (constraints.txt), or "
                "choose another --sampler, such as tpe"
            )


def _untried(space: Space, known: Collection[object]) -> list[dict[str, Value]]:
    """All of a small space that is left; empty, where the space is large or without end."""
    try:
        combinations = list(islice(space.combinations(), _WEIGHED_AT_MOST + 1))
    except UserError:  # an axis is continuous
        return []
    small = len(combinations) <= _WEIGHED_AT_MOST
    return [params for params in combinations if small and _key(params) not in known]


def _furthest(
    space: Space, untried: Sequence[dict[str, Value]], tried: Sequence[Tried], seed: int
) -> dict[str, Value]:
    """What differs most from the tried one that is nearest to it; of equals, chance picks."""
    theirs = [space.filled(t.params) for t in tried if not t.failed]

    def alone(params: Params) -> float:
        """The sum over axes: of numbers the distance as a share of the axis, of others 0 or 1."""
        own = space.filled(params)
        apart = (
            sum(
                _apart(choice.domain, own[choice.name], other[choice.name])
                for choice in space.choices
            )
            for other in theirs
        )
        return round(min(apart, default=0.0), 9)

    distances = [alone(params) for params in untried]
    furthest = np.flatnonzero(np.equal(distances, max(distances)))
    return untried[int(np.random.default_rng(seed).choice(furthest))]


def _apart(domain: BaseDistribution, a: Value, b: Value) -> float:
    if isinstance(domain, IntDistribution):
        return abs(float(a) - float(b)) / max(1, domain.high - domain.low)
    return float(a != b)


def grid(space: Space) -> list[dict[str, Value]]:
    """All combinations; UserError where they are too many or an axis is continuous."""
    combinations = list(islice(space.combinations(), _LARGEST_GRID + 1))
    if len(combinations) > _LARGEST_GRID:
        raise UserError(
            f"a grid of space {space.name!r} has more than {_LARGEST_GRID:,} combinations; "
            "use another sampler, or --space paper"
        )
    return combinations


def _next_of_grid(space: Space, known: Collection[object], seed: int) -> Proposal | None:
    """The first combination that was not tried, in an order drawn from the seed."""
    combinations = grid(space)
    order = np.random.default_rng(seed).permutation(len(combinations))
    ahead = (combinations[i] for i in order if _key(combinations[i]) not in known)
    return next((Proposal(params, {}) for params in ahead), None)


def _key(params: Params) -> tuple[tuple[str, str], ...]:
    """Equal for equal parameters; 1, 1.0 and True are not."""
    return tuple(sorted((name, repr(value)) for name, value in params.items()))
