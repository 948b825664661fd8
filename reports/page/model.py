"""What the page and the PDF show: frozen values, already in words; computed once, drawn twice."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from textwrap import fill
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from matplotlib.figure import Figure

from fsmd.notices import say
from reports.page.style import width
from reports.page.svg import to_svg
from reports.page.typeset import figure_pdf
from studies.store.means import Means

if TYPE_CHECKING:
    import pandas as pd

Made = TypeVar("Made")


@dataclass(frozen=True)
class Bar:
    """A mean and its interval on an axis that all cells of a column share, as parts of its width.

    0 is the left end, 1 the right one.
    """

    mean: float
    low: float | None
    high: float | None
    """None, as `low`, where there is no interval."""
    mark: float | None = None
    """Where a line stands: the best, or no difference."""


@dataclass(frozen=True, slots=True)
class TableCell:
    """One cell of a table: its text, smaller lines below it, and whether it stands out."""

    text: str
    notes: tuple[str, ...] = ()
    strong: bool = False
    bar: Bar | None = None
    """Drawn below the text."""
    arm: str = ""
    """Of a row's first cell: the arm that the row is of, where the text is not its name."""


MOST_ROWS, MOST_ON_PAPER = 200, 100
"""Of a table, on a page and on paper, where each row takes a megabyte while it is set."""


@dataclass(frozen=True)
class Table:
    """A table; the first column names the row."""

    key: str
    """The name of its files."""
    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[TableCell, ...], ...]
    number: int = 0
    """Its place among the report's tables, from 1; `numbered` sets it."""

    @property
    def on_page(self) -> "Table":
        """As a page shows it: not more rows than somebody reads, and where the others are."""
        return self._first(MOST_ROWS)

    @property
    def on_paper(self) -> "Table":
        """As a PDF shows it, in the same way."""
        return self._first(MOST_ON_PAPER)

    def _first(self, most: int) -> "Table":
        if len(self.rows) <= most:
            return self
        first = f"The first {most} of {len(self.rows):,} rows; tables/{self.key}.csv has all."
        return replace(self, caption=f"{self.caption} {first}", rows=self.rows[:most])


@dataclass(frozen=True)
class FigureView:
    """A figure with its words, as SVG for a wide page and for a phone, and as a PDF file.

    Nothing is drawn before it is asked for.
    """

    key: str
    """The name of its files."""
    caption: str
    alt: str
    """For those who cannot see it; the first sentence is its title."""
    finding: str
    """One sentence: what is to be seen in it."""
    drawing: Callable[[bool], Figure] = field(repr=False, compare=False)
    """Draws it, narrow (for a phone) or not."""
    number: int = 0
    """Its place among the report's figures, from 1; `numbered` sets it."""

    @cached_property
    def svg(self) -> str:
        """For a wide page, and as a file."""
        return self._drawn(False)

    @cached_property
    def svg_narrow(self) -> str:
        """For a phone."""
        return self._drawn(True)

    @cached_property
    def pdf(self) -> bytes:
        """As a file."""
        return self._or_apology(lambda: figure_pdf(self.svg), figure_pdf, False)

    def _drawn(self, narrow: bool) -> str:
        return self._or_apology(lambda: to_svg(self.drawing(narrow)), str, narrow)

    def _or_apology(
        self, made: Callable[[], Made], of_svg: Callable[[str], Made], narrow: bool
    ) -> Made:
        """A figure that cannot be drawn costs the report nothing else."""
        try:
            return made()
        except Exception as error:
            return of_svg(to_svg(apology(fault_of(self.key, error), narrow)))


def fault_of(key: str, error: Exception) -> str:
    """What stands in the place of a figure that cannot be drawn; the user is told the cause."""
    say(f"the figure {key!r} cannot be drawn: {type(error).__name__}: {error}")
    return f"The figure “{key}” could not be drawn, as of a fault in its code or its data."


def apology(said: str, narrow: bool = False) -> Figure:
    """A sentence in the place of a figure."""
    figure = Figure(figsize=(width(narrow), 0.6))
    figure.text(0.01, 0.5, fill(said, 45 if narrow else 110), va="center")
    return figure


