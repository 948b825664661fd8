"""Gain over the simplest model on each task, along a knob of the data: the tasks' conflict.

One panel a model, all tasks in it: where a model trades one task for another, its lines part.
"""

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from fsmd.metrics import Metric
from fsmd.stats.estimates import Estimate
from fsmd.tasks import MEAN
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import StudyResults
from reports.study.scales import Scale, label, less_is_better, metrics_of, scales_of, within_margin
from reports.study.shape import factor_values, shape
from search_spaces import Value

MIN_SPAN = 2.0
"""The smallest range of the means, in margins of the metric."""


class SeesawLine(NamedTuple):
    """One model on one target: what it differs by from the reference at each setting."""

    model: str
    estimates: tuple[Estimate, ...]


class SeesawSummary(NamedTuple):
    """What the figure shows: lines by target; all differences are from `reference`."""

    knob: str
    settings: tuple[str, ...]
    reference: str
    scales: tuple[Scale, ...]
    lines: tuple[tuple[SeesawLine, ...], ...]


def fits(results: StudyResults) -> bool:
    """Models on data sets along a knob."""
    return shape(results.study) == "knob"


def summarize(results: StudyResults) -> SeesawSummary | None:
    """Paired differences within each setting's own data set, from the reference arm's model.

    None where no pair has a replicate.
    """
    scores, study = results.test, results.study
    (model_axis, models), (knob, settings) = factor_values(study).items()
    arms = {tuple(value for _, value in arm.params): arm.name for arm in study.arms}
    base = dict(study.arm(study.reference).params)[model_axis]

    def estimate(model: Value, setting: Value, key: str) -> Estimate:
        arm, other = arms.get((model, setting), ""), arms.get((base, setting), "")
        return scores.difference(arm, other, key)

    scales = scales_of(results)
    lines = tuple(
        tuple(
            SeesawLine(str(model), tuple(estimate(model, at, scale.key) for at in settings))
            for model in models
            if model != base
        )
        for scale in scales
    )
    if not any(e.n for of_target in lines for line in of_target for e in line.estimates):
        return None
    written = tuple(f"{s:g}" if isinstance(s, float) else str(s) for s in settings)
    return SeesawSummary(knob, written, str(base), scales, lines)


def draw(summary: SeesawSummary, narrow: bool = False) -> Figure:
    """A panel for each model and metric, all of a metric on one scale; the tasks' mean is left to
    the table."""
    with style.styled():
        models = range(len(summary.lines[0]))
        drawn = list(product(metrics_of(summary.scales), models))
        in_row = min(2 if narrow else 3, len(drawn))
        figure, axes = style.panels(len(drawn), narrow, height=2.1, side_by_side=in_row)
        for index, (axis, (metric, model)) in enumerate(zip(axes, drawn, strict=True)):
            _draw_panel(axis, summary, metric, model)
            if index % in_row == 0:
                axis.set_ylabel(f"{metric.label} minus {summary.reference}")
            elif drawn[index - 1][0] == metric:
                axis.tick_params(labelleft=False)
            if index >= len(drawn) - in_row:
                axis.set_xlabel(summary.knob)
        style.legend(figure, _handles(summary), narrow)
    return figure


def caption(summary: SeesawSummary) -> str:
    """What is drawn."""
    several = " of a metric" if len(metrics_of(summary.scales)) > 1 else ""
    return (
        f"Each model's test {label(summary.scales)} minus that of {summary.reference} on the same "
        f"data, by {summary.knob}: a panel a model, mean over paired replicates, bars: 95 % "
        f"interval. Each setting of {summary.knob} is a data set of its own. One scale for all "
        f"panels{several}; grey: the margin ({within_margin(summary.scales)})."
        f"{less_is_better(summary.scales)}"
    )


def alt(summary: SeesawSummary) -> str:
    """Where each line begins and ends."""
    of_targets = "; ".join(
        f"{scale.key}: "
        + ", ".join(
            f"{line.model} from {words.signed(line.estimates[0].mean, scale.digits)} "
            f"to {words.signed(line.estimates[-1].mean, scale.digits)}"
            for line in lines
            if line.estimates[0].n and line.estimates[-1].n
        )
        for scale, lines in zip(summary.scales, summary.lines, strict=True)
    )
    return f"Difference from {summary.reference} by {summary.knob}. {of_targets}."


