"""From what was seen of a log to a draft of its description: every guess has its reason."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa

from fsmd.data.description.columns import DAY, PER_SECOND, is_text
from fsmd.data.description.values import FileSet
from fsmd.data.source import LEAST_ROWS
from fsmd.errors import shown
from studies.data.draft import labels as labelled
from studies.data.draft.column import (
    NO_NUMBER,
    NUMBER,
    SEPARATORS,
    Column,
    is_list,
)
from studies.data.draft.kinds import MANY_VALUES, kind_of, separator_of, why_amount
from studies.data.draft.labels import Label
from studies.data.draft.leaks import leaks
from studies.data.draft.look import Seen
from studies.data.draft.names import LONGEST_COLUMN, named
from studies.data.draft.names import column as written
from studies.data.draft.times import Time, main_time, seconds_of, split_days, time_of
from studies.data.draft.values import Draft, DraftSection, Line, Toml
from studies.data.draft.words import (
    AFTER,
    BEFORE,
    CODES,
    ITEMS,
    NUMBERS,
    REQUESTS,
    USERS,
    WEIGHTS,
    core,
    has,
    tokens,
)

UNIQUE = 0.9
"""Distinct values over rows, from which on a key tells nothing of other rows."""
COPIES_KEY = 0.98
"""The same of a side table, whose key says it all already."""
LEAST_USERS = 100
SHARES = (0.8, 0.1, 0.1)


def draft_of(seen: Seen, name: str, folder: Path) -> tuple[Seen, Draft]:
    """A draft for files that lie below `folder`, or are named by their whole paths.

    Also what was seen, read as the draft says.
    """
    guesser = _Guesser(seen, name, folder)
    return guesser.seen, guesser.draft()


@dataclass
class _Guesser:
    seen: Seen
    name: str
    folder: Path
    uses: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        own = self.seen.columns
        self.words = sorted({w for c in own for w in c.no_values}, key=NO_NUMBER.index)
        self.seen = self.seen.cleaned(self.words)
        self.usable = [c for c in own if c.is_readable and len(written(c.name)) <= LONGEST_COLUMN]
        self.times = [t for t in map(time_of, self.usable) if t]
        self.time = main_time(self.times, self.seen.rows)
        taken = {t.column.name for t in self.times}
        fit = (c for c in self.usable if c.name not in taken and not c.infinite)
        known = replace(self.seen, columns=tuple(fit))
        self.labels = labelled.labels(known) if known.columns else []
        # A device of three values in a long log is what a user holds.
        self.user = self._role(USERS, least=max(2, min(LEAST_USERS, self.seen.rows / 100)))
        self.item = self._role(ITEMS) or self._key_of_side()
        self.request = self._role(REQUESTS)
        weights = (c for c in self._features() if "_".join(tokens(c.name)) in WEIGHTS)
        self.weight = next((c for c in weights if c.is_number and c.low >= 0), None)

    def draft(self) -> Draft:
        """All sections."""
        split = self._split()
        tasks = self._tasks()
        fields = self._fields({line.key for line in tasks.lines if line.on})
        sections = (self._data(), *self._joins(), self._roles(), fields, tasks, split)
        on = tuple(line.key for line in tasks.lines if line.on)
        is_whole = bool(on) and any(line.on for line in fields.lines)
        return Draft(tuple(self._notes(fields, tasks)), sections, self.uses, on, is_whole)

    def _notes(self, fields: DraftSection, tasks: DraftSection) -> Iterator[str]:
        yield f"A draft of {self.seen.rows:,} rows; each line is a guess with its reason: edit it."
        yield "Lines behind a # do not bind. Only what is written here is used, nothing is guessed"
        yield "later. Columns are read by the names in the files."
        yield from map("NOTE: {}".format, self._doubts())
        if self.seen.rows < LEAST_ROWS:
            yield f"NOTE: {self.seen.rows} rows are few: nothing can be told apart with so few."
        if not any(line.on for line in tasks.lines):
            yield "NOTE: no label was found. Write one under [tasks], or no study can be run."
        if not any(line.on for line in fields.lines):
            yield "NOTE: no field was found. Write one under [fields], or no study can be run."

    def _doubts(self) -> Iterator[str]:
        """What makes one think that the files of text were read as they are not meant."""
        names = [c.name for c in self.seen.columns if not c.table]
        counts = {str(i) for i in range(len(names) + 1)}
        numbers = [n for n in names if re.match(NUMBER, n) and n not in counts]
        if numbers and self.seen.files.header:
            yield f"columns are named {shown(numbers)}: is that a row? Then say --columns."
        if len(names) == 1 and (found := [s for s in SEPARATORS if s in names[0]]):
            yield (
                f"there is one column, {shown(names[0])}; if {shown(found[0])} parts more, say "
                "--separator."
            )

    # Files

    def _data(self) -> DraftSection:
        files, own = self.seen.files, [c for c in self.seen.columns if not c.table]
        lines = [
            Line("name", self.name, "on reports"),
            Line("files", [self._place(p) for p in files.patterns], f"{self.seen.rows:,} rows"),
        ]
        lines += self._reading(files, own)
        if self.seen.repeats > 0:
            finest = self.time is not None and self.time.form != "yyyymmdd"
            why = f"about {self.seen.repeats:.1%} of the rows repeat another one exactly"
            lines.append(Line("distinct", True, why, on=finest))
        return DraftSection("[data]", tuple(lines))

    def _reading(self, files: FileSet, columns: Sequence[Column]) -> Iterator[Line]:
        if files.columns or not files.header:
            yield Line("header", files.header, "as it was said")
            why = "as it was said" if files.columns else "say what they are by --columns"
            yield Line("columns", [c.name for c in columns], why)
        if files.separator is not None:
            yield Line("separator", files.separator, "as it was said")
        if files.multiline:
            yield Line("multiline", True, "as it was said")
        if files.encoding != "utf-8":
            yield Line("encoding", files.encoding, "as it was said")
        if any(c.blanks for c in columns):
            yield Line("strip", True, "texts have blanks around them")
        words = [w for w in self.words if any(w in c.no_values for c in columns)]
        if words:
            rows = {w: sum(c.words[w] for c in columns) for w in words}
            told = ", ".join(f"{w} {n:,} times" for w, n in rows.items())
            yield Line("missing", ["", *words], f"words for no value: {told}")

    def _joins(self) -> Iterator[DraftSection]:
        for side in self.seen.sides:
            files: Toml = [self._place(p) for p in side.files.patterns]
            on: Toml = side.on[0] if len(side.on) == 1 else list(side.on)
            why = "shared with the log, and unique here"
            lines = (
                Line("files", files, f"{side.rows:,} rows, {len(side.columns)} columns"),
                Line("on", on, f"{why}; {side.matched:.1%} of the log's rows find theirs"),
                *self._reading(side.files, side.columns),
            )
            notes = () if side.given else ("Among the files, but with other columns.",)
            yield DraftSection("[[join]]", lines, notes)

    def _place(self, pattern: str) -> str:
        path = Path(pattern).absolute()
        path = path.resolve() if ".." in path.parts else path
        return str(path.relative_to(self.folder) if path.is_relative_to(self.folder) else path)

    # Roles

    def _features(self) -> list[Column]:
        """Columns that are neither label nor time."""
        no = {label.column.name for label in self.labels if not label.field}
        no |= {time.column.name for time in self.times}
        return [c for c in self.usable if c.name not in no]

    def _role(self, words: Sequence[str], least: float = 2) -> Column | None:
        """The column of the log whose name is among the words, the earliest of them.

        least: how many values it must have.
        """
        fit = [
            c
            for c in self._features()
            if not c.table
            and core(c.name) in words
            and least <= c.distinct < UNIQUE * c.there
            and not is_list(c.kind)
            and (not c.is_number or c.is_whole)
        ]

        def rank(column: Column) -> tuple[int, bool]:
            # user_id rather than user, where both are there
            return words.index(core(column.name)), "id" not in tokens(column.name)

        return min(fit, key=rank, default=None)

    def _key_of_side(self) -> Column | None:
        keys = [s.on[0] for s in self.seen.sides if len(s.on) == 1]
        own = [c for c in self._features() if c.name in keys and not c.table]
        return next((c for c in own if c is not self.user), None)

    def _roles(self) -> DraftSection:
        lines = []
        for key, column, what in (
            ("user", self.user, "users"),
            ("item", self.item, "items"),
            ("request", self.request, "requests"),
        ):
            if column is not None:
                each = column.there / column.distinct
                why = f"by its name; {column.shown_distinct} {what}, {each:.1f} rows each"
                lines.append(Line(key, written(column.name), why))
                self.uses[column.name] = key
        if self.time is not None:
            lines += self._time_lines(self.time)
        if self.weight is not None:
            lines.append(Line("weight", written(self.weight.name), "by its name; never below 0"))
            self.uses[self.weight.name] = "weight"
        notes = [
            "Of whom, of what and when a row is: for figures by user, intervals and the split."
        ]
        if self.user is None:
            notes.append("No user was found by name: without one rows count as independent.")
        return DraftSection("[roles]", tuple(lines), tuple(notes))

    def _time_lines(self, time: Time) -> Iterator[Line]:
        column = time.column
        self.uses[column.name] = "time"
        order = "; rows are in its order" if not column.falls else ""
        why = f"{time.told}, {column.shown_distinct} moments{order}"
        if time.form == "yyyymmdd":
            yield Line(
                "time", written(column.name), f"{why}: splits use it, as a number", on=False
            )
            return
        yield Line("time", written(column.name), why)
        if time.form in PER_SECOND:
            since = _iso(column.low / PER_SECOND[time.form])
            yield Line("time_unit", time.form, f"{column.low:.0f} is {since}")

    # Tasks

    def _tasks(self) -> DraftSection:
        names: dict[Label, str] = {}
        lines = []
        for label in self.labels:
            name = named(label.task, names.values())
            names[label] = name
            value: Toml = label.written
            if label.after is not None:
                value = {"label": value, "after": names[label.after]}
            lines.append(Line(name, value, label.why, label.on))
            if not label.field:
                self.uses.setdefault(label.column.name, "label" if label.on else "label?")
        notes = ["What is predicted, each after the one without which it cannot be."]
        if not any(line.on for line in lines):
            lines.append(Line("yes", "COLUMN == 1", "write the label", on=False))
        return DraftSection("[tasks]", tuple(lines), tuple(notes))

    # Fields

    def _fields(self, taken: set[str]) -> DraftSection:
        lines: list[Line] = []
        left = self._left_out()
        used = set(taken)
        for column in self.seen.columns:
            if self.uses.get(column.name, "").startswith("label"):
                continue
            name = named(column.name, used)
            used.add(name)
            keys = (self.user, self.item)
            separator = self._tag_separators.get(column.name)
            value, why = kind_of(column, self.seen, separator, is_key=column in keys)
            reason = left.get(column.name)
            if reason:
                self.uses.setdefault(column.name, "left out")
                told = "; ".join(filter(None, (reason, why_amount(column, self.seen))))
                value, why = (value or {"kind": "category"}), f"left out: {told}"
            else:
                use = self.uses.get(column.name)
                kind = str(value["kind"])
                self.uses[column.name] = f"{use}, {kind}" if use else kind
            if name != column.name:
                value = {"kind": value["kind"], "from": written(column.name), **value}
            shorthand: Toml = value["kind"] if len(value) == 1 else value
            lines.append(Line(name, shorthand, why, on=reason is None))
        lines += self._hour(used)
        clashes = self.seen.clashes
        notes = ["The inputs. What is not named here is not used."]
        if clashes:
            notes.append(
                f"In two files, of which the log's is meant: {', '.join(map(repr, clashes))}."
            )
        return DraftSection("[fields]", tuple(lines), tuple(notes))

    def _hour(self, used: set[str]) -> Iterator[Line]:
        if self.time is None or self.time.form == "yyyymmdd" or any("hour" in u for u in used):
            return
        second_N = seconds_of(self.time, self.seen.sample.column(self.time.column.name))
        if len(np.unique(second_N % DAY // 3600)) > 2:
            value: Toml = {"kind": "category", "from": f"hour({self.time.seconds})"}
            yield Line("hour", value, "of the day in UTC; + 8 * 3600 seconds for Beijing")

    def _left_out(self) -> dict[str, str]:
        """Column -> why it is no field."""
        reasons: dict[str, str] = {}
        for column in self.seen.columns:
            if reason := next(self._reasons(column), None):
                reasons[column.name] = reason
        suspects = [c for c in self._features() if c.name not in reasons]
        label_N = {
            label.task: labelled.sampled(label, self.seen.sample)
            for label in reversed(self.labels)  # the rarest says most
            if not label.field
        }
        keys = {c.name for c in (self.user, self.item) if c is not None}
        for name, reason in leaks(suspects, self.seen.sample, label_N).items():
            if name not in keys:
                reasons[name] = f"{reason}, so it may follow from it"
        return reasons

    def _reasons(self, column: Column) -> Iterator[str]:
        rows = max(1, column.rows)
        if not column.is_readable:
            yield f"of type {column.kind}, which no field can have"
        if len(written(column.name)) > LONGEST_COLUMN:
            yield "its name is too long for an expression"
        if column.there == 0:
            yield "always missing"
        if is_list(column.kind) and not _has_codes(column.kind.value_type):
            yield "a list of fractions, as an embedding"
        if column.distinct == 1 and column.missing == 0:
            yield f"constant: {column.shown_values(1)}"
        if column.infinite:
            yield f"infinite on {column.infinite:,} rows"
        if max(abs(column.low), abs(column.high)) > 1e30 and np.isfinite(column.low):
            yield "numbers above 1e30"
        if column is self.weight:
            yield "the weight"
        if self.time is not None and column is self.time.column:
            yield "when the row was: the split goes by it, a model would learn the date"
        times = {t.column.name for t in self.times}
        if column.name in times and not (column.table and column.distinct <= MANY_VALUES):
            yield "a time: what is new in test says nothing; take a difference of times instead"
        if column is self.request:
            yield "the request"
        if column is self.user and self._by_user:
            yield "the split is by user, so no user of test is known from train"
        if not column.table and has(column.name, AFTER) and not has(column.name, BEFORE):
            yield "named like what is measured after the row was shown"
        whole = not column.is_number or column.is_whole
        key = whole and not is_list(column.kind) and column.name not in self._tag_separators
        if key and column.table and column.distinct >= COPIES_KEY * rows:
            yield "a value of its own for almost each row of the side table, as the key is"
        if key and not column.table and column.distinct >= UNIQUE * max(1, column.there):
            counted = (
                column.is_number and has(column.name, NUMBERS) and not has(column.name, CODES)
            )
            if not counted:
                order = ", in order" if column.is_number and not column.falls else ""
                yield f"an id: {column.shown_distinct} values on {column.there:,} rows{order}"

    @cached_property
    def _tag_separators(self) -> Mapping[str, str]:
        """Column -> what parts its tags."""
        found = {column.name: separator_of(column, self.seen) for column in self.usable}
        return {name: separator for name, separator in found.items() if separator}

    # Split

    @property
    def _by_user(self) -> bool:
        return self.time is None and self.user is not None and self.user.distinct >= LEAST_USERS

    def _split(self) -> DraftSection:
        if self.time is not None:
            return DraftSection("[split]", tuple(self._by_time(self.time)))
        if self._by_user:
            why = "no time was found; all rows of one user are in one split"
            of = Line("of", "user", why)
        else:
            of = Line("of", "row", "neither a time nor users were found")
        lines = (
            Line("by", "fraction"),
            Line("shares", list(SHARES), "train, valid, test"),
            Line("seed", 0),
            of,
        )
        return DraftSection("[split]", lines)

    def _by_time(self, time: Time) -> Iterator[Line]:
        column = time.column
        second_N = seconds_of(time, self.seen.sample.column(column.name))
        yield Line("by", "time", "what comes later is judged, as in use")
        if time.form == "yyyymmdd":
            yield Line("column", written(column.name), "days as numbers")
        days = split_days(second_N)
        if days is None:
            why = "train, valid, test of the rows in time; too few days to split between days"
            yield Line("shares", list(SHARES), why)
            return
        start, valid, test = np.nanmin(second_N), *days
        shares = [np.mean(second_N < valid), np.mean(second_N < test)]
        for key, at, share, what in (
            ("valid_from", valid, shares[0], "of the rows, the train split, are before"),
            ("test_from", test, shares[1] - shares[0], "of the rows are validation"),
        ):
            moment: Toml = _iso(at)
            if time.form == "yyyymmdd":
                moment = int(_iso(at).replace("-", ""))
            begin = f", from {_iso(start)} on" if key == "valid_from" else ""
            rest = f", {1 - shares[1]:.0%} test" if key == "test_from" else ""
            yield Line(key, moment, f"about {share:.0%} {what}{begin}{rest}; days of UTC")


def _has_codes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or is_text(kind))


def _iso(second: float) -> str:
    return datetime.fromtimestamp(float(second), UTC).date().isoformat()
