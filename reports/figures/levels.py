"""Figs. 11 to 13 redrawn: test AUC by level, with every replicate and the interval of the mean."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import words
from reports.estimates import Array, Estimate, mean_interval
from reports.figures import style
from reports.results import StudyResults, auc_on_test
from reports.shape import role

MIN_SPAN = 0.004
"""The smallest range of an AUC axis: noise is not blown up to look like an effect."""


class Panel(NamedTuple):
    """One target: levels x replicates (NaN where missing) and each level's estimate."""

    target: str
    values_LR: Array
    estimates: tuple[Estimate, ...]
    reachable: float | None


class LevelsSummary(NamedTuple):
    """What the figure shows."""

    factor: str
    levels: tuple[str, ...]
    winner: str
    role: str
    joined: bool
    """Whether a replicate has the same seed at every level, so that a line may join it."""
    panels: tuple[Panel, ...]


def summarize(results: StudyResults) -> LevelsSummary:
    """Test AUC at the chosen epochs, for each task and the mean; trained levels only."""
    scores = auc_on_test(results)
    panels = []
    for target in scores.targets:
        values_LR = np.array([scores.of(level, target) for level in scores.trained])
        estimates = tuple(mean_interval(values_R) for values_R in values_LR)
        panels.append(Panel(target, values_LR, estimates, results.reachable.get(target)))
    definition = results.definition
    return LevelsSummary(definition.factor, scores.trained, definition.reference,
                         role(definition), results.same_seeds, tuple(panels))  # fmt: skip


def draw(summary: LevelsSummary, narrow: bool = False) -> Figure:
    """A panel for each task and one for the mean."""
    with style.styled():
        figure, axes = style.panels(len(summary.panels), narrow, height=2.6)
        for axis, panel in zip(axes, summary.panels, strict=True):
            _panel(axis, summary, panel)
            _ticks(axis, summary.levels, style.NARROW if narrow else style.WIDE)
        style.legend(figure, _handles(summary), narrow)
    return figure


def y_range(panel: Panel) -> tuple[float, float]:
    """Room for every replicate and interval; the best reachable AUC only if it is near."""
    ends = [e for s in panel.estimates for e in (s.low, s.high) if e is not None]
    inside = [*panel.values_LR[np.isfinite(panel.values_LR)], *ends]
    low, high = float(min(inside)), float(max(inside))
    span = max(high - low, MIN_SPAN)
    if panel.reachable is not None and low - span <= panel.reachable <= high + span:
        low, high = min(low, panel.reachable), max(high, panel.reachable)
    middle, half = (low + high) / 2, max(high - low, MIN_SPAN) * 0.57
    return middle - half, middle + half


def _panel(axis: Axes, summary: LevelsSummary, panel: Panel) -> None:
    places = np.arange(len(summary.levels))
    for values_L in panel.values_LR.T if summary.joined else ():
        axis.plot(places - 0.12, values_L, color=style.FAINT, alpha=0.45, linewidth=0.7, zorder=1)
    for place, level, values_R, estimate in zip(
        places, summary.levels, panel.values_LR, panel.estimates, strict=True
    ):
        finite = np.flatnonzero(np.isfinite(values_R))
        points = axis.plot(np.full(len(finite), place - 0.12), values_R[finite], "o",
                           color=style.FAINT, markersize=3.2, alpha=0.9)  # fmt: skip
        tips = (f"{level}, replicate {r}: {words.auc(values_R[r])}" for r in finite)
        style.tag(points, level, *tips)
        _mean(axis, place + 0.14, level, estimate, level == summary.winner)
    low, high = y_range(panel)
    axis.set(xlim=(-0.6, len(places) - 0.4), ylim=(low, high), xlabel=summary.factor)
    axis.set_title(_title(panel.target), loc="left", pad=6 if panel.reachable is None else 18)
    axis.set_ylabel("test AUC")
    axis.yaxis.set_major_locator(_locator())
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.4f}")
    if panel.reachable is not None:
        _reachable(axis, panel.reachable, low, high)


def _ticks(axis: Axes, levels: tuple[str, ...], width: float) -> None:
    """The levels' names, slanted where they would touch: the steeper, the closer they are."""
    room = 0.78 * width * 72 / len(levels)  # the axis takes 0.78 of the panel
    if max(map(len, levels)) * 6 > room:  # a letter takes about 6 points
        turn = 25 if room > 26 else 45 if room > 15 else 90
        slanted: dict[str, Any] = {"rotation": turn, "ha": "right", "rotation_mode": "anchor",
                                   "va": "center" if turn == 90 else "top"}  # fmt: skip
        axis.set_xticks(range(len(levels)), levels, **slanted)
    else:
        axis.set_xticks(range(len(levels)), levels)


def _mean(axis: Axes, place: float, level: str, estimate: Estimate, winner: bool) -> None:
    look: dict[str, Any] = {"color": style.ORANGE if winner else style.BLUE}
    if estimate.low is not None and estimate.high is not None:
        style.tag(axis.plot([place, place], [estimate.low, estimate.high], linewidth=2, **look),
                  level)  # fmt: skip
    points = axis.plot(
        place, estimate.mean, "D" if winner else "s", markersize=6.5, zorder=4,
        markeredgecolor=style.PAPER, **look,
    )  # fmt: skip
    style.tag(points, level, f"{level}, mean: {words.interval(estimate)}")


def _reachable(axis: Axes, reachable: float, low: float, high: float) -> None:
    """A dashed line: at its height or, where that would squash the rest, beyond a broken axis.

    Told above the panel, where there is nothing to print over.
    """
    look: dict[str, Any] = {"color": style.INK, "linestyle": (0, (6, 3)), "linewidth": 1}
    axis.annotate(f"best reachable {reachable:.4f} (dashed)", (0, 1), (0, 6), fontsize=8,
                  xycoords="axes fraction", textcoords="offset points", va="bottom")  # fmt: skip
    if low <= reachable <= high:
        axis.axhline(reachable, **look)
        return
    edge, way = (1.0, 1) if reachable > high else (0.0, -1)
    across: dict[str, Any] = {"transform": axis.transAxes, "clip_on": False}
    axis.plot([0, 1], [edge + 0.03 * way] * 2, **look, **across)
    for middle in (edge - 0.015, edge + 0.015):  # the marks of a broken axis
        axis.plot([-0.025, 0.025], [middle - 0.015, middle + 0.015], color=style.INK, linewidth=1,
                  **across)  # fmt: skip


def _title(target: str) -> str:
    return "mean of both" if target == "mean" else target


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10])


def _handles(summary: LevelsSummary) -> list[Line2D]:
    several = any(e.low is not None for panel in summary.panels for e in panel.estimates)
    mean = "mean, 95 % interval" if several else "mean"
    handles = [
        Line2D([], [], color=style.FAINT, marker="o", markersize=3.2,
               linewidth=0.7 if summary.joined else 0,
               label="one replicate" + (" (same seed joined)" if summary.joined else "")),
        Line2D([], [], color=style.BLUE, marker="s", markersize=6, linewidth=2, label=mean),
    ]  # fmt: skip
    if summary.winner in summary.levels:
        handles.append(
            Line2D([], [], color=style.ORANGE, marker="D", markersize=6, linewidth=2,
                   label=summary.role)
        )  # fmt: skip
    return handles
