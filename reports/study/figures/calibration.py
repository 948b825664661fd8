"""Calibration: what models predict against what is observed, of reaching tasks and of steps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
import sqlalchemy as sa
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import FixedLocator, NullLocator
from numpy.typing import NDArray
from scipy.special import expit, logit

from fsmd.metrics import METRICS, Array
from fsmd.metrics.ece import BINS, binned
from fsmd.metrics.metric import Rows, probabilities
from fsmd.stats.estimates import ALPHA, Estimate
from fsmd.training import step_key
from reports import words
from reports.page import style
from reports.page.figure_kind import FigureKind
from reports.predictions import Figure, KeptRows, read_rows, read_scores, scores_of
from reports.results import StudyResults
from reports.study.named import looks_of
from reports.study.shape import arms_drawn, best_on_validation
from studies.reading import of_study
from studies.store.faults import patient

MOST_ARMS = 2
"""Of more arms the reference and another are drawn: marks and intervals hide each other."""
FURTHEST = 1e-6
"""No axis goes nearer to a rate of 0 or 1."""


class Group(NamedTuple):
    """Neighbours by score: both rates, and the Wilson interval of what is observed."""

    predicted: float
    observed: Estimate


class CalibrationPanel(NamedTuple):
    """A rate, the rows that it is of, and groups of these by arm."""

    key: str
    """The task of which it is reaching it, else `step_key`."""
    rows: str
    courses: tuple[tuple[Group, ...], ...]
    """Without groups where `obstacle` says why."""
    obstacle: str


class CalibrationSummary(NamedTuple):
    """What the figure shows."""

    panels: tuple[CalibrationPanel, ...]
    arms: tuple[str, ...]
    looks: tuple[int, ...]
    """Each arm's number in the study's other figures."""
    chosen: str
    """Why these arms; empty where they are all."""
    unit: str | None
    """What is independent of each other; None: every row."""
    step: tuple[str, str] | None
    """A task and the one that it follows, if any does."""


def summarize(results: StudyResults) -> CalibrationSummary | None:
    """Test predictions at the chosen epochs; None where none were kept."""
    arms, chosen = _arms(results)
    return _read(results, arms, chosen) if arms else None


@style.styled()
def draw(summary: CalibrationSummary, narrow: bool = False) -> Drawing:
    """A panel for each rate, both axes alike, so that the diagonal goes from corner to corner."""
    drawing, axes = style.panels(len(summary.panels), narrow, height=3.3, grid=None)
    for axis, panel in zip(axes, summary.panels, strict=True):
        axis.set_title(f"{panel.key}\n{panel.rows}", loc="left")
        if panel.obstacle:
            axis.text(0.5, 0.5, style.lines(panel.obstacle), ha="center", va="center")
            axis.set(xticks=[], yticks=[])
            continue
        _draw_panel(axis, panel, summary)
        axis.set_xlabel("predicted rate")
        if style.is_leftmost(axis):
            axis.set_ylabel("observed rate")
    keys = [
        style.key(arm, **style.look(at).line(4.5))
        for arm, at in zip(summary.arms, summary.looks, strict=True)
    ]
    style.legend(drawing, keys, narrow)
    return drawing


def finding(summary: CalibrationSummary) -> str:
    """In how many groups the predicted rate is as observed, and where it is furthest off."""
    off = dict[tuple[str, str], float]()
    inside = count = 0
    for panel in summary.panels:
        for arm, groups in zip(summary.arms, panel.courses, strict=True):
            for group in groups:
                low, high = group.observed.low, group.observed.high
                count += 1
                inside += low is not None and high is not None and low <= group.predicted <= high
            predicted, observed = (sum(rates) for rates in _rates(groups))
            if observed:
                off[arm, panel.key] = predicted / observed - 1
    if not off:
        return ""
    arm, key = max(off, key=lambda each: abs(off[each]))
    share = words.number(abs(100 * off[arm, key]), 2)
    way = "more" if off[arm, key] > 0 else "less"
    return (
        f"In {inside} of {words.count(count, 'group')} the predicted rate lies in the interval of "
        f"the observed one; furthest off on the whole is {arm} on {key}, which predicts {share} % "
        f"{way} than is observed."
    )


def _rates(groups: Sequence[Group]) -> tuple[list[float], list[float]]:
    """Predicted and observed, of groups of as many rows."""
    return [group.predicted for group in groups], [group.observed.mean for group in groups]


def caption(summary: CalibrationSummary) -> str:
    """What is drawn."""
    units, rates = f"{summary.unit}s" if summary.unit else "rows", ""
    if summary.step:
        task, parent = summary.step
        rates = (
            f" {step_key(task, parent)}: the step, p({task}) / p({parent}) against how often "
            f"{task} follows on the rows with {parent} alone; {task}: reaching it, p({task}) "
            "against how often it is reached among all rows."
        )
    return (
        "Predicted against observed rate on test, both by log-odds; on the dashed diagonal they "
        f"are equal.{rates} A mark is one of {BINS} groups of as many rows by score, an arm's "
        f"trainings pooled group by group. Bars: 95 % interval (Wilson) for the rows of one "
        f"training, {units} taken as independent; seeds are not in it. At the frame: nearer to 0 "
        f"or 1 than the axes go.{summary.chosen}"
    )


def alt(summary: CalibrationSummary) -> str:
    """The lowest and the highest group of each."""
    of_panels = words.by_key(
        (f"{p.key} ({p.rows})", [p.obstacle] if p.obstacle else _ends(summary.arms, p.courses))
        for p in summary.panels
    )
    keys = words.listed(panel.key for panel in summary.panels)
    return f"Calibration of {keys}. {of_panels.rstrip('.')}."


def _ends(arms: Sequence[str], courses: Sequence[Sequence[Group]]) -> Iterator[str]:
    for arm, groups in zip(arms, courses, strict=True):
        ends = (
            f"{_rate(group.observed.mean)} where it predicts {_rate(group.predicted)}"
            for group in groups[:: len(groups) - 1 or 1]
        )
        yield f"{arm} has {words.listed(ends)}"


# What is read


def _arms(results: StudyResults) -> tuple[list[str], str]:
    """Those drawn, on one test set, and why these; of many the reference and the best other."""
    drawn, reference, test_sets = arms_drawn(results), results.study.reference, results.test_sets
    if not drawn:
        return [], ""
    first = reference if reference in drawn else drawn[0]
    arms = [arm for arm in drawn if test_sets[arm] == test_sets[first]]
    if len(arms) <= MOST_ARMS:
        return arms, ""
    best = [arm for arm in best_on_validation(results.valid) if arm in arms and arm != first]
    also = f" and {best[0]}, the best other on validation" if best else ""
    return [first, *best[:1]], f" Of {len(arms)} arms: {first}{also}."


@patient
def _read(results: StudyResults, arms: Sequence[str], chosen: str) -> CalibrationSummary | None:
    steps = [task for task in results.tasks if task.after is not None]
    ece, done = METRICS["ece"], results.done
    figures = [
        *(Figure(task.name, ece) for task in results.tasks),
        *(Figure(task.name, ece, task.after) for task in steps),
    ]
    with of_study(results.record.name), results.engine.connect() as connection:
        rows = read_rows(connection, results.test_sets[arms[0]])
        if not {*results.task_names} <= {*rows.labels}:
            return None
        told = [_Told.of(figure, rows) for figure in figures]
        found = {
            arm: _courses(connection, done.loc[done["arm"] == arm, "run_id"], told, rows)
            for arm in arms
        }
    courses = {arm: of_arm for arm, of_arm in found.items() if of_arm}
    if not courses:
        return None
    by_panel = zip(*courses.values(), strict=True)
    panels = (
        CalibrationPanel(each.figure.key, each.said, of_arms, each.obstacle)
        for each, of_arms in zip(told, by_panel, strict=True)
    )
    look_of = looks_of(results)
    looks = tuple(look_of[arm] for arm in courses)
    step = (steps[0].name, str(steps[0].after)) if steps else None
    return CalibrationSummary(tuple(panels), tuple(courses), looks, chosen, rows.unit, step)


class _Told(NamedTuple):
    """What the test rows tell of a rate: N of all rows."""

    figure: Figure
    used: NDArray[np.bool_]
    """Of all rows."""
    label_N: Array
    weight_N: Array
    unit_N: NDArray[np.int64]

    @classmethod
    def of(cls, figure: Figure, rows: KeptRows) -> "_Told":
        label_N = rows.labels_of(figure)
        weight_N = np.ones(len(label_N)) if rows.weight_N is None else rows.weight_N
        unit_N = np.arange(len(label_N)) if rows.unit_N is None else rows.unit_N
        used = ~np.isnan(label_N) & (weight_N > 0)
        return cls(figure, used, label_N[used], weight_N[used], unit_N[used])

    @property
    def said(self) -> str:
        """The rows in words."""
        count, parent = len(self.label_N), self.figure.parent
        if parent is not None:
            return f"step, of {words.count(count, 'row')} with {parent}"
        return f"of all {words.count(count, 'row')}{'' if self.used.all() else ' that count'}"

    @property
    def obstacle(self) -> str:
        """Why there is no rate to draw; empty where there is."""
        values = np.unique(self.label_N)
        if len(values) > 1:
            return ""
        if not len(values):
            return "No test row tells of it."
        return f"The label of every row is {values[0]:g}: no rates to compare."

    def grouped(self, scores: Mapping[str, Array]) -> Array:
        """By a training's scores."""
        score_N = scores_of(self.figure, scores)
        return grouped(Rows(score_N[self.used], self.label_N, self.weight_N), self.unit_N)


