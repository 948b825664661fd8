"""What trainings measured, read from the database and changed there, number by number."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from fsmd.training import Measurement
from studies.store.curves import rows_of
from studies.store.tables import MEASUREMENTS

COLUMNS = "SELECT epoch, split, task, metric, curve FROM fsmd_measurements"
Row = tuple[int, str, str, str, float]


def figures(rows: Iterable[Sequence[Any]]) -> list[Row]:
    """(epoch, split, task, metric, value) of a training, in order.

    rows: the same columns, as they are stored, with a curve.
    """
    return sorted(
        (epoch + i, split, task, metric, value)
        for epoch, split, task, metric, curve in rows
        for i, value in enumerate(json.loads(curve))
    )


def change(
    engine: sa.Engine,
    new: Callable[[Measurement], float | None],
    cells: str = "1 = 1",
    **words: str,
) -> None:
    """Put another value in the place of each, or none.

    cells: a condition in SQL, with its `words`, on the cells whose trainings are changed.
    """
    query = sa.text(f"SELECT DISTINCT run_id FROM fsmd_cells WHERE {cells}")
    with engine.connect() as connection:
        ids = connection.scalars(query, words).all()
    for run_id in ids:
        with engine.begin() as connection:
            own = sa.text(f"{COLUMNS} WHERE run_id = :id")
            known = [Measurement(*row) for row in figures(connection.execute(own, {"id": run_id}))]
            told = [(m, new(m)) for m in known]
            kept = [replace(m, value=value) for m, value in told if value is not None]
            connection.execute(sa.delete(MEASUREMENTS).filter_by(run_id=run_id))
            rows = [{"run_id": run_id, **row} for row in rows_of(kept)]
            connection.execute(sa.insert(MEASUREMENTS), rows)


def row_of(measured: Measurement) -> Row:
    return measured.epoch, measured.split, measured.task, measured.metric, measured.value
