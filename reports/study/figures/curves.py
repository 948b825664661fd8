"""Learning curves: validation figures by epoch, and the chosen epoch of each replicate."""

from collections.abc import Mapping, Sequence
from statistics import fmean, median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fsmd.metrics import Metric
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.page.labels import apart
from reports.results import StudyResults
from reports.study.named import looks_of, named_arms
from reports.study.scales import Scale, label, less_is_better, task_scales
from reports.study.shape import arms_drawn

MIN_SPAN = 4.0
"""The smallest range of an axis, before its room, in margins of its metric."""


HEIGHT, NAME = 2.9, 7.5
"""Inches of a panel, and points of a name's letters."""


class CurveOfArm(NamedTuple):
    """One arm on one task: the mean up to the last epoch that all its replicates reached."""

    arm: str
    epochs: tuple[int, ...]
    means: tuple[float, ...]
    chosen: tuple[tuple[int, float], ...]
    """(epoch, figure) of each replicate's chosen epoch."""


class CurvesSummary(NamedTuple):
    """What the figure shows: the curves of each task."""

    scales: tuple[Scale, ...]
    curves: tuple[tuple[CurveOfArm, ...], ...]
    named: tuple[str, ...]
    """The arms in colour; the others are grey."""
    looks: Mapping[str, int]


def summarize(results: StudyResults) -> CurvesSummary | None:
    """Each task's own metric on validation by epoch, averaged over finished replicates."""
    arms, scales = arms_drawn(results), task_scales(results)
    if not arms:
        return None
    frame = results.measurements
    valid = frame[(frame["split"] == "valid") & frame["arm"].isin(arms)]
    curves = []
    for scale in scales:
        rows = valid[(valid["task"] == scale.key) & (valid["metric"] == scale.metric.name)]
        curves.append(_curves(results, rows, arms, scale.key))
    return CurvesSummary(scales, tuple(curves), named_arms(results), looks_of(results))


@style.styled()
def draw(summary: CurvesSummary, narrow: bool = False) -> Figure:
    """A panel for each task; marks of one epoch stand beside each other, arm by arm.

    A name stands where its line ends.
    """
    in_row = style.columns(len(summary.scales), narrow, 2)
    figure, axes = style.panels(
        len(summary.scales), narrow, HEIGHT, extra=0.3, side_by_side=in_row
    )
    for axis, scale, curves in zip(axes, summary.scales, summary.curves, strict=True):
        _draw_others(axis, [curve for curve in curves if curve.arm not in summary.named])
        named = [curve for curve in curves if curve.arm in summary.named]
        for index, curve in enumerate(named):
            look = style.look(summary.looks[curve.arm])
            _draw_curve(axis, curve, look, scale.metric, (index, len(named)))
        axis.set(xlabel="epoch", ylabel=f"validation {scale.metric.label}")
        axis.set_ylim(y_range(curves, scale.metric))
        axis.set_title(scale.key, loc="left")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        _write_names(axis, named, summary.looks)
    style.legend(figure, _keys(summary), narrow)
    return figure


def finding(summary: CurvesSummary) -> str:
    """Which arm is at its best first, and which last."""
    epochs = dict[str, list[int]]()
    for of_task in summary.curves:
        for curve in of_task:
            epochs.setdefault(curve.arm, []).extend(epoch for epoch, _ in curve.chosen)
    typical = {arm: median(known) for arm, known in epochs.items() if known}
    if not typical:
        return ""
    every = sorted(epoch for known in epochs.values() for epoch in known)
    if every[0] == every[-1]:
        return f"Every training was at its best in epoch {every[0]}."
    first, last = (pick(typical, key=lambda arm: typical[arm]) for pick in (min, max))
    between = f"Trainings were at their best in epochs {every[0]} to {every[-1]}"
    if typical[first] == typical[last]:
        return f"{between}, in the median in epoch {typical[first]:g} with every arm."
    return (
        f"{between}: {first} first (epoch {typical[first]:g} in the median), {last} last "
        f"({typical[last]:g})."
    )


def caption(summary: CurvesSummary) -> str:
    """What is drawn."""
    ways = {scale.metric.higher for scale in summary.scales}
    others = len(summary.curves[0]) - len(summary.named)
    grey = f" Grey: {words.count(others, 'other arm')}." if others else ""
    off = "lower" if ways == {True} else "higher" if ways == {False} else "worse"
    return (
        f"Validation {label(summary.scales)} by epoch: the mean over an arm's replicates, up to "
        f"the last epoch that all of them reached. Early epochs, far {off}, leave the frame. "
        "Hollow marks: each replicate's chosen epoch, the one that test figures belong to."
        f"{less_is_better(summary.scales)}{grey}"
    )


def alt(summary: CurvesSummary) -> str:
    """The tasks."""
    tasks = words.listed(scale.key for scale in summary.scales)
    return f"Learning curves of {tasks}. One line an arm."


