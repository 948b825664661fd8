"""Embeddings from a denoising auto-encoder over the user-behaviour fields.

NOTE[PAPER]: Section II.C says only that noise-reducing auto-coding initialises the information on
user behaviour. Here a field's id is swapped with that of another row with probability 0.15, and
each field's true id is to be found among those of the batch.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsmd.data.schema import Dataset
from fsmd.model import FSMD, field_positions, generator, initialise

SWAP = 0.15
HIDDEN = 64
BATCH = 512


class DenoisingAutoEncoder(nn.Module):
    """Embeddings of F fields, a hidden layer, and a guess of each field's embedding."""

    def __init__(self, table: Tensor, fields: int) -> None:
        super().__init__()
        size = table.shape[1]
        self.table = nn.Embedding(table.shape[0], size, _weight=table.clone())
        self.encode = nn.Sequential(nn.Linear(fields * size, HIDDEN), nn.ReLU())
        self.decode = nn.Linear(HIDDEN, fields * size)

    def forward(self, noisy_BF: Tensor, true_BF: Tensor) -> Tensor:
        """Mean cross-entropy of finding each true id among the batch's ids of its field."""
        code_BH = self.encode(self.table(noisy_BF).flatten(1))
        guess_BFE = self.decode(code_BH).unflatten(1, (noisy_BF.shape[1], -1))
        losses = []
        for guess_BE, true_B in zip(guess_BFE.unbind(1), true_BF.unbind(1), strict=True):
            id_U, place_B = torch.unique(true_B, return_inverse=True)
            losses.append(F.cross_entropy(guess_BE @ self.table(id_U).T, place_B))
        return torch.stack(losses).mean()


def pretrain(model: FSMD, data: Dataset, seed: int) -> None:
    """Start all embedding tables from `pretrain_epochs` epochs; rows of other fields stay.

    Raises UserError for a field that the data has not.
    """
    config = model.config
    everything = list(range(len(data.schema.categorical)))
    fields = field_positions("pretrain_fields", config, data.schema) or everything
    row_NF = torch.from_numpy(data.train.ids)[:, fields] + model.offset_F.cpu()[fields]
    table = next(model.embeddings.parameters())
    coder = DenoisingAutoEncoder(table.detach().cpu(), len(fields))
    start = {"table.weight": coder.table.weight.detach().clone()}
    initialise(coder, seed)  # the layers; the table keeps the model's own start
    coder.load_state_dict(start, strict=False)
    assert config.learning_rate is not None
    optimiser = torch.optim.Adam(coder.parameters(), lr=config.learning_rate, fused=True)
    for epoch in range(config.pretrain_epochs):
        draw = generator(seed, "dae", epoch)
        for index in torch.split(torch.randperm(len(row_NF), generator=draw), BATCH):
            true_BF = row_NF[index]
            other = torch.randint(len(row_NF), true_BF.shape, generator=draw)
            swapped = torch.rand(true_BF.shape, generator=draw) < SWAP
            noisy_BF = torch.where(swapped, row_NF.gather(0, other), true_BF)
            optimiser.zero_grad()
            coder(noisy_BF, true_BF).backward()
            optimiser.step()
    for embeddings in model.embeddings:
        embeddings.load_state_dict({"table.weight": coder.table.weight})
