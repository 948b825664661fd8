"""What comes from a database or from JSON is checked against the types that it is read as.

One error says what is wrong, where, and in which study, so that the others can go on.
"""

import gc
import json
import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache, lru_cache, partial
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from fsmd.baselines import config_class
from fsmd.config import FSMDConfig
from fsmd.errors import UserError, is_text, shown

Read = TypeVar("Read")
KIND = "rule"
"""The entry that names the class, where one of several classes is read."""
_WORDS: Mapping[Any, str] = types.MappingProxyType(
    {
        str: "text",
        int: "a whole number",
        float: "a finite number",
        bool: "true or false",
        type(None): "nothing",
    }
)
_ADVICE = (
    "the database was changed by hand, is damaged, or another version wrote it: restore a copy, "
    "or run the study again with another --storage"  # under another --name it shares trainings
)


class StoredError(UserError):
    """Something stored that cannot be: of which study, in which row, and the rule it breaks."""

    def __init__(self, place: str, fault: str, study: str = "") -> None:
        self.place, self.fault, self.study = place, fault, study
        of = f"study {study!r}: " if study else ""
        says = " " if fault.startswith("must ") else ": "
        super().__init__(f"{of}{place}{says}{fault}; {_ADVICE}")


@contextmanager
def of_study(name: str) -> Iterator[None]:
    """What is found to be wrong in here is wrong in this study."""
    try:
        yield
    except StoredError as error:
        raise StoredError(error.place, error.fault, name) from error


class stored_at:
    """A rule that is broken in here is broken by what is stored at this place."""

    def __init__(self, place: str) -> None:  # no generator: there may be many rows
        self._place = place

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, StoredError):
            place = f"{self._place}, {error.place}"
            raise StoredError(place, error.fault, error.study) from error
        if isinstance(error, ValueError):
            raise StoredError(self._place, str(error)) from error


@contextmanager
def uncollected() -> Iterator[None]:
    """Nothing looks for cycles among rows, which takes a third of the time to read them."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def read(kind: Any, value: Any) -> Any:
    """`value` as a `kind`; ValueError says which part of it is none.

    Tuples come as lists, dataclasses as mappings by field. What has a default may be missing; an
    unknown name may not be there, as a newer version would mean something by it.
    """
    return _reader(kind)(value, ())


def read_row(kind: Callable[..., Read], row: Mapping[Any, Any]) -> Read:
    """A row as the dataclass that has a field for each column; StoredError names the column.

    A dataclass that stands in it was read before.
    """
    own = {}
    for name, column in _columns(kind):
        with stored_at(f"column {name}"):
            (own[name],) = column([row[name]])
    return kind(**own)


def read_together(
    kind: Callable[..., Read], names: Sequence[str], rows: Sequence[Sequence[Any]]
) -> Sequence[Read | Mapping[Any, Any]]:
    """`read_row` of each, column by column, which takes a third of the time.

    Where one of them cannot be read, each that cannot stays a mapping of what it has.

    names: of the columns, in the order of each row.
    """
    if not rows:
        return []
    with suppress(ValueError):
        told = dict(zip(names, zip(*rows, strict=True), strict=True))
        columns = [column(told[name]) for name, column in _columns(kind)]
        return [kind(*values) for values in zip(*columns, strict=True)]
    return [_read_or_not(kind, dict(zip(names, row, strict=True))) for row in rows]


def _read_or_not(kind: Callable[..., Read], row: Mapping[Any, Any]) -> Read | Mapping[Any, Any]:
    with suppress(ValueError):
        return read_row(kind, row)
    return row


_SHORT = 5000
"""Letters of JSON that is kept with what it means: rows of one study have much in common."""


@cache
def _columns(kind: Any) -> tuple[tuple[str, Callable[[Sequence[Any]], Sequence[Any]]], ...]:
    """What reads the values of each column."""
    return tuple((name, _column(hint)) for name, hint in _hints(kind).items())


def _column(hint: Any) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """What reads values of this type, which are JSON if the type has parts."""
    reader = _reader(hint)

    def scalar(value: Any) -> Any:
        if hint is bool and value in (0, 1) and type(value) is int:
            value = bool(value)  # which SQLite has not
        return reader(value, ())

    def scalars(values: Sequence[Any]) -> Sequence[Any]:
        kinds = {*map(type, values)} - {type(None)}
        if len(kinds) > 1 or not kinds <= {str, int, float}:  # 1, 1.0 and true are equal
            return [scalar(value) for value in values]
        known = {value: scalar(value) for value in {*values}}
        return [known[value] for value in values]

    def compound(value: Any) -> Any:
        return value if is_dataclass(value) else reader(from_json(value), ())

    kept = lru_cache(maxsize=1024)(compound)

    def compounds(values: Sequence[Any]) -> Sequence[Any]:
        short = (type(value) is str and len(value) < _SHORT for value in values)
        return [kept(v) if s else compound(v) for v, s in zip(values, short, strict=True)]

    return scalars if _is_scalar(hint) else compounds


def from_json(text: Any) -> Any:
    """What a column of JSON holds; ValueError for text that is none. Some drivers parse it."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must be JSON; {error}") from None


def _is_scalar(kind: Any) -> bool:
    """Whether a column holds it as it is, and not as JSON."""
    if get_origin(kind) in (Union, types.UnionType):
        return all(map(_is_scalar, get_args(kind)))
    return kind in _WORDS or get_origin(kind) is Literal


