"""The layers of `fsmd.model.FSMD` as nodes of ONNX, as they predict.

Batch norm is folded into the weights before it; dropout and the bias tower are gone.

Suffixes: B rows, C columns of ids, F fields, D numbers, E embedding size, O outputs of the FM,
N experts, H a hidden width, K tasks.
"""

from collections.abc import Mapping, Sequence
from itertools import count, takewhile
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fsmd.config import FSMDConfig
from fsmd.data.schema import Schema
from fsmd.onnx.encoder import EncodedRows
from fsmd.onnx.graph import Graph
from fsmd.onnx.tables import IdTables

_EPSILON = 1e-5  # that torch's batch norm adds to a variance

Tensors = Mapping[str, NDArray[Any]]


def add_network(
    graph: Graph, rows: EncodedRows, config: FSMDConfig, schema: Schema, tensors: Tensors
) -> str:
    """Logits B x K: of each task or, with the chain, of each given the one that it follows."""
    tasks = len(schema.tasks)
    inputs = _Inputs(graph, rows, schema, tensors)
    sources = tasks if config.sharing == "none" else 1
    deep, wide = [], []
    for source in range(sources):
        vector_BFE = inputs.vectors(f"embeddings.{source}.table.weight")
        deep.append(inputs.deep(vector_BFE))
        if config.fm != "none":
            wide.append(inputs.factorization_machine(f"fms.{source}", vector_BFE))
    layers = _Layers(graph, tensors)
    x_K = deep if sources > 1 else deep * tasks
    if config.sharing in ("none", "embeddings"):
        x_K = [layers.hidden(f"sharing.own.{k}", x) for k, x in enumerate(x_K)]
    elif config.sharing == "bottom":
        x_K = [layers.hidden("sharing.bottom", x_K[0])] * tasks
    else:
        x_K = _experts(layers, config, x_K[0], tasks)
    logits = [
        layers.linear(f"towers.{k}.logit", layers.hidden(f"towers.{k}.hidden", x_BH))
        for k, x_BH in enumerate(x_K)
    ]
    logit_BK = graph.concat(logits, 1)
    if not wide:
        return logit_BK
    return graph.add("Add", graph.cast(logit_BK, TensorProto.DOUBLE), graph.concat(wide, 1))


class _Inputs:
    """What embeddings and factorization machines make of encoded rows."""

    def __init__(self, graph: Graph, rows: EncodedRows, schema: Schema, tensors: Tensors) -> None:
        self._graph, self._dense_BD, self._tensors = graph, rows.dense_BD, tensors
        self._tables = rows.ids_BC and IdTables(graph, rows.ids_BC, schema.categorical)
        self._fields = len(schema.categorical)

    def vectors(self, name: str) -> str | None:
        """Each field's vector of a table, B x F x size; None where there are no fields."""
        return self._tables.means(self._tensors[name], name) if self._tables else None

    def deep(self, vector_BFE: str | None) -> str:
        """Vectors and numbers side by side, B x I."""
        parts = [self._dense_BD] if self._dense_BD is not None else []
        if vector_BFE is not None:
            size = self._fields * self._tensors["embeddings.0.table.weight"].shape[1]
            parts.insert(0, self._graph.reshape(vector_BFE, [-1, size]))
        return self._graph.concat(parts, 1)

    def factorization_machine(self, name: str, vector_BFE: str | None) -> str:
        """y_FM, B x O float64: its large sums and squares cancel each other."""
        graph, tensors = self._graph, self._tensors
        dense_BD = self._dense_BD and graph.cast(self._dense_BD, TensorProto.DOUBLE)
        orders = []
        first_BFO = self.vectors(f"{name}.weight.weight")
        if first_BFO is not None:
            orders.append(self._sum(graph.cast(first_BFO, TensorProto.DOUBLE)))
        if dense_BD is not None:
            weight_DO = graph.constant(tensors[f"{name}.dense_weight"], np.float64)
            orders.append(graph.add("MatMul", dense_BD, weight_DO))
        if f"{name}.dense_vector" in tensors:
            second_B1 = self._second_order(tensors[f"{name}.dense_vector"], vector_BFE, dense_BD)
            scale_O = tensors.get(f"{name}.scale", 1.0)
            orders.append(graph.add("Mul", second_B1, graph.constant(scale_O, np.float64)))
        total = graph.constant(tensors[f"{name}.bias"], np.float64)
        for order in orders:
            total = graph.add("Add", total, order)
        return total

    def _second_order(
        self, vector_DE: NDArray[Any], vector_BFE: str | None, dense_BD: str | None
    ) -> str:
        """Half of the squared sum of all vectors less the sum of their squares, B x 1."""
        graph, parts = self._graph, []
        if vector_BFE is not None:
            parts.append(graph.cast(vector_BFE, TensorProto.DOUBLE))
        if dense_BD is not None:
            dense_BD1 = graph.add("Unsqueeze", dense_BD, graph.constant([2], np.int64))
            parts.append(graph.add("Mul", dense_BD1, graph.constant(vector_DE, np.float64)))
        part_BGE = graph.concat(parts, 1)
        sum_BE, square_BGE = self._sum(part_BGE), graph.add("Mul", part_BGE, part_BGE)
        twice_BE = graph.add("Sub", graph.add("Mul", sum_BE, sum_BE), self._sum(square_BGE))
        half = graph.constant(0.5, np.float64)
        return graph.add("Mul", self._sum(twice_BE, keep=True), half)

    def _sum(self, value: str, keep: bool = False) -> str:
        axis = self._graph.constant([1], np.int64)
        return self._graph.add("ReduceSum", value, axis, keepdims=int(keep))


