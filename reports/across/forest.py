"""A forest plot: each arm's gain over the reference on every data set, and what is to be expected
on another one."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import NamedTuple

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fsmd.metrics import Metric
from reports import words
from reports.across.analysis import Across, ArmAcross, TargetAcross
from reports.page import style
from reports.page.model import FigureView

MOST_ARMS = 20
"""More are in the table alone."""
_STEP = 0.8
"""Between the lines of an arm's first and last data set, where arms are 1 apart."""


class ForestSummary(NamedTuple):
    """The targets of one metric."""

    metric: Metric
    reference: str
    sets: tuple[str, ...]
    targets: tuple[TargetAcross, ...]
    """With the arms that are drawn."""
    left_out: int
    """How many are not drawn."""


def forests(across: Across) -> Iterator[FigureView]:
    """A figure for each metric."""
    for metric in dict.fromkeys(target.metric for target in across.targets):
        targets = [target for target in across.targets if target.metric == metric]
        drawn = tuple(replace(target, arms=target.arms[:MOST_ARMS]) for target in targets)
        left_out = max(0, len(targets[0].arms) - MOST_ARMS)
        reference = words.called(across.reference, across.first.study.factor)
        summary = ForestSummary(metric, reference, across.sets, drawn, left_out)
        yield FigureView(
            f"forest_{metric.name.replace('@', '_')}",
            caption(summary),
            alt(summary),
            finding(summary),
            partial(draw, summary),
        )


@style.styled()
def draw(summary: ForestSummary, narrow: bool = False) -> Figure:
    """A panel for each target, a band of lines for each arm: its data sets, then a new one."""
    arms, lines = len(summary.targets[0].arms), len(summary.sets) + 1
    height = 0.9 + arms * max(0.36, 0.13 * lines)
    figure, axes = style.panels(len(summary.targets), narrow, height, grid=None)
    for axis, target in zip(axes, summary.targets, strict=True):
        _draw_panel(axis, summary, target)
        axis.tick_params(labelleft=style.is_leftmost(axis))
    style.legend(figure, _keys(summary), narrow)
    return figure


def _draw_panel(axis: Axes, summary: ForestSummary, target: TargetAcross) -> None:
    axis.axvspan(-target.margin, target.margin, color=style.FAINT, alpha=0.18, linewidth=0)
    axis.axvline(0, color=style.INK, linewidth=0.9)
    for place, each in enumerate(target.arms):
        _draw_arm(axis, place, each, summary)
        if place:
            axis.axhline(place - 0.5, color=style.FAINT, linewidth=0.4)
    axis.set_yticks(range(len(target.arms)), [style.lines(each.arm) for each in target.arms])
    axis.set(ylim=(len(target.arms) - 0.5, -0.5), xlim=x_range(summary))
    better = "gain" if summary.metric.higher else "gain (less)"
    axis.set_xlabel(f"{summary.metric.label}: {better} over {summary.reference}")
    axis.set_title(target.name, loc="left")
    style.difference_ticks(axis.xaxis, 3)


def _draw_arm(axis: Axes, place: int, each: ArmAcross, summary: ForestSummary) -> None:
    count, digits = len(summary.sets) + 1, summary.metric.digits + 1
    for index, one in enumerate(each.on):
        if not one.gain.n:
            continue
        look, at = style.look(index), place + style.aside(index, count, room=_STEP)
        style.interval(axis, one.gain, at, part=each.arm, across=True, color=look.color)
        mark = axis.plot(one.gain.mean, at, **{**look.line(5), "linestyle": "none"})
        tip = f"{each.arm} on {one.data}: {words.difference(one.gain, digits)}, {one.word}"
        style.tag(mark, each.arm, tip)
    if each.together is not None:
        at = place + style.aside(count - 1, count, room=_STEP)
        axis.plot(each.together.new, [at, at], color=style.FAINT, linewidth=3, alpha=0.7)
        axis.plot(each.together.interval, [at, at], color=style.INK, linewidth=3)
        mark = axis.plot(each.together.mean, at, "D", color=style.INK, markersize=5)
        mark[0].set_markeredgecolor(style.PAPER)
        style.tag(mark, each.arm, f"{each.arm} on a new data set: {in_words(each, digits)}")


def x_range(summary: ForestSummary) -> tuple[float, float]:
    """One for all panels: every data set's interval and mean; that of a new one may leave it."""
    ends = [end for t in summary.targets for end in (-t.margin, t.margin)]
    for one in (one for t in summary.targets for each in t.arms for one in each.on):
        ends += [*style.ends_of([one.gain]), one.gain.mean] if one.gain.n else []
    return style.limits(min(ends), max(ends), 0.06, least=0.0)


def in_words(each: ArmAcross, digits: int) -> str:
    """`+0.0012 [-0.0010, +0.0034], better with a chance of 80 %`."""
    if each.together is None:
        return "nothing can be said"
    low, high = (words.signed(end, digits) for end in each.together.new)
    mean = words.signed(each.together.mean, digits)
    return f"{mean} [{low}, {high}], better with a chance of {words.chance(each.together.better)}"


def caption(summary: ForestSummary) -> str:
    """What is drawn."""
    more = (
        f" {words.count(summary.left_out, 'arm')} more in the table." if summary.left_out else ""
    )
    known = any(each.together for target in summary.targets for each in target.arms)
    new = (
        " Black: the mean over data sets of this kind, its 95 % interval, and in grey where 95 % "
        "of the gains on a new one are; it may leave the panel."
        if known
        else ""
    )
    return (
        f"Gain in test {summary.metric.label} over {summary.reference} on each data set, with its "
        f"95 % interval; right of zero the arm is better.{new} Grey band: what matters to "
        f"nobody.{more}"
    )


def alt(summary: ForestSummary) -> str:
    """Each gain on a new data set, else on every one."""
    digits = summary.metric.digits + 1

    def told(each: ArmAcross) -> str:
        if each.together is not None:
            return f"{each.arm} {in_words(each, digits)}"
        own = (f"{words.difference(one.gain, digits)} on {one.data}" for one in each.on)
        return f"{each.arm} {words.listed(own)}"

    of_targets = words.by_key((t.name, map(told, t.arms)) for t in summary.targets)
    return f"Gains over {summary.reference} on {words.listed(summary.sets)}. {of_targets}."


def finding(summary: ForestSummary) -> str:
    """Of how many arms the gains of all data sets go one way, on the last target."""
    target = summary.targets[-1]
    alike = [
        each.arm
        for each in target.arms
        if len({one.gain.mean > 0 for one in each.on if one.gain.n}) == 1
    ]
    return (
        f"{words.capital(words.on_target(target.name))} {len(alike) or 'none'} of "
        f"{words.count(len(target.arms), 'arm')} {'goes' if len(alike) < 2 else 'go'} the same "
        "way on every data set."
    )


def _keys(summary: ForestSummary) -> list[Artist]:
    sets = [
        style.key(name, **{**style.look(i).line(5), "linestyle": "-", "linewidth": 1.1})
        for i, name in enumerate(summary.sets)
    ]
    margins = sorted({target.margin for target in summary.targets})
    band = Patch(
        color=style.FAINT,
        alpha=0.3,
        linewidth=0,
        label=f"within ±{words.listed(map(words.number, margins))}",
    )
    new = style.key("a new data set", color=style.INK, marker="D", markersize=5, linewidth=3)
    known = any(each.together for target in summary.targets for each in target.arms)
    return [*sets, *[new] * known, band]
