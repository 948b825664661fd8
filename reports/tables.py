"""The report's tables, each a pure function of what was read."""

from collections.abc import Mapping
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from reports import facts, paper, words
from reports.contrasts import Contrast, contrasts, needed_in_words
from reports.effects import Effect, effects, effects_frame
from reports.estimates import ALPHA, TOO_FEW, holm, mean_interval, p_value
from reports.evidence import Question
from reports.figures.seesaw import SeesawSummary
from reports.joint import REGIONS, PairVerdict
from reports.model import Cell, Table
from reports.results import MEAN, Scores, StudyResults, at_chosen
from reports.shape import MANY, crossed, leads
from reports.verdicts import Comparison, families
from search_spaces import Level
from studies.definition import Study

NAMED = 12
"""More levels than this are not listed beside each value of a setting."""

OTHER_FIGURES = (
    ("log loss", "test", "log_loss"),
    ("calibration error", "test", "calibration_error"),
    ("pCVR AUC among clicked rows", "test", "conditional_auc"),
    ("AUC on test rows not seen in train", "test_unseen", "auc"),
)


def level_table(results: StudyResults, scores: Scores) -> Table:
    """Mean test AUC of each level beside the paper's, its cost, and when validation stopped it."""
    many = len(scores.levels) > MANY
    best = {} if many else {t: significantly_best(scores, t) for t in scores.targets}
    published = paper.numbers(results.definition.figure)
    told = arm_notes(results.definition)
    rows = []
    for level in scores.levels:
        runs = _done(results, level)
        cells = [
            _auc_cell(results, scores, level, target, best.get(target) == level)
            for target in scores.targets
        ]
        printed = published.get(level, ("",) * 3) if published else ()
        rows.append((
            Cell(level, told.get(level, ())), *cells,
            *(Cell(words.printed(value)) for value in printed),
            *_costs(results, runs), Cell(str(len(runs))),
        ))  # fmt: skip
    columns = [f"AUC, {_name(target)}" for target in scores.targets]
    beside = [f"paper, {name}" for name in _paper_tasks(results)] if published else []
    reachable = " The last line is the distance to the best reachable AUC." if (
        results.reachable) else ""  # fmt: skip
    bold = "" if many else (
        " Bold: better than every other level, each paired difference "
        "significant at 5 % after Holm over all pairs of levels."
    )  # fmt: skip
    under = " Below a name: the settings that it stands for." if told else ""
    printed_once = (
        " The paper's figures are of one run each, on its own data." if published else ""
    )
    caption = (
        "Test AUC at the epoch that validation chose: mean [95 % interval] over the level's "
        f"replicates.{under}{reachable}{bold}{printed_once} Seconds and epochs are medians."
    )
    return Table(
        1, caption,
        (results.definition.factor, *columns, *beside, "parameters", "seconds",
         "chosen epoch", "replicates"),
        tuple(rows), "levels",
    )  # fmt: skip


def arm_notes(study: Study) -> Mapping[str, tuple[str, ...]]:
    """Arm -> the settings that set it apart, a line each; empty where the names say them."""
    if all(_says(arm.name, level) for arm in study.arms for _, level in arm.params):
        return {}
    return {
        arm.name: tuple(f"{axis} {words.plain(level)}" for axis, level in arm.params)
        for arm in study.arms
    }


def _says(name: str, level: Level) -> bool:
    return (f"{level:g}" if isinstance(level, float) else str(level)) in name


def _paper_tasks(results: StudyResults) -> tuple[str, ...]:
    source = next(s for s in paper.sources(results.definition.figure) if s.numbers)
    return (*source.tasks, "mean")


def significantly_best(scores: Scores, target: str) -> str | None:
    """The level that beats every other one, after Holm over all pairs; None if there is none."""
    pairs = list(combinations(scores.trained, 2))
    differences = [scores.difference(a, b, target) for a, b in pairs]
    adjusted = holm([p_value(d) for d in differences])
    beaten: dict[str, int] = dict.fromkeys(scores.trained, 0)
    for (a, b), d, p in zip(pairs, differences, adjusted, strict=True):
        if p is not None and p < ALPHA:
            beaten[a if d.mean > 0 else b] += 1
    winners = [level for level, count in beaten.items() if count == len(beaten) - 1 > 0]
    return winners[0] if winners else None


