"""python -m fsmd.predict MODEL ROWS ... --out FILE: scores of raw rows, piece by piece.

The rows are files as the model's data were: .csv, .tsv (also .gz) or .parquet, globs and folders
of them; the model's description says how texts are read. Their order is kept.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from fsmd.command_line import CommandLine, drawing, exit_code, place
from fsmd.data.description.columns import plain
from fsmd.data.description.toml import read
from fsmd.data.description.values import Description, FileSet
from fsmd.data.rows.fields import words_of
from fsmd.data.rows.files import LogFile, batches, find, open_all
from fsmd.data.rows.given import check_columns
from fsmd.data.rows.hashes import joined
from fsmd.data.rows.joins import SideTable
from fsmd.data.rows.part import Where
from fsmd.data.schema import Floats
from fsmd.errors import UserError, alternatives
from fsmd.saved.head import DESCRIPTION
from fsmd.scorer import BATCH, ENGINES, Scorer

COMMAND = "python -m fsmd.predict"
MOST_BATCH = 2**20
SIDE_MEMORY = 2**33
"""Bytes that side tables may take."""
STOPPED = "Stopped; nothing was written."
_SHOWN_EVERY = {True: 1.0, False: 30.0}  # seconds, in a terminal and elsewhere


def main(arguments: Sequence[str] | None = None, prog: str = COMMAND) -> int:
    """Score what the command line names; its exit code."""
    return exit_code(lambda: _run(parser(prog).parse_args(arguments)), STOPPED)


def parser(prog: str = COMMAND) -> CommandLine:
    """The command line."""
    p = CommandLine(
        prog,
        "Score raw rows by a model that `python -m studies.export` wrote.",
        "example: %(prog)s model/ log.parquet --out scores.parquet --keep user_id,video_id",
    )
    p.add_argument("model", type=place, help="folder of the model")
    p.add_argument(
        "rows", nargs="+", help="files, globs or folders of .csv, .tsv (also .gz) or .parquet"
    )
    p.add_argument(
        "--out", type=place, required=True, help="file to write: .parquet, .csv or .csv.gz"
    )
    p.add_argument(
        "--keep", default="", metavar="COLUMN,...", help="columns of the rows to write beside"
    )
    p.add_argument(
        "--join",
        nargs="+",
        action="append",
        metavar="FILE",
        help="files of a side table; once for each [[join]] of the data, in their order",
    )
    p.add_argument("--engine", choices=ENGINES, default="auto", help="(default: %(default)s)")
    p.add_argument(
        "--batch", type=_batch, default=BATCH, help="rows scored at once (default: %(default)s)"
    )
    p.add_argument("--threads", type=int, default=1, help="that score (default: %(default)s)")
    return p


def _run(given: argparse.Namespace) -> int:
    scorer = Scorer.load(given.model, given.engine, given.threads)
    scorer.batch = given.batch
    keep = [name for name in given.keep.split(",") if name]
    start = monotonic()
    rows = predict(scorer, given.model, given.rows, given.out, keep=keep, joins=given.join or ())
    seconds = max(monotonic() - start, 1e-9)
    threads = "1 thread" if given.threads == 1 else f"{given.threads} threads"
    print(
        f"{rows:,} rows in {seconds:.1f} s ({rows / seconds:,.0f} rows/s; {scorer.engine}, "
        f"{threads}): {given.out}"
    )
    return 0


def predict(
    scorer: Scorer,
    folder: Path,
    patterns: Sequence[str],
    out: Path,
    *,
    keep: Sequence[str] = (),
    joins: Sequence[Sequence[str]] = (),
) -> int:
    """Write the kept columns and the scores of all rows, in their order; how many there are.

    folder: of the model, whose description says how files of text are read. joins: files of side
    tables, in the order of the description's.

    Raises UserError, before anything is written, for columns and types that do not fit, and later
    for a value that the data cannot have; then nothing is left of the output.
    """
    write = _writer_of(out)
    source = _Input.of(scorer, folder, patterns, keep, joins)
    if out.resolve() in (path.resolve() for path in source.paths):
        raise UserError(f"--out must be none of the files that are read; got {out}")
    kept = pa.schema([(name, source.types[name]) for name in keep])
    for field in kept:
        if pa.types.is_nested(field.type) and write is not pa.parquet.ParquetWriter:
            raise UserError(
                f"--keep: a CSV file cannot hold column {field.name!r}, whose values are "
                f"{field.type}; let --out end in .parquet"
            )
    schema = pa.schema([*kept, *((name, pa.float32()) for name in scorer.outputs)])
    with _placed(out) as fresh, write(fresh, schema) as writer, _progress() as advance:
        for batch, where in source.batches():
            scores = scorer.score_batch(batch, where)
            writer.write_batch(_beside(batch, kept, scores, schema))
            advance(batch.num_rows)
    source.tell(advance(0))
    return advance(0)


class _Input:
    """The files to score, opened and checked."""

    def __init__(
        self,
        files: Sequence[LogFile],
        shape: FileSet,
        sides: Sequence[SideTable],
        types: Mapping[str, pa.DataType],
        wanted: Sequence[str],
        coded: frozenset[str],
    ) -> None:
        self.files, self.types = files, types
        self._shape, self._sides, self._wanted, self._coded = shape, sides, wanted, coded
        self._found = dict.fromkeys(sides, 0)

    @property
    def paths(self) -> Iterator[Path]:
        """Of all that is read, side tables too."""
        yield from (file.path for file in self.files)
        for side in self._sides:
            yield from side.paths

    @classmethod
    def of(
        cls,
        scorer: Scorer,
        folder: Path,
        patterns: Sequence[str],
        keep: Sequence[str],
        joins: Sequence[Sequence[str]],
    ) -> "_Input":
        description = _description(folder)
        shape = replace(description.data if description else FileSet(()), patterns=(*patterns,))
        files = open_all(find(shape, Path()), shape)
        sides = list(_sides(scorer, description, joins, files[0].columns))
        types = dict(files[0].columns)
        for side in sides:
            types |= {name: array.type for name, array in side.columns.items()}
        types = {name: _value_type(kind) for name, kind in types.items()}
        source = str(files[0].path)
        hint = _join_hint(description, joins)
        try:
            check_columns(source, scorer.columns, scorer.optional, types)
        except UserError as error:
            raise UserError(f"{error}{hint}") from None
        for name in keep:
            if name not in files[0].columns:
                own = files[0].columns
                raise UserError(
                    f"--keep: the rows have no column {name!r}{alternatives(name, own)}"
                )
            if name in scorer.outputs or keep.count(name) > 1:
                raise UserError(f"--keep: a column of the output is named {name!r} already")
        values = scorer.check_types(types, source).values()
        words = {v.expression.columns[0] for v in values if v is not None and v.is_raw}
        keys = {name for side in sides for name in side.on}
        used = {*scorer.columns, *keep, *keys}
        wanted = [name for name in files[0].columns if name in used]
        return cls(files, shape, sides, types, wanted, frozenset(words | keys))

    def batches(self) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """All rows in order, joined."""
        for file in self.files:
            for batch, where in batches(file, self._shape, self._wanted, self._coded):
                for side in self._sides:
                    key = joined([words_of(batch, name, where) for name in side.on])
                    batch, theirs = side.joined(batch, key, side.columns)
                    self._found[side] += theirs
                yield batch, where

    def tell(self, rows: int) -> None:
        """Say on the error output how many of the rows were in each side table."""
        for side, theirs in self._found.items() if rows else ():
            if theirs:
                line = f"{side.name}: {theirs:,} of {rows:,} rows find theirs"
            else:  # they may all be of users who are new
                line = f"warning: {side.not_found}"
            print(line, file=sys.stderr)


def _description(folder: Path) -> Description | None:
    path = folder / DESCRIPTION
    return read(path) if path.is_file() else None


def _sides(
    scorer: Scorer,
    description: Description | None,
    joins: Sequence[Sequence[str]],
    columns: Mapping[str, pa.DataType],
) -> Iterator[SideTable]:
    """Of the rows' own columns none is taken from a side table."""
    described = description.joins if description else ()
    if len(joins) > len(described):
        raise UserError(
            f"--join: the model's data have {len(described)} side tables; got {len(joins)}"
        )
    there = set(columns)
    needed = {*scorer.columns, *(name for join in described for name in join.on)}
    for join, patterns in zip(described, joins, strict=False):
        shape = replace(join.files, patterns=(*patterns,))
        files = open_all(find(shape, Path()), shape)
        check_columns(str(files[0].path), join.on, (), files[0].columns)
        for name in join.on:
            if name not in there:
                raise UserError(f"--join: the rows have no column {name!r}, the key of this table")
        wanted = [n for n in files[0].columns if n in needed and n not in there]
        there.update(wanted)
        yield SideTable.read(files, shape, join.on, wanted, SIDE_MEMORY)


