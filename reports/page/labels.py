"""Names beside points without overlaps: greedy, the same every time, in points of 1/72 inch."""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

from reports.page.fonts import fonts_for

Point = tuple[float, float]

FONT = 8.0
MARK = 4.5
"""Half the side of the square that a mark keeps free."""
_STEPS = (0.0, 9.0, 19.0, 30.0, 43.0, 58.0, 75.0)
_WAYS = tuple(
    (math.cos(math.radians(turn)), math.sin(math.radians(turn)))
    for turn in (0, 90, 180, 270, 45, 135, 315, 225, 22, 67, 112, 157, 202, 247, 292, 337)
)


class Box(NamedTuple):
    """A rectangle by its middle and its size."""

    x: float
    y: float
    width: float
    height: float

    @classmethod
    def of_text(cls, text: str, size: float) -> "Box":
        """The room that lines of text take, around (0, 0)."""
        lines = text.split("\n")
        return cls(0, 0, max(_width(line, size) for line in lines) + 3, 1.25 * size * len(lines))

    def at(self, point: Point) -> "Box":
        """The same room around another point."""
        return self._replace(x=point[0], y=point[1])

    def at_corner(self, corner: tuple[int, int], size: Point, room: float = 4) -> "Box":
        """The same room in a corner (±1, ±1) of a panel."""
        half = self.width / 2 + room, self.height / 2 + room
        x, y = (
            extent - inset if sign > 0 else inset
            for sign, extent, inset in zip(corner, size, half, strict=True)
        )
        return self.at((x, y))

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        wide = _shared(self.x, self.width, other.x, other.width)
        return wide * _shared(self.y, self.height, other.y, other.height)

    def outside(self, size: Point) -> float:
        """How much of it lies outside of a panel, as an area."""
        panel = Box(size[0] / 2, size[1] / 2, *size)
        return self.width * self.height - self.overlap(panel)


class Place(NamedTuple):
    """Where the middle of a text goes, from its point; whether a line must lead there."""

    dx: float
    dy: float
    far: bool


def placed(
    points: Mapping[str, Point],
    size: Point,
    taken: Sequence[Box] = (),
    marks: Sequence[Point] = (),
) -> dict[str, Place]:
    """Name -> place of its text.

    The nearest free place is taken, the most crowded point choosing first; where nothing is free,
    the place with the least overlap.
    """
    every = [*points.values(), *marks]
    occupied = [*taken, *(Box(x, y, 2 * MARK, 2 * MARK) for x, y in every)]
    chosen: dict[str, Place] = {}
    for name in sorted(points, key=lambda name: (-_crowd(points[name], every), name)):
        text = Box.of_text(name, FONT)
        places = [_place(text, way, step) for step in _STEPS for way in _WAYS]
        x, y = points[name]
        boxes = [text.at((x + dx, y + dy)) for dx, dy, _ in places]
        covered = _covered(boxes, occupied).tolist()
        costs = [3 * box.outside(size) + c for box, c in zip(boxes, covered, strict=True)]
        best = min(range(len(costs)), key=lambda i: (round(costs[i], 3), i))
        chosen[name] = places[best]
        occupied.append(boxes[best])
    return {name: chosen[name] for name in points}


def apart(
    places: Sequence[float], rooms: Sequence[float], ends: tuple[float, float]
) -> list[float]:
    """Where names go on a line, as near to their places as they can without touching.

    rooms: what each takes; ends: of the line, which they leave only where they find no room.

    >>> apart([0.0, 0.1, 5.0], [1.0, 1.0, 1.0], (0.0, 5.0))
    [0.5, 1.5, 4.5]
    """
    order = sorted(range(len(places)), key=lambda i: (places[i], i))
    chosen, (low, high) = list(places), ends
    for i in order:
        chosen[i] = max(chosen[i], low + rooms[i] / 2)
        low = chosen[i] + rooms[i] / 2
    for i in reversed(order):
        chosen[i] = min(chosen[i], high - rooms[i] / 2)
        high = chosen[i] - rooms[i] / 2
    return chosen


@cache
def _width(line: str, size: float) -> float:
    font = FontProperties(family=list(fonts_for(line).families))
    return float(TextPath((0, 0), line, size=size, prop=font).get_extents().width)


def _place(text: Box, way: Point, step: float) -> Place:
    """A text that begins `step` beyond the mark."""
    return Place(
        way[0] * (MARK + 1 + step + text.width / 2),
        way[1] * (MARK + 1 + step + text.height / 2),
        step > _STEPS[1],
    )


def _shared(middle: float, length: float, other: float, its: float) -> float:
    """The length that two intervals share."""
    low = max(middle - length / 2, other - its / 2)
    return max(min(middle + length / 2, other + its / 2) - low, 0.0)


def _covered(boxes: Sequence[Box], others: Sequence[Box]) -> NDArray[np.float64]:
    """The area of each box that the others cover, as `Box.overlap` has it."""
    one_B14, other_1O4 = np.array(boxes)[:, None], np.array(others).reshape(-1, 4)[None]
    low = np.maximum(*(box[..., :2] - box[..., 2:] / 2 for box in (one_B14, other_1O4)))
    high = np.minimum(*(box[..., :2] + box[..., 2:] / 2 for box in (one_B14, other_1O4)))
    covered_B: NDArray[np.float64] = np.maximum(high - low, 0.0).prod(axis=2).sum(axis=1)
    return covered_B


def _crowd(point: Point, every: Sequence[Point]) -> int:
    return sum(math.dist(point, other) < 40 for other in every)
