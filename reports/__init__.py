"""From stored trainings to verdicts, figures and a page; never imports torch.

For a notebook::

    from reports import analyse, open_engine, read
    engine = open_engine("sqlite:///studies.db")
    results = read(engine, "tower_shape")
    results.measurements              # tidy: study, data, arm, replicate, ..., metric, value
    results.test.difference("diamond", "constant", "click")
    analyse(engine, "tower_shape").judged   # each claim with its verdict
    analyse(engine, "pareto").picks         # of a search: the chosen points
"""

from importlib import import_module
from typing import Any

_HOME = {
    "Comparison": "reports.pairs",
    "Estimate": "fsmd.stats.estimates",
    "Scores": "reports.results",
    "SearchAnalysis": "reports.search.analysis",
    "StudyAnalysis": "reports.study.analysis",
    "StudyResults": "reports.results",
    "analyse": "reports.build",
    "analyse_study": "reports.study.analysis",
    "build_all": "reports.build",
    "build_report": "reports.build:build",
    "open_engine": "studies.store.database",
    "read": "reports.results",
}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    """Import what is asked for, now."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    return getattr(import_module(module), attribute or name)


def __dir__() -> list[str]:
    return __all__
