"""Whether tasks pull apart: the cosine between two tasks' gradients over the epochs."""

from collections.abc import Mapping
from itertools import combinations
from statistics import fmean
from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fsmd.training import pair_key
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import StudyResults
from reports.study.named import looks_of, named_arms
from reports.study.shape import arms_drawn

MOST_PAIRS = 6
"""Of so many pairs of tasks there is a panel at most."""


class GradientCourse(NamedTuple):
    """An arm's mean cosine by epoch over its replicates, with the least and the greatest."""

    arm: str
    epochs: tuple[int, ...]
    means: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


class GradientsPanel(NamedTuple):
    """A pair of tasks; no course for an arm in which they share nothing."""

    tasks: tuple[str, str]
    courses: tuple[GradientCourse, ...]


class GradientsSummary(NamedTuple):
    """What the figure shows."""

    named: tuple[str, ...]
    """The arms in colour; the others are grey."""
    looks: Mapping[str, int]
    panels: tuple[GradientsPanel, ...]
    pairs: int
    """Of how many pairs of tasks there are cosines."""


def summarize(results: StudyResults) -> GradientsSummary | None:
    """The recorded cosines, up to the last epoch that all of an arm's replicates reached.

    None where none were recorded, as for a single task.
    """
    frame = results.measurements
    rows = frame[(frame["split"] == "train") & (frame["metric"] == "gradient_cosine")]
    arms, panels = arms_drawn(results), []
    for pair in combinations(results.task_names, 2):
        of_pair = rows[rows["task"] == pair_key(*pair)]
        courses = (_course(of_pair[of_pair["arm"] == arm], arm) for arm in arms)
        if kept := tuple(course for course in courses if course.epochs):
            panels.append(GradientsPanel(pair, kept))
    if not panels:
        return None
    shown = tuple(panels[:MOST_PAIRS])
    return GradientsSummary(named_arms(results), looks_of(results), shown, len(panels))


@style.styled()
def draw(summary: GradientsSummary, narrow: bool = False) -> Figure:
    """A panel for each pair; zero is where two tasks neither help nor hinder each other."""
    count = len(summary.panels)
    figure, axes = style.panels(count, narrow, 2.8 if narrow or count > 1 else 2.7)
    for axis, panel in zip(axes, summary.panels, strict=True):
        _draw_panel(axis, summary, panel)
        axis.set(xlabel="epoch", ylim=y_range(summary))
        if style.is_leftmost(axis):
            axis.set_ylabel("cosine of the gradients")
        below = "" if count > 1 else ": below 0 they conflict"
        axis.set_title(f"{words.listed(panel.tasks)}{below}", loc="left")
    style.legend(figure, _keys(summary), narrow)
    return figure


def finding(summary: GradientsSummary) -> str:
    """Which arm's tasks pull against each other most."""
    means = {
        (course.arm, words.listed(panel.tasks)): fmean(course.means)
        for panel in summary.panels
        for course in panel.courses
    }
    below = sum(mean < 0 for mean in means.values())
    (arm, tasks), least = min(means.items(), key=lambda each: each[1])
    said = f"lowest in {arm} ({tasks}), {words.decimals(least, 2)}"
    if not below:
        return f"Nowhere do two tasks pull against each other on average; the cosine is {said}."
    some = "" if len(means) == 1 else f" in {below} of {len(means)} cases"
    return f"Tasks pull against each other on average{some}; the cosine is {said}."


def caption(summary: GradientsSummary) -> str:
    """What is drawn."""
    arms = {course.arm for panel in summary.panels for course in panel.courses}
    grey = f" Grey: {words.count(len(arms - {*summary.named}), 'other arm')}."
    grey = grey if arms - {*summary.named} else ""
    left_out = (
        f" Of {summary.pairs} pairs of tasks the first {len(summary.panels)} are shown; "
        "results.csv has all."
        if summary.pairs > len(summary.panels)
        else ""
    )
    return (
        "Cosine between two tasks' loss gradients on the shared parameters, by epoch: mean over "
        "replicates, bar: from the least to the greatest, up to the last epoch that all of them "
        "reached. Above 0 a step for one task also helps the other; below 0 the tasks pull "
        "apart, which is what conflict means. A model that shares nothing has none."
        f"{grey}{left_out}"
    )


def alt(summary: GradientsSummary) -> str:
    """Where each course begins and ends."""
    of_pairs = words.by_key(
        (
            words.listed(panel.tasks),
            (f"{c.arm} from {c.means[0]:+.2f} to {c.means[-1]:+.2f}" for c in panel.courses),
        )
        for panel in summary.panels
    )
    return f"Cosine between the tasks' gradients by epoch. {of_pairs}."


def y_range(summary: GradientsSummary) -> tuple[float, float]:
    """One range for all panels, with zero in it."""
    courses = [course for panel in summary.panels for course in panel.courses]
    low = min(0.0, *(min(course.lows) for course in courses))
    high = max(0.0, *(max(course.highs) for course in courses))
    return style.limits(low, high, 0.05, least=0.02, within=(-1.0, 1.0))


def _draw_panel(axis: Axes, summary: GradientsSummary, panel: GradientsPanel) -> None:
    axis.axhline(0, color=style.INK, linewidth=1)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    named = [course for course in panel.courses if course.arm in summary.named]
    for course in panel.courses:
        if course not in named:
            line = axis.plot(course.epochs, course.means, color=style.FAINT, linewidth=0.8)
            line[0].set_alpha(0.55)
            style.tag(line, course.arm)
    for index, course in enumerate(named):
        look = style.look(summary.looks[course.arm])
        aside = style.aside(index, len(named), room=0.5)
        places = [epoch + aside for epoch in course.epochs]
        ranges = axis.vlines(places, course.lows, course.highs, color=look.color)
        ranges.set(linewidth=1, alpha=0.6)
        style.tag([ranges], course.arm)
        line = axis.plot(places, course.means, **look.line(4, linewidth=1.3))
        by_epoch = zip(course.epochs, course.means, strict=True)
        tips = (f"{course.arm}, epoch {epoch}: {mean:+.3f}" for epoch, mean in by_epoch)
        style.tag(line, course.arm, *tips)


def _course(rows: pd.DataFrame, arm: str) -> GradientCourse:
    wide = rows.pivot(index="epoch", columns="replicate", values="value").sort_index().dropna()
    columns = wide.mean(axis=1), wide.min(axis=1), wide.max(axis=1)
    means, lows, highs = (tuple(column.tolist()) for column in columns)
    return GradientCourse(arm, tuple(wide.index.tolist()), means, lows, highs)


def _keys(summary: GradientsSummary) -> list[Line2D]:
    drawn = {course.arm for panel in summary.panels for course in panel.courses}
    spread = {"color": style.FAINT, "marker": "|", "markersize": 9, "linestyle": "none"}
    return [
        *(
            style.key(arm, **style.look(summary.looks[arm]).line(3.5))
            for arm in summary.named
            if arm in drawn
        ),
        style.key("range of replicates", **spread),
        *(
            [style.key("the other arms", color=style.FAINT, linewidth=0.8)]
            if drawn - {*summary.named}
            else []
        ),
    ]


FIGURE = FigureKind("gradients", "inside", 10, summarize, draw, caption, alt, finding=finding)
