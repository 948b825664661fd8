"""Which pictures fit a study: told by the form of its arms, never by its name."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np

from reports.results import MEAN, Scores
from search_spaces import Level
from studies.definition import Arm, Best, Study

Shape = Literal["levels", "models", "grid", "knob"]

MANY = 12
"""More arms than this are folded away, drawn as points, and only the best are compared."""
FEW = 10
"""How many of many arms are compared and drawn one by one."""


def shape(study: Study) -> Shape:
    """`knob`: models on data sets along a knob; `grid`: a factorial; `models`; else `levels`."""
    axes = _main_axes(study)
    if len(axes) == 2 and len({arm.data for arm in study.arms}) > 1:
        return "knob"
    if len(axes) > 1:
        return "grid"
    return "models" if axes == ("model",) else "levels"


def _main_axes(study: Study) -> tuple[str, ...]:
    """The axes that most arms are told apart by; other arms stand beside their factorial."""
    found = Counter(tuple(axis for axis, _ in arm.params) for arm in study.arms)
    return found.most_common(1)[0][0]


def crossed(study: Study) -> tuple[Arm, ...]:
    """The arms of the factorial."""
    main = _main_axes(study)
    return tuple(arm for arm in study.arms if tuple(axis for axis, _ in arm.params) == main)


def axes(study: Study) -> Mapping[str, tuple[Level, ...]]:
    """Axis -> its levels in the order of the factorial's arms."""
    found: dict[str, dict[Level, None]] = {}
    for arm in crossed(study):
        for axis, level in arm.params:
            found.setdefault(axis, {})[level] = None
    return {axis: tuple(levels) for axis, levels in found.items()}


def role(study: Study) -> str:
    """What the reference arm is: the arm that a claim crowns, or only a point to start from."""
    crowned = {str(rule.level) for c in study.claims for rule in c.rules if isinstance(rule, Best)}
    if study.figure and study.reference in crowned:
        return "the paper's winner"
    return "the reference"


def shown(scores: Scores, study: Study) -> tuple[str, ...]:
    """The trained levels that are compared and drawn one by one: all, if they are not many.

    Along a knob these are the arms on the reference's data set, elsewhere the reference and the
    best by mean AUC.
    """
    if len(scores.levels) <= MANY:
        return scores.trained
    if shape(study) == "knob":
        home = {arm.name: arm.data for arm in study.arms}
        chosen = {name for name, data in home.items() if data == home[study.reference]}
    else:
        means = {level: float(np.nanmean(scores.of(level, MEAN))) for level in scores.trained}
        chosen = {*sorted(means, key=lambda level: -means[level])[:FEW], study.reference}
    return tuple(level for level in scores.trained if level in chosen)


def few(scores: Scores, study: Study) -> Scores:
    """The scores of the levels that are compared one by one; all, if they are not many.

    The replicates stay those that are complete at every trained level, so that a comparison is
    the same one with or without the levels left out.
    """
    if len(scores.levels) <= MANY:
        return scores
    kept = [scores.levels.index(level) for level in shown(scores, study)]
    paired = [scores.replicates.index(replicate) for replicate in scores.paired]
    return replace(
        scores,
        levels=tuple(scores.levels[i] for i in kept),
        replicates=scores.paired,
        values_LRT=scores.values_LRT[np.ix_(kept, paired)],
    )