class _Layers:
    """Linear layers, by their names in the model's state."""

    def __init__(self, graph: Graph, tensors: Tensors) -> None:
        self.graph, self._tensors = graph, tensors

    def has(self, name: str) -> bool:
        """Whether there is a layer of that name."""
        return f"{name}.weight" in self._tensors

    def linear(self, name: str, x: str) -> str:
        """One layer without batch norm."""
        weight_HI, bias_H = self._tensors[f"{name}.weight"], self._tensors[f"{name}.bias"]
        return self._linear(name, x, weight_HI.T, bias_H)

    def hidden(self, name: str, x: str, network: int = 0) -> str:
        """Hidden layers of one of the networks side by side; `x` itself where there are none."""
        for layer in takewhile(self.has, (f"{name}.{i}" for i in count())):
            weight_IH = self._tensors[f"{layer}.weight"][network]
            if f"{layer}.bias" in self._tensors:
                bias_H = self._tensors[f"{layer}.bias"][network]
            else:
                weight_IH, bias_H = self._folded(f"{layer}.norm", weight_IH, network)
            linear = self._linear(f"{layer}.{network}", x, weight_IH, bias_H)
            x = self.graph.add("Relu", linear)
        return x

    def _folded(self, norm: str, weight_IH: Any, network: int) -> tuple[Any, Any]:
        """Weights and bias that do what the weights and the batch norm behind them do."""
        width = weight_IH.shape[1]
        own = slice(network * width, (network + 1) * width)
        scale_H, shift_H, mean_H, variance_H = (
            self._tensors[f"{norm}.{part}"][own].astype(np.float64)
            for part in ("weight", "bias", "running_mean", "running_var")
        )
        factor_H = scale_H / np.sqrt(variance_H + _EPSILON)
        return weight_IH * factor_H, shift_H - mean_H * factor_H

    def _linear(self, name: str, x: str, weight_IH: Any, bias_H: Any) -> str:
        weight = self.graph.constant(weight_IH, np.float32, f"{name}.weight")
        bias = self.graph.constant(bias_H, np.float32, f"{name}.bias")
        return self.graph.add("Gemm", x, weight, bias)


def _experts(layers: _Layers, config: FSMDConfig, x: str, tasks: int) -> list[str]:
    """What each task's tower reads, B x H."""
    shared = layers.hidden("sharing.bottom", x)
    x_K, own = [shared] * tasks, config.own_count
    for level in range(config.extraction_levels):
        name = f"sharing.levels.{level}"
        shared_N = [
            layers.hidden(f"{name}.shared", shared, i) for i in range(config.expert_count - own)
        ]
        own_K_N = [
            [layers.hidden(f"{name}.own.{k}", x_BH, i) for i in range(own)]
            for k, x_BH in enumerate(x_K)
        ]
        x_K = [
            _mixed(layers, f"{name}.gates.{k}", x_BH, [*shared_N, *own_K_N[k]])
            for k, x_BH in enumerate(x_K)
        ]
        if level < config.extraction_levels - 1:
            everyone = [*shared_N, *(expert for own_N in own_K_N for expert in own_N)]
            shared = _mixed(layers, f"{name}.shared_gate", shared, everyone)
    return x_K


def _mixed(layers: _Layers, gate: str, x: str, expert_N_BH: Sequence[str]) -> str:
    """The gate's weighted sum of the experts' outputs, B x H."""
    graph, count = layers.graph, len(expert_N_BH)
    if not layers.has(f"{gate}.score"):
        weight = graph.constant(1 / count, np.float32)
        weights = [weight] * count
    else:
        score_BN = layers.linear(f"{gate}.score", layers.hidden(f"{gate}.hidden", x))
        weight_BN = graph.add("Softmax", score_BN, axis=1)
        weights = [weight_BN]
        if count > 1:
            weights = graph.several("Split", weight_BN, count=count, axis=1, num_outputs=count)
    parts = [
        graph.add("Mul", weight, expert)
        for weight, expert in zip(weights, expert_N_BH, strict=True)
    ]
    return parts[0] if count == 1 else graph.add("Sum", *parts)
