"""The bound by matrix products: the linear layers' three products of a step, and nothing else."""

import time
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch

from fsmd.config import FSMDConfig
from fsmd.data.schema import Schema


class Layers(NamedTuple):
    """Linear layers of one shape."""

    inputs: int
    outputs: int
    number: int = 1
    one_input: bool = False
    """Whether all read the same rows, so that one product can stand for theirs."""

    @property
    def ways(self) -> "list[Layers]":
        """In which they can be multiplied: each by itself, and as one if that is possible."""
        if self.number == 1 or not self.one_input:
            return [self]
        return [self, Layers(self.inputs, self.outputs * self.number)]


def linear_layers(config: FSMDConfig, schema: Schema) -> Iterator[Layers]:
    """Those of a model of one bottom, or of experts; read from the paper, not from our modules."""
    tasks, width, levels = len(schema.tasks), config.layers[-1], config.extraction_levels
    d_in = config.embedding_size * len(schema.categorical) + len(schema.dense)
    if config.sharing == "bottom":
        yield from _mlp(d_in, config.layers, 1)
    else:
        own = config.own_count
        shared = config.expert_count - own
        for level in range(levels):
            source = width if level else d_in
            # What reads the same rows; at the first level all do.
            readers = [shared, *[own] * tasks] if level else [shared + tasks * own]
            for count in filter(None, readers):
                yield from _mlp(source, config.layers, count)
            gate = [config.gate_width] * (config.gate_depth - 1)
            for weighed in [shared + own] * tasks + [shared + tasks * own] * (level < levels - 1):
                yield from _mlp(source, [*gate, weighed], 1)
    yield from _mlp(width, [*config.tower_dims, 1], tasks, one_input=config.sharing == "bottom")


def _mlp(d_in: int, widths: Sequence[int], count: int, one_input: bool = True) -> Iterator[Layers]:
    """So many networks; of each the first layer alone may read what the others read."""
    for i, (source, target) in enumerate(pairwise([d_in, *widths])):
        yield Layers(source, target, count, one_input and i == 0)


def rate(layers: Sequence[Layers], batch_size: int, examples: int, dtype: torch.dtype) -> float:
    """Examples per CPU-second of the products alone, the faster way of each."""
    steps = max(1, examples // batch_size)
    seconds = sum(min(_seconds(w, batch_size, steps, dtype) for w in each.ways) for each in layers)
    return batch_size / seconds


@torch.no_grad()
def _seconds(layers: Layers, rows: int, steps: int, dtype: torch.dtype) -> float:
    """CPU-seconds of a step: forward, gradient of the input, gradient of the weight."""
    operands = [
        tuple(torch.randn(shape, dtype=dtype) for shape in shapes)
        for shapes in [
            (
                (rows, layers.inputs),
                (rows, layers.outputs),
                (layers.outputs, layers.inputs),
            )
        ]
        * layers.number
    ]

    def products(x: torch.Tensor, gradient: torch.Tensor, weight: torch.Tensor) -> None:
        x @ weight.T
        gradient @ weight
        gradient.T @ x

    products(*operands[0])  # the first product of a shape also chooses the code for it
    started = time.process_time()
    for _ in range(steps):
        for each in operands:
            products(*each)
    return (time.process_time() - started) / steps
