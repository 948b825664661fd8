"""Exponents or weights by which the tasks' probabilities make one score that ranks best for each.

Suffixes: N rows, K tasks, W ways to weigh them, S scores that are compared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from math import comb
from statistics import NormalDist
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmd.data.description.expression import column_text
from fsmd.errors import UserError
from fsmd.metrics import METRICS, Array, Metric, influences, measured
from fsmd.stats.estimates import LEVEL
from fsmd.stats.pareto import highest, knee_score, on_front
from fsmd.stats.sampling import shared_covariance

Form = Literal["product", "sum"]
FORMS: tuple[Form, ...] = ("product", "sum")
MOST_POINTS = 250
"""Of the grid over all weights."""
FINEST = 0.005
"""Step of the shares of weight at which the search ends."""
MOST_ROWS = 300_000
"""Validation rows that each weighing is measured on; of more, whole users are drawn."""

Weights = tuple[float, ...]
"""One a task, summing to about 1: exponents of a product, or factors of a sum."""


@dataclass(frozen=True)
class JudgedRows:
    """Rows of a split, what a model says of them, and what happened."""

    tasks: tuple[str, ...]
    log_odds_NK: NDArray[np.floating[Any]]
    """Over all rows."""
    label_NK: NDArray[np.floating[Any]]
    """0, 1, or NaN where it was not observed."""
    weight_N: NDArray[np.floating[Any]] | None
    groups: Mapping[str, NDArray[Any]]
    """user, request, item -> numbers from 0, equal within one; those that are known."""

    @property
    def unit(self) -> str | None:
        """What is independent of each other: users, else requests; None: every row."""
        return next((name for name in ("user", "request") if name in self.groups), None)

    def samples(self, metric: Metric) -> tuple[str, ...]:
        """What the rows are a sample of, as intervals of a metric see it: users and items, say."""
        items = [name for name in ("item",) if metric.by_row and name in self.groups]
        return (self.unit or "row", *items)

    def at_most(self, rows: int) -> "JudgedRows":
        """Itself, or about so many of its rows: units drawn at random, each whole."""
        count = len(self.label_NK)
        if count <= rows:
            return self
        unit_N = self.groups[self.unit] if self.unit else np.arange(count)
        drawn_U = np.random.default_rng(0).random(int(unit_N.max()) + 1) < rows / count
        kept_N = drawn_U[unit_N]
        return replace(
            self,
            log_odds_NK=self.log_odds_NK[kept_N],
            label_NK=self.label_NK[kept_N],
            weight_N=None if self.weight_N is None else self.weight_N[kept_N],
            groups={name: code_N[kept_N] for name, code_N in self.groups.items()},
        )

    def figures(self, metric: Metric, score_N: Array) -> tuple[float, ...]:
        """How one score ranks the rows for each task's label; UserError where that is unknown."""
        values = [
            measured(metric, score_N, label_N, self.weight_N, self.groups)
            for label_N in self.label_NK.T
        ]
        for task, value in zip(self.tasks, values, strict=True):
            if value is None:
                known = " and ".join(self.groups) or "neither users nor requests"
                raise UserError(
                    f"these rows do not define the {metric.label} of task {task!r}: it needs rows "
                    f"of both labels{f' in one {metric.group}' if metric.group else ''}, and the "
                    f"data has {known}; choose another metric with --by"
                )
        return tuple(value for value in values if value is not None)


class Weighed(NamedTuple):
    """One way to weigh the tasks, and how its score ranks for each of them."""

    weights: Weights
    figures: tuple[float, ...]


