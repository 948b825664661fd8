"""The reference arm and every other one, replicate by replicate, with zero and the margin.

Which of the two is subtracted is the study's: `forward` is the reference minus the other.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsmd.metrics import Metric
from fsmd.stats.estimates import Estimate
from reports import ran, words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import Scores, StudyResults
from reports.study.scales import (
    Scale,
    label,
    less_is_better,
    margin_key,
    scales_of,
    who_leads,
    within_margin,
)
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
    over: str
    """What the intervals cover."""


def summarize(results: StudyResults) -> DifferencesSummary | None:
    """Paired differences on test; None where no replicate has both arms of a pair."""
    study, scores, scales = results.study, scores_compared(results), scales_of(results)
    reference, forward = study.reference, reference_first(study)
    others = [a for a in scores.arms if a != reference and scores.shared(reference, a)]
    if not others:
        return None
    rows = tuple(
        tuple(_row(scores, reference, arm, scale.key, forward) for arm in others)
        for scale in scales
    )
    return DifferencesSummary(reference, role(study), forward, scales, rows, ran.sources(results))


@style.styled()
def draw(summary: DifferencesSummary, narrow: bool = False) -> Figure:
    """A panel for each target; one line for each other arm."""
    height = 0.9 + 0.38 * len(summary.rows[0])
    figure, axes = style.panels(len(summary.scales), narrow, height, grid=None)
    for axis, scale, rows in zip(axes, summary.scales, summary.rows, strict=True):
        _draw_panel(axis, summary, scale, rows)
        axis.tick_params(labelleft=style.is_leftmost(axis))
    style.legend(figure, _keys(summary), narrow)
    return figure


def finding(summary: DifferencesSummary) -> str:
    """How many intervals are clear of zero on the last target, and the largest difference."""
    scale, rows = summary.scales[-1], summary.rows[-1]
    clear = [row for row in rows if row.estimate.low is not None and not _has_zero(row.estimate)]
    largest = max(rows, key=lambda row: abs(row.estimate.mean))
    told = words.difference(largest.estimate, scale.digits)
    on_it = words.on_target(scale.key)
    pair = f"{summary.reference} minus {largest.arm}"
    if not summary.forward:
        pair = f"{largest.arm} minus {summary.reference}"
    if not style.ends_of(row.estimate for row in rows):
        return f"The largest difference {on_it} is {pair}, {told}."
    if len(rows) == 1:
        where = "lies clear of" if clear else "holds"
        return f"{words.capital(on_it)} the interval of {pair} {where} zero: {told}."
    return (
        f"{words.capital(on_it)} {len(clear) or 'none'} of {words.count(len(rows), 'interval')} "
        f"{'lies' if len(clear) < 2 else 'lie'} clear of zero; the largest difference is {pair}, "
        f"{told}."
    )


def _has_zero(estimate: Estimate) -> bool:
    low, high = style.ends_of([estimate])
    return low <= 0 <= high


def caption(summary: DifferencesSummary) -> str:
    """What is drawn."""
    reference = summary.reference
    minus = (
        f"{reference}, {summary.role}, minus every other arm's"
        if summary.forward
        else f"every other arm minus that of {reference}"
    )
    known = style.ends_of(row.estimate for rows in summary.rows for row in rows)
    intervals = f"; 95 % intervals over {summary.over}" if known else ""
    ahead = reference if summary.forward else "the arm"
    leads = who_leads(summary.scales, ahead, ("right of", "left of"))
    return (
        f"Test {label(summary.scales)} of {minus}, replicate by replicate{intervals}. "
        f"{words.capital(leads)}; grey: what matters to nobody "
        f"({within_margin(summary.scales)}).{less_is_better(summary.scales)}"
    )


def alt(summary: DifferencesSummary) -> str:
    """Each difference on each target."""
    of_targets = words.by_key(
        (scale.key, (f"{r.label} {words.difference(r.estimate, scale.digits)}" for r in rows))
        for scale, rows in zip(summary.scales, summary.rows, strict=True)
    )
    return f"Paired differences between {summary.reference} and every other arm. {of_targets}."


def x_range(summary: DifferencesSummary, metric: Metric) -> tuple[float, float]:
    """One range for all panels of a metric, so that they compare: every replicate and interval,
    unless the arm is far behind (`style.near`), and the margin."""
    ends = list[float]()
    sign = -metric.sign if summary.forward else metric.sign
    for scale, rows in zip(summary.scales, summary.rows, strict=True):
        if scale.metric == metric:
            shown = style.near([0.0, *(row.estimate.mean for row in rows)], sign)
            near = [row for row in rows if min(shown) <= row.estimate.mean <= max(shown)]
            ends += [-scale.margin, scale.margin, *style.ends_of(row.estimate for row in near)]
            ends += [value for row in near for value in row.values]
    reach = metric.high - metric.low
    return style.limits(min(ends), max(ends), 0.06, least=0.0, within=(-reach, reach))


def _row(scores: Scores, reference: str, arm: str, key: str, forward: bool) -> DifferenceRow:
    pair = (reference, arm) if forward else (arm, reference)
    values = tuple(map(float, scores.differences(*pair, key)))
    name = f"minus {arm}" if forward else arm
    return DifferenceRow(arm, name, values, scores.difference(*pair, key))


def _draw_panel(
    axis: Axes, summary: DifferencesSummary, scale: Scale, rows: Sequence[DifferenceRow]
) -> None:
    axis.axvspan(-scale.margin, scale.margin, color=style.FAINT, alpha=0.18, linewidth=0)
    axis.axvline(0, color=style.INK, linewidth=0.9)
    for place, row in enumerate(rows):
        _draw_row(axis, place, row, scale.digits)
    axis.set_yticks(range(len(rows)), [style.lines(row.arm) for row in rows])
    axis.set(ylim=(len(rows) - 0.4, -0.6), xlim=x_range(summary, scale.metric))
    for place, row in enumerate(rows):
        told = words.signed(row.estimate.mean, scale.digits)
        style.beyond(axis, row.estimate.mean, place, told, part=row.arm, across=True)
    minus = f"minus that of {summary.reference}"
    if summary.forward:
        minus = f"of {summary.reference} minus the arm's"
    axis.set_xlabel(f"{scale.metric.label} {minus}")
    axis.set_title(scale.key, loc="left")
    style.difference_ticks(axis.xaxis, 3)


def _draw_row(axis: Axes, place: int, row: DifferenceRow, digits: int) -> None:
    """The mean and its interval on its line, the replicates a little below."""
    lower, upper = np.full(len(row.values), place + 0.17), place - 0.1
    points = axis.plot(row.values, lower, "o", color=style.FAINT, markersize=3)
    tips = (f"{row.label}: {words.signed(value, digits)}" for value in row.values)
    style.tag(points, row.arm, *tips)
    look = {"color": style.BLUE, "linewidth": 2}
    style.interval(axis, row.estimate, upper, part=row.arm, across=True, **look)
    mean = axis.plot(row.estimate.mean, upper, "s", color=style.BLUE, markersize=6)
    mean[0].set_markeredgecolor(style.PAPER)
    style.tag(mean, row.arm, f"{row.label}, mean: {words.difference(row.estimate, digits)}")


def _keys(summary: DifferencesSummary) -> list[Artist]:
    several = style.ends_of(row.estimate for rows in summary.rows for row in rows)
    mean = "mean difference" + (", 95 % interval" if several else "")
    one = {"color": style.FAINT, "marker": "o", "markersize": 3, "linestyle": "none"}
    return [
        style.key("one paired replicate", **one),
        style.key(mean, color=style.BLUE, marker="s", markersize=6, linewidth=2),
        margin_key(summary.scales),
    ]


FIGURE = FigureKind(
    "differences", "differences", 10, summarize, draw, caption, alt, finding=finding
)
