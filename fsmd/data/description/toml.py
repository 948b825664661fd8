"""Reads a `dataset.toml`: every mistake in it is one line that names section and key.

[data]: files (name, glob or folder, or a list of them), name (default: see `name_of`), and of the
    files header, columns, separator, missing, strip, multiline, comment, encoding; distinct.
[[join]]: on (a column or a list), and the same keys of files.
[roles]: user, item, request (an expression or a list), time, time_unit, weight.
[fields]: NAME = "KIND" or NAME = { kind = ..., ... }; kind is category, number, tags or sequence
    (tags in order of time: of more than max_length the last are used). `from` is an expression;
    without it the column of that name. min_count (1), hash (a number of buckets) or share (a field
    before it) of all but number; scale and missing ("own", "error" or a number) of number;
    separator, strip and max_length of tags (8) and sequence (20); optional; known_before.
[tasks]: NAME = "LABEL" or NAME = { label = ..., after, where, label_missing, weight, metric }.
[split]: by = "time" (valid_from and test_from, or shares; until; column: an expression in place of
    the role), "user_time" (shares), "fraction" (seed; shares, of), "files" (train, test; valid),
    "column" (column: an expression; train, valid, test: a value or a list) or "rules" (train,
    valid, test: expressions).
[score]: formula (`fsmd.score`), the one number that a served row is ranked by.
[training]: fields of `fsmd.data.settings.TrainingSettings`.
[origin]: folder, source, licence, archive, sha256; [[published]]: source, metric, figures, note.
"""

import codecs
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, NoReturn, TypeAlias, get_type_hints

import pyarrow as pa

from fsmd.data.description.columns import instants
from fsmd.data.description.expression import Expression, column_text
from fsmd.data.description.expression import parse as parse_expression
from fsmd.data.description.values import (
    ByFiles,
    ByRules,
    ByShare,
    ByTime,
    ByUserTime,
    Description,
    FieldSource,
    FileSet,
    Join,
    LabelSource,
    Moment,
    PublicSource,
    Published,
    Roles,
    SplitRule,
)
from fsmd.data.encoder import NUMBER_BOUND
from fsmd.data.options import check_option
from fsmd.data.settings import TrainingSettings
from fsmd.data.source import MOST_BUCKETS, MOST_MEMBERS, Categorical, Dense, Recipe, Tags
from fsmd.errors import UserError, alternatives, is_text, meant, shown
from fsmd.metrics import METRICS
from fsmd.score import WHAT
from fsmd.score import parse as parse_score
from fsmd.tasks import Task, check_label, check_tasks, names

LARGEST = 2**20
"""Bytes of a description at most; what is longer is a log."""
SEQUENCE_LENGTH = 20
"""Members used of a sequence where nothing else is said."""

_Reads: TypeAlias = Callable[[Any], Any]
"""The value of a key; raises `_Wrong`."""
_Table: TypeAlias = dict[str, Any]


class _Wrong(ValueError):
    """The rule that a value breaks; `near`: what may have been meant."""

    def __init__(self, rule: str, near: str = "") -> None:
        super().__init__(rule)
        self.near = near


def read(path: Path) -> Description:
    """The description in a file; UserError for none, naming the line or section and key."""
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError as error:
        raise UserError(
            f"{path}: a description must be a file that can be read ({error.strerror}); "
            "`python -m studies.data describe LOG --out dataset.toml` writes one"
        ) from None
    if len(content) > LARGEST:
        raise UserError(
            f"{path}: a description must have at most {LARGEST:,} bytes; this is longer: name "
            "the log in its [data] files"
        )
    try:
        return parse(content.decode("utf-8-sig"), path)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path}, line {line}: a description must be UTF-8; got byte "
            f"{content[error.start]:#04x}"
        ) from None


def parse(text: str, path: Path) -> Description:
    """The description in a text; `path` is that of its file, which names it in messages."""
    if not is_text(text):
        raise UserError(f"{path}: a description must be UTF-8; got half a pair of surrogates")
    try:
        table = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        what = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "a value is too long"
        raise UserError(f"{path}: a description must be TOML; {what}") from None
    sections: dict[str, _Reads] = {
        "data": _table,
        "join": _tables,
        "roles": _table,
        "fields": _table,
        "tasks": _table,
        "split": _table,
        "score": _table,
        "training": _table,
        "origin": _table,
        "published": _tables,
    }
    found = _values(f"{path}: ", table, sections, "data", "fields", "tasks", "split")
    return _Reader(path).description(found)


