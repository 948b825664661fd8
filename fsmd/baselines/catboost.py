"""Gradient-boosted trees of CatBoost, on the same numbers as `trees`."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fsmd.baselines.columns import TaskRows
from fsmd.baselines.config import Baseline
from fsmd.baselines.grown import BaselineTask, Grown
from fsmd.baselines.libraries import library
from fsmd.baselines.nodes import LEAF, Nodes, tree
from fsmd.baselines.trees import AHEAD, TREES, Boosted, boosted
from fsmd.data.schema import Floats


def grown(asked: BaselineTask) -> Iterator[Grown]:
    """After each epoch."""
    library("catboost")
    return boosted(asked, _boost)


def _boost(config: Baseline, number_NF: Floats, rows: TaskRows, trees: int, seed: int) -> Boosted:
    catboost = library("catboost")
    pool = catboost.Pool(number_NF, rows.label_N, weight=rows.weight_N)
    pool.quantize()
    fitted: list[Any] = []

    def fit(count: int) -> tuple[float, list[Nodes]]:
        model = catboost.CatBoostClassifier(
            iterations=count,
            learning_rate=config.learning_rate,
            depth=config.depth,
            boost_from_average=not fitted,  # a later part begins from the one before
            random_seed=(seed + len(fitted)) % 2**31,  # else each part draws what the first did
            thread_count=1,
            allow_writing_files=False,
            logging_level="Silent",
        )
        model.fit(pool, init_model=fitted[-1] if fitted else None)
        fitted.append(model)
        return _trees(model)

    def grow() -> Iterator[Nodes]:
        yield from first
        for count in range(TREES * AHEAD, trees, TREES * AHEAD):
            _, every = fit(min(TREES * AHEAD, trees - count))
            yield from every[count:]

    base, first = fit(min(trees, TREES * AHEAD))
    return base, grow()


def _trees(model: Any) -> tuple[float, list[Nodes]]:
    with TemporaryDirectory(prefix="fsmd-catboost-") as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        facts = json.loads(path.read_text("utf-8"))
    scale, (bias,) = facts["scale_and_bias"]
    return float(bias), [_tree(each, scale) for each in facts["oblivious_trees"]]


def _tree(facts: Mapping[str, Any], scale: float) -> Nodes:
    """A whole tree whose level d has split number depth - 1 - d: bit i of a leaf is split i."""
    splits = (facts["splits"] or [])[::-1]
    depth = len(splits)
    inner, leaves = 2**depth - 1, 2**depth
    level_M = np.log2(np.arange(1, inner + 1)).astype(int)
    features = np.array([split["float_feature_index"] for split in splits], int)
    borders = np.array([split["border"] for split in splits], np.float32)
    child_M = 2 * np.arange(inner) + 1
    empty = np.zeros(leaves)
    return tree(
        np.concatenate([features[level_M], np.full(leaves, LEAF)]),
        np.concatenate([borders[level_M].astype(float), empty]),
        np.concatenate([child_M, empty]),
        np.concatenate([child_M + 1, empty]),
        np.concatenate([np.zeros(inner), scale * np.array(facts["leaf_values"])]),
    )
