"""All tasks at once: what one arm does to another (`fsmd.stats.joint`)."""

from typing import NamedTuple

from fsmd.stats.estimates import ALPHA
from fsmd.stats.joint import PairVerdict, pair_verdicts
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
    gains = [[scores.gain(*pair, task.key) for task in tasks] for pair in pairs]
    known = [(pair, own) for pair, own in zip(pairs, gains, strict=True) if own[0].n]
    verdicts = (
        pair_verdicts([own for _, own in known], margins, len(pairs), alpha) if known else []
    )
    return tuple(JointVerdict(*pair, of) for (pair, _), of in zip(known, verdicts, strict=True))
