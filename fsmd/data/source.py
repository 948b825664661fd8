"""A data set before it is encoded: three tables, and the recipe that says what each column is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Categorical:
    """A column of categories; those seen in train fewer than `min_count` times share id 0."""

    name: str
    min_count: int = 1


@dataclass(frozen=True)
class Dense:
    """A column of numbers, standardised on train; with `log`, its log(1 + x) is."""

    name: str
    log: bool = False


@dataclass(frozen=True)
class Recipe:
    """What the columns are. Columns of the tables that it does not name are not used."""

    name: str
    categorical: tuple[Categorical, ...]
    dense: tuple[Dense, ...]
    tasks: tuple[str, ...]
    funnel: bool

    @property
    def features(self) -> tuple[Categorical | Dense, ...]:
        """All inputs, categorical ones first."""
        return (*self.categorical, *self.dense)


@dataclass(frozen=True)
class Tables:
    """The rows of each split in order; `truth` holds the test rows' true probabilities."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame
    truth: pd.DataFrame | None = None


@dataclass(frozen=True)
class Source:
    """A recipe, a key that changes with the content, and how to read the tables."""

    recipe: Recipe
    key: Mapping[str, object]
    read: Callable[[], Tables]
