"""Databases for made-up studies, and what is alike in all of them."""

from pathlib import Path

import sqlalchemy as sa

from studies.store.database import open_engine
from studies.store.runs import Provenance

PLANNED_AT = "2026-11-01T10:00:00+00:00"
FINISHED_AT = "2026-11-02T12:00:00+00:00"
PROVENANCE = Provenance({"torch": "2.13.0"}, "a machine")


def fresh_engine(folder: Path, name: str = "studies") -> sa.Engine:
    """An empty database, `folder/name.db`."""
    return open_engine(f"sqlite:///{folder / name}.db", create=True)


def end_on_one_day(engine: sa.Engine) -> None:
    """All trainings end at `FINISHED_AT`: reports are then the same on every machine and day."""
    with engine.begin() as connection:
        connection.execute(sa.text(f"UPDATE fsmd_runs SET finished_at='{FINISHED_AT}'"))
