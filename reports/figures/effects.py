"""Main effects of a factorial: what each level of a factor does on average over the others."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from reports import words
from reports.estimates import Estimate, mean_interval
from reports.figures import style
from reports.results import Scores, StudyResults, auc_on_test
from reports.shape import axes, crossed
from search_spaces import Level


class Effect(NamedTuple):
    """A factor: its levels, and by target each level's distance from the mean of all arms."""

    factor: str
    levels: tuple[Level, ...]
    estimates: tuple[tuple[Estimate, ...], ...]


class EffectsSummary(NamedTuple):
    """What the figure shows; `complete` if every combination was trained."""

    targets: tuple[str, ...]
    effects: tuple[Effect, ...]
    complete: bool


def summarize(results: StudyResults) -> EffectsSummary:
    """Within each paired replicate: the mean of the arms at a level minus that of all arms."""
    scores, study = auc_on_test(results), results.definition
    params = {arm.name: dict(arm.params) for arm in crossed(study) if arm.name in scores.trained}
    found = tuple(
        Effect(
            factor, levels,
            tuple(
                tuple(
                    _effect(scores, params, target,
                            [name for name, at in params.items() if at[factor] == level])
                    for level in levels
                )
                for target in scores.targets
            ),
        )
        for factor, levels in axes(study).items()
    )  # fmt: skip
    combinations = int(np.prod([len(levels) for levels in axes(study).values()]))
    return EffectsSummary(scores.targets, found, len(params) == combinations)


def draw(summary: EffectsSummary, narrow: bool = False) -> Figure:
    """A panel for each factor, all on one scale; a line for each task and one for the mean."""
    with style.styled():
        figure, panels = style.panels(len(summary.effects), narrow, height=2.6)
        if not narrow:
            figure.set_size_inches(3 * style.WIDE, 3.3)
        low, high = _range(summary)
        for axis, effect in zip(panels, summary.effects, strict=True):
            _panel(axis, summary, effect)
            axis.set_ylim(low, high)
        panels[0].set_ylabel("AUC minus the mean of all arms")
        handles = [
            Line2D([], [], color=style.look(i).color, marker=style.look(i).marker, markersize=5,
                   linestyle=style.look(i).dashes,
                   label="mean of both" if target == "mean" else target)
            for i, target in enumerate(summary.targets)
        ]  # fmt: skip
        style.legend(figure, handles, narrow)
    return figure


def _effect(
    scores: Scores, params: dict[str, dict[str, Level]], target: str, names: list[str]
) -> Estimate:
    paired = [scores.replicates.index(replicate) for replicate in scores.paired]
    if not names or not paired:
        return mean_interval([])
    here_R = np.mean([scores.of(name, target)[paired] for name in names], axis=0)
    all_R = np.mean([scores.of(name, target)[paired] for name in params], axis=0)
    return mean_interval(here_R - all_R)


def _panel(axis: Axes, summary: EffectsSummary, effect: Effect) -> None:
    axis.axhline(0, color=style.INK, linewidth=0.8)
    for i, (target, estimates) in enumerate(zip(summary.targets, effect.estimates, strict=True)):
        look, places = style.look(i), np.arange(len(effect.levels)) + 0.12 * (i - 1)
        kept = [k for k, e in enumerate(estimates) if e.n]
        for k in kept:
            low, high = estimates[k].low, estimates[k].high
            if low is not None and high is not None:
                line = axis.plot([places[k]] * 2, [low, high], color=look.color, linewidth=1.3)
                style.tag(line, target)
        points = axis.plot(places[kept], [estimates[k].mean for k in kept], color=look.color,
                           marker=look.marker, markersize=5, linestyle=look.dashes,
                           linewidth=1.1)  # fmt: skip
        style.tag(points, target, *(
            f"{effect.factor} {words.plain(effect.levels[k])}, {target}: "
            f"{words.difference(estimates[k])}"
            for k in kept
        ))  # fmt: skip
    names = [words.plain(level) for level in effect.levels]
    slanted: dict[str, Any] = {"rotation": 25, "ha": "right", "rotation_mode": "anchor"}
    axis.set_xticks(range(len(names)), names, **slanted if max(map(len, names)) > 4 else {})
    axis.set_title(effect.factor, loc="left")
    axis.yaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10]))
    axis.yaxis.set_major_formatter(lambda value, _: words.short(value))


def _range(summary: EffectsSummary) -> tuple[float, float]:
    """One scale for all panels; a factor that does nothing looks like it."""
    ends = [-0.0005, 0.0005]
    for estimate in (e for effect in summary.effects for row in effect.estimates for e in row):
        ends += [x for x in (estimate.mean if estimate.n else None, estimate.low, estimate.high)
                 if x is not None]  # fmt: skip
    room = 0.06 * (max(ends) - min(ends))
    return min(ends) - room, max(ends) + room
