"""Figs. 11 to 13 redrawn: test figures by arm, with every replicate and the mean's interval."""

from math import radians, sin
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fsmd.stats.estimates import Array, Estimate
from reports import ran, words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import StudyResults
from reports.study.scales import Scale, label, less_is_better, scales_of
from reports.study.shape import has_many_arms, role, shape

FEW = 7
"""More arms than this are named once, below the last of several panels."""
MIN_SPAN = 4.0
"""The smallest range of an axis, in margins of its metric: noise is not blown up to look like an
effect."""


class ArmsPanel(NamedTuple):
    """One target: arms x replicates (NaN where missing) and each arm's estimate."""

    scale: Scale
    values_AR: Array
    estimates: tuple[Estimate, ...]
    reachable: float | None


class ArmsSummary(NamedTuple):
    """What the figure shows."""

    factor: str
    arms: tuple[str, ...]
    reference: str
    role: str
    joined: bool
    """Whether a replicate has the same seed at every arm, so that a line may join it."""
    panels: tuple[ArmsPanel, ...]
    over: str
    """What the intervals cover."""
    paper_figure: str
    """The paper's figure that shows the same; empty where there is none."""

    @property
    def scales(self) -> list[Scale]:
        """Of the panels."""
        return [panel.scale for panel in self.panels]


def fits(results: StudyResults) -> bool:
    """Arms that are few, or models, are shown one by one."""
    form = shape(results.study)
    return form == "models" or (form == "arms" and not has_many_arms(results))


def summarize(results: StudyResults) -> ArmsSummary | None:
    """Test figures at the chosen epochs, for each target; trained arms only."""
    scores, study = results.test, results.study
    if not scores.trained:
        return None
    best = results.reachable()
    panels = tuple(
        ArmsPanel(
            scale=scale,
            values_AR=np.array([scores.of(arm, scale.key) for arm in scores.trained]),
            estimates=tuple(scores.mean(arm, scale.key) for arm in scores.trained),
            reachable=best.get(scale.key),
        )
        for scale in scales_of(results)
    )
    return ArmsSummary(
        factor=study.factor,
        arms=scores.trained,
        reference=study.reference,
        role=role(study),
        joined=results.same_seeds,
        panels=panels,
        over=ran.sources(results, sampled=False),
        paper_figure=study.figure if study.figure.startswith("Fig") else "",
    )


@style.styled()
def draw(summary: ArmsSummary, narrow: bool = False) -> Figure:
    """A panel for each target."""
    in_row = style.columns(len(summary.panels), narrow)
    if _room(summary, style.width(narrow) / in_row) < 15:
        in_row = 1
    inches = style.width(narrow) / in_row
    turn = _turn(summary, inches)
    names = 0.06 * max(map(len, summary.arms)) * sin(radians(turn))  # a letter takes 0.075 inches
    # Panels below each other share the names, if these are many.
    shared = in_row == 1 and len(summary.arms) > FEW
    height = 2.3 + names / (len(summary.panels) if shared else 1)
    figure, axes = style.panels(len(summary.panels), narrow, height, side_by_side=in_row)
    for axis, panel in zip(axes, summary.panels, strict=True):
        _draw_panel(axis, summary, panel)
        _set_ticks(axis, summary.arms, turn)
        if shared and axis is not axes[-1]:
            axis.set_xlabel("")
            axis.tick_params(labelbottom=False)
    style.legend(figure, _keys(summary), narrow)
    return figure


