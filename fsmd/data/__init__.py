"""Data sets by name: descriptions in `catalog`, files of code in `sets`, or anybody's description.

Imports no torch, and pandas only to load.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from fsmd.data.encoded import open_encoded
from fsmd.data.options import Between, check_option, parsed
from fsmd.data.schema import Dataset
from fsmd.errors import UserError, alternatives, fault

if TYPE_CHECKING:
    from fsmd.data.rows.part import Part
    from fsmd.data.source import Source

__all__ = ["description_of", "load", "names", "open_encoded", "source_of"]

DEFAULT = "planted"
DESCRIPTION = ".toml"


def names() -> tuple[str, ...]:
    """All data sets that have a name, the default first."""
    makers, _ = _read(None)
    return tuple(sorted(makers, key=lambda name: (name != DEFAULT, name)))


def load(name: str, memory: int | None = None) -> Dataset:
    """The encoded data set; found, downloaded or drawn, and encoded, if it never was.

    A name is one of `names()`, or the path of a description (a file that ends in .toml). It may
    carry options: `planted:conflict=0.25,tasks=3`. Every data set has the option `metric`, by
    which all its tasks are then judged. memory: bytes that the encoding may take; None: a quarter
    of the machine's.

    Raises UserError for an unknown name or option, files that cannot be had, data that leaks, or
    a file in `sets` that is faulty.
    """
    from fsmd.data.encode import encoded

    if memory is not None:
        check_option("memory", memory, Annotated[int, Between(1)])
    data = encoded(*_found(name, memory), memory)
    return data if data.name == name else replace(data, asked=name)


def source_of(name: str, memory: int | None = None) -> "Source":
    """The data set before it is encoded; see `load`."""
    return _found(name, memory)[0]


def description_of(name: str) -> Path | None:
    """The description of a data set; None for one that is made by code. See `load`."""
    from fsmd.data.description.catalog import names as described
    from fsmd.data.description.catalog import path_of

    base, is_path = _base(name)
    if is_path:
        return Path(os.path.expanduser(base))
    return path_of(base) if base in described() else None


def _base(name: str) -> tuple[str, bool]:
    """A name without its options, and whether it is a path."""
    end = name.rfind(DESCRIPTION) + len(DESCRIPTION)
    is_path = end >= len(DESCRIPTION) and name[end : end + 1] in ("", ":")
    return (name[:end] if is_path else name.partition(":")[0]), is_path


def _found(name: str, memory: int | None) -> "tuple[Source, str, str]":
    """The source, the name on reports, and in which file it is written."""
    from fsmd.data.source import Source

    base, is_path = _base(name)
    path = Path(os.path.expanduser(base))
    make, file = (_described(path, memory), str(path)) if is_path else _maker(base, memory)
    asked = name[len(base) :]
    options = _options(name, asked, make)
    metric = options.pop("metric", None)
    with _guarded(file):
        source = make(**options)
        if not isinstance(source, Source):
            raise TypeError(f"a Source is needed; got {source!r:.60}")
    if metric is not None:
        tasks = tuple(replace(task, metric=metric) for task in source.recipe.tasks)
        source = replace(source, recipe=replace(source.recipe, tasks=tasks))
    given = source

    def parts() -> "Iterator[Part]":
        with _guarded(file):
            yield from given.parts()

    shown = f"{source.recipe.name}{asked}" if is_path else name
    return replace(source, parts=parts), shown, file


def _described(path: Path, memory: int | None) -> "Callable[..., Source]":
    """What makes the source of a description."""
    from fsmd.data.source import FewerRows, Source, on_fewer_rows

    def make(rows: FewerRows | None = None) -> Source:
        from fsmd.data.description.toml import read
        from fsmd.data.encode import quarter_of_machine
        from fsmd.data.rows.log import Log

        description = read(path)
        log = Log.of(description, (memory or quarter_of_machine()) // 2)
        source = Source(description.recipe, log.key, log.parts, log.left_out, description.inputs)
        return on_fewer_rows(source, rows)

    return make


def _read(
    memory: int | None,
) -> "tuple[dict[str, tuple[Callable[..., Source], str]], dict[str, str]]":
    """Name of a data set -> what makes it and in which file; of one, or of a file -> its fault."""
    from fsmd.data import sets
    from fsmd.data.description.catalog import names as described
    from fsmd.data.description.catalog import path_of

    makers: dict[str, tuple[Callable[..., Source], str]] = {
        name: (_described(path_of(name), memory), str(path_of(name))) for name in described()
    }
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
    """Whatever fails in a data set's own code is one line; a description has none."""
    try:
        yield
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        if file.endswith(DESCRIPTION):
            raise
        raise UserError(_fault(file, error)) from error


def _fault(file: str, error: BaseException) -> str:
    what = fault(error, f"fsmd.data.sets.{Path(file).stem}")
    return f"the data set file {file} is faulty: {what}; mend or remove it"


def _maker(name: str, memory: int | None) -> "tuple[Callable[..., Source], str]":
    makers, faults = _read(memory)
    if name in faults:
        raise UserError(faults[name])
    if name not in makers:
        faulty = "".join(f"; {fault}" for fault in faults.values())
        raise UserError(
            f"no data set {name!r}{alternatives(name, names())}, and any description by its "
            f"path, which ends in {DESCRIPTION}{faulty}"
        )
    return makers[name]


def _options(name: str, text: str, make: "Callable[..., Source]") -> dict[str, Any]:
    """`:a=1,b=x` by name, each as the annotation of the data set's parameter has it."""
    parameters = signature(make, eval_str=True).parameters.values()
    annotations = {**{p.name: p.annotation for p in parameters}, "metric": str}
    options: dict[str, Any] = {}
    for pair in text[1:].split(",") if text else ():
        key, _, value = pair.partition("=")
        if key not in annotations:
            raise UserError(
                f"no option {key!r} of the data set in {name!r}; it has {', '.join(annotations)}"
            )
        if key in options:
            raise UserError(f"option {key!r} is there twice in {name!r}; give it once")
        options[key] = parsed(key, value, annotations[key])
    return options
