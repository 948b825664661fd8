"""Gradient-boosted trees of LightGBM, on the same numbers as `trees`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from fsmd.baselines.columns import TaskRows
from fsmd.baselines.config import Baseline
from fsmd.baselines.grown import BaselineTask, Grown
from fsmd.baselines.libraries import library
from fsmd.baselines.nodes import LEAF, Nodes, tree
from fsmd.baselines.trees import SHARE, Boosted, boosted
from fsmd.data.schema import Floats


def grown(asked: BaselineTask) -> Iterator[Grown]:
    """After each epoch."""
    library("lightgbm")
    return boosted(asked, _boost)


def _boost(config: Baseline, number_NF: Floats, rows: TaskRows, trees: int, seed: int) -> Boosted:
    lightgbm = library("lightgbm")
    params = {
        "objective": "binary",
        "learning_rate": config.learning_rate,
        "num_leaves": config.leaves,
        "min_data_in_leaf": config.min_rows,
        "feature_fraction_bynode": SHARE,
        "use_missing": False,
        "num_threads": 1,
        "deterministic": True,
        "force_row_wise": True,
        "seed": seed % 2**31,
        "verbosity": -1,
    }
    booster = lightgbm.Booster(
        params, lightgbm.Dataset(number_NF, rows.label_N, weight=rows.weight_N, params=params)
    )

    def grow() -> Iterator[Nodes]:
        for count in range(trees):
            is_over = booster.update()
            if is_over and count:  # the first tree has the rate, also where nothing can be split
                return
            (info,) = booster.dump_model(start_iteration=count, num_iteration=1)["tree_info"]
            yield _tree(info["tree_structure"])

    return 0.0, grow()  # the first tree has what comes before the trees


def _tree(root: Mapping[str, Any]) -> Nodes:
    nodes, ahead = list[list[float]](), [root]
    for node in ahead:  # grows on the way
        if "leaf_value" in node:
            nodes.append([LEAF, 0, 0, 0, node["leaf_value"]])
        else:
            children = [len(ahead), len(ahead) + 1]
            nodes.append([node["split_feature"], node["threshold"], *children, 0])
            ahead += [node["left_child"], node["right_child"]]
    return tree(*np.array(nodes).T)
