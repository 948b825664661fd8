"""The tables of a study's report, each a pure function of what was read and found."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from itertools import chain, groupby
from statistics import median_low
from typing import NamedTuple

import numpy as np
import pandas as pd

from fsmd.baselines import Baseline
from fsmd.config import FSMDConfig
from fsmd.metrics import METRICS, Metric
from fsmd.stats.anova import BLOCK, VALUE, FactorEffect, effects
from fsmd.stats.estimates import TOO_FEW, mean_interval, over_samples
from fsmd.stats.joint import REGIONS
from fsmd.stats.power import POWER
from fsmd.tasks import ALL, Target
from reports import ran, words
from reports.page.cells import difference_cell, interval_cell, table
from reports.page.model import Table, TableCell
from reports.pairs import Comparison
from reports.results import FinishedRun, Scores, StudyResults, at_chosen
from reports.standing import Leaderboard
from reports.study import paper
from reports.study.comparisons import needed_in_words
from reports.study.figures.seesaw import SeesawSummary
from reports.study.joint import JointVerdict
from reports.study.scales import scales_of, who_leads, within_margin
from reports.study.shape import crossed, reference_first
from reports.study.verdicts import Judged
from search_spaces import Value
from studies.definition import Study

NAMED = 12
"""More arms than this are not listed beside each value of a setting."""
LISTED = 100
"""More values of a setting are counted, not told: the PDF takes half a minute for ten thousand."""
WIDE = 9
"""Columns of figures above which each figure has a table of its own."""


# Arms


def paper_columns(results: StudyResults) -> tuple[tuple[str, ...], Mapping[str, tuple[str, ...]]]:
    """Headings of the paper's own figures, and these by arm; empty where it has none."""
    source = paper.table(results.study.figure)
    if source is None:
        return (), {}
    unknown = (float("nan"),) * len(source.columns)
    figures = {arm: source.numbers.get(arm, unknown) for arm in results.test.arms}
    return (
        tuple(f"paper, {name}" for name in source.columns),
        {
            arm: tuple(words.decimals(value, paper.DIGITS) for value in printed)
            for arm, printed in figures.items()
        },
    )


def arm_table(results: StudyResults, board: Leaderboard) -> Table:
    """Every arm by itself: means where the leaderboard lacks some, and what is left to reach."""
    scores = results.test
    targets = scores.targets if board.left_out else ()
    reached = scores.targets if results.reachable() else ()
    rows = []
    for arm in scores.arms:
        runs = results.finished.get(arm, ())
        means = (interval_cell(scores.mean(arm, t.key), METRICS[t.metric]) for t in targets)
        left = (_to_best(results, arm, target) for target in reached)
        rows.append((arm, *means, *left, *_costs(results, runs), len(runs)))
    said = f"Test {words.measured(targets)} over each arm's own replicates [95 % interval]."
    caption = f"{said if targets else ''} Seconds and epochs are medians.".strip()
    columns = (
        results.study.factor,
        *map(words.column, targets),
        *(f"{words.column(target)}, minus the best reachable" for target in reached),
        *("parameters", "training seconds", "chosen epoch", "replicates"),
    )
    return table("arms", caption, columns, rows)


def _to_best(results: StudyResults, arm: str, target: Target) -> str:
    """An arm's mean minus the best that any model can have on its data."""
    mean, best = results.test.mean(arm, target.key).mean, results.reachable(arm).get(target.key)
    if best is None or mean != mean:
        return words.DASH
    return words.signed(mean - best, METRICS[target.metric].digits)


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


def _costs(results: StudyResults, runs: Sequence[FinishedRun]) -> tuple[str, str, str]:
    """Parameters, seconds and chosen epoch of an arm's finished trainings."""
    if not runs:
        return words.DASH, words.DASH, words.DASH
    chosen = [run.chosen_epochs for run in runs if run.chosen_epochs]
    by_task = ([each[task] for each in chosen if task in each] for task in results.task_names)
    epochs = [str(median_low(of_task)) if of_task else words.DASH for of_task in by_task]
    return (
        " to ".join(f"{count:,}" for count in sorted({int(run.parameters) for run in runs})),
        f"{median_low(run.seconds for run in runs):.1f}",
        epochs[0] if len(set(epochs)) == 1 else " / ".join(epochs),
    )


# Differences


