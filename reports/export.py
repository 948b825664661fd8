"""A report's figures and tables as files for one's own paper: SVG, PDF, CSV, LaTeX."""

import csv
import io
import re

from reports.model import Cell, ReportModel, Table
from reports.words import DASH, MINUS

_INTERVAL = re.compile(r"\[(\S+), (\S+)\]$")

LONG = 40
"""Rows above which a LaTeX table runs over several pages."""

_ESCAPES = {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "&%$#_{}"},
    "[": "{[}", "]": "{]}",  # else \\ in front of it would take it for its argument
    MINUS: "$-$", DASH: "--", "±": r"$\pm$", "\u00d7": r"$\times$", "\u2264": r"$\leq$",
}  # fmt: skip


def files(model: ReportModel) -> tuple[tuple[str, bytes], ...]:
    """Name and content of each."""
    made: list[tuple[str, bytes]] = []
    for figure in model.figures:
        made += [
            (f"figures/{figure.key}.svg", figure.svg.encode()),
            (f"figures/{figure.key}.pdf", figure.pdf),
        ]
    for table in model.tables:
        made += [
            (f"tables/{table.key}.csv", to_csv(table).encode()),
            (f"tables/{table.key}.tex", to_latex(table, model.study).encode()),
        ]
    return tuple(made)


def to_csv(table: Table) -> str:
    """One line a row; an interval's ends and other small lines in columns of their own."""
    columns = [_column(name, [row[i] for row in table.rows])
               for i, name in enumerate(table.columns)]  # fmt: skip
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    for line in zip(*columns, strict=True):
        writer.writerow(text for cell in line for text in cell)
    return buffer.getvalue()


def _column(name: str, cells: list[Cell]) -> list[list[str]]:
    """A column and those that its small lines need, heading first."""
    intervals = [_INTERVAL.match(cell.notes[0]) if cell.notes else None for cell in cells]
    has_interval = any(intervals)
    rest = [cell.notes[1 if interval else 0 :] for cell, interval in
            zip(cells, intervals, strict=True)]  # fmt: skip
    more = max(map(len, rest), default=0)
    head = [name, *([f"{name}, low", f"{name}, high"] if has_interval else []),
            *(f"{name}, note {i}" for i in range(1, more + 1))]  # fmt: skip
    lines = [head]
    for cell, interval, notes in zip(cells, intervals, rest, strict=True):
        ends = (interval.groups() if interval else ("", "")) if has_interval else ()
        texts = (cell.text, *ends, *notes, *[""] * (more - len(notes)))
        lines.append([_number(text) for text in texts])
    return lines


def to_latex(table: Table, study: str) -> str:
    r"""A table for \input; needs the package booktabs, and longtable if it is long."""
    columns = "l" + "r" * (len(table.columns) - 1)
    if any(len(cell.text) > 20 for row in table.rows for cell in row[1:]):
        columns = "l" + "".join(_alignment(table, i) for i in range(1, len(table.columns)))
    head = " & ".join(escaped(name) for name in table.columns)
    body = [" & ".join(_cell(cell) for cell in row) + r" \\" for row in table.rows]
    caption = f"\\caption{{{escaped(table.caption)}}}"
    label = f"\\label{{tab:{re.sub('[^A-Za-z0-9:.-]', '-', f'{study}-{table.key}')}}}"
    if len(table.rows) > LONG:
        lines = [
            f"\\begin{{longtable}}{{{columns}}}", rf"{caption}{label} \\",
            r"\toprule", rf"{head} \\", r"\midrule", r"\endhead", *body, r"\bottomrule",
            r"\end{longtable}",
        ]  # fmt: skip
    else:
        lines = [
            r"\begin{table}", r"\centering", caption, label, f"\\begin{{tabular}}{{{columns}}}",
            r"\toprule", rf"{head} \\", r"\midrule", *body, r"\bottomrule",
            r"\end{tabular}", r"\end{table}",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _alignment(table: Table, column: int) -> str:
    """Long text runs over several lines, in what room the other columns leave."""
    if all(len(row[column].text) <= 20 for row in table.rows):
        return "r"
    return "p{0.7\\linewidth}" if len(table.columns) == 2 else "p{0.4\\linewidth}"


def escaped(text: str) -> str:
    r"""Text that LaTeX prints as it stands.

    >>> escaped("50% of a_b")
    '50\\% of a\\_b'
    """
    return "".join(_ESCAPES.get(character, character) for character in text)


def _cell(cell: Cell) -> str:
    text = escaped(cell.text)
    lines = [f"\\textbf{{{text}}}" if cell.strong else text]
    lines += [f"{{\\scriptsize {escaped(note)}}}" for note in cell.notes]
    return lines[0] if len(lines) == 1 else "\\shortstack[r]{" + r" \\ ".join(lines) + "}"


def _number(text: str) -> str:
    """`123,456` and a true minus as other programs read them."""
    if re.fullmatch(rf"[{MINUS}+]?\d[\d,]*(\.\d+)?", text):
        return text.replace(",", "").replace(MINUS, "-")
    return text
