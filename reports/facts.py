"""What ran, on what, how to run it again and how to read it: the report's sentences."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from reports import words
from reports.estimates import ALPHA, LEVEL
from reports.evidence import Question
from reports.model import Fact, FailureView
from reports.results import Scores, StudyResults
from reports.verdicts import Comparison, families
from studies.definition import VIDEO
from studies.planning import STATED, stated, study_name

FIXED = (
    "The claims, the reference and the margin were fixed when the study was planned, before any "
    "of it was trained."
)
FOR_A_LOOK, FOR_A_CLAIM = 5, 10
"""Replicates below which the report warns, and below which it says that this is a look."""


def failures(runs: pd.DataFrame, before: str = "") -> tuple[FailureView, ...]:
    """What failed or was lost, in the order of the levels; `before` stands before a level's name.

    What was lost after a pause has a curve and is paused, and keeps its error all the same.
    """
    found = []
    for run in runs[runs["error"].notna()].to_dict("records"):
        lost = run["status"] != "failed"
        heading = (
            f"{before}{run['level']}, replicate {run['replicate']}, seed {run['seed']}: "
            f"{'lost' if lost else 'failed'} after {words.count(run['attempts'], 'attempt')}"
            f"{'; will be tried again' if lost else ''}"
        )
        found.append(FailureView(heading, run["error"], run["traceback"] or ""))
    return tuple(found)


def headline(results: StudyResults, scores: Scores) -> str:
    """One line under the title: data, tasks, replicates."""
    done = int((results.runs["status"] == "done").sum())
    figure = results.definition.figure
    shown = f"{figure} of the paper, o" if figure else "O"
    return (
        f"{shown}n {words.listed(results.sets)}, tasks "
        f"{words.listed(results.tasks)}: {words.count(len(scores.levels), 'level')}, "
        f"{words.count(done, 'finished training')}, "
        f"{words.count(len(scores.paired), 'replicate')} complete at every trained level."
    )


def notices(results: StudyResults, scores: Scores) -> tuple[str, ...]:
    """What a reader must know before the verdicts."""
    record, runs = results.record, results.runs
    first, second = results.tasks
    told = []
    about = results.definition.about
    if about == VIDEO:
        told.append(
            f"The claims are about {about}; here they are judged on the data set {record.data}. "
            f"The paper's click task is read as {first}, its duration task as {second}."
        )
    elif about:
        told.append(f"The claims are about {about}; judged here on {record.data}.")
    for arm, other in record.settings["same"].items():
        told.append(f"{arm} is left out: on this data it is the same model as {other}.")
    if record.settings["chain_dropped"]:
        told.append(
            f"The tasks {first} and {second} form no funnel, so the chain was dropped: where the "
            "study says FSMD, the model trained here is FS."
        )
    if (said := statement(results)) != FIXED:
        told.append(said)
    failed = int((runs["status"] != "done").sum())
    if failed:
        told.append(f"{words.count(failed, 'training')} failed; see Failed trainings.")
    missing = [level for level in scores.levels if level not in scores.trained]
    if missing:
        told.append(
            f"No finished replicate of {words.listed(missing)}: comparisons with "
            f"{'it' if len(missing) == 1 else 'them'} could not be made."
        )
    if results.definition.reference not in scores.levels:
        told.append(
            f"The stored study has no level {results.definition.reference}, which today's "
            "definition compares the others with: it was planned under other names."
        )
    if not scores.samplings and scores.most_shared > 1:
        told.append(
            "No test predictions were kept: intervals and tests cover the seeds alone, not the "
            "finite test set."
        )
    if scores.left_out:
        several = "Replicates" if len(scores.left_out) > 1 else "Replicate"
        told.append(
            f"{several} {words.listed(scores.left_out)} (counted from 0) "
            f"{'are' if len(scores.left_out) > 1 else 'is'} not finished at every trained level. "
            "A comparison is over the replicates that both its levels have, and says how many; "
            "the table of means uses every finished replicate, so its lines may be of different "
            "seeds."
        )
    if scores.most_shared < 2:
        told.append(
            "No two levels share two finished replicates: there is no interval of a difference "
            f"and no test, and nothing can be decided. Run at least {FOR_A_LOOK}."
        )
    elif scores.most_shared < FOR_A_LOOK:
        told.append(
            f"{scores.most_shared} replicates are few: intervals are wide and little can be "
            f"decided. Run {FOR_A_LOOK} for a look, {FOR_A_CLAIM} for a claim."
        )
    elif results.definition.claims and scores.most_shared < FOR_A_CLAIM:
        told.append(
            f"{scores.most_shared} replicates are a look. Before anybody relies on a claim, run "
            f"{FOR_A_CLAIM}: --replicates {FOR_A_CLAIM} adds what is missing."
        )
    return tuple(told)


def statement(results: StudyResults) -> str:
    """Whether what is judged was stated before anything was trained, and what was not."""
    record, now = results.record, stated(results.definition)
    before = record.settings.get(STATED)
    if before is None:
        return (
            "What is judged was not stored when this study was planned: that the claims, the "
            "reference and the margin were stated before it ran cannot be shown from it."
        )
    late = [f"the claim {name}" for name, told in now["claims"].items()
            if before["claims"].get(name) != told]  # fmt: skip
    late += [f"the {name} ({now[name]}, before: {before[name]})"
             for name in ("reference", "margin") if before[name] != now[name]]  # fmt: skip
    gone = [name for name in before["claims"] if name not in now["claims"]]
    told = []
    if late:
        told.append(f"Stated or changed after this study was planned: {words.listed(late)}.")
    if gone:
        told.append(f"Stated when it was planned, and judged no longer: {words.listed(gone)}.")
    known = int((results.runs["finished_at"] < record.created_at).sum())
    if known:
        told.append(
            f"{words.count(known, 'training')} of this study had ended before it was planned, in "
            "another one: its claims may have been stated with their results in view."
        )
    return " ".join(told) or FIXED


def what_ran(results: StudyResults) -> tuple[Fact, ...]:
    """Data, seeds, code, machine and cost, from the database alone."""
    record, runs = results.record, results.runs
    settings, about = record.settings, record.data_facts
    done = runs[runs["status"] == "done"]
    time = (
        f"{words.duration(float(done['seconds'].sum()))} in all, summed over trainings; "
        f"{words.duration(float(done['seconds'].median()))} each in the median"
    )
    facts = [
        ("Tasks", f"{words.listed(results.tasks)}"
         f" ({'a funnel' if about['funnel'] else 'no funnel'})"),
        *(fact for name in results.sets for fact in _data_set(results, name)),
        ("Chain", "dropped: the tasks form no funnel" if settings["chain_dropped"] else None),
        ("Seeds", f"study seed {settings['seed']}; {_seeds(results)}"),
        ("Epochs", f"at most {settings['epochs']}, ended after {settings['patience']} without a "
         "better mean validation AUC"),
        ("Trainings", f"{len(done)} finished, {len(runs) - len(done)} failed"),
        ("Training time", time if len(done) else None),
        ("Device", _each(runs["device"])),
        ("Machine", _each(runs["machine"])),
        ("Code of the model", _each(runs["code"])),
        ("Libraries", _libraries(runs["libraries"])),
        ("Study created", record.created_at),
        ("Last training ended", str(runs["finished_at"].max())),
    ]  # fmt: skip
    return tuple(Fact(label, str(value)) for label, value in facts if value)


def _data_set(results: StudyResults, name: str) -> Iterator[tuple[str, str]]:
    """What the study knows of one of its data sets."""
    known = results.sets[name]
    rows = ", ".join(f"{split} {count:,}" for split, count in known["rows"].items())
    yield "Data set", f"{name}: rows {rows}; {known['fields']} fields"
    yield "Content hash", str(results.record.settings["data_hashes"][name])
    reachable = known["reachable"] or {}
    yield "Best reachable AUC", ", ".join(f"{k} {words.auc(v)}" for k, v in reachable.items())


def _seeds(results: StudyResults) -> str:
    """The replicates' seeds: of all levels, or of each group that is paired."""
    streams: dict[int, list[str]] = {}
    for level, arm in results.record.settings["arms"].items():
        streams.setdefault(arm["stream"], []).append(level)
    told = []
    for levels in streams.values():
        runs = results.runs[results.runs["level"].isin(levels)].sort_values("replicate")
        seeds = ", ".join(map(str, dict.fromkeys(runs["seed"])))
        who = "the same at every level" if len(streams) == 1 else words.listed(levels)
        told.append(f"{who}: {seeds}")
    return f"replicates, {'; '.join(told)}"


