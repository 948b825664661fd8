"""All tasks at once: what one arm does to another (`fsmd.stats.joint`)."""

from typing import NamedTuple

from fsmd.stats.estimates import ALPHA
from fsmd.stats.joint import PairVerdict, pair_verdict
from fsmd.tasks import MEAN
from reports.results import Scores
from reports.study.reading import Reading


class JointVerdict(NamedTuple):
    """What `arm` does to `other` on all tasks."""

    arm: str
    other: str
    of: PairVerdict


def joint_verdicts(
    reading: Reading,
    scores: Scores,
    pairs: tuple[tuple[str, str], ...],
    alpha: float = ALPHA,
) -> tuple[JointVerdict, ...]:
    """Of each pair that shares a replicate; all pairs count. None where there is one task.

    alpha: the look's level, of all pairs together.
    """
    tasks = [target for target in scores.targets if target.key != MEAN]
    if len(tasks) < 2:
        return ()
    margins = [reading.margin(task) for task in tasks]
    verdicts = []
    for arm, other in pairs:
        gains = [scores.gain(arm, other, task.key) for task in tasks]
        if gains[0].n:
            verdict = pair_verdict(gains, margins, len(pairs), alpha)
            verdicts.append(JointVerdict(arm, other, verdict))
    return tuple(verdicts)
