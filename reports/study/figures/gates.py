"""What the gates weigh: each task's mean weight of each expert at its chosen epoch."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from fsmd.config import FSMDConfig
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.results import Scores, StudyResults, at_chosen
from reports.study.shape import arms_drawn

_MEASURED = "gate_weight_"


class GateRow(NamedTuple):
    """An arm: mean weight by expert, and how many experts come first that all tasks share."""

    arm: str
    weights: tuple[float, ...]
    shared: int


class GatesSummary(NamedTuple):
    """What the figure shows: rows by task; none for an arm without gates."""

    tasks: tuple[str, ...]
    rows: tuple[tuple[GateRow, ...], ...]


def summarize(results: StudyResults) -> GatesSummary | None:
    """Weights at the chosen epochs, mean over an arm's replicates; None where none is stored."""
    metrics = results.measurements["metric"].unique()
    count = sum(metric.startswith(_MEASURED) for metric in metrics)
    by_expert = [at_chosen(results, "valid", f"{_MEASURED}{i}") for i in range(count)]
    rows = tuple(
        tuple(filter(None, (_row(results, by_expert, a, task) for a in arms_drawn(results))))
        for task in results.task_names
    )
    return GatesSummary(results.task_names, rows) if any(rows) else None


@style.styled()
def draw(summary: GatesSummary, narrow: bool = False) -> Figure:
    """A panel for each task: one line an arm, one cell an expert, the darker the heavier."""
    count = len(summary.tasks)
    height = 0.8 + 0.3 * max(map(len, summary.rows))
    figure, axes = style.panels(count, narrow, height, extra=0, grid=None)
    experts = max(len(row.weights) for rows in summary.rows for row in rows)
    # A figure of two digits must fit into its cell; the names of the arms take the rest.
    room = 72 * (style.width(narrow) - 1.5) / style.columns(count, narrow) / experts
    for axis, task, rows in zip(axes, summary.tasks, summary.rows, strict=True):
        _draw_panel(axis, rows, min(5.5 if narrow else 6.5, room / 1.7))
        axis.set_title(task, loc="left")
        axis.tick_params(labelleft=style.is_leftmost(axis))
    return figure


def finding(summary: GatesSummary) -> str:
    """The gate that weighs most unequally."""
    rows = [
        (task, row) for task, of in zip(summary.tasks, summary.rows, strict=True) for row in of
    ]
    task, row = max(rows, key=lambda each: max(each[1].weights) * len(each[1].weights))
    weight, equal = max(row.weights), 1 / len(row.weights)
    return (
        f"The most one-sided gate is that of {row.arm} on {task}: expert "
        f"{row.weights.index(weight) + 1} has {100 * weight:.0f} % of the weight, where equal "
        f"weights would give it {100 * equal:.0f} %."
    )


def caption(summary: GatesSummary) -> str:
    """What is drawn."""
    own = any(row.shared < len(row.weights) for rows in summary.rows for row in rows)
    where = " Left of the bar: experts that all tasks share; right: the task's own." if own else ""
    return (
        "Weight that each task's gate gives each expert at the task's chosen epoch: mean over "
        f"validation rows and replicates; a line adds up to 1.{where} Experts have no order "
        "across replicates, so equal means may hide unequal weights: see the entropy."
    )


def alt(summary: GatesSummary) -> str:
    """Each weight."""
    of_tasks = words.by_key(
        (task, (f"{row.arm} {' '.join(f'{w:.2f}' for w in row.weights)}" for row in rows))
        for task, rows in zip(summary.tasks, summary.rows, strict=True)
    )
    return f"Gate weights by task and expert. {of_tasks}."


def _row(
    results: StudyResults, by_expert: Sequence[Scores], arm: str, task: str
) -> GateRow | None:
    values = [scores.of(arm, task) for scores in by_expert]
    weights = tuple(float(np.nanmean(v)) for v in values if np.isfinite(v).any())
    planned = results.planned_arm(arm)
    config = planned.config if planned else None
    own = config.own_count if isinstance(config, FSMDConfig) else 0
    return GateRow(arm, weights, len(weights) - own) if weights else None


def _draw_panel(axis: Axes, rows: Sequence[GateRow], size: float) -> None:
    most = max((len(row.weights) for row in rows), default=1)
    for place, row in enumerate(rows):
        for i, weight in enumerate(row.weights):
            _draw_cell(axis, row, i, place, weight, size)
        if row.shared < len(row.weights):
            across, up = [row.shared - 0.52] * 2, [place - 0.46, place + 0.46]
            style.tag(axis.plot(across, up, color=style.INK, linewidth=1.6), row.arm)
    axis.set_yticks(range(len(rows)), [style.lines(row.arm) for row in rows])
    axis.set_xticks(range(most), [str(i + 1) for i in range(most)])
    axis.set(xlim=(-0.6, most - 0.4), ylim=(len(rows) - 0.4, -0.6), xlabel="expert")


def _draw_cell(
    axis: Axes, row: GateRow, expert: int, place: int, weight: float, size: float
) -> None:
    corner, alpha = (expert - 0.5, place - 0.42), 0.85 * weight**0.7
    cell = Rectangle(corner, 0.96, 0.84, linewidth=0, facecolor=style.BLUE, alpha=alpha)
    kind = "shared" if expert < row.shared else "own"
    tip = f"{row.arm}, expert {expert + 1} ({kind}): {weight:.3f}"
    style.tag([axis.add_patch(cell)], row.arm, tip)
    written = words.decimals(weight, 2)[1 if weight < 0.995 else 0 :]
    text = axis.text(expert - 0.02, place, written, ha="center", va="center", fontsize=size)
    style.tag([text], row.arm)


FIGURE = FigureKind("gates", "inside", 20, summarize, draw, caption, alt, finding=finding)
