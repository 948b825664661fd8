"""The one exception that stands for a user's mistake, and how its message shows a value."""


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


class UserError(ValueError):
    """A user's mistake, told in one line: the rule, the value, the alternatives.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))
