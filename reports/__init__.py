"""From stored trainings to verdicts, figures and a page; never imports torch.

For a notebook::

    from reports import open_engine, read
    results = read(open_engine("sqlite:///studies.db"), "tower_shape")
    results.measurements            # tidy: study, data, arm, replicate, ..., metric, value
    results.test.difference("diamond", "constant", "click")
    analyse_study(results).judged   # each claim with its verdict
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fsmd.stats.estimates import Estimate
    from reports.build import build as build_report
    from reports.build import build_all
    from reports.results import Scores, StudyResults, read
    from reports.study.analysis import StudyAnalysis, analyse_study
    from reports.study.comparisons import Comparison
    from studies.store.database import open_engine

__all__ = [
    "Comparison",
    "Estimate",
    "Scores",
    "StudyAnalysis",
    "StudyResults",
    "analyse_study",
    "build_all",
    "build_report",
    "open_engine",
    "read",
]

_HOME = {
    "Comparison": "reports.study.comparisons:Comparison",
    "Estimate": "fsmd.stats.estimates:Estimate",
    "Scores": "reports.results:Scores",
    "StudyAnalysis": "reports.study.analysis:StudyAnalysis",
    "StudyResults": "reports.results:StudyResults",
    "analyse_study": "reports.study.analysis:analyse_study",
    "build_all": "reports.build:build_all",
    "build_report": "reports.build:build",  # `reports.build` is the command's module
    "open_engine": "studies.store.database:open_engine",
    "read": "reports.results:read",
}


def __getattr__(name: str) -> Any:
    """Import what is asked for, now."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOME[name].split(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return __all__
