"""Embeddings from a denoising auto-encoder over the user-behaviour fields.

NOTE[PAPER]: Section II.C says only that noise-reducing auto-coding initialises the information on
user behaviour. Here a field's ids are swapped with those of another row with probability 0.15, and
each of a field's true ids is to be found among those of the batch.
"""

from collections.abc import Iterator
from copy import deepcopy
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fsmd.adamw import RowWiseAdamW
from fsmd.batches import Batches, EpochOrder
from fsmd.data.schema import Dataset
from fsmd.model import (
    FSMD,
    Columns,
    Embeddings,
    EmbeddingTable,
    field_positions,
    generator,
    initialise,
    places,
)

SWAP = 0.15
HIDDEN = 64
BATCH = 512


class DenoisingAutoEncoder(nn.Module):
    """Embeddings of F fields, a hidden layer, and a guess of each field's embedding."""

    def __init__(self, table: EmbeddingTable, columns: Columns, seed: int) -> None:
        super().__init__()
        self.columns = columns
        width = len(columns.lengths) * table.embedding_dim
        self.encode = nn.Sequential(nn.Linear(width, HIDDEN), nn.ReLU())
        self.decode = nn.Linear(HIDDEN, width)
        initialise(self, seed)
        self.table = deepcopy(table)  # which keeps the model's own start

    def forward(self, noisy_BC: Tensor, true_BC: Tensor) -> Tensor:
        """Mean cross-entropy of finding each true id among the batch's ids of its field."""
        code_BH = self.encode(self.columns(noisy_BC).of(self.table).flatten(1))
        guess_BFE = self.decode(code_BH).unflatten(1, (len(self.columns.lengths), -1))
        row_F_BL = torch.split(self.columns(true_BC).row_BC, self.columns.lengths, 1)
        losses = []
        for guess_BE, row_BL in zip(guess_BFE.unbind(1), row_F_BL, strict=True):
            there_BL = row_BL != self.columns.rows  # where the blank row stands, if there is one
            guess_PE = guess_BE.repeat_interleave(there_BL.sum(1), 0)
            row_U, place_P = torch.unique(row_BL[there_BL], return_inverse=True)
            if len(row_U):
                losses.append(F.cross_entropy(guess_PE @ self.table(row_U).T, place_P))
        return torch.stack(losses).mean() if losses else 0 * code_BH.sum()


def pretrain(
    model: FSMD, data: Dataset, seed: int, shuffle: str = "rows", half: int | None = None
) -> None:
    """Start all embedding tables from `pretrain_epochs` epochs; rows of other fields stay.

    Ids are swapped with those of any row; with shuffle="blocks", of any row of the batch. half: as
    `fsmd.training.Training` has it. Raises
    UserError for a field that the data has not.
    """
    config, every = model.config, data.schema.categorical
    fields = field_positions("pretrain_fields", config, data.schema) or list(range(len(every)))
    columns = Columns(every, fields)
    field_C = torch.repeat_interleave(torch.tensor(columns.lengths))  # a field moves as one
    coder = DenoisingAutoEncoder(cast(Embeddings, model.embeddings[0]).table, columns, seed)
    assert config.learning_rate is not None
    optimiser = RowWiseAdamW(coder.parameters(), config.learning_rate, 0.0, fused=True)
    order = EpochOrder.of(data.train, seed, shuffle, half)

    def chosen(ids_NC: Tensor) -> Tensor:
        return torch.cat([ids_NC[:, places(every, i)] for i in fields], 1)

    def batches(draw: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows, and those that their ids may be swapped with."""
        if shuffle == "blocks":
            for ids_BC, *_ in Batches(data.train, BATCH, torch.device("cpu"), order):
                yield (of := chosen(ids_BC)), of
        else:
            of_epoch = slice(None) if half is None else order.numbers
            ids_NC = chosen(torch.from_numpy(data.train.ids[of_epoch]))
            for index in torch.split(torch.randperm(len(ids_NC), generator=draw), BATCH):
                yield ids_NC[index], ids_NC

    for epoch in range(config.pretrain_epochs):
        order.set_epoch(epoch)
        draw = generator(seed, "dae", epoch)
        for true_BC, ids_NC in batches(draw):
            shape = len(true_BC), len(fields)
            other_BF = torch.randint(len(ids_NC), shape, generator=draw)
            swapped_BF = torch.rand(shape, generator=draw) < SWAP
            other_BC = ids_NC.gather(0, other_BF[:, field_C])
            noisy_BC = torch.where(swapped_BF[:, field_C], other_BC, true_BC)
            optimiser.zero_grad()
            coder(noisy_BC, true_BC).backward()
            optimiser.step()
    for embeddings in model.embeddings:
        embeddings.load_state_dict({"table.weight": coder.table.weight})
