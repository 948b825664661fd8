"""One planner a study: a lock while it lives, and a token without which it writes nothing.

The operating system or the database frees the lock when the process dies. A server also frees it
when the connection that holds it ends, while the process lives; then another planner may take the
study. So each planner leaves a token of its own in the database, and every transaction that
writes looks first, in itself, whether the token is still there. The next planner's token cannot be
written before that transaction has ended, so what an earlier planner writes comes before it, or
never.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import RLock
from uuid import uuid4

import sqlalchemy as sa
from filelock import FileLock, Timeout

from fsmd.errors import UserError
from studies.store.engines import Guard, guards_of
from studies.store.faults import DatabaseBusy, file_of, patient, shown
from studies.store.tables import PLANNERS


@contextmanager
def creating(engine: sa.Engine) -> Iterator[None]:
    """While tables are made: two processes at once would each find them missing.

    Raises DatabaseBusy while another makes them.
    """
    folder = os.path.dirname(file_of(engine.url) or "/")
    if not os.path.isdir(folder):  # opening the database says so
        yield
        return
    with _locked(engine, "") as lock:
        if lock is None:
            raise DatabaseBusy(f"another process is making the tables of {shown(engine.url)!r}")
        yield


@contextmanager
def held(engine: sa.Engine, name: str) -> Iterator[bool]:
    """Hold a lock of this name; False if it is held elsewhere.

    Whatever the engine, or Optuna's beside it, writes meanwhile is written as its holder or not at
    all: UserError once another process has taken the lock. One that a server lost is taken again
    before the next transaction that writes.
    """
    with _locked(engine, name) as lock:
        if lock is None:
            yield False
            return
        fence, guards = _Fence(name, lock), guards_of(engine)
        fence.put_up(engine)
        guards.append(fence)
        try:
            yield True
        finally:
            guards.remove(fence)


@dataclass(frozen=True, eq=False)
class _Fence(Guard):
    """Refuses to write where another process's token stands in the place of this one's."""

    name: str
    lock: "_FileLock | _ServerLock"
    token: str = field(default_factory=lambda: uuid4().hex)

    @patient
    def put_up(self, engine: sa.Engine) -> None:
        """Waits for what an earlier planner is writing; it writes nothing after."""
        with engine.begin() as connection:
            connection.execute(sa.delete(PLANNERS).filter_by(lock=self.name))
            connection.execute(sa.insert(PLANNERS).values(lock=self.name, token=self.token))

    def __call__(self, connection: sa.Connection) -> None:
        """Raise UserError if another process took the lock, DatabaseBusy if none can say yet."""
        url, own = shown(connection.engine.url), sa.select(PLANNERS.c.token)
        # The lock on the row keeps the next planner's token out until this transaction ends.
        own = own.filter_by(lock=self.name).with_for_update(read=True)
        if connection.scalar(own) != self.token:
            raise UserError(
                f"another process took {self.name!r} over when the database {url!r} had ended "
                "the connection that held it for this one, which writes nothing more; give the "
                "same command when the other one has ended: it goes on from what is stored"
            )
        if not self.lock.renew():  # the server has not noticed yet that a connection ended
            raise DatabaseBusy(f"the database {url!r} does not give {self.name!r} back yet")


@contextmanager
def _locked(engine: sa.Engine, name: str) -> Iterator["_FileLock | _ServerLock | None"]:
    path = file_of(engine.url)
    lock = _ServerLock(engine, f"fsmd/{name}") if path is None else _FileLock(path, name)
    try:
        yield lock if lock.take() else None
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

    def renew(self) -> bool:
        """The operating system keeps it."""
        return True

    def free(self) -> None:
        self._lock.release()


_TAKE = sa.text("SELECT pg_try_advisory_lock(hashtextextended(:key, 0))")
_GIVE = sa.text("SELECT pg_advisory_unlock_all()")


@dataclass
class _ServerLock:
    """Of a connection of its own, in no transaction, so that it may last for days.

    Whatever writes renews it first, in any thread; a connection serves one at a time.
    """

    engine: sa.Engine
    key: str
    _connection: sa.Connection | None = field(default=None, init=False)
    _alone: RLock = field(default_factory=RLock, init=False)

    @patient
    def take(self) -> bool:
        with self._alone:
            self.free()
            self._connection = self.engine.connect()
            self._connection.execution_options(isolation_level="AUTOCOMMIT")
            if not self._connection.scalar(_TAKE, {"key": self.key}):
                self.free()
            return self._connection is not None

    def renew(self) -> bool:
        """Take it again if its connection has ended; False if another process has it."""
        with self._alone:
            with suppress(DatabaseBusy):
                if self._connection is not None and self._connection.scalar(sa.text("SELECT 1")):
                    return True
            return self.take()

    def free(self) -> None:
        with self._alone:
            if self._connection is not None:
                with suppress(sa.exc.SQLAlchemyError, DatabaseBusy):
                    # A server notices the end of a connection some time after we end it.
                    self._connection.execute(_GIVE)
                self._connection.invalidate()  # given back to the pool it might keep the lock
                self._connection.close()
                self._connection = None