def y_range(curves: Sequence[CurveOfArm], metric: Metric) -> tuple[float, float]:
    """Around the chosen epochs and all later ones, with some room where the curves come from.

    The first epochs lie far off: with them in the frame all arms would be one line. So would they
    be with an arm far behind (`style.near`).
    """
    reached = {c.arm: fmean(value for _, value in c.chosen) for c in curves if c.chosen}
    shown = style.near(reached.values(), metric.sign)
    near = [c for c in curves if not reached or reached.get(c.arm, shown[0]) in shown]
    seen = [value for curve in near for _, value in curve.chosen]
    for curve in near:
        chosen = [epoch for epoch, _ in curve.chosen] or [0]
        by_epoch = zip(curve.epochs, curve.means, strict=True)
        seen += [mean for epoch, mean in by_epoch if min(chosen) <= epoch]
    if not seen:
        return 0.0, 1.0
    span = max(max(seen) - min(seen), MIN_SPAN * metric.margin)
    below, above = (0.2, 0.08) if metric.higher else (0.08, 0.2)
    low, high = min(seen) - below * span, max(seen) + above * span
    return max(low, metric.low), min(high, metric.high)


def _curves(
    results: StudyResults, rows: pd.DataFrame, arms: Sequence[str], task: str
) -> tuple[CurveOfArm, ...]:
    """rows: of the task's figures on validation."""
    epoch_E, at_N = np.unique(rows["epoch"], return_inverse=True)
    value_ARE = np.full((len(results.arms), len(results.replicates), len(epoch_E)), np.nan)
    value_ARE[(*results.place_of(rows), at_N)] = rows["value"]
    curves = []
    for arm in arms:
        a = results.arms.index(arm)
        known_RE = ~np.isnan(value_ARE[a])
        has_R = known_RE.any(axis=1)
        shared_E = known_RE[has_R].all(axis=0) & has_R.any()
        mean_E = value_ARE[a][has_R][:, shared_E].sum(axis=0) / max(1, has_R.sum())
        is_chosen_RE = known_RE & (results.chosen_AR[task][a][:, None] == epoch_E)
        chosen = [
            (int(epoch_E[e]), float(value_ARE[a, r, e])) for r, e in np.argwhere(is_chosen_RE)
        ]
        curves.append(
            CurveOfArm(
                arm, tuple(epoch_E[shared_E].tolist()), tuple(mean_E.tolist()), tuple(chosen)
            )
        )
    return tuple(curves)


def _draw_others(axis: Axes, curves: Sequence[CurveOfArm]) -> None:
    """A thin line each; what they reached is in the tables."""
    for curve in curves:
        line = axis.plot(curve.epochs, curve.means, color=style.FAINT, linewidth=0.8, alpha=0.55)
        style.tag(line, curve.arm)


def _draw_curve(
    axis: Axes, curve: CurveOfArm, look: style.Look, metric: Metric, place: tuple[int, int]
) -> None:
    """place: which one of how many it is."""
    line = axis.plot(curve.epochs, curve.means, color=look.color, linewidth=1.5)
    line[0].set_linestyle(look.dashes)
    style.tag(line, curve.arm)
    aside = style.aside(*place, room=0.56)
    places = [epoch + aside for epoch, _ in curve.chosen]
    hollow = look.line(5, linestyle="none", markerfacecolor="none")
    marks = axis.plot(places, [value for _, value in curve.chosen], **hollow)
    tips = (
        f"{curve.arm}, chosen epoch {epoch}: {words.figure(value, metric)}"
        for epoch, value in curve.chosen
    )
    style.tag(marks, curve.arm, *tips)


def _write_names(axis: Axes, curves: Sequence[CurveOfArm], looks: Mapping[str, int]) -> None:
    """Right of the panel, each led to by a line from where its curve ends."""
    curves = [curve for curve in curves if curve.epochs]
    low, high = axis.get_ylim()
    names = [style.lines(curve.arm, 16) for curve in curves]
    line = (high - low) * 1.25 * NAME / (72 * (HEIGHT - 0.75))  # without title and epochs
    rooms = [line * (1 + name.count("\n")) for name in names]
    ends = [(curve.epochs[-1], min(max(curve.means[-1], low), high)) for curve in curves]
    heights = apart([y for _, y in ends], rooms, (low, high))
    arrow: dict[str, Any] = {"arrowstyle": "-", "color": style.FAINT, "linewidth": 0.5}
    arrow |= {"shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
    for curve, name, end, height in zip(curves, names, ends, heights, strict=True):
        text = axis.annotate(
            name,
            end,
            (1.03, height),
            textcoords=axis.get_yaxis_transform(),
            annotation_clip=False,
            va="center",
            fontsize=NAME,
            color=style.look(looks[curve.arm]).color,
            arrowprops=arrow,
        )
        style.tag([text], curve.arm)


def _keys(summary: CurvesSummary) -> list[Line2D]:
    keys = [style.key("chosen epoch of a replicate", **style.HOLLOW)]
    if len(summary.curves[0]) > len(summary.named):
        keys.append(style.key("the other arms", color=style.FAINT, linewidth=0.8))
    return keys


FIGURE = FigureKind("curves", "curves", 10, summarize, draw, caption, alt, finding=finding)
