"""Workers that come, leave, or lack the memory: a real scheduler and real workers of Dask, in
threads of this process, so that they are there and gone at once.
"""

import logging
import os
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("distributed")

from dask.utils import parse_bytes
from distributed import Scheduler, Worker
from distributed.utils import LoopRunner, silence_logging_cmgr

from fsmd.config import FSMDConfig
from fsmd.data import load
from fsmd.errors import UserError
from fsmd.runtime import Runtime
from fsmd.training import Training
from studies.workers import cluster, remote
from studies.workers.cluster import ClusterWorkers
from studies.workers.joining import Member
from studies.workers.room import Need, lack
from tests.cluster import until

GB = 1e9
SMALL, LARGE, HUGE = 4, 8, 20
"""Epochs of trainings, of which each takes a tenth of a GB here."""


class Hall:
    """A scheduler, and workers that come to it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._runner = folder, LoopRunner()
        self._runner.start()
        self._scheduler = self._run(Scheduler, host="127.0.0.1", dashboard_address=":0")

    def _run(self, make: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
        async def made() -> Any:
            return await make(*args, **kwargs)

        return self._runner.run_sync(made)

    @property
    def address(self) -> str:
        return str(self._scheduler.address)

    @contextmanager
    def worker(self, memory: float, threads: int = 2) -> Iterator[Worker]:
        """One with so many bytes, until it leaves."""
        worker = self._run(
            Worker,
            self.address,
            nthreads=threads,
            memory_limit=0,  # else it looks at what this process takes
            resources={remote.MEMORY: memory},
            local_directory=str(self._folder),
        )
        try:
            yield worker
        finally:
            self._run(worker.close)

    def give_up(self, worker: Worker) -> None:
        """Without telling it."""
        remove = self._scheduler.remove_worker
        self._run(remove, worker.address, stimulus_id="test", close=False)

    def close(self) -> None:
        self._run(self._scheduler.close)
        self._runner.stop()


@pytest.fixture
def hall(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hall]:
    monkeypatch.setattr(cluster, "memory_of", lambda training: training.epochs * GB / 10)
    monkeypatch.setattr(cluster, "REFRESH_SECONDS", 0.05)
    monkeypatch.setattr(remote, "prepare", lambda *_: None)  # what trains is not loaded here
    with silence_logging_cmgr(logging.CRITICAL + 1):
        hall = Hall(tmp_path)
        yield hall
        hall.close()
    while remote._PROCESSES:
        remote._PROCESSES.pop().close()


@pytest.fixture(scope="module")
def of() -> Callable[[int], Training]:
    """A training of so many epochs."""
    made = Training.on(load("planted:rows=600"), FSMDConfig(layers=(8,)))
    return lambda epochs: replace(made, epochs=epochs, patience=epochs)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the planner's side reads, in seconds."""
    now = [1000.0]
    monkeypatch.setattr(cluster, "monotonic", lambda: now[0])
    return now


