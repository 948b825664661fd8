"""The tables of a search's report."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reports import words
from reports.axis_importance import Importance
from reports.estimates import Estimate
from reports.model import Cell, Table
from reports.search_analysis import FEWEST_SEEDS, Confirmed, SearchAnalysis, confirmation_epochs
from reports.search_results import Configuration, SearchResults, own_fields
from search_spaces import Level
from search_spaces.spaces import Choice

MANY = 6
"""More axes than this do not fit side by side into a table."""

STATES: Mapping[str, str] = {
    "ended": "trained to the end",
    "stopped": "stopped early",
    "paused": "not finished",
    "failed": "failed",
}


def front_table(analysis: SearchAnalysis) -> Table:
    """The confirmed points; without any, the front that the search saw."""
    return _confirmed_table(analysis) if analysis.confirmed else _searched_table(analysis)


def _confirmed_table(analysis: SearchAnalysis) -> Table:
    found, known = analysis.found, _by_level(analysis.found)
    rows = tuple(
        (
            Cell(c.level, strong=c.on_front),
            *(_fresh_cell(c, k) for k in range(len(found.tasks))),
            Cell(probability(c, len(analysis.confirmed))),
            *(_interval_cell(e) for e in c.test),
            *_costs(found, known[c.level]),
            _picked_cell(analysis, c.level),
        )
        for c in reversed(analysis.confirmed)
    )  # fmt: skip
    seeds = words.count(len(analysis.seeds), "paired fresh seed")
    caption = (
        f"The points that were trained again, over {seeds}: mean AUC [95 % interval over the "
        "seeds]. Below it the value that the search saw, on its own seed, and by how much it was "
        "higher. Bold: on the front of the fresh means. P(front): the probability that the mean "
        "is non-dominated on validation, from the t distribution of the paired means; below "
        f"{FEWEST_SEEDS} seeds it is not told. Points were chosen on validation; test is only "
        "shown."
    )
    columns = ("configuration", *(f"validation, {task}" for task in found.tasks), "P(front)",
               *(f"test, {task}" for task in found.tasks), *_cost_names(found),
               "picked by")  # fmt: skip
    return Table(0, caption, columns, rows, "front")


def probability(point: Confirmed, points: int) -> str:
    """Never 0 or 1 between several points: few seeds cannot show that."""
    if point.probability != point.probability:
        return words.DASH
    return words.probability(
        point.probability if points == 1 else min(max(point.probability, 0.001), 0.999)
    )


def _searched_table(analysis: SearchAnalysis) -> Table:
    found, known = analysis.found, _by_level(analysis.found)
    rows = tuple(
        (
            Cell(level),
            *(Cell(words.auc(value)) for value in known[level].values),
            *_costs(found, known[level]),
            _picked_cell(analysis, level),
        )
        for level in reversed(analysis.front)
    )
    caption = (
        "The front that the search saw, on one seed: the best of many values that chance moved, "
        "so they look better than they are."
    )
    columns = ("configuration", *(f"validation, {task}" for task in found.tasks),
               *_cost_names(found), "picked by")  # fmt: skip
    return Table(0, caption, columns, rows, "front")


def axes_table(analysis: SearchAnalysis) -> Table:
    """What the points of the table before are: their place on every axis."""
    found, known = analysis.found, _by_level(analysis.found)
    levels = [c.level for c in analysis.confirmed][::-1] or list(analysis.front)[::-1]
    cells = [_axis_cells(found, known[level].params) for level in levels]
    rows = tuple(
        (Cell(axis), *column) for axis, *column in zip(found.space.axes, *cells, strict=True)
    )
    return Table(0, "What they are: the axes that the search varied.", ("axis", *levels), rows,
                 "axes")  # fmt: skip


def difference_table(analysis: SearchAnalysis) -> Table | None:
    """Each pick minus each reference, on test; None if no reference was confirmed."""
    rows = tuple(
        (Cell(f"{pick.level} minus {other}"), *(_difference_cell(e) for e in estimates))
        for pick in reversed(analysis.picks)
        for other, estimates in pick.differences
    )
    if not rows:
        return None
    both = "seeds and the finite test set" if analysis.found.fresh_test.samplings else "seeds"
    caption = (
        f"Test AUC of each picked point minus that of the paper's models, paired over "
        f"{words.count(len(analysis.seeds), 'fresh seed')}, with its 95 % interval over {both}. "
        "Bold: the interval is clear of zero. Each interval is of one comparison alone."
    )
    columns = ("difference", *(f"test, {task}" for task in analysis.found.tasks))
    return Table(0, caption, columns, rows, "differences")


def epochs_table(analysis: SearchAnalysis) -> Table:
    """Where the epochs went, and what stopping saved."""
    found, s = analysis.found, analysis.spent
    stopped, ended = len(found.all_in("stopped")), len(found.all_in("ended"))
    other = len(found.configurations) - stopped - ended
    confirmation = confirmation_epochs(found)
    rows = [
        ("spent: trained to the end", ended, f"{s.ended:,}"),
        ("spent: stopped by the pruner", stopped, f"{s.stopped:,}"),
        *([("spent: not finished or failed", other, f"{s.other:,}")] if other else []),
        ("spent: the search in all", len(found.configurations), f"{s.total:,}"),
        *(
            [("spent: fresh seeds", len(found.fresh.runs), f"{confirmation:,}")]
            if confirmation
            else []
        ),
        ("saved by stopping, at most", stopped, f"{s.saved_at_most:,}"),
        *([("saved by stopping, fairly", stopped, f"{s.saved_fairly:,.0f}")] if ended else []),
        ("saved by early stopping", ended, f"{s.saved_by_patience:,}"),
    ]
    fair = (
        f"; fairly: to {s.typical:g}, the median of those that ended by themselves"
        if ended
        else ""
    )
    caption = (
        f"Epochs of the search. Saved by stopping, at most: as if every stopped training had "
        f"gone on to epoch {found.most_epochs}, the last{fair}. Saved by early stopping: what "
        f"those that ended by themselves left of the {found.most_epochs}."
    )
    cells = tuple((Cell(what), Cell(str(count)), Cell(number)) for what, count, number in rows)
    return Table(0, caption, ("epochs", "trainings", "number"), cells, "epochs")


def importance_table(made: Importance) -> Table | None:
    """Each axis's share for each target; None where there are no numbers."""
    if not made.shares:
        return None
    rows = tuple(
        (Cell(axis), *(
            Cell(f"{100 * share.share:.0f} %", (f"by chance {100 * share.by_chance:.0f} %",),
                 share.share > share.by_chance)
            for target in made.targets for share in [made.shares[target, axis]]
        ))
        for axis in made.axes
    )  # fmt: skip
    return Table(0, "The figure's numbers. Bold: more than chance.", ("axis", *made.targets),
                 rows, "importance")  # fmt: skip


