"""Nothing that happens to a process or a disk loses a training, or counts one twice.

Each fault befalls a real command. Then the same command is given again, until it comes to its
end, and what it has come to is audited beside an undisturbed serial run; see `tests.faults`.
"""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
import sqlalchemy as sa

from fsmd.training import Training, TrainingProgress, TrainingResult
from studies import catalog
from studies.definition import Study
from studies.options import STOPPED
from studies.planner.silence import EPOCHS_AT_LEAST, LOOK_SECONDS, Silence, unseen
from studies.store.database import open_engine
from studies.store.tables import RUNS
from studies.workers.local import LocalWorkers
from studies.workers.protocol import Deadline, awaited
from tests.faults import tiny
from tests.faults.audit import Expected, Verdict, audit
from tests.faults.desk import (
    Command,
    Desk,
    Running,
    alive,
    children_of,
    needs_proc,
    search,
    study,
)
from tests.faults.hanging import hang_once
from tests.faults.kills import undisturbed
from tests.lab import Immediate, Lab, result_of
from tests.postgres import NOBODY, Postgres, running

COMMAND, MORE, HUNT = study(3), study(4), search(6)
Test = TypeVar("Test", bound=Callable[..., object])


def slow(test: Test) -> Test:
    """Of commands that load all there is, several times."""
    return pytest.mark.timeout(1800)(pytest.mark.slow(test))  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------
# A worker that hangs
# ------------------------------------------------------------------------------------------


def told(done: float) -> list[tuple[str, TrainingProgress]]:
    return [("a training", TrainingProgress({}, done))]


def test_a_worker_hangs_when_it_has_been_silent_for_the_time_given() -> None:
    silence = Silence(600.0, began=1000.0)
    assert not silence.lasts(1600.0)
    silence.hear(1600.0, told(0.0), {"another"})
    assert silence.lasts(1601.0)
    assert silence.told == "the worker told nothing for 10 min or longer, and was ended"
    waits = Silence(600.0, began=1000.0)
    waits.begin(5000.0)  # until then no worker had it
    assert not waits.lasts(5600.0)


def test_where_epochs_take_long_silence_may_last_for_twenty_of_them() -> None:
    """An epoch took 100 s."""
    silence = Silence(600.0, began=0.0)
    for now, done in ((0.0, 2.0), (50.0, 2.5), (300.0, 5.0)):
        silence.hear(now, told(done), {"a training"})
    assert not silence.lasts(300.0 + EPOCHS_AT_LEAST * 100)
    assert silence.lasts(301.0 + EPOCHS_AT_LEAST * 100)


def test_time_in_which_the_planner_did_not_look_is_no_silence() -> None:
    """It was stopped for an hour, with its workers."""
    silence = Silence(600.0, began=0.0)
    silence.hear(500.0, told(1.0), {"a training"})
    gap = unseen(501.0, 4101.0)
    assert gap == 3600.0 - LOOK_SECONDS
    silence.skip(gap, 4101.0)
    assert not silence.lasts(4101.0)
    assert not silence.lasts(4101.0 + 590.0)
    assert silence.lasts(4101.0 + 600.0)
    assert unseen(500.0, 500.0 + LOOK_SECONDS) == 0.0
    begun = Silence(600.0, began=4100.0)  # meanwhile, as nothing was recorded for long
    begun.skip(gap, 4101.0)
    assert begun.began == 4101.0


def test_what_tells_nothing_in_its_first_epoch_may_take_long_for_it() -> None:
    """As a baseline's first tree on large data."""
    silence = Silence(600.0, began=0.0, from_the_first=False)
    assert not silence.lasts(10_000.0)
    silence.hear(10_000.0, told(2.0), {"a training"})
    assert not silence.lasts(10_000.0 + EPOCHS_AT_LEAST * 5_000.0)
    assert silence.lasts(10_001.0 + EPOCHS_AT_LEAST * 5_000.0)


def small_study() -> Study:
    found = catalog.get("tower_shape")
    assert isinstance(found, Study)
    return replace(found, arms=found.arms[:2], reference=found.arms[0].name, claims=())


