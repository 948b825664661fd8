"""Data sets by name. A new one is a file in `sets`; imports no torch, and pandas only to load."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsmd.data.encoded import open_encoded
from fsmd.data.options import parsed
from fsmd.data.schema import Dataset
from fsmd.errors import UserError

if TYPE_CHECKING:
    from fsmd.data.rows.part import Part
    from fsmd.data.source import Source

__all__ = ["load", "names", "open_encoded"]

DEFAULT = "planted"


def names() -> tuple[str, ...]:
    """All data sets that can be loaded, the default first."""
    makers, _ = _read()
    return tuple(sorted(makers, key=lambda name: (name != DEFAULT, name)))


def load(name: str, memory: int | None = None) -> Dataset:
    """The encoded data set; found, downloaded or drawn, and encoded, if it never was.

    A name may carry options: `planted:conflict=0.25,tasks=3`. Every data set has the option
    `metric`, by which all its tasks are then judged. memory: bytes that the encoding may take;
    None: a quarter of the machine's.

    Raises UserError for an unknown name or option, files that cannot be had, data that leaks, or
    a file in `sets` that is faulty.
    """
    from fsmd.data.encode import encoded
    from fsmd.data.source import Source

    base, _, text = name.partition(":")
    make, file = _maker(base)
    options = _options(name, text, make)
    metric = options.pop("metric", None)
    with _guarded(file):
        source = make(**options)
        if not isinstance(source, Source):
            raise TypeError(f"a Source is needed; got {source!r:.60}")
    if metric is not None:
        tasks = tuple(replace(task, metric=metric) for task in source.recipe.tasks)
        source = replace(source, recipe=replace(source.recipe, tasks=tasks))

    def parts() -> "Iterator[Part]":
        with _guarded(file):
            yield from source.parts()

    return encoded(replace(source, parts=parts), name, file, memory)


def _read() -> "tuple[dict[str, tuple[Callable[..., Source], str]], dict[str, str]]":
    """Name of a data set -> what makes it and in which file; of one, or of a file -> its fault."""
    from fsmd.data import sets

    makers: dict[str, tuple[Callable[..., Source], str]] = {}
    faults: dict[str, str] = {}
    for path in (path for folder in sets.__path__ for path in sorted(Path(folder).glob("*.py"))):
        if path.stem == "__init__":
            continue
        try:
            made = import_module(f"{sets.__name__}.{path.stem}").sources()
            for make in made.values():
                signature(make, eval_str=True)
        except (Exception, SystemExit) as error:
            faults[path.stem] = _fault(str(path), error)
            continue
        for name, make in made.items():
            _, file = makers.setdefault(name, (make, str(path)))
            if file != str(path):
                faults[name] = f"data set {name!r} is in {file} and in {path}; rename one"
    return makers, faults


@contextmanager
def _guarded(file: str) -> Iterator[None]:
    """Whatever fails in a data set's file is one line."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        raise UserError(_fault(file, error)) from error


def _fault(file: str, error: BaseException) -> str:
    what = " ".join(str(error).split())
    return f"the data set file {file} is faulty: {type(error).__name__}: {what}; mend or remove it"


def _maker(name: str) -> "tuple[Callable[..., Source], str]":
    makers, faults = _read()
    if name in faults:
        raise UserError(faults[name])
    if name not in makers:
        faulty = "".join(f"; {fault}" for fault in faults.values())
        raise UserError(f"no data set {name!r}; there are {', '.join(names())}{faulty}")
    return makers[name]


def _options(name: str, text: str, make: "Callable[..., Source]") -> dict[str, Any]:
    """`a=1,b=x` by name, each as the annotation of the data set's parameter has it."""
    parameters = signature(make, eval_str=True).parameters.values()
    annotations = {**{p.name: p.annotation for p in parameters}, "metric": str}
    options: dict[str, Any] = {}
    for pair in text.split(",") if ":" in name else ():
        key, _, value = pair.partition("=")
        if key not in annotations:
            raise UserError(
                f"no option {key!r} of the data set in {name!r}; it has {', '.join(annotations)}"
            )
        if key in options:
            raise UserError(f"option {key!r} is there twice in {name!r}; give it once")
        options[key] = parsed(key, value, annotations[key])
    return options
