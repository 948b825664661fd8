"""The files of a log: which there are, what columns each has, and their rows in batches."""

import os
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from fsmd.data.description.values import FileSet
from fsmd.data.rows import csv, parquet
from fsmd.data.rows.packed import GZIP
from fsmd.data.rows.part import Where
from fsmd.errors import UserError, listed, shown

MOST_ROWS = 2**16
"""Of a batch: enough for Arrow to be quick, and little memory."""

_PARQUET, _BOMS_WITH_ZEROS = b"PAR1", (b"\xff\xfe", b"\xfe\xff")
_IN_FOLDERS = (".csv", ".tsv", ".csv.gz", ".tsv.gz", ".parquet")


class Stamp(NamedTuple):
    """What changes when a file does."""

    size: int
    mtime_ns: int
    ctime_ns: int
    """Which nobody can set back."""
    inode: int

    @classmethod
    def of(cls, path: Path) -> "Stamp":
        """The file's stamp now; UserError where it is gone."""
        with readable(path):
            stat = path.stat()
        return cls(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)


@dataclass(frozen=True)
class LogFile:
    """A file and its columns."""

    path: Path
    columns: Mapping[str, pa.DataType]
    """Of CSV files all `pa.string()`. Of Parquet files the plain types: text is `pa.string()`
    however it is stored, a list of it `pa.list_(pa.string())`."""
    untyped: bool
    """Whether it is a text file, whose columns take their kind from how they are used."""
    stamp: Stamp


def find(files: FileSet, folder: Path) -> tuple[Path, ...]:
    """The files that the patterns name, in their order, those of one pattern by name.

    A name or glob finds also what has .gz behind it, where the plain one is not there. A folder
    stands for all .csv, .tsv (also .gz) and .parquet files in and below it, hidden ones (. or _)
    left out. Raises UserError for a pattern without files.
    """
    found: list[Path] = []
    for pattern in files.patterns:
        here = _matching(pattern, folder)
        if not here:
            raise UserError(_lost(pattern, folder))
        found += here
    return without_repeats(found)


def without_repeats(paths: Iterable[Path]) -> tuple[Path, ...]:
    """Each file once, whatever names it has, as else its rows would count twice."""
    first: dict[Path, Path] = {}
    for path in paths:
        first.setdefault(path.resolve(), path)
    return tuple(first.values())


def _lost(pattern: str, folder: Path) -> str:
    """Why a pattern has no files."""
    place = folder / os.path.expanduser(pattern)
    try:
        if place.is_dir():
            return f"no {', '.join(_IN_FOLDERS)} in the folder {place}"
        if os.path.lexists(place):
            return f"{place} must be a file or a folder; it is a pipe, a device or a broken link"
    except (OSError, ValueError):  # a name that no file can have
        pass
    near = next((p for p in place.parents if os.path.isdir(p)), folder)
    return f"no file {shown(pattern)}; in {near} there are {_there(near)}"


def _matching(pattern: str, folder: Path) -> list[Path]:
    pattern = os.path.expanduser(pattern)
    place = folder / pattern  # an absolute pattern stands for itself
    base = Path(place.anchor) if Path(pattern).is_absolute() else folder
    wanted = str(place.relative_to(base))
    try:
        if place.is_dir():
            return [path for path in sorted(place.rglob("*")) if _is_data(path, place)]
        if place.is_file():
            return [place]
        plain = [path for path in base.glob(wanted) if path.is_file()]
        packed = [path for path in base.glob(f"{wanted}.gz") if path.is_file()]
    except (ValueError, NotImplementedError, OSError):  # such as "a**b", or a name too long
        return []
    names = {str(path) for path in plain}
    return sorted({*plain, *(p for p in packed if str(p).removesuffix(".gz") not in names)})


def _is_data(path: Path, folder: Path) -> bool:
    hidden = any(part[0] in "._" for part in path.relative_to(folder).parts)
    return not hidden and path.name.lower().endswith(_IN_FOLDERS) and path.is_file()


def _there(folder: Path) -> str:
    """The names in a folder, to choose from."""
    try:
        return listed(sorted(e.name for e in os.scandir(folder) if e.name[0] != "."))
    except OSError as error:
        return f"none ({error.strerror})"


