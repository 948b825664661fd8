"""What an option of a data set may be, from its annotation: one rule for every option of each.

`Annotated[int, Between(1, 5)]` is a whole number from 1 to 5, `float` a finite number, `str` text.
A data set's function writes it at its parameters, a dataclass of settings at its fields.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_args

from fsmd.errors import UserError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_LONGEST_TEXT = 200


@dataclass(frozen=True)
class Between:
    """The numbers that an option may be, both ends included."""

    low: float = -math.inf
    high: float = math.inf

    def __str__(self) -> str:
        if self.high < math.inf:
            return f" between {self.low:,} and {self.high:,}"
        return f" of at least {self.low:,}" if self.low > -math.inf else ""


def parsed(name: str, text: str, annotation: Any) -> Any:
    """The value of an option that was written as text; UserError with the rule."""
    kind, _ = _rule(annotation)
    if kind is str:
        return check_option(name, text, annotation)
    value: object = text
    if _NUMBER.fullmatch(text):
        value = float(text)
        if kind is int and value.is_integer():
            value = int(Decimal(text))  # a float rounds a long one
    return check_option(name, value, annotation)


def check_option(name: str, value: Any, annotation: Any) -> Any:
    """The value itself; UserError if it is none that the option may have."""
    kind, between = _rule(annotation)
    if kind is str:
        what = "text that can be printed"
        fits = isinstance(value, str) and 0 < len(value) <= _LONGEST_TEXT and value.isprintable()
    else:
        what = f"{'a whole' if kind is int else 'a finite'} number{between}"
        types = int if kind is int else (int, float)
        fits = isinstance(value, types) and not isinstance(value, bool)
        fits = fits and math.isfinite(value) and between.low <= value <= between.high
    if not fits:
        raise UserError(f"`{name}` must be {what}; got {str(value)[:_LONGEST_TEXT]!r}")
    return value


def check_options(values: Mapping[str, Any], annotations: Mapping[str, Any]) -> None:
    """UserError for the first value that its option may not have."""
    for name, annotation in annotations.items():
        check_option(name, values[name], annotation)


def _rule(annotation: Any) -> tuple[type, Between]:
    """Whether an option is text, whole or any number, and its range; also of `X | None`."""
    parts = [annotation]
    for part in parts:
        parts += get_args(part)
    kind = next((part for part in parts if part in (str, int)), float)
    return kind, next((part for part in parts if isinstance(part, Between)), Between())
