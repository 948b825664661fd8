"""What is to be trained next, as a plan that the planner follows."""

from collections import deque
from collections.abc import Iterable
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

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        """A cell of a step is over; without a result where it failed for good."""


class Queue:
    """An agenda that is fixed: each cell to its end, in order."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._left = deque(cells)

    def next(self) -> Step | None:
        """The next cell."""
        return Step((self._left.popleft(),)) if self._left else None

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        """Change nothing."""
