"""What the finite test set does to AUCs: placement values, influences, their covariance.

Suffixes: N test rows, U users, L levels, K tasks, C columns (a level's task each).

An AUC is a mean over pairs of a positive and a negative row. The placement value of a row is its
own mean over the rows of the other class (DeLong, DeLong and Clarke-Pearson 1988). Seen from the
rows, an AUC moves with each row's influence, and the covariance of two AUCs on the same rows is
the influences' mean product divided by N. As every test row has a label for each task, this holds
for AUCs of different tasks too, though their positives differ. Rows of one user are not
independent of each other: there the users are the sample, each with the sum of its rows'
influences (Obuchowski 1997).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.sparse
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.predictions import unpack_ranks
from fsmd.units import unpack_units
from reports.estimates import Array
from studies.storage import LABELS, PREDICTIONS, UNITS

Labels = NDArray[np.bool_]


def placements(rank_N: NDArray[np.integer], positive_N: Labels) -> Array:
    """Share of the other class's rows that each row is on the right side of; ties count half.

    The mean over the positives, and the one over the negatives, is the AUC. Ranks are small
    non-negative integers, equal where scores are: counting them finds all mid-ranks in O(N).
    """
    top = int(rank_N.max()) + 1
    positives = np.bincount(rank_N[positive_N], minlength=top)
    negatives = np.bincount(rank_N[~positive_N], minlength=top)
    below = (np.cumsum(negatives) - negatives / 2) / negatives.sum()
    above = 1 - (np.cumsum(positives) - positives / 2) / positives.sum()
    found: Array = np.where(positive_N, below[rank_N], above[rank_N])
    return found


def influence(rank_N: NDArray[np.integer], positive_N: Labels) -> Array:
    """What each row does to the AUC: its placement about the AUC, over its class's share.

    Scaled by sqrt(m / (m - 1)) in a class of m rows: the sum of squares over N squared is then
    DeLong's variance exactly, not only up to a factor near 1. Needs two rows of each class.
    """
    value_N = placements(rank_N, positive_N)
    total, m = len(rank_N), int(positive_N.sum())
    n = total - m
    scale_N = np.where(positive_N, total / np.sqrt(m * (m - 1)), total / np.sqrt(n * (n - 1)))
    centred: Array = (value_N - value_N[positive_N].mean()) * scale_N
    return centred


def by_unit(influence_NC: Array, unit_N: NDArray[np.int64] | None) -> Array:
    """U x C: each user's rows summed, times U / N, so that a user stands where a row stood.

    Without units every row is on its own and nothing changes.
    """
    if unit_N is None:
        return influence_NC
    rows, units = len(unit_N), int(unit_N.max()) + 1
    of_unit = scipy.sparse.csr_array((np.ones(rows), (unit_N, np.arange(rows))), (units, rows))
    found: Array = of_unit @ influence_NC * (units / rows)
    return found


def shared_covariance(replicates: Iterable[Array]) -> Array:
    """C x C: the test set's part in the covariance of AUCs averaged over replicates.

    Takes the influences, N x C, of each replicate in turn. What a row does to one training alone
    already shows in the scatter over seeds and shrinks with their number; the part that is the
    test set's is what the row does to all of them. So products are taken between different
    replicates only: their mean is without bias for it, and may come out below zero where the part
    is small. Of a single replicate, DeLong's covariance.
    """
    total, squares, n = np.zeros(()), np.zeros(()), 0
    for influence_NC in replicates:
        total, squares, n = total + influence_NC, squares + influence_NC.T @ influence_NC, n + 1
    products: Array = squares if n == 1 else (total.T @ total - squares) / (n * (n - 1))
    return products / len(total) ** 2


@dataclass(frozen=True)
class Sampling:
    """The test set's part in the covariance of the levels' mean AUCs, on one test set.

    `covariance_LKLK` is of the levels' means over `replicates`, task by task.
    """

    levels: tuple[str, ...]
    covariance_LKLK: Array
    replicates: tuple[int, ...] | None = None
    """None: whichever a pair of the levels shares, where every level has the same ones."""
    units: int | None = None
    """Users among the test rows; None where each row is taken as independent of the others."""

    def of(self, level: str, other: str) -> Array:
        """K x K: of `level` minus `other`, for both tasks at once."""
        a, b = self.levels.index(level), self.levels.index(other)
        c = self.covariance_LKLK
        found: Array = c[a, :, a] - c[a, :, b] - c[b, :, a] + c[b, :, b]
        return found

    def part(self, level: str, other: str, weight_K: Array) -> float:
        """Variance of `level` minus `other`, on the tasks' weighted sum; not below zero."""
        return max(float(weight_K @ self.of(level, other) @ weight_K), 0.0)


