"""Gain over the simplest model on each task, along a knob of the data: the tasks' conflict.

One panel a model, both tasks in it: where a model trades one task for the other, its lines part.
"""

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
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
    margin: float
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
    return SeesawSummary(knob, told, str(base), study.margin, scores.targets, lines)


def draw(summary: SeesawSummary, narrow: bool = False) -> Figure:
    """A panel for each model, all on one scale; the mean of both tasks is left to the table."""
    with style.styled():
        models = [line.model for line in summary.lines[0]]
        columns = 2 if narrow else 3
        figure, panels = style.panels(len(models), narrow, height=2.1, columns=columns)
        for index, (axis, model) in enumerate(zip(panels, models, strict=True)):
            axis.axhspan(-summary.margin, summary.margin, color=style.FAINT, alpha=0.18,
                         linewidth=0)  # fmt: skip
            axis.axhline(0, color=style.INK, linewidth=0.9)
            for k in (0, 1):
                _line(axis, summary, summary.lines[k][index], k)
            axis.set_xticks(range(len(summary.settings)), summary.settings)
            axis.set(xlim=(-0.4, len(summary.settings) - 0.6), ylim=y_range(summary))
            axis.set_title(model, loc="left")
            axis.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))
            axis.yaxis.set_major_formatter(lambda value, _: words.short(value))
            if index % columns:
                axis.tick_params(labelleft=False)
            else:
                axis.set_ylabel(f"AUC minus {summary.reference}")
            if index >= len(models) - columns:
                axis.set_xlabel(summary.knob)
        style.legend(figure, _handles(summary), narrow)
    return figure


def y_range(summary: SeesawSummary) -> tuple[float, float]:
    """Every mean and every interval that is not out of all proportion to the means."""
    every = [e for lines in summary.lines[:2] for line in lines for e in line.estimates if e.n]
    means = [0.0, *(e.mean for e in every)]
    span = max(max(means) - min(means), 0.002)
    lows = [max(e.low, e.mean - span) for e in every if e.low is not None]
    highs = [min(e.high, e.mean + span) for e in every if e.high is not None]
    low, high = min([*means, *lows]), max([*means, *highs])
    return low - 0.04 * (high - low), high + 0.04 * (high - low)


def _line(axis: Axes, summary: SeesawSummary, line: Line, k: int) -> None:
    """One task's means, joined, each with its interval; the second task a little to the right."""
    look, aside = style.look(k), 0.16 * (k - 0.5)
    kept = [i for i, e in enumerate(line.estimates) if e.n]
    estimates = [line.estimates[i] for i in kept]
    places = [i + aside for i in kept]
    for place, e in zip(places, estimates, strict=True):
        if e.low is not None and e.high is not None:
            bar = axis.plot([place, place], [e.low, e.high], color=look.color, linewidth=1.3)
            style.tag(bar, line.model)
    points = axis.plot(places, [e.mean for e in estimates], color=look.color, marker=look.marker,
                       markersize=5, linestyle=look.dashes, linewidth=1.3)  # fmt: skip
    style.tag(points, line.model, *(
        f"{line.model}, {summary.knob} {summary.settings[i]}, {summary.targets[k]}: "
        f"{words.difference(line.estimates[i])}"
        for i in kept
    ))  # fmt: skip


def _handles(summary: SeesawSummary) -> list[Line2D | Patch]:
    handles: list[Line2D | Patch] = [
        Line2D([], [], color=style.look(k).color, marker=style.look(k).marker, markersize=5,
               linestyle=style.look(k).dashes, label=f"{task}, 95 % interval")
        for k, task in enumerate(summary.targets[:2])
    ]  # fmt: skip
    return [*handles, Patch(color=style.FAINT, alpha=0.3, linewidth=0,
                            label=f"within ±{summary.margin:g}")]  # fmt: skip
