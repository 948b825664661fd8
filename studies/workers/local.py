"""Worker processes on this machine; see `studies.workers.protocol`."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, Self, TypeVar

from studies.workers import worker
from studies.workers.protocol import Message

P = ParamSpec("P")
T = TypeVar("T")


class LocalWorkers:
    """Persistent spawned processes, each a pool of its own.

    A `ProcessPoolExecutor` breaks as a whole when one of its processes is killed. Here a death
    costs what ran in that process: its future raises an error that `lost` knows, and the next
    submit starts a new process. Workers end when the planner does, however it ends.
    """

    def __init__(self, workers: int) -> None:
        self._workers = [_Worker() for _ in range(workers)]

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on the worker with the least to do."""
        i = min(range(len(self._workers)), key=lambda i: self._workers[i].pending())
        try:
            return self._workers[i].submit(work, *args, **kwargs)
        except BrokenProcessPool:  # its process died, at work or idle
            self._workers[i].close()
            self._workers[i] = _Worker()
            return self._workers[i].submit(work, *args, **kwargs)

    def messages(self) -> Iterator[Message]:
        """What the trainings under way have told since the last call."""
        for each in self._workers:
            with suppress(EOFError, OSError):  # the process is gone
                while each.pipe.poll():
                    yield each.pipe.recv()

    def lost(self, error: BaseException) -> bool:
        """Whether the error says that a process died."""
        return isinstance(error, BrokenProcessPool)

    def close(self) -> None:
        """End the processes at once, also in the middle of a training."""
        for each in self._workers:
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Worker:
    """One process and the pipe to it. The process exits when the pipe is closed."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.pipe, theirs = context.Pipe()
        self.pool = ProcessPoolExecutor(1, context, _start_worker, (theirs,))
        self.theirs: Connection | None = theirs
        self.futures: list[Future[Any]] = []

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        with _uninterrupted():
            future = self.pool.submit(work, *args, **kwargs)
        self.futures = [*(f for f in self.futures if not f.done()), future]
        if self.theirs:  # the process has its own end by now
            self.theirs.close()
            self.theirs = None
        return future

    def pending(self) -> int:
        """How much it has to do; asked of the futures, whose callbacks may come too late."""
        return sum(not future.done() for future in self.futures)

    def close(self) -> None:
        self.pipe.close()
        self.pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C takes effect afterwards: a process cut off while it is started tells a traceback."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
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
    worker.tell = pipe.send
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the planner decides
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    threading.Thread(target=_exit_with_planner, args=(pipe,), daemon=True).start()


def _exit_with_planner(pipe: Connection) -> None:
    try:
        pipe.recv()  # the planner never sends, so this ends by an error only
    except (EOFError, OSError):
        os._exit(1)
