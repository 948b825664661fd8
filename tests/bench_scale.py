"""What a planner, a database, a report and a dashboard carry; `nox -s bench_scale` ends in JSON.

    python -m tests.bench_scale [--stored 1000 10000] [--workers 2 16 256 1024] [--postgres]

Some ten minutes of a processor; `--stored 100000 --arms 10000` takes an hour.

Trainings are simulated: a thread in the place of the workers waits, and brings figures that were
made up. All else is real: the planner, its agenda, its database, Optuna's copy of it, the report.
Each part runs in a process of its own, so that its peak of memory is its own; CPU-seconds are the
figures to compare, as other work on the machine moves them little. A study has as many trainings
stored as is said before those that are measured, so that it is seen what grows with them.

The workers offer 2,000 trainings a second, however many they are, which is more than a planner
takes: what it takes is what it can. A training of 30 epochs stores 62 numbers here, those by which
it is judged; a real one stores up to 1,500 (--rows), of which the cost is measured too.
"""

import argparse
import heapq
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, ParamSpec, Self, TypeVar

import optuna
import sqlalchemy as sa
from rich.console import Console

from fsmd.config import MODELS
from fsmd.runtime import Runtime
from fsmd.training import Measurement, Training, TrainingProgress, TrainingResult
from studies import catalog
from studies.definition import Factor, Search, Study, factorial
from studies.failure import Failure
from studies.planner.design import Cell, cells, search_plan
from studies.planner.planner import Event, Planner
from studies.planner.progress import LiveProgress
from studies.search.run import run_search, search_mirror
from studies.session import open_record, stored_cells
from studies.store import runs
from studies.store.curves import rows_of
from studies.store.database import open_engine
from studies.store.mirror import Mirror, open_mirror, study_axes, task_objectives
from studies.store.records import StudyRecord
from studies.store.runs import Provenance
from studies.store.studies import find_study, insert_study
from studies.store.tables import CELLS, MEASUREMENTS, RUNS
from studies.workers.protocol import Message, Workers
from tests.cluster import Site
from tests.lab import NOW, SETTINGS, TASKS, Immediate, record_of, small_data
from tests.postgres import running

P = ParamSpec("P")
T = TypeVar("T")
Figures = dict[str, Any]

EPOCHS, REPLICATES, OFFERED, MEASURED = 30, 20, 2000.0, 400
REAL_ROWS = 48
"""Beside the judging ones, in each epoch of a real training of two tasks and ten experts."""
PROVENANCE = Provenance({"torch": "1"}, "a machine")
NAME = "scale"


