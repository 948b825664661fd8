"""Fig. 10 redrawn: what each model gains over the reference on both tasks at once.

The left panel is what was measured here; where the paper reports gains, a second panel shows both
at the scale that the paper's need.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse, Patch, Rectangle
from matplotlib.ticker import MaxNLocator

from reports import paper, words
from reports.figures import style
from reports.figures.labels import Box, placed
from reports.joint import joint_difference, joint_ellipse
from reports.results import Scores, StudyResults, auc_on_test

Point = tuple[float, float]
Frame = tuple[Point, Point]
"""((lowest x, highest x), (lowest y, highest y))."""


class Region(NamedTuple):
    """An ellipse around a mean: its axes in full length, the first turned by `angle` degrees."""

    width: float
    height: float
    angle: float

    @property
    def reach(self) -> Point:
        """How far it goes from its middle, along x and along y."""
        turn = math.radians(self.angle)
        half, other = self.width / 2, self.height / 2
        return (
            math.hypot(half * math.cos(turn), other * math.sin(turn)),
            math.hypot(half * math.sin(turn), other * math.cos(turn)),
        )


class Gain(NamedTuple):
    """A level's mean gain on both tasks over `n` paired seeds; no region below three."""

    level: str
    look: int
    mean: Point
    region: Region | None
    n: int


class GainsSummary(NamedTuple):
    """What the figure shows."""

    reference: str
    tasks: tuple[str, str]
    margin: float
    gains: tuple[Gain, ...]
    paper: Mapping[str, Point]
    looks: Mapping[str, int]


def summarize(results: StudyResults) -> GainsSummary:
    """Paired gains of test AUC over the study's reference, and the paper's own."""
    scores, study = auc_on_test(results), results.definition
    first, second = results.tasks
    looks = {name: index for index, name in enumerate(dict.fromkeys(
        [*scores.trained, *results.levels]))}  # fmt: skip
    gains = tuple(
        gain
        for level in scores.trained
        if level != study.reference
        and (gain := _gain(scores, level, study.reference, looks[level])).n
    )
    return GainsSummary(
        study.reference, (first, second), study.margin, gains,
        {arm: gain for arm, gain in paper.gains(study.figure, study.reference).items()
         if arm in looks},
        looks,
    )  # fmt: skip


def joint_region(scores: Scores, level: str, reference: str) -> Region | None:
    """Where both mean gains lie together with 95 %, over seeds and, where known, test rows.

    It is wider than the two intervals. None below three paired replicates.
    """
    joint = joint_difference(scores, level, reference)
    if joint is None:
        return None
    ellipse = joint_ellipse(joint)
    long, short = ellipse.semi_axes
    return Region(2 * long, 2 * short, ellipse.angle)


def standing(gain: Point, tasks: tuple[str, str], margin: float) -> str:
    """Where a gain lies; below the margin a task neither gains nor loses what matters.

    >>> standing((0.002, 0.0), ("click", "long_view"), 0.001)
    'gains on click, within the margin on long_view'
    """
    inside = [abs(value) < margin for value in gain]
    if not any(inside):
        return quadrant(gain, tasks)
    if all(inside):
        return "within the margin on both"
    k = inside.index(False)
    way = "gains" if gain[k] > 0 else "loses"
    return f"{way} on {tasks[k]}, within the margin on {tasks[1 - k]}"


def quadrant(gain: Point, tasks: tuple[str, str]) -> str:
    """The name of the quadrant; a task that neither gains nor loses counts as a loss."""
    x, y = gain
    if (x > 0) == (y > 0):
        return "better on both" if x > 0 else "worse on both"
    lost, won = tasks if y > 0 else tasks[::-1]
    return f"seesaw: trades {lost} for {won}"