def test_slots_are_those_of_what_needs_least_and_what_nobody_can_do_takes_none(
    hall: Hall, of: Callable[[int], Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads and 1 GB: two small ones at once, or one large and nothing beside it. What
    nobody can do takes no place, of as many as there are, and of two.
    """
    monkeypatch.setattr(ClusterWorkers, "_send", lambda *_: None)
    with hall.worker(GB), ClusterWorkers(hall.address) as workers:

        def slots_with(epochs: int) -> int:
            workers.submit(str, of(epochs))
            return workers.slots()

        given = (HUGE, HUGE, HUGE, LARGE, SMALL, LARGE, HUGE)
        slots = [2, 2 + 1, 2 + 2, 2 + 2, 1 + 2, 1 + 2, 1 + 2, 1 + 2]
        assert [workers.slots(), *map(slots_with, given)] == slots


def test_a_worker_started_as_it_was_asked_for_has_enough() -> None:
    said: dict[str, Any] = dict.fromkeys(("machine", "processor", "gpu"), "")
    for tenths in range(1, 2000):
        stated = parse_bytes(f"{tenths / 10:.1f}GB")
        facts = {"resources": {}, "nthreads": 1, "memory_limit": stated}
        member = Member.of(facts, {**said, "bfloat16": ()})
        assert member.capacity.at_once(Need(memory=tenths * 10**8)) == 1
    assert lack([member.capacity], [Need(memory=tenths * 10**8)]) == ""


@pytest.mark.parametrize("most", [None, 1, 2])
def test_beside_large_trainings_small_ones_are_asked_for_at_once(
    hall: Hall, of: Callable[[int], Training], monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    """However many at once are asked for: what is too large for all takes no place of them. And
    what is too large for most has as many as they can do, while the others wait for small ones.
    """
    monkeypatch.setattr(ClusterWorkers, "_send", lambda *_: None)
    with hall.worker(GB), ClusterWorkers(hall.address, most) as workers:
        until(lambda: workers._members)
        workers.submit(str, of(HUGE))
        assert workers.slots() == (most or 2) + 1
        assert workers.has_room([of(SMALL)])
        with hall.worker(2 * GB, threads=1):
            until(lambda: len(workers._members) == 2)
            assert workers.slots() == (most or 1 + 1)
            assert not workers.has_room([of(HUGE)])
            assert workers.has_room([of(SMALL)])


def test_of_what_waits_for_a_gpu_and_for_memory_neither_keeps_the_only_place(
    hall: Hall, of: Callable[[int], Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClusterWorkers, "_send", lambda *_: None)
    with hall.worker(GB), ClusterWorkers(hall.address, 1) as workers:
        until(lambda: workers._members)
        for waiting in (of(HUGE), replace(of(SMALL), runtime=Runtime("cuda"))):
            assert workers.has_room([waiting])
            workers.submit(str, waiting)
        assert workers.slots() == 1 + 2


def test_there_is_room_beside_what_was_sent_and_for_one_of_what_no_worker_can_do(
    hall: Hall, of: Callable[[int], Training], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ClusterWorkers, "_send", lambda *_: None)
    with ClusterWorkers(hall.address) as workers:

        def able() -> list[bool]:
            return [workers.has_room([of(epochs)]) for epochs in (SMALL, LARGE, HUGE)]

        workers.submit(str, of(HUGE))
        assert able() == [True, True, True]
        with hall.worker(GB):
            until(lambda: workers._members)
            assert able() == [True, True, False]
            assert not workers.has_room([of(2 * HUGE)])  # nor what needs more still
            assert not workers.has_room([of(SMALL), of(HUGE)])
            assert workers.has_room([replace(of(SMALL), runtime=Runtime("cuda"))])
            workers.submit(str, of(SMALL))
            assert able() == [True, False, False]
            with hall.worker(2 * GB):
                until(lambda: len(workers._members) == 2)
                assert able() == [True, False, False]  # HUGE has room there, and it was given
                workers.submit(str, of(SMALL))
                assert able() == [False, False, False]


def test_a_cluster_that_its_workers_have_left_says_so_once_and_waits(
    hall: Hall, clock: list[float]
) -> None:
    told = list[str]()
    with ClusterWorkers(hall.address, notify=told.append) as workers:
        with hall.worker(GB):
            until(lambda: workers._members)
        until(lambda: not workers._known)
        future = workers.submit(abs, -2)
        clock[0] += cluster.NOBODY_SECONDS
        until(lambda: told)
        clock[0] += cluster.NOBODY_SECONDS
        workers._look_for_nobody()
        with hall.worker(GB):
            assert future.result(60) == 2
    assert told == ["the cluster has no workers; waiting for the first one"]


def test_a_large_worker_that_left_is_waited_for(
    hall: Hall, of: Callable[[int], Training], clock: list[float]
) -> None:
    told = list[str]()
    with hall.worker(GB), ClusterWorkers(hall.address, notify=told.append) as workers:
        with hall.worker(2 * GB):
            until(lambda: len(workers._members) == 2)
        until(lambda: len(workers._members) == 1)
        future = workers.submit(str, of(HUGE))
        clock[0] += cluster.NOBODY_SECONDS
        until(lambda: told or future.done())
        assert told == [
            "a training takes up to 2.0GB of memory, and no worker has more than 1.0GB; start one "
            "with `dask worker --memory-limit 2.0GB`; waiting for one"
        ]
        with hall.worker(2 * GB):
            assert future.result(60) == str(of(HUGE))


def test_what_nobody_ever_could_do_ends_a_run_when_nothing_else_is_under_way(
    hall: Hall, of: Callable[[int], Training], clock: list[float], tmp_path: Path
) -> None:
    """Nor has been for a while: between two trainings there is a moment without any."""
    told, pipe = list[str](), tmp_path / "pipe"
    os.mkfifo(pipe)
    with hall.worker(GB), ClusterWorkers(hall.address, notify=told.append) as workers:
        hopeless = workers.submit(str, of(HUGE))
        other = workers.submit(os.open, str(pipe), os.O_RDONLY)
        until(other.running)
        clock[0] += cluster.NOBODY_SECONDS
        until(lambda: told or hopeless.done())
        os.close(os.open(pipe, os.O_WRONLY))  # which lets it go on
        other.result(60)
        clock[0] += cluster.NOBODY_SECONDS - 1
        workers._look_for_nobody()
        assert not hopeless.done()
        clock[0] += 1
        error = hopeless.exception(60)
    assert isinstance(error, UserError)
    assert told == [
        f"{str(error).partition(';')[0]}; start one with `dask worker "
        "--memory-limit 2.0GB`; waiting for one"
    ]


def test_what_somebody_could_do_is_waited_for_beside_what_nobody_could(
    hall: Hall, of: Callable[[int], Training], clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where another planner keeps all threads of a cluster busy."""
    monkeypatch.setattr(ClusterWorkers, "_send", lambda *_: None)
    told = list[str]()
    with hall.worker(GB), ClusterWorkers(hall.address, notify=told.append) as workers:
        until(lambda: workers._members)
        hopeless, other = (workers.submit(str, of(epochs)) for epochs in (HUGE, SMALL))
        clock[0] += 2 * cluster.NOBODY_SECONDS
        until(lambda: told)
        assert not hopeless.done()
        assert not other.done()


def test_what_the_client_looks_at_by_itself_takes_no_worker_away(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It asks for no workers, and keeps the answer where `scheduler_info` reads its own."""
    with hall.worker(GB), ClusterWorkers(hall.address) as workers:
        until(lambda: workers._members)
        nobody = {**workers._client.scheduler_info(), "workers": {}}
        monkeypatch.setattr(workers._client, "scheduler_info", lambda **_: nobody)
        workers._refresh()
        assert len(workers._members) == 1


def test_a_worker_that_the_scheduler_gives_up_while_it_is_accepted_is_none(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It said who it is, and is gone before it is told how much memory there is to offer."""
    with hall.worker(GB) as worker, ClusterWorkers(hall.address) as workers:
        until(lambda: workers._members)
        facts = workers._client.scheduler_info(n_workers=-1)["workers"][worker.address]
        monkeypatch.setattr(workers, "_refresh", lambda: None)  # which would see it too
        workers._members.clear()
        answer, answers = workers._answer, list[Any]()

        def answer_and_leave(address: str, of: Callable[[], Any]) -> Any:
            answers.append(answer(address, of))
            if len(answers) == 2:
                hall.give_up(worker)
            return answers[-1]

        monkeypatch.setattr(workers, "_answer", answer_and_leave)
        workers._ask(worker.address, facts)
        assert len(answers) == 2
        assert worker.address not in {*workers._known, *workers._members}
