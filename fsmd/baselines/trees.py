"""Gradient-boosted trees of scikit-learn on numbers alone; what is common to all such kinds."""

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier

from fsmd.baselines.columns import TaskRows, mean_labels
from fsmd.baselines.config import Baseline
from fsmd.baselines.grown import BaselineTask, Grown
from fsmd.baselines.nodes import LEAF, Nodes, joined, tree
from fsmd.data.schema import Floats

TREES = 10
"""In an epoch."""
AHEAD = 5
"""Epochs that are trained at once where a library begins each time with the rows anew."""
SHARE = 0.5
"""Of the numbers, drawn anew for each split or tree: so that seeds differ, and trees."""

Boosted = tuple[float, Iterator[Nodes]]
"""The score before the trees, and the trees, in the order in which they come."""
Boost = Callable[[Baseline, Floats, TaskRows, int, int], Boosted]
"""(config, numbers N x F, rows, trees at most, seed) -> trees."""


def boosted(asked: BaselineTask, boost: Boost) -> Iterator[Grown]:
    """After every `TREES` trees."""
    config, data, rows = asked.config, asked.data, asked.rows
    assert config.smoothing is not None
    means, number_NF = mean_labels(data, rows, config.smoothing)
    some_NF = number_NF[asked.some]
    valid_NF = means.numbers(data.schema, data.valid.ids, data.valid.dense)
    if rows.is_constant or not number_NF.shape[1]:
        base, trees = rows.log_odds, cast(Iterator[Nodes], iter(()))
    else:
        base, trees = boost(config, number_NF, rows, TREES * asked.epochs, asked.seed)
    grown, train_N, valid_N = joined(()), np.full(len(some_NF), base), np.full(len(valid_NF), base)
    for _ in range(asked.epochs):
        fresh = joined(islice(trees, TREES))
        grown = joined([grown, fresh])
        train_N, valid_N = train_N + fresh.scores(some_NF), valid_N + fresh.scores(valid_NF)
        arrays: dict[str, NDArray[Any]] = {
            "rates": means.rate_R,
            "counts": means.count_R,
            "overall": np.array(means.overall, np.float32),
            **grown.arrays(base),
        }
        yield Grown(arrays, train_N.astype(np.float32), valid_N.astype(np.float32))
        if len(fresh.roots) < TREES:
            return


def grown(asked: BaselineTask) -> Iterator[Grown]:
    """After every `TREES` trees."""
    return boosted(asked, _boost)


def _boost(config: Baseline, number_NF: Floats, rows: TaskRows, trees: int, seed: int) -> Boosted:
    model = HistGradientBoostingClassifier(
        learning_rate=config.learning_rate,
        max_leaf_nodes=config.leaves,
        min_samples_leaf=config.min_rows,
        max_features=SHARE,
        early_stopping=False,
        warm_start=True,
        random_state=seed % 2**32,
    )

    def fit(count: int) -> Any:
        model.set_params(max_iter=count)
        return model.fit(number_NF, rows.label_N, rows.weight_N)

    def grow() -> Iterator[Nodes]:
        for count in range(TREES * AHEAD, trees + TREES * AHEAD, TREES * AHEAD):
            if count > TREES * AHEAD:
                fit(min(count, trees))
            for (predictor,) in model._predictors[count - TREES * AHEAD :]:
                yield _tree(predictor.nodes)

    fit(min(trees, TREES * AHEAD))
    return float(model._baseline_prediction.ravel()[0]), grow()


def _tree(nodes: Any) -> Nodes:
    feature_M = np.where(nodes["is_leaf"], LEAF, nodes["feature_idx"])
    return tree(feature_M, nodes["num_threshold"], nodes["left"], nodes["right"], nodes["value"])
