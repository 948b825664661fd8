"""A Dask worker whose trainings are simulated: `dask worker --preload tests.simulated_worker`.

All else of it is real; only the process in which a worker trains is a thread that waits.
"""

import os
from typing import Any

from studies.workers import remote
from tests.bench_scale import SimulatedWorkers

SECONDS = "FSMD_SIMULATED_SECONDS"
"""How long a training takes, in the environment."""


def dask_setup(_: Any) -> None:
    """What Dask calls of what it preloads."""
    of_worker: Any = remote
    of_worker.LocalWorkers = lambda count: SimulatedWorkers(float(os.environ[SECONDS]))
