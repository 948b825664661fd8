"""Whatever a database raises is one line without its password, or is waited for."""

import os
import random
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from fsmd.errors import UserError
from studies import catalog
from studies.definition import Study
from studies.planner.locking import only_planner
from studies.store import engines, faults
from studies.store.attempts import set_stopped
from studies.store.database import open_engine
from studies.store.faults import DatabaseBusy, patient, shown
from studies.store.locks import _ServerLock, held
from studies.store.mirror import open_mirror, task_objectives
from studies.store.runs import known_runs
from studies.store.studies import find_study, study_names, update_study
from studies.store.tables import CELLS, MEASUREMENTS, PREDICTIONS, RUNS, TEST_ROWS
from tests.lab import TASKS, Immediate, Lab, result_of
from tests.postgres import NOBODY, Postgres, closing_all

TAKES_LONG = True
CREATE = pytest.mark.parametrize("create", [True, False], ids=["run", "report"])


@pytest.fixture(autouse=True)
def nothing_left_open() -> Iterator[None]:
    with closing_all():
        yield


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are short."""
    monkeypatch.setattr(engines, "BUSY_SECONDS", 0.02)
    monkeypatch.setattr(faults, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(faults, "PATIENCE_SECONDS", 0.3)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/studies.db"


def a_study() -> Study:
    study = catalog.get("tower_shape")
    assert isinstance(study, Study)
    two = study.arms[:2]
    return replace(study, arms=two, reference=two[0].name, claims=(), tasks=())


def lab_in(url: str, folder: Path) -> Lab:
    return Lab(open_engine(url, create=True), result_of, a_study(), folder)


def everything(lab: Lab) -> dict[str, Any]:
    """What a run leaves, but for when and where."""
    with lab.engine.connect() as connection:
        cells = connection.execute(sa.select(CELLS)).all()
        runs = connection.execute(sa.select(RUNS.c.id, RUNS.c.status, RUNS.c.attempts)).all()
        measured = connection.execute(sa.select(MEASUREMENTS)).all()
    trials = [
        (t.user_attrs["arm"], t.user_attrs["replicate"], t.state.name, t.values, t.params)
        for t in lab.mirror().study.trials
    ]
    return {"cells": sorted(cells), "runs": sorted(runs), "measured": sorted(measured)} | {
        "trials": sorted(trials, key=str)
    }


def refused(work: Callable[[], object]) -> str:
    """What the user is told, in one line."""
    with pytest.raises(UserError) as refusal:
        work()
    told = str(refusal.value)
    assert len(told.splitlines()) == 1
    return told


# URLs


@CREATE
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("nonsense", "cannot open the database 'nonsense'"),
        ("", "cannot open the database ''"),
        ("nosuch://host/db", "a URL looks like sqlite:///studies.db or postgresql"),
        ("mysql+pymysql://host/db", "mysql is none of sqlite, postgresql"),
        ("postgresql+nosuch://host/db", "nothing here can speak to it"),
        ("oracle://host/db", "none of sqlite, postgresql"),
        ("postgresql://host:port/db", "a URL looks like"),
        ("sqlite://", "needs a database in a file"),
        ("sqlite:///:memory:", "needs a database in a file"),
        ("sqlite:///file:x.db?uri=true", "takes no options"),
        ("sqlite:///x.db?timeout=5", "write ? as %3F"),
        ("sqlite:////no/such/folder/x.db", "there is no folder /no/such/folder"),
        ("sqlite:///.", "this is a folder"),
        ("postgresql+asyncpg://host/db", "asyncpg"),
        ("postgresql+psycopg://bob:p@ss@host/db", "write @ / ? of a user or a password as %40"),
        ("postgresql+psycopg://u@127.0.0.1:1/db", "check host, port, the database"),
    ],
)
def test_a_url_that_cannot_be_used_is_told_with_what_can(
    url: str, told: str, create: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if "+psycopg:" in url:
        pytest.importorskip("psycopg")
    assert told in refused(lambda: open_engine(url, create))
    assert list(tmp_path.glob("*")) == []


@pytest.mark.parametrize(
    ("module", "package"),
    [
        ("postgresql+psycopg", "'fsmd[postgres]'"),
        ("postgresql+psycopg2", "psycopg2-binary"),
        ("postgresql+pg8000", "pg8000"),
    ],
)
def test_of_a_missing_driver_its_package_is_named(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("psycopg", "psycopg2", "pg8000"):
        monkeypatch.setitem(sys.modules, name, None)
    told = refused(lambda: open_engine(f"{module}://bob:hunter2@db/x", create=True))
    assert told.endswith(f"pip install {package}")
    assert "hunter2" not in told


SECRET = "hunter2"
AROUND = st.text(alphabet="ab12@:/?#%&=+ {}[]\\'\"\n\x00é;", max_size=4)
PLACES = (
    "{scheme}://bob:{secret}@{host}/{name}",
    "{scheme}://:{secret}@{host}/{name}",
    "{scheme}://bob@{host}/{name}?password={secret}",
    "{scheme}://{host}/{name}?user=bob&sslpassword={secret}&x=1",
    "{scheme}://bob:{secret}@{host}:port/{name}",
    "{scheme}:/bob:{secret}@{host}/{name}",
    "{scheme}:bob:{secret}@{host}",
    "bob:{secret}@{host}/{name}",
    "host={host} user=bob password={secret}",
    "{scheme}:///{name}?host=/none&passwd={secret}",
)
SCHEMES = ("postgresql+psycopg", "mysql+pymysql", "sqlite", "pg")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    place=st.sampled_from(PLACES),
    scheme=st.sampled_from(SCHEMES),
    host=st.sampled_from(["127.0.0.1:1", "[::1]:1", ""]),
    name=st.sampled_from(["db", "", "a b"]),
    around=st.tuples(AROUND, AROUND),
    quoted=st.booleans(),
    create=st.booleans(),
)
def test_no_url_shows_its_password_or_a_traceback(
    *,
    place: str,
    scheme: str,
    host: str,
    name: str,
    around: tuple[str, str],
    quoted: bool,
    create: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Though the driver repeats all that it was given."""
    monkeypatch.chdir(tmp_path)
    driver = pytest.importorskip("psycopg")

    def quoting(*given: object, **named: object) -> None:
        raise driver.OperationalError(f"cannot connect by {given} {named}")

    monkeypatch.setattr(driver, "connect", quoting)
    secret = around[0] + SECRET + around[1]
    url = place.format(
        scheme=scheme, host=host, name=name, secret=quote(secret) if quoted else secret
    )
    if scheme == "sqlite" and url.startswith("sqlite:///"):
        return  # a path, which has no password
    assert SECRET not in refused(lambda: open_engine(url, create))
    assert SECRET not in shown(url)
    assert list(tmp_path.iterdir()) == []


