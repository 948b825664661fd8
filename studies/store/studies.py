"""Reads and writes what is stored of studies and searches."""

import sqlalchemy as sa

from studies.store.records import StudyRecord
from studies.store.tables import STUDIES


def study_names(engine: sa.Engine) -> tuple[str, ...]:
    """Names of the stored studies and searches, sorted."""
    with engine.connect() as connection:
        return tuple(connection.scalars(sa.select(STUDIES.c.name).order_by(STUDIES.c.name)))


def find_study(engine: sa.Engine, name: str) -> StudyRecord | None:
    """The stored study or search of this name, or None."""
    with engine.connect() as connection:
        row = connection.execute(sa.select(STUDIES).where(STUDIES.c.name == name)).one_or_none()
    return StudyRecord.from_row(row._mapping) if row else None


def insert_study(engine: sa.Engine, record: StudyRecord) -> None:
    """Store a new study or search."""
    with engine.begin() as connection:
        connection.execute(sa.insert(STUDIES).values(record.to_row()))


def update_study(engine: sa.Engine, record: StudyRecord) -> None:
    """Replace what is stored under the record's name, when the study went on."""
    with engine.begin() as connection:
        connection.execute(sa.update(STUDIES).filter_by(name=record.name).values(record.to_row()))
