"""How columns are written in expressions, and named as fields and tasks."""

import keyword
from collections.abc import Collection
from itertools import count

from fsmd.errors import one_line
from fsmd.tasks import ALL, LONGEST_LABEL, MEAN

LONGEST_COLUMN = 350
"""Letters of a name, written out, that an expression has room for."""


def column(name: str) -> str:
    """The column in an expression.

    >>> print(column("is_click"), column("watch-time"))
    is_click column('watch-time')
    """
    if name.isascii() and name.isidentifier() and not keyword.iskeyword(name):
        return name
    return f"column({name!r})"


def named(name: str, taken: Collection[str]) -> str:
    """A name of its own for a field or a task, the column's where that can be one."""
    plain = one_line(name).replace("|", "/").strip()[: LONGEST_LABEL - 5].strip() or "unnamed"
    if plain in (MEAN, ALL):
        plain = f"{plain}_"
    tries = (plain if i == 0 else f"{plain}_{i + 1}" for i in count())
    return next(each for each in tries if each not in taken)
