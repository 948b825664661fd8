"""What is computed of each row of a log: the expressions, read against the columns there are."""

from collections.abc import Collection, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from fsmd.data.description.columns import is_moment, parsed
from fsmd.data.description.expression import Expression, Kind, parse
from fsmd.data.description.values import (
    ByRules,
    ByShare,
    ByTime,
    ByUserTime,
    Description,
)
from fsmd.data.encoded import SPLITS
from fsmd.data.inputs import Input
from fsmd.data.rows.fields import Value, value_of, words_value
from fsmd.data.rows.files import LogFile, batches
from fsmd.errors import UserError


class Values(NamedTuple):
    """All that is computed of a row."""

    fields: Mapping[str, Value | None]
    """None: all missing, of an optional field whose columns are not there."""
    labels: tuple[tuple[Value, Value | None], ...]
    """Of each task, and the rows on which it is defined."""
    user: tuple[Value, ...]
    item: tuple[Value, ...]
    request: tuple[Value, ...]
    time: Value | None
    weight: Value | None
    split: tuple[Value, ...]
    """The rules, or the time that a split by time goes by."""
    time_unit: str
    split_unit: str
    """Of that time; one of `columns.PER_SECOND`."""

    def columns(self) -> set[str]:
        """All that are used."""
        one = (self.time, self.weight, *self.fields.values(), *chain(*self.labels))
        many = (*self.user, *self.item, *self.request, *self.split)
        return {c for v in (*one, *many) if v is not None for c in v.expression.columns}

    def words(self) -> set[str]:
        """The columns whose values become texts as they are."""
        all_ = (*self.fields.values(), *self.user, *self.item, *self.request)
        return {v.expression.columns[0] for v in all_ if v is not None and v.is_raw}


def columns_of(opened: Sequence[Sequence[LogFile]]) -> dict[str, pa.DataType]:
    """Types of all columns by name, the log's before those of side tables."""
    types: dict[str, pa.DataType] = {}
    for files in opened:
        types |= {name: type_ for name, type_ in files[0].columns.items() if name not in types}
    return types


class Reader:
    """Reads the expressions of a description against the columns that are there."""

    # Texts take their kind from their use, also those of Parquet: a 0 or 1 kept as text is one.

    def __init__(self, description: Description, types: Mapping[str, pa.DataType]) -> None:
        self._description, self._types = description, types

    def values(self, files: Sequence[LogFile]) -> Values:
        """All values."""
        description, roles = self._description, self._description.roles
        self._files = files
        unit: str = roles.time_unit
        time_ = None
        if roles.time is not None:
            time_, unit = self._time(roles.time, "[roles] time")
        rule, split_unit = description.split, unit
        split: tuple[Value, ...] = ()
        if isinstance(rule, ByTime) and rule.time is not None:
            own, split_unit = self._time(rule.time, "[split] column")
            split = (own,)
        elif isinstance(rule, ByTime | ByUserTime):
            if time_ is None:
                raise UserError(
                    f"{description.path}: a split by time needs a time; name its column in "
                    "[roles] time"
                )
            split = (time_,)
        elif isinstance(rule, ByRules):
            split = tuple(
                self._value(getattr(rule, name), f"[split] {name}", "truth") for name in SPLITS
            )
        needs_user = isinstance(rule, ByUserTime) or (
            isinstance(rule, ByShare) and rule.of == "user"
        )
        if needs_user and not roles.user:
            raise UserError(
                f"{description.path}: a split by users needs them; name their column in "
                "[roles] user"
            )
        return Values(
            fields={feature.name: self._field(feature) for feature in description.inputs},
            labels=tuple(self._label(task.name) for task in description.recipe.tasks),
            user=self._key(roles.user, "user"),
            item=self._key(roles.item, "item"),
            request=self._key(roles.request, "request"),
            time=time_,
            weight=None
            if roles.weight is None
            else self._value(roles.weight, "[roles] weight", "number"),
            split=split,
            time_unit=unit,
            split_unit=split_unit,
        )

    def check_clashes(self, used: Collection[str], opened: Sequence[Sequence[LogFile]]) -> None:
        """Raise UserError for a used column that two sides have, or a key that none before has."""
        ons = [(), *(join.on for join in self._description.joins)]
        before: dict[str, Path] = {}
        for files, on in zip(opened, ons, strict=True):
            for name in on:
                if name not in before:
                    raise UserError(
                        f"[[join]] on: the log has no column {name!r}; it has {', '.join(before)}"
                    )
                if name not in files[0].columns:
                    raise UserError(
                        f"[[join]] on: {files[0].path} has no column {name!r}; it has "
                        f"{', '.join(files[0].columns)}"
                    )
            for name in files[0].columns:
                if name in before and name not in on and name in used:
                    raise UserError(
                        f"column {name!r} is in {before[name]} and in {files[0].path}; rename "
                        "one, or use it in no expression"
                    )
                before.setdefault(name, files[0].path)

    def _field(self, feature: Input) -> Value | None:
        what = f"[fields] {feature.name}.from"
        return value_of(feature, self._types, str(self._description.path), what)

    def _label(self, name: str) -> tuple[Value, Value | None]:
        source = self._description.labels[name]
        what = f"[tasks] {name}.label"
        kind = self._parsed(source.expression, what).kind(self._types)
        value = self._value(source.expression, what, "truth" if kind == "truth" else "number")
        if source.where is None:
            return value, None
        return value, self._value(source.where, f"[tasks] {name}.where", "truth")

    def _key(self, texts_: Sequence[str], role: str) -> tuple[Value, ...]:
        return tuple(
            words_value(self._parsed(text, f"[roles] {role}"), self._types) for text in texts_
        )

    def _parsed(self, text: str, what: str) -> Expression:
        return parse(text, f"{self._description.path}: {what}")

    def _value(self, text: str, what: str, want: Kind) -> Value:
        expression = self._parsed(text, what)
        expression.kind(self._types, want)
        return Value(expression, want)

    def _time(self, text: str, what: str) -> tuple[Value, str]:
        """Texts are ISO 8601 where the first that is there is no number."""
        expression = self._parsed(text, what)
        unit: str = self._description.roles.time_unit
        if expression.column is not None and expression.column in self._types:
            kind = self._types[expression.column]
            unit = "s" if is_moment(kind) else unit
        if expression.kind(self._types) == "text":
            first = self._first(expression)
            refused_N = parsed(pa.array([first], pa.string())).refused_N
            is_number = refused_N is None or not refused_N.any()
            text, unit = (f"number({text})", unit) if is_number else (f"seconds({text})", "s")
        return self._value(text, what, "number"), unit

    def _first(self, expression: Expression) -> str | None:
        """The first text of a column of the log that is there."""
        names = [name for name in expression.columns if name in self._files[0].columns]
        if len(names) < len(expression.columns):
            return None
        for file in self._files:
            for batch, where in batches(file, self._description.data, names):
                columns = {name: batch.column(name) for name in names}
                found = expression.evaluate(columns, where, batch.num_rows, "text").drop_null()
                if len(found):
                    return str(found[0].as_py())
        return None
