"""Predicted over observed: the sum of the probabilities over that of the labels. 1 is right."""

from collections.abc import Sequence

from fsmd.metrics.metric import Array, Metric, Rows, probabilities, summed


def _sums(rows: Rows) -> tuple[float, float]:
    """Of the probabilities and of the labels."""
    predicted = rows.weight_N @ probabilities(rows.score_N)
    return float(predicted), float(rows.weight_N @ rows.label_N)


def pcoc(parts: Sequence[Rows]) -> float:
    """NaN without a positive row."""
    predicted, observed = summed(parts, _sums)
    return predicted / observed if observed > 0 else float("nan")


def pcoc_influence(rows: Rows) -> Array:
    """Needs a positive row."""
    predicted, observed = _sums(rows)
    if not observed:
        return rows.weight_N * float("nan")
    gap_N = probabilities(rows.score_N) - predicted / observed * rows.label_N
    moved_N: Array = len(gap_N) * rows.weight_N * gap_N / observed
    return moved_N


METRIC = Metric(
    "pcoc",
    "PCOC",
    of=pcoc,
    influence=pcoc_influence,
    judges=False,
    calibration=True,
    margin=0.01,
)
