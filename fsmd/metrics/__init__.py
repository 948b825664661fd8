"""What is measured of predictions: numpy, exact, and with each row's influence on it.

Suffixes: N rows, S different scores. A score is the log-odds of a task over all rows. Labels are
0, 1, or NaN where a row was not observed; such a row, and one of weight 0, counts for nothing.
`influence` is N numbers of mean 0 whose sum of squares over N squared is the figure's variance
over samples of rows (DeLong et al. 1988). A new metric is one file here with a `METRIC`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmd.folder import held
from fsmd.metrics.metric import Array, Metric

__all__ = ["METRICS", "Array", "Metric", "influences", "measured"]


METRICS: Mapping[str, Metric] = MappingProxyType(
    {metric.name: metric for metric in held(__name__, "METRIC", Metric).values()}
)
"""Every metric by its name."""

Floats = NDArray[np.floating[Any]]


def measured(
    metric: Metric, score_N: Floats, label_N: Floats, weight_N: Floats | None = None
) -> float | None:
    """The figure over the rows that were observed; None where they do not define it.

    Raises ValueError for a NaN among the scores.
    """
    if np.isnan(score_N).any():
        raise ValueError(f"{metric.label} of scores that are not numbers")
    observed_N = ~np.isnan(label_N)
    weight_N = np.ones(len(label_N)) if weight_N is None else weight_N
    value = metric.of(*(np.asarray(x, float)[observed_N] for x in (score_N, label_N, weight_N)))
    return None if np.isnan(value) else value


def influences(
    metric: Metric, score_N: Floats, label_N: Floats, weight_N: Floats | None = None
) -> Array:
    """What each row does to the figure; 0 where it was not observed. See `measured`."""
    assert metric.influence is not None
    observed_N = ~np.isnan(label_N)
    used_N = np.where(observed_N, 1.0 if weight_N is None else weight_N, 0.0)
    return metric.influence(np.asarray(score_N, float), np.where(observed_N, label_N, 0.0), used_N)
