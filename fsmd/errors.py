"""The one exception that stands for a user's mistake."""


def one_line(text: str) -> str:
    """The text with line breaks and control characters, as a path may have, written out.

    >>> one_line("no file 'a\\nb'")
    "no file 'a\\\\nb'"
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class UserError(ValueError):
    """A user's mistake, told in one line: the rule, the value, the alternatives.

    The command line prints it without a traceback and exits with code 2.
    """

    def __init__(self, text: str) -> None:
        super().__init__(one_line(text))
