"""Opens the results database, makes its tables, and refuses what is none of ours."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import sqlalchemy as sa
from filelock import FileLock, Timeout

from fsmd.errors import UserError
from studies.store.faults import (
    DatabaseBusy,
    file_of,
    patient,
    refusal,
    shown,
    unreadable,
    watch,
)
from studies.store.tables import METADATA, STUDIES

_SERVERS = ("postgresql", "mysql", "mariadb")
_OPTUNAS = {"studies": {"study_id", "study_name"}, "trials": {"trial_id", "study_id", "state"}}
"""Tables of Optuna with names that other programs use too -> columns that tell them apart."""


@patient
def open_engine(url: str, create: bool = False) -> sa.Engine:
    """Connect to the results database; with `create`, make its tables.

    Raises UserError for a URL that cannot be read, a database that cannot be used or, without
    `create`, holds no results.
    """
    target = _target(url, create)
    try:
        engine = sa.create_engine(f"{target.drivername}://", **engine_options(target))
        if engine.dialect.is_async:
            raise UserError(f"{target.drivername} is a driver for asynchronous programs alone")
        with creating(engine) if create else nullcontext():
            _check_tables(engine, create)
            if create:
                METADATA.create_all(engine)
    except UserError:
        raise
    except sa.exc.NoSuchModuleError as error:
        raise unreadable(url, error) from error
    except Exception as error:  # drivers raise anything for a URL that they cannot take
        raise refusal(target, error) from error
    return engine


def is_there(url: str) -> bool:
    """Whether there may be results: an SQLite file that is not there has none."""
    target = _target(url, create=True)
    path = file_of(target)
    return path is None or os.path.exists(path)


def _target(url: str, create: bool) -> sa.URL:
    """The URL as SQLAlchemy is to have it; of an SQLite file to read, one that changes nothing."""
    try:
        target = sa.make_url(url)
        backend = target.get_backend_name()
        target.get_dialect()
    except ImportError as error:
        raise refusal(sa.make_url(url), error) from error
    except Exception as error:
        raise unreadable(url, error) from error
    if backend not in ("sqlite", *_SERVERS):
        raise unreadable(url, UserError(f"{backend} is none of sqlite, {', '.join(_SERVERS)}"))
    if backend != "sqlite":
        # Else what is taken for the host, and shown, may be a part of the password.
        before, _, options = url.partition("?")
        named = target.username or target.password
        if before.count("@") > 1 or "@" in options or ("@" in before and not named):
            advice = "write @ / ? of a user or a password as %40 %2F %3F"
            raise unreadable(url, UserError(advice))
        return target
    _, asks, options = url.partition("?")
    if asks and re.fullmatch(r"(\w+=[^/&]*(&|$))+", options):
        raise unreadable(url, UserError("an SQLite file takes no options; write ? as %3F"))
    database = unquote(url.partition(":///")[2])
    if target.host or not database or database == ":memory:" or database.startswith("file:"):
        raise unreadable(url, UserError("a study needs a database in a file"))
    if "\0" in database:
        raise unreadable(url, UserError("no path has a NUL in it"))
    target = sa.URL.create(target.drivername, database=database)
    return target if create else target.set(**_to_read(str(file_of(target))))


def _to_read(path: str) -> dict[str, Any]:
    """An SQLite file by a URI that makes none; as it lies, where this user cannot write."""
    query = {"uri": "true", "mode": "rw"}
    if not (os.access(path, os.W_OK) and os.access(os.path.dirname(path), os.W_OK)):
        query["mode"] = "ro"
        # SQLite would make files beside it. What is in a -wal file is not to be left out.
        wal = f"{path}-wal"
        if not os.path.exists(wal) or not os.path.getsize(wal):
            query["immutable"] = "1"
    return {"database": f"file:{quote(path)}", "query": query}


def engine_options(url: sa.URL) -> dict[str, Any]:
    """What makes of any `create_engine`, Optuna's too, an engine of this database that is watched.

    The URL that is given beside them only names the driver: Optuna would fill braces in it.
    """
    return {"plugins": [_PLUGIN], "target": url, "pool_pre_ping": True}


class _Watched(sa.CreateEnginePlugin):
    """Makes the engine of `engine_options`."""

    def __init__(self, url: sa.URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self.target: sa.URL = kwargs.pop("target")

    def update_url(self, url: sa.URL) -> sa.URL:
        return self.target

    def engine_created(self, engine: sa.Engine) -> None:
        watch(engine)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _to_read_only if self.target.query else _to_write)


_PLUGIN = "fsmd"
sa.dialects.plugins.register(_PLUGIN, __name__, _Watched.__name__)

BUSY_SECONDS = 5.0
"""How long SQLite itself waits for a lock, before anybody is told of it."""


def _to_read_only(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000:.0f}")
    cursor.close()


def _to_write(connection: Any, _: Any) -> None:
    """Let readers (dashboard, reports) go on while the planner writes."""
    _to_read_only(connection, _)
    cursor = connection.cursor()
    for setting in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def _check_tables(engine: sa.Engine, create: bool) -> None:
    """Refuse tables of other versions and programs and, without `create`, a lack of ours."""
    url, inspector = shown(engine.url), sa.inspect(engine)
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    missing = list[str]()
    if STUDIES.name not in there and not create:
        raise UserError(f"no study in {url}; run one first: python -m studies.run tower_shape")
    for name, columns in _OPTUNAS.items():
        if name in there and not columns <= _columns(inspector, name).keys():
            raise UserError(
                f"another program made the table {name} of {url}; use another --storage"
            )
    for table in METADATA.sorted_tables:
        if table.name not in there:
            missing.append(table.name)
            continue
        stored = _columns(inspector, table.name)
        if lacking := [c.name for c in table.columns if c.name not in stored]:
            raise UserError(
                f"an earlier version made {url}: its table {table.name} has no "
                f"{' or '.join(lacking)}; keep new results apart with another --storage"
            )
        key = inspector.get_pk_constraint(table.name)["constrained_columns"]
        unknown = [n for n, c in stored.items() if n not in table.c and not c["nullable"]]
        if unknown or set(key) != {column.name for column in table.primary_key}:
            raise UserError(
                f"another program made the table {table.name} of {url}; use another --storage"
            )
    if missing and not create:
        raise UserError(
            f"an earlier version made {url}: it has no table {' or '.join(sorted(missing))}; run "
            "each of its studies again with the same command, which adds what is missing"
        )


def _columns(inspector: sa.Inspector, table: str) -> Mapping[str, Any]:
    return {column["name"]: column for column in inspector.get_columns(table)}


# Locks


@contextmanager
def creating(engine: sa.Engine) -> Iterator[None]:
    """While tables are made: two processes at once would each find them missing.

    Raises DatabaseBusy while another makes them.
    """
    folder = os.path.dirname(file_of(engine.url) or "/")
    if not os.path.isdir(folder):  # opening the database says so
        yield
        return
    with held(engine, "") as free:
        if not free:
            raise DatabaseBusy(f"another process is making the tables of {shown(engine.url)!r}")
        yield


@contextmanager
def held(engine: sa.Engine, name: str) -> Iterator[bool]:
    """Hold a lock of this name; False if it is held elsewhere.

    The operating system or the database frees it when the process dies. A lock that a server lost
    in a restart is taken again before the next transaction; UserError if another came first.
    """
    path = file_of(engine.url)
    lock = _ServerLock(engine, f"fsmd/{name}") if path is None else _FileLock(path, name)
    free = lock.take()
    try:
        if free:
            lock.keep()
        yield free
    finally:
        lock.free()


class _FileLock:
    """Beside an SQLite file: one however the path is spelt, relative or through a link."""

    def __init__(self, path: str, name: str) -> None:
        self._path = f"{path}.{name}.lock" if name else f"{path}.lock"
        self._lock = FileLock(self._path, timeout=0)

    def take(self) -> bool:
        try:
            self._lock.acquire()
        except Timeout:
            return False
        except (OSError, NotImplementedError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise UserError(
                f"cannot lock the file {self._path!r}: {reason}; a run needs a folder that this "
                "user may write, with room left, for the database and its .lock files"
            ) from error
        return True

    def keep(self) -> None:
        """The operating system keeps it."""

    def free(self) -> None:
        self._lock.release()


_MYSQL = "SELECT GET_LOCK(SUBSTRING(SHA2(:key, 256), 1, 60), 0)"
_TAKE = {
    "postgresql": "SELECT pg_try_advisory_lock(hashtextextended(:key, 0))",
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}


@dataclass
class _ServerLock:
    """Of a connection of its own, in no transaction, so that it may last for days."""

    engine: sa.Engine
    key: str
    _connection: sa.Connection | None = field(default=None, init=False)
    _looking: bool = field(default=False, init=False)

    @patient
    def take(self) -> bool:
        self._close()
        self._connection = self.engine.connect()
        self._connection.execution_options(isolation_level="AUTOCOMMIT")
        query = sa.text(_TAKE[self.engine.dialect.name])
        return bool(self._connection.scalar(query, {"key": self.key}))

    def keep(self) -> None:
        sa.event.listen(self.engine, "begin", self._look)

    def free(self) -> None:
        if sa.event.contains(self.engine, "begin", self._look):
            sa.event.remove(self.engine, "begin", self._look)
        self._close()

    def _close(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()  # given back to the pool it would keep the lock
            self._connection.close()
            self._connection = None

    def _look(self, _: sa.Connection) -> None:
        """Take the lock again if its connection has ended."""
        if self._looking:
            return
        self._looking = True
        try:
            if not self._lives() and not self.take():
                raise UserError(
                    f"the database {shown(self.engine.url)!r} ended the connection that held "
                    f"{self.key!r}, and another process holds it now; give the same command "
                    "when that one has ended: it goes on from what is stored"
                )
        finally:
            self._looking = False

    def _lives(self) -> bool:
        try:
            return self._connection is not None and bool(
                self._connection.scalar(sa.text("SELECT 1"))
            )
        except DatabaseBusy:
            return False


def now() -> str:
    """This moment, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
