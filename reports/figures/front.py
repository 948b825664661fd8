"""The front that a search saw, and the one that fresh seeds show, with intervals."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch

from reports import words
from reports.estimates import Array, Estimate
from reports.figures import style
from reports.figures.labels import Box, placed
from reports.front import Band
from reports.joint import Ellipse as Region
from reports.search_analysis import SearchAnalysis
from search_spaces.spaces import Space

Point = tuple[float, float]


class Fresh(NamedTuple):
    """A confirmed point: both tasks' means over fresh seeds, and where the search saw it."""

    level: str
    means: tuple[Estimate, Estimate]
    searched: Point | None
    known: bool
    """Whether it is a model of the paper."""
    told: str
    region: Region | None
    """Where both means lie together."""

    @property
    def at(self) -> Point:
        """The means."""
        return self.means[0].mean, self.means[1].mean


class FrontSummary(NamedTuple):
    """What the figure shows; fronts by the first task's AUC, empty with a third objective."""

    tasks: tuple[str, str]
    searched: tuple[tuple[str, Point], ...]
    """Everything that was trained to its end, as the search saw it."""
    not_again: tuple[str, ...]
    """The paper's models among them that were not trained again."""
    front: tuple[str, ...]
    fresh: tuple[Fresh, ...]
    fresh_front: tuple[str, ...]
    picked: tuple[str, ...]
    band: Band | None
    """What the fresh seeds' fronts attain: all of them, half of them, one."""


def summarize(analysis: SearchAnalysis) -> FrontSummary:
    """Both fronts in the plane of the tasks."""
    found = analysis.found
    first, second = found.tasks
    known = known_models(found.space)
    again = {*(c.level for c in analysis.confirmed), *found.fresh_failed}
    third = found.cost is not None
    searched = tuple((c.level, _plane(c.values)) for c in found.all_in("ended"))
    fresh = tuple(
        Fresh(
            c.level, (c.fresh[0], c.fresh[1]), _plane(c.searched) if c.searched else None,
            c.level in known, "; ".join(
                f"{task} {words.interval(e)}" for task, e in zip(found.tasks, c.fresh, strict=True)
            ),
            c.region,
        )
        for c in analysis.confirmed
    )  # fmt: skip
    return FrontSummary(
        (first, second), searched,
        tuple(level for level, _ in searched if level in known and level not in again),
        () if third else analysis.front, fresh, () if third else analysis.fresh_front,
        tuple(pick.level for pick in analysis.picks), analysis.band,
    )  # fmt: skip


def known_models(space: Space) -> tuple[str, ...]:
    """The names of the paper's models in a space."""
    return tuple(space.known)


def _plane(values: Sequence[float]) -> Point:
    return values[0], values[1]


def ranges(summary: FrontSummary) -> tuple[Point, Point]:
    """Both axes' limits: all points near the front, and intervals as far as they leave room.

    A point far behind the others is left out, or it would squeeze them into a corner.
    """
    found = []
    for k in (0, 1):
        seen = np.array([point[k] for _, point in summary.searched])
        means = [fresh.at[k] for fresh in summary.fresh]
        top = max([*seen, *means])
        low = max(min(seen), float(np.median(seen)) - 3 * (top - float(np.median(seen))))
        low = min([low, *means])
        span = max(top - low, 1e-4)
        ends = [end for fresh in summary.fresh for end in fresh.means[k][1:3] if end is not None]
        low, top = (
            min([low, *(max(end, low - 0.35 * span) for end in ends)]),
            max([top, *(min(end, top + 0.35 * span) for end in ends)]),
        )
        found.append(style.limits(low, top, 0.06))
    return found[0], found[1]


def outside(summary: FrontSummary) -> int:
    """Points that the axes leave out."""
    return sum(not _inside(point, summary) for _, point in summary.searched)


def _inside(point: Point, summary: FrontSummary) -> bool:
    (left, right), (bottom, top) = ranges(summary)
    return left <= point[0] <= right and bottom <= point[1] <= top


