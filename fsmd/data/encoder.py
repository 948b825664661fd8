"""From typed columns to ids and scaled numbers: fitted on train, kept beside the arrays.

So a row gets the same ids wherever it comes from. Suffixes: N rows, C columns of ids, D of
numbers, W distinct words.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.config import canonical_json
from fsmd.data.fitting.hashing import text_hashes
from fsmd.data.inputs import Input
from fsmd.data.rows.part import Where
from fsmd.data.schema import FIRST_ID, NOTHING, Field, Floats, Ids, Schema
from fsmd.errors import UserError, alternatives, shown
from fsmd.tasks import Task

SCALED_BOUND = 10.0
"""Standard deviations of train beyond which a number is cut: no row outweighs all others."""
NUMBER_BOUND = 1e30
"""What is beyond it measures nothing; and sums of squares of such numbers stay finite."""
UNSEEN, MISSING = 0, 1

_LEAST_LOGGED = -0.999999  # log(1 + x) of less is no number, or far from all others
_MISSING_NAME = "{} missing"

Floats64 = NDArray[np.float64]


class ColumnWords(NamedTuple):
    """The words of a column of N rows, M in all, one or several to a row."""

    word_W: pa.Array
    """Distinct, no null among them."""
    code_M: NDArray[np.int32]
    """Position in `word_W`; W where the value is missing."""
    row_M: NDArray[np.int64] | None
    """Which row each member is of; None: member i is row i."""
    column_M: NDArray[np.int64] | None
    """Which of the columns of ids it goes to."""

    def placed(self, id_W: Ids, missing: int, rows: int, length: int) -> Ids:
        """Ids N x length of W words and of missing values."""
        id_M = np.append(id_W, np.int32(missing)).astype(np.int32)[self.code_M]
        if self.row_M is None:
            return id_M[:, None]
        id_NL = np.full((rows, length), NOTHING, np.int32)
        id_NL[self.row_M, self.column_M] = id_M
        return id_NL


def members_of(column: pa.Array, length: int = 1, keep: str = "start") -> ColumnWords:
    """The words of a column of text, or of lists of text; of longer lists `length` are kept.

    Where one is kept, a list without members is a missing value: each row must have an id.
    """
    if not _is_list(column.type):
        coded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        return ColumnWords(coded.dictionary, _codes(coded), None, None)
    rows = len(column)
    coded = column.flatten().dictionary_encode()
    row_M = pc.list_parent_indices(column).to_numpy().astype(np.int64)
    there = coded.is_valid().to_numpy(zero_copy_only=False)
    code_M, row_M = _codes(coded)[there], row_M[there]
    count_N = np.bincount(row_M, minlength=rows)
    column_M = np.arange(len(row_M)) - (np.cumsum(count_N) - count_N)[row_M]
    if keep == "end":
        column_M -= np.maximum(count_N - length, 0)[row_M]
    kept = (column_M >= 0) & (column_M < length)
    null_N = column.is_null().to_numpy(zero_copy_only=False)
    missing = np.flatnonzero(count_N == 0 if length == 1 else null_N)
    return ColumnWords(
        coded.dictionary,
        np.concatenate([code_M[kept], np.full(len(missing), len(coded.dictionary), np.int32)]),
        np.concatenate([row_M[kept], missing]),
        np.concatenate([column_M[kept], np.zeros(len(missing), np.int64)]),
    )


def _codes(coded: pa.DictionaryArray) -> NDArray[np.int32]:
    indices = coded.indices
    if indices.null_count:
        indices = indices.cast(pa.int32()).fill_null(len(coded.dictionary))
    return np.asarray(indices.to_numpy(zero_copy_only=False)).astype(np.int32, copy=False)


def _is_list(type_: pa.DataType) -> bool:
    return bool(pa.types.is_list(type_) or pa.types.is_large_list(type_))


@dataclass(frozen=True)
class Vocabulary:
    """A column's categories: position i of `words` has id i + 2."""

    name: str
    words: tuple[str, ...]
    """Of a column with `buckets` or `share` none."""
    missing: int = MISSING
    """The id of a missing value: 0 where train misses none, as nothing was trained on 1."""
    other: int = UNSEEN
    """The id of every other value: 0; of a column with one category in all rows of train that
    one's, as it says nothing."""
    buckets: int | None = None
    """How many ids from 2 on the hashes of words share."""
    share: str | None = None
    """The column whose words it uses."""
    length: int = 1
    keep: Literal["start", "end"] = "start"
    """ColumnWords of a longer list of tags that are used."""

    @property
    def cardinality(self) -> int:
        """How many ids there are, 0 and 1 among them; of a column that shares none it has 2."""
        return FIRST_ID + (len(self.words) if self.buckets is None else self.buckets)

    @cached_property
    def padded(self) -> str | None:
        """A word that no number is written as, since it begins with zeros; None without any."""
        return next((w for w in self.words if w[:1] == "0" and w[1:].isdecimal()), None)

    @cached_property
    def _known(self) -> Mapping[str, int]:
        return {word: i for i, word in enumerate(self.words, FIRST_ID)}

    def ids(self, word_W: pa.Array) -> Ids:
        """The id of each of W words."""
        if self.buckets is not None:
            return bucket_ids(word_W, self.buckets)
        known, other = self._known, self.other
        return np.array([known.get(word, other) for word in word_W.to_pylist()], np.int32)


