"""Whether the tasks pull apart: the cosine between their gradients over the epochs."""

from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports.figures import style
from reports.results import StudyResults
from reports.shape import shown


class Course(NamedTuple):
    """A level's mean cosine by epoch over its replicates, with the least and the greatest."""

    level: str
    epochs: tuple[int, ...]
    means: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


class GradientsSummary(NamedTuple):
    """What the figure shows; no course for a level that shares nothing."""

    tasks: tuple[str, ...]
    levels: tuple[str, ...]
    courses: tuple[Course, ...]


def summarize(results: StudyResults) -> GradientsSummary:
    """The recorded cosines, up to the last epoch that all of a level's replicates reached."""
    frame = results.measurements
    rows = frame[(frame["split"] == "train") & (frame["metric"] == "gradient_cosine")]
    levels = shown(results)
    found = (_course(rows[rows["level"] == level], level) for level in levels)
    return GradientsSummary(results.tasks, levels, tuple(c for c in found if c.epochs))


def draw(summary: GradientsSummary, narrow: bool = False) -> Figure:
    """One panel; zero is where the tasks neither help nor hinder each other."""
    with style.styled():
        figure, (axis,) = style.panels(1, narrow, height=2.8)
        if not narrow:
            figure.set_size_inches(3 * style.WIDE, 3.4)
        axis.axhline(0, color=style.INK, linewidth=1)
        for index, course in enumerate(summary.courses):
            look = style.look(summary.levels.index(course.level))
            aside = 0.5 * ((index + 0.5) / len(summary.courses) - 0.5)
            places = [epoch + aside for epoch in course.epochs]
            ranges = axis.vlines(places, course.lows, course.highs, color=look.color,
                                 linewidth=1, alpha=0.6)  # fmt: skip
            line = axis.plot(places, course.means, marker=look.marker, color=look.color,
                             linewidth=1.3, linestyle=look.dashes, markersize=4)  # fmt: skip
            style.tag([ranges], course.level)
            style.tag(line, course.level, *(
                f"{course.level}, epoch {epoch}: {mean:+.3f}"
                for epoch, mean in zip(course.epochs, course.means, strict=True)
            ))  # fmt: skip
        low, high = axis.get_ylim()
        room = 0.05 * (high - low)
        axis.set_ylim(min(low, -room), max(high, room))
        axis.set(xlabel="epoch", ylabel="cosine of the gradients")
        axis.set_title(" and ".join(summary.tasks[:2]) + ": below 0 they conflict", loc="left")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        style.legend(figure, _handles(summary), narrow)
    return figure


def _course(rows: pd.DataFrame, level: str) -> Course:
    wide = rows.pivot(index="epoch", columns="replicate", values="value").sort_index().dropna()
    return Course(
        level,
        tuple(int(epoch) for epoch in wide.index),
        tuple(float(value) for value in wide.mean(axis=1)),
        tuple(float(value) for value in wide.min(axis=1)),
        tuple(float(value) for value in wide.max(axis=1)),
    )


def _handles(summary: GradientsSummary) -> list[Line2D]:
    handles = []
    for course in summary.courses:
        look = style.look(summary.levels.index(course.level))
        handles.append(Line2D([], [], color=look.color, linestyle=look.dashes, marker=look.marker,
                              markersize=3.5, label=course.level))  # fmt: skip
    handles.append(Line2D([], [], color=style.FAINT, marker="|", markersize=9, linestyle="none",
                          label="range of replicates"))  # fmt: skip
    return handles
