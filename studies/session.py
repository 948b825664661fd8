"""One run of a study or a search, from what the user asked to the report.

The only file that knows data, database, planner, workers and report at once.
"""

import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple

import sqlalchemy as sa
from rich.console import Console

from fsmd.baselines import Config
from fsmd.command_line import check_folders, print_lines
from fsmd.config import FSMDConfig
from fsmd.data import load
from fsmd.data.files import cache_root, check_cache
from fsmd.data.schema import DataRef, Dataset
from fsmd.errors import UserError, alternatives
from fsmd.runtime import PRECISIONS, Runtime
from fsmd.tasks import Task
from fsmd.terminal import open_console, tell, words
from fsmd.training import Training, form
from studies import catalog
from studies.auto.file import PLAN_FILE, PlanFile, write_plan
from studies.auto.measuring import planned as planned_search
from studies.auto.plan import Deadlines, cut_off, table
from studies.auto.request import deadlines_of, is_automatic, of_plan, with_plan
from studies.costs import measure_latency
from studies.definition import LOOKS, Definition, Search, Study
from studies.estimate import MOST_SECONDS, rehearsed
from studies.objectives import Objective
from studies.planner.design import (
    ARTIFACTS,
    Cell,
    baseline_arms,
    cells_of,
    check,
    check_name,
    differences,
    going_on,
    margins_of,
    plan,
    search_plan,
    study_name,
)
from studies.planner.locking import only_planner, this_process
from studies.planner.looks import WHY, LookByLook, told_of
from studies.planner.planner import Planner, Tally, checkpoint_folder
from studies.planner.progress import SOON_SECONDS, LiveProgress
from studies.planner.provenance import provenance
from studies.precision import may_round
from studies.request import Request
from studies.search.attempt import arms_of, objectives_of
from studies.search.run import check_search, run_search, search_mirror
from studies.store.dashboard import dashboard_command, publish_report
from studies.store.database import is_there, now, opened
from studies.store.looks import StoredLook, insert_look, read_looks
from studies.store.mirror import check_mirror, open_mirror, study_axes, task_objectives
from studies.store.records import StudyRecord
from studies.store.runs import known_cells, record_rows
from studies.store.studies import find_study, insert_study, study_names, update_study
from studies.store.trainings import read_trainings
from studies.timing import EpochTime, measure
from studies.workers.local import LocalWorkers, ThisMachine, processors
from studies.workers.protocol import Hardware, Workers, awaited
from studies.workers.worker import train_all

MOST_OF_ITSELF = 32
"""Trainings of a stack that nobody asked for."""
FIGURES_SHOWN = 4
"""Figures in the dashboard, the report's first; it reads all of them at each refresh."""

COMMAND = "python -m studies.run "
"""The line of a report's answer that begins so is what to run next."""
FAILED = "failed: the report has the traceback; the same command with --retry-failed tries again"
LOST = "lost, for want of memory or disk, or as a worker was ended: the same command tries again"

HERE = ThisMachine()

Sets = Mapping[str, Dataset]
"""Name -> encoded data set: the study's own first, then those that some arms bring."""


class Finished(NamedTuple):
    """A run that came to its end: its stored name, its report, how many trainings failed."""

    name: str
    page: Path
    lines: tuple[str, ...]
    failed: int


def run(request: Request) -> Finished:
    """Run or go on with a study or a search, and write its report.

    Raises UserError for whatever the user can mend. Ctrl-C ends it with all workers.
    """
    with _workers(request) as workers:
        return _run(request, workers)


def _workers(request: Request) -> Workers:
    """Where trainings run.

    Raises UserError for a cluster that is not there.
    """
    if request.cluster is None:
        return LocalWorkers(request.workers or processors())
    try:
        from studies.workers.cluster import ClusterWorkers
    except ImportError as error:
        raise UserError(
            f"--cluster needs dask.distributed, which cannot be loaded ({error}): pip install "
            "'fsmd[cluster]', or leave it out to train on this machine"
        ) from error
    notify = partial(tell, open_console())
    seconds = math.inf if request.budget is None else request.budget
    return ClusterWorkers(request.cluster, request.workers, notify, seconds)


