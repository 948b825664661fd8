"""Which axes of a search matter: exact where the design is a factorial, else an estimate.

Suffixes: N trainings, M objectives (turned so that more is better).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import moocore
import numpy as np
import pandas as pd

from fsmd.metrics import Array
from fsmd.stats import anova
from reports.search.results import SearchResults, outcome_of
from search_spaces.space import Params, Space
from studies.search.importance import ped_anova, share_of_best, varied

FEWEST_TRAININGS = 20
"""Below this nothing is estimated."""
SHUFFLES = 60
FRONT = "the front"


AxisShare = anova.EffectShare
"""How much of a target an axis decides, and what that stays below in 19 of 20 cases by chance.

Exact: of the F test; PED-ANOVA: of shuffled targets.
"""


class AxisImportance(NamedTuple):
    """What each axis decides for each target: the targets of the search, then its front.

    Empty below `FEWEST_TRAININGS`, or where too few ended to say which are the best.
    """

    exact: bool
    trainings: int
    targets: tuple[str, ...]
    axes: tuple[str, ...]
    shares: Mapping[tuple[str, str], AxisShare]
    """By (target, axis)."""


def importance(search: SearchResults) -> AxisImportance:
    """Over the trainings that ended or were stopped.

    A stopped one has no comparable value, but others were ahead of it where it was stopped: it
    counts as not among the best, which is all that the estimate asks.
    """
    tried = search.all_in("ended", "stopped")
    ended = search.all_in("ended")
    columns: dict[str, int | None] = {
        objective.key: m for m, objective in enumerate(search.objectives) if not objective.is_cost
    }
    if len(search.objectives) > 1:
        columns[FRONT] = None
    if len(tried) < FEWEST_TRAININGS or len(ended) < share_of_best(len(tried)) * len(tried):
        return AxisImportance(False, len(tried), tuple(columns), (), {})
    params = [attempt.params for attempt in tried]
    below_M = np.min([attempt.gains for attempt in ended], axis=0) - 1
    points_NM = np.array(
        [a.gains if outcome_of(a) == "ended" else below_M for a in tried], dtype=float
    )
    exact = len(ended) == len(tried) and anova.is_factorial(_frame(params))
    shares = (
        _exact(params, points_NM, columns)
        if exact
        else _estimated(search.space, params, points_NM, columns)
    )
    axes = tuple(varied(search.space, params))
    return AxisImportance(exact, len(tried), tuple(columns), axes, shares)


def _frame(params: Sequence[Params]) -> pd.DataFrame:
    return pd.DataFrame([dict(each) for each in params])


def _exact(
    params: Sequence[Params], points_NM: Array, columns: Mapping[str, int | None]
) -> dict[tuple[str, str], AxisShare]:
    """The front's values are the points' non-domination ranks."""
    frame, shares = _frame(params), dict[tuple[str, str], AxisShare]()
    rank_N = np.asarray(moocore.pareto_rank(points_NM, maximise=True), float)
    for target, column in columns.items():
        value_N = rank_N if column is None else points_NM[:, column]
        effects = anova.main_effects(frame.assign(**{anova.VALUE: value_N}))
        shares |= {(target, axis): effect for axis, effect in effects.items()}
    return shares


def _estimated(
    space: Space,
    params: Sequence[Params],
    points_NM: Array,
    columns: Mapping[str, int | None],
) -> dict[tuple[str, str], AxisShare]:
    """PED-ANOVA, beside what it shows where the values are dealt out anew."""
    rng = np.random.default_rng(0)
    own = [None if column is None else points_NM[:, column] for column in columns.values()]
    # Dealt out at random, every target takes any trainings for the best: one serves for all.
    dealt = [rng.permutation(len(params)).astype(float) for _ in range(SHUFFLES)]
    shares = ped_anova(space, params, points_NM, [*own, *dealt])
    by_chance = {a: np.quantile([each[a] for each in shares[len(own) :]], 0.95) for a in shares[0]}
    return {
        (target, axis): AxisShare(share, float(by_chance[axis]))
        for target, of_target in zip(columns, shares, strict=False)
        for axis, share in of_target.items()
    }
