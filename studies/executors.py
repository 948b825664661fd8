"""Where tasks run. Any `concurrent.futures.Executor` will do; here is one of local processes."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_to_planner: Connection | None = None


def tell_planner(message: Any) -> None:
    """Send a message from within a task; silent where nobody listens."""
    if _to_planner is not None:
        _to_planner.send(message)


class LocalWorkers(Executor):
    """Persistent spawned processes, each a pool of its own.

    A `ProcessPoolExecutor` breaks as a whole when one of its processes is killed. Here a death
    costs the one task that ran there: its future raises `BrokenProcessPool`, and the next submit
    starts a new process. Workers end when the planner does, however it ends.
    """

    def __init__(self, workers: int) -> None:
        self._workers = [_Worker() for _ in range(workers)]

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on the worker with the fewest tasks."""
        i = min(range(len(self._workers)), key=lambda i: self._workers[i].pending())
        if self._workers[i].broken():
            self._workers[i] = _Worker()
        try:
            return self._workers[i].submit(fn, *args, **kwargs)
        except BrokenProcessPool:  # it died while idle
            self._workers[i] = _Worker()
            return self._workers[i].submit(fn, *args, **kwargs)

    def messages(self) -> Iterator[Any]:
        """What tasks have told the planner since the last call."""
        for worker in self._workers:
            yield from worker.messages()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes; with `cancel_futures` at once, in the middle of a task."""
        for worker in self._workers:
            worker.shutdown(wait, cancel_futures)


class _Worker:
    """One process and the pipe to it. The pipe is its leash: closed, the process exits."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.pool = ProcessPoolExecutor(1, context, _start_worker, (theirs,))
        self.theirs: Connection | None = theirs
        self.futures: list[Future[Any]] = []

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with _uninterrupted():
            future = self.pool.submit(fn, *args, **kwargs)
        self.futures = [f for f in self.futures if not f.done()] + [future]
        if self.theirs:  # the process has its own end by now
            self.theirs.close()
            self.theirs = None
        return future

    def pending(self) -> int:
        """How many tasks it has; asked of the futures, whose callbacks may come too late."""
        return sum(not future.done() for future in self.futures)

    def broken(self) -> bool:
        """Whether its process died in a task."""
        return any(
            future.done()
            and not future.cancelled()
            and isinstance(future.exception(), BrokenProcessPool)
            for future in self.futures
        )

    def messages(self) -> Iterator[Any]:
        try:
            while self.pipe.poll():
                yield self.pipe.recv()
        except (EOFError, OSError):  # the process is gone
            return

    def shutdown(self, wait: bool, at_once: bool) -> None:
        if at_once:
            self.pipe.close()
        self.pool.shutdown(wait=wait, cancel_futures=at_once)
        self.pipe.close()


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C takes effect afterwards: a process cut off while it is started tells a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield  # signals are none of its business
        return
    came: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)


def _start_worker(pipe: Connection) -> None:
    """In the new process: one thread for arithmetic, no Ctrl-C, an end when the planner ends."""
    global _to_planner
    _to_planner = pipe
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the planner decides
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    threading.Thread(target=_exit_with_planner, args=(pipe,), daemon=True).start()


def _exit_with_planner(pipe: Connection) -> None:
    try:
        pipe.recv()  # the planner never sends: this returns only by raising
    except (EOFError, OSError):
        os._exit(1)
