"""Which of many arms figures name, in colour: those that the answer and the claims speak of."""

from collections.abc import Mapping

from reports.results import StudyResults
from reports.study.leaderboard import leaderboard_of
from reports.study.shape import arms_drawn

FEW, MOST = 7, 10
"""Of more than a few arms only those that stand out are in colour and named, so many at most."""


def named_arms(results: StudyResults) -> tuple[str, ...]:
    """All arms that are drawn one by one, if they are few.

    Else the reference, the leader, the cheapest that is not clearly worse, and those that
    claims name, in this order.
    """
    drawn = arms_drawn(results)
    if len(drawn) <= FEW:
        return drawn
    board, study = leaderboard_of(results), results.study
    rules = [rule for claim in study.claims for rule in claim.rules]
    claimed = [getattr(rule, side, "") for rule in rules for side in ("arm", "other")]
    stand_out = (*(s.arm for s in (board.leader, board.cheapest) if s), *claimed)
    return tuple(dict.fromkeys(a for a in (study.reference, *stand_out) if a in drawn))[:MOST]


def looks_of(results: StudyResults) -> Mapping[str, int]:
    """Arm -> the number of its look, in all figures of a study; the named ones come first."""
    trained = results.test.trained
    arms = dict.fromkeys((*named_arms(results), *arms_drawn(results), *trained, *results.arms))
    return {arm: number for number, arm in enumerate(arms)}
