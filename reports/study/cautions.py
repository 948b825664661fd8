"""What a reader must know before the verdicts: one condition, one function, one sentence.

Where there is nothing to say, the sentence is empty.
"""

from collections.abc import Callable, Iterator

from fsmd.metrics import METRICS
from reports import words
from reports.ran import FOR_A_LOOK, cut_off, failures, few_sampled, of_failed
from reports.results import StudyResults
from reports.study import looks_told, paper
from reports.study.analysis import StudyAnalysis
from reports.study.comparisons import detectable_differences
from reports.study.looks import looks_to_come
from studies.definition import Study

FIXED = (
    "The claims, the reference and the margin were fixed when the study was planned, before any "
    "of it was trained."
)


def cautions(analysis: StudyAnalysis) -> tuple[str, ...]:
    """All that apply, in order."""
    sentences = (caution(analysis) for caution in CAUTIONS)
    alpha = analysis.looks[-1].alpha if analysis.looks else 0.0
    found = detectable_differences(analysis.study, analysis.comparisons, alpha) if alpha else ()
    return (*filter(None, sentences), *found)


# What the claims speak of


def _claims_are_about(analysis: StudyAnalysis) -> str:
    about, data = analysis.study.about, analysis.results.record.plan.data.name
    here = f"The claims are about {about}; they are judged on {data}."
    return here if about else ""


def _base_changed(analysis: StudyAnalysis) -> str:
    """The claims are of the study as its file has it."""
    asked = " ".join(analysis.study.asked)
    changed = (
        f"The base was changed for this run ({asked}); the claims speak of the base that the "
        "study's file has."
    )
    return changed if asked else ""


def _tasks_stand_for_others(analysis: StudyAnalysis) -> str:
    """The tasks as the paper calls them, else as the claims do, where the data's are others."""
    study = analysis.study
    called = paper.TASKS.get(study.about, study.tasks)
    names = dict(zip(study.tasks, called, strict=False))
    pairs = [(names.get(claimed, claimed), own) for claimed, own in analysis.reading.pairs]
    if not study.claims or all(name == own for name, own in pairs):
        return ""
    (name, own), *others = pairs
    also = "".join(f", their {name} task as {own}" for name, own in others)
    return f"The claims' {name} task is read as {own}{also}."


def _left_out_as_the_same(analysis: StudyAnalysis) -> str:
    return " ".join(
        f"{arm} is left out: on this data it is the same model as {other}."
        for arm, other in analysis.results.record.plan.same
    )


def _chain_dropped(analysis: StudyAnalysis) -> str:
    dropped = "No task of this data follows another, so the chain was dropped: FSMD is FS here."
    return dropped if analysis.results.record.plan.chain_dropped else ""


def statement(results: StudyResults) -> str:
    """Whether what is judged was stated before anything was trained, and what was not."""
    return " ".join(_stated_late(results)) or FIXED


def _stated_late(results: StudyResults) -> Iterator[str]:
    record = results.record
    now, stated = record.study, record.stated
    assert isinstance(stated, Study)
    before = {claim.id: claim for claim in stated.claims}
    late = [f"the claim {claim.id}" for claim in now.claims if before.get(claim.id) != claim]
    if now.reference != stated.reference:
        late.append(f"the reference ({now.reference}, before: {stated.reference})")
    for metric in dict.fromkeys(task.metric for task in results.tasks):
        new, old = (words.number(study.margin(metric)) for study in (now, stated))
        if new != old:
            late.append(f"the margin of {METRICS[metric].label} ({new}, before: {old})")
    if late:
        yield f"Stated or changed after this study was planned: {words.listed(late)}."
    if gone := before.keys() - {claim.id for claim in now.claims}:
        listed = words.listed(name for name in before if name in gone)
        yield f"Stated when it was planned, and judged no longer: {listed}."
    earlier = int((results.runs["finished_at"] < record.created_at).sum())
    if earlier:
        yield (
            f"{words.count(earlier, 'training')} of this study had ended before it was planned, "
            "in another one: its claims may have been stated with their results in view."
        )


def _not_fixed(analysis: StudyAnalysis) -> str:
    return statement(analysis.results).removeprefix(FIXED)


# What is missing


def _failed(analysis: StudyAnalysis) -> str:
    return of_failed(len(failures(analysis.results.runs)))


def _arms_without_replicates(analysis: StudyAnalysis) -> str:
    scores = analysis.scores
    trained = set(scores.trained)
    missing = [arm for arm in scores.arms if arm not in trained]
    them = "it" if len(missing) == 1 else "them"
    said = f"No finished replicate of {words.listed(missing)}: nothing compares {them}."
    return f"{said}{_unmeasured(analysis)}" if missing else ""


def _unmeasured(analysis: StudyAnalysis) -> str:
    """Why trainings that ended count as not finished; a blank before it."""
    results = analysis.results
    done = set(zip(results.done["arm"], results.done["replicate"], strict=True))
    of_test = results.measurements[results.measurements["split"] == "test"]
    tasks = []
    for task in results.tasks:
        rows = of_test[(of_test["task"] == task.name) & (of_test["metric"] == task.metric)]
        if done - set(zip(rows["arm"], rows["replicate"], strict=True)):
            tasks.append(f"{METRICS[task.metric].label} {words.on_target(task.name)}")
    return (
        f" Trainings that ended count as not finished where test has no {words.listed(tasks)}: "
        "the rows do not define it, as where all are of one class."
        if tasks
        else ""
    )


def _no_reference(analysis: StudyAnalysis) -> str:
    reference = analysis.study.reference
    if reference in analysis.scores.arms:
        return ""
    return f"{reference}, the reference, is no arm here: nothing is compared with it."


def _no_predictions(analysis: StudyAnalysis) -> str:
    if analysis.scores.samplings or analysis.scores.most_shared < 2:
        return ""
    return "No test predictions were kept: intervals and tests cover the seeds alone."


def _cut_off(analysis: StudyAnalysis) -> str:
    return cut_off(analysis.results)


def _few_sampled(analysis: StudyAnalysis) -> str:
    return few_sampled(analysis.results)


def _incomplete_replicates(analysis: StudyAnalysis) -> str:
    left_out = analysis.scores.left_out
    if not left_out:
        return ""
    which, are = ("Replicates", "are") if len(left_out) > 1 else ("Replicate", "is")
    return (
        f"{which} {words.listed(left_out)} (counted from 0) {are} not finished at every trained "
        "arm: a comparison is over those that both its arms have."
    )


def _few_replicates(analysis: StudyAnalysis) -> str:
    shared, to_come = analysis.scores.most_shared, looks_to_come(analysis.results)
    then = f"the next stated look is at {to_come[0].seeds}" if to_come else "no look is left"
    if shared < 2:
        return f"No two arms share two finished replicates, so nothing can be tested; {then}."
    return f"{shared} replicates are few; {then}." if shared < FOR_A_LOOK else ""


def _looks(analysis: StudyAnalysis) -> str:
    return looks_told.stands_at(analysis)


CAUTIONS: tuple[Callable[[StudyAnalysis], str], ...] = (
    _claims_are_about,
    _base_changed,
    _tasks_stand_for_others,
    _left_out_as_the_same,
    _chain_dropped,
    _not_fixed,
    _cut_off,
    _failed,
    _arms_without_replicates,
    _no_reference,
    _no_predictions,
    _few_sampled,
    _incomplete_replicates,
    _few_replicates,
    _looks,
)
