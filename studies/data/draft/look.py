"""Reads the files of a log once, as a stream, and keeps what a draft is made of."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.checks.tally import KeyTally
from fsmd.data.description.columns import is_text, numbers
from fsmd.data.description.values import FileSet
from fsmd.data.fitting.hashing import mixed
from fsmd.data.rows.files import LogFile, batches, find, open_all, open_log, without_repeats
from fsmd.errors import UserError, shown
from studies.data.draft.column import TALLIED, Column, plain
from studies.data.draft.words import names_a_label, names_a_person_or_thing

SAMPLE = 100_000
"""Rows drawn for quantiles, leaks and the like."""
SAMPLE_SHARE = 1 / 8
"""Of the memory, that the sample may take."""
PAIRED = 128
"""Columns of 0 and 1 whose rows are counted in pairs."""


@dataclass
class Sample:
    """Rows drawn at random, in the order of the log."""

    size: int
    most_bytes: int
    seen: int = 0
    parts: list[pa.Table] = field(default_factory=list)
    drawn: list[NDArray[np.uint64]] = field(default_factory=list)
    below: int = 2**64 - 1
    kept_bytes: int = 0

    def see(self, rows: pa.Table) -> None:
        """Keep the rows whose numbers have the smallest hashes."""
        hash_N = mixed(np.arange(self.seen, self.seen + len(rows), dtype=np.uint64))
        self.seen += len(rows)
        self._keep(rows, hash_N)
        if sum(map(len, self.drawn)) > 2 * self.size or self.kept_bytes > 2 * self.most_bytes:
            self._trim()

    def _keep(self, rows: pa.Table, hash_N: NDArray[np.uint64]) -> None:
        near = np.flatnonzero(hash_N <= np.uint64(self.below))
        if len(near):
            # `take` copies, so that a part does not hold on to the whole block it was read in.
            self.parts.append(rows.take(pa.array(near)))
            self.kept_bytes += self.parts[-1].nbytes
            self.drawn.append(hash_N[near])

    def _trim(self) -> None:
        hash_N = np.concatenate(self.drawn)
        share = min(1.0, self.most_bytes / max(1, self.kept_bytes))
        most = max(1, min(self.size, int(len(hash_N) * share)))
        if most < len(hash_N):
            self.below = int(np.partition(hash_N, most - 1)[most - 1])
            table = pa.concat_tables(self.parts)
            self.parts, self.drawn, self.kept_bytes = [], [], 0
            self._keep(table, hash_N)

    def table(self) -> pa.Table:
        """The rows."""
        self._trim()
        return pa.concat_tables(self.parts)


@dataclass
class Pairs:
    """Of columns that hold 0 and 1 alone: how often one is 1 where another is 0."""

    names: list[str]
    """Columns that may be so; those that turn out otherwise leave."""
    without: dict[tuple[str, str], int] = field(default_factory=dict)
    """(a, b) -> rows with a = 1 and b = 0."""
    ones: dict[str, int] = field(default_factory=dict)

    def see(self, columns: Sequence[Column]) -> None:
        """Take note of the rows that the columns saw last."""
        numbers = {c.name: c.number_of_row for c in columns if c.name in self.names}
        self.names = [
            name
            for name in self.names
            if (number_N := numbers[name]) is not None
            and not ((number_N != 0) & (number_N != 1) & ~np.isnan(number_N)).any()
        ]
        counted = self.names[:PAIRED]
        if not counted:
            return
        matrix = np.stack([np.asarray(numbers[n]) for n in counted], axis=1)
        one, zero = (matrix == 1).astype(np.float32), (matrix == 0).astype(np.float32)
        for a, row, ones in zip(counted, one.T @ zero, one.sum(0), strict=True):
            self.ones[a] = self.ones.get(a, 0) + int(ones)
            for b, rows in zip(counted, row, strict=True):
                self.without[a, b] = self.without.get((a, b), 0) + int(rows)


@dataclass(frozen=True)
class SideFiles:
    """A further file, and the columns by which the log's rows find theirs."""

    files: FileSet
    """Its patterns as they were given."""
    on: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: int
    matched: float
    """The share of the log's rows, of a sample, that find one."""
    given: bool
    """By --join; else found among the files of the log by its columns."""