class SimulatedWorkers(Workers):
    """Workers whose trainings are waited for, all by one thread."""

    def __init__(self, seconds: float) -> None:
        """seconds: how long each training takes."""
        self._seconds, self._order = seconds, count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._told, self._changed = list[Message](), threading.Condition()
        self._closed, self.processor_seconds = False, 0.0
        self._thread = threading.Thread(target=self._wait, daemon=True)
        self._thread.start()

    def prepare(self) -> None:
        """There is nothing to load."""

    def has_device(self, device: str) -> bool:
        """They need none."""
        return True

    def multiplies_bfloat16(self, device: str) -> bool:
        """They multiply nothing."""
        return False

    def slots(self) -> int:
        """As many as the planner is allowed."""
        return sys.maxsize

    def has_room(self, trainings: Sequence[Training], *, overdue: bool = False) -> bool:
        """For all."""
        return True

    def machine(self, future: Future[Any]) -> str:
        """It is this one."""
        return ""

    def end(self, future: Future[Any]) -> None:
        """None of them hangs."""

    def submit(self, work: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """See `studies.workers.protocol`."""
        future: Future[T] = Future()

        def end() -> None:
            try:
                future.set_result(work(*args, **kwargs))
            except BaseException as error:
                future.set_exception(error)

        with self._changed:
            due = time.monotonic() + self._seconds
            heapq.heappush(self._due, (due, next(self._order), end))
            self._changed.notify()
        return future

    def tell(self, training: Training) -> None:
        """As a training tells how far it is."""
        self._told.append((training.id, TrainingProgress({"click": 0.7}, EPOCHS)))

    def withdraw(self, future: Future[Any]) -> bool:
        """All is begun."""
        return False

    def messages(self) -> Iterator[Message]:
        """See `studies.workers.protocol`."""
        told, self._told = self._told, []
        return iter(told)

    def lost(self, error: BaseException) -> bool:
        """None of them dies."""
        return False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _wait(self) -> None:
        while not self._closed:
            with self._changed:
                wait = self._due[0][0] - time.monotonic() if self._due else None
                if wait is None or wait > 0:
                    self._changed.wait(wait)
                    continue
                _, _, end = heapq.heappop(self._due)
            end()
            self.processor_seconds = time.thread_time()


def made_up(training: Training, rows: int = 0) -> TrainingResult:
    """Figures that depend on the training alone; rows: how many of each epoch beside those."""
    draw = int(training.id[:8], 16) / 2**32 - 0.5
    rate = getattr(training.config, "learning_rate", None) or 0.0
    level = 0.75 - 0.05 * rate + 0.004 * draw
    figures = [
        Measurement(epoch, "valid", task.name, "auc", level - 0.1 / epoch)
        for epoch in range(1, EPOCHS + 1)
        for task in TASKS
    ]
    figures += [Measurement(EPOCHS, "test", task.name, "auc", level) for task in TASKS]
    figures += [
        Measurement(epoch, "valid", "click", f"gate_weight_{i}", 0.5 + draw / 2)
        for epoch in range(1, EPOCHS + 1)
        for i in range(rows)
    ]
    chosen = {task.name: EPOCHS for task in TASKS}
    return TrainingResult(tuple(figures), chosen, EPOCHS, True, 60.0, 10**6)


# A study with so many trainings


def study(arms: int) -> Study:
    """So many arms of small networks, which differ in the learning rate."""
    rates = [round(0.0001 + 0.9 * i / arms, 8) for i in range(arms)]
    return Study(
        name=NAME,
        title="Many arms",
        question="What carries how many trainings?",
        factor="learning_rate",
        base=replace(MODELS["fsmd"], layers=(64, 32), tower_width=64),
        arms=factorial((Factor("learning_rate", tuple(rates)),)),
        reference=str(rates[0]),
    )


def record(trainings: int, replicates: int = REPLICATES) -> StudyRecord:
    """The study that has at least so many, on data of four rows."""
    settings = replace(SETTINGS, epochs=EPOCHS, patience=EPOCHS)
    return record_of(study(-(-trainings // replicates)), settings=settings)


def fill(
    url: str, stored: int, planned: int, rows: int = 0, replicates: int = REPLICATES
) -> Figures:
    """Store so many trainings of a study with so many, as a planner has left them."""
    engine, asked = open_engine(url, create=True), record(planned, replicates)
    if find_study(engine, NAME) is None:
        insert_study(engine, asked)
    own = cells_of(asked, replicates)[:stored]
    with engine.connect() as connection:
        there = connection.scalar(sa.select(sa.func.count()).select_from(RUNS)) or 0
    for start in range(there, stored, 500):
        some = own[start : start + 500]
        results = [(cell, made_up(cell.training, rows)) for cell in some]
        with engine.begin() as connection:
            rows_ = [
                (c.training.id, runs.row_of(c.training, r, 1, PROVENANCE)) for c, r in results
            ]
            ended = [{"id": id, **row, "error": None, "traceback": None} for id, row in rows_]
            connection.execute(sa.insert(RUNS), ended)
            linked = [
                {"study": NAME, "arm": c.arm, "replicate": c.replicate, "run_id": c.training.id}
                for c in some
            ]
            connection.execute(sa.insert(CELLS), linked)
            measured = [
                {"run_id": c.training.id, **row}
                for c, r in results
                for row in rows_of(r.measurements)
            ]
            connection.execute(sa.insert(MEASUREMENTS), measured)
    began = time.process_time()
    refs = {facts.name: small_data().ref for facts in asked.plan.sets}
    mirror_of(engine, asked).show(stored_cells(engine, asked, refs))
    return {"mirror_made_cpu_seconds": time.process_time() - began}


def cells_of(asked: StudyRecord, replicates: int = REPLICATES) -> tuple[Cell, ...]:
    refs = {facts.name: small_data().ref for facts in asked.plan.sets}
    return cells(asked, refs, replicates)


def mirror_of(engine: sa.Engine, asked: StudyRecord) -> Mirror:
    axes = study_axes(asked.study)
    return open_mirror(engine, asked.name, TASKS, task_objectives(TASKS), axes)


# The planner


def planner(url: str, stored: int, new: int, workers: int, planned: int, rows: int = 0) -> Figures:
    """Go on with a study, as `studies.run` does, until so many more trainings are there.

    planned: how many it has in all, as it was filled.
    """
    marks = {"begun": _mark()}
    engine = open_engine(url, create=True)
    asked = open_record(engine, record(planned))
    marks["opened"] = _mark()
    mirror, refs = mirror_of(engine, asked), {"planted": small_data().ref}
    mirror.show(stored_cells(engine, asked, refs))
    marks["shown"] = _mark()
    wanted = cells_of(asked)[: stored + new]
    simulated = SimulatedWorkers(workers / OFFERED)

    def work(
        trainings: Sequence[Training], checkpoints: Sequence[Path], until: int | None
    ) -> list[TrainingResult | Failure]:
        for training in trainings:
            simulated.tell(training)
        return [made_up(training, rows) for training in trainings]

    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        planner = Planner(
            engine=engine,
            mirror=mirror,
            workers=simulated,
            work=work,
            checkpoints=Path(folder),
            provenance=PROVENANCE,
            slots=workers,
        )
        with LiveProgress(Console(file=nowhere), len(wanted), workers, TASKS) as progress:

            def listen(event: Event) -> None:
                if event.kind == "started" and "started" not in marks:
                    marks["started"] = _mark()
                if event.kind in ("done", "failed"):
                    marks["ended"] = _mark()
                progress(event)

            planner.listen = listen
            tally = planner.run(wanted)
        simulated.close()
    marks["closed"] = _mark()
    engine.dispose()
    assert (tally.known, tally.trained, tally.failed) == (stored, new, 0), tally
    wall, cpu = (
        after - before for before, after in zip(marks["started"], marks["ended"], strict=True)
    )
    cpu -= simulated.processor_seconds
    return {
        "stored": stored,
        "workers": workers,
        "cpu_ms_a_training": 1000 * cpu / new,
        "wall_ms_a_training": 1000 * wall / new,
        "trainings_a_second": new / wall,
        "start_wall_seconds": marks["started"][0] - marks["begun"][0],
        "start_cpu_seconds": marks["started"][1] - marks["begun"][1],
        "of_which_checking": marks["opened"][1] - marks["begun"][1],
        "of_which_mirror": marks["shown"][1] - marks["opened"][1],
        "end_cpu_seconds": marks["closed"][1] - marks["ended"][1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _mark() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def report(url: str) -> Figures:
    """The whole report of what is stored, by the command itself, with its start."""
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "reports.build", NAME, "--storage", url, "--out", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        files = [path for path in (Path(folder) / NAME).iterdir() if path.is_file()]
        sizes = {path.name: path.stat().st_size / 1e6 for path in files}
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "cpu_seconds": used.ru_utime + used.ru_stime,
        "wall_seconds": time.perf_counter() - began,
        "peak_mb": used.ru_maxrss / 1024,
        "mb_of_files": sizes,
    }


# A search, Optuna, its dashboard


def search(url: str, trials: int, workers: int, sampler: str) -> Figures:
    """A search of so many trainings, none of which is stopped; CPU-seconds of its quarters."""
    engine = open_engine(url, create=True)
    settings = replace(SETTINGS, epochs=EPOCHS, patience=EPOCHS)
    data, ends = small_data(), list[float]()
    catalogued = catalog.get("pareto")
    assert isinstance(catalogued, Search)
    asked = replace(
        catalogued,
        space="full",
        trials=trials,
        sampler=sampler,
        pruner="none",
        confirm=0,
        baselines=(),
    )
    plan = search_plan(data, settings, seed=0, runtime=Runtime())
    method = {name: getattr(asked, name) for name in Search.METHOD}
    stored = StudyRecord(NAME, asked, asked, plan, NOW, (method,))
    insert_study(engine, stored)
    simulated = SimulatedWorkers(workers / OFFERED)

    def work(trainings: Sequence[Training], *_: object) -> list[TrainingResult | Failure]:
        ends.append(time.process_time() - simulated.processor_seconds)
        return [made_up(training) for training in trainings]

    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as nowhere:
        planner = Planner(
            engine=engine,
            mirror=search_mirror(engine, stored),
            workers=simulated,
            work=work,
            checkpoints=Path(folder),
            provenance=PROVENANCE,
            slots=workers,
        )
        outcome = run_search(stored, data, planner, Console(file=nowhere), thinker=Immediate())
        simulated.close()
    assert outcome.trained == trials, outcome.trained
    quarter = trials // 4
    return {
        "trials": trials,
        "sampler": sampler,
        "cpu_ms_a_training_by_quarters": [
            1000 * (ends[i + quarter - 1] - ends[i]) / (quarter - 1)
            for i in range(0, 4 * quarter, quarter)
        ],
    }


def optuna_calls(url: str, calls: int = 20) -> Figures:
    """What Optuna's own calls take on a study that is stored."""
    storage = optuna.storages.RDBStorage(url)
    study, template = optuna.load_study(study_name=NAME, storage=storage), None
    began = time.process_time()
    trials = study.get_trials(deepcopy=False)
    read = time.process_time() - began
    template = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params=trials[0].params,
        distributions=trials[0].distributions,
        user_attrs=trials[0].user_attrs,
    )
    began = time.process_time()
    for _ in range(calls):
        added = storage.get_trial(storage.create_new_trial(study._study_id, template))
        study.tell(added.number, [0.5, 0.5])
    told = (time.process_time() - began) / calls
    return {"trials": len(trials), "ms_a_trial": 1000 * told, "read_all_cpu_seconds": read}


def cluster(in_flight: int, trainings: int, seconds: float) -> Figures:
    """Simulated trainings on a Dask cluster of one worker: what the scheduler and we take."""
    from studies.workers.cluster import ClusterWorkers

    with tempfile.TemporaryDirectory() as folder, Site(Path(folder)) as site:
        scheduler = site.scheduler()
        site.worker(
            *("--nthreads", str(in_flight), "--preload", "tests.simulated_worker"),
            environment={"FSMD_SIMULATED_SECONDS": str(seconds)},
        )
        with ClusterWorkers(str(site.file), in_flight) as workers:
            for _ in _ended(workers, in_flight, in_flight):  # which starts all that is to start
                pass
            before, began = _processor_seconds(scheduler.pid), _mark()
            for _ in _ended(workers, trainings, in_flight):
                pass
            wall, cpu = (b - a for a, b in zip(began, _mark(), strict=True))
            of_scheduler = _processor_seconds(scheduler.pid) - before
    return {
        "in_flight": in_flight,
        "trainings": trainings,
        "trainings_a_second": trainings / wall,
        "scheduler_cpu_ms_a_training": 1000 * of_scheduler / trainings,
        "own_cpu_ms_a_training": 1000 * cpu / trainings,
    }


def _ended(workers: Workers, trainings: int, in_flight: int) -> Iterator[TrainingResult]:
    """Results of so many trainings, of which no more are under way at once."""
    left, under_way = trainings, set[Future[TrainingResult]]()
    while left or under_way:
        while left and len(under_way) < in_flight:
            under_way.add(workers.submit(_of_number, left))
            left -= 1
        ended, under_way = wait(under_way, return_when=FIRST_COMPLETED)
        yield from (future.result() for future in ended)
        list(workers.messages())


def _of_number(number: int) -> TrainingResult:
    """As large an answer as a training's."""
    figures = tuple(
        Measurement(epoch, "valid", task.name, "auc", 0.7 + 1e-6 * number)
        for epoch in range(1, EPOCHS + 1)
        for task in TASKS
    )
    return TrainingResult(figures, {task.name: 1 for task in TASKS}, EPOCHS, True, 60.0, 10**6)


def dashboard(url: str, name: str = NAME) -> Figures:
    """optuna-dashboard itself: seconds and megabytes of its answers on a study, first and next."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("optuna-dashboard")
    command = [str(program), url, "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answer(path: str) -> tuple[float, bytes]:
        before, began = _processor_seconds(server.pid), time.perf_counter()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}") as reply:
            body: bytes = reply.read()
        wall = time.perf_counter() - began
        return max(_processor_seconds(server.pid) - before, 0.0) or wall, body

    try:
        for _ in range(600):
            with suppress(OSError):
                answer("meta")
                break
            time.sleep(0.1)
        _, listed = answer("studies")
        (number,) = (
            study["study_id"]
            for study in json.loads(listed)["study_summaries"]
            if study["study_name"] == name
        )
        first, body = answer(f"studies/{number}?after=0")
        count = len(json.loads(body)["trials"])
        following, after = answer(f"studies/{number}?after={count}")
        peak = _status(server.pid, "VmHWM") / 1024
    finally:
        server.kill()
        server.wait()
    return {
        "trials": count,
        "first_cpu_seconds": first,
        "first_mb": len(body) / 1e6,
        "refresh_cpu_seconds": following,
        "refresh_mb": len(after) / 1e6,
        "peak_mb": peak,
    }


def _processor_seconds(pid: int) -> float:
    """That a process has taken, of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


# All of it


PARTS: Mapping[str, Callable[..., Figures]] = {
    part.__name__: part
    for part in (fill, planner, report, search, optuna_calls, dashboard, cluster)
}


def measured(part: str, *arguments: Any) -> Figures:
    """What a part says, in a process of its own."""
    command = [sys.executable, "-m", "tests.bench_scale", "--part", json.dumps([part, *arguments])]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise RuntimeError(f"{part} {arguments}: {run.stderr}")
    figures: Figures = json.loads(run.stdout.splitlines()[-1])
    print(part, *arguments[1:], figures, file=sys.stderr)
    return figures


def of_database(new: Callable[[], str], options: argparse.Namespace) -> Figures:
    """What a planner takes on a kind of database; new: the URL of an empty one."""
    by_stored, by_workers = [], []
    for stored in options.stored:
        url, planned = new(), stored + MEASURED * (1 + len(options.workers))
        filled = measured("fill", url, stored, planned)
        by_stored.append({**measured("planner", url, stored, MEASURED, 16, planned), **filled})
        if stored == options.stored[0]:
            there = stored + MEASURED
            for workers in options.workers:
                by_workers.append(measured("planner", url, there, MEASURED, workers, planned))
                there += MEASURED
    url = new()
    measured("fill", url, 0, 200)
    whole = measured("planner", url, 0, 200, 16, 200, REAL_ROWS)
    return {"by_stored": by_stored, "by_workers": by_workers, "whole_curves": whole}


def main() -> None:
    """Run all parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stored", type=int, nargs="+", default=[1000, 10000])
    parser.add_argument("--workers", type=int, nargs="+", default=[2, 16, 256, 1024])
    parser.add_argument("--arms", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--postgres", action="store_true", help="on a server that syncs, too")
    parser.add_argument("--part", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        name, *arguments = options.part
        print(json.dumps(PARTS[name](*arguments)))
        return
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as folder:
        names = (f"sqlite:///{folder}/{i}.db" for i in count())
        new = partial(next, names)
        figures["sqlite"] = of_database(new, options)
        figures["reports"] = []
        for arms in options.arms:
            url, trainings = new(), 10 * arms
            measured("fill", url, trainings, trainings, 0, 10)
            figures["reports"].append({"arms": arms, **measured("report", url)})
            figures.setdefault("dashboard", []).append(measured("dashboard", url))
            figures.setdefault("optuna", []).append(measured("optuna_calls", url))
            Path(url.removeprefix("sqlite:///")).unlink()
        figures["clusters"] = [measured("cluster", n, 4 * n + 200, 0.2) for n in (16, 256)]
        figures["searches"] = [
            measured("search", new(), trials, 16, "random") for trials in (100, 400, 1000)
        ]
        if options.postgres:
            with running(fsync=True) as server:
                figures["postgresql"] = of_database(server.new_database, options)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
