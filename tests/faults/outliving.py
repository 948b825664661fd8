"""python -m tests.faults.outliving WHAT ENDS: a planner that ends while its workers are busy.

It prints the numbers of the processes that must end with it. WHAT: see `SITUATIONS`. ENDS: closed
or killed, by SIGKILL.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from studies.workers.local import LocalWorkers
from studies.workers.worker import load_libraries
from tests.faults.desk import children_of


def compute(size: int = 12_000) -> None:
    """A minute, and more, in one call of torch, which is loaded."""
    import torch

    numbers = torch.ones(size, size)
    torch.mm(numbers, numbers)


def _server() -> int:
    """What forks workers, beside a process of Python's own."""
    while True:
        for child in children_of(os.getpid()):
            with open(f"/proc/{child}/cmdline", encoding="utf-8") as file:
                if "spawn_main" in file.read():
                    return child
        time.sleep(0.01)


def _begun(future: "Future[Any]") -> tuple[int, int]:
    """What forks workers, and the one worker, which has begun."""
    while not (future.running() and children_of(_server())):
        time.sleep(0.01)
    return _server(), children_of(_server())[0]


def stopped(workers: LocalWorkers, *, server: bool) -> tuple[int, int]:
    """The worker sleeps; it, or what forks workers, is stopped."""
    workers.submit(os.getpid).result()
    processes = _begun(workers.submit(time.sleep, 60))
    os.kill(processes[not server], signal.SIGSTOP)
    return processes


def busy(workers: LocalWorkers, work: Callable[[], object]) -> tuple[int, int]:
    """The worker is within a call; what has forked it is killed, and ends it no more."""
    processes = _begun(workers.submit(work))
    time.sleep(1)
    os.kill(processes[0], signal.SIGKILL)
    return processes


def loading(workers: LocalWorkers) -> tuple[int]:
    """What forks workers loads the libraries."""
    workers.prepare()
    time.sleep(1)
    return (_server(),)


def computing(workers: LocalWorkers) -> tuple[int, int]:
    """As `busy`, in a call that no other thread of Python's interrupts."""
    assert workers.submit(load_libraries).result() == ""
    return busy(workers, compute)


SITUATIONS: dict[str, Callable[[LocalWorkers], tuple[int, ...]]] = {
    "server stopped": lambda workers: stopped(workers, server=True),
    "worker stopped": lambda workers: stopped(workers, server=False),
    "server loading": loading,
    "worker loading": lambda workers: busy(workers, load_libraries),
    "worker computing": computing,
}

if __name__ == "__main__":
    what, ends = sys.argv[1:]
    with LocalWorkers(1) as workers:
        print(*SITUATIONS[what](workers), flush=True)
        if ends == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
