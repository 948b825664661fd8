"""SIGKILL at every SQL statement and every commit of a command, ours and Optuna's.

A process that has loaded everything forks one that runs the command and ends itself at the n-th,
then one that gives the same command again, and a third that audits what came of it. Trainings are
real, and run in the process that is killed; figures are left blank.
"""

import json
import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from reports import build as _reports  # noqa: F401
from studies import run as command_line
from studies import session as _session  # noqa: F401
from studies.search import confirmation
from tests.conftest import leave_figures_blank
from tests.faults.audit import Expected, Verdict, audit
from tests.faults.desk import Command, Desk
from tests.lab import Immediate

MOMENTS = ("before_cursor_execute", "commit")


def prepared(patch: pytest.MonkeyPatch, cache: Path) -> None:
    """What is the same for all that is forked, and needs no thread."""
    import fsmd.trainer  # noqa: F401
    from fsmd.data import load
    from optuna.storages._rdb.storage import _VersionManager

    patch.setenv("FSMD_CACHE", str(cache))
    patch.setattr("studies.session.LocalWorkers", Immediate)
    patch.setattr(os, "fsync", lambda _: None)  # which is for power cuts
    leave_figures_blank(patch)
    patch.setattr("reports.page.files.pdf", lambda _: b"")
    for name, value in (("AT_LEAST", 1), ("WITH_NEAR", 1), ("AT_MOST", 2)):
        patch.setattr(confirmation, f"CONFIRM_{name}", value)
    read, scripts = _VersionManager._create_alembic_script, []

    def once(manager: _VersionManager) -> object:
        if not scripts:
            scripts.append(read(manager))
        return scripts[0]

    patch.setattr(_VersionManager, "_create_alembic_script", once)
    load("planted:rows=600")


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
        self.moments = int(told.rpartition("moments: ")[2])
        self.expected = Expected.of(desk, command)
        shutil.rmtree(desk.folder)

    def _desk(self, name: str) -> Desk:
        return Desk(self.folder / name, self.new_storage())

    def kill(self, at: int) -> Verdict:
        """End the command at a moment, and give it again."""
        desk = self._desk(f"at{at}")
        code, told = given(desk, self.command, at)
        assert code == -signal.SIGKILL, (at, code, told)
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

    def kill_all(self, at: Iterable[int]) -> tuple[int, Verdict]:
        """How many kills, and what was wrong after all of them."""
        count, verdict = 0, Verdict()
        for each in at:
            count, verdict = count + 1, replace(verdict)
            verdict += self.kill(each)
        return count, verdict
