"""Draws scale.svg from scale.json, figures of `nox -s bench_scale`: python docs/scale.py.

Axes and words are grey, so that they can be read on a light and on a dark page.
"""

import json
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

GREY, BLUE, ORANGE = "#808080", "#3a86c8", "#d9822b"
HERE = Path(__file__).parent
STYLE = {
    **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor"), GREY),
    **dict.fromkeys(("xtick.color", "ytick.color", "axes.titlecolor"), GREY),
    "svg.hashsalt": "fsmd",
    "svg.fonttype": "path",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def draw() -> None:
    """Four panels: a training, the planner's memory, the start, the report."""
    figures = json.loads((HERE / "scale.json").read_text("utf-8"))
    with plt.rc_context(STYLE):
        figure, ((a, b), (c, d)) = plt.subplots(2, 2, figsize=(8, 5.6), layout="constrained")
        for label, rows, colour in (
            ("SQLite", figures["sqlite"]["by_stored"], BLUE),
            ("PostgreSQL", figures["postgresql"]["by_stored"], ORANGE),
        ):
            for axis, key in ((a, "cpu_ms_a_training"), (b, "peak_mb")):
                line(axis, [row["stored"] for row in rows], [row[key] for row in rows], colour)
            a.plot([], [], "o-", color=colour, label=label)
        a.legend(frameon=False)
        rows = figures["sqlite"]["by_stored"]
        line(c, [row["stored"] for row in rows], [row["start_cpu_seconds"] for row in rows], BLUE)
        dress(a, "Planner, a training", "trainings stored", "CPU milliseconds")
        dress(b, "Planner, memory at its peak", "trainings stored", "MB")
        dress(c, "Start of a run that goes on (SQLite)", "trainings stored", "CPU-seconds")
        rows = figures["reports"]
        line(d, [row["trainings"] for row in rows], [row["cpu_seconds"] for row in rows], BLUE)
        dress(d, "Report, trainings of 30 epochs", "trainings stored", "CPU-seconds")
        figure.savefig(HERE / "scale.svg", transparent=True, metadata={"Date": None})


def line(axis: Axes, x: list[float], y: list[float], colour: str) -> None:
    """Points that were measured, joined."""
    axis.plot(x, y, "o-", color=colour)


def dress(axis: Axes, title: str, x: str, y: str) -> None:
    """Words of a panel; it begins at 0, so that heights compare."""
    axis.set_title(title, loc="left")
    axis.set(xlabel=x, ylabel=y, xscale="log", ylim=(0, None))


if __name__ == "__main__":
    draw()
