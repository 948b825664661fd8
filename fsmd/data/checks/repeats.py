"""Rows that are there twice: in one split, or in two, where a test row was trained on."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.checks.check import Finding
from fsmd.data.checks.tally import (
    Codes,
    Counted,
    KeyTally,
    members,
    numbers_of_column,
    of_all,
)
from fsmd.data.encoded import SPLITS
from fsmd.data.fitting.hashing import combined
from fsmd.data.rows.hashes import row_hashes
from fsmd.data.rows.part import Part
from fsmd.data.source import Recipe

REPEATED_SHARE = 0.01
"""Of a split's rows, from which on repeats are no chance."""
_MOST = 2**20
_PAIRS = (("train", "valid"), ("train", "test"), ("valid", "test"))


class Repeats:
    """Equal rows within and across splits, and one (user, item, time) in two of them."""

    def __init__(self, recipe: Recipe) -> None:
        self._rows, self._events = KeyTally(len(SPLITS), _MOST), KeyTally(len(SPLITS), _MOST)
        self._total = dict.fromkeys(SPLITS, 0)
        self._is_dated = False  # else equal rows may well be of different cases

    def see(self, part: Part) -> None:
        """Count rows by a hash of all that is used of them."""
        split = SPLITS.index(part.split)
        self._total[part.split] += len(part.label_NK)
        keys = [_codes(column) for column in part.fields.columns]
        keys.append(_labels(part))
        who = [c for c in (part.user_N, part.item_N, part.request_N) if c is not None]
        self._is_dated |= part.user_N is not None and part.time_N is not None
        keys += who
        if part.time_N is not None:
            keys.append(_bits(part.time_N))
        self._rows.add(combined(*keys), split)
        if part.user_N is not None and part.item_N is not None and part.time_N is not None:
            there_N = ~np.isnan(part.time_N.astype(np.float64))
            event_N = combined(part.user_N, part.item_N, _bits(part.time_N))
            self._events.add(event_N[there_N], split)

    def findings(self) -> Iterator[Finding]:
        """Within a split, across splits, then events."""
        rows, events = self._rows.counted(), self._events.counted()
        more = np.maximum(rows.counts_UC - 1, 0).sum(0)
        repeats = {(split, ""): rows.total(n) for split, n in zip(SPLITS, more, strict=True)}
        yield from self._told(
            f"Rows{rows.about} that repeat another one of their split in every field, label, role",
            repeats,
            "If they were logged twice, say distinct = true under [data].",
        )
        yield from self._told(
            f"Rows{rows.about} that are in two splits, equal in every field, label and role",
            _shared(rows),
            "A model that learns by heart looks good on them. Split so that repeats stay "
            "together, or say distinct = true under [data].",
        )
        yield from self._told(
            f"Rows{events.about} with the user, item and time of a row of another split",
            _shared(events),
            "Each such pair is one event: split by time, or make one row of each event.",
            least=0,
        )

    def _told(
        self,
        what: str,
        found: Mapping[tuple[str, str], int],
        advice: str,
        least: float = REPEATED_SHARE,
    ) -> Iterator[Finding]:
        """found: (split, more words) -> rows."""
        told = {place: number for place, number in found.items() if number}
        if not told:
            return
        many = any(number >= least * self._total[split] for (split, _), number in told.items())
        places = [f"{of_all(n, self._total[s])} of {s}{more}" for (s, more), n in told.items()]
        level: Literal["warning", "note"] = "warning" if many and self._is_dated else "note"
        yield Finding(level, f"{what}: {', '.join(places)}. {advice}")


def _shared(counted: Counted) -> dict[tuple[str, str], int]:
    """(split, of which other it has rows) -> how many."""
    of = {split: counted.counts_UC[:, i] for i, split in enumerate(SPLITS)}
    return {
        (other, f" in {one}"): counted.total(of[other][of[one] > 0].sum()) for one, other in _PAIRS
    }


def _codes(column: pa.Array) -> Codes:
    """A code for each of N values."""
    if pa.types.is_list(column.type):
        return row_hashes([column])
    if pa.types.is_floating(column.type):
        return _bits(numbers_of_column(column))
    return members(column).codes()


def _bits(number_N: NDArray[Any]) -> Codes:
    return (number_N + 0).astype(number_N.dtype).view(np.uint64)  # -0 is 0


def _labels(part: Part) -> Codes:
    digit_NK = np.nan_to_num(part.label_NK, nan=2).astype(np.uint64)
    return combined(*digit_NK.T)
