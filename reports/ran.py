"""What ran, on what, and how to run it again: of studies and of searches, from the database."""

import shlex
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from fsmd.config import FSMDConfig
from fsmd.half import rows_of_half
from fsmd.metrics import METRICS
from fsmd.stats.estimates import ALPHA
from fsmd.tasks import is_funnel
from reports import words
from reports.page.model import Fact, FailureView, Report, numbered
from reports.results import StudyResults
from studies.definition import Search
from studies.planner.design import study_name
from studies.store.looks import read_looks
from studies.store.records import DataFacts
from studies.timing import spoken

FOR_A_LOOK = 5
"""Replicates below which a report warns."""
FEW_NAMED = 3
"""Arms that a notice names; of more it says how many."""
FEW_SAMPLED = 20
"""Users, requests or items of the test rows below which a report warns."""


def on_what(results: StudyResults) -> str:
    """How a headline begins: `on planted, tasks click and like`."""
    sets = [facts.name for facts in results.record.plan.sets]
    noun = "task" if len(results.tasks) == 1 else "tasks"
    return f"on {words.listed(sets)}, {noun} {words.listed(results.task_names)}"


def sources(results: StudyResults, sampled: bool | None = None) -> str:
    """What intervals and tests of differences cover.

    sampled: whether test predictions count there; None: as they do in differences.
    """
    sampled = bool(results.test.samplings) if sampled is None else sampled
    halves = ["halves of the training rows"] * results.record.plan.halves
    return words.listed(
        ["seeds", *halves, *[f"the finite test set{_of_items(results)}"] * sampled]
    )


def _of_items(results: StudyResults) -> str:
    """What of the test set is a sample, where items are; empty where they are not."""
    samplings = results.test.samplings
    if not any(sampling.items for sampling in samplings):
        return ""
    units = sorted({f"{sampling.unit}s" for sampling in samplings if sampling.units})
    blind = blind_to_items(results)
    less = f"; of {words.listed(blind)} its {words.listed(units or ['rows'])} alone"
    return f" (its {words.listed([*units, 'items'])}{less if blind else ''})"


def blind_to_items(results: StudyResults) -> tuple[str, ...]:
    """Labels of the tasks' metrics whose intervals cannot speak of new items."""
    metrics = (METRICS[task.metric] for task in results.tasks)
    return tuple(dict.fromkeys(metric.label for metric in metrics if not metric.by_row))


def few_sampled(results: StudyResults) -> str:
    """A notice; empty where users and items are enough."""
    samplings = results.test.samplings
    counts = [(s.units, s.unit) for s in samplings] + [(s.items, "item") for s in samplings]
    few = dict.fromkeys(words.count(n, noun) for n, noun in counts if n and n < FEW_SAMPLED)
    return (
        f"The test rows have {words.listed(few)} only: below about {FEW_SAMPLED}, intervals are "
        "too narrow for new ones."
        if few
        else ""
    )


def cut_off(results: StudyResults) -> str:
    """A notice of networks that the limit on epochs ended at their best; empty if of none most."""
    most, networks, ended = results.record.plan.settings.epochs, 0, list[str]()
    for arm, runs in results.finished.items():
        planned = results.planned_arm(arm)
        if planned and isinstance(planned.config, FSMDConfig):
            networks += 1
            last = [run for run in runs if most in (run.chosen_epochs or {}).values()]
            ended += [arm] * (2 * len(last) > len(runs))
    if not ended or most == 1:  # the only one is the last
        return ""
    many = f"{len(ended)} of {words.count(networks, 'network')}"
    who = words.listed(ended) if len(ended) <= FEW_NAMED else many
    return (
        f"In most trainings of {who} a task was at its best in the last of at most "
        f"{words.count(most, 'epoch')}: with more, by --epochs, "
        f"{'it' if len(ended) == 1 else 'they'} may be better than is told here."
    )


def at_level() -> str:
    """The chance of any false statement in a family of tests, as it is written."""
    return f"{100 * ALPHA:g} %"


def report_of(results: StudyResults, *, arm: str = "", **found: Any) -> Report:
    """A report of what ran, with what was found (fields of `Report`), numbered.

    arm: what stands before an arm's name.
    """
    record = results.record
    report = Report(
        study=record.name,
        title=record.definition.title,
        question=record.definition.question,
        failures=failures(results.runs, arm),
        **{"facts": what_ran(results), "commands": commands(results)} | found,
    )
    return numbered(report)


