"""Which columns may be labels, and which of them follows which."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.description.expression import parse
from fsmd.data.rows.part import Where
from fsmd.errors import shown
from studies.data.draft.column import YES, Column
from studies.data.draft.look import Seen
from studies.data.draft.names import column as written
from studies.data.draft.words import AFTER, NO_LABEL, RATINGS, has, names_a_label

LEAST_ONES = 40
"""Rows of each class, with fewer of which a tenth of the rows tells nothing."""
RARE = 0.005
"""Share of ones, below which a task is written but does not bind, unless it has many rows."""
MANY_ONES = 1_000
BROKEN = 0.01
"""Share of a task's ones without the task that it follows, up to which it may still follow."""
BY_CHANCE = 10
"""Rows that would be without it by chance, at least: else it says nothing that there are few."""
FEW_VALUES = 12


@dataclass(frozen=True)
class Label:
    """A task that a column may be."""

    column: Column
    expression: str
    ones: int
    rows: int
    why: str
    on: bool = True
    after: "Label | None" = None
    without: int = 0
    """Rows that are 1 where the one it follows is 0."""
    name: str = ""
    """Of the task; the column's."""
    field: bool = False
    """Whether the column is a field all the same."""

    @property
    def task(self) -> str:
        """What the task is called, before it must differ from others."""
        return self.name or self.column.name

    @property
    def written(self) -> str:
        """The expression; 1 without the task that it follows counts as 0."""
        if self.after is None or not self.without:
            return self.expression
        return f"{self.after.written} and {self.expression}"


def labels(seen: Seen) -> list[Label]:
    """What may be a label, most frequent first; tasks that follow come after what they follow."""
    two = [c for c in seen.columns if not c.table and _is_two_valued(c, seen)]
    named = [c for c in two if names_a_label(c.name)]
    found = [_plain(c, seen, "two values, named like what a person did") for c in named]
    found = found or _by_steps(seen)
    if not found and two:
        own = [c for c in seen.columns if not c.table]
        chosen = max(two, key=lambda c: (c in (own[0], own[-1]), own.index(c)))
        at_end = chosen in (own[0], own[-1])
        why = f"two values, in the {'first or last' if at_end else 'last such'} column"
        found = [_plain(chosen, seen, why)]
        found += [
            replace(
                _plain(c, seen, "two values, but a field until you say so"), on=False, field=True
            )
            for c in two
            if c is not chosen
        ]
    found = found or _by_measure(seen)
    kept = [_judged(label) for label in found]
    sure = [label for label in kept if not label.field]
    if sure and not any(label.on for label in sure):
        best = max(sure, key=lambda label: min(label.ones, label.rows - label.ones))
        kept = [replace(label, on=True) if label is best else label for label in kept]
    return _funnel(sorted(kept, key=lambda label: -label.ones), seen)


def _is_zero_one(column: Column, seen: Seen) -> bool:
    return (
        0 < seen.pairs.ones.get(column.name, 0) < column.there and column.name in seen.pairs.names
    )


def _is_two_valued(column: Column, seen: Seen) -> bool:
    return _is_zero_one(column, seen) or (column.distinct == 2 and len(column.values) == 2)


def _plain(column: Column, seen: Seen, why: str) -> Label:
    """The label that a column of two values is: 1, yes, the larger number, or the rarer text."""
    name = written(column.name)
    values = column.values
    if _is_zero_one(column, seen):
        ones = seen.pairs.ones[column.name]
        expression = f"{name} == 1"
        if pa.types.is_boolean(column.kind):
            expression = name
        elif not column.is_number:
            yes = [value for value, _ in values if str(value).lower() in YES]
            expression = (
                f"{name} == {yes[0]!r}"
                if len(yes) == 1
                else f"{name} in [{', '.join(map(repr, yes))}]"
            )
    elif column.is_number:
        value, ones = max(values, key=lambda pair: float(pair[0]))
        expression, why = f"{name} == {float(value):.15g}", f"{why}; the larger is taken for yes"
    else:
        value, ones = values[-1]
        expression = f"{name} == {str(value)!r}"
        why = f"{why}; {shown(value)} is the rarer of two texts"
    return Label(column, expression, ones, column.there, why)