@dataclass(frozen=True)
class BlendFront:
    """All that were tried, and which of them nothing beats on every task."""

    form: Form
    tasks: tuple[str, ...]
    metric: Metric
    tried: tuple[Weighed, ...]
    rows: int
    """That they were measured on."""

    @property
    def points_WK(self) -> Array:
        """The figures, W x K."""
        return np.array([each.figures for each in self.tried])

    @property
    def front(self) -> tuple[Weighed, ...]:
        """In the order of the first task's figure."""
        kept = [w for w, on in zip(self.tried, on_front(self.points_WK), strict=True) if on]
        return tuple(sorted(kept, key=lambda each: each.figures))

    @property
    def picks(self) -> Mapping[str, Weighed]:
        """knee, and best:TASK for each task."""
        return {name: self.tried[i] for name, i in _picks(self.tasks, self.points_WK).items()}


def _picks(tasks: Sequence[str], points_WK: Array) -> dict[str, int]:
    best = {f"best:{t}": highest(points_WK[:, k], points_WK) for k, t in enumerate(tasks)}
    return {"knee": highest(knee_score(points_WK), points_WK), **best}


def default_metric(groups: Mapping[str, object]) -> Metric:
    """Of requests where they are known, else of users, else of all rows; the first there is."""
    ranking = [m for m in METRICS.values() if ranks(m)]
    known = next((name for name in ("request", "user") if name in groups), None)
    return next(metric for metric in ranking if metric.group == known)


def ranks(metric: Metric) -> bool:
    """Whether it asks for the order of rows alone, so that any score has it."""
    return metric.judges and metric.higher


def combined(form: Form, log_odds_NK: NDArray[np.floating[Any]], weights: Weights) -> Array:
    """The score of each row: of a product its logarithm, which puts rows in the same order."""
    return np.asarray(_terms(form, log_odds_NK) @ np.array(weights))


def formula(form: Form, tasks: Sequence[str], weights: Weights) -> str:
    """As a description has it under [score].

    >>> formula("product", ("click", "long view"), (0.75, 0.25))
    "click ** 0.75 * column('long view') ** 0.25"
    >>> formula("sum", ("click", "like"), (1.0, 0.0))
    'click'
    """
    used = {column_text(task): w for task, w in zip(tasks, weights, strict=True) if w}
    if len(used) == 1:
        return next(iter(used))
    if form == "product":
        return " * ".join(f"{name} ** {w!r}" for name, w in used.items())
    return " + ".join(f"{w!r} * {name}" for name, w in used.items())


def search(form: Form, metric: Metric, rows: JudgedRows) -> BlendFront:
    """Every weighing of a grid, then at half the step again and again about what would be picked.

    The weights are shares of what varies: each term is scaled by its deviation over the rows, as
    one of 1 % would else be drowned by one of 50 %. Raises UserError for a single task, and where
    the rows do not define the metric.
    """
    rows = rows.at_most(MOST_ROWS)
    terms_NK = _terms(form, rows.log_odds_NK)
    spread_K = terms_NK.std(axis=0)
    tasks = len(rows.tasks)
    if tasks < 2:
        raise UserError(f"one score of several tasks needs two of them; got {rows.tasks[0]!r}")
    if not np.ptp(terms_NK, axis=0).all():
        same = rows.tasks[int(np.argmin(np.ptp(terms_NK, axis=0)))]
        raise UserError(f"the model says the same of all rows for task {same!r}: nothing to weigh")
    steps = 1
    while comb(steps + tasks, tasks - 1) <= MOST_POINTS and 1 / (steps + 1) >= FINEST:
        steps += 1
    found: dict[tuple[float, ...], Weighed] = {}

    def measure(share_K: tuple[float, ...]) -> None:
        if share_K not in found:
            weights = _written(np.array(share_K) / spread_K)
            score_N = terms_NK @ np.array(weights)
            found[share_K] = Weighed(weights, rows.figures(metric, score_N))

    for share_K in simplex(tasks, steps):
        measure(share_K)
    step = 1 / steps
    while (step := step / 2) >= FINEST:
        shares = list(found)
        points_WK = np.array([each.figures for each in found.values()])
        for i in dict.fromkeys(_picks(rows.tasks, points_WK).values()):
            for share_K in _beside(shares[i], step):
                measure(share_K)
    return BlendFront(form, rows.tasks, metric, tuple(found.values()), len(rows.label_NK))


