"""Parameters of a model."""

from pathlib import Path

from fsmd.baselines import Baseline, Config
from studies.objectives.cost import Cost
from studies.objectives.objective import Objective


def count(config: Config, data: Path) -> float:
    """Parameters of a model for an encoded data set; of a baseline, of `quick_model`'s."""
    from fsmd.data import open_encoded

    if isinstance(config, Baseline):
        from fsmd.baselines.fitting import quick_model

        quick = quick_model(config, open_encoded(data))
        return float(sum(array.size for array in quick.tensors.values()))
    from fsmd.module import FSMDModule  # loads torch

    model = FSMDModule.create(config, open_encoded(data).schema, seed=0).model
    return float(sum(parameter.numel() for parameter in model.parameters()))


COST = Cost(
    Objective("params", "parameters", False, "before", digits=0, margin=0.0),
    of_model=count,
)
