"""What more quality costs: every arm's gain against its cost, and the front of both."""

from collections.abc import Mapping, Sequence
from math import floor, log10
from typing import Any, NamedTuple

from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fsmd.metrics import METRICS
from fsmd.stats.estimates import Estimate
from fsmd.tasks import MEAN, Target
from reports import words
from reports.page import style
from reports.page.labels import Point
from reports.page.panels import Frame, Plane, planes
from reports.results import turned
from reports.standing import ArmStanding, Leaderboard

VARIES = 1.05
"""The dearest arm costs so many times the cheapest at least, or the cost tells nothing."""
LOGARITHMIC = 8.0
"""From so many times on, an axis of costs is logarithmic."""
FEW = 8
"""Of more arms only those that stand out are named."""


class CostAxis(NamedTuple):
    """What is paid: a field of `ArmStanding`, and its words."""

    field: str
    label: str
    unit: str
    """Behind a number."""


COSTS = (
    CostAxis("latency", "ms per 1,000 rows on one thread", " ms per 1,000 rows"),
    CostAxis("parameters", "parameters", " parameters"),
    CostAxis("seconds", "seconds of one training", " s of training"),
)
"""The first that is known of all arms, and varies, is shown."""


class CostPoint(NamedTuple):
    """An arm: its cost and, by panel, its gain and whether nothing cheaper is as good."""

    arm: str
    cost: float
    gains: tuple[Estimate, ...]
    on_front: tuple[bool, ...]


class QualityCostSummary(NamedTuple):
    """What the figure shows."""

    cost: CostAxis
    targets: tuple[Target, ...]
    """Of each panel: the tasks' mean, or each task where there is none."""
    margins: tuple[float, ...]
    over: str
    """The arm that gains are over: the reference or, where there is none, the leader."""
    points: tuple[CostPoint, ...]
    leader: ArmStanding | None
    reference: str | None
    cheapest: ArmStanding | None
    left_out: int
    """Arms whose cost or gain is not known."""

    def point(self, arm: str) -> CostPoint | None:
        """An arm's; None where it has none."""
        return next((point for point in self.points if point.arm == arm), None)


def summary_of(
    board: Leaderboard, targets: Sequence[Target], margins: Mapping[str, float]
) -> QualityCostSummary | None:
    """None where fewer than two arms have a gain and a cost, or all cost the same."""
    over = board.reference or (board.leader.arm if board.leader else None)
    known = {key for standing in board.standings for key in standing.means}
    shown = [target for target in targets if target.key in known]
    shown = [target for target in shown if target.key == MEAN] or shown
    if over is None or not shown:
        return None
    gains = {s.arm: _gains(s, over, board.reference is not None, shown) for s in board.standings}
    compared = [standing for standing in board.standings if gains[standing.arm]]
    cost = _cost(compared)
    if cost is None:
        return None
    paid = {s.arm: getattr(s, cost.field) for s in compared if getattr(s, cost.field) is not None}
    fronts = [
        _front({arm: (paid[arm], gains[arm][k].mean) for arm in paid}) for k in range(len(shown))
    ]
    return QualityCostSummary(
        cost=cost,
        targets=tuple(shown),
        margins=tuple(margins[target.key] for target in shown),
        over=over,
        points=tuple(
            CostPoint(arm, paid[arm], gains[arm], tuple(arm in front for front in fronts))
            for arm in paid
        ),
        leader=board.leader,
        reference=board.reference,
        cheapest=board.cheapest,
        left_out=len(board.standings) - len(paid),
    )


def _gains(
    standing: ArmStanding, over: str, is_reference: bool, shown: Sequence[Target]
) -> tuple[Estimate, ...]:
    """On each target; empty where one is not known."""
    if standing.arm == over:
        return tuple(Estimate(0.0, None, None, 1) for _ in shown)
    known = standing.over_reference if is_reference else standing.behind_leader
    return tuple(known[t.key] for t in shown) if all(t.key in known for t in shown) else ()


def _cost(standings: Sequence[ArmStanding]) -> CostAxis | None:
    """One that is known of all comes before one that is known of some."""
    known = {cost: [getattr(standing, cost.field) for standing in standings] for cost in COSTS}
    for all_of_them in (True, False):
        for cost, values in known.items():
            numbers = [value for value in values if value is not None and value > 0]
            enough = len(numbers) == len(values) if all_of_them else len(numbers) > 1
            if numbers and enough and max(numbers) > VARIES * min(numbers):
                return cost
    return None


def _front(points: Mapping[str, Point]) -> tuple[str, ...]:
    """The arms that nothing as cheap is as good as, the cheapest first."""
    kept = list[str]()
    for arm in sorted(points, key=lambda arm: (points[arm][0], -points[arm][1])):
        if not kept or points[arm][1] > points[kept[-1]][1]:
            kept.append(arm)
    return tuple(kept)


# Drawing