def difference_table(
    results: StudyResults, scores: Scores, made: Mapping[Question, Comparison]
) -> Table | None:
    """The reference and every other level; None if nothing can be paired."""
    study, forward = results.definition, leads(results.definition)
    found = contrasts(study, scores, made)
    by_pair: dict[tuple[str, str], dict[str, Contrast]] = {}
    for contrast in found:
        by_pair.setdefault((contrast.level, contrast.other), {})[contrast.target] = contrast
    rows = tuple(
        (
            Cell(f"minus {other}" if forward else level),
            *(_difference_cell(known[target]) for target in scores.targets),
            Cell(str(known[MEAN].difference.n)),
        )
        for (level, other), known in by_pair.items()
    )
    if not rows:
        return None
    sizes, margin = families(made), study.margin
    what = (
        f"Test AUC of {study.reference} minus every other level's"
        if forward
        else f"Test AUC of every other level minus that of {study.reference}"
    )
    ahead = study.reference if forward else "the level"
    caption = (
        f"{what}: mean and 95 % interval over {facts.sources(scores)}; above zero {ahead} leads. "
        f"Below them p of a test that the two differ, and of two one-sided tests that they differ "
        f"by less than {margin:g}; in brackets after Holm over "
        f"{words.count(sizes.difference, 'test')} and over "
        f"{words.count(sizes.equivalence, 'test')}. If the second is below {ALPHA:g} after Holm "
        "the word is equivalent; else, if the first is, better or worse (bold); else undecided, "
        "with the number of seeds in all that would decide with 80 % chance, were the estimates "
        "the truth: a rough guess from few. An interval is of one comparison alone and p is "
        "adjusted for all, so an interval clear of zero may still be undecided."
    )
    head = study.reference if forward else f"minus {study.reference}"
    columns = tuple(f"AUC, {_name(target)}" for target in scores.targets)
    return Table(0, caption, (head, *columns, "paired replicates"), rows, "differences")


def _difference_cell(contrast: Contrast) -> Cell:
    estimate = contrast.difference
    tests = ("differ", contrast.differs), ("equivalent", contrast.equal)
    if any(made.raw is None for _, made in tests):
        return Cell(words.signed(estimate.mean), (TOO_FEW,))
    decided = contrast.word != "undecided"
    notes = (
        words.bounds(estimate, 5, sign=True),
        *(f"{name}: {words.p_by_holm(made.raw or 0, made.p or 0)}" for name, made in tests),
        contrast.word if decided else f"{contrast.word}; {needed_in_words(contrast.needed)}",
    )  # fmt: skip
    return Cell(words.signed(estimate.mean), notes, contrast.word in ("better", "worse"))


def joint_table(results: StudyResults, pairs: tuple[PairVerdict, ...]) -> Table | None:
    """The reference and other levels on both tasks at once; None if none can be."""
    known = [pair for pair in pairs if pair.probabilities]
    if not known:
        return None
    reference, margin = results.definition.reference, results.definition.margin
    forward = leads(results.definition)
    first, second = results.tasks
    rows = tuple(
        (
            Cell(f"against {pair.other}" if forward else pair.level),
            Cell(pair.verdict, strong=pair.verdict != "undecided"),
            *(Cell(words.probability(pair.probabilities[region])) for region in REGIONS),
        )
        for pair in known
    )
    who = (
        f"{reference} against every other level" if forward
        else f"Every other level against {reference}"
    )  # fmt: skip
    head = reference if forward else f"against {reference}"
    caption = (
        f"{who} on {first} and {second} at once, from the joint "
        f"distribution of both mean differences. Dominates: a gain of {margin:g} or more on a "
        "task and no loss of as much on the other; dominated: the reverse; seesaw: a gain on one "
        "and a loss on the other; equivalent: less than that on both. Under each: its posterior "
        "probability, from a prior without information. A verdict needs "
        f"{known[0].threshold:.4g}: 0.95, adjusted for the number of pairs (Bonferroni). "
        f"Dominates and dominated need {known[0].by_a_task:.4g} for a gain or a loss on "
        "one task that can be named, as either task may bring it."
    )
    return Table(0, caption, (head, "verdict", *REGIONS), rows, "joint")