def _run(request: Request, workers: Workers) -> Finished:
    from reports.build import build  # here, as reports import studies
    from reports.build import load as load_report

    began = time.monotonic()
    console = open_console()
    request, sets = _prepared(request, console, began, workers)
    asked = _asked(request, sets)
    with opened(request.storage, create=True) as engine:
        with only_planner(engine, asked.name):
            asked = _as_stated(engine, asked, request)
            check_mirror(engine, asked.name, _sought(asked))
            record = open_record(
                *(engine, asked, request.device, request.precision),
                stack=request.stack,
                replicates=request.seeds(asked.looks),
                hardware=workers,
            )
            if is_automatic(record.definition):
                write_plan(request.out / record.name / PLAN_FILE, record)
            for data in sets.values():
                record_rows(engine, data)
            ends = deadlines_of(engine, record, request, began)
            load_report(record)  # while the workers load what trains
            failed, lost, told = _train(
                *(engine, record, sets, request, console, ends, workers), began=began
            )
        workers.close()
        for count, what in ((failed, FAILED), (lost, LOST)):
            if count:
                print(f"{count} training{'s' if count > 1 else ''} {what}", file=sys.stderr)
        with _doing(console, "writing the report"):
            built = build(engine, record.name, request.out, request.picks, request.have)
            publish_report(
                engine,
                record,
                built.lines,
                built.means,
                figures=built.figures[:FIGURES_SHOWN],
                files=[built.page, built.page.with_name("report.pdf"), *built.figures],
                artifacts=request.out / ARTIFACTS,
            )
    for line in built.lines:
        if line.startswith(COMMAND):  # whole, however narrow the terminal: to be copied
            print(f"{line} {request.of_this_run}".rstrip())
        else:
            print_lines(line)
    print_lines(f"{told}; took {time.monotonic() - began:.0f} s.")
    print(f"Dashboard: {dashboard_command(engine.url, request.out / ARTIFACTS)}")
    print(f"Report: {built.page}")
    return Finished(record.name, built.page, built.lines, failed + lost)


def execute(definition: Definition | str, **options: Any) -> Finished:
    """Run a study or a search, or go on with it; for notebooks.

    definition: one, or the name of one. options: as `Request` has them.
    """
    if isinstance(definition, str):
        definition = catalog.get(definition)
    return run(Request(definition, **options))


def dry_run(request: Request) -> tuple[str, ...]:
    """What `run` would train and how long that would take, in lines.

    Nothing is stored and no report is written; data that was never encoded is encoded.
    """
    with _workers(request) as workers:
        return _rehearsed(request, workers)


def _at_once(request: Request, stack: int, workers: Workers) -> int:
    """How many trainings, or stacks of so many, can run at once now."""
    return min(request.most(stack), workers.slots())


def _rehearsed(request: Request, workers: Workers) -> tuple[str, ...]:
    def measured(training: Training) -> EpochTime:
        return awaited(workers, workers.submit(measure, training, MOST_SECONDS))

    request, sets = _prepared(request, open_console(), time.monotonic(), workers)
    asked = _asked(request, sets)
    with opened(request.storage) if is_there(request.storage) else nullcontext() as engine:
        if engine:
            asked = _as_stated(engine, asked, request)
            record, _ = _agreed(
                *(engine, asked, request.device, request.precision),
                stack=request.stack,
                replicates=request.seeds(asked.looks),
                hardware=workers,
            )
        else:
            runtime = _runtime_of(
                *(asked, None, request.device, request.precision),
                stack=request.stack,
                replicates=request.seeds(asked.looks),
                hardware=workers,
            )
            record = replace(asked, plan=replace(asked.plan, runtime=runtime))
        refs = {data.name: data.ref for data in sets.values()}
        slots = _at_once(request, record.plan.runtime.stack, workers)
        return rehearsed(engine, record, refs, request, measured, slots)


