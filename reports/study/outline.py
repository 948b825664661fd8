"""Puts the report of a study together: page, numbers for files, lines for a terminal."""

from collections.abc import Iterator
from typing import Any

from fsmd.half import rows_of_half
from fsmd.metrics import METRICS
from fsmd.stats.joint import REGIONS
from fsmd.tasks import MEAN
from reports import ran, words
from reports.answer import answer_entry
from reports.board import board_table
from reports.index import entry_of
from reports.page.cells import ends
from reports.page.figure_kind import kinds_in, views_of
from reports.page.model import (
    ClaimView,
    Fact,
    FigureView,
    IndexEntry,
    Report,
    Section,
    Table,
)
from reports.pairs import Comparison, pairs_of
from reports.results import Scores, StudyResults
from reports.study import figures, looks_told, paper, tables
from reports.study.analysis import StudyAnalysis, analyse
from reports.study.cautions import cautions
from reports.study.comparisons import of_arms
from reports.study.figures import seesaw
from reports.study.how_to_read import how_to_read
from reports.study.joint import JointVerdict
from reports.study.looks import tested_pairs
from reports.study.nothing_differs import is_null, null_sentences
from reports.study.probabilities import NOT_DRAWN, probability_tables
from reports.study.shape import has_many_arms, reference_first, role, scores_compared, shape
from studies.store.means import Mean, Means

__all__ = ["analyse", "entry", "lines", "means", "page", "summary"]


def page(analysis: StudyAnalysis) -> Report:
    """The whole report as a value; where every training failed, without any figure."""
    results, study = analysis.results, analysis.study
    return ran.report_of(
        results,
        arm=f"{study.factor} = ",
        headline=headline(analysis),
        answer=analysis.answer,
        pairs=pairs_of(
            scores_compared(results),
            analysis.reading.margin,
            analysis.comparisons,
            tested_pairs(results),
        ),
        notices=cautions(analysis),
        claims=claim_views(analysis),
        paper=tuple(Fact(s.place, s.said) for s in paper.sources(study.figure)),
        sections=tuple(_sections(analysis)) if analysis.scores.trained else (),
        take_home=tuple(_take_home(analysis)),
        base_table=tables.base_table(results),
        reading=tuple(how_to_read(analysis)),
    )


def _take_home(analysis: StudyAnalysis) -> Iterator[Fact]:
    if used := analysis.asked.board.used:
        yield ran.export_command(analysis.results, used.arm)


def headline(analysis: StudyAnalysis) -> str:
    """One line under the title: data, tasks, replicates."""
    results, scores, figure = analysis.results, analysis.scores, analysis.study.figure
    begins = f"{figure} of the paper, {ran.on_what(results)}" if figure else ran.on_what(results)
    return (
        f"{words.capital(begins)}: {words.count(len(scores.arms), 'arm')}, "
        f"{words.count(len(results.done), 'finished training')}, "
        f"{words.count(len(scores.paired), 'replicate')} complete at every trained arm."
        f"{_of_halves(results)}"
    )


def _of_halves(results: StudyResults) -> str:
    """A sentence with a blank before it where trainings did not see all rows; else empty."""
    plan = results.record.plan
    rows = plan.data.rows["train"]
    saw = f"{rows_of_half(rows):,} of {rows:,}"
    return f" Each training saw half of the training rows: {saw}." if plan.halves else ""


def claim_views(analysis: StudyAnalysis) -> tuple[ClaimView, ...]:
    """Each claim with its verdict, in words."""
    return tuple(
        ClaimView(j.claim.id, j.text, j.claim.source, j.rule, j.found, j.verdict)
        for j in analysis.judged
    )


# Sections


