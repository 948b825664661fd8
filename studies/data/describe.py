"""describe LOG...: a draft of a description, each guess with its reason, to be edited."""

import os
import re
import shlex
import sys
import textwrap
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.table import Table

from fsmd.command_line import check_folders
from fsmd.data.description.toml import check_files, name_of
from fsmd.data.description.values import FileSet
from fsmd.data.progress import told
from fsmd.data.rows.files import find
from fsmd.errors import UserError, one_line
from fsmd.tasks import check_label
from fsmd.terminal import open_console, tell, words
from fsmd.writing import write
from studies.data.draft.column import Column
from studies.data.draft.guesses import draft_of
from studies.data.draft.look import Seen, look
from studies.data.draft.text import text_of
from studies.data.draft.values import Draft

MEMORY = 2**30
"""Bytes for the sample and the side tables, where nothing is said."""


def run(options: Namespace) -> int:
    """Look at the files, write the draft, tell what comes next; the exit code."""
    out: Path | None = options.out
    log, joins = list(map(str, options.log)), list(map(str, options.join or ()))
    if out is not None:
        _check_out(out, options.force)
        if any(out.exists() and out.samefile(p) for p in _files(log, joins)):
            raise UserError(f"--out must be a new file; {out} is one of the log's")
    folder = (Path.cwd() if out is None else out.absolute().parent).resolve()
    default = one_line(name_of(out or folder / "dataset.toml"))[:80].strip() or "log"
    name = re.sub(r"[:,/\\]", "_", options.name or default)
    check_label(name, "--name")
    given = {"separator": options.separator, "encoding": options.encoding}
    if "" in options.columns or len({*options.columns}) < len(options.columns):
        raise UserError(
            f"--columns must be different names, none empty; got {','.join(options.columns)}"
        )
    check_files("--", {key: value for key, value in given.items() if value is not None})
    console = open_console(width=200)
    files = FileSet(
        (),
        header=not options.columns if options.header is None else options.header,
        columns=options.columns,
        separator=options.separator,
        multiline=options.multiline,
        encoding=options.encoding,
    )
    # Squares and sums of numbers like 1e308 are infinite.
    with told("reading the log") as tick, np.errstate(over="ignore", invalid="ignore"):
        seen = look(log, joins, files, memory=options.memory or MEMORY, tick=tick)
    with told("guessing"), np.errstate(over="ignore", invalid="ignore"):
        seen, draft = draft_of(seen, name, folder)
    console.print(_table(seen, draft))
    text = text_of(draft)
    if out is None:
        sys.stdout.write(text)
        tell(console, "This is a draft: --out dataset.toml keeps it.")
        return 0
    _check_out(out, options.force)
    write(out, text.encode())
    where = shlex.quote(str(out))
    tasks = ", ".join(draft.labels) or "none yet"
    run = f"  python -m studies.run auto --data {where} --budget 30m"
    for line in (
        *(note for note in draft.notes if note.startswith("NOTE")),
        f"The draft is {where} (tasks: {one_line(tasks)}). Edit it, then:",
        f"  python -m studies.data check {where}",
        *([run] if draft.is_whole else ()),
    ):
        tell(console, line)
    return 0


def _files(log: Sequence[str], joins: Sequence[str]) -> tuple[Path, ...]:
    return find(FileSet((*log, *joins)), Path.cwd())


def _check_out(out: Path, force: bool) -> None:
    if out.exists() and not out.is_file():
        raise UserError(f"--out must be a file; {out} is a folder, a pipe or a device")
    check_folders("the folder of --out", out.parent)
    if os.path.lexists(out) and not force:
        raise UserError(f"--out must be a new file; {out} is there: say --force to replace it")


def _table(seen: Seen, draft: Draft) -> Table:
    """All columns: what they hold, and what they are taken for."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for title in ("column", "taken for", "missing", "distinct", *_QUANTILES, "mean"):
        text = title in ("column", "taken for")
        table.add_column(title, justify="left" if text else "right", overflow="fold", no_wrap=text)
    table.add_column("most frequent", no_wrap=True, overflow="ellipsis")
    before = ""
    for column in seen.columns:
        if column.table != before:
            before = column.table
            table.add_row(words(before, "dim"))
        cells = (column.name, draft.uses.get(column.name, ""), *_cells(column, seen))
        table.add_row(*(words(textwrap.shorten(cell, 40)) for cell in cells))
    return table


_QUANTILES = {"min": 0.0, "25 %": 0.25, "median": 0.5, "75 %": 0.75, "max": 1.0}


def _cells(column: Column, seen: Seen) -> tuple[str, ...]:
    """The quantiles are those of a sample, the least and the greatest of all rows."""
    missing = f"{column.missing / max(1, column.rows):.1%}" if column.missing else ""
    numbers = ("",) * (len(_QUANTILES) + 1)
    if column.is_number and column.there:
        drawn = seen.numbers(column)
        drawn = drawn[~np.isnan(drawn)]
        middle = np.quantile(drawn, [0.25, 0.5, 0.75]) if len(drawn) else ()
        told = [f"{x:.6g}" for x in middle] or ["", "", ""]
        numbers = (f"{column.low:.6g}", *told, f"{column.high:.6g}", f"{column.mean:.6g}")
    return missing, column.shown_distinct, *numbers, column.shown_values(2)
