"""What is to be trained next, as a plan that the planner follows."""

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
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

    def waits(self, cell: Cell) -> None:
        """The time did not suffice for a cell of a step: it is as it was before."""


STACKS_OF_STEP = 4
"""Times as many cells as a stack has places, in a step: whoever ends early makes room."""


def stacks(cells: Iterable[Cell]) -> list[tuple[Cell, ...]]:
    """Cells for one worker at one time: of one shape where they can be a stack, else one."""
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        training = cell.training
        key = training.id if training.why_alone else training.shape
        groups.setdefault(key, []).append(cell)
    steps = []
    for group in groups.values():
        size = STACKS_OF_STEP * group[0].training.runtime.stack
        steps += [tuple(group[i : i + size]) for i in range(0, len(group), size)]
    return steps


class LongestFirst:
    """An agenda that is fixed: each cell to its end, so that no worker has nothing to do for long.

    A whole replicate comes after the other, so that what is stopped halfway can be compared; the
    longest trainings of each come first. One that takes half as long as all workers together need
    for what is left begins at once: no guess is better than that. A stack of cells counts as one.
    What no worker has room for when it is its turn is held back until one has, or can keep it free
    for what is of an earlier replicate than others that had their turn, or nothing else is left.
    """

    def __init__(
        self,
        cells: Iterable[Cell],
        seconds: Mapping[str, float],
        workers: int,
        has_room: Callable[[Sequence[Cell], bool], bool] = lambda cells, overdue: True,
    ) -> None:
        """seconds: identity of each training -> how long it will take, in any unit. has_room:
        whether the workers have for them now, or, if they are overdue, can keep it free for them.
        """
        self._seconds, self._workers, self._has_room = seconds, workers, has_room
        self._held = deque[tuple[Cell, ...]]()
        ordered = sorted(stacks(cells), key=lambda step: (step[0].replicate, -self._of(step)))
        self._ahead = deque(ordered)
        self._by_length = deque(sorted(ordered, key=self._of, reverse=True))
        self._rest = sum(map(self._of, ordered))
        self._begun = set[str]()  # identities of the first trainings; it is still in a deque
        self._latest = 0
        """Replicate of what had its turn, the highest."""

    def next(self) -> Step | None:
        """The next cell, or stack of cells."""
        self._held.rotate(-1)  # so one after the other is looked at, and each time only one
        if self._ahead and self._held and self._room_kept(self._held[0]):
            return self._oldest()
        while cells := self._chosen():
            if self._has_room(cells, False):
                return Step(cells)
            self._held.append(cells)
        return self._oldest() if self._held else None

    def _oldest(self) -> Step:
        """Of what is held that for which there is room, or else the oldest."""
        by_age = sorted(self._held, key=lambda cells: cells[0].replicate)
        cells = next(filter(self._room_kept, by_age), by_age[0])
        self._held.remove(cells)
        return Step(cells)

    def _room_kept(self, cells: Sequence[Cell]) -> bool:
        return self._has_room(cells, cells[0].replicate < self._latest)

    def _chosen(self) -> tuple[Cell, ...]:
        """Whose turn it is; nobody's, where all have had theirs."""
        for steps in (self._ahead, self._by_length):
            while steps and steps[0][0].training.id in self._begun:
                steps.popleft()
        if not self._ahead:
            return ()
        longest = self._by_length[0]
        at_once = 2 * self._of(longest) >= self._rest / self._workers
        cells = longest if at_once else self._ahead[0]
        self._begun.add(cells[0].training.id)
        self._latest = max(self._latest, cells[0].replicate)
        self._rest -= self._of(cells)
        return cells

    def _of(self, cells: Sequence[Cell]) -> float:
        return sum(self._seconds[cell.training.id] for cell in cells)

    def settle(self) -> None:
        """Change nothing."""

    def ended(self, cell: Cell, result: TrainingResult | None) -> None:
        """Change nothing."""

    def waits(self, cell: Cell) -> None:
        """Change nothing."""
