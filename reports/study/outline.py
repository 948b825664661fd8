"""Puts the report of a study together: page, numbers for files, lines for a terminal."""

from collections.abc import Iterator
from typing import Any

from fsmd.metrics import METRICS
from fsmd.stats.joint import REGIONS
from fsmd.tasks import MEAN
from reports import ran, words
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
from reports.results import Scores
from reports.study import figures, paper, tables
from reports.study.analysis import StudyAnalysis, analyse
from reports.study.answer import answers
from reports.study.cautions import cautions
from reports.study.comparisons import Comparison, factor_sentences, of_arms
from reports.study.figures import seesaw
from reports.study.how_to_read import how_to_read
from reports.study.joint import JointVerdict
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
        notices=(*answers(analysis), *cautions(analysis)),
        claims=claim_views(analysis),
        paper=tuple(Fact(s.place, s.said) for s in paper.sources(study.figure)),
        sections=tuple(_sections(analysis)) if analysis.scores.trained else (),
        base_table=tables.base_table(results),
        reading=tuple(how_to_read(analysis)),
    )


def headline(analysis: StudyAnalysis) -> str:
    """One line under the title: data, tasks, replicates."""
    results, scores, figure = analysis.results, analysis.scores, analysis.study.figure
    begins = f"{figure} of the paper, {ran.on_what(results)}" if figure else ran.on_what(results)
    return (
        f"{words.capital(begins)}: {words.count(len(scores.arms), 'arm')}, "
        f"{words.count(len(results.done), 'finished training')}, "
        f"{words.count(len(scores.paired), 'replicate')} complete at every trained arm."
    )


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
    models = shape(analysis.study) in ("models", "knob")
    yield Section(
        "Models" if models else "Arms",
        figures=_figures(analysis, "arms"),
        tables=(tables.arm_table(results), *_tables_of_shape(analysis)),
        folded=many,
    )
    yield _differences(analysis)
    if is_null(results):
        yield Section("Where nothing differs", tuple(null_sentences(results)))
    yield Section("Learning curves", figures=_figures(analysis, "curves"))
    inside, table = _figures(analysis, "inside"), tables.inner_table(results)
    if inside or table:
        within = (table,) if table else ()
        yield Section("Inside the models", figures=inside, tables=within, folded=many)
    drawn, told = _figures(analysis, "probabilities"), probability_tables(results)
    yield Section(
        "How good the probabilities are",
        sentences=() if drawn or not told else (NOT_DRAWN,),
        figures=drawn,
        tables=told,
        folded=many,
    )
    yield Section(
        "Other figures on test",
        figures=_figures(analysis, "other"),
        tables=tables.other_tables(results),
        folded=many,
    )


def _figures(analysis: StudyAnalysis, section: str) -> tuple[FigureView, ...]:
    return views_of(kinds_in(figures), section, analysis.results)


def _tables_of_shape(analysis: StudyAnalysis) -> Iterator[Table]:
    """What only a factorial or a knob has."""
    results, form = analysis.results, shape(analysis.study)
    if form == "knob" and (summary := seesaw.summarize(results)):
        yield tables.seesaw_table(summary)
    if form == "grid" and (effects := tables.effects_table(results)):
        yield effects


def _differences(analysis: StudyAnalysis) -> Section:
    """The reference against the others; of many, against a few."""
    results, study = analysis.results, analysis.study
    scores = scores_compared(results)
    comparisons = of_arms(analysis.comparisons, scores.arms)
    joint = [pair for pair in analysis.joint if {pair.arm, pair.other} <= set(scores.arms)]
    who = role(study)
    heading = (
        f"{who} against the others" if reference_first(study) else f"the others against {who}"
    )
    made = tables.difference_table(results, comparisons), tables.joint_table(results, joint)
    return Section(
        words.capital(heading),
        sentences=(
            *_some_are_compared(analysis, scores),
            *factor_sentences(analysis.reading, scores, comparisons),
        ),
        figures=_figures(analysis, "differences"),
        tables=tuple(table for table in made if table),
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
        f"with {analysis.study.reference}; the table of arms has all."
    )


# Numbers for files, lines for a terminal, the entry in the list of all


def summary(analysis: StudyAnalysis) -> dict[str, Any]:
    """The content of summary.json; low and high are null where there is no interval."""
    scores, record = analysis.scores, analysis.results.record
    return {
        "study": record.name,
        "data": record.plan.data.name,
        "replicates": len(scores.paired),
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
            }
            for j in analysis.judged
        ],
        "comparisons": [_comparison(c) for c in analysis.comparisons if c.difference.n],
        "pairs": [_pair(pair) for pair in analysis.joint],
    }


def _comparison(comparison: Comparison) -> dict[str, Any]:
    """One entry of "comparisons"; p and p_equivalent are after Holm, null where untested."""
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
    """What was found, for a terminal."""
    claims = (f"{j.verdict.upper():<10}{j.text} {j.found}" for j in analysis.judged)
    return (headline(analysis), *answers(analysis), *claims)


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
    highest = _highest(analysis.scores) if shape(analysis.study) != "knob" else ()
    return entry_of(
        analysis.results.record,
        replicates=len(analysis.scores.paired),
        headline=headline(analysis),
        claims=claim_views(analysis),
        findings=(*highest, *answers(analysis)),
    )


def _highest(scores: Scores) -> tuple[str, ...]:
    """The best arm on the mean, or on each task where there is none, over the complete replicates:
    means over different seeds do not compare."""
    if len(scores.paired) < 2:
        return ()
    means = [target for target in scores.targets if target.key == MEAN]
    over = words.count(len(scores.paired), "complete replicate")
    sentences = []
    for target in means or scores.targets:
        metric, key = scores.metric(target.key), target.key
        estimates = {arm: scores.mean(arm, key, scores.paired) for arm in scores.trained}
        best = max(estimates, key=lambda arm: metric.sign * estimates[arm].mean)
        extreme = "Highest" if metric.higher else "Lowest"
        what = (
            f"mean test {metric.label}" if means else f"test {metric.label} {words.on_target(key)}"
        )
        sentences.append(
            f"{extreme} {what} over {over}: {best}, {words.interval(estimates[best], metric)}."
        )
    return tuple(sentences)
