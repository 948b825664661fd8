"""Scores of encoded rows by a trained baseline: numpy alone."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsmd.baselines.columns import MeanLabels, fields_of, member_means
from fsmd.baselines.nodes import Nodes
from fsmd.data.schema import Floats, Ids, Schema

PART = 65_536
"""Rows at once: memory is bounded."""

Arrays = Mapping[str, NDArray[Any]]


def log_odds(arrays: Arrays, schema: Schema, id_NC: Ids, dense_ND: Floats) -> Floats:
    """N x K of a trained baseline's arrays (`fsmd.baselines` has what they are)."""
    score_NK = np.empty((len(id_NC), len(schema.tasks)), np.float32)
    way = _by_trees if "rates" in arrays else _linear
    for start in range(0, len(id_NC), PART):
        some = slice(start, start + PART)
        score_NK[some] = way(arrays, schema, np.asarray(id_NC[some]), np.asarray(dense_ND[some]))
    return score_NK


def _linear(arrays: Arrays, schema: Schema, id_NC: Ids, dense_ND: Floats) -> NDArray[Any]:
    score_NK = np.repeat(arrays["bias"][None].astype(float), len(id_NC), 0)
    if "ids" in arrays:
        score_NK += dense_ND.astype(float) @ arrays["dense"]
        for k, weight_R in enumerate(arrays["ids"].T):
            for field in fields_of(schema):
                score_NK[:, k] += member_means(weight_R, field, id_NC, 0.0)
    return score_NK


def _by_trees(arrays: Arrays, schema: Schema, id_NC: Ids, dense_ND: Floats) -> NDArray[Any]:
    scores = []
    for k, overall in enumerate(arrays["overall"]):
        means = MeanLabels(arrays["rates"][:, k], arrays["counts"][:, k], overall)
        numbers_NF = means.numbers(schema, id_NC, dense_ND)
        nodes = Nodes.of_arrays(arrays, k)
        scores.append(float(arrays[f"{k}.base"][0]) + nodes.scores(numbers_NF))
    return np.stack(scores, 1)