def _by_steps(seen: Seen) -> list[Label]:
    """Labels by a threshold: of a rating, or one for each step of a column that counts them."""
    for column in _own_numbers(seen):
        if has(column.name, RATINGS) and column.distinct <= FEW_VALUES:
            bound = column.low + 0.75 * (column.high - column.low)
            return [_above(column, np.floor(2 * bound) / 2, "a rating; from where on is yes?")]
    for column in _own_numbers(seen):
        steps = sorted(float(value) for value, _ in column.values)
        if names_a_label(column.name) and steps == list(range(len(steps))):
            why = f"one column holds the steps 0 to {len(steps) - 1}"
            tasks = [_above(column, step, why) for step in range(1, min(len(steps), 4))]
            return [replace(t, name=f"{column.name}_{i}") for i, t in enumerate(tasks, 1)]
    return []


def _by_measure(seen: Seen) -> list[Label]:
    """A label by the median of what is measured after the row, where there is no other."""
    for column in _own_numbers(seen):
        if has(column.name, AFTER) and not has(column.name, NO_LABEL):
            number_N = seen.numbers(column)
            bound = float(f"{np.nanmedian(number_N):.3g}")
            label = _above(column, bound, "measured after the row: above its median")
            share = float(np.mean(number_N[~np.isnan(number_N)] >= bound))
            return [replace(label, ones=round(share * column.there))]
    return []


def _own_numbers(seen: Seen) -> list[Column]:
    return [c for c in seen.columns if not c.table and c.is_number and c.distinct > 2]


def _above(column: Column, bound: float, why: str) -> Label:
    rows = sum(n for value, n in column.values if float(value) >= bound)
    expression = f"{written(column.name)} >= {bound:.15g}"
    return Label(column, expression, rows, column.there, why)


def _judged(label: Label) -> Label:
    """The label with its counts; it does not bind where one class is too rare."""
    rarer = min(label.ones, label.rows - label.ones)
    why = f"{label.ones / label.rows:.2%} of {label.rows:,} rows"
    if label.rows < label.column.rows:
        why += f" ({label.column.rows - label.rows:,} not observed)"
    why += f"; {label.why}"
    if rarer < LEAST_ONES:
        return replace(label, on=False, why=f"{label.ones:,} rows are too few to judge by; {why}")
    if rarer < MANY_ONES and rarer < RARE * label.rows:
        return replace(label, on=False, why=f"{label.ones:,} rows are few: wide intervals; {why}")
    return replace(label, why=why)


def _funnel(given: Sequence[Label], seen: Seen) -> list[Label]:
    """Each label after the rarest one without which it (almost) never is 1."""
    done: list[Label] = []
    for label in given:
        parents = [p for p in done if p.on or not label.on]
        best: Label | None = None
        best_without = 0
        for parent in parents:
            without = _without(label, parent, seen)
            if without is None or label.ones >= parent.ones:
                continue
            by_chance = label.ones * (1 - parent.ones / max(1, parent.rows))
            if (
                by_chance >= BY_CHANCE
                and without <= BROKEN * label.ones
                and (best is None or parent.ones < best.ones)
            ):
                best, best_without = parent, without
        if best is not None:
            told = f"{best_without:,} of {label.ones:,} without {best.task}"
            if best_without:
                told += " count as 0"
            label = replace(label, after=best, without=best_without, why=f"{told}; {label.why}")
        done.append(label)
    return done


def _without(label: Label, parent: Label, seen: Seen) -> int | None:
    """Rows with the one and without the other; None where nobody counted."""
    if label.column is parent.column:
        return 0
    return seen.pairs.without.get((label.column.name, parent.column.name))


def sampled(label: Label, sample: pa.Table) -> NDArray[np.float64]:
    """0, 1 or NaN of each row of the sample, as the label's expression has it."""
    columns = {label.column.name: sample.column(label.column.name).combine_chunks()}
    where = Where("the sample", np.arange(len(sample)))
    truth = parse(label.expression, label.column.name).evaluate(columns, where, len(sample))
    array = truth.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(array, np.float64)
