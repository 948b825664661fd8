"""The front that a search saw, and the one that fresh seeds show, with intervals.

A plane shows two objectives, each turned so that up and to the right is better; its ticks have
the objectives' own values.
"""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from fsmd.metrics import Array
from fsmd.stats.estimates import Estimate
from fsmd.stats.joint import Ellipse
from fsmd.stats.pareto import AttainmentBand
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.page.panels import Frame, Plane, pairs_drawn, planes
from reports.results import turned
from reports.search.analysis import SearchAnalysis, not_trained_again
from reports.search.confirmed import region
from reports.search.results import in_words
from reports.search.tables import objective_interval, objective_value
from studies.objectives import Objective

Point = tuple[float, float]


class FreshPoint(NamedTuple):
    """A confirmed point in a plane: its means over fresh seeds, and where the search saw it."""

    name: str
    means: tuple[Estimate, Estimate]
    """Turned so that more is better."""
    searched: Point | None
    region: Ellipse | None
    """Where both means lie together (95 %)."""
    values: tuple[str, str]
    """Both means with their intervals, as they were measured."""

    @property
    def at(self) -> Point:
        """The means."""
        return self.means[0].mean, self.means[1].mean


class FrontPlane(NamedTuple):
    """Two objectives of everything that was trained to its end."""

    objectives: tuple[Objective, Objective]
    within: Frame
    """What each can be, turned so that more is better."""
    searched: tuple[tuple[str, Point], ...]
    """As the search saw it."""
    fresh: tuple[FreshPoint, ...]


class FrontSummary(NamedTuple):
    """What the figure shows; fronts are by rising first objective."""

    planes: tuple[FrontPlane, ...]
    objectives: tuple[Objective, ...]
    """All of the search; not all of them need be shown."""
    front: tuple[str, ...]
    fresh_front: tuple[str, ...]
    known: tuple[str, ...]
    """The models of the paper."""
    not_again: tuple[str, ...]
    """Those that were trained to their end and not again."""
    picked: tuple[str, ...]
    band: AttainmentBand | None
    """What the fresh seeds' fronts attain: all of them, half of them, one."""

    @property
    def with_stairs(self) -> bool:
        """Whether a front bounds what it dominates: in a plane of all objectives."""
        return len(self.objectives) == 2


def summarize(analysis: SearchAnalysis) -> FrontSummary | None:
    """The planes of every pair of objectives; None for one objective, or where nothing ended."""
    search = analysis.search
    pairs = pairs_drawn(len(search.objectives))
    if not pairs or not analysis.front:
        return None
    return FrontSummary(
        planes=tuple(_plane(analysis, pair) for pair in pairs),
        objectives=search.objectives,
        front=analysis.front,
        fresh_front=analysis.fresh_front,
        known=tuple(search.space.known),
        not_again=not_trained_again(analysis).get("ended", ()),
        picked=tuple(pick.name for pick in analysis.picks),
        band=analysis.band,
    )


def _plane(analysis: SearchAnalysis, pair: tuple[int, int]) -> FrontPlane:
    search, (i, j) = analysis.search, pair
    across, up = search.objectives[i], search.objectives[j]
    gains_of = {a.name: (a.gains[i], a.gains[j]) for a in search.all_in("ended")}
    fresh = []
    for point in analysis.confirmed:
        x, y = analysis.value(point, across), analysis.value(point, up)
        points_R2 = np.array(point.points)[:, list(pair)]
        fresh.append(
            FreshPoint(
                name=point.name,
                means=(turned(x, 1 if across.higher else -1), turned(y, 1 if up.higher else -1)),
                searched=gains_of.get(point.name),
                region=None if across.is_cost or up.is_cost else region(points_R2),
                values=(
                    f"{across.key} {objective_interval(x, across)}",
                    f"{up.key} {objective_interval(y, up)}",
                ),
            )
        )
    within = _range(analysis, across), _range(analysis, up)
    return FrontPlane((across, up), within, tuple(gains_of.items()), tuple(fresh))


def _range(analysis: SearchAnalysis, objective: Objective) -> Point:
    """Of what it can be, turned so that more is better."""
    low, high = analysis.search.range_of(objective)
    return (low, high) if objective.higher else (-high, -low)


