"""Speed and memory at sizes that a test has no time for; `nox -s bench_data` prints a table.

Each part runs in a process of its own, on one thread, so that its peak of memory is its own.
"""

import logging
import resource
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np

from fsmd.config import MODELS
from fsmd.data.schema import Field, Schema, Split
from fsmd.tasks import Task

BATCH = 2048
Figures = dict[str, str]
Part = Callable[[int], Figures]


def made_up(rows: int, ids: int, seed: int = 0) -> tuple[Schema, Split]:
    """One long field, whose ids occur unequally, and nineteen short ones; two tasks."""
    draw = np.random.default_rng(seed)
    short = tuple(Field(f"field {i}", 100) for i in range(19))
    tasks = (Task("click"), Task("buy", after="click"))
    schema = Schema("made up", (Field("item", ids), *short), ("x",), tasks)
    item_N1 = (ids * draw.random((rows, 1)) ** 3).astype(np.int32)
    id_NF = np.hstack([item_N1, draw.integers(100, size=(rows, 19), dtype=np.int32)])
    dense_N1 = draw.standard_normal((rows, 1), np.float32)
    click_N = draw.random(rows) < 0.3
    label_NK = np.stack([click_N, click_N & (draw.random(rows) < 0.3)], 1).astype(np.float32)
    return schema, Split(id_NF, dense_N1, label_NK)


def embedding_steps(ids: int) -> Figures:
    """Steps of a training whose table has so many ids, of 16 numbers each."""
    import lightning
    import torch
    from lightning.pytorch.callbacks import Callback

    from fsmd.callbacks import CheckpointFile, ChosenWeights, Curve
    from fsmd.data.schema import DataRef
    from fsmd.module import Batches, FSMDModule
    from fsmd.selection import Selection
    from fsmd.training import Training

    class Clock(Callback):
        """Seconds of each step."""

        seconds: list[float]

        def on_train_start(self, *_: object) -> None:
            self.seconds = []

        def on_train_batch_start(self, *_: object) -> None:
            self.started = time.perf_counter()

        def on_train_batch_end(self, *_: object) -> None:
            self.seconds.append(time.perf_counter() - self.started)

    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\..*")
    schema, split = made_up(40 * BATCH, ids)
    base = replace(MODELS["fsmd"], layers=(64, 32), tower_width=32, embedding_size=16)
    config = replace(base, batch_size=BATCH, learning_rate=0.001, weight_decay=0.0, dropout=0.0)
    started = time.perf_counter()
    module = FSMDModule.create(config, schema, seed=0)
    start = time.perf_counter() - started
    clock, cpu = Clock(), torch.device("cpu")
    with TemporaryDirectory() as folder:
        training = Training(config, DataRef("made up", "", Path()), seed=0)
        curve, file = Curve(), CheckpointFile(training, Path(folder) / "checkpoint")
        chosen = ChosenWeights(Selection.of(schema.tasks, False, 3), curve)
        trainer = lightning.Trainer(
            max_epochs=1,
            accelerator="cpu",
            logger=False,
            callbacks=[clock, curve, chosen, file],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
        )
        fitted = time.perf_counter()
        trainer.fit(module, Batches(split, BATCH, cpu), Batches(split, BATCH, cpu))
        fitted = time.perf_counter() - fitted
        assert file.path is not None
        size = file.path.stat().st_size
    started = time.perf_counter()
    copies = {name: value.clone() for name, value in module.model.state_dict().items()}
    copied = time.perf_counter() - started
    return {
        "steps/s": f"{1 / median(clock.seconds[2:]):.1f}",
        "initialise s": f"{start:.2f}",
        "copy of the weights s": f"{copied if copies else 0:.2f}",
        "an epoch of 40 steps, evaluated and saved, s": f"{fitted:.1f}",
        "checkpoint MB": f"{size / 1e6:.0f}",
    }


PARTS: tuple[tuple[str, Part, tuple[int, ...]], ...] = (
    ("ids of a table", embedding_steps, (10**4, 10**6, 10**7)),
)
"""What its size counts, the part, and its sizes."""


def _measured(part: Part, size: int) -> Figures:
    figures = part(size)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {**figures, "peak GB": f"{peak:.2f}"}


def lines() -> Iterator[str]:
    """A line for each part at each size."""
    for what, part, sizes in PARTS:
        for size in sizes:
            with ProcessPoolExecutor(1, get_context("spawn")) as alone:
                figures = alone.submit(_measured, part, size).result()
            told = ", ".join(f"{name} {value}" for name, value in figures.items())
            yield f"{part.__name__}, {size:,} {what}: {told}"


if __name__ == "__main__":
    for line in lines():
        print(line, flush=True)
