"""What a search maximises or minimises, as a value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fsmd.metrics import METRICS
from fsmd.tasks import Target

Asked = Literal["epoch", "before", "end"]
"""When it is known: after each epoch (a target), before training, or when a training ends."""


@dataclass(frozen=True)
class Objective:
    """A target, or a cost; `gain` is the only place where a sign is turned."""

    key: str
    """As it is asked for: a task's name, `mean`, or a cost's name."""
    label: str
    """On an axis: `validation AUC, click`, `parameters`."""
    higher: bool
    asked: Asked
    digits: int
    margin: float
    """The smallest difference that matters; 0 for a cost, which has no noise to allow for."""
    weights: tuple[float, ...] = ()
    """Of a target: one a task. Empty for a cost."""

    @property
    def is_cost(self) -> bool:
        """Whether it is no target."""
        return self.asked != "epoch"

    def value(self, figures_K: Sequence[float]) -> float:
        """A target's value, from the tasks' figures."""
        return sum(w * v for w, v in zip(self.weights, figures_K, strict=True) if w)

    def gain(self, value: float) -> float:
        """The value, turned so that more is better."""
        return value if self.higher else -value


def of_target(target: Target) -> Objective:
    """The objective that a target is."""
    metric = METRICS[target.metric]
    return Objective(
        key=target.key,
        label=f"validation {metric.label}, {target.key}",
        higher=metric.higher,
        asked="epoch",
        digits=metric.digits,
        margin=metric.margin,
        weights=target.weights,
    )
