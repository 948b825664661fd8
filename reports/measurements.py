"""All that a study's trainings measured, as one tidy table: there may be millions of rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsmd.metrics import Array
from studies.store.curves import Keys

COLUMNS = (
    *("study", "data", "arm", "replicate", "seed", "epoch", "split", "task", "metric", "value"),
)


class OfTraining(NamedTuple):
    """A training of an arm, and where the first of its figures is among all."""

    arm: str
    replicate: int
    seed: int
    keys: Keys
    start: int


def tidy(study: str, data: str, trainings: Sequence[OfTraining], values: Array) -> pd.DataFrame:
    """`COLUMNS`: a row for each measurement, by training in the order given, epoch, split, task
    and metric. Texts and seeds are categories, which take a byte or two a row.

    values: the figures of all of them.
    """
    keys = dict.fromkeys(training.keys for training in trainings)
    texts = [sorted({text for own in keys for text in own.texts[i]}) for i in range(3)]
    ordered = {key: _Ordered.of(key, texts) for key in keys}
    every = [ordered[training.keys] for training in trainings]
    counts = [len(own.order_N) for own in every]

    def repeated(values: Iterable[int]) -> NDArray[Any]:
        return np.repeat(np.array([*values], np.int32), counts)

    def joined(parts: Iterable[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate([*parts] or [np.empty(0, np.int32)])

    value_N, start = np.empty(sum(counts)), 0  # in its place: so many parts take as much again
    for training, own in zip(trainings, every, strict=True):
        end = start + len(own.order_N)
        value_N[start:end], start = values[training.start + own.order_N], end
    arms = {arm: i for i, arm in enumerate(dict.fromkeys(t.arm for t in trainings))}
    seeds = {seed: i for i, seed in enumerate(sorted({t.seed for t in trainings}))}
    alike = np.zeros(sum(counts), np.int8)
    columns = [
        _texts(alike, [study]),
        _texts(alike, [data]),
        _texts(repeated(arms[t.arm] for t in trainings), [*arms]),
        repeated(t.replicate for t in trainings),
        pd.Categorical.from_codes(
            repeated(seeds[t.seed] for t in trainings), pd.Index(seeds), ordered=True
        ),
        joined(of.epoch_N for of in every),
        *(_texts(joined(of.code_N3[i] for of in every), texts[i]) for i in range(3)),
        value_N,
    ]
    return pd.DataFrame(dict(zip(COLUMNS, columns, strict=True)), copy=False)


def _texts(codes: NDArray[Any], known: Sequence[str]) -> Any:
    return pd.Categorical.from_codes(codes, pd.Index(known, dtype=str))


class _Ordered(NamedTuple):
    """What many trainings have alike."""

    order_N: NDArray[np.int64]
    epoch_N: NDArray[Any]
    code_N3: tuple[NDArray[np.int16], ...]

    @classmethod
    def of(cls, keys: Keys, texts: Sequence[Sequence[str]]) -> "_Ordered":
        rows = keys.rows
        order = sorted(range(len(rows)), key=rows.__getitem__)
        place: list[Mapping[str, int]] = [{t: i for i, t in enumerate(own)} for own in texts]
        codes = (
            np.array([of[column[i]] for i in order], np.int16)
            for of, column in zip(place, keys.texts, strict=True)
        )
        return cls(np.array(order, np.int64), np.array(keys.epochs, np.int32)[order], tuple(codes))