@style.styled()
def draw(summary: QualityCostSummary, narrow: bool = False) -> Figure:
    """A plane for each target: the cheaper the more to the left, the better the higher."""
    frames = [frame(summary, k) for k in range(len(summary.targets))]
    height = 3.4 if narrow or len(frames) > 1 else 4.0
    figure, drawn = planes(frames, narrow, _keys(summary), height=height)
    for k, plane in enumerate(drawn):
        _draw_plane(plane, summary, k)
        metric = METRICS[summary.targets[k].metric]
        plane.axis.set_ylabel(f"gain in {metric.label} over {summary.over}")
        plane.axis.set_xlabel(summary.cost.label)
        plane.axis.set_title(summary.targets[k].key, loc="left")
    return figure


def is_logarithmic(summary: QualityCostSummary) -> bool:
    """Whether costs are too far apart for equal steps."""
    costs = [point.cost for point in summary.points]
    return min(costs) > 0 and max(costs) > LOGARITHMIC * min(costs)


def frame(summary: QualityCostSummary, panel: int) -> Frame:
    """All means that are not far behind, the margin, and intervals unless they are out of all
    proportion.

    An arm far behind, such as constant rates, would squeeze the others into a corner.
    """
    across = [_across(summary, point.cost) for point in summary.points]
    gains = [point.gains[panel] for point in summary.points]
    margin = summary.margins[panel]
    means = [gain.mean for gain in gains]
    kept = [p.gains[panel].mean for p in summary.points if p.arm in _stand_out(summary)]
    low, high = min([-margin, *style.near(means), *kept]), max(margin, *means)
    room = 1.5 * (high - low)
    near = [gain for gain in gains if gain.mean >= low]
    ends = [min(max(end, low - room), high + room) for end in style.ends_of(near)]
    metric = METRICS[summary.targets[panel].metric]
    reach = metric.high - metric.low
    up = style.limits(
        min([low, *ends]), max([high, *ends]), 0.06, least=0.0, within=(-reach, reach)
    )
    return style.limits(min(across), max(across), 0.12, least=0.01), up


def outside(summary: QualityCostSummary) -> int:
    """Arms that are far behind, in some panel."""
    lows = [frame(summary, k)[1][0] for k in range(len(summary.targets))]
    return sum(
        any(gain.mean < low for gain, low in zip(point.gains, lows, strict=True))
        for point in summary.points
    )


def _across(summary: QualityCostSummary, cost: float) -> float:
    return log10(cost) if is_logarithmic(summary) else cost


def _draw_plane(plane: Plane, summary: QualityCostSummary, k: int) -> None:
    axis, margin, target = plane.axis, summary.margins[k], summary.targets[k]
    digits = METRICS[target.metric].digits + 1
    axis.axhspan(-margin, margin, color=style.FAINT, alpha=0.18, linewidth=0)
    axis.axhline(0, color=style.INK, linewidth=0.8)
    axis.grid(axis="y", **style.GRID)
    at = {p.arm: (_across(summary, p.cost), p.gains[k].mean) for p in summary.points}
    front = sorted(
        (at[p.arm] for p in summary.points if p.on_front[k]), key=lambda point: point[0]
    )
    line: dict[str, Any] = {"color": style.INK, "linewidth": 1, "linestyle": (0, (5, 2))}
    corners = front[:1]
    for x, y in front[1:]:
        corners += [(x, corners[-1][1]), (x, y)]
    axis.plot(*zip(*corners, strict=True), zorder=1.5, **line)
    for point in summary.points:
        (x, y), look = at[point.arm], _look(summary, point.arm)
        style.interval(axis, point.gains[k], x, part=point.arm, color=look["color"], alpha=0.7)
        mark = axis.plot([x], [y], zorder=4, **look)
        gain = words.difference(point.gains[k], digits)
        tip = f"{point.arm}: {amount(point.cost)}{summary.cost.unit}, {gain}"
        style.tag(mark, point.arm, tip)
    names = {arm: at[arm] for arm in named(summary)}
    for arm, text in plane.write_names(names, marks=at.values(), line=corners).items():
        style.tag([text], arm)
    style.difference_ticks(axis.yaxis)
    _cost_ticks(axis.xaxis, summary)


def named(summary: QualityCostSummary) -> tuple[str, ...]:
    """All arms if they are few; else those that stand out, and the front."""
    if len(summary.points) <= FEW:
        return tuple(point.arm for point in summary.points)
    stand_out = _stand_out(summary)
    front = (point.arm for point in summary.points if any(point.on_front))
    return tuple(arm for arm in dict.fromkeys((*stand_out, *front)) if summary.point(arm))


def _stand_out(summary: QualityCostSummary) -> tuple[str, ...]:
    chosen = (summary.leader, summary.cheapest)
    return tuple(filter(None, (*(s.arm for s in chosen if s), summary.reference)))


def _look(summary: QualityCostSummary, arm: str) -> dict[str, Any]:
    """Of a mark."""
    if summary.leader and arm == summary.leader.arm:
        return _LEADER
    if summary.cheapest and arm == summary.cheapest.arm:
        return _CHEAPEST
    return _REFERENCE if arm == summary.reference else {**style.HOLLOW, "markersize": 5}