@needs_proc
def test_a_worker_that_hangs_is_ended_and_its_training_tried_again(tmp_path: Path) -> None:
    """One is stopped, and hears nothing; one runs for ever."""
    engine = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    lab = Lab(engine, result_of, small_study(), tmp_path / "checkpoints")
    with LocalWorkers(2) as workers:
        planner = replace(lab.planner(workers), work=hang_once, silence=2.0)  # type: ignore[arg-type]
        before = workers.submit(os.getpid).result(30)  # all is loaded
        assert alive(before)
        tally = planner.run(lab.cells(2))
        assert (tally.trained, tally.failed, tally.lost) == (4, 0, 0)
        left = [pid for child in children_of(os.getpid()) for pid in children_of(child)]
        assert len(left) <= 2, "a worker that was ended lives on"
    retried = [detail for kind, detail in lab.events if kind == "retried"]
    assert retried == ["the worker told nothing for 2 s or longer, and was ended"] * 2
    assert set(lab.column(RUNS.c.status)) == {"done"}
    assert sorted(lab.column(RUNS.c.attempts)) == [1, 1, 2, 2]


@needs_proc
def test_what_is_waited_for_ends_too_where_its_worker_hangs() -> None:
    with LocalWorkers(1) as workers:
        workers.submit(os.getpid).result(30)
        with pytest.raises(Exception) as lost:  # noqa: PT011
            awaited(workers, workers.submit(time.sleep, 60), seconds=0.2)
        assert workers.lost(lost.value)
        assert awaited(workers, workers.submit(abs, -1)) == 1


SLOWLY = """
import time
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    time.sleep(0.01)
"""
"""A library that takes a minute to load, as on a machine where many wait for each processor."""
OUTLIVING_SECONDS = 20
"""Within which all that a planner has started must end; it mostly takes one."""


@needs_proc
@pytest.mark.parametrize(
    ("what", "ends"),
    [
        ("server stopped", "closed"),
        ("worker stopped", "killed"),
        ("server loading", "killed"),
        ("worker loading", "killed"),
        pytest.param("worker computing", "killed", marks=pytest.mark.slow),
    ],
)
def test_whatever_workers_do_they_end_with_the_planner(
    what: str, ends: str, tmp_path: Path
) -> None:
    path = [os.environ.get("PYTHONPATH", ""), str(Path(__file__).parent.parent)]
    if "loading" in what:
        (tmp_path / "lightning.py").write_text(SLOWLY)
        path.insert(0, str(tmp_path))
    told = tmp_path / "told"
    with told.open("wb") as file:  # a pipe would wait for whatever outlives the planner
        run = subprocess.run(
            [sys.executable, "-m", "tests.faults.outliving", what, ends],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path)},
            stdout=file,
            check=False,
            timeout=60,
        )
    assert run.returncode == (-signal.SIGKILL if ends == "killed" else 0)
    processes = list(map(int, told.read_text().split()))
    assert processes
    deadline = time.monotonic() + OUTLIVING_SECONDS
    while any(map(alive, processes)):
        assert time.monotonic() < deadline, "a process outlives the planner"
        time.sleep(0.02)


# ------------------------------------------------------------------------------------------
# The clock
# ------------------------------------------------------------------------------------------


def test_a_clock_that_is_set_back_or_forth_neither_ends_a_run_nor_holds_it_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    lab = Lab(engine, result_of, small_study(), tmp_path / "checkpoints")
    clock, given = time.time, list[float]()
    for day in (-1, 1):

        def work(
            trainings: Sequence[Training], _: Any, __: Any, ends: Deadline, day: int = day
        ) -> list[TrainingResult]:
            given.append(ends.at - time.monotonic())
            monkeypatch.setattr(time, "time", lambda: clock() + day * 86_400)
            return [result_of(training) for training in trainings]

        workers = Immediate()
        planner = replace(lab.planner(workers), work=work)
        planner.deadline = time.monotonic() + 60
        tally = planner.run(lab.cells(2 if day < 0 else 3))
        assert (tally.cut, tally.failed, tally.lost) == (0, 0, 0)
        assert 0 < min(given) <= max(given) <= 60


