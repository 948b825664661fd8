"""Features that are a label, or derived from one: each alone ranks it almost without a fault."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.checks.check import Finding
from fsmd.data.encoder import members_of
from fsmd.data.fitting.numbers import RowSample
from fsmd.data.fitting.words import Counts, WordSums
from fsmd.data.rows.part import Part
from fsmd.data.source import Recipe
from fsmd.metrics import METRICS, measured

LEAK_AUC = 0.999
"""A single feature that ranks a label this well on rows it was not fitted on is the label."""

_MOST_WORDS = 2**17  # of a column that are judged one by one for a leak; more give away none
_MOST_SAMPLED = 2**15
_ENOUGH_ROWS = 2**19  # after which each eighth part is judged
_LEAST_OF_CLASS = 3  # rows, as fewer are told apart by chance

Floats64 = NDArray[np.float64]
Array = NDArray[Any]


class Leaks:
    """Scores every feature alone on train rows it was not fitted on.

    A category's score is its mean label on every other row (of a column with more than
    `_MOST_WORDS` those that come first are judged); a number's is itself, or whether it
    is missing, on a sample of rows.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._parts = 0
        self._observed_K = np.zeros(len(recipe.tasks), np.int64)
        # By word: rows that were fitted on and judged, each with label 0 and 1, of each task.
        self._counts = {c.name: WordSums(4 * len(recipe.tasks)) for c in recipe.categorical}
        self._missing = {
            c.name: np.zeros(4 * len(recipe.tasks), np.int64) for c in recipe.categorical
        }
        self._sample = RowSample(_MOST_SAMPLED)

    def see(self, part: Part) -> None:
        """Count labels by category."""
        if part.split != "train":
            return
        self._parts += 1
        if self._observed_K.max() > _ENOUGH_ROWS and self._parts % 8:
            return
        kind_NK = self._kinds(part.label_NK)
        for column in self._recipe.categorical:
            members = members_of(part.fields.column(column.name))
            kind_MK = kind_NK if members.row_M is None else kind_NK[members.row_M]
            self._count(column.name, members.word_W, members.code_M, kind_MK)
        numbers = [
            np.asarray(part.fields.column(dense.name).to_numpy(zero_copy_only=False), float)
            for dense in self._recipe.dense
        ]
        self._sample.see(np.column_stack([*numbers, part.label_NK]))

    def findings(self) -> Iterator[Finding]:
        """Errors alone."""
        if not self._observed_K.any():
            return
        found: dict[tuple[str, str], float] = {}
        for name, counts in self._counts.items():
            counts.merged()
            count_EJ = np.concatenate([self._missing[name][None], counts.sum_JV.T])
            for k, task in enumerate(self._recipe.tasks):
                found[name, task.name] = _auc_of_categories(count_EJ[:, 4 * k : 4 * k + 4])
        rows = self._sample.rows()
        tasks = len(self._recipe.tasks)
        number_ND, label_NK = rows[:, :-tasks], rows[:, -tasks:]
        for dense, number_N in zip(self._recipe.dense, number_ND.T, strict=True):
            for task, label_N in zip(self._recipe.tasks, label_NK.T, strict=True):
                there_N = ~np.isnan(number_N)
                found[dense.name, task.name] = max(
                    auc_alone(number_N[there_N], label_N[there_N]),
                    auc_alone(there_N.astype(float), label_N),
                )
        for column in self._recipe.features:
            for task in self._recipe.tasks:
                value = found[column.name, task.name]
                if value >= LEAK_AUC:
                    yield Finding(
                        "error",
                        f"{self._recipe.name}: feature {column.name!r} alone gives task "
                        f"{task.name!r} an {METRICS['auc'].label} of {value:.4f}, so it is the "
                        "label or derived from it; remove it",
                    )

    def _kinds(self, label_NK: Floats64) -> Counts:
        """0 and 1: fitted on, with that label; 2 and 3: judged; 4: not observed. N x K."""
        there_NK = ~np.isnan(label_NK)
        number_NK = self._observed_K + np.cumsum(there_NK, 0) - 1
        self._observed_K += there_NK.sum(0)
        kind_NK = 2 * (number_NK % 2) + (label_NK == 1)
        return np.where(there_NK, kind_NK, 4)

    def _count(
        self, name: str, word_W: pa.Array, code_M: NDArray[np.int32], kind_MK: Counts
    ) -> None:
        entries = len(word_W) + 1
        code_M = code_M * np.int64(5)
        count_JE = np.concatenate(
            [
                np.bincount(code_M + kind_M, minlength=5 * entries).reshape(-1, 5).T[:4]
                for kind_M in kind_MK.T
            ]
        )
        self._missing[name] += count_JE[:, -1]
        if self._counts[name].add(word_W, count_JE[:, :-1]):
            self._counts[name].merged()
            self._counts[name].keep(_MOST_WORDS)


def _auc_of_categories(counts_EH: Counts) -> float:
    """Of each category's mean label on the rows fitted on, over the rows judged."""
    fitted_E2, judged_E2 = counts_EH[:, :2], counts_EH[:, 2:]
    if not fitted_E2.sum(0).all():
        return 0.5  # too few rows to tell
    mean_E = mean_labels(
        fitted_E2[:, 1], fitted_E2.sum(1), fitted_E2[:, 1].sum() / fitted_E2.sum()
    )
    label_R = np.repeat([0.0, 1.0], len(mean_E))
    return auc_alone(np.tile(mean_E, 2), label_R, judged_E2.T.ravel().astype(float))


def mean_labels(ones_E: Array, rows_E: Array, otherwise: float) -> Array:
    """Of each category by its rows and those of them with label 1; `otherwise` without rows."""
    return np.asarray(np.where(rows_E > 0, ones_E / np.maximum(rows_E, 1), otherwise))


def auc_alone(score_N: Floats64, label_N: Floats64, weight_N: Floats64 | None = None) -> float:
    """Of the scores or of their negatives, whichever is larger; 0.5 where too few rows tell."""
    weight_N = np.ones(len(label_N)) if weight_N is None else weight_N
    if score_N.min(initial=np.inf) == score_N.max(initial=-np.inf):
        return 0.5
    if min(weight_N[label_N == each].sum() for each in (0, 1)) < _LEAST_OF_CLASS:
        return 0.5
    value = measured(METRICS["auc"], score_N, label_N, weight_N)
    return 0.5 if value is None else max(value, 1 - value)
