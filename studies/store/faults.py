"""What a database raises becomes one line, or is waited for: here, for every engine."""

import os
import re
import sys
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus, unquote

import sqlalchemy as sa

from fsmd.errors import UserError

P = ParamSpec("P")
T = TypeVar("T")

PATIENCE_SECONDS = 300.0
"""How long a database that is locked or restarts is waited for."""
POLL_SECONDS = 0.5


class DatabaseBusy(UserError):
    """A fault that may pass by itself: the database is locked, or restarts."""


def patient(work: Callable[P, T]) -> Callable[P, T]:
    """Do the whole again while the database is locked or restarts; that is said once.

    So doing it twice must be the same as doing it once: a connection that ends in a commit does
    not say whether the commit came through. Raises UserError when the wait is over.
    """

    @wraps(work)
    def until_done(*args: P.args, **kwargs: P.kwargs) -> T:
        deadline = None
        while True:
            try:
                return work(*args, **kwargs)
            except DatabaseBusy as error:
                if deadline is None:
                    deadline = time.monotonic() + PATIENCE_SECONDS
                    print(f"waiting up to {_waited()}: {error}", file=sys.stderr)
                elif time.monotonic() > deadline:
                    raise UserError(f"{error}; waited {_waited()}") from error
            time.sleep(POLL_SECONDS)

    return until_done


def _waited() -> str:
    return f"{PATIENCE_SECONDS / 60:.0f} minutes"


def watch(engine: sa.Engine) -> None:
    """Let what the engine's driver raises be UserErrors, but for rows that are there already."""

    @sa.event.listens_for(engine, "connect")
    def reached(*_: object) -> None:
        _REACHED.add(engine.url)

    @sa.event.listens_for(engine, "handle_error")
    def told(context: sa.ExceptionContext) -> UserError | None:
        error = context.sqlalchemy_exception
        if context.is_pre_ping or not isinstance(error, sa.exc.DBAPIError):
            return None
        if isinstance(error, sa.exc.IntegrityError):  # who inserts knows what it means
            return None
        return refusal(engine.url, context.original_exception, lost=context.is_disconnect)


_REACHED: set[sa.URL] = set()
"""Databases that answered this process: one that does not any more may be restarting."""

_AGAIN = "then give the same command: it goes on from what is stored"
_LOCKED = f"wait for the program that holds it, {_AGAIN}"
_DOWN = f"wait until it answers, {_AGAIN}"
_FULL = f"its disk is full: make room, {_AGAIN}"
_FAILING = f"its disk may be full or failing: make room, {_AGAIN}"
_DAMAGED = "the file is damaged, or no database: put a copy of it back, or use another --storage"
_PROTECTED = "this user may not write there: allow it, or use another --storage"
_DENIED = "check the user, the password and what this user may do"
_MISSING = "make the database first, such as: createdb NAME"
_UNLIKE = "if another program made its tables, use another --storage"

_FAULTS: dict[str, tuple[tuple[str | int, ...], bool]] = {
    # advice: ((SQLite's codes, PostgreSQL's SQLSTATEs or classes), may it pass)
    _LOCKED: ((5, 6, 15, "40", "55P03"), True),
    _DOWN: (("08", "57P", "53300"), True),
    _FULL: ((13, "53100"), False),
    _FAILING: ((10, "58030"), False),
    _DAMAGED: ((11, 26, "XX"), False),
    _PROTECTED: ((8, "25006"), False),
    _DENIED: (("28", "42501"), False),
    _MISSING: (("3D000",), False),
}
_KINDS: dict[str | int | None, tuple[str, bool]] = {
    code: (advice, passes) for advice, (codes, passes) in _FAULTS.items() for code in codes
}
_CANNOT_OPEN = (3, 14, 23)
"""SQLite's codes that leave open what is wrong with the path."""
_PACKAGES = {
    "psycopg": "'fsmd[postgres]'",
    "psycopg2": "psycopg2-binary",
}
"""Module -> what is installed to have it, where they differ; an extra of ours where we test it."""


def refusal(url: sa.URL, error: BaseException, lost: bool = False) -> UserError:
    """What the driver raised, in one line without the password, with what to do.

    lost: whether the connection has ended. DatabaseBusy where it may pass by itself.
    """
    reason, code = _reason(url, error), _code(error)
    server = url.get_backend_name() != "sqlite"
    # As a server starts up, shuts down or recovers, or was there before; of that comes no code.
    down = lost or "database system is" in reason or (code is None and url in _REACHED)
    if isinstance(error, ImportError):
        module = (error.name or url.get_driver_name()).partition(".")[0]
        advice, passes = f"install the driver: pip install {_PACKAGES.get(module, module)}", False
    elif not server and code in _CANNOT_OPEN:
        advice, passes = _of_path(url), False
    elif server and down:
        advice, passes = _DOWN, True
    elif server and code is None:
        advice, passes = "check host, port, the database, the user and the password", False
    else:
        advice, passes = _kind(code)
    kind = DatabaseBusy if passes else UserError
    return kind(f"cannot use the database {shown(url)!r}: {reason}; {advice}")


