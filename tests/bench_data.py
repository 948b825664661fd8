"""Speed and memory at sizes that a test has no time for; `nox -s bench_data` prints a table.

Each part runs in a process of its own, on one thread, so that its peak of memory is its own. What
is done with a log is measured against pyarrow's reading of its Parquet file in the same process:
"of reading" is the share of that speed, in CPU-seconds, which other work moves little, and by the
clock. `-- --most 100000000` does all that 24 GB of disk have room for.

With `-- --rechub VENV/bin/python` there is torch-rechub's preparation of the same file, as its
examples do it; `pip install torch-rechub pyarrow` into an environment of its own makes that one.
"""

import json
import logging
import resource
import subprocess
import time
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import replace
from importlib import import_module
from multiprocessing import get_context
from os import devnull
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

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


def on_disk(rows: int, folder: Path) -> tuple[Schema, Split]:
    """Made-up rows as a data set has them: mapped from files, and written a piece at a time."""
    schema, piece = made_up(min(rows, 10**5), ids=1000)
    arrays = {}
    for name in ("ids", "dense", "labels"):
        part = getattr(piece, name)
        with (folder / name).open("wb") as file:
            for _ in range(rows // len(part)):
                part.tofile(file)
        arrays[name] = np.memmap(
            folder / name, part.dtype, mode="c", shape=(rows, *part.shape[1:])
        )
    return schema, Split(**arrays)


def epochs(rows: int) -> Figures:
    """An epoch by rows and one by blocks, of at most a minute each, and scoring all rows."""
    import torch

    from fsmd.batches import Batches, EpochOrder
    from fsmd.forward import scored
    from fsmd.module import FSMDModule

    torch.set_num_threads(1)
    base = replace(MODELS["mmoe"], layers=(64, 32), tower_width=32, expert_count=4)
    config = replace(base, batch_size=BATCH, learning_rate=0.001, weight_decay=0.0, dropout=0.0)
    figures = {}
    with TemporaryDirectory() as folder, own_memory() as most:
        schema, split = on_disk(rows, Path(folder))
        module = FSMDModule.create(config, schema, seed=0)
        optimiser = module.configure_optimizers()
        for shuffle in ("rows", "blocks"):
            most[:] = [0]
            started, done = time.process_time(), 0
            order = EpochOrder.of(split, 0, shuffle)
            for batch in Batches(split, BATCH, torch.device("cpu"), order):
                optimiser.zero_grad()
                module.losses(batch).sum().backward()  # type: ignore[no-untyped-call]
                optimiser.step()
                done += len(batch[0])
                if time.process_time() - started > 60:
                    break
            rate = done / (time.process_time() - started)
            figures[f"by {shuffle}: rows per CPU-second"] = f"{rate:,.0f}"
            figures[f"by {shuffle}: own memory GB"] = f"{max(most) / 1e6:.2f}"
            started, reading = time.process_time(), 0
            for batch in Batches(split, BATCH, torch.device("cpu"), order):
                reading += len(batch[0])
            spent = time.process_time() - started
            figures[f"by {shuffle}: reading alone"] = f"{reading / spent:,.0f}"
        most[:] = [0]
        started = time.process_time()
        scored(module, "test", split)
        figures["scored per CPU-second"] = f"{rows / (time.process_time() - started):,.0f}"
        figures["scoring: own memory GB"] = f"{max(most) / 1e6:.2f}"
    return figures


def embedding_steps(ids: int) -> Figures:
    """Steps of a training whose table has so many ids, of 16 numbers each."""
    import lightning
    import torch
    from lightning.pytorch.callbacks import Callback

    from fsmd.batches import Batches
    from fsmd.callbacks import CheckpointFile, ChosenWeights, Curve
    from fsmd.data.schema import DataRef
    from fsmd.module import FSMDModule
    from fsmd.selection import Selection
    from fsmd.training import Training

    class Clock(Callback):
        """Processor seconds of each step: what other work takes is not its own."""

        seconds: list[float]

        def on_train_start(self, *_: object) -> None:
            self.seconds = []

        def on_train_batch_start(self, *_: object) -> None:
            self.started = time.process_time()

        def on_train_batch_end(self, *_: object) -> None:
            self.seconds.append(time.process_time() - self.started)

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
        "steps per CPU-second": f"{1 / median(clock.seconds[2:]):.1f}",
        "initialise s": f"{start:.2f}",
        "copy of the weights s": f"{copied if copies else 0:.2f}",
        "an epoch of 40 steps, evaluated and saved, s": f"{fitted:.1f}",
        "checkpoint MB": f"{size / 1e6:.0f}",
    }


