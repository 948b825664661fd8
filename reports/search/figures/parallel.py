"""Parallel coordinates: every configuration as a line through its axes, coloured by its rank."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.search.analysis import SearchAnalysis
from reports.search.results import in_words
from reports.search.tables import axis_value, objective_value
from search_spaces import Value
from search_spaces.space import Choice, Params
from studies.objectives import Objective

COLORS = LinearSegmentedColormap.from_list("rank", [style.BLUE, "#8a6fb0", style.ORANGE])
"""Worst to best; the colour-blind can tell its ends apart, on light and on dark pages."""
MANY_SCALES = 8
"""More axes than this lie below each other on a wide page too."""
ABSENT = -0.16
"""Where an axis is crossed that does not count for a configuration."""


class ParallelScale(NamedTuple):
    """An axis: where each of its labelled values lies, from 0 to 1."""

    name: str
    ticks: tuple[tuple[str, float], ...]
    absent: bool
    """Whether some configurations do not have it."""


class AttemptLine(NamedTuple):
    """A configuration: its place on every axis and, where it ended, on the last one."""

    name: str
    places: tuple[float, ...]
    gain: float | None
    """What it is ranked by, turned so that more is better; None for what did not end."""
    height: float | None
    """The gain from 0 to 1; None for what did not end."""
    rank: float
    """Of the gain among those that ended, from 0 to 1, the best last; sets the colour."""
    picked: bool
    part: str
    """What the page hides it with: itself where other figures and tables name it, so that lists
    stay short, else what ended as it did."""


class ParallelSummary(NamedTuple):
    """Lines over scales; one more scale is what they are ranked by."""

    scales: tuple[ParallelScale, ...]
    ranked_by: Objective
    low: float
    """The least gain of what ended."""
    high: float
    lines: tuple[AttemptLine, ...]

    @property
    def ranking(self) -> str:
        """What the lines are ranked by, without the split: `AUC, mean`."""
        return self.ranked_by.label.removeprefix("validation ")

    @property
    def absent(self) -> bool:
        """Whether some configuration lacks an axis."""
        return any(scale.absent for scale in self.scales)

    def written(self, gain: float) -> str:
        """A gain as it was measured."""
        return objective_value(self.ranked_by.gain(gain), self.ranked_by)


def summarize(analysis: SearchAnalysis) -> ParallelSummary | None:
    """Everything that was tried; axes that never vary are left out.

    None where nothing ended, or no axis varied.
    """
    search = analysis.search
    params, by = [attempt.params for attempt in search.attempts], search.ranked_by
    varied = [c for c in search.space.choices if len({p.get(c.name) for p in params}) > 1]
    gain_of = {a.name: by.gain(by.value(a.stands)) for a in search.all_in("ended")}
    if not varied or not gain_of:
        return None
    gains = list(gain_of.values())
    low, high = min(gains), max(gains)
    named = {*(point.name for point in analysis.confirmed), *analysis.front, *analysis.picked_by}
    lines = []
    for attempt in search.attempts:
        gain = gain_of.get(attempt.name)
        below = 0 if gain is None else sum(other < gain for other in gains)
        lines.append(
            AttemptLine(
                name=attempt.name,
                places=tuple(_place(choice, attempt.params) for choice in varied),
                gain=gain,
                height=None if gain is None else (gain - low) / ((high - low) or 1.0),
                rank=below / max(len(gains) - 1, 1),
                picked=attempt.name in analysis.picked_by,
                part=attempt.name if attempt.name in named else _ending(gain is not None),
            )
        )
    scales = tuple(_scale(choice, params) for choice in varied)
    return ParallelSummary(scales, by, low, high, tuple(lines))


def _ending(ended: bool) -> str:
    return "trained to the end" if ended else "not trained to the end"


def _place(choice: Choice, params: Mapping[str, Value]) -> float:
    """From 0 to 1 over the axis's domain in the space; `ABSENT` where it does not count."""
    if choice.name not in params:
        return ABSENT
    value, domain = params[choice.name], vars(choice.domain)
    if "choices" in domain:
        choices: tuple[Value, ...] = domain["choices"]
        return choices.index(value) / max(len(choices) - 1, 1)
    low, high, x = (_on_scale(domain, v) for v in (domain["low"], domain["high"], value))
    return (x - low) / ((high - low) or 1.0)


def _on_scale(domain: Mapping[str, Any], value: Any) -> float:
    return float(np.log(value)) if domain["log"] else float(value)


def _scale(choice: Choice, params: Sequence[Params]) -> ParallelScale:
    """Ticks at the values that occur; at the least and the greatest where they are many."""
    places = {p[choice.name]: _place(choice, p) for p in params if choice.name in p}
    values = sorted(places, key=lambda value: places[value])
    if len(values) > 9:
        values = [values[0], values[-1]]
    ticks = tuple((axis_value(value), places[value]) for value in values)
    return ParallelScale(choice.name, ticks, any(choice.name not in p for p in params))


