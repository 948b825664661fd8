"""What is said while a data set is encoded: columns without influence, cut numbers, new values."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import SCALED_BOUND, Encoder
from fsmd.data.fitting.words import Counts
from fsmd.data.schema import Floats, Ids

UNSEEN_SHARE = 0.5
"""Of a split's values, beyond that of train, from which on unseen categories are told."""


@dataclass(frozen=True)
class Encodings:
    """What was counted of a split's encoded rows."""

    rows: int
    unseen: Counts
    """By column of categories: values with id 0."""
    values: Counts
    """By column of categories."""
    cut: Counts
    """By column of `Encoder.scales`: numbers that lie at the bound."""

    def __add__(self, other: "Encodings") -> "Encodings":
        """Both together."""
        return Encodings(
            self.rows + other.rows,
            self.unseen + other.unseen,
            self.values + other.values,
            self.cut + other.cut,
        )


def encodings_of(encoder: Encoder, id_NC: Ids, dense_ND: Floats) -> Encodings:
    """The counts of some encoded rows."""
    unseen, values, cut, first = [], [], [], 0
    for vocabulary in encoder.vocabularies:
        ids = id_NC[:, first : first + vocabulary.length]
        unseen.append(np.count_nonzero(ids == 0))
        values.append(np.count_nonzero(ids >= 0))
        first += vocabulary.length
    first = 0
    for scaling in encoder.scales:
        cut.append(np.count_nonzero(np.abs(dense_ND[:, first]) == SCALED_BOUND))
        first += len(scaling.names)
    counts = (np.array(each, np.int64) for each in (unseen, values, cut))
    return Encodings(len(id_NC), *counts)


def remarks(encoder: Encoder, found: dict[str, Encodings]) -> Iterator[str]:
    """What a user must know of columns that were encoded otherwise than one would think."""
    constant = [repr(scaling.name) for scaling in encoder.scales if scaling.spread == 0]
    constant += [
        repr(part.name)
        for part in encoder.vocabularies
        if part.other or not (part.words or part.buckets or part.share)
    ]
    if constant:
        yield (
            f"{encoder.name}: constant or empty in train, so without influence: column "
            f"{', '.join(constant)}"
        )
    for d, scaling in enumerate(encoder.scales):
        cut = sum(int(of_split.cut[d]) for of_split in found.values())
        if cut and scaling.scale != "none":
            yield (
                f"{encoder.name}: {cut} numbers of column {scaling.name!r} lie {SCALED_BOUND:g} "
                "standard deviations of train or more from its mean and are cut there"
            )
    for c, vocabulary in enumerate(encoder.vocabularies):
        unseen = {s: found[s].unseen[c] / max(found[s].values[c], 1) for s in SPLITS}
        for split in SPLITS[1:]:
            if unseen[split] - unseen["train"] >= UNSEEN_SHARE:
                yield (
                    f"{encoder.name}, {split}: {unseen[split]:.0%} of the rows have a category of "
                    f"column {vocabulary.name!r} that train has not; is it written alike in both?"
                )
