"""Measures what an automatic search may train, and makes its plan of that."""

import time
from collections.abc import Callable
from dataclasses import replace

from fsmd.baselines import BASELINES, Config
from fsmd.data.schema import DataRef
from fsmd.errors import UserError
from search_spaces.space import Params, Space
from search_spaces.spaces import space
from studies.auto.plan import MEASURING, MeasuredModel, Sizes, fitting, in_words
from studies.definition import Search
from studies.machine import machine
from studies.search.proposals import Tried, propose
from studies.store.records import Plan
from studies.timing import measure_all
from studies.workers.protocol import Workers

DRAWN = 3
"""Configurations that chance draws, to be measured beside those that are known."""


def planned(
    search: Search,
    shared: Plan,
    data: DataRef,
    *,
    budget: float,
    began: float,
    slots: int,
    workers: Workers,
    notify: Callable[[str], object],
) -> tuple[Search, Sizes]:
    """The search with its plan, and the sizes by which its trainings fit into the budget.

    shared: what all trainings share. budget: seconds for everything, since `began` (of
    `time.time()`). slots: how many workers there are.

    Raises UserError where nothing can be trained, or the budget is too small for anything.
    """
    assert search.auto is not None, "only an automatic search has a plan"
    models = candidates(space(search.space, shared.tasks, shared.settings), shared.seed)
    configs: dict[str, Config] = {name: BASELINES[name] for name in search.baselines}
    simple = set(configs)
    configs |= {name if name not in simple else f"{name} (model)": c for name, c in models.items()}
    trainings = {n: shared.training(config, data, shared.seed) for n, config in configs.items()}
    most = max(1.0, MEASURING * budget * slots / len(trainings))
    notify(f"measuring an epoch of {len(trainings)} models, {in_words(most)} each at most")
    times = measure_all(workers, trainings, most, notify)
    if not set(times) - simple:
        raise UserError(f"no model of the space {search.space} could be trained; see above")
    measured = tuple(MeasuredModel(name, name in simple, time) for name, time in times.items())
    auto = replace(
        search.auto,
        budget=budget,
        workers=slots,
        machine=machine(),
        measured=measured,
        spent=time.time() - began,
    )
    sizes, auto = fitting(auto, shared.settings)
    fixed = replace(search, trials=sizes.trials, confirm=sizes.confirm, auto=auto)
    # Of these, what comes next depends neither on the clock nor on which training ends first.
    fixed = replace(fixed, sampler="random", pruner="none", timeout=None)
    return replace(fixed, baselines=sizes.baselines), sizes


def candidates(space: Space, seed: int) -> dict[str, Config]:
    """What is known in a space, and what chance draws there."""
    found: dict[str, Params] = dict(space.known)
    for n in range(1, DRAWN + 1):
        tried = [Tried(params, None) for params in found.values()]
        proposal = propose(space, tried, "random", seed, objectives=1)
        if proposal is None:
            break
        found[f"drawn {n}"] = proposal.params
    return {name: space.config(params) for name, params in found.items()}