def draw(summary: FrontSummary, narrow: bool = False) -> Figure:
    """One panel of known size, so that names can be placed before anything is drawn."""
    handles = _handles(summary)
    width = style.NARROW if narrow else 3 * style.WIDE
    legend = 0.19 * -(-len(handles) // style.legend_columns(handles, width, narrow)) + 0.15
    height = (4.0 if narrow else 5.2) + legend
    box = (0.85, 0.5 + legend, width - 1.0, height - 0.6 - legend)
    with style.styled():
        figure = Figure(figsize=(width, height), facecolor="none")
        axis = figure.add_axes((box[0] / width, box[1] / height, box[2] / width,
                                box[3] / height), facecolor="none")  # fmt: skip
        _frame(axis, summary)
        if summary.band:
            _draw_band(axis, summary, summary.band)
        _draw_searched(axis, summary)
        _draw_fresh(axis, summary)
        _draw_names(axis, summary, (box[2] * 72, box[3] * 72))
        style.legend(figure, handles, narrow)
    return figure


def _frame(axis: Axes, summary: FrontSummary) -> None:
    x_range, y_range = ranges(summary)
    axis.grid(color=style.FAINT, alpha=0.25, linewidth=0.6)
    axis.set_axisbelow(True)
    axis.set(xlim=x_range, ylim=y_range, xlabel=f"validation AUC, {summary.tasks[0]}",
             ylabel=f"validation AUC, {summary.tasks[1]}")  # fmt: skip
    axis.locator_params(nbins=5, steps=[1, 2, 2.5, 5, 10])


def _draw_band(axis: Axes, summary: FrontSummary, band: Band) -> None:
    """Its left end reaches to the frame; what is not attained lies at the foot."""
    left, bottom = _lowest(summary)
    low, half, high = (
        np.maximum([side[0], *side], bottom) for side in (band.by_all, band.by_half, band.by_one)
    )
    first = [min(left, band.first[0]), *band.first]
    axis.fill_between(first, low, high, step="pre", color=style.FAINT, alpha=0.18, linewidth=0)
    axis.step(first, half, where="pre", color=style.FAINT, linewidth=0.9)


def _draw_searched(axis: Axes, summary: FrontSummary) -> None:
    """Faint: what the search saw; the staircase bounds what its front dominates."""
    points = dict(summary.searched)
    if summary.front:
        stairs = _staircase([points[level] for level in summary.front], *_lowest(summary))
        axis.plot(*stairs, color=style.FAINT, linewidth=1, linestyle=(0, (4, 2)))
    # What lies outside would not be drawn, and the values would be told of the wrong points.
    points = {level: point for level, point in points.items() if _inside(point, summary)}
    marks = axis.plot(*zip(*points.values(), strict=True), "o", color=style.FAINT, markersize=4,
                      markerfacecolor="none", linestyle="none")  # fmt: skip
    style.tag(marks, "as the search saw it", *(
        f"{level}, search: {words.auc(x)}, {words.auc(y)}" for level, (x, y) in points.items()
    ))  # fmt: skip
    known = [points[level] for level in summary.not_again if level in points]
    if known:
        axis.plot(*zip(*known, strict=True), "s", color=style.ORANGE, markersize=6.5,
                  markerfacecolor="none", linestyle="none")  # fmt: skip
    if not summary.fresh:
        _ring(axis, [points[level] for level in summary.picked if level in points])


def _draw_fresh(axis: Axes, summary: FrontSummary) -> None:
    for fresh in summary.fresh:
        if fresh.searched:
            axis.plot(*zip(fresh.searched, fresh.at, strict=True), color=style.FAINT,
                      linewidth=0.7, linestyle=(0, (1, 1.5)))  # fmt: skip
    if summary.fresh_front:
        axis.plot(*_fresh_stairs(summary), color=style.INK, linewidth=1.2)
    for known, look in _LOOKS:
        group = [fresh for fresh in summary.fresh if fresh.known == known]
        for fresh in group:
            _cross(axis, fresh, look.color)
            if fresh.region and fresh.level in summary.fresh_front:
                _ellipse(axis, fresh.region, look.color)
        if group:
            marks = axis.plot(*zip(*(fresh.at for fresh in group), strict=True), look.marker,
                              color=look.color, markersize=6.5, linestyle="none")  # fmt: skip
            style.tag(marks, "on fresh seeds", *(f"{f.level}: {f.told}" for f in group))
    _ring(axis, [fresh.at for fresh in summary.fresh if fresh.level in summary.picked])


_LOOKS = ((False, style.LOOKS[0]), (True, style.LOOKS[1]))


def _cross(axis: Axes, fresh: Fresh, color: str) -> None:
    (x, y), (across, up) = fresh.at, fresh.means
    line: dict[str, Any] = {"color": color, "linewidth": 1.1, "alpha": 0.7}
    if across.low is not None and across.high is not None:
        axis.plot((across.low, across.high), (y, y), **line)
    if up.low is not None and up.high is not None:
        axis.plot((x, x), (up.low, up.high), **line)


def _ellipse(axis: Axes, region: Region, color: str) -> None:
    long, short = region.semi_axes
    axis.add_patch(Ellipse(region.centre, 2 * long, 2 * short, angle=region.angle, fill=False,
                           edgecolor=color, linewidth=0.9, alpha=0.8))  # fmt: skip


def _ring(axis: Axes, points: Sequence[Point]) -> None:
    if points:
        axis.plot(*zip(*points, strict=True), "o", color=style.INK, markersize=12,
                  markerfacecolor="none", linestyle="none")  # fmt: skip


def _lowest(summary: FrontSummary) -> Point:
    """The lower left corner."""
    (left, _), (bottom, _) = ranges(summary)
    return left, bottom


def _fresh_stairs(summary: FrontSummary) -> tuple[Array, Array]:
    on_front = (fresh.at for fresh in summary.fresh if fresh.level in summary.fresh_front)
    return _staircase(on_front, *_lowest(summary))


def _staircase(points: Iterable[Point], left: float, bottom: float) -> tuple[Array, Array]:
    """Corners of the border of what points dominate; they come by rising x and falling y.

    >>> [corners.tolist() for corners in _staircase([(1.0, 3.0), (2.0, 2.0)], 0.0, 0.0)]
    [[0.0, 1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 2.0, 2.0, 0.0]]
    """
    corners = list[Point]()
    for x, y in points:
        corners += [(corners[-1][0] if corners else left, y), (x, y)]
    x_C, y_C = np.array([*corners, (corners[-1][0], bottom)]).T
    return x_C, y_C


def _draw_names(axis: Axes, summary: FrontSummary, size: Point) -> None:
    """Of confirmed points and the paper's models; without any, of the search's front too.

    No name lies on the line of the fresh front, where another place is free.
    """
    points = dict(summary.searched)
    named = dict.fromkeys(summary.not_again)
    if not summary.fresh:
        named |= dict.fromkeys((*summary.front, *summary.picked))
    at = {**{level: points[level] for level in named},
          **{fresh.level: fresh.at for fresh in summary.fresh}}  # fmt: skip
    x_range, y_range = ranges(summary)

    def on_page(point: Point) -> Point:
        return ((point[0] - x_range[0]) / (x_range[1] - x_range[0]) * size[0],
                (point[1] - y_range[0]) / (y_range[1] - y_range[0]) * size[1])  # fmt: skip

    inside = {k: on_page(p) for k, p in at.items()
              if all(0 <= v <= s for v, s in zip(on_page(p), size, strict=True))}  # fmt: skip
    marks = [on_page(point) for point in points.values()]
    line = []
    if summary.fresh_front:
        corners = [on_page(corner) for corner in zip(*_fresh_stairs(summary), strict=True)]
        for (x, y), (right, low) in pairwise(corners):
            line.append(Box((x + right) / 2, (y + low) / 2, right - x + 2, y - low + 2))
    for name, place in placed(inside, size, line, marks).items():
        axis.annotate(
            name, at[name], (place.dx, place.dy), textcoords="offset points", fontsize=8,
            ha="center", va="center",
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": style.FAINT,
                        "shrinkA": 0, "shrinkB": 3} if place.far else None,
        )  # fmt: skip


