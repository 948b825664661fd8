"""What a worker process runs; torch is loaded there only."""

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from fsmd.config import FSMDConfig
from fsmd.data.encoded import open_encoded
from fsmd.errors import UserError
from fsmd.training import Job, Training, TrainingProgress, TrainingResult, train
from studies.failure import Failure, failure_of
from studies.workers.protocol import NO_DEADLINE, Deadline, Message

tell: Callable[[Message], None] | None = None
"""How this process reaches the planner; whoever starts workers sets it."""
fault = ""
"""What was wrong with the libraries, if whoever starts workers has loaded them already."""


def train_all(
    trainings: Sequence[Training],
    checkpoints: Sequence[Path],
    until: int | None,
    deadline: Deadline = NO_DEADLINE,
) -> list[TrainingResult | Failure]:
    """Train each up to epoch `until`, going on from its checkpoint if there is one.

    deadline: what then runs is paused at the end of its epoch, but for what no checkpoint can
    resume: baselines go to their end.

    Those of one shape are one program where their runtime has a stack (`fsmd.stack`); all others
    come one after the other. An error of one training is its outcome. What ends the process ends
    all of them.

    Raises UserError where nothing can be trained: that is no training's fault.
    """
    if any(isinstance(training.config, FSMDConfig) for training in trainings):
        _check_libraries()
    outcomes: dict[str, TrainingResult | Failure] = {}
    path = {training.id: each for training, each in zip(trainings, checkpoints, strict=True)}
    for together in _stacks(trainings):
        if len(together) > 1 or is_stacked(together[0]):
            outcomes |= _trained_together(together, path, until, deadline.at)
            gc.collect()
            continue
        (training,) = together
        try:
            outcomes[training.id] = _trained(training, until, path[training.id], deadline.at)
        except Exception as error:
            outcomes[training.id] = failure_of(error)
        finally:
            # A Trainer and its module hold each other: else a training's tensors stay for a while.
            gc.collect()
    return [outcomes[training.id] for training in trainings]


def _stacks(trainings: Sequence[Training]) -> list[list[Training]]:
    """Those that are one program, and each other one by itself."""
    groups: dict[str, list[Training]] = {}
    for training in trainings:
        groups.setdefault(training.shape if is_stacked(training) else training.id, []).append(
            training
        )
    return list(groups.values())


def is_stacked(training: Training) -> bool:
    """Whether it is part of a stack; loads torch if that hangs on its data."""
    if training.why_alone:
        return False
    from fsmd.stack import why_alone

    return why_alone(training, open_encoded(training.data.path)) is None


def _trained_together(
    trainings: Sequence[Training],
    checkpoints: Mapping[str, Path],
    until: int | None,
    deadline: float,
) -> dict[str, TrainingResult | Failure]:
    from fsmd.stack import train_together

    jobs = [Job(t, checkpoints[t.id], partial(_tell, t.id), until) for t in trainings]
    try:
        ends: Sequence[TrainingResult | Exception] = train_together(jobs, deadline)
    except Exception as error:
        ends = [error] * len(jobs)
    return {
        training.id: failure_of(end) if isinstance(end, Exception) else end
        for training, end in zip(trainings, ends, strict=True)
    }


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
        if epochs > before and time.monotonic() >= deadline:
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
