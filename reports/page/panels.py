"""Planes: panels of known size, so that names can be placed before anything is drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import ceil, dist
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Ellipse as EllipsePatch
from matplotlib.text import Annotation

from fsmd.stats.joint import Ellipse
from reports.page import style
from reports.page.labels import FONT, Box, Point, placed

Frame = tuple[Point, Point]
"""((lowest x, highest x), (lowest y, highest y))."""

FEW = 4
"""More planes than this are small."""
MOST_PAIRS = 10
"""Of so many pairs of targets there is a plane at most."""

_LEFT, _RIGHT, _BOTTOM, _TOP = 0.85, 0.15, 0.5, 0.3
"""Inches around a plane: for ticks and labels, and for a title above it."""
_SQUARE = 3.0
"""Points of 1/72 inch: what a line keeps free around it."""


def pairs_drawn(count: int) -> tuple[tuple[int, int], ...]:
    """The pairs of so many targets that get a plane: all, or the first if they are too many.

    >>> pairs_drawn(1), pairs_drawn(2), pairs_drawn(3), pairs_drawn(6)
    ((), ((0, 1),), ((0, 1), (0, 2), (1, 2)), ((0, 1),))
    """
    pairs = tuple(combinations(range(count), 2))
    return pairs if len(pairs) <= MOST_PAIRS else pairs[:1]


def left_out(count: int, pairs: Sequence[tuple[int, int]]) -> str:
    """A sentence with a blank before it, where not all of `count` tasks are in a plane."""
    shown = {task for pair in pairs for task in pair}
    if not pairs or len(shown) == count:
        return ""
    return f" Of {count} tasks these two are shown; the table has all."


@dataclass(frozen=True)
class Plane:
    """Two axes of fixed limits and size."""

    axis: Axes
    frame: Frame
    size: Point
    """Width and height, in points of 1/72 inch."""

    @property
    def corner(self) -> Point:
        """The lower left one."""
        return self.frame[0][0], self.frame[1][0]

    def holds(self, point: Point) -> bool:
        """Whether a point lies inside of it."""
        return all(
            low <= value <= high for value, (low, high) in zip(point, self.frame, strict=True)
        )

    def on_page(self, point: Point) -> Point:
        """Where a point lies, in points of 1/72 inch from the lower left corner."""
        (left, right), (bottom, top) = self.frame
        across, up = (point[0] - left) / (right - left), (point[1] - bottom) / (top - bottom)
        return across * self.size[0], up * self.size[1]

    def draw_region(self, region: Ellipse, **look: Any) -> EllipsePatch:
        """The border of a joint region."""
        long, short = region.semi_axes
        edge = EllipsePatch(region.centre, 2 * long, 2 * short, angle=region.angle, fill=False)
        edge.set(**look)
        self.axis.add_patch(edge)
        return edge

    def write_names(
        self,
        points: Mapping[str, Point],
        *,
        marks: Iterable[Point] = (),
        line: Sequence[Point] = (),
        taken: Sequence[Box] = (),
        with_lines: bool = False,
    ) -> dict[str, Annotation]:
        """A name beside each point, where it covers no other name and no mark, if there is room.

        Points outside of the plane get none.

        marks: further points that no name may cover.
        line: corners of a line that runs behind the names, and had better not.
        taken: what else must stay free, in points of 1/72 inch.
        with_lines: lead a line to every point; else only to those whose name stands far away.
        """
        inside = {name: point for name, point in points.items() if self.holds(point)}
        places = placed(
            {name: self.on_page(point) for name, point in inside.items()},
            self.size,
            [*taken, *self._along(line)],
            [self.on_page(point) for point in marks],
        )
        leader: dict[str, Any] = {
            "arrowstyle": "-",
            "linewidth": 0.5,
            "color": style.FAINT,
            "shrinkA": 0,
            "shrinkB": 3,
            "relpos": (0.5, 0.5),
        }
        return {
            name: self.axis.annotate(
                name,
                inside[name],
                (place.dx, place.dy),
                textcoords="offset points",
                fontsize=FONT,
                ha="center",
                va="center",
                zorder=5,
                bbox={"facecolor": style.PAPER, "alpha": 0.7, "linewidth": 0, "pad": 0.3},
                arrowprops=leader if with_lines or place.far else None,
            )
            for name, place in places.items()
        }

    def _along(self, line: Sequence[Point]) -> list[Box]:
        """Small squares along a line, in points of 1/72 inch."""
        squares = []
        for start, end in pairwise(map(self.on_page, line)):
            steps = ceil(dist(start, end) / _SQUARE)
            for x, y in np.linspace(start, end, steps, endpoint=False).tolist():
                squares.append(Box(x, y, _SQUARE, _SQUARE))
        return squares


def planes(
    frames: Sequence[Frame],
    narrow: bool,
    handles: Sequence[Any],
    *,
    height: float,
) -> tuple[Figure, list[Plane]]:
    """A figure with a plane for each frame, and a legend below them; draw inside `styled`.

    height: inches of a row of planes, with their labels.
    Two planes make a row, of more than four three, which are lower; on a phone one does.
    """
    in_row = style.columns(len(frames), narrow, 2 if len(frames) <= FEW else 3)
    height = 0.72 * height if in_row > 2 else height
    rows = ceil(len(frames) / in_row)
    below = style.LEGEND_ROW * style.legend_rows(handles, narrow) + 0.15
    wide, high = style.width(narrow), height * rows + below
    figure = Figure((wide, high), facecolor="none")
    inner = wide / in_row - _LEFT - _RIGHT, height - _BOTTOM - _TOP
    made = []
    for index, frame in enumerate(frames):
        row, column = divmod(index, in_row)
        corner = column * wide / in_row + _LEFT, below + (rows - 1 - row) * height + _BOTTOM
        place = corner[0] / wide, corner[1] / high, inner[0] / wide, inner[1] / high
        axis = figure.add_axes(place, facecolor="none")
        axis.set(xlim=frame[0], ylim=frame[1])
        made.append(Plane(axis, frame, (72 * inner[0], 72 * inner[1])))
    style.legend(figure, handles, narrow, rows=len(handles))
    return figure, made
