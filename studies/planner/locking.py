"""One planner a study: a lock that the operating system or the database frees when it dies."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from fsmd.errors import UserError
from studies.store.tables import STUDIES

# PostgreSQL and MySQL free these when the connection that took them ends.
_TAKE = {
    "postgresql": "SELECT pg_try_advisory_lock(hashtext(:key))",
    "mysql": "SELECT GET_LOCK(SUBSTRING(SHA2(:key, 256), 1, 60), 0)",
    "mariadb": "SELECT GET_LOCK(SUBSTRING(SHA2(:key, 256), 1, 60), 0)",
}


@contextmanager
def only_planner(engine: sa.Engine, study: str) -> Iterator[None]:
    """Hold the study; UserError names the planner that already does."""
    backend = engine.dialect.name
    if backend == "sqlite":
        with _file_lock(engine, study):
            yield
    elif backend in _TAKE:
        with engine.connect() as connection:
            key = f"fsmd/{study}"
            if not connection.scalar(sa.text(_TAKE[backend]), {"key": key}):
                raise _refusal(engine, study)
            yield
    else:
        raise UserError(
            f"no lock for {backend} databases; use sqlite, postgresql, mysql or mariadb"
        )


@contextmanager
def _file_lock(engine: sa.Engine, study: str) -> Iterator[None]:
    database = engine.url.database
    if not database or database == ":memory:":
        raise UserError("a study needs a database in a file, such as sqlite:///studies.db")
    # One lock however the path is spelt: relative, or through a link.
    lock = FileLock(Path(f"{Path(database).resolve()}.{study}.lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _refusal(engine, study) from None
    try:
        yield
    finally:
        lock.release()


def _refusal(engine: sa.Engine, study: str) -> UserError:
    with engine.connect() as connection:
        holder = connection.scalar(sa.select(STUDIES.c.planner).filter_by(name=study))
    return UserError(
        f"study {study!r} is being run by {holder or 'another process'}; wait for it to end, "
        "or keep yours apart with --name"
    )


def this_process() -> str:
    """How a planner is named to others."""
    return f"process {os.getpid()} on {socket.gethostname()}"
