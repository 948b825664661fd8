"""Of which split each row is: train, valid, test, or none."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.description.columns import PER_SECOND, instants
from fsmd.data.description.values import ByShare, ByTime, ByUserTime, Moment
from fsmd.data.files import cache_root, writing_cache
from fsmd.data.fitting.hashing import mixed
from fsmd.data.rows.hashes import Buckets, Hashes
from fsmd.errors import UserError, alternatives, shown

NONE = -1
"""The code of a row of no split; of others the position in `encoded.SPLITS`."""

Codes: TypeAlias = NDArray[np.int8]
Times: TypeAlias = NDArray[Any]
"""int64, or float64 with NaN where a time is missing."""


class TimedUsers(NamedTuple):
    """N rows of a pass over the log."""

    number_N: NDArray[np.int64]
    """Of each row in the whole log."""
    time_N: Times
    user_N: Hashes


def moment(value: Moment, unit: str) -> int | float:
    """A moment in the unit of the times; UserError for a text that is none."""
    if not isinstance(value, str):
        return value
    seconds, refused_N = instants(pa.array([value]))
    if refused_N is not None and refused_N.any():
        raise UserError(
            "[split]: a moment must be a number or a date, as 2024-05-31 or 2024-05-31T12:00; got "
            f"{shown(value)}"
        )
    found = seconds[0].as_py() * PER_SECOND[unit]
    return int(found) if found == int(found) else float(found)


def of_times(
    rule: ByTime, unit: str, times: Callable[[], Iterable[Times]]
) -> Callable[[Times], Codes]:
    """The split of each row by its time. `times` gives those of all rows, for shares of them."""
    until = np.inf if rule.until is None else moment(rule.until, unit)
    if rule.shares is not None:
        valid, test = _cuts(times(), until, rule.shares)
    else:
        test = np.inf if rule.test_from is None else moment(rule.test_from, unit)
        valid = test if rule.valid_from is None else moment(rule.valid_from, unit)

    def codes(time_N: Times) -> Codes:
        code_N = (time_N >= valid).astype(np.int8) + (time_N >= test).astype(np.int8)
        code_N[(time_N >= until) | (time_N != time_N)] = NONE
        return code_N

    return codes


@writing_cache()
def _cuts(
    times: Iterable[Times], until: float, shares: tuple[float, float, float]
) -> tuple[float, float]:
    """The first moments of validation and of test."""
    cache_root().mkdir(parents=True, exist_ok=True)
    # Without a name: nothing is left of it, however this process ends.
    with TemporaryFile(dir=cache_root()) as file:
        count = 0
        for time_N in times:
            kept = time_N[(time_N < until) & (time_N == time_N)].astype(np.float64)
            file.write(kept.tobytes())
            count += len(kept)
        if not count:
            return np.inf, np.inf
        file.flush()
        all_ = np.memmap(file, np.float64, mode="r+")
        places = [min(_place(count * share), count - 1) for share in np.cumsum(shares[:2])]
        all_.partition(sorted(set(places)))
        return float(all_[places[0]]), float(all_[places[1]])


def _place(exact: float) -> int:
    """The nearest whole number, whatever rounding did before."""
    return int(np.floor(round(exact, 6) + 0.5))


@writing_cache()
def of_users_times(
    rule: ByUserTime, rows: Iterable[TimedUsers], memory: int
) -> Callable[[NDArray[np.int64]], Codes]:
    """The split of each row by its number: the last rows of each user are test.

    Of n rows the first round(n * shares[0]) are train, those to round(n * (shares[0] + shares[1]))
    validation. Rows of one moment are in the order of the files. Rows without a time are in none.
    """
    kind = np.dtype([("hash", "u8"), ("time", "f8"), ("number", "i8")])
    count, (valid, test) = 0, np.cumsum(rule.shares[:2])
    with Buckets(kind, memory) as buckets:
        for number_N, time_N, user_N in rows:
            count = max(count, int(number_N[-1]) + 1) if len(number_N) else count
            records = np.empty(len(number_N), kind)
            records["hash"], records["time"], records["number"] = user_N, time_N, number_N
            buckets.add(records[time_N == time_N])
        code_N = scratch(count, np.int8, NONE)
        for records in buckets:
            records = records[np.lexsort((records["number"], records["time"], records["hash"]))]
            _, start_U, of_row, count_U = np.unique(
                records["hash"], return_index=True, return_inverse=True, return_counts=True
            )
            rank, total = np.arange(len(records)) - start_U[of_row], count_U[of_row]
            code_N[records["number"]] = sum(
                (rank >= np.floor(np.round(total * share, 6) + 0.5)).astype(np.int8)
                for share in (valid, test)
            )
    return lambda number_N: np.asarray(code_N[number_N])


def of_shares(rule: ByShare, code_N: Hashes) -> Codes:
    """The split of each row at random, by its number or its user's hash."""
    seed = mixed(np.array([rule.seed % 2**64], np.uint64))
    share_N = (mixed(code_N ^ seed) >> np.uint64(11)) * 2.0**-53
    return np.searchsorted(np.cumsum(rule.shares[:2]), share_N, side="right").astype(np.int8)


def files_of(
    patterns: Sequence[str], paths: Sequence[Path], folder: Path, split: str
) -> tuple[Path, ...]:
    """Those of the log's files that a split's patterns name; UserError for one that names none."""
    found: list[Path] = []
    for pattern in patterns:
        here = [path for path in paths if _is_of(path, pattern, folder)]
        if not here:
            raise UserError(
                f"[split] {split}: no file of the log is {pattern!r}"
                f"{alternatives(pattern, [path.name for path in paths])}"
            )
        found += here
    return tuple(dict.fromkeys(found))


def _is_of(path: Path, pattern: str, folder: Path) -> bool:
    inside = path.relative_to(folder) if path.is_relative_to(folder) else path
    plain = inside.with_name(inside.name.removesuffix(".gz"))
    wanted = os.path.expanduser(pattern).rstrip("/") or "/"
    return any(place.match(wanted) for place in (path, plain, *list(inside.parents)[:-1]))


def of_rules(true_3N: Sequence[NDArray[np.bool_]], refuse: Callable[[int], UserError]) -> Codes:
    """The split whose rule is true; `refuse` makes the error of a row of which two are."""
    count_N = np.sum(true_3N, axis=0)
    if (count_N > 1).any():
        raise refuse(int(np.argmax(count_N > 1)))
    return np.where(count_N == 0, NONE, np.argmax(true_3N, axis=0)).astype(np.int8)


def scratch(count: int, kind: type[np.generic], value: int) -> NDArray[Any]:
    """An array on disk that is gone once nobody has it, however this process ends."""
    cache_root().mkdir(parents=True, exist_ok=True)
    if not count:
        return np.zeros(0, kind)
    with TemporaryFile(dir=cache_root()) as file:  # the map holds it
        made: NDArray[Any] = np.memmap(file, kind, mode="w+", shape=(count,))
    made[:] = value
    return made
