"""What a worker process runs: one training, whose epochs it tells the planner."""

import gc
from pathlib import Path

from fsmd.config import FSMDConfig
from fsmd.task import Progress, TrainingResult, TrainingTask
from studies.executors import tell_planner


def run_task(task: TrainingTask, checkpoint: Path, until: int | None) -> TrainingResult:
    """Train up to epoch `until`, going on from `checkpoint` if there is one."""
    from fsmd.training import train  # torch is loaded in workers only

    def tell(progress: Progress) -> None:
        tell_planner((task.id, progress))

    try:
        return train(task, until, checkpoint, on_progress=tell)
    finally:
        # A Trainer and its module hold each other: else a training's tensors stay for a while.
        gc.collect()


def measure(config: FSMDConfig, data: Path) -> tuple[int, float]:
    """Parameters, and milliseconds to score 1,000 rows."""
    from fsmd.cost import cost

    return cost(config, data)
