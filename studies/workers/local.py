"""Worker processes on this machine; see `studies.workers.protocol`."""

import math
import multiprocessing
import os
import pickle
import shutil
import signal
import socket
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import send_handle
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NoReturn, ParamSpec, Self, TypeVar

from fsmd.command_line import ENDS
from fsmd.errors import UserError
from fsmd.training import Training
from studies.machine import multiplies_bfloat16
from studies.workers import worker
from studies.workers.protocol import Message
from studies.workers.server import FORKS, serve_forks

P = ParamSpec("P")
T = TypeVar("T")

_ENVIRONMENT = {
    **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
    "MPLBACKEND": "agg",  # nothing is drawn there, whatever the user draws with
    "PYTHONSAFEPATH": "1",  # else a file where the user works takes the place of a module
}


class ThisMachine:
    """Where `LocalWorkers` train."""

    def has_device(self, device: str) -> bool:
        """Whether this machine has it."""
        return has_device(device)

    def multiplies_bfloat16(self, device: str) -> bool:
        """Whether such a device of this machine does."""
        return multiplies_bfloat16(device)

    def has_room(self, trainings: Sequence[Training], *, overdue: bool = False) -> bool:
        """For whatever the machine can do."""
        return True


class WorkerLostError(Exception):
    """The process that was to do something ended before it had; says why, to a person."""

    def __init__(self, why: str = "the worker process was killed") -> None:
        super().__init__(why)


