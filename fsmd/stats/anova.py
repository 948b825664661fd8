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
    """What a factor, or two of them together, do to a figure.

    `spread` is the largest minus the smallest effect, in the figure's own unit: of the means of a
    factor's values; of an interaction, of what the means of both factors' cells add to the sum of
    the main effects. `share` is the part of the variance within replicates that goes with it; F
    and p are type II.
    """

    factors: tuple[str, ...]
    spread: float
    f: float
    p: float
    share: float


def effects(frame: pd.DataFrame) -> tuple[FactorEffect, ...]:
    """Main effects, then two-way interactions, in the columns' order.

    `frame` has a row for each training, and beside the factors and `value` a column `replicate`
    (seeds, the blocks of the design). Rows with NaN are left out, and so are interactions of
    factors whose values do not all meet: they cannot be separated from main effects.
    """
    factors = [str(c) for c in frame.columns if c not in (BLOCK, VALUE)]
    frame = frame.dropna()
    varied = [f for f in factors if frame[f].nunique() > 1]
    terms = [(f,) for f in varied] + [
        pair for pair in combinations(varied, 2) if _crossed(frame, pair)
    ]
    names = {f: f"x{i}" for i, f in enumerate(varied)}  # formulas need plain names
    formula = " + ".join([f"C({BLOCK})", *(_term(term, names) for term in terms)])
    model = ols(f"{VALUE} ~ {formula}", frame.rename(columns=names)).fit()
    table = anova_lm(model, typ=2)
    within = table["sum_sq"].drop(f"C({BLOCK})").sum()
    found = []
    for term in terms:
        row = table.loc[_term(term, names)]
        f, p, share = float(row["F"]), float(row["PR(>F)"]), float(row["sum_sq"] / within)
        found.append(FactorEffect(term, _spread(frame, term), f, p, share))
    return tuple(found)


def is_factorial(frame: pd.DataFrame) -> bool:
    """Whether every combination of the values that occur is there, exactly once.

    NaN stands for a factor that a configuration does not have; with any it is no factorial.
    """
    cells = frame.drop(columns=VALUE, errors="ignore")
    if cells.isna().to_numpy().any() or cells.duplicated().any():
        return False
    return len(cells) == math.prod(cells.nunique())


def main_effects(frame: pd.DataFrame) -> dict[str, float]:
    """Factor -> its share of the total sum of squares, of a complete factorial (`is_factorial`).

    Where nothing varies every share is 0.
    """
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


def _term(factors: tuple[str, ...], names: dict[str, str]) -> str:
    return ":".join(f"C({names[factor]})" for factor in factors)


def _crossed(frame: pd.DataFrame, pair: tuple[str, ...]) -> bool:
    a, b = pair
    return len(frame[[a, b]].drop_duplicates()) == frame[a].nunique() * frame[b].nunique()


def _spread(frame: pd.DataFrame, factors: tuple[str, ...]) -> float:
    """Over the means of cells, so that a cell with more replicates has no more weight."""
    if len(factors) == 1:
        means = frame.groupby(list(factors))[VALUE].mean().to_numpy()
        return float(np.ptp(means))
    cells = frame.groupby(list(factors))[VALUE].mean().unstack().to_numpy()
    added = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    return float(np.ptp(added))
