"""A report as files: page, PDF, numbers, and figures and tables for one's own paper."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain, islice
from pathlib import Path
from typing import Any

from fsmd.errors import UserError
from fsmd.writing import replacing
from reports.page.csv_files import measurements_csv, to_csv
from reports.page.html import html
from reports.page.model import Outline, Report, Table, TableCell
from reports.page.pdf import pdf
from reports.words import DASH, MINUS

Content = bytes | Iterable[bytes]
"""Of a file, as a whole or in parts."""
Files = tuple[tuple[str, Content], ...]
"""Name (below a report's folder) and content of each; what is large is made as it is written."""

_AT_ONCE = 100_000
"""Parts of JSON that are text at once."""
LONG_TABLE = 40
"""Rows above which a LaTeX table runs over several pages."""
LONG_TEXT = 20
"""Letters above which a cell of a LaTeX table may take several lines."""

_ESCAPES = str.maketrans(
    {
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
)


def files_of(outline: Outline) -> Files:
    """All that is written; the page last, which so never describes numbers that are not there."""
    return (
        ("results.csv", measurements_csv(outline.measurements)),
        *standalone_files(outline.report, outline.summary),
    )


def standalone_files(report: Report, summary: Mapping[str, Any]) -> Files:
    """As `files_of`, of a report without measurements of its own."""
    page = html(report).encode()  # before the PDF: what typst takes of memory it keeps
    return (
        ("summary.json", _json(summary)),
        *figure_and_table_files(report),
        ("report.pdf", pdf([report])),
        ("report.html", page),
    )


def _json(summary: Mapping[str, Any]) -> Iterator[bytes]:
    parts = chain(json.JSONEncoder(indent=2).iterencode(summary), "\n")
    while text := "".join(islice(parts, _AT_ONCE)):
        yield text.encode()


def figure_and_table_files(report: Report) -> Files:
    """Each figure as SVG and PDF, each table as CSV and LaTeX."""
    contents: list[tuple[str, Content]] = []
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
            with replacing(folder / name) as fresh, fresh.open("wb") as file:
                file.writelines([content] if isinstance(content, bytes) else content)
        kept = dict(files)
        for old in (*folder.glob("figures/*"), *folder.glob("tables/*")):
            hidden = old.name.startswith(".")  # what another process writes right now
            if f"{old.parent.name}/{old.name}" not in kept and not hidden:
                old.unlink()
    except OSError as error:
        raise UserError(f"--out must be a folder that can be written; {error}") from error


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
    return text.translate(_ESCAPES)


def _latex_cell(cell: TableCell) -> str:
    text = escaped(cell.text)
    lines = [f"\\textbf{{{text}}}" if cell.strong else text]
    lines += [f"{{\\scriptsize {escaped(note)}}}" for note in cell.notes]
    return lines[0] if len(lines) == 1 else "\\shortstack[r]{" + r" \\ ".join(lines) + "}"
