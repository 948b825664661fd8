"""A log as its description says it: the files found, joined, split, and given in typed parts."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fsmd.data.description.columns import DAY, PER_SECOND
from fsmd.data.description.values import (
    ByFiles,
    ByShare,
    ByTime,
    ByUserTime,
    Description,
)
from fsmd.data.encoded import SPLITS
from fsmd.data.files import writing_cache
from fsmd.data.fitting.hashing import mixed
from fsmd.data.rows import splits
from fsmd.data.rows.fields import UntypedRows, Value
from fsmd.data.rows.files import LogFile, batches, open_all
from fsmd.data.rows.hashes import (
    Buckets,
    Hashes,
    alone,
    compact,
    joined,
    owner_codes,
    row_hashes,
)
from fsmd.data.rows.joins import NothingFoundError, SideTable
from fsmd.data.rows.part import Part, Where
from fsmd.data.rows.place import digests_of, place_of, verify
from fsmd.data.rows.plan import Reader, Values, columns_of
from fsmd.data.rows.splits import NONE, Codes, TimedUsers, Times
from fsmd.errors import UserError, shown

_BEYOND = 2.0**63


class _Numbered(NamedTuple):
    """Some rows of the log."""

    rows: UntypedRows
    number_N: NDArray[np.int64]
    """Of each row in the whole log, repeats counted."""

    def of(self, value: Value) -> pa.Array:
        """The value of each row."""
        return self.rows.of(value)

    @property
    def where(self) -> Where:
        """Where they were read."""
        return self.rows.where

    def only(self, kept_N: NDArray[np.bool_]) -> "_Numbered":
        """The rows that are kept."""
        if kept_N.all():
            return self
        mask = pa.array(kept_N)
        rows = UntypedRows(
            self.rows.batch.filter(mask),
            Where(self.where.source, self.where.rows_N[kept_N]),
            {key: _filtered(array, mask) for key, array in self.rows.known.items()},
        )
        return _Numbered(rows, self.number_N[kept_N])

    def codes(self, key: Sequence[Value]) -> Hashes:
        """A hash for each row's key; a row without one is alone."""
        return owner_codes(joined([self.rows.words(value) for value in key]), self.number_N)

    def times(self, value: Value) -> Times:
        """int64, or float64 with NaN; UserError with row for one that is no time."""
        found: Times = self.of(value).to_numpy(zero_copy_only=False)
        beyond_N = np.abs(found) >= _BEYOND if found.dtype.kind == "f" else np.zeros(1, bool)
        if beyond_N.any():
            row = int(np.argmax(beyond_N))
            raise UserError(
                f"{self.where.row(row)}: a time must lie between -2**63 and 2**63; got "
                f"{found[row]:g} for {shown(value.expression.text)}"
            )
        return found


