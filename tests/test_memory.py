"""What a training frees serves its next step and goes back at its end; how much it takes."""

import ctypes
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fsmd.baselines import BASELINES, Config
from fsmd.config import FSMDConfig
from fsmd.data import load
from fsmd.forward import EVALUATION_BATCH
from fsmd.memory import kept_memory
from fsmd.runtime import Runtime
from fsmd.training import Training, TrainingResult
from studies.workers.local import LocalWorkers
from studies.workers.memory import EVALUATED, memory_of
from studies.workers.room import UNLIMITED, Capacity, Need, lack
from studies.workers.worker import train_all

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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc")
@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "config"),
    [
        ("planted:rows=600", FSMDConfig(layers=(8,))),
        ("planted:rows=9000", FSMDConfig(layers=(8,), embedding_size=256)),
        ("planted:rows=9000", FSMDConfig(layers=(256, 128), batch_size=2048)),
        ("planted", FSMDConfig(sharing="none", chain=False, layers=(512,), embedding_size=64)),
        ("planted:rows=9000", BASELINES["trees"]),
    ],
)
def test_a_training_takes_no_more_memory_than_is_estimated_and_not_much_less(
    data: str, config: Config, tmp_path: Path
) -> None:
    training = replace(Training.on(load(data), config), epochs=1)
    with LocalWorkers(1) as workers:
        workers.prepare()
        (result,) = workers.submit(train_all, (training,), (tmp_path / "x.ckpt",), None).result()
        status = workers.submit(Path.read_text, Path("/proc/self/status"), "utf-8").result()
    assert isinstance(result, TrainingResult)
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    assert 1 <= memory_of(training) / (1024 * int(peak)) <= 2


def test_the_rows_of_an_evaluation_are_those_of_the_estimate() -> None:
    assert EVALUATED == EVALUATION_BATCH


def test_a_stack_on_a_gpu_needs_no_main_memory_for_its_steps() -> None:
    config = FSMDConfig(layers=(256, 128), batch_size=2048)
    alone = Training.on(load("planted:rows=9000"), config)
    here = replace(alone, runtime=Runtime("cpu", stack=32))
    there = replace(alone, runtime=Runtime("cuda", stack=32))
    assert memory_of(there) < memory_of(here) / 2


def place(memory: float) -> Capacity:
    return Capacity(gpus=0, memory=memory, threads=2)


@given(st.integers(1, 10**12))
def test_a_worker_with_the_memory_that_is_asked_for_is_enough(need: int) -> None:
    told = lack([place(need - 1)], [Need(memory=need)])
    (asked,) = re.findall(r"--memory-limit ([\d.]+)GB", told)
    assert lack([place(float(asked) * 1e9)], [Need(memory=need)]) == ""
    assert lack([place(UNLIMITED)], [Need(memory=need)]) == ""