def difference_table(
    results: StudyResults, comparisons: Sequence[Comparison], joint: Sequence[JointVerdict]
) -> Table | None:
    """The reference and every other arm, and what all tasks together say; None without a pair."""
    reference, forward = results.study.reference, reference_first(results.study)
    made = [comparison for comparison in comparisons if comparison.difference.n]
    if not made:
        return None
    together = {(pair.arm, pair.other): pair.of.verdict for pair in joint}
    rows = (
        (
            _pair_cell(arm, other, forward),
            *map(_comparison_cell, pair),
            *([together.get((arm, other), words.DASH)] if together else []),
            pair[0].difference.n,
        )
        for (arm, other), of_pair in groupby(made, key=lambda c: (c.arm, c.other))
        for pair in [list(of_pair)]
    )
    leads = who_leads(scales_of(results), reference if forward else "the arm", ("above", "below"))
    caption = (
        f"Difference of test {words.measured(results.targets)} [95 % interval over "
        f"{ran.sources(results)}]; {leads}. The words are after "
        "adjustment over all of them, so an interval clear of zero may be undecided."
    )
    head = reference if forward else f"minus {reference}"
    all_tasks = ["all tasks"] if together else []
    columns = (head, *map(words.column, results.targets), *all_tasks, "paired replicates")
    return table("differences", caption, columns, rows)


def other_logs_table(results: StudyResults, comparisons: Sequence[Comparison]) -> Table | None:
    """The differences with intervals for other training logs; None where all rows are trained on,
    or below two replicates."""
    forward = reference_first(results.study)
    known = [c for c in comparisons if c.difference.se_seeds is not None]
    if not results.record.plan.halves or not known:
        return None
    rows = (
        (
            _pair_cell(arm, other, forward),
            *map(_other_logs_cell, pair),
        )
        for (arm, other), of_pair in groupby(known, key=lambda c: (c.arm, c.other))
        for pair in [list(of_pair)]
    )
    caption = (
        "Other logs: as above, but each 95 % interval is for other training logs of this kind: "
        "replicates are halves of one log, which another would move together. All scatter over "
        "replicates counts as that of halves, so intervals are too wide where seeds are most of "
        "it, and more replicates hardly make them narrower. Bold: clear of zero, each by itself."
    )
    head = results.study.reference if forward else f"minus {results.study.reference}"
    columns = (head, *map(words.column, results.targets))
    return table("other_logs", caption, columns, rows)


def _other_logs_cell(comparison: Comparison) -> TableCell:
    metric = comparison.metric
    reach = metric.high - metric.low
    found = over_samples(comparison.difference, (-reach, reach))
    clear = found.low is not None and found.high is not None and found.low * found.high > 0
    return difference_cell(found, metric, strong=clear)


def _pair_cell(arm: str, other: str, forward: bool) -> TableCell:
    """Under the heading `reference` or `minus reference`."""
    return TableCell(f"minus {other}", arm=other) if forward else TableCell(arm)


def _comparison_cell(comparison: Comparison) -> TableCell:
    c = comparison
    word = TOO_FEW if c.differs.raw is None else c.word
    return difference_cell(c.difference, c.metric, word, strong=c.word in ("better", "worse"))


def tests_table(results: StudyResults, comparisons: Sequence[Comparison]) -> Table | None:
    """The p-values behind the words of the table of differences; None where nothing was tested."""
    made = [comparison for comparison in comparisons if comparison.differs.raw is not None]
    if not made:
        return None
    rows = (
        (
            f"{c.arm} minus {c.other}, {c.target.key}",
            *(words.p_alone(p or 0.0) for test in (c.differs, c.equal) for p in test[:2]),
            c.word,
            words.DASH if c.word != "undecided" else needed_in_words(c.needed),
        )
        for c in made
    )
    caption = (
        "p that two arms differ, and that they do by less than the margin "
        f"({within_margin(scales_of(results))}); adjusted over "
        f"{words.count(made[0].tests, 'test')} each: the first for a shared reference, the second "
        f"by Holm. To decide: what would with {100 * POWER:g} % "
        "chance, a rough guess."
    )
    columns = (
        *("difference", "differ", "differ, adjusted", "equivalent", "equivalent, Holm"),
        *("word", "to decide"),
    )
    return table("tests", caption, columns, rows)


def joint_table(results: StudyResults, verdicts: Sequence[JointVerdict]) -> Table | None:
    """The p-values of all tasks at once; None where nothing was compared."""
    if not verdicts:
        return None
    rows = (
        (
            f"{pair.arm} against {pair.other}",
            TableCell(pair.of.verdict, strong=pair.of.verdict != "undecided"),
            *(words.p_alone(pair.of.p[region]) for region in REGIONS),
        )
        for pair in verdicts
    )
    caption = (
        f"All tasks at once: p that shows each word. It needs p below "
        f"{words.number(verdicts[0].of.alpha, 2)}, the look's level over the number of pairs."
    )
    return table("joint", caption, ("pair", "all tasks", *REGIONS), rows)