def finding(summary: ArmsSummary) -> str:
    """The best and the worst mean on the last target, beside what seeds do."""
    if len(summary.arms) < 2:
        return ""
    panel = summary.panels[-1]
    by_arm = dict(zip(summary.arms, panel.estimates, strict=True))
    worst, *_, best = sorted(by_arm, key=lambda arm: panel.scale.metric.sign * by_arm[arm].mean)
    metric, key = panel.scale.metric, panel.scale.key
    ends = map(style.ends_of, ([estimate] for estimate in panel.estimates))
    widths = [(both[1] - both[0]) / 2 for both in ends if both]
    seeds = ""
    if widths:
        width = words.figure(median(widths), metric)
        seeds = f"; the interval of a mean is ±{width} in the median"
    low, high = (words.figure(by_arm[arm].mean, metric) for arm in (worst, best))
    return (
        f"Test {metric.label} {words.on_target(key)} goes from {low} ({worst}) to {high} ({best})"
        f"{seeds}."
    )


def caption(summary: ArmsSummary) -> str:
    """What is drawn."""
    as_in = f", as {summary.paper_figure} of the paper," if summary.paper_figure else ""
    joined = " Replicates of the same seed are joined." if summary.joined else ""
    own_scale = " Each panel has its own scale." if len(summary.panels) > 1 else ""
    reachable = (
        " Dashed: the best reachable figure; where the axis is broken (//), it lies further off."
        if any(panel.reachable is not None for panel in summary.panels)
        else ""
    )
    return (
        f"Test {label(summary.scales)} by {summary.factor}{as_in} with every replicate.{joined} "
        f"Intervals (95 %) are over {summary.over}."
        f"{less_is_better(summary.scales)}{own_scale}{reachable}"
    )


def alt(summary: ArmsSummary) -> str:
    """Each arm's mean on each target."""
    of_targets = words.by_key(
        (
            panel.scale.key,
            (
                f"{arm} {words.interval(estimate, panel.scale.metric)}"
                for arm, estimate in zip(summary.arms, panel.estimates, strict=True)
            ),
        )
        for panel in summary.panels
    )
    return f"Test {label(summary.scales)} by {summary.factor}. {of_targets}."


def y_range(panel: ArmsPanel) -> tuple[float, float]:
    """Room for every replicate and interval of an arm that is not far behind (`style.near`); the
    best reachable figure only if it is near."""
    metric = panel.scale.metric
    shown = style.near((e.mean for e in panel.estimates if e.n), metric.sign)
    kept = [bool(e.n) and min(shown) <= e.mean <= max(shown) for e in panel.estimates]
    values = panel.values_AR[np.array(kept)]
    ends = style.ends_of(e for e, is_kept in zip(panel.estimates, kept, strict=True) if is_kept)
    inside = [*values[np.isfinite(values)], *ends]
    low, high = float(min(inside)), float(max(inside))
    least = MIN_SPAN * metric.margin
    span = max(high - low, least)
    if panel.reachable is not None and low - span <= panel.reachable <= high + span:
        low, high = min(low, panel.reachable), max(high, panel.reachable)
    return style.limits(low, high, 0.07, least=1.14 * least, within=(metric.low, metric.high))


def _draw_panel(axis: Axes, summary: ArmsSummary, panel: ArmsPanel) -> None:
    places, metric = np.arange(len(summary.arms)), panel.scale.metric
    for values_A in panel.values_AR.T if summary.joined else ():
        axis.plot(places - 0.12, values_A, color=style.FAINT, alpha=0.45, linewidth=0.7, zorder=1)
    for place, arm, values_R, estimate in zip(
        places, summary.arms, panel.values_AR, panel.estimates, strict=True
    ):
        finite = np.flatnonzero(np.isfinite(values_R))
        across = np.full(len(finite), place - 0.12)
        look: dict[str, Any] = {"color": style.FAINT, "markersize": 3.2, "alpha": 0.9}
        points = axis.plot(across, values_R[finite], "o", **look)
        tips = (f"{arm}, replicate {r}: {words.figure(values_R[r], metric)}" for r in finite)
        style.tag(points, arm, *tips)
        color, marker = _look(arm, summary)
        at = place + 0.14
        style.interval(axis, estimate, at, part=arm, linewidth=2, color=color)
        look = {"color": color, "markersize": 6.5, "markeredgecolor": style.PAPER, "zorder": 4}
        mean = axis.plot(at, estimate.mean, marker, **look)
        style.tag(mean, arm, f"{arm}, mean: {words.interval(estimate, metric)}")
    low, high = y_range(panel)
    axis.set(xlim=(-0.6, len(places) - 0.4), ylim=(low, high), xlabel=summary.factor)
    for i, (arm, estimate) in enumerate(zip(summary.arms, panel.estimates, strict=True)):
        figure = words.figure(estimate.mean, metric)
        style.beyond(axis, estimate.mean, i, figure, part=arm)
    axis.set_title(panel.scale.key, loc="left", pad=6 if panel.reachable is None else 18)
    axis.set_ylabel(f"test {metric.label}")
    axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    if panel.reachable is not None:
        _draw_reachable(axis, panel.reachable, words.figure(panel.reachable, metric), (low, high))


