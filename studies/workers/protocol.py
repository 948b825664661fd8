"""What the planner asks of whatever runs trainings."""

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from fsmd.training import Training, TrainingProgress

P = ParamSpec("P")
T = TypeVar("T")

Message = tuple[str, TrainingProgress]
"""(identity of a training, how far it is)."""


@dataclass(frozen=True)
class Deadline:
    """A moment on the planner's monotonic clock; whoever does a call is given it on its own."""

    at: float = math.inf


NO_DEADLINE = Deadline()
SILENCE_SECONDS = 600.0
"""How long something may take that tells nothing, before its worker is ended."""


class Hardware(Protocol):
    """What trains."""

    def has_device(self, device: str) -> bool:
        """Whether it has it: cpu, cuda or cuda:N."""

    def multiplies_bfloat16(self, device: str) -> bool:
        """Whether such a device of it multiplies bfloat16 fast."""


class Workers(Hardware, Protocol):
    """Processes that run functions, here or elsewhere."""

    def prepare(self) -> None:
        """Begin to load the libraries, as there will be something to train; does not wait."""

    def slots(self) -> int:
        """How many calls to submit at once, as it is now: workers may come and go."""

    def has_room(self, trainings: Sequence[Training], *, overdue: bool = False) -> bool:
        """Whether to submit these, done together, now; true if nobody knows.

        overdue: whether what needs less should wait for them, rather than they for it.
        """

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on a free worker. What is submitted must be picklable.

        Another machine finds the data of trainings by their content. What is given as a path is a
        checkpoint's: there it may lie elsewhere. A `Deadline` is by that machine's clock there.
        """

    def withdraw(self, future: Future[Any]) -> bool:
        """Take it back if no worker has begun it: cancel it, and say whether that was so."""

    def messages(self) -> Iterator[Message]:
        """What the trainings under way have told since the last call."""

    def lost(self, error: BaseException) -> bool:
        """Whether a future's error says that its worker died, so that another try may succeed."""

    def machine(self, future: Future[Any]) -> str:
        """A line on the machine where it ran; empty if that is this one."""

    def end(self, future: Future[Any]) -> None:
        """End the worker that does this at once, though it hears nothing: the future raises an
        error that `lost` knows.
        """

    def close(self) -> None:
        """End all that runs at once, also in the middle of a training."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def awaited(workers: Workers, future: Future[T], seconds: float = SILENCE_SECONDS) -> T:
    """What a future comes to; its worker is ended where that takes longer, as it may hang."""
    if not wait([future], seconds).done:
        workers.end(future)
    return future.result()