@dataclass(frozen=True)
class Seen:
    """What was seen of a log."""

    files: FileSet
    """Of the log; its patterns as they were given."""
    rows: int
    columns: tuple[Column, ...]
    """Of the log, then of the side tables without their keys."""
    sides: tuple[SideFiles, ...]
    sample: pa.Table
    """Rows drawn at random in the order of the log, with the columns of the side tables; plain."""
    pairs: Pairs
    repeats: float
    """The share of rows that repeat another one exactly, of a sample."""
    clashes: tuple[str, ...] = ()
    """Columns that are there twice, of which the first stays."""

    def cleaned(self, words: Sequence[str]) -> "Seen":
        """As the sample is read where the words mean missing and blanks are taken off."""
        sample = self.sample
        for i, name in enumerate(sample.column_names):
            values = sample.column(i).combine_chunks()
            if is_text(values.type):
                trimmed = pc.utf8_trim_whitespace(values)
                is_word = pc.is_in(trimmed, pa.array(["", *words]))
                fresh = pc.if_else(is_word, pa.scalar(None, pa.string()), trimmed)
                sample = sample.set_column(i, name, fresh)
        return replace(self, sample=sample)

    def numbers(self, column: Column) -> NDArray[np.float64]:
        """The column's numbers in the sample, NaN for missing."""
        found = numbers(self.sample.column(column.name)).values.cast(pa.float64(), safe=False)
        return np.asarray(found.to_numpy(zero_copy_only=False), np.float64)


Tick = Callable[[int], None]
"""Told how many rows just were read."""


def look(
    log: Sequence[str], joins: Sequence[str], files: FileSet, memory: int, tick: Tick
) -> Seen:
    """Read all files once, those of side tables whole.

    log, joins: paths or patterns below the working folder. Raises UserError for what cannot be
    read, and for files whose columns have nothing to do with the others'.
    """
    groups: dict[tuple[str, ...], dict[str, Sequence[LogFile]]] = {}
    for pattern in dict.fromkeys(log):
        if pattern not in joins:
            for name, opened in _opened(pattern, files):
                groups.setdefault(tuple(sorted(opened[0].columns)), {})[name] = opened
    if not groups:
        raise UserError("all files are side tables; name those of the log before --join")
    main = max(groups, key=lambda names: sum(map(_bytes, groups[names].values())))
    named = tuple(groups[main])
    paths = without_repeats(f.path for opened in groups[main].values() for f in opened)
    seen = _stream(open_all(paths, files), replace(files, patterns=named), memory, tick)
    own = replace(files, header=files.header or bool(files.columns), columns=())
    sides = [(dict(_opened(pattern, own)), own, True) for pattern in dict.fromkeys(joins)]
    sides += [(group, files, False) for names, group in groups.items() if names != main]
    for group, read_as, given in sides:
        seen = _joined(seen, group, files=read_as, memory=memory, tick=tick, given=given)
    return seen


def _opened(pattern: str, files: FileSet) -> Iterator[tuple[str, Sequence[LogFile]]]:
    """The pattern's files; one by one, by their own names, where their columns differ."""
    opened = [open_log(p, files) for p in find(replace(files, patterns=(pattern,)), Path.cwd())]
    if len({frozenset(file.columns) for file in opened}) == 1:
        yield pattern, opened
        return
    for file in opened:
        yield str(file.path), [file]


def _bytes(opened: Sequence[LogFile]) -> int:
    return sum(file.stamp.size for file in opened)


def _stream(opened: Sequence[LogFile], files: FileSet, memory: int, tick: Tick) -> Seen:
    first = opened[0]
    columns = [Column(name, kind) for name, kind in first.columns.items()]
    readable = [c for c in columns if c.is_readable]
    sample = Sample(SAMPLE, int(memory * SAMPLE_SHARE))
    tally = KeyTally(1, TALLIED)
    in_order = sorted((c.name for c in readable), key=lambda name: not names_a_label(name))
    pairs = Pairs(in_order)
    for file in opened:
        for batch, _ in batches(file, files, tuple(c.name for c in readable)):
            kept = {}
            hash_N = np.zeros(len(batch), np.uint64)
            for column in readable:
                kept[column.name] = plain(batch.column(column.name))
                column.see(kept[column.name])
                hash_N = mixed(hash_N ^ column.hash_of_row)
            tally.add(hash_N, 0)
            pairs.see(readable)
            sample.see(pa.table(kept))
            tick(len(batch))
    if not sample.seen:
        raise UserError(f"there must be rows in the log; {first.path.name} has a header alone")
    rows = tally.counted()
    repeats = 1 - len(rows.key_U) / int(rows.counts_UC.sum())
    return Seen(files, sample.seen, tuple(columns), (), sample.table(), pairs, repeats)


