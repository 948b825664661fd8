"""A search for one objective: what it saw, and what fresh seeds show of each confirmed point."""

from typing import Any, NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fsmd.stats.estimates import Estimate
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.search.analysis import SearchAnalysis
from reports.search.results import in_words
from reports.search.tables import objective_value
from studies.objectives import Objective


class RankedPoint(NamedTuple):
    """A confirmed point: its mean over the fresh seeds, and what the search saw."""

    name: str
    mean: Estimate
    searched: float | None
    picked: bool


class RankingSummary(NamedTuple):
    """The objective's own values."""

    objective: Objective
    searched: tuple[tuple[str, float], ...]
    """Everything that was trained to its end."""
    fresh: tuple[RankedPoint, ...]
    """The best first."""


def summarize(analysis: SearchAnalysis) -> RankingSummary | None:
    """None for several objectives, or where nothing ended."""
    search = analysis.search
    if len(search.objectives) > 1 or not analysis.front:
        return None
    searched = {attempt.name: attempt.values[0] for attempt in search.all_in("ended")}
    picked = {pick.name for pick in analysis.picks}
    fresh = tuple(
        RankedPoint(
            name=point.name,
            mean=analysis.value(point, search.objectives[0]),
            searched=searched.get(point.name),
            picked=point.name in picked,
        )
        for point in reversed(analysis.confirmed)
    )
    return RankingSummary(search.objectives[0], tuple(searched.items()), fresh)


def draw(summary: RankingSummary, narrow: bool = False) -> Figure:
    """The search's values on the lowest line, and a line for each confirmed point."""
    objective, lines = summary.objective, len(summary.fresh)
    with style.styled():
        figure, (axis,) = style.panels(1, narrow, 0.9 + 0.26 * (lines + 1))
        seen = [value for _, value in summary.searched]
        marks = axis.plot(seen, [0] * len(seen), **_SEEN)
        tips = (f"{name}, search: {objective_value(v, objective)}" for name, v in summary.searched)
        style.tag(marks, "as the search saw it", *tips)
        for y, point in zip(range(lines, 0, -1), summary.fresh, strict=True):
            if point.mean.low is not None and point.mean.high is not None:
                ends = point.mean.low, point.mean.high
                axis.plot(ends, (y, y), color=style.BLUE, linewidth=1.1, alpha=0.7)
            if point.searched is not None:
                axis.plot([point.searched], [y], **_SEEN)
            (mark,) = axis.plot([point.mean.mean], [y], "o", color=style.BLUE, markersize=6)
            style.tag([mark], "on fresh seeds", f"{point.name}: {_written(summary, point)}")
            if point.picked:
                ring = {**_SEEN, "color": style.INK, "markersize": 12}
                axis.plot([point.mean.mean], [y], **ring)
        axis.grid(visible=False, axis="y")
        axis.grid(axis="x", color=style.FAINT, alpha=0.25, linewidth=0.6)
        axis.locator_params(axis="x", nbins=4 if narrow else 8)
        names = ["all, search", *(point.name for point in reversed(summary.fresh))]
        axis.set_yticks(range(lines + 1), names)
        axis.set(ylim=(-0.6, lines + 0.6), xlabel=objective.label)
        style.legend(figure, _handles(summary), narrow)
    return figure


_SEEN: dict[str, Any] = {
    "marker": "o",
    "color": style.FAINT,
    "markersize": 4,
    "markerfacecolor": "none",
    "linestyle": "none",
}


def _handles(summary: RankingSummary) -> list[Line2D]:
    handles = [Line2D([], [], label="as the search saw it", **_SEEN)]
    if summary.fresh:
        mark: dict[str, Any] = {"color": style.BLUE, "marker": "o", "markersize": 6}
        handles.append(Line2D([], [], label="mean over fresh seeds", **mark))
    if any(point.picked for point in summary.fresh):
        ring = {**_SEEN, "color": style.INK, "markersize": 10}
        handles.append(Line2D([], [], label="picked", **ring))
    return handles


def _written(summary: RankingSummary, point: RankedPoint) -> str:
    bounds = words.bounds(point.mean, summary.objective.digits)
    return f"{objective_value(point.mean.mean, summary.objective)} {bounds}".rstrip()


def caption(summary: RankingSummary) -> str:
    """Who stands where."""
    fresh = (
        " Filled: means over the fresh seeds with 95 % intervals, the best on top."
        if summary.fresh
        else " Nothing was trained again: this is what the search saw."
    )
    less = "" if summary.objective.higher else " Less is better."
    return (
        f"{words.capital(in_words(summary.objective))}. Hollow: every training that ended, on the "
        f"search's own seed.{fresh}{less}"
    )


def alt(summary: RankingSummary) -> str:
    """The confirmed points' values."""
    points = "; ".join(f"{point.name} {_written(summary, point)}" for point in summary.fresh)
    count = words.count(len(summary.searched), "training")
    return f"{words.capital(in_words(summary.objective))}. {points or f'{count} that ended'}."


FIGURE = FigureKind(
    key="ranking",
    section="front",
    order=0,
    summarize=summarize,
    draw=draw,
    caption=caption,
    alt=alt,
)
