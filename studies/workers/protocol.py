"""What the planner asks of whatever runs trainings."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import ParamSpec, Protocol, TypeVar

from fsmd.training import TrainingProgress

P = ParamSpec("P")
T = TypeVar("T")

Message = tuple[str, TrainingProgress]
"""(identity of a training, how far it is)."""


class Workers(Protocol):
    """Processes that run functions, here or elsewhere."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on a free worker. What is submitted must be picklable."""

    def messages(self) -> Iterator[Message]:
        """What the trainings under way have told since the last call."""

    def lost(self, error: BaseException) -> bool:
        """Whether a future's error says that its worker died, so that another try may succeed."""

    def close(self) -> None:
        """End all workers at once, also in the middle of a training."""
