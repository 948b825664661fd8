"""What this machine is."""

import os
import platform
import shutil
import subprocess
from pathlib import Path

CPU_FACTS = Path("/proc/cpuinfo")
FAST_BFLOAT16 = frozenset({"avx512_bf16", "amx_bf16"})
"""Instructions of a processor for its products; the first was measured. ARM's are not here, as
they were not."""
FAST_CAPABILITY = (8, 0)
"""The compute capability from which a GPU of NVIDIA has them."""


def machine() -> str:
    """A line on this machine, without what GPUs it has."""
    return f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}"


def processor() -> str:
    """The name of its kind of processor."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass  # not Linux
    return platform.processor() or "unknown processor"


def multiplies_bfloat16(device: str) -> bool:
    """Whether a device of this machine multiplies bfloat16 fast, by what it is, not by a timing.

    So the same machine always gives the same answer. False where nothing is known.
    """
    if device != "cpu":
        import torch

        try:
            return torch.cuda.get_device_capability(device) >= FAST_CAPABILITY
        except (RuntimeError, AssertionError):  # by how it was built, or for want of a driver
            return False
    try:
        return not FAST_BFLOAT16.isdisjoint(CPU_FACTS.read_text("utf-8").split())
    except OSError:
        return False  # not Linux


def gpus() -> tuple[str, bool]:
    """What GPUs there are, in words, and whether all multiply bfloat16 fast; loads no torch.

    Empty and False where nothing is known.
    """
    program = shutil.which("nvidia-smi")
    if program is None:
        return "", False
    asked = [program, "--query-gpu=name,compute_cap", "--format=csv,noheader"]
    try:
        told = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True)
        pairs = [line.rsplit(",", 1) for line in told.stdout.splitlines()]
        capabilities = [tuple(map(int, each.strip().split("."))) for _, each in pairs]
    except (OSError, ValueError, subprocess.SubprocessError):  # of an old driver, too
        return "", False
    names = " and ".join(dict.fromkeys(name.strip() for name, _ in pairs))
    return names, bool(names) and min(capabilities) >= FAST_CAPABILITY
