"""How long trainings take here: measured in the workers on the real data, or as it is stored."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from fsmd.errors import UserError
from fsmd.training import Training, TrainingProgress, train
from studies.failure import failure_of
from studies.workers.protocol import SILENCE_SECONDS, Workers, awaited
from studies.workers.worker import is_stacked

EPOCHS = 2
"""Trained to measure one, where there is time: the difference is free of what comes once."""


@dataclass(frozen=True)
class EpochTime:
    """How long an epoch takes, and what comes once in a training."""

    seconds: float
    """Of an epoch."""
    once: float = 0.0
    """Seconds besides the epochs: the model is made, and evaluated at the end."""
    measured: float = EPOCHS
    """Epochs that were trained to know it; less than one of a large data set."""

    def of(self, epochs: int) -> float:
        """Seconds of a training of so many epochs."""
        return self.once + epochs * self.seconds


class _EnoughError(Exception):
    """Ends a training of which enough is known."""


def measure(training: Training, most: float) -> EpochTime:
    """Train a little, about `most` seconds at the longest, and throw it away. Runs in a worker."""
    from fsmd import trainer  # noqa: F401  (which takes seconds that are no training's)

    began, points = time.perf_counter(), list[tuple[float, float]]()

    def tell(progress: TrainingProgress) -> None:
        points.append((time.perf_counter() - began, progress.done))
        # The first point has what comes once in it, such as a library that is loaded.
        if points[-1][0] >= (most if len(points) > 1 else 3 * most) and progress.done > 0:
            raise _EnoughError

    whole = None
    try:
        train(replace(training, epochs=EPOCHS), on_progress=tell)
        whole = time.perf_counter() - began
    except _EnoughError:
        pass
    found = epoch_time(points, whole)
    if not is_stacked(training):
        return found
    # A stack takes as long for one as for all of its places.
    return replace(found, seconds=found.seconds / training.runtime.stack)


def epoch_time(points: Sequence[tuple[float, float]], whole: float | None) -> EpochTime:
    """From (seconds since the start, epochs done) of a training, and its seconds if it ended.

    >>> epoch_time([(3.0, 1.0), (5.0, 2.0)], 6.0)
    EpochTime(seconds=2.0, once=2.0, measured=2)
    >>> epoch_time([(1.0, 0.25)], None)
    EpochTime(seconds=4.0, once=0.0, measured=0.25)
    """
    ahead = [(seconds, done) for seconds, done in points if done > 0]
    if not ahead:
        assert whole is not None, "a training that is cut off has told something"
        return EpochTime(whole / EPOCHS)
    (first, begun), (last, done) = ahead[0], ahead[-1]
    seconds = (last - first) / (done - begun) if done > begun else last / done
    if whole is None:
        return EpochTime(seconds, max(0.0, last - done * seconds), done)
    return EpochTime(seconds, max(0.0, whole - EPOCHS * seconds), EPOCHS)


def measure_all(
    workers: Workers,
    trainings: Mapping[str, Training],
    most: float,
    notify: Callable[[str], object],
) -> dict[str, EpochTime]:
    """Each of some trainings, on all workers; those that cannot be trained are left out and told.

    most: seconds of the clock for each of them.
    """
    futures = {name: workers.submit(measure, t, most) for name, t in trainings.items()}
    times = {}
    for name, future in futures.items():
        try:
            times[name] = awaited(workers, future, SILENCE_SECONDS + 4 * most)
        except Exception as error:
            line = str(error) if isinstance(error, UserError) else failure_of(error).error
            notify(f"{name} is left out: {line}")
    return times


def spoken(seconds: float) -> str:
    """A time in the unit a reader would take, in two digits or all before the point.

    >>> spoken(0.42), spoken(42.31), spoken(100), spoken(754), spoken(7200), spoken(360_000)
    ('0.42 s', '42 s', '1.7 min', '13 min', '2 h', '100 h')
    """
    number, unit = (seconds, "s") if seconds < 90 else (seconds / 60, "min")
    if number >= 90:
        number, unit = seconds / 3600, "h"
    return f"{number:.2g} {unit}" if number < 9.95 else f"{number:.0f} {unit}"


def counted(workers: int) -> str:
    """So many workers, in words."""
    return f"{workers} worker{'s' if workers > 1 else ''}"


class Load(NamedTuple):
    """Trainings of one stage that may run at once, and the seconds of each at most."""

    trainings: int
    seconds: float

    def on(self, workers: int) -> float:
        """Seconds of the clock: the last ones may leave workers idle."""
        return math.ceil(self.trainings / workers) * self.seconds
