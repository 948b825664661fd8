"""What a training frees serves its next step, and goes back to the system at its end."""

import ctypes
import resource

import pytest
import torch

from fsmd.memory import kept_memory

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), "mallopt"), reason="needs glibc's allocator"
)
PAGES = 2**12
BLOCK = PAGES * 4096


def faults_of(times: int) -> int:
    """Pages that the system gave for so many blocks, one after the other."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(BLOCK, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def test_a_block_that_was_freed_serves_the_next() -> None:
    with kept_memory():
        faults_of(1)
        assert faults_of(5) < PAGES


def test_what_is_free_goes_back_to_the_system_at_the_end() -> None:
    with kept_memory():
        blocks = [torch.ones(BLOCK, dtype=torch.uint8) for _ in range(8)]
        held = resident()
        del blocks
        assert resident() > held - BLOCK
    assert resident() < held - 4 * BLOCK


def test_it_stands_also_where_there_is_no_such_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with kept_memory():
        assert torch.ones(1).item() == 1