def open_log(path: Path, files: FileSet) -> LogFile:
    """The columns of a file; UserError for one that is empty, or that none can be read from."""
    stamp = Stamp.of(path)
    with readable(path), path.open("rb") as file:
        start = file.read(4096)
    if not start:
        raise UserError(f"{path} is empty; a file of a log has rows, or a header at least")
    if start.startswith(_PARQUET):
        if files.columns:
            raise UserError(
                f"{path} is a Parquet file, which has its columns' names in it; `columns` (of "
                "describe: --columns) is for files of text"
            )
        with readable(path):
            return LogFile(path, parquet.columns(path), False, stamp)
    if path.suffix.lower() in (".parquet", ".pq"):
        raise UserError(f"{path} is no Parquet file: it must begin with PAR1; got {start[:4]!r}")
    packed = start.startswith(GZIP)
    if not packed and b"\0" in start and not start.startswith(_BOMS_WITH_ZEROS):
        raise UserError(
            f"{path} holds no text: files must be .csv, .tsv (also .gz) or .parquet; "
            f"it begins with {shown(start[:8])}"
        )
    with readable(path):
        names = csv.names(path, files)
    return LogFile(path, dict.fromkeys(names, pa.string()), True, stamp)


def open_all(paths: Iterable[Path], files: FileSet) -> tuple[LogFile, ...]:
    """All files; UserError that names one whose columns are not those of the first.

    A Parquet column of nulls alone has the type that it has in another file.
    """
    opened = [open_log(path, files) for path in paths]
    first = opened[0]
    replaced = csv.replaced(first.path, files) if first.untyped else ()
    common: dict[str, pa.DataType] = {}
    for file in opened:
        if file.untyped != first.untyped:
            raise UserError(
                f"{file.path} and {first.path} are of two formats; the files of one list must be "
                "all text or all Parquet"
            )
        for some, other in ((file, first), (first, file)):
            lost = [name for name in other.columns if name not in some.columns]
            if lost:
                raise UserError(
                    f"{some.path} has no column {lost[0]!r}, which {other.path} has; the files of "
                    "one list must have the same columns"
                )
        if first.untyped and (header := csv.replaced(file.path, files)) != replaced:
            i = next(i for i, name in enumerate(header) if name != replaced[i])
            raise UserError(
                f"column {i} (from 0) is {shown(header[i])} in {file.path}, and "
                f"{shown(replaced[i])} in {first.path}; `columns` names the columns of files "
                "whose headers are the same"
            )
        for name, kind in file.columns.items():
            before = common.get(name, pa.null())
            if pa.null() in (before, kind):
                common[name] = before if kind == pa.null() else kind
            elif before != kind:
                raise UserError(
                    f"{file.path}: column {name!r} is of type {kind}, but {before} in the files "
                    "before it; write it with one type"
                )
    return tuple(replace(f, columns={name: common[name] for name in f.columns}) for f in opened)


def batches(
    file: LogFile, files: FileSet, columns: Sequence[str], coded: Collection[str] = ()
) -> Iterator[tuple[pa.RecordBatch, Where]]:
    """The file's rows in order, at most `MOST_ROWS` at once, with these of its columns.

    A missing value is a null. coded: columns whose texts may come as a dictionary of `pa.string()`
    (a word of which may be twice or null), which is quicker. Raises UserError with file, row,
    column and value for what cannot be read, and for a file that is not as it was when opened.
    """
    for name in columns:
        if name not in file.columns:
            raise UserError(
                f"{file.path} has no column {name!r}; it has {', '.join(file.columns)}"
            )
    check_unchanged(file)
    done = 0
    with readable(file.path):
        if file.untyped:
            read = csv.batches(file.path, files, tuple(file.columns), columns, coded)
        else:
            types = {name: file.columns[name] for name in columns}
            read = parquet.batches(file.path, types, coded)
        for whole in read:
            check_unchanged(file)
            for start in range(0, whole.num_rows, MOST_ROWS):
                batch = whole.slice(start, MOST_ROWS)
                rows_N = np.arange(done, done + batch.num_rows, dtype=np.int64)
                done += batch.num_rows
                yield batch, Where(str(file.path), rows_N)
    check_unchanged(file)


def check_unchanged(file: LogFile) -> None:
    """Raise UserError for a file that changed since it was opened: no content has all its rows."""
    if Stamp.of(file.path) != file.stamp:
        raise UserError(
            f"{file.path} changed while it was read; start again once nothing writes it"
        )


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Whatever fails to be read in the block is a UserError about the file."""
    try:
        yield
    except UserError:
        raise
    except (OSError, EOFError, zlib.error, pa.ArrowException) as error:
        reason = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise UserError(f"{path} cannot be read ({reason}); replace or remove it") from error
