"""The reference arm minus every other one, paired over seeds, with zero and the margin."""

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
from reports.results import StudyResults, auc_on_test
from reports.shape import few, role


class Row(NamedTuple):
    """One level: the winner's lead over it in each paired replicate, and the estimate."""

    other: str
    values: tuple[float, ...]
    estimate: Estimate


class DifferencesSummary(NamedTuple):
    """What the figure shows: rows by target."""

    winner: str
    role: str
    margin: float
    targets: tuple[str, ...]
    rows: tuple[tuple[Row, ...], ...]


def summarize(results: StudyResults) -> DifferencesSummary:
    """Paired differences of test AUC; no rows where no replicate has both levels."""
    winner = results.definition.reference
    scores = few(auc_on_test(results), results.definition)
    rows = tuple(
        tuple(
            Row(other, tuple(map(float, values)), scores.difference(winner, other, target))
            for other in scores.levels
            if other != winner and len(values := scores.differences(winner, other, target))
        )
        for target in scores.targets
    )
    study = results.definition
    return DifferencesSummary(winner, role(study), study.margin, scores.targets, rows)


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


def _panel(axis: Axes, summary: DifferencesSummary, target: str, rows: tuple[Row, ...]) -> None:
    axis.grid(visible=False)
    axis.axvspan(-summary.margin, summary.margin, color=style.FAINT, alpha=0.18, linewidth=0)
    axis.axvline(0, color=style.INK, linewidth=0.9)
    for place, row in enumerate(rows):
        values = np.array(row.values)
        points = axis.plot(values, np.full(len(values), place + 0.17), "o", color=style.FAINT,
                           markersize=3)  # fmt: skip
        style.tag(points, row.other, *(f"minus {row.other}: {words.signed(v)}" for v in values))
        if row.estimate.low is not None and row.estimate.high is not None:
            line = axis.plot([row.estimate.low, row.estimate.high], [place - 0.1] * 2,
                             color=style.BLUE, linewidth=2)  # fmt: skip
            style.tag(line, row.other)
        mean = axis.plot(row.estimate.mean, place - 0.1, "s", color=style.BLUE, markersize=6,
                         markeredgecolor=style.PAPER)  # fmt: skip
        style.tag(mean, row.other, f"minus {row.other}, mean: {words.difference(row.estimate)}")
    axis.set_yticks(range(len(rows)), [f"minus {row.other}" for row in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(x_range(summary))
    axis.set_xlabel("lead in AUC")
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