def _courses(
    connection: sa.Connection, runs: Iterable[str], told: Sequence[_Told], rows: KeptRows
) -> tuple[tuple[Group, ...], ...] | None:
    """The arm's groups for each of `told`; None where not all its predictions were kept."""
    of_runs = []
    for run in runs:
        scores = read_scores(connection, str(run), len(told[0].used))
        if not {*rows.labels} <= {*scores}:
            return None
        of_runs.append(
            [np.zeros((4, BINS)) if each.obstacle else each.grouped(scores) for each in told]
        )
    return tuple(map(pooled, zip(*of_runs, strict=True)))


def grouped(rows: Rows, unit_N: NDArray[np.int64]) -> Array:
    """4 x BINS: weight, its predicted and its observed positives, and so many independent rows.

    Those would know the observed rate as well as these do, with their weights and units (Kish,
    and the linearised variance): at most as many as the weights alone let count, and at least as
    if the rows of a unit were all alike.
    """
    bin_N = binned(rows, 0.0, rows.weight_N.sum())
    cell_C, cell_N = np.unique(bin_N * (unit_N.max() + 1) + unit_N, return_inverse=True)
    bin_C = cell_C // (unit_N.max() + 1)

    def sums(values_N: Array) -> Array:
        return np.asarray(np.bincount(bin_N, values_N, BINS), float)

    def squares(values_N: Array) -> Array:
        return np.asarray(np.bincount(bin_C, np.bincount(cell_N, values_N) ** 2, BINS), float)

    weight_B, observed_B = sums(rows.weight_N), sums(rows.weight_N * rows.label_N)
    units_B = np.bincount(bin_C, minlength=BINS)
    with np.errstate(divide="ignore", invalid="ignore"):  # empty groups, of one unit or one class
        rate_B = observed_B / weight_B
        error_N = rows.weight_N * (rows.label_N - rate_B[bin_N])
        variance_B = squares(error_N) * (units_B / (units_B - 1)) / weight_B**2
        worth_B = np.nan_to_num(rate_B * (1 - rate_B) / variance_B)
        most_B, least_B = (
            weight_B**2 / sums(rows.weight_N**2),
            weight_B**2 / squares(rows.weight_N),
        )
    predicted_B = sums(rows.weight_N * probabilities(rows.score_N))
    return np.stack([weight_B, predicted_B, observed_B, np.clip(worth_B, least_B, most_B)])