def frame(summary: GainsSummary, with_paper: bool = False) -> Frame:
    """Every mean, the margin and the regions, unless these are out of all proportion."""
    ranges = []
    for axis in (0, 1):
        ends = [-summary.margin, summary.margin, *(gain.mean[axis] for gain in summary.gains)]
        if with_paper:
            ends += [point[axis] for point in summary.paper.values()]
        most = 2.5 * max(map(abs, ends))
        for gain in summary.gains:
            reach = gain.region.reach[axis] if gain.region else 0.0
            ends += [min(gain.mean[axis] + reach, most), max(gain.mean[axis] - reach, -most)]
        ranges.append(_shared(min(ends), max(ends)))
    return ranges[0], ranges[1]


def draw(summary: GainsSummary, narrow: bool = False) -> Figure:
    """One panel, or two if the paper has gains of its own."""
    inner = frame(summary)
    panels = [inner, frame(summary, with_paper=True)] if summary.paper else [inner]
    with style.styled():
        width = style.NARROW if narrow else style.WIDE * 3
        side = style.NARROW if narrow else width / 2
        count = len(panels)
        height = side * 0.95
        legend = 0.8 if narrow else 0.5
        rows = count if narrow else 1
        figure = Figure(figsize=(width, height * rows + legend), facecolor="none")
        total = height * rows + legend
        room = width if narrow or count == 1 else side
        for index, limits in enumerate(panels):
            left = 0 if narrow else index * side
            bottom = legend + (rows - 1 - index if narrow else 0) * height
            box = (left + 0.82, bottom + 0.5, room - 0.92, height - 0.8)
            axis = figure.add_axes((box[0] / width, box[1] / total, box[2] / width,
                                    box[3] / total), facecolor="none")  # fmt: skip
            _panel(axis, summary, limits, box[2:], inner if index else None)
        style.legend(figure, _handles(summary), narrow)
    return figure


def _gain(scores: Scores, level: str, reference: str, look: int) -> Gain:
    pairs_R2 = np.column_stack(
        [scores.differences(level, reference, target) for target in scores.targets[:2]]
    )
    if not len(pairs_R2):
        return Gain(level, look, (math.nan, math.nan), None, 0)
    x, y = pairs_R2.mean(axis=0)
    return Gain(level, look, (float(x), float(y)), joint_region(scores, level, reference),
                len(pairs_R2))  # fmt: skip


def _shared(low: float, high: float) -> Point:
    """Some room, and at least three tenths of the axis on each side of zero."""
    low, high = min(low, -0.45 * high), max(high, -0.45 * low)
    room = 0.08 * (high - low)
    return low - room, high + room


def _inside(point: Point, limits: Frame) -> bool:
    return all(low <= value <= high for value, (low, high) in zip(point, limits, strict=True))


def _panel(
    axis: Axes, summary: GainsSummary, limits: Frame, inches: Point, inner: Frame | None
) -> None:
    """A panel of known size, so that names can be placed before anything is drawn.

    `inner` is the frame of the panel beside it, where there is one at a smaller scale.
    """
    (left, right), (bottom, top) = limits
    axis.set(xlim=(left, right), ylim=(bottom, top))
    margin = summary.margin
    axis.add_patch(Rectangle((-margin, -margin), 2 * margin, 2 * margin, linewidth=0,
                             facecolor=style.FAINT, alpha=0.22))  # fmt: skip
    axis.axhline(0, color=style.INK, linewidth=0.8)
    axis.axvline(0, color=style.INK, linewidth=0.8)
    if inner is not None:
        (x0, x1), (y0, y1) = inner
        axis.add_patch(Rectangle((x0, y0), x1 - x0, y1 - y0, fill=False, linewidth=0.9,
                                 linestyle=(0, (4, 2)), edgecolor=style.INK))  # fmt: skip
    for gain in summary.gains:
        _mark(axis, gain, small=inner is not None)
    if inner is not None:
        for arm, point in summary.paper.items():
            _paper_mark(axis, summary, arm, point)
    axis.plot(0, 0, "+", color=style.INK, markersize=9, markeredgewidth=1.6)
    named = {gain.level: gain.mean for gain in summary.gains} if inner is None else summary.paper
    _names(axis, summary, named, {summary.reference: (0.0, 0.0)}, limits, inches)
    axis.set(xlabel=f"{summary.tasks[0]}: AUC minus {summary.reference}",
             ylabel=f"{summary.tasks[1]}: AUC minus {summary.reference}")  # fmt: skip
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
        each.set_major_formatter(lambda value, _: words.short(value))
    axis.set_title("measured here" if inner is None else "with the paper's (frame: left panel)"
                   if inches[0] > 3.4 else "with the paper's (frame: panel above)",
                   loc="left")  # fmt: skip