class LocalWorkers(ThisMachine):
    """Persistent processes, each started when there is something to do for it.

    They are forked from one process, for all `LocalWorkers` that there are at a time. Once
    prepared, it has loaded the libraries, which they share. Where a system cannot do that, each is
    spawned and loads them itself.

    A death costs what ran in that process: its future raises an error that `lost` knows, and
    another process takes its place. Workers end when the planner does, however it ends. They need
    no semaphores and no shared memory, which some machines do not give, and few open files.
    """

    def __init__(self, workers: int) -> None:
        """At most so many processes."""
        self._most, self._workers = workers, list[_Worker]()
        self._told, self._closed = SimpleQueue[Message](), False
        _USERS.add(self)

    def prepare(self) -> None:
        """Begin to load the libraries, as there will be something to train; does not wait."""
        with _LOCK:
            _SERVER.start(load=True)

    def slots(self) -> int:
        """As many as there may be processes."""
        return self._most

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on a worker that has nothing to do, or else on the one with the least.

        Raises OSError where no more processes can be started; if that comes to light later, the
        future raises UserError. Any thread may ask.
        """
        call = pickle.dumps((work, args, kwargs))
        with _LOCK:
            if self._closed:
                raise RuntimeError("these workers have been told to end")
            for each in [w for w in self._workers if not w.alive()]:
                self._workers.remove(each)
                each.close()
            least = min(self._workers, key=_Worker.pending, default=None)
            if least is None or (least.pending() and len(self._workers) < self._most):
                least = _Worker(self._told.put)
                self._workers.append(least)
            return least.submit(call)

    def withdraw(self, future: Future[Any]) -> bool:
        """Cancel it if no process has begun it."""
        return future.cancel()

    def messages(self) -> Iterator[Message]:
        """What the trainings under way have told since the last call."""
        while not self._told.empty():
            yield self._told.get()

    def lost(self, error: BaseException) -> bool:
        """Whether the error says that a process died."""
        return isinstance(error, WorkerLostError)

    def machine(self, future: Future[Any]) -> str:
        """It is this one."""
        return ""

    def end(self, future: Future[Any]) -> None:
        """End the process that does it, or should."""
        with _LOCK:
            for each in self._workers:
                if each.does(future):
                    each.end()

    def close(self) -> None:
        """End the processes at once, also in the middle of a training."""
        with _LOCK:
            self._closed = True
            _USERS.discard(self)
            if not _USERS:
                _SERVER.end()
            for each in self._workers:
                each.close()
            self._workers = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Server:
    """The process that workers come from, while there is any `LocalWorkers`."""

    def __init__(self) -> None:
        self._process: BaseProcess | None = None

    def start(self, *, load: bool = False) -> None:
        """Start it, if it does not run; load: with the libraries, which take seconds."""
        if not FORKS or (self._process and self._process.is_alive()):
            return
        self.end()
        self._channel, theirs = _CONTEXT.Pipe()
        self._process = _started(theirs, serve_forks, theirs, _serve, load)

    def worker(self, pipe: Connection) -> BaseProcess | None:
        """Start one that does what comes through a pipe; the process, where it is our child."""
        if not FORKS:
            return _started(pipe, _serve, pipe)
        self.start()
        assert self._process
        with pipe, suppress(BrokenPipeError):  # it has just died: so will the worker have
            send_handle(self._channel, pipe.fileno(), self._process.pid)
        return None

    def kill(self) -> None:
        """End it alone, as it does not answer: the workers that came from it go on."""
        if self._process:
            self._process.kill()
            self._process.join()

    def end(self) -> None:
        """End it with the workers that came from it, though it may have been stopped."""
        if self._process:
            self._process.terminate()
            if FORKS and self._process.pid and self._process.is_alive():
                os.kill(self._process.pid, signal.SIGCONT)
            self._process.join()
            self._channel.close()
            self._process = None


_CONTEXT = multiprocessing.get_context("spawn")
_SERVER, _USERS, _LOCK = _Server(), set[LocalWorkers](), threading.Lock()


def _started(theirs: Connection, run: Callable[..., NoReturn], *args: object) -> BaseProcess:
    """A new process, which has an end of a pipe; that of the pipe here is closed."""
    process = _CONTEXT.Process(target=run, args=args, daemon=True)  # ends with this one
    try:
        with theirs, _starting():
            process.start()
    except BaseException:  # Ctrl-C too
        if process.pid:
            process.kill()
        raise
    return process


class _Worker:
    """One process, the pipe to it, and a thread that waits for what comes through the pipe."""

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell, self._lost, self._futures = tell, False, list[Future[Any]]()
        self._pid = 0  # not known before it has begun
        self._thread = ThreadPoolExecutor(1)
        self._pipe, theirs = _CONTEXT.Pipe()
        try:
            self._process = _SERVER.worker(theirs)
        except BaseException:
            self._pipe.close()
            raise

    def submit(self, call: bytes) -> Future[Any]:
        future = self._thread.submit(self._call, call)
        self._futures = [*(f for f in self._futures if not f.done()), future]
        return future

    def pending(self) -> int:
        return sum(not future.done() for future in self._futures)

    def alive(self) -> bool:
        """Whether it can be given something to do; unasked, nothing comes but the pipe's end."""
        return not self._lost and (self.pending() > 0 or not self._pipe.poll())

    def does(self, future: Future[Any]) -> bool:
        return future in self._futures and not future.done()

    def end(self) -> None:
        """End the process and the thread's wait for it, whatever either does."""
        if self._process:
            self._process.kill()
            self._process.join()
            return
        if self.pending() and not self._lost:  # it may be stopped, and not see the pipe's end
            if self._pid:
                with suppress(ProcessLookupError):
                    os.kill(self._pid, signal.SIGKILL)
            else:
                _SERVER.kill()
        ours = socket.socket(fileno=self._pipe.fileno())
        with suppress(OSError):
            ours.shutdown(socket.SHUT_RDWR)  # which ends the process, if nothing else has
        ours.detach()
        self._lost = True

    def close(self) -> None:
        """End all of it."""
        self.end()
        self._thread.shutdown(cancel_futures=True)
        self._pipe.close()

    def _call(self, call: bytes) -> Any:
        try:
            with suppress(BrokenPipeError):  # why it did not start may have come before
                self._pipe.send_bytes(call)
            while True:
                kind, value = pickle.loads(self._pipe.recv_bytes())
                if kind == "begun":
                    self._pid = value
                elif kind == "told":
                    self._tell(value)
                else:
                    break
        except (EOFError, OSError):
            self._lost = True
            raise WorkerLostError from None
        if kind == "unstarted":
            self._lost = True
            told = f"no worker process can be started: {os.strerror(value)}"
            raise UserError(f"{told}; give fewer --workers, or allow more processes (ulimit -u)")
        if kind == "raised":
            raise value
        return value


