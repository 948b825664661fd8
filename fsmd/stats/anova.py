"""What the factors of a factorial design do: analysis of variance.

Frames are tidy: a column for each factor, a row for each training or configuration, and a column
`value` with its figure.
"""

import math
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

BLOCK, VALUE = "replicate", "value"


class FactorEffect(NamedTuple):
    """What a factor, or two of them together, do to a figure; F and p are type II."""

    factors: tuple[str, ...]
    spread: float
    """The largest minus the smallest effect, in the figure's unit: of the means of a factor's
    values; of an interaction, of what its cells' means add to the sum of the main effects."""
    f: float
    p: float
    share: float
    """The part of the variance within replicates that goes with it."""


def effects(frame: pd.DataFrame) -> tuple[FactorEffect, ...]:
    """Main effects, then two-way interactions, in the columns' order.

    frame: a row for each training; beside factors and `value` a column `replicate`, the blocks.
    Rows with NaN are left out, and so are interactions of factors whose values do not all meet:
    they cannot be separated from main effects.
    """
    factors = [str(c) for c in frame.columns if c not in (BLOCK, VALUE)]
    frame = frame.dropna()
    varied = [f for f in factors if frame[f].nunique() > 1]
    crossed = [
        p for p in combinations(varied, 2) if is_factorial(frame[list(p)].drop_duplicates())
    ]
    terms: list[tuple[str, ...]] = [*((f,) for f in varied), *crossed]
    plain = {f: f"x{i}" for i, f in enumerate(varied)}  # formulas need plain names
    rows = {term: ":".join(f"C({plain[factor]})" for factor in term) for term in terms}
    formula = " + ".join([f"C({BLOCK})", *rows.values()])
    table = anova_lm(ols(f"{VALUE} ~ {formula}", frame.rename(columns=plain)).fit(), typ=2)
    within = table["sum_sq"].drop(f"C({BLOCK})").sum()
    return tuple(
        FactorEffect(
            term,
            spread=_spread(frame, term),
            f=float(table.loc[row, "F"]),
            p=float(table.loc[row, "PR(>F)"]),
            share=float(table.loc[row, "sum_sq"] / within),
        )
        for term, row in rows.items()
    )


def is_factorial(frame: pd.DataFrame) -> bool:
    """Whether every combination of the values that occur is there, exactly once, and no NaN."""
    cells = frame.drop(columns=VALUE, errors="ignore")
    faulty = cells.isna().to_numpy().any() or cells.duplicated().any()
    return not faulty and len(cells) == math.prod(cells.nunique())


def main_effects(frame: pd.DataFrame) -> dict[str, float]:
    """Factor -> its share of the sum of squares of a factorial; 0 where nothing varies."""
    value_N = frame[VALUE].to_numpy(float)
    centred_N = value_N - value_N.mean()
    total = float(centred_N @ centred_N)
    shares = {}
    for factor in frame.columns.drop(VALUE):
        at_N = frame[factor].map(str).to_numpy(str)
        groups = [centred_N[at_N == value] for value in np.unique(at_N)]
        squares = sum(len(group) * float(group.mean()) ** 2 for group in groups)
        shares[str(factor)] = squares / total if total > 0 else 0.0
    return shares


def _spread(frame: pd.DataFrame, factors: tuple[str, ...]) -> float:
    """Over the means of cells, so that a cell with more replicates has no more weight."""
    means = frame.groupby(list(factors))[VALUE].mean()
    if len(factors) == 1:
        return float(np.ptp(means.to_numpy()))
    cells = means.unstack().to_numpy()
    added = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    return float(np.ptp(added))
