"""A PostgreSQL server of the tests' own, where the machine has its programs."""

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

NOBODY = 65534
"""PostgreSQL refuses to run as root."""


def _program(name: str) -> str | None:
    packaged = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(packaged[-1]) if packaged else None)


@dataclass(frozen=True)
class Postgres:
    """A running server that listens on a socket in its folder."""

    folder: Path
    fsync: bool = False
    """Whether it waits for the disk."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def new_database(self) -> str:
        """The URL of an empty database; the password is nowhere asked for."""
        name = f"db{next(self._numbers)}"
        self._run("createdb", "-h", str(self.folder), "-U", "fsmd", name)
        return f"postgresql+psycopg://fsmd:hunter2@/{name}?host={self.folder}"

    @property
    def _start(self) -> tuple[str, ...]:
        fsync = "on" if self.fsync else "off"
        settings = f"-k {self.folder} -c listen_addresses= -c fsync={fsync}"
        return ("start", "-o", settings, "-l", str(self.folder / "log"))

    def start(self) -> None:
        self._control(*self._start)

    def stop(self, how: str = "fast") -> None:
        """As a restart does it: whoever is connected is cut off."""
        self._control("stop", "-m", how)

    def kill(self) -> None:
        """As a machine that loses its power: the server and all that it has started."""
        pid = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for each in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(each, signal.SIGKILL)

    def revive(self) -> None:
        """Start it after a kill, as soon as all of it is gone."""
        deadline = time.monotonic() + 60
        while self._run(
            "pg_ctl", "-D", str(self.folder / "data"), "-w", *self._start, check=False
        ):
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def _control(self, *arguments: str) -> None:
        self._run("pg_ctl", "-D", str(self.folder / "data"), "-w", *arguments)

    def initialize(self) -> None:
        flags = ("-U", "fsmd", "-A", "trust", "-E", "UTF8", "--no-sync")
        self._run("initdb", "-D", str(self.folder / "data"), *flags)

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        path = _program(program)
        assert path is not None
        run = subprocess.run(
            [path, *arguments],
            cwd=self.folder,
            stdout=subprocess.DEVNULL,  # a pipe would be held open by the server
            stderr=subprocess.DEVNULL,
            check=False,
            user=NOBODY if _is_root() else None,
            group=NOBODY if _is_root() else None,
            extra_groups=[] if _is_root() else None,
        )
        assert not check or run.returncode == 0, (program, arguments)
        return run.returncode


def _is_root() -> bool:
    return hasattr(os, "geteuid") and os.geteuid() == 0


def _memory() -> str | None:
    """A folder in memory, where it has room: from a disk it takes long to remove 300 files for
    each database."""
    folder = Path("/dev/shm")
    room = shutil.disk_usage(folder).free if os.access(folder, os.W_OK) else 0
    return str(folder) if room > 2**30 else None


@contextmanager
def running(fsync: bool = False) -> Iterator[Postgres]:
    """Skips the test where there is no server, or no driver for it."""
    pytest.importorskip("psycopg", reason="no driver for PostgreSQL")
    if not all(map(_program, ("initdb", "pg_ctl", "createdb"))):
        pytest.skip("no PostgreSQL server on this machine")
    # Not below pytest's folder, which only its owner may enter; and a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="pg", dir=None if fsync else _memory()) as folder:
        if _is_root():
            os.chown(folder, NOBODY, NOBODY)
        server = Postgres(Path(folder), fsync)
        server.initialize()
        server.start()
        try:
            yield server
        finally:
            server.stop("immediate")


@contextmanager
def closing_all() -> Iterator[None]:
    """Optuna's engines are not ours to end; psycopg warns of connections that nobody closes."""
    opened: list[Any] = []

    def remember(connection: Any, _: object) -> None:
        opened.append(connection)

    sa.event.listen(sa.pool.Pool, "connect", remember)
    yield
    sa.event.remove(sa.pool.Pool, "connect", remember)
    for connection in opened:
        connection.close()
