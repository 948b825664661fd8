"""Many arms at once: each one's mean AUC on both tasks, and the arms that no other beats."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import words
from reports.estimates import Array, mean_interval
from reports.figures import style
from reports.figures.labels import placed
from reports.results import StudyResults, auc_on_test
from reports.shape import MANY, axes, role, settled
from search_spaces import Level

Point = tuple[float, float]
NAN = float("nan")


class Arm(NamedTuple):
    """An arm's mean test AUC on both tasks over `n` replicates; `group` is its first axis."""

    level: str
    group: Level
    mean: Point
    n: int


class ScatterSummary(NamedTuple):
    """What the figure shows; `front` has the arms that none is at least as good as on both.

    The front is empty where there are fewer than two complete replicates to rank arms over.
    """

    tasks: tuple[str, str]
    axis: str
    groups: tuple[Level, ...]
    arms: tuple[Arm, ...]
    front: tuple[str, ...]
    named: tuple[str, ...]
    reference: str
    role: str
    half_widths: Point
    """Half a mean's 95 % interval on each task, in the median of the arms; NaN without a front."""


def summarize(results: StudyResults) -> ScatterSummary:
    """Means over the replicates that all arms share; with fewer than two, over each arm's own.

    Named are all arms, or of many those that the study singles out before it runs, and the front.
    """
    scores, study = auc_on_test(results), results.definition
    first, second = results.tasks
    axis, groups = next(iter(axes(study).items()))
    group_of = {
        arm.name: level for arm in study.arms for name, level in arm.params if name == axis
    }
    ranked = len(scores.paired) > 1 and not group_of.keys().isdisjoint(scores.trained)
    over = [scores.replicates.index(r) for r in (scores.paired if ranked else scores.replicates)]
    arms = []
    for level in scores.trained:
        if level in group_of:
            values_KR = np.array([scores.of(level, task)[over] for task in (first, second)])
            x, y = np.nanmean(values_KR, axis=1)
            n = int(np.isfinite(values_KR[0]).sum())
            arms.append(Arm(level, group_of[level], (float(x), float(y)), n))
    best = front(np.array([arm.mean for arm in arms])) if ranked else ()
    on_front = tuple(arms[i].level for i in best)
    few = len(arms) <= MANY
    singled = (a.level for a in arms if few or a.level in settled(study))
    named = dict.fromkeys([*on_front, *singled])
    halves = [
        [_half_width(scores.of(arm.level, task)[over]) for arm in arms]
        for task in (first, second) if ranked
    ]  # fmt: skip
    widths = (float(np.median(halves[0])), float(np.median(halves[1]))) if ranked else (NAN, NAN)
    return ScatterSummary((first, second), axis, groups, tuple(arms), on_front, tuple(named),
                          study.reference, role(study), widths)  # fmt: skip


def front(points_P2: Array) -> tuple[int, ...]:
    """The points that no other one equals or exceeds on both axes, by rising first axis.

    >>> front(np.array([[1.0, 3.0], [2.0, 2.0], [1.5, 1.0]]))
    (0, 1)
    """
    kept = []
    for i, point in enumerate(points_P2):
        as_good = (points_P2 >= point).all(axis=1) & (points_P2 > point).any(axis=1)
        if not as_good.any():
            kept.append(i)
    return tuple(sorted(kept, key=lambda i: float(points_P2[i, 0])))


