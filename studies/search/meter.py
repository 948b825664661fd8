"""What a configuration costs, asked before it is trained: for limits and for objectives."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fsmd.config import FSMDConfig
from fsmd.data.schema import DataRef
from studies.costs import Costs
from studies.definition import Search


def limits_of(search: Search) -> Mapping[str, float]:
    """Cost -> the most that a configuration may have of it."""
    limits = {"params": search.max_params, "latency": search.max_latency}
    return {key: limit for key, limit in limits.items() if limit is not None}


@dataclass
class Meter:
    """Says which configurations keep a search's limits, and what they cost."""

    limits: Mapping[str, float]
    objectives: Sequence[str]
    data: DataRef
    measured: Costs

    def allowed(self, config: FSMDConfig) -> bool:
        """Whether the configuration can be run and keeps the limits; asked before training."""
        keys = dict.fromkeys((*self.limits, *self.objectives))
        values = ((key, self.measured.of(key, config, self.data)) for key in keys)
        return all(v is not None and v <= self.limits.get(key, math.inf) for key, v in values)

    def costs(self, config: FSMDConfig) -> Mapping[str, float]:
        """The objectives' values, of a configuration that is allowed."""
        measured = ((key, self.measured.of(key, config, self.data)) for key in self.objectives)
        return {key: value for key, value in measured if value is not None}
