"""Workers of a Dask cluster, on other machines or on this one; see `studies.workers.protocol`.

Dask moves calls and answers. What it leaves open is decided here: which workers get calls (those
with our code and our libraries), what a lost one means (the planner is told, and tries again),
what is sent anew when workers come (whatever none has begun), what a worker lacks and is sent, and
what is done when the scheduler is gone (wait for it, for a while).
"""

import logging
import math
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from shutil import rmtree
from threading import Event, RLock, Thread
from time import monotonic, sleep
from typing import Any, ParamSpec, Self, TypeVar
from uuid import uuid4
from weakref import WeakKeyDictionary

import distributed
from distributed import Client, KilledWorker, LocalCluster, Status
from distributed.comm.core import CommClosedError
from filelock import FileLock

from fsmd.data.files import cache_root
from fsmd.errors import UserError
from fsmd.runtime import Runtime
from fsmd.training import Training, TrainingProgress
from fsmd.writing import sweep, write
from studies.timing import spoken
from studies.workers import remote
from studies.workers.joining import Member, address_of, check_keys, looping, refusal, silent
from studies.workers.local import WorkerLostError, uninterrupted
from studies.workers.memory import memory_of
from studies.workers.protocol import Message
from studies.workers.room import GPU, Capacity, Need, Room, lack

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_SECONDS = 10.0
"""To wait for a scheduler at the beginning."""
RECONNECT_SECONDS = 60.0
"""To wait for one that is gone."""
NOBODY_SECONDS = 10.0
"""Without a worker that gets calls before that is told, or ends the run."""
REFRESH_SECONDS = 1.0
CHECKPOINT_SECONDS = 10.0
"""Between two looks at the checkpoints of a call on a machine that shares no folder."""
IDLE_TIMES = 50
"""As long as bringing them took, if that is more: so it takes a fiftieth of the time at most."""
GONE = "the scheduler is gone"
GOES_ON = "what was trained is kept: the same command goes on from here"


@dataclass(eq=False)
class _Run:
    """A call that was submitted, and where it is."""

    call: remote.Call
    future: "Future[Any]"
    data: tuple[Path, ...]
    checkpoints: tuple[Path, ...]
    need: Need
    key: str = ""
    """Of its task, once it is sent; another one each time."""
    task: "distributed.Future[Any] | None" = None
    worker: str = ""
    """The address of the one that has begun."""
    epochs: dict[str, int] = field(default_factory=dict)
    """Identity of a training -> whole epochs of which it has told."""
    kept: dict[str, int] = field(default_factory=dict)
    """The same, of the checkpoints that were brought here."""
    next: float = math.inf
    """When they may be brought again: never, where a folder is shared."""


class _NotBegunError(WorkerLostError):
    """The scheduler forgot a task, by its end or for somebody else's restart of the cluster."""


