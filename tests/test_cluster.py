"""Trainings on a Dask cluster: of real processes, on loopback."""

import math
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from typing import Any, NoReturn

import pytest

pytest.importorskip("distributed")

import dask
import distributed
import psutil
from distributed import Client, Status
from distributed.comm.core import CommClosedError

from fsmd.config import FSMDConfig
from fsmd.data import load
from fsmd.data.files import cache_root
from fsmd.errors import UserError
from fsmd.training import Training, TrainingResult, train
from studies import catalog
from studies.machine import machine, multiplies_bfloat16
from studies.request import Request
from studies.session import run
from studies.start import ROOT
from studies.workers import cluster, joining, remote
from studies.workers.cluster import ClusterWorkers
from studies.workers.protocol import Deadline
from studies.workers.worker import train_all
from tests.cluster import Site, Wire, fast, kill_group, unreadable, until, wired
from tests.nap import nap

NOWHERE = "tcp://127.0.0.1:9"
"""Where nothing listens."""


def apart(*hidden: Path) -> tuple[str, ...]:
    """A command by which another one sees empty folders there, as on another machine."""
    mounts = "".join(f"mount -t tmpfs none '{folder}' && " for folder in hidden)
    as_root = () if os.getuid() == 0 else ("--user", "--map-root-user")
    return ("unshare", *as_root, "--mount", "sh", "-c", f'{mounts} exec "$@"', "sh")