def configurations_table(found: SearchResults) -> Table:
    """Everything that was tried, in the order of proposal."""
    rows = tuple(
        (
            Cell(c.level), Cell(c.state), Cell(str(c.epochs)),
            *(Cell(words.auc(v)) for v in c.values or (float("nan"),) * len(found.tasks)),
            *_costs(found, c), *_all_axes(found, c.params),
        )
        for c in found.configurations
    )  # fmt: skip
    caption = (
        "Everything that was tried, in the order of proposal: ended by itself, stopped by the "
        "pruner, paused (not finished) or failed. Validation AUC on the search's own seed where "
        "the training stands: at its best epoch so far if it was stopped, which is not comparable "
        "with one that was trained to the end."
    )
    columns = ("name", "state", "epochs", *(f"AUC, {t}" for t in found.tasks),
               *_cost_names(found), *_axis_names(found))  # fmt: skip
    return Table(0, caption, columns, rows, "configurations")


def space_table(found: SearchResults) -> Table:
    """What could be varied, and what stayed."""
    rows = tuple(
        (Cell(choice.name), Cell(_domain(choice)), Cell(_condition(choice)))
        for choice in found.space.choices
    )
    fixed = {k: v for k, v in own_fields(found.space.base).items() if k not in found.space.axes}
    base = f" Everything else: FSMDConfig with {as_json(fixed)}." if fixed else ""
    caption = f"The space {found.space.name}: what the search could choose.{base}"
    return Table(0, caption, ("axis", "values", "where"), rows, "space")


