"""A figure with its caption and its words for those who cannot see it; None if it has no data."""

from typing import Any

from matplotlib.figure import Figure

from reports import words
from reports.figures import curves, differences, gains, levels
from reports.figures.style import to_pdf, to_svg
from reports.model import FigureView
from reports.results import StudyResults


def levels_view(results: StudyResults) -> FigureView:
    """Test AUC by level, as in Figs. 11 to 13."""
    summary = levels.summarize(results)
    figure = results.definition.figure
    as_in = f", as {figure} of the paper," if figure.startswith("Fig") else ""
    caption = (
        f"Test AUC by {summary.factor}{as_in} with every "
        "replicate. Replicates of the same seed are joined; the interval is a 95 % t interval of "
        "the mean over seeds. Each panel has its own scale."
    )
    told = "; ".join(
        f"{panel.target}: "
        + ", ".join(
            f"{level} {words.interval(estimate)}"
            for level, estimate in zip(summary.levels, panel.estimates, strict=True)
        )
        for panel in summary.panels
    )
    return _view("levels", caption, f"Test AUC by {summary.factor}. {told}.", levels, summary)


def gains_view(results: StudyResults) -> FigureView | None:
    """Gains over the reference on both tasks, as in Fig. 10."""
    summary = gains.summarize(results)
    if not summary.gains:
        return None
    first, second = summary.tasks
    n = min(gain.n for gain in summary.gains)
    region = (
        " Ellipses are 95 % joint regions of both mean differences over seeds (Hotelling); one "
        "that leaves the frame ends beyond it." if n >= 3 else ""
    )  # fmt: skip
    beside = (
        f" Hollow: the paper's own gains over {summary.reference}, from one run each, on its own "
        "data." if summary.paper else ""
    )  # fmt: skip
    caption = (
        f"What each model gains over {summary.reference} in test AUC on {first} and on {second}, "
        f"mean over {words.count(n, 'paired seed')}. Top right is better on both tasks, bottom "
        f"left worse on both; elsewhere one is traded for the other.{region}{beside} Grey: the "
        f"margin below which a difference matters to nobody (±{summary.margin:g})."
    )
    told = "; ".join(
        f"{gain.level} {words.signed(gain.mean[0])} and {words.signed(gain.mean[1])}, "
        + gains.quadrant(gain.mean, summary.tasks)
        for gain in summary.gains
    )
    alt = f"Gains over {summary.reference} on {first} and on {second}. {told}."
    return _view("gains", caption, alt, gains, summary)


def differences_view(results: StudyResults) -> FigureView | None:
    """The reference minus every other level."""
    summary = differences.summarize(results)
    if not summary.rows[0]:
        return None
    caption = (
        f"Test AUC of {summary.winner}, {summary.role}, minus every other level's, paired "
        f"over seeds. Right of zero {summary.winner} leads; the band is the margin below which "
        f"a difference matters to nobody (±{summary.margin:g})."
    )
    told = "; ".join(
        f"{target}: "
        + ", ".join(f"minus {row.other} {words.difference(row.estimate)}" for row in rows)
        for target, rows in zip(summary.targets, summary.rows, strict=True)
    )
    alt = f"Paired differences of {summary.winner} to every other level. {told}."
    return _view("differences", caption, alt, differences, summary)


def curves_view(results: StudyResults) -> FigureView:
    """Learning curves."""
    summary = curves.summarize(results)
    caption = (
        "Validation AUC by epoch: the mean over a level's replicates, up to the last epoch that "
        "all of them reached. Hollow marks: each replicate's chosen epoch, the one that test "
        "figures belong to."
    )
    alt = f"Learning curves of {words.listed(summary.tasks)}. One line a level."
    return _view("curves", caption, alt, curves, summary)


def _view(key: str, caption: str, alt: str, kind: Any, summary: Any) -> FigureView:
    """Drawn for a wide page, for a phone and for a file; numbered by the report."""
    wide: Figure = kind.draw(summary)
    narrow: Figure = kind.draw(summary, narrow=True)
    return FigureView(key, 0, caption, alt, to_svg(wide), to_svg(narrow), to_pdf(wide))
