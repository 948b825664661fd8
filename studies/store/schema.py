"""The version of our tables, kept beside them.

A change of the tables, or of what is written into them, raises `VERSION`. Tables of another
version are refused, and left as they are.
"""

from typing import Any

import sqlalchemy as sa

from fsmd.errors import UserError
from studies.store.faults import patient, shown
from studies.store.tables import SCHEMA, STUDIES, as_stored

VERSION = 5
"""1 had no stamp, and no tokens of planners; 2 kept nothing of the validation rows, and one margin
for all metrics; 3 did not keep what a claim asked when a look judged it; 4 had a row for each
number measured.
"""


def check_stamp(engine: sa.Engine) -> None:
    """Refuse the tables of a newer version, which may hold what this one does not know."""
    for row in _stamps(engine):
        if type(row.version) is not int or row.version < 1:
            raise UserError(
                f"another program wrote {row.version!r} into the table {SCHEMA.name} of "
                f"{shown(engine.url)}; use another --storage"
            )
        if row.version > VERSION:
            raise UserError(
                f"a newer version of fsmd made {shown(engine.url)}: its tables are of version "
                f"{row.version}, and this one knows version {VERSION}; upgrade fsmd, or use "
                "another --storage"
            )


@patient
def check_earlier(engine: sa.Engine) -> None:
    """Refuse the studies of an earlier version; tables without any may be half made."""
    if not sa.inspect(engine).has_table(STUDIES.name):
        return
    with engine.connect() as connection:
        some = connection.execute(sa.select(STUDIES.c.name).limit(1)).first()
    if some and [row.version for row in _stamps(engine)] != [VERSION]:
        raise UserError(
            f"an earlier version of fsmd made {shown(engine.url)}, and this one cannot go on from "
            "what is there; use another --storage, or look at it with the version that made it"
        )


@patient
def _stamps(engine: sa.Engine) -> list[sa.Row[Any]]:
    if not sa.inspect(engine).has_table(SCHEMA.name):
        return []
    with engine.connect() as connection:
        return [*connection.execute(as_stored(SCHEMA))]


def stamp(connection: sa.Connection) -> None:
    """Write that the tables are of this version, unless that is written."""
    if connection.scalars(sa.select(SCHEMA.c.version)).all() != [VERSION]:
        connection.execute(sa.delete(SCHEMA))
        connection.execute(sa.insert(SCHEMA).values(version=VERSION))
