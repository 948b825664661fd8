"""What a training costs beside its epochs: start-up of a process, and what a study adds."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

import fsmd.trainer  # what a worker loads  # noqa: F401
from fsmd.config import MODELS
from fsmd.data import load
from fsmd.data.encoded import open_encoded
from fsmd.data.schema import Dataset
from fsmd.training import Training, train
from tests.bench.ours import Ours, workload

DATA = "planted:rows=4000"
BATCH = 256


class StartUp(NamedTuple):
    """CPU-seconds of a fresh process."""

    imported: float
    """Until the libraries are there."""
    first_step: float
    """From there to the end of the first step."""


def start_up(turns: int) -> StartUp:
    """The median of so many processes."""
    command = [sys.executable, "-m", "tests.bench.around", str(load(DATA).path)]
    runs = [
        StartUp(*json.loads(subprocess.run(command, check=True, capture_output=True).stdout))
        for _ in range(turns)
    ]
    return StartUp(*map(median, zip(*runs, strict=True)))


def overhead(turns: int, epochs: int = 4) -> float:
    """CPU-seconds of one of a study's trainings that are there however few its epochs.

    By trainings of one epoch and of several, in turns: what lies between them is epochs' own.
    """
    data, seconds = load(DATA), dict[int, list[float]]()
    for _ in range(turns):
        for count in (1, epochs):
            seconds.setdefault(count, []).append(_training(data, count))
    one, several = median(seconds[1]), median(seconds[epochs])
    return one - (several - one) / (epochs - 1)


def _training(data: Dataset, epochs: int) -> float:
    """CPU-seconds of a training as a worker does it: told of, and with a checkpoint an epoch."""
    config = replace(MODELS["mmoe"], batch_size=BATCH)
    training = replace(Training.on(data, config), epochs=epochs, patience=epochs)
    with TemporaryDirectory() as folder:
        started = time.process_time()
        train(training, checkpoint=Path(folder) / "checkpoint", on_progress=lambda _: None)
        return time.process_time() - started


def _first_step(path: Path) -> StartUp:
    imported = time.process_time()
    Ours(workload(open_encoded(path), "mmoe", BATCH, BATCH)).epoch(0)
    return StartUp(imported, time.process_time() - imported)


if __name__ == "__main__":
    print(json.dumps(_first_step(Path(sys.argv[1]))))
