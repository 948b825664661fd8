"""Another base for a study, as the command line asks for it."""

import types
import typing
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

from fsmd.config import MODELS, FSMDConfig
from fsmd.errors import UserError
from studies.definition import Study

_NOTHING = ("None", "open")
"""How a field is written that is left to the data set's settings, or to the model."""


def changed(study: Study, model: str | None, assignments: Sequence[str]) -> Study:
    """The study with the kind of another model as its base, and with some fields of it set.

    model: a name of `MODELS`; the base takes over what tells the models apart. assignments:
    `field=value` each.

    Raises UserError for a name, a field or a value that there is not, and for a field that every
    arm sets itself.
    """
    base = study.base
    if model is not None:
        if model not in MODELS:
            raise UserError(f"--base must be one of {', '.join(MODELS)}; got {model!r}")
        base = replace(base, **{name: getattr(MODELS[model], name) for name in _of_models()})
    values = dict(map(parsed, assignments))
    for name in values:
        if all(name in dict(arm.changes) for arm in study.arms):
            raise UserError(
                f"every arm of {study.name!r} sets `{name}` itself; --set takes another field"
            )
    flags = [*(("--base", model) if model else ()), *(f"--set={each}" for each in assignments)]
    return replace(study, base=replace(base, **values), asked=tuple(flags))


def _of_models() -> tuple[str, ...]:
    """The fields in which the paper's models differ."""
    models = MODELS.values()
    return tuple(
        field.name
        for field in fields(FSMDConfig)
        if len({getattr(model, field.name) for model in models}) > 1
    )


def parsed(assignment: str) -> tuple[str, Any]:
    """Name and value of a field of `FSMDConfig`, read as the field's type has it.

    >>> parsed("layers=64,32"), parsed("dropout=0.1"), parsed("learning_rate=open")
    (('layers', (64, 32)), ('dropout', 0.1), ('learning_rate', None))
    """
    name, equals, text = assignment.partition("=")
    hints = typing.get_type_hints(FSMDConfig)
    known = [field.name for field in fields(FSMDConfig)]
    if not equals or name not in known:
        raise UserError(
            f"--set must be field=value with one of the fields {', '.join(known)}; got "
            f"{assignment!r}"
        )
    try:
        return name, _read(hints[name], text)
    except ValueError as error:
        raise UserError(f"--set {name} must be {error}; got {text!r}") from None


def _read(hint: Any, text: str) -> Any:
    """Text as a value of a type; ValueError says what is needed."""
    if isinstance(hint, types.UnionType):
        (kind,) = (part for part in hint.__args__ if part is not type(None))
        return None if text in _NOTHING else _read(kind, text)
    if typing.get_origin(hint) is tuple:
        part = typing.get_args(hint)[0]
        return tuple(_read(part, each) for each in text.split(",") if each)
    if hint is bool:
        if text not in ("True", "False"):
            raise ValueError("True or False")
        return text == "True"
    try:
        return hint(text)
    except ValueError:
        kinds = {int: "a whole number", float: "a number"}
        raise ValueError(kinds[hint]) from None