def test_a_url_is_shown_as_it_was_given_but_for_the_password() -> None:
    assert shown("postgresql://bob:x@db:5432/n") == "postgresql://bob:***@db:5432/n"
    assert shown(sa.make_url("mysql+pymysql://bob:p%40@db/n")) == "mysql+pymysql://bob:***@db/n"
    assert shown("sqlite:///studies.db") == "sqlite:///studies.db"
    assert shown("mysql://db/n?charset=utf8&passwd=x") == "mysql://db/n?charset=utf8&passwd=***"


NAMES = ("run#3", "what?", "50%", "a%20b", "a b", "{x}", "{0}", "a&b", "x?y&z", "é", "'", '"', "@")


@pytest.mark.parametrize("name", NAMES)
def test_run_and_report_use_the_same_file_whatever_its_folder_is_called(
    tmp_path: Path, name: str
) -> None:
    folder = tmp_path / (name if name != "a%20b" else "a b")  # as SQLAlchemy reads it
    folder.mkdir()
    url = f"sqlite:///{tmp_path}/{name}/new.db"
    lab = lab_in(url, tmp_path)
    lab.record()
    lab.mirror()
    assert study_names(open_engine(url)) == ("tower_shape",)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {
        *("new.db", "new.db-wal", "new.db-shm", "new.db.lock")
    }
    assert list(tmp_path.iterdir()) == [folder]


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.text(alphabet="ab#?%&={}[] +~;:@\\'\"$!`\n\té<>|*2F", min_size=1, max_size=12))
@example(name="a?b=c")
@example(name="%00")
def test_any_file_name_is_refused_or_used_by_run_and_report_alike(
    tmp_path: Path, name: str
) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.mkdir()
    url = f"sqlite:///{tmp_path}/{name}"
    if told := refused_or_nothing(lambda: open_engine(url, create=True).dispose()):
        assert told == refused(lambda: open_engine(url))
        assert list(tmp_path.iterdir()) == []
        return
    assert refused_or_nothing(lambda: open_engine(url).dispose()) == ""
    assert len([p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".lock"]) == 1


