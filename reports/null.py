"""How often is a winner named where nothing differs? This machinery against best of one seed."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from reports.contrasts import contrasts
from reports.estimates import Array
from reports.results import Scores, StudyResults
from reports.sampling import Sampling, influences, labels_of, units_of
from reports.verdicts import compare
from studies.definition import Study


class NullRate(NamedTuple):
    """Shares of resamplings in which a winner was named, false each time."""

    machinery: float
    """At least one "better" or "worse" of the reference against the others."""
    one_seed: float
    """The arm with the best mean AUC in the first replicate is above all others."""


def null_rate(
    values_LRT: Array, resamplings: int, seed: int, influences_RNC: Sequence[Array] = ()
) -> NullRate:
    """Of levels x replicates x targets, whose levels are shuffled within each replicate.

    Shuffling makes it true that nothing differs, whatever the values. The test rows' influences,
    of each replicate rows x (levels x tasks), are shuffled with them; without any, the seeds are
    the only source of chance.
    """
    rng = np.random.default_rng(seed)
    levels = tuple(map(str, range(len(values_LRT))))
    replicates = tuple(range(values_LRT.shape[1]))
    study = Study("null", "", "", "level", (), levels[0], "", ())
    products = cross_products(influences_RNC, len(levels)) if influences_RNC else None
    named = crowned = 0
    for _ in range(resamplings):
        order_LR = rng.permuted(np.broadcast_to(
            np.arange(len(levels))[:, None], values_LRT.shape[:2]), axis=0)  # fmt: skip
        shuffled_LRT = np.take_along_axis(values_LRT, order_LR[:, :, None], axis=0)
        samplings = () if products is None else (Sampling(levels, covariance(products, order_LR)),)
        scores = Scores(levels, replicates, ("first", "second", "mean"), shuffled_LRT,
                        samplings=samplings)  # fmt: skip
        found = contrasts(study, scores, compare(study, scores))
        named += any(contrast.word in ("better", "worse") for contrast in found)
        best, second = np.sort(shuffled_LRT[:, 0, -1])[[-1, -2]]
        crowned += bool(best > second)
    return NullRate(named / resamplings, crowned / resamplings)


def stored_influences(results: StudyResults) -> tuple[Array, ...]:
    """Of each replicate that is complete, where all levels have one test set and predictions."""
    scores, cells = results.test_auc, results.runs.set_index(["level", "replicate"])["run_id"]
    (data_hash,) = set(results.test_sets.values())
    with results.engine.connect() as connection:
        labels = {task: labels_of(connection, data_hash)[task] for task in results.tasks}
        unit_N = units_of(connection, data_hash)
        return tuple(
            influences(connection, tuple(cells[e, r] for e in scores.levels), labels, unit_N)
            for r in scores.paired
        )


def cross_products(influences_RNC: Sequence[Array], levels: int) -> Array:
    """Mean products of different replicates' influences, over N: R x L x K x R x L x K."""
    rows, columns = influences_RNC[0].shape
    n, tasks = len(influences_RNC), columns // levels
    made = np.zeros((n, columns, n, columns))
    for r, one in enumerate(influences_RNC):
        for s, other in enumerate(influences_RNC):
            if r != s:
                made[r, :, s] = one.T @ other / rows**2
    return made.reshape(n, levels, tasks, n, levels, tasks)


def covariance(products: Array, order_LR: NDArray[np.int64]) -> Array:
    """What `reports.sampling.shared_covariance` gives for the levels in this order."""
    n = len(products)
    replicate_R1, level_RL = np.arange(n)[:, None], order_LR.T
    ordered = products[replicate_R1, level_RL][:, :, :, replicate_R1, level_RL]
    found: Array = ordered.sum(axis=(0, 3)) / (n * (n - 1))
    return found
