"""Columns that are there, or missing, only where a label is 1: written after what is predicted.

Where that is exact, `learnable` refuses them too.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from fsmd.data.checks.check import Finding
from fsmd.data.checks.leaks import TELLING_AUC
from fsmd.data.checks.tally import count, missing_of
from fsmd.data.rows.part import Part
from fsmd.data.source import Recipe

LEAST_EXPECTED = 20
"""Rows expected of chance, of which none is there, that are no chance."""


class Presence:
    """Counts the rows of train by field, whether its value is missing, by task and label."""

    def __init__(self, recipe: Recipe) -> None:
        self._fields = [column.name for column in recipe.features]
        self._tasks = [task.name for task in recipe.tasks]
        shape = (2, 2, len(self._fields), len(self._tasks))
        self._counts = np.zeros(shape, np.int64)  # missing, label, field, task

    def see(self, part: Part) -> None:
        """Count the rows of train."""
        if part.split != "train":
            return
        missing_NF = np.column_stack([missing_of(part.fields.column(f)) for f in self._fields])
        for missing in (0, 1):
            for label in (0, 1):
                of_field_NF = (missing_NF == missing).astype(float)
                of_task_NK = (part.label_NK == label).astype(float)
                self._counts[missing, label] += (of_field_NF.T @ of_task_NK).astype(np.int64)

    def findings(self) -> Iterator[Finding]:
        """By field and task."""
        for f, name in enumerate(self._fields):
            for k, task in enumerate(self._tasks):
                found = _finding(name, task, self._counts[:, :, f, k])
                if found:
                    yield found


def _finding(name: str, task: str, counts: NDArray[np.int64]) -> Finding | None:
    """counts: 2 x 2, of there and missing by label 0 and 1."""
    (there0, there1), (missing0, missing1) = counts.tolist()
    rows = counts.sum()
    if min(there0 + there1, missing0 + missing1) == 0 or min(counts.sum(0)) == 0:
        return None
    advice = "Such a column is written after what is predicted: take it out of [fields]."
    for state, zeros, ones in (("there", there0, there1), ("missing", missing0, missing1)):
        expected = (zeros + ones) * counts[:, 0].sum() / rows
        if zeros == 0 and expected >= LEAST_EXPECTED:
            text = (
                f"Column {name!r} is {state} on {count(ones)} train rows, and on all of them task "
                f"{task!r} is 1. {advice}"
            )
            return Finding("warning", text)
    auc = (there1 / (there1 + missing1) + missing0 / (there0 + missing0)) / 2
    if max(auc, 1 - auc) >= TELLING_AUC:
        text = (
            f"Whether column {name!r} is missing alone gives task {task!r} an AUC of "
            f"{max(auc, 1 - auc):.3f} on {count(rows)} train rows. {advice}"
        )
        return Finding("warning", text)
    return None
