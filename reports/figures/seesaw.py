"""Gain over the simplest model on each task, along a knob of the data: the tasks' conflict."""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports import words
from reports.estimates import Estimate
from reports.figures import style
from reports.results import StudyResults, auc_on_test
from reports.shape import axes
from search_spaces import Level


class Line(NamedTuple):
    """One model on one target: its gain at each setting of the knob."""

    model: str
    estimates: tuple[Estimate, ...]


class SeesawSummary(NamedTuple):
    """What the figure shows: lines by target; all gains are over `reference`."""

    knob: str
    settings: tuple[str, ...]
    reference: str
    targets: tuple[str, ...]
    lines: tuple[tuple[Line, ...], ...]


def summarize(results: StudyResults) -> SeesawSummary:
    """Paired gains within each setting's own data set, over the reference arm's model."""
    scores, study = auc_on_test(results), results.definition
    (model_axis, models), (knob, settings) = axes(study).items()
    arms = {tuple(level for _, level in arm.params): arm.name for arm in study.arms}
    reference = next(dict(arm.params) for arm in study.arms if arm.name == study.reference)
    base = reference[model_axis]

    def gain(model: Level, setting: Level, target: str) -> Estimate:
        arm, other = arms.get((model, setting), ""), arms.get((base, setting), "")
        return scores.difference(arm, other, target)

    lines = tuple(
        tuple(
            Line(str(model), tuple(gain(model, setting, target) for setting in settings))
            for model in models
            if model != base
        )
        for target in scores.targets
    )
    told = tuple(f"{s:g}" if isinstance(s, float) else str(s) for s in settings)
    return SeesawSummary(knob, told, str(base), scores.targets, lines)


def draw(summary: SeesawSummary, narrow: bool = False) -> Figure:
    """A panel for each task and one for the mean, all on one scale."""
    with style.styled():
        figure, panels = style.panels(len(summary.targets), narrow, height=2.9)
        low, high = y_range(summary)
        for index, (axis, target, lines) in enumerate(
            zip(panels, summary.targets, summary.lines, strict=True)
        ):
            axis.axhline(0, color=style.INK, linewidth=0.9)
            for i, line in enumerate(lines):
                _line(axis, summary, line, i)
            axis.set_xticks(range(len(summary.settings)), summary.settings)
            axis.set(ylim=(low, high), xlabel=summary.knob)
            axis.set_title("mean of both" if target == "mean" else target, loc="left")
            axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
            axis.yaxis.set_major_formatter(lambda value, _: words.short(value))
            if not index or narrow:
                axis.set_ylabel(f"AUC minus {summary.reference}")
        style.legend(figure, _handles(summary), narrow)
    return figure


def y_range(summary: SeesawSummary) -> tuple[float, float]:
    """Every mean and every interval that is not out of all proportion to the means."""
    every = [e for lines in summary.lines for line in lines for e in line.estimates if e.n]
    means = [0.0, *(e.mean for e in every)]
    span = max(max(means) - min(means), 0.002)
    lows = [max(e.low, e.mean - span) for e in every if e.low is not None]
    highs = [min(e.high, e.mean + span) for e in every if e.high is not None]
    low, high = min([*means, *lows]), max([*means, *highs])
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def _line(axis: Axes, summary: SeesawSummary, line: Line, index: int) -> None:
    look = style.look(index)
    kept = [k for k, e in enumerate(line.estimates) if e.n]
    estimates = [line.estimates[k] for k in kept]
    lows = [e.low for e in estimates if e.low is not None]
    highs = [e.high for e in estimates if e.high is not None]
    if len(lows) == len(kept):
        band = axis.fill_between(kept, lows, highs, color=look.color, alpha=0.12,
                                 linewidth=0)  # fmt: skip
        style.tag([band], line.model)
    points = axis.plot(kept, [e.mean for e in estimates], color=look.color, marker=look.marker,
                       markersize=4.5, linestyle=look.dashes, linewidth=1.4)  # fmt: skip
    style.tag(points, line.model, *(
        f"{line.model}, {summary.knob} {summary.settings[k]}: "
        f"{words.difference(line.estimates[k])}"
        for k in kept
    ))  # fmt: skip


def _handles(summary: SeesawSummary) -> list[Line2D]:
    return [
        Line2D([], [], color=style.look(i).color, marker=style.look(i).marker, markersize=4.5,
               linestyle=style.look(i).dashes, label=line.model)
        for i, line in enumerate(summary.lines[0])
    ]  # fmt: skip
