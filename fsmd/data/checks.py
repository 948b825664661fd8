"""Data that cannot be learnt from honestly is an error, not a perfect score."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from fsmd.data.encoded import SPLITS
from fsmd.data.encoder import as_floats, check_there
from fsmd.data.schema import Schema
from fsmd.data.source import Dense, Recipe, Tables
from fsmd.errors import UserError
from fsmd.metrics import METRICS, measured
from fsmd.tasks import Task, check_tasks, names

LEAK_AUC = 0.999
"""A single feature that ranks a label this well on rows it was not fitted on is the label."""

Floats64 = NDArray[np.float64]


def check_tables(recipe: Recipe, tables: Tables) -> None:
    """Raise UserError for missing columns, bad labels, broken funnels, leaking features."""
    _check_recipe(recipe)
    for split in SPLITS:
        _check_split(recipe, f"{recipe.name}, {split}", getattr(tables, split))
    if recipe.unit is not None:
        check_there(f"{recipe.name}, test", tables.test, recipe.unit)
    for task in recipe.tasks:
        _check_leaks(recipe, task, tables.train)


def _check_recipe(recipe: Recipe) -> None:
    check_tasks(recipe.tasks)
    features = [column.name for column in recipe.features]
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
    if frame.empty:
        raise UserError(f"{where}: there are no rows")
    for name in (*(column.name for column in recipe.features), *names(recipe.tasks)):
        check_there(where, frame, name)
    for dense in recipe.dense:
        _check_dense(where, frame[dense.name], dense)
    counts_N = np.ones(len(frame), bool)
    if recipe.weight is not None:
        check_there(where, frame, recipe.weight)
        counts_N = _checked_weights(where, frame[recipe.weight]) > 0
    labels: dict[str, Floats64] = {}
    for task in recipe.tasks:
        labels[task.name] = _checked_labels(where, frame[task.name], counts_N)
        _check_funnel(where, task, labels)


def _check_dense(where: str, column: pd.Series, dense: Dense) -> None:
    if not pd.api.types.is_numeric_dtype(column):
        raise UserError(f"{where}: dense column {dense.name!r} must be numeric")
    if not np.isfinite(as_floats(column)).all():
        raise UserError(
            f"{where}: dense column {dense.name!r} has missing or infinite values; "
            "fill them, or make the column categorical"
        )
    if dense.log and column.min() <= -1:
        raise UserError(f"{where}: column {dense.name!r} is below 0 and cannot take a log")


def _checked_weights(where: str, column: pd.Series) -> Floats64:
    if not pd.api.types.is_numeric_dtype(column):
        raise UserError(f"{where}: weights {column.name!r} must be numeric")
    weight_N = as_floats(column)
    if not np.isfinite(weight_N).all() or (weight_N < 0).any() or not weight_N.any():
        raise UserError(
            f"{where}: weights {column.name!r} must be finite, at least 0 and not all 0; they "
            f"range from {weight_N.min()} to {weight_N.max()}"
        )
    return weight_N


def _checked_labels(where: str, column: pd.Series, counts_N: NDArray[np.bool_]) -> Floats64:
    """The labels, NaN where not observed; both classes must be among the rows that count."""
    values = set(column.dropna().unique())
    if not values <= {0, 1}:
        few = ", ".join(sorted(map(str, values))[:5])
        raise UserError(f"{where}: labels of {column.name!r} must be 0, 1 or missing; got {few}")
    label_N = as_floats(column)
    seen = set(label_N[counts_N & ~np.isnan(label_N)])
    if not seen:
        raise UserError(f"{where}: task {column.name!r} was observed on no row that counts")
    if len(seen) < 2:
        raise UserError(
            f"{where}: all labels of {column.name!r} are {seen.pop():.0f}; both classes are needed"
        )
    return label_N


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


def _check_leaks(recipe: Recipe, task: Task, train: pd.DataFrame) -> None:
    """Score every feature alone on rows it was not fitted on."""
    observed = train[train[task.name].notna()]
    label_N, half_N = as_floats(observed[task.name]), np.arange(len(observed)) % 2 == 0
    if len(set(label_N[half_N])) < 2:
        return  # too few rows to tell
    auc = METRICS["auc"]
    for column in recipe.features:
        if isinstance(column, Dense):
            score_N = as_floats(observed[column.name])[~half_N]
        else:
            score_N = _category_means(observed[column.name], label_N, half_N)
        value = measured(auc, score_N, label_N[~half_N])
        if value is not None and max(value, 1 - value) >= LEAK_AUC:
            raise UserError(
                f"{recipe.name}: feature {column.name!r} alone gives task {task.name!r} an "
                f"{auc.label} of {max(value, 1 - value):.4f}, so it is the label or derived "
                "from it; remove it"
            )


def _category_means(column: pd.Series, label_N: Floats64, half_N: NDArray[np.bool_]) -> Floats64:
    """Each category's label mean on one half, looked up on the other half."""
    code_N, words = pd.factorize(column)
    code_N = code_N + 1  # missing values have the code -1
    counts = np.bincount(code_N[half_N], minlength=len(words) + 1)
    sums = np.bincount(code_N[half_N], label_N[half_N], minlength=len(words) + 1)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), label_N[half_N].mean())
    return np.asarray(means[code_N[~half_N]])


def check_encoded(schema: Schema, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Raise UserError where an id lies outside its field (a GPU would read beyond the table)."""
    for split in SPLITS:
        id_NF = arrays[f"{split}_ids"]
        if ((id_NF < 0) | (id_NF >= np.array(schema.cardinalities))).any():
            raise UserError(f"{schema.name}, {split}: an id lies outside its field")
