"""The tables of a study's report, each a pure function of what was read and found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from itertools import chain, combinations, groupby
from statistics import median_low
from typing import NamedTuple

import numpy as np
import pandas as pd

from fsmd.config import FSMDConfig
from fsmd.metrics import METRICS, Metric
from fsmd.stats.anova import BLOCK, VALUE, FactorEffect, effects
from fsmd.stats.estimates import ALPHA, TOO_FEW, holm, mean_interval, p_value
from fsmd.stats.joint import REGIONS
from fsmd.stats.power import POWER
from fsmd.tasks import ALL
from reports import ran, words
from reports.page.cells import difference_cell, interval_cell, table
from reports.page.model import Table, TableCell
from reports.results import Scores, StudyResults, at_chosen
from reports.study import paper
from reports.study.comparisons import Comparison, needed_in_words
from reports.study.figures.seesaw import SeesawSummary
from reports.study.joint import JointVerdict
from reports.study.scales import scales_of, who_leads, within_margin
from reports.study.shape import crossed, has_many_arms, reference_first
from search_spaces import Value
from studies.definition import Study

NAMED = 12
"""More arms than this are not listed beside each value of a setting."""
WIDE = 9
"""Columns of figures above which each figure has a table of its own."""


# Arms


def arm_table(results: StudyResults) -> Table:
    """Mean test figures of each arm beside the paper's, its cost, and its chosen epoch."""
    scores, study, many = results.test, results.study, has_many_arms(results)
    best = {} if many else {t.key: significantly_best(scores, t.key) for t in scores.targets}
    source, settings = paper.table(study.figure), arm_notes(study)
    rows = []
    for arm in scores.arms:
        runs = results.done[results.done["arm"] == arm]
        printed = source.numbers.get(arm, (float("nan"),) * len(source.columns)) if source else ()
        rows.append(
            (
                TableCell(arm, settings.get(arm, ())),
                *(_mean_cell(results, arm, t.key, best.get(t.key) == arm) for t in scores.targets),
                *(words.decimals(value, paper.DIGITS) for value in printed),
                *_costs(results, runs),
                len(runs),
            )
        )
    columns = (
        study.factor,
        *map(words.column, scores.targets),
        *(f"paper, {name}" for name in (source.columns if source else ())),
        *("parameters", "training seconds", "chosen epoch", "replicates"),
    )
    under = " Below a name: the settings that it stands for." if settings else ""
    reachable = " The last line is the distance to the best reachable figure."
    bold = (
        " Bold: better than every other arm, each paired difference significant at "
        f"{ran.at_level()} after Holm over all pairs of arms."
    )
    printed_once = (
        f" The paper's figures are {METRICS[paper.METRIC].label} of one run each, on its own data."
    )
    caption = (
        f"Test {words.measured(scores.targets)} at the epoch that validation chose: mean [95 % "
        f"interval] over the arm's replicates.{words.less_is_better(scores.targets)}{under}"
        f"{reachable if results.reachable() else ''}{'' if many else bold}"
        f"{printed_once if source else ''} Training seconds: by the clock, of one training in its "
        "worker; they and the chosen epochs are medians (of an even number the lower of the two "
        "in the middle)."
    )
    return table("arms", caption, columns, rows)


def arm_notes(study: Study) -> Mapping[str, tuple[str, ...]]:
    """Arm -> the settings that set it apart, a line each; empty where the names say them."""
    if all(_says(arm.name, value) for arm in study.arms for _, value in arm.params):
        return {}
    return {
        arm.name: tuple(f"{axis} {words.plain(value)}" for axis, value in arm.params)
        for arm in study.arms
    }


def _says(name: str, value: Value) -> bool:
    return (f"{value:g}" if isinstance(value, float) else str(value)) in name


def significantly_best(scores: Scores, key: str) -> str | None:
    """The arm that beats every other one, after Holm over all pairs; None if there is none."""
    pairs = list(combinations(scores.trained, 2))
    gains = [scores.gain(arm, other, key) for arm, other in pairs]
    adjusted = holm([p_value(gain) for gain in gains])
    beaten = dict.fromkeys(scores.trained, 0)
    for (arm, other), gain, p in zip(pairs, gains, adjusted, strict=True):
        if p is not None and p < ALPHA:
            beaten[arm if gain.mean > 0 else other] += 1
    winners = (arm for arm, count in beaten.items() if count == len(beaten) - 1 > 0)
    return next(winners, None)


