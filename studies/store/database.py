"""Opens the results database, makes its tables, and refuses what is none of ours."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import sqlalchemy as sa

from fsmd.errors import UserError
from studies.store.engines import engine_options
from studies.store.faults import file_of, patient, refusal, shown, unreadable
from studies.store.locks import creating
from studies.store.schema import check_earlier, check_stamp, stamp
from studies.store.tables import METADATA, OF_RUNS, STUDIES

_BACKENDS = ("sqlite", "postgresql")
_OPTUNAS = {"studies": {"study_id", "study_name"}, "trials": {"trial_id", "study_id", "state"}}
"""Tables of Optuna with names that other programs use too -> columns that tell them apart."""


@contextmanager
def opened(url: str, create: bool = False) -> Iterator[sa.Engine]:
    """`open_engine`, and its connections are closed in the end."""
    engine = open_engine(url, create)
    try:
        yield engine
    finally:
        engine.dispose()


@patient
def open_engine(url: str, create: bool = False) -> sa.Engine:
    """Connect to the results database; with `create`, make its tables.

    Raises UserError for a URL that cannot be read, a database that cannot be used or, without
    `create`, holds no results.
    """
    target = _target(url, create)
    try:
        engine = sa.create_engine(f"{target.drivername}://", **engine_options(target, []))
        with ExitStack() as if_refused:
            if_refused.callback(engine.dispose)
            if engine.dialect.is_async:
                raise UserError(f"{target.drivername} is a driver for asynchronous programs alone")
            with creating(engine) if create else nullcontext():
                check_stamp(engine)
                _check_tables(engine, create)
                if create:
                    _make_tables(engine)
            if_refused.pop_all()
    except UserError:
        raise
    except sa.exc.NoSuchModuleError as error:
        raise unreadable(url, error) from error
    except Exception as error:  # drivers raise anything for a URL that they cannot take
        raise refusal(target, error) from error
    return engine


def _make_tables(engine: sa.Engine) -> None:
    """Those that are missing, in one transaction with the version that has them."""
    with engine.begin() as connection:
        METADATA.create_all(connection)
        stamp(connection)


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
        if backend not in _BACKENDS:
            raise UserError(f"{backend} is none of {', '.join(_BACKENDS)}")
        target.get_dialect()
    except ImportError as error:
        raise refusal(sa.make_url(url), error) from error
    except Exception as error:
        raise unreadable(url, error) from error
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


def _check_tables(engine: sa.Engine, create: bool) -> None:
    """Refuse tables of other versions and programs and, without `create`, a lack of ours."""
    url, inspector = shown(engine.url), sa.inspect(engine)
    there = {*inspector.get_table_names(), *inspector.get_view_names()}
    missing = {table.name for table in METADATA.sorted_tables if table not in OF_RUNS} - there
    if STUDIES.name not in there and not create:
        raise UserError(f"no study in {url}; run one first: python -m studies.run tower_shape")
    for name, columns in _OPTUNAS.items():
        if name in there and not columns <= _columns(inspector, name).keys():
            raise UserError(
                f"another program made the table {name} of {url}; use another --storage"
            )
    for table in METADATA.sorted_tables:
        if table.name not in there:
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
    check_earlier(engine)
    if missing and not create:
        raise UserError(
            f"{url} has no table {' or '.join(sorted(missing))} any more; use a copy of it from "
            "before, or another --storage"
        )


def _columns(inspector: sa.Inspector, table: str) -> Mapping[str, Any]:
    return {column["name"]: column for column in inspector.get_columns(table)}


def now() -> str:
    """This moment, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
