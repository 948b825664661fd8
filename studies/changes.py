"""Another base for a study, as the command line asks for it."""

import types
import typing
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from fsmd.config import MODELS, FSMDConfig
from fsmd.errors import UserError, listed, meant
from studies.definition import Study, kind

_HINTS = typing.get_type_hints(FSMDConfig)
_OPEN = ("None", "open")
"""How a field is written that is left to the data set's settings, or to the model."""


def changed(study: Study, model: str | None, assignments: Sequence[str]) -> Study:
    """The study with the kind of another model as its base, and with some fields of it set.

    model: a name of `MODELS`; the base takes over what tells the models apart. assignments:
    `field=value` each.

    Raises UserError for a name, a field or a value that there is not, and for what every arm
    sets itself.
    """
    changes = [dict(arm.changes).keys() for arm in study.arms if arm.baseline is None]
    pinned = set(_HINTS).intersection(*changes) if changes else set(_HINTS)
    values = dict(map(_parsed, assignments))
    for name in values:
        if name in pinned:
            raise UserError(
                f"every arm of {study.name!r} sets `{name}` itself; --set takes another field"
            )
    if model is not None and model not in MODELS:
        raise UserError(
            f"--base must be one of {listed(MODELS)}; got {model!r}{meant(model, MODELS)}"
        )
    of_model = kind(model) if model else {}
    base = replace(study.base, **{**of_model, **values})
    moved = {name for name in of_model if getattr(base, name) != getattr(study.base, name)}
    if moved and moved <= pinned:
        raise UserError(
            f"every arm of {study.name!r} sets {', '.join(sorted(moved))} itself, which is all "
            f"that --base {model} would change"
        )
    flags = [*(("--base", model) if model else ()), *(f"--set={each}" for each in assignments)]
    return replace(study, base=base, asked=tuple(flags))


def _parsed(assignment: str) -> tuple[str, Any]:
    """Name and value of a field of `FSMDConfig`, read as the field's type has it."""
    name, equals, text = assignment.partition("=")
    if not equals or name not in _HINTS:
        raise UserError(
            f"--set must be field=value with one of the fields {', '.join(_HINTS)}; got "
            f"{assignment!r}{meant(name, _HINTS) if equals else ''}"
        )
    try:
        return name, _read(_HINTS[name], text)
    except ValueError as error:
        raise UserError(f"--set {name} must be {error}; got {text!r}") from None


def _read(hint: Any, text: str) -> Any:
    """Text as a value of a type; ValueError says what is needed."""
    if isinstance(hint, types.UnionType):
        (other,) = (part for part in hint.__args__ if part is not type(None))
        return None if text in _OPEN else _read(other, text)
    if typing.get_origin(hint) is tuple:
        part = typing.get_args(hint)[0]
        try:
            return tuple(_read(part, each) for each in text.split(",") if each)
        except ValueError:
            raise ValueError(f"{_MANY[part]} with commas between") from None
    if hint is bool:
        if text not in ("True", "False"):
            raise ValueError("True or False")
        return text == "True"
    try:
        return hint(text)
    except ValueError:
        raise ValueError({int: "a whole number", float: "a number"}[hint]) from None


_MANY = {int: "whole numbers", float: "numbers", str: "names"}
