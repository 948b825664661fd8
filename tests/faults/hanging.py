"""What hangs once in each way, dies or fails in a process of workers, which loads nothing else."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from fsmd.training import Measurement, Training, TrainingProgress, TrainingResult, train
from studies.workers.server import serve_forks

WAYS = ("stopped", "endless")


def hang_once(
    trainings: Sequence[Training], checkpoints: Sequence[Path], _: int | None
) -> list[TrainingResult]:
    """Of the first trainings that come here one is stopped, and hears nothing; one never ends."""
    (path,) = checkpoints
    path.parent.mkdir(parents=True, exist_ok=True)
    for way in WAYS:
        try:
            (path.parent / way).touch(exist_ok=False)
        except FileExistsError:
            continue
        if way == "stopped":
            os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            time.sleep(1)
    tasks = ("click", "long_view")
    figures = [
        Measurement(1, split, task, "auc", 0.5) for split in ("valid", "test") for task in tasks
    ]
    return [TrainingResult(tuple(figures), dict.fromkeys(tasks, 1), 1, True, 0.1, 10)]


def die_after(epoch: int, training: Training, checkpoint: Path) -> None:
    """As if it were killed at the moment at which the epoch is told."""

    def listen(progress: TrainingProgress) -> None:
        if progress.done == epoch:
            os.kill(os.getpid(), signal.SIGKILL)

    train(training, checkpoint=checkpoint, on_progress=listen)


def refusing(*given: Any) -> NoReturn:
    """In the process that forks, in the place of what it does."""

    def refuse() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    os.fork = refuse
    serve_forks(*given)


def broken(*given: Any) -> NoReturn:
    """The same where a library cannot be loaded."""
    sys.modules["lightning"] = None  # type: ignore[assignment]
    serve_forks(*given)


def own_memory() -> float:
    """MiB of this process that no other one shares."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) / 1024
