"""The leaderboard of a study: its arms on the reference's test rows."""

from fsmd.tasks import MEAN
from reports import ran
from reports.answer import Asked
from reports.results import StudyResults
from reports.standing import Leaderboard, leaderboard
from reports.study.looks import looks_to_come, stopped, tested
from reports.study.reading import Reading


def leaderboard_of(results: StudyResults, have: str | None = None) -> Leaderboard:
    """Every task counts, in units of the difference that matters in the study.

    have: the arm with which the others are compared, where that is not the reference.
    """
    reference = results.study.reference
    margins, given_up = _margins(results), stopped(results)
    return leaderboard(results, margins, have or reference, given_up, tested(results))


def asked_of(results: StudyResults, have: str | None = None) -> Asked:
    """What its answer is about; have: see `leaderboard_of`."""
    return Asked(
        results=results,
        board=leaderboard_of(results, have),
        margins=_margins(results),
        noun="arm",
        seed="replicate",
        command=lambda count: ran.run_command(results, replicates=count),
        have=have is not None,
        factor=results.study.factor,
        planned=tuple(arm.name for arm in results.planned),
        to_come=looks_to_come(results),
    )


def _margins(results: StudyResults) -> dict[str, float]:
    reading = Reading(results.study, results.tasks)
    return {t.key: reading.margin(t) for t in results.targets if t.key != MEAN}
