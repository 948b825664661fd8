"""The tables of a search's report."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from fsmd.metrics import METRICS
from fsmd.stats.estimates import ALPHA, Estimate
from fsmd.tasks import Target
from reports import ran, words
from reports.page.cells import difference_cell, interval_cell, table
from reports.page.model import Table, TableCell
from reports.search.analysis import SearchAnalysis
from reports.search.axis_importance import AxisImportance, AxisShare
from reports.search.confirmed import Confirmed
from reports.search.picked import Told, shown_to_differ
from reports.search.results import SearchResults, outcome_of, own_fields
from search_spaces import Value
from search_spaces.space import Choice
from studies.objectives import Objective
from studies.search.attempt import Attempt

MANY_AXES = 6
"""More axes than this do not fit side by side into a table."""


def front_table(analysis: SearchAnalysis) -> Table:
    """The confirmed points on validation; without any, the front that the search saw."""
    search, confirmed = analysis.search, analysis.confirmed
    validation = [f"validation {words.column(target)}" for target in search.targets]
    measured = [f"P({search.sought})"] if confirmed else []
    columns = ("configuration", *validation, *measured, *_cost_columns(search), "picked by")
    rows = (
        [_confirmed_row(analysis, point) for point in reversed(confirmed)]
        if confirmed
        else [
            (name, *_known_cells(search, search.attempt(name)), _picked_cell(analysis, name))
            for name in reversed(analysis.front)
        ]
    )
    seeds = words.count(len(analysis.seeds), "paired fresh seed")
    less = words.less_is_better(search.targets)
    caption = (
        f"Validation {words.measured(search.targets)} over {seeds} [95 % interval]. Below it: "
        f"what the search saw, and that minus the mean.{less} Bold: the {search.sought} of "
        f"the fresh means.{_what_chance(analysis)}"
        if confirmed
        else f"The {search.sought} that the search saw, on one seed: better than it is.{less}"
    )
    return table("front", caption, columns, rows)


def _what_chance(analysis: SearchAnalysis) -> str:
    """What the probability is over, and where it is told too low."""
    if len(analysis.seeds) < 2 or len(analysis.confirmed) < 2:
        return ""
    rows = " and the finite validation rows" if analysis.confirmed[0].with_rows else " alone"
    narrow = (
        "; where points lie along a trade-off much more narrowly than chance moves them, told too "
        "low"
    )
    told = narrow if len(analysis.search.objectives) > 1 else ""
    return f" P({analysis.search.sought}): the probability of it, over the seeds{rows}{told}."


def _confirmed_row(analysis: SearchAnalysis, point: Confirmed) -> tuple[object, ...]:
    search = analysis.search
    return (
        TableCell(point.name, strong=point.on_front),
        *(_fresh_cell(point, k, target) for k, target in enumerate(search.targets)),
        probability(point, len(analysis.confirmed)),
        *_cost_cells(search, search.attempt(point.name), [e.mean for e in point.costs]),
        _picked_cell(analysis, point.name),
    )


def probability(point: Confirmed, points: int) -> str:
    """Never 0 or 1 between several points: few seeds cannot show that."""
    if point.probability != point.probability:
        return words.DASH
    return words.probability(
        point.probability if points == 1 else min(max(point.probability, 0.001), 0.999)
    )


def axes_table(analysis: SearchAnalysis) -> Table:
    """What the points of the table before are: their place on every axis."""
    search = analysis.search
    names = [point.name for point in analysis.confirmed] or list(analysis.front)
    names.reverse()
    columns = (_axis_values(search, search.attempt(name)) for name in names)
    rows = zip(search.space.axes, *columns, strict=True)
    caption = "What they are: the axes that the search varied."
    return table("axes", caption, ("axis", *names), rows)


def difference_table(analysis: SearchAnalysis) -> Table | None:
    """Each pick minus each reference, on test; None if no reference was confirmed."""
    targets = analysis.search.targets
    metrics = [METRICS[target.metric] for target in targets]
    picks = tuple(reversed(analysis.picks))
    shown, place, rows = shown_to_differ(picks), count(), []
    for pick in picks:
        for told in pick.told:
            notes = (*(_rules(told) if len(pick.told) > 1 else ()), *_by_seed(told, pick.name))
            for other, estimates in told.differences:
                cells = (
                    difference_cell(estimate, metric, strong=next(place) in shown)
                    for metric, estimate in zip(metrics, estimates, strict=True)
                )
                label = TableCell(f"{pick.name} minus {other}", notes, arm=pick.name)
                rows.append((label, *cells))
    if not rows:
        return None
    seeds, less = len(analysis.seeds), words.less_is_better(targets)
    intervals = (
        f".{less} One seed has no interval. It tells of what it chose, so that looks too good."
    )
    if seeds > 1:
        intervals = (
            f", with its 95 % interval over "
            f"{ran.sources(analysis.search.fresh_sound)}.{less} Each seed "
            f"tells of the point that is picked by the other {words.count(seeds - 1, 'seed')}, so "
            "that none tells of what it chose; where that is not always the same point, it says "
            "which. Each interval is of one comparison alone. Bold: it differs, at "
            f"{100 * ALPHA:g} % for the whole table together (Holm), but not for looking again "
            "with more seeds."
        )
    caption = (
        f"Test {words.measured(targets)} of each picked point minus that of the paper's models. "
        f"Paired over {words.count(seeds, 'fresh seed')}{intervals}"
    )
    columns = ("difference", *(f"test {words.column(target)}" for target in targets))
    return table("differences", caption, columns, rows)


def _rules(told: Told) -> tuple[str, ...]:
    return (", ".join(rule.name for rule in told.rules),)


def _by_seed(told: Told, name: str) -> tuple[str, ...]:
    """Which points the seeds tell of, where it is not always the picked one."""
    if {*told.by_seed} == {name}:
        return ()
    seeds = len(told.by_seed)
    counted = Counter(told.by_seed).most_common()
    return (words.listed(f"{point} ({count} of {seeds})" for point, count in counted),)


def epochs_table(analysis: SearchAnalysis) -> Table:
    """Where the epochs went, and what stopping saved."""
    search, spent = analysis.search, analysis.spent
    stopped, ended = len(search.all_in("stopped")), len(search.all_in("ended"))
    other = len(search.attempts) - stopped - ended
    fresh, trainings = search.fresh_epochs, len(search.fresh.runs)
    by_stopping = [("saved by stopping, at most", stopped, f"{spent.saved_at_most:,}")]
    if spent.saved_fairly is not None:
        by_stopping.append(("saved by stopping, fairly", stopped, f"{spent.saved_fairly:,}"))
    if not stopped:  # nothing was there to save by
        by_stopping = []
    rows = [
        ("spent: trained to the end", ended, f"{spent.ended:,}"),
        *([("spent: stopped by the pruner", stopped, f"{spent.stopped:,}")] if stopped else []),
        *([("spent: not finished or failed", other, f"{spent.other:,}")] if other else []),
        ("spent: the search in all", len(search.attempts), f"{spent.total:,}"),
        *([("spent: fresh seeds", trainings, f"{fresh:,}")] if fresh else []),
        *by_stopping,
        ("saved by early stopping", ended, f"{spent.saved_by_patience:,}"),
    ]
    fair = f"; fairly: to {spent.typical}, the median of what ended" if ended else ""
    at_most = f" At most: as if all had gone on to epoch {search.most_epochs}{fair}."
    caption = (
        f"Epochs of the search.{at_most if stopped else ''} Early stopping: what those that ended "
        f"left of the {search.most_epochs}."
    )
    return table("epochs", caption, ("epochs", "trainings", "number"), rows)


def importance_table(importance: AxisImportance) -> Table | None:
    """Each axis's share for each target; None where there are no numbers."""
    if not importance.shares:
        return None
    rows = (
        (axis, *(_share_cell(importance.shares[target, axis]) for target in importance.targets))
        for axis in importance.axes
    )
    caption = (
        "The figure's numbers. Below: what chance alone reaches in one of 20 cases. Bold: above."
    )
    return table("importance", caption, ("axis", *importance.targets), rows)