def _look(arm: str, summary: ArmsSummary) -> tuple[str, str]:
    """Colour and marker of a mean."""
    return (style.ORANGE, "D") if arm == summary.reference else (style.BLUE, "s")


def _room(summary: ArmsSummary, inches: float) -> float:
    """Points that an arm has in a panel, of which the axis takes 0.78."""
    return 0.78 * inches * 72 / len(summary.arms)


def _turn(summary: ArmsSummary, inches: float) -> int:
    """By how much names are slanted where they would touch: the steeper, the closer they are."""
    room = _room(summary, inches)
    if max(map(len, summary.arms)) * 6 <= room:  # a letter takes about 6 points
        return 0
    return 25 if room > 26 else 45 if room > 15 else 90


def _set_ticks(axis: Axes, arms: tuple[str, ...], turn: int) -> None:
    axis.set_xticks(range(len(arms)), arms)
    if turn:
        for text in axis.get_xticklabels():
            text.set(rotation=turn, ha="right", rotation_mode="anchor")
            text.set_verticalalignment("center" if turn == 90 else "top")


def _draw_reachable(axis: Axes, reachable: float, written: str, ends: tuple[float, float]) -> None:
    """A dashed line: at its height or, where that would squash the rest, beyond a broken axis.

    Its figure stands above the panel, where there is nothing to print over.
    """
    look: dict[str, Any] = {"color": style.INK, "linestyle": (0, (6, 3)), "linewidth": 1}
    above: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    text = f"best reachable {written} (dashed)"
    axis.annotate(text, (0, 1), (0, 6), fontsize=8, va="bottom", **above)
    if ends[0] <= reachable <= ends[1]:
        axis.axhline(reachable, **look)
        return
    edge, way = (1.0, 1) if reachable > ends[1] else (0.0, -1)
    across: dict[str, Any] = {"transform": axis.transAxes, "clip_on": False}
    axis.plot([0, 1], [edge + 0.03 * way] * 2, **look, **across)
    mark: dict[str, Any] = {"color": style.INK, "linewidth": 1, **across}
    for middle in (edge - 0.015, edge + 0.015):  # the marks of a broken axis
        axis.plot([-0.025, 0.025], [middle - 0.015, middle + 0.015], **mark)


def _keys(summary: ArmsSummary) -> list[Line2D]:
    one: dict[str, Any] = {"color": style.FAINT, "marker": "o", "markersize": 3.2}
    mean: dict[str, Any] = {"markersize": 6, "linewidth": 2}
    several = any(style.ends_of(panel.estimates) for panel in summary.panels)
    keys = [
        style.key("one replicate (same seed joined)", linewidth=0.7, **one)
        if summary.joined
        else style.key("one replicate", linewidth=0, **one),
        style.key(
            "mean, 95 % interval" if several else "mean", color=style.BLUE, marker="s", **mean
        ),
    ]
    if summary.reference in summary.arms:
        keys.append(style.key(summary.role, color=style.ORANGE, marker="D", **mean))
    return keys


FIGURE = FigureKind("arms", "arms", 20, summarize, draw, caption, alt, fits, finding)
