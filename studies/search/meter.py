"""What a configuration costs, asked before it is trained: for limits and for objectives."""

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
    """Cost -> at most."""
    objectives: Sequence[str]
    """Costs that are sought to be low."""
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
        for key in dict.fromkeys((*self.limits, *self.objectives)):
            value = self._measured(key, config)
            if value is None or value > self.limits.get(key, float("inf")):
                return False
        return True

    def costs(self, config: FSMDConfig) -> Mapping[str, float]:
        """The objectives' values, of a configuration that is allowed."""
        measured = {key: self._measured(key, config) for key in self.objectives}
        return {key: value for key, value in measured.items() if value is not None}

    def close(self) -> None:
        """End the process."""
        if self._workers:
            self._workers.close()

    def _measured(self, key: str, config: FSMDConfig) -> float | None:
        """None if the model cannot be built or run."""
        identity = {
            "cost": key,
            "config": config.to_json(),
            "data": self.data.content_hash,
            "code": code_version(),
            "machine": self.machine,
        }
        cost_id = digest(identity)
        value = known_cost(self.engine, cost_id)
        if value is not None or cost_id in self._failed:
            return value
        try:
            value = self._try(key, config)
        except UserError:
            raise
        except Exception as error:  # one model out of memory must not end the search
            line = failure_of(error).error
            if len(self._failed) + 1 == ATTEMPTS:
                raise UserError(
                    f"what {ATTEMPTS} models cost could not be measured, the last time for: "
                    f"{line}; what was trained is kept"
                ) from error
            self._failed.add(cost_id)
            self.notify(f"a model was left out, as it cannot be measured: {line}")
            return None
        record_cost(self.engine, cost_id, key, value)
        return value

    def _try(self, key: str, config: FSMDConfig) -> float:
        of_model = cost(key).of_model
        if of_model is None:
            raise UserError(f"{key} is not known before training; no limit can be set on it")
        if self._workers is None:
            self._workers = self.start_workers(1)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._workers.submit(of_model, config, self.data.path).result()
            except Exception as error:
                # A killed process is asked again; the next submit starts another one.
                if attempt == ATTEMPTS or not self._workers.lost(error):
                    raise
        raise AssertionError("the last attempt returns or raises")
