"""The one exception that stands for a user's mistake, and how its message shows a value."""

import difflib
import traceback
from collections.abc import Collection

_LONGEST_LIST = 300
"""Letters of a list of names in a message."""


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


def meant(name: object, names: Collection[str]) -> str:
    """Which of `names` are like a name that is none of them, for a message that lists them all.

    >>> meant("clik", ["click", "price"]), meant("x", ["click", "price"])
    ("; did you mean 'click'?", '')
    """
    text = str(name)
    by_case = {each.lower(): each for each in reversed(list(names))}
    close = difflib.get_close_matches(text.lower(), by_case)
    return f"; did you mean {' or '.join(repr(by_case[each]) for each in close)}?" if close else ""


def listed(names: Collection[str]) -> str:
    """All names; of many the first ones, and how many more there are.

    >>> listed(["click", "price"]), listed([]), listed([f"column{i}" for i in range(500)])[-31:]
    ('click, price', 'none', 'column29, column30 and 469 more')
    """
    texts, room = list(names), _LONGEST_LIST
    for i, text in enumerate(texts):
        room -= len(text) + 2
        if room < 0 and i:
            return f"{', '.join(texts[:i])} and {len(texts) - i} more"
    return ", ".join(texts) or "none"


def alternatives(name: object, names: Collection[str]) -> str:
    """The end of a message about a name that is none of `names`: which are like it, and all.

    >>> alternatives("clik", ["click", "price"]), alternatives("x", ["click", "price"])
    ("; did you mean 'click'? There are click, price", '; there are click, price')
    """
    near = meant(name, names)
    return f"{near} There are {listed(names)}" if near else f"; there are {listed(names)}"


class UserError(ValueError):
    """A user's mistake, told in one line: the rule, the value, the alternatives.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))


def fault(error: BaseException, module: str) -> str:
    """What is wrong in a file of code that a user wrote, with its line where that is known.

    module: the `__name__` that the file had as it ran.
    """
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    what = f"{kind}{' '.join(str(error).split())}"
    frames = traceback.walk_tb(error.__traceback__)
    lines = [line for frame, line in frames if frame.f_globals.get("__name__") == module]
    return f"{what} (line {lines[-1]})" if lines else what
