"""A description as values: where each column of a `Recipe` comes from. See `toml` for its text.

Texts named `expression` are in the grammar of `fsmd.data.description.expression`; a column's plain
name is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from fsmd.data.inputs import Input
from fsmd.data.source import Recipe, plain_inputs

Moment: TypeAlias = int | float | str
"""A number in the unit of the time column, or an ISO 8601 date or date and time."""


@dataclass(frozen=True)
class FileSet:
    """Some files of one shape: .csv, .tsv or .parquet, the first two also with .gz."""

    patterns: tuple[str, ...]
    """Names, globs or folders, below the description's folder unless absolute."""
    header: bool = True
    """Whether the first line names the columns, and is no row; else `columns` names them."""
    columns: tuple[str, ...] = ()
    """Where there is a header, these names are taken for its own."""
    separator: str | None = None
    """None: a tab for .tsv, else a comma."""
    missing: tuple[str, ...] = ("",)
    """Texts that mean nothing is there, quoted or not. Of Parquet files nulls do."""
    strip: bool = False
    """Whether blanks around each text are taken off (before `missing` is looked for)."""
    multiline: bool = False
    """Whether quoted texts may hold line ends."""
    comment: str = ""
    """Lines that begin with it are no rows; "": all lines are."""
    encoding: str = "utf-8"


@dataclass(frozen=True)
class Join:
    """A side table, held in memory: a log's row takes the columns of the row with its key."""

    files: FileSet
    on: tuple[str, ...]
    """Columns of both. A key that occurs twice in the side table is an error."""


@dataclass(frozen=True)
class FieldSource:
    """How a field's values are taken from the columns."""

    expression: str
    separator: str | None = None
    """Between the members of a text of tags; None for a list column."""
    strip: str = ""
    """Letters taken off both ends of such a text, as the brackets of "[1, 2]"."""
    optional: bool = False
    """Whether a log without the columns still goes, all values missing."""
    known_before: bool = False
    """Said of a field that shares a column with a label and yet is known before it."""


@dataclass(frozen=True)
class LabelSource:
    """How a task's label is taken from the columns."""

    expression: str
    """True or 1: yes; missing: not observed, so without loss and figure."""
    where: str | None = None
    """Rows on which the task is defined; on others it is not observed."""
    missing: Literal["unobserved", "zero"] = "unobserved"
    """What a missing value of the label means."""


@dataclass(frozen=True)
class Roles:
    """Columns that say of whom, when and how much, as expressions; several make one key."""

    user: tuple[str, ...] = ()
    item: tuple[str, ...] = ()
    request: tuple[str, ...] = ()
    """Rows that were shown together. Without it: user and day, where there are both."""
    time: str | None = None
    time_unit: Literal["s", "ms", "us", "ns"] = "s"
    """Of a time that is a number since 1970 in UTC; texts are ISO 8601."""
    weight: str | None = None


@dataclass(frozen=True)
class ByTime:
    """Train before `valid_from`, test from `test_from` on; or by shares of all rows in time."""

    valid_from: Moment | None = None
    test_from: Moment | None = None
    until: Moment | None = None
    """Rows from then on are left out."""
    shares: tuple[float, float, float] | None = None
    """Of train, validation and test; sum 1. Rows of one moment stay together."""
    time: str | None = None
    """An expression; None: that of the roles."""


@dataclass(frozen=True)
class ByUserTime:
    """The last rows of each user are test, those before them validation."""

    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    """Of each user's rows in order of time."""


@dataclass(frozen=True)
class ByShare:
    """At random, by a hash of the row's number or of its user; the same in every run."""

    seed: int
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    of: Literal["row", "user"] = "row"
    """user: all rows of one user are in one split."""


@dataclass(frozen=True)
class ByFiles:
    """Each split has files of its own, as patterns among those of the data."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    valid: tuple[str, ...] = ()
    """Without any, the first half of the test rows in order of the files is validation."""


@dataclass(frozen=True)
class ByRules:
    """Each split is where an expression is true; a row of none is left out, of two an error."""

    train: str
    valid: str
    test: str


SplitRule: TypeAlias = ByTime | ByUserTime | ByShare | ByFiles | ByRules
"""`by = "column"` of the text is `ByRules` too: column == value."""


@dataclass(frozen=True)
class PublicSource:
    """Where a public data set comes from."""

    folder: str
    """Of its files, below FSMD_DATA or the cache, where they are not beside the description."""
    source: str
    """The page to get it from."""
    licence: str
    """As the source states it; "not stated" where it does not."""
    archive: str | None = None
    """The address of an archive that may be downloaded without asking anybody."""
    sha256: Mapping[str, str] = field(default_factory=dict)
    """File name, without .gz -> digest of its uncompressed content, where known."""


@dataclass(frozen=True)
class Published:
    """Figures that others report on a public data set, to compare with."""

    source: str
    metric: str
    figures: Mapping[str, Mapping[str, float]]
    """Model -> task -> figure."""
    note: str = ""
    """How they were got, and the noise of their seeds where it is known."""


@dataclass(frozen=True)
class Description:
    """A whole `dataset.toml`."""

    path: Path
    """Of the file; patterns are relative to its folder."""
    recipe: Recipe
    data: FileSet
    distinct: bool
    """Whether exact repeats of a row, in all columns of its file, are left out."""
    joins: tuple[Join, ...]
    fields: Mapping[str, FieldSource]
    """One for each feature of the recipe."""
    labels: Mapping[str, LabelSource]
    """One for each task of the recipe."""
    roles: Roles
    split: SplitRule
    origin: PublicSource | None = None
    published: tuple[Published, ...] = ()

    @property
    def inputs(self) -> tuple[Input, ...]:
        """How each feature of the recipe is taken from a raw row."""

        def described(plain: Input) -> Input:
            said = self.fields[plain.name]
            return Input(
                plain.name, plain.kind, said.expression, said.separator, said.strip, said.optional
            )

        return tuple(map(described, plain_inputs(self.recipe)))
