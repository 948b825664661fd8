"""Why a training brought no result, as a value that survives the way out of a process."""

import traceback
from dataclasses import dataclass

from fsmd.errors import one_line


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
    """What an error means for the training that raised it; `lost`: it says how its worker died."""
    if lost:
        line = one_line(str(error))
    elif isinstance(error, Exception):
        line = one_line(f"{type(error).__name__}: {error}".splitlines()[0])
    else:
        line = f"the worker process was asked to end ({type(error).__name__})"
    trace = "".join(traceback.format_exception(error))
    return Failure(line, trace, passing=lost or may_pass(error))


def may_pass(error: BaseException) -> bool:
    """Whether another try may succeed: what failed is the machine or the environment.

    Such as memory or a disk that ran out, a device that is gone, a library that is not there, or
    a process that was to end.
    """
    if isinstance(error, RuntimeError):
        return any(part in str(error).lower() for part in _OF_THE_MACHINE)
    # What is no Exception is, for instance, the exit that a SIGTERM asks for.
    passing = isinstance(error, MemoryError | OSError | ImportError | Warning)
    return passing or not isinstance(error, Exception)


_OF_THE_MACHINE = ("out of memory", "can't allocate memory", "start new thread", "cuda", "nvidia")
"""Parts of what a RuntimeError says, all libraries having only this one for everything."""
