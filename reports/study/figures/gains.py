"""Fig. 10 redrawn: how each model differs from the reference on two tasks at once.

A plane for each pair of tasks; where the paper reports gains, one more shows both ours and the
paper's, at the scale that the paper's need.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fsmd.stats.estimates import mean_interval
from fsmd.stats.joint import Ellipse, joint_ellipse
from reports import ran, words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.page.labels import Box, Point
from reports.page.panels import Frame, Plane, left_out, pairs_drawn, planes
from reports.results import Scores, StudyResults
from reports.study import paper
from reports.study.comparisons import pairs as compared_pairs
from reports.study.joint import joint_verdicts
from reports.study.named import FEW, looks_of, named_arms
from reports.study.reading import Reading
from reports.study.scales import (
    Scale,
    label,
    less_is_better,
    margin_key,
    task_scales,
    within_margin,
)
from reports.study.shape import reference_first, shape

_CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
Pair = tuple[int, int]
"""The places of two tasks, horizontal one first."""


class Gain(NamedTuple):
    """An arm's mean difference from the reference on each task, over `n` paired replicates."""

    arm: str
    means: tuple[float, ...]
    regions: tuple[Ellipse | None, ...]
    """By pair; None below three replicates."""
    n: int
    verdict: str
    """On all tasks at once, the way that the table has it (`GainsSummary.forward`)."""


class GainsSummary(NamedTuple):
    """What the figure shows."""

    reference: str
    scales: tuple[Scale, ...]
    """Of the tasks."""
    pairs: tuple[Pair, ...]
    """Of each plane."""
    gains: tuple[Gain, ...]
    paper: Mapping[str, Point]
    """Arm -> the paper's gains, in a plane of `paper_pair`."""
    paper_pair: int
    looks: Mapping[str, int]
    forward: bool
    """Whether verdicts are of the reference against the arm."""
    named: tuple[str, ...]
    """The arms in colour and with a name; the others are grey."""
    over: str
    """What the regions cover."""


def fits(results: StudyResults) -> bool:
    """Models are compared in the plane, as the paper does."""
    return shape(results.study) == "models"


def summarize(results: StudyResults) -> GainsSummary | None:
    """Paired differences on test from the study's reference, and the paper's own.

    None for a single task, of which the figure of differences shows the same.
    """
    scores, study, scales = results.test, results.study, task_scales(results)
    pairs, reference = pairs_drawn(len(scales)), study.reference
    if not pairs:
        return None
    verdicts = _verdicts(results)
    gains = tuple(
        _gain(scores, (arm, reference), scales, pairs, verdicts[arm])
        for arm in scores.trained
        if arm != reference and scores.shared(arm, reference)
    )
    if not gains:
        return None
    arms = dict.fromkeys([*scores.trained, *results.arms])
    places = _paper_places(results, scales)
    pair = tuple(sorted(places))
    reported = paper.gains(study.figure, reference) if pair in pairs else {}
    across, up = (places.index(task) for task in pair) if reported else (0, 1)
    return GainsSummary(
        reference=reference,
        scales=scales,
        pairs=pairs,
        gains=gains,
        paper={arm: (gain[across], gain[up]) for arm, gain in reported.items() if arm in arms},
        paper_pair=pairs.index(pair) if pair in pairs else 0,
        looks=looks_of(results),
        forward=reference_first(study),
        named=named_arms(results),
        over=ran.sources(results),
    )


def joint_region(scores: Scores, arm: str, other: str, keys: tuple[str, str]) -> Ellipse | None:
    """Where two mean differences lie together with 95 %, over seeds and, where known, test rows.

    It is wider than the two intervals. None below three paired replicates, or where a target's
    scatter over them is unknown.
    """
    values_2R = np.array([scores.differences(arm, other, key) for key in keys])
    n = values_2R.shape[1]
    if n < 3 or any(mean_interval(values_R).se_seeds is None for values_R in values_2R):
        return None
    sampling, rows_22 = scores.sampling(arm, other), np.zeros((2, 2))
    if sampling is not None:
        weight_2K = np.array([scores.target(key).weights for key in keys])
        rows_22 = weight_2K @ sampling.of(arm, other) @ weight_2K.T
    return joint_ellipse(values_2R.mean(axis=1), np.cov(values_2R) / n, rows_22, n=n)


def reach(region: Ellipse) -> Point:
    """How far an ellipse goes from its centre, along x and along y."""
    turn, (long, short) = math.radians(region.angle), region.semi_axes
    return (
        math.hypot(long * math.cos(turn), short * math.sin(turn)),
        math.hypot(long * math.sin(turn), short * math.cos(turn)),
    )


