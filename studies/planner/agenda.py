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


STACKS_OF_STEP = 4
"""Times as many cells as a stack has places, in a step: whoever ends early makes room."""


def stacks(cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
    """Cells for one worker at one time: of one shape where their runtime has a stack, else one."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        training = cell.training
        alone = training.runtime.stack == 1
        groups.setdefault(training.id if alone else training.shape, []).append(cell)
    steps = []
    for group in groups.values():
        size = STACKS_OF_STEP * group[0].training.runtime.stack
        steps += [tuple(group[i : i + size]) for i in range(0, len(group), size)]
    return steps


class Queue:
    """An agenda that is fixed: each cell to its end, in order."""

    def __init__(self, cells: Iterable[Cell]) -> None:
        self._left = deque(stacks(cells))

    def next(self) -> Step | None:
        """The next cell, or stack of cells."""
        return Step(self._left.popleft()) if self._left else None

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        """Change nothing."""
