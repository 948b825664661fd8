"""The Lightning module: losses of Eqs. (7) and (11), figures of whole splits, optimiser.

It stands alone: `Trainer.fit(module, batches, batches)` trains one on any iterables of a `Batch`
(a list is none: Lightning takes each of its members for a loader; batches of validation and test
end with what the tasks' metrics need of groups, see `FSMDModule.groups`), and
`FSMDModule.load_from_checkpoint(path)` gives back a trained model; of a checkpoint of
`fsmd.train`, with the weights of the epoch that validation chose.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

import lightning
import numpy as np
import torch
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn

from fsmd.adamw import RowWiseAdamW
from fsmd.balancing import GradNorm, Uncertainty, add_projected_gradients
from fsmd.batches import Batch, Pile
from fsmd.config import FSMDConfig
from fsmd.data.schema import Schema
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.metrics import METRICS, measured
from fsmd.model import FSMD, log_probabilities, scores, task_losses
from fsmd.runtime import Runtime
from fsmd.tasks import MEAN

CHOSEN_WEIGHTS = "chosen_weights"
"""Where a checkpoint keeps the state of the model at the epoch that validation chose."""


class FSMDModule(lightning.LightningModule):
    """Trains one `FSMD`; arguments are plain values, so that checkpoints load safely.

    What the configuration still leaves open is as `TrainingSettings()` has it. Raises UserError
    for a batch that the schema does not describe.
    """

    def __init__(
        self,
        config: dict[str, Any],
        schema: dict[str, Any],
        seed: int = 0,
        precision: str = "float32",
    ) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.config = TrainingSettings().applied(FSMDConfig.from_dict(config))
        self.schema = Schema.from_dict(schema)
        self.model = FSMD(self.config, self.schema, seed)
        if Runtime(precision=precision).precision == "bfloat16":
            self.model.precision = torch.bfloat16
        weights = self.config.task_weights or tuple(task.weight for task in self.schema.tasks)
        self.register_buffer("weight_K", torch.tensor(weights), persistent=False)
        self.weight_K: Tensor
        balancing = {"uncertainty": Uncertainty, "gradnorm": GradNorm}.get(self.config.balancing)
        self.balancing = balancing(len(self.schema.tasks)) if balancing else None
        self.valid_figures: Mapping[str, float] = {}
        """Task -> its own metric on the whole split of the first loader; NaN if not defined."""
        self._collected: dict[int, list[Pile]] = defaultdict(list)
        """Number of a loader -> scores, labels, any weights and groups of its batches."""
        judged_by = {METRICS[task.metric].group for task in self.schema.tasks}
        self.groups: tuple[str, ...] = tuple(
            name for name in ("user", "request") if name in judged_by
        )
        """Whose numbers end a batch of validation or test, as the tasks' metrics need them."""
        self._joined: tuple[Tensor, Tensor] | None = None
        """Weighted losses, K, and their sum, of a step whose gradients are to be projected."""
        self.field_C = [field for field in self.schema.categorical for _ in range(field.length)]
        """The field of each column of ids."""
        least_C = torch.tensor([-(field.length > 1) for field in self.field_C], dtype=torch.int32)
        size_C = torch.tensor([field.cardinality for field in self.field_C], dtype=torch.int32)
        self.register_buffer("least_C", least_C, persistent=False)
        self.register_buffer("size_C", size_C, persistent=False)
        self.least_C: Tensor
        self.size_C: Tensor

    @classmethod
    def create(
        cls, config: FSMDConfig, schema: Schema, seed: int, precision: str = "float32"
    ) -> "FSMDModule":
        """The module of a configuration and a schema; precision: see `Runtime`."""
        return cls(asdict(config), asdict(schema), seed, precision)

    def forward(self, ids_BC: Tensor, dense_BD: Tensor) -> Tensor:
        """Probability of each task over all rows, B x K (with the chain: pCTR, pCTCVR)."""
        log_p_BK, _ = log_probabilities(self.logits(ids_BC, dense_BD), self.model.parents)
        return log_p_BK.exp()

    def logits(self, ids_BC: Tensor, dense_BD: Tensor) -> Tensor:
        """What the model gives, B x K; refuses rows that the schema does not describe."""
        self.check_rows(ids_BC, dense_BD)
        logit_BK: Tensor = self.model(ids_BC, dense_BD.to(self.dtype))
        return logit_BK

    def check_rows(self, ids_BC: Tensor, dense_BD: Tensor) -> None:
        """Raise UserError for rows that the schema does not describe."""
        columns, dense = len(self.field_C), len(self.schema.dense)
        if ids_BC.shape[1:] != (columns,) or dense_BD.shape[1:] != (dense,):
            raise UserError(
                f"a batch must have ids of {columns} columns and {dense} dense values a row; got "
                f"{tuple(ids_BC.shape)} and {tuple(dense_BD.shape)}"
            )
        if ids_BC.is_floating_point():
            raise UserError(f"ids of a batch must be whole numbers; got {ids_BC.dtype}")
        # Reading the answer makes a GPU wait, so there training trusts its rows.
        if not (self.training and ids_BC.is_cuda):
            outside_BC = (ids_BC < self.least_C) | (ids_BC >= self.size_C)
            if outside_BC.any():
                field = self.field_C[int(outside_BC.nonzero()[0, 1])]
                least = "-1 (nothing)" if field.length > 1 else "0 (unseen)"
                raise UserError(
                    f"ids of the field {field.name!r} must lie between {least} and "
                    f"{field.cardinality - 1}; encode rows as the training data was"
                )

    def _labelled(self, batch: Batch, groups: Sequence[str] = ()) -> Batch:
        """The batch; refuses one that has not what the schema says, and numbers of `groups`."""
        given = ("ids", "dense", "labels", *(["weights"] if self.schema.weighted else []))
        names = (*given, *(f"{group}s" for group in groups))
        if len(batch) != len(names) or not all(isinstance(part, Tensor) for part in batch):
            kinds = ", ".join(type(part).__name__ for part in batch)
            judged = [(task.name, METRICS[task.metric]) for task in self.schema.tasks]
            needs = [
                f" ({metric.label}, the metric of task {name!r}, needs each row's {metric.group})"
                for name, metric in judged
                if metric.group in groups
            ]
            tensors = f"{', '.join(names)}{''.join(needs[:1])}"
            raise UserError(
                f"a batch must be the tensors {tensors}; got {kinds} (Lightning takes each member "
                "of a list for a loader: give another iterable)"
            )
        label_BK, *weights = batch[2 : len(given)]
        rows, masked = len(batch[0]), self.schema.masked
        shapes = [(rows, len(self.schema.tasks)), *[(rows,)] * (len(names) - 3)]
        for name, part, shape in zip(names[2:], batch[2:], shapes, strict=False):
            if part.shape != shape:
                raise UserError(f"{name} of a batch must be {shape}; got {tuple(part.shape)}")
        if not (self.training and label_BK.is_cuda):
            known_BK = (label_BK == 0) | (label_BK == 1) | (label_BK.isnan() & masked)
            if not known_BK.all():
                raise UserError(
                    f"labels of a batch must be 0 or 1, or NaN where the schema is masked "
                    f"({masked}); got {label_BK[~known_BK][0].item()}"
                )
            if not all(((weight_B >= 0) & (weight_B < math.inf)).all() for weight_B in weights):
                raise UserError("weights of a batch must be finite, and none below 0")
        return batch

    def losses(self, batch: Batch) -> Tensor:
        """The loss of each task, K, before any weight of tasks."""
        ids_BC, dense_BD, label_BK, *weights = self._labelled(batch)
        return task_losses(
            self.logits(ids_BC, dense_BD),
            label_BK,
            self.model.parents,
            weight_B=weights[0] if weights else None,
            masked=self.schema.masked,
        )

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor | None:
        """The tasks' weighted losses, joined as `balancing` says; None has Lightning go on.

        So it is with a batch of one row, in which batch norm has no variance, and with an empty
        one: a `DataLoader` may end with it.
        """
        if len(batch[0]) < 1 + self.config.batch_norm:
            return None
        weighted_K = self.weight_K * self.losses(batch)
        joined: Tensor
        if isinstance(self.balancing, Uncertainty):
            joined = self.balancing(weighted_K)
        elif isinstance(self.balancing, GradNorm):
            joined = self.balancing(weighted_K, self.model.last_shared_layer())
        else:
            joined = weighted_K.sum()
        if self.config.balancing == "pcgrad":
            self._joined = weighted_K, joined
        return joined

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """Backpropagation, task by task where gradients are projected."""
        if self._joined is None:
            loss.backward(*args, **kwargs)  # type: ignore[no-untyped-call]
            return
        (weighted_K, joined), self._joined = self._joined, None
        # What Lightning scaled the loss by, for several batches a step or for half precision.
        (scale,) = torch.autograd.grad(loss, joined, retain_graph=True)
        shared = self.model.shared_parameters()
        add_projected_gradients(scale * weighted_K, list(self.model.parameters()), shared)

    def validation_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """Collect logits; a metric is a figure of the whole split, not of batches."""
        ids_BC, dense_BD, *rest = self._labelled(batch, self.groups)
        parts = (scores(self.logits(ids_BC, dense_BD), self.model.parents), *rest)
        piles = self._collected[dataloader_idx]
        piles += [Pile() for _ in parts[len(piles) :]]
        for pile, part in zip(piles, parts, strict=True):
            pile.add(part.float() if part.dtype in (torch.bfloat16, torch.float16) else part)

    def test_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> None:
        """As `validation_step`."""
        self.validation_step(batch, batch_idx, dataloader_idx)

    def predict_step(self, batch: Batch, batch_idx: int, dataloader_idx: int = 0) -> Tensor:
        """Probability of each task, B x K; `batch` needs no more than ids and dense."""
        return self.forward(batch[0], batch[1])

    def on_validation_epoch_start(self) -> None:
        """Forget what an epoch that was cut off left."""
        self._collected.clear()

    def on_test_epoch_start(self) -> None:
        """As `on_validation_epoch_start`."""
        self._collected.clear()

    def on_validation_epoch_end(self) -> None:
        """Log `valid_<metric>_<task>` and, where all share one metric, `valid_<metric>_mean`.

        Of several loaders each has its own, ending with `/dataloader_idx_0` and so on, as
        Lightning names them.
        """
        self.valid_figures = self._log_figures("valid")

    def on_test_epoch_end(self) -> None:
        """Log the same of test."""
        self._log_figures("test")

    def _log_figures(self, split: str) -> dict[str, float]:
        """Of the first loader."""
        several = len(self._collected) > 1
        figures = [
            self._log_of_loader(split, f"/dataloader_idx_{i}" if several else "", piles)
            for i, piles in sorted(self._collected.items())
        ]
        self._collected.clear()
        return figures[0] if figures else {}

    def _log_of_loader(self, split: str, ending: str, piles: Sequence[Pile]) -> dict[str, float]:
        score_NK, label_NK, *rest = (pile.joined() for pile in piles)
        weight_N = rest.pop(0).astype(np.float32) if self.schema.weighted else None
        groups = dict(zip(self.groups, rest, strict=True))
        figures, logged = {}, {}
        for k, task in enumerate(self.schema.tasks):
            score_N, label_N, value = score_NK[:, k], label_NK[:, k].astype(np.float32), None
            if np.isfinite(score_N).all():
                value = measured(METRICS[task.metric], score_N, label_N, weight_N, groups)
            figures[task.name] = math.nan if value is None else value
            logged[f"{split}_{task.metric}_{task.name}{ending}"] = figures[task.name]
        metrics = {task.metric for task in self.schema.tasks}
        if len(metrics) == 1:
            mean = sum(figures.values()) / len(figures)
            logged[f"{split}_{metrics.pop()}_{MEAN}{ending}"] = mean
        self.log_dict(logged, add_dataloader_idx=False)
        return figures

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the chosen epoch's weights, where there are any, except to go on training."""
        trainer = self._trainer
        if trainer is not None and trainer.state.fn == TrainerFn.FITTING:
            return
        for name, value in checkpoint.get(CHOSEN_WEIGHTS, {}).items():
            checkpoint["state_dict"][f"model.{name}"] = value

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam, as in Tables I and III; AdamW where there is a weight decay.

        Tables of more than `fsmd.model.ROW_WISE` rows move row by row (`RowWiseAdamW`).
        """
        assert self.config.learning_rate is not None
        assert self.config.weight_decay is not None
        # Lightning clips no gradients of a fused optimiser in mixed precision.
        clips = self._trainer is not None and self._trainer.gradient_clip_val is not None
        return RowWiseAdamW(
            self.parameters(),
            self.config.learning_rate,
            self.config.weight_decay,
            fused=not clips,
        )

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """As Lightning does; of a sparse gradient the rows that occur, as all others are 0."""
        sparse = [p for p in self.parameters() if p.grad is not None and p.grad.is_sparse]
        if gradient_clip_val is None or not sparse:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
            return
        stand_ins = [p for p in self.parameters() if p.grad is not None and not p.grad.is_sparse]
        for parameter in sparse:
            parameter.grad = cast(Tensor, parameter.grad).coalesce()
            values = parameter.grad.values()  # the same memory
            stand_ins.append(nn.Parameter(torch.empty_like(values)))
            stand_ins[-1].grad = values
        if gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(stand_ins, gradient_clip_val)
        else:
            nn.utils.clip_grad_norm_(stand_ins, gradient_clip_val)
