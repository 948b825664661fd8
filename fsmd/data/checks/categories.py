"""Categories: those that train does not know, columns that say nothing, ids of one row each."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from fsmd.data.checks.check import Finding
from fsmd.data.checks.remarks import UNSEEN_SHARE
from fsmd.data.checks.tally import (
    Counted,
    KeyTally,
    listed,
    members,
    missing_of,
    of_all,
    percent,
)
from fsmd.data.encoded import SPLITS
from fsmd.data.rows.part import Part
from fsmd.data.source import Categorical, Recipe

OWN_SHARE = 0.9
"""Of rows with a value of their own, from which on a column names the row."""


class CategoryFacts(NamedTuple):
    """What a column of categories has."""

    words: int
    """Different ones in train, about."""
    rows: int
    """Of train that have one (members, of tags)."""
    missing: dict[str, float]
    """Split -> share of its rows."""
    unseen: dict[str, float]
    """Split -> share of its values that share id 0, as train has them too rarely or not at all."""
    buckets: int | None

    @property
    def own(self) -> bool:
        """Whether nearly each row of train has a value of its own, and an id of its own for it."""
        return self.buckets is None and self.words >= max(OWN_SHARE * self.rows, 2)


class Categories:
    """Counts the categories of each column by split."""

    def __init__(self, recipe: Recipe) -> None:
        self._columns = recipe.categorical
        self._tallies = {column.name: KeyTally(len(SPLITS)) for column in self._columns}
        self._missing = {column.name: np.zeros(len(SPLITS), np.int64) for column in self._columns}
        self._rows = np.zeros(len(SPLITS), np.int64)

    def see(self, part: Part) -> None:
        """Count categories."""
        split = SPLITS.index(part.split)
        self._rows[split] += len(part.label_NK)
        for column in self._columns:
            values = part.fields.column(column.name)
            found, tally = members(values), self._tallies[column.name]
            counts = tally.counts(found.place_M, split, len(found.code_W) + 1)
            tally.add_counts(found.code_W, counts[:-1])
            self._missing[column.name][split] += int(missing_of(values).sum())

    def seen(self) -> dict[str, CategoryFacts]:
        """Column -> what it has, by now."""
        counted = {name: tally.counted() for name, tally in self._tallies.items()}
        rows = np.maximum(self._rows, 1)
        return {
            column.name: CategoryFacts(
                counted[column.name].total((counted[column.name].counts_UC[:, 0] > 0).sum()),
                counted[column.name].total(counted[column.name].counts_UC[:, 0].sum()),
                dict(zip(SPLITS, self._missing[column.name] / rows, strict=True)),
                _unseen(column, counted),
                column.buckets,
            )
            for column in self._columns
        }

    def findings(self) -> Iterator[Finding]:
        """By column, then what is new in each split."""
        seen = self.seen()
        for column in self._columns:
            facts = seen[column.name]
            constant = facts.words == 0 or (facts.words == 1 and facts.missing["train"] == 0)
            if constant and self._rows[0]:
                text = (
                    f"Column {column.name!r} is {'one category' if facts.words else 'missing'} in "
                    "all rows of train, so nothing can be learnt from it. Take it out of [fields]."
                )
                yield Finding("warning", text)
            elif facts.own:
                text = (
                    f"Column {column.name!r} has {of_all(facts.words, facts.rows)} different "
                    "values in train, nearly each row its own: nothing can be learnt from it. "
                    "Take it out of [fields]."
                )
                yield Finding("warning", text)
        for split in SPLITS[1:]:
            new = {n: f.unseen[split] for n, f in seen.items() if f.unseen[split] and not f.own}
            for name, share in list(new.items()):
                if share - seen[name].unseen["train"] >= UNSEEN_SHARE:
                    new.pop(name)
                    text = (
                        f"{percent(share)} of the {split} values of column {name!r} are "
                        "categories that train has not, or too rarely: they share one vector. Is "
                        "it written alike in both, and does it not count up with time?"
                    )
                    yield Finding("warning", text)
            if new:
                ordered = sorted(new, key=lambda name: (-new[name], name))
                told = listed([f"{name} {percent(new[name])}" for name in ordered])
                text = f"Values of {split} that train has not, or too rarely: {told}."
                yield Finding("note", text)


def _unseen(column: Categorical, counted: dict[str, Counted]) -> dict[str, float]:
    """Of a hashed column none are."""
    own, known = counted[column.name], counted[column.share or column.name]
    both = own.key_U <= min(own.bound, known.bound)
    frequent = known.key_U[known.counts_UC[:, 0] >= max(column.min_count, 1)]
    counts = own.counts_UC[both]
    new = counts[~np.isin(own.key_U[both], frequent)].sum(0)
    shares = new / np.maximum(counts.sum(0), 1)
    if column.buckets is not None:
        shares = np.zeros(len(SPLITS))
    return dict(zip(SPLITS, map(float, shares), strict=True))