def test_nothing_is_measured_by_the_clock_that_may_be_set() -> None:
    """`time.time()` is of the machine's date; what ends or begins goes by the monotonic one."""
    packages = (Path(__file__).parent.parent / name for name in ("fsmd", "studies", "reports"))
    files = [file for package in packages for file in package.rglob("*.py")]
    assert len(files) > 100
    dated = re.compile(r"(?<!datetime\.)\btime\.time\(\)")
    assert [file.name for file in files if dated.search(file.read_text("utf-8"))] == []


# ------------------------------------------------------------------------------------------
# Ctrl-C
# ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("of_optuna", [False, True])
def test_ctrl_c_while_a_connection_is_given_back_is_no_traceback(
    of_optuna: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    engine = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    used = engine
    if of_optuna:
        lab = Lab(engine, result_of, small_study(), tmp_path / "checkpoints")
        used = lab.mirror().study._storage._backend.engine  # type: ignore[attr-defined]

    def interrupted(*_: object) -> None:
        sa.event.remove(used, "reset", interrupted)
        raise KeyboardInterrupt

    sa.event.listen(used, "reset", interrupted)
    with pytest.raises(KeyboardInterrupt), used.connect() as connection:
        connection.execute(sa.select(1))
    assert caplog.text == ""  # which would go to the terminal
    used.dispose()
    engine.dispose()


# ------------------------------------------------------------------------------------------
# Real commands
# ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def expected_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Command], Expected]:
    """What a command comes to without a mishap."""
    folder = tmp_path_factory.mktemp("serial")
    return lambda command: undisturbed(folder / f"{command.name}{command.expected}", command)


@pytest.fixture(scope="module")
def expected(expected_of: Callable[[Command], Expected]) -> Expected:
    return expected_of(COMMAND)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path / "desk")
    yield desk
    for started in desk.started:
        started.end()


def goes_on(desk: Desk, expected: Expected, *more: str, command: Command = COMMAND) -> None:
    """The same command comes to its end, and to what it would have come to."""
    again = desk.run(command, "--workers", "2", *more)
    assert again.code == 0, again.told
    assert "Traceback" not in again.told
    assert audit(desk, command, expected) == Verdict(), again.told


def training(desk: Desk, *more: str, command: Command = COMMAND) -> Running:
    """A command that has trained something, and goes on."""
    process = desk.start(command, "--workers", "2", *more)
    process.wait_for(lambda: desk.done() >= 2, 300)
    return process


ENDS = [
    (signal.SIGTERM, ()),
    (signal.SIGHUP, ()),
    (signal.SIGINT, ()),
    (signal.SIGINT, (0.0, 0.0)),
    (signal.SIGINT, (0.1, 0.5)),
]
"""A signal, and the seconds before it comes again."""