def tasks_drawn(summary: SeesawSummary, metric: Metric) -> tuple[int, ...]:
    """The places of the targets that the panels of a metric show: its tasks."""
    return tuple(
        k for k, scale in enumerate(summary.scales) if scale.metric == metric and scale.key != MEAN
    )


def y_range(summary: SeesawSummary, metric: Metric) -> tuple[float, float]:
    """Every mean and every interval that is not out of all proportion to the means."""
    lines = [line for k in tasks_drawn(summary, metric) for line in summary.lines[k]]
    every = [estimate for line in lines for estimate in line.estimates if estimate.n]
    means = [0.0, *(estimate.mean for estimate in every)]
    span = max(max(means) - min(means), MIN_SPAN * metric.margin)
    lows = [max(e.low, e.mean - span) for e in every if e.low is not None]
    highs = [min(e.high, e.mean + span) for e in every if e.high is not None]
    low, high = min([*means, *lows]), max([*means, *highs])
    room = 0.04 * (high - low) or 0.5 * metric.margin
    return low - room, high + room


def _draw_panel(axis: Axes, summary: SeesawSummary, metric: Metric, model: int) -> None:
    tasks = tasks_drawn(summary, metric)
    margin = summary.scales[tasks[0]].margin
    axis.axhspan(-margin, margin, color=style.FAINT, alpha=0.18, linewidth=0)
    axis.axhline(0, color=style.INK, linewidth=0.9)
    for place, k in enumerate(tasks):
        aside = style.aside(place, len(tasks), room=0.64, step=0.16)
        _draw_line(axis, summary, k, summary.lines[k][model], aside)
    axis.set_xticks(range(len(summary.settings)), summary.settings)
    axis.set(xlim=(-0.4, len(summary.settings) - 0.6), ylim=y_range(summary, metric))
    several = len(metrics_of(summary.scales)) > 1
    of_metric = f", {metric.label}" if several else ""
    axis.set_title(f"{summary.lines[0][model].model}{of_metric}", loc="left")
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_formatter(lambda value, _: words.short(value))


def _draw_line(
    axis: Axes, summary: SeesawSummary, task: int, line: SeesawLine, aside: float
) -> None:
    """One task's means, joined, each with its interval; tasks stand beside each other."""
    look, scale = style.look(task), summary.scales[task]
    kept = [i for i, estimate in enumerate(line.estimates) if estimate.n]
    for i in kept:
        low, high = line.estimates[i].low, line.estimates[i].high
        if low is not None and high is not None:
            bar = axis.plot([i + aside] * 2, [low, high], color=look.color, linewidth=1.3)
            style.tag(bar, line.model)
    means = [line.estimates[i].mean for i in kept]
    points = axis.plot([i + aside for i in kept], means, color=look.color, linewidth=1.3)
    points[0].set(marker=look.marker, markersize=5, linestyle=look.dashes)
    tips = (
        f"{line.model}, {summary.knob} {summary.settings[i]}, {scale.key}: "
        f"{words.difference(line.estimates[i], scale.digits)}"
        for i in kept
    )
    style.tag(points, line.model, *tips)


def _handles(summary: SeesawSummary) -> Sequence[Line2D | Patch]:
    handles = list[Line2D | Patch]()
    for k, scale in enumerate(summary.scales):
        if scale.key != MEAN:
            look = style.look(k)
            handle = Line2D([], [], color=look.color, marker=look.marker, linestyle=look.dashes)
            handle.set(markersize=5, label=f"{scale.key}, 95 % interval")
            handles.append(handle)
    band = f"within {within_margin(summary.scales)}"
    return [*handles, Patch(color=style.FAINT, alpha=0.3, linewidth=0, label=band)]


FIGURE = FigureKind("seesaw", "arms", 10, summarize, draw, caption, alt, fits)