@style.styled()
def draw(summary: ParallelSummary, narrow: bool = False) -> Figure:
    """Axes side by side; below each other on a phone, or where they are many."""
    across = not narrow and len(summary.scales) <= MANY_SCALES
    length = len(summary.scales) + 1
    size = style.width(narrow), 3.6 if across else 0.9 + 0.62 * length
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    axis = figure.add_subplot()
    axis.set_facecolor("none")
    axis.set_axis_off()
    along, over = (-0.4, length - 0.6), (-0.28 if summary.absent else -0.1, 1.16)
    axis.set(xlim=along if across else over, ylim=over if across else along[::-1])
    for line in sorted(summary.lines, key=lambda line: (line.height is not None, line.rank)):
        _draw_line(axis, summary, line, across)  # the best ones last, on top
    for i, scale in enumerate((*summary.scales, _last_scale(summary))):
        _draw_scale(axis, i, scale, across)
    style.legend(figure, _keys(summary), narrow)
    return figure


def _last_scale(summary: ParallelSummary) -> ParallelScale:
    ends = (summary.written(summary.low), 0.0), (summary.written(summary.high), 1.0)
    return ParallelScale(summary.ranking, ends if summary.high > summary.low else ends[:1], False)


def _draw_line(axis: Axes, summary: ParallelSummary, line: AttemptLine, across: bool) -> None:
    """Set off a little by its rank, so that lines through the same values lie side by side."""
    at = np.array(line.places)
    state = _ending(ended=False)
    look: dict[str, Any] = {"color": style.FAINT, "linewidth": 0.6, "alpha": 0.5}
    if line.gain is not None and line.height is not None:
        at = np.array([*(at + 0.05 * (line.rank - 0.5)), line.height])
        look = {"color": to_hex(COLORS(line.rank)), "linewidth": 1.3, "alpha": 0.9}
        if line.picked:
            look["linewidth"] = 3.0
        state = f"{summary.ranking} {summary.written(line.gain)}"
    steps = np.arange(len(at))
    drawn = axis.plot(*((steps, at) if across else (at, steps)), **look)
    style.tag(drawn, line.part, f"{line.name}: {state}")


def _draw_scale(axis: Axes, i: int, scale: ParallelScale, across: bool) -> None:
    ticks = (*scale.ticks, *([(words.DASH, ABSENT)] if scale.absent else []))
    ends = (-0.03, 1.03)
    axis.plot(*(((i, i), ends) if across else (ends, (i, i))), color=style.INK, linewidth=0.9)
    label: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "color": style.INK}
    if across:
        axis.text(i, 1.09, scale.name, ha="center", va="bottom", **label)
    else:
        axis.text(0, i - 0.3, scale.name, ha="left", va="center", bbox=_BEHIND, zorder=5, **label)
    small: dict[str, Any] = {"fontsize": 7.5, "color": style.INK, "zorder": 5, "bbox": _BEHIND}
    for text, place in ticks:
        where = (i + 0.04, place) if across else (place, i + 0.2)
        axis.text(*where, text, ha="left" if across else "center", va="center", **small)


_BEHIND: Any = {"facecolor": style.PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.8}


def _keys(summary: ParallelSummary) -> list[Line2D]:
    looks = [
        (f"worst {summary.ranking}", to_hex(COLORS(0.0)), 1.5),
        ("best", to_hex(COLORS(1.0)), 1.5),
    ]
    if any(line.picked for line in summary.lines):
        looks.append(("picked", style.INK, 3.0))
    if any(line.height is None for line in summary.lines):
        looks.append((_ending(ended=False), style.FAINT, 0.6))
    return [style.key(label, color=color, linewidth=width) for label, color, width in looks]


def finding(summary: ParallelSummary) -> str:
    """The best that the search saw."""
    ended = [line for line in summary.lines if line.gain is not None]
    best = max(ended, key=lambda line: line.rank)
    return (
        f"Of {words.count(len(summary.lines), 'configuration')}, {best.name} had the best "
        f"{in_words(summary.ranked_by)} that the search saw, {summary.written(summary.high)}."
    )


def caption(summary: ParallelSummary) -> str:
    """What the colour and the place of a line say."""
    none = (
        " An axis that does not count for a configuration is crossed beside it, at \u2013."
        if summary.absent
        else ""
    )
    reversed_ = "" if summary.ranked_by.higher else "; of it less is better"
    return (
        f"Every configuration as a line through its axes, coloured by the rank of the "
        f"{in_words(summary.ranked_by)} that the search saw, the best on top{reversed_}.{none}"
    )


def alt(summary: ParallelSummary) -> str:
    """The best one."""
    best = max((line for line in summary.lines if line.gain is not None), key=lambda x: x.rank)
    return (
        "Parallel coordinates of all configurations. The best "
        f"{in_words(summary.ranked_by)}, {summary.written(summary.high)}, has {best.name}."
    )


FIGURE = FigureKind("parallel", "all", 0, summarize, draw, caption, alt, finding=finding)
