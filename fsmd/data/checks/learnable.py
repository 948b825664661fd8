"""Data that cannot be learnt from honestly is an error, not a perfect score."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from fsmd.data.checks.check import Check, Finding
from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import SCALED_BOUND, Encoder, members_of
from fsmd.data.fitting.numbers import RowSample
from fsmd.data.fitting.words import Counts, WordSums
from fsmd.data.rows.part import Part
from fsmd.data.schema import Floats, Ids
from fsmd.data.source import Recipe
from fsmd.errors import UserError, shown
from fsmd.metrics import METRICS, GroupCodes, is_certain, measured
from fsmd.tasks import Task, check_tasks, names

LEAK_AUC = 0.999
"""A single feature that ranks a label this well on rows it was not fitted on is the label."""
UNSEEN_SHARE = 0.5
"""Of a split's rows, beyond that of train, from which on unseen categories are told."""

_LEAST_WEIGHT, _MOST_WEIGHT = 1e-15, 1e15  # 32 bits hold sums of their squares
_MOST_WORDS = 2**17  # of a column that are judged one by one for a leak; more give away none
_MOST_SAMPLED = 2**15
_ENOUGH_ROWS = 2**19  # after which each eighth part is judged
_LEAST_OF_CLASS = 3  # rows, as fewer are told apart by chance

Floats64 = NDArray[np.float64]


def check_recipe(recipe: Recipe) -> None:
    """Raise UserError for tasks or features that contradict each other."""
    check_tasks(recipe.tasks)
    _check_groups(recipe)
    features = [column.name for column in recipe.features]
    if not features:
        raise UserError(f"{recipe.name}: there must be a feature, categorical or dense; got none")
    for name in features:
        if name in names(recipe.tasks):
            raise UserError(f"{recipe.name}: task {name!r} is among the features; remove it there")
        if features.count(name) > 1:
            raise UserError(f"{recipe.name}: feature {name!r} is named twice; remove one")
    if recipe.weight in names(recipe.tasks):
        raise UserError(
            f"{recipe.name}: the weight of a row must be no task; got {recipe.weight!r}"
        )
    for i, column in enumerate(recipe.categorical):
        before = [c.name for c in recipe.categorical[:i]]
        if column.share is not None and column.share not in before:
            raise UserError(
                f"{recipe.name}: {column.name!r} must share the ids of a categorical column "
                f"before it, of {', '.join(before) or 'which there is none'}; got {column.share!r}"
            )


def _check_groups(recipe: Recipe) -> None:
    """A task's metric may need users or requests."""
    named = {"user": recipe.user, "request": recipe.request}
    for task in recipe.tasks:
        metric = METRICS[task.metric]
        if metric.group and named[metric.group] is None:
            raise UserError(
                f"{recipe.name}: task {task.name!r} is judged by {metric.label}, which needs each "
                f"row's {metric.group}; say which column that is (role `{metric.group}`), or "
                "judge it by another metric"
            )


def refusing(recipe: Recipe) -> tuple[Check, ...]:
    """All checks that refuse a data set."""
    return Labels(recipe), Leaks(recipe)


class Labels:
    """Rows, weights, classes and funnel of each split, and whether test tells how sure it is."""

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._after = [
            names(recipe.tasks).index(t.after) if t.after else None for t in recipe.tasks
        ]
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
    rows_E = fitted_E2.sum(1)
    mean_E = np.where(
        rows_E > 0, fitted_E2[:, 1] / np.maximum(rows_E, 1), fitted_E2[:, 1].sum() / rows_E.sum()
    )
    label_R = np.repeat([0.0, 1.0], len(mean_E))
    return auc_alone(np.tile(mean_E, 2), label_R, judged_E2.T.ravel().astype(float))


def auc_alone(score_N: Floats64, label_N: Floats64, weight_N: Floats64 | None = None) -> float:
    """Of the scores or of their negatives, whichever is larger; 0.5 where too few rows tell."""
    weight_N = np.ones(len(label_N)) if weight_N is None else weight_N
    if score_N.min(initial=np.inf) == score_N.max(initial=-np.inf):
        return 0.5
    if min(weight_N[label_N == each].sum() for each in (0, 1)) < _LEAST_OF_CLASS:
        return 0.5
    value = measured(METRICS["auc"], score_N, label_N, weight_N)
    return 0.5 if value is None else max(value, 1 - value)


@dataclass(frozen=True)
class Encodings:
    """What was counted of a split's encoded rows."""

    rows: int
    unseen: Counts
    """By column of categories: values with id 0."""
    values: Counts
    """By column of categories."""
    cut: Counts
    """By column of `Encoder.scales`: numbers that lie at the bound."""

    def __add__(self, other: "Encodings") -> "Encodings":
        """Both together."""
        return Encodings(
            self.rows + other.rows,
            self.unseen + other.unseen,
            self.values + other.values,
            self.cut + other.cut,
        )


def encodings_of(encoder: Encoder, id_NC: Ids, dense_ND: Floats) -> Encodings:
    """The counts of some encoded rows."""
    unseen, values, cut, first = [], [], [], 0
    for vocabulary in encoder.vocabularies:
        ids = id_NC[:, first : first + vocabulary.length]
        unseen.append(np.count_nonzero(ids == 0))
        values.append(np.count_nonzero(ids >= 0))
        first += vocabulary.length
    first = 0
    for scaling in encoder.scales:
        cut.append(np.count_nonzero(np.abs(dense_ND[:, first]) == SCALED_BOUND))
        first += len(scaling.names)
    counts = (np.array(each, np.int64) for each in (unseen, values, cut))
    return Encodings(len(id_NC), *counts)


def remarks(encoder: Encoder, found: dict[str, Encodings]) -> Iterator[str]:
    """What a user must know of columns that were encoded otherwise than one would think."""
    constant = [repr(scaling.name) for scaling in encoder.scales if scaling.spread == 0]
    constant += [
        repr(part.name)
        for part in encoder.vocabularies
        if part.other or not (part.words or part.buckets or part.share)
    ]
    if constant:
        yield (
            f"{encoder.name}: constant or empty in train, so without influence: column "
            f"{', '.join(constant)}"
        )
    for d, scaling in enumerate(encoder.scales):
        cut = sum(int(of_split.cut[d]) for of_split in found.values())
        if cut and scaling.scale != "none":
            yield (
                f"{encoder.name}: {cut} numbers of column {scaling.name!r} lie {SCALED_BOUND:g} "
                "standard deviations of train or more from its mean and are cut there"
            )
    for c, vocabulary in enumerate(encoder.vocabularies):
        unseen = {s: found[s].unseen[c] / max(found[s].values[c], 1) for s in SPLITS}
        for split in SPLITS[1:]:
            if unseen[split] - unseen["train"] >= UNSEEN_SHARE:
                yield (
                    f"{encoder.name}, {split}: {unseen[split]:.0%} of the rows have a category of "
                    f"column {vocabulary.name!r} that train has not; is it written alike in both?"
                )
