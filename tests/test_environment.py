"""Odd environments, met by real processes: what can be done is done, what cannot is one line."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from fsmd.command_line import exit_code
from fsmd.config import FSMDConfig
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.training import Training
from studies import get
from studies.failure import may_pass
from studies.run import main
from studies.workers.local import LocalWorkers, processors
from studies.workers.worker import train_all
from tests.faults.hanging import broken, refusing
from tests.lab import Immediate, small_data

RUN = (sys.executable, "-m", "studies.run")
REPORT = (sys.executable, "-m", "reports.build")
FSMD = (sys.executable, str(Path(sys.executable).with_name("fsmd")))


def shell(command: str, folder: Path, **environment: str) -> "subprocess.CompletedProcess[str]":
    """A command line of a shell, which sees `$RUN`, `$REPORT` and `$FSMD`."""
    names = {"RUN": RUN, "REPORT": REPORT, "FSMD": FSMD}
    commands = {name: " ".join(parts) for name, parts in names.items()}
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"],
        cwd=folder,
        env={**os.environ, **commands, **environment},
        capture_output=True,
        text=True,
        errors="surrogateescape",
        check=False,
        timeout=120,
    )


# Output


@pytest.mark.parametrize(
    ("command", "code", "told"),
    [
        ("$RUN --list | head -1", 0, ""),
        ("$RUN --list >&-", 0, ""),
        ("$RUN --help | head -1", 0, ""),
        ("$FSMD run --list 2>&-", 0, ""),
        ("$RUN none 2>&-", 2, ""),
        ("$RUN --list <&- >&- 2>&-", 0, ""),
        ("$RUN --list >/dev/full", 2, "error: the output is lost: No space left on device\n"),
        ("$RUN none 2>/dev/full", 2, ""),
        ("$REPORT --help >/dev/full", 2, "error: the output is lost: No space left on device\n"),
    ],
)
def test_an_output_that_is_closed_or_full_is_no_fault_of_the_command(
    tmp_path: Path, command: str, code: int, told: str
) -> None:
    run = shell(command, tmp_path)
    assert (run.returncode, run.stderr) == (code, told)
    assert not list(tmp_path.iterdir())


PRINTED = """
from rich.console import Console
from fsmd.command_line import exit_code, print_lines
def run():
    print_lines("\\u22120.0123 \\u00b1 0.01 \\u2264 1 caf\\u00e9 \\u4e2d \\udcff")
    Console(stderr=True).print("\\u2212 \\u4e2d")
    return 0
