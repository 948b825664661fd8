"""Splits whose labels or weights no model can be trained on, or judged by."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fsmd.data.checks.check import Finding
from fsmd.data.encoded import SPLITS
from fsmd.data.rows.part import Part
from fsmd.data.schema import Floats
from fsmd.data.source import Recipe
from fsmd.errors import UserError, shown
from fsmd.metrics import METRICS, GroupCodes, is_certain
from fsmd.tasks import Task, parents

_LEAST_WEIGHT, _MOST_WEIGHT = 1e-15, 1e15  # 32 bits hold sums of their squares

Floats64 = NDArray[np.float64]


class Labels:
    """Rows, weights, classes and funnel of each split, and whether test tells how sure it is."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._after = parents(recipe.tasks)
        self._rows = dict.fromkeys(SPLITS, 0)
        tasks = len(recipe.tasks)
        self._classes = {split: np.zeros((tasks, 2), np.int64) for split in SPLITS}
        self._broken = {split: np.zeros(tasks, np.int64) for split in SPLITS}
        self._weights = dict.fromkeys(SPLITS, (np.inf, np.inf, 0.0))
        # Of test and, where a mean over groups chooses the epoch, of validation.
        grouped = any(METRICS[task.metric].group for task in recipe.tasks)
        self._judged: dict[str, list[tuple[Floats, Floats64, GroupCodes]]] = {
            split: [] for split in (("valid", "test") if grouped else ("test",))
        }

    def see(self, part: Part) -> None:
        """Count; UserError with the row for a label or weight that is none."""
        label_NK, weight_N = part.label_NK, part.weight_N
        self._rows[part.split] += len(label_NK)
        is_1, is_0 = label_NK == 1, label_NK == 0
        refused_NK = ~(is_1 | is_0 | np.isnan(label_NK))
        if refused_NK.any():
            row, k = np.argwhere(refused_NK)[0]
            raise UserError(
                f"{part.where.row(row)}: labels of {self._recipe.tasks[k].name!r} must be 0, 1 or "
                f"missing; got {shown(float(label_NK[row, k]))}"
            )
        counts_N = np.ones(len(label_NK), bool)
        if weight_N is not None:
            self._see_weights(part, weight_N)
            counts_N = weight_N > 0
        self._classes[part.split] += np.stack([counts_N @ is_0, counts_N @ is_1], 1)
        for k, parent in enumerate(self._after):
            if parent is not None:
                self._broken[part.split][k] += (is_1[:, k] & is_0[:, parent]).sum()
        if part.split in self._judged:
            weights = np.ones(len(label_NK)) if weight_N is None else weight_N
            codes = {"user": part.user_N, "request": part.request_N}
            groups = {name: code_N for name, code_N in codes.items() if code_N is not None}
            self._judged[part.split].append((label_NK.astype(np.float32), weights, groups))

    def findings(self) -> Iterator[Finding]:
        """Errors alone."""
        for split in SPLITS:
            where = f"{self._recipe.name}, {split}"
            if not self._rows[split]:
                yield Finding("error", f"{where}: there are no rows")
                continue
            yield from self._of_weights(where, split)
            for k, task in enumerate(self._recipe.tasks):
                yield from self._of_task(where, split, k, task)

    def _see_weights(self, part: Part, weight_N: Floats64) -> None:
        refused_N = ~((weight_N >= 0) & (weight_N <= _MOST_WEIGHT))
        if refused_N.any():
            row = int(np.argmax(refused_N))
            raise UserError(
                f"{part.where.row(row)}: weights {self._recipe.weight!r} must lie between 0 and "
                f"{_MOST_WEIGHT:g}, none missing; got {shown(float(weight_N[row]))}"
            )
        least, positive, most = self._weights[part.split]
        self._weights[part.split] = (
            min(least, weight_N.min(initial=np.inf)),
            min(positive, weight_N[weight_N > 0].min(initial=np.inf)),
            max(most, weight_N.max(initial=0.0)),
        )

    def _of_weights(self, where: str, split: str) -> Iterator[Finding]:
        least, positive, most = self._weights[split]
        if least < np.inf and not _LEAST_WEIGHT <= positive < np.inf:
            yield Finding(
                "error",
                f"{where}: weights {self._recipe.weight!r} must not all be 0, nor positive and "
                f"below {_LEAST_WEIGHT:g}; they range from {least:g} to {most:g}",
            )

    def _of_task(self, where: str, split: str, k: int, task: Task) -> Iterator[Finding]:
        seen = np.flatnonzero(self._classes[split][k])
        if not len(seen):
            yield Finding(
                "error", f"{where}: task {task.name!r} was observed on no row that counts"
            )
        elif len(seen) < 2:
            yield Finding(
                "error",
                f"{where}: all labels of {task.name!r} are {seen[0]}; both classes are needed",
            )
        broken = self._broken[split][k]
        if broken:
            yield Finding(
                "error",
                f"{where}: {broken} rows have {task.name!r} without {task.after!r}, which it "
                f"follows; label it on rows of {task.after!r} only, or let it follow no task",
            )
        if len(seen) == 2 and split in self._judged:
            yield from self._of_certainty(where, split, k, task)

    def _of_certainty(self, where: str, split: str, k: int, task: Task) -> Iterator[Finding]:
        """The rows must tell how sure the figure is: an AUC needs two of each class."""
        metric = METRICS[task.metric]
        labels, weights, groups = zip(*self._judged[split], strict=True)
        code_N = {name: np.concatenate([g[name] for g in groups]) for name in groups[0]}
        label_N = np.concatenate([label_NK[:, k] for label_NK in labels])
        if not is_certain(metric, label_N, np.concatenate(weights), code_N):
            needed = f"{metric.group}s with both labels" if metric.group else "of each class"
            yield Finding(
                "error",
                f"{where}: too few rows that count to tell how sure the {metric.label} of task "
                f"{task.name!r} is; two {needed} are needed",
            )
