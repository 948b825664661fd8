"""What the factors of a factorial design do: analysis of variance.

Frames are tidy: a column for each factor, a row for each training or configuration, and a column
`value` with its figure.
"""

import math
import warnings
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import special

from fsmd.stats.estimates import ALPHA

BLOCK, VALUE = "replicate", "value"
_ROUNDING = 1e-20
"""Of the sum of squared figures: what is below it is rounding."""


class FactorEffect(NamedTuple):
    """What a factor, or two of them together, do to a figure; F and p are type II."""

    factors: tuple[str, ...]
    spread: float
    """The largest minus the smallest effect, in the figure's unit: of the means of a factor's
    values; of an interaction, of what its cells' means add to the sum of the main effects."""
    f: float
    """It and p are NaN where nothing is left to test by, and where nothing varies."""
    p: float
    share: float
    """The part of the variance within replicates that goes with it; NaN where nothing varies."""


class EffectShare(NamedTuple):
    """A factor's part in a factorial with one figure a combination."""

    share: float
    """Of the total sum of squares; 0 where nothing varies."""
    by_chance: float
    """What the share of a factor without any effect stays below in 19 of 20 cases, of what the
    other main effects leave: the F test. 1 where nothing is left to test by."""


def effects(frame: pd.DataFrame) -> tuple[FactorEffect, ...]:
    """Main effects, then two-way interactions, in the columns' order.

    frame: a row for each training; beside factors and `value` a column `replicate`, the blocks.
    Rows with NaN are left out, and so are interactions of factors whose values do not all meet:
    they cannot be separated from main effects.
    """
    from statsmodels.formula.api import ols  # takes half a second, and few studies are factorials
    from statsmodels.stats.anova import anova_lm
    from statsmodels.tools.sm_exceptions import ValueWarning

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
    with np.errstate(divide="ignore", invalid="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ValueWarning)  # where nothing is left for chance
        table = anova_lm(ols(f"{VALUE} ~ {formula}", frame.rename(columns=plain)).fit(), typ=2)
    squares = table["sum_sq"].clip(lower=0.0)
    within = squares.drop(f"C({BLOCK})").to_numpy(float).sum()
    rounding = _ROUNDING * (frame[VALUE].to_numpy(float) ** 2).sum()
    varies = within > rounding
    tested = varies and squares["Residual"] > rounding
    return tuple(
        FactorEffect(
            term,
            spread=_spread(frame, term),
            f=float(table.loc[row, "F"]) if tested else float("nan"),
            p=float(table.loc[row, "PR(>F)"]) if tested else float("nan"),
            share=float(squares[row] / within) if varies else float("nan"),
        )
        for term, row in rows.items()
    )


def is_factorial(frame: pd.DataFrame) -> bool:
    """Whether every combination of the values that occur is there, exactly once, and no NaN."""
    cells = frame.drop(columns=VALUE, errors="ignore")
    faulty = cells.isna().to_numpy().any() or cells.duplicated().any()
    return not faulty and len(cells) == math.prod(cells.nunique())


def main_effects(frame: pd.DataFrame) -> dict[str, EffectShare]:
    """Factor -> its main effect in a factorial, of the factors that vary."""
    value_N = frame[VALUE].to_numpy(float)
    centred_N = value_N - value_N.mean()
    total = float(centred_N @ centred_N)
    if total <= _ROUNDING * float(value_N @ value_N):
        total = 0.0
    shares, freedom = dict[str, float](), dict[str, int]()
    for factor in map(str, frame.columns.drop(VALUE)):
        at_N = frame[factor].map(str).to_numpy(str)
        groups = [centred_N[at_N == value] for value in np.unique(at_N)]
        squares = sum(len(group) * float(group.mean()) ** 2 for group in groups)
        if len(groups) > 1:
            shares[factor] = min(squares / total, 1.0) if total else 0.0
            freedom[factor] = len(groups) - 1
    left = len(value_N) - 1 - sum(freedom.values())
    unexplained = max(1 - sum(shares.values()), 0.0)

    def by_chance(factor: str) -> float:
        if left < 1:
            return 1.0
        squares = freedom[factor] * float(special.fdtri(freedom[factor], left, 1 - ALPHA)) / left
        return (shares[factor] + unexplained) * squares / (squares + 1)

    return {factor: EffectShare(share, by_chance(factor)) for factor, share in shares.items()}


def _spread(frame: pd.DataFrame, factors: tuple[str, ...]) -> float:
    """Over the means of cells, so that a cell with more replicates has no more weight."""
    means = frame.groupby(list(factors))[VALUE].mean()
    if len(factors) == 1:
        return float(np.ptp(means.to_numpy()))
    cells = means.unstack().to_numpy()
    added = cells - cells.mean(axis=1, keepdims=True) - cells.mean(axis=0) + cells.mean()
    return float(np.ptp(added))
