"""What runs in a Dask worker: it has each call done by a process of its own, and watches over it.

The process can be ended at once, in the middle of a training, and a training that takes all
memory costs that process alone. What the planner's machine has and this one has not, data and
checkpoints, is asked for by an event and comes in pieces.
"""

import json
import multiprocessing
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from threading import Event
from time import monotonic
from typing import Any

from distributed import Status, Worker, get_worker
from filelock import FileLock, Timeout

from fsmd.data.encoded import FACTS, fault_of
from fsmd.data.files import cache_root
from fsmd.data.schema import DataRef
from fsmd.training import Training
from fsmd.writing import replacing
from studies.machine import gpus, machine, multiplies_bfloat16, processor
from studies.start import PACKAGES, ROOT
from studies.workers.local import LocalWorkers
from studies.workers.protocol import Deadline

TOPIC = "fsmd"
"""Of the events by which calls tell how far they are, and what they lack."""
MEMORY = "MEMORY"
"""Dask's resource: bytes."""
POLL_SECONDS = 0.2
PIECE = 2**24
"""Bytes of a file that are sent at once."""


@dataclass(frozen=True)
class Call:
    """What is to be done, as it travels: a few kilobytes."""

    work: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    token: Path
    """There, where this machine and the planner's share a folder for checkpoints."""
    there: tuple[Path, ...] = ()
    """Checkpoints that the planner's machine has."""


@dataclass(frozen=True)
class Reply:
    """What came of it."""

    value: Any
    checkpoints: Mapping[Path, bytes]
    """Of what can be gone on with, by the planner's paths, where no folder is shared."""
    machine: str
    """On which it was done."""


class CalledOffError(Exception):
    """Nobody waits for the answer any more."""


def perform(call: Call, key: str) -> Reply:
    """Do what the planner asks; runs in a thread of a Dask worker, as a task of this key."""
    return _Visit(call, key).answer()


@dataclass
class _Arrival:
    """A folder into which the planner's machine is sending files."""

    folder: Path
    whole: Event = field(default_factory=Event)
    fault: str = ""


_ARRIVALS: dict[str, _Arrival] = {}
_VISITS: dict[str, "_Visit"] = {}
_CLOCKS: dict[Path, float] = {}
"""A planner's token -> what this machine's monotonic clock is ahead of the planner's."""
_PROCESSES: list[LocalWorkers] = []
"""Each of one process, with nothing to do."""