def other_table(results: StudyResults, scores: Scores) -> Table:
    """Table 4: what else was measured on test at the chosen epochs."""
    figures = []
    for label, split, metric in OTHER_FIGURES:
        found = at_chosen(results, split, metric)
        for task in results.tasks:
            if np.isfinite([found.of(level, task) for level in scores.levels]).any():
                name = label if metric == "conditional_auc" else f"{label}, {task}"
                figures.append((name, task, found))
    rows = tuple(
        (Cell(level), *(_value_cell(found, level, task) for _, task, found in figures))
        for level in scores.levels
    )
    caption = (
        "Other figures on test at the chosen epochs, mean [95 % interval]. Log loss and the "
        "expected calibration error (15 bins): smaller is better."
    )
    factor = results.definition.factor
    return Table(3, caption, (factor, *(name for name, _, _ in figures)), rows, "others")


def inner_table(results: StudyResults, scores: Scores) -> Table | None:
    """What goes on inside: gate entropy and dead units; None where neither was recorded."""
    entropy = at_chosen(results, "valid", "gate_entropy")
    dead = _dead_units(results)
    rows = tuple(
        (
            Cell(level),
            *(_value_cell(entropy, level, task) for task in results.tasks),
            Cell(words.percent(dead[level]) if level in dead else words.DASH),
        )
        for level in scores.levels
        if level in dead or np.isfinite([entropy.of(level, t) for t in results.tasks]).any()
    )
    if not rows:
        return None
    caption = (
        "Inside, at the chosen epochs. Entropy of a gate's weights over its largest value, mean "
        "[95 % interval] over replicates: 1 means equal weights for all experts, 0 one expert "
        "alone. Dead units: hidden units of experts or bottom that are 0 on every row looked at, "
        "mean over replicates, at the later of the chosen epochs."
    )
    columns = (*(f"gate entropy, {task}" for task in results.tasks), "dead units")
    return Table(0, caption, (results.definition.factor, *columns), rows, "inside")


def _dead_units(results: StudyResults) -> Mapping[str, float]:
    frame = results.measurements
    rows = frame[(frame["metric"] == "dead_units") & (frame["task"] == "all")]
    done = results.runs[results.runs["status"] == "done"]
    last = {
        (run["level"], run["replicate"]): max((run["chosen_epochs"] or {0: 0}).values())
        for run in done.to_dict("records")
    }
    found: dict[str, list[float]] = {}
    for row in rows.to_dict("records"):
        if last.get((row["level"], row["replicate"])) == row["epoch"]:
            found.setdefault(row["level"], []).append(row["value"])
    return {level: float(np.mean(values)) for level, values in found.items()}


def effects_table(results: StudyResults, scores: Scores) -> Table | None:
    """Main effects and two-way interactions on each target.

    None with fewer than two seeds, or where fewer than two arms of the factorial are trained.
    """
    arms = {arm.name for arm in crossed(results.definition)} & set(scores.trained)
    if len(scores.paired) < 2 or len(arms) < 2:
        return None
    found = {
        target: effects(effects_frame(results.definition, scores, target))
        for target in scores.targets
    }
    by_term: dict[tuple[str, ...], list[Cell]] = {}
    for made in found.values():
        for effect in made:
            by_term.setdefault(effect.factors, []).append(_effect_cell(effect))
    caption = (
        "Main effects and two-way interactions: analysis of variance (type II) with seeds as "
        "blocks, over the arms that cross the factors. Spread: the largest minus the smallest "
        "effect, in AUC. Share: the part of the variance within seeds. The p-values are for "
        "reading, not for the claims: they are not adjusted and know nothing of the test set."
    )
    rows = tuple((Cell(" x ".join(term)), *cells) for term, cells in by_term.items())
    columns = ("factor", *(f"AUC, {_name(target)}" for target in scores.targets))
    return Table(0, caption, columns, rows, "effects")


