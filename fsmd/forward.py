"""The torch side of scoring: logits and scores of rows by a module as it is."""

import numpy as np
import torch

from fsmd.batches import Batches, Pile
from fsmd.config import FSMDConfig
from fsmd.data.schema import Floats, Ids, Split
from fsmd.evaluation import Scored
from fsmd.model import scores
from fsmd.module import FSMDModule
from fsmd.trained import TrainedModel
from fsmd.training import DivergedError

EVALUATION_BATCH = 8192
ON_A_GPU = 8
"""Times as many rows, of one model: there a batch takes as long as its calls."""


@torch.no_grad()
def scored(module: FSMDModule, name: str, split: Split) -> Scored:
    """By the module as it is; DivergedError for a logit that is not finite."""
    module.eval()
    rows = EVALUATION_BATCH * (ON_A_GPU if module.device.type == "cuda" else 1)
    batches = Batches(split, rows, module.device)
    chain, logits, chained = module.model.parents, Pile(), Pile()
    for ids_BC, dense_BD, *_ in batches:
        logit_BK = module.model(ids_BC, dense_BD.to(module.dtype))
        if not bool(logit_BK.isfinite().all()):
            raise DivergedError(
                f"a logit is not finite on the {name} rows at the chosen epoch; "
                f"learning_rate is {module.config.learning_rate}"
            )
        logits.add(logit_BK)
        if chain is not None:
            chained.add(scores(logit_BK, chain))
    logit_NK = logits.joined()
    return Scored(name, split, chain, logit_NK, chained.joined() if chain else logit_NK)


def scored_rows(module: FSMDModule, ids_NC: Ids, dense_ND: Floats) -> Scored:
    """Of rows without labels, as `scored`; UserError for rows that the schema does not have."""
    label_NK = np.zeros((len(ids_NC), len(module.schema.tasks)), np.float32)
    # Copies, as torch wants memory that may be written.
    split = Split(np.array(ids_NC), np.array(dense_ND), label_NK)
    module.check_rows(torch.from_numpy(split.ids), torch.from_numpy(split.dense))
    if not len(split):
        return Scored("given", split, module.model.parents, label_NK, label_NK)
    return scored(module, "given", split)


def module_of(trained: TrainedModel) -> FSMDModule:
    """A trained network as a module, on the processor."""
    assert isinstance(trained.config, FSMDConfig)
    module = FSMDModule.create(trained.config, trained.schema, seed=0)
    module.model.load_state_dict(
        {name: torch.from_numpy(np.array(array)) for name, array in trained.tensors.items()}
    )
    return module.eval()