def frame(plane: FrontPlane) -> Frame:
    """Both axes' limits: all points near the front, and intervals as far as they leave room.

    A point far behind the others is left out, or it would squeeze them into a corner.
    """
    limits = []
    for k, objective in enumerate(plane.objectives):
        # Ticks have room for no more decimals than a few more than the objective's own.
        least = 0.3 * objective.margin or 10.0**-objective.digits
        seen = np.array([point[k] for _, point in plane.searched])
        means = [fresh.at[k] for fresh in plane.fresh]
        top, middle = max([*seen, *means]), float(np.median(seen))
        low = min([max(min(seen), middle - 3 * (top - middle)), *means])
        room = 0.35 * max(top - low, least / 3)
        ends = style.ends_of(fresh.means[k] for fresh in plane.fresh)
        low, top = (
            min([low, *(max(end, low - room) for end in ends)]),
            max([top, *(min(end, top + room) for end in ends)]),
        )
        limits.append(style.limits(low, top, 0.06, least=least, within=plane.within[k]))
    return limits[0], limits[1]


def outside(plane: FrontPlane) -> int:
    """Points that the axes leave out."""
    (left, right), (bottom, top) = frame(plane)
    return sum(not (left <= x <= right and bottom <= y <= top) for _, (x, y) in plane.searched)


# Drawing

_ON_FRONT = {**style.HOLLOW, "color": style.INK, "markersize": 5}
_KNOWN = {**style.HOLLOW, "marker": "s", "color": style.ORANGE, "markersize": 6.5}
_LOOKS = ((False, style.LOOKS[0]), (True, style.LOOKS[1]))
"""Of fresh points: whether a model of the paper."""
_DASHED: dict[str, Any] = {"color": style.FAINT, "linewidth": 1, "linestyle": (0, (4, 2))}


@style.styled()
def draw(summary: FrontSummary, narrow: bool = False) -> Figure:
    """A plane for each pair of objectives."""
    height = 4.0 if narrow or len(summary.planes) > 1 else 5.2
    frames = [frame(plane) for plane in summary.planes]
    figure, drawn = planes(frames, narrow, _keys(summary), height=height)
    for plane, shown in zip(drawn, summary.planes, strict=True):
        _draw_axes(plane, shown.objectives)
        if summary.band:
            _draw_band(plane, summary.band)
        _draw_searched(plane, shown, summary)
        _draw_fresh(plane, shown, summary)
        _write_names(plane, shown, summary)
    return figure


def _draw_axes(plane: Plane, objectives: Sequence[Objective]) -> None:
    plane.axis.grid(**style.GRID)
    plane.axis.set_axisbelow(True)
    plane.axis.locator_params(nbins=5, steps=[1, 2, 2.5, 5, 10])
    for side, objective in zip((plane.axis.xaxis, plane.axis.yaxis), objectives, strict=True):
        side.set_label_text(f"{objective.label}{'' if objective.higher else ' (reversed)'}")
        if not objective.higher:
            side.set_major_formatter(lambda gain, _: f"{round(-gain, 10) + 0.0:.10g}")


def _draw_band(plane: Plane, band: AttainmentBand) -> None:
    """Its left end reaches to the frame; what is not attained lies at the foot."""
    left, bottom = plane.corner
    low, half, high = (
        np.maximum([side[0], *side], bottom) for side in (band.by_all, band.by_half, band.by_one)
    )
    x = [min(left, band.x[0]), *band.x]
    plane.axis.fill_between(x, low, high, step="pre", color=style.FAINT, alpha=0.18, linewidth=0)
    plane.axis.step(x, half, where="pre", color=style.FAINT, linewidth=0.9)


def _draw_searched(plane: Plane, shown: FrontPlane, summary: FrontSummary) -> None:
    """Faint: what the search saw."""
    points = dict(shown.searched)
    if summary.with_stairs:
        plane.axis.plot(*staircase([points[n] for n in summary.front], *plane.corner), **_DASHED)
    # What lies outside would not be drawn, and the tips would be given to the wrong points.
    points = {name: point for name, point in points.items() if plane.holds(point)}
    on_front = [] if summary.with_stairs else [n for n in summary.front if n in points]
    rest = [name for name in points if name not in on_front]
    for names, look in ((rest, style.HOLLOW), (on_front, _ON_FRONT)):
        tips = (f"{n}, search: {_values(points[n], shown.objectives)}" for n in names)
        style.tag(_plot(plane, [points[n] for n in names], look), "as the search saw it", *tips)
    _plot(plane, [points[name] for name in summary.not_again if name in points], _KNOWN)
    if not shown.fresh:
        _ring(plane, [points[name] for name in summary.picked if name in points])


