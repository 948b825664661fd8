"""Why a training brought no result, as a value that survives the way out of a process."""

import traceback
from dataclasses import dataclass


@dataclass(frozen=True)
class Failure:
    """A training that failed.

    `passing` marks a cause outside the training (killed, out of memory): it is tried again.
    """

    error: str
    """One line for people."""
    traceback: str
    passing: bool = False


def failure_of(error: BaseException) -> Failure:
    """What an error means for the training that raised it."""
    return Failure(_line(error), traceback_of(error), passing=may_pass(error))


def traceback_of(error: BaseException) -> str:
    """The error's traceback as text."""
    return "".join(traceback.format_exception(error))


def may_pass(error: BaseException) -> bool:
    """Whether another try may succeed: the process was to end, or memory or disk ran out."""
    if isinstance(error, MemoryError | OSError):
        return True
    if not isinstance(error, Exception):  # such as the exit that a SIGTERM asks for
        return True
    text = str(error).lower()
    return isinstance(error, RuntimeError) and (
        "out of memory" in text or "can't allocate memory" in text
    )


def _line(error: BaseException) -> str:
    if not isinstance(error, Exception):
        return f"the worker process was asked to end ({type(error).__name__})"
    return f"{type(error).__name__}: {error}".splitlines()[0]
