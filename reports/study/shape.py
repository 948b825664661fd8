"""What a study's form is, seen from its arms and claims, never from its name.

The form says which figures fit, which way differences go, and which of many arms are compared.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

from fsmd.tasks import MEAN
from reports.results import Scores, StudyResults
from search_spaces import Value
from studies.definition import Arm, Best, Study

Shape = Literal["arms", "models", "grid", "knob"]

MANY_ARMS = 20
"""More arms than this are folded away, drawn as points, and only some are compared."""
COMPARED_FOR_VALIDATION = 10
"""How many of many arms are compared for their validation figures alone."""


def shape(study: Study) -> Shape:
    """`knob`: models on data sets along a knob; `grid`: a factorial; `models`; else `arms`."""
    axes = _main_axes(study)
    if len(axes) == 2 and len({arm.data for arm in study.arms}) > 1:
        return "knob"
    if len(axes) > 1:
        return "grid"
    return "models" if axes == ("model",) else "arms"


def has_many_arms(results: StudyResults) -> bool:
    """Whether the arms are too many to be drawn and compared one by one."""
    return len(results.arms) > MANY_ARMS


def _main_axes(study: Study) -> tuple[str, ...]:
    """The axes that most arms differ in; other arms stand beside their factorial."""
    counts = Counter(tuple(axis for axis, _ in arm.params) for arm in study.arms)
    return counts.most_common(1)[0][0]


def crossed(study: Study) -> tuple[Arm, ...]:
    """The arms of the factorial."""
    main = _main_axes(study)
    return tuple(arm for arm in study.arms if tuple(axis for axis, _ in arm.params) == main)


def factor_values(study: Study) -> Mapping[str, tuple[Value, ...]]:
    """Factor -> its values in the order of the factorial's arms."""
    values: dict[str, dict[Value, None]] = {}
    for arm in crossed(study):
        for axis, value in arm.params:
            values.setdefault(axis, {})[value] = None
    return {axis: tuple(known) for axis, known in values.items()}


def role(study: Study) -> str:
    """What the reference is: the arm that a claim crowns, or only a point to start from."""
    crowned = {rule.arm for c in study.claims for rule in c.rules if isinstance(rule, Best)}
    if study.figure and study.reference in crowned:
        return "the paper's winner"
    return "the reference"


def reference_first(study: Study) -> bool:
    """Whether differences are the reference minus the others, the way that its claims go.

    A reference that claims only measure others by, or do not name, is a baseline: there it is
    the others minus the reference, as in the figure of gains.
    """
    rules = (rule for claim in study.claims for rule in claim.rules)
    return any(getattr(rule, "arm", "") == study.reference for rule in rules)


def compared_by_design(study: Study) -> frozenset[str]:
    """The arms that are compared whatever the results are: the reference, those that a claim
    names, and those beside the factorial, such as a model with one part left out."""
    named = {study.reference}
    for rule in (rule for claim in study.claims for rule in claim.rules):
        named |= {getattr(rule, side) for side in ("arm", "other") if hasattr(rule, side)}
        named |= set(getattr(rule, "among", ()))
    beside = {arm.name for arm in study.arms} - {arm.name for arm in crossed(study)}
    return frozenset(named | beside)


def arms_drawn(results: StudyResults) -> tuple[str, ...]:
    """The trained arms that are compared and drawn one by one: all, if they are not many.

    Along a knob these are the arms on the reference's data set; elsewhere those that are compared
    by design, and the best of all on validation over the complete replicates. Test figures have
    no say: what is compared on test data must not be chosen by it.
    """
    if not has_many_arms(results):
        return results.test.trained
    key = "drawn"
    if key not in results.computed:
        results.computed[key] = _drawn_of_many(results)
    drawn: tuple[str, ...] = results.computed[key]
    return drawn


def _drawn_of_many(results: StudyResults) -> tuple[str, ...]:
    study = results.study
    if shape(study) == "knob":
        home = {arm.name: arm.data for arm in study.arms}
        chosen = {name for name, data in home.items() if data == home[study.reference]}
    else:
        chosen = {*compared_by_design(study), *best_on_validation(results.valid)}
    return tuple(arm for arm in results.test.trained if arm in chosen)


def scores_compared(results: StudyResults) -> Scores:
    """The test figures of the arms that are compared one by one; all, if they are not many."""
    scores = results.test
    if not has_many_arms(results):
        return scores
    kept = [scores.arms.index(arm) for arm in arms_drawn(results)]
    arms = tuple(scores.arms[i] for i in kept)
    return replace(scores, arms=arms, values_ART=scores.values_ART[kept])


def best_on_validation(scores: Scores) -> list[str]:
    """By the tasks' mean over complete replicates: means over different seeds do not compare.

    The best is first. Tasks count in units of the difference that matters, as their metrics may
    differ.
    """
    tasks = [target.key for target in scores.targets if target.key != MEAN]
    if not scores.paired:
        return []
    metrics = {task: scores.metric(task) for task in tasks}

    def worth(arm: str) -> float:
        return sum(
            metric.sign * scores.mean(arm, task, scores.paired).mean / metric.margin
            for task, metric in metrics.items()
        )

    return sorted(scores.trained, key=worth, reverse=True)[:COMPARED_FOR_VALIDATION]
