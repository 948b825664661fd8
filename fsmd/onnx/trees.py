"""Trees as one node of ONNX, compared and summed with 64 bits.

Suffixes: B rows, F numbers, M nodes of all trees of a target, K targets.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from fsmd.baselines.nodes import LEAF, Nodes
from fsmd.onnx.graph import Graph


def add_trees(graph: Graph, number_BF: str, forests: Sequence[Nodes], equal: bool) -> str:
    """The sum of each target's trees, B x K float32, of numbers of 64 bits.

    forests: of each target; thresholds and values may have 64 bits here. equal: whether a number
    that is equal to a threshold goes left. There must be a tree.
    """
    first = np.cumsum([0, *(len(forest.roots) for forest in forests)])
    own = [np.searchsorted(f.roots, np.arange(len(f.feature)), "right") - 1 for f in forests]
    tree = np.concatenate([first[k] + own_M for k, own_M in enumerate(own)])
    start = np.concatenate([f.roots[own_M] for f, own_M in zip(forests, own, strict=True)])
    target = np.repeat(np.arange(len(forests)), [len(f.feature) for f in forests])
    position = np.concatenate([np.arange(len(f.feature)) for f in forests])

    def joined(part: str) -> NDArray[Any]:
        return np.concatenate([getattr(forest, part) for forest in forests])

    is_leaf = joined("feature") == LEAF
    mode = "BRANCH_LEQ" if equal else "BRANCH_LT"

    def steps(part: str) -> list[int]:
        node: list[int] = np.where(is_leaf, 0, joined(part) - start).tolist()
        return node

    attributes = {
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "n_targets": len(forests),
        "nodes_treeids": tree.tolist(),
        "nodes_nodeids": (position - start).tolist(),
        "nodes_featureids": np.where(is_leaf, 0, joined("feature")).tolist(),
        "nodes_modes": np.where(is_leaf, "LEAF", mode).tolist(),
        "nodes_values_as_tensor": _doubles(np.where(is_leaf, 0.0, joined("threshold"))),
        "nodes_truenodeids": steps("left"),
        "nodes_falsenodeids": steps("right"),
        "target_treeids": tree[is_leaf].tolist(),
        "target_nodeids": (position - start)[is_leaf].tolist(),
        "target_ids": target[is_leaf].tolist(),
        "target_weights_as_tensor": _doubles(joined("value")[is_leaf]),
    }
    return graph.trees(number_BF, attributes, len(tree))


def _doubles(values: NDArray[Any]) -> object:
    return numpy_helper.from_array(values.astype(np.float64))
