"""What is to be trained next, as a plan that the planner follows."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from fsmd.training import TrainingResult
from studies.planner.design import Cell


class Step(NamedTuple):
    """Trainings for one worker at one time: to their end, or to an epoch to pause after."""

    cells: tuple[Cell, ...]
    """Mostly one; several are trained together."""
    until: int | None = None
    """The epoch after which the agenda decides again."""


class Agenda(Protocol):
    """What is to be trained, and in which order."""

    def next(self) -> Step | None:
        """What a free worker does; None if there is nothing now. May be asked again later."""

    def settle(self) -> None:
        """A step is over, and will be recorded next."""

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        """A cell of a step is over; without a result where it failed for good."""


class LongestFirst:
    """An agenda that is fixed: each cell to its end, so that no worker has nothing to do for long.

    A whole replicate comes after the other, so that what is stopped halfway can be compared; the
    longest trainings of each come first. One that takes half as long as all workers together need
    for what is left begins at once: no guess is better than that.
    """

    def __init__(self, cells: Iterable[Cell], seconds: Mapping[str, float], workers: int) -> None:
        """seconds: identity of each training -> how long it will take, in any unit."""
        self._seconds, self._workers = seconds, workers
        self._left = sorted(cells, key=lambda cell: (cell.replicate, -self._of(cell)))

    def next(self) -> Step | None:
        """The next cell."""
        if not self._left:
            return None
        longest = max(self._left, key=self._of)
        rest = sum(map(self._of, self._left)) / self._workers
        cell = longest if 2 * self._of(longest) >= rest else self._left[0]
        self._left.remove(cell)
        return Step((cell,))

    def _of(self, cell: Cell) -> float:
        return self._seconds[cell.training.id]

    def settle(self) -> None:
        """Change nothing."""

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        """Change nothing."""