def has_namespaces(folder: Path) -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run([*apart(folder), "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A cluster with one worker, on another machine as far as it can see: with a cache of its own.

    Where the system allows for it, the worker does not see ours.
    """
    folder = tmp_path_factory.mktemp("cluster")
    with Site(folder) as site:
        site.scheduler()
        within = apart(cache_root()) if has_namespaces(cache_root()) else ()
        own = {"FSMD_CACHE": str(folder / "cache")}
        site.worker("--no-nanny", "--memory-limit", "1GB", environment=own, within=within)
        yield site


@pytest.fixture(scope="module")
def workers(there: Site) -> Iterator[ClusterWorkers]:
    with ClusterWorkers(str(there.file)) as workers:
        assert workers.slots() == 1
        yield workers


@pytest.fixture(scope="module")
def training() -> Training:
    data = load("planted:rows=600")
    made = Training.on(data, FSMDConfig(layers=(8,)), seed=3)
    return replace(made, epochs=3, patience=3)


@pytest.fixture(scope="module")
def alone(training: Training, one_thread: None) -> TrainingResult:
    """As it is without a cluster."""
    return train(training)


def tokens() -> set[Path]:
    """What tells workers that they share our cache folder."""
    return set(cache_root().glob(".fsmd-*.lock"))


def figures(result: Any) -> tuple[object, ...]:
    assert isinstance(result, TrainingResult)
    steps = {"seconds"}
    kept = [m for m in result.measurements if m.metric not in steps]
    return kept, result.chosen_epochs, result.epochs, result.predictions


def test_a_training_that_is_paused_goes_on_elsewhere_with_the_same_numbers(
    workers: ClusterWorkers,
    there: Site,
    training: Training,
    alone: TrainingResult,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent, submit = list[int](), Client.submit

    def measured(client: Client, *args: Any, **kwargs: Any) -> Any:
        sent.append(len(pickle.dumps((args, kwargs))))
        return submit(client, *args, **kwargs)

    monkeypatch.setattr(Client, "submit", measured)
    checkpoint = cache_root() / "checkpoints" / tmp_path.name / f"{training.id}.ckpt"
    (paused,) = workers.submit(train_all, (training,), (checkpoint,), 2).result(120)
    assert isinstance(paused, TrainingResult)
    assert (paused.epochs, paused.finished) == (2, False)
    assert checkpoint.exists()
    told = [progress.done for _, progress in workers.messages()]
    assert told[-1:] == [2.0]
    future = workers.submit(train_all, (training,), (checkpoint,), None)
    (whole,) = future.result(120)
    assert figures(whole) == figures(alone)
    assert [progress.done for _, progress in workers.messages()][-1:] == [3.0]
    assert workers.machine(future) == machine()
    assert max(sent) < 8_000
    assert not list((there.folder / "scratch1").rglob("*.ckpt"))


def test_a_worker_fetches_data_that_it_has_not(there: Site, training: Training) -> None:
    if not has_namespaces(cache_root()):
        pytest.skip("no mount namespaces")
    copy = there.folder / "cache" / "encoded" / training.data.content_hash
    assert remote._holds(copy, training.data.content_hash)
    assert [path.name for path in copy.parent.iterdir() if path.is_dir()] == [copy.name]


def test_a_worker_that_is_fetching_is_not_silent(
    workers: ClusterWorkers, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long that takes: no training is at work yet."""
    if not has_namespaces(cache_root()):
        pytest.skip("no mount namespaces")
    asked, may, bring = Event(), Event(), ClusterWorkers._bring

    def slowly(*given: Any) -> None:
        asked.set()
        may.wait(60)
        bring(*given)

    monkeypatch.setattr(ClusterWorkers, "_bring", slowly)
    other = replace(training, data=load("planted:rows=610").ref, epochs=1)
    future = workers.submit(train_all, (other,), (cache_root() / "some.ckpt",), None)
    assert asked.wait(60)
    time.sleep(0.5)
    assert not future.running()
    may.set()
    until(lambda: future.running() or future.done())
    assert isinstance(future.result(120)[0], TrainingResult)


def test_what_a_worker_wants_is_heard_however_soon_it_says_so(
    workers: ClusterWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else it waits for ever, and so does the planner."""
    if not has_namespaces(cache_root()):
        pytest.skip("no mount namespaces")
    heard, bring, submit = Event(), ClusterWorkers._bring, Client.submit

    def brought(*given: Any) -> None:
        heard.set()
        bring(*given)

    def slowly(*args: Any, **kwargs: Any) -> Any:
        task = submit(*args, **kwargs)
        heard.wait(5)
        return task

    monkeypatch.setattr(ClusterWorkers, "_bring", brought)
    monkeypatch.setattr(Client, "submit", slowly)
    checkpoint = tmp_path / "some.ckpt"
    checkpoint.write_text("x")
    assert workers.submit(Path.read_text, checkpoint).result(10) == "x"


def test_what_is_taken_back_while_it_is_fetched_for_ends_no_run(
    workers: ClusterWorkers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that wants nothing any more has no place for what is sent."""
    if not has_namespaces(cache_root()):
        pytest.skip("no mount namespaces")
    asked, bring = SimpleQueue[Any](), ClusterWorkers._bring
    monkeypatch.setattr(ClusterWorkers, "_bring", lambda *given: asked.put(given))
    checkpoint = tmp_path / "some.ckpt"
    checkpoint.touch()
    future = workers.submit(os.fspath, checkpoint)
    given = asked.get(timeout=60)
    assert workers.withdraw(future)
    assert workers.submit(abs, -2).result(60) == 2  # the one thread is free
    bring(*given)


def test_where_a_call_was_done_that_nobody_began_is_not_known(workers: ClusterWorkers) -> None:
    assert workers.machine(Future()) == "unknown"


@pytest.mark.parametrize(
    ("work", "given"), [(time.sleep, 600), (signal.raise_signal, signal.SIGSTOP)]
)
def test_what_hangs_is_lost_when_it_is_ended_and_the_worker_goes_on(
    work: Callable[[int], None], given: int, workers: ClusterWorkers
) -> None:
    future = workers.submit(work, given)
    until(future.running)
    workers.end(future)
    error = future.exception(60)
    assert error is not None
    assert workers.lost(error)
    assert "tells nothing" in str(error)
    assert workers.submit(abs, -3).result(60) == 3


def test_what_no_worker_has_begun_is_taken_back_and_what_runs_is_not(
    workers: ClusterWorkers,
) -> None:
    first = workers.submit(time.sleep, 1)
    until(first.running)
    second = workers.submit(abs, -1)
    assert (workers.withdraw(first), workers.withdraw(second)) == (False, True)
    assert second.cancelled()
    assert workers.submit(abs, -2).result(60) == 2
    assert first.result(60) is None
    assert not workers.withdraw(first)


def test_a_process_that_dies_is_lost_and_the_worker_goes_on(workers: ClusterWorkers) -> None:
    future = workers.submit(os._exit, 3)
    error = future.exception(60)
    assert error is not None
    assert workers.lost(error)
    assert str(error) == "the worker process was killed"
    assert workers.submit(abs, -2).result(60) == 2


def test_an_answer_that_the_scheduler_takes_with_it_is_lost(
    workers: ClusterWorkers, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(_: distributed.Future[Any]) -> NoReturn:
        raise CommClosedError("in <TCP (closed)>: ConnectionResetError")

    with monkeypatch.context() as patch:
        patch.setattr(distributed.Future, "result", cut)
        error = workers.submit(abs, -1).exception(60)
    assert error is not None
    assert workers.lost(error)
    assert str(error) == "the scheduler is gone"


def test_a_deadline_holds_by_the_planners_clock_however_long_a_call_waits(
    there: Site, training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever that clock says: here a million seconds more than the worker's."""
    ahead = 1e6
    monkeypatch.setattr(cluster, "monotonic", lambda: time.monotonic() + ahead)
    with ClusterWorkers(there.address) as workers:
        first = workers.submit(nap)
        ends = [Deadline(time.monotonic() + ahead + seconds) for seconds in (0.5, 600.0)]
        paths = [(tmp_path / f"{n}.ckpt",) for n in range(2)]
        results = [
            workers.submit(train_all, (training,), path, None, end)
            for path, end in zip(paths, ends, strict=True)
        ]
        (late,), (whole,) = (each.result(120) for each in results)
        began, ended = first.result()
    assert ended - began > 0.5
    assert isinstance(late, TrainingResult)
    assert isinstance(whole, TrainingResult)
    assert (late.epochs, late.finished) == (1, False)
    assert (whole.epochs, whole.finished) == (training.epochs, True)


def test_whether_bfloat16_is_fast_is_asked_of_all_workers_and_not_of_this_machine(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "introduce", fast)
    assert not multiplies_bfloat16("cpu")  # by conftest
    told = list[str]()
    with ClusterWorkers(there.address, notify=told.append) as workers:
        assert workers.multiplies_bfloat16("cpu")
        assert not workers.multiplies_bfloat16("cuda")
        (member,) = workers._members.values()
        workers._members["another"] = replace(member, bfloat16=frozenset())
        assert not workers.multiplies_bfloat16("cpu")
    assert [line.partition(":")[0] for line in told] == [
        "some workers multiply bfloat16 fast and some do not"
    ]


def test_workers_that_are_unlike_each_other_are_told_of_once(there: Site) -> None:
    told = list[str]()
    with ClusterWorkers(there.address, notify=told.append) as workers:
        assert workers.slots() == 1
        (member,) = workers._members.values()
        other = replace(member, processor="Other", gpu="One")
        lines = [workers._unlike(each) for each in (other, other, replace(other, gpu="Two"))]
    kinds = "; ".join(sorted({member.processor, "Other"}))
    hang = ": the last digits of a figure hang on which of them trained"
    assert lines == [
        f"the workers have different processors ({kinds}){hang}",
        "",
        f"the workers have different GPUs (One; Two){hang}",
    ]
    assert told == []


def test_a_training_that_is_too_large_for_every_worker_is_told_with_what_to_start(
    there: Site, training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "NOBODY_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "memory_of", lambda _: 2 * 10**9)
    with ClusterWorkers(there.address) as workers:
        error = workers.submit(nap, training).exception(60)
    assert isinstance(error, UserError)
    assert str(error).startswith(
        "a training takes up to 2.0GB of memory, and no worker has more than 1.0GB; start one "
        "with `dask worker --memory-limit 2.0GB`"
    )


@pytest.mark.slow
def test_no_more_run_at_once_than_a_worker_has_memory_for(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Site(tmp_path) as site:
        site.scheduler()
        site.worker("--no-nanny", "--nthreads", "2", "--memory-limit", "1GB")
        with ClusterWorkers(site.address) as workers:

            def together(size: int, slots: int) -> bool:
                monkeypatch.setattr(cluster, "memory_of", lambda _: size)
                both = [workers.submit(nap, training) for _ in range(2)]
                assert workers.slots() == slots
                (began, ended), (other, over) = (each.result(300) for each in both)
                return max(began, other) < min(ended, over)

            assert workers.slots() == 2
            until(lambda: together(400_000_000, slots=2))
            assert not together(600_000_000, slots=1)


@pytest.mark.slow
def test_a_training_whose_machine_dies_goes_on_elsewhere_from_its_last_checkpoint(
    training: Training, one_thread: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No folder is shared: what the planner's machine was sent in time is all that is left."""
    if not has_namespaces(cache_root()):
        pytest.skip("no mount namespaces")
    for name in ("CHECKPOINT_SECONDS", "IDLE_TIMES", "REFRESH_SECONDS"):
        monkeypatch.setattr(cluster, name, 0.05)
    long = replace(training, epochs=40, patience=40)
    checkpoint = cache_root() / "checkpoints" / tmp_path.name / f"{long.id}.ckpt"
    call: Any = (train_all, (long,), (checkpoint,), None)
    with Site(tmp_path / "site") as site:
        site.scheduler()

        def another(name: str) -> subprocess.Popen[bytes]:
            own = {"FSMD_CACHE": str(tmp_path / name)}
            return site.worker("--no-nanny", environment=own, within=apart(cache_root()))

        first = another("first")
        with ClusterWorkers(site.address) as workers:
            future = workers.submit(*call)
            until(lambda: checkpoint.exists() or future.done(), 300)
            kill_group(first)
            error = future.exception(60)
            assert error is not None
            assert workers.lost(error)
            list(workers.messages())
            another("second")
            (whole,) = workers.submit(*call).result(300)
            begins = next(progress.done for _, progress in workers.messages())
    assert begins > 1
    assert figures(whole) == figures(train(long))
    checkpoint.unlink()


def test_closing_ends_a_training_that_runs(
    there: Site, training: Training, tmp_path: Path
) -> None:
    before, long = tokens(), replace(training, epochs=100_000, patience=100_000)
    with ClusterWorkers(there.address) as some:
        some.submit(train_all, (long,), (tmp_path / "some.ckpt",), None)
        until(lambda: list(some.messages()))
    with ClusterWorkers(there.address) as others:
        assert others.submit(abs, -2).result(20) == 2  # the one thread is free
    assert tokens() == before


def test_a_worker_of_another_version_gets_nothing_and_is_named(
    there: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = {**remote.versions(), "torch": "1.0", "fsmd": "abc"}
    monkeypatch.setattr(joining, "versions", lambda: ours)
    monkeypatch.setattr(cluster, "NOBODY_SECONDS", 0.0)
    told = list[str]()
    with ClusterWorkers(there.address, notify=told.append) as workers:
        with pytest.raises(UserError, match=r"torch [\d.+a-z]+ and not 1\.0; install what"):
            workers.slots()
        assert isinstance(workers.submit(abs, -2).exception(10), UserError)
    assert len(told) == 1
    assert "gets no trainings: it has fsmd" in told[0]


@pytest.mark.parametrize("act", ["introduce", "prepare"])
def test_what_a_worker_cannot_read_is_told_and_not_asked_for_ever(
    there: Site, act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, act, unreadable)
    monkeypatch.setattr(cluster, "NOBODY_SECONDS", 0.0)
    with (
        ClusterWorkers(there.address, notify=lambda _: None) as workers,
        pytest.raises(UserError, match=r"it cannot begin \(FileNotFoundError: .*/none such"),
    ):
        workers.slots()


def test_a_worker_without_the_toolkit_gets_nothing_while_others_do(
    there: Site, tmp_path: Path
) -> None:
    (tmp_path / "studies").mkdir()
    for empty in ("__init__.py", "workers.py"):  # no package, so that nothing is found below it
        (tmp_path / "studies" / empty).touch()
    told = list[str]()
    foreign = there.worker("--no-nanny", environment={"PYTHONPATH": str(tmp_path)})
    try:
        with ClusterWorkers(there.address, notify=told.append) as workers:
            until(lambda: told)
            assert workers.slots() == 1
            assert [workers.submit(abs, -n).result(60) for n in range(3)] == [0, 1, 2]
    finally:
        kill_group(foreign)
    assert len(told) == 1
    assert "gets no trainings: it cannot load fsmd (ModuleNotFoundError(" in told[0]


def test_a_scheduler_that_is_gone_for_good_ends_the_run_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "RECONNECT_SECONDS", 1.0)
    told = list[str]()
    with Site(tmp_path) as site:
        scheduler = site.scheduler()
        with ClusterWorkers(site.address, notify=told.append) as workers:
            future = workers.submit(abs, -2)
            kill_group(scheduler)
            error = future.exception(30)
            assert isinstance(error, UserError)
            assert "no Dask scheduler answers" in str(error)
            assert "the same command goes on from here" in str(error)
            with pytest.raises(UserError, match="no Dask scheduler"):
                workers.slots()
    assert told == ["the scheduler is gone; waiting for it, 1 s at most"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("http://head:8786", "must be tcp://HOST:PORT"),
        ("tcp://head", "must be tcp://HOST:PORT"),
        ("local:0", "must be tcp://HOST:PORT"),
        ("local:many", "must be tcp://HOST:PORT"),
        ("nothing.json", "No such file"),
        (NOWHERE, f"no Dask scheduler answers at {NOWHERE}"),
    ],
)
def test_what_is_no_cluster_is_told_in_a_line(
    given: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "CONNECT_SECONDS", 0.5)
    before, threads = tokens(), {*threading.enumerate()}
    with pytest.raises(UserError, match=said):
        ClusterWorkers(given)
    assert tokens() == before
    assert {*threading.enumerate()} <= threads


@pytest.mark.parametrize(
    ("given", "settings", "said"),
    [
        ("tls://127.0.0.1:9", {}, "asks for a certificate; name yours in"),
        (NOWHERE, {"require-encryption": True}, "require encryption, which tcp://127"),
        (
            "tls://127.0.0.1:9",
            {"tls.ca-file": "no.pem", "tls.client.cert": "no.pem"},
            "cannot be read: .*No such file",
        ),
    ],
)
def test_what_keys_lack_is_told_in_a_line(
    given: str, settings: dict[str, object], said: str
) -> None:
    with (
        dask.config.set({f"distributed.comm.{name}": v for name, v in settings.items()}),
        pytest.raises(UserError, match=said),
    ):
        ClusterWorkers(given)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"address": 3}', "\x00"])
def test_a_file_that_no_scheduler_wrote_is_told_in_a_line(text: str, tmp_path: Path) -> None:
    (tmp_path / "some.json").write_text(text)
    with pytest.raises(UserError, match="names no address"):
        joining.address_of(str(tmp_path / "some.json"))


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "studies.workers.cluster")
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"pip install 'fsmd\[cluster\]'"):
        run(Request(catalog.get("tower_shape"), cluster=NOWHERE))


@pytest.mark.slow
def test_a_worker_that_hangs_gets_nothing_before_it_answers_again(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.scheduler()
        first = site.worker("--no-nanny")
        with ClusterWorkers(site.address) as workers:
            future = workers.submit(time.sleep, 600)
            until(future.running)
            os.killpg(first.pid, signal.SIGSTOP)
            second = site.worker("--no-nanny")
            until(lambda: workers.slots() == 2)
            workers.end(future)
            error = future.exception(10)
            assert error is not None
            assert workers.lost(error)
            pids = {workers.submit(os.getppid) for _ in range(6)}
            assert len({each.result(30) for each in pids}) == 1
            kill_group(second)
            waiting = workers.submit(abs, -2)
            os.killpg(first.pid, signal.SIGCONT)
            assert waiting.result(60) == 2


@contextmanager
def dying() -> Iterator[None]:
    """The workers of local:N are killed as soon as they are started."""
    planner, over = psutil.Process(), Event()
    before = planner.children()

    def kill() -> None:
        while not over.is_set():
            for child in set(planner.children()) - set(before):
                with suppress(psutil.Error):
                    if any("spawn_main" in part for part in child.cmdline()):
                        child.kill()
            time.sleep(0.01)

    killer = Thread(target=kill)
    killer.start()
    try:
        yield
    finally:
        over.set()
        killer.join()


@pytest.mark.slow
def test_a_worker_that_dies_as_it_is_started_is_told_in_a_line() -> None:
    with (
        dying(),
        pytest.raises(UserError, match=r"cluster local:1 cannot be started \(Nanny failed"),
    ):
        ClusterWorkers("local:1")


@pytest.mark.slow
def test_a_worker_that_dies_as_it_is_started_again_is_not_given_up(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with ClusterWorkers("local:1", notify=lambda _: None) as workers:
        assert workers.slots() == 1
        (nanny,) = workers._local.workers.values()  # type: ignore[union-attr]
        nanny.process.process.kill()
        with dying():
            until(lambda: nanny.status == Status.closed)
        assert workers.submit(abs, -2).result(120) == 2
    assert "Traceback" not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_all_workers_that_are_there_count_from_the_beginning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cluster, "NOBODY_SECONDS", math.inf)  # however busy the machine is
    with ClusterWorkers("local:3") as workers:
        assert workers.slots() == 3


def test_without_any_worker_a_run_ends_when_its_time_is_up(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.scheduler()
        with ClusterWorkers(site.address, notify=lambda _: None, seconds=1.0) as workers:
            with pytest.raises(UserError, match="no worker came to the cluster in 1 s, the time"):
                workers.slots()
            waits = workers.submit(abs, -1)
            assert workers.withdraw(waits)
            assert waits.cancelled()


@pytest.mark.slow
def test_workers_that_come_and_go_are_noticed(tmp_path: Path) -> None:
    with Site(tmp_path) as site:
        site.scheduler()
        told = list[str]()
        with ClusterWorkers(site.address, notify=told.append) as workers:
            future = workers.submit(os.getpid)
            site.worker("--no-nanny")
            assert future.result(60)
            assert workers.slots() == 1
            second = site.worker("--no-nanny")
            until(lambda: workers.slots() == 2)
            kill_group(second)
            until(lambda: workers.slots() == 1)
            assert workers.submit(abs, -2).result(60) == 2


ADAPTIVE = """
import sys, time
from distributed import LocalCluster
if __name__ == "__main__":
    cluster = LocalCluster(n_workers=0, threads_per_worker=1, dashboard_address=":0")
    cluster.adapt(minimum=0, maximum=2, interval="500ms", target_duration="1s")
    print(cluster.scheduler_address, flush=True)
    sys.stdin.read()
"""


@pytest.mark.slow
def test_an_adaptive_cluster_starts_workers_for_what_waits(tmp_path: Path) -> None:
    (tmp_path / "adaptive.py").write_text(ADAPTIVE)
    command = [sys.executable, str(tmp_path / "adaptive.py")]
    environment = {**os.environ, "PYTHONPATH": ROOT}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout
        with ClusterWorkers(process.stdout.readline().strip(), most=4) as workers:
            futures = [workers.submit(time.sleep, 10) for _ in range(4)]
            ends = set[str]()
            until(lambda: len(workers._members) == 2, 120)
            for future in futures:
                assert future.result(120) is None
                ends.add(workers.machine(future))
            assert len(ends) == 1
            until(lambda: not workers._members, 120)  # idle ones go
            assert workers.submit(abs, -2).result(120) == 2
        process.communicate("")


def certified(folder: Path) -> tuple[str, ...]:
    """Options of Dask's processes for a certificate made now."""
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
            *("-subj", "/CN=fsmd", "-keyout", str(key), "-out", str(certificate)),
        ],
        capture_output=True,
        check=True,
    )
    return (
        *("--tls-ca-file", str(certificate)),
        *("--tls-cert", str(certificate), "--tls-key", str(key)),
    )


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl")
def test_a_cluster_asks_for_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = certified(tmp_path)
    _, authority, _, certificate, _, key = options
    tls = {"ca-file": authority, "client.cert": certificate, "client.key": key}
    with Site(tmp_path, options) as site:
        site.scheduler("--protocol", "tls")
        site.worker("--no-nanny", "--protocol", "tls")
        assert site.address.startswith("tls://")
        with (
            dask.config.set({f"distributed.comm.tls.{k}": v for k, v in tls.items()}),
            ClusterWorkers(site.address) as workers,
        ):
            assert workers.submit(abs, -2).result(60) == 2
        monkeypatch.setattr(cluster, "CONNECT_SECONDS", 2.0)
        with pytest.raises(UserError, match="no Dask scheduler answers at tcp"):
            ClusterWorkers(site.address.replace("tls:", "tcp:"))


@pytest.fixture
def wire() -> Iterator[Wire]:
    with wired() as wire:
        yield wire


@pytest.mark.slow
def test_a_network_that_is_cut_for_a_while_changes_nothing(
    wire: Wire,
    training: Training,
    alone: TrainingResult,
    tmp_path: Path,
) -> None:
    """The worker is on another network and sees none of our files."""
    with Site(tmp_path / "site") as site:
        site.scheduler(host=wire.here)
        within = (*wire.inside, *apart(cache_root()))
        site.worker(environment={"FSMD_CACHE": str(tmp_path / "cache")}, within=within)
        with ClusterWorkers(str(site.file)) as workers:
            checkpoint = tmp_path / f"{training.id}.ckpt"
            (paused,) = workers.submit(train_all, (training,), (checkpoint,), 1).result(120)
            assert isinstance(paused, TrainingResult)
            future = workers.submit(train_all, (training,), (checkpoint,), None)
            wire.cut()
            time.sleep(8)
            wire.mend()
            (whole,) = future.result(120)
    assert figures(whole) == figures(alone)
