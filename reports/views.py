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
    joined = " Replicates of the same seed are joined." if summary.joined else ""
    caption = (
        f"Test AUC by {summary.factor}{as_in} with every "
        f"replicate.{joined} The interval is a 95 % t interval of the mean over seeds. "
        f"Each panel has its own scale.{_reachable(summary)}"
    )
    told = "; ".join(
        f"{panel.target}: "
        + ", ".join(
            f"{level} {words.interval(estimate)}"
            for level, estimate in zip(summary.levels, panel.estimates, strict=True)
        )
        for panel in summary.panels
    )
    return drawn("levels", caption, f"Test AUC by {summary.factor}. {told}.", levels, summary)


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
    ns = [gain.n for gain in summary.gains]
    region = (
        " Ellipses are 95 % joint regions of both mean differences, over "
        f"{facts.sources(auc_on_test(results))}; one that leaves the frame ends beyond it."
        if max(ns) >= 3
        else ""
    )
    beside = (
        f" Hollow: the paper's own gains over {summary.reference}, from one run each, on its own "
        "data." if summary.paper else ""
    )  # fmt: skip
    caption = (
        f"What each model gains over {summary.reference} in test AUC on {first} and on {second}, "
        f"mean over {words.counted(ns, 'paired replicate')}. Top right is better on both tasks, "
        f"bottom left worse on both; elsewhere one is traded for the other.{region}{beside} Grey: "
        f"the margin below which a difference matters to nobody (±{summary.margin:g})."
    )
    told = "; ".join(
        f"{gain.level} {words.signed(gain.mean[0])} and {words.signed(gain.mean[1])}, "
        + gains.standing(gain.mean, summary.tasks, summary.margin)
        for gain in summary.gains
    )
    alt = f"Gains over {summary.reference} on {first} and on {second}. {told}."
    return drawn("gains", caption, alt, gains, summary)


def differences_view(results: StudyResults) -> FigureView | None:
    """The reference and every other level."""
    summary = differences.summarize(results)
    if not summary.rows[0]:
        return None
    reference = summary.reference
    what, ahead = (
        (f"Test AUC of {reference}, {summary.role}, minus every other level's", reference)
        if summary.forward
        else (f"Test AUC of every other level minus that of {reference}", "the level")
    )
    caption = (
        f"{what}, replicate by replicate; 95 % intervals over "
        f"{facts.sources(auc_on_test(results))}. Right of zero {ahead} leads; the band is the "
        f"margin below which a difference matters to nobody (±{summary.margin:g})."
    )
    told = "; ".join(
        f"{target}: " + ", ".join(f"{row.label} {words.difference(row.estimate)}" for row in rows)
        for target, rows in zip(summary.targets, summary.rows, strict=True)
    )
    alt = f"Paired differences between {reference} and every other level. {told}."
    return drawn("differences", caption, alt, differences, summary)


def curves_view(results: StudyResults) -> FigureView:
    """Learning curves."""
    summary = curves.summarize(results)
    caption = (
        "Validation AUC by epoch: the mean over a level's replicates, up to the last epoch that "
        "all of them reached. The axes show what lies around the chosen epochs; earlier epochs, "
        "far lower, leave the frame. Hollow marks: each replicate's chosen epoch, the one that "
        "test figures belong to; levels side by side."
    )
    alt = f"Learning curves of {words.listed(summary.tasks)}. One line a level."
    return drawn("curves", caption, alt, curves, summary)


def scatter_view(results: StudyResults) -> FigureView | None:
    """Both tasks' mean AUC of many arms; None where the study has none of those trained."""
    summary = scatter.summarize(results)
    if not summary.arms:
        return None
    first, second = summary.tasks
    over = words.counted((arm.n for arm in summary.arms), "replicate")
    ranking = (
        " The front has the arms that no other equals or exceeds on both tasks; it is of means, "
        "and which arms are on it is partly chance: a mean's 95 % interval over seeds is "
        f"±{summary.half_widths[0]:.4f} on {first} and ±{summary.half_widths[1]:.4f} on {second} "
        "in the median."
        if summary.front
        else " Fewer than two replicates are complete at every arm: means may be of different "
        "seeds and are not ranked."
    )
    shared = " that all share" if summary.front else ""
    few = len(summary.named) == len(summary.arms)
    singled = "" if few else f" Named: {summary.role}, the arms that claims name, and the front."
    caption = (
        f"Mean test AUC on {first} and on {second} of {words.count(len(summary.arms), 'arm')}, "
        f"each over {over}{shared}.{singled}{ranking}"
    )
    means = {arm.level: arm.mean for arm in summary.arms}
    told = "; ".join(f"{level} {words.auc(means[level][0])} and {words.auc(means[level][1])}"
                     for level in summary.named)  # fmt: skip
    alt = f"Mean test AUC on {first} and on {second}. Named: {told}."
    return drawn("scatter", caption, alt, scatter, summary)


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
    return drawn("effects", caption, f"Main effects of each factor. {told}.", effects, summary)


def seesaw_view(results: StudyResults) -> FigureView | None:
    """Gain over the simplest model along the knob."""
    summary = seesaw.summarize(results)
    if not any(e.n for lines in summary.lines for line in lines for e in line.estimates):
        return None
    caption = (
        f"What each model gains in test AUC over {summary.reference} on the same data, by "
        f"{summary.knob}: a panel a model, mean over paired replicates, bars: 95 % interval. Each "
        f"setting of {summary.knob} is a data set of its own. One scale for all panels; grey: the "
        f"margin (±{summary.margin:g})."
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
    return drawn("seesaw", caption, alt, seesaw, summary)


def gradients_view(results: StudyResults) -> FigureView | None:
    """Whether the tasks' gradients conflict; None where they were not recorded."""
    summary = gradients.summarize(results)
    if not summary.courses:
        return None
    caption = (
        "Cosine between the tasks' loss gradients on the shared parameters, by epoch: mean over "
        "replicates, bar: from the least to the greatest, up to the last epoch that all of them "
        "reached. Above 0 a step for one task also helps the other; below 0 the tasks pull "
        "apart, which is what conflict means. A model that shares nothing has none."
    )
    told = "; ".join(f"{course.level} from {course.means[0]:+.2f} to {course.means[-1]:+.2f}"
                     for course in summary.courses)  # fmt: skip
    alt = f"Cosine between the tasks' gradients by epoch. {told}."
    return drawn("gradients", caption, alt, gradients, summary)


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
    return drawn("gates", caption, f"Gate weights by task and expert. {told}.", gates, summary)


def drawn(key: str, caption: str, alt: str, kind: Any, summary: Any) -> FigureView:
    """Drawn for a wide page, for a phone and for a file; numbered by the report."""
    wide: Figure = kind.draw(summary)
    narrow: Figure = kind.draw(summary, narrow=True)
    return FigureView(key, 0, caption, alt, to_svg(wide), to_svg(narrow), to_pdf(wide))
