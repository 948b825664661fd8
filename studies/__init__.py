"""What to vary, hold and compare; how to run it.

For a notebook::

    from studies import execute, open_engine
    execute("tower_shape", replicates=2)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_ELSEWHERE = {
    "execute": "studies.session",
    "get": "studies.catalog",
    "names": "studies.catalog",
    "open_engine": "studies.store.database",
}
"""Where a name comes from, if not from `studies.definition`."""


def __getattr__(name: str) -> Any:
    """Import what is asked for, so that a command starts at once."""
    if name not in __all__:
        raise AttributeError(f"module 'studies' has no attribute {name!r}")
    return getattr(import_module(_ELSEWHERE.get(name, "studies.definition")), name)


def __dir__() -> list[str]:
    return __all__
