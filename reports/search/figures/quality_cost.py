"""What more quality costs: the points with fresh seeds, and the front of gain and cost."""

from fsmd.metrics import METRICS
from reports.page.figure_kind import FigureKind
from reports.quality_cost import QualityCostSummary, alt, caption, draw, finding, summary_of
from reports.search.analysis import SearchAnalysis
from reports.search.leaderboard import leaderboard_of


def summarize(analysis: SearchAnalysis) -> QualityCostSummary | None:
    """None without fresh seeds, or where no two points differ in cost."""
    targets = analysis.results.targets
    margins = {target.key: METRICS[target.metric].margin for target in targets}
    return summary_of(leaderboard_of(analysis), targets, margins)


FIGURE = FigureKind(
    "quality_cost", "leaderboard", 10, summarize, draw, caption, alt, finding=finding
)
