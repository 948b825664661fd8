"""Parallel coordinates: every configuration as a line through its axes, coloured by its AUC."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports import words
from reports.figures import style
from reports.search_analysis import SearchAnalysis
from search_spaces import Level
from search_spaces.spaces import Choice

COLORS = LinearSegmentedColormap.from_list("auc", [style.BLUE, "#8a6fb0", style.ORANGE])
"""Low to high; its ends are told apart by the colour-blind, on light and on dark pages."""
MANY = 8
"""More axes than this lie below each other on a wide page too."""
ABSENT = -0.16
"""Where an axis is crossed that does not count for a configuration."""


class Scale(NamedTuple):
    """An axis: where each of its labelled levels lies, from 0 to 1."""

    name: str
    ticks: tuple[tuple[str, float], ...]
    absent: bool
    """Whether some configurations do not have it."""


class Line(NamedTuple):
    """A configuration: its place on every axis and on the last, its mean AUC; None if stopped."""

    level: str
    places: tuple[float, ...]
    mean: float
    height: float | None
    """The mean from 0 to 1; None for what did not end."""
    rank: float
    """Of the mean among those that ended, from 0 to 1, the highest; sets the colour."""
    picked: bool


class ParallelSummary(NamedTuple):
    """Lines over scales; the last scale is the mean AUC of what ended."""

    scales: tuple[Scale, ...]
    low: float
    high: float
    lines: tuple[Line, ...]


def summarize(analysis: SearchAnalysis) -> ParallelSummary:
    """Everything that was tried; axes that never vary are left out."""
    found = analysis.found
    tried = found.configurations
    varied = [c for c in found.space.choices
              if len({t.params.get(c.name) for t in tried}) > 1]  # fmt: skip
    means = [c.mean for c in tried if c.state == "ended"]
    low, high = min(means), max(means)
    picked = {pick.level for pick in analysis.picks}
    return ParallelSummary(
        tuple(_scale(choice, [t.params for t in tried]) for choice in varied), low, high,
        tuple(
            Line(
                t.level, tuple(_place(choice, t.params) for choice in varied), t.mean,
                (t.mean - low) / ((high - low) or 1.0) if t.state == "ended" else None,
                sum(mean < t.mean for mean in means) / max(len(means) - 1, 1), t.level in picked,
            )
            for t in tried
        ),
    )  # fmt: skip


def _place(choice: Choice, params: Mapping[str, Level]) -> float:
    """From 0 to 1 over the axis's domain in the space; `ABSENT` where it does not count."""
    if choice.name not in params:
        return ABSENT
    value, domain = params[choice.name], vars(choice.domain)
    if "choices" in domain:
        choices: tuple[Level, ...] = domain["choices"]
        return choices.index(value) / max(len(choices) - 1, 1)
    low, high, x = (_on(domain, v) for v in (domain["low"], domain["high"], value))
    return (x - low) / ((high - low) or 1.0)


def _on(domain: Mapping[str, Any], value: Any) -> float:
    return float(np.log(value)) if domain["log"] else float(value)


def _scale(choice: Choice, params: list[Mapping[str, Level]]) -> Scale:
    """Ticks at the values that occur; at the least and the greatest where they are many."""
    values = sorted({p[choice.name] for p in params if choice.name in p},
                    key=lambda value: _place(choice, {choice.name: value}))  # fmt: skip
    if len(values) > 9:
        values = [values[0], values[-1]]
    told = (f"{v:.3g}" if isinstance(v, float) else words.plain(v) for v in values)
    places = (_place(choice, {choice.name: value}) for value in values)
    return Scale(choice.name, tuple(zip(told, places, strict=True)),
                 any(choice.name not in p for p in params))  # fmt: skip


