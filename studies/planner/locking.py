"""One planner a study: a lock that the operating system or the database frees when it dies."""

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import sqlalchemy as sa
from filelock import FileLock, Timeout

from fsmd.errors import UserError
from studies.store.tables import STUDIES

_MYSQL = "SELECT GET_LOCK(SUBSTRING(SHA2(:key, 256), 1, 60), 0)"
_TAKE = {
    "postgresql": "SELECT pg_try_advisory_lock(hashtext(:key))",
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
}
"""How a database gives a lock, which it frees when the connection that took it ends."""


@contextmanager
def only_planner(engine: sa.Engine, study: str) -> Iterator[None]:
    """Hold the study; UserError names the planner that already does."""
    backend, database = engine.dialect.name, engine.url.database
    with ExitStack() as held:
        if backend in _TAKE:
            connection = held.enter_context(engine.connect())
            free = connection.scalar(sa.text(_TAKE[backend]), {"key": f"fsmd/{study}"})
        elif backend != "sqlite":
            raise UserError(
                f"no lock for {backend} databases; use sqlite, postgresql, mysql or mariadb"
            )
        elif not database or database == ":memory:":
            raise UserError("a study needs a database in a file, such as sqlite:///studies.db")
        else:
            # One lock however the path is spelt: relative, or through a link.
            lock = FileLock(f"{Path(database).resolve()}.{study}.lock", timeout=0)
            try:
                free = held.enter_context(lock)
            except Timeout:
                free = None
        if not free:
            with engine.connect() as connection:
                holder = connection.scalar(sa.select(STUDIES.c.planner).filter_by(name=study))
            raise UserError(
                f"study {study!r} is being run by {holder or 'another process'}; wait for it to "
                "end, or keep yours apart with --name"
            )
        yield


def this_process() -> str:
    """How a planner is named to others."""
    return f"process {os.getpid()} on {socket.gethostname()}"
