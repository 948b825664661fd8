"""When a worker is taken to hang: it has told nothing for too long, by the monotonic clock.

A training tells how far it is after each epoch, and about once a second within one. A worker that
has told nothing for `Planner.silence` seconds (10 minutes, or as `--silence` has it), and for 20
times as long as an epoch of its training has taken so far, is ended, and its training is tried
again as after any death of a worker. The second part is for large data, where what comes between
two epochs may take long itself.
"""

import math
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from studies.timing import spoken
from studies.workers.protocol import Message

EPOCHS_AT_LEAST = 20
"""As many epochs of a training have to pass in silence."""


@dataclass
class Silence:
    """Of a step that a worker was given."""

    seconds: float
    """That may pass in silence, however short an epoch is."""
    began: float = field(default_factory=time.monotonic)
    heard: float = field(default=-math.inf, init=False)
    """When it told something the last time."""
    was_long: bool = field(default=False, init=False)
    _first: dict[str, float] = field(default_factory=dict, init=False)
    _epochs: float = field(default=0.0, init=False)
    """Of the training of its own that is furthest, since it told something first."""

    def begin(self, now: float) -> None:
        """The worker has not begun: nothing can be told yet."""
        self.began = now

    def hear(self, now: float, told: Iterable[Message], own: Collection[str]) -> None:
        """What workers told; own: the identities of the step's trainings."""
        for training_id, progress in told:
            if training_id in own:
                self.heard = now
                first = self._first.setdefault(training_id, progress.done)
                self._epochs = max(self._epochs, progress.done - first)

    def lasts(self, now: float) -> bool:
        """Whether it has lasted too long."""
        since = max(self.began, self.heard)
        epoch = (since - self.began) / self._epochs if self._epochs else 0.0
        self.was_long |= now - since > max(self.seconds, EPOCHS_AT_LEAST * epoch)
        return self.was_long

    @property
    def told(self) -> str:
        """For people."""
        return f"the worker told nothing for {spoken(self.seconds)} or longer, and was ended"
