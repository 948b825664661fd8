"""One study a file; the file's name is its name on the command line."""

from importlib import import_module
from pkgutil import iter_modules

from fsmd.errors import UserError
from studies.definition import Study


def names() -> tuple[str, ...]:
    """All studies, sorted."""
    return tuple(sorted(module.name for module in iter_modules(__path__)))


def get(name: str) -> Study:
    """The study of this name; UserError lists the others."""
    if name not in names():
        raise UserError(f"no study {name!r}; there are {', '.join(names())}, and pareto")
    study: Study = import_module(f"{__name__}.{name}").STUDY
    return study