def _joined(
    seen: Seen,
    group: Mapping[str, Sequence[LogFile]],
    files: FileSet,
    memory: int,
    tick: Tick,
    given: bool,
) -> Seen:
    """With the columns of a side table, by the key that the two share."""
    opened = open_all(dict.fromkeys(f.path for each in group.values() for f in each), files)
    name, kinds = opened[0].path.name, opened[0].columns
    columns = [Column(n, kind, name) for n, kind in kinds.items()]
    readable = [c for c in columns if c.is_readable]
    parts: list[pa.Table] = []
    for file in opened:
        for batch, _ in batches(file, files, tuple(c.name for c in readable)):
            parts.append(pa.table({c.name: plain(batch.column(c.name)) for c in readable}))
            for column in readable:
                column.see(parts[-1].column(column.name))
            tick(len(batch))
            if sum(part.nbytes for part in parts) > memory / 2:
                raise UserError(
                    f"a side table is held in memory, of which {memory:,} bytes may be used; "
                    f"{name} is larger: give more --memory, or describe it as a log of its own"
                )
    if not parts:
        raise UserError(f"a side table must have rows; {name} has none")
    table = pa.concat_tables(parts)
    on = _key(seen, table, name)
    there = {c.name for c in seen.columns}
    fresh = [c for c in columns if c.name not in there]
    read = [c.name for c in fresh if c.is_readable]
    is_all = len(seen.sample) == seen.rows
    sample, matched = _lookup(seen.sample, is_all, table, name, on, read)
    side = SideFiles(
        replace(files, patterns=tuple(group)), on, tuple(columns), len(table), matched, given
    )
    return replace(
        seen,
        columns=(*seen.columns, *fresh),
        sides=(*seen.sides, side),
        sample=sample,
        clashes=(*seen.clashes, *(n for n in kinds if n in there and n not in on)),
    )


def _key(seen: Seen, table: pa.Table, name: str) -> tuple[str, ...]:
    """The shared columns that find one row of the side table each, the fewest."""
    own = [c.name for c in seen.columns if c.name in table.column_names and c.table == ""]
    own = [n for n in own if n in seen.sample.column_names]
    if not own:
        raise UserError(
            f"a side table must share a column with the log; {name} has "
            f"{shown(table.column_names)}"
        )
    own.sort(key=lambda n: not names_a_person_or_thing(n))
    for key in (*((n,) for n in own), *((own[0], n) for n in own[1:]), tuple(own)):
        codes = _texts(table, key)
        if pc.count_distinct(codes).as_py() == len(codes) - codes.null_count:
            return key
    raise UserError(
        f"a side table must have one row for each key; no column that {name} shares with the log "
        f"({', '.join(map(repr, own))}) is unique there"
    )


def _texts(table: pa.Table, names: Sequence[str]) -> pa.Array:
    """One text for each row's key."""
    texts = [table.column(n).combine_chunks().cast(pa.string()) for n in names]
    joined = texts[0] if len(texts) == 1 else pc.binary_join_element_wise(*texts, "\x1f")
    return joined.combine_chunks() if isinstance(joined, pa.ChunkedArray) else joined


def _lookup(
    sample: pa.Table,
    is_all: bool,
    table: pa.Table,
    table_name: str,
    on: tuple[str, ...],
    names: Sequence[str],
) -> tuple[pa.Table, float]:
    """The sample with columns of the side table, and the share of its rows that found one.

    is_all: whether the sample is the whole log. Raises UserError if none of that found one.
    """
    own, theirs = _texts(sample, on), _texts(table, on)
    place = pc.index_in(own, theirs, skip_nulls=True)
    if is_all and place.null_count == len(place):
        one, other = (
            shown(keys.drop_null()[0].as_py() if keys.null_count < len(keys) else None)
            for keys in (own, theirs)
        )
        raise UserError(
            f"some row of the log must find one in a side table; none does in {table_name} by "
            f"{', '.join(on)}, such as {one} in the log and {other} there: are keys written alike "
            "in both?"
        )
    for name in names:
        sample = sample.append_column(name, table.column(name).combine_chunks().take(place))
    return sample, 1 - place.null_count / max(1, len(place))
