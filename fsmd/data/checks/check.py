"""What a check of a data set is: it sees all rows part by part, then says what it found."""

from collections.abc import Iterator
from typing import Literal, NamedTuple, Protocol

from fsmd.data.rows.part import Part


class Finding(NamedTuple):
    """One plain sentence about a data set, with its counts."""

    level: Literal["error", "warning", "note"]
    """error: no study can be run on it. warning: look at it before you believe a figure."""
    text: str


class Check(Protocol):
    """Sees the parts of a log in order, each once."""

    def see(self, part: Part) -> None:
        """Take note of some rows."""

    def findings(self) -> Iterator[Finding]:
        """What was found in all of them."""
