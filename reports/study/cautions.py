"""What a reader must know before the verdicts: one condition, one function, one sentence."""

from collections.abc import Callable

from reports import words
from reports.ran import FOR_A_CLAIM, FOR_A_LOOK
from reports.results import StudyResults
from reports.study import paper
from reports.study.analysis import StudyAnalysis
from reports.study.comparisons import detectable_differences

Caution = Callable[[StudyAnalysis], str | None]

FIXED = (
    "The claims, the reference and the margin were fixed when the study was planned, before any "
    "of it was trained."
)


def cautions(analysis: StudyAnalysis) -> tuple[str, ...]:
    """All that apply, in order."""
    sentences = (caution(analysis) for caution in CAUTIONS)
    found = detectable_differences(analysis.study, analysis.comparisons)
    return (*filter(None, sentences), *found)


# ------------------------------------------------------------------------------------------
# What the claims speak of
# ------------------------------------------------------------------------------------------


def _claims_are_about(analysis: StudyAnalysis) -> str | None:
    about, data = analysis.study.about, analysis.results.record.plan.data.name
    if not about:
        return None
    return f"The claims are about {about}; here they are judged on the data set {data}."


def _tasks_stand_for_others(analysis: StudyAnalysis) -> str | None:
    """The tasks as the paper calls them, else as the claims do, where the data's are others."""
    study = analysis.study
    called = paper.TASKS.get(study.about, study.tasks)
    names = dict(zip(study.tasks, called, strict=False))
    pairs = [(names.get(claimed, claimed), own) for claimed, own in analysis.reading.pairs]
    if not study.claims or all(name == own for name, own in pairs):
        return None
    (name, own), *others = pairs
    also = "".join(f", their {name} task as {own}" for name, own in others)
    return f"The claims' {name} task is read as {own}{also}."


def _left_out_as_the_same(analysis: StudyAnalysis) -> str | None:
    same = [
        f"{arm} is left out: on this data it is the same model as {other}."
        for arm, other in analysis.results.record.plan.same
    ]
    return " ".join(same) or None


def _chain_dropped(analysis: StudyAnalysis) -> str | None:
    if not analysis.results.record.plan.chain_dropped:
        return None
    return (
        "No task of this data follows another, so the chain was dropped: where the study says "
        "FSMD, the model trained here is FS."
    )


def statement(results: StudyResults) -> str:
    """Whether what is judged was stated before anything was trained, and what was not."""
    record = results.record
    now, stated = record.study, record.stated
    before = {claim.id: claim for claim in getattr(stated, "claims", ())}
    late = [f"the claim {claim.id}" for claim in now.claims if before.get(claim.id) != claim]
    for name in ("reference", "margin"):
        old, new = getattr(stated, name), getattr(now, name)
        if old != new:
            late.append(f"the {name} ({_or_the_metrics(new)}, before: {_or_the_metrics(old)})")
    known = {claim.id for claim in now.claims}
    gone = [name for name in before if name not in known]
    sentences = []
    if late:
        sentences.append(f"Stated or changed after this study was planned: {words.listed(late)}.")
    if gone:
        sentences.append(
            f"Stated when it was planned, and judged no longer: {words.listed(gone)}."
        )
    earlier = int((results.runs["finished_at"] < record.created_at).sum())
    if earlier:
        sentences.append(
            f"{words.count(earlier, 'training')} of this study had ended before it was planned, "
            "in another one: its claims may have been stated with their results in view."
        )
    return " ".join(sentences) or FIXED


def _or_the_metrics(value: object) -> str:
    return "each metric's own" if value is None else str(value)


def _stated_late(analysis: StudyAnalysis) -> str | None:
    said = statement(analysis.results)
    return None if said == FIXED else said


# ------------------------------------------------------------------------------------------
# What is missing
# ------------------------------------------------------------------------------------------


def _failed(analysis: StudyAnalysis) -> str | None:
    failed = int((analysis.results.runs["status"] != "done").sum())
    return f"{words.count(failed, 'training')} failed; see Failed trainings." if failed else None


def _arms_without_replicates(analysis: StudyAnalysis) -> str | None:
    scores = analysis.scores
    missing = [arm for arm in scores.arms if arm not in scores.trained]
    if not missing:
        return None
    return (
        f"No finished replicate of {words.listed(missing)}: comparisons with "
        f"{'it' if len(missing) == 1 else 'them'} could not be made."
    )


def _no_reference(analysis: StudyAnalysis) -> str | None:
    if analysis.study.reference in analysis.scores.arms:
        return None
    return (
        f"{analysis.study.reference}, which the others would be compared with, is no arm here: "
        "nothing is compared with it."
    )


def _no_predictions(analysis: StudyAnalysis) -> str | None:
    scores = analysis.scores
    if scores.samplings or scores.most_shared < 2:
        return None
    return (
        "No test predictions were kept: intervals and tests cover the seeds alone, not the "
        "finite test set."
    )


def _incomplete_replicates(analysis: StudyAnalysis) -> str | None:
    left_out = analysis.scores.left_out
    if not left_out:
        return None
    several = len(left_out) > 1
    return (
        f"{'Replicates' if several else 'Replicate'} {words.listed(left_out)} (counted from 0) "
        f"{'are' if several else 'is'} not finished at every trained arm. A comparison is over "
        "the replicates that both its arms have, and says how many; the table of means uses "
        "every finished replicate, so its lines may be of different seeds."
    )


def _few_replicates(analysis: StudyAnalysis) -> str | None:
    shared = analysis.scores.most_shared
    if shared < 2:
        return (
            "No two arms share two finished replicates: there is no interval of a difference "
            f"and no test, and nothing can be decided. Run at least {FOR_A_LOOK}."
        )
    if shared < FOR_A_LOOK:
        return (
            f"{shared} replicates are few: intervals are wide and little can be decided. Run "
            f"{FOR_A_LOOK} for a look, {FOR_A_CLAIM} for a claim."
        )
    if analysis.study.claims and shared < FOR_A_CLAIM:
        return (
            f"{shared} replicates are a look. Before anybody relies on a claim, run "
            f"{FOR_A_CLAIM}: --replicates {FOR_A_CLAIM} adds what is missing."
        )
    return None


CAUTIONS: tuple[Caution, ...] = (
    _claims_are_about,
    _tasks_stand_for_others,
    _left_out_as_the_same,
    _chain_dropped,
    _stated_late,
    _failed,
    _arms_without_replicates,
    _no_reference,
    _no_predictions,
    _incomplete_replicates,
    _few_replicates,
)
