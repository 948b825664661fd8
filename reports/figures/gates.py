"""What the gates weigh: each task's mean weight of each expert at its chosen epoch."""

from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from reports.figures import style
from reports.results import StudyResults, at_chosen
from reports.shape import shown


class Row(NamedTuple):
    """A level: mean weight by expert, and how many experts come first that all tasks share."""

    level: str
    weights: tuple[float, ...]
    shared: int


class GatesSummary(NamedTuple):
    """What the figure shows: rows by task; none for a level without gates."""

    tasks: tuple[str, ...]
    rows: tuple[tuple[Row, ...], ...]


def summarize(results: StudyResults) -> GatesSummary:
    """Weights at the chosen epochs, mean over a level's replicates."""
    frame = results.measurements
    names = {m for m in frame["metric"].unique() if m.startswith("gate_weight_")}
    measured = [at_chosen(results, "valid", f"gate_weight_{i}") for i in range(len(names))]
    levels = shown(results)
    rows = []
    for task in results.tasks:
        of_task = []
        for level in levels:
            values = [found.of(level, task) for found in measured]
            means = [float(np.nanmean(v)) for v in values if np.isfinite(v).any()]
            if means:
                of_task.append(Row(level, tuple(means), _shared(results, level, len(means))))
        rows.append(tuple(of_task))
    return GatesSummary(results.tasks, tuple(rows))


def draw(summary: GatesSummary, narrow: bool = False) -> Figure:
    """A panel for each task: one line a level, one cell an expert, the darker the heavier."""
    with style.styled():
        count = max(len(rows) for rows in summary.rows)
        figure, axes = style.panels(len(summary.tasks), narrow, 0.8 + 0.3 * count, extra=0)
        if not narrow:
            figure.set_size_inches(3 * style.WIDE, 0.8 + 0.3 * count)
        for index, (axis, task, rows) in enumerate(
            zip(axes, summary.tasks, summary.rows, strict=True)
        ):
            _panel(axis, rows, 5.5 if narrow else 6.5)
            axis.set_title(task, loc="left")
            if index and not narrow:
                axis.tick_params(labelleft=False)
    return figure


def _shared(results: StudyResults, level: str, experts: int) -> int:
    """Half the experts are shared where tasks have their own; else all of them."""
    config = results.record.settings["arms"].get(level, {}).get("config", {})
    return experts // 2 if config.get("sharing") == "extraction" else experts


def _panel(axis: Axes, rows: tuple[Row, ...], size: float) -> None:
    axis.grid(visible=False)
    most = max((len(row.weights) for row in rows), default=1)
    for place, row in enumerate(rows):
        for i, weight in enumerate(row.weights):
            kind = "shared" if i < row.shared else "own"
            cell = Rectangle((i - 0.5, place - 0.42), 0.96, 0.84, linewidth=0,
                             facecolor=style.BLUE, alpha=0.85 * weight**0.7)  # fmt: skip
            style.tag(
                [axis.add_patch(cell)],
                row.level,
                f"{row.level}, expert {i + 1} ({kind}): {weight:.3f}",
            )
            text = axis.text(i - 0.02, place, f"{weight:.2f}"[1 if weight < 0.995 else 0:],
                             ha="center", va="center", fontsize=size)  # fmt: skip
            style.tag([text], row.level)
        if row.shared < len(row.weights):
            line = axis.plot([row.shared - 0.52] * 2, [place - 0.46, place + 0.46],
                             color=style.INK, linewidth=1.6)  # fmt: skip
            style.tag(line, row.level)
    axis.set_yticks(range(len(rows)), [style.lines(row.level) for row in rows])
    axis.set_xticks(range(most), [str(i + 1) for i in range(most)])
    axis.set(xlim=(-0.6, most - 0.4), ylim=(len(rows) - 0.4, -0.6), xlabel="expert")
