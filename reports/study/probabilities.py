"""How good probabilities are: their calibration, and every step of a funnel by itself."""

from collections.abc import Iterator, Sequence
from itertools import product, repeat
from typing import NamedTuple

import numpy as np

from fsmd.metrics import METRICS, Metric
from fsmd.stats.estimates import mean_interval
from reports import ran, words
from reports.page.cells import interval_cell, table
from reports.page.model import Table, TableCell
from reports.predictions import Figure, read_sampling
from reports.results import Scores, StudyResults, at_chosen
from studies.store.faults import patient

CALIBRATION = ("pcoc", "ece")
NOT_DRAWN = (
    "No arm has all its test predictions, so there is no picture of predicted against observed "
    "rates."
)


class Shown(NamedTuple):
    """A column: a figure of a task, or of a step of the funnel."""

    of: Figure
    scores: Scores
    """Of its metric, on test."""


def probability_tables(results: StudyResults) -> tuple[Table, ...]:
    """Calibration with intervals, then the steps' other figures; those that some arm has."""
    calibration = list(_shown(results, [METRICS[name] for name in CALIBRATION]))
    others = [metric for metric in METRICS.values() if not metric.calibration]
    steps = [shown for shown in _shown(results, others) if shown.of.parent is not None]
    return tuple(filter(None, (_calibration(results, calibration), _steps(results, steps))))


def _calibration(results: StudyResults, shown: Sequence[Shown]) -> Table | None:
    if not shown:
        return None
    of_arms = {arm: _parts(results, arm, shown) for arm in results.test.trained}
    known = any(part is not None for parts in of_arms.values() for part in parts)
    caption = (
        "On test at the chosen epochs, mean [95 % interval] over "
        f"{ran.sources(results, known)}. {'; '.join(_said(shown))}. {_whose(shown)}"
    )
    rows = (
        (arm, *map(_cell, shown, repeat(arm), of_arms.get(arm, repeat(None))))
        for arm in results.test.arms
    )
    return table("probabilities", caption.strip(), _columns(results, shown), rows)


def _said(shown: Sequence[Shown]) -> Iterator[str]:
    """What each metric is, where it is there."""
    there = {each.of.metric.label for each in shown}
    meanings = {
        "PCOC": "predicted over observed positives, 1 being right",
        "ECE": "how far predicted rates are from observed ones over 15 groups of rows, 0 being "
        "right, though chance alone puts it above",
    }
    return (f"{label}: {text}" for label, text in meanings.items() if label in there)


def _steps(results: StudyResults, shown: Sequence[Shown]) -> Table | None:
    if not shown:
        return None
    less = words.less_is_better(each.scores.target(each.of.key) for each in shown)
    caption = (
        f"The steps of the funnel on test, mean [95 % interval] over seeds.{less} {_whose(shown)}"
    )
    rows = ((arm, *(_cell(each, arm, None) for each in shown)) for arm in results.test.arms)
    return table("steps", caption.strip(), _columns(results, shown), rows)


def _whose(shown: Sequence[Shown]) -> str:
    """What is told from what where there are steps."""
    step = next((each for each in shown if each.of.parent is not None), None)
    if step is None:
        return ""
    task, parent = step.of.task, step.of.parent
    return (
        f"{step.of.key}: the step alone, among rows with {parent}; {task}: reaching it, among all."
    )


def _columns(results: StudyResults, shown: Sequence[Shown]) -> tuple[str, ...]:
    heads = (words.column(each.scores.target(each.of.key)) for each in shown)
    return (results.study.factor, *heads)


def _cell(shown: Shown, arm: str, by_test: float | None) -> TableCell:
    metric, values_R = shown.of.metric, shown.scores.of(arm, shown.of.key)
    estimate = mean_interval(values_R, by_test, within=(metric.low, metric.high))
    return interval_cell(estimate, metric)


def _shown(results: StudyResults, metrics: Sequence[Metric]) -> Iterator[Shown]:
    """Metric by metric, tasks before steps; those that some arm has."""
    for metric, steps in product(metrics, (False, True)):
        tasks = [task for task in results.tasks if task.after or not steps]
        scores = at_chosen(results, "test", metric.name, steps) if tasks else None
        for task in tasks:
            of = Figure(task.name, metric, task.after if steps else None)
            if scores and any(scores.has(arm, of.key) for arm in scores.arms):
                yield Shown(of, scores)


@patient
def _parts(results: StudyResults, arm: str, shown: Sequence[Shown]) -> Sequence[float | None]:
    """The test set's part in the variance of each mean of the arm; None where it is not known."""
    runs = results.done_of(arm)
    ids = tuple(map(str, runs["run_id"]))
    over = tuple(map(int, runs["replicate"]))
    figures = [each.of for each in shown]
    with results.engine.connect() as connection:
        of_arm = read_sampling(
            connection, results.test_sets[arm], figures, lambda: {arm: ids}, over
        )
    if of_arm is None:
        return [None] * len(shown)
    variance_F = np.diag(of_arm.covariance_AKAK[0, :, 0, :])
    return [max(float(variance), 0.0) for variance in variance_F]
