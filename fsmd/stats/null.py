"""How often is a difference found where there is none? Paired tests against best of one seed.

Suffixes: A arms, R replicates, K tasks, T targets, N test rows (or users), C columns (an arm's
task each).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmd.stats.estimates import ALPHA, Array, mean_interval
from fsmd.stats.families import against_reference
from fsmd.stats.sampling import Sampling
from fsmd.stats.scatter import scatters


class NullRate(NamedTuple):
    """Shares of resamplings in which a difference was found, false each time."""

    tested: float
    """Some arm differs significantly from arm 0, adjusted over all arms and targets."""
    one_seed: float
    """One arm is ahead of all others in replicate 0, on the last target."""


def null_rate(
    values_ARK: Array,
    weight_TK: Array,
    *,
    resamplings: int,
    seed: int,
    influences_RNC: Sequence[Array] = (),
) -> NullRate:
    """The rate over studies that are made by shuffling the arms within each replicate.

    Then nothing differs, whatever the values; errors that persist over the replicates of one arm
    are shuffled away too.

    values_ARK: figures, the higher the better; the replicates are complete.
    weight_TK: each target as a weighted sum of the tasks' figures.
    influences_RNC: of each replicate the test rows' influences, shuffled with the values; without
    any, the seeds are the only source of chance. One replicate alone tests nothing.
    """
    rng = np.random.default_rng(seed)
    arms = tuple(map(str, range(len(values_ARK))))
    products = cross_products(influences_RNC, len(arms)) if len(influences_RNC) > 1 else None
    different = crowned = 0
    for _ in range(resamplings):
        unshuffled_AR = np.broadcast_to(np.arange(len(arms))[:, None], values_ARK.shape[:2])
        order_AR = rng.permuted(unshuffled_AR, axis=0)
        shuffled_ARK = np.take_along_axis(values_ARK, order_AR[:, :, None], axis=0)
        sampling = None if products is None else Sampling(arms, covariance(products, order_AR))
        different += _any_difference(shuffled_ARK, weight_TK, sampling)
        best, next_best = np.sort(shuffled_ARK[:, 0] @ weight_TK[-1])[[-1, -2]]
        crowned += bool(best > next_best)
    return NullRate(different / resamplings, crowned / resamplings)


def _any_difference(values_ARK: Array, weight_TK: Array, sampling: Sampling | None) -> bool:
    """Whether a study would find that any arm differs from the first one."""
    values_ART = values_ARK @ weight_TK.T
    differences, targets = [], []
    for t, weight_K in enumerate(weight_TK):
        values_AR = values_ART[..., t]
        scatter = scatters(values_AR, 0) if values_AR.shape[1] > 1 else None
        for a in range(1, len(values_AR)):
            part = None if sampling is None else sampling.part(str(a), "0", weight_K)
            of_arm = scatter and scatter.of(a - 1)
            gain_R = values_AR[a] - values_AR[0]
            differences.append(mean_interval(gain_R, part, scatter=of_arm))
            targets.append(t)
    return any(p is not None and p < ALPHA for p in against_reference(differences, targets))


def cross_products(influences_RNC: Sequence[Array], arms: int) -> Array:
    """Mean products of different replicates' influences, over N: R x A x K x R x A x K."""
    rows, columns = influences_RNC[0].shape
    n, tasks = len(influences_RNC), columns // arms
    products = np.zeros((n, columns, n, columns))
    for r, influence_NC in enumerate(influences_RNC):
        for s, other_NC in enumerate(influences_RNC):
            if r != s:
                products[r, :, s] = influence_NC.T @ other_NC / rows**2
    return products.reshape(n, arms, tasks, n, arms, tasks)


def covariance(products: Array, order_AR: NDArray[np.int64]) -> Array:
    """What `fsmd.stats.sampling.shared_covariance` gives for the arms in this order."""
    n = len(products)
    replicate_R1, arm_RA = np.arange(n)[:, None], order_AR.T
    ordered = products[replicate_R1, arm_RA][:, :, :, replicate_R1, arm_RA]
    covariance_AKAK: Array = ordered.sum(axis=(0, 3)) / (n * (n - 1))
    return covariance_AKAK
