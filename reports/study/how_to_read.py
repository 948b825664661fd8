"""How a study's report is read: what its intervals cover, and by which rule verdicts fall."""

from collections.abc import Iterable, Iterator, Sequence

from fsmd.metrics import METRICS, coverage
from fsmd.tasks import Task
from reports import words
from reports.answer import answer_in_words
from reports.pairs import Comparison
from reports.predictions import read_rows
from reports.ran import blind_to_items
from reports.results import Scores, StudyResults
from reports.study import looks_told
from reports.study.analysis import StudyAnalysis
from reports.study.cautions import FIXED, statement
from reports.study.scales import scales_of, within_margin
from reports.study.verdicts import LEANING
from studies.store.faults import patient


def how_to_read(analysis: StudyAnalysis) -> Iterator[str]:
    """A paragraph each."""
    results, scores = analysis.results, analysis.scores
    if statement(results) == FIXED:
        yield FIXED
    yield looks_told.in_words(results.record.looks, analysis.looks)
    yield from answer_in_words(analysis.asked)
    yield (
        f"A replicate is one seed. {_pairs(results.same_seeds)} More replicates make the seeds' "
        f"part of chance smaller, only more test rows the test set's. {_units(results, scores)} "
        f"{_covered(scores)} From five seeds on, how much a difference scatters over seeds is "
        "learnt from all arms, so that few seeds tell more. Intervals are of 95 % each, by all "
        "that is known of the scatter; tests at looks are stricter: an interval that is clear of "
        "zero need not be decided. The interval of an arm's own figure covers the seeds alone."
    )
    if results.record.plan.halves:
        yield (
            "Each replicate trains on another half of the training rows, the same for every arm "
            "(of whole users where the test rows are of other users), so that differences scatter "
            "over which rows were logged, too; figures, whose own intervals cover halves, too, "
            "are those of half as many rows. Intervals and verdicts "
            "speak of halves of this log; the table other logs speaks of other logs. "
            "Ids and scales were fitted on all training rows."
        )
    yield from _of_groups(results)
    yield from rule_in_words(analysis.comparisons, within_margin(scales_of(results)))
    if analysis.judged:
        yield (
            "A claim is made of conditions that must all be true. It holds if each is shown, and "
            "fails if one is shown not to be true: one-sided tests at the look's level, after "
            "Holm over all claims. It leans towards or against where its p alone, without Holm, "
            f"is below {LEANING:g}: a hint, which chance alone gives to one claim in ten each "
            "way. Else it is open, which does not mean equal."
        )
    if len(results.tasks) > 1:
        yield (
            "All tasks: dominates: a gain of more than the margin on a task, no such loss on any; "
            "seesaw: a gain on one, a loss on another; equivalent: neither on any. Of k pairs "
            "each needs p below the look's level / k."
        )
    yield (
        f"Epochs were chosen on validation data only, {_chosen_by(results.tasks)}. Test data was "
        "evaluated once, at those epochs, and chose nothing."
    )


def rule_in_words(comparisons: Sequence[Comparison], margin: str) -> tuple[str, ...]:
    """The rule of the four-way verdict, which nothing in the data changes.

    margin: with its sign, as `±0.001`.
    """
    tests = words.count(len(comparisons), "test")
    return (
        "Against the reference: equivalent if two one-sided tests show a difference inside the "
        f"margin, {margin}; else better or worse if a paired test shows one; else undecided. "
        f"Each at the look's level over {tests}, the first after Holm, the second by the joint "
        "distribution of comparisons that share the reference; by t over seeds, or by "
        "Behrens-Fisher where test rows count too.",
    )


def _chosen_by(tasks: Sequence[Task]) -> str:
    labels = {METRICS[task.metric].label for task in tasks}
    if len(labels) > 1:
        return "by the mean of the tasks' figures, each in units of the difference that matters"
    whose = "the tasks' mean" if len(tasks) > 1 else "the task's"
    return f"by {whose} {min(labels)}"


def _pairs(same_seeds: bool) -> str:
    """Why replicates of two arms go together."""
    if same_seeds:
        return "Every arm is trained with the same seeds, so arms are compared seed by seed."
    return "Here arms have seeds of their own, and replicates are paired by their number alone."


def _units(results: StudyResults, scores: Scores) -> str:
    """What is taken as independent in the test set, and for whom intervals speak."""
    whom = sorted({sampling.unit for sampling in scores.samplings if sampling.units})
    units = [
        _several((s.units for s in scores.samplings if s.unit == unit), unit) for unit in whom
    ]
    items = _several((sampling.items for sampling in scores.samplings), "item")
    new = [f"of new {unit}s" for unit in whom]
    if items:
        alike = " alike" if new else ""
        of_rows = words.listed(new or ["of new rows"])
        blind = words.listed(blind_to_items(results))
        less = (
            f" Those of {blind}, to which an item does nothing by itself, speak {of_rows} alone."
        )
        return (
            f"The {words.listed([*units, items])} of the test rows are taken as samples, not "
            f"their rows: intervals speak {words.listed([*new, 'of new items'])}{alike}."
            f"{less if blind else ''}"
        )
    if not units:
        return (
            "Test rows are taken as independent; where one user has several, this part is too "
            "small."
        )
    return (
        f"The {words.listed(units)} of the test rows are taken as independent of each other, not "
        f"their rows: intervals speak {words.listed(new)}, with the same items."
    )


def _several(counts: Iterable[int | None], noun: str) -> str:
    """`40 users`; of several test sets `40 or 50 users`; empty where none are known."""
    *less, most = sorted({0, *filter(None, counts)})
    known = [*(f"{n:,}" for n in less if n), words.count(most, noun)]
    return words.listed(known, last="or") if most else ""


@patient
def _of_groups(results: StudyResults) -> Iterator[str]:
    """How many groups a task's metric is a mean of, and what the others hold."""
    judged = [(task.name, METRICS[task.metric]) for task in results.tasks]
    with results.engine.connect() as connection:
        for data_hash in dict.fromkeys(results.test_sets.values()):
            rows = read_rows(connection, data_hash)
            for task, metric in judged:
                if task not in rows.labels:
                    continue
                of = coverage(metric, rows.labels[task], rows.weight_N, rows.groups)
                if of is not None:
                    yield (
                        f"Test {metric.label} {words.on_target(task)} is a mean over "
                        f"{words.count(of.used, metric.group or '')}, which hold "
                        f"{words.percent(of.rows)} of the rows; {of.skipped:,} others do not "
                        "define it by their labels and are skipped."
                    )


def _covered(scores: Scores) -> str:
    """Which arms' test predictions were kept."""
    known = {arm for sampling in scores.samplings for arm in sampling.arms}
    if not known:
        return "Here only the seeds are covered: no test predictions were kept."
    paired = {arm for arms in scores.pairings.values() for arm in arms}
    missing = [arm for arm in scores.trained if arm in paired and arm not in known]
    only = f", except with {words.listed(missing)}, without predictions" if missing else ""
    return f"Intervals and tests of differences cover both{only}."