@contextmanager
def _doing(console: Console, what: str) -> Iterator[None]:
    """Show what is done for so long, or say it in a line of a file where that is long."""
    if console.is_terminal:
        with console.status(words(what)):
            yield
        return
    timer = Timer(SOON_SECONDS, tell, (console, what))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _prepared(
    request: Request, console: Console, began: float, workers: Workers
) -> tuple[Request, Sets]:
    """What is asked for, an automatic search by its plan, and its data sets."""
    request, file = of_plan(request)
    request.check()
    if request.name is not None:
        check_name(request.name, "--name")
    check_folders("--out", request.out)
    check_cache()
    if request.cluster is None:  # whose workers may come later than the data is read
        runtime_for(request.device, request.precision, None)
    check(request.definition)
    workers.prepare()  # while the data is read
    sets = _sets(request, console)
    return _automatic(request, file, sets, console, began, workers), sets


def _data(request: Request) -> str:
    return request.definition.data if request.data is None else request.data


def _sets(request: Request, console: Console) -> Sets:
    """The data set asked for and those that some arms bring, by name."""
    definition = request.definition
    name = _data(request)
    arms = definition.arms if isinstance(definition, Study) else ()
    brought = [arm.data for arm in arms if arm.data]
    if name != definition.data and brought:
        raise UserError(
            f"study {definition.name!r} brings its own data sets; leave --data out, "
            f"or give --data {definition.data}"
        )
    sets: dict[str, Dataset] = {}
    for wanted in dict.fromkeys([name, *brought]):
        with _doing(console, f"reading the data set {wanted}"):
            sets[wanted] = load(wanted, request.memory)
    return sets


def _stored(storage: str, name: str) -> StudyRecord | None:
    """A stored study; makes no database."""
    if not is_there(storage):
        return None
    with opened(storage) as engine:
        return find_study(engine, name)


def _automatic(
    request: Request,
    file: PlanFile | None,
    sets: Sets,
    console: Console,
    began: float,
    workers: Workers,
) -> Request:
    """An automatic search as its plan has it: the stored one, that of a file, or a new one."""
    search, data = request.definition, next(iter(sets.values()))
    if not isinstance(search, Search) or search.auto is None:
        return request
    name = request.name or study_name(search, data.name, request.default)
    known = with_plan(request, file, data, _stored(request.storage, name))
    if known is not None:
        return known
    assert request.budget is not None, "without a plan there is a budget"
    settings, slots = request.settings(data), _at_once(request, request.stack or 1, workers)
    runtime = runtime_for(
        *(request.device, request.precision, None),
        rounding=may_round(search),
        hardware=workers,
    )
    search, sizes = planned_search(
        search,
        search_plan(data, settings, request.seed, runtime),
        data.ref,
        budget=request.budget,
        began=began,
        slots=slots,
        workers=workers,
        notify=partial(tell, console),
    )
    assert search.auto is not None, "it has its plan now"
    print(*table(search.auto, sizes), sep="\n")
    return replace(request, definition=search, epochs=sizes.epochs, patience=settings.patience)


