"""SIGKILL at every SQL statement and every commit of a command, ours and Optuna's.

A process that has loaded everything forks one that runs the command and ends itself at the n-th,
then one that gives the same command again, and a third that audits what came of it. Trainings are
real, and run in the process that is killed; figures are left blank. Where a kill in a file leaves
the same rows and files as an earlier one did, the command is not given again.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import traceback
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import sqlalchemy as sa

from fsmd.config import digest
from reports import build as _reports  # noqa: F401
from studies import run as command_line
from studies import session as _session  # noqa: F401
from studies.search import confirmation
from tests.conftest import leave_figures_blank
from tests.faults.audit import Expected, Verdict, audit
from tests.faults.desk import Command, Desk, study
from tests.lab import Immediate

MOMENTS = ("before_cursor_execute", "commit")


def prepared(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """What is the same for all that is forked, and needs no thread."""
    from optuna.storages._rdb.storage import _VersionManager

    import fsmd.trainer  # noqa: F401
    from fsmd.data import load

    patch.setenv("FSMD_CACHE", str(cache))
    patch.setattr("studies.session.LocalWorkers", Immediate)
    patch.setattr(os, "fsync", lambda _: None)  # which is for power cuts
    leave_figures_blank(patch)
    patch.setattr("reports.page.files.pdf", lambda _: b"")
    for name, value in (("AT_LEAST", 1), ("WITH_NEAR", 1), ("AT_MOST", 2)):
        patch.setattr(confirmation, f"CONFIRM_{name}", value)
    read, scripts = _VersionManager._create_alembic_script, list[object]()

    def once(manager: _VersionManager) -> object:
        if not scripts:
            scripts.append(read(manager))
        return scripts[0]

    patch.setattr(_VersionManager, "_create_alembic_script", once)
    patch.setattr("studies.objectives.latency._least", lambda *_, **__: 0.001)
    load("planted:rows=600")
    with TemporaryDirectory(dir=cache) as folder:  # so that those that are forked import nothing
        desk = Desk(Path(folder))
        assert command_line.main([*desk.line(study(1, epochs=1))[3:], "--workers", "1"]) == 0


def forked(work: Callable[[], object], log: Path) -> tuple[int, str]:
    """Run in a process of its own: how that ended, and what it printed last."""
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 70
        try:
            with log.open("wb", buffering=0) as file:
                os.dup2(file.fileno(), 1)
                os.dup2(file.fileno(), 2)
            code = int(work() or 0)  # type: ignore[call-overload]
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status), log.read_text("utf-8", "replace")


def given(desk: Desk, command: Command, at: int | None = None) -> tuple[int, str]:
    """Give the command; end it at the `at`-th moment. Prints how many there were."""

    def work() -> int:
        count = 0

        def moment(*_: object) -> None:
            nonlocal count
            count += 1
            if count == at:
                os.kill(os.getpid(), signal.SIGKILL)

        for name in MOMENTS:
            sa.event.listen(sa.Engine, name, moment)
        os.environ["FSMD_CACHE"] = str(desk.cache)
        os.chdir(desk.folder)
        arguments = desk.line(command)[3:]
        code = command_line.main([*arguments, "--workers", "1"])
        print(f"moments: {count}")
        return code

    return forked(work, desk.folder / "log.txt")


_MOMENTARY = {"seconds", "finished_at", "created_at", "planner", "value", "machine"}
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def left_by(desk: Desk) -> str:
    """A digest of the rows that were committed and of the files, but for times and identities."""
    found = sorted(
        _UUID.sub("", str(path.relative_to(desk.folder)))
        for path in desk.folder.rglob("*")
        if not path.name.startswith(("studies.db-", "log.txt", ".fsmd-"))
    )
    copy = desk.folder.with_name("copy")
    copy.mkdir()
    for path in desk.folder.glob("studies.db*"):
        shutil.copy(path, copy)
    with closing(sqlite3.connect(copy / "studies.db")) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        for (table,) in sorted(tables.fetchall()):
            rows = connection.execute(f"SELECT * FROM {table}")
            kept = [
                i
                for i, column in enumerate(rows.description)
                if column[0] not in _MOMENTARY and not column[0].startswith("datetime")
            ]
            found += [table, *(_UUID.sub("", str([row[i] for i in kept])) for row in rows)]
    shutil.rmtree(copy)
    return digest(found)


class Statements:
    """The moments of one command, and what kills there leave."""

    def __init__(
        self, folder: Path, command: Command, new_storage: Callable[[], str] = str
    ) -> None:
        """Run it undisturbed first; new_storage: a new database's URL, if not a file."""
        self.folder, self.command, self.new_storage = folder, command, new_storage
        desk = self._desk("whole")
        code, told = given(desk, command)
        assert code == 0, told
        self.seen: set[str] = set()
        self.moments = int(told.rpartition("moments: ")[2])
        self.expected = Expected.of(desk, command)
        shutil.rmtree(desk.folder)

    def _desk(self, name: str) -> Desk:
        return Desk(self.folder / name, self.new_storage())

    def kill(self, at: int) -> Verdict | None:
        """End the command at a moment, and give it again; None where that was tried."""
        desk = self._desk(f"at{at}")
        code, told = given(desk, self.command, at)
        assert code == -signal.SIGKILL, (at, code, told)
        if self.new_storage is str:
            left = left_by(desk)
            if left in self.seen:
                shutil.rmtree(desk.folder)
                return None
            self.seen.add(left)
        code, told = given(desk, self.command)
        verdict = Verdict(unclear="Traceback" in told)
        assert code == 0, (at, told)

        def look() -> None:
            print(json.dumps(asdict(audit(desk, self.command, self.expected))))

        code, told = forked(look, desk.folder / "audit.txt")
        assert code == 0, told
        verdict += Verdict(**json.loads(told.splitlines()[-1]))
        if not any(vars(verdict).values()):
            shutil.rmtree(desk.folder)
        return verdict
