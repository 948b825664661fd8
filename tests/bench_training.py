"""Examples per CPU-second of training, beside a plain loop and the bound by matrix products.

`nox -s bench` runs it: MMoE with 8 experts of (256, 128) on census (planted data without it), one
thread, by turns in one process, so that only the ratios count. The last line is JSON.
"""

import json
import logging
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch import Tensor, nn

from fsmd.batches import Batches, EpochOrder
from fsmd.config import MODELS, FSMDConfig
from fsmd.data import load
from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from fsmd.module import FSMDModule

EXAMPLES = 40_960
LEARNING_RATE = 0.001
Contender = Callable[[FSMDConfig, Dataset, int], float]
"""Trains a model in batches of a size; CPU seconds of `EXAMPLES`."""
TURNS = 3


class _Clock(Callback):
    """CPU seconds of the training epoch alone."""

    seconds = 0.0

    def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> None:
        self.started = time.process_time()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.seconds = time.process_time() - self.started


def ours(config: FSMDConfig, data: Dataset, batch_size: int) -> float:
    """CPU seconds of EXAMPLES through the Lightning module, as `train` runs it."""
    clock = _Clock()
    trainer = lightning.Trainer(
        max_epochs=1,
        limit_train_batches=EXAMPLES // batch_size,
        accelerator="cpu",
        logger=False,
        callbacks=[clock],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    order = EpochOrder(len(data.train), seed=0)
    batches = Batches(data.train, batch_size, torch.device("cpu"), order)
    trainer.fit(FSMDModule.create(config, data.schema, seed=0), batches)
    return clock.seconds


class PlainMMoE(nn.Module):
    """The textbook's modules, without anything of ours."""

    def __init__(self, config: FSMDConfig, data: Dataset) -> None:
        super().__init__()
        fields = data.schema.categorical
        self.tables = nn.ModuleList(nn.Embedding(f.cardinality, 4) for f in fields)
        d_in = 4 * len(fields) + len(data.schema.dense)

        def mlp(d_in: int, widths: tuple[int, ...]) -> nn.Sequential:
            parts: list[nn.Module] = []
            for width in widths:
                parts += [nn.Linear(d_in, width), nn.BatchNorm1d(width), nn.ReLU()]
                d_in = width
            return nn.Sequential(*parts)

        self.experts = nn.ModuleList(mlp(d_in, config.layers) for _ in range(config.expert_count))
        self.gates = nn.ModuleList(nn.Linear(d_in, config.expert_count) for _ in range(2))
        self.towers = nn.ModuleList(
            nn.Sequential(
                mlp(config.layers[-1], config.tower_dims), nn.Linear(config.tower_dims[-1], 1)
            )
            for _ in range(2)
        )

    def forward(self, ids: Tensor, dense: Tensor) -> Tensor:
        """Logits B x 2."""
        vectors = [table(ids[:, i]) for i, table in enumerate(self.tables)]
        x = torch.cat([*vectors, dense], 1)
        experts = torch.stack([expert(x) for expert in self.experts], 1)
        logits = []
        for gate, tower in zip(self.gates, self.towers, strict=True):
            weights = gate(x).softmax(1).unsqueeze(2)
            logits.append(tower((weights * experts).sum(1)))
        return torch.cat(logits, 1)


def plain(config: FSMDConfig, data: Dataset, batch_size: int) -> float:
    """CPU seconds of EXAMPLES through a plain loop over shuffled tensors."""
    model = PlainMMoE(config, data)
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    columns = [torch.from_numpy(a) for a in (data.train.ids, data.train.dense, data.train.labels)]
    started = time.process_time()
    order = torch.randperm(len(data.train))
    for i in range(EXAMPLES // batch_size):
        rows = order[i * batch_size : (i + 1) * batch_size]
        ids, dense, labels = (column[rows] for column in columns)
        optimiser.zero_grad()
        loss = nn.functional.binary_cross_entropy_with_logits(model(ids, dense), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return time.process_time() - started


def bound(config: FSMDConfig, data: Dataset, batch_size: int) -> float:
    """CPU seconds of the three matrix products of each linear layer, for EXAMPLES."""
    layers = [m for m in PlainMMoE(config, data).modules() if isinstance(m, nn.Linear)]
    rows = batch_size
    operands = [
        (torch.randn(rows, m.in_features), torch.randn(rows, m.out_features), m.weight.detach())
        for m in layers
    ]
    started = time.process_time()
    for _ in range(EXAMPLES // rows):
        for x, gradient, weight in operands:
            x @ weight.T
            gradient @ weight
            gradient.T @ x
    return time.process_time() - started


def measure(config: FSMDConfig, data: Dataset, batch_size: int) -> dict[str, float]:
    """Median examples per CPU-second of each contender, by turns."""
    contenders: dict[str, Contender] = {
        "ours": ours,
        "plain": plain,
        "bound": bound,
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(TURNS):
        for name, run in contenders.items():
            seconds[name].append(run(config, data, batch_size))
    return {name: EXAMPLES / median(values) for name, values in seconds.items()}


def lines() -> Iterator[str]:
    """A line for each batch size, then one of JSON."""
    try:
        data = load("census")
    except UserError:
        data = load("planted")
    config = replace(
        MODELS["mmoe"], layers=(256, 128), expert_count=8, learning_rate=LEARNING_RATE
    )
    figures = {}
    for batch_size in (256, 2048):
        rates = measure(config, data, batch_size)
        figures[str(batch_size)] = {
            "examples_per_cpu_second": round(rates["ours"]),
            "over_plain_loop": round(rates["ours"] / rates["plain"], 3),
            "of_bound": round(rates["ours"] / rates["bound"], 3),
        }
        told = ", ".join(f"{name} {rate:,.0f}" for name, rate in rates.items())
        yield f"{data.schema.name}, batch {batch_size}: examples per CPU-second: {told}"
    yield json.dumps(figures)


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    for line in lines():
        print(line, flush=True)
