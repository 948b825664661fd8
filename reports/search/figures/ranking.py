"""A search for one objective: what it saw, and what fresh seeds show of each confirmed point."""

from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from fsmd.stats.estimates import Estimate
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.search.analysis import SearchAnalysis
from reports.search.results import in_words
from reports.search.tables import objective_interval, objective_value
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
    within: tuple[float, float]
    """What it can be."""
    searched: tuple[tuple[str, float], ...]
    """Everything that was trained to its end."""
    fresh: tuple[RankedPoint, ...]
    """The best first."""


def summarize(analysis: SearchAnalysis) -> RankingSummary | None:
    """None for several objectives, or where nothing ended."""
    search = analysis.search
    if len(search.objectives) > 1 or not analysis.front:
        return None
    (objective,) = search.objectives
    searched = {attempt.name: attempt.values[0] for attempt in search.all_in("ended")}
    fresh = tuple(
        RankedPoint(
            name=point.name,
            mean=analysis.value(point, objective),
            searched=searched.get(point.name),
            picked=point.name in analysis.picked_by,
        )
        for point in reversed(analysis.confirmed)
    )
    within = search.range_of(objective)
    return RankingSummary(objective, within, tuple(searched.items()), fresh)


@style.styled()
def draw(summary: RankingSummary, narrow: bool = False) -> Figure:
    """The search's values on the lowest line, and a line for each confirmed point."""
    objective, lines = summary.objective, len(summary.fresh)
    figure, (axis,) = style.panels(1, narrow, 0.9 + 0.26 * (lines + 1), grid="x")
    seen = [value for _, value in summary.searched]
    marks = axis.plot(seen, [0] * len(seen), **style.HOLLOW)
    tips = (f"{name}, search: {objective_value(v, objective)}" for name, v in summary.searched)
    style.tag(marks, "as the search saw it", *tips)
    for y, point in zip(range(lines, 0, -1), summary.fresh, strict=True):
        line = {"color": style.BLUE, "alpha": 0.7}
        style.interval(axis, point.mean, y, part=point.name, across=True, **line)
        if point.searched is not None:
            axis.plot([point.searched], [y], **style.HOLLOW)
        mark = axis.plot([point.mean.mean], [y], "o", color=style.BLUE, markersize=6)
        tip = f"{point.name}: {objective_interval(point.mean, objective)}"
        style.tag(mark, point.name, tip)
        if point.picked:
            axis.plot([point.mean.mean], [y], **style.RING, markersize=12)
    axis.set_xlim(x_range(summary))
    axis.locator_params(axis="x", nbins=4 if narrow else 8)
    names = ["all, search", *(point.name for point in reversed(summary.fresh))]
    axis.set_yticks(range(lines + 1), names)
    axis.set(ylim=(-0.6, lines + 0.6), xlabel=objective.label)
    style.legend(figure, _keys(summary), narrow)
    return figure


def x_range(summary: RankingSummary) -> tuple[float, float]:
    """Every value and every interval."""
    means = [point.mean for point in summary.fresh]
    ends = [value for _, value in summary.searched] + style.ends_of(means)
    ends += [mean.mean for mean in means]
    least = summary.objective.margin or 10.0**-summary.objective.digits
    return style.limits(min(ends), max(ends), 0.05, least=least, within=summary.within)


def _keys(summary: RankingSummary) -> list[Line2D]:
    keys = [style.key("as the search saw it", **style.HOLLOW)]
    if summary.fresh:
        keys.append(style.key("mean over fresh seeds", color=style.BLUE, marker="o", markersize=6))
    if any(point.picked for point in summary.fresh):
        keys.append(style.key("picked", **style.RING, markersize=10))
    return keys


def finding(summary: RankingSummary) -> str:
    """Who is the best, and what the search thought of it."""
    objective = summary.objective
    if not summary.fresh:
        name, value = max(summary.searched, key=lambda each: objective.gain(each[1]))
        return f"The search saw the best in {name}, {objective_value(value, objective)}."
    best = max(summary.fresh, key=lambda point: objective.gain(point.mean.mean))
    told = f"{best.name} is the best on fresh seeds, {objective_interval(best.mean, objective)}"
    if best.searched is None:
        return f"{told}."
    return f"{told}; the search saw {objective_value(best.searched, objective)}."


def caption(summary: RankingSummary) -> str:
    """Who stands where."""
    fresh = (
        "filled, means over the fresh seeds with 95 % intervals, the best on top"
        if summary.fresh
        else "nothing was trained again"
    )
    less = "" if summary.objective.higher else " Less is better."
    return (
        f"{words.capital(in_words(summary.objective))}: hollow, what ended, on the search's own "
        f"seed; {fresh}.{less}"
    )


def alt(summary: RankingSummary) -> str:
    """The confirmed points' values."""
    points = "; ".join(
        f"{point.name} {objective_interval(point.mean, summary.objective)}"
        for point in summary.fresh
    )
    count = words.count(len(summary.searched), "training")
    return f"{words.capital(in_words(summary.objective))}. {points or f'{count} that ended'}."


FIGURE = FigureKind("ranking", "front", 0, summarize, draw, caption, alt, finding=finding)
