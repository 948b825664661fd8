"""How much of each target every axis decides, beside what chance would show."""

from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.search.analysis import SearchAnalysis
from reports.search.axis_importance import AxisShare


class ImportanceSummary(NamedTuple):
    """One panel a target, one bar an axis, in the space's order."""

    targets: tuple[str, ...]
    axes: tuple[str, ...]
    shares: tuple[tuple[AxisShare, ...], ...]
    """Targets x axes."""
    exact: bool
    trainings: int


def summarize(analysis: SearchAnalysis) -> ImportanceSummary | None:
    """None where there are no numbers."""
    importance = analysis.importance
    targets, axes, shares = importance.targets, importance.axes, importance.shares
    if not shares or not targets:
        return None
    rows = tuple(tuple(shares[target, axis] for axis in axes) for target in targets)
    return ImportanceSummary(targets, axes, rows, importance.exact, importance.trainings)


@style.styled()
def draw(summary: ImportanceSummary, narrow: bool = False) -> Figure:
    """Bars to the right; filled where they reach beyond chance."""
    height = max(0.6 + 0.26 * len(summary.axes), 1.4)
    top = max(max(s.share, s.by_chance) for shares in summary.shares for s in shares)
    y_A = np.arange(len(summary.axes))[::-1]
    figure, panels = style.panels(len(summary.targets), narrow, height, grid="x")
    for axis, target, shares in zip(panels, summary.targets, summary.shares, strict=True):
        for y, name, share in zip(y_A, summary.axes, shares, strict=True):
            _draw_bar(axis, float(y), f"{target}, {name}", share)
        axis.set(title=target, xlim=(0, 1.05 * top))
        axis.set_yticks(y_A, summary.axes if style.is_leftmost(axis) else [""] * len(y_A))
        axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    style.legend(figure, _keys(summary), narrow)
    return figure


def _draw_bar(axis: Axes, y: float, name: str, share: AxisShare) -> None:
    color = style.BLUE if share.share > share.by_chance else "none"
    bar = axis.barh(y, share.share, height=0.6, edgecolor=style.BLUE, facecolor=color)
    tip = f"{name}: {100 * share.share:.0f} %; by chance {100 * share.by_chance:.0f} %"
    style.tag(bar, "share", tip)
    mark = [share.by_chance] * 2, [y - 0.42, y + 0.42]
    axis.plot(*mark, color=style.ORANGE, linewidth=1.6)


def _keys(summary: ImportanceSummary) -> list[Artist]:
    return [
        Patch(facecolor=style.BLUE, edgecolor=style.BLUE, label="more than chance"),
        Patch(facecolor="none", edgecolor=style.BLUE, label="not more"),
        style.key("95 % of what chance shows", color=style.ORANGE, linewidth=1.6),
    ]


def finding(summary: ImportanceSummary) -> str:
    """The axis that decides most for each target."""
    told = []
    for target, shares in zip(summary.targets, summary.shares, strict=True):
        best = max(range(len(shares)), key=lambda i: shares[i].share)
        share = shares[best]
        chance = "" if share.share > share.by_chance else ", not more than chance shows"
        told.append(f"for {target} {summary.axes[best]} ({100 * share.share:.0f} %{chance})")
    return f"What decides most: {words.listed(told)}."


def caption(summary: ImportanceSummary) -> str:
    """How the shares were computed."""
    how = (
        "share of the variance that each axis's main effect explains, exactly"
        if summary.exact
        else "importance of each axis for being among the best (PED-ANOVA), as shares of 1"
    )
    return (
        f"What matters for each target: {how}, over {summary.trainings} trainings; mark: what "
        "chance alone reaches in one of 20 cases."
    )


def alt(summary: ImportanceSummary) -> str:
    """Every share."""
    of_targets = words.by_key(
        (target, (f"{a} {100 * s.share:.0f} %" for a, s in zip(summary.axes, shares, strict=True)))
        for target, shares in zip(summary.targets, summary.shares, strict=True)
    )
    return f"Importance of each axis. {of_targets}."


FIGURE = FigureKind("importance", "axes", 0, summarize, draw, caption, alt, finding=finding)