@slow
@needs_proc
@pytest.mark.parametrize(
    ("asked", "whom", "number", "gaps"),
    [
        (COMMAND, os.kill, signal.SIGTERM, ()),
        *((asked, os.killpg, *end) for asked in (COMMAND, HUNT) for end in ENDS),
    ],
    ids=lambda value: getattr(value, "name", None) or getattr(value, "__name__", str(value)),
)
def test_a_signal_ends_a_command_in_one_line(
    desk: Desk,
    expected_of: Callable[[Command], Expected],
    asked: Command,
    whom: Callable[[int, int], None],
    number: signal.Signals,
    gaps: Sequence[float],
) -> None:
    """`kill` ends the planner; a terminal tells all of its processes."""
    process = training(desk, command=asked)
    whom(process.pid, number)
    for gap in gaps:
        time.sleep(gap)
        with suppress(ProcessLookupError):  # it has ended by now
            whom(process.pid, number)
    code = process.process.wait(60)
    assert process.all_gone(), "a process outlives the planner"
    said = process.told.strip().splitlines()
    assert (code, said[-1]) == (128 + number, STOPPED)
    assert "Traceback" not in process.told
    goes_on(desk, expected_of(asked), command=asked)


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of its own; skips where none can be had."""
    folder.mkdir(parents=True)
    options = ["-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(["mount", *options], capture_output=True, check=False).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 2**12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


@slow
@needs_proc
@pytest.mark.parametrize(
    ("what", "code", "says"),
    [
        ("cache", 0, r"the checkpoint .* cannot be written, training goes on: .*No space left"),
        ("db", 2, r"its disk is full: make room, then give the same command"),
        ("out", 2, r"error: --out must be a folder that can be written; .*No space left"),
    ],
)
def test_a_disk_that_gets_full_in_the_middle_is_one_line(
    desk: Desk, expected: Expected, what: str, code: int, says: str
) -> None:
    with disk(desk.folder / what, 64 * 2**20) as full:
        (desk.folder / "db").mkdir(exist_ok=True)
        there = replace(desk, storage=f"sqlite:///{desk.folder}/db/studies.db")
        process = training(there)
        filler = fill(full)
        process.process.wait(300)
        assert process.all_gone()
        assert process.code == code, process.told
        assert re.search(says, process.told), process.told
        assert "Traceback" not in process.told
        filler.unlink()
        goes_on(there, expected)


@slow
@needs_proc
@pytest.mark.parametrize("what", ["cache", "db", "out"])
@pytest.mark.parametrize("why", ["full", "read-only"])
def test_a_place_that_cannot_be_written_at_the_start_is_one_line(
    desk: Desk, expected: Expected, what: str, why: str
) -> None:
    with disk(desk.folder / what, 64 * 2**20) as place:
        (desk.folder / "db").mkdir(exist_ok=True)
        there = replace(desk, storage=f"sqlite:///{desk.folder}/db/studies.db")
        filler = fill(place)
        if why == "read-only":
            filler.unlink()
            subprocess.run(["mount", "-o", "remount,ro", str(place)], check=True)
        refused(there, COMMAND)
        if why == "read-only":
            subprocess.run(["mount", "-o", "remount,rw", str(place)], check=True)
        else:
            filler.unlink()
        goes_on(there, expected)


def refused(desk: Desk, command: Command) -> None:
    """It ends with one line."""
    process = desk.run(command, "--workers", "2")
    lines = [line for line in process.told.splitlines() if line.startswith("error: ")]
    assert process.code == 2, process.told
    assert len(lines) == 1
    assert "Traceback" not in process.told


def of_nobody(*places: Path) -> tuple[str, ...]:
    """Let them belong to another user; the command by which one is started who is but a user.

    Such a one is root without the right to what belongs to others: he finds the interpreter,
    wherever root has it. Skips where nothing can be given to another user.
    """
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("needs root, and setpriv, to be another user")
    for place in places:
        for path in (place, *place.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
            path.chmod(0o755 if path.is_dir() else 0o644)
    rights = "-dac_override,-dac_read_search,-fowner"
    return ("setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}")


@slow
@needs_proc
@pytest.mark.parametrize("what", ["cache", "db", "out"])
@pytest.mark.parametrize("when", ["empty", "of an earlier run"])
def test_a_place_of_another_user_is_one_line_and_stays_as_it_was(
    desk: Desk, expected_of: Callable[[Command], Expected], what: str, when: str
) -> None:
    there = replace(desk, storage=f"sqlite:///{desk.folder}/db/studies.db")
    for name in ("cache", "db", "out"):
        (desk.folder / name).mkdir()
    if when == "of an earlier run":
        assert there.run(COMMAND, "--workers", "2").code == 0
    place = desk.folder / what
    as_user = replace(there, within=of_nobody(place))
    before = {path: path.stat().st_mtime_ns for path in desk.folder.rglob("*")}
    refused(as_user, MORE)
    after = {path: path.stat().st_mtime_ns for path in desk.folder.rglob("*")}
    changed = {path for path in (before.keys() | after) if before.get(path) != after.get(path)}
    assert not [path for path in changed if path == place or place in path.parents]
    assert not [path for path in after if path.name.startswith(".fsmd-")]
    assert there.done() == (0 if when == "empty" else COMMAND.expected), "something was trained"
    if when == "of an earlier run":
        for path in (place, *place.rglob("*")):
            os.chown(path, 0, 0)
        goes_on(there, expected_of(MORE), command=MORE)


@slow
@needs_proc
@pytest.mark.parametrize("who", ["worker", "fork server"])
def test_a_process_that_is_stopped_for_good_is_replaced(
    desk: Desk, expected: Expected, who: str
) -> None:
    process = training(desk, "--silence", "20s")
    server = next(pid for pid in children_of(process.pid) if children_of(pid))
    if who == "worker":
        os.kill(children_of(server)[0], signal.SIGSTOP)
    else:
        os.kill(server, signal.SIGSTOP)
        os.kill(children_of(server)[0], signal.SIGKILL)  # so that another is needed
    process.process.wait(400)
    assert process.code == 0, process.told
    assert "retried: " in process.told
    assert process.all_gone(), "a process outlives the planner"
    assert audit(desk, COMMAND, expected) == Verdict(), process.told


GREEDY = """
from dataclasses import replace
from studies import Arm
from tiny import STUDY as TINY