def _mean_cell(results: StudyResults, arm: str, key: str, strong: bool) -> TableCell:
    estimate, metric = results.test.mean(arm, key), results.test.metric(key)
    best = results.reachable(arm).get(key)
    distance = ""
    if best is not None and estimate.n:
        distance = f"{words.signed(estimate.mean - best, metric.digits)} to best"
    return interval_cell(estimate, metric, distance, strong=strong)


def _costs(results: StudyResults, runs: pd.DataFrame) -> tuple[str, str, str]:
    """Parameters, seconds and chosen epoch of an arm's finished trainings."""
    if runs.empty:
        return words.DASH, words.DASH, words.DASH
    chosen = [epochs_of for epochs_of in runs["chosen_epochs"] if epochs_of]
    by_task = ([each[task] for each in chosen if task in each] for task in results.task_names)
    epochs = [str(median_low(of_task)) if of_task else words.DASH for of_task in by_task]
    return (
        " to ".join(f"{count:,}" for count in sorted(set(runs["parameters"].astype(int)))),
        f"{median_low(runs['seconds']):.1f}",
        epochs[0] if len(set(epochs)) == 1 else " / ".join(epochs),
    )


# Differences


def difference_table(results: StudyResults, comparisons: Sequence[Comparison]) -> Table | None:
    """The reference and every other arm; None if nothing can be paired."""
    reference, forward = results.study.reference, reference_first(results.study)
    made = [comparison for comparison in comparisons if comparison.difference.n]
    if not made:
        return None
    rows = (
        (
            f"minus {other}" if forward else arm,
            *map(_comparison_cell, pair),
            pair[0].difference.n,
        )
        for (arm, other), of_pair in groupby(made, key=lambda c: (c.arm, c.other))
        for pair in [list(of_pair)]
    )
    scales, tests = scales_of(results), words.count(made[0].tests, "test")
    minus = (
        f"{reference} minus every other arm's"
        if forward
        else f"every other arm minus that of {reference}"
    )
    leads = who_leads(scales, reference if forward else "the arm", ("above", "below"))
    caption = (
        f"Test {words.measured(results.targets)} of {minus}: mean and 95 % interval over "
        f"{ran.sources(bool(results.test.samplings))}; {leads}."
        f"{words.less_is_better(results.targets)} Below them p of a test that the two differ, and "
        "of two one-sided tests that they differ by less than the margin "
        f"({within_margin(scales)}); in brackets after Holm over {tests} and over {tests}. If the "
        f"second is below {ALPHA:g} after Holm the word is equivalent; else, if the first is, "
        "better or worse (bold); else undecided, with the number of seeds in all that would "
        f"decide with {100 * POWER:g} % chance, were the estimates the truth: a rough guess from "
        "few. An interval is of one comparison alone and p is adjusted for all, so an interval "
        "clear of zero may still be undecided."
    )
    head = reference if forward else f"minus {reference}"
    columns = (head, *map(words.column, results.targets), "paired replicates")
    return table("differences", caption, columns, rows)


def _comparison_cell(comparison: Comparison) -> TableCell:
    c = comparison
    tests = ("differ", c.differs), ("equivalent", c.equal)
    if any(test.raw is None for _, test in tests):
        return difference_cell(c.difference, c.metric, TOO_FEW)
    notes = [f"{name}: {words.p_by_holm(test.raw or 0, test.p or 0)}" for name, test in tests]
    decided = c.word != "undecided"
    notes.append(c.word if decided else f"{c.word}; {needed_in_words(c.needed)}")
    return difference_cell(c.difference, c.metric, *notes, strong=c.word in ("better", "worse"))


def joint_table(results: StudyResults, verdicts: Sequence[JointVerdict]) -> Table | None:
    """The reference and other arms on all tasks at once; None where nothing was compared."""
    if not verdicts:
        return None
    reference, forward = results.study.reference, reference_first(results.study)
    rows = (
        (
            f"against {pair.other}" if forward else pair.arm,
            TableCell(pair.of.verdict, strong=pair.of.verdict != "undecided"),
            *(words.p(pair.of.p[region]) for region in REGIONS),
        )
        for pair in verdicts
    )
    who = (
        f"{reference} against every other arm"
        if forward
        else f"Every other arm against {reference}"
    )
    caption = (
        f"{who} on {words.listed(results.task_names)} at once. Dominates: a gain of more than "
        f"the margin ({within_margin(scales_of(results))}) on a task and no loss of more than it "
        "on any; dominated: the reverse; seesaw: a gain on one task and a loss on another; "
        "equivalent: less than the margin on all. Under each: p of a test that shows it, put "
        "together from tests task by task. A verdict needs p below "
        f"{words.number(verdicts[0].of.alpha, 2)}: {ALPHA:g} over the number of pairs "
        "(Bonferroni)."
    )
    head = reference if forward else f"against {reference}"
    return table("joint", caption, (head, "verdict", *REGIONS), rows)