def pooled(of_trainings: Sequence[Array]) -> tuple[Group, ...]:
    """The groups of all trainings, those of one place as one; the test rows are counted once."""
    from statsmodels.stats.proportion import proportion_confint  # takes a while; not all need it

    of_all = np.stack(of_trainings)
    filled = of_all[:, 0] > 0
    weight_B, predicted_B, observed_B, worth_B = np.where(filled[:, None], of_all, 0).sum(axis=0)
    groups = []
    for b in np.flatnonzero(weight_B):
        rate, worth = min(observed_B[b] / weight_B[b], 1.0), worth_B[b] / filled[:, b].sum()
        low, high = proportion_confint(rate * worth, worth, ALPHA, "wilson")
        observed = Estimate(float(rate), float(low), float(high), len(of_trainings))
        groups.append(Group(float(predicted_B[b] / weight_B[b]), observed))
    return tuple(groups)


# Ink


def _draw_panel(axis: Axes, panel: CalibrationPanel, summary: CalibrationSummary) -> None:
    low, high = frame = _frame([group for groups in panel.courses for group in groups])
    axis.set(xscale="logit", yscale="logit", xlim=frame, ylim=frame)
    for each in (axis.xaxis, axis.yaxis):
        each.set_major_locator(FixedLocator(_ticks(*frame)))
        each.set_major_formatter(lambda value, _: _rate(value))
        each.set_minor_locator(NullLocator())
    axis.grid(**style.GRID)
    axis.plot(frame, frame, color=style.FAINT, linewidth=1, dashes=(4, 3))
    for arm, at, groups in zip(summary.arms, summary.looks, panel.courses, strict=True):
        look = style.look(at)
        places = np.clip([g.predicted for g in groups], low, high)
        for place, group in zip(places, groups, strict=True):
            style.interval(axis, group.observed, place, part=arm, color=look.color, alpha=0.6)
        heights = np.clip([g.observed.mean for g in groups], low, high)
        line = axis.plot(places, heights, **look.line(3.5, linewidth=1, clip_on=False))
        tips = (
            f"{arm}: predicted {_rate(g.predicted)}, observed {_rate(g.observed.mean)} "
            f"[{_rate(g.observed.low or 0)}, {_rate(g.observed.high or 0)}]"
            for g in groups
        )
        style.tag(line, arm, *tips)


