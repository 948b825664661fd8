"""check.html: one self-contained page without a script.

Its pictures are a few bars, drawn by the template: libraries that draw belong to `reports`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from fsmd.data.checks.categories import Categories, CategoryFacts
from fsmd.data.checks.check import Finding
from fsmd.data.checks.drift import LARGE_PSI, bins_of
from fsmd.data.checks.groups import Groups
from fsmd.data.checks.numbers import Numbers
from fsmd.data.checks.presence import Presence
from fsmd.data.checks.rates import Rate, Rates
from fsmd.data.checks.repeats import Repeats
from fsmd.data.checks.sampled import Sampled
from fsmd.data.checks.tally import SampledRows, count, percent
from fsmd.data.encoded import SPLITS
from fsmd.data.source import Categorical, Dense, Recipe, Tags
from studies.data.pictures import Bin, Course, Histogram, course, histogram, words
from studies.templates import rendered

LEVELS = ("error", "warning", "note")


class Checks(NamedTuple):
    """All checks, in the order in which their findings of one level are told."""

    rates: Rates
    presence: Presence
    sampled: Sampled
    repeats: Repeats
    groups: Groups
    categories: Categories
    numbers: Numbers

    @classmethod
    def of(cls, recipe: Recipe) -> "Checks":
        """Of a recipe's rows, none of which was seen."""
        return cls(*(check(recipe) for check in cls.__annotations__.values()))


class LabelView(NamedTuple):
    """What the page shows of a task."""

    name: str
    after: str | None
    rates: Sequence[Rate]
    """By split."""
    course: Course | None


class FieldView(NamedTuple):
    """What the page shows of a field."""

    name: str
    about: str
    missing: Mapping[str, float]
    """By split; empty where none is."""
    psi: float | None
    """None where it is not large."""
    histogram: Histogram | None
    words: Sequence[Bin]


def summary(findings: Sequence[Finding]) -> str:
    """How many there are of each level.

    >>> summary([Finding("error", ""), Finding("note", ""), Finding("note", "")])
    '1 error, 0 warnings, 2 notes'
    """
    counts = Counter[str](finding.level for finding in findings)
    return ", ".join(f"{counts[level]} {level}{'s'[counts[level] == 1 :]}" for level in LEVELS)


def page(recipe: Recipe, checks: Checks, findings: Sequence[Finding]) -> str:
    """The page of what was seen."""
    samples = {split: rows for split in SPLITS if (rows := checks.sampled.sample.of(split))}
    by_split = ", ".join(f"{count(n)} {split}" for split, n in checks.rates.rows.items())
    drawn = max((len(rows.label_NK) for rows in samples.values()), default=0)
    is_drawn = any(rows.rows > len(rows.label_NK) for rows in samples.values())
    return rendered(
        Path(__file__).with_name("check.html"),
        name=recipe.name,
        headline=f"{by_split} rows. {summary(findings)}.",
        findings=findings,
        splits=SPLITS,
        labels=_labels(recipe, checks, samples),
        fields=_fields(recipe, checks, samples) if {"train", "test"} <= samples.keys() else [],
        sampled=f"From at most {count(drawn)} rows of each split, drawn by a hash."
        if is_drawn
        else "",
        percent=percent,
    )


def _labels(recipe: Recipe, checks: Checks, samples: Mapping[str, SampledRows]) -> list[LabelView]:
    return [
        LabelView(
            task.name,
            task.after,
            [checks.rates.rate(k, split) for split in SPLITS],
            course(k, samples),
        )
        for k, task in enumerate(recipe.tasks)
    ]


def _fields(recipe: Recipe, checks: Checks, samples: Mapping[str, SampledRows]) -> list[FieldView]:
    train, test = samples["train"], samples["test"]
    seen = checks.categories.seen()
    views = []
    for column in recipe.features:
        if isinstance(column, Dense):
            about = f"number, scale {column.scale}"
            missing = checks.numbers.spreads[column.name].missing_shares
        else:
            about, missing = _about(column, seen[column.name]), seen[column.name].missing
        psi = bins_of(column, train, test).psi
        views.append(
            FieldView(
                column.name,
                about,
                missing if any(missing.values()) else {},
                psi if psi >= LARGE_PSI else None,
                histogram(column, train, test) if isinstance(column, Dense) else None,
                words(column, train, test) if isinstance(column, Categorical) else (),
            )
        )
    return views


def _about(column: Categorical, facts: CategoryFacts) -> str:
    kind = "tags" if isinstance(column, Tags) else "category"
    told = [kind, f"{count(facts.words)} in train"]
    if column.buckets is not None:
        told.append(f"hashed into {count(column.buckets)}")
    if facts.unseen["test"]:
        told.append(f"{percent(facts.unseen['test'])} of test unseen")
    return ", ".join(told)
