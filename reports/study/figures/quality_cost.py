"""What more quality costs: the arms of the leaderboard, and the front of gain and cost."""

from reports.page.figure_kind import FigureKind
from reports.quality_cost import QualityCostSummary, alt, caption, draw, finding, summary_of
from reports.results import StudyResults
from reports.study.leaderboard import leaderboard_of
from reports.study.scales import scales_of


def summarize(results: StudyResults) -> QualityCostSummary | None:
    """None where no two arms differ in cost."""
    margins = {scale.key: scale.margin for scale in scales_of(results)}
    return summary_of(leaderboard_of(results), results.targets, margins)


FIGURE = FigureKind(
    "quality_cost", "leaderboard", 10, summarize, draw, caption, alt, finding=finding
)
