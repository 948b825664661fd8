"""Users and requests: who is new, and who says nothing on a figure within users or requests."""

from collections.abc import Iterator

import numpy as np

from fsmd.data.checks.check import Finding
from fsmd.data.checks.tally import Codes, Counted, Counts, KeyTally, of_all, percent
from fsmd.data.encoded import SPLITS
from fsmd.data.rows.part import Part
from fsmd.data.source import Recipe
from fsmd.metrics import METRICS

_MOST = 2**17
USED_SHARE = 0.5
"""Of a split's rows, below which a figure within groups that judges a task is a figure of few."""


class Groups:
    """Users and requests by split, each with its counts of 0 and 1 of every task."""

    def __init__(self, recipe: Recipe) -> None:
        self._tasks = recipe.tasks
        self._request = recipe.request
        self._width = 1 + 2 * len(recipe.tasks)
        cells = len(SPLITS) * self._width
        self._tallies = {name: KeyTally(cells, _MOST) for name in ("user", "request")}

    def see(self, part: Part) -> None:
        """Count rows and labels of each user and each request."""
        for name, code_N in (("user", part.user_N), ("request", part.request_N)):
            if code_N is not None:
                self._add(self._tallies[name], part, code_N)

    def _add(self, tally: KeyTally, part: Part, code_N: Codes) -> None:
        code_U, place_N = np.unique(code_N, return_inverse=True)
        counts = np.zeros((len(code_U), len(SPLITS), self._width), np.int64)
        of_split = counts[:, SPLITS.index(part.split)]
        of_split[:, 0] = np.bincount(place_N)
        for k, label_N in enumerate(part.label_NK.T):
            for label in (0, 1):
                found = np.bincount(place_N, label_N == label, len(code_U))
                of_split[:, 1 + 2 * k + label] = found
        tally.add_counts(code_U, counts.reshape(len(code_U), len(SPLITS) * self._width))

    def findings(self) -> Iterator[Finding]:
        """Who is new; then, of test, by task, who is left out of a figure."""
        for name, tally in self._tallies.items():
            counted = tally.counted()
            if not len(counted.key_U):
                continue
            by_split = counted.counts_UC.reshape(-1, len(SPLITS), self._width)
            rows = by_split[..., 0]
            if name == "user":
                yield _known(counted, rows)
            else:
                yield Finding("note", f"A request is the rows of the same {self._request}.")
            test = by_split[:, SPLITS.index("test")]
            test = test[test[:, 0] > 0]
            for k, task in enumerate(self._tasks):
                zeros, ones = test[:, 1 + 2 * k], test[:, 2 + 2 * k]
                observed = zeros + ones
                is_user = name == "user"
                used = (ones > 0) & (zeros > 0) if is_user else ones > 0
                skipped = (observed > 0) & ~used
                if not skipped.any():
                    continue
                share = float(observed[skipped].sum() / observed.sum())
                few = 1 - share < USED_SHARE and METRICS[task.metric].group == name
                why = "one class" if is_user else "no row with 1"
                total = counted.total((observed > 0).sum())
                text = (
                    f"{of_all(counted.total(skipped.sum()), total)} test {name}s{counted.about}, "
                    f"with {percent(share)} of the rows, have {why} of task {task.name!r}: "
                    f"{'a user AUC' if is_user else 'an NDCG'} is of the others."
                )
                advice = " Judge the task by a metric over all rows, or test on more days."
                yield Finding("warning" if few else "note", text + (advice if few else ""))


def _known(counted: Counted, rows: Counts) -> Finding:
    """rows: U x 3."""
    train, test = rows[:, 0] > 0, rows[:, 2] > 0
    new = test & ~train
    of_rows = rows[new, 2].sum() / max(rows[test, 2].sum(), 1)
    text = (
        f"{of_all(counted.total(new.sum()), counted.total(test.sum()))} test users"
        f"{counted.about}, with {percent(float(of_rows))} of the rows, are new: train has no row "
        f"of theirs. Train has {counted.total(train.sum()):,} users."
    )
    return Finding("note", text)