def seesaw_table(summary: SeesawSummary) -> Table:
    """The differences of the seesaw figure: one line for each model and setting."""
    rows = (
        (
            f"{first.model} @ {setting}",
            *(
                difference_cell(lines[m].estimates[k], scale.metric)
                for scale, lines in zip(summary.scales, summary.lines, strict=True)
            ),
        )
        for m, first in enumerate(summary.lines[0])
        for k, setting in enumerate(summary.settings)
    )
    targets = [scale.target for scale in summary.scales]
    caption = (
        f"Test {words.measured(targets)} minus that of {summary.reference} on the same data, by "
        f"{summary.knob}: mean [95 % interval] over paired replicates."
        f"{words.less_is_better(targets)}"
    )
    columns = (f"model @ {summary.knob}", *map(words.column, targets))
    return table("gains", caption, columns, rows)


# A factorial


def effects_table(results: StudyResults) -> Table | None:
    """Main effects and two-way interactions on each target.

    None with fewer than two seeds, or where fewer than two arms of the factorial are trained.
    """
    study, scores = results.study, results.test
    arms = {arm.name for arm in crossed(study)} & set(scores.trained)
    if len(scores.paired) < 2 or len(arms) < 2:
        return None
    by_term: dict[tuple[str, ...], list[TableCell]] = {}
    for target in scores.targets:
        for effect in effects(effects_frame(study, scores, target.key)):
            cell = _effect_cell(effect, METRICS[target.metric])
            by_term.setdefault(effect.factors, []).append(cell)
    caption = (
        "Main effects and two-way interactions: analysis of variance (type II) with seeds as "
        "blocks, over the arms that cross the factors. Spread: the largest minus the smallest "
        f"effect, in {words.measured(scores.targets)}. Share: the part of the variance within "
        "seeds. The p-values are for reading, not for the claims: they are not adjusted and know "
        "nothing of the test set."
    )
    rows = ((" x ".join(term), *cells) for term, cells in by_term.items())
    return table("effects", caption, ("factor", *map(words.column, scores.targets)), rows)


def effects_frame(study: Study, scores: Scores, key: str) -> pd.DataFrame:
    """The tidy frame that `effects` reads, of a study whose arms combine the factors' values."""
    rows = [
        {axis: str(value) for axis, value in arm.params} | {BLOCK: replicate, VALUE: float(figure)}
        for arm in crossed(study)
        if arm.name in scores.arms
        for replicate, figure in zip(scores.replicates, scores.of(arm.name, key), strict=True)
    ]
    return pd.DataFrame(rows)


def _effect_cell(effect: FactorEffect, metric: Metric) -> TableCell:
    notes = (f"share {words.percent(effect.share)}", words.p(effect.p))
    return TableCell(words.decimals(effect.spread, metric.digits + 1), notes)


# Other figures


class OtherFigure(NamedTuple):
    """A column of what else was measured."""

    heading: str
    task: str
    scores: Scores

    @property
    def is_told(self) -> bool:
        """Whether some arm has it."""
        return any(self.scores.has(arm, self.task) for arm in self.scores.arms)

    def cell(self, arm: str) -> TableCell:
        """An arm's mean."""
        return interval_cell(self.scores.mean(arm, self.task), self.scores.metric(self.task))


def other_tables(results: StudyResults) -> tuple[Table, ...]:
    """What else was measured on test at the chosen epochs; one a metric if they are wide."""
    kinds = list(_other_figures(results))
    wanted = list(chain.from_iterable(kinds))
    told = sum(figure.is_told for figure in wanted)
    if not told:
        return ()
    if told <= WIDE:
        return (_other_table(results, "others", wanted),)
    wide = (kind for kind in kinds if any(figure.is_told for figure in kind))
    return tuple(_other_table(results, f"others-{n}", kind) for n, kind in enumerate(wide, 1))


