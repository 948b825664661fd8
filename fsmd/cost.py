"""What a model costs to keep and to serve; nothing here needs training."""

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fsmd.config import FSMDConfig
from fsmd.data import open_encoded
from fsmd.module import FSMDModule

ROWS = 1000
REPEATS = 15


class Cost(NamedTuple):
    """Parameters, and milliseconds to score 1,000 rows in one batch.

    Processor time of all threads, the least of 15: what other work takes is not the model's.
    """

    parameters: int
    milliseconds: float


def cost(config: FSMDConfig, data: Path) -> Cost:
    """Measure a model on a data set's validation rows.

    Raises UserError for a model the data cannot carry.
    """
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
    parameters = sum(p.numel() for p in model.parameters())
    return Cost(parameters, 1000 * min(spent))
