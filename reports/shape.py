"""Which pictures fit a study: told by the form of its arms, never by its name."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from reports.results import MEAN, Scores, StudyResults, at_chosen, auc_on_test
from search_spaces import Level
from studies.definition import Arm, Best, Study

Shape = Literal["levels", "models", "grid", "knob"]

MANY = 20
"""More arms than this are folded away, drawn as points, and only some are compared."""
FEW = 10
"""How many of many arms are compared for their validation AUC alone."""


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


def leads(study: Study) -> bool:
    """Whether differences are the reference minus the others, the way that its claims go.

    A reference that claims only measure others by, or do not name, is a baseline: there it is
    the others minus the reference, as in the figure of gains.
    """
    rules = (rule for claim in study.claims for rule in claim.rules)
    return any(str(getattr(rule, "level", "")) == study.reference for rule in rules)


def settled(study: Study) -> frozenset[str]:
    """The arms that are compared whatever came out: the reference, those that a claim names, and
    those beside the factorial, such as a model with one part left out."""
    rules = [rule for claim in study.claims for rule in claim.rules]
    named = [getattr(rule, side) for rule in rules for side in ("level", "other")
             if hasattr(rule, side)]  # fmt: skip
    named += [level for rule in rules for level in getattr(rule, "among", ())]
    beside = {arm.name for arm in study.arms} - {arm.name for arm in crossed(study)}
    return frozenset({study.reference, *map(str, named), *beside})


def shown(results: StudyResults) -> tuple[str, ...]:
    """The trained levels that are compared and drawn one by one: all, if they are not many.

    Along a knob these are the arms on the reference's data set; elsewhere those that are settled
    before the run, and the best of all by mean validation AUC over the complete replicates. Test
    AUC has no say: what is compared on test data must not be chosen by it.
    """
    scores, study = auc_on_test(results), results.definition
    if len(scores.levels) <= MANY:
        return scores.trained
    if shape(study) == "knob":
        home = {arm.name: arm.data for arm in study.arms}
        chosen = {name for name, data in home.items() if data == home[study.reference]}
    else:
        chosen = {*settled(study), *_best_on_validation(results)}
    return tuple(level for level in scores.trained if level in chosen)


def few(results: StudyResults) -> Scores:
    """The scores of the levels that are compared one by one; all, if they are not many."""
    scores = auc_on_test(results)
    if len(scores.levels) <= MANY:
        return scores
    kept = [scores.levels.index(level) for level in shown(results)]
    return replace(
        scores,
        levels=tuple(scores.levels[i] for i in kept),
        values_LRT=scores.values_LRT[kept],
    )


def _best_on_validation(results: StudyResults) -> list[str]:
    """Over complete replicates only: means over different seeds do not compare."""
    scores = at_chosen(results, "valid", "auc")
    complete = [scores.replicates.index(replicate) for replicate in scores.paired]
    if not complete:
        return []
    means = {level: float(scores.of(level, MEAN)[complete].mean()) for level in scores.trained}
    return sorted(means, key=lambda level: -means[level])[:FEW]
