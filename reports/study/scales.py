"""What the axis of a target needs to know: its metric, and the difference that matters."""

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.patches import Patch

from fsmd.metrics import METRICS, Metric
from fsmd.tasks import MEAN, Target
from reports import words
from reports.page import style
from reports.results import StudyResults
from reports.study.reading import Reading


class Scale(NamedTuple):
    """A target, and the smallest difference on it that matters in a study."""

    target: Target
    margin: float

    @property
    def key(self) -> str:
        """The target's."""
        return self.target.key

    @property
    def metric(self) -> Metric:
        """What is measured."""
        return METRICS[self.target.metric]

    @property
    def digits(self) -> int:
        """Decimals of a difference."""
        return self.metric.digits + 1


def scales_of(results: StudyResults) -> tuple[Scale, ...]:
    """Of each target that the study compares."""
    reading = Reading(results.study, results.tasks)
    return tuple(Scale(target, reading.margin(target)) for target in results.targets)


def task_scales(results: StudyResults) -> tuple[Scale, ...]:
    """Of each task alone."""
    return tuple(scale for scale in scales_of(results) if scale.key != MEAN)


def metrics_of(scales: Sequence[Scale]) -> tuple[Metric, ...]:
    """The different metrics, in order."""
    return tuple(dict.fromkeys(scale.metric for scale in scales))


def label(scales: Sequence[Scale]) -> str:
    """What is measured: `AUC`, or `AUC and log loss`."""
    return words.measured(scale.target for scale in scales)


def less_is_better(scales: Sequence[Scale]) -> str:
    """A sentence with a blank before it, where of some figure less is better; else empty."""
    return words.less_is_better(scale.target for scale in scales)


def who_leads(scales: Sequence[Scale], ahead: str, sides: tuple[str, str]) -> str:
    """Where a difference is for the better: `right of zero fs leads`.

    sides: what lies above zero and what below it, as `("right of", "left of")`.
    """
    labels = {
        higher: dict.fromkeys(s.metric.label for s in scales if s.metric.higher == higher)
        for higher in (True, False)
    }
    (more, less), (up, down) = labels.values(), sides
    if more and less:
        in_more, in_less = words.listed(more), words.listed(less)
        return f"{up} zero {ahead} leads in {in_more}, {down} it in {in_less}"
    return f"{up if more else down} zero {ahead} leads"


def within_margin(scales: Sequence[Scale]) -> str:
    """The margins in words: `±0.001`, or `±0.001 of AUC and ±0.01 of log loss`."""
    margins = {scale.metric.label: f"±{words.number(scale.margin)}" for scale in scales}
    if len(set(margins.values())) == 1:
        return next(iter(margins.values()))
    return words.listed(f"{margin} of {name}" for name, margin in margins.items())


def margin_key(scales: Sequence[Scale]) -> Patch:
    """The margin's entry of a legend."""
    label = f"within {within_margin(scales)}"
    return Patch(color=style.FAINT, alpha=0.3, linewidth=0, label=label)
