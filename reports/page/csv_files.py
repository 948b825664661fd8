"""Tables and measurements as CSV, for spreadsheets and programs."""

import csv
import re
from collections.abc import Iterable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from reports.page.model import Table, TableCell
from reports.words import MINUS

_FORMULA = re.compile("(?![+-]\\d+(\\.\\d+)?%?$)\\s*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
"""How text begins that is no number, and that a spreadsheet may run; wide signs are such too."""
_INTERVAL = re.compile(r"\[(\S+), (\S+)\]$")
_NUMBER = re.compile(rf"[{MINUS}+]?\d[\d,]*(\.\d+)?")
Quoting = Literal[0, 2]
_AT_ONCE = 100_000
"""Measurements that are text at once."""


def to_csv(table: Table) -> str:
    """One line a row; an interval's ends and other small lines in columns of their own."""
    columns = [_column(name, [r[i] for r in table.rows]) for i, name in enumerate(table.columns)]
    lines = [
        [_harmless(_number(text)) for texts in line for text in texts]
        for line in zip(*columns, strict=True)
    ]
    return _text(lines, _quoting(text for line in lines for text in line))


def measurements_csv(frame: pd.DataFrame) -> Iterator[bytes]:
    """The whole file, a part at a time.

    What many rows have in common, their training or what was measured, is made text once: pandas
    takes ten times as long.
    """
    texts = frame.select_dtypes(exclude="number")
    quoting = _quoting(_harmless(text) for name in texts for text in texts[name].unique())
    yield _text([frame.columns], quoting).encode()
    last = frame.columns.get_loc("epoch")
    for start in range(0, len(frame), _AT_ONCE):
        part = frame.iloc[start : start + _AT_ONCE]
        columns = (part.iloc[:, :last], part.iloc[:, last:-1])
        begins = [_begins(each, quoting) for each in columns]
        lines = pc.binary_join_element_wise(*begins, _numbers(part.iloc[:, -1]), "\n", "")
        yield bytes(lines.buffers()[2])


def _begins(part: pd.DataFrame, quoting: Quoting) -> pa.Array:
    """Several columns of each row, as they stand in a line."""
    whole_N = np.zeros(len(part), np.int64)
    for name in part:
        column = part[name].array
        code_N = column.codes if isinstance(column, pd.Categorical) else pd.factorize(column)[0]
        whole_N = whole_N * (int(code_N.max()) + 1) + code_N
    which_N, _ = pd.factorize(whole_N)
    first_U = np.flatnonzero(np.diff(np.maximum.accumulate(which_N), prepend=-1))
    told = part.iloc[first_U].astype(object).map(_harmless).to_numpy().tolist()
    texts = [line[:-1] + "," for line in _lines(told, quoting)]
    return pa.array(texts).take(pa.array(which_N))


def _numbers(values: "pd.Series[float]") -> pa.Array:
    """As Python writes them; Arrow, which is quicker, writes whole and very small or large numbers
    in another way.

    >>> _numbers(pd.Series([0.1 + 0.2, 1e-05, 12345678901.5, 3.0])).to_pylist()
    ['0.30000000000000004', '1e-05', '12345678901.5', '3.0']
    """
    value_N = values.to_numpy()
    size_N = np.abs(value_N)
    is_own_N = (size_N < 1e-4) | (size_N >= 1e9) | (value_N == np.round(value_N))
    own = pa.array([repr(value) for value in value_N[is_own_N].tolist()], pa.string())
    return pc.replace_with_mask(pc.cast(pa.array(value_N), pa.string()), pa.array(is_own_N), own)


def _text(lines: Iterable[Iterable[object]], quoting: Quoting) -> str:
    return "".join(_lines(lines, quoting))


def _lines(lines: Iterable[Iterable[object]], quoting: Quoting) -> list[str]:
    """Each as its text, which may run over several lines of the file."""
    texts = list[str]()
    file = SimpleNamespace(write=texts.append)
    csv.writer(file, lineterminator="\n", quoting=quoting).writerows(lines)
    return texts


def _quoting(texts: Iterable[object]) -> Quoting:
    """All texts in quotes where one has a semicolon: some spreadsheets begin a cell behind it."""
    has_semicolon = any(isinstance(text, str) and ";" in text for text in texts)
    return csv.QUOTE_NONNUMERIC if has_semicolon else csv.QUOTE_MINIMAL


def _column(name: str, cells: Sequence[TableCell]) -> list[list[str]]:
    """A column and those that its small lines need, heading first."""
    intervals = [_INTERVAL.match(cell.notes[0]) if cell.notes else None for cell in cells]
    ends = [list(interval.groups()) if interval else ["", ""] for interval in intervals]
    notes = [list(c.notes[bool(i) :]) for c, i in zip(cells, intervals, strict=True)]
    more = max(map(len, notes), default=0)
    lines = [[name, f"{name}, low", f"{name}, high"]]
    lines += [[cell.text, *both] for cell, both in zip(cells, ends, strict=True)]
    if not any(intervals):
        lines = [line[:1] for line in lines]
    smaller = [[f"{name}, note {i}" for i in range(1, more + 1)], *notes]
    return [
        [*line, *rest, *[""] * (more - len(rest))]
        for line, rest in zip(lines, smaller, strict=True)
    ]


def _number(text: str) -> str:
    """`123,456` and a true minus as other programs read them."""
    if _NUMBER.fullmatch(text):
        return text.replace(",", "").replace(MINUS, "-")
    return text


def _harmless(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula, with an apostrophe in front (OWASP)."""
    is_formula = isinstance(value, str) and _FORMULA.match(value)
    return f"'{value}" if is_formula else value
