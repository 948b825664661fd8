"""What a training frees serves its next step, and goes back to the system at its end."""

import ctypes
import json
import os
import subprocess
import sys

import pytest

from fsmd.memory import kept_memory

PAGE = 4096
BLOCK = 4096 * PAGE
USES = 5
USED = f"""
import json, resource
import numpy as np
from fsmd.memory import kept_memory

def used():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range({USES}):
        blocks = [np.ones({BLOCK}, np.uint8) for _ in range(4)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize()

used()
before = used()
with kept_memory():
    used()
    within, held = used(), resident()
print(json.dumps([before, within, held, resident()]))
"""


@pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs the allocator of glibc"
)
def test_what_is_freed_serves_what_comes_next_and_goes_back_at_the_end() -> None:
    environment = {**os.environ, "NUMPY_MADVISE_HUGEPAGE": "0"}
    told = subprocess.check_output([sys.executable, "-c", USED], env=environment)
    before, within, held, after = json.loads(told)
    pages = 4 * USES * BLOCK // PAGE
    assert within < pages / 100 < pages / 2 < before
    assert after < held - 3 * BLOCK


def test_it_stands_also_where_there_is_no_such_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with kept_memory():
        pass
