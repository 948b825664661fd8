"""Opens the results database, makes its tables, and refuses what is none of ours."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from filelock import FileLock

from fsmd.errors import UserError
from studies.store.tables import METADATA, STUDIES


def open_engine(url: str, create: bool = False) -> sa.Engine:
    """Connect to the results database; with `create`, make its tables.

    Raises UserError for a URL that cannot be read or, without `create`, holds no results.
    """
    try:
        parsed = sa.make_url(url)
        if not create and parsed.get_backend_name() == "sqlite":
            # Connecting would make an empty file.
            parsed = parsed.set(
                database=f"file:{parsed.database}", query={"mode": "rw", "uri": "true"}
            )
        engine = sa.create_engine(parsed)
        if engine.dialect.name == "sqlite":
            sa.event.listen(engine, "connect", _prepare_sqlite)
        with creating(engine) if create else nullcontext():
            _check_tables(engine, url, create)
            if create:
                METADATA.create_all(engine)
    except UserError:
        raise
    except (sa.exc.SQLAlchemyError, ImportError, ValueError) as error:
        raise UserError(_refusal(url, error)) from error
    return engine


def _check_tables(engine: sa.Engine, url: str, create: bool) -> None:
    """Refuse a database with tables of an earlier version or, without `create`, without ours."""
    inspector = sa.inspect(engine)
    there, missing = set(inspector.get_table_names()), list[str]()
    if STUDIES.name not in there and not create:
        raise UserError(f"no study in {url}; run one first: python -m studies.run tower_shape")
    for table in METADATA.sorted_tables:
        if table.name in there:
            stored = {column["name"] for column in inspector.get_columns(table.name)}
            if lacking := [c.name for c in table.columns if c.name not in stored]:
                raise UserError(
                    f"an earlier version made {url}: its table {table.name} has no "
                    f"{' or '.join(lacking)}; keep new results apart with another --storage"
                )
        else:
            missing.append(table.name)
    if missing and not create:
        raise UserError(
            f"an earlier version made {url}: it has no table {' or '.join(sorted(missing))}; run "
            "each of its studies again with the same command, which adds what is missing"
        )


def _refusal(url: str, error: Exception) -> str:
    """Why a database cannot be opened, without its password, and what to do."""
    reason = str(getattr(error, "orig", None) or error).splitlines()[0]
    advice = "a URL looks like sqlite:///studies.db or postgresql://user@host/name"
    try:
        parsed = sa.make_url(url)
        shown = parsed.render_as_string(hide_password=True)
    except sa.exc.ArgumentError:
        return f"cannot open the database {url!r}: {advice}"
    if isinstance(error, ModuleNotFoundError):
        advice = f"install the package that speaks to it, such as: pip install {error.name}"
    elif parsed.get_backend_name() == "sqlite":
        folder = Path(parsed.database or "").absolute().parent
        advice = "there is no such file" if folder.is_dir() else f"there is no folder {folder}"
    return f"cannot open the database {shown!r}: {reason}; {advice}"


@contextmanager
def creating(engine: sa.Engine) -> Iterator[None]:
    """While tables are made: two processes at once would each find them missing."""
    database = engine.url.database
    if engine.dialect.name != "sqlite" or not database or not Path(database).parent.is_dir():
        yield
        return
    with FileLock(f"{Path(database).resolve()}.lock"):
        yield


_SQLITE = ("busy_timeout=60000", "journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON")


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Let readers (dashboard, reports) go on while the planner writes."""
    cursor = connection.cursor()
    for setting in _SQLITE:
        cursor.execute(f"PRAGMA {setting}")
    cursor.close()


def now() -> str:
    """This moment, UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")