def name_of(path: Path) -> str:
    """The name of a description that says none: the file's, of a dataset.toml the folder's."""
    return path.absolute().parent.name if path.stem == "dataset" else path.stem


def check_files(where: str, keys: Mapping[str, Any]) -> None:
    """Raise UserError for what [data] would refuse of files, such as an unknown `encoding`."""
    _values(where, dict(keys), _FILES)


class _Reader:
    """Takes the sections of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def description(self, found: _Table) -> Description:
        data = _values(f"{self.path}: [data] ", found["data"], _DATA, "files")
        name = data.get("name", name_of(self.path))
        with _told(f"{self.path}: [data] name: "):
            check_label(name, "the name of a data set")
            if unwanted := set(name) & set(":,/\\"):
                raise UserError(f"a name must have none of : , / \\; got {min(unwanted)!r}")
        joins = tuple(self._join(i, join) for i, join in enumerate(found.get("join", ())))
        roles = self._roles(found.get("roles", {}))
        tasks, labels = self._tasks(found["tasks"], roles)
        features, fields = self._fields(found["fields"], labels)
        for task in tasks:
            if task.name in fields:
                self._refuse("tasks", task.name, "a task and a field must have different names")
        day = f"{', '.join(roles.user)}, day" if roles.user and roles.time else None
        recipe = Recipe(
            name=name,
            categorical=tuple(f for f in features if isinstance(f, Categorical)),
            dense=tuple(f for f in features if isinstance(f, Dense)),
            tasks=tasks,
            user=", ".join(roles.user) or None,
            request=", ".join(roles.request) or day,
            weight=roles.weight,
            settings=self._training(found.get("training", {})),
            score=self._score(found["score"], tasks) if "score" in found else None,
        )
        return Description(
            path=self.path,
            recipe=recipe,
            data=self._files("[data] ", data),
            distinct=data.get("distinct", False),
            joins=joins,
            fields=fields,
            labels=labels,
            roles=roles,
            split=self._split(found["split"], roles),
            origin=self._origin(found["origin"]) if "origin" in found else None,
            published=tuple(
                self._published(i, table) for i, table in enumerate(found.get("published", ()))
            ),
        )

    def _files(self, section: str, got: _Table) -> FileSet:
        header, columns = got.get("header", True), got.get("columns", ())
        if columns and "header" not in got:
            rule = (
                "write header = true too, if the first line names the columns and these names are "
                "to be taken for its own, or header = false, if it is a row"
            )
            self._refuse(section.strip(), "columns", rule, columns)
        if not header and not columns:
            self._refuse(
                section.strip(), "columns", "files without a header must have their names here"
            )
        known = ("separator", "missing", "strip", "multiline", "comment", "encoding")
        return FileSet(
            patterns=got["files"],
            header=header,
            columns=columns,
            **{key: got[key] for key in known if key in got},
        )

    def _join(self, i: int, table: _Table) -> Join:
        section = f"[[join]] {i + 1} "
        got = _values(f"{self.path}: {section}", table, {**_FILES, "on": _texts}, "files", "on")
        return Join(self._files(section, got), got["on"])

    def _roles(self, table: _Table) -> Roles:
        got = _values(f"{self.path}: [roles] ", table, _ROLES)
        for key in ("user", "item", "request", "time", "weight"):
            expressions = got.get(key, ())
            for text in (expressions,) if isinstance(expressions, str) else expressions:
                self._expression(f"[roles] {key}", text)
        return Roles(**got)

    def _tasks(
        self, table: _Table, roles: Roles
    ) -> tuple[tuple[Task, ...], dict[str, LabelSource]]:
        tasks, labels = [], {}
        for name, value in table.items():
            with _told(f"{self.path}: [tasks] "):
                check_label(name, "the name of a task")
            where = f"{self.path}: [tasks] {name}."
            got = _values(
                where, {"label": value} if isinstance(value, str) else value, _TASK, "label"
            )
            for key in ("label", "where"):
                if key in got:
                    self._expression(f"[tasks] {name}.{key}", got[key])
            settings = {k: got[k] for k in ("metric", "after", "weight") if k in got}
            with _told(f"{self.path}: [tasks] {name}: "):
                task = Task(name, **settings)
            group = METRICS[task.metric].group
            there = {"user": roles.user, "request": roles.request or (roles.user and roles.time)}
            if group is not None and not there[group]:
                what = "user" if group == "user" else "request (or user and time)"
                rule = f"this metric needs [roles] {what}"
                self._refuse("tasks", f"{name}.metric", rule, task.metric)
            tasks.append(task)
            missing = got.get("label_missing", "unobserved")
            labels[name] = LabelSource(got["label"], got.get("where"), missing)
        with _told(f"{self.path}: [tasks] "):
            check_tasks(tasks)
        return tuple(tasks), labels

    def _fields(
        self, table: _Table, labels: Mapping[str, LabelSource]
    ) -> tuple[list[Categorical | Dense], dict[str, FieldSource]]:
        if not table:
            self._refuse("fields", "", "there must be at least one field")
        tells = {
            column: task
            for task, label in labels.items()
            for column in parse_expression(label.expression, task).columns
        }
        features: list[Categorical | Dense] = []
        sources = {}
        for name, value in table.items():
            with _told(f"{self.path}: [fields] "):
                check_label(name, "the name of a field")
            feature, source = self._field(name, value, features)
            shared = [
                column
                for column in self._expression(f"[fields] {name}.from", source.expression).columns
                if column in tells
            ]
            if shared and not source.known_before:
                self._refuse(
                    "fields",
                    name,
                    f"column {shared[0]!r} makes the label of task {tells[shared[0]]!r}, so it "
                    "would tell it; leave the field out or, if its value is there before, write "
                    "known_before = true",
                )
            features.append(feature)
            sources[name] = source
        return features, sources

    def _field(
        self, name: str, value: Any, before: list[Categorical | Dense]
    ) -> tuple[Categorical | Dense, FieldSource]:
        where = f"{self.path}: [fields] {name}."
        if not isinstance(value, str | dict):
            rule = f"a field must be a kind ({', '.join(_KINDS)}) or a table with `kind`"
            self._refuse("fields", name, rule, value)
        table = {"kind": value} if isinstance(value, str) else value
        kind = _values(where, {"kind": table.get("kind", "")}, _KIND)["kind"]
        others = {key for keys in _KINDS.values() for key in keys} - set(_KINDS[kind])
        for key in table:
            if key in others:
                of = ", ".join(kind for kind, keys in _KINDS.items() if key in keys)
                self._refuse("fields", f"{name}.{key}", f"this is of {of} alone", table[key])
        got = _values(where, table, {**_KIND, **_FIELD, **_KINDS[kind]})
        source = FieldSource(
            got.get("from", column_text(name)),
            got.get("separator"),
            got.get("strip", ""),
            got.get("optional", False),
            got.get("known_before", False),
        )
        if kind == "number":
            scaling = {key: got[key] for key in ("scale", "missing") if key in got}
            return Dense(name, **scaling), source
        share = got.get("share")
        if share is not None:
            self._check_share(name, share, got, before)
        ids = {"min_count": got.get("min_count", 1), "buckets": got.get("hash"), "share": share}
        if kind == "category":
            return Categorical(name, **ids), source
        length = SEQUENCE_LENGTH if kind == "sequence" else Tags.max_length
        return (
            Tags(
                name,
                **ids,
                max_length=got.get("max_length", length),
                keep="end" if kind == "sequence" else "start",
            ),
            source,
        )

    def _check_share(
        self, name: str, share: str, got: _Table, before: list[Categorical | Dense]
    ) -> None:
        owners = [f.name for f in before if isinstance(f, Categorical) and f.share is None]
        if share not in owners:
            rule = "this must be a field before it with ids of its own"
            self._refuse("fields", f"{name}.share", rule, share, alternatives(share, owners))
        for key in ("min_count", "hash"):
            if key in got:
                rule = f"the ids are those of {share!r}, where this is said"
                self._refuse("fields", f"{name}.{key}", rule, got[key])

    def _training(self, table: _Table) -> TrainingSettings:
        hints = get_type_hints(TrainingSettings, include_extras=True)
        got = _values(f"{self.path}: [training] ", table, dict.fromkeys(hints, _same))
        with _told(f"{self.path}: [training] "):
            for key, value in got.items():
                check_option(key, value, hints[key])
                got[key] = float(value) if hints[key] is float else value
            return TrainingSettings(**got)

    def _split(self, table: _Table, roles: Roles) -> SplitRule:
        where = f"{self.path}: [split] "
        by = _values(where, {"by": table.get("by", "")}, _BY)["by"]
        keys, needed = _SPLITS[by]
        got = _values(where, table, {**_BY, **keys}, *needed)
        del got["by"]
        if by == "time":
            return self._by_time(got, roles)
        if by == "user_time":
            for key, role in (("user", roles.user), ("time", roles.time)):
                if not role:
                    self._refuse("split", "by", f"this needs [roles] {key}", by)
            return ByUserTime(**got)
        if by == "fraction":
            if got.get("of") == "user" and not roles.user:
                self._refuse("split", "of", "this needs [roles] user", "user")
            return ByShare(**got)
        if by == "files":
            return ByFiles(**got)
        if by == "column":
            got = self._rules_of_column(got)
        for key, text in got.items():
            self._expression(f"[split] {key}", text)
        return ByRules(**got)

    def _by_time(self, got: _Table, roles: Roles) -> ByTime:
        time = got.pop("column", None)
        if time is not None:
            self._expression("[split] column", time)
        elif roles.time is None:
            self._refuse("split", "by", "this needs [roles] time, or `column` here", "time")
        given = {"valid_from", "test_from"} & set(got)
        if ("shares" in got) == bool(given) or len(given) == 1:
            rule = "a split by time must have valid_from and test_from, or shares"
            self._refuse("split", "by", f"{rule} (train, validation, test)", sorted(got) or "none")
        moments = [(key, got[key]) for key in ("valid_from", "test_from", "until") if key in got]
        for (before, low), (key, high) in pairwise(moments):
            alike = isinstance(low, str) == isinstance(high, str)
            if alike and _comparable(low) >= _comparable(high):
                self._refuse("split", key, f"this must be after {before} ({low})", high)
        return ByTime(**got, time=time)

    def _rules_of_column(self, got: _Table) -> _Table:
        column = self._expression("[split] column", got.pop("column"))
        owner: dict[Any, str] = {}
        for key, values in got.items():
            for value in values:
                if owner.setdefault(value, key) != key:
                    rule = f"a value must be of one split; this is also of {owner[value]}"
                    self._refuse("split", key, rule, value)
        return {
            key: f"({column.text.strip()}) in [{', '.join(map(repr, values))}]"
            for key, values in got.items()
        }

    def _score(self, table: _Table, tasks: tuple[Task, ...]) -> str:
        got = _values(f"{self.path}: [score] ", table, {"formula": _text}, "formula")
        parse_score(got["formula"], names(tasks), f"{self.path}: {WHAT}")
        return str(got["formula"])

    def _origin(self, table: _Table) -> PublicSource:
        where = f"{self.path}: [origin] "
        got = _values(where, table, _ORIGIN, "folder", "source", "licence")
        hashes = got.get("sha256", {})
        got["sha256"] = _values(f"{where}sha256.", hashes, dict.fromkeys(hashes, _sha256))
        return PublicSource(**got)

    def _published(self, i: int, table: _Table) -> Published:
        where = f"{self.path}: [[published]] {i + 1} "
        got = _values(where, table, _PUBLISHED, "source", "metric", "figures")
        models = _values(f"{where}figures.", got["figures"], dict.fromkeys(got["figures"], _table))
        got["figures"] = {
            model: _values(f"{where}figures.{model}.", figures, dict.fromkeys(figures, _number))
            for model, figures in models.items()
        }
        return Published(**got)

    def _expression(self, key: str, text: str) -> Expression:
        return parse_expression(text, f"{self.path}: {key}")

    def _refuse(
        self, section: str, key: str, rule: str, value: Any = None, there: str = ""
    ) -> NoReturn:
        name = section if section.startswith("[") else f"[{section}]"
        got = "" if value is None else f"; got {shown(value)}"
        raise UserError(f"{self.path}: {f'{name} {key}'.strip()}: {rule}{got}{there}")


def _values(where: str, table: Any, reads: Mapping[str, _Reads], *needed: str) -> _Table:
    """The values of a table's keys; UserError for an unknown key, a value, and a lack."""
    if not isinstance(table, dict):
        raise UserError(
            f"{where[:-1].rstrip()}: this must be a table of keys ({', '.join(reads)}); "
            f"got {shown(table)}"
        )
    got = {}
    for key, value in table.items():
        place = f"{where}{key if len(key) <= 60 else f'{key[:57]}...'}"
        if key not in reads:
            there = alternatives(key, reads)
            raise UserError(f"{place}: there is no such key; got {shown(key)}{there}")
        try:
            got[key] = reads[key](value)
        except _Wrong as wrong:
            rule = f"this must be {wrong}; got {shown(value)}{wrong.near}"
            raise UserError(f"{place}: {rule}") from None
    for key in needed:
        if key not in got:
            raise UserError(
                f"{where}{key}: this must be there; there are {', '.join(got) or 'no keys'}"
            )
    return got


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Put the place before a message."""
    try:
        yield
    except UserError as error:
        raise UserError(f"{where}{error}") from None


def _comparable(moment: Moment) -> float:
    return instants(pa.array([moment])).values[0].as_py() if isinstance(moment, str) else moment


# What a key may be


def _same(value: Any) -> Any:
    return value


def _table(value: Any) -> _Table:
    if not isinstance(value, dict):
        raise _Wrong("a table, as [data] begins one")
    return value


def _tables(value: Any) -> list[_Table]:
    if not isinstance(value, list) or not all(isinstance(x, dict) for x in value):
        raise _Wrong("tables, as [[join]] begins one each")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise _Wrong("a text, not an empty one")
    return value


def _any_text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Wrong("a text")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values:
        raise _Wrong("a text or a list of texts")
    if not all(isinstance(x, str) and x.strip() for x in values):
        raise _Wrong("a list of texts, none of them empty")
    if len(set(values)) < len(values):
        raise _Wrong("a list of different texts")
    return tuple(values)


def _missing_texts(value: Any) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(isinstance(x, str) for x in values):
        raise _Wrong("a text or a list of texts")
    return tuple(dict.fromkeys(values))


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _whole(low: int, high: int) -> _Reads:
    def reads(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _Wrong(f"a whole number from {low} to {high}")
        return value

    return reads


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not abs(value) <= NUMBER_BOUND:  # NaN is not
        raise _Wrong("a finite number")
    return float(value)


def _one_of(*options: str) -> _Reads:
    def reads(value: Any) -> str:
        if not isinstance(value, str) or value not in options:
            raise _Wrong(f"one of {', '.join(options)}", meant(value, options))
        return value

    return reads


def _missing_number(value: Any) -> str | float:
    if value in ("own", "error"):
        return str(value)
    try:
        return _number(value)
    except _Wrong:
        raise _Wrong('"own", "error" or a finite number') from None


def _separator(value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= 10 or set(value) & set('"\r\n\0'):
        raise _Wrong("1 to 10 letters, without quotes and line ends")
    return value


def _encoding(value: Any) -> str:
    try:
        decoder = codecs.getincrementaldecoder(value)("replace")
        # Given as Arrow gives it, which some decoders do not take.
        if decoder.decode(pa.py_buffer("a,b\n".encode(value))) != "a,b\n":
            raise ValueError
    except (LookupError, TypeError, ValueError, AttributeError):
        raise _Wrong("an encoding of text, such as utf-8, latin-1 or gb18030") from None
    return str(value)


def _moment(value: Any) -> Moment:
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, str) and is_text(value) and instants(pa.array([value])).refused_N is None:
        return value
    if type(value) is int and abs(value) < 2**63:
        return value
    try:
        return _number(value)
    except _Wrong:
        raise _Wrong("a day or a day and time of ISO 8601, or a number of time_unit") from None


def _shares(value: Any) -> tuple[float, ...]:
    rule = "three numbers above 0 with the sum 1 (train, validation, test)"
    if not isinstance(value, list) or len(value) != 3:
        raise _Wrong(rule)
    for share in value:
        if type(share) not in (int, float) or not 0 < share < 1:
            raise _Wrong(rule)
    if not math.isclose(sum(value), 1, abs_tol=1e-6):
        raise _Wrong(f"{rule}, not {sum(value):g}")
    return tuple(map(float, value))


def _constants(value: Any) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    kinds = {"text" if isinstance(x, str) else "number" for x in values}
    fits = all(isinstance(x, str | int | float) for x in values)
    if not fits or len(kinds) != 1 or any(x != x or x in (math.inf, -math.inf) for x in values):
        raise _Wrong("a value or a list of values, texts alone or finite numbers alone")
    return tuple(values)


def _folder(value: Any) -> str:
    parts = PurePosixPath(value).parts if isinstance(value, str) else ()
    if not parts or ".." in parts or "\\" in value or PurePosixPath(value).is_absolute():
        raise _Wrong("a name below FSMD_DATA, without ..")
    return str(value)


def _address(value: Any) -> str:
    if not isinstance(value, str) or not value.startswith(("https://", "http://")):
        raise _Wrong("an address that begins with https://")
    return value


def _sha256(value: Any) -> str:
    if not isinstance(value, str) or len(value) != 64 or set(value) - set("0123456789abcdef"):
        raise _Wrong("a SHA-256: 64 letters of 0-9 and a-f")
    return value


# Which keys there are


class _Form(NamedTuple):
    keys: Mapping[str, _Reads]
    needed: tuple[str, ...] = ()


_FILES: Mapping[str, _Reads] = {
    "files": _texts,
    "header": _flag,
    "columns": _texts,
    "separator": _separator,
    "missing": _missing_texts,
    "strip": _flag,
    "multiline": _flag,
    "comment": _any_text,
    "encoding": _encoding,
}
_DATA = {"name": _text, **_FILES, "distinct": _flag}
_ROLES = {
    "user": _texts,
    "item": _texts,
    "request": _texts,
    "time": _text,
    "time_unit": _one_of("s", "ms", "us", "ns"),
    "weight": _text,
}
_TASK = {
    "label": _text,
    "after": _text,
    "where": _text,
    "label_missing": _one_of("unobserved", "zero"),
    "weight": _number,
    "metric": _text,
}
_FIELD = {"from": _text, "optional": _flag, "known_before": _flag}
_IDS = {"min_count": _whole(0, 2**31), "hash": _whole(1, MOST_BUCKETS), "share": _text}
_MEMBERS = {
    **_IDS,
    "separator": _separator,
    "strip": _any_text,
    "max_length": _whole(1, MOST_MEMBERS),
}
_KINDS: Mapping[str, Mapping[str, _Reads]] = {
    "category": _IDS,
    "number": {
        "scale": _one_of("standard", "log", "quantile", "none"),
        "missing": _missing_number,
    },
    "tags": _MEMBERS,
    "sequence": _MEMBERS,
}
_KIND = {"kind": _one_of(*_KINDS)}
_SPLITS: Mapping[str, _Form] = {
    "time": _Form(
        {
            "valid_from": _moment,
            "test_from": _moment,
            "until": _moment,
            "shares": _shares,
            "column": _text,
        }
    ),
    "user_time": _Form({"shares": _shares}),
    "fraction": _Form(
        {"seed": _whole(0, 2**63 - 1), "shares": _shares, "of": _one_of("row", "user")}, ("seed",)
    ),
    "files": _Form({"train": _texts, "valid": _texts, "test": _texts}, ("train", "test")),
    "column": _Form(
        {"column": _text, "train": _constants, "valid": _constants, "test": _constants},
        ("column", "train", "valid", "test"),
    ),
    "rules": _Form({"train": _text, "valid": _text, "test": _text}, ("train", "valid", "test")),
}
_BY = {"by": _one_of(*_SPLITS)}
_ORIGIN = {
    "folder": _folder,
    "source": _text,
    "licence": _text,
    "archive": _address,
    "sha256": _table,
}
_PUBLISHED = {"source": _text, "metric": _text, "figures": _table, "note": _any_text}
