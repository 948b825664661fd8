"""What the planner asks of whatever runs trainings."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any, ParamSpec, Protocol, TypeVar

from fsmd.training import TrainingProgress

P = ParamSpec("P")
T = TypeVar("T")

Message = tuple[str, TrainingProgress]
"""(identity of a training, how far it is)."""


SILENCE_SECONDS = 600.0
"""How long something may take that tells nothing, before its worker is ended."""


class Workers(Protocol):
    """Processes that run functions, here or elsewhere."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on a free worker. What is submitted must be picklable."""

    def messages(self) -> Iterator[Message]:
        """What the trainings under way have told since the last call."""

    def lost(self, error: BaseException) -> bool:
        """Whether a future's error says that its worker died, so that another try may succeed."""

    def end(self, future: Future[Any]) -> None:
        """End the worker that does this at once, though it hears nothing: the future raises an
        error that `lost` knows.
        """

    def close(self) -> None:
        """End all workers at once, also in the middle of a training."""


def awaited(workers: Workers, future: Future[T], seconds: float = SILENCE_SECONDS) -> T:
    """What a future comes to; its worker is ended where that takes longer, as it may hang."""
    if not wait([future], seconds).done:
        workers.end(future)
    return future.result()
