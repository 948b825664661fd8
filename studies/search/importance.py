"""How much each axis of a search decides who is among the best: PED-ANOVA, by Optuna.

Watanabe, Bansal and Hutter (2023): compares where the best trials lie on an axis with where all
lie. Suffixes: N trainings, M objectives, A axes.
"""

import math
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.importance import PedAnovaImportanceEvaluator
from optuna.trial import create_trial

from search_spaces.space import Params, Space

BEST_SHARE = 0.1
"""The share of trainings that counts as the best."""
BEST_AT_LEAST = 5
"""How many the best must be; Optuna's documentation finds fewer unstable."""


def ped_anova(
    space: Space,
    params: Sequence[Params],
    values_NM: NDArray[np.float64],
    targets: Iterable[NDArray[np.float64] | None],
) -> list[Mapping[str, float]]:
    """For each target, axis -> its share of the importance; sum 1.

    values_NM: all objectives maximised. targets: each a value for each training, maximised, or
    None for the front of the objectives. All shares are 0 where no axis matters. An axis that
    counts only under some values of others is weighed by where it counts, as Optuna does.
    """
    study, axes = _study(space, params, values_NM), varied(space, params)
    evaluator = PedAnovaImportanceEvaluator(target_quantile=share_of_best(len(params)))
    shares = list[Mapping[str, float]]()
    for value_N in targets:
        # The evaluator takes low values for good, whatever the study's direction.
        target = None if value_N is None else (lambda t, value_N=value_N: -value_N[t.number])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it does so, and small groups of trials
            importances = evaluator.evaluate(study, axes, target=target)
        total = math.fsum(importances.values())
        shares.append({axis: importances[axis] / total if total else 0.0 for axis in axes})
    return shares


def varied(space: Space, params: Sequence[Params]) -> list[str]:
    """The axes of which the trainings have at least two values, in the space's order."""
    return [a for a in space.axes if len({p[a] for p in params if a in p}) > 1]


def share_of_best(count: int) -> float:
    """The share of so many trainings that counts as the best."""
    return min(max(BEST_SHARE, BEST_AT_LEAST / count), 0.5)


def _study(space: Space, params: Sequence[Params], values_NM: NDArray[np.float64]) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(directions=["maximize"] * values_NM.shape[1], sampler=sampler)
    for each, values_M in zip(params, values_NM.tolist(), strict=True):
        domains = {choice.name: choice.domain for choice in space.choices if choice.name in each}
        study.add_trial(create_trial(values=values_M, params=dict(each), distributions=domains))
    return study
