"""The page of a search for one score, its picture and its JSON. Needs no library that draws."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fsmd.stats.pareto import on_front
from studies.blend.search import BlendFront, ComparedScore, Interval, Weighed, formula
from studies.templates import rendered

MOST_PANELS = 10
"""Pairs of tasks that are drawn."""
WIDTH, HEIGHT, LEFT, BOTTOM = 300, 220, 52, 34
"""Of a panel, and of the room for what stands at its axes."""


class BlendResult(NamedTuple):
    """What was searched, which point was picked, and what the test rows say of it."""

    model: str
    data: str
    front: BlendFront
    pick: str
    """Its name among the front's picks."""
    compared: Sequence[ComparedScore]
    """The blend first."""
    test_rows: int
    samples: Sequence[str]
    """What intervals are over: row, user or request, and item."""

    @property
    def picked(self) -> Weighed:
        """The point."""
        return self.front.picks[self.pick]

    @property
    def formula(self) -> str:
        """Of the point, as a description has it."""
        return self.formula_of(self.picked)

    def formula_of(self, weighed: Weighed) -> str:
        """Of any point."""
        return formula(self.front.form, self.front.tasks, weighed.weights)


def lines(result: BlendResult) -> Iterator[str]:
    """What was found, for a terminal."""
    front, metric = result.front, result.front.metric
    yield (
        f"Rank by {result.formula} ({result.pick} of {len(front.front)} points on the front, of "
        f"{len(front.tried)} tried on {front.rows:,} validation rows)."
    )
    blend, *alone = result.compared
    for k, task in enumerate(front.tasks):
        own = interval(blend.figures[k], metric.digits)
        gained = interval(alone[k].gained[k], metric.digits, True)
        yield f"Test {metric.label} of {task}: {own}; {gained} over {task} alone."
    as_good = [each.name for each in alone if not any(gained.low > 0 for gained in each.gained)]
    if as_good:
        yield (
            f"For no task do the test rows show it to rank better than {' or '.join(as_good)} "
            "alone does; that is the simpler choice."
        )


def interval(figure: Interval, digits: int, signed: bool = False) -> str:
    """A figure and its interval.

    >>> interval(Interval(0.1, 0.05, 0.15), 2, True)
    '+0.10 [+0.05, +0.15]'
    """
    value, low, high = (f"{x:{'+' if signed else ''}.{digits}f}" for x in figure)
    return f"{value} [{low}, {high}]"


def facts(result: BlendResult) -> Mapping[str, Any]:
    """All of it, for JSON."""
    front = result.front
    on_W = on_front(front.points_WK)
    return {
        "model": result.model,
        "data": result.data,
        "form": front.form,
        "metric": front.metric.name,
        "tasks": list(front.tasks),
        "pick": result.pick,
        "formula": result.formula,
        "picks": {
            name: {"formula": result.formula_of(each), **_point(each)}
            for name, each in front.picks.items()
        },
        "valid_rows": front.rows,
        "tried": [
            {**_point(each), "front": bool(on)} for each, on in zip(front.tried, on_W, strict=True)
        ],
        "test_rows": result.test_rows,
        "samples": list(result.samples),
        "test": [
            {
                "score": each.name,
                "figures": [figure._asdict() for figure in each.figures],
                "gained_by_blend": [gained._asdict() for gained in each.gained],
            }
            for each in result.compared
        ],
    }


def _point(weighed: Weighed) -> dict[str, Any]:
    return {"weights": list(weighed.weights), "valid": list(weighed.figures)}


class Dot(NamedTuple):
    """A point of a panel."""

    x: float
    y: float
    title: str
    label: str = ""


class Panel(NamedTuple):
    """Two tasks' figures, one across and one upward."""

    across: str
    upward: str
    ends: tuple[str, str, str, str]
    """The least and the greatest of both axes."""
    tried: Sequence[Dot]
    front: Sequence[Dot]
    alone: Sequence[Dot]
    pick: Dot


def panels(result: BlendResult) -> list[Panel]:
    """One for each pair of tasks, `MOST_PANELS` at most."""
    pairs = combinations(range(len(result.front.tasks)), 2)
    return [_panel(result, i, j) for i, j in islice(pairs, MOST_PANELS)]


def _panel(result: BlendResult, i: int, j: int) -> Panel:
    front = result.front
    points_WK = front.points_WK[:, [i, j]]
    low, high = points_WK.min(axis=0), points_WK.max(axis=0)
    room = np.where(high > low, high - low, 1e-4) * 0.06
    low, high = low - room, high + room
    digits = front.metric.digits

    def dot(weighed: Weighed, label: str = "") -> Dot:
        x, y = (np.array(weighed.figures)[[i, j]] - low) / (high - low)
        told = ", ".join(
            f"{task} {figure:.{digits}f}"
            for task, figure in zip(front.tasks, weighed.figures, strict=True)
        )
        return Dot(
            round(float(LEFT + x * (WIDTH - LEFT - 8)), 1),
            round(float(8 + (1 - y) * (HEIGHT - BOTTOM - 8)), 1),
            f"{result.formula_of(weighed)}: {told}",
            label,
        )

    on_W = on_front(front.points_WK)
    tried = [each for each, on in zip(front.tried, on_W, strict=True) if not on]
    alone = [each for each in front.tried if sum(w > 0 for w in each.weights) == 1]
    names = [front.tasks[int(np.argmax(each.weights))] for each in alone]
    ends = tuple(f"{end:.{digits}f}" for end in (low[0], high[0], low[1], high[1]))
    return Panel(
        front.tasks[i],
        front.tasks[j],
        (ends[0], ends[1], ends[2], ends[3]),
        [dot(each) for each in tried],
        [dot(each) for each in front.front],
        [dot(each, name) for each, name in zip(alone, names, strict=True)],
        dot(result.picked, result.pick),
    )


def picture(result: BlendResult) -> str:
    """The panels as one SVG file."""
    drawn = panels(result)
    columns = min(3, len(drawn))
    return rendered(
        Path(__file__).with_name("front.svg"),
        panels=drawn,
        columns=columns,
        rows=-(-len(drawn) // columns),
        metric=result.front.metric.label,
        W=WIDTH,
        H=HEIGHT,
        L=LEFT,
        B=BOTTOM,
    )


def page(result: BlendResult) -> str:
    """One self-contained page without a script."""
    first, *rest = lines(result)
    return rendered(
        Path(__file__).with_name("blend.html"),
        result=result,
        front=result.front,
        metric=result.front.metric,
        first=first,
        rest=rest,
        picture=picture(result),
        interval=interval,
        panels_left_out=len(result.front.tasks) * (len(result.front.tasks) - 1) // 2 > MOST_PANELS,
    )
