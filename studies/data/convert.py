"""`convert`: public data sets whose files no description can read, as files that one can."""

import argparse
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from fsmd.errors import UserError, alternatives, shown
from fsmd.terminal import bar_of, open_console
from fsmd.writing import replacing

VALUES = 2**21
"""About so many are held in memory, and written as one row group."""
_TOLD = 2**16  # lines between two steps of the bar

LABELS = ("click", "buy")
OF_USERS = ("101", "121", "122", "124", "125", "126", "127", "128", "129")
LISTS_OF_USERS = ("109_14", "110_14", "127_14", "150_14")
OF_SAMPLES = ("205", "206", "207", "216", "508", "509", "702", "853", "301")
LISTS_OF_SAMPLES = ("210",)
WEIGHTED = ("508", "509", "702", "853")
"""Single fields with a weight that says something; others weigh 1."""


class Shape(NamedTuple):
    """One kind of Ali-CCP file: its columns before the features, and the fields in these."""

    file: str
    head: tuple[str, ...]
    """The last one counts the features."""
    single: tuple[str, ...]
    lists: tuple[str, ...]
    weighted: tuple[str, ...]
    to: str

    @property
    def schema(self) -> pa.Schema:
        """Of the Parquet file."""
        kinds: dict[str, pa.DataType] = {
            name: pa.int8() if name in LABELS else pa.string() for name in self.head[:-1]
        }
        kinds |= dict.fromkeys(self.single, pa.string())
        kinds |= dict.fromkeys(self.lists, pa.list_(pa.string()))
        kinds |= {f"{name}_weight": pa.float64() for name in self.weighted}
        return pa.schema(kinds)


INDEX = "common_feature_index"
SAMPLES = Shape(
    "sample_skeleton_{}.csv",
    ("sample_id", *LABELS, INDEX, "count"),
    OF_SAMPLES,
    LISTS_OF_SAMPLES,
    WEIGHTED,
    "samples_{}.parquet",
)
COMMON = Shape(
    "common_features_{}.csv", (INDEX, "count"), OF_USERS, LISTS_OF_USERS, (), "common_{}.parquet"
)


def run(options: argparse.Namespace) -> int:
    """Convert the set that the options name; the exit code."""
    if options.set not in CONVERTERS:
        raise UserError(
            f"no conversion of {shown(options.set)}{alternatives(options.set, CONVERTERS)}. Other "
            "public sets are read as they are: `catalog` lists them"
        )
    CONVERTERS[options.set](options.source, options.target)
    return 0


def convert_aliccp(source: Path, target: Path) -> None:
    """Ali-CCP's four files as four Parquet files in a new folder, in memory that does not grow.

    Each field is a column. Samples name their user's visit by `common_feature_index`, as in the
    original, with the split before it, as each split numbers its own. Samples with a buy and no
    click, which cannot be, are left out and counted.

    Raises UserError for files that are not there, with file and line for one that cannot be read,
    and for a `target` that holds something.
    """
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f"OUT must be a new or an empty folder; {target} holds something")
    found = [
        (shape, split, _found(source, shape.file.format(split)))
        for split in ("train", "test")
        for shape in (COMMON, SAMPLES)
    ]
    with replacing(target) as folder, bar_of(open_console()) as progress:
        folder.mkdir()
        lines = []
        for shape, split, path in found:
            bar = progress.add_task(path.name, total=path.stat().st_size)
            name = shape.to.format(split)
            done = _convert(path, folder / name, shape, split, partial(progress.advance, bar))
            lines.append(f"{name}: {done.kept:,} rows" + done.words())
    print("\n".join(f"{target}/{line}" for line in lines))
    print(f"python -m studies.data catalog aliccp --copy {target / 'dataset.toml'}")


CONVERTERS: Mapping[str, Callable[[Path, Path], None]] = {"aliccp": convert_aliccp}


class Done(NamedTuple):
    """How many rows of a file were written, and how many were left out."""

    kept: int
    left_out: int

    def words(self) -> str:
        """What to add to a line about the file."""
        return f"; {self.left_out:,} with a buy and no click left out" if self.left_out else ""


def _found(folder: Path, name: str) -> Path:
    paths = sorted(folder.rglob(name))
    if len(paths) != 1:
        raise UserError(f"one file {name} must be below {folder}; found {len(paths) or 'none'}")
    return paths[0]


def _convert(
    path: Path, to: Path, shape: Shape, split: str, advance: Callable[[int], object]
) -> Done:
    kept = left_out = held = 0
    columns: dict[str, list[Any]] = {name: [] for name in shape.schema.names}
    with pq.ParquetWriter(to, shape.schema) as writer:

        def flush() -> None:
            writer.write_table(pa.table(columns, shape.schema))
            for values in columns.values():
                values.clear()

        for row in _rows(path, shape, split, advance):
            if row.get("buy") == 1 and row["click"] == 0:
                left_out += 1
                continue
            kept += 1
            for name, values in columns.items():
                values.append(row.get(name))
            held += sum(len(v) if isinstance(v, list) else 1 for v in row.values())
            if held >= VALUES:
                flush()
                held = 0
        flush()
    return Done(kept, left_out)


def _rows(
    path: Path, shape: Shape, split: str, advance: Callable[[int], object]
) -> Iterator[dict[str, Any]]:
    read = 0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                try:
                    yield _row(line.decode().rstrip("\r\n"), shape, split)
                except ValueError as error:
                    raise UserError(f"{path}, line {number}: {error}") from error
                read += len(line)
                if number % _TOLD == 0:
                    advance(read)
                    read = 0
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from error


def _row(line: str, shape: Shape, split: str) -> dict[str, Any]:
    """One line by column; ValueError that says what is wrong with it."""
    *head, features = line.split(",")
    if len(head) != len(shape.head):
        raise ValueError(f"{len(shape.head) + 1} values are needed; got {len(head) + 1}")
    row: dict[str, Any] = dict(zip(shape.head[:-1], head, strict=False))
    for name in LABELS:
        if name in row:
            if row[name] not in ("0", "1"):
                raise ValueError(f"{name} must be 0 or 1; got {row[name]!r:.60}")
            row[name] = int(row[name])
    row[INDEX] = f"{split}:{row[INDEX]}"
    for feature in features.split("\x01") if features else ():
        field, *rest = feature.split("\x02")
        value, *weight = rest[0].split("\x03") if len(rest) == 1 else ("",)
        if not value or len(weight) != 1:
            raise ValueError(f"a feature must be FIELD\\x02VALUE\\x03WEIGHT; got {feature!r:.60}")
        if field in shape.lists:
            row.setdefault(field, []).append(value)
        elif field in shape.single:
            row[field] = value
        else:
            there = alternatives(field, (*shape.single, *shape.lists))
            raise ValueError(f"no field {field!r:.60} in such a file{there}")
        if field in shape.weighted:
            row[f"{field}_weight"] = _number(weight[0])
    return row


def _number(text: str) -> float:
    if not isfinite(number := float(text)):
        raise ValueError(f"a weight must be a number; got {text!r:.60}")
    return number
