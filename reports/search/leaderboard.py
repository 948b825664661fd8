"""The leaderboard of a search: what was trained on fresh seeds."""

from fsmd.metrics import METRICS
from fsmd.tasks import MEAN
from reports import ran
from reports.answer import Asked
from reports.search.analysis import SearchAnalysis
from reports.standing import Leaderboard, leaderboard
from studies.search.confirmation import references


def leaderboard_of(analysis: SearchAnalysis) -> Leaderboard:
    """The tasks that are sought count; all of them for their mean, or where costs alone are."""
    fresh = analysis.search.fresh_sound
    reference = analysis.have or next(iter(references(fresh.arms)), None)
    return leaderboard(fresh, _margins(analysis), reference)


def asked_of(analysis: SearchAnalysis) -> Asked:
    """What its answer is about."""
    return Asked(
        results=analysis.search.fresh_sound,
        board=leaderboard_of(analysis),
        margins=_margins(analysis),
        noun="point",
        seed="fresh seed",
        command=lambda count: ran.run_command(analysis.results, confirm=count),
        have=analysis.have is not None,
    )


def _margins(analysis: SearchAnalysis) -> dict[str, float]:
    search = analysis.search
    sought = {objective.key for objective in search.objectives}
    tasks = [task for task in search.tasks if task.name in sought and MEAN not in sought]
    return {task.name: METRICS[task.metric].margin for task in tasks or search.tasks}
