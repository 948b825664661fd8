"""What the page and the PDF show: frozen values, already in words; computed once, drawn twice."""

from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, smaller lines below it, and whether it stands out."""

    text: str
    notes: tuple[str, ...] = ()
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A numbered table; the first column names the row, the key its file."""

    number: int
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    key: str = ""


@dataclass(frozen=True)
class FigureView:
    """A numbered figure as SVG, for a wide page and for a phone, and as a PDF file."""

    key: str
    number: int
    caption: str
    alt: str
    svg: str
    svg_narrow: str
    pdf: bytes


@dataclass(frozen=True)
class ClaimView:
    """The paper's sentence, what was found and the verdict: holds, fails or undecided."""

    id: str
    text: str
    source: str
    rule: str
    found: str
    verdict: str


@dataclass(frozen=True)
class FailureView:
    """A training that did not finish."""

    heading: str
    error: str
    traceback: str


@dataclass(frozen=True)
class Fact:
    """One line of what ran."""

    label: str
    value: str


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, in this order; the tables folded if they are long."""

    heading: str
    sentences: tuple[str, ...] = ()
    figures: tuple[FigureView, ...] = ()
    tables: tuple[Table, ...] = ()
    folded: bool = False
    blocks: tuple[Fact, ...] = ()
    """Text to copy as it stands, each under its label."""


def numbered(
    sections: Sequence[Section], figures: int = 0, tables: int = 0
) -> tuple[tuple[Section, ...], int]:
    """Figures and tables numbered through the report; also the number of tables."""
    done = []
    for section in sections:
        drawn = tuple(replace(f, number=figures + i) for i, f in enumerate(section.figures, 1))
        told = tuple(replace(t, number=tables + i) for i, t in enumerate(section.tables, 1))
        figures, tables = figures + len(drawn), tables + len(told)
        done.append(replace(section, figures=drawn, tables=told))
    return tuple(done), tables


@dataclass(frozen=True)
class ReportModel:
    """The whole report."""

    study: str
    title: str
    question: str
    headline: str
    notices: tuple[str, ...]
    claims: tuple[ClaimView, ...]
    paper: tuple[Fact, ...]
    sections: tuple[Section, ...]
    failures: tuple[FailureView, ...]
    facts: tuple[Fact, ...]
    base_table: Table
    commands: tuple[Fact, ...]
    reading: tuple[str, ...]

    @property
    def figures(self) -> tuple[FigureView, ...]:
        """All figures, in order."""
        return tuple(figure for section in self.sections for figure in section.figures)

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, in order."""
        return (*(t for section in self.sections for t in section.tables), self.base_table)


@dataclass(frozen=True)
class IndexEntry:
    """A stored study in the list of all: what was asked and what was found."""

    study: str
    title: str
    question: str
    data: str
    replicates: int
    headline: str
    claims: tuple[ClaimView, ...]
    findings: tuple[str, ...]
    """What was found where nothing was claimed."""
    unfinished: str
    """Why there is no report; empty where there is one."""


@dataclass(frozen=True)
class IndexModel:
    """The list of all studies of a database."""

    title: str
    headline: str
    entries: tuple[IndexEntry, ...]