def refused_or_nothing(work: Callable[[], object]) -> str:
    try:
        work()
    except UserError as error:
        return str(error)
    return ""


# What is none of ours, or damaged


@CREATE
@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("CREATE TABLE studies (id INTEGER, title TEXT)", "another program made the table"),
        ("CREATE TABLE trials (name TEXT)", "another program made the table"),
        ("CREATE TABLE fsmd_studies (name TEXT, kind TEXT)", "has no definition or stated"),
        ("CREATE VIEW fsmd_runs AS SELECT 1 AS id", "has no status or data"),
    ],
)
def test_tables_of_our_names_that_another_program_made_are_refused_and_left_as_they_are(
    url: str, statement: str, told: str, create: bool
) -> None:
    if not create:
        open_engine(url, create=True)
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        made = statement.split()[2]
        connection.execute(f"DROP TABLE IF EXISTS {made}")
        connection.execute(statement)
        # Python 3.13 dumps nothing where keys refer to such a table of ours.
        dumped = not made.startswith("fsmd_")
        before = list(connection.iterdump()) if dumped else []
        assert told in refused(lambda: open_engine(url, create))
        if dumped:
            assert list(connection.iterdump()) == before


@pytest.mark.parametrize("create", [False, True])
def test_a_database_that_is_refused_is_left_closed(
    url: str, create: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_engine(url, create=True)
    connect, made = sqlite3.connect, list[sqlite3.Connection]()
    with closing(connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE trials (name TEXT)")

    def noted(*args: Any, **options: Any) -> sqlite3.Connection:
        made.append(connect(*args, **options))
        return made[-1]

    monkeypatch.setattr("sqlite3.dbapi2.connect", noted)
    assert "another program" in refused(lambda: open_engine(url, create))
    assert made
    for connection in made:
        with pytest.raises(sqlite3.ProgrammingError, match="closed database"):
            connection.execute("SELECT 1")


def test_a_table_with_another_key_or_what_we_do_not_fill_is_another_programs(url: str) -> None:
    open_engine(url, create=True).dispose()
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("ALTER TABLE fsmd_costs ADD COLUMN owner TEXT NOT NULL DEFAULT ''")
    assert "another program made the table fsmd_costs" in refused(lambda: open_engine(url))


def test_a_database_that_lost_a_table_is_refused_with_what_to_do(url: str) -> None:
    engine = open_engine(url, create=True)
    with engine.begin() as connection:
        connection.execute(sa.text("DROP TABLE fsmd_test_rows"))
    with pytest.raises(UserError, match="no table fsmd_test_rows any more"):
        open_engine(url)
    open_engine(url, create=True)
    open_engine(url)


@CREATE
def test_a_table_that_an_earlier_version_made_is_refused_and_left_as_it_is(
    url: str, create: bool
) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("CREATE TABLE fsmd_studies (name TEXT, definition TEXT)")
        told = refused(lambda: open_engine(url, create))
        assert "its table fsmd_studies has no kind or stated or plan" in told
        (table,) = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    assert table == ("fsmd_studies",)


@CREATE
def test_a_file_that_is_no_database_is_told_and_left_as_it_is(url: str, create: bool) -> None:
    path = Path(url.removeprefix("sqlite:///"))
    path.write_bytes(b"Dear diary, " * 1000)
    told = refused(lambda: open_engine(url, create))
    assert "damaged, or no database" in told
    assert path.read_bytes() == b"Dear diary, " * 1000


def test_overwritten_pages_are_told_wherever_they_are(url: str, tmp_path: Path) -> None:
    """Every page but the first, one after the other: what reads them ends in one line."""
    lab = lab_in(url, tmp_path)
    lab.run(2, Immediate())
    path, page, seen = tmp_path / "damaged.db", 4096, 0
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole = Path(url.removeprefix("sqlite:///")).read_bytes()
    for start in range(page, len(whole), page):
        for beside in tmp_path.glob("damaged.db*"):
            beside.unlink()
        path.write_bytes(whole[:start] + b"\xa5" * page + whole[start + page :])
        seen += "damaged" in refused_or_nothing(lambda: _read_all(f"sqlite:///{path}"))
    assert seen > 4


def _read_all(url: str) -> None:
    engine = open_engine(url)
    try:
        study_names(engine)
        with engine.connect() as connection:
            for table in (RUNS, CELLS, MEASUREMENTS, PREDICTIONS, TEST_ROWS):
                connection.execute(sa.select(sa.func.count()).select_from(table))
                columns: list[Any] = [sa.type_coerce(c, sa.types.NullType()) for c in table.c]
                connection.execute(sa.select(*columns)).all()
    finally:
        engine.dispose()


# Disks and permissions


def test_a_disk_that_fills_up_ends_a_run_in_one_line_and_the_next_goes_on(
    url: str, tmp_path: Path
) -> None:
    undisturbed = lab_in(f"sqlite:///{tmp_path}/other.db", tmp_path)
    undisturbed.run(4, Immediate())
    lab = lab_in(url, tmp_path)
    lab.mirror()

    def limit(connection: Any, *_: object) -> None:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count={pages + 2}")

    stops = 0
    while True:
        lab.engine.dispose()
        sa.event.listen(lab.engine, "connect", limit)
        if not (told := refused_or_nothing(lambda: lab.run(4, Immediate()))):
            break
        assert "its disk is full: make room, then give the same command" in told
        stops += 1
        sa.event.remove(lab.engine, "connect", limit)
    assert stops >= 1
    assert everything(lab) == everything(undisturbed)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("this user may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)  # though it is in use


@pytest.mark.skipif(shutil.which("mount") is None, reason="there is no mount")
def test_a_real_disk_that_is_full_is_told_and_once_there_is_room_the_run_goes_on(
    tmp_path: Path,
) -> None:
    (tmp_path / "disk").mkdir()
    undisturbed = lab_in(f"sqlite:///{tmp_path}/other.db", tmp_path)
    undisturbed.run(2, Immediate())
    with small_disk(tmp_path / "disk") as disk:
        url = f"sqlite:///{disk}/studies.db"
        told = refused(lambda: lab_in(url, tmp_path).run(2, Immediate()))
        assert "disk" in told
        subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
        lab = lab_in(url, tmp_path)
        lab.run(2, Immediate())
        assert everything(lab) == everything(undisturbed)
        lab.engine.dispose()


def as_nobody(work: Callable[[], object]) -> str:
    """What the user is told, in a process whose user may not write everywhere."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        told = "no UserError"
        try:
            if os.geteuid() == 0:
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            told = refused_or_nothing(work)
        except BaseException as error:
            told = f"{type(error).__name__}: {error}"
        finally:
            os.write(write, told.encode())
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return told


@pytest.fixture
def open_folder(tmp_path: Path) -> Iterator[Path]:
    """A folder that anybody may look into."""
    opened = []
    for folder in (tmp_path, *tmp_path.parents):
        mode = folder.stat().st_mode
        if os.geteuid() == 0 and mode & 0o005 != 0o005 and folder.owner() == "root":
            opened.append((folder, mode))
            folder.chmod(mode | 0o005)
    yield tmp_path
    for folder, mode in opened:
        folder.chmod(mode)


def test_a_report_reads_a_database_in_a_folder_that_cannot_be_written(open_folder: Path) -> None:
    url = f"sqlite:///{open_folder}/kept/studies.db"
    (open_folder / "kept").mkdir()
    lab = lab_in(url, open_folder)
    lab.run(1, Immediate())
    lab.engine.dispose()
    (open_folder / "kept").chmod(0o555)
    before = sorted(path.name for path in (open_folder / "kept").iterdir())

    def report() -> None:
        engine = open_engine(url)
        assert find_study(engine, "tower_shape") is not None
        assert len(known_runs(engine, lab.done)) == len(lab.done)
        engine.dispose()

    try:
        assert as_nobody(report) == ""
        assert sorted(path.name for path in (open_folder / "kept").iterdir()) == before
        told = as_nobody(lambda: open_engine(url, create=True))
        assert "cannot lock the file" in told
        assert "a folder that this user may write" in told
        new = f"sqlite:///{open_folder}/kept/new.db"
        assert "a folder that this user may write" in as_nobody(lambda: open_engine(new, True))
        (open_folder / "kept" / "studies.db").chmod(0o000)
        if os.geteuid() == 0:
            assert "may not read it" in as_nobody(lambda: open_engine(url))
    finally:
        (open_folder / "kept").chmod(0o755)


def test_what_is_not_yet_in_the_file_itself_is_never_left_out_of_a_report(
    open_folder: Path,
) -> None:
    """A -wal file that a kill left behind holds results; they are read, or it is said."""
    url = f"sqlite:///{open_folder}/kept/studies.db"
    (open_folder / "kept").mkdir()
    lab = lab_in(f"sqlite:///{open_folder}/studies.db", open_folder)
    lab.run(1, Immediate())
    for path in open_folder.glob("studies.db*"):
        if path.suffix in (".db", ".db-wal"):  # as if copied without the -shm file
            shutil.copy(path, open_folder / "kept")
    assert (open_folder / "kept/studies.db-wal").stat().st_size
    (open_folder / "kept").chmod(0o555)

    def report() -> None:
        engine = open_engine(url)
        assert len(known_runs(engine, lab.done)) == len(lab.done)

    try:
        told = as_nobody(report)
        assert told == "" or "copy it, with its -wal file" in told, told
    finally:
        (open_folder / "kept").chmod(0o755)


@pytest.mark.parametrize("name", ["studies.db.lock", "studies.db.tower_shape.lock"])
def test_a_folder_where_a_lock_should_be_is_told(url: str, tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()

    def run() -> None:
        with only_planner(open_engine(url, create=True), "tower_shape"):
            pass

    assert "cannot lock the file" in refused(run)


def test_a_name_that_is_too_long_for_a_file_is_told(tmp_path: Path) -> None:
    long = f"sqlite:///{tmp_path}/{'x' * 300}.db"
    assert "cannot" in refused(lambda: open_engine(long, create=True))


# Locks and restarts


@contextmanager
def locked(url: str) -> Iterator[sqlite3.Connection]:
    """Another program holds the whole database."""
    path = url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield connection
        connection.rollback()


@pytest.mark.usefixtures("impatient")
def test_a_lock_is_waited_for_and_said(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(faults, "PATIENCE_SECONDS", 60.0)
    undisturbed = lab_in(f"sqlite:///{tmp_path}/other.db", tmp_path)
    undisturbed.run(1, Immediate())
    lab = lab_in(url, tmp_path)
    lab.mirror()
    with ThreadPoolExecutor(1) as pool:
        with locked(url):
            run = pool.submit(lab.run, 1, Immediate())
            told = ""
            while "locked" not in told and not run.done():
                told += capsys.readouterr().err
                time.sleep(0.01)
        run.result()
    assert told.startswith("waiting up to 1 minutes: cannot use the database")
    assert everything(lab) == everything(undisturbed)


@pytest.mark.usefixtures("impatient")
def test_a_lock_that_stays_ends_a_run_in_one_line(url: str, tmp_path: Path) -> None:
    lab = lab_in(url, tmp_path)
    lab.mirror()
    with locked(url):
        told = refused(lambda: lab.run(1, Immediate()))
    assert "is locked; wait for the program that holds it, then give the same command" in told
    lab.run(1, Immediate())
    assert set(lab.column(RUNS.c.status)) == {"done"}


@pytest.mark.usefixtures("impatient")
def test_a_wait_is_said_once_and_waited_once(capsys: pytest.CaptureFixture[str]) -> None:
    tries = []

    @patient
    def inner() -> None:
        tries.append(time.monotonic())
        raise DatabaseBusy("held")

    @patient
    def outer() -> None:
        inner()

    assert refused(outer).startswith("held; waited")
    assert len(tries) > 2
    assert tries[-1] - tries[0] < 2 * faults.PATIENCE_SECONDS
    assert len(capsys.readouterr().err.splitlines()) == 1


@contextmanager
def cut_off_at_new_statements(cut: Callable[[], None]) -> Iterator[set[str]]:
    """Call `cut` before each statement of any engine when it comes for the first time."""
    seen: set[str] = set()
    cutting = False

    def before(connection: sa.Connection, _: object, statement: str, *__: object) -> None:
        nonlocal cutting
        text = re.sub(r"\d+", "", statement)
        if not cutting and text not in seen and "pg_catalog" not in text:
            seen.add(text)
            cutting = True  # which takes statements too
            cut()
            cutting = False

    sa.event.listen(sa.Engine, "before_cursor_execute", before)
    try:
        yield seen
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", before)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> object:
    """All that the study comes to which the tests below disturb."""
    folder = tmp_path_factory.mktemp("undisturbed")
    lab = lab_in(f"sqlite:///{folder}/studies.db", folder)
    lab.run(2, Immediate())
    return everything(lab)


def test_connections_that_end_at_any_statement_change_nothing(
    server: Postgres, undisturbed: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "POLL_SECONDS", 0.01)
    url = server.new_database()
    lab = lab_in(url, tmp_path)
    admin = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"

    def cut() -> None:
        with admin.connect() as connection:
            connection.execute(sa.text(f"{end} AND datname = current_database()"))

    with cut_off_at_new_statements(cut) as seen, only_planner(lab.engine, "tower_shape"):
        lab.run(2, Immediate())
    admin.dispose()
    assert len(seen) > 20
    assert everything(lab) == undisturbed


def test_a_commit_whose_answer_is_lost_changes_nothing(
    server: Postgres, undisturbed: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done again was done already."""
    from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

    monkeypatch.setattr(faults, "POLL_SECONDS", 0.01)
    lab = lab_in(server.new_database(), tmp_path)
    commit: Any = PGDialect_psycopg.do_commit
    chance, lost = random.Random(0), list[object]()

    def committed_and_lost(dialect: Any, connection: Any) -> None:
        commit(dialect, connection)
        if chance.random() < 0.5:
            lost.append(connection)
            connection.dbapi_connection.close()
            raise dialect.dbapi.OperationalError("server closed the connection unexpectedly")

    monkeypatch.setattr(PGDialect_psycopg, "do_commit", committed_and_lost)
    lab.run(2, Immediate())
    monkeypatch.undo()
    assert len(lost) > 8
    assert everything(lab) == undisturbed


def test_a_restart_in_the_middle_of_a_study_changes_nothing(
    server: Postgres, undisturbed: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    url = server.new_database()
    lab = lab_in(url, tmp_path)
    starting: list[threading.Timer] = []

    def work(training: Any) -> Any:
        if len(lab.done) == 2:
            server.stop()
            starting.append(threading.Timer(0.2, server.start))
            starting[0].start()
        return result_of(training)

    lab.work = work
    with only_planner(lab.engine, "tower_shape"):
        lab.run(2, Immediate())
        other = open_engine(url, create=True)
        told = refused(lambda: _hold(other, "tower_shape"))
    starting[0].join()
    assert "is being run by" in told
    assert everything(lab) == undisturbed
    assert "waiting up to 5 minutes: cannot use the database" in capsys.readouterr().err


def _hold(engine: sa.Engine, study: str) -> None:
    with only_planner(engine, study):
        pass


@pytest.mark.usefixtures("impatient")
def test_a_server_that_stays_away_ends_a_run_in_one_line(server: Postgres, tmp_path: Path) -> None:
    lab = lab_in(server.new_database(), tmp_path)
    lab.run(1, Immediate())
    server.stop()
    try:
        told = refused(lambda: lab.run(2, Immediate()))
        assert "wait until it answers, then give the same command" in told
        assert "hunter2" not in told
        with pytest.raises(UserError):
            open_engine("postgresql+psycopg://fsmd:hunter2@/new?host=/none", create=True)
    finally:
        server.start()
    lab.run(2, Immediate())
    assert set(lab.column(RUNS.c.status)) == {"done"}


# Planners at once


def test_first_planners_at_once_make_one_set_of_tables(url: str) -> None:
    """Processes on a server: tests/test_postgres.py."""

    def start(name: str) -> str:
        engine = open_engine(url, create=True)
        with only_planner(engine, name):
            return open_mirror(engine, name, TASKS, task_objectives(TASKS)).name

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(start, "abcd")) == list("abcd")


def test_a_second_planner_is_refused_on_a_server_until_the_first_ends(
    server: Postgres, tmp_path: Path
) -> None:
    url = server.new_database()
    lab, other = lab_in(url, tmp_path), open_engine(url, create=True)
    update_study(lab.engine, replace(lab.record(), planner="process 77 on host"))
    with only_planner(lab.engine, "tower_shape"):
        told = refused(lambda: _hold(other, "tower_shape"))
        with only_planner(other, "gate_depth"):
            pass
    assert "'tower_shape' is being run by process 77 on host" in told
    _hold(other, "tower_shape")  # though the first engine lives


def test_a_lock_that_a_restart_freed_is_taken_again_unless_another_came_first(
    server: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "POLL_SECONDS", 0.01)
    url = server.new_database()
    ours, other = open_engine(url, create=True), open_engine(url, create=True)
    with held(ours, "mine") as free:
        assert free
        server.stop()
        server.start()
        write(ours)
        with held(other, "mine") as also:
            assert not also
        server.stop()
        server.start()
        study_names(other)
        with held(other, "mine") as also:
            assert also
        assert "another process took 'mine' over" in refused(lambda: write(ours))


def write(engine: sa.Engine) -> None:
    """Some transaction that writes, though it changes nothing."""
    set_stopped(engine, "none", 0, stopped=True)


def test_reading_a_database_that_is_not_there_makes_no_file(tmp_path: Path) -> None:
    told = refused(lambda: open_engine(f"sqlite:///{tmp_path}/none.db"))
    assert re.search("there is no such file", told)
    assert list(tmp_path.iterdir()) == []


def test_a_lock_of_a_server_is_asked_for_by_one_thread_at_a_time() -> None:
    """Its connection serves one: the study's engine writes, and Optuna's in another thread."""
    at_once, most = 0, 0

    class Connection:
        def scalar(self, *_: object) -> int:
            nonlocal at_once, most
            at_once += 1
            most = max(most, at_once)
            time.sleep(0.005)
            at_once -= 1
            return 1

        def execution_options(self, **_: object) -> None:
            """There are none."""

    engine: Any = SimpleNamespace(connect=Connection, dialect=SimpleNamespace(name="postgresql"))
    lock = _ServerLock(engine, "a study")
    assert lock.take()
    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(lambda _: lock.renew(), range(8)))
    assert most == 1
