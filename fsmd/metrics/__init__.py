"""What is measured of predictions: numpy, exact, and with each row's influence on it.

Suffixes: N rows, R runs of equal scores, G groups. A score is the log-odds of a task over all
rows. Labels are 0, 1, or NaN where a row was not observed; such a row, and one of weight 0, counts
for nothing. `influence` is N numbers of mean 0 whose sum of squares over N squared is the figure's
variance over samples of rows (DeLong et al. 1988), or, of a mean over groups and summed by unit,
over samples of units. A new metric is one file here with a `METRIC`.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fsmd.folder import held
from fsmd.metrics import ndcg
from fsmd.metrics.metric import Array, Metric, Rows
from fsmd.metrics.parts import ScoredRows, in_parts

__all__ = [
    "METRICS",
    "Array",
    "Coverage",
    "GroupCodes",
    "Metric",
    "Rows",
    "coverage",
    "influences",
    "is_certain",
    "measured",
]


class _Metrics(Mapping[str, Metric]):
    """By name; it goes through those that are shown everywhere and knows every `ndcg@K`."""

    def __init__(self, shown: Mapping[str, Metric]) -> None:
        self._shown = shown

    def __getitem__(self, name: str) -> Metric:
        found = (self._shown.get(name) or ndcg.named(name)) if isinstance(name, str) else None
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._shown)

    def __len__(self) -> int:
        return len(self._shown)


METRICS: Mapping[str, Metric] = _Metrics(
    {metric.name: metric for metric in held(__name__, "METRIC", Metric).values()}
)
"""Every metric by its name."""

Floats = NDArray[np.floating[Any]]
GroupCodes = Mapping[str, NDArray[Any]]
"""user, request -> a whole number for each of N rows; rows of one user share it."""


def measured(
    metric: Metric,
    score_N: Floats,
    label_N: Floats,
    weight_N: Floats | None = None,
    groups: GroupCodes | None = None,
) -> float | None:
    """The figure over the rows that were observed; None where they do not define it.

    So it is where the metric's groups are not among `groups`. Memory is bounded (see `parts`).
    Raises ValueError for a NaN among the scores.
    """
    columns = _columns(metric, score_N, label_N, weight_N, groups)
    if columns is None:
        return None
    with in_parts(columns, metric) as parts:
        value = metric.of(parts) if parts else float("nan")
    return None if np.isnan(value) else float(value)


def influences(
    metric: Metric,
    score_N: Floats,
    label_N: Floats,
    weight_N: Floats | None = None,
    groups: GroupCodes | None = None,
) -> Array:
    """What each row does to the figure; 0 where it counts for nothing. See `measured`.

    NaN where there are too few rows, or groups, to tell.
    """
    columns = _columns(metric, score_N, label_N, weight_N, groups)
    if columns is None:
        return np.full(len(score_N), np.nan)
    used_N, rows = columns.used(), columns.rows()
    moved_N = np.zeros(len(used_N))
    if used_N.any():
        moved_N[used_N] = metric.influence(rows) * (len(used_N) / len(rows.score_N))
    return moved_N


def is_certain(
    metric: Metric,
    label_N: Floats,
    weight_N: Floats | None = None,
    groups: GroupCodes | None = None,
) -> bool:
    """Whether the rows tell how sure the figure of any scores of theirs is."""
    score_N = np.linspace(-1, 1, len(label_N))
    with np.errstate(all="ignore"):
        moved_N = influences(metric, score_N, label_N, weight_N, groups)
    counts_N = ~np.isnan(label_N) & (True if weight_N is None else np.asarray(weight_N) > 0)
    return bool(np.isfinite(moved_N).all() and counts_N.any())


class Coverage(NamedTuple):
    """How many groups a mean over groups is of; the others do not define it."""

    used: int
    skipped: int
    rows: float
    """The share of the rows that count which the used groups hold."""


def coverage(
    metric: Metric,
    label_N: Floats,
    weight_N: Floats | None = None,
    groups: GroupCodes | None = None,
) -> Coverage | None:
    """Of a metric that is a mean over groups; None for any other, or where these are not known."""
    columns = _columns(metric, np.zeros(len(label_N)), label_N, weight_N, groups)
    if columns is None or metric.groups is None or not columns.used().any():
        return None
    found = metric.groups(columns.rows())
    used_G = ~np.isnan(found.value_G)
    used = int(used_G.sum())
    return Coverage(used, len(used_G) - used, float(used_G[found.group_N].mean()))


def _columns(
    metric: Metric,
    score_N: Floats,
    label_N: Floats,
    weight_N: Floats | None,
    groups: GroupCodes | None,
) -> ScoredRows | None:
    """None without the metric's groups."""
    group_N = (groups or {}).get(metric.group or "")
    if metric.group and group_N is None:
        return None
    columns = [np.asarray(x) for x in (score_N, label_N)]
    return ScoredRows(columns[0], columns[1], weight_N, group_N)
