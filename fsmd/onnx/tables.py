"""Rows of tables by encoded ids, as nodes of ONNX.

Suffixes: B rows, C columns of ids, F fields, S numbers of a table's row.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from fsmd.data.schema import Field
from fsmd.model import Columns
from fsmd.onnx.graph import Graph


class IdTables:
    """Where the ids of all fields stand in tables that have a row for each of them."""

    def __init__(self, graph: Graph, ids_BC: str, fields: Sequence[Field]) -> None:
        self._graph, self._columns = graph, Columns(fields)
        self._runs = list(_runs(fields))
        self.fields = len(fields)
        offset_C = graph.constant(self._columns.offset_C.numpy(), np.int64)
        self._row_BC = graph.add("Add", ids_BC, offset_C)
        self._counts: list[str] = []
        """Ids that a row has of each field of several, B x 1 x 1."""
        if not self._columns.blank:
            return
        is_there = graph.add("GreaterOrEqual", ids_BC, graph.constant(0, np.int64))
        blank = graph.constant(self._columns.rows, np.int64)
        self._row_BC = graph.add("Where", is_there, self._row_BC, blank)
        there_BC = graph.cast(is_there, TensorProto.FLOAT)
        there_BC1 = graph.add("Unsqueeze", there_BC, graph.constant([2], np.int64))
        self._counts = [
            self._sum(part)
            for part, several in zip(self._parts(there_BC1), self._runs, strict=True)
            if several[0]
        ]

    def means(self, table_RS: NDArray[Any], name: str, empty_S: NDArray[Any] | None = None) -> str:
        """Each field's numbers, B x F x S: the mean over the row's ids.

        empty_S: of a row without an id of the field; None: zeros.
        """
        graph = self._graph
        if self._columns.blank and len(table_RS) == self._columns.rows:
            table_RS = np.concatenate([table_RS, np.zeros_like(table_RS[:1])])
        table = graph.constant(table_RS, np.float32, name)
        value_BCS = graph.add("Gather", table, self._row_BC, axis=0)
        if not self._counts:
            return value_BCS
        means, counts = [], iter(self._counts)
        for part, (several, _) in zip(self._parts(value_BCS), self._runs, strict=True):
            if not several:
                means.append(part)
                continue
            count = next(counts)
            least = graph.add("Max", count, graph.constant(1.0, np.float32))
            mean = graph.add("Div", self._sum(part), least)
            if empty_S is not None:
                is_empty = graph.add("Equal", count, graph.constant(0.0, np.float32))
                mean = graph.add("Where", is_empty, graph.constant(empty_S, np.float32), mean)
            means.append(mean)
        return graph.concat(means, 1)

    def _parts(self, value_BCS: str) -> list[str]:
        """The columns of each of the runs."""
        if len(self._runs) == 1:
            return [value_BCS]
        sizes = self._graph.constant([columns for _, columns in self._runs], np.int64)
        return self._graph.several("Split", value_BCS, sizes, count=len(self._runs), axis=1)

    def _sum(self, value_BLS: str) -> str:
        axis = self._graph.constant([1], np.int64)
        return self._graph.add("ReduceSum", value_BLS, axis, keepdims=1)


def _runs(fields: Sequence[Field]) -> Iterator[tuple[bool, int]]:
    """Whether it is a field of several columns, and columns: of each such field, and of the
    fields between two of them."""
    for several, run in groupby(fields, lambda field: field.length > 1):
        lengths = [field.length for field in run]
        yield from [(True, length) for length in lengths] if several else [(False, sum(lengths))]
