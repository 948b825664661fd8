"""What comes from a database or from JSON is checked against the types that it is read as.

One error says what is wrong, where, and in which study, so that the others can go on.
"""

import json
import math
import types
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime
from functools import cache, lru_cache
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


@contextmanager
def stored_at(place: str) -> Iterator[None]:
    """A rule that is broken in here is broken by what is stored at this place."""
    try:
        yield
    except StoredError as error:
        raise StoredError(f"{place}, {error.place}", error.fault, error.study) from error
    except ValueError as error:
        raise StoredError(place, str(error)) from error


def read(kind: Any, value: Any) -> Any:
    """`value` as a `kind`; ValueError says which part of it is none.

    Tuples come as lists, dataclasses as mappings by field. What has a default may be missing; an
    unknown name may not be there, as a newer version would mean something by it.
    """
    return _read(kind, value, "")


def read_row(kind: Callable[..., Read], row: Mapping[Any, Any]) -> Read:
    """A row as the dataclass that has a field for each column; StoredError names the column."""
    hints = _hints(kind)[0].items()
    with suppress(ValueError):  # of which the place is told below
        return kind(**{name: _column(hint, row[name]) for name, hint in hints})
    own = {}
    for name, hint in hints:
        with stored_at(f"column {name}"):
            own[name] = _column(hint, row[name])
    return kind(**own)


_SHORT = 5000
"""Letters of a text that is kept with what it means: rows of one study have many in common."""


def _column(hint: Any, value: Any) -> Any:
    """What a column holds, as this type."""
    if not _is_scalar(hint):
        if isinstance(value, str) and len(value) < _SHORT:
            return _json_column(hint, value)
        return _read(hint, from_json(value), "")
    if value is None or type(value) is int or (type(value) is str and len(value) < _SHORT):
        return _scalar_column(hint, value)
    return _read(hint, value, "")


@lru_cache(maxsize=4096, typed=True)
def _scalar_column(hint: Any, value: Any) -> Any:
    if hint is bool and value in (0, 1) and type(value) is int:
        value = bool(value)  # which SQLite has not
    return _read(hint, value, "")


@lru_cache(maxsize=4096)
def _json_column(hint: Any, text: str) -> Any:
    return _read(hint, from_json(text), "")


def from_json(text: Any) -> Any:
    """What a column of JSON holds; ValueError for text that is none. Some drivers parse it."""
    if not isinstance(text, str):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"must be JSON; {error}") from None


@cache
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


def _read(kind: Any, value: Any, at: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if kind is Any:
        return _tuples(value)
    if origin in (Union, types.UnionType):
        return _one_of(parts, value, at)
    if origin is Literal:
        if value in parts and isinstance(value, str):
            return value
        raise _wrong(at, f"one of {', '.join(parts)}", value)
    if is_dataclass(kind):
        return _instance(kind, value, at)
    if origin is tuple:
        return _tuple(parts, value, at)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
            raise _wrong(at, "a mapping", value)
        return {name: _read(parts[1], each, f"{at}.{name}") for name, each in value.items()}
    if _is(kind, value):
        return value
    raise _wrong(at, _WORDS[kind], value)


def _is(kind: Any, value: Any) -> bool:
    """Whether a value is of a type without parts; whole numbers are numbers, truths are not."""
    if kind is float:
        number = isinstance(value, float) or type(value) is int
        return number and abs(value) <= 1e300 and math.isfinite(value)
    if kind is int:
        return type(value) is int and abs(value) < 2**63  # which no database column exceeds
    return type(value) is kind and (kind is not str or is_text(value))


def _one_of(kinds: tuple[Any, ...], value: Any, at: str) -> Any:
    classes = {getattr(kind, "__name__", ""): kind for kind in kinds if is_dataclass(kind)}
    if type(value) in kinds and is_dataclass(value):
        return _instance(type(value), value, at)
    if FSMDConfig in kinds and isinstance(value, Mapping):
        return _instance(config_class(value), value, at)
    if len(classes) == len(kinds):
        named = value.get(KIND) if isinstance(value, Mapping) else None
        if not isinstance(named, str) or named not in classes:
            raise _wrong(f"{at}.{KIND}", f"one of {', '.join(classes)}", named)
        return _instance(classes[named], {k: v for k, v in value.items() if k != KIND}, at)
    for kind in kinds:
        if is_dataclass(kind) and value is not None:
            return _instance(kind, value, at)
        if get_args(kind) and value is not None:
            return _read(kind, value, at)
        if not get_args(kind) and _is(kind, value):
            return value
    raise _wrong(at, " or ".join(_WORDS[kind] for kind in kinds if kind in _WORDS), value)


def _instance(kind: Any, value: Any, at: str) -> Any:
    if type(value) is kind:
        value = {field.name: getattr(value, field.name) for field in fields(kind)}
    if not isinstance(value, Mapping):
        raise _wrong(at, f"the fields of {kind.__name__}", value)
    hints, needed = _hints(kind)
    for name in value:
        if name not in hints:
            raise ValueError(f"{_joined(at, shown(name))} is no field of {kind.__name__}")
    for name in needed:
        if name not in value:
            raise ValueError(f"{_joined(at, name)} is missing")
    own = {name: _read(hints[name], each, f"{at}.{name}") for name, each in value.items()}
    try:
        return kind(**own)
    except ValueError as error:
        raise ValueError(f"{at.strip('.')}: {error}" if at else str(error)) from error


@cache
def _hints(kind: Any) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The type of each field, and the fields without a default."""
    hints, own = get_type_hints(kind), fields(kind)
    needed = (f.name for f in own if f.default is MISSING and f.default_factory is MISSING)
    return {f.name: hints[f.name] for f in own}, tuple(needed)


def _tuple(parts: tuple[Any, ...], value: Any, at: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise _wrong(at, "a list", value)
    if parts[1:] == (...,):
        parts = parts[:1] * len(value)
    if len(parts) != len(value):
        raise _wrong(at, f"a list of {len(parts)}", value)
    pairs = enumerate(zip(parts, value, strict=True))
    return tuple(_read(part, each, f"{at}[{i}]") for i, (part, each) in pairs)


def _tuples(value: Any) -> Any:
    """The value with tuples for the lists that JSON brings, at any depth."""
    if isinstance(value, Mapping):
        return {name: _tuples(part) for name, part in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list | tuple) else value


def _joined(at: str, name: str) -> str:
    return f"{at}.{name}".strip(".")


def _wrong(at: str, rule: str, value: Any) -> ValueError:
    return ValueError(f"{at.strip('.')} must be {rule}; got {shown(value)}".strip())