def load(
    connection: sa.Connection,
    data_hash: str,
    tasks: tuple[str, ...],
    runs: Mapping[str, tuple[str, ...]],
    over: tuple[int, ...],
) -> Sampling | None:
    """Of levels on one test set; `runs` has each level's trainings, one for each of `over`.

    Levels without all their predictions are left out; None if none is left or there are no
    labels to judge them by. One replicate's predictions are in memory at a time.
    """
    labels = labels_of(connection, data_hash)
    if not set(tasks) <= set(labels) or min(_smaller_class(labels[t]) for t in tasks) < 2:
        return None
    kept = _kept(connection, [run for ids in runs.values() for run in ids])
    whole = tuple(
        level for level, ids in runs.items() if {(r, t) for r in ids for t in tasks} <= kept
    )
    if not whole:
        return None
    trainings = zip(*(runs[level] for level in whole), strict=True)
    unit_N = units_of(connection, data_hash)
    wanted = {task: labels[task] for task in tasks}
    found_CC = shared_covariance(influences(connection, ids, wanted, unit_N) for ids in trainings)
    shape = (len(whole), len(tasks))
    units = None if unit_N is None else int(unit_N.max()) + 1
    return Sampling(whole, found_CC.reshape(shape * 2), over, units)


def influences(
    connection: sa.Connection,
    ids: tuple[str, ...],
    labels: Mapping[str, Labels],
    unit_N: NDArray[np.int64] | None,
) -> Array:
    """N x C, or U x C, of the trainings `ids`, their tasks side by side."""
    keys = [(run, task) for run in ids for task in labels]
    influence_NC = np.empty((len(next(iter(labels.values()))), len(keys)), order="F")
    for run, task, packed in _predictions(connection, ids):
        places = [c for c, key in enumerate(keys) if key == (run, task)]
        if places:
            found_N = influence(unpack_ranks(packed), labels[task])
            influence_NC[:, places] = found_N[:, None]
    return by_unit(influence_NC, unit_N)


def labels_of(connection: sa.Connection, data_hash: str) -> dict[str, Labels]:
    """The test rows' labels of a data set, by task."""
    found = connection.execute(sa.select(LABELS).filter_by(data_hash=data_hash))
    return {
        row.task: np.unpackbits(np.frombuffer(row.bits, np.uint8), count=row.rows).astype(bool)
        for row in found
    }


def units_of(connection: sa.Connection, data_hash: str) -> NDArray[np.int64] | None:
    """Whose each test row of a data set is; None where the data has no users."""
    query = sa.select(UNITS.c.packed).filter_by(data_hash=data_hash)
    packed: bytes | None = connection.scalar(query)
    return None if packed is None else unpack_units(packed)


def _smaller_class(positive_N: Labels) -> int:
    positives = int(positive_N.sum())
    return min(positives, len(positive_N) - positives)


def _kept(connection: sa.Connection, ids: list[str]) -> set[tuple[str, str]]:
    """(training, task) of all predictions that are there."""
    found: set[tuple[str, str]] = set()
    for some in _pieces(ids):
        query = sa.select(PREDICTIONS.c.run_id, PREDICTIONS.c.task)
        rows = connection.execute(query.where(PREDICTIONS.c.run_id.in_(some)))
        found.update((row.run_id, row.task) for row in rows)
    return found


def _predictions(
    connection: sa.Connection, ids: tuple[str, ...]
) -> Iterator[tuple[str, str, bytes]]:
    for some in _pieces(list(ids)):
        for row in connection.execute(
            sa.select(PREDICTIONS).where(PREDICTIONS.c.run_id.in_(some))
        ):
            yield row.run_id, row.task, row.ranks


def _pieces(ids: list[str], size: int = 50) -> Iterator[list[str]]:
    """Databases limit the number of parameters, and so does memory."""
    return (ids[start : start + size] for start in range(0, len(ids), size))
