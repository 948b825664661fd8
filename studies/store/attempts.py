"""Reads and writes what a search has tried, in the order of its proposals."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from search_spaces import Value
from studies.reading import of_study, read_row, stored_at
from studies.store.faults import patient
from studies.store.tables import ATTEMPTS, as_stored


@dataclass(frozen=True)
class StoredAttempt:
    """A configuration that a search proposed; how its training went is a row of `runs`."""

    name: str
    params: Mapping[str, Value]
    run_id: str
    costs: Mapping[str, float] = field(default_factory=dict)
    notes: Mapping[str, Any] = field(default_factory=dict)
    stopped: bool = False


@patient
def stored_attempts(engine: sa.Engine, study: str) -> tuple[StoredAttempt, ...]:
    """What a search has tried, in the order of its proposals; StoredError for what is none."""
    query = as_stored(ATTEMPTS).where(ATTEMPTS.c.study == study).order_by(ATTEMPTS.c.number)
    with engine.connect() as connection:
        rows = connection.execute(query).all()
    attempts, names = list[StoredAttempt](), set[str]()
    with of_study(study):
        for number, row in enumerate(rows):
            with stored_at(f"attempt {row.number} of {ATTEMPTS.name}"):
                if row.number != number or type(row.number) is not int:
                    raise ValueError(f"column number must count from 0; got no {number}")
                attempt = read_row(StoredAttempt, row._mapping)
                if not attempt.name or attempt.name in names:
                    raise ValueError("column name must be another one for each attempt")
                if min(attempt.costs.values(), default=0.0) < 0:
                    raise ValueError(f"column costs must be at least 0; got {attempt.costs}")
                attempts.append(attempt)
                names.add(attempt.name)
    return tuple(attempts)


@patient
def insert_attempt(engine: sa.Engine, study: str, number: int, attempt: StoredAttempt) -> None:
    """Store the attempt that comes next; number: how many came before."""
    values = {name: _plain(value) for name, value in vars(attempt).items()}
    key = {"study": study, "number": number}
    with engine.begin() as connection:
        connection.execute(sa.delete(ATTEMPTS).filter_by(**key))
        connection.execute(sa.insert(ATTEMPTS).values(**key, **values))


@patient
def set_stopped(engine: sa.Engine, study: str, number: int, stopped: bool) -> None:
    """Say that the pruner gave an attempt up, or that it goes on after all."""
    with engine.begin() as connection:
        row = sa.update(ATTEMPTS).filter_by(study=study, number=number)
        connection.execute(row.values(stopped=stopped))


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else value