def _join_hint(description: Description | None, joins: Sequence[Sequence[str]]) -> str:
    left = description.joins[len(joins) :] if description else ()
    if not left:
        return ""
    listed = ", ".join(
        f"{' '.join(join.files.patterns)} (on {', '.join(join.on)})" for join in left
    )
    return f"; the data were joined with {listed}: give such files by --join, once for each"


def _value_type(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _beside(
    batch: pa.RecordBatch, kept: pa.Schema, scores: Mapping[str, Floats], schema: pa.Schema
) -> pa.RecordBatch:
    arrays = [plain(batch.column(field.name)).cast(field.type) for field in kept]
    arrays += [pa.array(score) for score in scores.values()]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


# Output


def _writer_of(out: Path) -> Callable[[Path, pa.Schema], Any]:
    """What opens a writer of batches; UserError for a name that says no format."""
    name = out.name.lower()
    try:
        str(out).encode()  # Arrow takes no other names
        out.stat()  # raises for a name that no file can have
    except FileNotFoundError:
        pass
    except (OSError, ValueError) as error:
        raise UserError(f"--out must be a file that can be written; {error}") from error
    if out.is_dir():
        raise UserError(f"--out must be a file; {out} is a folder")
    writers: dict[str, Callable[[Path, pa.Schema], Any]] = {
        ".parquet": pa.parquet.ParquetWriter,
        ".csv": pa.csv.CSVWriter,
        ".csv.gz": _packed_writer,
    }
    for end, writer in writers.items():
        if name.endswith(end):
            return writer
    raise UserError(f"--out must end in {', '.join(writers)}; got {out}")


@contextmanager
def _packed_writer(path: Path, schema: pa.Schema) -> Iterator[Any]:
    with pa.CompressedOutputStream(str(path), "gzip") as file, pa.csv.CSVWriter(file, schema) as w:
        yield w


@contextmanager
def _placed(out: Path) -> Iterator[Path]:
    """A path beside `out` whose file takes its place once all is written, and else is removed.

    `fsmd.writing` does more, and needs a library that no scoring else does.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = out.with_name(f".{out.name}.part-{os.getpid()}")
    try:
        yield fresh
        with fresh.open("rb") as file:
            os.fsync(file.fileno())
        fresh.replace(out)
    finally:
        fresh.unlink(missing_ok=True)


@contextmanager
def _progress() -> Iterator[Callable[[int], int]]:
    """What is called with the rows just done and gives their sum; tells it on the error output."""
    is_terminal = sys.stderr.isatty()
    start, rows = monotonic(), 0
    shown = start

    def advance(more: int) -> int:
        nonlocal rows, shown
        rows += more
        now = monotonic()
        if more and now - shown > _SHOWN_EVERY[is_terminal]:
            shown = now
            line = f"{rows:,} rows, {rows / (now - start):,.0f} rows/s"
            begin, end = ("\r", "") if is_terminal else ("", "\n")
            print(f"{begin}{line}", end=end, file=drawing(sys.stderr), flush=True)
        return rows

    try:
        yield advance
    finally:
        if is_terminal and shown > start:
            print(file=sys.stderr)


def _batch(text: str) -> int:
    number = int(text) if text.isdecimal() else 0
    if not 0 < number <= MOST_BATCH:
        raise argparse.ArgumentTypeError(
            f"must be a whole number from 1 to {MOST_BATCH:,}; got {text!r}"
        )
    return number


if __name__ == "__main__":
    sys.exit(main())
