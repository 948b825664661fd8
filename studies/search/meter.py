"""What a configuration costs, asked before it is trained: for limits and for objectives."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from fsmd.config import FSMDConfig, digest
from fsmd.data.schema import DataRef
from fsmd.errors import UserError
from fsmd.training import code_version
from studies.definition import Search
from studies.failure import failure_of
from studies.objectives import cost
from studies.planner.planner import ATTEMPTS
from studies.store.runs import known_cost, record_cost
from studies.workers.local import LocalWorkers
from studies.workers.protocol import Workers


def limits_of(search: Search) -> Mapping[str, float]:
    """Cost -> the most that a configuration may have of it."""
    limits = {"params": search.max_params, "latency": search.max_latency}
    return {key: limit for key, limit in limits.items() if limit is not None}


@dataclass
class Meter:
    """Measures what a configuration costs, in a process of its own, where it is asked for.

    Each is measured once and stored, so that a search that goes on judges it as before.
    """

    limits: Mapping[str, float]
    objectives: Sequence[str]
    data: DataRef
    engine: sa.Engine
    machine: str
    notify: Callable[[str], object]
    """Is given, in a line, what cannot be measured."""
    start_workers: Callable[[int], Workers] = LocalWorkers
    _failed: set[str] = field(default_factory=set, init=False)
    _workers: Workers | None = field(default=None, init=False)

    def allowed(self, config: FSMDConfig) -> bool:
        """Whether the configuration can be run and keeps the limits; asked before training."""
        keys = dict.fromkeys((*self.limits, *self.objectives))
        values = ((key, self._measured(key, config)) for key in keys)
        return all(v is not None and v <= self.limits.get(key, math.inf) for key, v in values)

    def costs(self, config: FSMDConfig) -> Mapping[str, float]:
        """The objectives' values, of a configuration that is allowed."""
        measured = ((key, self._measured(key, config)) for key in self.objectives)
        return {key: value for key, value in measured if value is not None}

    def close(self) -> None:
        """End the process."""
        if self._workers:
            self._workers.close()

    def _measured(self, key: str, config: FSMDConfig) -> float | None:
        """None if the model cannot be built or run."""
        known_by = {"cost": key, "config": config.to_json(), "data": self.data.content_hash}
        cost_id = digest({**known_by, "code": code_version(), "machine": self.machine})
        value = known_cost(self.engine, cost_id)
        if value is not None or cost_id in self._failed:
            return value
        try:
            value = self._measure(key, config)
        except UserError:
            raise
        except Exception as error:  # one model out of memory must not end the search
            line = failure_of(error).error
            self._failed.add(cost_id)
            if len(self._failed) == ATTEMPTS:
                raise UserError(
                    f"what {ATTEMPTS} models cost could not be measured, the last time for: "
                    f"{line}; what was trained is kept"
                ) from error
            self.notify(f"a model was left out, as it cannot be measured: {line}")
            return None
        record_cost(self.engine, cost_id, key, value)
        return value

    def _measure(self, key: str, config: FSMDConfig, tries: int = ATTEMPTS) -> float:
        of_model = cost(key).of_model
        assert of_model is not None, f"{key} is not known before training"
        if self._workers is None:
            self._workers = self.start_workers(1)
        try:
            return self._workers.submit(of_model, config, self.data.path).result()
        except Exception as error:
            if tries == 1 or not self._workers.lost(error):
                raise
        return self._measure(key, config, tries - 1)  # in another process