def has_device(device: str) -> bool:
    """Whether this machine can train on it: cpu, cuda or cuda:N."""
    if device == "cpu":
        return True
    if shutil.which("nvidia-smi") is None:
        return False  # spares most planners the import of torch
    import torch

    return int(device.partition(":")[2] or 0) < torch.cuda.device_count()


def processors(root: Path = Path("/")) -> int:
    """How many processors this process may use, by its affinity and its container's quota.

    root: where /proc and /sys lie.
    """
    try:
        count = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this system
        count = os.cpu_count() or 1
    return max(1, min([count, *map(math.ceil, _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """Processors that each control group above this process may use, of either version."""
    with suppress(OSError, ValueError):
        for line in (root / "proc/self/cgroup").read_text("utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            top, names = root / "sys/fs/cgroup", ["cpu.max"]
            if controllers:
                top, names = top / "cpu", ["cpu.cfs_quota_us", "cpu.cfs_period_us"]
                if "cpu" not in controllers.split(","):
                    continue
            group = top / path.strip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(top) and (folder / names[0]).is_file():
                    texts = [(folder / name).read_text("utf-8") for name in names]
                    quota, period = " ".join(texts).split()
                    if quota not in ("max", "-1"):
                        yield int(quota) / int(period)


@contextmanager
def _starting() -> Iterator[None]:
    """What is started in here has the workers' environment, and hears no Ctrl-C.

    What ends a command takes effect afterwards: a process that is cut off while it is started
    tells a traceback.
    """
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        with uninterrupted():
            yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C takes effect after the block; what is started in it never hears one."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread handles signals
        return
    resource_tracker.ensure_running()  # else it lets the signal through when it is started
    came: list[int] = []
    before = {each: signal.signal(each, lambda number, _: came.append(number)) for each in ENDS}
    masks = hasattr(signal, "pthread_sigmask")  # not on Windows
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]) if masks else set()
    try:  # the process inherits it
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for each, handler in before.items():
            signal.signal(each, handler)
        if came:
            signal.raise_signal(came[0])


# In the new process


def _serve(pipe: Connection) -> NoReturn:
    """Do what comes through the pipe, one after the other, until the planner ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the planner decides
    worker.tell = lambda message: pipe.send_bytes(pickle.dumps(("told", message)))
    calls = SimpleQueue[bytes]()
    threading.Thread(target=_listen, args=(pipe, calls), daemon=True).start()
    while True:
        call = calls.get()
        pipe.send_bytes(pickle.dumps(("begun", os.getpid())))
        try:
            work, args, kwargs = pickle.loads(call)
            answer = pickle.dumps(("returned", work(*args, **kwargs)))
        except BaseException as error:  # SystemExit too, by which some libraries end on a signal
            answer = _raised(error)
        pipe.send_bytes(answer)


def _listen(pipe: Connection, calls: "SimpleQueue[bytes]") -> None:
    try:
        while True:
            calls.put(pipe.recv_bytes())
    except (EOFError, OSError):
        os._exit(1)  # in the middle of a training too


def _raised(error: BaseException) -> bytes:
    """The error with its traceback, as it can be read in another process."""
    trace = "".join(traceback.format_exception(error))
    try:
        error.add_note(f"In the worker process:\n{trace}")
        answer = pickle.dumps(("raised", error))
        pickle.loads(answer)
    except Exception:
        return pickle.dumps(("raised", RuntimeError(f"{type(error).__name__}: {error}\n{trace}")))
    return answer
