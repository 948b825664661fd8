"""Puts the report together: results -> ReportModel."""

from dataclasses import dataclass
from typing import Any

from matplotlib.figure import Figure

from fsmd.errors import UserError
from reports import facts, tables, words
from reports.figures import curves, differences, levels
from reports.figures.style import to_svg
from reports.model import ClaimView, FailureView, FigureView, ReportModel
from reports.results import Scores, StudyResults, auc_on_test
from reports.verdicts import Comparison, Judged, Question, compare, factor_sentences, judge


@dataclass(frozen=True)
class Analysis:
    """What was read and what was found: numbers, before any words or ink."""

    results: StudyResults
    scores: Scores
    comparisons: dict[Question, Comparison]
    judged: tuple[Judged, ...]


def analyse(results: StudyResults) -> Analysis:
    """Judge the study; UserError if no replicate has finished."""
    scores = auc_on_test(results)
    if not scores.trained:
        raise UserError(_nothing_finished(results))
    definition = results.definition
    return Analysis(results, scores, compare(definition, scores), judge(definition, scores))


def _nothing_finished(results: StudyResults) -> str:
    name, command = results.record.name, facts.run_command(results)
    if results.runs.empty:
        return f"study {name!r} has no finished training yet; run it first: {command}"
    first = results.runs.iloc[0]
    return (
        f"study {name!r} has no finished training; {words.count(len(results.runs), 'training')} "
        f"failed, the first with: {first['error']}; mend the cause, then: {command} --retry-failed"
    )


def assemble(analysis: Analysis) -> ReportModel:
    """The whole report as a value."""
    results, scores = analysis.results, analysis.scores
    definition = results.definition
    margin = differences.margin_of(definition)
    return ReportModel(
        study=results.record.name,
        title=definition.title,
        question=definition.question,
        headline=facts.headline(results, scores),
        notices=facts.notices(results, scores),
        claims=tuple(map(_claim, analysis.judged)),
        factor=factor_sentences(definition, scores, margin),
        levels=_levels_figure(results),
        level_table=tables.level_table(results, scores),
        differences=_differences_figure(results),
        difference_table=tables.difference_table(results, scores, analysis.comparisons),
        curves=_curves_figure(results),
        other_table=tables.other_table(results, scores),
        failures=_failures(results),
        facts=facts.what_ran(results),
        base_table=tables.base_table(results),
        commands=facts.commands(results),
        reading=facts.how_to_read(analysis.comparisons, scores, margin),
    )


def _claim(judged: Judged) -> ClaimView:
    claim = judged.claim
    return ClaimView(claim.id, claim.text, claim.source, judged.rule, judged.found,
                     judged.verdict)  # fmt: skip


def _failures(results: StudyResults) -> tuple[FailureView, ...]:
    """Every training that did not finish, in the order of the levels."""
    factor = results.definition.factor
    found = []
    for run in results.runs[results.runs["status"] != "done"].to_dict("records"):
        lost = "; will be tried again" if run["status"] == "lost" else ""
        heading = (
            f"{factor} = {run['level']}, replicate {run['replicate']}, seed {run['seed']}: "
            f"{run['status']} after {words.count(run['attempts'], 'attempt')}{lost}"
        )
        found.append(FailureView(heading, run["error"] or "", run["traceback"] or ""))
    return tuple(found)


def _levels_figure(results: StudyResults) -> FigureView:
    summary = levels.summarize(results)
    caption = (
        f"Test AUC by {summary.factor}, as {results.definition.figure} of the paper, with every "
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
    return _view("levels", 1, caption, f"Test AUC by {summary.factor}. {told}.", levels.draw,
                 summary)  # fmt: skip


def _differences_figure(results: StudyResults) -> FigureView | None:
    summary = differences.summarize(results)
    if not summary.rows[0]:
        return None
    caption = (
        f"Test AUC of {summary.winner}, the paper's winner, minus every other level's, paired "
        "over seeds. Right of zero the paper's winner leads; the band is the margin below which "
        f"a difference matters to nobody (±{summary.margin:g})."
    )
    told = "; ".join(
        f"{target}: "
        + ", ".join(f"minus {row.other} {words.difference(row.estimate)}" for row in rows)
        for target, rows in zip(summary.targets, summary.rows, strict=True)
    )
    alt = f"Paired differences of {summary.winner} to every other level. {told}."
    return _view("differences", 2, caption, alt, differences.draw, summary)


def _curves_figure(results: StudyResults) -> FigureView:
    summary = curves.summarize(results)
    caption = (
        "Validation AUC by epoch: the mean over a level's replicates, up to the last epoch that "
        "all of them reached. Hollow marks: each replicate's chosen epoch, the one that test "
        "figures belong to."
    )
    alt = f"Learning curves of {words.listed(summary.tasks)}, one line a level."
    return _view("curves", 3, caption, alt, curves.draw, summary)


def _view(key: str, number: int, caption: str, alt: str, draw: Any, summary: Any) -> FigureView:
    wide: Figure = draw(summary)
    narrow: Figure = draw(summary, narrow=True)
    return FigureView(key, number, caption, alt, to_svg(wide), to_svg(narrow))
