"""Data that cannot be learnt from honestly is an error, not a perfect score."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import SCALED_BOUND, Encoder, dense_numbers, labels_of, weights_of
from fsmd.data.schema import Schema
from fsmd.data.source import Categorical, Dense, Recipe, Tables
from fsmd.data.values import Floats64, bounded_numbers, column_of, words_of
from fsmd.errors import UserError
from fsmd.metrics import METRICS, influences, measured
from fsmd.tasks import Task, check_tasks, names

LEAK_AUC = 0.999
"""A single feature that ranks a label this well on rows it was not fitted on is the label."""
UNSEEN_SHARE = 0.5
"""Of a split's rows, beyond that of train, from which on unseen categories are told."""


def check_tables(recipe: Recipe, tables: Tables) -> None:
    """Raise UserError for missing columns, bad labels, broken funnels, leaking features."""
    _check_recipe(recipe)
    labels = {split: _check_split(recipe, split, getattr(tables, split)) for split in SPLITS}
    if recipe.user is not None:
        column_of(f"{recipe.name}, test", tables.test, recipe.user)
    if tables.truth is not None:
        _check_truth(recipe, tables.truth, len(tables.test))
    _check_leaks(recipe, tables.train, labels["train"])


def _check_recipe(recipe: Recipe) -> None:
    check_tasks(recipe.tasks)
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


def _check_split(recipe: Recipe, split: str, frame: pd.DataFrame) -> dict[str, Floats64]:
    """The labels by task."""
    where = f"{recipe.name}, {split}"
    if not len(frame):
        raise UserError(f"{where}: there are no rows")
    for name in (*(column.name for column in recipe.features), *names(recipe.tasks)):
        column_of(where, frame, name)
    for dense in recipe.dense:
        dense_numbers(where, frame[dense.name], dense.scale == "log")
    weight_N = np.ones(len(frame))
    if recipe.weight is not None:
        weight_N = weights_of(where, column_of(where, frame, recipe.weight))
    labels: dict[str, Floats64] = {}
    for task in recipe.tasks:
        labels[task.name] = labels_of(where, frame[task.name])
        _check_classes(where, task, labels[task.name], weight_N)
        _check_funnel(where, task, labels)
        if split == "test":
            _check_certainty(where, task, labels[task.name], weight_N)
    return labels


def _check_classes(where: str, task: Task, label_N: Floats64, weight_N: Floats64) -> None:
    """Both must be among the rows that count."""
    seen = set(label_N[(weight_N > 0) & ~np.isnan(label_N)])
    if not seen:
        raise UserError(f"{where}: task {task.name!r} was observed on no row that counts")
    if len(seen) < 2:
        raise UserError(
            f"{where}: all labels of {task.name!r} are {seen.pop():.0f}; both classes are needed"
        )


def _check_funnel(where: str, task: Task, labels: Mapping[str, Floats64]) -> None:
    """Where a task is 1 the one it follows must be, unless that was not observed."""
    if task.after is None:
        return
    broken = int(((labels[task.name] == 1) & (labels[task.after] == 0)).sum())
    if broken:
        raise UserError(
            f"{where}: {broken} rows have {task.name!r} without {task.after!r}, which it follows; "
            f"label it on rows of {task.after!r} only, or let it follow no task"
        )


def _check_certainty(where: str, task: Task, label_N: Floats64, weight_N: Floats64) -> None:
    """The test rows must tell how sure the task's figure is: an AUC needs two of each class."""
    metric = METRICS[task.metric]
    with np.errstate(all="ignore"):
        moved_N = influences(metric, np.linspace(-1, 1, len(label_N)), label_N, weight_N)
    if not np.isfinite(moved_N).all():
        raise UserError(
            f"{where}: too few rows that count to tell how sure the {metric.label} of task "
            f"{task.name!r} is; two of each class are needed"
        )


def _check_truth(recipe: Recipe, truth: pd.DataFrame, rows: int) -> None:
    where = f"{recipe.name}, true probabilities"
    if len(truth) != rows:
        raise UserError(f"{where}: there must be one for each of {rows} rows; got {len(truth)}")
    for task in recipe.tasks:
        bounded_numbers(where, column_of(where, truth, task.name), 0, 1)


def _check_leaks(recipe: Recipe, train: pd.DataFrame, labels: Mapping[str, Floats64]) -> None:
    """Score every feature alone on rows it was not fitted on."""
    auc = METRICS["auc"]
    for column in recipe.features:
        score_of = _score_of(f"{recipe.name}, train", column, train[column.name])
        for task, label_N in labels.items():
            observed = np.flatnonzero(~np.isnan(label_N))
            fitted, judged = observed[::2], observed[1::2]
            if len(set(label_N[fitted])) < 2:
                continue  # too few rows to tell
            value = measured(auc, score_of(label_N, fitted)[judged], label_N[judged])
            if value is not None and max(value, 1 - value) >= LEAK_AUC:
                raise UserError(
                    f"{recipe.name}: feature {column.name!r} alone gives task {task!r} an "
                    f"{auc.label} of {max(value, 1 - value):.4f}, so it is the label or derived "
                    "from it; remove it"
                )


def _score_of(
    where: str, column: Categorical | Dense, values: pd.Series
) -> Callable[[Floats64, NDArray[np.intp]], Floats64]:
    """What scores N rows by one feature, from N labels and the rows that it is fitted on."""
    if isinstance(column, Dense):
        number_N = dense_numbers(where, values, column.scale == "log")
        return lambda label_N, fitted: number_N
    code_N = words_of(where, values).code_N + 1  # missing values have the code -1

    def mean_of_category(label_N: Floats64, fitted: NDArray[np.intp]) -> Floats64:
        counts = np.bincount(code_N[fitted], minlength=code_N.max() + 1)
        sums = np.bincount(code_N[fitted], label_N[fitted], minlength=len(counts))
        means = np.where(counts > 0, sums / np.maximum(counts, 1), label_N[fitted].mean())
        return np.asarray(means[code_N])

    return mean_of_category


def check_encoded(schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise UserError where an id lies outside its field (a GPU would read beyond the table)."""
    for split in SPLITS:
        id_NF = arrays[f"{split}_ids"]
        if ((id_NF < 0) | (id_NF >= np.array(schema.cardinalities))).any():
            raise UserError(f"{schema.name}, {split}: an id lies outside its field")


def remarks(encoder: Encoder, arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """What a user must know of columns that were encoded otherwise than one would think."""
    constant = [repr(scaling.name) for scaling in encoder.scales if scaling.spread == 0]
    constant += [repr(part.name) for part in encoder.vocabularies if part.other or not part.words]
    if constant:
        yield (
            f"{encoder.name}: constant or empty in train, so without influence: column "
            f"{', '.join(constant)}"
        )
    for k, scaling in enumerate(encoder.scales):
        cut = sum(int((abs(arrays[f"{s}_dense"][:, k]) == SCALED_BOUND).sum()) for s in SPLITS)
        if cut:
            yield (
                f"{encoder.name}: {cut} numbers of column {scaling.name!r} lie {SCALED_BOUND:g} "
                "standard deviations of train or more from its mean and are cut there"
            )
    for k, vocabulary in enumerate(encoder.vocabularies):
        unseen = {split: float((arrays[f"{split}_ids"][:, k] == 0).mean()) for split in SPLITS}
        for split in SPLITS[1:]:
            if unseen[split] - unseen["train"] >= UNSEEN_SHARE:
                yield (
                    f"{encoder.name}, {split}: {unseen[split]:.0%} of the rows have a category of "
                    f"column {vocabulary.name!r} that train has not; is it written alike in both?"
                )