def draw(summary: ScatterSummary, narrow: bool = False) -> Figure:
    """One panel of known size, so that names can be placed before anything is drawn."""
    handles = _handles(summary)
    width = style.NARROW if narrow else 3 * style.WIDE
    legend = 0.18 * -(-len(handles) // style.legend_columns(handles, width, narrow)) + 0.15
    height = 3.6 + legend + 0.05 * len(summary.named)
    box = (0.85, 0.5 + legend, width - 1.0, height - 0.6 - legend)
    (left, right), (bottom, top) = _ranges(summary)
    points = {
        arm.level: ((arm.mean[0] - left) / (right - left) * box[2] * 72,
                    (arm.mean[1] - bottom) / (top - bottom) * box[3] * 72)
        for arm in summary.arms
    }  # fmt: skip
    names = {level: points[level] for level in summary.named}
    with style.styled():
        figure = Figure(figsize=(width, height), facecolor="none")
        axis = figure.add_axes((box[0] / width, box[1] / height, box[2] / width,
                                box[3] / height), facecolor="none")  # fmt: skip
        axis.grid(color=style.FAINT, alpha=0.25, linewidth=0.6)
        axis.set(xlim=(left, right), ylim=(bottom, top), xlabel=f"test AUC, {summary.tasks[0]}",
                 ylabel=f"test AUC, {summary.tasks[1]}")  # fmt: skip
        means = {arm.level: arm.mean for arm in summary.arms}
        if summary.front:
            axis.plot(*zip(*(means[level] for level in summary.front), strict=True),
                      color=style.INK, linewidth=1, linestyle=(0, (5, 2)))  # fmt: skip
        for index, group in enumerate(summary.groups):
            look = style.look(index)
            arms = [arm for arm in summary.arms if arm.group == group]
            if arms:
                means_2P = list(zip(*(arm.mean for arm in arms), strict=True))
                marks = axis.plot(*means_2P, marker=look.marker, linestyle="none", markersize=4.5,
                                  color=look.color, alpha=0.85)  # fmt: skip
                style.tag(marks, str(group), *(
                    f"{arm.level}: {words.auc(arm.mean[0])}, {words.auc(arm.mean[1])}"
                    for arm in arms
                ))  # fmt: skip
        for level in names:
            ring = "D" if level == summary.reference else "o"
            if level in (*summary.front, summary.reference):
                axis.plot(*means[level], ring, color=style.INK, markersize=9,
                          markerfacecolor="none")  # fmt: skip
        for name, place in placed(names, (box[2] * 72, box[3] * 72), (),
                                  list(points.values())).items():  # fmt: skip
            axis.annotate(
                name, means[name], (place.dx, place.dy), textcoords="offset points", fontsize=8,
                ha="center", va="center",
                bbox={"facecolor": style.PAPER, "alpha": 0.7, "linewidth": 0, "pad": 0.3},
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": style.FAINT,
                            "shrinkA": 0, "shrinkB": 3} if place.far else None,
            )  # fmt: skip
        axis.locator_params(nbins=5, steps=[1, 2, 2.5, 5, 10])
        style.legend(figure, handles, narrow, rows=len(handles))
    return figure


def _half_width(values: Array) -> float:
    estimate = mean_interval(values)
    return NAN if estimate.high is None else estimate.high - estimate.mean


def _ranges(summary: ScatterSummary) -> tuple[Point, Point]:
    found = []
    for axis in (0, 1):
        values = [arm.mean[axis] for arm in summary.arms]
        found.append(style.limits(min(values), max(values), 0.08))
    return found[0], found[1]


def _handles(summary: ScatterSummary) -> list[Line2D]:
    handles = []
    for index, group in enumerate(summary.groups):
        look = style.look(index)
        handles.append(Line2D([], [], color=look.color, marker=look.marker, markersize=4.5,
                              linestyle="none", label=f"{summary.axis} {group}"))  # fmt: skip
    ring: dict[str, Any] = {"color": style.INK, "markersize": 8, "markerfacecolor": "none"}
    if summary.front:
        handles.append(Line2D([], [], marker="o", linestyle=(0, (5, 2)), linewidth=1,
                              label="the front: no arm is better on both", **ring))  # fmt: skip
    if summary.reference in {arm.level for arm in summary.arms}:
        handles.append(Line2D([], [], marker="D", linestyle="none", label=summary.role, **ring))
    return handles
