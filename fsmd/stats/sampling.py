"""What the finite test set does to figures of many trainings: their covariance.

A figure moves with each row's influence (`fsmd.metrics.influences`), and the covariance of two
figures on the same rows, of whatever task and metric, is the influences' mean product over N.
Rows of one user are not independent of each other: there the users are the sample, each with the
sum of its rows' influences (Obuchowski 1997).

Suffixes: N test rows, U units (users), A arms, K tasks, C columns (an arm's task each).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from fsmd.stats.estimates import Array


def by_unit(influence_NC: Array, unit_N: NDArray[np.int64] | None) -> Array:
    """U x C: each unit's rows summed, times U / N, so that a unit stands where a row stood."""
    if unit_N is None:
        return influence_NC
    rows, units = len(unit_N), int(unit_N.max()) + 1
    of_unit = scipy.sparse.csr_array((np.ones(rows), (unit_N, np.arange(rows))), (units, rows))
    influence_UC: Array = of_unit @ influence_NC * (units / rows)
    return influence_UC


def shared_covariance(replicates: Iterable[Array]) -> Array:
    """C x C: the test set's part in the covariance of figures averaged over replicates.

    Takes the influences, N x C, of each replicate in turn, so that one at a time is in memory.
    What a row does to one training alone already shows in the scatter over seeds; the test set's
    part is what it does to all. So products are taken between different replicates only: their
    mean has no bias, and may come out below zero. Of a single replicate, DeLong's covariance.
    """
    total, squares, n = np.zeros(()), np.zeros(()), 0
    for influence_NC in replicates:
        total, squares, n = total + influence_NC, squares + influence_NC.T @ influence_NC, n + 1
    products: Array = squares if n == 1 else (total.T @ total - squares) / (n * (n - 1))
    return products / len(total) ** 2


@dataclass(frozen=True)
class Sampling:
    """The test set's part in the covariance of the arms' mean figures, on one test set."""

    arms: tuple[str, ...]
    covariance_AKAK: Array
    """Of the arms' means over `replicates`, task by task."""
    replicates: tuple[int, ...] | None = None
    """None: whichever a pair of the arms shares, where every arm has the same ones."""
    units: int | None = None
    """Users among the test rows; None where each row is taken as independent of the others."""
    unit: str = "user"
    """What a unit is: a user, or a request where no users are known."""

    @cached_property
    def place(self) -> Mapping[str, int]:
        """Arm -> its place."""
        return {arm: i for i, arm in enumerate(self.arms)}

    def of(self, arm: str, other: str) -> Array:
        """K x K: of `arm` minus `other`, for all tasks at once."""
        a, b = self.place[arm], self.place[other]
        c = self.covariance_AKAK
        of_difference_KK: Array = c[a, :, a] - c[a, :, b] - c[b, :, a] + c[b, :, b]
        return of_difference_KK

    def part(self, arm: str, other: str, weight_K: Array) -> float:
        """Variance of `arm` minus `other`, on the tasks' weighted sum; not below zero."""
        return max(float(weight_K @ self.of(arm, other) @ weight_K), 0.0)

    def variance(self, weights: Mapping[str, float], weight_K: Array) -> float:
        """Of a weighted sum of the arms' means, on the tasks' weighted sum; not below zero."""
        at = [self.place[arm] for arm in weights]
        weight_AK = np.outer(list(weights.values()), weight_K)
        of_AKAK = self.covariance_AKAK[at][:, :, at]
        return max(float(np.einsum("ak,akbl,bl->", weight_AK, of_AKAK, weight_AK)), 0.0)