def check_time(name: str, text: str) -> None:
    """Raise ValueError for what is no time as `studies.store.database.now` writes it."""
    try:
        zone = datetime.fromisoformat(text).tzinfo
    except ValueError:
        zone = None
    if zone is None:
        raise ValueError(f"{name} must be a time with its zone (ISO 8601); got {shown(text)}")


# A type is looked at once, then a function reads it: a study may have ten thousand arms.

_At = tuple[Any, ...]
"""Where a value stands: (the place of what it is a part of, its name or number there)."""
_Reader = Callable[[Any, _At], Any]


@cache
def _reader(kind: Any) -> _Reader:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value, at: _tuples(value)
    if origin in (Union, types.UnionType):
        return _union(parts)
    if is_dataclass(kind):
        return partial(_instance, kind)
    if origin is tuple:
        return _tuple(parts)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(parts[1])
    if isinstance(kind, type) and issubclass(kind, dict):
        entries = _mapping(Any)
        return lambda value, at: kind(entries(value, at))
    rule = f"one of {', '.join(parts)}" if origin is Literal else _WORDS[kind]

    def scalar(value: Any, at: _At) -> Any:
        if value in parts and isinstance(value, str) if parts else _is(kind, value):
            return value
        raise _wrong(at, rule, value)

    return scalar


def _is(kind: Any, value: Any) -> bool:
    """Whether a value is of a type without parts; whole numbers are numbers, truths are not."""
    if kind is float:
        number = isinstance(value, float) or type(value) is int
        return number and abs(value) <= 1e300 and math.isfinite(value)
    if kind is int:
        return type(value) is int and abs(value) < 2**63  # which no database column exceeds
    return type(value) is kind and (kind is not str or is_text(value))


def _mapping(kind: Any) -> _Reader:
    reader = _reader(kind)

    def mapping(value: Any, at: _At) -> Any:
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise _wrong(at, "a mapping", value)
        return {name: reader(each, (at, name)) for name, each in value.items()}

    return mapping


def _union(kinds: tuple[Any, ...]) -> _Reader:
    classes = {getattr(kind, "__name__", ""): kind for kind in kinds if is_dataclass(kind)}
    compound = [is_dataclass(kind) or bool(get_args(kind)) for kind in kinds]
    readers = list(zip(kinds, compound, map(_reader, kinds), strict=True))
    rule = " or ".join(_WORDS[kind] for kind in kinds if kind in _WORDS)

    def one_of(value: Any, at: _At) -> Any:
        if is_dataclass(value) and type(value) in kinds:
            return _instance(type(value), value, at)
        if FSMDConfig in kinds and isinstance(value, Mapping):
            return _instance(config_class(value), value, at)
        if len(classes) == len(kinds):
            named = value.get(KIND) if isinstance(value, Mapping) else None
            if not isinstance(named, str) or named not in classes:
                raise _wrong((at, KIND), f"one of {', '.join(classes)}", named)
            return _instance(classes[named], {k: v for k, v in value.items() if k != KIND}, at)
        for kind, has_parts, reader in readers:
            if has_parts and value is not None:
                return reader(value, at)
            if not has_parts and _is(kind, value):
                return value
        raise _wrong(at, rule, value)

    return one_of


def _instance(kind: Any, value: Any, at: _At) -> Any:
    if type(value) is kind:
        value = {field.name: getattr(value, field.name) for field in fields(kind)}
    if not isinstance(value, Mapping):
        raise _wrong(at, f"the fields of {kind.__name__}", value)
    readers, needed = _fields(kind)
    for name in value:
        if name not in readers:
            raise ValueError(f"{_place((at, shown(name)))} is no field of {kind.__name__}")
    for name in needed:
        if name not in value:
            raise ValueError(f"{_place((at, name))} is missing")
    own = {name: readers[name](each, (at, name)) for name, each in value.items()}
    try:
        return kind(**own)
    except ValueError as error:
        raise ValueError(f"{_place(at)}: {error}" if at else str(error)) from error


@cache
def _fields(kind: Any) -> tuple[Mapping[str, _Reader], tuple[str, ...]]:
    """What reads each field, and the fields without a default."""
    own = fields(kind)
    needed = (f.name for f in own if f.default is MISSING and f.default_factory is MISSING)
    return {name: _reader(hint) for name, hint in _hints(kind).items()}, tuple(needed)


def _hints(kind: Any) -> Mapping[str, Any]:
    """The type of each field."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


def _tuple(parts: tuple[Any, ...]) -> _Reader:
    is_open = parts[1:] == (...,)
    readers = list(map(_reader, parts[:1] if is_open else parts))

    def tuple_of(value: Any, at: _At) -> Any:
        if not isinstance(value, list | tuple):
            raise _wrong(at, "a list", value)
        own = readers * len(value) if is_open else readers
        if len(own) != len(value):
            raise _wrong(at, f"a list of {len(own)}", value)
        pairs = enumerate(zip(own, value, strict=True))
        return tuple([reader(each, (at, i)) for i, (reader, each) in pairs])

    return tuple_of


def _tuples(value: Any) -> Any:
    """The value with tuples for the lists that JSON brings, at any depth."""
    if isinstance(value, Mapping):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _place(at: _At) -> str:
    """In words: `arms[3].name`."""
    told = ""
    while at:
        at, name = at
        told = (f"[{name}]" if isinstance(name, int) else f".{name}") + told
    return told.strip(".")


def _wrong(at: _At, rule: str, value: Any) -> ValueError:
    return ValueError(f"{_place(at)} must be {rule}; got {shown(value)}".strip())
