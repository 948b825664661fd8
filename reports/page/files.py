"""A report as files: page, PDF, numbers, and figures and tables for one's own paper."""

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from fsmd.errors import UserError
from fsmd.writing import write
from reports.page.html import html
from reports.page.model import Outline, Report, Table, TableCell
from reports.page.pdf import pdf
from reports.words import DASH, MINUS

Files = tuple[tuple[str, bytes], ...]
"""Name (below a report's folder) and content of each."""

_FORMULA = re.compile("(?![+-]\\d+(\\.\\d+)?%?$)\\s*[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20]")
"""How text begins that is no number, and that a spreadsheet may run; wide signs are such too."""
_INTERVAL = re.compile(r"\[(\S+), (\S+)\]$")

LONG_TABLE = 40
"""Rows above which a LaTeX table runs over several pages."""
LONG_TEXT = 20
"""Letters above which a cell of a LaTeX table may take several lines."""

_ESCAPES = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "[": "{[}",  # else \\ in front of it would take it for its argument
    "]": "{]}",
    "*": "{*}",  # else it would take it for its own star
    MINUS: "$-$",
    DASH: "--",
    "±": r"$\pm$",
    "\u00d7": r"$\times$",
    "\u2264": r"$\leq$",
}


def files_of(outline: Outline) -> Files:
    """All that is written; the page last, which so never describes numbers that are not there."""
    texts = outline.measurements.select_dtypes(exclude="number").apply(
        lambda column: column.map({text: _harmless(text) for text in column.unique()})
    )
    quoting = _quoting(text for column in texts for text in texts[column].unique())
    table = outline.measurements.assign(**texts).to_csv(
        index=False, lineterminator="\n", quoting=quoting
    )
    return (
        ("results.csv", table.encode()),
        *standalone_files(outline.report, outline.summary),
    )


def standalone_files(report: Report, summary: Mapping[str, Any]) -> Files:
    """As `files_of`, of a report without measurements of its own."""
    return (
        ("summary.json", (json.dumps(summary, indent=2) + "\n").encode()),
        *figure_and_table_files(report),
        ("report.pdf", pdf([report])),
        ("report.html", html(report).encode()),
    )


def figure_and_table_files(report: Report) -> Files:
    """Each figure as SVG and PDF, each table as CSV and LaTeX."""
    contents: list[tuple[str, bytes]] = []
    for figure in report.figures:
        contents.append((f"figures/{figure.key}.svg", figure.svg.encode()))
        contents.append((f"figures/{figure.key}.pdf", figure.pdf))
    for table in report.tables:
        contents.append((f"tables/{table.key}.csv", to_csv(table).encode()))
        contents.append((f"tables/{table.key}.tex", to_latex(table, report.study).encode()))
    return tuple(contents)


# Writing


def save(files: Files, folder: Path) -> None:
    """Write all files; figures and tables of an earlier report that this one lacks are removed.

    Each file is replaced as a whole. Raises UserError for a folder that cannot be written.
    """
    try:
        for name, content in files:
            write(folder / name, content)
        kept = dict(files)
        for old in (*folder.glob("figures/*"), *folder.glob("tables/*")):
            hidden = old.name.startswith(".")  # what another process writes right now
            if f"{old.parent.name}/{old.name}" not in kept and not hidden:
                old.unlink()
    except OSError as error:
        raise UserError(f"--out must be a folder that can be written; {error}") from error


# Tables as CSV


def to_csv(table: Table) -> str:
    """One line a row; an interval's ends and other small lines in columns of their own."""
    columns = [_column(name, [r[i] for r in table.rows]) for i, name in enumerate(table.columns)]
    lines = [
        [_harmless(_number(text)) for texts in line for text in texts]
        for line in zip(*columns, strict=True)
    ]
    buffer, quoting = io.StringIO(), _quoting(text for line in lines for text in line)
    csv.writer(buffer, lineterminator="\n", quoting=quoting).writerows(lines)
    return buffer.getvalue()


def _quoting(texts: Iterable[object]) -> Literal[0, 2]:
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
    if re.fullmatch(rf"[{MINUS}+]?\d[\d,]*(\.\d+)?", text):
        return text.replace(",", "").replace(MINUS, "-")
    return text


def _harmless(value: Any) -> Any:
    """Text that a spreadsheet would run as a formula, with an apostrophe in front (OWASP)."""
    is_formula = isinstance(value, str) and _FORMULA.match(value)
    return f"'{value}" if is_formula else value


# Tables as LaTeX


def to_latex(table: Table, study: str) -> str:
    r"""A table for \input; needs the package booktabs, and longtable if it is long."""
    columns = "l" + "r" * (len(table.columns) - 1)
    if any(len(cell.text) > LONG_TEXT for row in table.rows for cell in row[1:]):
        columns = "l" + "".join(_alignment(table, i) for i in range(1, len(table.columns)))
    head = " & ".join(escaped(name) for name in table.columns)
    body = [" & ".join(_latex_cell(cell) for cell in row) + r" \\" for row in table.rows]
    caption = f"\\caption{{{escaped(table.caption)}}}"
    label = f"\\label{{tab:{re.sub('[^A-Za-z0-9:.-]', '-', f'{study}-{table.key}')}}}"
    rules = [r"\toprule", rf"{head} \\", r"\midrule"]
    if len(table.rows) > LONG_TABLE:
        lines = [f"\\begin{{longtable}}{{{columns}}}", rf"{caption}{label} \\", *rules]
        lines += [r"\endhead", *body, r"\bottomrule", r"\end{longtable}"]
    else:
        lines = [r"\begin{table}", r"\centering", caption, label]
        lines += [f"\\begin{{tabular}}{{{columns}}}", *rules, *body]
        lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _alignment(table: Table, column: int) -> str:
    """Long text runs over several lines, in what room the other columns leave."""
    if all(len(row[column].text) <= LONG_TEXT for row in table.rows):
        return "r"
    return "p{0.7\\linewidth}" if len(table.columns) == 2 else "p{0.4\\linewidth}"


def escaped(text: str) -> str:
    r"""Text that LaTeX prints as it stands.

    >>> escaped("50% of a_b")
    '50\\% of a\\_b'
    """
    return "".join(_ESCAPES.get(character, character) for character in text)


def _latex_cell(cell: TableCell) -> str:
    text = escaped(cell.text)
    lines = [f"\\textbf{{{text}}}" if cell.strong else text]
    lines += [f"{{\\scriptsize {escaped(note)}}}" for note in cell.notes]
    return lines[0] if len(lines) == 1 else "\\shortstack[r]{" + r" \\ ".join(lines) + "}"
