"""Time that a training takes, as far as it came: of the clock, whatever else the machine did."""

from studies.objectives.cost import Cost
from studies.objectives.objective import Objective

COST = Cost(
    Objective("seconds", "seconds of training", False, "end", digits=1, margin=0.0),
    of_training=lambda result: result.seconds,
)
