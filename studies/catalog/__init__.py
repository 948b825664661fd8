"""One study or search a file; the file's name is its name on the command line.

A file holds one `STUDY` or one `SEARCH`. It may also lie anywhere else and be named by its path.
"""

import runpy
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from fsmd.errors import UserError
from studies.definition import Definition, Search, Study
from studies.planner.design import check

__all__ = ["get", "names"]


def names() -> tuple[str, ...]:
    """All studies and searches, sorted."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def get(name: str) -> Definition:
    """The study or search of this name, or in the file of this path (`mine/study.py`).

    Raises UserError for an unknown name, which lists the others, and for a faulty file.
    """
    if name.endswith(".py"):
        if not Path(name).is_file():
            raise UserError(f"no study file {name!r}; give the path of one, or a name of --list")
        return _read(name, runpy.run_path)
    if name not in names():
        raise UserError(
            f"no study {name!r}; there are {', '.join(names())}, or the path of a .py file"
        )
    definition = _read(name, _held_by_module)
    if definition.name != name:
        raise UserError(
            f"the study file {name}.py is faulty: it must have the file's name; got "
            f"{definition.name!r}"
        )
    return definition


Held = Mapping[str, object]
"""What the names in a file stand for."""


def _held_by_module(name: str) -> Held:
    return vars(import_module(f"{__name__}.{name}"))


def _read(name: str, held_by: Callable[[str], Held]) -> Definition:
    file = name if name.endswith(".py") else f"{name}.py"
    try:
        held = held_by(name)
        definition = held.get("STUDY", held.get("SEARCH"))
        if not isinstance(definition, Study | Search):
            raise UserError("it must hold one STUDY or one SEARCH")
        if isinstance(definition, Study):
            check(definition)
    except Exception as error:
        kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
        what = " ".join(str(error).split())
        raise UserError(f"the study file {file} is faulty: {kind}{what}") from error
    return definition