def standing(gains: Mapping[str, float]) -> str:
    """Where a point lies; below its margin a task neither gains nor loses what matters.

    gains: task -> its gain in margins, above zero where it is for the better.

    >>> standing({"click": 2.0, "long_view": 0.0})
    'gains on click, within the margin on long_view'
    >>> standing({"click": 2.0, "long_view": -1.0})
    'seesaw: trades long_view for click'
    """
    won = [task for task, gain in gains.items() if gain >= 1]
    lost = [task for task, gain in gains.items() if gain <= -1]
    inside = [task for task in gains if task not in (*won, *lost)]
    if won and lost and not inside:
        return f"seesaw: trades {words.listed(lost)} for {words.listed(won)}"
    everywhere = "on both" if len(gains) == 2 else "on all tasks"
    for all_so, tasks in (("better", won), ("worse", lost), ("within the margin", inside)):
        if len(tasks) == len(gains):
            return f"{all_so} {everywhere}"
    parts = {"gains on": won, "loses on": lost, "within the margin on": inside}
    return ", ".join(f"{way} {words.listed(tasks)}" for way, tasks in parts.items() if tasks)


def frame(summary: GainsSummary, pair: int, with_paper: bool = False) -> Frame:
    """Every mean that is not far behind, the margin and the regions, unless these are out of all
    proportion."""
    ranges = []
    near = [gain for gain in summary.gains if not far_behind(summary, gain)]
    for side, task in enumerate(summary.pairs[pair]):
        margin = summary.scales[task].margin
        ends = [-margin, margin, *(gain.means[task] for gain in near)]
        if with_paper:
            ends += [point[side] for point in summary.paper.values()]
        most = 2.5 * max(map(abs, ends))
        for gain in near:
            region = None if is_on_demand(summary) else gain.regions[pair]
            middle = gain.means[task]
            away = reach(region)[side] if region else 0.0
            ends += [min(middle + away, most), max(middle - away, -most)]
        metric = summary.scales[task].metric
        ranges.append(_around_zero(min(ends), max(ends), metric.high - metric.low))
    return ranges[0], ranges[1]


@style.styled()
def draw(summary: GainsSummary, narrow: bool = False) -> Figure:
    """A plane for each pair of tasks, and one more if the paper has gains of its own."""
    panels = [(pair, False) for pair in range(len(summary.pairs))]
    if summary.paper:
        panels.append((summary.paper_pair, True))
    frames = [frame(summary, *panel) for panel in panels]
    figure, drawn = planes(frames, narrow, _keys(summary), height=3.8 if narrow else 4.15)
    for plane, (pair, with_paper) in zip(drawn, panels, strict=True):
        _draw_plane(plane, summary, pair, with_paper)
        title = "measured here"
        if with_paper:
            beside = "panel above" if narrow else "left panel"
            where = beside if len(summary.pairs) == 1 else "first panel"
            title = f"with the paper's (frame: {where})"
        elif len(summary.pairs) > 1:
            title = words.listed(summary.scales[task].key for task in summary.pairs[pair])
        plane.axis.set_title(title, loc="left")
    return figure


def finding(summary: GainsSummary) -> str:
    """The verdicts on all tasks at once, as the table has them."""
    by_verdict: dict[str, list[str]] = {}
    for gain in summary.gains:
        by_verdict.setdefault(gain.verdict, []).append(gain.arm)
    told = (
        f"{verdict} ({words.listed(arms) if len(arms) <= 3 else words.count(len(arms), 'arm')})"
        for verdict, arms in by_verdict.items()
    )
    sides = summary.reference, "the others" if len(summary.gains) > 1 else summary.gains[0].arm
    who = " against ".join(sides if summary.forward else sides[::-1])
    return f"On all tasks at once, {who}: {words.listed(told)}."


def is_on_demand(summary: GainsSummary) -> bool:
    """Whether the regions would hide each other; the page shows them when it is asked to."""
    return len(summary.gains) >= FEW


