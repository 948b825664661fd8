"""Many arms at once: each one's mean figure on every task, and the arms that no other beats.

A plane for each pair of tasks; of a single task a strip, a line of it for each group of arms.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fsmd.stats.estimates import Array, mean_intervals
from fsmd.stats.pareto import on_front
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.page.labels import Point
from reports.page.panels import Plane, left_out, pairs_drawn, planes
from reports.results import StudyResults
from reports.study.scales import Scale, label, less_is_better, task_scales
from reports.study.shape import (
    MANY_ARMS,
    compared_by_design,
    factor_values,
    has_many_arms,
    role,
    shape,
)
from search_spaces import Value

MIN_SPAN = 0.3
"""The smallest range of an axis, in margins of its metric: five decimals tell its ticks apart."""

MOST_NAMED = 6
"""So many arms of the front are named in a sentence at most."""
MOST_TOLD = 1000
"""Of more arms, only those named tell their figures on a page: the others are one picture."""


class ScatterArm(NamedTuple):
    """An arm's mean on each task over `n` replicates; `group` is its value of the first factor."""

    arm: str
    group: Value
    means: tuple[float, ...]
    n: int


class ScatterSummary(NamedTuple):
    """What the figure shows."""

    scales: tuple[Scale, ...]
    """Of the tasks."""
    pairs: tuple[tuple[int, int], ...]
    """The tasks of each plane, horizontal one first; empty for a single task."""
    factor: str
    groups: tuple[Value, ...]
    """Its values; a single one, and no factor, where each arm has its own value."""
    arms: tuple[ScatterArm, ...]
    front: tuple[str, ...]
    """The arms that no other is as good as on all tasks. Empty where there are fewer than two
    complete replicates to rank arms over."""
    named: tuple[str, ...]
    reference: str
    role: str
    half_widths: tuple[float, ...]
    """Half a mean's 95 % interval on each task, in the median of the arms; none without a front,
    or where no interval is known."""


def fits(results: StudyResults) -> bool:
    """A factorial, or too many arms to draw each replicate."""
    form = shape(results.study)
    return form == "grid" or (form == "arms" and has_many_arms(results))


def summarize(results: StudyResults) -> ScatterSummary | None:
    """Means over the replicates that all arms share; with fewer than two, over each arm's own.

    Named are all arms, or of many those that are compared by design, and the front. None where
    none of the factorial's arms is trained.
    """
    scores, study, scales = results.test, results.study, task_scales(results)
    factor, groups = next(iter(factor_values(study).items()), ("", ()))
    group_of = {
        arm.name: value for arm in study.arms for name, value in arm.params if name == factor
    }
    if len(groups) == len(group_of):  # groups of one arm tell nothing that its name does not
        arms_of_study = group_of or [arm.name for arm in study.arms]
        factor, groups, group_of = "", ("arm",), dict.fromkeys(arms_of_study, "arm")
    trained = [arm for arm in scores.trained if arm in group_of]
    if not trained:
        return None
    ranked = len(scores.paired) > 1
    over = [scores.replicates.index(r) for r in (scores.paired if ranked else scores.replicates)]
    values = [np.array([scores.of(arm, s.key)[over] for s in scales]) for arm in trained]
    arms = tuple(
        _arm(arm, group_of[arm], values_KR) for arm, values_KR in zip(trained, values, strict=True)
    )
    front = _front(arms, scales) if ranked else ()
    kept = compared_by_design(study)
    singled = (a.arm for a in arms if len(arms) <= MANY_ARMS or a.arm in kept)
    return ScatterSummary(
        scales=scales,
        pairs=pairs_drawn(len(scales)),
        factor=factor,
        groups=groups,
        arms=arms,
        front=front,
        named=tuple(dict.fromkeys([*front, *singled])),
        reference=study.reference,
        role=role(study),
        half_widths=_half_widths(values, scales) if ranked else (),
    )