class ClusterWorkers:
    """Runs calls on the workers of a Dask cluster; any thread may ask.

    A thread watches which workers there are. Whatever waits for an answer of the cluster for long
    does so in a thread of its own, and the lock is never taken in Dask's.
    """

    def __init__(
        self,
        cluster: str,
        most: int | None = None,
        notify: Callable[[str], object] = print,
        seconds: float = math.inf,
    ) -> None:
        """cluster: see `address_of`, or local:N. most: calls at once; None: as the workers can do.

        notify: is given, in a line, what a person should know. seconds: to wait for the first
        worker, where nothing can be planned without one. Raises UserError where there is no
        cluster.
        """
        self._cluster, self._most, self._notify = cluster, most, notify
        self._lock, self._told = RLock(), SimpleQueue[Message]()
        self._runs, self._sent = list[_Run](), dict[str, _Run]()
        self._known, self._members = dict[str, str](), dict[str, Member]()
        self._machines: WeakKeyDictionary[Future[Any], str] = WeakKeyDictionary()
        self._refused = dict[str, str]()
        self._kinds = {"processors": set[str](), "GPUs": set[str]()}
        self._fault: UserError | None = None
        self._closed, self._changed, self._needed = False, False, Need()
        self._ever = set[Capacity]()
        self._news, self._ready = Event(), Event()
        self._wish: distributed.Future[Any] | None = None
        self._began = self._nobody_since = self._busy = monotonic()
        self._patience = seconds
        self._told_nobody = False
        with ExitStack() as stack:
            stack.enter_context(silent())
            self._token = cache_root() / f".fsmd-{uuid4().hex}.lock"
            self._token.parent.mkdir(parents=True, exist_ok=True)
            sweep(self._token.parent)
            stack.callback(self._token.unlink, missing_ok=True)
            stack.enter_context(FileLock(self._token))
            self._loop = stack.enter_context(looping())
            self._local = self._started(stack)
            self._connect(CONNECT_SECONDS)
            self._ends = stack.pop_all()
        self._aside(self._watch)

    def prepare(self) -> None:
        """Workers load what trains as soon as they are accepted."""

    def slots(self) -> int:
        """See `Room.slots`; waits for the workers there are, or the first: a plan hangs on it."""
        if not self._most:
            self._first_members()
        room = self._room()
        self._needed = room.least or self._needed
        return room.slots(self._needed)

    def has_room(self, trainings: Sequence[Training], *, overdue: bool = False) -> bool:
        """See `Room.has`."""
        return self._room().has(_need(trainings), overdue)

    def _room(self) -> Room:
        with self._lock:
            places = {address: member.capacity for address, member in self._members.items()}
            return Room(places, [(run.need, run.worker) for run in self._runs], self._most or 0)

    def has_device(self, device: str) -> bool:
        """Whether a worker has it; waits as `slots` does."""
        return device == "cpu" or any(m.capacity.gpus for m in self._first_members())

    def multiplies_bfloat16(self, device: str) -> bool:
        """Whether all workers do that have such a device; it is told where some do not."""
        kind = Runtime(device).kind
        able = [m for m in self._first_members() if kind == "cpu" or m.capacity.gpus]
        fast = {kind in member.bfloat16 for member in able}
        if len(fast) > 1:
            self._notify(
                "some workers multiply bfloat16 fast and some do not: a new study trains in "
                "float32, unless --precision says otherwise"
            )
        return fast == {True}

    def _first_members(self) -> list[Member]:
        """Those that there are, once they have answered."""
        while not self._ready.wait(0.5):  # with a timeout, so that Ctrl-C counts
            if monotonic() > self._began + self._patience:
                raise UserError(
                    f"no worker came to the cluster in {spoken(self._patience)}, the time that "
                    f"was given; start some with `dask worker`; {GOES_ON}"
                )
        with self._lock:
            if self._fault:
                raise self._fault
            return list(self._members.values())

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on a worker; while there is none it waits."""
        parts = list(_parts((*args, *kwargs.values())))
        trainings = [part for part in parts if isinstance(part, Training)]
        run = _Run(
            call=remote.Call(work, args, kwargs, self._token),
            future=Future(),
            data=tuple(training.data.path for training in trainings),
            checkpoints=tuple(part for part in parts if isinstance(part, Path)),
            need=_need(trainings),
        )
        with self._lock:
            if self._closed:
                raise RuntimeError("these workers have been told to end")
            self._runs.append(run)
            if self._fault:
                self._fail(self._fault)
            else:
                self._send(run)
        return run.future

    def withdraw(self, future: Future[Any]) -> bool:
        """Cancel it if no worker is at its training: one may be fetching what it needs."""
        with self._lock:
            run = next((r for r in self._runs if r.future is future), None)
            if run is None or not future.cancel():
                return False
            self._runs.remove(run)
            self._sent.pop(run.key, None)
            if run.task:
                self._aside(run.task.cancel)
            return True

    def messages(self) -> Iterator[Message]:
        """What the trainings under way have told since the last call."""
        while not self._told.empty():
            yield self._told.get()

    def lost(self, error: BaseException) -> bool:
        """Whether the error says that a worker, or the scheduler, is gone."""
        return isinstance(error, WorkerLostError)

    def machine(self, future: Future[Any]) -> str:
        """A line on the machine where it ran: never that of the planner."""
        return self._machines.get(future, "unknown")

    def end(self, future: Future[Any]) -> None:
        """Cancel it if a worker has begun it, which then ends the process that does it.

        The worker itself may hang: it gets no more before it has introduced itself again.
        """
        with self._lock:
            run = next((r for r in self._runs if r.future is future and r.worker), None)
            if run:
                self._known.pop(run.worker, None)
                self._members.pop(run.worker, None)
                self._changed = True
                self._lose(run, f"the worker at {run.worker} tells nothing")
        self._news.set()

    def close(self) -> None:
        """Cancel what runs, also in the middle of a training; a cluster started here ends."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            runs, self._runs, self._sent = self._runs, [], {}
        self._news.set()
        self._ready.set()
        ended = self._aside(self._leave, [run.task for run in runs if run.task])
        ended.join(CONNECT_SECONDS)
        self._ends.close()

    def _leave(self, tasks: list[distributed.Future[Any]]) -> None:
        if self._client.status == "running":
            self._client.cancel(tasks, force=True)
        self._client.close(timeout=2)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _aside(self, act: Callable[..., object], *args: object) -> Thread:
        """Do it in a thread of its own."""
        thread = Thread(target=self._safely, args=(act, *args), daemon=True)
        thread.start()
        return thread

    def _safely(self, act: Callable[..., object], *args: object) -> None:
        """Do it; that the connection is lost, the watch sees by itself."""
        try:
            act(*args)
        except UserError as error:
            self._fail(error)
        except BaseException as error:  # Dask has many, some of them no Exception
            if not (self._closed or self._is_cut_off() or isinstance(error, OSError)):
                self._fail(UserError(f"the cluster fails ({error!r}); {GOES_ON}"))

    # The connection

    def _started(self, stack: ExitStack) -> LocalCluster | None:
        """The cluster of local:N, started now."""
        count = re.fullmatch(r"local:([1-9]\d{0,3})", self._cluster)
        if not count:
            return None
        scratch = self._token.with_suffix(".tmp")  # after a kill it is swept with the token
        stack.callback(rmtree, scratch, ignore_errors=True)
        try:
            with uninterrupted():  # which its processes inherit: the planner decides
                cluster = LocalCluster(
                    n_workers=int(count[1]),
                    threads_per_worker=1,
                    memory_limit=0,
                    dashboard_address="127.0.0.1:0",
                    worker_dashboard_address=None,
                    local_directory=str(scratch),
                    silence_logs=logging.CRITICAL + 1,
                )
        except RuntimeError as error:
            raise UserError(
                f"the cluster {self._cluster} cannot be started ({error.__cause__ or error}), "
                f"maybe for want of memory; {GOES_ON}"
            ) from None
        stack.enter_context(cluster)
        return cluster

    def _connect(self, seconds: float) -> None:
        address = self._local.scheduler_address if self._local else address_of(self._cluster)
        check_keys(address)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of versions, which are compared with `refusal`
                client = Client(address, timeout=seconds, set_as_default=False, loop=self._loop)
        except (OSError, ValueError, TypeError, RuntimeError, AssertionError) as error:
            reason = f"{error}".partition("\n")[0] or type(error).__name__
            raise UserError(
                f"no Dask scheduler answers at {address} ({reason}); start one with `dask "
                "scheduler`, or give --cluster its address or its file"
            ) from None
        self._client, self._comm = client, client.scheduler_comm
        client.subscribe_topic(remote.TOPIC, self._heard)
        client.subscribe_topic("all", self._heard_of_workers)

    def _is_cut_off(self) -> bool:
        client = self._client  # which may have connected again by itself: without the topics
        return client.status != "running" or client.scheduler_comm is not self._comm

    def _watch(self) -> None:
        while not (self._closed or self._fault):
            self._safely(self._reconnect if self._is_cut_off() else self._refresh)
            self._news.wait(REFRESH_SECONDS)
            self._news.clear()

    def _reconnect(self) -> None:
        """Connect anew, as long as that takes; what had begun is lost with the old connection."""
        with self._lock:
            self._known, self._members, self._refused, self._sent = {}, {}, {}, {}
            for run in list(self._runs):
                run.task = None
                if run.worker:
                    self._lose(run, GONE)
        with suppress(Exception):
            self._client.close(timeout=1)
        until = monotonic() + RECONNECT_SECONDS
        self._notify(f"{GONE}; waiting for it, {RECONNECT_SECONDS:.0f} s at most")
        while not self._closed:
            try:
                return self._connect(min(CONNECT_SECONDS, RECONNECT_SECONDS))
            except UserError as error:
                if monotonic() >= until:
                    raise UserError(f"{error}; {GOES_ON}") from None
                self._news.wait(REFRESH_SECONDS)

    def _fail(self, error: UserError) -> None:
        """Nothing can be done any more."""
        with self._lock:
            self._fault = error
            self._ready.set()
            runs, self._runs, self._sent = self._runs, [], {}
        for run in runs:
            run.future.set_exception(error)

    # Workers

    def _heard_of_workers(self, event: tuple[float, Any]) -> None:
        if isinstance(event[1], dict) and event[1].get("action") in (
            "add-worker",
            "remove-worker",
        ):
            self._news.set()

    def _refresh(self) -> None:
        """See which workers there are, ask the new ones who they are, send what waits."""
        self._restart()
        # Asked itself: `scheduler_info` may bring what the client's own look, which names no
        # workers, has written in the meantime, and all would be taken for gone.
        scheduler: Any = self._client.scheduler
        there = self._client.sync(scheduler.identity, n_workers=-1)["workers"]
        ids = {address: facts["id"] for address, facts in there.items()}
        with self._lock:
            gone = [address for address, id in self._known.items() if ids.get(address) != id]
            for address in gone:
                del self._known[address]
                self._members.pop(address, None)
                self._refused.pop(address, None)
            for run in [run for run in self._runs if run.worker in gone]:
                self._lose(run, f"the worker at {run.worker} is gone")
            new = [address for address in ids if address not in self._known]
            self._known |= {address: ids[address] for address in new}
            if self._changed:
                self._changed = False
                for run in [run for run in self._runs if not run.worker]:
                    self._send(run)
            answered = len(self._members) + len(self._refused) >= len(self._known)
            if self._members and (answered or monotonic() > self._began + NOBODY_SECONDS):
                self._ready.set()
            for run in [run for run in self._runs if run.next <= monotonic()]:
                if run.epochs != run.kept:
                    run.next = math.inf
                    self._aside(self._keep, run, run.key)
        for address in new:
            self._aside(self._ask, address, dict(there[address]))
        self._look_for_nobody()

    def _restart(self) -> None:
        """Start what has ended of local:N: nobody else will.

        Dask gives up a worker that dies while it is started, or takes long for that.
        """
        if cluster := self._local:
            for name, worker in list(cluster.workers.items()):
                if worker.status in (Status.closed, Status.failed):
                    del cluster.workers[name]
            if len(cluster.workers) < len(cluster.worker_spec):
                cluster.scale(len(cluster.worker_spec))

    def _ask(self, address: str, facts: dict[str, Any]) -> None:
        """Accept a worker, or refuse it."""
        try:
            has_gpu = bool(facts["resources"].get(GPU))
            said = self._answer(address, partial(remote.introduce, has_gpu=has_gpu))
            now, why = monotonic(), refusal(said)
            if not why:
                # Its clock was read before now: what is due by it is not due too late.
                prepare = partial(remote.prepare, self._token, said["clock"] - now)
                why = refusal(self._answer(address, prepare) or said)
            if not why:
                memory = Member.of(facts, said).capacity.memory
                offer = partial(self._client.run, remote.offer, memory, workers=[address])
                if offer(on_error="return").get(address, 0) is not None:
                    raise OSError(f"the scheduler knows {address} no more")
        except OSError:  # it is gone; if it is not, it is asked again
            self._known.pop(address, None)
            return
        line = f"the worker {facts['name']} at {address} gets no trainings: {why}" if why else ""
        with self._lock:
            if self._known.get(address) != facts["id"]:
                return
            if why:
                self._refused[address] = line
            else:
                self._members[address] = Member.of(facts, said)
                self._ever.add(self._members[address].capacity)
                self._changed = True
                line = self._unlike(self._members[address])
        if line:
            self._notify(line)
        self._news.set()

    def _answer(self, address: str, of: Callable[[], Any]) -> Any:
        """What a worker says, or what it raises; raises OSError if it says nothing."""
        nothing = OSError(f"no answer from {address}")
        run = partial(self._client.run, remote.tried, of, workers=[address], on_error="return")
        said = run().get(address, nothing)
        if isinstance(said, OSError):
            raise said
        return said

    def _unlike(self, member: Member) -> str:
        """What is to be told where the processors, or the GPUs, become different ones."""
        lines = list[str]()
        for what, kind in (("processors", member.processor), ("GPUs", member.gpu)):
            kinds = self._kinds[what]
            before = len(kinds)
            kinds |= {kind} - {""}
            if before == 1 < len(kinds):
                lines.append(f"different {what} ({'; '.join(sorted(kinds))})")
        if not lines:
            return ""
        return (
            f"the workers have {' and '.join(lines)}: the last digits of a figure hang on which "
            "of them trained"
        )

    def _look_for_nobody(self) -> None:
        """Say that there is no worker for what waits; raise UserError where none is to come."""
        with self._lock:
            waiting = [run.need for run in self._runs if not run.worker]
            lacking = lack([member.capacity for member in self._members.values()], waiting)
            if any(run.worker for run in self._runs):
                self._busy = monotonic()
            there, refused = len(self._known), list(self._refused.values())
            able = self._members and not lacking
            if able or (self._ready.is_set() and not self._runs):
                self._wish = None
            elif self._wish is None or self._wish.done():
                # An adaptive cluster starts a worker for a task that waits, and keeps one that
                # does something: till the worker is known here, this is what it does.
                key = f"wish-{uuid4().hex}"
                self._wish = self._client.submit(sleep, REFRESH_SECONDS, key=key, pure=False)
            if able or (there > len(refused) and not self._members):
                self._nobody_since, self._told_nobody = monotonic(), False
                return
        if monotonic() < self._nobody_since + NOBODY_SECONDS:
            return
        # One that left may come again, and what others can do is done first.
        is_idle = monotonic() >= self._busy + NOBODY_SECONDS
        is_hopeless = all(lack(self._ever, [need]) for need in waiting)
        if self._members and is_idle and is_hopeless:
            raise UserError(f"{lacking}; {GOES_ON}")
        if refused and not self._members:
            raise UserError(f"{refused[0]}; no other worker is left, and {GOES_ON}")
        if not self._told_nobody:
            self._told_nobody = True
            nobody = "the cluster has no workers; waiting for the first one"
            self._notify(f"{lacking}; waiting for one" if self._members else nobody)

    # Calls

    def _send(self, run: _Run) -> None:
        """Send what no worker has begun to those that there are now."""
        fit = [a for a, m in self._members.items() if m.capacity.at_once(run.need)]
        if not fit:
            return
        self._sent.pop(run.key, None)
        if run.task:
            self._aside(run.task.cancel)
        run.key = f"train-{uuid4().hex}"
        self._sent[run.key] = run  # first: a worker may say at once what it wants, and once alone
        there = tuple(path for path in run.checkpoints if path.exists())
        with suppress(RuntimeError, OSError):  # the connection is lost: it is sent again later
            run.task = self._client.submit(
                remote.perform,
                replace(run.call, there=there),
                run.key,
                key=run.key,
                pure=False,
                workers=fit,
                resources=run.need.resources,
            )
            run.task.add_done_callback(partial(self._aside, self._over, run))

    def _lose(self, run: _Run, why: str) -> None:
        """Tell the planner that the worker is gone; called with the lock held."""
        self._runs.remove(run)
        self._sent.pop(run.key, None)
        if run.task:
            self._aside(run.task.cancel)
        run.future.set_exception(WorkerLostError(why))

    def _over(self, run: _Run, task: "distributed.Future[Any]") -> None:
        """Hand on what came of a call."""
        answer = remote.Reply(None, {}, "")
        error: Exception | None = None
        try:
            answer = task.result()
        except CancelledError:
            error = _NotBegunError(GONE) if self._is_cut_off() else _NotBegunError()
        except (KilledWorker, remote.CalledOffError):
            error = WorkerLostError()
        except CommClosedError:  # while the answer came
            error = WorkerLostError(GONE)
        except Exception as raised:
            error = raised
        with self._lock:
            if run.task is not task or run not in self._runs:
                return  # it was sent anew, or given up
            self._sent.pop(run.key, None)
            if isinstance(error, _NotBegunError) and not run.worker:
                run.task, self._changed = None, True  # sent again, with the next look at workers
                return
            self._runs.remove(run)
        # Else its worker keeps the answer, and cannot be retired; if it dies, Dask does it again.
        with suppress(RuntimeError):  # the connection is closed: nothing is kept
            task.release()
        self._write(run, answer.checkpoints)
        if error:
            run.future.set_exception(error)
        else:
            self._machines[run.future] = answer.machine
            run.future.set_result(answer.value)

    def _heard(self, event: tuple[float, Any]) -> None:
        """What a call tells; runs in Dask's thread."""
        said = event[1]
        if not isinstance(said, dict) or (run := self._sent.get(said.get("key", ""))) is None:
            return
        for training, (done, figures) in said.get("told", {}).items():
            self._told.put((training, TrainingProgress(figures, done)))
            run.epochs = {**run.epochs, training: int(done)}
        if "begun" in said:
            self._aside(self._begun, run, said["key"], said["begun"])
        if "at_work" in said:
            self._aside(self._at_work, run, said["key"], bool(said.get("apart")))
        if "wants" in said:
            self._aside(self._bring, run, said["key"], Path(said["wants"]), said["address"])

    def _begun(self, run: _Run, key: str, address: str) -> None:
        with self._lock:
            if run.key != key or run not in self._runs:
                return
            if run.worker:  # Dask had another worker begin it again
                self._lose(run, f"the worker at {run.worker} is gone")
                return
            run.worker = address
            if address in self._members:
                self._machines[run.future] = self._members[address].machine

    def _at_work(self, run: _Run, key: str, apart: bool) -> None:
        """Its worker has what it needs: from now on it may be silent for so long alone.

        apart: whether its checkpoints lie on its machine alone.
        """
        with self._lock:
            if run.key == key and run in self._runs and not run.future.running():
                run.future.set_running_or_notify_cancel()
                if apart:
                    run.next = monotonic() + CHECKPOINT_SECONDS

    def _keep(self, run: _Run, key: str) -> None:
        """Bring the checkpoints of what goes on here, where they outlive its machine."""
        began, epochs, found = monotonic(), run.epochs, dict[Path, bytes]()
        with suppress(OSError):  # the connection is lost, maybe for a while
            found = self._client.run(remote.checkpoints, key, workers=[run.worker])[run.worker]
        with self._lock:
            if run.key != key or run not in self._runs:
                return  # it is over, or begins again
            self._write(run, found)
            now, run.kept = monotonic(), epochs if found else run.kept
            run.next = now + max(CHECKPOINT_SECONDS, IDLE_TIMES * (now - began))

    def _write(self, run: _Run, checkpoints: Mapping[Path, bytes]) -> None:
        for path, content in checkpoints.items():
            if path in run.checkpoints:
                with suppress(OSError):  # it spares time alone
                    write(path, content)

    def _bring(self, run: _Run, key: str, path: Path, address: str) -> None:
        """Send a worker what it lacks: the files of a data set, or a checkpoint."""
        send = partial(self._client.run, workers=[address])
        fault = ""
        with suppress(KeyError):  # it wants nothing any more
            try:
                if path not in (*run.data, *run.checkpoints):
                    raise FileNotFoundError(f"the call has no {path}")
                for file in sorted(path.iterdir()) if path.is_dir() else [path]:
                    for start in range(0, max(1, file.stat().st_size), remote.PIECE):
                        with file.open("rb") as opened:
                            opened.seek(start)
                            send(remote.take, key, file.name, start, opened.read(remote.PIECE))
            except OSError as error:
                fault = f"{type(error).__name__}: {error}"
            send(remote.arrived, key, fault)


def _need(trainings: Sequence[Training]) -> Need:
    return Need(
        gpu=any(training.runtime.kind == "cuda" for training in trainings),
        memory=max(map(memory_of, trainings), default=0),
    )


def _parts(value: Any) -> Iterator[Any]:
    """What is in tuples, however deep."""
    if isinstance(value, tuple):
        for part in value:
            yield from _parts(part)
    else:
        yield value
