"""Puts the report together: results -> ReportModel."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fsmd.errors import UserError
from reports import facts, paper, tables, views, words
from reports.contrasts import Contrast, contrasts, detectable_differences, factor_sentences
from reports.evidence import Question
from reports.figures import seesaw
from reports.joint import PairVerdict, pair_verdict
from reports.model import ClaimView, Fact, ReportModel, Section, Table, numbered
from reports.results import Scores, StudyResults, auc_on_test
from reports.shape import MANY, Shape, few, leads, role, shape
from reports.verdicts import Comparison, Judged, compare, judge


@dataclass(frozen=True)
class Analysis:
    """What was read and what was found: numbers, before any words or ink."""

    results: StudyResults
    scores: Scores
    comparisons: dict[Question, Comparison]
    judged: tuple[Judged, ...]
    contrasts: tuple[Contrast, ...]
    pairs: tuple[PairVerdict, ...]


def analyse(results: StudyResults) -> Analysis:
    """Judge the study; UserError if no training has ended yet."""
    if results.runs.empty:
        raise UserError(
            f"study {results.record.name!r} has no finished training yet; run it first: "
            f"{facts.run_command(results)}"
        )
    scores = auc_on_test(results)
    definition = results.definition
    made = compare(definition, scores)
    found = contrasts(definition, scores, made)
    planned = len({(question.level, question.other) for question in made})
    pairs = tuple(
        pair_verdict(scores, *pair, definition.margin, planned)
        for pair in dict.fromkeys((contrast.level, contrast.other) for contrast in found)
    )
    return Analysis(results, scores, made, judge(definition, scores), found, pairs)


def assemble(analysis: Analysis) -> ReportModel:
    """The whole report as a value; where every training failed, without any figure."""
    results, scores = analysis.results, analysis.scores
    definition = results.definition
    sections, count = numbered(_sections(analysis) if scores.trained else [])
    return ReportModel(
        study=results.record.name,
        title=definition.title,
        question=definition.question,
        headline=facts.headline(results, scores),
        notices=(
            *facts.notices(results, scores),
            *detectable_differences(definition, analysis.contrasts),
        ),
        claims=claim_views(analysis),
        paper=tuple(Fact(s.place, s.said) for s in paper.sources(definition.figure)),
        sections=sections,
        failures=facts.failures(results.runs, f"{results.definition.factor} = "),
        facts=facts.what_ran(results),
        base_table=replace(tables.base_table(results), number=count + 1),
        commands=facts.commands(results),
        reading=facts.how_to_read(results, analysis.comparisons, scores),
    )


def _sections(analysis: Analysis) -> list[Section]:
    results, scores = analysis.results, analysis.scores
    return [
        _levels(results, scores),
        _differences(analysis),
        Section("Learning curves", figures=(views.curves_view(results),)),
        *_inside(results, scores),
        Section("Other figures on test", tables=(tables.other_table(results, scores),),
                folded=_many(scores)),
    ]  # fmt: skip


def claim_views(analysis: Analysis) -> tuple[ClaimView, ...]:
    """Each claim with its verdict, in words."""
    return tuple(
        ClaimView(j.claim.id, j.claim.text, j.claim.source, j.rule, j.found, j.verdict)
        for j in analysis.judged
    )


def _levels(results: StudyResults, scores: Scores) -> Section:
    """The pictures that mirror the paper's, or suit the study's form, and the table of levels."""
    form, many = shape(results.definition), _many(scores)
    made: Mapping[Shape, tuple[Any, ...]] = {
        "levels": (views.scatter_view if many else views.levels_view,),
        "models": (views.gains_view, views.levels_view),
        "grid": (views.scatter_view, views.effects_view),
        "knob": (views.seesaw_view,),
    }
    figures = tuple(view for make in made[form] if (view := make(results)) is not None)
    table = tables.level_table(results, scores)
    more: tuple[Table, ...] = ()
    if form == "knob":
        more = (tables.seesaw_table(seesaw.summarize(results)),)
    elif form == "grid" and (effects := tables.effects_table(results, scores)):
        more = (effects,)
    heading = "Models" if form in ("models", "knob") else "Levels"
    return Section(heading, figures=figures, tables=(table, *more), folded=many)


def _differences(analysis: Analysis) -> Section:
    """The reference arm against the others; of many, against a few."""
    results, definition = analysis.results, analysis.results.definition
    scores = few(results)
    view = views.differences_view(results)
    table = tables.difference_table(results, scores, analysis.comparisons)
    first = role(definition)
    heading = f"{first} against the others" if leads(definition) else f"the others against {first}"
    chosen = (
        "that share its data set"
        if shape(definition) == "knob"
        else "that claims name or that have the best mean validation AUC"
    )
    pairs = tuple(p for p in analysis.pairs if {p.level, p.other} <= set(scores.levels))
    note = (
        f"Of {words.count(len(analysis.scores.levels), 'level')}, the {len(scores.levels) - 1} "
        f"{chosen} are compared here with {definition.reference}; the table of levels has all.",
    )
    return Section(
        f"{heading[:1].upper()}{heading[1:]}",
        (*(note if len(scores.levels) < len(analysis.scores.levels) else ()),
         *factor_sentences(definition, scores, analysis.comparisons)),
        (view,) if view else (),
        tuple(t for t in (table, tables.joint_table(results, pairs)) if t),
    )  # fmt: skip


def _inside(results: StudyResults, scores: Scores) -> tuple[Section, ...]:
    """Gates, dead units and the gradients' conflict, where they were recorded."""
    made = (views.gradients_view(results), views.gates_view(results))
    figures = tuple(view for view in made if view is not None)
    table = tables.inner_table(results, scores)
    if not figures and table is None:
        return ()
    return (Section("Inside the models", figures=figures, tables=(table,) if table else (),
                    folded=_many(scores)),)  # fmt: skip


def _many(scores: Scores) -> bool:
    return len(scores.levels) > MANY
