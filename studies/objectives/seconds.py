"""Time that a training takes, as far as it came."""

from fsmd.training import TrainingResult
from studies.objectives.cost import Cost
from studies.objectives.objective import Objective


def spent(result: TrainingResult) -> float:
    """Seconds of the clock, whatever else the machine did."""
    return result.seconds


COST = Cost(
    Objective("seconds", "seconds of training", False, "end", digits=1, margin=0.0),
    of_training=spent,
)
