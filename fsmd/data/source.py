"""A data set before it is encoded: its rows, and the recipe that says what each column is."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import numpy as np

from fsmd.config import canonical_json
from fsmd.data.description.expression import column_text
from fsmd.data.inputs import Input
from fsmd.data.options import Between, check_option
from fsmd.data.rows.part import Part, Parts, taken
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError, shown
from fsmd.score import parse as parse_score
from fsmd.tasks import Task, names

LEAST_ROWS = 500
"""Fewer rows tell nothing apart."""
MOST_BUCKETS = 2**30
MOST_MEMBERS = 64
FewerRows = Annotated[int, Between(LEAST_ROWS, 10**9)]
"""An option for `on_fewer_rows`."""


@dataclass(frozen=True)
class Categorical:
    """A column of categories; those seen in train fewer than `min_count` times share id 0."""

    name: str
    min_count: int = 1
    buckets: int | None = None
    """That many ids, by a hash, instead of one for each category."""
    share: str | None = None
    """The categorical column before it whose ids it uses."""

    def __post_init__(self) -> None:
        """Raise UserError for what is no number."""
        check_option("min_count", self.min_count, Annotated[int, Between(0)])
        if self.buckets is not None:
            check_option("buckets", self.buckets, Annotated[int, Between(1, MOST_BUCKETS)])


@dataclass(frozen=True)
class Tags(Categorical):
    """A column of lists of categories, as a video's tags or the last items of a user."""

    max_length: int = 8
    """Members used of a row; of 1, a row without any is one whose value is missing."""
    keep: Literal["start", "end"] = "start"
    """Of a longer list; a sequence in order of time keeps its end, the newest."""

    def __post_init__(self) -> None:
        """Raise UserError for what is no number."""
        super().__post_init__()
        check_option("max_length", self.max_length, Annotated[int, Between(1, MOST_MEMBERS)])


@dataclass(frozen=True)
class Dense:
    """A column of numbers, scaled by what train has."""

    name: str
    scale: Literal["standard", "log", "quantile", "none"] = "standard"
    """standard: mean 0, deviation 1. log: of log(1 + x). quantile: the share of train below it,
    as a number of mean 0 and deviation 1. none: as it is."""
    missing: Literal["own", "error"] | float = "own"
    """own: the median of train and, where train misses some, a 0/1 column beside it."""


@dataclass(frozen=True)
class Recipe:
    """What the columns are. Columns of the tables that it does not name are not used."""

    name: str
    categorical: tuple[Categorical, ...]
    """`Tags` among them."""
    dense: tuple[Dense, ...]
    tasks: tuple[Task, ...]
    """A task's column has its name; a missing value there means not observed."""
    user: str | None = None
    """The column whose equal values mark rows that are not independent, such as a user's."""
    request: str | None = None
    """The column whose equal values mark rows that were shown together."""
    weight: str | None = None
    """The column of what a row counts; None: all alike."""
    settings: TrainingSettings = field(default_factory=TrainingSettings)
    score: str | None = None
    """The formula of the combined score (`fsmd.score`); data and training do not depend on it."""

    def __post_init__(self) -> None:
        """Raise UserError for parts that are of another kind, or a score of other tasks."""
        parts = (
            ("name", (self.name,), str),
            ("categorical", self.categorical, Categorical),
            ("dense", self.dense, Dense),
            ("tasks", self.tasks, Task),
            ("settings", (self.settings,), TrainingSettings),
        )
        for name, values, kind in parts:
            if not isinstance(values, tuple | list) or not all(
                isinstance(v, kind) for v in values
            ):
                raise UserError(
                    f"`{name}` of a recipe must be {kind.__name__}, in a tuple where there may be "
                    f"several; got {shown(values)}"
                )
        if self.score is not None:
            parse_score(self.score, names(self.tasks))

    @property
    def features(self) -> tuple[Categorical | Dense, ...]:
        """All inputs, categorical ones first."""
        return (*self.categorical, *self.dense)


@dataclass(frozen=True)
class Source:
    """A recipe, a key that changes with the content, and the rows in parts."""

    recipe: Recipe
    key: Mapping[str, object]
    parts: Parts
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why -> rows that are in no split; filled by a whole pass over the parts."""
    inputs: tuple[Input, ...] = ()
    """How each feature is taken from a raw row, in order; (): as the column of its name."""

    def __post_init__(self) -> None:
        """Raise UserError for a key that cannot be written."""
        try:
            canonical_json(dict(self.key))
        except (TypeError, ValueError) as error:
            raise UserError(
                f"`key` of a source must be what JSON can hold, by name; got {shown(self.key)}"
            ) from error


def plain_inputs(recipe: Recipe) -> tuple[Input, ...]:
    """Each feature as the column of its name, tags as lists."""

    def kind(feature: Categorical | Dense) -> Literal["category", "number", "tags"]:
        if isinstance(feature, Dense):
            return "number"
        return "tags" if isinstance(feature, Tags) else "category"

    return tuple(
        Input(feature.name, kind(feature), column_text(feature.name))
        for feature in recipe.features
    )


def on_fewer_rows(source: Source, rows: int | None) -> Source:
    """The source with `rows` (None: all) of its train rows, drawn at random and kept in order.

    Validation and test stay whole, so that all are judged on the same rows.
    """
    if rows is None:
        return source
    check_option("rows", rows, FewerRows)

    def parts() -> Iterator[Part]:
        there = sum(len(part.label_NK) for part in source.parts() if part.split == "train")
        if rows > there:
            raise UserError(
                f"{source.recipe.name}: `rows` must be at most the {there} that there are to "
                f"train on; got {rows}"
            )
        drawn = np.sort(np.random.default_rng(0).choice(there, rows, replace=False))
        first = 0
        for part in source.parts():
            if part.split != "train":
                yield part
                continue
            count = len(part.label_NK)
            low, high = np.searchsorted(drawn, (first, first + count))
            yield taken(part, drawn[low:high] - first)
            first += count

    return replace(source, key={**source.key, "rows": rows}, parts=parts)