# Failures


def failures(runs: pd.DataFrame, before: str = "") -> tuple[FailureView, ...]:
    """What failed or was lost, in the order of the arms; `before` stands before an arm's name.

    What was lost after a pause has a curve and is paused, and keeps its error all the same.
    """
    views = []
    for run in runs[runs["error"].notna()].to_dict("records"):
        again = "" if run["status"] == "failed" else "; will be tried again"
        heading = (
            f"{before}{run['arm']}, replicate {run['replicate']}, seed {run['seed']}: "
            f"{'lost' if again else 'failed'} after {words.count(run['attempts'], 'attempt')}"
            f"{again}"
        )
        views.append(FailureView(heading, run["error"], run["traceback"] or ""))
    return tuple(views)


def of_failed(count: int) -> str:
    """A notice; empty where nothing failed."""
    return f"{words.count(count, 'training')} failed; see Failed trainings." if count else ""


# Facts


def what_ran(results: StudyResults) -> tuple[Fact, ...]:
    """Data, seeds, code, machine and cost."""
    record, runs, plan = results.record, results.runs, results.record.plan
    settings, stack = plan.settings, plan.runtime.stack
    facts = [
        ("Tasks", _tasks(results)),
        *(fact for data in plan.sets for fact in _data_set(results, data)),
        ("Chain", "dropped: no task follows another" if plan.chain_dropped else ""),
        ("Seeds", f"study seed {plan.seed}; {_seeds(results)}"),
        (
            "Training rows",
            f"each replicate has a half of its own, {rows_of_half(plan.data.rows['train']):,} "
            "rows, the same for every arm"
            if plan.halves
            else "",
        ),
        (
            "Epochs",
            f"at most {settings.epochs}, ended after {settings.patience} without better "
            "validation figures",
        ),
        ("Trainings", _trainings(results)),
        ("Training time", _time(results)),
        ("Device", _unlike((runtime["device"] for runtime in runs["runtime"]), "; ")),
        ("Precision", _unlike((runtime["precision"] for runtime in runs["runtime"]), "; ")),
        ("Stack", f"up to {stack} trainings as one program" if stack > 1 else ""),
        ("Machine", _unlike(runs["machine"].unique(), "; ")),
        ("Code of the model", _unlike(runs["code"].unique(), "; ")),
        ("Libraries", _unlike(map(_libraries, runs["libraries"]), "; ")),
        (f"{_kind(results).capitalize()} created", record.created_at),
        ("Last training ended", str(runs["finished_at"].max())),
    ]
    return tuple(Fact(label, value) for label, value in facts if value)


def _kind(results: StudyResults) -> str:
    return "search" if results.record.is_search else "study"


def _tasks(results: StudyResults) -> str:
    """Each with the task that it follows and with its metric."""
    funnel = "a funnel" if is_funnel(results.tasks) else "no funnel"
    described = []
    for task in results.tasks:
        after = f", after {task.after}" if task.after else ""
        described.append(f"{task.name} ({METRICS[task.metric].label}{after})")
    return f"{words.listed(described)}; {funnel}"


def _data_set(results: StudyResults, data: DataFacts) -> Iterator[tuple[str, str]]:
    rows = ", ".join(f"{split} {count:,}" for split, count in data.rows.items())
    yield "Data set", f"{data.name}: rows {rows}; {data.fields} fields"
    yield "Content hash", data.content_hash
    if data.reachable is not None:
        best = (
            f"{task.name} {words.figure(data.reachable[task.name], METRICS[task.metric])}"
            for task in results.tasks
        )
        yield f"Best reachable {words.measured(results.targets)}", ", ".join(best)


def _seeds(results: StudyResults) -> str:
    """The replicates' seeds: of all arms, or of each group that is paired."""
    runs = results.runs.sort_values("replicate")
    if results.record.is_search:
        from studies.search.attempt import SEARCH_REPLICATE

        fresh = runs["replicate"] != SEARCH_REPLICATE
        said = _unlike(runs[~fresh]["seed"]) or "none", _unlike(runs[fresh]["seed"]) or "none"
        return f"the search {said[0]}; fresh {said[1]}"
    streams: dict[int, list[str]] = {}
    for arm in results.planned:
        streams.setdefault(arm.stream, []).append(arm.name)
    groups = (
        ("the same for every arm" if len(streams) == 1 else words.listed(arms))
        + f": {_unlike(runs[runs['arm'].isin(arms)]['seed'])}"
        for arms in streams.values()
    )
    return f"replicates, {'; '.join(groups)}"