def _frame(groups: Sequence[Group]) -> tuple[float, float]:
    """Around all rates and intervals, without what is 0 or 1, or nearly."""
    rates = [group.predicted for group in groups] + [
        rate
        for group in groups
        for rate in (group.observed.mean, *style.ends_of([group.observed]))
    ]
    inner = logit([rate for rate in rates if FURTHEST < rate < 1 - FURTHEST] or [0.5])
    low, high = expit(style.limits(inner.min(), inner.max(), 0.05, least=1.0))
    return float(low), float(high)


def _ticks(low: float, high: float) -> list[float]:
    """Round rates, the roundest first, as long as there is room for their labels."""
    room, chosen = (logit(high) - logit(low)) / 5.5, list[float]()
    for rate in _ROUND:
        apart = all(abs(logit(rate) - logit(other)) >= room for other in chosen)
        if low <= rate <= high and apart:
            chosen.append(rate)
    return sorted(chosen)


_ROUND = tuple(
    dict.fromkeys(
        rate
        for first, power in (*product((1, 5, 2, 3), range(1, 7)), *product((4, 2.5, 1.5), (1,)))
        for rate in (first / 10**power, 1 - first / 10**power)
    )
)


def _rate(value: float) -> str:
    """As `12 %` or `0.05 %`; what is nearly 1 keeps what tells it from 1."""
    return f"{words.number(100 * value if value < 0.9 else round(100 * value, 6), 3)} %"


FIGURE = FigureKind(
    "calibration", "probabilities", 10, summarize, draw, caption, alt, finding=finding
)
