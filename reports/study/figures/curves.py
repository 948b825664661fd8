"""Learning curves: validation figures by epoch, and the chosen epoch of each replicate."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fsmd.metrics import Metric
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import StudyResults
from reports.study.scales import Scale, label, less_is_better, task_scales
from reports.study.shape import arms_drawn

MIN_SPAN = 4.0
"""The smallest range of an axis, before its room, in margins of its metric."""


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


def summarize(results: StudyResults) -> CurvesSummary | None:
    """Each task's own metric on validation by epoch, averaged over finished replicates."""
    arms, scales = arms_drawn(results), task_scales(results)
    if not arms:
        return None
    valid = results.measurements[results.measurements["split"] == "valid"]
    curves = []
    for scale in scales:
        rows = valid[(valid["task"] == scale.key) & (valid["metric"] == scale.metric.name)]
        curves.append(tuple(_curve(rows, results.done, arm, scale.key) for arm in arms))
    return CurvesSummary(scales, tuple(curves))


@style.styled()
def draw(summary: CurvesSummary, narrow: bool = False) -> Figure:
    """A panel for each task; marks of one epoch stand beside each other, arm by arm."""
    figure, axes = style.panels(len(summary.scales), narrow, height=3.2, extra=1.0)
    for axis, scale, curves in zip(axes, summary.scales, summary.curves, strict=True):
        for index, curve in enumerate(curves):
            _draw_curve(axis, curve, scale.metric, index, len(curves))
        axis.set(xlabel="epoch", ylabel=f"validation {scale.metric.label}")
        axis.set_ylim(y_range(curves, scale.metric))
        axis.set_title(scale.key, loc="left")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    keys = [
        style.key(curve.arm, markerfacecolor="none", **style.look(index).line(4.5))
        for index, curve in enumerate(summary.curves[0])
    ]
    style.legend(figure, keys, narrow)
    return figure


def caption(summary: CurvesSummary) -> str:
    """What is drawn."""
    ways = {scale.metric.higher for scale in summary.scales}
    off = "lower" if ways == {True} else "higher" if ways == {False} else "worse"
    return (
        f"Validation {label(summary.scales)} by epoch: the mean over an arm's replicates, up to "
        "the last epoch that all of them reached. The axes show what lies around the chosen "
        f"epochs; earlier epochs, far {off}, leave the frame. Hollow marks: each replicate's "
        "chosen epoch, the one that test figures belong to; arms side by side."
        f"{less_is_better(summary.scales)}"
    )


def alt(summary: CurvesSummary) -> str:
    """The tasks."""
    tasks = words.listed(scale.key for scale in summary.scales)
    return f"Learning curves of {tasks}. One line an arm."


def y_range(curves: Sequence[CurveOfArm], metric: Metric) -> tuple[float, float]:
    """Around the chosen epochs, with some room where the curves come from.

    The first epochs lie far off: with them in the frame all arms would be one line.
    """
    seen = [value for curve in curves for _, value in curve.chosen]
    for curve in curves:
        chosen = [epoch for epoch, _ in curve.chosen] or [0]
        by_epoch = zip(curve.epochs, curve.means, strict=True)
        seen += [mean for epoch, mean in by_epoch if min(chosen) <= epoch <= max(chosen) + 1]
    if not seen:
        return 0.0, 1.0
    span = max(max(seen) - min(seen), MIN_SPAN * metric.margin)
    below, above = (0.2, 0.08) if metric.higher else (0.08, 0.2)
    low, high = min(seen) - below * span, max(seen) + above * span
    return max(low, metric.low), min(high, metric.high)


def _curve(rows: pd.DataFrame, done: pd.DataFrame, arm: str, task: str) -> CurveOfArm:
    of_arm = rows[rows["arm"] == arm]
    wide = of_arm.pivot(index="epoch", columns="replicate", values="value").sort_index()
    shared = wide.dropna()
    chosen = []
    for run in done[done["arm"] == arm].to_dict("records"):
        epoch, replicate = (run["chosen_epochs"] or {}).get(task, -1), run["replicate"]
        if epoch in wide.index and replicate in wide.columns:
            chosen.append((int(epoch), float(wide[replicate][epoch])))
    means = shared.mean(axis=1)
    return CurveOfArm(arm, tuple(shared.index.tolist()), tuple(means.tolist()), tuple(chosen))


def _draw_curve(axis: Axes, curve: CurveOfArm, metric: Metric, index: int, count: int) -> None:
    look = style.look(index)
    line = axis.plot(curve.epochs, curve.means, color=look.color, linewidth=1.5)
    line[0].set_linestyle(look.dashes)
    style.tag(line, curve.arm)
    aside = style.aside(index, count, room=0.56)
    places = [epoch + aside for epoch, _ in curve.chosen]
    hollow = look.line(5, linestyle="none", markerfacecolor="none")
    marks = axis.plot(places, [value for _, value in curve.chosen], **hollow)
    tips = (
        f"{curve.arm}, chosen epoch {epoch}: {words.figure(value, metric)}"
        for epoch, value in curve.chosen
    )
    style.tag(marks, curve.arm, *tips)


FIGURE = FigureKind("curves", "curves", 10, summarize, draw, caption, alt)
