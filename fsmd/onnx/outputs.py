"""From the logits of tasks to named probabilities, and to the combined score.

Suffixes: B rows, K tasks, O outputs.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fsmd.data.schema import Schema
from fsmd.metrics.steps import CERTAIN
from fsmd.onnx.graph import Graph
from fsmd.saved.head import SCORE, ModelOutput, outputs_of
from fsmd.score import Term, parse
from fsmd.tasks import names, parents

_OPERATORS = {"+": "Add", "-": "Sub", "*": "Mul", "/": "Div", "**": "Pow"}


def add_outputs(
    graph: Graph, logit_BK: str, schema: Schema, chained: bool, score: str | None
) -> None:
    """All outputs of `outputs_of`, one number a row each; computed with 64 bits.

    chained: whether the logit of a task that follows another is that of the step.
    """
    outputs = outputs_of(schema.tasks)
    logit_BK = graph.cast(logit_BK, TensorProto.DOUBLE)
    # log p = min(x, 0) - log(1 + exp(-|x|))
    below = graph.add("Exp", graph.add("Neg", graph.add("Abs", logit_BK)))
    rest = graph.add("Log", graph.add("Add", below, graph.constant(1.0, np.float64)))
    least = graph.add("Min", logit_BK, graph.constant(0.0, np.float64))
    log_BK = graph.add("Sub", least, rest)
    factor_KO, bound_O = _sums(schema, outputs, chained)
    log_BO = graph.add("MatMul", log_BK, graph.constant(factor_KO, np.float64))
    log_BO = graph.add("Min", log_BO, graph.constant(bound_O, np.float64))
    probability_BO = graph.cast(graph.add("Exp", log_BO), TensorProto.FLOAT)
    found = {}
    for o, output in enumerate(outputs):
        found[output.name] = _column(graph, probability_BO, o)
        graph.output(output.name, found[output.name])
    if score is not None:
        formula = parse(score, names(schema.tasks))
        of_task = {
            task: graph.cast(found[f"P({task})"], TensorProto.DOUBLE) for task in formula.tasks
        }
        value = _term(graph, formula.root, of_task)
        graph.output(SCORE, graph.cast(value, TensorProto.FLOAT))


def _sums(
    schema: Schema, outputs: Sequence[ModelOutput], chained: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Which tasks' log p make each output's when added, K x O, and what it is at most, O."""
    position = {name: k for k, name in enumerate(names(schema.tasks))}
    parent_K = parents(schema.tasks)
    factor_KO = np.zeros((len(position), len(outputs)))
    bound_O = np.zeros(len(outputs))
    for o, output in enumerate(outputs):
        assert output.task is not None
        k = position[output.task]
        factor_KO[k, o] = 1
        parent = parent_K[k]
        if chained and output.given is None:
            while parent is not None:
                factor_KO[parent, o] = 1
                parent = parent_K[parent]
        elif output.given is not None and not chained:
            factor_KO[position[output.given], o] = -1
            bound_O[o] = np.log1p(-CERTAIN)
    return factor_KO, bound_O


def _column(graph: Graph, value_BO: str, position: int) -> str:
    return graph.add("Gather", value_BO, graph.constant(position, np.int64), axis=1)


def _term(graph: Graph, term: Term, of_task: dict[str, str]) -> str:
    """A part of the formula."""
    if term.task is not None:
        return of_task[term.task]
    if term.operator is None:
        return graph.constant(term.number or 0.0, np.float64)
    assert term.left is not None
    assert term.right is not None
    left, right = (_term(graph, each, of_task) for each in (term.left, term.right))
    return graph.add(_OPERATORS[term.operator], left, right)