def claim_table(judged: Sequence[Judged]) -> Table | None:
    """The p-values of the claims; None without any."""
    if not judged:
        return None
    rows = (
        (j.claim.id, j.verdict, *map(words.p_alone, (*j.alone, j.p_holds, j.p_fails)))
        for j in judged
    )
    caption = (
        "One-sided p of each claim: that it holds, that it fails; alone, and after Holm over "
        f"{words.count(len(judged), 'claim')}, two each."
    )
    heads = (f"{side}, {how}" for how in ("alone", "Holm") for side in ("holds", "fails"))
    return table("claims", caption, ("claim", "verdict", *heads), rows)


def seesaw_table(summary: SeesawSummary) -> Table:
    """The differences of the seesaw figure: one line for each model and setting."""
    rows = (
        (
            TableCell(f"{first.model} @ {setting}", arm=first.arms[k]),
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
        "Main effects and two-way interactions (analysis of variance, seeds as blocks). Spread: "
        f"the largest minus the smallest effect, in {words.measured(scores.targets)}; share: of "
        "the variance within seeds; p: not adjusted, without the test set's part."
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
        " A figure is missing where the arm has no such output or the test rows do not define it."
        f"{f' So it is for every arm with {words.listed(absent)}.' if absent else ''}"
    )
    rows = ((arm, *(figure.cell(arm) for figure in figures)) for arm in results.test.arms)
    caption = (
        "On test at the chosen epochs, mean [95 % interval]."
        f"{words.less_is_better(f.scores.target(f.task) for f in figures)}{why if gaps else ''}"
    )
    return table(key, caption, (results.study.factor, *(f.heading for f in figures)), rows)


def _other_figures(results: StudyResults) -> Iterator[list[OtherFigure]]:
    """Metrics that are not a task's own, each for the tasks that have it, calibration and means
    over groups that are not known left out; then each task's own on rows that are new."""
    for metric in METRICS.values():
        if metric.calibration or (metric.group and metric.name not in results.measured):
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
        "At the chosen epochs, mean [95 % interval]. Gate entropy: 1 means equal weights for all "
        "experts, 0 one alone. Dead units: hidden units of experts or bottom that are 0 on every "
        "row looked at."
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
    at = results.place_of(rows)
    last_AR = np.max([*results.chosen_AR.values()], axis=0)
    is_last_N = last_AR[at] == rows["epoch"].to_numpy()
    shares = rows[is_last_N].groupby("arm", observed=True)["value"].mean()
    return {str(arm): float(share) for arm, share in shares.items()}


# The configuration


def base_table(results: StudyResults) -> Table:
    """The configuration, and where arms differ."""
    rows = []
    networks = [arm for arm in results.planned if isinstance(arm.config, FSMDConfig)]
    for field in fields(FSMDConfig) if networks else ():
        values = {a.name: words.plain(getattr(a.config, field.name)) for a in networks}
        varied = len(set(values.values())) > 1
        text = _by_value(values) if varied else next(iter(values.values()))
        rows.append((field.name, TableCell(text, strong=varied)))
    rows.sort(key=lambda row: not row[1].strong)  # what is varied comes first
    simple = {a.name: a.config for a in results.planned if isinstance(a.config, Baseline)}
    rows += [(name, TableCell(_settings(own), strong=True)) for name, own in simple.items()]
    caption = "The configuration. Bold: what differs between arms."
    if simple:
        caption += " Baselines share none of it, and stand last with their own settings."
    return table("configuration", caption, ("setting", "value"), rows)


def _settings(baseline: Baseline) -> str:
    """`learning_rate 0.1, leaves 31`."""
    own = ((name, value) for name, value in asdict(baseline).items() if value is not None)
    return ", ".join(f"{name} {words.plain(value)}" for name, value in own)


def _by_value(values: Mapping[str, str]) -> str:
    """`8: base, fs; 4: ple`; an arm that is called as its value is named once.

    >>> _by_value({f"arm {i}": str(i) for i in range(1000)})
    '1,000 values'
    """
    grouped: dict[str, list[str]] = {}
    for name, value in values.items():
        grouped.setdefault(value, []).append(name)
    if len(grouped) > LISTED:
        return words.count(len(grouped), "value")
    if len(values) > NAMED or all(names == [value] for value, names in grouped.items()):
        return words.listed(grouped)
    return words.by_key(grouped.items())
