"""Work that hangs once in each way, for workers that load nothing else."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from fsmd.training import Measurement, Training, TrainingResult

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
