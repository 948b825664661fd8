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


def failure_of(error: BaseException, lost: bool = False) -> Failure:
    """What an error means for the training that raised it; `lost`: its worker died."""
    if lost:
        line = "the worker process was killed"
    elif isinstance(error, Exception):
        line = f"{type(error).__name__}: {error}".splitlines()[0]
    else:
        line = f"the worker process was asked to end ({type(error).__name__})"
    trace = "".join(traceback.format_exception(error))
    return Failure(line, trace, passing=lost or may_pass(error))


def may_pass(error: BaseException) -> bool:
    """Whether another try may succeed: the process was to end, or memory or disk ran out."""
    if isinstance(error, RuntimeError):
        text = str(error).lower()
        return "out of memory" in text or "can't allocate memory" in text
    # What is no Exception is, for instance, the exit that a SIGTERM asks for.
    return isinstance(error, MemoryError | OSError) or not isinstance(error, Exception)
