"""Figs. 11 to 13 redrawn: test AUC by level, with every replicate and the interval of the mean."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.estimates import Array, Estimate, mean_interval
from reports.figures import style
from reports.results import StudyResults, auc_on_test

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
    return LevelsSummary(definition.factor, scores.trained, definition.reference, tuple(panels))


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
    outside = panel.reachable is not None and not low <= panel.reachable <= high
    return middle - half, middle + half * (1.25 if outside else 1)  # room for a line of text


def _panel(axis: Axes, summary: LevelsSummary, panel: Panel) -> None:
    places = np.arange(len(summary.levels))
    for values_L in panel.values_LR.T:
        axis.plot(places - 0.12, values_L, color=style.FAINT, alpha=0.45, linewidth=0.7, zorder=1)
        axis.plot(places - 0.12, values_L, "o", color=style.FAINT, markersize=3.2, alpha=0.9)
    for place, level, estimate in zip(places, summary.levels, panel.estimates, strict=True):
        _mean(axis, place + 0.14, estimate, level == summary.winner)
    low, high = y_range(panel)
    axis.set(xlim=(-0.6, len(places) - 0.4), ylim=(low, high), xlabel=summary.factor)
    axis.set_title(_title(panel.target), loc="left")
    axis.set_ylabel("test AUC")
    axis.yaxis.set_major_locator(_locator())
    axis.yaxis.set_major_formatter(lambda value, _: f"{value:.4f}")
    if panel.reachable is not None:
        _reachable(axis, panel.reachable, low, high)


def _ticks(axis: Axes, levels: tuple[str, ...], width: float) -> None:
    """The levels' names, slanted where they would touch."""
    letters = 0.78 * width * 72 / len(levels) / 6  # the axis takes 0.78, a letter about 6 points
    if max(map(len, levels)) > letters:
        slanted: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
        axis.set_xticks(range(len(levels)), levels, **slanted)
    else:
        axis.set_xticks(range(len(levels)), levels)


def _mean(axis: Axes, place: float, estimate: Estimate, winner: bool) -> None:
    look: dict[str, Any] = {"color": style.ORANGE if winner else style.BLUE}
    if estimate.low is not None and estimate.high is not None:
        axis.plot([place, place], [estimate.low, estimate.high], linewidth=2, **look)
    axis.plot(
        place, estimate.mean, "D" if winner else "s", markersize=6.5, zorder=4,
        markeredgecolor=style.PAPER, **look,
    )  # fmt: skip


def _reachable(axis: Axes, reachable: float, low: float, high: float) -> None:
    if low <= reachable <= high:
        axis.axhline(reachable, color=style.INK, linestyle=(0, (6, 3)), linewidth=1)
        axis.annotate(
            f"best reachable {reachable:.4f}", (0.99, reachable), (0, 2.5), fontsize=8,
            xycoords=("axes fraction", "data"), textcoords="offset points", ha="right",
        )  # fmt: skip
        return
    axis.annotate(
        f"{'↑' if reachable > high else '↓'} best reachable {reachable:.4f}", (0.99, 0.985),
        xycoords="axes fraction", ha="right", va="top", fontsize=8,
    )  # fmt: skip


def _title(target: str) -> str:
    return "mean of both" if target == "mean" else target


def _locator() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10])


def _handles(summary: LevelsSummary) -> list[Line2D]:
    several = any(e.low is not None for panel in summary.panels for e in panel.estimates)
    mean = "mean, 95 % interval" if several else "mean"
    handles = [
        Line2D([], [], color=style.FAINT, marker="o", markersize=3.2, linewidth=0.7,
               label="one replicate (same seed joined)"),
        Line2D([], [], color=style.BLUE, marker="s", markersize=6, linewidth=2, label=mean),
    ]  # fmt: skip
    if summary.winner in summary.levels:
        handles.append(
            Line2D([], [], color=style.ORANGE, marker="D", markersize=6, linewidth=2,
                   label="the paper's winner")
        )  # fmt: skip
    return handles