def bucket_ids(word_W: pa.Array, buckets: int) -> Ids:
    """The id of each of W words that a hash chooses of so many from 2 on."""
    return (text_hashes(word_W) % np.uint32(buckets)).astype(np.int32) + np.int32(FIRST_ID)


@dataclass(frozen=True)
class Scaling:
    """How a column of numbers is standardised: filled, moved, then (x - mean) / spread."""

    name: str
    scale: Literal["standard", "log", "quantile", "none"]
    mean: float
    spread: float
    """0 for a column that is constant in train: it says nothing, so each number becomes 0."""
    fill: float | None
    """What stands for a missing number; None: it must not be missing."""
    flagged: bool = False
    """Whether a column of 0 and 1 follows that says where it was missing."""
    knots: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Of quantiles: numbers that ascend, and the share of train below each."""

    @property
    def names(self) -> tuple[str, ...]:
        """Of its columns."""
        flag = (_MISSING_NAME.format(self.name),)
        return (self.name, *flag) if self.flagged else (self.name,)

    def columns(self, number_N: Floats64) -> Floats:
        """N x 1, or N x 2 with the flag, of numbers that are NaN where they are missing."""
        missing_N = np.isnan(number_N)
        filled_N = number_N
        if self.fill is not None and missing_N.any():
            filled_N = np.where(missing_N, self.fill, number_N)
        scaled_N = self._scaled(filled_N).astype(np.float32) + np.float32(0)  # no -0: equal bits
        if not self.flagged:
            return scaled_N[:, None]
        return np.stack([scaled_N, missing_N.astype(np.float32)], 1)

    def _scaled(self, number_N: Floats64) -> Floats64:
        if self.spread == 0:
            return np.zeros(len(number_N))
        if self.scale == "none":
            return number_N
        with np.errstate(over="ignore"):
            scaled_N = (moved(number_N, self.scale, self.knots) - self.mean) / self.spread
        return scaled_N.clip(-SCALED_BOUND, SCALED_BOUND)


def moved(
    number_N: Floats64, scale: str, knots: tuple[Sequence[float], Sequence[float]] = ((), ())
) -> Floats64:
    """The logs or shares that are standardised in the place of numbers."""
    if scale == "log":
        return np.log1p(number_N)
    return np.interp(number_N, *knots) if scale == "quantile" else number_N


def bounds(scale: str) -> tuple[float, float]:
    """Between which numbers must lie that are scaled so."""
    return (_LEAST_LOGGED if scale == "log" else -NUMBER_BOUND), NUMBER_BOUND


def checked_numbers(
    where: Where, name: str, column: pa.Array, scale: str, missing: bool
) -> Floats64:
    """A column as numbers, NaN where they are missing; UserError with the row of a bad one.

    missing: whether some may be.
    """
    number_N = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
    low, high = bounds(scale)
    refused_N = (number_N < low) | (number_N > high)
    if not missing:
        refused_N |= np.isnan(number_N)
    if refused_N.any():
        row = int(np.argmax(refused_N))
        value = None if np.isnan(number_N[row]) else float(number_N[row])
        raise UserError(
            f"{where.row(row)}: numbers of column {name!r} must lie between {low:g} and "
            f"{high:g}{'' if missing else ', none missing'}; got {shown(value)}"
        )
    return number_N


@dataclass(frozen=True)
class Encoder:
    """Vocabularies and scales of a data set; all that is needed to encode its rows."""

    name: str
    vocabularies: tuple[Vocabulary, ...]
    scales: tuple[Scaling, ...]
    tasks: tuple[Task, ...]
    inputs: tuple[Input, ...] = ()
    """How each column of the vocabularies, then of the scales, is taken from a raw row."""
    score: str | None = None
    """The formula of the combined score (`fsmd.score`)."""

    def transform(self, fields: pa.RecordBatch, where: Where | None = None) -> tuple[Ids, Floats]:
        """Ids N x C and scaled numbers N x D of each row alone; `fields` is a `Part`'s.

        where: named in the UserError for a column that is not there or has an impossible value.
        """
        rows = len(fields)
        where = where or Where(self.name, np.arange(rows))
        ids = [self._ids(v, column_of(where, fields, v.name), rows) for v in self.vocabularies]
        return _beside(ids, rows, np.int32), self.scaled(
            {
                s.name: checked_numbers(
                    where,
                    s.name,
                    column_of(where, fields, s.name),
                    s.scale,
                    missing=s.fill is not None,
                )
                for s in self.scales
            },
            rows,
        )

    def scaled(self, numbers: Mapping[str, Floats64], rows: int) -> Floats:
        """N x D of checked numbers by the column's name."""
        columns = [scaling.columns(numbers[scaling.name]) for scaling in self.scales]
        return _beside(columns, rows, np.float32)

    def root(self, vocabulary: Vocabulary) -> Vocabulary:
        """The one that has the words."""
        if vocabulary.share is None:
            return vocabulary
        return self.root(next(v for v in self.vocabularies if v.name == vocabulary.share))

    @property
    def padded(self) -> Mapping[str, str]:
        """Feature -> such a word, where it has one (see `Vocabulary.padded`)."""
        found = ((v.name, self.root(v).padded) for v in self.vocabularies)
        return {name: word for name, word in found if word is not None}

    def schema(self, masked: bool, weighted: bool) -> Schema:
        """What a model needs to know; `masked`: whether some labels are NaN."""
        return Schema(
            name=self.name,
            categorical=tuple(
                Field(v.name, self.root(v).cardinality, v.length, v.share)
                for v in self.vocabularies
            ),
            dense=tuple(name for scaling in self.scales for name in scaling.names),
            tasks=self.tasks,
            masked=masked,
            weighted=weighted,
        )

    def to_json(self) -> str:
        """Inverse of `from_json`."""
        vocabularies = [  # `asdict` would copy each word
            {field.name: getattr(each, field.name) for field in fields(each)}
            for each in self.vocabularies
        ]
        return canonical_json(
            {**asdict(replace(self, vocabularies=())), "vocabularies": vocabularies}
        )

    @classmethod
    def from_json(cls, text: str) -> "Encoder":
        """Inverse of `to_json`."""
        values = json.loads(text)
        return cls(
            name=values["name"],
            vocabularies=tuple(
                Vocabulary(**{**v, "words": tuple(v["words"])}) for v in values["vocabularies"]
            ),
            scales=tuple(
                Scaling(**{**s, "knots": tuple(map(tuple, s["knots"]))}) for s in values["scales"]
            ),
            tasks=tuple(Task.from_dict(task) for task in values["tasks"]),
            inputs=tuple(Input(**each) for each in values["inputs"]),
            score=values["score"],
        )

    def _ids(self, vocabulary: Vocabulary, column: pa.Array, rows: int) -> Ids:
        members = members_of(column, vocabulary.length, vocabulary.keep)
        id_W = self.root(vocabulary).ids(members.word_W)
        return members.placed(id_W, vocabulary.missing, rows, vocabulary.length)


def column_of(where: Where, fields: pa.RecordBatch, name: str) -> pa.Array:
    """The column of that name; UserError where there is none."""
    try:
        return fields.column(name)
    except KeyError:
        there = alternatives(name, fields.schema.names)
        raise UserError(f"{where.source}: no column {name!r}{there}") from None


def _beside(columns: Sequence[NDArray[Any]], rows: int, dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(columns, 1, dtype=dtype) if columns else np.zeros((rows, 0), dtype)
