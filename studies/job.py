"""One run of a study, from what the user asked to the report."""

import json
import os
import shutil
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import sqlalchemy as sa
from rich.console import Console

from fsmd.data import load
from fsmd.data.files import cache_root
from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from fsmd.task import DataRef
from reports import front
from reports.build import Built, build, tell
from studies import catalog, pareto, storage
from studies.dashboard import publish
from studies.definition import Study
from studies.execute import Planner, Tally, open_study, stored_study
from studies.executors import LocalWorkers
from studies.locking import only_planner, this_process
from studies.pareto import SearchOptions
from studies.planning import (
    METHODS,
    Sets,
    cells,
    data_facts,
    differences,
    fixed_settings,
    going_on,
    study_name,
    trained_with,
)
from studies.progress import LiveProgress
from studies.provenance import provenance
from studies.settings import SETTINGS, TrainingSettings
from studies.storage import StudyRecord
from studies.worker import run_task

ARTIFACTS = "artifacts"
"""The folder below --out whose files the dashboard serves."""
SHOWN = 4
"""Figures shown in the dashboard, the report's first; it reads all of them at each refresh."""


@dataclass(frozen=True)
class Job:
    """What the command line asked for; None means the default."""

    study: str
    data: str | None
    replicates: int
    epochs: int | None
    patience: int | None
    workers: int | None
    storage: str
    out: Path
    device: str
    seed: int
    name: str | None
    retry_failed: bool
    search: SearchOptions | None = None
    picks: tuple[str, ...] = ()
    """Rules by which a search's report picks, beside its own."""


def run(job: Job) -> int:
    """Run or go on with a study or a search, and write its report; the exit code.

    Raises UserError for whatever the user can mend. Ctrl-C ends it with all workers.
    """
    if job.search:
        return _search(job, job.search)
    definition = catalog.get(job.study)
    _check(job)
    console = Console(stderr=True)
    sets = _sets(definition, job.data or definition.data, console)
    name = job.name or study_name(definition, next(iter(sets)))
    engine = storage.open_engine(job.storage, create=True)
    started = time.perf_counter()
    with only_planner(engine, name):
        record = open_record(engine, name, definition, sets, job)
        storage.name_planner(engine, name, this_process())
        for data in sets.values():
            storage.record_test_rows(engine, data)
        tally = _train(engine, record, definition, sets, job, console)
    _tell_failed(tally.failed)
    built = _report(engine, name, job, console)
    tell(
        *built.lines,
        f"Trained {tally.trained}, found {tally.known} already there; took "
        f"{time.perf_counter() - started:.0f} s. Dashboard: {_dashboard(job)}",
        f"Report: {built.page}",
    )
    return 1 if tally.failed else 0


def _search(job: Job, options: SearchOptions) -> int:
    """Search, confirm, report."""
    options.check()
    _check(job)
    console = Console(stderr=True)
    data_name = job.data or pareto.DEFAULT_DATA
    with console.status(f"reading the data set {data_name}"):
        data = load(data_name)
    for pick in job.picks:
        front.rule(pick, data.schema.tasks)
    pareto.check_grid(options, data.schema)
    name = job.name or pareto.stored_name(options.space, options.objectives, data_name)
    engine = storage.open_engine(job.storage, create=True)
    started = time.perf_counter()
    with only_planner(engine, name):
        found = storage.find_study(engine, name)
        settings, device = _training(job, data, found)
        asked = {
            **trained_with(settings, job.seed, device),
            **options.sought,
            "arms": {},
            METHODS: [options.method],
            "data_hashes": {data_name: data.content_hash},
        }
        facts = data_facts({data_name: data})
        record = StudyRecord(name, pareto.NAME, data_name, asked, facts, storage.now())
        record = _kept(engine, found, record)
        storage.name_planner(engine, name, this_process())
        storage.record_test_rows(engine, data)
        ref = DataRef(data_name, data.content_hash, data.path)
        workers = job.workers or os.cpu_count() or 1
        outcome = pareto.search(engine, record, ref, options, workers, job.retry_failed, console)
    _tell_failed(outcome.failed)
    built = _report(engine, name, job, console)
    tell(
        *built.lines,
        f"Trained {outcome.trained}, {len(outcome.confirmed)} points on fresh seeds too; took "
        f"{time.perf_counter() - started:.0f} s. Dashboard: {_dashboard(job)}",
        f"Report: {built.page}",
    )
    return 1 if outcome.failed else 0


def _report(engine: sa.Engine, name: str, job: Job, console: Console) -> Built:
    """Write the report, and show what it found in the dashboard."""
    with console.status("writing the report"):
        built = build(engine, name, job.out, job.picks)
        files = [built.page, built.page.with_name("report.pdf"), *built.figures]
        study = stored_study(engine, name)
        publish(study, built.lines, built.figures[:SHOWN], files, job.out / ARTIFACTS)
    return built


def _tell_failed(failed: int) -> None:
    if failed:
        print(
            f"{failed} training{'s' if failed > 1 else ''} failed: the report has the "
            "traceback; --retry-failed tries again",
            file=sys.stderr,
        )


def _dashboard(job: Job) -> str:
    """The command that shows the database."""
    url = sa.make_url(job.storage).render_as_string(hide_password=True)
    return f"optuna-dashboard {url} --artifact-dir {job.out / ARTIFACTS}"


