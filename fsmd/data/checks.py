"""Data that cannot be learnt from honestly is an error, not an AUC of 1.0."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from fsmd.data.schema import Schema
from fsmd.data.source import Recipe, Tables
from fsmd.errors import UserError

LEAK_AUC = 0.999
"""A single feature that ranks a label this well on rows it was not fitted on is the label."""


def area_under_roc(scores: NDArray[np.generic], labels: NDArray[np.generic]) -> float:
    """Exact AUC by mid-ranks (Mann-Whitney); both classes must be present."""
    positive = np.asarray(labels) > 0
    n, m = int(positive.sum()), int((~positive).sum())
    ranks = rankdata(scores)
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * m))


def check_tables(recipe: Recipe, tables: Tables) -> None:
    """Raise UserError for missing columns, bad labels, broken funnels, leaking features."""
    features = [column.name for column in recipe.features]
    for name in features:
        if name in recipe.tasks:
            raise UserError(f"{recipe.name}: task {name!r} is among the features; remove it there")
        if features.count(name) > 1:
            raise UserError(f"{recipe.name}: feature {name!r} is named twice; remove one")
    for split in ("train", "valid", "test"):
        _check_split(recipe, split, getattr(tables, split), features)
    _check_leaks(recipe, tables.train)


def _check_split(recipe: Recipe, split: str, frame: pd.DataFrame, features: list[str]) -> None:
    where = f"{recipe.name}, {split}"
    if frame.empty:
        raise UserError(f"{where}: there are no rows")
    for name in (*features, *recipe.tasks):
        if name not in frame:
            raise UserError(f"{where}: no column {name!r}; there are {', '.join(map(str, frame))}")
    for dense in recipe.dense:
        values = frame[dense.name]
        if not pd.api.types.is_numeric_dtype(values):
            raise UserError(f"{where}: dense column {dense.name!r} must be numeric")
        if not np.isfinite(values.to_numpy(np.float64)).all():
            raise UserError(
                f"{where}: dense column {dense.name!r} has missing or infinite values; "
                "fill them, or make the column categorical"
            )
        if dense.log and values.min() <= -1:
            raise UserError(f"{where}: column {dense.name!r} is below 0 and cannot take a log")
    for task in recipe.tasks:
        found = set(frame[task].unique())
        if not found <= {0, 1}:
            raise UserError(f"{where}: labels of {task!r} must be 0 or 1; got {sorted(found)[:5]}")
        if len(found) < 2:
            raise UserError(f"{where}: all labels of {task!r} are {found.pop()}; AUC needs both")
    if recipe.funnel:
        for first, second in zip(recipe.tasks, recipe.tasks[1:], strict=False):
            broken = int((frame[second] > frame[first]).sum())
            if broken:
                raise UserError(
                    f"{where}: {broken} rows have {second!r} without {first!r}, so the tasks are "
                    "no funnel; label the later task on rows of the earlier, or use funnel=False"
                )


def _check_leaks(recipe: Recipe, train: pd.DataFrame) -> None:
    """Score every feature alone on rows it was not fitted on."""
    half = np.arange(len(train)) % 2 == 0
    for task in recipe.tasks:
        labels = train[task].to_numpy(np.float64)
        if len(set(labels[~half])) < 2 or len(set(labels[half])) < 2:
            continue  # too few rows to tell
        scores = {c.name: _category_means(train[c.name], labels, half) for c in recipe.categorical}
        scores |= {d.name: train[d.name].to_numpy(np.float64)[~half] for d in recipe.dense}
        for name, score in scores.items():
            auc = area_under_roc(score, labels[~half])
            if max(auc, 1 - auc) >= LEAK_AUC:
                raise UserError(
                    f"{recipe.name}: feature {name!r} alone gives task {task!r} an AUC of "
                    f"{max(auc, 1 - auc):.4f}, so it is the label or derived from it; remove it"
                )


def _category_means(
    column: pd.Series, labels: NDArray[np.float64], half: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Each category's label mean on one half, looked up on the other half."""
    codes, words = pd.factorize(column)
    n = len(words) + 1  # missing values have the code -1
    counts = np.bincount(codes[half] + 1, minlength=n)
    sums = np.bincount(codes[half] + 1, labels[half], minlength=n)
    means = np.where(counts > 0, sums / np.maximum(counts, 1), labels[half].mean())
    return np.asarray(means[codes[~half] + 1])


def check_encoded(schema: Schema, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Raise UserError where an id lies outside its field (a GPU would read beyond the table)."""
    cardinalities = np.array([field.cardinality for field in schema.categorical])
    for split in ("train", "valid", "test"):
        ids = arrays[f"{split}_ids"].astype(np.int64)
        if ids.size and ((ids < 0).any() or (ids >= cardinalities).any()):
            raise UserError(f"{schema.name}, {split}: an id lies outside its field")
