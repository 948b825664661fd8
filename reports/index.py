"""The list of all studies of a database: what each asked, and what was found."""

import sqlalchemy as sa

from reports import facts, words
from reports.assemble import Analysis, claim_views
from reports.contrasts import factor_sentences
from reports.estimates import mean_interval
from reports.model import IndexEntry, IndexModel
from reports.results import MEAN, Scores
from reports.shape import few, shape
from studies import catalog
from studies.storage import StudyRecord, find_study


def model(entries: tuple[IndexEntry, ...]) -> IndexModel:
    """The list, with what it comes to."""
    verdicts = [claim.verdict for entry in entries for claim in entry.claims]
    counts = ", ".join(
        f"{verdicts.count(verdict)} {told}"
        for verdict, told in (("holds", "hold"), ("fails", "fail"), ("undecided", "undecided"))
    )
    reported = sum(not entry.unfinished for entry in entries)
    headline = (
        f"{words.count(len(entries), 'study', 'studies')} in the database, {reported} with a "
        f"report; of {words.count(len(verdicts), 'claim')}, {counts}."
    )
    return IndexModel("All studies", headline, entries)


def entry(analysis: Analysis) -> IndexEntry:
    """A study with its report."""
    results, scores = analysis.results, analysis.scores
    definition, claims = results.definition, claim_views(analysis)
    findings = _highest(scores) if shape(definition) != "knob" else ()
    if not claims:
        findings += factor_sentences(definition, few(results), analysis.comparisons)
    return IndexEntry(
        results.record.name, definition.title, definition.question, results.record.data,
        len(scores.paired), facts.headline(results, scores), claims, findings, "",
    )  # fmt: skip


def _highest(scores: Scores) -> tuple[str, ...]:
    """Over the complete replicates: means over different seeds do not compare."""
    complete = [scores.replicates.index(replicate) for replicate in scores.paired]
    if len(complete) < 2:
        return ()
    means = {level: mean_interval(scores.of(level, MEAN)[complete]) for level in scores.trained}
    best = max(means, key=lambda level: means[level].mean)
    over = words.count(len(complete), "complete replicate")
    return (f"Highest mean test AUC over {over}: {best}, {words.interval(means[best])}.",)


def _search(record: StudyRecord) -> tuple[str, str]:
    """Title and question of what has no definition among the studies."""
    from studies import pareto  # loads Optuna

    return (pareto.TITLE, pareto.QUESTION) if record.definition == pareto.NAME else (
        record.definition, "")  # fmt: skip


def unfinished(engine: sa.Engine, name: str, reason: str) -> IndexEntry:
    """A study that has no report yet, and why."""
    record = find_study(engine, name)
    assert record is not None
    known = record.definition in catalog.names()
    definition = catalog.get(record.definition) if known else None
    title, question = (definition.title, definition.question) if definition else _search(record)
    return IndexEntry(
        name, title, question, record.data, 0, "", (), (),
        reason[:1].upper() + reason[1:] + ("" if reason.endswith(".") else "."),
    )  # fmt: skip
