"""Gain over the simplest model on each task, along a knob of the data: the tasks' conflict.

One panel a model, all tasks in it: where a model trades one task for another, its lines part.
"""

from itertools import product
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsmd.metrics import Metric
from fsmd.stats.estimates import UNKNOWN, Estimate
from fsmd.tasks import MEAN
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import StudyResults
from reports.study.scales import (
    Scale,
    label,
    less_is_better,
    margin_key,
    metrics_of,
    scales_of,
    within_margin,
)
from reports.study.shape import factor_values, shape
from search_spaces import Value

MIN_SPAN = 2.0
"""The smallest range of the means, in margins of the metric."""


class SeesawLine(NamedTuple):
    """One model on one target: what it differs by from the reference at each setting."""

    model: str
    arms: tuple[str, ...]
    """The model at each setting; empty where there is none."""
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
        return scores.difference(arm, other, key) if scores.shared(arm, other) else UNKNOWN

    scales = scales_of(results)
    lines = tuple(
        tuple(
            SeesawLine(
                str(model),
                tuple(arms.get((model, at), "") for at in settings),
                tuple(estimate(model, at, scale.key) for at in settings),
            )
            for model in models
            if model != base
        )
        for scale in scales
    )
    if not any(e.n for of_target in lines for line in of_target for e in line.estimates):
        return None
    written = tuple(f"{s:g}" if isinstance(s, float) else str(s) for s in settings)
    return SeesawSummary(knob, written, str(base), scales, lines)


@style.styled()
def draw(summary: SeesawSummary, narrow: bool = False) -> Figure:
    """A panel for each model and metric, all of a metric on one scale; the tasks' mean is left to
    the table."""
    metrics, models = metrics_of(summary.scales), len(summary.lines[0])
    drawn = list(product(metrics, range(models)))
    in_row = min(2 if narrow else 3, models)
    while len(metrics) > 1 and models % in_row:
        in_row -= 1  # no row has panels of two metrics
    figure, axes = style.panels(len(drawn), narrow, height=2.1, side_by_side=in_row)
    for index, (axis, (metric, model)) in enumerate(zip(axes, drawn, strict=True)):
        _draw_panel(axis, summary, metric, model)
        if style.is_leftmost(axis):
            axis.set_ylabel(f"{metric.label} minus {summary.reference}")
        elif drawn[index - 1][0] == metric:
            axis.tick_params(labelleft=False)
        if index >= len(drawn) - in_row:
            axis.set_xlabel(summary.knob)
    style.legend(figure, _keys(summary), narrow)
    return figure


def finding(summary: SeesawSummary) -> str:
    """Whose gain changes most from the first setting to the last, on a task."""
    ends = [
        (scale, line.model, line.estimates[0].mean, line.estimates[-1].mean)
        for scale, lines in zip(summary.scales, summary.lines, strict=True)
        for line in lines
        if scale.key != MEAN and line.estimates[0].n and line.estimates[-1].n
    ]
    if not ends:
        return ""
    scale, model, first, last = max(ends, key=lambda e: abs(e[3] - e[2]) / e[0].margin)
    settings = summary.settings
    return (
        f"{model} changes most, {words.on_target(scale.key)}: its difference from "
        f"{summary.reference} goes from {words.signed(first, scale.digits)} at {summary.knob} "
        f"{settings[0]} to {words.signed(last, scale.digits)} at {settings[-1]}."
    )


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
    of_targets = words.by_key(
        (
            scale.key,
            (
                f"{line.model} from {words.signed(line.estimates[0].mean, scale.digits)} "
                f"to {words.signed(line.estimates[-1].mean, scale.digits)}"
                for line in lines
                if line.estimates[0].n and line.estimates[-1].n
            ),
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
    within = metric.low - metric.high, metric.high - metric.low
    low, high = min([*means, *lows]), max([*means, *highs])
    return style.limits(low, high, 0.04, least=metric.margin, within=within)


def _draw_panel(axis: Axes, summary: SeesawSummary, metric: Metric, model: int) -> None:
    tasks = tasks_drawn(summary, metric)
    margin = summary.scales[tasks[0]].margin
    axis.axhspan(-margin, margin, color=style.FAINT, alpha=0.18, linewidth=0)
    axis.axhline(0, color=style.INK, linewidth=0.9)
    for place, k in enumerate(tasks):
        (name, arms, estimates), scale = summary.lines[k][model], summary.scales[k]
        aside = style.aside(place, len(tasks), room=0.64, step=0.16)
        tips = [
            f"{name}, {summary.knob} {setting}, {scale.key}: "
            f"{words.difference(estimate, scale.digits)}"
            for setting, estimate in zip(summary.settings, estimates, strict=True)
        ]
        places = [i + aside for i in range(len(estimates))]
        style.course(axis, places, estimates, style.look(k), parts=arms, tips=tips)
    axis.set_xticks(range(len(summary.settings)), summary.settings)
    axis.set(xlim=(-0.4, len(summary.settings) - 0.6), ylim=y_range(summary, metric))
    of_metric = f", {metric.label}" if len(metrics_of(summary.scales)) > 1 else ""
    axis.set_title(f"{summary.lines[0][model].model}{of_metric}", loc="left")
    style.difference_ticks(axis.yaxis, 6)


def _keys(summary: SeesawSummary) -> list[Artist]:
    return [
        *(
            style.key(f"{scale.key}, 95 % interval", **style.look(k).line(5))
            for k, scale in enumerate(summary.scales)
            if scale.key != MEAN
        ),
        margin_key(summary.scales),
    ]


FIGURE = FigureKind("seesaw", "arms", 10, summarize, draw, caption, alt, fits, finding)
