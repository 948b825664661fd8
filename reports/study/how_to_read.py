"""How a study's report is read: what its intervals cover, and by which rule verdicts fall."""

from collections.abc import Iterator, Sequence

from fsmd.metrics import METRICS, coverage
from fsmd.stats.estimates import ALPHA
from fsmd.stats.power import POWER
from fsmd.tasks import Task
from reports import words
from reports.predictions import read_test_rows
from reports.ran import at_level
from reports.results import Scores, StudyResults
from reports.study.analysis import StudyAnalysis
from reports.study.cautions import FIXED, statement
from reports.study.comparisons import Comparison
from reports.study.scales import scales_of, within_margin
from studies.store.faults import patient


def how_to_read(analysis: StudyAnalysis) -> Iterator[str]:
    """A paragraph each."""
    results, scores = analysis.results, analysis.scores
    several = len(results.tasks) > 1
    if statement(results) == FIXED:
        yield FIXED
    yield (
        "A replicate is one seed: it decides the initial weights, the order of the batches and "
        f"dropout. {_pairs(results.same_seeds)}"
    )
    yield (
        "Two kinds of chance are in a difference. Seeds: train again with other seeds and it "
        "moves; more replicates make this part smaller. The test set: it is a sample of finite "
        "size, the same for every replicate, and another one would move the difference too; only "
        f"more test rows make this part smaller. {_units(scores)} {_covered(scores)}"
    )
    yield from _of_groups(results)
    yield (
        "The interval of an arm's own figure covers the seeds alone: another test set would move "
        "all arms together, which is no difference between them."
    )
    yield from rule_in_words(analysis.comparisons, within_margin(scales_of(results)))
    yield (
        "A claim breaks down into conditions that must all be true. It holds if each of them is "
        f"shown at {at_level()}, so the largest p counts; it fails if one of them is shown not to "
        "be true, so the smallest p counts, times the number of conditions; else it is undecided. "
        "Two arms that share fewer than two replicates show nothing. These p are one-sided, and "
        "Holm adjusts them over all claims of the study, two for each, which keeps the chance of "
        "any false verdict at that. Undecided is not equal: more replicates may decide."
    )
    yield (
        "A guess of the seeds that would decide takes the estimated mean and scatter for the true "
        f"ones and asks for a chance of {100 * POWER:g} %; with few seeds it is rough. At least: "
        "the test set's part is too small to be measured, and more may be needed."
    )
    if several:
        yield (
            "All tasks at once: an arm dominates another if it gains more than the margin on a "
            "task and loses more than it on none; seesaw means that it gains on one and loses on "
            "another, equivalent that it does neither on any. Each is put together from tests "
            "task by task, as a claim is: what must be true on all tasks is shown by the largest "
            "p, what must be true on one of them by the smallest, times the number of tasks. Of "
            f"k pairs each asks for p below {ALPHA:g} / k. This may differ from the comparisons "
            "task by task, which ask other questions: whether a difference is not zero, or inside "
            "the margin on one task."
        )
    own = (
        "; a model whose tasks share nothing is one model for each task, and each chose its own"
        if several
        else ""
    )
    yield (
        f"Epochs were chosen on validation data only, {_chosen_by(results.tasks)}{own}. Test data "
        "was evaluated once, at those epochs, and chose nothing."
    )


def rule_in_words(comparisons: Sequence[Comparison], margin: str) -> tuple[str, ...]:
    """The rule of the four-way verdict, which nothing in the data changes.

    margin: with its sign, as `±0.001`.
    """
    targets = dict.fromkeys(words.on_target(c.target.key) for c in comparisons)
    tests = words.count(len(comparisons), "test")
    return (
        "The reference is compared with every other arm that has the same test set"
        f"{f', {words.listed(targets)}' if targets else ''}. Each comparison is a paired test: of "
        "t over the seeds alone, of the Behrens-Fisher distribution, which adds the test set's "
        "normal part to it, over both kinds of chance.",
        "A difference is equivalent if two one-sided tests (TOST) show that it lies inside the "
        f"margin, {margin}, whatever its sign; else it is better or worse if a two-sided test "
        f"shows that it is not zero; else it is undecided. All at {at_level()} after Holm's "
        "adjustment, which keeps the chance of any false finding at that in each of two "
        f"families: the {tests} of a difference, and the {tests} of equivalence. A test that "
        "could not be made still counts.",
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
        return (
            "Every arm is trained with the same seeds, and what the factor does not change "
            "starts equal, so arms are compared seed by seed (paired)."
        )
    return (
        "Here arms have seeds of their own (see What ran). Replicates are paired by their number "
        "alone, which is as valid but takes no chance out of a difference."
    )


def _units(scores: Scores) -> str:
    """What is taken as independent in the test set."""
    counts = {sampling.units for sampling in scores.samplings if sampling.units}
    if not counts:
        return (
            "Test rows are taken as independent of each other; where one user has several, as in "
            "a video log, this part comes out too small."
        )
    number = words.listed((f"{n:,}" for n in sorted(counts)), last="or")
    units = words.listed(sorted({f"{s.unit}s" for s in scores.samplings if s.units}))
    return (
        f"The {number} {units} of the test rows are taken as independent of each other, not their "
        f"rows; also {units} that train does not know."
    )


@patient
def _of_groups(results: StudyResults) -> Iterator[str]:
    """How many groups a task's metric is a mean of, and what the others hold."""
    judged = [(task.name, METRICS[task.metric]) for task in results.tasks]
    with results.engine.connect() as connection:
        for data_hash in dict.fromkeys(results.test_sets.values()):
            rows = read_test_rows(connection, data_hash)
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
        return (
            "Here only the seeds are covered, because no test predictions were kept: the "
            "intervals are too short for a statement about other test rows."
        )
    paired = {arm for arms in scores.pairings.values() for arm in arms}
    missing = [arm for arm in scores.trained if arm in paired - known]
    only = f", except with {words.listed(missing)}, without predictions" if missing else ""
    return f"The intervals and tests of differences cover both{only}."
