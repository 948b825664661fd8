"""What the page and the PDF show: frozen values, already in words; computed once, drawn twice."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One cell of a table: its text, smaller lines below it, and whether it stands out."""

    text: str
    notes: tuple[str, ...] = ()
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A numbered table; the first column names the row."""

    number: int
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class FigureView:
    """A numbered figure as SVG, for a wide page and for a phone."""

    key: str
    number: int
    caption: str
    alt: str
    svg: str
    svg_narrow: str


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
class ReportModel:
    """The whole report."""

    study: str
    title: str
    question: str
    headline: str
    notices: tuple[str, ...]
    claims: tuple[ClaimView, ...]
    factor: tuple[str, ...]
    levels: FigureView
    level_table: Table
    differences: FigureView | None
    difference_table: Table | None
    curves: FigureView
    other_table: Table
    failures: tuple[FailureView, ...]
    facts: tuple[Fact, ...]
    base_table: Table
    commands: tuple[Fact, ...]
    reading: tuple[str, ...]
    joint_table: Table | None