@dataclass(frozen=True, eq=False)
class Log:
    """The files of a description, opened; see `Log.of`."""

    description: Description
    folder: Path
    """That the patterns are relative to."""
    files: tuple[LogFile, ...]
    side_files: tuple[tuple[LogFile, ...], ...]
    """Of each join."""
    sides: tuple[SideTable, ...]
    memory: int
    values: Values
    left_out: dict[str, int] = field(default_factory=dict)
    """Why -> rows that the last whole pass of `parts` left out: "repeats" and "in no split"."""

    @classmethod
    def of(cls, description: Description, memory: int) -> "Log":
        """Find and open all files, check every expression against their columns, load side tables.

        memory: bytes that side tables and sorting may take; more of the latter waits on disk.
        Raises UserError for files that are not there, disagree or cannot be read, and for columns
        that are not there or that two sides have.
        """
        sets = (description.data, *(join.files for join in description.joins))
        folder, paths = place_of(description, sets)
        opened = tuple(open_all(found, each) for found, each in zip(paths, sets, strict=True))
        if description.origin is not None:
            verify(description.origin, [file for files in opened for file in files])
        reader = Reader(description, columns_of(opened))
        values = reader.values(opened[0])
        used = values.columns() | {name for join in description.joins for name in join.on}
        reader.check_clashes(used, opened)
        sides = tuple(
            SideTable.read(
                files,
                join.files,
                join.on,
                [name for name in files[0].columns if name in used],
                memory // (2 * len(description.joins)),
            )
            for join, files in zip(description.joins, opened[1:], strict=True)
        )
        return cls(description, folder, opened[0], opened[1:], sides, memory, values)

    @cached_property
    def key(self) -> Mapping[str, object]:
        """Place and digest of the content of each file, in order; a split may go by places."""
        return {
            "files": self._named(self.files),
            "joins": [self._named(files) for files in self.side_files],
        }

    def _named(self, files: Sequence[LogFile]) -> list[tuple[str, str]]:
        def name(path: Path) -> str:
            place = path.relative_to(self.folder) if path.is_relative_to(self.folder) else path
            return place.as_posix().removesuffix(".gz")

        return list(zip((name(f.path) for f in files), digests_of(files), strict=True))

    def parts(self) -> Iterator[Part]:
        """All rows that are in a split, in the order of the files, each part of one split."""
        split = self._split
        left: dict[str, int] = {"repeats": 0, "in no split": 0}
        for rows in self._rows(self.values.columns(), left):
            code_N = split(rows)
            left["in no split"] += int((code_N == NONE).sum())
            for code, name in enumerate(SPLITS):
                kept_N = code_N == code
                if kept_N.any():
                    yield self._part(name, rows.only(kept_N))
        self.left_out.clear()
        self.left_out.update(left)

    def raw(self, split: str) -> Iterator[pa.RecordBatch]:
        """The rows of a split with the columns that are used, as files and side tables have them.

        In the order of `parts`.
        """
        of_rows, wanted = self._split, SPLITS.index(split)
        for rows in self._rows(self.values.columns(), {}):
            kept_N = of_rows(rows) == wanted
            if kept_N.any():
                yield rows.only(kept_N).rows.batch

    def features(self, rows: UntypedRows) -> pa.RecordBatch:
        """The features of raw rows, as `Part.fields` has them; needs their columns alone."""
        inputs = self.description.inputs
        arrays = [rows.feature(each, self.values.fields[each.name]) for each in inputs]
        return pa.RecordBatch.from_arrays(arrays, names=[each.name for each in inputs])

    def _rows(self, columns: Collection[str], left_out: dict[str, int]) -> Iterator[_Numbered]:
        """All rows but repeats, with these columns, joined; counts the repeats."""
        wanted, sides = set(columns), []
        for side in reversed(self.sides):
            if wanted & side.columns.keys():
                sides.append(side)
                wanted |= set(side.on)
        of_log = [name for name in self.files[0].columns if name in wanted]
        coded = self.values.words() | {name for side in sides for name in side.on}
        done, found = 0, dict.fromkeys(sides, 0)
        for file in self.files:
            for batch, where in batches(file, self.description.data, of_log, coded):
                number_N = np.arange(done, done + batch.num_rows, dtype=np.int64)
                done += batch.num_rows
                numbered = _Numbered(UntypedRows(batch, where, {}), number_N)
                if self._kept is not None:
                    numbered = numbered.only(self._kept[number_N])
                    repeats = batch.num_rows - len(numbered.number_N)
                    left_out["repeats"] = left_out.get("repeats", 0) + repeats
                rows = numbered.rows
                for side in reversed(sides):
                    key = joined([rows.column_words(name) for name in side.on])
                    wider, theirs = side.joined(rows.batch, key, wanted)
                    rows, found[side] = rows._replace(batch=wider), found[side] + theirs
                yield numbered._replace(rows=rows)
        if not done:
            raise UserError(f"{', '.join(str(f.path) for f in self.files)}: there are no rows")
        for side in reversed(sides):
            if not found[side]:
                raise NothingFoundError(side.not_found)

    def _part(self, split: str, rows: _Numbered) -> Part:
        recipe, values = self.description.recipe, self.values
        user_N = rows.codes(values.user) if values.user else None
        label_NK = np.stack([self._label(rows, k) for k in range(len(recipe.tasks))], axis=1)
        return Part(
            split=split,
            fields=self.features(rows.rows),
            label_NK=label_NK,
            where=rows.where,
            weight_N=None if values.weight is None else _floats(rows.of(values.weight)),
            user_N=user_N,
            request_N=self._requests(rows, user_N),
            time_N=None if values.time is None else rows.times(values.time),
            item_N=rows.codes(values.item) if values.item else None,
        )

    def _label(self, rows: _Numbered, k: int) -> NDArray[np.float64]:
        task = self.description.recipe.tasks[k]
        value, where = self.values.labels[k]
        label_N = _floats(rows.of(value))
        wrong_N = ~((label_N == 0) | (label_N == 1) | np.isnan(label_N))
        if wrong_N.any():
            row = int(np.argmax(wrong_N))
            raise UserError(
                f"{rows.where.row(row)}: label {task.name!r} must be 0 or 1, or missing; got "
                f"{label_N[row]:g} for {shown(value.expression.text)}"
            )
        if self.description.labels[task.name].missing == "zero":
            label_N = np.nan_to_num(label_N)
        if where is not None:
            label_N = np.where(_truths(rows.of(where)), label_N, np.nan)
        return label_N

    def _requests(self, rows: _Numbered, user_N: Hashes | None) -> Hashes | None:
        values = self.values
        if values.request:
            return rows.codes(values.request)
        if user_N is None or values.time is None:
            return None
        day_N = np.floor_divide(rows.times(values.time), DAY * PER_SECOND[values.time_unit])
        lost_N = day_N != day_N
        of_day_N = mixed(np.where(lost_N, 0, day_N).astype(np.int64).view(np.uint64))
        return mixed(user_N ^ np.where(lost_N, alone(rows.number_N), of_day_N))

    @cached_property
    def _kept(self) -> NDArray[np.bool_] | None:
        """Of each row of the log whether none before it in the files is equal; None: all are."""
        if not self.description.distinct:
            return None
        return self._without_repeats()

    @writing_cache()
    def _without_repeats(self) -> NDArray[np.bool_]:
        kind = np.dtype([("hash", "u8"), ("number", "i8")])
        names = sorted(self.files[0].columns)  # the files may have them in another order
        done = 0
        with Buckets(kind, self.memory // 4) as buckets:
            for file in self.files:
                for batch, _ in batches(file, self.description.data, names):
                    records = np.empty(batch.num_rows, kind)
                    records["hash"] = row_hashes(batch.columns)
                    records["number"] = np.arange(done, done + batch.num_rows)
                    done += batch.num_rows
                    buckets.add(records)
            kept_N = splits.scratch(done, np.bool_, False)
            for records in buckets:
                first = np.unique(records["hash"], return_index=True)[1]
                kept_N[records["number"][first]] = True
        return kept_N

    @cached_property
    def _split(self) -> Callable[[_Numbered], Codes]:
        """What says the split of each row; some rules read the log first."""
        rule, values = self.description.split, self.values
        if isinstance(rule, ByTime):
            by = values.split[0]
            codes = splits.of_times(
                rule,
                values.split_unit,
                lambda: (rows.times(by) for rows in self._rows(by.expression.columns, {})),
            )
            return lambda rows: codes(rows.times(by))
        if isinstance(rule, ByUserTime):
            return self._by_users_time(rule)
        if isinstance(rule, ByShare):
            if rule.of == "user":
                return lambda rows: splits.of_shares(rule, rows.codes(values.user))
            return lambda rows: splits.of_shares(rule, rows.number_N.astype(np.uint64))
        if isinstance(rule, ByFiles):
            return self._by_files(rule)
        return self._by_rules

    def _by_users_time(self, rule: ByUserTime) -> Callable[[_Numbered], Codes]:
        by, user = self.values.split[0], self.values.user
        columns = {c for value in (by, *user) for c in value.expression.columns}
        timed = (
            TimedUsers(rows.number_N, rows.times(by), rows.codes(user))
            for rows in self._rows(columns, {})
        )
        codes = splits.of_users_times(rule, timed, self.memory // 4)
        return lambda rows: codes(rows.number_N)

    def _by_files(self, rule: ByFiles) -> Callable[[_Numbered], Codes]:
        paths = [file.path for file in self.files]
        of_path: dict[str, int] = {}
        for code, name in enumerate(SPLITS):
            for path in splits.files_of(getattr(rule, name), paths, self.folder, name):
                other = of_path.setdefault(str(path), code)
                if other != code:
                    raise UserError(
                        f"[split] {name}: each file is in one split; {path} is in {SPLITS[other]} "
                        "too"
                    )
        middle = 0 if rule.valid else self._middle(of_path)

        def codes(rows: _Numbered) -> Codes:
            code = of_path.get(rows.where.source, NONE)
            code_N = np.full(len(rows.number_N), code, np.int8)
            if code == 2:
                code_N[rows.number_N < middle] = 1
            return code_N

        return codes

    def _middle(self, of_path: Mapping[str, int]) -> int:
        """The number of the first row of the second half of the test files' rows."""
        ends: list[tuple[int, int]] = []
        count = 0
        for rows in self._rows((), {}):
            if of_path.get(rows.where.source, NONE) == 2:
                count += len(rows.number_N)
                ends.append((count, int(rows.number_N[-1]) if len(rows.number_N) else 0))
        left = count // 2
        for total, last in ends:
            if total > left:
                numbers = np.arange(last + 1)
                kept = numbers if self._kept is None else numbers[self._kept[: last + 1]]
                return int(kept[left - total])
        return 0

    def _by_rules(self, rows: _Numbered) -> Codes:
        true_3N = [_truths(rows.of(value)) for value in self.values.split]

        def refused(row: int) -> UserError:
            both = [n for n, true_N in zip(SPLITS, true_3N, strict=True) if true_N[row]]
            return UserError(
                f"{rows.where.row(row)}: [split]: a row must be in one split; it is in "
                f"{' and '.join(both)}"
            )

        return splits.of_rules(true_3N, refused)


def _filtered(array: pa.Array, mask: pa.Array) -> pa.Array:
    kept = array.filter(mask)
    return compact(kept) if pa.types.is_dictionary(kept.type) else kept


def _truths(truth: pa.Array) -> NDArray[np.bool_]:
    """Missing is not true."""
    found: NDArray[np.bool_] = pc.fill_null(truth, False).to_numpy(zero_copy_only=False)
    return found


def _floats(number: pa.Array) -> NDArray[np.float64]:
    """NaN where it is missing."""
    if pa.types.is_boolean(number.type):
        number = number.cast(pa.int8())
    found: NDArray[np.float64] = number.cast(pa.float64(), safe=False).to_numpy(
        zero_copy_only=False
    )
    return found
