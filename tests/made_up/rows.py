"""Test rows of made-up data, and scores of them that have the figures that are asked for.

Suffixes: N rows, K tasks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from fsmd.metrics import METRICS, Array, Metric, measured
from fsmd.packing import pack
from fsmd.tasks import Task, parents
from studies.store.tables import TEST_ROWS, VALID_ROWS
from tests.made_up.tasks import positive_rate

Scores = NDArray[np.float32]


@dataclass(frozen=True)
class MadeUpRows:
    """Labels 0, 1 or NaN (not observed), and what makes a row hard for every model."""

    tasks: tuple[Task, ...]
    label_NK: Array
    noise_NK: Array
    unseen_N: NDArray[np.bool_]
    unit_N: NDArray[np.uint32] | None
    weight_N: NDArray[np.float32] | None
    item_N: NDArray[np.uint32] | None = None

    def scores(self, k: int, wished: float, arm: int, seed: int) -> Scores:
        """Log-odds of task k whose figure by the task's metric is as near to `wished` as can be.

        Calibrated for normal evidence d apart between the classes; d is found by bisection. A
        row's error is in part the same for all models, in part for an arm, and in part its own.
        """
        label_N = np.nan_to_num(self.label_NK[:, k])
        arms_N, own_N = (
            np.random.default_rng([k, arm, each]).normal(size=len(label_N)) for each in (0, seed)
        )
        noise_N = 0.8 * self.noise_NK[:, k] + 0.36 * arms_N + 0.48 * own_N
        rate = positive_rate(self.tasks, k)
        metric = METRICS[self.tasks[k].metric]
        low, high = 0.0, 8.0
        for _ in range(16):
            d = (low + high) / 2
            evidence_N = d * (d * label_N + noise_N) - d**2 / 2
            score_N: Scores = (np.log(rate / (1 - rate)) + evidence_N).astype(np.float32)
            value = self.figure(metric, k, score_N)
            assert value is not None, "too few rows for a figure"
            low, high = (d, high) if metric.sign * (wished - value) > 0 else (low, d)
        return score_N

    def figure(
        self, metric: Metric, k: int, score_N: Scores, where_N: NDArray[np.bool_] | None = None
    ) -> float | None:
        """A metric of the scores of task k, on some of the rows."""
        where_N = np.ones(len(score_N), bool) if where_N is None else where_N
        weight_N = None if self.weight_N is None else self.weight_N[where_N].astype(float)
        return measured(
            metric,
            score_N[where_N].astype(float),
            self.label_NK[where_N, k],
            weight_N,
            {name: code_N[where_N] for name, code_N in self.groups.items()},
        )

    @property
    def groups(self) -> Mapping[str, NDArray[np.uint32]]:
        """user, request, item -> numbers, where there are such; every third row of a user is a
        request."""
        items = {} if self.item_N is None else {"item": self.item_N}
        if self.unit_N is None:
            return items
        request_N = 3 * self.unit_N + np.arange(len(self.unit_N), dtype=np.uint32) % 3
        return {"user": self.unit_N, "request": request_N, **items}

    def reached(self, k: int) -> NDArray[np.bool_] | None:
        """Rows on which the task that task k follows is 1; None where it follows none."""
        parent = parents(self.tasks)[k]
        return None if parent is None else self.label_NK[:, parent] > 0

    def store(self, engine: sa.Engine, data_hash: str) -> None:
        """Keep them as `record_rows` does, as those of test and of validation."""
        label_NK = np.nan_to_num(self.label_NK, nan=-1).astype(np.int8)
        columns: dict[str, NDArray[np.generic]] = {
            f"label:{task.name}": label_NK[:, k] for k, task in enumerate(self.tasks)
        }
        columns |= self.groups
        if self.weight_N is not None:
            columns["weight"] = self.weight_N
        rows = [
            {"data_hash": data_hash, "column": column, "packed": pack(values_N)}
            for column, values_N in columns.items()
        ]
        with engine.begin() as connection:
            for table in (TEST_ROWS, VALID_ROWS):
                connection.execute(sa.insert(table), rows)


def made_up_rows(
    tasks: Sequence[Task],
    count: int,
    seed: int,
    users: int | None = None,
    observed: Mapping[str, float] | None = None,
    weighted: bool = False,
    items: int | None = None,
) -> MadeUpRows:
    """Rows whose labels keep to the funnel: 1 only where the task that it follows is 1.

    users, items: rows belong to so many, whose rows are alike. observed: task -> the share of rows
    on which it was observed; 1 where nothing is said.
    """
    rng = np.random.default_rng([seed, count])
    label_NK = np.empty((count, len(tasks)))
    for k, parent in enumerate(parents(tasks)):
        rate = positive_rate(tasks, k)
        if parent is None:
            label_NK[:, k] = rng.random(count) < rate
        else:
            rate /= positive_rate(tasks, parent)
            label_NK[:, k] = (label_NK[:, parent] > 0) & (rng.random(count) < rate)
    noise_NK = rng.normal(size=label_NK.shape)
    unit_N = None
    if users is not None:
        unit_N = rng.integers(users, size=count).astype(np.uint32)
        own_UK = rng.normal(size=(users, len(tasks)))
        noise_NK = 0.8 * noise_NK + 0.6 * own_UK[unit_N]
    for k, task in enumerate(tasks):
        share = (observed or {}).get(task.name, 1.0)
        label_NK[rng.random(count) >= share, k] = np.nan
    unseen_N = np.arange(count) % 4 == 0
    weight_N = rng.integers(1, 4, size=count).astype(np.float32) if weighted else None
    item_N = None
    if items is not None:
        item_N = rng.integers(items, size=count).astype(np.uint32)
        own_IK = rng.normal(size=(items, len(tasks)))
        noise_NK = 0.8 * noise_NK + 0.6 * own_IK[item_N]
    return MadeUpRows(tuple(tasks), label_NK, noise_NK, unseen_N, unit_N, weight_N, item_N)
