"""Main effects and two-way interactions of a factorial study: analysis of variance."""

from itertools import combinations
from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from reports.results import Scores
from reports.shape import crossed
from studies.definition import Study

BLOCK, VALUE = "replicate", "value"


class Effect(NamedTuple):
    """What a factor, or two of them together, do to the AUC.

    `spread` is the largest minus the smallest effect, in AUC: of a factor's level means; of an
    interaction, of what the means of both factors' cells add to the sum of the main effects.
    `share` is the part of the variance within replicates that goes with it; F and p are type II.
    """

    factors: tuple[str, ...]
    spread: float
    f: float
    p: float
    share: float


def effects(frame: pd.DataFrame) -> tuple[Effect, ...]:
    """Main effects, then two-way interactions, in the columns' order.

    `frame` is tidy: a row a training, a column for each factor, then `replicate` (seeds, the
    blocks of the design) and `value`. Rows with NaN are left out, and so are interactions of
    factors whose levels do not all meet: they cannot be told from main effects.
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
        found.append(Effect(term, _spread(frame, term), float(row["F"]), float(row["PR(>F)"]),
                            float(row["sum_sq"] / within)))  # fmt: skip
    return tuple(found)


def effects_frame(study: Study, scores: Scores, target: str) -> pd.DataFrame:
    """The tidy frame that `effects` reads, of a study whose arms are combinations of levels."""
    params = {arm.name: dict(arm.params) for arm in crossed(study)}
    rows = [
        {**{k: str(v) for k, v in params[level].items()}, BLOCK: replicate, VALUE: float(value)}
        for level in scores.levels
        if level in params
        for replicate, value in zip(scores.replicates, scores.of(level, target), strict=True)
    ]
    return pd.DataFrame(rows)


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
