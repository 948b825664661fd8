"""What models cost: measured once each in a worker, and stored. For searches and for reports."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace

import sqlalchemy as sa

from fsmd.baselines import Config
from fsmd.config import digest
from fsmd.data.schema import DataRef
from fsmd.errors import UserError
from fsmd.training import code_version
from studies.failure import failure_of
from studies.machine import machine
from studies.objectives import cost
from studies.planner.planner import ATTEMPTS
from studies.store.costs import LATENCY, CostKey, known_cost, known_costs, record_cost
from studies.workers.local import LocalWorkers
from studies.workers.protocol import Workers

MOST_ARMS = 60
"""Of more arms than this none is measured: no table shows as many."""

Arms = Iterable[tuple[Config, DataRef]]


@dataclass
class Costs:
    """Measures what a model costs where it is not stored yet, so that it is judged as before."""

    engine: sa.Engine
    machine: str
    notify: Callable[[str], object]
    """Is given, in a line, what cannot be measured."""
    workers: Workers = field(default_factory=lambda: LocalWorkers(1))
    """Measure; a process is started when there is something to measure."""
    _failed: set[CostKey] = field(default_factory=set, init=False)
    _closed: bool = field(default=False, init=False)

    def of(self, name: str, config: Config, data: DataRef) -> float | None:
        """None if the model cannot be built or run.

        Raises UserError where it is so of several models.
        """
        key = _key(name, config, data, self.machine)
        value = known_cost(self.engine, key)
        if value is not None or key in self._failed:
            return value
        try:
            value = self._measure(name, config, data)
        except UserError:
            raise
        except Exception as error:  # one model out of memory must not end the search
            if self._closed:  # who still asks has no use for the answer
                raise
            line = failure_of(error).error
            self._failed.add(key)
            if len(self._failed) == ATTEMPTS:
                raise UserError(
                    f"what {ATTEMPTS} models cost could not be measured, the last time for: "
                    f"{line}; what was trained is kept"
                ) from error
            self.notify(f"a model was left out, as it cannot be measured: {line}")
            return None
        record_cost(self.engine, key, value)
        return value

    def close(self) -> None:
        """End the process; nothing is measured any more, whichever thread still asks."""
        self._closed = True
        self.workers.close()

    def _measure(self, name: str, config: Config, data: DataRef, tries: int = ATTEMPTS) -> float:
        of_model = cost(name).of_model
        assert of_model is not None, f"{name} is not known before training"
        try:
            return self.workers.submit(of_model, config, data.path).result()
        except Exception as error:
            if tries == 1 or not self.workers.lost(error):
                raise
        return self._measure(name, config, data, tries - 1)  # in another process


def measure_latency(
    engine: sa.Engine, arms: Arms, workers: Workers, notify: Callable[[str], object]
) -> None:
    """Store how long each distinct model takes to score rows, for the report.

    All on one machine, so that they can be compared: where another one has measured all of them
    there is nothing to do. What fails costs the report a column, and the run nothing.
    """
    here, distinct = machine(), list(dict.fromkeys(arms))
    if len(distinct) > MOST_ARMS:
        return
    keys = [_key(LATENCY, config, data, here) for config, data in distinct]
    codes, hashes = {key.code for key in keys}, {key.config_hash for key in keys}
    known = known_costs(engine, LATENCY, codes, hashes)
    for there in {key.machine for key in known}:
        if all(replace(key, machine=there) in known for key in keys):
            return
    costs = Costs(engine, here, notify, workers)
    try:
        for config, data in distinct:
            costs.of(LATENCY, config, data)
    except Exception as error:
        notify(f"how long the models take to score could not be measured: {error}")


def _key(name: str, config: Config, data: DataRef, machine: str) -> CostKey:
    code = code_version(type(config))
    return CostKey(name, digest(asdict(config)), data.content_hash, code, machine)
