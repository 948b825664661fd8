"""How a feature of a recipe is taken from the columns of a raw row: what scoring needs to know."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Input:
    """One feature, and one input of an exported model."""

    name: str
    """Of the recipe's feature."""
    kind: Literal["category", "number", "tags"]
    expression: str
    """Over raw columns (`fsmd.data.description.expression`); often a column's plain name."""
    separator: str | None = None
    """Between the members of a text of tags; None for a list column."""
    strip: str = ""
    """Letters taken off both ends of such a text."""
    optional: bool = False
    """Whether a row without the columns still goes, the value missing."""
