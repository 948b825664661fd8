"""Data sets by name. A new one is a file in `sets`; imports no torch, and pandas only to load."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from inspect import signature
from pkgutil import iter_modules
from typing import TYPE_CHECKING, TypeVar

from fsmd.data.encoded import open_encoded
from fsmd.data.schema import Dataset
from fsmd.errors import UserError

if TYPE_CHECKING:
    from fsmd.data.source import Source, Tables

__all__ = ["load", "names", "open_encoded"]

DEFAULT = "planted"

_T = TypeVar("_T")


def names() -> tuple[str, ...]:
    """All data sets that can be loaded, the default first."""
    return tuple(sorted(_found().makers, key=lambda name: (name != DEFAULT, name)))


def load(name: str) -> Dataset:
    """The encoded data set; found, downloaded or drawn, and encoded, if it never was.

    A name may carry options: `planted:conflict=0.25,tasks=3`. Every data set has the option
    `metric`, by which all its tasks are then judged.

    Raises UserError for an unknown name or option, files that cannot be had, data that leaks, or
    a file in `sets` that is faulty.
    """
    from fsmd.data.encode import encoded

    base, colon, text = name.partition(":")
    maker = _maker(base)
    given = _pairs(name, text) if colon else {}
    metric = given.pop("metric", None)
    source = maker.source(_options(name, given, maker))
    if metric is not None:
        tasks = tuple(replace(task, metric=metric) for task in source.recipe.tasks)
        source = replace(source, recipe=replace(source.recipe, tasks=tasks))
    return encoded(source, name, maker.file)


@dataclass(frozen=True)
class _Maker:
    """A data set's own function, and the file that it stands in."""

    make: "Callable[..., Source]"
    file: str
    options: Mapping[str, bool]
    """Name -> whether it is text; the others are numbers."""

    @classmethod
    def of(cls, make: "Callable[..., Source]", file: str) -> "_Maker":
        options = signature(make).parameters.values()
        return cls(make, file, {o.name: "str" in str(o.annotation) for o in options})

    def source(self, options: Mapping[str, object]) -> "Source":
        """Of these options. Whatever fails in the file is one line."""
        source = self._guarded(lambda: self.make(**options))

        def read() -> "Tables":
            return self._guarded(source.read)

        return replace(source, read=read)

    def _guarded(self, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except UserError:
            raise
        except Exception as error:
            raise UserError(_fault(self.file, error)) from error


@dataclass
class _Found:
    """What the files in `sets` hold."""

    makers: dict[str, _Maker]
    faults: dict[str, str]
    """Name of a data set, or of a file -> what is wrong there."""


def _found() -> _Found:
    from fsmd.data import sets

    found = _Found({}, {})
    for module in iter_modules(sets.__path__):
        file = f"{module.name}.py"
        try:
            imported = import_module(f"{sets.__name__}.{module.name}")
            file = str(imported.__file__)
            made = {name: _Maker.of(make, file) for name, make in imported.sources().items()}
        except Exception as error:
            found.faults[module.name] = _fault(file, error)
            continue
        for name in made.keys() & found.makers.keys():
            found.faults[name] = (
                f"data set {name!r} is in {found.makers[name].file} and in {file}; rename one"
            )
        found.makers = made | found.makers
    return found


def _fault(file: str, error: Exception) -> str:
    what = " ".join(str(error).split())
    return f"the data set file {file} is faulty: {type(error).__name__}: {what}; mend or remove it"


def _maker(name: str) -> _Maker:
    found = _found()
    if name in found.faults:
        raise UserError(found.faults[name])
    if name not in found.makers:
        faulty = "".join(f"; {fault}" for fault in found.faults.values())
        raise UserError(f"no data set {name!r}; there are {', '.join(names())}{faulty}")
    return found.makers[name]


def _pairs(name: str, text: str) -> dict[str, str]:
    """`a=1,b=0.5` as text by name."""
    pairs: dict[str, str] = {}
    for pair in text.split(","):
        key, _, value = pair.partition("=")
        if key in pairs:
            raise UserError(f"option {key!r} is there twice in {name!r}; give it once")
        pairs[key] = value
    return pairs


def _options(name: str, given: Mapping[str, str], maker: _Maker) -> dict[str, object]:
    """Options as the data set takes them: as text where it says `str`, else as numbers."""
    options: dict[str, object] = {}
    for key, value in given.items():
        if key not in maker.options:
            raise UserError(
                f"no option {key!r} of the data set in {name!r}; it has "
                f"{', '.join([*maker.options, 'metric'])}"
            )
        if maker.options[key]:
            options[key] = value
            continue
        try:
            options[key] = float(value)
        except ValueError:
            raise UserError(f"option {key!r} in {name!r} must be a number") from None
    return options
