"""What the files of a folder hold: a new one is found, and a faulty one is named."""

import importlib
import pkgutil
from typing import TypeVar

from fsmd.errors import UserError

Held = TypeVar("Held")


def held(folder: str, name: str, kind: type[Held]) -> dict[str, Held]:
    """File -> the value of `name` in it, of the files of a package that have one of this kind.

    Raises UserError that names a file which cannot be read.
    """
    values = {}
    for module in pkgutil.iter_modules(importlib.import_module(folder).__path__):
        try:
            value = getattr(importlib.import_module(f"{folder}.{module.name}"), name, None)
        except Exception as error:
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            path = f"{folder.replace('.', '/')}/{module.name}.py"
            raise UserError(f"the file {path} is faulty: {what}") from error
        if isinstance(value, kind):
            values[module.name] = value
    return values