@style.styled()
def draw(summary: ScatterSummary, narrow: bool = False) -> Figure:
    """Planes of known size, so that names can be placed before anything is drawn."""
    ranges = [_range(summary, task) for task in range(len(summary.scales))]
    height = (3.6 if len(summary.pairs) == 1 else 3.8) + 0.05 * len(summary.named)
    frames = [(ranges[across], ranges[up]) for across, up in summary.pairs]
    if not frames:
        frames = [(ranges[0], (-0.7, len(summary.groups) - 0.3))]
        height = 1.4 + 0.05 * len(summary.named) + 0.3 * len(summary.groups)
    figure, drawn = planes(frames, narrow, _keys(summary), height=height)
    for plane, pair in zip(drawn, summary.pairs or (None,), strict=True):
        if pair:
            _draw_plane(plane, summary, pair)
        else:
            _draw_strip(plane, summary)
    return figure


def finding(summary: ScatterSummary) -> str:
    """Who is on the front of the means."""
    if not summary.front:
        return "Means cannot be ranked: fewer than two replicates are complete at every arm."
    front, count = summary.front, words.count(len(summary.arms), "arm")
    named = words.listed(front) if len(front) <= MOST_NAMED else words.count(len(front), "arm")
    return f"Of {count} no other matches or beats {named}{_everywhere(summary)}, by the means."


def caption(summary: ScatterSummary) -> str:
    """What is drawn."""
    shown = sorted({task for pair in summary.pairs for task in pair}) or [0]
    tasks = words.listed(f"on {summary.scales[task].key}" for task in shown)
    over = words.counted((arm.n for arm in summary.arms), "replicate")
    shared = " that all share" if summary.front else ""
    every = len(summary.named) == len(summary.arms)
    named = "" if every else f" Named: {summary.role}, the arms that claims name, and the front."
    return (
        f"Mean test {label(summary.scales)} {tasks} of {words.count(len(summary.arms), 'arm')}, "
        f"each over {over}{shared}.{less_is_better(summary.scales)}"
        f"{left_out(len(summary.scales), summary.pairs)}{named}{_about_front(summary)}"
    )


def alt(summary: ScatterSummary) -> str:
    """The means of the arms that are named."""
    tasks = words.listed(f"on {scale.key}" for scale in summary.scales)
    means = {arm.arm: arm.means for arm in summary.arms}
    of_arms = "; ".join(
        f"{arm} {words.listed(_written(summary, means[arm]))}" for arm in summary.named
    )
    return f"Mean test {label(summary.scales)} {tasks}. Named: {of_arms}."


def _everywhere(summary: ScatterSummary) -> str:
    return {1: "", 2: " on both tasks"}.get(len(summary.scales), " on all tasks")


def _about_front(summary: ScatterSummary) -> str:
    if not summary.front:
        return (
            " Fewer than two replicates are complete at every arm: means may be of different "
            "seeds and are not ranked."
        )
    widths = words.listed(
        f"±{words.figure(width, scale.metric)} on {scale.key}"
        for width, scale in zip(summary.half_widths, summary.scales, strict=False)
    )
    interval = f" (a mean's 95 % interval: {widths} in the median)" if widths else ""
    return f" Which arms are on the front of the means is partly chance{interval}."


def _written(summary: ScatterSummary, means: Sequence[float]) -> list[str]:
    by_task = zip(means, summary.scales, strict=True)
    return [words.figure(mean, scale.metric) for mean, scale in by_task]


def _arm(arm: str, group: Value, values_KR: Array) -> ScatterArm:
    means = tuple(np.nanmean(values_KR, axis=1).tolist())
    return ScatterArm(arm, group, means, int(np.isfinite(values_KR[0]).sum()))


def _front(arms: Sequence[ScatterArm], scales: Sequence[Scale]) -> tuple[str, ...]:
    """From the worst on the first task to the best."""
    sign_K = np.array([scale.metric.sign for scale in scales])
    points_AK = np.array([arm.means for arm in arms]) * sign_K
    best = np.flatnonzero(on_front(points_AK)).tolist()
    return tuple(arms[i].arm for i in sorted(best, key=lambda i: float(points_AK[i, 0])))


def _half_widths(values: Sequence[Array], scales: Sequence[Scale]) -> tuple[float, ...]:
    """Of each task, in the median of the arms whose intervals are known."""
    widths = []
    for scale, of_task in zip(scales, zip(*values, strict=True), strict=True):
        within = scale.metric.low, scale.metric.high
        ends = [style.ends_of([e]) for e in mean_intervals(np.array(of_task), within)]
        known = [(both[1] - both[0]) / 2 for both in ends if both]
        if not known:
            return ()
        widths.append(float(np.median(known)))
    return tuple(widths)


