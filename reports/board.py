"""The leaderboard as a table: of a study, or of a search's points on fresh seeds."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from fsmd.metrics import METRICS
from fsmd.stats.estimates import Estimate
from fsmd.tasks import Target
from reports import words
from reports.answer import Asked
from reports.page import style
from reports.page.cells import interval_cell, table
from reports.page.model import Bar, Table, TableCell
from reports.ran import sources
from reports.results import turned
from reports.standing import ArmStanding

More = Callable[[str], Iterable[object]]
"""An arm -> its cells in the columns that only a study, or a search, has."""


def board_table(
    asked: Asked,
    heading: str,
    *,
    notes: Mapping[str, tuple[str, ...]] | None = None,
    columns: Sequence[str] = (),
    more: More = lambda arm: (),
) -> Table:
    """Sorted, with intervals as bars; those that are not ranked stand below, over their own seeds.

    notes: arm -> lines below its name; columns: headings of `more`.
    """
    targets, standings = _shown(asked), asked.board.standings
    of_chance = _chance_columns(asked)
    has_latency = any(standing.latency is not None for standing in standings)
    own = notes or {}
    axes = {
        t.key: _axis([s.means[t.key] for s in standings], METRICS[t.metric].sign) for t in targets
    }
    rows = [
        (
            TableCell(s.arm, (*own.get(s.arm, ()), *_marks(s)), strong=s.is_leader),
            *(_mean_cell(s, target, axes[target.key]) for target in targets),
            *map(_chance, (s.chance_best, s.chance_worse)[: len(of_chance)]),
            _number(s.parameters, ",.0f"),
            *([_number(s.latency, "#.3g")] * has_latency),
            _number(s.seconds, ".1f"),
            *more(s.arm),
        )
        for s in standings
    ]
    head = (
        heading,
        *map(words.column, targets),
        *of_chance,
        "parameters",
        *(["ms per 1,000 rows"] * has_latency),
        *("training seconds", *columns),
    )
    unknown = [words.DASH] * (len(head) - 1 - len(targets) - len(columns))
    others = (
        (TableCell(arm, (f"not ranked: {few}",)), *cells, *unknown, *more(arm))
        for arm, few, cells in _not_ranked(asked, targets)
    )
    return table("leaderboard", _caption(asked), head, chain(rows, others))


def _not_ranked(
    asked: Asked, targets: Sequence[Target]
) -> Iterator[tuple[str, str, list[TableCell]]]:
    """Arms on the same test rows that have too few replicates, and their means over these."""
    test, ranked = asked.results.test, asked.board.standings
    for arm in asked.board.left_out:
        if ranked and arm in test.trained and test.comparable(arm, ranked[0].arm):
            means = [test.mean(arm, target.key) for target in targets]
            metrics = (METRICS[target.metric] for target in targets)
            cells = [interval_cell(mean, m) for mean, m in zip(means, metrics, strict=True)]
            yield arm, words.count(means[0].n, asked.seed), cells


def _chance(value: float | None) -> str:
    return words.DASH if value is None else words.chance(value)


def _number(value: float | None, form: str) -> str:
    return words.DASH if value is None else format(value, form)


def _caption(asked: Asked) -> str:
    board, targets = asked.board, _shown(asked)
    over = words.count(board.replicates, f"complete {asked.seed}")
    heads = words.listed(head.split(" ")[0] for head in _chance_columns(asked))
    chances = f" {words.capital(heads)}: the chance of it." if heads else ""
    named = any(standing.best_on for standing in board.standings)
    bold = " A mean in bold: shown to be better than every other." if named else ""
    return (
        f"Test {words.measured(targets)} over {over} [95 % interval over the "
        f"{sources(asked.results, sampled=False)}]: "
        "first the best by validation, then by test, each with its difference to the first."
        f"{words.less_is_better(targets)}{chances}{bold}"
    )


def _chance_columns(asked: Asked) -> list[str]:
    """None where nothing is known yet: of too few replicates."""
    board = asked.board
    if all(s.chance_best is None for s in board.standings):
        return []
    return ["best", *([f"worse than {board.reference}"] * (board.reference is not None))]


def _shown(asked: Asked) -> list[Target]:
    """The tasks that count, and their mean where there is one."""
    first = next(iter(asked.board.standings), None)
    return [t for t in asked.results.targets if first is not None and t.key in first.means]


def _marks(standing: ArmStanding) -> Iterator[str]:
    if standing.is_baseline:
        yield "a simple model"
    if standing.is_leader:
        yield "first on validation"
    elif standing.not_worse:
        yield "not clearly worse than the best"
    if standing.is_cheapest:
        yield "cheapest of those"


class _Axis(NamedTuple):
    """What the bars of a column share."""

    low: float
    high: float
    mark: float
    """The first one's mean."""

    def bar(self, estimate: Estimate) -> Bar | None:
        """None where nothing differs, and for one that is far behind."""
        if not self.low <= estimate.mean <= self.high or self.low == self.high:
            return None
        ends = estimate.low, estimate.high
        low, high = (None if end is None else min(max(self._at(end), 0.0), 1.0) for end in ends)
        return Bar(self._at(estimate.mean), low, high, self._at(self.mark))

    def _at(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)


def _axis(column: Sequence[Estimate], sign: int) -> _Axis:
    """Of the means of a column and their intervals, the first one's first, but for those far
    behind (`style.near`)."""
    shown = style.near((e.mean for e in column), sign)
    worst, best = min(shown, default=0.0), max(shown, default=0.0)
    near = [e for e in column if worst <= e.mean <= best]
    ends = [end for e in near for end in (e.mean, e.low, e.high) if end is not None]
    return _Axis(min(ends, default=0.0), max(ends, default=0.0), ends[0] if ends else 0.0)


def _mean_cell(standing: ArmStanding, target: Target, axis: _Axis) -> TableCell:
    """The mean with its interval, then the difference to the leader."""
    metric = METRICS[target.metric]
    estimate, behind = standing.means[target.key], standing.behind_leader.get(target.key)
    notes = [words.bounds(estimate, metric.digits)]
    if behind is not None:
        notes.append(words.difference(turned(behind, metric.sign), metric.digits))
    kept = tuple(filter(None, notes))
    return TableCell(
        words.figure(estimate.mean, metric),
        kept,
        bar=axis.bar(estimate),
        strong=target.key in standing.best_on,
    )
