"""Engines of a database: ours and Optuna's beside it, made and watched alike."""

import logging
from abc import ABC, abstractmethod
from typing import Any

import sqlalchemy as sa

from studies.store.faults import watch


class Guard(ABC):
    """Is asked before a transaction writes; what it raises keeps that from being written."""

    @abstractmethod
    def __call__(self, connection: sa.Connection) -> None:
        """In the transaction that is about to write."""


def engine_options(url: sa.URL, guards: list[Guard]) -> dict[str, Any]:
    """What makes of any `create_engine`, Optuna's too, an engine of this database that is watched.

    The URL that is given beside them only names the driver: Optuna would fill braces in it.
    guards: asked before any transaction writes; the list may change later.
    """
    own = {_GUARDS: guards}
    plugin = {"plugins": [_PLUGIN], "target": url}
    pool = {"pool_pre_ping": True, "pool_logging_name": _PLUGIN}
    return {**plugin, **pool, "execution_options": own}


def guards_of(engine: sa.Engine) -> list[Guard]:
    """Those of an engine of `engine_options`."""
    guards: list[Guard] = engine.get_execution_options()[_GUARDS]
    return guards


_PLUGIN = "fsmd"
_GUARDS = "fsmd_guards"


class _Watched(sa.CreateEnginePlugin):
    """Makes the engine of `engine_options`."""

    def __init__(self, url: sa.URL, kwargs: dict[str, Any]) -> None:
        super().__init__(url, kwargs)
        self.target: sa.URL = kwargs.pop("target")
        if self.target.drivername.partition("+")[2] in _LIBPQ:
            given = {
                name: value for name, value in _ALIVE.items() if name not in self.target.query
            }
            kwargs["connect_args"] = given

    def update_url(self, url: sa.URL) -> sa.URL:
        return self.target

    def engine_created(self, engine: sa.Engine) -> None:
        watch(engine)
        # Whatever befalls a connection that is given back, Ctrl-C too, is raised; the pool would
        # log it with a traceback beside.
        kind = type(engine.pool)
        name = f"{kind.__module__}.{kind.__qualname__}.{_PLUGIN}"
        logging.getLogger(name).setLevel(logging.CRITICAL)
        sa.event.listen(engine, "before_cursor_execute", _ask_guards)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _to_read_only if self.target.query else _to_write)
        elif engine.dialect.name == "postgresql":
            sa.event.listen(engine, "connect", _to_last)


sa.dialects.plugins.register(_PLUGIN, __name__, _Watched.__name__)


def _ask_guards(connection: sa.Connection, _: Any, statement: str, *__: Any) -> None:
    """Once a transaction, before the first statement that writes."""
    if not statement.lstrip()[:6].upper().startswith(_WRITE):
        return
    transaction = connection.get_transaction()
    if connection.info.get(_GUARDS) is not transaction:
        for guard in connection.get_execution_options()[_GUARDS]:
            guard(connection)
        connection.info[_GUARDS] = transaction


_WRITE = ("INSERT", "UPDATE", "DELETE")


# PostgreSQL: whoever is cut off by the network is noticed after a minute, on both sides

_LIBPQ = ("psycopg", "psycopg2")
_ALIVE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""Libpq's own are hours: for so long a planner would wait for a server that went away."""
_TO_LAST = """
    SELECT set_config(wanted.name, wanted.setting, false)
    FROM (VALUES ('tcp_keepalives_idle', '30'), ('tcp_keepalives_interval', '10'),
                 ('tcp_keepalives_count', '3'), ('idle_session_timeout', '0'))
        AS wanted (name, setting)
    JOIN pg_settings ON pg_settings.name = wanted.name
"""
"""Likewise the server's: for so long it would keep the lock of a planner whose machine is off. And
the connection that holds the lock is idle by its nature. Not every version has every setting."""


def _to_last(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(_TO_LAST)
    cursor.close()
    connection.commit()  # else the pool's rollback takes it back


# SQLite

BUSY_SECONDS = 5.0
"""How long SQLite itself waits for a lock, before anybody is told of it."""
DURABILITY = "synchronous=NORMAL"
"""Of SQLite: a power cut may cost the last commits, and leaves a whole file."""


def _to_read_only(connection: Any, _: Any) -> None:
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000:.0f}")
    cursor.close()


def _to_write(connection: Any, _: Any) -> None:
    """Let readers (dashboard, reports) go on while the planner writes."""
    _to_read_only(connection, _)
    cursor = connection.cursor()
    for setting in (DURABILITY, "journal_mode=WAL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()
