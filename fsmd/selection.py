"""Which epoch stands and when a training ends: one rule for all, on validation figures alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from fsmd.metrics import METRICS
from fsmd.tasks import Task

Point = tuple[float, ...]
"""One figure a task."""


class Standing(NamedTuple):
    """After some epochs: each task's chosen epoch (from 1), and whether patience ran out."""

    epochs: tuple[int, ...]
    exhausted: bool


@dataclass(frozen=True)
class Selection:
    """Tasks that share weights are one group, judged by the mean of their validation figures.

    Where each is a model of its own it gets its own epoch, as it would in a training of its own.
    Metrics of one group are added in units of the difference that matters,
    so that a group may mix them.
    """

    groups: tuple[tuple[int, ...], ...]
    """Positions of the tasks of each group."""
    units: tuple[float, ...]
    """For each task what its figure is divided by; negative where less is better."""
    patience: int
    fixed: tuple[int, ...] | None = None
    """For each task the epoch that stands, where that was decided before."""

    @classmethod
    def of(
        cls,
        tasks: Sequence[Task],
        separate: bool,
        patience: int,
        fixed: Mapping[str, int] | None = None,
    ) -> "Selection":
        """The rule for a model whose tasks are `separate` (`FSMDConfig.separate`) or are not."""
        each = tuple(range(len(tasks)))
        groups = tuple((k,) for k in each) if separate else (each,)
        metrics = [METRICS[task.metric] for task in tasks]
        units = tuple(metric.sign * metric.margin / metrics[0].margin for metric in metrics)
        epochs = None if fixed is None else tuple(fixed[task.name] for task in tasks)
        return cls(groups, units, patience, epochs)

    def standing(self, values_EK: Sequence[Point]) -> Standing:
        """After the epochs so far; `values_EK` has the validation figures of each."""
        if self.fixed is not None:
            return Standing(self.fixed, len(values_EK) >= max(self.fixed))
        best = [(float("-inf"), 0)] * len(self.groups)
        for epoch, values_K in enumerate(values_EK, start=1):
            for g, group in enumerate(self.groups):
                score = sum(values_K[k] / self.units[k] for k in group) / len(group)
                # A group whose patience ran out has ended, whatever others go on for.
                if score > best[g][0] and epoch - 1 - best[g][1] < self.patience:
                    best[g] = (score, epoch)
        chosen = [0] * len(self.units)
        for group, (_, epoch) in zip(self.groups, best, strict=True):
            for k in group:
                chosen[k] = epoch
        over = all(len(values_EK) - epoch >= self.patience for _, epoch in best)
        return Standing(tuple(chosen), over)

    def stands(self, values_EK: Sequence[Point]) -> Point:
        """The figures at the chosen epochs; needs one epoch at least."""
        chosen = self.standing(values_EK).epochs
        return tuple(values_EK[epoch - 1][k] for k, epoch in enumerate(chosen))

    def points(self, values_EK: Sequence[Point]) -> tuple[Point, ...]:
        """Where the training stood after each epoch."""
        return tuple(self.stands(values_EK[: e + 1]) for e in range(len(values_EK)))
