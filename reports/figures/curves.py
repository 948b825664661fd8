"""Learning curves: validation AUC by epoch, and where validation stopped each replicate."""

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports import words
from reports.figures import style
from reports.results import StudyResults
from reports.shape import shown

MIN_SPAN = 0.004
"""The smallest range of an AUC axis, before its room."""


class Curve(NamedTuple):
    """One level on one task: the mean up to the last epoch that all its replicates reached."""

    level: str
    epochs: tuple[int, ...]
    means: tuple[float, ...]
    chosen: tuple[tuple[int, float], ...]
    """(epoch, AUC) of each replicate's chosen epoch."""


class CurvesSummary(NamedTuple):
    """What the figure shows: the curves of each task."""

    tasks: tuple[str, ...]
    curves: tuple[tuple[Curve, ...], ...]


def summarize(results: StudyResults) -> CurvesSummary:
    """Validation AUC by epoch, averaged over each level's finished replicates."""
    frame = results.measurements
    valid = frame[(frame["split"] == "valid") & (frame["metric"] == "auc")]
    done = results.runs[results.runs["status"] == "done"]
    levels = shown(results)
    curves = tuple(
        tuple(_curve(valid, done, level, task) for level in levels) for task in results.tasks
    )
    return CurvesSummary(results.tasks, curves)


def draw(summary: CurvesSummary, narrow: bool = False) -> Figure:
    """A panel for each task; marks of one epoch stand beside each other, level by level."""
    with style.styled():
        figure, axes = style.panels(len(summary.tasks), narrow, height=3.2)
        if not narrow:
            figure.set_size_inches(3 * style.WIDE, 4.2)
        for axis, task, curves in zip(axes, summary.tasks, summary.curves, strict=True):
            for index, curve in enumerate(curves):
                look = style.look(index)
                line = axis.plot(curve.epochs, curve.means, color=look.color,
                                 linestyle=look.dashes, linewidth=1.5)  # fmt: skip
                aside = 0.56 * ((index + 0.5) / len(curves) - 0.5)
                marks = axis.plot(
                    [epoch + aside for epoch, _ in curve.chosen],
                    [auc for _, auc in curve.chosen], marker=look.marker, linestyle="none",
                    color=look.color, markersize=5, markerfacecolor="none",
                )  # fmt: skip
                style.tag(line, curve.level)
                style.tag(marks, curve.level, *(
                    f"{curve.level}, chosen epoch {epoch}: {words.auc(value)}"
                    for epoch, value in curve.chosen
                ))  # fmt: skip
            axis.set(xlabel="epoch", ylabel="validation AUC", ylim=y_range(curves))
            axis.set_title(task, loc="left")
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        style.legend(
            figure, [_handle(i, c.level) for i, c in enumerate(summary.curves[0])], narrow
        )
    return figure


def y_range(curves: tuple[Curve, ...]) -> tuple[float, float]:
    """Around the chosen epochs, with some room below for what leads there.

    The first epochs lie far lower: with them in the frame all levels would be one line.
    """
    seen = [auc for curve in curves for _, auc in curve.chosen]
    for curve in curves:
        first, last = _chosen_between(curve)
        seen += [mean for epoch, mean in zip(curve.epochs, curve.means, strict=True)
                 if first <= epoch <= last + 1]  # fmt: skip
    if not seen:
        return 0.0, 1.0
    span = max(max(seen) - min(seen), MIN_SPAN)
    return min(seen) - 0.2 * span, max(seen) + 0.08 * span


def _chosen_between(curve: Curve) -> tuple[int, int]:
    epochs = [epoch for epoch, _ in curve.chosen] or [0]
    return min(epochs), max(epochs)


def _curve(valid: pd.DataFrame, done: pd.DataFrame, level: str, task: str) -> Curve:
    rows = valid[(valid["level"] == level) & (valid["task"] == task)]
    wide = rows.pivot(index="epoch", columns="replicate", values="value").sort_index()
    shared = wide.dropna()
    chosen = []
    for run in done[done["level"] == level].to_dict("records"):
        epoch, replicate = run["chosen_epochs"].get(task), run["replicate"]
        if epoch in wide.index and replicate in wide.columns:
            chosen.append((int(epoch), float(wide[replicate][epoch])))
    return Curve(
        level,
        tuple(int(epoch) for epoch in shared.index),
        tuple(float(mean) for mean in shared.mean(axis=1)),
        tuple(chosen),
    )


def _handle(index: int, level: str) -> Line2D:
    look = style.look(index)
    return Line2D([], [], color=look.color, linestyle=look.dashes, marker=look.marker,
                  markersize=4.5, markerfacecolor="none", label=level)  # fmt: skip
