"""One planner a study: a lock that the operating system or the database frees when it dies."""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from fsmd.errors import UserError
from studies.store.faults import patient
from studies.store.locks import held
from studies.store.tables import STUDIES


@contextmanager
def only_planner(engine: sa.Engine, study: str) -> Iterator[None]:
    """Hold the study; UserError names the planner that already does."""
    with held(engine, study) as free:
        if not free:
            raise UserError(
                f"study {study!r} is being run by {_holder(engine, study)}; wait for it to end, "
                "or keep yours apart with --name"
            )
        yield


@patient
def _holder(engine: sa.Engine, study: str) -> str:
    with engine.connect() as connection:
        holder = connection.scalar(sa.select(STUDIES.c.planner).filter_by(name=study))
    return holder or "another process"


def this_process() -> str:
    """How a planner is named to others."""
    return f"process {os.getpid()} on {socket.gethostname()}"
