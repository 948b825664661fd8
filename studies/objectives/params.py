"""Parameters of a model."""

from pathlib import Path

from fsmd.config import FSMDConfig
from studies.objectives.cost import Cost
from studies.objectives.objective import Objective


def count(config: FSMDConfig, data: Path) -> float:
    """Parameters of a model for an encoded data set."""
    from fsmd.data import open_encoded
    from fsmd.module import FSMDModule  # loads torch

    model = FSMDModule.create(config, open_encoded(data).schema, seed=0).model
    return float(sum(parameter.numel() for parameter in model.parameters()))


COST = Cost(
    Objective("params", "parameters", False, "before", digits=0, margin=0.0),
    of_model=count,
)
