"""What the files of a folder hold: a new one is found, and a faulty one is named."""

import importlib
import pkgutil
from typing import TypeVar

from fsmd.errors import fault
from fsmd.notices import say

Held = TypeVar("Held")


def held(folder: str, name: str, kind: type[Held]) -> dict[str, Held]:
    """File -> the value of `name` in it, of the files of a package that have one of this kind.

    A file that is faulty is named on the error output, and the others go on.
    """
    values = {}
    for module in pkgutil.iter_modules(importlib.import_module(folder).__path__):
        try:
            value = getattr(importlib.import_module(f"{folder}.{module.name}"), name, None)
        except (Exception, SystemExit) as error:
            what = fault(error, f"{folder}.{module.name}")
            say(f"left out {folder.replace('.', '/')}/{module.name}.py, which is faulty: {what}")
            continue
        if isinstance(value, kind):
            values[module.name] = value
    return values