def draw(summary: ParallelSummary, narrow: bool = False) -> Figure:
    """Axes side by side; below each other on a phone, or where they are many."""
    across = not narrow and len(summary.scales) <= MANY
    length = len(summary.scales) + 1
    width = style.NARROW if narrow else 3 * style.WIDE
    size = (width, 3.6) if across else (width, 0.9 + 0.62 * length)
    with style.styled():
        figure = Figure(figsize=size, layout="constrained", facecolor="none")
        axis = figure.add_subplot()
        axis.set_facecolor("none")
        axis.set_axis_off()
        foot = -0.28 if any(scale.absent for scale in summary.scales) else -0.1
        limits = (-0.4, length - 0.6), (foot, 1.16)
        axis.set(xlim=limits[0] if across else limits[1],
                 ylim=limits[1] if across else limits[0][::-1])  # fmt: skip
        for line in sorted(summary.lines, key=_order):
            _draw_line(axis, summary, line, across)
        for i, scale in enumerate((*summary.scales, _auc_scale(summary))):
            _draw_scale(axis, i, scale, across)
        style.legend(figure, _handles(summary), narrow)
    return figure


def _order(line: Line) -> tuple[bool, float]:
    """The best ones last, on top."""
    return line.height is not None, line.rank


def _auc_scale(summary: ParallelSummary) -> Scale:
    ends = ((words.auc(summary.low), 0.0), (words.auc(summary.high), 1.0))
    return Scale("mean AUC", ends if summary.high > summary.low else ends[:1], False)


def _draw_line(axis: Axes, summary: ParallelSummary, line: Line, across: bool) -> None:
    """Set off a little by its AUC, so that lines through the same levels lie side by side."""
    at = np.array(line.places)
    if line.height is None:
        look: dict[str, Any] = {"color": style.FAINT, "linewidth": 0.6, "alpha": 0.5}
    else:
        at = np.array([*(at + 0.05 * (line.rank - 0.5)), line.height])
        look = {"color": to_hex(COLORS(line.rank)), "linewidth": 1.3, "alpha": 0.9}
        if line.picked:
            look["linewidth"] = 3.0
    steps = np.arange(len(at))
    drawn = axis.plot(*((steps, at) if across else (at, steps)), **look)
    state = "not trained to the end" if line.height is None else f"mean {words.auc(line.mean)}"
    style.tag(drawn, "stopped" if line.height is None else "trained to the end",
              f"{line.level}: {state}")  # fmt: skip


def _draw_scale(axis: Axes, i: int, scale: Scale, across: bool) -> None:
    ticks = (*scale.ticks, *([(words.DASH, ABSENT)] if scale.absent else []))
    ends = (-0.03, 1.03)
    axis.plot(*(((i, i), ends) if across else (ends, (i, i))), color=style.INK, linewidth=0.9)
    label: dict[str, Any] = {"fontsize": 9, "fontweight": "bold", "color": style.INK}
    if across:
        axis.text(i, 1.09, scale.name, ha="center", va="bottom", **label)
    else:
        axis.text(0, i - 0.3, scale.name, ha="left", va="center", bbox=_BEHIND, zorder=5, **label)
    for text, place in ticks:
        where = (i + 0.04, place) if across else (place, i + 0.2)
        axis.text(*where, text, fontsize=7.5, color=style.INK, zorder=5,
                  ha="left" if across else "center", va="center",
                  bbox=_BEHIND)  # fmt: skip


_BEHIND: Any = {"facecolor": style.PAPER, "edgecolor": "none", "alpha": 0.75, "pad": 0.8}


def _handles(summary: ParallelSummary) -> list[Line2D]:
    made = [("lowest mean AUC", to_hex(COLORS(0.0)), 1.5), ("highest", to_hex(COLORS(1.0)), 1.5)]
    if any(line.picked for line in summary.lines):
        made.append(("picked", style.INK, 3.0))
    if any(line.height is None for line in summary.lines):
        made.append(("not trained to the end", style.FAINT, 0.6))
    return [Line2D([], [], color=color, linewidth=width, label=label)
            for label, color, width in made]  # fmt: skip
