"""One study or search a file; the file's name is its name on the command line.

A file holds one `STUDY` or one `SEARCH`. It may also lie anywhere else and be named by its path.
"""

import os
import runpy
import sys
from contextlib import suppress
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from fsmd.errors import UserError, alternatives, fault
from studies.definition import Definition, Search, Study
from studies.planner.design import check

__all__ = ["get", "names"]

OWN = "<run_path>"
"""What `runpy` names the module of a file that is run by its path."""


def names() -> tuple[str, ...]:
    """All studies and searches, sorted."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def get(name: str) -> Definition:
    """The study or search of this name, or in the file of this path (`mine/study.py`).

    Raises UserError for an unknown name, which lists the others, and for a faulty file.
    """
    own = name.endswith(".py")
    if own and not Path(name).is_file():
        raise UserError(f"no study file {name!r}; give the path of one, or a name of --list")
    if not own and name not in names():
        raise UserError(
            f"no study {name!r}{alternatives(name, names())}, or the path of a .py file"
        )
    try:
        if own:
            return replace(_definition(_run(name)), file=name)
        definition = _definition(vars(import_module(f"{__name__}.{name}")))
        if definition.name != name:
            raise UserError(f"it must have the file's name; got {definition.name!r}")
        return definition
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a file may also end Python, or skip itself as a test
        file, module = (name, OWN) if own else (f"{name}.py", f"{__name__}.{name}")
        raise UserError(f"the study file {file} is faulty: {fault(error, module)}") from error


def _run(path: str) -> dict[str, object]:
    """The names of a file, which may import others that lie beside it."""
    folder = str(Path(path).absolute().parent)
    here = None
    with suppress(OSError):  # of a folder that was removed
        here = os.getcwd()
    sys.path.append(folder)  # last: none of them takes another module's place
    try:
        return runpy.run_path(path)
    finally:
        if here is not None:  # the file may have gone elsewhere; what a command names lies here
            os.chdir(here)
        sys.path.remove(folder)


def _definition(names: dict[str, object]) -> Definition:
    """What a file holds, of what its names stand for."""
    held = [names[name] for name in ("STUDY", "SEARCH") if name in names]
    if len(held) != 1 or not isinstance(held[0], Study | Search):
        raise UserError("it must hold one STUDY or one SEARCH")
    check(held[0])
    return held[0]
