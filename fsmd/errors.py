"""The one exception that stands for a user's mistake, and how its message shows a value."""

import difflib
from collections.abc import Collection


def one_line(text: str) -> str:
    """The text with line breaks and control characters, as a path may have, written out.

    >>> one_line("no file 'a\\nb'")
    "no file 'a\\\\nb'"
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_text(value: str) -> bool:
    """Whether UTF-8 can hold it, and so a file and a database; half a pair it cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(value: object) -> str:
    """A value in a message: its start is enough."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # of a number with thousands of digits, of deep lists
        return f"a value of type {type(value).__name__}, too long to show"
    return text if len(text) <= 60 else f"{text[:57]}..."


def alternatives(name: str, names: Collection[str]) -> str:
    """The end of a message about a name that is none of `names`: which are like it, and all.

    >>> alternatives("clik", ["click", "price"])
    "; did you mean 'click'?; there are click, price"
    """
    close = difflib.get_close_matches(name, list(names))
    meant = f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
    listed = ", ".join(names) or "none"
    return f"{meant}; there are {listed if len(listed) <= 1000 else f'{listed[:997]}...'}"


class UserError(ValueError):
    """A user's mistake, told in one line: the rule, the value, the alternatives.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))
