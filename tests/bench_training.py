"""Examples per CPU-second of training, beside others and the bound by matrix products.

`nox -s bench` runs it: models with batch norm on census (on planted data where it is not here;
dropout where the data sets it), one thread. The contenders train an epoch each by turns, so that
ratios hold whatever else the machine does. Each goes on with its own training, so that their AUC
is told after the same epochs. The last line is JSON: model -> batch -> column -> examples per
CPU-second.
"""

import argparse
import gc
import json
import logging
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import NamedTuple

import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from fsmd.data import load
from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from tests.bench import around, rivals
from tests.bench.bound import linear_layers, rate
from tests.bench.ours import OURS, Contender, Ours, Validated, Workload, workload

MODELS = ("mmoe", "ple", "fsmd", "shared_bottom")
BATCHES = (256, 2_048, 16_384)
EXAMPLES = 32_768
TURNS = 3
BOUNDS = {"bound_float32": torch.float32, "bound_bfloat16": torch.bfloat16}
PROFILED = 8_192


class Measured(NamedTuple):
    """All figures of a workload."""

    work: Workload
    rates: Mapping[str, Sequence[float]]
    """Column -> examples per CPU-second of each turn."""
    validated: Mapping[str, Validated]
    operators: Mapping[str, float]

    @property
    def medians(self) -> dict[str, int]:
        """Column -> examples per CPU-second."""
        return {column: round(median(values)) for column, values in self.rates.items()}

    def ratio(self, column: str) -> float | None:
        """Ours over a column, the median over turns; None where it was not measured."""
        pairs = zip(self.rates["ours"], self.rates.get(column, ()), strict=False)
        ratios = [mine / other for mine, other in pairs]
        return median(ratios) if ratios else None


def measure(
    data: Dataset,
    name: str,
    batch_size: int,
    examples: int,
    turns: int,
    tell: Callable[[str], None],
) -> Measured:
    """Let all contenders that there are train a model by turns."""
    work = workload(data, name, batch_size, examples)
    contenders: dict[str, Contender] = {column: Ours(work, column) for column in OURS}
    if rivals.can_train(work):
        contenders |= {rival: rivals.RIVALS[rival](work) for rival in rivals.installed()}
    layers = list(linear_layers(work.config, work.schema))
    rates: dict[str, list[float]] = {column: [] for column in (*contenders, *BOUNDS)}
    for turn in range(turns):
        for column, contender in contenders.items():
            rates[column].append(len(work.train) / contender.epoch(turn))
        for column, dtype in BOUNDS.items():
            rates[column].append(rate(layers, batch_size, len(work.train) // 4, dtype))
        told = ", ".join(f"{column} {values[-1]:,.0f}" for column, values in rates.items())
        tell(f"{name}, batch {batch_size:,}, turn {turn + 1} of {turns}: {told}")
    validated = {column: contender.validate() for column, contender in contenders.items()}
    few = workload(data, name, batch_size, min(examples, max(PROFILED, 2 * batch_size)))
    return Measured(work, rates, validated, Ours(few).operators())


def speeds(measured: Sequence[Measured]) -> Table:
    """Rates, and ours over the others'."""
    columns = list(dict.fromkeys(column for m in measured for column in m.rates))
    others = [column for column in columns if column not in OURS]
    table = Table(
        *("model", "batch", *columns, *(f"ours / {column}" for column in others)),
        title=f"Training on {measured[0].work.schema.name}: examples per CPU-second",
    )
    for m in measured:
        figures = [f"{m.medians[c]:,}" if c in m.rates else "" for c in columns]
        ratios = [m.ratio(column) for column in others]
        told = ["" if ratio is None else f"{ratio:.2f}" for ratio in ratios]
        table.add_row(m.work.name, f"{m.work.batch_size:,}", *figures, *told)
    return table


def judged(measured: Sequence[Measured], turns: int) -> Table:
    """AUC of each task and the speed of evaluation."""
    tasks = [task.name for task in measured[0].work.schema.tasks]
    table = Table(
        *("model", "batch", "by", *(f"AUC {task}" for task in tasks), "rows per CPU-second"),
        title=f"Validation after {turns} {'epoch' if turns == 1 else 'epochs'}",
    )
    for m in measured:
        for column, (seconds, figures) in m.validated.items():
            aucs = [f"{figures[task]:.4f}" for task in tasks]
            speed = f"{len(m.work.valid) / seconds:,.0f}"
            table.add_row(m.work.name, f"{m.work.batch_size:,}", column, *aucs, speed)
    return table


def profiles(measured: Sequence[Measured]) -> Table:
    """The largest operators of ours."""
    table = Table("model", "batch", "operators", title="Ours: shares of self time")
    for m in measured:
        told = ", ".join(f"{name} {share:.1%}" for name, share in m.operators.items())
        table.add_row(m.work.name, f"{m.work.batch_size:,}", told)
    return table


def main() -> int:
    """Measure and print; the last line is JSON."""
    p = argparse.ArgumentParser(description="Speed of training, as ratios measured in one run.")
    p.add_argument("--models", nargs="+", choices=MODELS, default=MODELS, help="default: all")
    p.add_argument("--batches", nargs="+", type=int, default=BATCHES, help="default: %(default)s")
    p.add_argument("--examples", type=int, default=EXAMPLES, help="of an epoch; %(default)s")
    p.add_argument("--turns", type=int, default=TURNS, help="epochs of each; default: %(default)s")
    p.add_argument("--data", help="default: census, or planted data where it is not here")
    options = p.parse_args()
    if options.turns < 1:
        p.error(f"--turns must be at least 1; got {options.turns}")
    try:
        _run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _data(asked: str | None) -> Dataset:
    try:
        return load(asked or "census")
    except UserError:
        if asked:
            raise
        return load("planted")


def _run(options: argparse.Namespace) -> None:
    console, told = Console(width=None if sys.stdout.isatty() else 200), Console(stderr=True)

    def tell(line: str) -> None:
        told.print(line, soft_wrap=True, highlight=False)

    data = _data(options.data)
    # Refuses a batch that is too large before anything is measured.
    workload(data, options.models[0], max(options.batches), options.examples)
    for rival in sorted(rivals.RIVALS.keys() - rivals.installed()):
        tell(f"{rival} is not installed, so its column is left out (dependency group: rivals)")
    measured = []
    for name in options.models:
        for batch_size in options.batches:
            measured.append(measure(data, name, batch_size, options.examples, options.turns, tell))
            gc.collect()  # a trainer and its module hold each other
    tell("start-up and a study's overhead")
    start, overhead = around.start_up(options.turns), around.overhead(options.turns)
    for table in (speeds(measured), judged(measured, options.turns), profiles(measured)):
        console.print(table)
    console.print(
        f"start-up of a process: {start.imported:.1f} CPU-seconds of import, "
        f"{start.first_step:.1f} to the first step\n"
        f"a study's overhead per training: {overhead:.2f} CPU-seconds beside its epochs",
        highlight=False,
    )
    by_model: dict[str, dict[str, Mapping[str, int]]] = {name: {} for name in options.models}
    for m in measured:
        by_model[m.work.name][str(m.work.batch_size)] = m.medians
    print(json.dumps(by_model), flush=True)


if __name__ == "__main__":
    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    with threadpool_limits(1, "blas"):
        sys.exit(main())
