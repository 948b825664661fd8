"""Main effects of a factorial: what each value of a factor does on average over the others."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fsmd.metrics import Metric
from fsmd.stats.estimates import Estimate, mean_interval
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import Scores, StudyResults
from reports.study.scales import Scale, label, less_is_better, metrics_of, scales_of
from reports.study.shape import crossed, factor_values, shape
from search_spaces import Value


class MainEffect(NamedTuple):
    """A factor: by target, how far the mean at each of its values is from that of all arms."""

    factor: str
    values: tuple[Value, ...]
    estimates: tuple[tuple[Estimate, ...], ...]


class EffectsSummary(NamedTuple):
    """What the figure shows; `complete` if every combination was trained."""

    scales: tuple[Scale, ...]
    effects: tuple[MainEffect, ...]
    complete: bool


def fits(results: StudyResults) -> bool:
    """A factorial has main effects."""
    return shape(results.study) == "grid"


def summarize(results: StudyResults) -> EffectsSummary | None:
    """Within each paired replicate: the mean of the arms at a value minus that of all arms.

    None without a replicate that all arms share.
    """
    scores, study = results.test, results.study
    params = {arm.name: dict(arm.params) for arm in crossed(study) if arm.name in scores.trained}
    if not scores.paired or not params:
        return None
    factors, scales = factor_values(study), scales_of(results)
    effects = tuple(
        MainEffect(
            factor,
            values,
            tuple(
                tuple(_effect(scores, params, scale.key, (factor, value)) for value in values)
                for scale in scales
            ),
        )
        for factor, values in factors.items()
    )
    combinations = int(np.prod([len(values) for values in factors.values()]))
    return EffectsSummary(scales, effects, len(params) == combinations)


def draw(summary: EffectsSummary, narrow: bool = False) -> Figure:
    """A panel for each factor and metric, all of a metric on one scale; a line for each target."""
    with style.styled():
        metrics = metrics_of(summary.scales)
        drawn = [(effect, metric) for metric in metrics for effect in summary.effects]
        figure, axes = style.panels(len(drawn), narrow, height=2.6)
        in_row = style.columns(len(drawn), narrow)
        for index, (axis, (effect, metric)) in enumerate(zip(axes, drawn, strict=True)):
            _draw_panel(axis, summary, effect, metric)
            if index % in_row == 0:
                axis.set_ylabel(f"{metric.label} minus the mean of all arms")
            elif len(metrics) > 1:
                axis.set_ylabel(metric.label)
        style.legend(figure, _handles(summary), narrow)
    return figure


def caption(summary: EffectsSummary) -> str:
    """What is drawn."""
    partly = (
        ""
        if summary.complete
        else " Not every combination was trained: a factor's effect is mixed with the others'."
    )
    one = "One scale for all panels."
    if len(metrics_of(summary.scales)) > 1:
        one = "One scale for all panels of a metric."
    return (
        f"Main effects: the mean test {label(summary.scales)} of all arms at a value minus that "
        "of all arms, within each complete replicate; mean and 95 % interval over replicates. "
        f"{one}{less_is_better(summary.scales)}{partly}"
    )


def alt(summary: EffectsSummary) -> str:
    """Each effect on the last target: the tasks' mean, where there is one."""
    scale = summary.scales[-1]
    of_factors = "; ".join(
        f"{effect.factor} {words.on_target(scale.key)}: "
        + ", ".join(
            f"{words.plain(value)} {words.difference(estimate, scale.digits)}"
            for value, estimate in zip(effect.values, effect.estimates[-1], strict=True)
        )
        for effect in summary.effects
    )
    return f"Main effects of each factor. {of_factors}."


def y_range(summary: EffectsSummary, metric: Metric) -> tuple[float, float]:
    """One range for all panels of a metric; a factor that does nothing looks like it."""
    ends = [-0.5 * metric.margin, 0.5 * metric.margin]
    for effect in summary.effects:
        for scale, estimates in zip(summary.scales, effect.estimates, strict=True):
            for e in estimates if scale.metric == metric else ():
                known = (e.mean if e.n else None, e.low, e.high)
                ends += [end for end in known if end is not None]
    room = 0.06 * (max(ends) - min(ends))
    return min(ends) - room, max(ends) + room


def _effect(
    scores: Scores, params: Mapping[str, Mapping[str, Value]], key: str, at: tuple[str, Value]
) -> Estimate:
    paired = [scores.replicates.index(replicate) for replicate in scores.paired]
    names = [name for name, values in params.items() if values[at[0]] == at[1]]
    if not names:
        return mean_interval([])
    here_R = np.mean([scores.of(name, key)[paired] for name in names], axis=0)
    all_R = np.mean([scores.of(name, key)[paired] for name in params], axis=0)
    return mean_interval(here_R - all_R)


def _draw_panel(axis: Axes, summary: EffectsSummary, effect: MainEffect, metric: Metric) -> None:
    axis.axhline(0, color=style.INK, linewidth=0.8)
    here = [k for k, scale in enumerate(summary.scales) if scale.metric == metric]
    for place, k in enumerate(here):
        aside = style.aside(place, len(here), room=0.6, step=0.12)
        _draw_line(axis, effect, effect.estimates[k], summary.scales[k], (k, aside))
    names = [words.plain(value) for value in effect.values]
    slanted: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
    axis.set_xticks(range(len(names)), names, **slanted if max(map(len, names)) > 4 else {})
    axis.set_title(effect.factor, loc="left")
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_formatter(lambda value, _: words.short(value))
    axis.set_ylim(y_range(summary, metric))


def _draw_line(
    axis: Axes,
    effect: MainEffect,
    estimates: Sequence[Estimate],
    scale: Scale,
    place: tuple[int, float],
) -> None:
    """One target: its means, joined, each with its interval.

    place: the target's number, which decides its look, and how far its marks stand aside.
    """
    look, places = style.look(place[0]), np.arange(len(effect.values)) + place[1]
    kept = [k for k, estimate in enumerate(estimates) if estimate.n]
    for k in kept:
        low, high = estimates[k].low, estimates[k].high
        if low is not None and high is not None:
            bar = axis.plot([places[k]] * 2, [low, high], color=look.color, linewidth=1.3)
            style.tag(bar, scale.key)
    means = [estimates[k].mean for k in kept]
    points = axis.plot(places[kept], means, color=look.color, linewidth=1.1)
    points[0].set(marker=look.marker, markersize=5, linestyle=look.dashes)
    tips = (
        f"{effect.factor} {words.plain(effect.values[k])}, {scale.key}: "
        f"{words.difference(estimates[k], scale.digits)}"
        for k in kept
    )
    style.tag(points, scale.key, *tips)


def _handles(summary: EffectsSummary) -> list[Line2D]:
    handles = []
    for index, scale in enumerate(summary.scales):
        look = style.look(index)
        handle = Line2D([], [], color=look.color, marker=look.marker, linestyle=look.dashes)
        handle.set(markersize=5, label=scale.key)
        handles.append(handle)
    return handles


FIGURE = FigureKind("effects", "arms", 20, summarize, draw, caption, alt, fits)
