"""Several processes, and several versions, on one PostgreSQL server."""

import csv
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import pytest
import sqlalchemy as sa

from fsmd.errors import UserError
from reports.build import outline_of
from reports.results import read
from studies.planner.locking import only_planner
from studies.store import faults, schema
from studies.store.database import open_engine
from studies.store.locks import held
from studies.store.mirror import check_mirror, task_objectives
from studies.store.studies import study_names
from studies.store.tables import PLANNERS
from tests import made_up
from tests.lab import TASKS, Immediate
from tests.postgres import Postgres, closing_all
from tests.test_database import SECRET, everything, lab_in, refused, refused_or_nothing, write

TAKES_LONG = True
WAITS = 60.0
"""Seconds for what takes one on an idle machine."""


@pytest.fixture(autouse=True)
def quick_polls_and_nothing_left_open(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(faults, "POLL_SECONDS", 0.02)
    with closing_all():
        yield


@pytest.fixture
def url(server: Postgres) -> str:
    return server.new_database()


@contextmanager
def process(code: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Another Python process, which ends with the block."""
    command, pipe = [sys.executable, "-c", code, *arguments], subprocess.PIPE
    child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


@contextmanager
def administrator(url: str) -> Iterator[sa.Connection]:
    """A connection of nobody's, each of whose statements counts at once."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


def cut_the_lock(url: str) -> None:
    """End the connections that hold a lock of ours, as a restart or a network would."""
    holders = "SELECT pid, pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
    of_this = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    with administrator(url) as connection:
        ended = [row.pid for row in connection.execute(sa.text(f"{holders} AND {of_this}"))]
        assert ended
        there = sa.text("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(:ended)")
        while connection.scalar(there, {"ended": ended}):
            time.sleep(0.01)


def all_rows(engine: sa.Engine) -> dict[str, list[Any]]:
    """All of the database, ours and Optuna's, but for who may write."""
    found = sa.MetaData()
    found.reflect(engine)
    with engine.connect() as connection:
        return {
            name: sorted(map(str, connection.execute(sa.select(table)).all()))
            for name, table in found.tables.items()
            if name != PLANNERS.name
        }


# ------------------------------------------------------------------------------------------
# Processes
# ------------------------------------------------------------------------------------------

OPEN = """
import sys
from studies.store.database import open_engine
print("ready", flush=True)
sys.stdin.readline()
open_engine(sys.argv[1], create=True)
print("open")
"""


def test_of_processes_that_start_at_once_on_an_empty_database_one_makes_the_tables(
    server: Postgres, url: str
) -> None:
    log = server.folder / "log"
    before = log.read_text().count("ERROR")
    with process(OPEN, url) as one, process(OPEN, url) as two:
        for child in (one, two):
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in (one, two):
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        ends = [child.communicate(timeout=WAITS) for child in (one, two)]
    assert [out for out, _ in ends] == ["open\n"] * 2, ends
    assert log.read_text().count("ERROR") == before  # such as: the relation exists already
    with administrator(url) as connection:
        stamps = connection.execute(sa.text("SELECT version FROM fsmd_schema")).all()
        assert stamps == [(schema.VERSION,)]


HOLD = """
import sys
from studies.planner.locking import only_planner
from studies.store.database import open_engine
with only_planner(open_engine(sys.argv[1], create=True), sys.argv[2]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_study_is_one_processs_until_that_is_killed_and_other_studies_are_free(
    url: str,
) -> None:
    engine = open_engine(url, create=True)
    with process(HOLD, url, "mine") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="study 'mine' is being run by another process; wait"):
            take(engine, "mine")
        take(engine, "other")
        child.kill()
        child.wait()
        deadline = time.monotonic() + WAITS
        while time.monotonic() < deadline:  # the server has to notice
            with held(engine, "mine") as free:
                if free:
                    return
    raise AssertionError("the lock of a process that was killed stayed")


def take(engine: sa.Engine, study: str) -> None:
    with only_planner(engine, study):
        pass


# ------------------------------------------------------------------------------------------
# A planner that lost its lock
# ------------------------------------------------------------------------------------------


def test_whatever_an_overtaken_planner_would_write_is_refused(url: str, tmp_path: Path) -> None:
    """At each transaction of a study in turn: another planner came just before it."""
    undisturbed = lab_in(f"sqlite:///{tmp_path}/other.db", tmp_path)
    undisturbed.run(1, Immediate())
    lab, other = lab_in(url, tmp_path), open_engine(url, create=True)
    lab.mirror()
    seen = set[str]()
    overtaken: list[dict[str, list[Any]]] = []

    def overtake(connection: sa.Connection, _: object, statement: str, *__: object) -> None:
        kind = " ".join(statement.split()[:3])
        own = connection.info.get("fsmd_guards") is connection.get_transaction()
        if overtaken or kind in seen or connection.engine is other or own:
            return
        if statement.startswith(("INSERT", "UPDATE", "DELETE")) and PLANNERS.name not in kind:
            seen.add(kind)
            cut_the_lock(url)
            take(other, "tower_shape")
            overtaken.append(all_rows(other))

    def run() -> None:
        with only_planner(lab.engine, "tower_shape"):
            lab.run(1, Immediate())

    sa.event.listen(sa.Engine, "before_cursor_execute", overtake)
    try:
        while told := refused_or_nothing(run):
            assert "another process took 'tower_shape' over" in told
            assert all_rows(other) == overtaken.pop()
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", overtake)
    assert len(seen) >= 5
    assert any("trial" in kind for kind in seen)  # Optuna's tables, too
    assert everything(lab) == everything(undisturbed)


def test_what_a_planner_is_writing_comes_before_the_one_that_overtakes_it(url: str) -> None:
    ours, other = open_engine(url, create=True), open_engine(url, create=True)
    order: list[str] = []

    def overtake() -> None:
        with held(other, "mine") as free:
            assert free
            order.append("overtaken")

    with held(ours, "mine"), ours.begin() as connection:
        connection.execute(sa.text("DELETE FROM fsmd_costs"))
        cut_the_lock(url)
        thread = threading.Thread(target=overtake)
        thread.start()
        with administrator(url) as watching:
            waits = sa.text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
            deadline = time.monotonic() + WAITS
            while not watching.scalar(waits):
                assert time.monotonic() < deadline
                time.sleep(0.01)
        order.append("written")
    thread.join(WAITS)
    assert order == ["written", "overtaken"]


def test_a_lock_that_the_server_keeps_for_a_lost_connection_is_waited_for(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As when the network was cut, and only this side knows: nobody else took the study."""
    engine = open_engine(url, create=True)
    key = {"key": "fsmd/mine"}
    with held(engine, "mine"), administrator(url) as lost:
        cut_the_lock(url)
        lost.execute(sa.text("SELECT pg_advisory_lock(hashtextextended(:key, 0))"), key)
        writing = threading.Thread(target=write, args=(engine,))
        writing.start()
        told = ""
        deadline = time.monotonic() + WAITS
        while "does not give 'mine' back yet" not in told:
            assert time.monotonic() < deadline
            told += capsys.readouterr().err
            time.sleep(0.01)
        assert writing.is_alive()
        lost.execute(sa.text("SELECT pg_advisory_unlock(hashtextextended(:key, 0))"), key)
        writing.join(WAITS)
        assert not writing.is_alive()
        with held(open_engine(url, create=True), "mine") as free:
            assert not free


def test_connections_notice_a_cut_network_and_the_one_with_the_lock_may_be_idle(url: str) -> None:
    with open_engine(url, create=True).connect() as connection:
        assert connection.scalar(sa.text("SHOW idle_session_timeout")) == "0"
        driver: Any = connection.connection.dbapi_connection
        parameters = driver.info.get_parameters()
    assert (parameters["connect_timeout"], parameters["keepalives_idle"]) == ("10", "30")
    own = open_engine(f"{url}&connect_timeout=3", create=True)
    with own.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver.info.get_parameters()["connect_timeout"] == "3"


# ------------------------------------------------------------------------------------------
# Versions of the tables, on SQLite too
# ------------------------------------------------------------------------------------------

KINDS = pytest.mark.parametrize("kind", ["sqlite", "postgresql"])


@pytest.fixture
def place(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of an empty database."""
    if kind == "postgresql":
        return str(request.getfixturevalue("server").new_database())
    return f"sqlite:///{tmp_path}/studies.db"


def execute(url: str, *statements: str) -> None:
    with administrator(url) as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


@KINDS
@pytest.mark.parametrize(
    "earlier",
    ["DROP TABLE fsmd_schema", "DELETE FROM fsmd_schema", "UPDATE fsmd_schema SET version = 1"],
)
def test_tables_of_an_earlier_version_are_refused_and_left_as_they_are(
    place: str, earlier: str, tmp_path: Path
) -> None:
    lab = lab_in(place, tmp_path)
    lab.run(1, Immediate())
    lab.engine.dispose()
    execute(place, earlier, "DROP TABLE fsmd_planners")
    for create in (True, False):
        told = refused(partial(open_engine, place, create))
        assert told.startswith("an earlier version of fsmd made ")
        assert "use another --storage" in told
    with administrator(place) as connection:
        assert not sa.inspect(connection).has_table("fsmd_planners")


@KINDS
def test_tables_that_were_half_made_are_completed(place: str, tmp_path: Path) -> None:
    lab_in(place, tmp_path).engine.dispose()
    execute(place, "DELETE FROM fsmd_schema", "DROP TABLE fsmd_planners", "DROP TABLE fsmd_costs")
    lab_in(place, tmp_path).run(1, Immediate())
    assert study_names(open_engine(place)) == ("tower_shape",)


@KINDS
@pytest.mark.parametrize("create", [True, False], ids=["run", "report"])
def test_tables_of_a_newer_version_are_refused_and_left_as_they_are(
    place: str, create: bool
) -> None:
    open_engine(place, create=True)
    execute(place, "UPDATE fsmd_schema SET version = 77", "DROP TABLE fsmd_costs")
    told = refused(lambda: open_engine(place, create))
    assert told.startswith("a newer version of fsmd made ")
    assert f"of version 77, and this one knows version {schema.VERSION}; upgrade fsmd" in told
    assert "hunter2" not in told
    with administrator(place) as connection:
        assert not sa.inspect(connection).has_table("fsmd_costs")


@KINDS
def test_what_is_no_version_is_another_programs(place: str) -> None:
    open_engine(place, create=True)
    execute(place, "UPDATE fsmd_schema SET version = -1")
    assert "another program wrote -1 into the table fsmd_schema" in refused(
        lambda: open_engine(place)
    )


@KINDS
@pytest.mark.parametrize(
    ("version", "what_to_do"),
    [("v3.0.0.d", "optuna storage upgrade"), ("v99.0.0.a", "pip install -U optuna")],
)
def test_another_version_of_optunas_tables_is_told_before_anything_is_stored(
    place: str, version: str, what_to_do: str, tmp_path: Path
) -> None:
    lab = lab_in(place, tmp_path)
    lab.mirror()
    lab.engine.dispose()
    execute(place, f"UPDATE alembic_version SET version_num = '{version}'")
    engine = open_engine(place, create=True)
    told = refused(lambda: check_mirror(engine, "tower_shape", task_objectives(TASKS)))
    assert told.startswith("another version of Optuna made its tables of ")
    assert what_to_do in told
    assert "hunter2" not in told


# ------------------------------------------------------------------------------------------
# Reports
# ------------------------------------------------------------------------------------------


def test_a_report_finds_on_a_server_what_it_finds_in_a_file(url: str, tmp_path: Path) -> None:
    found = []
    for place in (f"sqlite:///{tmp_path}/studies.db", url):
        engine = open_engine(place, create=True)
        record = made_up.store_study(engine, replicates=2, rows=40)
        results = read(engine, record.name)
        found.append((outline_of(engine, record).lines, results.runs.to_csv(), str(results.test)))
        engine.dispose()
    assert found[0] == found[1]


# ------------------------------------------------------------------------------------------
# The real commands
# ------------------------------------------------------------------------------------------

RUN = """
import sys
from studies.store import faults
faults.PATIENCE_SECONDS = float(sys.argv[1])
from studies.run import main
if __name__ == "__main__":
    sys.exit(main(sys.argv[2:]))
"""


@dataclass(frozen=True)
class Commands:
    """`studies.run` on planted data of a few rows, from a folder of its own."""

    folder: Path
    storage: str

    @contextmanager
    def started(
        self, name: str, patience: float = 300.0, study: str = "tower_shape"
    ) -> Iterator[subprocess.Popen[str]]:
        script = self.folder / "run.py"
        script.write_text(RUN)
        given = ("--data", "planted:rows=600", "--epochs", "2", "--replicates", "2")
        where = ("--storage", self.storage, "--out", str(self.folder / "out"), "--name", name)
        command = [sys.executable, str(script), str(patience), study, *given, *where]
        pipe = subprocess.PIPE
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        with subprocess.Popen(
            [*command, "--workers", "2"], env=environment, stdout=pipe, stderr=pipe, text=True
        ) as child:
            try:
                yield child
            finally:
                child.kill()

    def run(self, name: str, patience: float = 300.0) -> tuple[int, str, str]:
        with self.started(name, patience) as child:
            out, err = child.communicate(timeout=400)
        return child.returncode, out, err

    def rows(self, name: str) -> list[list[str]]:
        """Of results.csv, but for the name of the study."""
        with (self.folder / "out" / name / "results.csv").open() as file:
            kept = [column for column in next(csv.reader(file)) if column != "study"]
            file.seek(0)
            return [[row[column] for column in kept] for row in csv.DictReader(file)]


def trained(url: str, name: str, at_least: int, child: subprocess.Popen[str]) -> None:
    """Wait until so many trainings of a study are stored."""
    count = sa.text("SELECT count(*) FROM fsmd_cells WHERE study = :name")
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline:
        assert child.poll() is None, child.communicate()
        with administrator(url) as connection:
            there = sa.inspect(connection).has_table("fsmd_cells")
            if there and (connection.scalar(count, {"name": name}) or 0) >= at_least:
                return
        time.sleep(0.1)
    raise AssertionError(f"{name} trains nothing")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_real_planners_share_a_server_that_restarts_and_come_to_what_they_do_alone(
    url: str, server: Postgres, tmp_path: Path
) -> None:
    alone = Commands(tmp_path / "alone", f"sqlite:///{tmp_path}/alone.db")
    together = Commands(tmp_path / "together", url)
    for commands in (alone, together):
        commands.folder.mkdir()
    code, _, err = alone.run("one")
    assert code == 0, err
    with together.started("one") as one, together.started("two") as two:
        trained(url, "one", 1, one)
        one.send_signal(signal.SIGSTOP)  # else it may have ended before the other one asks
        code, out, err = together.run("one")
        one.send_signal(signal.SIGCONT)
        assert code == 2, out
        assert f"study 'one' is being run by process {one.pid} on " in err
        trained(url, "one", 3, one)
        server.stop("immediate")
        time.sleep(2)
        server.start()
        told = [child.communicate(timeout=600) for child in (one, two)]
    assert (one.returncode, two.returncode) == (0, 0), told
    assert any("waiting up to 5 minutes: cannot use the database" in err for _, err in told)
    assert together.rows("one") == together.rows("two") == alone.rows("one")
    study = optuna.load_study(study_name="one", storage=url)
    cells = [(t.user_attrs["arm"], t.user_attrs["replicate"], t.state.name) for t in study.trials]
    assert len(cells) == len(set(cells)) == 8
    assert {state for *_, state in cells} == {"COMPLETE"}
    written = b"".join(p.read_bytes() for p in together.folder.rglob("*") if p.is_file())
    with administrator(url) as connection:
        stored = str(all_rows(connection.engine))
    assert SECRET not in "".join(out + err for out, err in told) + stored
    assert SECRET.encode() not in written


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_server_that_stays_away_ends_the_command_with_2_and_the_same_command_goes_on(
    url: str, server: Postgres, tmp_path: Path
) -> None:
    commands = Commands(tmp_path, url)
    with commands.started("one", patience=3.0) as child:
        trained(url, "one", 1, child)
        server.stop("immediate")
        try:
            _, err = child.communicate(timeout=300)
        finally:
            server.start()
    assert child.returncode == 2, err
    assert "wait until it answers, then give the same command" in err.splitlines()[-1]
    assert "Traceback" not in err
    assert SECRET not in err
    code, out, err = commands.run("one")
    assert code == 0, err
    assert "already there" in out
    assert len(commands.rows("one")) > 0
