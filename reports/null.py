"""How often is a winner named where nothing differs? This machinery against best of one seed."""

from typing import NamedTuple

import numpy as np

from reports.contrasts import contrasts
from reports.estimates import Array
from reports.results import Scores
from reports.verdicts import compare
from studies.definition import Study


class NullRate(NamedTuple):
    """Shares of resamplings in which a winner was named, false each time."""

    machinery: float
    """At least one "better" or "worse" of the reference against the others."""
    one_seed: float
    """The arm with the best mean AUC in the first replicate is above all others."""


def null_rate(values_LRT: Array, resamplings: int, seed: int) -> NullRate:
    """Of levels x replicates x targets, whose levels are shuffled within each replicate.

    Shuffling makes it true that nothing differs, whatever the values.
    """
    rng = np.random.default_rng(seed)
    levels = tuple(map(str, range(len(values_LRT))))
    replicates = tuple(range(values_LRT.shape[1]))
    study = Study("null", "", "", "level", (), levels[0], "", ())
    named = crowned = 0
    for _ in range(resamplings):
        order_LR = rng.permuted(np.broadcast_to(
            np.arange(len(levels))[:, None], values_LRT.shape[:2]), axis=0)  # fmt: skip
        shuffled_LRT = np.take_along_axis(values_LRT, order_LR[:, :, None], axis=0)
        scores = Scores(levels, replicates, ("first", "second", "mean"), shuffled_LRT)
        found = contrasts(study, scores, compare(study, scores))
        named += any(contrast.word in ("better", "worse") for contrast in found)
        best, second = np.sort(shuffled_LRT[:, 0, -1])[[-1, -2]]
        crowned += bool(best > second)
    return NullRate(named / resamplings, crowned / resamplings)
