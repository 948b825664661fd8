"""What a user is told beside the results: a line on the error output, in notebooks too."""

import logging

from fsmd.errors import one_line

_LOGGER = logging.getLogger("fsmd")


def say(text: str) -> None:
    """Tell in one line what was done that nobody asked for, such as a cache made anew.

    Goes to the logger "fsmd" as a warning, which Python shows on the error output unless the
    program that uses us says otherwise.
    """
    _LOGGER.warning(one_line(text))