raise SystemExit(exit_code(run, ""))
"""


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", "-0.0123 +/- 0.01 <= 1 cafe ? ?\n"),
        ("iso-8859-1", "-0.0123 \u00b1 0.01 <= 1 caf\u00e9 ? ?\n"),
        ("utf-8", "\u22120.0123 \u00b1 0.01 \u2264 1 caf\u00e9 \u4e2d ?\n"),
    ],
)
def test_what_an_encoding_lacks_is_printed_by_what_it_has(encoding: str, printed: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", PRINTED],
        env={**os.environ, "PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.decode(encoding) == printed
    assert run.stderr.decode(encoding) == ("\u2212 \u4e2d\n" if encoding == "utf-8" else "- ?\n")


# Imports


def test_no_file_of_the_folder_where_one_works_takes_the_place_of_a_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the worker processes neither, which import some before they know of a path."""
    for name in ("json", "random", "torch", "numpy", "argparse", "socket", "selectors", "rich"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('taken from here')\n")
    (tmp_path / "reports" / "figures").mkdir(parents=True)
    (tmp_path / "search_spaces").mkdir()
    for command in ("$RUN --list", "$FSMD run --list"):
        run = shell(command, tmp_path)
        assert (run.returncode, run.stderr) == (0, "")
    monkeypatch.chdir(tmp_path)
    with LocalWorkers(1) as workers:
        for name in ("json", "random", "selectors", "reports"):
            place = workers.submit(eval, f"__import__({name!r}).__file__").result(60)
            assert not place.startswith(str(tmp_path))


@pytest.mark.parametrize("package", ["studies", "reports", "search_spaces", "fsmd"])
def test_a_package_that_takes_the_place_of_ours_is_refused_at_the_start(
    tmp_path: Path, package: str
) -> None:
    (tmp_path / package).mkdir()
    run = shell("$FSMD run --list", tmp_path, PYTHONPATH=str(tmp_path))
    if run.returncode == 0 or "takes the place" not in run.stderr:
        pytest.skip("installed as a package, which no such folder hides")
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {tmp_path / package} takes the place of the toolkit's")
    assert run.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [package]


def test_a_study_of_ones_own_may_import_what_lies_beside_it(tmp_path: Path) -> None:
    (tmp_path / "beside_it.py").write_text("from studies import get\nNULL = get('null')\n")
    (tmp_path / "own.py").write_text("from beside_it import NULL as STUDY\n")
    before = list(sys.path)
    assert get(str(tmp_path / "own.py")).name == "null"
    assert sys.path == before


@pytest.mark.parametrize("place", ["fsmd/metrics", "studies/objectives"])
def test_a_faulty_file_in_a_folder_of_the_toolkit_is_named_and_hurts_no_other(
    tmp_path: Path, place: str
) -> None:
    """The folder is given one more place to look into, as a test may not write into it."""
    for name, text in (("cut", "def ("), ("wrong", "1 / 0"), ("leaves", "raise SystemExit(3)")):
        (tmp_path / f"{name}.py").write_text(text)
    package = place.replace("/", ".")
    code = (
        f"import {package} as package; package.__path__.append({str(tmp_path)!r}); "
        "from fsmd.folder import held; "
        f"held('{package}', 'X', int); print('went on')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout) == (0, "went on\n")
    told = run.stderr.splitlines()
    assert [line.split(", which is faulty: ")[0] for line in told] == [
        f"left out {place}/{name}.py" for name in ("cut", "leaves", "wrong")
    ]


# Workers


@pytest.mark.parametrize(
    ("groups", "files", "allowed"),
    [
        ("0::/", {"cpu.max": "max 100000"}, 64),
        ("0::/", {"cpu.max": "300000 100000"}, 3),
        ("0::/a/b", {"cpu.max": "max 100000", "a/cpu.max": "150000 100000"}, 2),
        ("0::/a/b", {"a/cpu.max": "800000 100000", "a/b/cpu.max": "20000 100000"}, 1),
        ("4:cpu,cpuacct:/d", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "1000"}, 64),
        ("4:cpuacct,cpu:/d", {"cpu/cpu.cfs_quota_us": "2500", "cpu/cpu.cfs_period_us": "1000"}, 3),
        ("5:memory:/d", {"cpu/cpu.cfs_quota_us": "2500", "cpu/cpu.cfs_period_us": "1000"}, 64),
        ("0::/", {"cpu.max": ""}, 64),
        ("nonsense", {"cpu.max": "100000 100000"}, 64),
    ],
)
def test_the_workers_are_as_many_as_a_containers_quota_lets_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    groups: str,
    files: dict[str, str],
    allowed: int,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: range(64), raising=False)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(f"{groups}\n")
    for name, text in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    assert processors(tmp_path) == allowed


def test_the_workers_are_as_many_as_the_affinity_lets_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
    assert processors(tmp_path) == 1
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert processors(tmp_path) == 1


