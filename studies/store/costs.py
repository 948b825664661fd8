"""Reads and writes what models cost, each measured once on a machine."""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from fsmd.config import digest
from studies.reading import read, stored_at
from studies.store.faults import patient
from studies.store.runs import batches
from studies.store.tables import COSTS, as_stored

LATENCY = "latency"
"""The cost that reports show of every arm."""


@dataclass(frozen=True)
class CostKey:
    """Which cost, of which model, on which data, by which code, on which machine."""

    cost: str
    config_hash: str
    data_hash: str
    code: str
    machine: str

    @property
    def id(self) -> str:
        """Of its row."""
        return digest(asdict(self))


@patient
def known_cost(engine: sa.Engine, key: CostKey) -> float | None:
    """What was measured; None if it was not. StoredError for what no cost can be."""
    with engine.connect() as connection:
        query = as_stored(COSTS).where(COSTS.c.id == key.id)
        row = connection.execute(query).one_or_none()
    return None if row is None else _value(row)


@patient
def known_costs(
    engine: sa.Engine, cost: str, codes: Collection[str], config_hashes: Collection[str]
) -> dict[CostKey, float]:
    """What was measured of a cost of some models by versions of the code, on any machine."""
    known = dict[CostKey, float]()
    with engine.connect() as connection:
        for some in batches(list(config_hashes)):
            query = as_stored(COSTS).where(COSTS.c.cost == cost, COSTS.c.code.in_(codes))
            rows = connection.execute(query.where(COSTS.c.config_hash.in_(some))).all()
            known |= {_key(row): _value(row) for row in rows}
    return known


@patient
def record_cost(engine: sa.Engine, key: CostKey, value: float) -> None:
    """Keep what a model costs; the first measurement stays."""
    with suppress(sa.exc.IntegrityError), engine.begin() as connection:
        connection.execute(sa.insert(COSTS).values(id=key.id, **asdict(key), value=value))


def _key(row: Any) -> CostKey:
    with stored_at(f"cost {str(row.id)[:12]}"):
        columns = {n: v for n, v in row._mapping.items() if n not in ("id", "value")}
        key: CostKey = read(CostKey, columns)
        return key


def _value(row: Any) -> float:
    with stored_at(f"cost {str(row.id)[:12]}, column value"):
        value: float = read(float, row.value)
        if value < 0:
            raise ValueError(f"must be at least 0; got {value}")
    return value