def _asked(request: Request, sets: Sets) -> StudyRecord:
    """What is to be stored, on the processor for now; refuses what the data cannot carry."""
    definition, data = request.definition, next(iter(sets.values()))
    settings = request.settings(data)
    if isinstance(definition, Study):
        definition = _with_margins(definition, request.margin, data.schema.tasks)
        if request.picks:
            raise UserError(f"--pick goes with a search only; {definition.name!r} is a study")
        planned = plan(
            *(definition, sets, settings, request.seed, Runtime()),
            halves=request.resample_train,
        )
        names = [arm.name for arm in planned.arms]
        if request.have is not None and request.have not in names:
            raise UserError(
                f"--have {request.have!r} is no arm{alternatives(request.have, names)}"
            )
        methods: tuple[Mapping[str, Any], ...] = ()
    else:
        planned = search_plan(data, settings, request.seed, Runtime())
        planned = replace(planned, arms=baseline_arms(definition, data))
        check_search(definition, planned)
        methods = ({name: getattr(definition, name) for name in Search.METHOD},)
    name = request.name or study_name(definition, data.name, request.default)
    check_name(name, "the name to store it under, which --name sets,")
    folder = request.out / name
    parts = (folder / "figures", folder / "tables", request.out / ARTIFACTS)
    check_folders("--out", folder, *parts)
    own = definition.looks if isinstance(definition, Study) else LOOKS
    record = StudyRecord(
        *(name, definition, definition, planned, now(), methods, this_process()),
        looks=request.looks or own,
    )
    if request.picks:
        from reports.build import check_picks

        check_picks(request.picks, planned.tasks, objectives_of(record))
    return record


def _with_margins(
    study: Study, margins: Sequence[tuple[str, float]], tasks: Sequence[Task]
) -> Study:
    """The study with these margins by metric; UserError for a metric that judges no task here."""
    own = dict.fromkeys(task.metric for task in tasks)
    for metric, _ in margins:
        if metric not in own:
            raise UserError(
                f"--margin {metric} is of no task here{alternatives(metric, list(own))}"
            )
    kept = tuple(each for each in study.margins if each[0] not in dict(margins))
    study = replace(study, margins=(*kept, *margins))
    check(study)
    return study


_WAYS = {
    "": ("settings", "give the same options"),
    "content": ("data", "bring back the files and the description as they were"),
    "code:": ("code", "run it with that code"),
    "looks:": ("looks", "leave --looks out (they are fixed once a study has begun)"),
    "margin": ("margins", "leave --margin out (they are fixed once anything is trained)"),
}
"""First word of a difference -> what is another, and what makes it the same again."""


def _as_stated(engine: sa.Engine, asked: StudyRecord, request: Request) -> StudyRecord:
    """With the looks, and the margins, that were stated first, where none are given now."""
    stored = find_study(engine, asked.name)
    if stored is None:
        return asked
    if request.looks is None:
        asked = replace(asked, looks=stored.looks)
    if request.margin:
        return asked
    kept = _with_margins_of(stored, asked)
    for metric, margin in margins_of(kept).items():
        if margin != margins_of(asked)[metric]:
            tell(open_console(), f"The margin of {metric} stays {margin}, as it was first stated.")
    return kept


def _with_margins_of(one: StudyRecord, other: StudyRecord) -> StudyRecord:
    """The other record with the margins of the one; a search has none."""
    definition, own = other.definition, one.definition
    if not isinstance(definition, Study) or not isinstance(own, Study):
        return other
    return replace(other, definition=replace(definition, margins=own.margins))


def open_record(
    engine: sa.Engine,
    asked: StudyRecord,
    device: str = "cpu",
    precision: str = "auto",
    *,
    stack: int | None = None,
    replicates: int = 1,
    hardware: Hardware = HERE,
) -> StudyRecord:
    """The stored study as it goes on, or the one asked for, stored now if it is new.

    Raises UserError if it was run with other settings.
    """
    record, is_new = _agreed(
        *(engine, asked, device, precision),
        stack=stack,
        replicates=replicates,
        hardware=hardware,
    )
    (insert_study if is_new else update_study)(engine, record)
    return record


