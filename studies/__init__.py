"""What to vary, hold and compare; how to run it.

For a notebook::

    from studies import execute, open_engine
    execute("tower_shape", replicates=2)
"""

import studies.start  # noqa: F401  # isort: skip  (first: nothing may shadow what follows)
from importlib import import_module
from typing import TYPE_CHECKING, Any

from studies.catalog import get, names
from studies.definition import (
    Above,
    Arm,
    Best,
    Claim,
    Factor,
    Flat,
    NotEverywhere,
    NotWorse,
    Search,
    Study,
    Trades,
    factorial,
    named,
    one_factor,
)

if TYPE_CHECKING:
    from studies.session import execute
    from studies.store.database import open_engine

__all__ = [
    "Above",
    "Arm",
    "Best",
    "Claim",
    "Factor",
    "Flat",
    "NotEverywhere",
    "NotWorse",
    "Search",
    "Study",
    "Trades",
    "execute",
    "factorial",
    "get",
    "named",
    "names",
    "one_factor",
    "open_engine",
]

_LATE = {"execute": "studies.session", "open_engine": "studies.store.database"}
"""Where the names lie that load pandas, Optuna or SQLAlchemy."""


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module 'studies' has no attribute {name!r}")
    return getattr(import_module(_LATE[name]), name)
