"""What the planner asks of whatever runs trainings."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any, ParamSpec, Protocol, Self, TypeVar

from fsmd.training import TrainingProgress

P = ParamSpec("P")
T = TypeVar("T")

Message = tuple[str, TrainingProgress]
"""(identity of a training, how far it is)."""


class Workers(Protocol):
    """Processes that run functions, here or elsewhere."""

    def prepare(self) -> None:
        """Begin to load the libraries, as there will be something to train; does not wait."""

    def slots(self) -> int:
        """How many calls to submit at once, as it is now: workers may come and go."""

    def has_device(self, device: str) -> bool:
        """Whether they can train on it: cpu, cuda or cuda:N."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Run on a free worker. What is submitted must be picklable.

        Another machine finds the data of trainings by their content. What is given as a path is a
        checkpoint's: there it may lie elsewhere.
        """

    def messages(self) -> Iterator[Message]:
        """What the trainings under way have told since the last call."""

    def lost(self, error: BaseException) -> bool:
        """Whether a future's error says that its worker died, so that another try may succeed."""

    def machine(self, future: Future[Any]) -> str:
        """A line on the machine where it ran; empty if that is this one, or not known."""

    def close(self) -> None:
        """End all that runs at once, also in the middle of a training."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...
