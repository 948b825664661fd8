"""Main effects of a factorial: what each value of a factor does on average over the others."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fsmd.metrics import Metric
from fsmd.stats.estimates import UNKNOWN, Estimate, mean_interval
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
    trained = set(scores.trained)
    params = {arm.name: dict(arm.params) for arm in crossed(study) if arm.name in trained}
    if not scores.paired or not params:
        return None
    factors, scales = factor_values(study), scales_of(results)
    effects = tuple(
        MainEffect(
            factor,
            values,
            tuple(
                tuple(_effect(scores, params, scale, (factor, value)) for value in values)
                for scale in scales
            ),
        )
        for factor, values in factors.items()
    )
    combinations = int(np.prod([len(values) for values in factors.values()]))
    return EffectsSummary(scales, effects, len(params) == combinations)


@style.styled()
def draw(summary: EffectsSummary, narrow: bool = False) -> Figure:
    """A panel for each factor and metric, all of a metric on one scale; a line for each target."""
    metrics = metrics_of(summary.scales)
    drawn = [(effect, metric) for metric in metrics for effect in summary.effects]
    figure, axes = style.panels(len(drawn), narrow, height=2.6)
    for axis, (effect, metric) in zip(axes, drawn, strict=True):
        _draw_panel(axis, summary, effect, metric)
        if style.is_leftmost(axis):
            axis.set_ylabel(f"{metric.label} minus the mean of all arms")
        elif len(metrics) > 1:
            axis.set_ylabel(metric.label)
    keys = [style.key(s.key, **style.look(k).line(5)) for k, s in enumerate(summary.scales)]
    style.legend(figure, keys, narrow)
    return figure


def finding(summary: EffectsSummary) -> str:
    """The factor that moves the last target most."""
    scale, ends = summary.scales[-1], dict[str, tuple[tuple[float, str], tuple[float, str]]]()
    for effect in summary.effects:
        by_value = zip(effect.values, effect.estimates[-1], strict=True)
        means = [(e.mean * scale.metric.sign, words.plain(value)) for value, e in by_value if e.n]
        if means:
            ends[effect.factor] = min(means), max(means)
    if not ends:
        return ""
    spread = {factor: high[0] - low[0] for factor, (low, high) in ends.items()}
    factor = max(spread, key=lambda each: spread[each])
    (_, worst), (_, best) = ends[factor]
    return (
        f"{words.capital(words.on_target(scale.key))} {factor} decides most: {best} is better "
        f"than {worst} by {words.decimals(spread[factor], scale.digits)}, on average over the "
        "other factors."
    )


def caption(summary: EffectsSummary) -> str:
    """What is drawn."""
    partly = (
        ""
        if summary.complete
        else " Not every combination was trained: a factor's effect is mixed with the others'."
    )
    of_a_metric = " of a metric" if len(metrics_of(summary.scales)) > 1 else ""
    return (
        f"Main effects: the mean test {label(summary.scales)} of all arms at a value minus that "
        "of all arms, within each complete replicate; mean and 95 % interval over replicates. "
        f"One scale for all panels{of_a_metric}.{less_is_better(summary.scales)}{partly}"
    )


def alt(summary: EffectsSummary) -> str:
    """Each effect on the last target: the tasks' mean, where there is one."""
    scale = summary.scales[-1]
    of_factors = words.by_key(
        (
            f"{effect.factor} {words.on_target(scale.key)}",
            (
                f"{words.plain(value)} {words.difference(estimate, scale.digits)}"
                for value, estimate in zip(effect.values, effect.estimates[-1], strict=True)
            ),
        )
        for effect in summary.effects
    )
    return f"Main effects of each factor. {of_factors}."


def y_range(summary: EffectsSummary, metric: Metric) -> tuple[float, float]:
    """One range for all panels of a metric; a factor that does nothing looks like it."""
    known = [
        estimate
        for effect in summary.effects
        for scale, estimates in zip(summary.scales, effect.estimates, strict=True)
        for estimate in estimates
        if scale.metric == metric and estimate.n
    ]
    least = 0.5 * metric.margin
    ends = [-least, least, *(e.mean for e in known), *style.ends_of(known)]
    reach = metric.high - metric.low
    return style.limits(min(ends), max(ends), 0.06, least=0.0, within=(-reach, reach))


def _effect(
    scores: Scores, params: Mapping[str, Mapping[str, Value]], scale: Scale, at: tuple[str, Value]
) -> Estimate:
    paired = [scores.replicates.index(replicate) for replicate in scores.paired]
    names = [name for name, values in params.items() if values[at[0]] == at[1]]
    if not names:
        return UNKNOWN
    here_R, all_R = (
        np.mean([scores.of(name, scale.key)[paired] for name in arms], axis=0)
        for arms in (names, params)
    )
    reach = scale.metric.high - scale.metric.low
    return mean_interval(here_R - all_R, within=(-reach, reach))


def _draw_panel(axis: Axes, summary: EffectsSummary, effect: MainEffect, metric: Metric) -> None:
    axis.axhline(0, color=style.INK, linewidth=0.8)
    names = [words.plain(value) for value in effect.values]
    here = [k for k, scale in enumerate(summary.scales) if scale.metric == metric]
    for place, k in enumerate(here):
        scale, estimates = summary.scales[k], effect.estimates[k]
        aside = style.aside(place, len(here), room=0.6, step=0.12)
        tips = [
            f"{effect.factor} {name}, {scale.key}: {words.difference(estimate, scale.digits)}"
            for name, estimate in zip(names, estimates, strict=True)
        ]
        places = [i + aside for i in range(len(names))]
        parts = [scale.key] * len(names)  # a mean over many arms is no arm's
        style.course(axis, places, estimates, style.look(k), parts=parts, tips=tips)
    slanted: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
    axis.set_xticks(range(len(names)), names, **slanted if max(map(len, names)) > 4 else {})
    axis.set_title(effect.factor, loc="left")
    axis.set_ylim(y_range(summary, metric))
    style.difference_ticks(axis.yaxis)


FIGURE = FigureKind("effects", "arms", 20, summarize, draw, caption, alt, fits, finding)
