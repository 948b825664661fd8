"""What a configuration costs, asked before it is trained: for limits and a third objective."""

from collections.abc import Callable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field

import sqlalchemy as sa

from fsmd.config import FSMDConfig, digest
from fsmd.errors import UserError
from fsmd.task import DataRef, code_version
from studies import storage
from studies.execute import ATTEMPTS, describe
from studies.executors import LocalWorkers
from studies.worker import measure

COSTS = ("params", "latency")


@dataclass(frozen=True)
class Limits:
    """What may be asked of a configuration's cost."""

    objective: str | None = None
    """One of COSTS to be minimised too, or None."""
    parameters: int | None = None
    """At most."""
    milliseconds: float | None = None
    """To score 1,000 rows, at most."""

    def keep(self, parameters: int, milliseconds: float) -> bool:
        """Whether a model is within both."""
        return (self.parameters is None or parameters <= self.parameters) and (
            self.milliseconds is None or milliseconds <= self.milliseconds
        )


@dataclass
class Meter:
    """Measures what a configuration costs, in a process of its own, where it is asked for.

    Each is measured once and stored, so that a search that goes on judges it as before.
    """

    limits: Limits
    data: DataRef
    engine: sa.Engine
    machine: str
    tell: Callable[[str], object]
    """Told, in a line, what cannot be measured."""
    _failed: set[str] = field(default_factory=set, init=False)

    def __post_init__(self) -> None:
        """Start no process for nothing."""
        self._worker = LocalWorkers(1) if self.limits != Limits() else None

    def allowed(self, config: FSMDConfig) -> bool:
        """Whether the configuration can be run and keeps the limits; asked before training."""
        if not self._worker:
            return True
        found = self._measured(config)
        return found is not None and self.limits.keep(*found)

    def objective(self, config: FSMDConfig) -> float | None:
        """The third objective, the lower the better; None where there is none."""
        found = self._measured(config) if self.limits.objective else None
        return found and float(found[COSTS.index(str(self.limits.objective))])

    def close(self) -> None:
        """End the process."""
        if self._worker:
            self._worker.shutdown(cancel_futures=True)

    def _measured(self, config: FSMDConfig) -> tuple[int, float] | None:
        """Parameters and milliseconds; None if the model cannot be built or run."""
        cost_id = digest({
            "config": config.to_json(), "data": self.data.content_hash,
            "code": code_version(), "machine": self.machine,
        })  # fmt: skip
        found = storage.known_cost(self.engine, cost_id)
        if found or cost_id in self._failed:
            return found
        try:
            found = self._try(config)
        except UserError:
            raise
        except Exception as error:  # one model out of memory must not end the search
            if len(self._failed) + 1 == ATTEMPTS:
                raise UserError(
                    f"what {ATTEMPTS} models cost could not be measured, the last time for: "
                    f"{describe(error)}; what was trained is kept"
                ) from error
            self._failed.add(cost_id)
            self.tell(f"a model was left out, as it cannot be measured: {describe(error)}")
            return None
        storage.record_cost(self.engine, cost_id, *found)
        return found

    def _try(self, config: FSMDConfig) -> tuple[int, float]:
        assert self._worker
        for _ in range(ATTEMPTS - 1):
            try:
                return self._worker.submit(measure, config, self.data.path).result()
            except BrokenProcessPool:
                continue  # killed; the next submit starts another process
        return self._worker.submit(measure, config, self.data.path).result()