def _plot(plane: Plane, points: Sequence[Point], look: Any) -> list[Any]:
    """Marks at points, if there are any."""
    return plane.axis.plot(*zip(*points, strict=True), **look) if points else []


def _ring(plane: Plane, points: Sequence[Point]) -> None:
    _plot(plane, points, {**style.RING, "markersize": 12})


def _values(point: Point, objectives: Sequence[Objective]) -> str:
    pairs = zip(point, objectives, strict=True)
    return ", ".join(objective_value(o.gain(gain), o) for gain, o in pairs)


def _draw_fresh(plane: Plane, shown: FrontPlane, summary: FrontSummary) -> None:
    axis = plane.axis
    for fresh in shown.fresh:
        if fresh.searched:
            line: dict[str, Any] = {"linewidth": 0.7, "linestyle": (0, (1, 1.5))}
            way = axis.plot(*zip(fresh.searched, fresh.at, strict=True), color=style.FAINT, **line)
            style.tag(way, fresh.name)
    if summary.fresh_front and summary.with_stairs:
        axis.plot(*_fresh_stairs(plane, shown, summary), color=style.INK, linewidth=1.2)
    for known, look in _LOOKS:
        group = [fresh for fresh in shown.fresh if (fresh.name in summary.known) == known]
        for fresh in group:
            (x, y), (across, up) = fresh.at, fresh.means
            line = {"color": look.color, "linewidth": 1.1, "alpha": 0.7}
            if not _fills(across, plane.frame[0]):
                style.interval(axis, across, y, part=fresh.name, across=True, **line)
            if not _fills(up, plane.frame[1]):
                style.interval(axis, up, x, part=fresh.name, **line)
            if fresh.region and fresh.name in summary.fresh_front:
                edge = {"edgecolor": look.color, "linewidth": 0.9, "alpha": 0.8}
                style.tag([plane.draw_region(fresh.region, **edge)], fresh.name)
            inside = look.color if _is_filled(fresh, summary) else style.PAPER
            mark = look.line(6.5, linestyle="none", markerfacecolor=inside)
            tip = f"{fresh.name}: {'; '.join(fresh.values)}"
            style.tag(_plot(plane, [fresh.at], mark), fresh.name, tip)
    _ring(plane, [fresh.at for fresh in shown.fresh if fresh.name in summary.picked])


def _fills(estimate: Estimate, ends: Point) -> bool:
    """Whether an interval leaves the frame at both ends, so that its line would tell nothing."""
    return bool(known := style.ends_of([estimate])) and known[0] < ends[0] and known[1] > ends[1]


def _is_filled(fresh: FreshPoint, summary: FrontSummary) -> bool:
    """Where no stairs show who is on the front, a hollow mark shows who is not."""
    return summary.with_stairs or fresh.name in summary.fresh_front


def _fresh_stairs(plane: Plane, shown: FrontPlane, summary: FrontSummary) -> tuple[Array, Array]:
    on_front = (fresh.at for fresh in shown.fresh if fresh.name in summary.fresh_front)
    return staircase(on_front, *plane.corner)


def staircase(points: Iterable[Point], left: float, bottom: float) -> tuple[Array, Array]:
    """Corners of the border of what points dominate; they come by rising x and falling y.

    >>> [corners.tolist() for corners in staircase([(1.0, 3.0), (2.0, 2.0)], 0.0, 0.0)]
    [[0.0, 1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 2.0, 2.0, 0.0]]
    """
    corners = list[Point]()
    for x, y in points:
        corners += [(corners[-1][0] if corners else left, y), (x, y)]
    x_C, y_C = np.array([*corners, (corners[-1][0], bottom)]).T
    return x_C, y_C


def _write_names(plane: Plane, shown: FrontPlane, summary: FrontSummary) -> None:
    """Of confirmed points and the paper's models; without any, of the search's front too.

    No name lies on the line of the fresh front, where another place is free.
    """
    points = dict(shown.searched)
    named = dict.fromkeys(summary.not_again)
    if not shown.fresh:
        named |= dict.fromkeys((*summary.front, *summary.picked))
    at = {name: points[name] for name in named}
    at |= {fresh.name: fresh.at for fresh in shown.fresh}
    line = list[Point]()
    if summary.fresh_front and summary.with_stairs:
        line += zip(*_fresh_stairs(plane, shown, summary), strict=True)
    for name, text in plane.write_names(at, marks=points.values(), line=line).items():
        style.tag([text], name)


