"""How a feature of a recipe is taken from the columns of a raw row: what scoring needs to know."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["category", "number", "tags"]


@dataclass(frozen=True)
class Input:
    """One feature, and one input of an exported model."""

    name: str
    """Of the recipe's feature."""
    kind: Kind
    expression: str
    """Over raw columns (`fsmd.data.description.expression`); often a column's plain name."""
    separator: str | None = None
    """Between the members of a text of tags; None for a list column."""
    strip: str = ""
    """Letters taken off both ends of such a text."""
    optional: bool = False
    """Whether a row without the columns still goes, the value missing."""

    def __post_init__(self) -> None:
        """Raise ValueError for a kind that there is not, as a file may have."""
        if self.kind not in get_args(Kind):
            raise ValueError(f"kind must be one of {', '.join(get_args(Kind))}; got {self.kind!r}")


# How texts go into an exported model, which has no null and no lists.

MEMBERS = "\x1f"
"""Between the members of tags whose input has no separator of its own."""
NULL = "\0"
"""Stands for a missing value where the text "" is a word, and for the text "" elsewhere."""


def missing_text(words: Collection[str]) -> str:
    """What stands for a missing value of a column with these words."""
    return NULL if "" in words else ""
