"""`catalog`: the public data sets that have a description here, each a start for one's own."""

import argparse
from collections.abc import Iterator
from itertools import takewhile
from pathlib import Path

from fsmd.data.description.catalog import names, path_of
from fsmd.data.description.toml import read
from fsmd.data.description.values import Description, Published
from fsmd.data.files import cache_root
from fsmd.errors import UserError
from fsmd.writing import write


def run(options: argparse.Namespace) -> int:
    """List all sets, tell of one, or copy its description; the exit code."""
    if options.name is None:
        if options.copy:
            raise UserError("--copy needs the name of a set before it; `catalog` lists them")
        print("\n".join(_listed()))
    elif options.copy:
        _copy(options.name, options.copy)
    else:
        print("\n".join(_told(options.name)))
    return 0


def _listed() -> Iterator[str]:
    """A line for each set."""
    for name in names():
        description = read(path_of(name))
        licence = description.origin.licence if description.origin else "not stated"
        yield f"{name:<20}{_tasks(description)}; licence: {licence}"
    yield "More of one: python -m studies.data catalog NAME"


def _tasks(description: Description) -> str:
    return ", ".join(
        task.name + (f" after {task.after}" if task.after else "")
        for task in description.recipe.tasks
    )


def _told(name: str) -> Iterator[str]:
    """All about a set but its fields, which its description says best."""
    path = path_of(name)
    description = read(path)
    for line in takewhile(_is_comment, path.read_text(encoding="utf-8").splitlines()):
        yield line.removeprefix("# ").removeprefix("#")
    yield f"tasks         {_tasks(description)}"
    if origin := description.origin:
        sets = (description.data, *(join.files for join in description.joins))
        yield f"source        {origin.source}"
        yield f"licence       {origin.licence}"
        yield f"files         {', '.join(name for files in sets for name in files.patterns)}"
        cached = cache_root() / "raw" / origin.folder
        yield f"              in $FSMD_DATA/{origin.folder}, or {cached}"
        got = f"or downloaded: {origin.archive}" if origin.archive else "to be got from the source"
        yield f"              {got}"
    for published in description.published:
        yield from _table(published)
    yield f"description   {path}"
    yield "to change it  " + f"python -m studies.data catalog {name} --copy dataset.toml"


def _is_comment(line: str) -> bool:
    return line.startswith("#")


def _table(published: Published) -> Iterator[str]:
    """What others reached, a line for each model."""
    yield f"published     {published.metric}, {published.source}"
    for line in published.note.split("\n"):
        if line:
            yield f"              {line}"
    for model, figures in published.figures.items():
        values = "  ".join(f"{task} {figure:.4f}" for task, figure in figures.items())
        yield f"              {model:<20}{values}"


def _copy(name: str, target: Path) -> None:
    if target.exists():
        raise UserError(f"{target} is there; --copy replaces nothing")
    try:
        write(target, path_of(name).read_bytes())
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror})") from error
    print(target)