def _keys(summary: FrontSummary) -> list[Artist]:
    fresh = {point.name for plane in summary.planes for point in plane.fresh}
    of_search = _DASHED if summary.with_stairs else _ON_FRONT
    keys: list[Artist] = [
        style.key("as the search saw it", **style.HOLLOW),
        style.key("the search's front", **of_search),
    ]
    if summary.not_again:
        keys.append(style.key("the paper's models, search only", **_KNOWN))
    for known, look in _LOOKS:
        if any((name in summary.known) == known for name in fresh):
            label = "fresh seeds, the paper's models" if known else "fresh seeds, found"
            keys.append(style.key(label, **look.line(6.5, linestyle="-", linewidth=1.1)))
    if summary.fresh_front and summary.with_stairs:
        keys.append(style.key("the front on fresh seeds", color=style.INK, linewidth=1.2))
    elif fresh - set(summary.fresh_front):
        hollow = {**style.RING, "color": style.LOOKS[0].color, "markersize": 6.5}
        keys.append(style.key("hollow: not on their front", **hollow))
    if summary.band:
        keys.append(Patch(facecolor=style.FAINT, alpha=0.18, label="fronts of single seeds"))
        keys.append(style.key("half of them attain", color=style.FAINT, linewidth=0.9))
    if summary.picked:
        keys.append(style.key("picked", **style.RING, markersize=10))
    return keys


# Words


def finding(summary: FrontSummary) -> str:
    """How much of the search's front is on that of the fresh seeds, which a sentence names."""
    fresh = {point.name for plane in summary.planes for point in plane.fresh}
    if not fresh:
        return (
            f"The search saw {words.count(len(summary.front), 'point')} on the front, on one "
            "seed: they look better than they are."
        )
    kept = [name for name in summary.front if name in summary.fresh_front]
    return (
        f"Of {words.count(len(summary.front), 'point')} that the search saw on the front, "
        f"{len(kept) or 'none'} {'are' if len(kept) > 1 else 'is'} still there on fresh seeds."
    )


def caption(summary: FrontSummary) -> str:
    """What is shown, and which objectives."""
    fresh = [point for plane in summary.planes for point in plane.fresh]
    regions = any(f.region for f in fresh if f.name in summary.fresh_front)
    turned_round = any(not o.higher for plane in summary.planes for o in plane.objectives)
    hidden = max(map(outside, summary.planes))
    on_front = "filled" if summary.with_stairs else "larger (filled: on their front)"
    several = style.ends_of(mean for point in fresh for mean in point.means)
    crosses = " with 95 % intervals where the frame has room" if several else ""
    seeds = f"{on_front}, means over the fresh seeds{crosses}"
    parts = (
        f"{_shown(summary)}: hollow, what ended, on the search's own seed",
        seeds if fresh else "nothing was trained again",
        "ellipses, 95 % regions of both means over the seeds" if regions else "",
        "stairs, what a front dominates" if summary.with_stairs else "",
    )
    turn = "An axis on which less is better is reversed, so that up and to the right is better."
    sentences = (
        f"{'; '.join(filter(None, parts))}.",
        turn if turned_round else "",
        f"{words.count(hidden, 'point')} far behind left out." if hidden else "",
    )
    return " ".join(filter(None, sentences))


def _shown(summary: FrontSummary) -> str:
    labels = [in_words(objective) for objective in summary.objectives]
    if summary.with_stairs:
        return words.capital(words.listed(labels))
    if len(summary.planes) > 1:
        return f"Each pair of {words.listed(labels)}; who is on the front is by all of them"
    return (
        f"{words.capital(words.listed(labels[:2]))}, two of the {len(labels)} objectives; who is "
        "on the front is by all of them, which the table shows"
    )


def alt(summary: FrontSummary) -> str:
    """The confirmed points' values; without any, who is on the front."""
    values: dict[str, dict[str, None]] = {}
    for plane in summary.planes:
        for point in plane.fresh:
            values.setdefault(point.name, {}).update(dict.fromkeys(point.values))
    points = "; ".join(f"{name} {', '.join(of_point)}" for name, of_point in values.items())
    keys = words.listed(objective.key for objective in summary.objectives)
    return f"The front of {keys}. {points or words.listed(summary.front)}."


FIGURE = FigureKind("front", "front", 0, summarize, draw, caption, alt, finding=finding)
