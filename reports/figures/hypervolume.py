"""How the search's front grew: its hypervolume over configurations and over epochs."""

from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.figures import style
from reports.search_analysis import SearchAnalysis


class HypervolumeSummary(NamedTuple):
    """After each training, in the order of proposal: what it cost so far and the volume."""

    levels: tuple[str, ...]
    ended: tuple[bool, ...]
    epochs: tuple[int, ...]
    shares: tuple[float, ...]
    """Of the final hypervolume."""


def summarize(analysis: SearchAnalysis) -> HypervolumeSummary | None:
    """None where there is no growth to show: fewer than two trainings ended."""
    progress, configurations = analysis.progress, analysis.found.configurations
    if sum(c.state == "ended" for c in configurations) < 2:
        return None
    final = progress.volumes[-1]
    return HypervolumeSummary(
        tuple(c.level for c in configurations),
        tuple(c.state == "ended" for c in configurations),
        progress.epochs, tuple(volume / final for volume in progress.volumes),
    )  # fmt: skip


def draw(summary: HypervolumeSummary, narrow: bool = False) -> Figure:
    """Two panels of one scale; ticks at the foot are trainings without a say in the volume."""
    with style.styled():
        figure, axes = style.panels(2, narrow, 2.4)
        if not narrow:
            figure.set_size_inches(3 * style.WIDE, 3.1)
        counted = tuple(range(1, len(summary.levels) + 1))
        for axis, at, label in zip(axes, (counted, summary.epochs),
                                   ("configurations", "epochs spent"), strict=True):  # fmt: skip
            axis.step((0, *at), (0, *summary.shares), where="post", color=style.BLUE)
            ended = [i for i, is_on in enumerate(summary.ended) if is_on]
            marks = axis.plot([at[i] for i in ended], [summary.shares[i] for i in ended], "o",
                              color=style.BLUE, markersize=4)  # fmt: skip
            style.tag(marks, "trained to the end", *(
                f"{summary.levels[i]}: {100 * summary.shares[i]:.0f} % after {i + 1} "
                f"configurations, {summary.epochs[i]} epochs" for i in ended
            ))  # fmt: skip
            rest = [x for x, is_on in zip(at, summary.ended, strict=True) if not is_on]
            axis.plot(rest, np.full(len(rest), -0.05), "|", color=style.ORANGE, markersize=6)
            axis.set(xlabel=label, ylabel="share of the final hypervolume", ylim=(-0.1, 1.05),
                     xlim=(0, at[-1] * 1.02))  # fmt: skip
            axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
            axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
            axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
        style.legend(figure, _handles(summary), narrow)
    return figure


def _handles(summary: HypervolumeSummary) -> list[Line2D]:
    handles = [Line2D([], [], color=style.BLUE, marker="o", markersize=4,
                      label="trained to the end")]  # fmt: skip
    if not all(summary.ended):
        label = "stopped or failed: epochs only"
        handles.append(Line2D([], [], color=style.ORANGE, marker="|", markersize=8,
                              linestyle="none", label=label))  # fmt: skip
    return handles
