"""What the page of `check` shows of a field and of a label: shares of bins, ready to be drawn."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.checks.rates import Rate
from fsmd.data.checks.tally import SampledRows, numbers_of_column
from fsmd.data.source import Categorical, Dense

BINS = 24
WORDS = 10
_LONGEST_WORD = 18
_SKEWED = 20
"""Of the outer to the inner tenths' width, from which on a picture has a logarithmic axis."""

Numbers64 = NDArray[np.float64]


class Bin(NamedTuple):
    """A bin's share of the rows of train and of test."""

    label: str
    train: float
    test: float
    word: bool = True
    """Whether it stands for one category, and so has bars; a rest's would dwarf all others."""


class Histogram(NamedTuple):
    """The bins of a column of numbers, in order, and what stands below both ends."""

    bins: Sequence[Bin]
    low: str
    high: str


class Moment(NamedTuple):
    """A label's rate in a span of time."""

    at: float
    """0 to 1, from the earliest to the latest."""
    rate: Rate


class Course(NamedTuple):
    """A label's rate over time."""

    moments: Sequence[Moment]
    low: str
    high: str
    began: Sequence[tuple[str, float]]
    """Where validation and test begin, 0 to 1."""

    @property
    def most(self) -> float:
        """The upper end of the picture."""
        return max((moment.rate.interval[1] for moment in self.moments), default=1.0)


def histogram(column: Dense, train: SampledRows, test: SampledRows) -> Histogram | None:
    """Of the numbers that are there, but for those beyond 99 % of them; None without any."""
    number_N, number_M = (_there(sample, column.name) for sample in (train, test))
    if not len(number_N):
        return None
    low, inner, outer, high = np.quantile(number_N, (0.005, 0.25, 0.75, 0.995))
    is_skewed = low >= 0 and high - low > _SKEWED * max(outer - inner, 1e-300) and low < high
    bend = np.log1p if is_skewed else np.asarray
    unbend = np.expm1 if is_skewed else np.asarray
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = unbend(np.linspace(bend(low), bend(high), BINS + 1))
    shares = []
    for numbers in (number_N, number_M):
        places = np.clip(np.searchsorted(edges, numbers, "right") - 1, 0, BINS - 1)
        shares.append(np.bincount(places, minlength=BINS) / max(len(numbers), 1))
    bins = [
        Bin(f"{a:.4g} to {b:.4g}", float(p), float(q))
        for a, b, p, q in zip(edges, edges[1:], *shares, strict=False)
    ]
    return Histogram(bins, f"{edges[0]:.4g}", f"{edges[-1]:.4g}{' (log)' if is_skewed else ''}")


def words(column: Categorical, train: SampledRows, test: SampledRows) -> Sequence[Bin]:
    """The most frequent categories of train, then all others of it, then those of test alone."""
    counted = [_counted(sample, column.name) for sample in (train, test)]
    totals = [max(sum(counts.values()), 1) for counts in counted]
    known, new = counted
    frequent = sorted(known, key=lambda word: (-known[word], word))[:WORDS]
    bins = [
        Bin(_short(word), known[word] / totals[0], new.get(word, 0) / totals[1])
        for word in frequent
    ]
    others = known.keys() - set(frequent)
    if others:
        rest = [sum(counts.get(word, 0) for word in others) for counts in counted]
        bins.append(
            Bin(f"{len(others):,} others", rest[0] / totals[0], rest[1] / totals[1], False)
        )
    unseen = sum(count for word, count in new.items() if word not in known)
    return [*bins, *([Bin("not in train", 0.0, unseen / totals[1], False)] if unseen else [])]


def course(k: int, samples: Mapping[str, SampledRows]) -> Course | None:
    """Of a task's label; None where rows have no time, or one alone."""
    dated = [
        (split, rows, rows.time_N) for split, rows in samples.items() if rows.time_N is not None
    ]
    if not dated:
        return None
    time_N = np.concatenate([np.asarray(time, np.float64) for *_, time in dated])
    label_N = np.concatenate([rows.label_NK[:, k] for _, rows, _ in dated])
    low, high = np.nanquantile(time_N, (0.001, 0.999)) if len(time_N) else (0.0, 0.0)
    if not low < high:
        return None
    used_N = ~np.isnan(label_N) & (time_N >= low) & (time_N <= high)
    place_N = ((time_N[used_N] - low) / (high - low) * BINS).astype(np.intp).clip(0, BINS - 1)
    rows_B = np.bincount(place_N, minlength=BINS)
    ones_B = np.bincount(place_N, label_N[used_N], BINS)
    moments = [
        Moment((b + 0.5) / BINS, Rate(int(ones_B[b]), int(rows_B[b])))
        for b in range(BINS)
        if rows_B[b]
    ]
    began = [
        (split, float(np.clip((np.nanmin(time) - low) / (high - low), 0, 1)))
        for split, _, time in dated
        if split != "train"
    ]
    return Course(moments, _moment(low), _moment(high), began)


def _there(sample: SampledRows, name: str) -> Numbers64:
    number_N = numbers_of_column(sample.fields.column(name).combine_chunks())
    return number_N[~np.isnan(number_N)]


def _counted(sample: SampledRows, name: str) -> dict[str, int]:
    values = sample.fields.column(name).combine_chunks()
    if pa.types.is_list(values.type):
        values = values.flatten()
    counted = values.drop_null().value_counts()
    return dict(zip(*(part.to_pylist() for part in counted.flatten()), strict=True))


def _short(word: str) -> str:
    return word if len(word) <= _LONGEST_WORD else f"{word[: _LONGEST_WORD - 1]}…"


def _moment(time: float) -> str:
    """A number since 1970 as a date, whatever its unit; another number as it is."""
    for least, unit in ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3), (1e8, 1)):
        if time >= least:
            return f"{datetime.fromtimestamp(time / unit, UTC):%Y-%m-%d %H:%M} UTC"
    return f"{time:.6g}"
