"""What processes of workers do in tests: a module of its own, as loading Dask takes long."""

import time


def nap(*_: object) -> tuple[float, float]:
    """Do nothing for a second; when that began and ended, by this machine's clock."""
    began = time.monotonic()
    time.sleep(1)
    return began, time.monotonic()