def _other_table(results: StudyResults, key: str, wanted: Sequence[OtherFigure]) -> Table:
    figures = [figure for figure in wanted if figure.is_told]
    absent = [figure.heading for figure in wanted if not figure.is_told]
    gaps = not all(f.scores.has(arm, f.task) for f in wanted for arm in f.scores.arms)
    why = (
        " Where a figure is missing, the arm has no such output, or the test rows do not define "
        "it: none is of that kind, or all of them have one label."
        f"{f' So it is for every arm with {words.listed(absent)}.' if absent else ''}"
    )
    rows = ((arm, *(figure.cell(arm) for figure in figures)) for arm in results.test.arms)
    caption = (
        "Other figures on test at the chosen epochs, mean [95 % interval]."
        f"{words.less_is_better(f.scores.target(f.task) for f in figures)}{why if gaps else ''}"
    )
    return table(key, caption, (results.study.factor, *(f.heading for f in figures)), rows)


def _other_figures(results: StudyResults) -> Iterator[list[OtherFigure]]:
    """Metrics that are not a task's own, each for the tasks that have it, calibration and means
    over groups that are not known left out; then each task's own on rows that are new."""
    found = set(results.measurements["metric"])
    for metric in METRICS.values():
        if metric.calibration or (metric.group and metric.name not in found):
            continue
        scores = at_chosen(results, "test", metric.name)
        others = [task.name for task in results.tasks if task.metric != metric.name]
        yield [OtherFigure(f"{metric.label}, {name}", name, scores) for name in others]
    scores = at_chosen(results, "test_unseen")
    yield [
        OtherFigure(
            f"{scores.metric(name).label} on test rows not seen in train, {name}", name, scores
        )
        for name in results.task_names
    ]


def inner_table(results: StudyResults) -> Table | None:
    """What goes on inside: gate entropy and dead units; None where neither was recorded."""
    entropy, dead = at_chosen(results, "valid", "gate_entropy"), _dead_units(results)
    tasks = results.task_names
    rows = [
        (
            arm,
            *(_entropy_cell(entropy, arm, task) for task in tasks),
            words.percent(dead[arm]) if arm in dead else words.DASH,
        )
        for arm in results.test.arms
        if arm in dead or any(entropy.has(arm, task) for task in tasks)
    ]
    if not rows:
        return None
    caption = (
        "Inside, at the chosen epochs. Entropy of a gate's weights over its largest value, mean "
        "[95 % interval] over replicates: 1 means equal weights for all experts, 0 one expert "
        "alone. Dead units: hidden units of experts or bottom that are 0 on every row looked at, "
        "mean over replicates, at the later of the chosen epochs."
    )
    columns = (results.study.factor, *(f"gate entropy, {task}" for task in tasks), "dead units")
    return table("inside", caption, columns, rows)


def _entropy_cell(entropy: Scores, arm: str, task: str) -> TableCell:
    estimate = mean_interval(entropy.of(arm, task), within=(0.0, 1.0))
    return TableCell(
        words.decimals(estimate.mean, 4), tuple(filter(None, [words.bounds(estimate)]))
    )


def _dead_units(results: StudyResults) -> Mapping[str, float]:
    """Arm -> their share."""
    frame = results.measurements
    rows = frame[(frame["metric"] == "dead_units") & (frame["task"] == ALL)]
    last = {
        (run["arm"], run["replicate"]): max((run["chosen_epochs"] or {"": 0}).values())
        for run in results.done.to_dict("records")
    }
    shares: dict[str, list[float]] = {}
    for row in rows.to_dict("records"):
        if last.get((row["arm"], row["replicate"])) == row["epoch"]:
            shares.setdefault(row["arm"], []).append(row["value"])
    return {arm: float(np.mean(values)) for arm, values in shares.items()}


# The configuration


def base_table(results: StudyResults) -> Table:
    """The configuration, and where arms differ."""
    rows = []
    for field in fields(FSMDConfig):
        values = {a.name: words.plain(getattr(a.config, field.name)) for a in results.planned}
        varied = len(set(values.values())) > 1
        text = _by_value(values) if varied else next(iter(values.values()))
        rows.append((field.name, TableCell(text, strong=varied)))
    rows.sort(key=lambda row: not row[1].strong)  # what is varied comes first
    caption = "The configuration. Bold: what differs between arms; every arm shares the rest."
    return table("configuration", caption, ("setting", "value"), rows)


def _by_value(values: Mapping[str, str]) -> str:
    """`8: base, fs; 4: ple`; an arm that is called as its value is named once."""
    grouped: dict[str, list[str]] = {}
    for name, value in values.items():
        grouped.setdefault(value, []).append(name)
    if len(values) > NAMED or all(names == [value] for value, names in grouped.items()):
        return words.listed(grouped)
    return words.by_key(grouped.items())