def run_command(results: StudyResults) -> str:
    """The command that runs the study, or goes on with it."""
    record, settings = results.record, results.record.settings
    definition = results.definition
    replicates = int(results.runs["replicate"].max()) + 1 if len(results.runs) else 5
    words_ = ["python", "-m", "studies.run", record.definition, "--data", record.data,
              "--replicates", str(replicates)]  # fmt: skip
    for flag in ("epochs", "seed", "device"):
        words_ += [f"--{flag}", str(settings[flag])]
    if record.name != study_name(definition, record.data):
        words_ += ["--name", record.name]
    return shlex.join(words_)


def commands(results: StudyResults) -> tuple[Fact, ...]:
    """How to get the trainings and this report again."""
    return (
        Fact("Run the study again, or go on with it (with the same --storage)",
             run_command(results)),
        Fact("Build this report again (with the same --storage)", shlex.join(
            ["python", "-m", "reports.build", results.record.name])),
    )  # fmt: skip


def how_to_read(
    results: StudyResults, made: Mapping[Question, Comparison], scores: Scores
) -> tuple[str, ...]:
    """What the intervals cover and by which rule verdicts fall."""
    level, margin = f"{100 * ALPHA:g} %", results.definition.margin
    return (
        *(said for said in [statement(results)] if said == FIXED),
        "A replicate is one seed: it decides the initial weights, the order of the batches and "
        f"dropout. {_pairs(results.same_seeds)}",
        "Two kinds of chance are in a difference. Seeds: train again with other seeds and it "
        "moves; more replicates make this part smaller. The test set: it is a sample of finite "
        "size, the same for every replicate, and another one would move the difference too; only "
        "more test rows make this part smaller. "
        f"{_units(scores)} {_covered(scores)}",
        "The interval of a level's own AUC covers the seeds alone: another test set would move "
        "all levels together, which is no difference between them.",
        *rule_in_words(made, margin),
        f"A claim breaks down into conditions that must all be true. It holds if each of them is "
        f"shown at {level}, so the largest p counts; it fails if one of them is shown not to be "
        "true, so the smallest p counts, times the number of conditions; else it is undecided. "
        "Two levels that share fewer than two replicates show nothing. These p are one-sided, and "
        "Holm adjusts them over all claims of the study, two for each, which keeps the chance of "
        "any false verdict at that. Undecided is not equal: more replicates may decide.",
        "A guess of the seeds that would decide takes the estimated mean and scatter for the true "
        "ones and asks for a chance of 80 %; with few seeds it is rough. At least: the test set's "
        "part is too small to be measured, and more may be needed.",
        f"Both tasks at once: the two differences have one joint distribution. A level dominates "
        f"another if it gains {margin:g} or more on a task and loses less than that on the other; "
        "seesaw means that it gains on one and loses on the other, equivalent that it does "
        "neither on either. What is told of each is its posterior probability from a prior "
        f"without information; a verdict needs {LEVEL:g} for one pair, and of k pairs "
        f"1 - {ALPHA:g} / k. To dominate needs 1 - {ALPHA / 2:g} / k for a gain on one task that "
        "can be named, since either task may bring it. A verdict needs three replicates, and may "
        "differ from the comparisons task by task, which ask other questions: whether a "
        "difference is not zero, or inside the margin on one task.",
        "Epochs were chosen on validation data only, by the tasks' mean AUC; a model whose tasks "
        "share nothing is one model for each task, and each chose its own. Test data was "
        "evaluated once, at those epochs, and chose nothing.",
    )


