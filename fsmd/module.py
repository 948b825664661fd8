"""The Lightning module: losses of Eqs. (7) and (11), validation AUC, optimiser.

It stands alone: `FSMDModule.load_from_checkpoint(path)` gives back a trained model, and
`Trainer.fit(module, batches, batches)` trains one on any iterable of (ids, dense, labels).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import lightning
import numpy as np
import torch
from torch import Tensor

from fsmd import metrics
from fsmd.balancing import GradNorm, Uncertainty, set_projected_gradients
from fsmd.config import FSMDConfig
from fsmd.data.schema import Schema, Split
from fsmd.model import FSMD, log_probabilities, task_losses

Batch = tuple[Tensor, Tensor, Tensor]


class FSMDModule(lightning.LightningModule):
    """Trains one `FSMD`; arguments are plain values, so that checkpoints load safely."""

    def __init__(self, config: dict[str, Any], schema: dict[str, Any], seed: int = 0) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.config = FSMDConfig.from_dict(config)
        self.schema = Schema.from_dict(schema)
        self.model = FSMD(self.config, self.schema, seed)
        weights = torch.tensor(self.config.task_weights)
        self.register_buffer("weight_K", weights, persistent=False)
        self.weight_K: Tensor
        balancing = {"uncertainty": Uncertainty, "gradnorm": GradNorm}.get(self.config.balancing)
        self.balancing = balancing(len(self.schema.tasks)) if balancing else None
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []
        self.valid_auc: dict[str, float] = {}
        self._weighted_K: Tensor | None = None

    @classmethod
    def create(cls, config: FSMDConfig, schema: Schema, seed: int) -> "FSMDModule":
        """The module of a configuration and a schema."""
        return cls(asdict(config), asdict(schema), seed)

    def forward(self, ids_BF: Tensor, dense_BD: Tensor) -> Tensor:
        """Probability of each task over all rows, B x K (with the chain: pCTR, pCTCVR)."""
        log_p_BK, _ = log_probabilities(self.model(ids_BF, dense_BD), self.config.chain)
        return log_p_BK.exp()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The tasks' weighted losses, joined as `balancing` says."""
        ids_BF, dense_BD, label_BK = batch
        loss_K = task_losses(self.model(ids_BF, dense_BD), label_BK, self.config.chain)
        weighted_K = self.weight_K * loss_K
        if isinstance(self.balancing, Uncertainty):
            joined: Tensor = self.balancing(weighted_K)
            return joined
        if isinstance(self.balancing, GradNorm):
            joined = self.balancing(weighted_K, self.model.last_shared_layer())
            return joined
        self._weighted_K = weighted_K if self.config.balancing == "pcgrad" else None
        return weighted_K.sum()

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backpropagation, task by task where gradients are projected."""
        if self._weighted_K is None:
            loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
            return
        shared = self.model.shared_parameters()
        set_projected_gradients(self._weighted_K, list(self.model.parameters()), shared)
        self._weighted_K = None

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Collect logits; AUC is a figure of the whole split, not of batches."""
        ids_BF, dense_BD, label_BK = batch
        self._logits.append(self.model(ids_BF, dense_BD))
        self._labels.append(label_BK)

    def on_validation_epoch_end(self) -> None:
        """Log each task's exact AUC and their mean."""
        logit_NK, label_NK = torch.cat(self._logits), torch.cat(self._labels)
        self._logits.clear()
        self._labels.clear()
        if not bool(logit_NK.isfinite().all()):
            self.valid_auc = dict.fromkeys(self.schema.tasks, float("nan"))
            return
        score_NK, _ = log_probabilities(logit_NK, self.config.chain)
        self.valid_auc = {
            task: metrics.auc(score_NK[:, k], label_NK[:, k])
            for k, task in enumerate(self.schema.tasks)
        }
        self.log_dict({f"valid_auc_{task}": value for task, value in self.valid_auc.items()})
        self.log("valid_auc_mean", sum(self.valid_auc.values()) / len(self.valid_auc))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as in Tables I and III; AdamW where there is a weight decay."""
        return torch.optim.AdamW(
            self.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True,
        )


# ------------------------------------------------------------------------------------------
# Batches: slices of tensors by an index. Collating row by row would cost more than the model.
# ------------------------------------------------------------------------------------------


@dataclass
class EpochOrder:
    """The order of rows in an epoch, from (seed, epoch) alone.

    Lightning calls `set_epoch` on a loader's `sampler` before each epoch, resumed ones too.
    """

    rows: int
    seed: int
    epoch: int = 0

    def set_epoch(self, epoch: int) -> None:
        """Take the order of this epoch, counted from 0."""
        self.epoch = epoch

    def permutation(self) -> Tensor:
        """Row numbers, each once."""
        draw = np.random.default_rng([self.seed, self.epoch])
        return torch.from_numpy(draw.permutation(self.rows))


class Batches:
    """Batches of (ids B x F, dense B x D, labels B x K), in the order of `sampler` if given."""

    batch_sampler = None  # Lightning looks for one wherever there is a sampler

    def __init__(
        self,
        split: Split,
        batch_size: int,
        device: torch.device,
        sampler: EpochOrder | None = None,
    ) -> None:
        arrays = (split.ids, split.dense, split.labels)
        self.columns = tuple(torch.from_numpy(np.asarray(a)).to(device) for a in arrays)
        self.rows = len(split)
        self.batch_size = batch_size
        self.sampler = sampler

    def __len__(self) -> int:
        # Training leaves out a last batch of one row: batch norm has no variance there.
        spare = self.rows - 1 if self.sampler and self.rows > 1 else self.rows
        return -(-spare // self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        order = self.sampler.permutation().to(self.columns[0].device) if self.sampler else None
        for i in range(len(self)):
            rows = slice(i * self.batch_size, (i + 1) * self.batch_size)
            index = rows if order is None else order[rows]
            ids, dense, labels = (column[index] for column in self.columns)
            yield ids, dense, labels
