"""The reference arm and every other one, replicate by replicate, with zero and the margin.

Which of the two is subtracted is the study's: `forward` is the reference minus the other.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fsmd.metrics import Metric
from fsmd.stats.estimates import Estimate
from reports import ran, words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import Scores, StudyResults
from reports.study.scales import Scale, label, less_is_better, metrics_of, scales_of, within_margin
from reports.study.shape import reference_first, role, scores_compared


class DifferenceRow(NamedTuple):
    """One arm: the difference in each paired replicate, and the estimate."""

    arm: str
    label: str
    values: tuple[float, ...]
    estimate: Estimate


class DifferencesSummary(NamedTuple):
    """What the figure shows: rows by target."""

    reference: str
    role: str
    forward: bool
    scales: tuple[Scale, ...]
    rows: tuple[tuple[DifferenceRow, ...], ...]
    with_test_set: bool
    """Whether the intervals cover the finite test set."""


def summarize(results: StudyResults) -> DifferencesSummary | None:
    """Paired differences on test; None where no replicate has both arms of a pair."""
    study, scores = results.study, scores_compared(results)
    forward = reference_first(study)
    others = [arm for arm in scores.arms if scores.shared(study.reference, arm)]
    others = [arm for arm in others if arm != study.reference]
    if not others:
        return None
    scales = scales_of(results)
    return DifferencesSummary(
        reference=study.reference,
        role=role(study),
        forward=forward,
        scales=scales,
        rows=tuple(
            tuple(_row(scores, study.reference, arm, scale.key, forward) for arm in others)
            for scale in scales
        ),
        with_test_set=bool(scores.samplings),
    )


def draw(summary: DifferencesSummary, narrow: bool = False) -> Figure:
    """A panel for each task and one for their mean; one line for each other arm."""
    with style.styled():
        count = len(summary.scales)
        height = 0.9 + 0.38 * len(summary.rows[0])
        figure, axes = style.panels(count, narrow, height)
        for index, axis in enumerate(axes):
            _draw_panel(axis, summary, summary.scales[index], summary.rows[index])
            if index % style.columns(count, narrow):
                axis.tick_params(labelleft=False)
        style.legend(figure, _handles(summary), narrow)
    return figure


def caption(summary: DifferencesSummary) -> str:
    """What is drawn."""
    what, reference = f"Test {label(summary.scales)} of", summary.reference
    minus = (
        f"{reference}, {summary.role}, minus every other arm's"
        if summary.forward
        else f"every other arm minus that of {reference}"
    )
    return (
        f"{what} {minus}, replicate by replicate; 95 % intervals over "
        f"{ran.sources(summary.with_test_set)}. "
        f"{_who_leads(summary)}; the band is the margin below which a difference matters to "
        f"nobody ({within_margin(summary.scales)}).{less_is_better(summary.scales)}"
    )


def alt(summary: DifferencesSummary) -> str:
    """Each difference on each target."""
    of_targets = "; ".join(
        f"{scale.key}: "
        + ", ".join(f"{row.label} {words.difference(row.estimate, scale.digits)}" for row in rows)
        for scale, rows in zip(summary.scales, summary.rows, strict=True)
    )
    return f"Paired differences between {summary.reference} and every other arm. {of_targets}."


def x_range(summary: DifferencesSummary, metric: Metric) -> tuple[float, float]:
    """One range for all panels of a metric, so that they compare: every replicate, interval and
    the margin."""
    ends = list[float]()
    for scale, rows in zip(summary.scales, summary.rows, strict=True):
        if scale.metric == metric:
            ends += [-scale.margin, scale.margin, *_ends(rows)]
    room = 0.06 * (max(ends) - min(ends))
    return min(ends) - room, max(ends) + room


def _ends(rows: Iterable[DifferenceRow]) -> list[float]:
    ends = list[float]()
    for row in rows:
        interval = (row.estimate.low, row.estimate.high)
        ends += [*row.values, *(end for end in interval if end is not None)]
    return ends


def _who_leads(summary: DifferencesSummary) -> str:
    ahead = summary.reference if summary.forward else "the arm"
    metrics = metrics_of(summary.scales)
    up = [metric.label for metric in metrics if metric.higher]
    down = [metric.label for metric in metrics if not metric.higher]
    if not down:
        return f"Right of zero {ahead} leads"
    if not up:
        return f"Left of zero {ahead} leads"
    return f"Right of zero {ahead} leads in {words.listed(up)}, left of it in {words.listed(down)}"


def _row(scores: Scores, reference: str, arm: str, key: str, forward: bool) -> DifferenceRow:
    pair = (reference, arm) if forward else (arm, reference)
    values = tuple(map(float, scores.differences(*pair, key)))
    name = f"minus {arm}" if forward else arm
    return DifferenceRow(arm, name, values, scores.difference(*pair, key))


def _draw_panel(
    axis: Axes, summary: DifferencesSummary, scale: Scale, rows: Sequence[DifferenceRow]
) -> None:
    axis.grid(visible=False)
    axis.axvspan(-scale.margin, scale.margin, color=style.FAINT, alpha=0.18, linewidth=0)
    axis.axvline(0, color=style.INK, linewidth=0.9)
    for place, row in enumerate(rows):
        _draw_row(axis, place, row, scale.digits)
    axis.set_yticks(range(len(rows)), [style.lines(row.arm) for row in rows])
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(x_range(summary, scale.metric))
    what = scale.metric.label
    axis.set_xlabel(
        f"{what} of {summary.reference} minus the arm's"
        if summary.forward
        else f"{what} minus that of {summary.reference}"
    )
    axis.set_title(scale.key, loc="left")
    axis.xaxis.set_major_locator(MaxNLocator(nbins=3, steps=[1, 2, 5, 10]))
    axis.xaxis.set_major_formatter(lambda value, _: words.short(value))


def _draw_row(axis: Axes, place: int, row: DifferenceRow, digits: int) -> None:
    """The mean and its interval on its line, the replicates a little below."""
    values, estimate = np.array(row.values), row.estimate
    lower = np.full(len(values), place + 0.17)
    points = axis.plot(values, lower, "o", color=style.FAINT, markersize=3)
    tips = (f"{row.label}: {words.signed(value, digits)}" for value in values)
    style.tag(points, row.arm, *tips)
    upper = place - 0.1
    if estimate.low is not None and estimate.high is not None:
        ends = [estimate.low, estimate.high]
        line = axis.plot(ends, [upper, upper], color=style.BLUE, linewidth=2)
        style.tag(line, row.arm)
    mean = axis.plot(estimate.mean, upper, "s", color=style.BLUE, markersize=6)
    mean[0].set_markeredgecolor(style.PAPER)
    style.tag(mean, row.arm, f"{row.label}, mean: {words.difference(estimate, digits)}")


def _handles(summary: DifferencesSummary) -> list[Line2D | Patch]:
    several = any(row.estimate.low is not None for rows in summary.rows for row in rows)
    one = Line2D([], [], color=style.FAINT, marker="o", markersize=3, label="one paired replicate")
    one.set_linestyle("none")
    mean = Line2D([], [], color=style.BLUE, marker="s", markersize=6, linewidth=2)
    mean.set_label("mean difference" + (", 95 % interval" if several else ""))
    band = f"within {within_margin(summary.scales)}"
    return [one, mean, Patch(color=style.FAINT, alpha=0.3, linewidth=0, label=band)]


FIGURE = FigureKind("differences", "differences", 10, summarize, draw, caption, alt)