def caption(summary: GainsSummary) -> str:
    """What is drawn."""
    shown = [summary.scales[k] for k in sorted({task for pair in summary.pairs for task in pair})]
    both = "both tasks" if len(summary.pairs) == 1 else "both tasks of a panel"
    where = (
        f"Top right is better on {both}, bottom left worse on both; elsewhere one is traded "
        "for the other."
        if all(scale.metric.higher for scale in shown)
        else f"The corners say which way is better.{less_is_better(summary.scales)}"
    )
    region = ""
    if any(region for gain in summary.gains for region in gain.regions):
        region = f" Ellipses: 95 % joint regions of both means, over {summary.over}."
        if is_on_demand(summary):
            region = (
                f" The page shows 95 % joint regions, over {summary.over}, when it is asked to."
            )
    near = [gain for gain in summary.gains if not far_behind(summary, gain)]
    others = len([gain for gain in near if gain.arm not in summary.named])
    grey = f" Hollow and grey: {words.count(others, 'other arm')}." if others else ""
    far = len(summary.gains) - len(near)
    grey += f" {words.count(far, 'arm')} far behind left out." if far else ""
    beside = (
        f" Hollow: the paper's own gains over {summary.reference}, from one run each, on its own "
        "data."
        if summary.paper
        else ""
    )
    over = words.counted((gain.n for gain in summary.gains), "paired replicate")
    return (
        f"Each model's test {label(summary.scales)} minus that of {summary.reference} on "
        f"{words.listed(scale.key for scale in shown)}, mean over {over}."
        f"{left_out(len(summary.scales), summary.pairs)} {where}{region}{grey}{beside} Grey "
        f"band: what matters to nobody ({within_margin(summary.scales)}). Where a mean lies is no "
        "verdict."
    )


def alt(summary: GainsSummary) -> str:
    """Each arm's differences on all tasks, and the verdict that the table has."""
    of_arms, turn = [], f"{summary.reference} against it, " if summary.forward else ""
    for gain in summary.gains:
        by_task = zip(summary.scales, gain.means, strict=True)
        differences = words.listed(words.signed(mean, scale.digits) for scale, mean in by_task)
        of_arms.append(f"{gain.arm} {differences}: {turn}{gain.verdict}")
    tasks = words.listed(f"on {scale.key}" for scale in summary.scales)
    return f"Differences from {summary.reference} {tasks}. {'; '.join(of_arms)}."


def _verdicts(results: StudyResults) -> Mapping[str, str]:
    """Arm -> the joint verdict on it and the reference, the way that the table has it."""
    study, scores = results.study, results.test
    reading, reference = Reading(study, results.tasks), study.reference
    verdicts = joint_verdicts(reading, scores, compared_pairs(study, scores))
    return {
        pair.other if pair.arm == reference else pair.arm: pair.of.verdict for pair in verdicts
    }


def _gain(
    scores: Scores,
    arms: tuple[str, str],
    scales: tuple[Scale, ...],
    pairs: tuple[Pair, ...],
    verdict: str,
) -> Gain:
    """Of the first arm over the second one."""
    values_KR = np.array([scores.differences(*arms, scale.key) for scale in scales])
    regions = (joint_region(scores, *arms, (scales[a].key, scales[b].key)) for a, b in pairs)
    means = tuple(values_KR.mean(axis=1).tolist())
    return Gain(arms[0], means, tuple(regions), len(values_KR.T), verdict)


def _paper_places(results: StudyResults, scales: tuple[Scale, ...]) -> tuple[int, ...]:
    """The places of the tasks that the paper's two stand for; empty where its figures are not
    of their metric."""
    reading, keys = Reading(results.study, results.tasks), [scale.key for scale in scales]
    targets = [reading.target(name) for name in results.study.tasks]
    known = [target for target in targets if target and target.metric == paper.METRIC]
    return tuple(keys.index(target.key) for target in known) if len(known) == 2 else ()


def far_behind(summary: GainsSummary, gain: Gain) -> bool:
    """Whether an arm is so far behind on some task that it would squeeze the others together."""
    for task, scale in enumerate(summary.scales):
        sign = scale.metric.sign
        shown = style.near([0.0, *(each.means[task] for each in summary.gains)], sign)
        if sign * gain.means[task] < sign * shown[-1]:
            return True
    return False


def _around_zero(low: float, high: float, reach: float) -> Point:
    """Some room, and at least three tenths of the axis on each side of zero; not beyond what a
    difference can be."""
    low, high = min(low, -0.45 * high), max(high, -0.45 * low)
    return style.limits(low, high, 0.08, least=0.0, within=(-reach, reach))


