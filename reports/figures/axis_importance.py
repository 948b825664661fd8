"""How much of each target every axis decides, beside what chance would show."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from reports.axis_importance import Importance, Share
from reports.figures import style


class ImportanceSummary(NamedTuple):
    """One panel a target, one bar an axis, in the space's order."""

    targets: tuple[str, ...]
    axes: tuple[str, ...]
    shares: tuple[tuple[Share, ...], ...]
    """Targets x axes."""
    exact: bool


def summarize(found: Importance) -> ImportanceSummary | None:
    """None where there are no numbers."""
    if not found.shares:
        return None
    shares = tuple(tuple(found.shares[t, a] for a in found.axes) for t in found.targets)
    return ImportanceSummary(found.targets, found.axes, shares, found.exact)


def draw(summary: ImportanceSummary, narrow: bool = False) -> Figure:
    """Bars to the right; filled where they reach beyond chance."""
    y_A = np.arange(len(summary.axes))[::-1]
    with style.styled():
        height = 0.6 + 0.26 * len(summary.axes)
        figure, panels = style.panels(len(summary.targets), narrow, max(height, 1.4))
        top = max(max(s.share, s.by_chance) for shares in summary.shares for s in shares)
        for i, (axis, target, shares) in enumerate(
            zip(panels, summary.targets, summary.shares, strict=True)
        ):
            for y, name, share in zip(y_A, summary.axes, shares, strict=True):
                beyond = share.share > share.by_chance
                bar = axis.barh(y, share.share, height=0.6, edgecolor=style.BLUE,
                                facecolor=style.BLUE if beyond else "none")  # fmt: skip
                style.tag(bar, "share", f"{target}, {name}: {100 * share.share:.0f} %; by chance "
                          f"{100 * share.by_chance:.0f} %")  # fmt: skip
                axis.plot([share.by_chance] * 2, [y - 0.42, y + 0.42], color=style.ORANGE,
                          linewidth=1.6)  # fmt: skip
            axis.grid(visible=False, axis="y")
            axis.grid(axis="x", color=style.FAINT, alpha=0.25, linewidth=0.6)
            axis.set(title=target, xlim=(0, 1.05 * top))
            axis.set_yticks(y_A, summary.axes if narrow or i == 0 else [""] * len(y_A))
            axis.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        style.legend(figure, _handles(summary), narrow)
    return figure


def _handles(summary: ImportanceSummary) -> list[Line2D | Patch]:
    what = "expected by chance" if summary.exact else "95 % of what chance shows"
    return [
        Patch(facecolor=style.BLUE, edgecolor=style.BLUE, label="more than chance"),
        Patch(facecolor="none", edgecolor=style.BLUE, label="not more"),
        Line2D([], [], color=style.ORANGE, linewidth=1.6, label=what),
    ]