def sources(scores: Scores) -> str:
    """What intervals and tests of differences cover."""
    return "seeds and the finite test set" if scores.samplings else "seeds"


def rule_in_words(made: Mapping[Question, Comparison], margin: float) -> tuple[str, ...]:
    """The rule of the four-way verdict, which nothing in the data changes."""
    sizes = families(made)
    return (
        "The reference is compared with every other level that has the same test set, on both "
        "tasks and on their mean. Each comparison is a paired test: of t over the seeds alone, of "
        "the Behrens-Fisher distribution, which adds the test set's normal part to it, over both "
        "kinds of chance.",
        f"A difference is equivalent if two one-sided tests (TOST) show that it lies inside the "
        f"margin, ±{margin:g} of AUC, whatever its sign; else it is better or worse if a "
        "two-sided test shows that it is not zero; else it is undecided. All at "
        f"{100 * ALPHA:g} % after Holm's adjustment, which keeps the chance of any false finding "
        f"at that in each of two families: the {words.count(sizes.difference, 'test')} of a "
        f"difference, and the {words.count(sizes.equivalence, 'test')} of equivalence. A test "
        "that could not be made still counts.",
    )


def _pairs(same_seeds: bool) -> str:
    """Why replicates of two levels go together."""
    if same_seeds:
        return (
            "Every level is trained with the same seeds, and what the factor does not change "
            "starts equal, so levels are compared seed by seed (paired)."
        )
    return (
        "Here levels have seeds of their own (see What ran). Replicates are paired by their "
        "number alone, which is as valid but takes no chance out of a difference."
    )


def _units(scores: Scores) -> str:
    """What is taken as independent in the test set."""
    known = [sampling.units for sampling in scores.samplings if sampling.units]
    if not known:
        return (
            "Test rows are taken as independent of each other; where one user has several, as in "
            "a video log, this part comes out too small."
        )
    users = " or ".join(f"{n:,}" for n in sorted(set(known)))
    return (
        f"The {users} users of the test rows are taken as independent of each other, not their "
        "rows; a user that train does not know counts once for each row."
    )


def _covered(scores: Scores) -> str:
    """Which levels' test predictions were kept."""
    known = {level for sampling in scores.samplings for level in sampling.levels}
    if not known:
        return (
            "Here only the seeds are covered, because no test predictions were kept: the "
            "intervals are too short for a statement about other test rows."
        )
    paired = {level for levels in scores.pairings.values() for level in levels}
    missing = [level for level in scores.trained if level in paired - known]
    only = f", except with {words.listed(missing)}, without predictions" if missing else ""
    return f"The intervals and tests of differences cover both{only}."


def _each(values: Any) -> str:
    """The different values of a column, in their order."""
    return "; ".join(str(value) for value in dict.fromkeys(values))


def _libraries(values: Any) -> str:
    listed = (", ".join(f"{k} {v}" for k, v in sorted(value.items())) for value in values)
    return _each(listed)
