"""From a table to ids and scaled numbers: fitted on train, kept beside the arrays, applied to any.

So a row gets the same ids wherever it comes from.
"""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsmd.config import canonical_json
from fsmd.data.schema import Field, Floats, Ids, Schema
from fsmd.data.source import Categorical, Dense, Recipe
from fsmd.errors import UserError
from fsmd.tasks import Task

Word = str | int | float | bool


@dataclass(frozen=True)
class Vocabulary:
    """A column's categories: position i has id i + 1; id 0 stands for every other value."""

    name: str
    words: tuple[Word, ...]
    dtype: str
    """Of the column, since 1 and "1" are different categories."""

    @classmethod
    def fit(cls, column: Categorical, values: pd.Series) -> "Vocabulary":
        """The categories seen at least `min_count` times, sorted; UserError for other values."""
        counts = values.value_counts()
        try:
            index = counts[counts >= column.min_count].index.sort_values()
        except TypeError as error:
            raise UserError(
                f"column {column.name!r} mixes kinds of values that have no order ({error}); "
                "make them all text"
            ) from error
        words = tuple(index.tolist())
        for word in words:
            if not isinstance(word, Word) or word in (math.inf, -math.inf):
                raise UserError(
                    f"categories of column {column.name!r} must be text, finite numbers, or true "
                    f"and false; got {word!r}; make them text"
                )
        return cls(column.name, words, str(index.dtype))

    def ids(self, values: pd.Series) -> Ids:
        """The id of each of N values."""
        index = pd.Index(list(self.words), dtype=self.dtype)
        return (index.get_indexer(pd.Index(values)) + 1).astype(np.int32)


@dataclass(frozen=True)
class Scaling:
    """How a column of numbers is standardised."""

    name: str
    log: bool
    """Whether log(1 + x) stands for x."""
    mean: float
    spread: float

    @classmethod
    def fit(cls, column: Dense, values: pd.Series) -> "Scaling":
        """By mean and standard deviation; a constant column is only centred."""
        raw = _numbers(values, column.log)
        spread = float(raw.std())
        return cls(column.name, column.log, float(raw.mean()), spread if spread > 0 else 1.0)

    def scaled(self, values: pd.Series) -> Floats:
        """Each of N numbers."""
        scaled_N = (_numbers(values, self.log) - self.mean) / self.spread
        return scaled_N.astype(np.float32)


def _numbers(values: pd.Series, log: bool) -> NDArray[np.float64]:
    raw = values.to_numpy(np.float64)
    return np.log1p(raw) if log else raw


@dataclass(frozen=True)
class Encoder:
    """Vocabularies and scales of a data set, and which columns are labels and weights."""

    name: str
    vocabularies: tuple[Vocabulary, ...]
    scales: tuple[Scaling, ...]
    tasks: tuple[Task, ...]
    weight: str | None

    @classmethod
    def fit(cls, recipe: Recipe, train: pd.DataFrame) -> "Encoder":
        """Learn categories and scales from the train rows alone."""
        return cls(
            name=recipe.name,
            vocabularies=tuple(Vocabulary.fit(c, train[c.name]) for c in recipe.categorical),
            scales=tuple(Scaling.fit(d, train[d.name]) for d in recipe.dense),
            tasks=recipe.tasks,
            weight=recipe.weight,
        )

    def transform(self, frame: pd.DataFrame) -> tuple[Ids, Floats]:
        """Ids N x F and scaled numbers N x D; UserError for a column that is not there."""
        for name in (*(v.name for v in self.vocabularies), *(s.name for s in self.scales)):
            check_there(self.name, frame, name)
        ids = _beside((v.ids(frame[v.name]) for v in self.vocabularies), len(frame), np.int32)
        dense = _beside((s.scaled(frame[s.name]) for s in self.scales), len(frame), np.float32)
        return ids, dense

    def labels(self, frame: pd.DataFrame) -> Floats:
        """N x K: 0, 1, or NaN where a task was not observed."""
        columns = (as_floats(frame[task.name]) for task in self.tasks)
        return _beside(columns, len(frame), np.float32)

    def weights(self, frame: pd.DataFrame) -> Floats | None:
        """N, or None where all rows count alike."""
        return None if self.weight is None else as_floats(frame[self.weight]).astype(np.float32)

    def schema(self, masked: bool) -> Schema:
        """What a model needs to know; `masked`: whether some labels are NaN."""
        return Schema(
            name=self.name,
            categorical=tuple(Field(v.name, len(v.words) + 1) for v in self.vocabularies),
            dense=tuple(scale.name for scale in self.scales),
            tasks=self.tasks,
            masked=masked,
            weighted=self.weight is not None,
        )

    def to_json(self) -> str:
        """Inverse of `from_json`."""
        return canonical_json(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Encoder":
        """Inverse of `to_json`."""
        values = json.loads(text)
        return cls(
            name=values["name"],
            vocabularies=tuple(
                Vocabulary(**{**v, "words": tuple(v["words"])}) for v in values["vocabularies"]
            ),
            scales=tuple(Scaling(**scale) for scale in values["scales"]),
            tasks=tuple(Task.from_dict(task) for task in values["tasks"]),
            weight=values["weight"],
        )


def check_there(where: str, frame: pd.DataFrame, name: str) -> None:
    """UserError where a table has no such column."""
    if name not in frame:
        raise UserError(f"{where}: no column {name!r}; there are {', '.join(map(str, frame))}")


def as_floats(column: pd.Series) -> NDArray[np.float64]:
    """A column of numbers, or of true and false; NaN where a value is missing."""
    return pd.to_numeric(column).to_numpy(np.float64, na_value=np.nan)


def _beside(columns: Iterable[NDArray[Any]], rows: int, dtype: type[np.generic]) -> NDArray[Any]:
    parts = [column.astype(dtype, copy=False) for column in columns]
    return np.stack(parts, 1) if parts else np.zeros((rows, 0), dtype)
