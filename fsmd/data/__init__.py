"""Data sets by name. A new one is a file here with a `sources()`; imports no torch."""

from collections.abc import Callable
from importlib import import_module
from inspect import signature
from pkgutil import iter_modules

from fsmd.data.encode import encoded, open_encoded
from fsmd.data.schema import Dataset
from fsmd.data.source import Source
from fsmd.errors import UserError

__all__ = ["load", "names", "open_encoded"]

_MACHINERY = {"checks", "encode", "files", "schema", "source"}


def _sources() -> dict[str, Callable[..., Source]]:
    found: dict[str, Callable[..., Source]] = {}
    for module in iter_modules(__path__):
        if module.name not in _MACHINERY:
            found |= import_module(f"{__name__}.{module.name}").sources()
    return found


def names() -> tuple[str, ...]:
    """All data sets, the default first."""
    return tuple(sorted(_sources(), key=lambda name: (name != "planted", name)))


def load(name: str) -> Dataset:
    """The encoded data set; found, downloaded or drawn, and encoded, if it never was.

    A name may carry options where the data set has them: `planted:conflict=0.25`.

    Raises UserError for an unknown name or option, files that cannot be had, or data that leaks.
    """
    base, colon, text = name.partition(":")
    found = _sources()
    if base not in found:
        raise UserError(f"no data set {base!r}; there are {', '.join(names())}")
    known = signature(found[base]).parameters
    options = _options(name, text, tuple(known)) if colon else {}
    return encoded(found[base](**options))


def _options(name: str, text: str, known: tuple[str, ...]) -> dict[str, float]:
    """`a=1,b=0.5` as numbers."""
    options = {}
    for pair in text.split(","):
        key, _, value = pair.partition("=")
        if key not in known:
            there = f"it has {', '.join(known)}" if known else "it has none"
            raise UserError(f"no option {key!r} of the data set in {name!r}; {there}")
        try:
            options[key] = float(value)
        except ValueError:
            raise UserError(f"option {key!r} in {name!r} must be a number") from None
    return options
