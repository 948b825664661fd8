"""Time that a model takes to score rows, before any training."""

import time
from pathlib import Path

from fsmd.config import FSMDConfig
from studies.objectives.cost import Cost
from studies.objectives.objective import Objective

ROWS, REPEATS = 1000, 15


def milliseconds(config: FSMDConfig, data: Path) -> float:
    """To score 1,000 rows of a data set in one batch.

    Processor time of all threads, the least of 15: what other work takes is not the model's.
    Raises UserError for a model the data cannot carry.
    """
    import numpy as np
    import torch

    from fsmd.data import open_encoded
    from fsmd.module import FSMDModule

    dataset = open_encoded(data)
    model = FSMDModule.create(config, dataset.schema, seed=0).model.eval()
    rows = np.arange(ROWS) % len(dataset.valid)
    ids = torch.from_numpy(np.asarray(dataset.valid.ids[rows]))
    dense = torch.from_numpy(np.asarray(dataset.valid.dense[rows]))
    spent = []
    with torch.inference_mode():
        for _ in range(REPEATS):
            started = time.process_time()
            model(ids, dense)
            spent.append(time.process_time() - started)
    return 1000 * min(spent)


COST = Cost(
    Objective("latency", "ms per 1,000 rows", False, "before", digits=2, margin=0.0),
    of_model=milliseconds,
)