def metrics(rows: int) -> Figures:
    """Processor seconds of every figure of rows in mapped files, and memory beside these."""
    from fsmd.metrics import METRICS, measured

    draw = np.random.default_rng(0)
    with TemporaryDirectory() as folder:

        def mapped(name: str, kind: type, of: Callable[[int], NDArray[Any]]) -> NDArray[Any]:
            path, step = Path(folder, name), 10**6
            column_N: NDArray[Any] = np.lib.format.open_memmap(path, "w+", kind, (rows,))
            for start in range(0, rows, step):
                column_N[start : start + step] = of(min(step, rows - start))
            del column_N
            column_N = np.load(path, mmap_mode="c")
            return column_N

        score_N = mapped("scores", np.float32, lambda n: draw.normal(-3, 1, n))
        label_N = mapped("labels", np.float32, lambda n: draw.random(n) < 0.07)
        user_N = mapped("users", np.uint32, lambda n: rows // 50 * draw.random(n) ** 2)
        request_N = mapped("requests", np.uint32, lambda n: draw.integers(rows // 10, size=n))
        groups = {"user": user_N, "request": request_N}
        figures = {}
        with own_memory() as most:
            for name, metric in METRICS.items():
                started = time.process_time()
                measured(metric, score_N, label_N, None, groups)
                figures[f"{name} CPU-s"] = f"{time.process_time() - started:.1f}"
        return {**figures, "own memory GB": f"{max(most) / 1e6:.2f}"}


@contextmanager
def own_memory() -> Iterator[list[int]]:
    """Kilobytes of this process that are no pages of files, every tenth of a second."""
    ended, seen = Event(), [0]

    def look() -> None:
        while not ended.wait(0.1):
            status = Path("/proc/self/status").read_text("ascii")
            seen.append(int(status.partition("RssAnon:")[2].split()[0]))

    watcher = Thread(target=look)
    watcher.start()
    try:
        yield seen
    finally:
        ended.set()
        watcher.join()


def write_log(folder: Path, rows: int, text: bool) -> None:
    """A log and its description. text: ids are texts, not whole numbers."""
    draw, writer = np.random.default_rng(0), None
    for start in range(0, rows, 2**17):
        count = min(2**17, rows - start)
        user_N = draw.integers(max(rows // 20, 100), size=count)
        item_N = draw.zipf(1.3, count) % 20_000
        click_N = draw.random(count) < 0.3
        columns = {"user": pa.array(user_N), "item": pa.array(item_N)}
        if text:
            columns = {name: ids.cast(pa.string()) for name, ids in columns.items()}
        for name, most in (("tab", 12), ("city", 400), ("device", 3000)):
            columns[name] = pa.array(draw.integers(most, size=count)).cast(pa.string())
        for i in range(5):
            columns[f"number {i}"] = pa.array(draw.normal(size=count) * 10**i)
        labels = {"click": click_N, "buy": click_N & (draw.random(count) < 0.2)}
        columns |= {name: pa.array(label_N.astype(np.int8)) for name, label_N in labels.items()}
        table = pa.table({**columns, "time": np.arange(start, start + count)})
        writer = writer or pq.ParquetWriter(folder / "log.parquet", table.schema)
        writer.write_table(table)
    assert writer is not None
    writer.close()
    categories = "".join(f'{name} = "category"\n' for name in list(columns)[:5])
    numbers = "".join(f'"number {i}" = "number"\n' for i in range(5))
    text_of = f"""
[data]
name = "bench"
files = ["log.parquet"]
[roles]
user = "user"
item = "item"
time = "time"
[fields]
{categories}{numbers}
[tasks]
click = "click == 1"
buy = {{label = "buy == 1", after = "click"}}
[split]
by = "time"
valid_from = {rows * 8 // 10}
test_from = {rows * 9 // 10}
"""
    (folder / "dataset.toml").write_text(text_of, "utf-8")


def read(folder: Path) -> None:
    """Read the Parquet file by pyarrow alone, as plain columns."""
    file = pq.ParquetFile(folder / "log.parquet", pre_buffer=False)
    for _ in file.iter_batches(2**16, use_threads=False):
        pass


def encode(folder: Path) -> None:
    """Open the log and write its encoded folder; the digest of the log itself is among it."""
    from fsmd.data import source_of
    from fsmd.data.encode import quarter_of_machine, write_encoded

    with TemporaryDirectory(dir=folder) as out:
        source = source_of(str(folder / "dataset.toml"))
        assert source.key
        (Path(out) / "encoded").mkdir()
        write_encoded(source, Path(out) / "encoded", quarter_of_machine())


def describe(folder: Path) -> None:
    """The command, on the log."""
    from studies.data.commands import main

    assert not main(["describe", str(folder / "log.parquet")])


def check(folder: Path) -> None:
    """The command, on the description."""
    from studies.data.commands import main

    assert not main(["check", str(folder / "dataset.toml"), "--out", str(folder / "page")])


_RECHUB = """
import json, resource, sys, time
import numpy as np, pandas as pd
from sklearn.preprocessing import LabelEncoder, StandardScaler
from torch_rechub.utils.data import df_to_dict
started, clock = time.process_time(), time.perf_counter()
data = pd.read_parquet(sys.argv[1])
for name in ("user", "item", "tab", "city", "device"):
    data[name] = LabelEncoder().fit_transform(data[name])
numbers = [f"number {i}" for i in range(5)]
data[numbers] = StandardScaler().fit_transform(data[numbers])
made = df_to_dict(data)
spent = time.process_time() - started, time.perf_counter() - clock
print(json.dumps([*spent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6]))
"""


def rechub(folder: Path, python: str) -> Figures:
    """Torch-rechub's preparation; categories and scales are fitted on all rows there."""
    command = (python, "-c", _RECHUB, str(folder / "log.parquet"))
    spent, clock, peak = json.loads(subprocess.check_output(command).splitlines()[-1])
    rows = pq.read_metadata(folder / "log.parquet").num_rows
    return _rates(rows, spent, clock) | {"peak GB": f"{peak:.2f}"}


def _rates(rows: int, spent: float, clock: float) -> Figures:
    return {"rows per CPU-second": f"{rows / spent:,.0f}", "by the clock": f"{rows / clock:,.0f}"}


def against_reading(step: Callable[[Path], None], folder: Path) -> Figures:
    """Speed of a step, and its share of the speed of reading alone."""
    rows = pq.read_metadata(folder / "log.parquet").num_rows
    spent = {}
    for module in ("fsmd.data.encode", "studies.data.check", "studies.data.describe"):
        import_module(module)  # takes as long as 10^5 rows
    with Path(devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        for each in (read, read, step):  # the first brings the file into memory
            started = time.process_time(), time.perf_counter()
            each(folder)
            spent[each] = time.process_time() - started[0], time.perf_counter() - started[1]
    shares = [reading / own for reading, own in zip(spent[read], spent[step], strict=True)]
    figures = _rates(rows, *spent[step])
    if step is read:
        return figures
    return figures | {"of reading": f"{shares[0]:.0%}, by the clock {shares[1]:.0%}"}


LOG_STEPS = (read, encode, describe, check)
PARTS: tuple[tuple[str, Part, tuple[int, ...]], ...] = (
    ("ids of a table", embedding_steps, (10**4, 10**6, 10**7)),
    ("rows", epochs, (10**5, 10**6, 10**7)),
    ("scored rows", metrics, (10**5, 10**6, 10**7, 10**8)),
)
"""What its size counts, the part, and its sizes."""


def _alone(part: Callable[..., Figures], *given: object) -> str:
    """The figures of a process of its own, with its peak of memory."""
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        figures = alone.submit(_measured, part, *given).result()
    return ", ".join(f"{name} {value}" for name, value in figures.items())


def _measured(part: Callable[..., Figures], *given: object) -> Figures:
    figures = part(*given)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return {"peak GB": f"{peak:.2f}"} | figures


def lines(most: int, wanted: Collection[str], python: str | None) -> Iterator[str]:
    """A line for each part at each size of at most so much; wanted: parts (none: all)."""
    steps = [step for step in LOG_STEPS if not wanted or step.__name__ in wanted]
    for rows in (10**5, 10**6, 10**7, 10**8) if steps else ():
        for text in (True, False):
            if rows > most:
                continue
            with TemporaryDirectory() as folder:
                write_log(Path(folder), rows, text)
                what = f"{rows:,} rows, ids are {'texts' if text else 'whole numbers'}"
                for step in steps:
                    told = _alone(against_reading, step, Path(folder))
                    yield f"{step.__name__}, {what}: {told}"
                if python:
                    told = ", ".join(f"{k} {v}" for k, v in rechub(Path(folder), python).items())
                    yield f"rechub, {what}: {told}"
    for what, part, sizes in PARTS:
        for size in sizes:
            if size <= most and (not wanted or part.__name__ in wanted):
                yield f"{part.__name__}, {size:,} {what}: {_alone(part, size)}"


if __name__ == "__main__":
    line_of = ArgumentParser(prog="tests.bench_data", description=__doc__)
    known = [step.__name__ for step in LOG_STEPS] + [part.__name__ for _, part, _ in PARTS]
    line_of.add_argument("parts", nargs="*", choices=[*known, []], help="only these")
    line_of.add_argument("--most", type=int, default=10**7, help="rows (default: %(default)s)")
    line_of.add_argument("--rechub", metavar="PYTHON", help="one that has torch-rechub")
    asked = line_of.parse_args()
    for line in lines(asked.most, asked.parts, asked.rechub):
        print(line, flush=True)