class _Visit:
    """One call in this worker."""

    def __init__(self, call: Call, key: str) -> None:
        self._call, self._key, self._worker = call, key, get_worker()
        _VISITS[key] = self
        self._here: dict[Path, Path] = {}
        """Checkpoint's path at the planner's -> its path here, where they are not the same."""
        self._scratch = Path(self._worker.local_directory) / key

    def answer(self) -> Reply:
        call = self._call
        self._say(begun=self._worker.address)
        try:
            args = tuple(map(self._brought, call.args))
            kwargs = {name: self._brought(value) for name, value in call.kwargs.items()}
            value = self._done(args, kwargs)
            return Reply(value, self._left(value), machine())
        finally:
            del _VISITS[self._key]
            rmtree(self._scratch, ignore_errors=True)

    def _say(self, **told: Any) -> None:
        self._worker.log_event(TOPIC, {"key": self._key, **told})

    def _check(self) -> None:
        """Raise CalledOffError where the task was cancelled, or the scheduler is gone."""
        task = self._worker.state.tasks.get(self._key)
        ends = (Status.closing, Status.closed, Status.failed, Status.stopping)
        if task is None or task.state == "cancelled" or self._worker.status in ends:
            raise CalledOffError

    def _done(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        try:
            process = _PROCESSES.pop()
        except IndexError:
            process = LocalWorkers(1)
        try:
            future = process.submit(self._call.work, *args, **kwargs)
            self._say(at_work=True, apart=bool(self._here))
            while not wait([future], POLL_SECONDS).done:
                self._tell(process)
                self._check()
            self._tell(process)
            future.exception()
        except BaseException:
            process.close()
            raise
        _PROCESSES.append(process)
        return future.result()

    def _tell(self, process: LocalWorkers) -> None:
        """How far its trainings are; of each what it told last."""
        told = {
            training: [progress.done, {k: float(v) for k, v in progress.figures.items()}]
            for training, progress in process.messages()
        }
        if told:
            self._say(told=told)

    def _clock(self) -> float:
        """What this machine's monotonic clock is ahead of the planner's, or a little less."""
        try:
            return _CLOCKS[self._call.token]
        except KeyError:  # started a moment ago, at the address of one that was introduced
            raise CalledOffError from None

    # What the planner's machine has

    def _brought(self, value: Any) -> Any:
        """The value with what it needs on this machine."""
        if isinstance(value, Training):
            return replace(value, data=replace(value.data, path=self._data(value.data)))
        if isinstance(value, Path):
            return self._checkpoint(value)
        if isinstance(value, Deadline):
            return Deadline(value.at + self._clock())
        if isinstance(value, tuple):
            return tuple(map(self._brought, value))
        return value

    def _data(self, data: DataRef) -> Path:
        """Where an encoded data set lies here: found by its content, or fetched."""
        own = cache_root() / "encoded"
        copy = own / data.content_hash
        for folder in (own / data.path.name, data.path, copy):
            if _holds(folder, data.content_hash):
                return folder
        with self._alone(copy):
            if not _holds(copy, data.content_hash):  # another worker may have fetched it
                with replacing(copy) as fresh:
                    fresh.mkdir()
                    self._fetch(data.path, fresh)
                    if not _holds(fresh, data.content_hash):
                        raise OSError(f"the data set {data.name} did not come as it was written")
        return copy

    @contextmanager
    def _alone(self, path: Path) -> Iterator[None]:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(f"{path}.lock")
        while True:
            self._check()
            with suppress(Timeout):
                lock.acquire(timeout=POLL_SECONDS)
                break
        try:
            yield
        finally:
            lock.release()

    def _checkpoint(self, path: Path) -> Path:
        """Where a checkpoint lies here, if there is one, and is to be written."""
        if self._call.token.exists():
            return path
        here = self._here[path] = self._scratch / path.name
        self._scratch.mkdir(exist_ok=True)
        if path in self._call.there:
            self._fetch(path, self._scratch)
        return here

    def _fetch(self, path: Path, folder: Path) -> None:
        """Have a file, or the files of a folder, of the planner's machine put into a folder."""
        arrival = _ARRIVALS[self._key] = _Arrival(folder)
        try:
            self._say(wants=str(path), address=self._worker.address)
            while not arrival.whole.wait(POLL_SECONDS):
                self._check()
        finally:
            del _ARRIVALS[self._key]
        if arrival.fault:
            raise OSError(arrival.fault)

    def _left(self, value: Any) -> dict[Path, bytes]:
        """Checkpoints of what has not ended: of the rest nobody needs one."""
        outcomes = zip(self._here, value if self._here else (), strict=True)
        return self.checkpoints(p for p, o in outcomes if not getattr(o, "finished", False))

    def checkpoints(self, paths: Iterable[Path] | None = None) -> dict[Path, bytes]:
        """Those that were written here, by the planner's paths."""
        found = {}
        for path in list(self._here) if paths is None else paths:
            with suppress(FileNotFoundError):
                found[path] = self._here[path].read_bytes()
        return found


def _holds(folder: Path, content_hash: str) -> bool:
    """Whether it is the encoded data set of this content, as it was written."""
    if fault_of(folder) is not None:
        return False
    return bool(json.loads((folder / FACTS).read_text("utf-8"))["content_hash"] == content_hash)


# Called by the planner, beside tasks


def take(key: str, name: str, start: int, piece: bytes) -> None:
    """Write a piece of a file that was asked for."""
    with (_ARRIVALS[key].folder / os.path.basename(name)).open("r+b" if start else "wb") as file:
        file.seek(start)
        file.write(piece)


def checkpoints(key: str) -> dict[Path, bytes]:
    """Those of a call as they are now; nothing where it is over, or a folder is shared."""
    visit = _VISITS.get(key)
    return visit.checkpoints() if visit else {}


def arrived(key: str, fault: str) -> None:
    """What was asked for is there, or will not come."""
    arrival = _ARRIVALS[key]
    arrival.fault = fault
    arrival.whole.set()


@dataclass(frozen=True)
class Fault:
    """What a worker raised by itself: not that it could not be reached."""

    line: str


def tried(act: Callable[[], Any]) -> Any:
    """What it returns, or a `Fault`."""
    try:
        return act()
    except OSError as error:
        return Fault(f"{type(error).__name__}: {error}")


def introduce(*, has_gpu: bool) -> dict[str, Any]:
    """Who this worker is: what determines numbers here, and its clock."""
    gpu, is_fast = gpus() if has_gpu else ("", False)
    fast = {"cpu": multiplies_bfloat16("cpu"), "cuda": is_fast}
    return {
        "versions": versions(),
        "machine": machine(),
        "processor": processor(),
        "gpu": gpu,
        "bfloat16": [device for device in fast if fast[device]],
        "clock": monotonic(),
    }


async def offer(memory: float, dask_worker: Worker) -> None:
    """Have Dask send no more at once than there are so many bytes for."""
    await dask_worker.set_resources(**{MEMORY: memory})


def prepare(token: Path, clock: float) -> None:
    """Begin to load what trains, for the planner of a token.

    clock: what this machine's is ahead of the planner's.
    """
    _CLOCKS[token] = clock
    # So that a worker may start processes: they end with it, which is what is asked of a daemon's.
    multiprocessing.current_process().daemon = False
    _keeper().prepare()


@cache
def _keeper() -> LocalWorkers:
    """Keeps what processes are forked from, while none is."""
    return LocalWorkers(0)


@cache
def versions() -> dict[str, str]:
    """What must be the same wherever a study's trainings run."""
    libraries = ("torch", "lightning", "numpy", "distributed")
    installed = {name: version(name) for name in libraries}
    return {"fsmd": _code(), "python": platform.python_version(), **installed}


def _code() -> str:
    """Digest of the toolkit's source."""
    digest = sha256()
    for package in PACKAGES:
        for path in sorted(Path(ROOT, package).rglob("*.py")):
            digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:12]
