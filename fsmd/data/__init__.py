"""Data sets by name. A new one is a file here with a `sources()`; imports no torch."""

from collections.abc import Callable
from importlib import import_module
from pkgutil import iter_modules

from fsmd.data.encode import encoded, open_encoded
from fsmd.data.schema import Dataset
from fsmd.data.source import Source
from fsmd.errors import UserError

__all__ = ["load", "names", "open_encoded"]

_MACHINERY = {"checks", "encode", "files", "schema", "source"}


def _sources() -> dict[str, Callable[[], Source]]:
    found: dict[str, Callable[[], Source]] = {}
    for module in iter_modules(__path__):
        if module.name not in _MACHINERY:
            found |= import_module(f"{__name__}.{module.name}").sources()
    return found


def names() -> tuple[str, ...]:
    """All data sets, the default first."""
    return tuple(sorted(_sources(), key=lambda name: (name != "planted", name)))


def load(name: str) -> Dataset:
    """The encoded data set; found, downloaded or drawn, and encoded, if it never was.

    Raises UserError for an unknown name, files that cannot be had, or data that leaks.
    """
    found = _sources()
    if name not in found:
        raise UserError(f"no data set {name!r}; there are {', '.join(names())}")
    return encoded(found[name]())
