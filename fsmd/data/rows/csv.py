"""Files of text: the names of their columns, and their rows in batches, all values as text.

No type is guessed: a guess eats leading zeros, and changes with the rows that come first.
"""

import csv
import gzip
import io
import re
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import ConvertOptions, InvalidRow, ParseOptions, ReadOptions, open_csv

from fsmd.data.description.values import FileSet
from fsmd.data.rows.packed import is_packed
from fsmd.errors import UserError, shown

BLOCK = 2**22
"""Bytes read at once; no row may be longer."""

_LONGEST_NAMES = 500
"""Letters of a list of names to be copied."""

_CODED = pa.dictionary(pa.int32(), pa.string())
_UNIT = "\x1f"  # stands for a separator of several letters: Arrow wants one
_LOST = "\N{REPLACEMENT CHARACTER}"
_MARK = "\N{ZERO WIDTH NO-BREAK SPACE}"  # which Excel begins a file with
_ENCODING = "set `encoding` (of describe: --encoding), such as latin-1"


def names(path: Path, files: FileSet) -> tuple[str, ...]:
    """Of the columns, as the description has them, or the header; UserError for one that is twice.

    Without either, column_0, column_1, ...
    """
    return _start(path, files)[0]


def replaced(path: Path, files: FileSet) -> tuple[str, ...]:
    """Names of a header in whose place others are given; empty where there is none."""
    return tuple(_first(path, files)[0]) if files.header and files.columns else ()


def batches(
    path: Path,
    files: FileSet,
    names: Sequence[str],
    columns: Sequence[str],
    coded: Collection[str],
) -> Iterator[pa.RecordBatch]:
    """The rows in order, these columns of those named `names`; a missing value is a null.

    coded: columns that come as dictionaries of their texts, where one may be twice or null.

    Raises UserError with row, column and value for what is no row of such a file.
    """
    _, skipped = _start(path, files)
    header = _first(path, files)[0] if files.header else []
    types = {name: _CODED if name in coded else pa.string() for name in names}
    if files.comment:
        types[names[0]] = pa.string()  # to be looked at
    comments = done = 0

    def judge(row: InvalidRow) -> str:
        nonlocal comments
        is_comment = row.text.startswith(files.comment)
        comments += is_comment
        return "skip" if is_comment else "error"

    try:
        with closing(_bytes(path, files)) as source:
            for batch in _opened(path, files, source, types, skipped, judge):
                if files.comment:
                    starts = pc.fill_null(pc.starts_with(batch.column(0), files.comment), False)
                    comments += pc.sum(starts, min_count=0).as_py()
                    batch = batch.filter(pc.invert(starts))
                if not files.multiline:
                    _check_lines(path, batch, done)
                _check_no_header(path, files, batch, header, done)
                done += batch.num_rows
                yield _with_nulls(batch.select(list(columns or names[:1])), files)
    except (pa.ArrowInvalid, UnicodeError) as error:
        # Of the line among the file's, blank ones left out, from 1.
        number = re.search(r"Row #(\d+)", str(error))
        row = done if number is None else int(number[1]) - 1 - skipped - comments
        _raise(path, files, names, row, error)


