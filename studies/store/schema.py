"""The version of our tables, kept beside them.

A change of the tables raises `VERSION`. Tables that only lack others beside them are completed by
the next run; of any other difference `studies.store.database` says what to do.
"""

import sqlalchemy as sa

from fsmd.errors import UserError
from studies.store.faults import patient, shown
from studies.store.tables import SCHEMA, as_stored

VERSION = 3
"""1 had no stamp, and no tokens of planners; 2 kept nothing of the validation rows."""


@patient
def check_stamp(engine: sa.Engine) -> None:
    """Refuse the tables of a newer version, which may hold what this one does not know."""
    if not sa.inspect(engine).has_table(SCHEMA.name):
        return
    with engine.connect() as connection:
        rows = connection.execute(as_stored(SCHEMA)).all()
    for row in rows:
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


def stamp(connection: sa.Connection) -> None:
    """Write that the tables are of this version, unless that is written."""
    if connection.scalars(sa.select(SCHEMA.c.version)).all() != [VERSION]:
        connection.execute(sa.delete(SCHEMA))
        connection.execute(sa.insert(SCHEMA).values(version=VERSION))