def as_json(values: Mapping[str, Any]) -> str:
    """JSON that `FSMDConfig.from_dict` reads, in the order of the fields."""
    return json.dumps(values)


def _domain(choice: Choice) -> str:
    domain = vars(choice.domain)
    if "choices" in domain:
        return ", ".join(words.plain(value) for value in domain["choices"])
    low, high, step = domain["low"], domain["high"], domain["step"]
    by = ", by its logarithm" if domain["log"] else f" in steps of {step}" if (
        step not in (None, 1)) else ""  # fmt: skip
    return f"{low:g} to {high:g}{by}"


def _condition(choice: Choice) -> str:
    told = (f"{name} is {' or '.join(map(words.plain, levels))}" for name, levels in choice.when)
    return " and ".join(told) or "always"


def _picked_cell(analysis: SearchAnalysis, level: str) -> Cell:
    """One rule a line."""
    first, *rest = analysis.picked_by.get(level, (words.DASH,))
    return Cell(first, tuple(rest))


def _by_level(found: SearchResults) -> dict[str, Configuration]:
    return {c.level: c for c in found.configurations}


def _fresh_cell(point: Confirmed, k: int) -> Cell:
    notes = [words.bounds(point.fresh[k])]
    if point.searched:
        notes.append(f"search {words.auc(point.searched[k])}, "
                     f"{words.signed(point.shrinkage[k].mean, 4)}")  # fmt: skip
    return Cell(words.auc(point.fresh[k].mean), tuple(filter(None, notes)))


def _interval_cell(estimate: Estimate) -> Cell:
    return Cell(words.auc(estimate.mean), tuple(filter(None, [words.bounds(estimate)])))


def _difference_cell(estimate: Estimate) -> Cell:
    if not estimate.n:
        return Cell(words.DASH)
    clear = estimate.low is not None and estimate.high is not None and (
        estimate.low > 0 or estimate.high < 0)  # fmt: skip
    bounds = words.bounds(estimate, 5, sign=True)
    return Cell(words.signed(estimate.mean), tuple(filter(None, [bounds])), clear)


def _axis_cells(found: SearchResults, params: Mapping[str, Level]) -> tuple[Cell, ...]:
    return tuple(Cell(_level(params.get(name))) for name in found.space.axes)


def _all_axes(found: SearchResults, params: Mapping[str, Level]) -> tuple[Cell, ...]:
    """One column an axis, or all in one where they are many."""
    cells = _axis_cells(found, params)
    if len(cells) <= MANY:
        return cells
    told = (f"{name} {cell.text}" for name, cell in zip(found.space.axes, cells, strict=True)
            if name in params)  # fmt: skip
    return (Cell("; ".join(told)),)


def _axis_names(found: SearchResults) -> tuple[str, ...]:
    return found.space.axes if len(found.space.axes) <= MANY else ("axes",)


def _level(value: Level | None) -> str:
    return f"{value:.4g}" if isinstance(value, float) else words.plain(value)


def _costs(found: SearchResults, one: Configuration) -> Sequence[Cell]:
    """Its parameters, and the third objective where it is another."""
    parameters = words.DASH if one.parameters is None else f"{one.parameters:,}"
    if found.cost != "latency":
        return (Cell(parameters),)
    return Cell(parameters), Cell(words.DASH if one.cost is None else f"{one.cost:.3g}")


def _cost_names(found: SearchResults) -> tuple[str, ...]:
    return ("parameters", "ms per 1,000 rows") if found.cost == "latency" else ("parameters",)