def _mark(axis: Axes, gain: Gain, small: bool) -> None:
    look = style.look(gain.look)
    x, y = gain.mean
    if gain.region and not small:
        (width, height, angle), color = gain.region, look.color
        edge = Ellipse(gain.mean, width, height, angle=angle, fill=False, edgecolor=color,
                       linewidth=1.1, linestyle=look.dashes)  # fmt: skip
        style.tag([axis.add_patch(edge)], gain.level)
    points = axis.plot(x, y, marker=look.marker, color=look.color, markersize=4 if small else 7,
                       markeredgecolor=style.PAPER, zorder=4)  # fmt: skip
    style.tag(points, gain.level, f"{gain.level}: {words.signed(x)}, {words.signed(y)}")


def _paper_mark(axis: Axes, summary: GainsSummary, arm: str, point: Point) -> None:
    look = style.look(summary.looks[arm])
    points = axis.plot(*point, marker=look.marker, color=look.color, markersize=6.5,
                       markerfacecolor="none", markeredgewidth=1.2, zorder=3)  # fmt: skip
    x, y = point
    style.tag(points, arm, f"{arm} in the paper: {words.signed(x, 4)}, {words.signed(y, 4)}")


def _names(
    axis: Axes,
    summary: GainsSummary,
    named: Mapping[str, Point],
    fixed: Mapping[str, Point],
    limits: Frame,
    inches: Point,
) -> None:
    """Quadrants in the corners, then a name beside each mark."""
    (left, right), (bottom, top) = limits
    size = (72 * inches[0], 72 * inches[1])

    def to_points(point: Point) -> Point:
        return ((point[0] - left) / (right - left) * size[0],
                (point[1] - bottom) / (top - bottom) * size[1])  # fmt: skip

    taken = []
    for x, y in ((1, 1), (1, -1), (-1, 1), (-1, -1)):
        text = quadrant((x, y), summary.tasks).replace(": trades", ":\ntrades")
        axis.annotate(
            text, (max(x, 0), max(y, 0)), (-4 * x, -4 * y), xycoords="axes fraction",
            textcoords="offset points", fontsize=7.5, alpha=0.75, style="italic",
            ha="right" if x > 0 else "left", va="top" if y > 0 else "bottom",
        )  # fmt: skip
        taken.append(Box.of_text(text, 7.5).at_corner((x, y), size))
    everything = {**named, **fixed}
    places = placed({name: to_points(p) for name, p in everything.items()}, size, taken)
    for name, (dx, dy, _) in places.items():
        told = axis.annotate(
            name, everything[name], (dx, dy), textcoords="offset points", fontsize=8,
            ha="center", va="center", zorder=5,
            bbox={"facecolor": style.PAPER, "alpha": 0.7, "linewidth": 0, "pad": 0.3},
            arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": style.FAINT,
                        "shrinkA": 0, "shrinkB": 3, "relpos": (0.5, 0.5)},
        )  # fmt: skip
        if name != summary.reference:
            style.tag([told], name)


def _handles(summary: GainsSummary) -> list[Any]:
    some: dict[str, Any] = {"color": style.INK, "linestyle": "none", "markersize": 6}
    handles: list[Any] = [Line2D([], [], marker="o", label="mean gain", **some)]
    if any(gain.region for gain in summary.gains):
        handles.append(Line2D([], [], color=style.INK, linewidth=1.1, label="95 % joint region"))
    handles.append(
        Patch(color=style.FAINT, alpha=0.3, linewidth=0, label=f"within ±{summary.margin:g}")
    )
    if summary.paper:
        handles.append(Line2D([], [], marker="o", markerfacecolor="none", label="the paper's",
                              **some))  # fmt: skip
    return handles
