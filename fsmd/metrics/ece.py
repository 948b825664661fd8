"""Expected calibration error: how far predicted rates are from observed ones, bin by bin.

Its bins are of equal mass: at a rate of 1 % nearly all rows would lie in one of equal width. Of
few rows it is above 0 for a perfect model too, by what chance does to each bin.
"""

from collections.abc import Iterator, Sequence

import numpy as np

from fsmd.metrics.metric import Array, Metric, Rows, probabilities, share
from fsmd.metrics.ties import Integers, Runs

BINS = 15


def binned(rows: Rows, before: float, total: float) -> Integers:
    """The bin of each row, N; `before`: the weight of rows with lower scores, of `total` in all.

    Rows of one score are in the bin in which the middle of their weight falls.
    """
    runs = Runs(rows.score_N)
    weight_R = runs.of_runs(rows.weight_N)
    middle_R = before + np.cumsum(weight_R) - weight_R / 2
    bin_R = np.minimum((middle_R * BINS / total).astype(np.int64), BINS - 1)
    return np.asarray(bin_R[runs.run_N])


def _gaps(rows: Rows) -> Array:
    return np.asarray(rows.weight_N * (probabilities(rows.score_N) - rows.label_N))


def _by_bin(bin_N: Integers, gap_N: Array) -> Array:
    return np.asarray(np.bincount(bin_N, gap_N, minlength=BINS), float)


def _gap_of_bins(parts: Sequence[Rows], total: float) -> Iterator[Array]:
    before = 0.0
    for rows in parts:
        yield _by_bin(binned(rows, before, total), _gaps(rows))
        before += rows.weight_N.sum()


def _ece(parts: Sequence[Rows]) -> float:
    """Mean distance of predicted from observed rate over bins that hold the same weight."""
    total = sum(float(rows.weight_N.sum()) for rows in parts)
    return float(np.abs(sum(_gap_of_bins(parts, total))).sum() / total)


def _ece_influence(rows: Rows) -> Array:
    """With bins, and whether each predicts too much or too little, taken as they are."""
    bin_N, gap_N = binned(rows, 0.0, rows.weight_N.sum()), _gaps(rows)
    sign_B = np.sign(_by_bin(bin_N, gap_N))
    moved_N = sign_B[bin_N] * gap_N / rows.weight_N
    return share(rows.weight_N) * (moved_N - np.average(moved_N, weights=rows.weight_N))


METRIC = Metric(
    "ece", "ECE", high=1.0, of=_ece, influence=_ece_influence, by_score=True, calibration=True
)
