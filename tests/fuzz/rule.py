"""The one rule: a case is done, or refused in one line; in time, and with nothing half written."""

import io
import signal
import sqlite3
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, redirect_stderr, redirect_stdout
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

from fsmd.errors import UserError

SECONDS = 20.0
"""Of the processor that a case may take; others need milliseconds."""
LONGEST = 2100


class Hang(BaseException):
    """Whoever catches every Exception lets it through."""


@contextmanager
def bounded(seconds: float = SECONDS) -> Iterator[None]:
    """Raise Hang where the block takes longer; by the processor's time, whatever else runs."""

    def hangs(*_: object) -> NoReturn:
        raise Hang(f"took more than {seconds} seconds")

    before = signal.signal(signal.SIGVTALRM, hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def listing(folder: Path) -> dict[str, int]:
    """All below a folder, by content; a lock is left where others may wait for it."""
    return {
        str(path): _content(path) if path.is_file() else 0
        for path in folder.rglob("*")
        if path.suffix != ".lock"
    }


def _content(path: Path) -> int:
    content = path.read_bytes()
    checksum = zlib.crc32(content)
    return _rows(path, checksum) if content.startswith(b"SQLite format 3") else checksum


@cache
def _rows(path: Path, _: int) -> int:
    """Of a database, but for the token that each planner leaves, however it is refused then."""
    try:
        with closing(sqlite3.connect(path)) as database:
            lines = [line for line in database.iterdump() if '"fsmd_planners" V' not in line]
    except sqlite3.Error:
        lines = []
    return zlib.crc32("\n".join(lines).encode("utf-8", "surrogatepass"))


def check_same(before: dict[str, int], after: dict[str, int]) -> None:
    unlike = sorted({path for path, _ in before.items() ^ after.items()})
    assert not unlike, f"something is left half written: {unlike}"


def check_line(text: str) -> None:
    assert text, "an empty line"
    assert text.isprintable(), f"not one line of plain text: {text!r}"


def asked(work: Callable[[], object], place: Path | None = None) -> str:
    """`done` or `refused` of what Python is asked for; in a place where nothing may be left."""
    before = listing(place) if place else {}
    with bounded():
        try:
            work()
        except UserError as error:
            check_line(str(error))
            if place:
                check_same(before, listing(place))
            return "refused"
    return "done"


def commanded(
    main: Callable[[list[str]], Any],
    arguments: Sequence[str],
    place: Path,
    codes: Sequence[int] = (0,),
) -> str:
    """The same of a command line; `place`: where it works, `codes`: of what is done."""
    before, out, err = listing(place), io.StringIO(), io.StringIO()
    with bounded(), redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    told = err.getvalue()
    if code in codes:
        return "done"
    assert code == 2, (code, told)
    if not out.getvalue():  # `check` lists all that is wrong, and is then done
        last = [line for line in told.splitlines() if line.startswith("error: ")]
        assert len(last) == 1, told
        assert told.endswith(f"{last[0]}\n"), told
        assert len(last[0]) < LONGEST
        check_line(last[0])
        check_same(before, listing(place))
    return "refused"
