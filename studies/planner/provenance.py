"""Where and with what a training ran, as the report states it."""

import platform
from importlib.metadata import version

from studies.machine import machine
from studies.store.runs import Provenance

_LIBRARIES = ("fsmd", "torch", "lightning", "optuna", "numpy", "pandas", "torchmetrics")


def provenance(device: str) -> Provenance:
    """Library versions and a line on this machine, with the GPU if that is the device."""
    libraries = {name: version(name) for name in _LIBRARIES}
    where = machine()
    if device != "cpu":
        import torch  # imported late: planners on the processor need none

        where += f", {torch.cuda.get_device_name(device)}"
    return Provenance({"python": platform.python_version(), **libraries}, where)
