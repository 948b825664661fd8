"""What a worker process runs; torch is loaded there only."""

import gc
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from fsmd.config import FSMDConfig
from fsmd.errors import UserError
from fsmd.training import Training, TrainingProgress, TrainingResult, train
from studies.failure import Failure, failure_of
from studies.workers.protocol import Message

tell: Callable[[Message], None] | None = None
"""How this process reaches the planner; whoever starts workers sets it."""
fault = ""
"""What was wrong with the libraries, if whoever starts workers has loaded them already."""


def train_all(
    trainings: Sequence[Training],
    checkpoints: Sequence[Path],
    until: int | None,
    deadline: float = math.inf,
) -> list[TrainingResult | Failure]:
    """Train each up to epoch `until`, going on from its checkpoint if there is one.

    deadline: of `time.time()`; what then runs is paused at the end of its epoch, but for what no
    checkpoint can resume: baselines go to their end.

    An error of one training is its outcome. What ends the process ends all of them.

    Raises UserError where nothing can be trained: that is no training's fault.
    """
    if any(isinstance(training.config, FSMDConfig) for training in trainings):
        _check_libraries()
    outcomes: list[TrainingResult | Failure] = []
    for training, checkpoint in zip(trainings, checkpoints, strict=True):
        try:
            outcomes.append(_trained(training, until, checkpoint, deadline))
        except Exception as error:
            outcomes.append(failure_of(error))
        finally:
            # A Trainer and its module hold each other: else a training's tensors stay for a while.
            gc.collect()
    return outcomes


class _TimeUpError(Exception):
    """Ends a training whose checkpoint of the epoch is written."""


def _trained(
    training: Training, until: int | None, checkpoint: Path, deadline: float
) -> TrainingResult:
    tell = partial(_tell, training.id)
    if deadline == math.inf or not isinstance(training.config, FSMDConfig):
        return train(training, until, checkpoint, tell)
    epochs = 0

    def tell_or_end(progress: TrainingProgress) -> None:
        nonlocal epochs
        tell(progress)
        before, epochs = epochs, int(progress.done)
        if epochs > before and time.time() >= deadline:
            raise _TimeUpError

    try:
        return train(training, until, checkpoint, tell_or_end)
    except _TimeUpError:
        return train(training, epochs, checkpoint, tell)  # what the checkpoint has: nothing more


def load_libraries() -> str:
    """Load what trains; what is wrong with it, or nothing."""
    try:
        from fsmd import trainer  # noqa: F401
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    gc.collect()
    gc.freeze()  # what is loaded stays: to look through it after each training takes long
    return ""


def _check_libraries() -> None:
    """UserError for what is wrong with them, so that it is not taken for a training's fault."""
    if told := fault or load_libraries():
        raise UserError(
            f"the libraries that train cannot be loaded: {told}; mend the environment: "
            "the same command goes on from here"
        )


def _tell(training_id: str, progress: TrainingProgress) -> None:
    if tell is not None:
        tell((training_id, progress))
