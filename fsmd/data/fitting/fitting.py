"""Fits an encoder on the train rows of parts, and keeps all rows as codes until it is fitted."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.encoder import (
    MISSING,
    UNSEEN,
    Encoder,
    Scaling,
    Vocabulary,
    bucket_ids,
    checked_numbers,
    column_of,
    members_of,
    moved,
)
from fsmd.data.fitting.numbers import Floats64, Moments, RowSample
from fsmd.data.fitting.words import WordTally
from fsmd.data.rows.part import Part
from fsmd.data.schema import FIRST_ID, Ids
from fsmd.data.source import Categorical, Dense, Recipe, Tags, plain_inputs
from fsmd.errors import UserError

_KNOTS = 257

ToIds = Callable[[Ids], Ids]
"""From a column's codes to its ids."""


class Fitting:
    """Sees the parts in order, each once; then gives the encoder that train rows alone decide."""

    def __init__(self, recipe: Recipe, memory: int, folder: Path) -> None:
        """memory: bytes that the categories may take; more of them wait in the folder."""
        self._recipe = recipe
        self._root = _roots(recipe.categorical)
        counted = [c.name for c in recipe.categorical if c.share is None and c.buckets is None]
        self._tally = {
            name: WordTally(memory // len(counted), folder / str(i))
            for i, name in enumerate(counted)
        }
        self._missing = dict.fromkeys(self._root.values(), 0)
        self._moments = [Moments() for _ in recipe.dense]
        self._absent_D = np.zeros(len(recipe.dense), np.int64)
        self._sample = RowSample()
        self._rows = 0

    def see(self, part: Part) -> tuple[Ids, Floats64]:
        """Codes N x C and numbers N x D (NaN: missing) of a part's rows."""
        is_train = part.split == "train"
        rows = len(part.fields)
        codes = [self._codes(part, column, is_train) for column in self._recipe.categorical]
        number_ND = np.empty((len(self._recipe.dense), rows)).T  # each column in one piece
        for d, dense in enumerate(self._recipe.dense):
            column = column_of(part.where, part.fields, dense.name)
            number_ND[:, d] = checked_numbers(
                part.where, dense.name, column, dense.scale, missing=dense.missing != "error"
            )
        if is_train:
            self._rows += rows
            self._absent_D += np.isnan(number_ND).sum(0)
            for dense, moments, number_N in zip(
                self._recipe.dense, self._moments, number_ND.T, strict=True
            ):
                if dense.scale != "quantile":
                    moments.see(moved(_filled(dense, number_N), dense.scale))
            self._sample.see(number_ND)
        return np.concatenate([np.zeros((rows, 0), np.int32), *codes], 1), number_ND

    def settled(self) -> tuple[Encoder, tuple[ToIds, ...]]:
        """The encoder; and for each column of categories what makes ids of its codes."""
        if not self._rows:
            raise UserError(f"{self._recipe.name}, train: there are no rows")
        kept: dict[str, pa.Table] = {}
        id_of: dict[str, Path] = {}
        for column in self._recipe.categorical:
            if column.name in self._tally:
                found = self._tally[column.name].settled(column.min_count)
                kept[column.name], id_of[column.name] = found
        vocabularies = tuple(
            self._vocabulary(column, kept.get(column.name)) for column in self._recipe.categorical
        )
        encoder = Encoder(
            name=self._recipe.name,
            vocabularies=vocabularies,
            scales=tuple(map(self._scaling, range(len(self._recipe.dense)))),
            tasks=self._recipe.tasks,
            inputs=plain_inputs(self._recipe),
            score=self._recipe.score,
        )
        to_ids = (_to_ids(v, id_of.get(self._root[v.name])) for v in vocabularies)
        return encoder, tuple(to_ids)

    def _codes(self, part: Part, column: Categorical, is_train: bool) -> Ids:
        values = column_of(part.where, part.fields, column.name)
        length, keep = _shape(column)
        members = members_of(values, length, keep)
        root = self._root[column.name]
        tally = self._tally.get(root)
        count_W: NDArray[np.int64] | None = None
        if is_train:
            count_W = np.bincount(members.code_M, minlength=len(members.word_W) + 1)
            self._missing[root] += int(count_W[-1])
            count_W = count_W[:-1]
        if tally is None:
            buckets = next(c.buckets for c in self._recipe.categorical if c.name == root)
            assert buckets is not None
            code_W = bucket_ids(members.word_W, buckets)
        else:
            code_W = tally.codes(members.word_W, count_W)
        return members.placed(code_W, 0, len(values), length)

    def _vocabulary(self, column: Categorical, kept: pa.Table | None) -> Vocabulary:
        length, keep = _shape(column)
        root = self._root[column.name]
        missing = MISSING if self._missing[root] else UNSEEN
        other = UNSEEN
        if kept is not None and length == 1 and list(self._root.values()).count(root) == 1:
            if self._missing[root] == self._rows:
                other = MISSING
            elif len(kept) == 1 and kept["count_sum"][0].as_py() == self._rows:
                missing = other = FIRST_ID
        return Vocabulary(
            name=column.name,
            words=() if kept is None else tuple(kept["word"].to_pylist()),
            missing=missing,
            other=other,
            buckets=column.buckets,
            share=column.share,
            length=length,
            keep=keep,
        )

    def _scaling(self, d: int) -> Scaling:
        dense, moments = self._recipe.dense[d], self._moments[d]
        sample_N = self._sample.rows()[:, d]
        sample_N = _filled(dense, sample_N)
        fill: float | None = None
        if dense.missing == "own":
            fill = float(np.median(sample_N)) if len(sample_N) else 0.0
        elif dense.missing != "error":
            fill = float(dense.missing)
        knots: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
        if dense.scale == "quantile" and len(sample_N):
            knots = _knots(sample_N)
            moments.see(moved(sample_N, dense.scale, knots))
        mean, spread = moments.mean, moments.spread
        if dense.scale == "none" and spread:
            mean, spread = 0.0, 1.0
        return Scaling(
            name=dense.name,
            scale=dense.scale,
            mean=mean,
            spread=spread,
            fill=fill,
            flagged=dense.missing == "own" and 0 < int(self._absent_D[d]) < self._rows,
            knots=knots,
        )


def _roots(columns: Iterable[Categorical]) -> dict[str, str]:
    """The column whose ids each one uses, by its name."""
    roots: dict[str, str] = {}
    for column in columns:
        roots[column.name] = column.name if column.share is None else roots[column.share]
    return roots


def _shape(column: Categorical) -> tuple[int, Literal["start", "end"]]:
    return (column.max_length, column.keep) if isinstance(column, Tags) else (1, "start")


def _filled(dense: Dense, number_N: Floats64) -> Floats64:
    """Numbers without the missing ones, or with what the recipe says in their place."""
    missing_N = np.isnan(number_N)
    if not missing_N.any():
        return number_N
    if isinstance(dense.missing, str):
        return number_N[~missing_N]
    return np.where(missing_N, dense.missing, number_N)


def _knots(number_N: Floats64) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Quantiles, each once, with the share of the numbers below it, half of equal ones too."""
    number_N = np.sort(number_N)
    at = np.linspace(0, len(number_N) - 1, _KNOTS).round().astype(np.int64)
    knots = np.unique(number_N[at])
    below = np.searchsorted(number_N, knots, "left") + np.searchsorted(number_N, knots, "right")
    return tuple(knots.tolist()), tuple((below / (2 * len(number_N))).tolist())


def _to_ids(vocabulary: Vocabulary, path: Path | None) -> ToIds:
    """path: of the ids of all codes; None: codes are ids already."""

    def ids_of(code: Ids) -> Ids:
        if path is None:
            return np.where(code == 0, np.int32(vocabulary.missing), code)
        # Those of some rows lie side by side, as they are in order of the rows.
        there = code > 0
        last = int(code.max(initial=0))
        first = int(code.min(initial=last, where=there))
        table = np.fromfile(path, np.int32, last - first + 1, offset=4 * first)
        if vocabulary.other != UNSEEN:
            table[table == UNSEEN] = vocabulary.other
        if first > 0 and there.all():
            return np.take(table, code - first)
        ids = np.where(code == 0, np.int32(vocabulary.missing), code)
        ids[there] = table[code[there] - first]
        return ids

    return ids_of