def _trainings(results: StudyResults) -> str:
    done, failed = len(results.done), len(failures(results.runs))
    paused = int((results.runs["status"] == "paused").sum())
    if results.record.is_search:
        return f"{done} trained to the end, {paused} stopped or not finished, {failed} failed"
    unfinished = len(results.runs) - done - failed
    return f"{done} finished, {failed} failed{f', {unfinished} not finished' * bool(unfinished)}"


def _time(results: StudyResults) -> str:
    """Empty where nothing was finished."""
    is_search = results.record.is_search
    seconds = (results.runs if is_search else results.done)["seconds"]
    in_all = f"{spoken(float(seconds.sum()))} by the clock, summed over trainings"
    if is_search or seconds.empty:
        return in_all if is_search else ""
    return f"{in_all}; {spoken(float(seconds.median()))} each in the median"


def _libraries(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))


def _unlike(values: Iterable[object], between: str = ", ") -> str:
    """The different values of a column, in their order."""
    return between.join(map(str, dict.fromkeys(values)))


# Commands


def run_command(results: StudyResults, **other: object) -> str:
    """The command that runs the study or the search, or goes on with it, with `other` options."""
    record, plan = results.record, results.record.plan
    stack = plan.runtime.stack
    asked: dict[str, object] = {"data": plan.data.asked or plan.data.name}
    if record.is_search:
        asked |= _asked_of_search(record.search)
    else:
        runs = results.runs
        asked["replicates"] = int(runs["replicate"].max()) + 1 if len(runs) else FOR_A_LOOK
        looks = read_looks(results.engine, record.name)
        if looks and (runs.groupby("arm")["replicate"].max() + 1 < looks[-1].seeds).any():
            asked["replicates"] = "auto"  # some arms had no need of more seeds
    if not (record.is_search and record.search.auto):  # whose plan has them
        asked |= {"epochs": plan.settings.epochs, "patience": plan.settings.patience}
    asked |= {
        "seed": plan.seed,
        "device": plan.runtime.device,
        "precision": plan.runtime.precision,
        "stack": stack if stack > 1 or plan.runtime.kind != "cpu" else None,
    }
    if not record.is_search and record.looks != record.study.looks:
        asked["looks"] = ",".join(map(str, record.looks))
    stated = [] if record.is_search else record.study.margins
    if own := [f"{m}={v!r}" for m, v in stated if m in {task.metric for task in results.tasks}]:
        asked["margin"] = ",".join(own)
    if record.name != study_name(record.definition, plan.data.name):
        asked["name"] = record.name
    asked |= other
    parts = ["python", "-m", "studies.run", record.definition.file or record.definition.name]
    for name, value in asked.items():
        if value is not None:
            told = (",".join(value) or "none") if isinstance(value, tuple) else str(value)
            parts += [f"--{name.replace('_', '-')}", told]
    if not record.is_search:
        parts += [*["--resample-train"] * plan.halves, *record.study.asked]
    return shlex.join(parts)


def _asked_of_search(search: Search) -> dict[str, object]:
    """Its options; of an automatic one the time that it had, from which its plan follows."""
    if search.auto is None:
        return {name: getattr(search, name) for name in (*Search.SOUGHT, *Search.METHOD)}
    own = ("space", "objectives", "max_params", "baselines")
    asked = {name: getattr(search, name) for name in own}
    return asked | {"budget": f"{search.auto.budget:.10g}s"}


def export_command(results: StudyResults, arm: str) -> Fact:
    """How to make a model of an arm, which scores new rows."""
    pick = ["--pick", f"arm:{arm}", "--out", "model/"]
    command = shlex.join(["python", "-m", "studies.export", results.record.name, *pick])
    return Fact(f"Make a model of {arm} that scores new rows", command)


def commands(results: StudyResults) -> tuple[Fact, ...]:
    """How to get the trainings and this report again."""
    again = shlex.join(["python", "-m", "reports.build", results.record.name])
    return (
        Fact(
            f"Run the {_kind(results)} again, or go on with it (with the same --storage)",
            run_command(results),
        ),
        Fact("Build this report again (with the same --storage)", again),
    )
