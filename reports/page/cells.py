"""Tables, and estimates as their cells and as entries of a JSON file."""

from collections.abc import Iterable
from typing import Any

from fsmd.metrics import Metric
from fsmd.stats.estimates import Estimate
from reports import words
from reports.page.model import Table, TableCell


def table(
    key: str, caption: str, columns: Iterable[str], rows: Iterable[Iterable[object]]
) -> Table:
    """A table; what is no cell becomes one with its text."""
    cells = (
        tuple(cell if isinstance(cell, TableCell) else TableCell(str(cell)) for cell in row)
        for row in rows
    )
    return Table(key, caption, tuple(columns), tuple(cells))


def interval_cell(
    estimate: Estimate, metric: Metric, *more: str, strong: bool = False
) -> TableCell:
    """A mean with its interval below it, and other lines below that."""
    notes = (words.bounds(estimate, metric.digits), *more)
    return TableCell(words.figure(estimate.mean, metric), tuple(filter(None, notes)), strong)


def difference_cell(
    estimate: Estimate, metric: Metric, *more: str, strong: bool = False
) -> TableCell:
    """A mean difference with its interval below it, and other lines below that."""
    if not estimate.n:
        return TableCell(words.DASH)
    digits = metric.digits + 1
    notes = (words.bounds(estimate, digits, sign=True), *more)
    return TableCell(words.signed(estimate.mean, digits), tuple(filter(None, notes)), strong)


def ends(estimate: Estimate) -> dict[str, Any]:
    """For JSON; low and high are null where there is no interval."""
    return {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
