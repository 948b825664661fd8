"""A draft as values: sections of lines, each with the reason for its guess."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

Toml: TypeAlias = "str | bool | int | float | Sequence[Toml] | Mapping[str, Toml]"


class Line(NamedTuple):
    """A key of a section, its value, and why."""

    key: str
    value: Toml
    why: str = ""
    on: bool = True
    """Whether it binds; else it is a comment, to be taken in or not."""


class DraftSection(NamedTuple):
    """A part of the description."""

    header: str
    """Such as [fields] or [[join]]."""
    lines: tuple[Line, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know before editing it."""


@dataclass(frozen=True)
class Draft:
    """A description to be edited."""

    notes: tuple[str, ...]
    sections: tuple[DraftSection, ...]
    uses: Mapping[str, str]
    """Column -> what it is taken for, in a few words."""
    labels: tuple[str, ...]
    """Tasks that bind."""
    is_whole: bool
    """Whether there is a task and a field: else somebody must write one."""
