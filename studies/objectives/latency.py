"""Time that a model takes to score rows, before any training."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from fsmd.baselines import Baseline, Config
from studies.objectives.cost import Cost
from studies.objectives.objective import Objective

ROWS, REPEATS = 1000, 15


def milliseconds(config: Config, data: Path) -> float:
    """To score 1,000 rows of a data set in one batch.

    Processor time of all threads, the least of 15: what other work takes is not the model's.
    Of a baseline, `quick_model`'s. Raises UserError for a model the data cannot carry.
    """
    import numpy as np

    from fsmd.data import open_encoded

    dataset = open_encoded(data)
    rows = np.arange(ROWS) % len(dataset.valid)
    ids, dense = np.asarray(dataset.valid.ids[rows]), np.asarray(dataset.valid.dense[rows])
    if isinstance(config, Baseline):
        from fsmd.baselines.fitting import quick_model

        return _least(partial(quick_model(config, dataset).logits, ids, dense))
    import torch

    from fsmd.module import FSMDModule

    model = FSMDModule.create(config, dataset.schema, seed=0).model.eval()
    with torch.inference_mode():
        return _least(partial(model, torch.from_numpy(ids), torch.from_numpy(dense)))


def _least(score: Callable[[], object]) -> float:
    spent = []
    for _ in range(REPEATS):
        started = time.process_time()
        score()
        spent.append(time.process_time() - started)
    return 1000 * min(spent)


COST = Cost(
    Objective("latency", "ms per 1,000 rows", False, "before", digits=2, margin=0.0),
    of_model=milliseconds,
)
