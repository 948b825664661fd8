"""How the search's front grew: its hypervolume over configurations and over epochs."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.search.analysis import SearchAnalysis
from reports.search.results import outcome_of
from reports.search.tables import objective_value


class HypervolumeSummary(NamedTuple):
    """After each training, in the order of proposal: what it cost so far and the volume."""

    names: tuple[str, ...]
    ended: tuple[bool, ...]
    epochs: tuple[int, ...]
    shares: tuple[float, ...]
    """Of the final hypervolume."""
    reference: tuple[str, ...]
    """The corner that it is measured from, an objective each, in words."""


def summarize(analysis: SearchAnalysis) -> HypervolumeSummary | None:
    """None where there is no growth to show: fewer than two trainings ended."""
    search, growth = analysis.search, analysis.growth
    if len(search.all_in("ended")) < 2:
        return None
    final = growth.volumes[-1]
    corner = zip(search.objectives, growth.reference, strict=True)
    return HypervolumeSummary(
        names=tuple(attempt.name for attempt in search.attempts),
        ended=tuple(outcome_of(attempt) == "ended" for attempt in search.attempts),
        epochs=growth.epochs,
        shares=tuple(volume / final for volume in growth.volumes),
        reference=tuple(f"{o.key} {objective_value(o.gain(gain), o)}" for o, gain in corner),
    )


@style.styled()
def draw(summary: HypervolumeSummary, narrow: bool = False) -> Figure:
    """Two panels of one scale; ticks at the foot are trainings without a say in the volume."""
    figure, axes = style.panels(2, narrow, 2.4)
    ended = [i for i, has_ended in enumerate(summary.ended) if has_ended]
    counted = tuple(range(1, len(summary.names) + 1))
    costs = (counted, "configurations"), (summary.epochs, "epochs spent")
    for axis, (at, label) in zip(axes, costs, strict=True):
        axis.step((0, *at), (0, *summary.shares), where="post", color=style.BLUE)
        places = [at[i] for i in ended], [summary.shares[i] for i in ended]
        marks = axis.plot(*places, "o", color=style.BLUE, markersize=4)
        style.tag(marks, "trained to the end", *(_tip(summary, i) for i in ended))
        rest = [x for x, has_ended in zip(at, summary.ended, strict=True) if not has_ended]
        axis.plot(rest, np.full(len(rest), -0.05), "|", color=style.ORANGE, markersize=6)
        axis.set(xlabel=label, ylabel="share of the final hypervolume")
        axis.set(ylim=(-0.1, 1.05), xlim=(0, at[-1] * 1.02))
        axis.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
        axis.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axis.set_yticks([0, 0.25, 0.5, 0.75, 1])
    style.legend(figure, _keys(summary), narrow)
    return figure


def _tip(summary: HypervolumeSummary, i: int) -> str:
    return (
        f"{summary.names[i]}: {100 * summary.shares[i]:.0f} % after {i + 1} configurations, "
        f"{summary.epochs[i]} epochs"
    )


def _keys(summary: HypervolumeSummary) -> list[Line2D]:
    keys = [style.key("trained to the end", color=style.BLUE, marker="o", markersize=4)]
    if not all(summary.ended):
        tick: dict[str, Any] = {"marker": "|", "markersize": 8, "linestyle": "none"}
        keys.append(style.key("stopped or failed: epochs only", color=style.ORANGE, **tick))
    return keys


def finding(summary: HypervolumeSummary) -> str:
    """When most of it was reached."""
    most = next(i for i, share in enumerate(summary.shares) if share >= 0.9)
    return (
        f"90 % of the final front's volume were there after {most + 1} of "
        f"{words.count(len(summary.names), 'configuration')}, {summary.epochs[most]:,} of "
        f"{words.count(summary.epochs[-1], 'epoch')}."
    )


def caption(_: HypervolumeSummary) -> str:
    """What is measured."""
    return (
        "Hypervolume of the front that the search saw, over configurations and over the epochs "
        "they cost, as a share of the final one."
    )


def corner_in_words(summary: HypervolumeSummary) -> str:
    """From which corner it is measured."""
    return (
        "Hypervolume is what lies between the points that ended and "
        f"{words.listed(summary.reference)}, a tenth of each objective's range beyond its worst "
        "value."
    )


def alt(summary: HypervolumeSummary) -> str:
    """When most of it was reached."""
    most = next(i for i, share in enumerate(summary.shares) if share >= 0.9)
    return (
        "Hypervolume of the search's front. 90 % of the final hypervolume were reached after "
        f"{words.count(most + 1, 'configuration')} and "
        f"{words.count(summary.epochs[most], 'epoch')}."
    )


FIGURE = FigureKind("hypervolume", "spent", 0, summarize, draw, caption, alt, finding=finding)
