"""What a way in is: a strategy of cases, and what is done with one."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

DATA = "planted:rows=2000"
Check = Callable[[Any], str]
"""Of a case: `done` or `refused`; anything else is raised."""


@dataclass(frozen=True)
class Target:
    """Something that takes what comes from outside."""

    cases: st.SearchStrategy[Any]
    opened: Callable[[Path], AbstractContextManager[Check]]
    """With a folder to work in."""
    quick: int
    """Cases of the quick run."""
    slow: int