def test_workers_are_started_when_there_is_something_to_do_and_need_no_semaphore(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a machine whose /dev/shm is read-only."""

    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("_multiprocessing.SemLock", refuse)
    files = len(os.listdir("/proc/self/fd")) if os.path.exists("/proc/self/fd") else 0
    with LocalWorkers(10_000) as workers:
        (first,) = {workers.submit(os.getpid).result(60) for _ in range(3)}
        assert first != os.getpid()
        asked = {
            name: workers.submit(os.getenv, name) for name in ("MPLBACKEND", "PYTHONSAFEPATH")
        }
        assert {name: future.result(60) for name, future in asked.items()} == {
            "MPLBACKEND": "agg",
            "PYTHONSAFEPATH": "1",
        }
        error = workers.submit(int, "x").exception(60)
        assert isinstance(error, ValueError)
        assert "In the worker process:" in "".join(error.__notes__)
        if files:
            assert len(os.listdir("/proc/self/fd")) < files + 12
    assert "PYTHONSAFEPATH" not in os.environ


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds processes in /proc"
)


def parent_and_threads() -> tuple[int, int]:
    return os.getppid(), len(os.listdir(f"/proc/{os.getppid()}/task"))


@needs_proc
def test_workers_outlive_the_process_that_forks_them_and_it_is_started_again() -> None:
    with LocalWorkers(2) as workers:
        server, threads = workers.submit(parent_and_threads).result(60)
        assert threads == 1  # others would not be in a worker, and what they hold stays held
        under_way = workers.submit(time.sleep, 0.5)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: Path(f"/proc/{server}/stat").read_text().split()[2] == "Z")
        (another,) = {workers.submit(os.getppid).result(60)}
        assert another not in (server, os.getpid())
        assert under_way.result(60) is None
    assert not Path(f"/proc/{another}").exists()


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@needs_proc
def test_the_workers_of_one_process_have_one_origin_and_end_with_those_who_asked() -> None:
    with LocalWorkers(1) as first:
        with LocalWorkers(1) as second:
            pids = [each.submit(os.getpid).result(60) for each in (first, second)]
            origins = {each.submit(os.getppid).result(60) for each in (first, second)}
            assert len(origins) == 1
        wait_until(lambda: Path(f"/proc/{pids[1]}/stat").read_text().split()[2] == "Z")
        assert first.submit(os.getpid).result(60) == pids[0]
    assert not any(Path(f"/proc/{pid}").exists() for pid in (*pids, *origins))


def test_too_few_processes_for_the_workers_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("studies.workers.local.serve_forks", refusing)
    with LocalWorkers(1) as workers:
        for _ in range(2):
            error = workers.submit(os.getpid).exception(60)
            assert str(error).startswith("no worker process can be started: Resource temp")
            assert isinstance(error, UserError)


def test_libraries_that_cannot_be_loaded_once_are_told_by_each_worker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("studies.workers.local.serve_forks", broken)
    training = Training(TrainingSettings().applied(FSMDConfig()), small_data().ref, 0)
    with LocalWorkers(2) as workers:
        workers.prepare()
        assert workers.submit(os.getpid).result(60) != os.getpid()
        error = workers.submit(train_all, [training], [Path("no")], None).exception(60)
    assert isinstance(error, UserError)
    assert "cannot be loaded: ModuleNotFoundError: import of lightning halted" in str(error)


UNCLOSED = """
import os
from studies.workers.local import LocalWorkers
if __name__ == "__main__":
    print(LocalWorkers(1).submit(os.getpid).result())
"""


def test_workers_that_nobody_closes_keep_no_program_from_its_end(tmp_path: Path) -> None:
    (tmp_path / "unclosed.py").write_text(UNCLOSED)
    run = subprocess.run(
        [sys.executable, str(tmp_path / "unclosed.py")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert not Path(f"/proc/{int(run.stdout)}").exists()


FEW = """
import time
from fsmd.command_line import exit_code
from studies.workers.local import LocalWorkers
def run():
    with LocalWorkers(99) as workers:
        for _ in range(99):
            workers.submit(time.sleep, 60)
    return 0
if __name__ == "__main__":
    raise SystemExit(exit_code(run, ""))
"""


def test_too_few_open_files_for_the_workers_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "few.py").write_text(FEW)
    run = shell(f"ulimit -n 24; {sys.executable} few.py", tmp_path)
    assert run.returncode == 2, run.stderr
    assert run.stderr.startswith("error: [Errno 24] Too many open files; give fewer --workers")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (ModuleNotFoundError("No module named 'matplotlib_inline'"), True),
        (RuntimeError("CUDA error: no kernel image is available"), True),
        (RuntimeError("can't start new thread"), True),
        (DeprecationWarning("is deprecated"), True),
        (OSError(28, "No space left on device"), True),
        (MemoryError(), True),
        (SystemExit(143), True),
        (ArithmeticError("the loss is not finite"), False),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("wrong"), False),
    ],
)
def test_a_fault_of_the_environment_is_no_fault_of_a_training(
    error: BaseException, passing: bool
) -> None:
    assert may_pass(error) == passing


@pytest.mark.parametrize("backend", ["module://none.backend", "garbage"])
def test_a_drawing_back_end_that_is_not_here_does_not_matter(backend: str) -> None:
    code = (
        "import sys; sys.orig_argv = ['python', '-m', 'studies.run']; import studies.start; "
        "import matplotlib; print(matplotlib.get_backend())"
    )
    environment = {**os.environ, "MPLBACKEND": backend, "MPLCONFIGDIR": "/dev/null/x"}
    run = subprocess.run(
        [sys.executable, "-c", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "agg\n"), run.stderr


def test_libraries_that_cannot_be_loaded_end_the_run_in_one_line_and_blame_no_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("studies.session.LocalWorkers", Immediate)
    monkeypatch.delattr("fsmd.trainer", raising=False)
    monkeypatch.setitem(sys.modules, "fsmd.trainer", None)
    assert main(["null", "--data", "planted:rows=2000", "--replicates", "1"]) == 2
    # After the line at the start; an old rich leaves an empty one between.
    _, told = filter(None, capsys.readouterr().err.splitlines())
    assert told.startswith("error: the libraries that train cannot be loaded: ModuleNotFoundError")
    with closing(sqlite3.connect(tmp_path / "studies.db")) as database:
        assert database.execute("SELECT count(*) FROM fsmd_runs").fetchall() == [(0,)]


# Ctrl-C

CUT_OFF = """
import os, signal
from fsmd.command_line import exit_code
raise SystemExit(exit_code(lambda: exec("os.kill(os.getpid(), signal.SIGTERM)"), "Stopped."))
"""


def test_a_command_that_is_ended_while_a_library_defines_something_has_its_exit_code(
    tmp_path: Path,
) -> None:
    """Which a dataclass does by `exec`."""
    (tmp_path / "cut_off.py").write_text(CUT_OFF)
    run = shell(f"exec {sys.executable} -m cut_off", tmp_path)
    assert (run.returncode, run.stderr.split()) == (128 + signal.SIGTERM, ["Stopped."])


SLOW_TO_END = """
import os, sys, time
from fsmd.command_line import exit_code
def run():
    try:
        os.write(1, b"ready\\n")
        time.sleep(60)
    finally:
        print("ending", flush=True)
        sys.stdin.readline()
    return 0
raise SystemExit(exit_code(run, "Stopped."))
"""


def test_more_ctrl_c_than_one_changes_nothing() -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job's is off
    try:
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW_TO_END],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    finally:
        signal.signal(signal.SIGINT, before)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "ending\n"
    for _ in range(3):
        process.send_signal(signal.SIGINT)
    _, told = process.communicate("go on\n", timeout=60)
    assert (process.returncode, told) == (130, "\nStopped.\n")


def test_an_error_of_ours_keeps_its_traceback() -> None:
    def run() -> int:
        raise RuntimeError("a fault of ours")

    with pytest.raises(RuntimeError, match="a fault of ours"):
        exit_code(run, "")