def _draw_plane(plane: Plane, summary: GainsSummary, number: int, with_paper: bool) -> None:
    axis, pair = plane.axis, summary.pairs[number]
    here = [summary.scales[task] for task in pair]
    across, up = (scale.margin for scale in here)
    band: dict[str, Any] = {"linewidth": 0, "facecolor": style.FAINT, "alpha": 0.22}
    axis.add_patch(Rectangle((-across, -up), 2 * across, 2 * up, **band))
    axis.axhline(0, color=style.INK, linewidth=0.8)
    axis.axvline(0, color=style.INK, linewidth=0.8)
    near = [gain for gain in summary.gains if not far_behind(summary, gain)]
    points = {gain.arm: (gain.means[pair[0]], gain.means[pair[1]]) for gain in near}
    for gain in near:
        look, region, (x, y) = _look(summary, gain.arm), gain.regions[number], points[gain.arm]
        if region and not with_paper:
            line: dict[str, Any] = {"edgecolor": look.color, "linestyle": look.dashes}
            edge = plane.draw_region(region, linewidth=1.1, **line)
            style.tag([edge], gain.arm, on_demand=is_on_demand(summary))
        mark = axis.plot(x, y, marker=look.marker, color=look.color, zorder=4)
        mark[0].set(markersize=4 if with_paper else 7, markeredgecolor=style.PAPER)
        if gain.arm not in summary.named:
            mark[0].set(**style.HOLLOW, markeredgecolor=style.FAINT, zorder=3)
        pairs = zip(here, (x, y), strict=True)
        told = ", ".join(words.signed(value, scale.digits) for scale, value in pairs)
        style.tag(mark, gain.arm, f"{gain.arm}: {told}")
    if with_paper:
        _draw_frame_beside(plane, frame(summary, number))
        for arm, point in summary.paper.items():
            _draw_paper(plane, arm, point, _look(summary, arm))
    axis.plot(0, 0, "+", color=style.INK, markersize=9, markeredgewidth=1.6)
    shown = summary.paper if with_paper else points
    named = {arm: at for arm, at in shown.items() if arm in summary.named}
    _write_names(plane, here, named, summary.reference)
    labels = [f"{scale.key}: {scale.metric.label} minus {summary.reference}" for scale in here]
    axis.set(xlabel=labels[0], ylabel=labels[1])
    style.difference_ticks(axis.xaxis)
    style.difference_ticks(axis.yaxis)


def _look(summary: GainsSummary, arm: str) -> style.Look:
    if arm not in summary.named:
        return style.Look(style.FAINT, "o", "-")
    return style.look(summary.looks[arm])


def _draw_frame_beside(plane: Plane, inner: Frame) -> None:
    """What the plane beside this one shows, at its smaller scale."""
    (left, right), (bottom, top) = inner
    look: dict[str, Any] = {"fill": False, "linewidth": 0.9, "linestyle": (0, (4, 2))}
    size = right - left, top - bottom
    plane.axis.add_patch(Rectangle((left, bottom), *size, edgecolor=style.INK, **look))


def _draw_paper(plane: Plane, arm: str, point: Point, look: style.Look) -> None:
    mark = plane.axis.plot(*point, marker=look.marker, color=look.color, markersize=6.5)
    mark[0].set(markerfacecolor="none", markeredgewidth=1.2, zorder=3)
    told = ", ".join(words.signed(value, paper.DIGITS) for value in point)
    style.tag(mark, arm, f"{arm} in the paper: {told}")


def _write_names(
    plane: Plane, scales: list[Scale], named: Mapping[str, Point], reference: str
) -> None:
    """What the corners mean, then a name beside each mark."""
    taken = []
    for x, y in _CORNERS:
        sides = zip(scales, (x, y), strict=True)
        text = standing({scale.key: scale.metric.sign * way for scale, way in sides})
        text = text.replace(": trades", ":\ntrades")
        plane.axis.annotate(
            text,
            (max(x, 0), max(y, 0)),
            (-4 * x, -4 * y),
            xycoords="axes fraction",
            textcoords="offset points",
            ha="right" if x > 0 else "left",
            va="top" if y > 0 else "bottom",
            fontsize=7.5,
            alpha=0.75,
            style="italic",
        )
        taken.append(Box.of_text(text, 7.5).at_corner((x, y), plane.size))
    points = {**named, reference: (0.0, 0.0)}
    for arm, name in plane.write_names(points, taken=taken, with_lines=True).items():
        if arm != reference:
            style.tag([name], arm)


def _keys(summary: GainsSummary) -> list[Artist]:
    point: dict[str, Any] = {"color": style.INK, "linestyle": "none", "marker": "o"}
    keys: list[Artist] = [style.key("mean difference", markersize=6, **point)]
    if len(summary.gains) > len(summary.named):
        keys.append(style.key("the other arms", **style.HOLLOW))
    with_regions = any(region for gain in summary.gains for region in gain.regions)
    if with_regions and not is_on_demand(summary):
        keys.append(style.key("95 % joint region", color=style.INK, linewidth=1.1))
    keys.append(margin_key(summary.scales))
    if summary.paper:
        keys.append(style.key("the paper's", markersize=6, markerfacecolor="none", **point))
    return keys


FIGURE = FigureKind("gains", "arms", 10, summarize, draw, caption, alt, fits, finding)