def _agreed(
    engine: sa.Engine,
    asked: StudyRecord,
    device: str,
    precision: str,
    *,
    stack: int | None,
    replicates: int,
    hardware: Hardware,
) -> tuple[StudyRecord, bool]:
    """What `open_record` stores, and whether it is new; only reads."""
    for name in study_names(engine):
        if name != asked.name and name.lower() == asked.name.lower():
            raise UserError(
                f"study {asked.name!r} would lie where {name!r} does, on systems that take small "
                "and large letters for the same; choose another --name"
            )
    stored = find_study(engine, asked.name)
    runtime = _runtime_of(
        *(asked, stored, device, precision),
        stack=stack,
        replicates=replicates,
        hardware=hardware,
    )
    asked = replace(asked, plan=replace(asked.plan, runtime=runtime))
    if stored is None:
        return asked, True
    arms = arms_of(engine, stored)
    tried = len(arms) > len(stored.plan.arms) or known_cells(engine, stored.name)
    if stored.is_search and not tried:  # no model keeps its limits: ask otherwise
        return asked, False
    if not tried:  # what is stated before anything is trained may be stated anew
        stored = _with_margins_of(asked, replace(stored, looks=asked.looks))
    unlike = differences(stored, asked)
    if unlike:
        ways = {_WAYS.get(each.split()[0], _WAYS[""]): None for each in unlike}
        other, back = (" and ".join(words) for words in zip(*ways, strict=True))
        raise UserError(
            f"study {stored.name!r} was run with other {other} ({'; '.join(unlike)}); {back} to "
            "go on with it, or keep this one apart with --name or another --storage"
        )
    for _ in read_trainings(engine, stored, arms):
        pass  # nothing goes on from what cannot be
    return going_on(stored, asked), False


def _runtime_of(
    asked: StudyRecord,
    stored: StudyRecord | None,
    device: str,
    precision: str,
    *,
    stack: int | None,
    replicates: int,
    hardware: Hardware,
) -> Runtime:
    """See `runtime_for`."""
    return runtime_for(
        *(device, precision, stored.plan.runtime if stored else None),
        rounding=may_round(asked.definition),
        stack=stack,
        most=largest_stack(asked, replicates),
        hardware=hardware,
    )


def runtime_for(
    device: str,
    precision: str,
    stored: Runtime | None,
    *,
    rounding: bool = False,
    stack: int | None = None,
    most: int = 1,
    hardware: Hardware = HERE,
) -> Runtime:
    """What to train on and in; `auto`, and no stack, are as the study was run, if it was.

    most: trainings that could be one program; a new study on a GPU has such a stack. hardware:
    where it is trained.

    A new one is run in bfloat16 where the device multiplies it fast and its models allow for
    `rounding`. What was stored runs on any device, however slowly.

    Raises UserError for a device that is not here, and for what is no precision.
    """
    on = _device_for(device, stored.device if stored else None, hardware)
    if stack is None and stored:
        stack = stored.stack if stored.kind == Runtime(on).kind else 1
    stack = (1 if on == "cpu" else most) if stack is None else stack
    if precision == "auto":
        if stored:
            return Runtime(on, stored.precision, stack)
        fast = rounding and hardware.multiplies_bfloat16(on)
        return Runtime(on, "bfloat16" if fast else "float32", stack)
    if precision not in PRECISIONS:
        names = ", ".join(PRECISIONS)
        raise UserError(f"--precision must be auto, {names}; got {precision!r}")
    return Runtime(on, precision, stack)


def largest_stack(record: StudyRecord, replicates: int) -> int:
    """How many trainings of a study are of one shape; of a search it is not known before."""
    if record.is_search:
        return 1
    networks = (arm for arm in record.plan.arms if isinstance(arm.config, FSMDConfig))
    alike = Counter((arm.data, form(arm.config)) for arm in networks)
    return min(MOST_OF_ITSELF, replicates * max(alike.values(), default=0)) or 1


def _device_for(asked: str, stored: str | None, hardware: Hardware) -> str:
    """The device to train on: `auto` is the one that the study was run on, else a GPU if there is.

    Raises UserError for a device that is not here.
    """
    if asked == "auto":
        if stored and not hardware.has_device(stored):
            raise UserError(
                f"this study was run on {stored} and there is none here; go on where there is, "
                "or keep a run apart with --device cpu --name NAME"
            )
        return stored or ("cuda" if hardware.has_device("cuda") else "cpu")
    try:
        Runtime(asked)
    except UserError:
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N; got {asked!r}") from None
    if not hardware.has_device(asked):
        raise UserError(f"--device {asked} needs a CUDA device and there is none; use cpu")
    return asked


