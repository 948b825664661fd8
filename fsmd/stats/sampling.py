"""What the finite test set does to figures of many trainings: their covariance.

A figure moves with each row's influence (`fsmd.metrics.influences`), and the covariance of two
figures on the same rows, of whatever task and metric, is the influences' mean product over N.
Rows of one user are not independent of each other: there the users are the sample, each with the
sum of its rows' influences (Obuchowski 1997). Rows of one item are no more so: where items are
known too, both are samples, and what two figures covary by users and by items is added up, less
what is counted twice, that of rows that have both alike (Cameron, Gelbach and Miller 2011, Journal
of Business & Economic Statistics 29).

What items add may by chance, and of few items will, come out below zero. Only its part that is not
is added (the nearest covariance matrix to it), so that no contrast of figures has less variance
than by users alone.

Suffixes: N test rows, U units (users), A arms, K tasks, C columns (an arm's task each).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from fsmd.stats.estimates import Array


def by_unit(influence_NC: Array, unit_N: NDArray[np.int64] | None) -> Array:
    """U x C: each unit's rows summed, times U / N, so that a unit stands where a row stood."""
    if unit_N is None:
        return influence_NC
    influence_UC: Array = _sums(unit_N) @ influence_NC
    return influence_UC


def _sums(unit_N: NDArray[np.int64]) -> scipy.sparse.csr_array:
    """U x N: what `by_unit` multiplies with."""
    rows, units = len(unit_N), int(unit_N.max()) + 1
    shares = np.full(rows, units / rows), (unit_N, np.arange(rows))
    return scipy.sparse.csr_array(shares, (units, rows))


def shared_covariance(
    replicates: Iterable[Array],
    unit_N: NDArray[np.int64] | None = None,
    item_N: NDArray[np.int64] | None = None,
    by_item_C: NDArray[np.bool_] | None = None,
) -> Array:
    """C x C: the test set's part in the covariance of figures averaged over replicates.

    Takes the influences, N x C, of each replicate in turn, so that one at a time is in memory.
    What a row does to one training alone already shows in the scatter over seeds; the test set's
    part is what it does to all. So products are taken between different replicates only: their
    mean has no bias, and may come out below zero. Of a single replicate, DeLong's covariance.

    unit_N: of each row the number of the unit that is sampled, from 0; None: the row itself.
    item_N: as `unit_N`, of what is a sample besides. by_item_C: columns whose influences tell of
    items (`Metric.by_row`); None: all.
    """
    of_units = _Products(unit_N)
    others = [] if item_N is None else [_Products(item_N), _Products(both_of(unit_N, item_N))]
    for influence_NC in replicates:
        for products in (of_units, *others):
            products.add(influence_NC)
    covariance_CC = of_units.covariance_CC
    if others:
        by_item, by_both = (products.covariance_CC for products in others)
        told_C = np.ones(len(by_item), bool) if by_item_C is None else by_item_C
        covariance_CC += _nearest(np.where(np.outer(told_C, told_C), by_item - by_both, 0.0))
    return covariance_CC


def _nearest(matrix_CC: Array) -> Array:
    """The nearest matrix that no contrast has a variance below zero by (Higham 1988)."""
    if not np.isfinite(matrix_CC).all():
        return matrix_CC
    value_C, vector_CC = np.linalg.eigh((matrix_CC + matrix_CC.T) / 2)
    return np.asarray((vector_CC * np.maximum(value_C, 0.0)) @ vector_CC.T)


def both_of(
    one_N: NDArray[np.int64] | None, other_N: NDArray[np.int64]
) -> NDArray[np.int64] | None:
    """A number for each pair that rows have; None where no two rows have the same."""
    if one_N is None:
        return None
    pair_N = one_N * (int(other_N.max()) + 1) + other_N
    pair_U, unit_N = np.unique(pair_N, return_inverse=True)
    return None if len(pair_U) == len(pair_N) else unit_N


@dataclass
class _Products:
    """Sums over replicates of the units' influences and of their products."""

    unit_N: NDArray[np.int64] | None
    total_UC: Array = field(default_factory=lambda: np.zeros(()))
    squares_CC: Array = field(default_factory=lambda: np.zeros(()))
    count: int = 0

    @cached_property
    def _of_unit(self) -> scipy.sparse.csr_array | None:
        return None if self.unit_N is None else _sums(self.unit_N)

    def add(self, influence_NC: Array) -> None:
        """Those of one replicate more."""
        moved_UC = influence_NC if self._of_unit is None else self._of_unit @ influence_NC
        self.total_UC = self.total_UC + moved_UC
        self.squares_CC = self.squares_CC + moved_UC.T @ moved_UC
        self.count += 1

    @property
    def covariance_CC(self) -> Array:
        total_UC, n = self.total_UC, self.count
        between_CC = total_UC.T @ total_UC - self.squares_CC
        products_CC: Array = self.squares_CC if n == 1 else between_CC / (n * (n - 1))
        return products_CC / len(total_UC) ** 2


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
    items: int | None = None
    """Items among the test rows that are a sample too; None where they are not known, or where no
    figure tells of them."""

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
