"""How far predicted over observed is from 1, by a factor: |ln PCOC|, alike for 1.25 and 0.8."""

from collections.abc import Sequence
from math import inf, log, nan

import numpy as np

from fsmd.metrics.metric import Array, Metric, Rows
from fsmd.metrics.pcoc import pcoc, pcoc_influence


def _pcoc_error(parts: Sequence[Rows]) -> float:
    ratio = pcoc(parts)
    return abs(log(ratio)) if 0 < ratio < inf else nan


def _pcoc_error_influence(rows: Rows) -> Array:
    ratio = pcoc((rows,))
    return np.asarray(np.sign(np.log(ratio)) * pcoc_influence(rows) / ratio)


METRIC = Metric(
    "pcoc_error",
    "|ln PCOC|",
    of=_pcoc_error,
    influence=_pcoc_error_influence,
    calibration=True,
    margin=0.01,
)