def _share_cell(share: AxisShare) -> TableCell:
    by_chance = (f"by chance {100 * share.by_chance:.0f} %",)
    return TableCell(f"{100 * share.share:.0f} %", by_chance, share.share > share.by_chance)


def attempts_table(search: SearchResults) -> Table:
    """Everything that was tried, in the order of proposal."""
    rows = (
        (
            *(attempt.name, outcome_of(attempt), attempt.epochs),
            *_known_cells(search, attempt),
            *_all_axes(search, attempt),
        )
        for attempt in search.attempts
    )
    caption = (
        "Everything that was tried, in the order of proposal. Each ended by itself, was stopped "
        "by the pruner, is paused or failed. Validation figures where the training stands, on the "
        "search's seed: of a stopped one not comparable with one that ended."
        f"{words.less_is_better(search.targets)}"
    )
    columns = (
        *("name", "state", "epochs", *map(words.column, search.targets), *_cost_columns(search)),
        *(("axes",) if len(search.space.axes) > MANY_AXES else search.space.axes),
    )
    return table("configurations", caption, columns, rows)


def space_table(search: SearchResults) -> Table:
    """What could be varied, and what stayed."""
    space = search.space
    rows = ((choice.name, _domain(choice), _condition(choice)) for choice in space.choices)
    fixed = {k: v for k, v in own_fields(space.base).items() if k not in space.axes}
    base = f" Everything else: FSMDConfig with {json.dumps(fixed)}." if fixed else ""
    caption = f"The space {space.name}: what the search could choose.{base}"
    return table("space", caption, ("axis", "values", "where"), rows)


