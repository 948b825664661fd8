"""From a table to ids and scaled numbers: fitted on train, kept beside the arrays, applied to any.

So a row gets the same ids wherever it comes from.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsmd.config import canonical_json
from fsmd.data.schema import Field, Floats, Ids, Schema
from fsmd.data.source import Categorical, Dense, Recipe
from fsmd.data.values import NUMBER_BOUND, Floats64, bounded_numbers, column_of, words_of
from fsmd.errors import UserError
from fsmd.tasks import Task

SCALED_BOUND = 10.0
"""Standard deviations of train beyond which a number is cut: no row outweighs all others."""

_LEAST_LOGGED = -0.999999  # log(1 + x) of less is no number, or far from all others
_CONSTANT = 1e-12  # of the largest number: a smaller deviation is rounding
_LEAST_WEIGHT, _MOST_WEIGHT = 1e-15, 1e15  # 32 bits hold sums of their squares


@dataclass(frozen=True)
class Vocabulary:
    """A column's categories: position i has id i + 1."""

    name: str
    words: tuple[str, ...]
    other: int
    """The id of every other value, missing ones too: 0, on which few rows or none were trained;
    of a column with one category in all rows of train that one's, as it says nothing."""

    @classmethod
    def fit(cls, where: str, column: Categorical, values: pd.Series) -> "Vocabulary":
        """The categories seen at least `min_count` times, numbers by value, then text."""
        found = words_of(where, values)
        counts = np.bincount(found.code_N[found.code_N >= 0], minlength=len(found.words))
        kept = sorted(
            rank
            for rank, count in zip(found.ranks, counts, strict=True)
            if count >= column.min_count
        )
        is_constant = len(kept) == 1 and max(counts) == len(values)
        return cls(column.name, tuple(word for *_, word in kept), int(is_constant))

    def ids(self, where: str, values: pd.Series) -> Ids:
        """The id of each of N values."""
        found, known = words_of(where, values), {word: i + 1 for i, word in enumerate(self.words)}
        # The last one is for the code -1.
        ids = [*(known.get(word, self.other) for word in found.words), self.other]
        id_of = np.array(ids, np.int32)
        return id_of[found.code_N]


@dataclass(frozen=True)
class Scaling:
    """How a column of numbers is standardised."""

    name: str
    log: bool
    """Whether log(1 + x) stands for x."""
    mean: float
    spread: float
    """0 for a column that is constant in train: it says nothing, so each number becomes 0."""

    @classmethod
    def fit(cls, where: str, column: Dense, values: pd.Series) -> "Scaling":
        """By mean and standard deviation."""
        raw_N = dense_numbers(where, values, column.scale == "log")
        spread = float(raw_N.std())
        is_constant = spread <= _CONSTANT * np.abs(raw_N).max()
        mean = float(raw_N.mean())
        return cls(column.name, column.scale == "log", mean, 0.0 if is_constant else spread)

    def scaled(self, where: str, values: pd.Series) -> Floats:
        """Each of N numbers, cut at `SCALED_BOUND`."""
        raw_N = dense_numbers(where, values, self.log)
        if self.spread == 0:
            return np.zeros(len(raw_N), np.float32)
        with np.errstate(over="ignore"):
            scaled_N = ((raw_N - self.mean) / self.spread).clip(-SCALED_BOUND, SCALED_BOUND)
        return scaled_N.astype(np.float32) + np.float32(0)  # equal rows have equal bits: no -0


def dense_numbers(where: str, column: pd.Series, log: bool) -> Floats64:
    """A column to be standardised, or its log; UserError with column and row."""
    low = _LEAST_LOGGED if log else -NUMBER_BOUND
    raw_N = bounded_numbers(where, column, low, NUMBER_BOUND)
    return np.log1p(raw_N) if log else raw_N


def labels_of(where: str, column: pd.Series) -> Floats64:
    """0, 1, or NaN where a value is missing; UserError for others."""
    found = words_of(where, column, "labels of {} must be 0, 1 or missing")
    others = [word for word in found.words if word not in ("0", "1")]
    if others:
        row = int(np.argmax(found.code_N == found.words.index(others[0])))
        raise UserError(
            f"{where}: labels of {column.name!r} must be 0, 1 or missing; got "
            f"{', '.join(others[:5])[:60]} (row {row}, from 0)"
        )
    return np.array([*map(float, found.words), np.nan])[found.code_N]


def weights_of(where: str, column: pd.Series) -> Floats64:
    """What rows count; UserError for numbers that are none, or too large or small to sum."""
    weight_N = bounded_numbers(where, column, 0, _MOST_WEIGHT)
    positive_N = weight_N[weight_N > 0]
    if not len(positive_N) or positive_N.min() < _LEAST_WEIGHT:
        raise UserError(
            f"{where}: weights {column.name!r} must not all be 0, nor positive and below "
            f"{_LEAST_WEIGHT:g}; they range from {weight_N.min():g} to {weight_N.max():g}"
        )
    return weight_N


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
        """Learn categories and scales from the train rows alone; UserError with the column."""
        where = f"{recipe.name}, train"
        if not len(train):
            raise UserError(f"{where}: there are no rows")
        return cls(
            name=recipe.name,
            vocabularies=tuple(
                Vocabulary.fit(where, column, column_of(where, train, column.name))
                for column in recipe.categorical
            ),
            scales=tuple(
                Scaling.fit(where, column, column_of(where, train, column.name))
                for column in recipe.dense
            ),
            tasks=recipe.tasks,
            weight=recipe.weight,
        )

    def transform(self, frame: pd.DataFrame, split: str | None = None) -> tuple[Ids, Floats]:
        """Ids N x F and scaled numbers N x D, of each row alone.

        split: named in the UserError for a column that is not there or has an impossible value.
        """
        where = self._where(split)

        def encoded(part: Vocabulary) -> Ids:
            return part.ids(where, column_of(where, frame, part.name))

        def scaled(part: Scaling) -> Floats:
            return part.scaled(where, column_of(where, frame, part.name))

        ids = _beside(map(encoded, self.vocabularies), len(frame), np.int32)
        return ids, _beside(map(scaled, self.scales), len(frame), np.float32)

    def labels(self, frame: pd.DataFrame, split: str | None = None) -> Floats:
        """N x K: 0, 1, or NaN where a task was not observed."""
        where = self._where(split)
        columns = (labels_of(where, column_of(where, frame, task.name)) for task in self.tasks)
        return _beside(columns, len(frame), np.float32)

    def weights(self, frame: pd.DataFrame, split: str | None = None) -> Floats | None:
        """N, or None where all rows count alike."""
        if self.weight is None:
            return None
        where = self._where(split)
        return weights_of(where, column_of(where, frame, self.weight)).astype(np.float32)

    def _where(self, split: str | None) -> str:
        return self.name if split is None else f"{self.name}, {split}"

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


def _beside(columns: Iterable[NDArray[Any]], rows: int, dtype: type[np.generic]) -> NDArray[Any]:
    parts = [column.astype(dtype, copy=False) for column in columns]
    return np.stack(parts, 1) if parts else np.zeros((rows, 0), dtype)