def _opened(
    path: Path,
    files: FileSet,
    source: Any,
    types: Mapping[str, pa.DataType],
    skipped: int,
    judge: Callable[[InvalidRow], str],
) -> Iterable[pa.RecordBatch]:
    nulls = () if files.strip else files.missing
    is_utf8 = _is_utf8(files) or isinstance(source, _Separated)
    try:
        reader: Iterable[pa.RecordBatch] = open_csv(
            source,
            ReadOptions(
                use_threads=False,
                block_size=BLOCK,
                column_names=list(types),
                skip_rows=skipped,
                encoding="utf8" if is_utf8 else files.encoding,
            ),
            ParseOptions(
                delimiter=_letter(path, files),
                newlines_in_values=files.multiline,
                # Called without need, it prints a traceback for a row that is not UTF-8.
                invalid_row_handler=judge if files.comment else None,
            ),
            ConvertOptions(
                column_types=types,
                null_values=list(nulls),
                strings_can_be_null=bool(nulls),
                quoted_strings_can_be_null=True,
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV file" in str(error) or "Could not skip initial" in str(error):
            return ()  # no rows behind the header
        raise
    return reader


def _with_nulls(batch: pa.RecordBatch, files: FileSet) -> pa.RecordBatch:
    """Blanks off, then nulls for texts that mean nothing; the reader does it where none go off."""
    if not files.strip:
        return batch
    nothing = pa.array(files.missing, pa.string())

    def bare(column: pa.Array) -> pa.Array:
        if pa.types.is_dictionary(column.type):
            return pa.DictionaryArray.from_arrays(column.indices, bare(column.dictionary))
        text = pc.utf8_trim_whitespace(column)
        return pc.if_else(pc.is_in(text, nothing), pa.scalar(None, pa.string()), text)

    return pa.RecordBatch.from_arrays(list(map(bare, batch.columns)), names=batch.schema.names)


def _check_lines(path: Path, batch: pa.RecordBatch, done: int) -> None:
    """Raise UserError for a text with a line end: at the end of a block it would tear a row."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        texts = column.dictionary if pa.types.is_dictionary(column.type) else column
        content = texts.buffers()[2]
        byte = np.frombuffer(content, np.uint8) if content is not None else np.zeros(0, np.uint8)
        if not ((byte == 10) | (byte == 13)).any():
            continue
        column = column.cast(pa.string())
        found = pc.match_substring_regex(column, "[\r\n]").to_numpy(zero_copy_only=False) == True  # noqa: E712
        if found.any():
            i = int(found.argmax())
            raise _with_line_end(path, done + i, name, column[i].as_py())


def _check_no_header(
    path: Path, files: FileSet, batch: pa.RecordBatch, header: Sequence[str], done: int
) -> None:
    """Raise UserError for a row that is the header again, of files that were put together."""

    def bare(text: str | None) -> str | None:
        """As the reader leaves it at the last, without the mark of a file that is put behind."""
        text = text or ""
        text = text[1:].strip('"') if text.startswith(_MARK) else text
        text = text.strip() if files.strip else text
        return None if text in files.missing else text or None

    names = [*map(bare, header)]
    told = [(i, name) for i, name in enumerate(names) if name is not None]
    if len(told) < 2 or all(name.isdecimal() for _, name in told):
        return  # a value may well be the name of its column

    def texts(column: pa.Array) -> pa.Array:
        found = column.dictionary if isinstance(column, pa.DictionaryArray) else column
        return pc.utf8_trim_whitespace(found) if files.strip else found

    last, name = told[-1]
    if pc.index(texts(batch.column(last)), name).as_py() < 0:
        return  # nearly always
    row_R = np.arange(batch.num_rows)
    for i, name in reversed(told):
        column = batch.column(i).take(pa.array(row_R))
        spelt = [name] if i else [name, f"{_MARK}{name}", f'{_MARK}"{name}"']
        is_name = pc.is_in(texts(column), value_set=pa.array(spelt))
        if isinstance(column, pa.DictionaryArray):
            is_name = is_name.take(column.indices)
        row_R = row_R[np.flatnonzero(is_name.fill_null(False))]
    for row in row_R.tolist():
        if [bare(column[row].as_py()) for column in batch.columns] == names:
            raise UserError(
                f"{path}, row {done + row} (from 0): a row must not be the header again, as "
                "where files were put together; take it out"
            )


def _with_line_end(path: Path, row: int, name: str, value: str) -> UserError:
    return UserError(
        f"{path}, row {row} (from 0): column {name!r}: a quoted text must not hold a line end "
        f"unless `multiline = true` is set, or its quote is never closed; got {shown(value)}"
    )


def _raise(
    path: Path, files: FileSet, names: Sequence[str], row: int, error: Exception
) -> NoReturn:
    """The reader's error in our words."""
    where, text = f"{path}, row {row} (from 0)", str(error)
    ragged = re.search(r"Expected (\d+) columns, got (\d+): (.*)", text, re.DOTALL)
    if ragged:
        rule = f"a row must have {ragged[1]} values, as many as there are columns"
        line = shown(ragged[3].replace(_UNIT, _separator(path, files)))
        raise UserError(f"{where}: {rule}; got {ragged[2]}: {line}") from error
    if "straddling" in text:
        raise UserError(
            f"{where}: a row must be shorter than {BLOCK} bytes; this one is longer, or a quote "
            "in it is never closed"
        ) from error
    if "out of sync" in text:
        raise UserError(
            f"{path}, in or after row {row} (from 0): a quoted text must not hold a line end "
            "unless `multiline = true` is set, or its quote is never closed"
        ) from error
    if isinstance(error, UnicodeError) or "UTF8" in text:
        row, name, value = _undecodable(path, files, names)
        raise UserError(
            f"{path}, row {row} (from 0): column {name!r} must be text in {files.encoding}; got "
            f"{shown(value)}, where {_LOST} stands for what is none; {_ENCODING}"
        ) from error
    raise error


def _undecodable(path: Path, files: FileSet, names: Sequence[str]) -> tuple[int, str, str]:
    """The first value that is no text in the encoding: slow, and read only to tell of it."""
    with closing(_text(path, files)) as text:
        rows = (
            row
            for row in csv.reader(_lines(path, text, files), delimiter=_letter(path, files))
            if row
        )
        if files.header:
            next(rows, None)
        for i, row in enumerate(rows):
            for name, value in zip(names, row, strict=False):
                if _LOST in value:
                    return i, name, value
    return 0, names[0], ""


def _first(path: Path, files: FileSet) -> tuple[list[str], int]:
    """The first line that is no comment, a header or a row, and the lines up to its end."""
    lines = 0

    def counted() -> Iterator[str]:
        nonlocal lines
        for line in _lines(path, text, files):
            lines += 1
            if not (files.comment and line.startswith(files.comment)):
                yield line

    with closing(_text(path, files)) as text:
        reader = csv.reader(counted(), delimiter=_letter(path, files))
        try:
            first = next((row for row in reader if row), None)
        except csv.Error as error:
            raise UserError(f"{path}: the first line cannot be read ({error})") from error
        except UnicodeError as error:  # some encodings have no replacement for bytes that are none
            raise UserError(
                f"{path}: the first line must be text in {files.encoding} ({error}); {_ENCODING}"
            ) from error
    if first is None:
        raise UserError(f"{path} is empty; a file of a log has rows, or a header at least")
    return first, lines


def _start(path: Path, files: FileSet) -> tuple[tuple[str, ...], int]:
    """The columns' names, and the lines of the file before the first row."""
    first, lines = _first(path, files)
    if not files.header:
        return files.columns or tuple(f"column_{i}" for i in range(len(first))), 0
    if files.columns:
        if len(files.columns) != len(first):
            raise UserError(
                f"{path}: `columns` (of describe: --columns) must name all of the header's "
                f"{len(first)} columns; it names {len(files.columns)}"
            )
        return files.columns, lines
    _check_names(path, first, files)
    found = [name.strip() for name in first] if files.strip else first
    return tuple(found), lines


def _check_names(path: Path, found: Sequence[str], files: FileSet) -> None:
    for name, times in Counter(found).items():
        if times > 1:
            raise UserError(
                f"{path}: the header has column {name!r} {times} times; each name must be there "
                "once, or set `header = true` and `columns` (of describe: --header --columns) to "
                f"name all of them anew{_apart(found)}"
            )
        if _LOST in name or "\0" in name:
            raise UserError(
                f"{path}: the header must be text in {files.encoding}; got {shown(name)}; "
                f"{_ENCODING}"
            )
        if ("\n" in name or "\r" in name) and not files.multiline:
            raise UserError(
                f"{path}: the header's column {shown(name)} must not hold a line end unless "
                "`multiline = true` is set, or its quote is never closed"
            )


def _apart(found: Sequence[str]) -> str:
    """Different names for a header's, to be copied, where they are few and without commas."""
    counted = Counter[str]()
    anew = []
    for name in found:
        counted[name] += 1
        anew.append(name if counted[name] == 1 else f"{name}_{counted[name]}")
    given = ",".join(anew)
    is_fit = len(given) <= _LONGEST_NAMES and given.count(",") == len(found) - 1
    return f", such as {shlex.quote(given)}" if is_fit and len({*anew}) == len(found) else ""


def _lines(path: Path, text: io.TextIOWrapper, files: FileSet) -> Iterator[str]:
    """Lines that end somewhere, with separators of one letter."""
    several = _letter(path, files) == _UNIT
    while line := text.readline(BLOCK):
        if len(line) == BLOCK:
            raise UserError(f"{path}: a line must be shorter than {BLOCK} letters; one is longer")
        yield line.replace(_separator(path, files), _UNIT) if several else line


def _text(path: Path, files: FileSet) -> io.TextIOWrapper:
    encoding, file = "utf-8-sig" if _is_utf8(files) else files.encoding, _unpacked(path)
    try:
        return io.TextIOWrapper(file, encoding, errors="replace", newline="")
    except LookupError:
        file.close()
        raise UserError(
            f"{path}: `encoding` must be one that Python knows, such as utf-8 or latin-1; got "
            f"{encoding!r}"
        ) from None


def _bytes(path: Path, files: FileSet) -> "pa.NativeFile | _Separated":
    if _letter(path, files) == _UNIT:
        return _Separated(_unpacked(path), files.encoding, _separator(path, files))
    packed = is_packed(path)
    return pa.input_stream(str(path), compression="gzip" if packed else None)


class _Separated(io.RawIOBase):
    """A text in UTF-8 in which a byte takes the place of each separator of several."""

    def __init__(self, file: BinaryIO, encoding: str, separator: str) -> None:
        self.file, self.separator = io.TextIOWrapper(file, encoding, newline=""), separator
        self.rest = ""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes, and none only at the end."""
        # No letter has more than 4 bytes.
        content = self.file.read(max(size // 4 - len(self.rest), 1) if size >= 0 else -1)
        whole = (self.rest + content).replace(self.separator, _UNIT)
        # What may begin a separator waits for what follows.
        longest = len(self.separator) - 1 if content else 0
        kept = next(n for n in range(longest, -1, -1) if whole.endswith(self.separator[:n]))
        ready, self.rest = whole[: len(whole) - kept], whole[len(whole) - kept :]
        return self.read(size) if content and not ready else ready.encode()

    def close(self) -> None:
        self.file.close()
        super().close()


def _unpacked(path: Path) -> BinaryIO:
    return gzip.open(path) if is_packed(path) else path.open("rb")  # type: ignore[return-value]


def _is_utf8(files: FileSet) -> bool:
    return files.encoding.lower().replace("_", "-") in ("utf-8", "utf8", "utf-8-sig")


def _separator(path: Path, files: FileSet) -> str:
    return files.separator or ("\t" if ".tsv" in path.suffixes else ",")


def _letter(path: Path, files: FileSet) -> str:
    separator = _separator(path, files)
    return separator if len(separator) == 1 and separator.isascii() else _UNIT
