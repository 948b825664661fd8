"""The reference arm and every other one, replicate by replicate, with zero and the margin.

Which of the two is subtracted is the study's: `forward` is the reference minus the other.
"""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from reports import words
from reports.estimates import Estimate
from reports.figures import style
from reports.results import Scores, StudyResults
from reports.shape import few, leads, role


class Row(NamedTuple):
    """One level: the difference in each paired replicate, and the estimate."""

    level: str
    label: str
    values: tuple[float, ...]
    estimate: Estimate


class DifferencesSummary(NamedTuple):
    """What the figure shows: rows by target."""

    reference: str
    role: str
    forward: bool
    margin: float
    targets: tuple[str, ...]
    rows: tuple[tuple[Row, ...], ...]


def summarize(results: StudyResults) -> DifferencesSummary:
    """Paired differences of test AUC; no rows where no replicate has both levels."""
    study, scores = results.definition, few(results)
    forward = leads(study)
    rows = tuple(
        tuple(
            row
            for level in scores.levels
            if level != study.reference
            and (row := _row(scores, study.reference, level, target, forward)).values
        )
        for target in scores.targets
    )
    return DifferencesSummary(study.reference, role(study), forward, study.margin,
                              scores.targets, rows)  # fmt: skip


def draw(summary: DifferencesSummary, narrow: bool = False) -> Figure:
    """A panel for each task and one for the mean; one line for each other level."""
    with style.styled():
        height = 0.9 + 0.38 * len(summary.rows[0])
        figure, axes = style.panels(len(summary.targets), narrow, height)
        for index, (axis, target, rows) in enumerate(
            zip(axes, summary.targets, summary.rows, strict=True)
        ):
            _panel(axis, summary, target, rows)
            if index and not narrow:
                axis.tick_params(labelleft=False)
        style.legend(figure, _handles(summary), narrow)
    return figure


def x_range(summary: DifferencesSummary) -> tuple[float, float]:
    """One range for all panels, so that they compare: every replicate, interval and the margin."""
    ends = [-summary.margin, summary.margin]
    for row in (row for rows in summary.rows for row in rows):
        ends += [*row.values, *(e for e in (row.estimate.low, row.estimate.high) if e is not None)]
    room = 0.06 * (max(ends) - min(ends))
    return min(ends) - room, max(ends) + room


def _row(scores: Scores, reference: str, level: str, target: str, forward: bool) -> Row:
    pair = (reference, level) if forward else (level, reference)
    values = tuple(map(float, scores.differences(*pair, target)))
    label = f"minus {level}" if forward else level
    return Row(level, label, values, scores.difference(*pair, target))


def _panel(axis: Axes, summary: DifferencesSummary, target: str, rows: tuple[Row, ...]) -> None:
    axis.grid(visible=False)
    axis.axvspan(-summary.margin, summary.margin, color=style.FAINT, alpha=0.18, linewidth=0)
    axis.axvline(0, color=style.INK, linewidth=0.9)
    for place, row in enumerate(rows):
        values = np.array(row.values)
        points = axis.plot(values, np.full(len(values), place + 0.17), "o", color=style.FAINT,
                           markersize=3)  # fmt: skip
        style.tag(points, row.level, *(f"{row.label}: {words.signed(v)}" for v in values))
        if row.estimate.low is not None and row.estimate.high is not None:
            line = axis.plot([row.estimate.low, row.estimate.high], [place - 0.1] * 2,
                             color=style.BLUE, linewidth=2)  # fmt: skip
            style.tag(line, row.level)
        mean = axis.plot(row.estimate.mean, place - 0.1, "s", color=style.BLUE, markersize=6,
                         markeredgecolor=style.PAPER)  # fmt: skip
        style.tag(mean, row.level, f"{row.label}, mean: {words.difference(row.estimate)}")
    axis.set_yticks(range(len(rows)), [style.lines(row.level) for row in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(x_range(summary))
    axis.set_xlabel(
        f"AUC of {summary.reference} minus the level's"
        if summary.forward
        else f"AUC minus that of {summary.reference}"
    )
    axis.set_title("mean of both" if target == "mean" else target, loc="left")
    axis.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(lambda value, _: words.short(value))


def _handles(summary: DifferencesSummary) -> list[Line2D | Patch]:
    several = any(row.estimate.low is not None for rows in summary.rows for row in rows)
    return [
        Line2D([], [], color=style.FAINT, marker="o", markersize=3, linestyle="none",
               label="one paired replicate"),
        Line2D([], [], color=style.BLUE, marker="s", markersize=6, linewidth=2,
               label="mean difference" + (", 95 % interval" if several else "")),
        Patch(color=style.FAINT, alpha=0.3, linewidth=0, label=f"within ±{summary.margin:g}"),
    ]  # fmt: skip