@dataclass(frozen=True)
class Answer:
    """What to do, in plain words: on top of the page and the PDF, in the list of all, at the end
    of the terminal's output and in the dashboard's note."""

    use: str
    """One short sentence: `Use diamond.`, or that nothing can be said yet."""
    sentences: tuple[str, ...] = ()
    """Gain, chance, cost, a cheaper choice, how sure; where nothing can be said, what would
    change that."""
    next: str = ""
    """What to run to be surer, and what that costs; empty where nothing is open."""
    command: str = ""
    """The command of `next`, to be copied."""

    @property
    def lines(self) -> tuple[str, ...]:
        """For a terminal, and for a note."""
        return tuple(filter(None, (self.use, *self.sentences, self.next, self.command)))


class PairCell(NamedTuple):
    """One arm minus another on one target, as it was measured."""

    mean: float
    low: float | None
    high: float | None
    """None, as `low`, where there is no interval."""
    word: str
    """What the first arm is, against the second: `better`, or another word of the tables."""


@dataclass(frozen=True)
class ComparedPairs:
    """Every two arms, for those who want to compare any of them."""

    arms: tuple[str, ...]
    headings: tuple[str, ...]
    """Of the targets."""
    digits: tuple[int, ...]
    """Decimals of a difference on each target."""
    cells: tuple[tuple[PairCell, ...] | None, ...]
    """Of each pair, in the order of `itertools.combinations`: on each target, or None where the
    two share no replicate."""


@dataclass(frozen=True)
class ClaimView:
    """The paper's sentence, what was found and the verdict: one of five (`Verdict`)."""

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
    """A line of text under a label."""

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


@dataclass(frozen=True, kw_only=True)
class Report:
    """A whole report; figures and tables are numbered by `numbered`."""

    study: str
    """The stored name."""
    title: str
    question: str
    headline: str
    answer: Answer = Answer("")
    pairs: ComparedPairs | None = None
    notices: tuple[str, ...]
    """What a reader must know to take the answer rightly."""
    claims: tuple[ClaimView, ...] = ()
    paper: tuple[Fact, ...] = ()
    """What the paper says, by its place there."""
    sections: tuple[Section, ...]
    failures: tuple[FailureView, ...]
    facts: tuple[Fact, ...]
    """What ran."""
    base_table: Table
    """What was held, and what was varied."""
    commands: tuple[Fact, ...]
    """How to get all of it again."""
    take_home: tuple[Fact, ...] = ()
    """How to get the model to use."""
    reading: tuple[str, ...]
    """How to read it."""

    @property
    def figures(self) -> tuple[FigureView, ...]:
        """All figures, in order."""
        return tuple(figure for section in self.sections for figure in section.figures)

    @property
    def tables(self) -> tuple[Table, ...]:
        """All tables, in order."""
        return (*(t for section in self.sections for t in section.tables), self.base_table)


def numbered(report: Report) -> Report:
    """Figures and tables numbered from 1, in the order of the page."""
    figures, tables = 0, 0
    sections = []
    for section in report.sections:
        drawn = tuple(replace(f, number=figures + i) for i, f in enumerate(section.figures, 1))
        written = tuple(replace(t, number=tables + i) for i, t in enumerate(section.tables, 1))
        figures, tables = figures + len(drawn), tables + len(written)
        sections.append(replace(section, figures=drawn, tables=written))
    base_table = replace(report.base_table, number=tables + 1)
    return replace(report, sections=tuple(sections), base_table=base_table)


@dataclass(frozen=True)
class IndexEntry:
    """A stored study or search in the list of all: what was asked and what was found."""

    study: str
    title: str
    question: str
    data: str
    replicates: int = 0
    headline: str = ""
    answer: Answer | None = None
    claims: tuple[ClaimView, ...] = ()
    unfinished: str = ""
    """Why there is no report; empty where there is one."""


@dataclass(frozen=True)
class Outline:
    """All that is written of a study or a search."""

    report: Report
    measurements: "pd.DataFrame"
    """Tidy: a row for each."""
    summary: Mapping[str, Any]
    """For JSON: means with intervals, and what was found."""
    lines: tuple[str, ...]
    """What was found, for a terminal and for the dashboard's note."""
    means: Means
    """What the dashboard shows of each arm."""
    entry: IndexEntry


@dataclass(frozen=True)
class Index:
    """The list of all studies of a database."""

    title: str
    headline: str
    entries: tuple[IndexEntry, ...]