def _range(summary: ScatterSummary, task: int) -> Point:
    means, metric = [arm.means[task] for arm in summary.arms], summary.scales[task].metric
    least, within = MIN_SPAN * metric.margin, (metric.low, metric.high)
    return style.limits(min(means), max(means), 0.08, least=least, within=within)


def _draw_plane(plane: Plane, summary: ScatterSummary, pair: tuple[int, int]) -> None:
    points = {arm.arm: (arm.means[pair[0]], arm.means[pair[1]]) for arm in summary.arms}
    line = [points[arm] for arm in summary.front] if len(summary.scales) == 2 else []
    if line:
        look: dict[str, Any] = {"color": style.INK, "linewidth": 1, "linestyle": (0, (5, 2))}
        plane.axis.plot(*zip(*line, strict=True), **look)
    _draw_points(plane, summary, points, line)
    across, up = (summary.scales[task] for task in pair)
    plane.axis.set_xlabel(f"test {across.metric.label}, {across.key}")
    plane.axis.set_ylabel(f"test {up.metric.label}, {up.key}")
    plane.axis.locator_params(nbins=5, steps=[1, 2, 2.5, 5, 10])


def _draw_strip(plane: Plane, summary: ScatterSummary) -> None:
    """The first group on top."""
    line_of = {group: float(i) for i, group in enumerate(reversed(summary.groups))}
    points = {arm.arm: (arm.means[0], line_of[arm.group]) for arm in summary.arms}
    _draw_points(plane, summary, points)
    (scale,) = summary.scales
    plane.axis.set_xlabel(f"test {scale.metric.label}, {scale.key}")
    plane.axis.locator_params("x", nbins=5, steps=[1, 2, 2.5, 5, 10])
    plane.axis.set_yticks(list(line_of.values()), [words.plain(group) for group in line_of])


def _draw_points(
    plane: Plane, summary: ScatterSummary, points: dict[str, Point], line: Sequence[Point] = ()
) -> None:
    """Marks by group, rings around the front and the reference, and names off the line."""
    plane.axis.grid(**style.GRID)
    for index, group in enumerate(summary.groups):
        arms, look = [arm for arm in summary.arms if arm.group == group], style.look(index)
        if len(summary.arms) > MOST_TOLD:
            across_up = zip(*(points[each.arm] for each in arms), strict=True)
            marks = look.line(4.5, linestyle="none", alpha=0.85, rasterized=True)
            plane.axis.plot(*across_up, **marks)
            continue
        for each in arms:
            mark = plane.axis.plot(*points[each.arm], **look.line(4.5, linestyle="none"))
            mark[0].set_alpha(0.85)
            tip = f"{each.arm}: {', '.join(_written(summary, each.means))}"
            style.tag(mark, each.arm, tip)
    named = {arm: points[arm] for arm in summary.named}
    for arm, at in named.items():
        if arm in (*summary.front, summary.reference):
            shape_of_ring = "D" if arm == summary.reference else "o"
            ring = {**style.RING, "marker": shape_of_ring, "markersize": 9}
            style.tag(plane.axis.plot(*at, **ring), arm)
    for arm, name in plane.write_names(named, marks=points.values(), line=line).items():
        style.tag([name], arm)


def _keys(summary: ScatterSummary) -> list[Line2D]:
    keys = []
    for index, group in enumerate(summary.groups):
        look = style.look(index).line(4.5, linestyle="none")
        keys.append(style.key(f"{summary.factor} {group}".strip(), **look))
    ring = {**style.RING, "markersize": 8}
    if summary.front:
        name = f"the front: no arm is better{_everywhere(summary)}"
        line = (0, (5, 2)) if len(summary.scales) == 2 else "none"
        keys.append(style.key(name, **ring | {"linewidth": 1, "linestyle": line}))
    if summary.reference in {arm.arm for arm in summary.arms}:
        keys.append(style.key(summary.role, **ring | {"marker": "D"}))
    return keys


FIGURE = FigureKind("scatter", "arms", 10, summarize, draw, caption, alt, fits, finding)
