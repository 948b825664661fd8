"""Where and with what a training ran, as the report states it."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

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


def machine() -> str:
    """A line on this machine, without what GPUs it has."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown processor"