def _handles(summary: FrontSummary) -> list[Line2D | Patch]:
    faint: dict[str, Any] = {"color": style.FAINT, "markersize": 4, "markerfacecolor": "none"}
    made: list[Line2D | Patch] = [
        Line2D([], [], marker="o", linestyle="none", label="as the search saw it", **faint)
    ]
    if summary.front:
        made.append(Line2D([], [], color=style.FAINT, linestyle=(0, (4, 2)), linewidth=1,
                              label="the search's front"))  # fmt: skip
    if summary.not_again:
        made.append(Line2D([], [], color=style.ORANGE, marker="s", markersize=6.5,
                              markerfacecolor="none", linestyle="none",
                              label="the paper's models, search only"))  # fmt: skip
    for known, look in _LOOKS:
        if any(fresh.known == known for fresh in summary.fresh):
            label = "fresh seeds, the paper's models" if known else "fresh seeds, found"
            made.append(Line2D([], [], color=look.color, marker=look.marker, markersize=6.5,
                                  linewidth=1.1, label=label))  # fmt: skip
    if summary.fresh_front:
        made.append(Line2D([], [], color=style.INK, linewidth=1.2,
                              label="the front on fresh seeds"))  # fmt: skip
    if summary.band:
        made.append(Patch(facecolor=style.FAINT, alpha=0.18, label="fronts of single seeds"))
        made.append(Line2D([], [], color=style.FAINT, linewidth=0.9, label="half of them attain"))
    if summary.picked:
        ring: dict[str, Any] = {"marker": "o", "markersize": 10, "markerfacecolor": "none"}
        made.append(Line2D([], [], color=style.INK, linestyle="none", label="picked", **ring))
    return made