def _domain(choice: Choice) -> str:
    domain: Mapping[str, Any] = vars(choice.domain)
    if "choices" in domain:
        return ", ".join(map(words.plain, domain["choices"]))
    low, high, step = domain["low"], domain["high"], domain["step"]
    if domain["log"]:
        return f"{low:g} to {high:g}, by its logarithm"
    return f"{low:g} to {high:g}" + ("" if step in (None, 1) else f" in steps of {step}")


def _condition(choice: Choice) -> str:
    conditions = (
        f"{name} is {words.listed(map(words.plain, values), last='or')}"
        for name, values in choice.when
    )
    return " and ".join(conditions) or "always"


# Cells


def _picked_cell(analysis: SearchAnalysis, name: str) -> TableCell:
    """One rule a line."""
    first, *rest = analysis.picked_by.get(name, (words.DASH,))
    return TableCell(first, tuple(rest))


def _fresh_cell(point: Confirmed, k: int, target: Target) -> TableCell:
    metric = METRICS[target.metric]
    if not point.searched:
        return interval_cell(point.fresh[k], metric)
    seen = words.figure(point.searched[k], metric)
    minus = words.signed(point.shrinkage[k].mean, metric.digits)
    return interval_cell(point.fresh[k], metric, f"search {seen}, {minus}")


def _known_cells(search: SearchResults, attempt: Attempt) -> tuple[str, ...]:
    """Its figures where it stands, and its costs."""
    figures = search.figures(attempt) or (float("nan"),) * len(search.targets)
    pairs = zip(search.targets, figures, strict=True)
    costs = [attempt.costs.get(cost.key, float("nan")) for cost in search.costs]
    return (
        *(words.figure(value, METRICS[target.metric]) for target, value in pairs),
        *_cost_cells(search, attempt, costs),
    )


def _axis_values(search: SearchResults, attempt: Attempt) -> tuple[str, ...]:
    return tuple(axis_value(attempt.params.get(name)) for name in search.space.axes)


def _all_axes(search: SearchResults, attempt: Attempt) -> tuple[str, ...]:
    """One column an axis, or all in one where they are many."""
    values, axes = _axis_values(search, attempt), search.space.axes
    if len(values) <= MANY_AXES:
        return values
    pairs = zip(axes, values, strict=True)
    return ("; ".join(f"{name} {value}" for name, value in pairs if name in attempt.params),)


def axis_value(value: Value | None) -> str:
    """A value on an axis; a dash where the axis does not count."""
    return f"{value:.4g}" if isinstance(value, float) else words.plain(value)


def _cost_cells(
    search: SearchResults, attempt: Attempt, values: Sequence[float]
) -> tuple[str, ...]:
    """Its parameters, and the costs that are objectives."""
    pairs = zip(search.costs, values, strict=True)
    return (
        words.DASH if attempt.parameters is None else f"{attempt.parameters:,}",
        *(objective_value(value, cost) for cost, value in pairs if not _is_size(cost)),
    )


def _cost_columns(search: SearchResults) -> tuple[str, ...]:
    return ("parameters", *(cost.label for cost in search.costs if not _is_size(cost)))


def _is_size(cost: Objective) -> bool:
    """Whether it is shown of every model anyway."""
    return cost.key == "params"


def objective_value(value: float, objective: Objective) -> str:
    """With the objective's decimals."""
    if value != value:
        return words.DASH
    return f"{value:,.{objective.digits}f}".replace("-", words.MINUS)


def objective_interval(estimate: Estimate, objective: Objective) -> str:
    """A mean and its interval, with the objective's decimals."""
    bounds = words.bounds(estimate, objective.digits)
    return f"{objective_value(estimate.mean, objective)} {bounds}".rstrip()
