"""DeepCTR-Torch's and torch-rechub's models of a workload, trained by their own loops.

They have our shapes: as many experts as wide, towers, embeddings, gates of one layer, batch norm,
dropout, Adam at our rate, and no penalty on weights. Starts and all else are their own.
"""

import io
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from importlib.util import find_spec
from threading import Thread
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from fsmd.data.schema import Split
from tests.bench.ours import Contender, Validated, Workload

SHARED = ("mmoe", "ple", "shared_bottom")
"""The models that both have."""


@contextmanager
def _silent() -> Iterator[None]:
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        yield


def _field_names(work: Workload) -> list[str]:
    """Of the categorical fields; a module's name must have no dot."""
    return [f"field_{i}" for i in range(len(work.schema.categorical))]


class DeepCTR:
    """DeepCTR-Torch, fed with one matrix of floats, as it wants."""

    def __init__(self, work: Workload, device: str = "cpu") -> None:
        with patch.object(Thread, "start"):  # it asks the package index for a newer version
            from deepctr_torch.inputs import DenseFeat, SparseFeat
            from deepctr_torch.models.multitask import MMOE, PLE, SharedBottom
        self._work, config = work, work.config
        fields = zip(_field_names(work), work.schema.cardinalities, strict=True)
        columns = [SparseFeat(name, size, config.embedding_size) for name, size in fields]
        columns += [DenseFeat(f"dense_{i}", 1) for i in range(len(work.schema.dense))]
        tasks = [task.name for task in work.schema.tasks]
        common = {
            "tower_dnn_hidden_units": config.tower_dims,
            "l2_reg_linear": 0,
            "l2_reg_embedding": 0,
            "dnn_dropout": config.dropout,
            "dnn_use_bn": config.batch_norm,
            "task_types": ["binary"] * len(tasks),
            "task_names": tasks,
            "seed": 0,
            "device": device,
        }
        gated = {"expert_dnn_hidden_units": config.layers, "gate_dnn_hidden_units": ()}
        own = config.own_count
        models: dict[str, Callable[[], Any]] = {
            "mmoe": lambda: MMOE(columns, config.expert_count, **gated, **common),
            "ple": lambda: PLE(
                columns,
                shared_expert_num=config.expert_count - own,
                specific_expert_num=own,
                num_levels=config.extraction_levels,
                **gated,
                **common,
            ),
            "shared_bottom": lambda: SharedBottom(columns, config.layers, **common),
        }
        self._model = models[work.name]()
        adam = torch.optim.Adam(self._model.parameters(), lr=config.learning_rate or 0.0)
        self._model.compile(adam, "binary_crossentropy")

    def epoch(self, number: int) -> float:
        """See `Contender`."""
        work, matrix = self._work, _matrix(self._work.train)
        torch.manual_seed(number)
        with _silent():
            started = time.process_time()
            self._model.fit([matrix], work.train.labels, work.batch_size, epochs=1, verbose=0)
            return time.process_time() - started

    def validate(self) -> Validated:
        """See `Contender`."""
        matrix = _matrix(self._work.valid)
        started = time.process_time()
        figures = _figures(self._work, self._model.predict([matrix], self._work.batch_size))
        return Validated(time.process_time() - started, figures)


def _matrix(split: Split) -> Any:
    return np.concatenate([split.ids.astype(np.float32), split.dense], 1)


class RecHub:
    """torch-rechub, fed by its own generator of data, in this process."""

    def __init__(self, work: Workload) -> None:
        from torch_rechub.basic.features import DenseFeature, SparseFeature
        from torch_rechub.models.multi_task import MMOE, PLE, SharedBottom
        from torch_rechub.trainers import MTLTrainer
        from torch_rechub.utils.data import DataGenerator

        torch.manual_seed(0)
        self._work, config = work, work.config
        fields = zip(_field_names(work), work.schema.cardinalities, strict=True)
        columns = [SparseFeature(name, size, config.embedding_size) for name, size in fields]
        columns += [DenseFeature(f"dense_{i}") for i in range(len(work.schema.dense))]
        kinds = ["classification"] * len(work.schema.tasks)
        hidden = {"dims": config.layers, "dropout": config.dropout}
        towers = [{"dims": config.tower_dims, "dropout": config.dropout}] * len(kinds)
        count, own, levels = config.expert_count, config.own_count, config.extraction_levels
        models: dict[str, Callable[[], Any]] = {
            "mmoe": lambda: MMOE(columns, kinds, count, hidden, towers),
            "ple": lambda: PLE(columns, kinds, levels, own, count - own, hidden, towers),
            "shared_bottom": lambda: SharedBottom(columns, kinds, hidden, towers),
        }
        adam = {"lr": config.learning_rate, "weight_decay": 0.0}
        self._trainer = MTLTrainer(models[work.name](), kinds, optimizer_params=adam)
        train, valid = self._columns(work.train), self._columns(work.valid)
        self._train, self._valid, _ = DataGenerator(train, work.train.labels).generate_dataloader(
            x_val=valid,
            y_val=work.valid.labels,
            x_test=valid,
            y_test=work.valid.labels,
            batch_size=work.batch_size,
            num_workers=0,
        )

    def epoch(self, number: int) -> float:
        """See `Contender`. An epoch of its `fit`, without the validation that follows there."""
        torch.manual_seed(number)
        with _silent():
            started = time.process_time()
            self._trainer.train_one_epoch(self._train)
            return time.process_time() - started

    def validate(self) -> Validated:
        """See `Contender`."""
        with _silent():
            started = time.process_time()
            values = self._trainer.evaluate(self._trainer.model, self._valid)
            seconds = time.process_time() - started
        return Validated(seconds, _by_task(self._work, values))

    def _columns(self, split: Split) -> dict[str, Any]:
        columns = dict(zip(_field_names(self._work), split.ids.T, strict=True))
        return columns | {f"dense_{i}": column for i, column in enumerate(split.dense.T)}


def _figures(work: Workload, score_NK: Any) -> dict[str, float]:
    tasks = range(len(work.schema.tasks))
    return _by_task(work, [roc_auc_score(work.valid.labels[:, k], score_NK[:, k]) for k in tasks])


def _by_task(work: Workload, values: Any) -> dict[str, float]:
    return {task.name: float(v) for task, v in zip(work.schema.tasks, values, strict=True)}


RIVALS: Mapping[str, Callable[[Workload], Contender]] = {
    "deepctr_torch": DeepCTR,
    "torch_rechub": RecHub,
}
"""Module, which is the column too -> what trains a workload."""


def installed() -> list[str]:
    """The rivals that are here."""
    return [name for name in RIVALS if find_spec(name)]


def can_train(work: Workload) -> bool:
    """Whether both have the model, and can read the rows."""
    single = all(field.length == 1 for field in work.schema.categorical)
    return work.name in SHARED and single and not work.schema.masked and not work.schema.weighted