def simplex(parts: int, steps: int) -> Iterator[tuple[float, ...]]:
    """Every way to share 1 among some parts in so many equal steps.

    >>> list(simplex(2, 2))
    [(0.0, 1.0), (0.5, 0.5), (1.0, 0.0)]
    """
    for bars in combinations(range(steps + parts - 1), parts - 1):
        ends = (-1, *bars, steps + parts - 1)
        yield tuple((b - a - 1) / steps for a, b in pairwise(ends))


class Interval(NamedTuple):
    """A figure with its 95 % interval over the rows, or over users and items that are known."""

    value: float
    low: float
    high: float


class ComparedScore(NamedTuple):
    """A score on the test rows: its figure for each task, and that of `blend` minus its own."""

    name: str
    figures: tuple[Interval, ...]
    gained: tuple[Interval, ...]
    """By the blend over this score; zeros of the blend itself."""


def compared(
    form: Form, metric: Metric, rows: JudgedRows, weights: Weights
) -> tuple[ComparedScore, ...]:
    """The blend, then each task's probability alone as the one score, on the same rows."""
    scores_SN = [combined(form, rows.log_odds_NK, weights), *rows.log_odds_NK.T]
    number_N = {name: rows.groups[name].astype(np.int64) for name in rows.groups}
    unit, *items = rows.samples(metric)
    unit_N, item_N = number_N.get(unit), number_N[items[0]] if items else None
    values_SK = np.array([rows.figures(metric, np.asarray(s_N, float)) for s_N in scores_SN])
    figures, gained = [], []
    for k, label_N in enumerate(rows.label_NK.T):
        moved_NS = np.stack(
            [influences(metric, s_N, label_N, rows.weight_N, rows.groups) for s_N in scores_SN], 1
        )
        covariance_SS = shared_covariance([moved_NS], unit_N, item_N)
        value_S, variance_S = values_SK[:, k], np.diag(covariance_SS)
        figures.append(_intervals(value_S, variance_S, metric.low, metric.high))
        between_S = variance_S + variance_S[0] - 2 * covariance_SS[0]
        reach = metric.high - metric.low
        gained.append(_intervals(value_S[0] - value_S, between_S, -reach, reach))
    names = ("blend", *rows.tasks)
    return tuple(
        ComparedScore(name, tuple(f[s] for f in figures), tuple(g[s] for g in gained))
        for s, name in enumerate(names)
    )


def _intervals(value_S: Array, variance_S: Array, low: float, high: float) -> list[Interval]:
    half_S = NormalDist().inv_cdf((1 + LEVEL) / 2) * np.sqrt(np.maximum(variance_S, 0.0))
    ends = (np.maximum(value_S - half_S, low), np.minimum(value_S + half_S, high))
    return [Interval(*map(float, each)) for each in zip(value_S, *ends, strict=True)]


def _terms(form: Form, log_odds_NK: NDArray[np.floating[Any]]) -> Array:
    """N x K: what the weights weigh; exact where a probability is nearly 0."""
    log_NK = -np.logaddexp(0.0, -log_odds_NK.astype(np.float64))
    return np.asarray(log_NK if form == "product" else np.exp(log_NK))


def _written(weight_K: Array) -> Weights:
    """As they are to be written, so that what was measured is what is used."""
    return tuple(float(f"{w:.3g}") for w in weight_K / weight_K.sum())


def _beside(share_K: tuple[float, ...], step: float) -> Iterator[tuple[float, ...]]:
    """Where so much goes from one task to another, inside the simplex."""
    tasks = range(len(share_K))
    for a, b in ((a, b) for a in tasks for b in tasks if a != b):
        moved = np.array(share_K)
        moved[a], moved[b] = moved[a] - step, moved[b] + step
        if moved[a] > -1e-12:
            yield tuple(np.abs(moved.round(9)).tolist())