_MARK: dict[str, Any] = {"linestyle": "none", "markeredgecolor": style.PAPER}
_LEADER: dict[str, Any] = {**_MARK, "color": style.BLUE, "marker": "*", "markersize": 13}
_CHEAPEST: dict[str, Any] = {**_MARK, "color": "#009e73", "marker": "^", "markersize": 8.5}
_REFERENCE: dict[str, Any] = {**_MARK, "color": style.ORANGE, "marker": "D", "markersize": 7}


def _cost_ticks(axis: Axis, summary: QualityCostSummary) -> None:
    low, high = axis.get_view_interval()
    if is_logarithmic(summary):
        powers = range(floor(low) - 1, floor(high) + 1)
        steps = (1,) if high - low > 2.5 else (1, 2, 5)
        costs = [step * 10.0**power for power in powers for step in steps]
        places = {log10(cost): cost for cost in costs if low <= log10(cost) <= high}
        axis.set_ticks(list(places), [amount(cost) for cost in places.values()])
    else:
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
        axis.set_major_formatter(lambda value, _: amount(value))


def amount(cost: float) -> str:
    """A cost, short.

    >>> [amount(value) for value in (0.1234, 5.0, 812.3, 12_000, 3_450_000.0)]
    ['0.123', '5', '812', '12k', '3.45M']
    """
    for unit, name in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if cost >= unit:
            return f"{words.number(cost / (1e3 if name == 'k' else unit), 3)}{name}"
    return words.number(cost, 3)


def _keys(summary: QualityCostSummary) -> list[Artist]:
    keys: list[Artist] = []
    arms = {point.arm for point in summary.points}
    if summary.leader and summary.leader.arm in arms:
        alone = summary.cheapest is not None and summary.cheapest.arm == summary.leader.arm
        label = "the leader, cheapest not clearly worse" if alone else "the leader"
        keys.append(style.key(label, **_LEADER))
    if summary.cheapest and summary.cheapest != summary.leader and summary.cheapest.arm in arms:
        keys.append(style.key("the cheapest not clearly worse", **_CHEAPEST))
    drawn = {summary.leader and summary.leader.arm, summary.cheapest and summary.cheapest.arm}
    if summary.reference in arms - drawn:
        keys.append(style.key("the reference", **_REFERENCE))
    keys.append(
        style.key("front: nothing cheaper is as good", color=style.INK, linestyle=(0, (5, 2)))
    )
    return keys


# Words


def finding(summary: QualityCostSummary) -> str:
    """What the leader costs more than the cheapest that is as good."""
    leader, cheapest = summary.leader, summary.cheapest
    best = summary.point(leader.arm) if leader else None
    cheap = summary.point(cheapest.arm) if cheapest else None
    if leader and cheapest and best and cheap and best != cheap:
        key, digits = summary.targets[0].key, METRICS[summary.targets[0].metric].digits + 1
        times = words.number(best.cost / cheap.cost, 2)
        gain = turned(cheapest.behind_leader[key], -1)
        return (
            f"{best.arm} leads and costs {times} times as much as {cheap.arm}, the cheapest that "
            f"is not clearly worse by what matters; over it {best.arm} gains "
            f"{words.difference(gain, digits)} {words.on_target(key)}."
        )
    if best and cheap:
        return f"{best.arm} leads; none that is not clearly worse costs notably less."
    front = sorted((p for p in summary.points if p.on_front[0]), key=lambda p: p.cost)
    costs = words.listed(dict.fromkeys(amount(p.cost) for p in (front[0], front[-1])), "to")
    on_it = words.on_target(summary.targets[0].key)
    return (
        f"Nothing cheaper is as good {on_it} as {words.listed((p.arm for p in front), 'or')} "
        f"({costs}{summary.cost.unit})."
    )


def caption(summary: QualityCostSummary) -> str:
    """What the axes are."""
    several = style.ends_of(gain for point in summary.points for gain in point.gains)
    bars = ", with its 95 % interval" if several else ""
    log = " (logarithmic)" if is_logarithmic(summary) else ""
    without = (
        f" {words.count(summary.left_out, 'arm')} without a known cost or gain left out."
        if summary.left_out
        else ""
    )
    behind = outside(summary)
    far = f" {words.count(behind, 'arm')} far behind left out." if behind else ""
    return (
        f"Gain on test over {summary.over}{bars}, against {summary.cost.label}{log}: up is "
        f"better, left is cheaper. Grey: what matters to nobody.{without}{far}"
    )


def alt(summary: QualityCostSummary) -> str:
    """Each arm's cost and gains."""
    digits = [METRICS[target.metric].digits + 1 for target in summary.targets]
    told = []
    for point in summary.points:
        by_target = zip(point.gains, digits, strict=True)
        gains = ", ".join(words.difference(gain, count) for gain, count in by_target)
        told.append(f"{point.arm} {amount(point.cost)}{summary.cost.unit}: {gains}")
    keys = words.listed(target.key for target in summary.targets)
    return f"Gain on {keys} over {summary.over} against cost. {'; '.join(told)}."