def _sections(analysis: StudyAnalysis) -> Iterator[Section]:
    results = analysis.results
    many = has_many_arms(results)
    yield Section(
        "Leaderboard",
        sentences=tuple(_left_out(analysis)),
        figures=(*_figures(analysis, "leaderboard"), *_figures(analysis, "arms")),
        tables=(_board(analysis), *_tables_of_shape(analysis)),
        folded=many,
    )
    yield _differences(analysis)
    if looks := looks_told.section(analysis):
        yield looks
    if is_null(results):
        yield Section("Where nothing differs", tuple(null_sentences(results)))
    yield Section("Learning curves", figures=_figures(analysis, "curves"))
    inside, table = _figures(analysis, "inside"), tables.inner_table(results)
    if inside or table:
        within = (table,) if table else ()
        yield Section("Inside the models", figures=inside, tables=within, folded=True)
    drawn, told = _figures(analysis, "probabilities"), probability_tables(results)
    yield Section(
        "How good the probabilities are",
        sentences=() if drawn or not told else (NOT_DRAWN,),
        figures=drawn,
        tables=told,
        folded=True,
    )
    yield Section(
        "Details",
        figures=_figures(analysis, "other"),
        tables=tuple(_details(analysis)),
        folded=True,
    )


def _board(analysis: StudyAnalysis) -> Table:
    results = analysis.results
    columns, printed = tables.paper_columns(results)
    return board_table(
        analysis.asked,
        analysis.study.factor,
        notes=tables.arm_notes(analysis.study),
        columns=columns,
        more=lambda arm: printed.get(arm, ()),
    )


def _left_out(analysis: StudyAnalysis) -> Iterator[str]:
    """Arms on other data, which are in the table of all arms alone."""
    scores, board = analysis.scores, analysis.asked.board
    if board.standings and any(
        not scores.comparable(arm, board.standings[0].arm) for arm in scores.trained
    ):
        home = analysis.results.data_of(board.standings[0].arm)
        yield f"Ranked are the arms on {home}; those on other data are among the details."


def _details(analysis: StudyAnalysis) -> Iterator[Table]:
    """What few readers need: every p-value, every arm by itself, every other figure."""
    results = analysis.results
    compared, joint = _compared(analysis)
    yield from filter(
        None,
        (
            tables.claim_table(analysis.judged),
            tables.tests_table(results, compared),
            tables.joint_table(results, joint),
            tables.arm_table(results, analysis.asked.board),
        ),
    )
    yield from tables.other_tables(results)


def _figures(analysis: StudyAnalysis, section: str) -> tuple[FigureView, ...]:
    return views_of(kinds_in(figures), section, analysis.results)


def _tables_of_shape(analysis: StudyAnalysis) -> Iterator[Table]:
    """What only a factorial or a knob has."""
    results, form = analysis.results, shape(analysis.study)
    if form == "knob" and (summary := seesaw.summarize(results)):
        yield tables.seesaw_table(summary)
    if form == "grid" and (effects := tables.effects_table(results)):
        yield effects


def _compared(
    analysis: StudyAnalysis,
) -> tuple[tuple[Comparison, ...], tuple[JointVerdict, ...]]:
    """The reference and the others, of many with a few; by target, and on all tasks at once."""
    arms = scores_compared(analysis.results).arms
    joint = (pair for pair in analysis.joint if {pair.arm, pair.other} <= set(arms))
    return of_arms(analysis.comparisons, arms), tuple(joint)


def _differences(analysis: StudyAnalysis) -> Section:
    """The reference against the others; of many, against a few."""
    results, study = analysis.results, analysis.study
    who = role(study)
    heading = (
        f"{who} against the others" if reference_first(study) else f"the others against {who}"
    )
    compared, joint = _compared(analysis)
    made = (
        tables.difference_table(results, compared, joint),
        tables.other_logs_table(results, compared),
    )
    return Section(
        words.capital(heading),
        sentences=tuple(_some_are_compared(analysis, scores_compared(results))),
        figures=_figures(analysis, "differences"),
        tables=tuple(filter(None, made)),
    )


def _some_are_compared(analysis: StudyAnalysis, scores: Scores) -> Iterator[str]:
    total = len(analysis.scores.arms)
    if len(scores.arms) == total:
        return
    chosen = (
        "that share its data set"
        if shape(analysis.study) == "knob"
        else "that claims name or that are best on validation"
    )
    yield (
        f"Of {words.count(total, 'arm')}, the {len(scores.arms) - 1} {chosen} are compared here "
        f"with {analysis.study.reference}."
    )


