"""The figures of a search's report with their captions, and their words for those who cannot
see them; None where there is nothing to draw.
"""

from reports import words
from reports.axis_importance import Importance
from reports.figures import axis_importance, front, hypervolume, parallel
from reports.model import FigureView
from reports.search_analysis import SearchAnalysis
from reports.views import drawn


def front_view(analysis: SearchAnalysis) -> FigureView:
    """Both fronts in the plane of the tasks."""
    summary = front.summarize(analysis)
    first, second = summary.tasks
    hidden = front.outside(summary)
    left_out = f" {words.count(hidden, 'point')} far behind left out." if hidden else ""
    fresh = (
        " Filled: means over the fresh seeds, with 95 % intervals of each task, cut off at the "
        "frame; a dotted line leads to each from what the search saw. Every point has "
        "the same seeds, so where crosses overlap the order may still be clear: see P(front)."
        if summary.fresh
        else " Nothing was trained again: this is what the search saw."
    )
    region = (
        " Ellipse: 95 % region of both means together, of the points on the fresh front."
        if any(f.region and f.level in summary.fresh_front for f in summary.fresh) else ""
    )  # fmt: skip
    band = (
        " Band: from what the front of every single seed attains to what that of one does; the "
        "line in it is what those of half of the seeds attain."
        if summary.band else ""
    )  # fmt: skip
    stairs = " The stairs bound what a front dominates." if summary.front else ""
    caption = (
        f"Validation AUC on {first} and on {second}. Hollow: every training that ended, on the "
        f"search's own seed.{fresh}{region}{stairs}{band}{left_out} Rings: picked points."
    )
    told = "; ".join(f"{f.level} {f.told}" for f in summary.fresh) or words.listed(summary.front)
    alt = f"The front of {first} and {second}. {told}."
    return drawn("front", caption, alt, front, summary)


def hypervolume_view(analysis: SearchAnalysis) -> FigureView | None:
    """How the front grew with configurations and with epochs."""
    summary = hypervolume.summarize(analysis)
    if summary is None:
        return None
    reference = ", ".join(
        f"{words.auc(value)} on {task}"
        for value, task in zip(analysis.progress.reference, analysis.found.tasks, strict=False)
    )
    caption = (
        "Hypervolume of the front over configurations and over the epochs they cost, as a share "
        f"of the final one, {analysis.progress.volumes[-1]:.3g}: the volume above "
        f"{reference} that some ended training dominates (a tenth of each objective's range "
        "below its worst value, so that the ends of the front count). In the order of "
        "proposal, each with all its epochs. It is what the search saw on one seed, so it "
        "carries the winner's curse."
    )
    most = next(i for i, share in enumerate(summary.shares) if share >= 0.9)
    alt = (
        "Hypervolume of the search's front. 90 % of the final hypervolume were reached after "
        f"{words.count(most + 1, 'configuration')} and "
        f"{words.count(summary.epochs[most], 'epoch')}."
    )
    return drawn("hypervolume", caption, alt, hypervolume, summary)


def importance_view(made: Importance) -> FigureView | None:
    """How much every axis decides."""
    summary = axis_importance.summarize(made)
    if summary is None:
        return None
    how = (
        "share of the variance that each axis's main effect explains, exactly: the design is a "
        "full factorial. The mark is what an axis without any effect would explain"
        if summary.exact
        else "importance of each axis for being among the best (PED-ANOVA), as shares that add "
        "up to 1. The mark is the 95 % quantile where chance alone says which are the best"
    )
    caption = f"What matters for each task and for the front: {how}. {made.trainings} trainings."
    told = "; ".join(
        f"{target}: " + ", ".join(
            f"{axis} {100 * share.share:.0f} %" for axis, share in
            zip(summary.axes, shares, strict=True))
        for target, shares in zip(summary.targets, summary.shares, strict=True)
    )  # fmt: skip
    alt = f"Importance of each axis. {told}."
    return drawn("importance", caption, alt, axis_importance, summary)


def parallel_view(analysis: SearchAnalysis) -> FigureView | None:
    """All configurations at once."""
    summary = parallel.summarize(analysis)
    if not summary.scales:
        return None
    absent = any(scale.absent for scale in summary.scales)
    none = (
        " An axis that does not count for a configuration is crossed beside it, at \u2013."
        if absent
        else ""
    )
    caption = (
        "Every configuration as a line through its axes, coloured by the rank of the mean "
        "validation AUC that the search saw, the highest on top; lines through the same levels "
        "are set off a little. Thin and grey: not trained to the end, so without a comparable "
        f"AUC.{none}"
    )
    best = max((line for line in summary.lines if line.height is not None),
               key=lambda line: line.mean)  # fmt: skip
    alt = (f"Parallel coordinates of all configurations. The highest mean AUC, "
           f"{words.auc(best.mean)}, has {best.level}.")  # fmt: skip
    return drawn("parallel", caption, alt, parallel, summary)
