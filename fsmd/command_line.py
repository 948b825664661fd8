"""What command lines share: options, how whatever ends them is told, and streams that last."""

import argparse
import codecs
import errno
import io
import os
import re
import shutil
import signal
import sys
import tempfile
import textwrap
import threading
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn, TextIO, TypeVar

from fsmd.errors import UserError, is_text, one_line

Wrapper = TypeVar("Wrapper", bound=io.TextIOWrapper)
_LONGEST_LINE = 2000


class CommandLine(argparse.ArgumentParser):
    """A command line whose mistakes are one line each, as all others of a user's are."""

    def __init__(self, prog: str, description: str, epilog: str) -> None:
        """`%(prog)s` stands for the command in the epilog too."""
        super().__init__(
            prog=prog,
            description=description,
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self.color = False  # which later versions of Python would write into a terminal

    def parse_args(self, *given: Any, **more: Any) -> Any:
        """As argparse does; refuses `--name=--`, of which it makes a list, and what is no text."""
        read = super().parse_args(*given, **more)
        for name, value in vars(read).items():
            for each in value if isinstance(value, list) and value else [value]:
                if each == []:
                    self.error(f"-- is no value of {name}")
                if isinstance(each, str) and not each.isascii() and not is_text(each):
                    self.error(f"{name} must be text in UTF-8; got {each!r}")
        return read

    def error(self, message: str) -> NoReturn:
        """Raise UserError for what argparse cannot read."""
        raise UserError(f"{message}; {self.prog} --help tells what there is")


def place(text: str) -> Path:
    """An option's file or folder; `~` is the user's own. Raises ArgumentTypeError for none."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"a path must have a name, as '.' has; got {text!r}")
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise argparse.ArgumentTypeError(f"{error} for {text!r}") from None


def check_folders(option: str, *folders: Path) -> None:
    """Raise UserError for folders that cannot be made or written; leaves nothing there."""
    try:
        for folder in folders:
            with suppress(FileNotFoundError, NotADirectoryError):
                folder.stat()  # raises for a name that no file can have
            upward = (folder, *folder.absolute().parents)
            there = next(path for path in upward if os.path.lexists(path))
            if not there.is_dir():
                raise NotADirectoryError(f"{there} is no folder: give another place")
            with tempfile.TemporaryFile(dir=there) as file:
                file.write(b"some room")
    except (OSError, ValueError) as error:
        raise UserError(f"{option} must be a folder that can be written; {error}") from error


def exit_code(run: Callable[[], int], stopped: str) -> int:
    """Do what a command does: the one place where whatever ends it becomes a line and a code.

    0, or what `run` returns; 2 and one line for a user's mistake, and for an environment in which
    it cannot be done, such as a full disk; `stopped` for Ctrl-C, SIGTERM and SIGHUP, and 128 with
    the signal's number: 130, 143 and 129.
    """
    with _one_end(), _safe_streams() as output:
        code = _ended(run, stopped)
        sys.stdout.flush()
        if output.lost and output.lost.errno != errno.EPIPE:
            print(f"error: the output is lost: {output.lost.strerror}", file=sys.stderr)
            return code or 2
        return code


def _ended(run: Callable[[], int], stopped: str) -> int:
    try:
        return run()
    except SystemExit as end:  # of --help
        return int(end.code or 0)
    except KeyboardInterrupt as end:
        # Python notes that it cut off an `exec`, as a dataclass has that is made, and in the end
        # would kill itself by SIGINT, though it was caught here: till another `exec`.
        exec("")
        line, code = f"\n{stopped}", 128 + (end.args[0] if end.args else signal.SIGINT)
    except (UserError, OSError, MemoryError, RuntimeError) as error:
        told = _line(error)
        if told is None:
            raise
        line, code = f"error: {told}", 2
    sys.stdout.flush()
    print(line, file=sys.stderr)
    return code


def print_lines(*lines: str) -> None:
    """Print lines, wrapped between words in a terminal and whole elsewhere."""
    width = max(40, shutil.get_terminal_size().columns) if sys.stdout.isatty() else 0
    for line in lines:
        print(textwrap.fill(line, width, subsequent_indent=" " * 10) if width else line)


_ADVICE = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "make room there"),
    **dict.fromkeys((errno.EROFS, errno.EACCES, errno.EPERM), "choose a place you may write to"),
    **dict.fromkeys(
        (errno.EMFILE, errno.ENFILE), "give fewer --workers, or allow more open files (ulimit -n)"
    ),
    errno.EAGAIN: "give fewer --workers, or allow more processes (ulimit -u)",
    errno.ENOMEM: "give fewer --workers, or free some memory",
}


def _line(error: BaseException) -> str | None:
    """What is told of an error; None for one that is ours."""
    if isinstance(error, UserError):
        line = str(error)
    elif isinstance(error, MemoryError):
        line = f"there is not enough memory; {_ADVICE[errno.ENOMEM]}"
    elif isinstance(error, OSError):
        advice = _ADVICE.get(error.errno or 0, "mend that")
        line = f"{error}; {advice}: the same command goes on from here"
    elif "start new thread" in str(error):
        line = f"{error}; {_ADVICE[errno.EAGAIN]}: the same command goes on from here"
    else:
        return None
    return textwrap.shorten(one_line(line), _LONGEST_LINE, placeholder=" ...")


ENDS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""What asks a command to end: Ctrl-C, `kill` or a system that goes down, a closed window."""


@contextmanager
def _one_end() -> Iterator[None]:
    """The first such signal counts; no other cuts off what it began: workers that are ended."""

    def stop(number: int, _: object) -> NoReturn:
        for each in ENDS:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt(number)

    if threading.current_thread() is not threading.main_thread():  # which alone may say
        yield
        return
    before = {each: signal.getsignal(each) for each in ENDS}
    for each, handler in before.items():
        if handler not in (signal.SIG_IGN, None):  # of a job in the background, or of `nohup`
            signal.signal(each, stop)
    yield
    for each, handler in before.items():
        if signal.getsignal(each) is stop:
            signal.signal(each, handler)


# Output

_PLAIN = {
    **dict.fromkeys("\u2212\u2010\u2011\u2012\u2013\u2014", "-"),
    **{"\u00d7": "x", "\u00b1": "+/-", "\u2264": "<=", "\u2265": ">=", "\u2026": "..."},
    **dict.fromkeys("\u2018\u2019", "'"),
    **dict.fromkeys("\u201c\u201d", '"'),
}
"""How a letter is written where the output's encoding has it not."""


def _plain(error: UnicodeError) -> tuple[str, int]:
    """What cannot be encoded in ASCII: a minus, accents left out, a question mark."""
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    known = (_PLAIN.get(c) or unicodedata.normalize("NFKD", c)[0] for c in letters)
    return "".join(c if c.isascii() else "?" for c in known), error.end


codecs.register_error("plain", _plain)


class _Output(io.FileIO):
    """A stream that may be cut off, as by `| head`, or be full: nothing ends by that."""

    lost: OSError | None = None

    def write(self, content: Any) -> int:
        """Write, or drop what cannot be written."""
        try:
            return super().write(content) or 0
        except OSError as error:
            self.lost = error
            return memoryview(content).nbytes


@contextmanager
def _safe_streams() -> Iterator[_Output]:
    """Streams that print whatever there is to print, wherever to; gives what is below stdout."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:  # closed: else the next file, such as a database, gets the number
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    before, below = (sys.stdout, sys.stderr), _Output(1, "w", closefd=False)
    if sys.stdout is sys.__stdout__:  # else a notebook's or a test's own
        sys.stdout = _text(below, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _text(_Output(2, "w", closefd=False), sys.stderr)
        sys.stderr.reconfigure(line_buffering=True)  # a wait is told when it begins, in a file too
    try:
        yield below
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys, or what turns the order of letters, but for tab and line break."""


class _Printed(io.TextIOWrapper):
    """Text whose control characters are written out, as TOML and JSON write them.

    So no name, category or message of an error moves a terminal's cursor or fakes a line.
    """

    drawing: TextIO
    """The same stream for what draws."""

    def write(self, text: str) -> int:
        """Write all of it."""
        super().write(_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text))
        return len(text)


def _text(below: _Output, like: Any) -> _Printed:
    """What prints to `below` as `like` does, which is None for a closed stream."""
    writer, is_lined = io.BufferedWriter(below), bool(like and like.line_buffering)
    encoding = like.encoding if like else "utf-8"

    def on_writer(kind: type[Wrapper]) -> Wrapper:
        return kind(writer, encoding, "plain", line_buffering=is_lined, write_through=True)

    printed = on_writer(_Printed)
    printed.drawing = on_writer(io.TextIOWrapper)
    return printed


def drawing(stream: TextIO) -> TextIO:
    """A stream for what draws in a terminal, and so takes care itself of what it draws."""
    own: TextIO = getattr(stream, "drawing", stream)
    return own
