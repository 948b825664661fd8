"""What a report compares, for the dashboard: means over seeds; imports no Optuna."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from search_spaces import Value


class Mean(NamedTuple):
    """An arm, or a configuration of a search, as the report compares it: over its seeds."""

    arm: str
    params: Mapping[str, Value]
    values: tuple[float, ...]
    """One for each of `Means.labels`."""
    said: Mapping[str, Any]
    """What else the report says of it."""


class Means(NamedTuple):
    """What a report compares; no entry where there is nothing to compare."""

    labels: tuple[str, ...]
    higher: tuple[bool, ...]
    over: str
    """In words: `5 replicates`."""
    of_arms: tuple[Mean, ...]