HUGE = Arm("huge", (("layers", (60_000, 60_000)),), (("learning_rate", 1.0),))
STUDY = replace(TINY, arms=(*TINY.arms, HUGE))
"""


@slow
def test_a_training_that_is_out_of_memory_costs_no_other(
    desk: Desk, expected: Expected, tmp_path: Path
) -> None:
    """It asks for 14 GB of 8."""
    (tmp_path / "greedy.py").write_text(GREEDY)
    shutil.copy(Path(tiny.__file__), tmp_path)
    few = replace(desk, memory=8 * 2**30)
    rest = COMMAND.arguments[1:]
    greedy = replace(COMMAND, arguments=(str(tmp_path / "greedy.py"), *rest))
    process = few.run(greedy, "--workers", "2")
    assert process.code == 1, process.told
    assert "3 trainings lost, for want of memory" in process.told
    assert "Traceback" not in process.told
    assert process.told.count("retried: ") == 6
    rows = expected.results.splitlines()
    assert {*rows} <= {*few.results(COMMAND).splitlines()}


@slow
def test_a_clock_that_is_set_back_in_the_middle_changes_nothing(
    desk: Desk, expected: Expected, tmp_path: Path
) -> None:
    """By a day, in each process, six seconds after it began."""
    (tmp_path / "sitecustomize.py").write_text(
        "import time\n"
        "clock, began = time.time, time.monotonic()\n"
        "time.time = lambda: clock() - 86_400 * (time.monotonic() - began > 6)\n"
    )
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    goes_on(replace(desk, environment={"PYTHONPATH": path}), expected)


@slow
def test_a_database_that_another_program_holds_for_seconds_is_waited_for(
    desk: Desk, expected: Expected
) -> None:
    process = training(desk)
    path = desk.storage.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, timeout=60)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        process.wait_for(lambda: "waiting up to 5 minutes" in process.told, 120)
        time.sleep(2)
        connection.rollback()
    process.process.wait(300)
    assert process.code == 0, process.told
    assert process.told.count("waiting up to") == 1
    assert audit(desk, COMMAND, expected) == Verdict(), process.told


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with running() as postgres:
        yield postgres


@slow
@needs_proc
@pytest.mark.parametrize("how", ["restarted", "killed"])
def test_a_database_server_that_comes_back_changes_nothing(
    desk: Desk, expected: Expected, server: Postgres, how: str
) -> None:
    there = replace(desk, storage=server.new_database())
    process = training(there)
    if how == "killed":
        server.kill()
        time.sleep(1)
        server.revive()
    else:
        server.stop()
        server.start()
    process.process.wait(300)
    assert process.code == 0, process.told
    assert "hunter2" not in process.told
    assert audit(there, COMMAND, expected) == Verdict(), process.told


# ------------------------------------------------------------------------------------------
# Kills
# ------------------------------------------------------------------------------------------


@slow
@needs_proc
@pytest.mark.timeout(4 * 3600)
@pytest.mark.parametrize("kind", ["kills", "ends", "statements"])
def test_signals_at_random_moments_and_at_every_statement_change_nothing(
    kind: str, tmp_path: Path
) -> None:
    base = "sqlite" if kind == "statements" else "sqlite,postgresql"
    asked = [sys.executable, "-m", "tests.faults", kind, "--folder", str(tmp_path)]
    count = ["--kills", "60"] if kind == "ends" else []
    run = subprocess.run(
        [*asked, "--databases", base, *count], cwd=Path(__file__).parent.parent, check=False
    )
    assert run.returncode == 0