def _sets(definition: Study, name: str, console: Console) -> Sets:
    """The data set asked for and those that some arms bring, by name."""
    if name != definition.data and any(arm.data for arm in definition.arms):
        raise UserError(
            f"study {definition.name!r} brings its own data sets; leave --data out, "
            f"or give --data {definition.data}"
        )
    found: dict[str, Dataset] = {}
    for wanted in dict.fromkeys([name, *(arm.data for arm in definition.arms if arm.data)]):
        with console.status(f"reading the data set {wanted}"):
            found[wanted] = load(wanted)
    return found


def _check(job: Job) -> None:
    for option in ("replicates", "epochs", "patience", "workers"):
        value = getattr(job, option)
        if value is not None and value < 1:
            raise UserError(f"--{option} must be at least 1; got {value}")
    if job.name is not None and not _is_file_name(job.name):
        raise UserError(
            "--name must consist of at most 100 letters, digits, '.', '_' and '-'; "
            f"got {job.name[:120]!r}"
        )
    there = next(path for path in (job.out, *job.out.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise UserError(
            f"--out must be a folder that can be written; {there} "
            + ("is write-protected" if there.is_dir() else "is a file")
        )
    _device(job.device, None)


def _is_file_name(name: str) -> bool:
    return (
        len(name) <= 100
        and name.replace("-", "").replace("_", "").replace(".", "").isalnum()
        and name.isascii()
    )


def open_record(
    engine: sa.Engine, name: str, definition: Study, sets: Sets, job: Job
) -> StudyRecord:
    """The stored study, made now if it is new; UserError if it was run with other settings."""
    found = storage.find_study(engine, name)
    settings, device = _training(job, next(iter(sets.values())), found)
    asked = fixed_settings(definition, settings, sets, job.seed, device)
    main = next(iter(sets))
    record = StudyRecord(name, definition.name, main, asked, data_facts(sets), storage.now())
    return _kept(engine, found, record)


def _kept(engine: sa.Engine, found: StudyRecord | None, asked: StudyRecord) -> StudyRecord:
    """The stored study, as far as it may change; stored now if it is new."""
    if found is None:
        storage.insert_study(engine, asked)
        return asked
    there = {"study": found.definition, "data": found.data}
    now = {"study": asked.definition, "data": asked.data}
    unlike = list(differences(there, now)) or list(differences(found.settings, asked.settings))
    if unlike:
        raise UserError(
            f"study {found.name!r} was run with other settings ({'; '.join(unlike)}); give the "
            "same options to go on with it, or keep this one apart with --name or another "
            "--storage"
        )
    settings = going_on(found.settings, asked.settings)
    if found.settings != json.loads(json.dumps(settings)):  # arms were added to the definition
        storage.update_settings(engine, found.name, settings)
        return replace(found, settings=settings)
    return found


def _training(job: Job, data: Dataset, found: StudyRecord | None) -> tuple[TrainingSettings, str]:
    """How long and where: as asked, else the data set's own; device `auto` as it was."""
    settings = SETTINGS[data.schema.name]
    settings = replace(
        settings,
        epochs=job.epochs or settings.epochs,
        patience=job.patience or settings.patience,
    )
    return settings, _device(job.device, found.settings.get("device") if found else None)


def _device(asked: str, stored: str | None) -> str:
    if asked == "auto":
        if stored and not _is_here(stored):
            raise UserError(
                f"this study was run on {stored} and there is none here; go on where there is, "
                "or keep a run apart with --device cpu --name NAME"
            )
        return stored or ("cuda" if _is_here("cuda") else "cpu")
    kind, colon, index = asked.partition(":")
    if kind not in ("cpu", "cuda") or (colon and (kind == "cpu" or not index.isdigit())):
        raise UserError(f"--device must be auto, cpu, cuda or cuda:N; got {asked!r}")
    if not _is_here(asked):
        raise UserError(f"--device {asked} needs a CUDA device and there is none; use cpu")
    return asked


def _is_here(device: str) -> bool:
    if device == "cpu":
        return True
    if shutil.which("nvidia-smi") is None:
        return False  # spares most planners the import of torch
    import torch

    return int(device.partition(":")[2] or 0) < torch.cuda.device_count()


def _train(
    engine: sa.Engine,
    record: StudyRecord,
    definition: Study,
    sets: Sets,
    job: Job,
    console: Console,
) -> Tally:
    """Bring every cell to its end on worker processes that end with this call."""
    planned = cells(definition, sets, record.settings, job.replicates)
    workers = min(job.workers or os.cpu_count() or 1, len(planned))
    tasks = next(iter(sets.values())).schema.tasks
    executor = LocalWorkers(workers)
    try:
        with LiveProgress(console, len(planned), workers, executor.messages) as progress:
            return Planner(
                engine=engine,
                study=open_study(engine, record.name, tasks),
                tasks=tasks,
                executor=executor,
                work=run_task,
                checkpoints=cache_root() / "checkpoints",
                provenance=provenance(record.settings["device"]),
                slots=workers,
                retry_failed=job.retry_failed,
                listen=progress,
            ).run(planned)
    finally:
        executor.shutdown(cancel_futures=True)