def _effect_cell(effect: Effect) -> Cell:
    notes = (f"share {words.percent(effect.share)}", words.p(effect.p))
    return Cell(f"{effect.spread:.5f}", notes)


def seesaw_table(summary: SeesawSummary) -> Table:
    """The gains of the seesaw figure: one line for each model and setting."""
    rows = []
    for m, first in enumerate(summary.lines[0]):
        for k, setting in enumerate(summary.settings):
            estimates = [lines[m].estimates[k] for lines in summary.lines]
            rows.append((
                Cell(f"{first.model} @ {setting}"),
                *(Cell(words.signed(e.mean) if e.n else words.DASH,
                       tuple(filter(None, [words.bounds(e, 5, sign=True)]))) for e in estimates),
            ))  # fmt: skip
    caption = (
        f"Gain in test AUC over {summary.reference} on the same data, by {summary.knob}: mean "
        "[95 % interval] over paired replicates."
    )
    columns = tuple(f"AUC, {_name(target)}" for target in summary.targets)
    return Table(0, caption, (f"model @ {summary.knob}", *columns), tuple(rows), "gains")


def base_table(results: StudyResults) -> Table:
    """Table 5: the configuration, and where levels differ."""
    arms: Mapping[str, Mapping[str, Any]] = results.record.settings["arms"]
    configs = {name: arm["config"] for name, arm in arms.items()}
    rows = []
    for field in next(iter(configs.values())):
        values = {name: words.plain(config[field]) for name, config in configs.items()}
        varied = len(set(values.values())) > 1
        text = _by_value(values) if varied else next(iter(values.values()))
        rows.append((Cell(str(field)), Cell(text, strong=varied)))
    rows.sort(key=lambda row: not row[1].strong)  # what is varied comes first
    return Table(
        4, "The configuration. Bold: what differs between levels; every level shares the rest.",
        ("setting", "value"), tuple(rows), "configuration",
    )  # fmt: skip


def _by_value(values: Mapping[str, str]) -> str:
    """`8: base, fs; 4: ple`; a level of its own name is told once."""
    grouped: dict[str, list[str]] = {}
    for name, value in values.items():
        grouped.setdefault(value, []).append(name)
    if len(values) > NAMED or all(names == [value] for value, names in grouped.items()):
        return words.listed(grouped)
    return "; ".join(f"{value}: {', '.join(names)}" for value, names in grouped.items())


def _auc_cell(
    results: StudyResults, scores: Scores, level: str, target: str, strong: bool
) -> Cell:
    estimate = mean_interval(scores.of(level, target))
    reachable = results.reachable_at(level).get(target)
    notes = [words.bounds(estimate)]
    if reachable is not None and estimate.n:
        notes.append(f"{words.signed(estimate.mean - reachable, 4)} to best")
    return Cell(words.auc(estimate.mean), tuple(filter(None, notes)), strong)


def _value_cell(found: Scores, level: str, task: str) -> Cell:
    estimate = mean_interval(found.of(level, task))
    return Cell(words.auc(estimate.mean), tuple(filter(None, [words.bounds(estimate)])))


def _costs(results: StudyResults, runs: pd.DataFrame) -> tuple[Cell, Cell, Cell]:
    if runs.empty:
        return Cell(words.DASH), Cell(words.DASH), Cell(words.DASH)
    parameters = sorted({int(count) for count in runs["parameters"]})
    epochs = [
        f"{np.median([chosen.get(task, np.nan) for chosen in runs['chosen_epochs']]):g}"
        for task in results.tasks
    ]
    seconds = float(runs["seconds"].median())
    return (
        Cell(" to ".join(f"{count:,}" for count in parameters)),
        Cell(f"{seconds:.1f}"),
        Cell(epochs[0] if len(set(epochs)) == 1 else " / ".join(epochs)),
    )


def _done(results: StudyResults, level: str) -> pd.DataFrame:
    runs = results.runs
    return runs[(runs["status"] == "done") & (runs["level"] == level)]


def _name(target: str) -> str:
    return "mean of both" if target == MEAN else target
