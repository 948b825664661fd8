"""A command as a user gives it, in a folder of its own, and the processes that it starts."""

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from fsmd.command_line import ENDS


@dataclass(frozen=True)
class Command:
    """What is run: a study or a search, and what it must come to."""

    name: str
    arguments: tuple[str, ...]
    is_search: bool
    expected: int
    """Trainings of a study, or configurations of a search."""


_TINY = str(Path(__file__).with_name("tiny.py"))
_SHARED = ("--data", "planted:rows=600", "--precision", "float32", "--device", "cpu")
_SEARCH = (
    *("pareto", "--space", "paper", "--sampler", "random", "--pruner", "none"),
    *("--baselines", "none", "--epochs", "1"),
)
"""Neither the sampler nor a pruner looks at the figures: the order in which two workers come to
their ends changes nothing, so that a serial run is comparable."""


def study(replicates: int, name: str = "tiny", epochs: int = 2) -> Command:
    """Four arms."""
    asked = (_TINY, "--name", name, "--epochs", str(epochs), "--replicates", str(replicates))
    return Command(name, (*asked, *_SHARED), False, 4 * replicates)


def search(trials: int, name: str = "hunt") -> Command:
    """With its best points on a fresh seed."""
    asked = (*_SEARCH, "--name", name, "--trials", str(trials), "--confirm", "1")
    return Command(name, (*asked, *_SHARED), True, trials)


@dataclass
class Desk:
    """Where a command is given."""

    folder: Path
    storage: str = ""
    """A server's URL; else a file of the folder."""
    environment: Mapping[str, str] = field(default_factory=dict)
    memory: int = resource.RLIM_INFINITY
    """Bytes of address space that each process may have."""
    within: Sequence[str] = ()
    """What starts it, such as for another network or with another user's rights."""
    started: list["Running"] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.storage = self.storage or f"sqlite:///{self.folder}/studies.db"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def line(self, command: Command, *more: str) -> list[str]:
        asked = (*command.arguments, "--storage", self.storage, "--out", str(self.folder / "out"))
        return [*self.within, sys.executable, "-m", "studies.run", *asked, *more]

    def start(self, command: Command, *more: str) -> "Running":
        """In a session of its own, by which all of its processes are found."""
        log = self.folder / "log.txt"
        with log.open("ab") as file:
            began = file.tell()
            process = subprocess.Popen(
                self.line(command, *more),
                cwd=self.folder,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "FSMD_CACHE": str(self.cache), **self.environment},
                preexec_fn=self._before,
            )
        self.started.append(Running(process, log, began))
        return self.started[-1]

    def run(self, command: Command, *more: str, timeout: float = 600) -> "Running":
        """Wait for its end."""
        running = self.start(command, *more)
        try:
            running.process.wait(timeout)
        finally:
            running.end()
        return running

    def _before(self) -> None:
        for number in ENDS:  # a background job ignores Ctrl-C, and so would its child
            signal.signal(number, signal.SIG_DFL)
        if self.memory != resource.RLIM_INFINITY:
            resource.setrlimit(resource.RLIMIT_AS, (self.memory, self.memory))

    def done(self) -> int:
        """Trainings that have ended; on a server, how many are begun."""
        path = self.storage.removeprefix("sqlite:///")
        if not self.storage.startswith("sqlite") or not os.path.exists(path):
            return len(list((self.cache / "checkpoints").rglob("*.ckpt")))
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)) as connection:
            try:
                query = "SELECT count(*) FROM fsmd_runs WHERE status = 'done'"
                return int(connection.execute(query).fetchone()[0])
            except sqlite3.OperationalError:  # the tables are not made yet
                return 0

    def results(self, command: Command) -> bytes:
        """What the report has of all that was measured."""
        return (self.folder / "out" / command.name / "results.csv").read_bytes()


@dataclass(frozen=True)
class Running:
    """A command that was started."""

    process: "subprocess.Popen[bytes]"
    log: Path
    began: int
    """Where its part of the log begins."""

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def told(self) -> str:
        """All that it has printed."""
        with self.log.open("rb") as file:
            file.seek(self.began)
            return file.read().decode()

    @property
    def code(self) -> int | None:
        return self.process.poll()

    def wait_for(self, condition: Callable[[], object], seconds: float = 120) -> None:
        """Until something is so, while it runs."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.code is None, self.told
            assert time.monotonic() < deadline, self.told
            time.sleep(0.02)

    def processes(self) -> list[str]:
        """What is left of it."""
        lines = []
        for pid in session_of(self.pid):
            with suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
                lines.append(f"{pid} {_stat(pid)} {command}")
        return lines

    def all_gone(self, seconds: float = 60) -> bool:
        """Whether all its processes end by themselves."""
        deadline = time.monotonic() + seconds
        while left := session_of(self.pid):
            if time.monotonic() > deadline:
                return not left
            time.sleep(0.02)
        return True

    def end(self) -> None:
        """End what is left of it."""
        for pid in session_of(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()


def session_of(leader: int) -> list[int]:
    """The living processes of a session, which all that a command starts belong to."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, _, _, session = _stat(int(entry.name))
                if session == leader and state not in "ZX":
                    found.append(int(entry.name))
    return found


def _stat(pid: int) -> tuple[str, int, int, int]:
    """State, parent, group and session."""
    after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return after[0], int(after[1]), int(after[2]), int(after[3])


needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds the workers in /proc"
)


def alive(pid: int) -> bool:
    """Whether there is such a process."""
    try:
        return _stat(pid)[0] not in "ZX"
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Those that have not ended."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [child for child in map(int, text.split()) if alive(child)]


def workers_of(pid: int) -> list[int]:
    """The training processes of a planner: children of the one that forks them."""
    return [worker for child in children_of(pid) for worker in children_of(child)]


def parents_in(leader: int) -> dict[int, int]:
    """The parent of each living process of a session, whichever thread has started it."""
    found = {}
    for pid in session_of(leader):
        with suppress(OSError):
            found[pid] = _stat(pid)[1]
    return found