def stored_cells(
    engine: sa.Engine, record: StudyRecord, refs: Mapping[str, DataRef]
) -> list[tuple[Cell, str]]:
    """The cells of a study whose trainings are stored, and the status of each."""
    known = known_cells(engine, record.name)
    replicates = sorted({replicate for _, replicate in known})
    every = (cell for replicate in replicates for cell in cells_of(record, refs, replicate))
    runs = ((cell, known.get((cell.arm, cell.replicate))) for cell in every)
    return [(cell, run[1]) for cell, run in runs if run and run[0] == cell.training.id]


def _sought(record: StudyRecord) -> tuple[Objective, ...]:
    """What a trial of it is told."""
    return objectives_of(record) if record.is_search else task_objectives(record.plan.tasks)


def _train(
    engine: sa.Engine,
    record: StudyRecord,
    sets: Sets,
    request: Request,
    console: Console,
    ends: Deadlines,
    workers: Workers,
    *,
    began: float,
) -> tuple[int, int, str]:
    """Train whatever is missing, and make the looks that are due.

    How many trainings failed, how many were lost, and how all of them went, in words.
    """
    from reports.build import look_at  # here, as reports import studies

    tasks, count = record.plan.tasks, request.most(record.plan.runtime.stack)
    if record.is_search:
        mirror = search_mirror(engine, record)
    else:
        count = min(count, request.seeds(record.looks) * len(record.plan.arms))
        axes = study_axes(record.study)
        mirror = open_mirror(engine, record.name, tasks, _sought(record), axes)
    planner = Planner(
        engine=engine,
        mirror=mirror,
        workers=workers,
        work=train_all,
        checkpoints=checkpoint_folder(cache_root(), engine),
        provenance=provenance("cpu" if request.cluster else record.plan.runtime.device),
        slots=count,
        retry_failed=request.retry_failed,
        silence=request.silence,
    )
    notify = partial(tell, console)
    refs = {data.name: data.ref for data in sets.values()}  # a path is no name
    with LocalWorkers(1) as thinker:
        here = workers if request.cluster is None else thinker
        if record.is_search:
            data = next(iter(sets.values()))
            outcome = run_search(record, data, planner, console, ends, thinker)
            configs = {attempt.name: attempt.config for attempt in outcome.attempts}
            points: list[tuple[Config, DataRef]] = [
                (configs[name], data.ref) for name in outcome.confirmed
            ]
            points += [(arm.config, data.ref) for arm in record.plan.arms if points]
            measure_latency(engine, points, here, notify)
            told = f"Trained {outcome.trained}, {len(outcome.confirmed)} points on fresh seeds too"
            given = "--budget" if record.search.auto else "--timeout"
            return outcome.failed, outcome.lost, told + cut_off(outcome.unfinished, given)
        stored = stored_cells(engine, record, refs)
        mirror.show(stored)

        def train(planned: Sequence[Cell]) -> Tally:
            with LiveProgress(console, len(planned), planner.at_once, tasks) as planner.listen:
                return planner.run(planned)

        def make(seeds: int) -> StoredLook:
            look = look_at(engine, record, seeds)
            insert_look(engine, record.name, look)
            notify(told_of(record, look))
            return look

        if request.budget is not None:
            planner.deadline = began + request.budget
        going, made = LookByLook(record, refs, train, make), read_looks(engine, record.name)
        is_auto = request.replicates == "auto"
        there = max((cell.replicate + 1 for cell, _ in stored), default=0)
        looked = going.run(made) if is_auto else going.at(request.seeds(record.looks), made, there)
        arms = [(arm.config, refs[arm.data]) for arm in record.plan.arms]
        measure_latency(engine, arms, here, notify)
    tally = looked.tally
    told = f"Trained {tally.trained}, found {tally.known} already there"
    return tally.failed, tally.lost, f"{told}{f'; {WHY[looked.why]}' if is_auto else ''}"
