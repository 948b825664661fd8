"""Data that cannot be learnt from honestly is an error, not a perfect score."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import SCALED_BOUND, Encoder, dense_numbers, labels_of, weights_of
from fsmd.data.schema import Schema
from fsmd.data.source import Dense, Recipe, Tables
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
    for split in SPLITS:
        _check_split(recipe, f"{recipe.name}, {split}", getattr(tables, split))
    if recipe.unit is not None:
        column_of(f"{recipe.name}, test", tables.test, recipe.unit)
    for task in recipe.tasks:
        _check_certainty(recipe, task, tables.test)
    if tables.truth is not None:
        _check_truth(recipe, tables.truth, len(tables.test))
    for task in recipe.tasks:
        _check_leaks(recipe, task, tables.train)


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


def _check_split(recipe: Recipe, where: str, frame: pd.DataFrame) -> None:
    if not len(frame):
        raise UserError(f"{where}: there are no rows")
    for name in (*(column.name for column in recipe.features), *names(recipe.tasks)):
        column_of(where, frame, name)
    for dense in recipe.dense:
        dense_numbers(where, frame[dense.name], dense.log)
    weight_N = np.ones(len(frame))
    if recipe.weight is not None:
        weight_N = weights_of(where, column_of(where, frame, recipe.weight))
    labels: dict[str, Floats64] = {}
    for task in recipe.tasks:
        labels[task.name] = labels_of(where, frame[task.name])
        _check_classes(where, task, labels[task.name], weight_N)
        _check_funnel(where, task, labels)


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


def _check_certainty(recipe: Recipe, task: Task, test: pd.DataFrame) -> None:
    """The test rows must tell how sure the task's figure is: an AUC needs two of each class."""
    where, metric = f"{recipe.name}, test", METRICS[task.metric]
    label_N = labels_of(where, test[task.name])
    weight_N = None if recipe.weight is None else weights_of(where, test[recipe.weight])
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


def _check_leaks(recipe: Recipe, task: Task, train: pd.DataFrame) -> None:
    """Score every feature alone on rows it was not fitted on."""
    where = f"{recipe.name}, train"
    label_N = labels_of(where, train[task.name])
    observed_N = ~np.isnan(label_N)
    observed, label_N = train[observed_N], label_N[observed_N]
    half_N = np.arange(len(observed)) % 2 == 0
    if len(set(label_N[half_N])) < 2:
        return  # too few rows to tell
    auc = METRICS["auc"]
    for column in recipe.features:
        if isinstance(column, Dense):
            score_N = dense_numbers(where, observed[column.name], column.log)[~half_N]
        else:
            code_N = words_of(where, observed[column.name]).code_N
            score_N = _category_means(code_N, label_N, half_N)
        value = measured(auc, score_N, label_N[~half_N])
        if value is not None and max(value, 1 - value) >= LEAK_AUC:
            raise UserError(
                f"{recipe.name}: feature {column.name!r} alone gives task {task.name!r} an "
                f"{auc.label} of {max(value, 1 - value):.4f}, so it is the label or derived "
                "from it; remove it"
            )


def _category_means(
    code_N: NDArray[np.intp], label_N: Floats64, half_N: NDArray[np.bool_]
) -> Floats64:
    """Each category's label mean on one half, looked up on the other half."""
    code_N = code_N + 1  # missing values have the code -1
    count = code_N.max() + 1
    counts = np.bincount(code_N[half_N], minlength=count)
    sums = np.bincount(code_N[half_N], label_N[half_N], minlength=count)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), label_N[half_N].mean())
    return np.asarray(means[code_N[~half_N]])


def check_encoded(schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise UserError where an id lies outside its field (a GPU would read beyond the table)."""
    for split in SPLITS:
        id_NF = arrays[f"{split}_ids"]
        if ((id_NF < 0) | (id_NF >= np.array(schema.cardinalities))).any():
            raise UserError(f"{schema.name}, {split}: an id lies outside its field")


def remarks(encoder: Encoder, arrays: Mapping[str, NDArray[Any]]) -> Iterator[str]:
    """What a user must know of columns that were encoded otherwise than one would think."""
    constant = [repr(scaling.name) for scaling in encoder.scales if scaling.spread == 0]
    constant += [repr(part.name) for part in encoder.vocabularies if not part.words]
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