def _code(error: BaseException) -> str | int | None:
    """SQLite's primary code, or PostgreSQL's SQLSTATE."""
    sqlite: int | None = getattr(error, "sqlite_errorcode", None)
    if sqlite is not None:
        return sqlite & 0xFF
    return getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)


def _kind(code: str | int | None) -> tuple[str, bool]:
    """(advice, whether it may pass); of a SQLSTATE its class says it where it does not itself."""
    spelt = (code, code[:3], code[:2]) if isinstance(code, str) else (code,)
    return next((_KINDS[each] for each in spelt if each in _KINDS), (_UNLIKE, False))


def _of_path(url: sa.URL) -> str:
    """Why SQLite cannot open a file."""
    path = file_of(url) or ""
    folder = os.path.dirname(path)
    if os.path.isdir(path):
        return "this is a folder: name a file"
    if not os.path.isdir(folder):
        return f"there is no folder {folder} that this user may look into"
    if not os.path.exists(path):
        reading = bool(url.query)
        return "there is no such file" if reading else f"no file can be made in {folder}"
    if not os.access(path, os.R_OK):
        return "this user may not read it"
    return "copy it, with its -wal file, into a folder that this user may write"


def file_of(url: sa.URL) -> str | None:
    """The path of an SQLite database, the same however it is spelt; None of a server's.

    >>> file_of(sa.make_url("sqlite:////tmp/../tmp/a b.db"))
    '/tmp/a b.db'
    """
    if url.get_backend_name() != "sqlite":
        return None
    path = url.database or ""
    if url.query:  # a URI, as `database` makes it
        path = unquote(path.removeprefix("file:"))
    return os.path.realpath(path)


# What may be shown

_SECRET = r"\w*(?:pass|pwd|secret|token|key)\w*"

_PLAIN = (
    r"([\w+.-]+://)(?:([^:@/?]*)(:[^/?]*)?@)?"
    r"((?:[\w.-]*|\[[\da-f:]*\])(?::\d*)?(?:/[^@?]*)?)(?:\?([^@]*))?"
)
"""Scheme, user, password, place and query of a server's URL."""


def shown(url: str | sa.URL) -> str:
    """A database's URL as it may be printed, whether or not it can be read: no password.

    >>> shown("postgresql://bob:pass@word@db/x?sslmode=prefer&password=b")
    'postgresql://bob:***@db/x?sslmode=prefer&password=***'
    >>> shown("sqlite:///a@b.db")
    'sqlite:///a@b.db'
    """
    if isinstance(url, sa.URL):
        if (path := file_of(url)) is not None and url.query:
            url = sa.URL.create(url.drivername, database=path)
        url = url.render_as_string(hide_password=False)
    if re.match(r"sqlite(\+\w+)?:///", url):
        return re.sub(rf"(?is)({_SECRET}=).*", r"\1***", url)
    plain = re.fullmatch(_PLAIN, url)
    if plain is None and {*":@?= "}.isdisjoint(url):
        return url
    if plain is None:  # whose parts nobody can tell from the password
        return re.sub(r"(?s)^([\w+.-]*:/*)?.*", r"\1***", url, count=1)
    scheme, user, password, place, query = plain.groups()
    login = "" if user is None else f"{user}:***@" if password else "***@"
    pairs = (pair.partition("=") for pair in query.split("&")) if query else ()
    values = (
        f"{name}={'***' if re.fullmatch(_SECRET, name, re.I) else value}"
        if equals and name.isidentifier()
        else "***"
        for name, equals, value in pairs
    )
    return f"{scheme}{login}{place}" + (f"?{'&'.join(values)}" if query else "")


def _reason(url: sa.URL, error: BaseException) -> str:
    """The first line of what the driver says, unless it repeats a part of a password."""
    line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    secrets = [str(url.password or "")]
    secrets += [
        str(v) for name, v in url.query.items() if re.fullmatch(rf"{_SECRET}|\W*", name, re.I)
    ]
    for secret in secrets:
        for spelt in (secret, quote(secret), quote_plus(secret), repr(secret)[1:-1]):
            parts = {spelt[i : i + 4] for i in range(max(1, len(spelt) - 3))} - {""}
            if any(part in line for part in parts):
                return f"{type(error).__name__}, in words that repeat the password"
    return line


def unreadable(url: str, error: Exception) -> UserError:
    """For a URL that is none, or of a database that nothing here can speak to."""
    return UserError(
        f"cannot open the database {shown(url)!r}: {_why(error)}; a URL looks like "
        "sqlite:///studies.db or postgresql+psycopg://user@host/name"
    )


def _why(error: Any) -> str:
    if isinstance(error, sa.exc.NoSuchModuleError):
        return "nothing here can speak to it"
    return str(error) if isinstance(error, UserError) else "it cannot be read"