# Numbers for files, lines for a terminal, the entry in the list of all


def summary(analysis: StudyAnalysis) -> dict[str, Any]:
    """The content of summary.json; low and high are null where there is no interval."""
    scores, record = analysis.scores, analysis.results.record
    return {
        "study": record.name,
        "data": record.plan.data.name,
        "replicates": len(scores.paired),
        "looks": looks_told.entry(analysis.looks, record.looks),
        "answer": answer_entry(analysis.asked, analysis.answer),
        "targets": [
            {"task": target.key, "metric": target.metric, "higher": METRICS[target.metric].higher}
            for target in scores.targets
        ],
        "levels": [
            {"level": arm, "task": target.key, **ends(scores.mean(arm, target.key))}
            for arm in scores.trained
            for target in scores.targets
        ],
        "claims": [
            {
                "id": j.claim.id,
                "text": j.text,
                "verdict": j.verdict,
                "found": j.found,
                "p_holds": j.p_holds,
                "p_fails": j.p_fails,
                "p_holds_unadjusted": j.alone[0],
                "p_fails_unadjusted": j.alone[1],
            }
            for j in analysis.judged
        ],
        "comparisons": [_comparison(c) for c in analysis.comparisons if c.difference.n],
        "pairs": [_pair(pair) for pair in analysis.joint],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """One entry of "comparisons"; p and p_equivalent are adjusted, null where untested."""
    c, e, needed = comparison, comparison.difference, comparison.needed
    return {
        "level": c.arm,
        "other": c.other,
        "task": c.target.key,
        **ends(e),
        "replicates": e.n,
        "se_seeds": e.se_seeds,
        "se_test": e.se_test,
        "p": c.differs.p,
        "p_unadjusted": c.differs.raw,
        "p_equivalent": c.equal.p,
        "p_equivalent_unadjusted": c.equal.raw,
        "verdict": c.word,
        "replicates_needed": needed.seeds,
        "or_more": needed.at_least,
        "reason": needed.obstacle or "",
    }


def _pair(pair: JointVerdict) -> dict[str, Any]:
    return {
        "level": pair.arm,
        "other": pair.other,
        "p": {region: pair.of.p[region] for region in REGIONS},
        "verdict": pair.of.verdict,
        "alpha": pair.of.alpha,
    }


def lines(analysis: StudyAnalysis) -> tuple[str, ...]:
    """The answer and the claims, for a terminal."""
    claims = (f"{j.verdict.upper():<15}{j.text} {j.found}" for j in analysis.judged)
    return (headline(analysis), *analysis.answer.lines, *claims)


def means(analysis: StudyAnalysis) -> Means:
    """What the dashboard shows of each arm; nothing where arms are not tested on the same rows."""
    scores = analysis.scores
    targets = [target for target in scores.targets if target.key != MEAN]
    alike = len({scores.test_sets.get(arm) for arm in scores.trained}) == 1
    params = {arm.name: dict(arm.params) for arm in analysis.study.arms}
    return Means(
        labels=tuple(f"test {scores.metric(t.key).label}, {t.key}" for t in targets),
        higher=tuple(scores.metric(t.key).higher for t in targets),
        over=f"{words.count(len(scores.paired), 'complete replicate')}, on test",
        of_arms=tuple(
            Mean(
                arm=arm,
                params=params.get(arm, {}),  # the plan may have it no longer
                values=tuple(scores.mean(arm, t.key, scores.paired).mean for t in targets),
                said={"replicates": list(scores.paired)},
            )
            for arm in (scores.trained if alike and scores.paired else ())
        ),
    )


def entry(analysis: StudyAnalysis) -> IndexEntry:
    """The study in the list of all."""
    return entry_of(
        analysis.results.record,
        replicates=len(analysis.scores.paired),
        headline=headline(analysis),
        answer=analysis.answer,
        claims=claim_views(analysis),
    )
