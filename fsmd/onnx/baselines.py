"""The simple models of `fsmd.baselines` as nodes of ONNX; their arrays are told there.

Suffixes: B rows, F fields, D numbers, W numbers that trees read, K tasks.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fsmd.baselines.nodes import LEAF, Nodes
from fsmd.data.schema import Schema
from fsmd.onnx.encoder import EncodedRows
from fsmd.onnx.graph import Graph
from fsmd.onnx.tables import IdTables
from fsmd.onnx.trees import add_trees

Arrays = Mapping[str, NDArray[Any]]


def add_baseline(graph: Graph, rows: EncodedRows, schema: Schema, arrays: Arrays) -> str:
    """Log-odds of each task over all rows, B x K."""
    alone = [replace(field, share=None) for field in schema.categorical]
    tables = IdTables(graph, rows.ids_BC, alone) if rows.ids_BC is not None else None
    if "rates" in arrays:
        return _trees(graph, rows, tables, arrays)
    return _linear(graph, rows, tables, arrays)


def _linear(graph: Graph, rows: EncodedRows, tables: IdTables | None, arrays: Arrays) -> str:
    """Computed with 64 bits, as in Python."""
    value = _of_all_rows(graph, rows, arrays["bias"])
    if "ids" not in arrays:
        return value
    if tables is not None:
        weight_BFK = graph.cast(tables.means(arrays["ids"], "ids"), TensorProto.DOUBLE)
        axis = graph.constant([1], np.int64)
        value = graph.add("Add", value, graph.add("ReduceSum", weight_BFK, axis, keepdims=0))
    if rows.dense_BD is not None:
        dense_BD = graph.cast(rows.dense_BD, TensorProto.DOUBLE)
        risen = graph.add("MatMul", dense_BD, graph.constant(arrays["dense"], np.float64))
        value = graph.add("Add", value, risen)
    return value


def _trees(graph: Graph, rows: EncodedRows, tables: IdTables | None, arrays: Arrays) -> str:
    """All tasks' trees in one node, which reads what all tasks have of the fields side by side."""
    tasks, fields = len(arrays["overall"]), 0 if tables is None else tables.fields
    base_BK = _of_all_rows(graph, rows, np.array([arrays[f"{k}.base"][0] for k in range(tasks)]))
    forests = [_forest(Nodes.of_arrays(arrays, k), k, tasks, fields) for k in range(tasks)]
    if not any(len(forest.roots) for forest in forests):
        return base_BK
    parts = [] if rows.dense_BD is None else [rows.dense_BD]
    if tables is not None:
        mean_RS = np.concatenate([arrays["rates"], arrays["counts"]], 1)
        empty_S = np.append(arrays["overall"], np.zeros(tasks))
        mean_BFS = tables.means(mean_RS, "rates and counts", empty_S)
        mean_BSF = graph.add("Transpose", mean_BFS, perm=[0, 2, 1])
        parts.insert(0, graph.reshape(mean_BSF, [-1, 2 * tasks * fields]))
    number_BW = graph.cast(graph.concat(parts, 1), TensorProto.DOUBLE)
    sum_BK = add_trees(graph, number_BW, forests, equal=True)
    return graph.add("Add", base_BK, graph.cast(sum_BK, TensorProto.DOUBLE))


def _forest(nodes: Nodes, k: int, tasks: int, fields: int) -> Nodes:
    """The trees of task k, with its own numbers among those of all: rates, counts, dense."""
    part = np.minimum(nodes.feature // fields, 2) if fields else 2
    moved = nodes.feature + fields * np.array([k, tasks - 1 + k, 2 * tasks - 2])[part]
    feature = np.where(nodes.feature == LEAF, LEAF, moved).astype(np.int32)
    return nodes._replace(feature=feature)


def _of_all_rows(graph: Graph, rows: EncodedRows, value_K: NDArray[Any]) -> str:
    """The same for each row, B x K float64."""
    encoded = rows.dense_BD if rows.ids_BC is None else rows.ids_BC
    assert encoded is not None
    count = graph.add("Shape", encoded, start=0, end=1)
    shape = graph.concat([count, graph.constant([len(value_K)], np.int64)], 0)
    return graph.add("Expand", graph.constant(value_K[None], np.float64), shape)
