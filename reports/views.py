"""A figure with its caption and its words for those who cannot see it; None if it has no data."""

from typing import Any

from matplotlib.figure import Figure

from reports import facts, words
from reports.figures import (
    curves,
    differences,
    effects,
    gains,
    gates,
    gradients,
    levels,
    scatter,
    seesaw,
)
from reports.figures.style import to_pdf, to_svg
from reports.model import FigureView
from reports.results import StudyResults, auc_on_test


def levels_view(results: StudyResults) -> FigureView:
    """Test AUC by level, as in Figs. 11 to 13."""
    summary = levels.summarize(results)
    figure = results.definition.figure
    as_in = f", as {figure} of the paper," if figure.startswith("Fig") else ""
    caption = (
        f"Test AUC by {summary.factor}{as_in} with every "
        "replicate. Replicates of the same seed are joined; the interval is a 95 % t interval of "
        f"the mean over seeds. Each panel has its own scale.{_reachable(summary)}"
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


def _reachable(summary: levels.LevelsSummary) -> str:
    if all(panel.reachable is None for panel in summary.panels):
        return ""
    return " Dashed: the best reachable AUC; where the axis is broken (//), it lies further off."


def gains_view(results: StudyResults) -> FigureView | None:
    """Gains over the reference on both tasks, as in Fig. 10."""
    summary = gains.summarize(results)
    if not summary.gains:
        return None
    first, second = summary.tasks
    n = min(gain.n for gain in summary.gains)
    region = (
        " Ellipses are 95 % joint regions of both mean differences, over "
        f"{facts.sources(auc_on_test(results))}; one that leaves the frame ends beyond it."
        if n >= 3
        else ""
    )
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
        f"over seeds; 95 % intervals over {facts.sources(auc_on_test(results))}. Right of zero "
        f"{summary.winner} leads; the band is the margin below which "
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


def scatter_view(results: StudyResults) -> FigureView:
    """Both tasks' mean AUC of many arms."""
    summary = scatter.summarize(results)
    first, second = summary.tasks
    seeds = words.listed(sorted({arm.n for arm in summary.arms}))
    caption = (
        f"Mean test AUC on {first} and on {second} of {words.count(len(summary.arms), 'arm')}, "
        f"each over its finished replicates ({seeds}). Named: {summary.role}, and the front, the "
        "arms that no other equals or exceeds on both tasks. The front is of means: which arms "
        "are on it is partly chance."
    )
    means = {arm.level: arm.mean for arm in summary.arms}
    told = "; ".join(f"{level} {words.auc(means[level][0])} and {words.auc(means[level][1])}"
                     for level in summary.front)  # fmt: skip
    alt = f"Mean test AUC on {first} and on {second}. On the front: {told}."
    return _view("scatter", caption, alt, scatter, summary)


def effects_view(results: StudyResults) -> FigureView | None:
    """Main effects of a factorial."""
    summary = effects.summarize(results)
    if not any(e.n for effect in summary.effects for row in effect.estimates for e in row):
        return None
    partly = "" if summary.complete else (
        " Not every combination was trained: a factor's effect is mixed with the others'."
    )  # fmt: skip
    caption = (
        "Main effects: the mean test AUC of all arms at a level minus that of all arms, within "
        "each complete replicate; mean and 95 % interval over replicates. One scale for all "
        f"panels.{partly}"
    )
    told = "; ".join(
        f"{effect.factor} on the mean: "
        + ", ".join(
            f"{level} {words.difference(estimate)}"
            for level, estimate in zip(effect.levels, effect.estimates[-1], strict=True)
        )
        for effect in summary.effects
    )
    return _view("effects", caption, f"Main effects of each factor. {told}.", effects, summary)


def seesaw_view(results: StudyResults) -> FigureView | None:
    """Gain over the simplest model along the knob."""
    summary = seesaw.summarize(results)
    if not any(e.n for lines in summary.lines for line in lines for e in line.estimates):
        return None
    caption = (
        f"What each model gains in test AUC over {summary.reference} on the same data, by "
        f"{summary.knob}: mean over paired seeds, band: 95 % interval. Each setting of "
        f"{summary.knob} is a data set of its own. One scale for all panels."
    )
    told = "; ".join(
        f"{target}: "
        + ", ".join(
            f"{line.model} from {words.signed(line.estimates[0].mean)} "
            f"to {words.signed(line.estimates[-1].mean)}"
            for line in lines
            if line.estimates[0].n and line.estimates[-1].n
        )
        for target, lines in zip(summary.targets, summary.lines, strict=True)
    )
    alt = f"Gain over {summary.reference} by {summary.knob}. {told}."
    return _view("seesaw", caption, alt, seesaw, summary)


def gradients_view(results: StudyResults) -> FigureView | None:
    """Whether the tasks' gradients conflict; None where they were not recorded."""
    summary = gradients.summarize(results)
    if not summary.courses:
        return None
    caption = (
        "Cosine between the tasks' loss gradients on the shared parameters, by epoch: mean over "
        "replicates, band: from the least to the greatest, up to the last epoch that all of them "
        "reached. Above 0 a step for one task also helps the other; below 0 the tasks pull "
        "apart, which is what conflict means. A model that shares nothing has none."
    )
    told = "; ".join(f"{course.level} from {course.means[0]:+.2f} to {course.means[-1]:+.2f}"
                     for course in summary.courses)  # fmt: skip
    alt = f"Cosine between the tasks' gradients by epoch. {told}."
    return _view("gradients", caption, alt, gradients, summary)


def gates_view(results: StudyResults) -> FigureView | None:
    """Gate weights; None where they were not recorded."""
    summary = gates.summarize(results)
    if not any(summary.rows):
        return None
    own = any(row.shared < len(row.weights) for rows in summary.rows for row in rows)
    where = " Left of the bar: experts that all tasks share; right: the task's own." if own else ""
    caption = (
        "Weight that each task's gate gives each expert at the task's chosen epoch: mean over "
        f"validation rows and replicates; a line adds up to 1.{where} Experts have no order "
        "across replicates, so equal means may hide unequal weights: see the entropy."
    )
    told = "; ".join(
        f"{task}: "
        + ", ".join(f"{row.level} {' '.join(f'{w:.2f}' for w in row.weights)}" for row in rows)
        for task, rows in zip(summary.tasks, summary.rows, strict=True)
    )
    return _view("gates", caption, f"Gate weights by task and expert. {told}.", gates, summary)


def _view(key: str, caption: str, alt: str, kind: Any, summary: Any) -> FigureView:
    """Drawn for a wide page, for a phone and for a file; numbered by the report."""
    wide: Figure = kind.draw(summary)
    narrow: Figure = kind.draw(summary, narrow=True)
    return FigureView(key, 0, caption, alt, to_svg(wide), to_svg(narrow), to_pdf(wide))
