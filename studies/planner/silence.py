"""When a worker is taken to hang: it has told nothing for too long, by the monotonic clock.

A training tells how far it is after each epoch, and about once a second within one. A worker that
has told nothing for `Planner.silence` seconds (10 minutes, or as `--silence` has it), and for 20
times as long as an epoch of its training has taken so far, is ended, and its training is tried
again as after any death of a worker. The second part is for large data, where what comes between
two epochs may take long itself.

Time counts only while the planner looks: after Ctrl-Z and `fg`, or a laptop's sleep, workers have
been silent for as long as nobody listened.
"""

import math
import time
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from studies.timing import spoken
from studies.workers.protocol import Message

EPOCHS_AT_LEAST = 20
"""As many epochs of a training have to pass in silence."""
LOOK_SECONDS = 5.0
"""That count at most from one look to the next."""


def unseen(before: float, now: float) -> float:
    """Seconds between two looks in which the planner did not look, though it should have."""
    return max(0.0, now - before - LOOK_SECONDS)


@dataclass
class Silence:
    """Of a step that a worker was given."""

    seconds: float
    """That may pass in silence, however short an epoch is."""
    began: float = field(default_factory=time.monotonic)
    from_the_first: bool = True
    """Whether it counts before something was told first. What has no epochs in this sense, such
    as the trees of a baseline, is at work on the first for as long as its data is large.
    """
    heard: float = field(default=-math.inf, init=False)
    """When it told something the last time."""
    was_long: bool = field(default=False, init=False)
    _first: dict[str, float] = field(default_factory=dict, init=False)
    _epochs: float = field(default=0.0, init=False)
    """Of the training of its own that is furthest, since it told something first."""

    def begin(self, now: float) -> None:
        """The worker has not begun: nothing can be told yet."""
        self.began = now

    def skip(self, seconds: float, now: float) -> None:
        """Time that nobody looked does not count."""
        self.began = min(now, self.began + seconds)
        self.heard = min(now, self.heard + seconds)

    def hear(self, now: float, told: Iterable[Message], own: Collection[str]) -> None:
        """What workers told; own: the identities of the step's trainings."""
        for training_id, progress in told:
            if training_id in own:
                self.heard = now
                before = progress.done if self.from_the_first else 0.0
                first = self._first.setdefault(training_id, before)
                self._epochs = max(self._epochs, progress.done - first)

    def lasts(self, now: float) -> bool:
        """Whether it has lasted too long."""
        if not self.from_the_first and math.isinf(self.heard):
            return False
        since = max(self.began, self.heard)
        epoch = (since - self.began) / self._epochs if self._epochs else 0.0
        self.was_long |= now - since > max(self.seconds, EPOCHS_AT_LEAST * epoch)
        return self.was_long

    @property
    def told(self) -> str:
        """For people."""
        return f"the worker told nothing for {spoken(self.seconds)} or longer, and was ended"
