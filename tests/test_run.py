"""The command line as a user meets it: real processes, a real database, real signals."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fsmd.config import MODELS, FSMDConfig
from fsmd.data import load
from fsmd.data.planted import PlantedConfig, load_planted
from fsmd.task import DataRef, TrainingTask
from fsmd.training import train
from studies import catalog
from studies.executors import LocalWorkers
from studies.worker import run_task

LEVELS = ("constant", "increasing", "decreasing", "diamond")

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds the workers in /proc"
)


@dataclass(frozen=True)
class Desk:
    """A folder to work in, and what lies in its database."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "studies.run", *arguments]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), cwd=self.folder, capture_output=True, text=True, timeout=200
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments), cwd=self.folder, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def rows(self, query: str) -> list[tuple[object, ...]]:
        path = self.folder / "studies.db"
        if not path.exists():
            return []
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
        try:
            return connection.execute(query).fetchall()
        except sqlite3.OperationalError:  # the tables are not made yet
            return []
        finally:
            connection.close()

    def runs(self, status: str = "done") -> int:
        return len(self.rows(f"SELECT id FROM fsmd_runs WHERE status = '{status}'"))

    def trial_states(self) -> list[str]:
        return sorted(str(row[0]) for row in self.rows("SELECT state FROM trials"))


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def workers_of(pid: int) -> list[int]:
    """The training processes below a planner."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [
        int(child)
        for child in children
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def checkpoints() -> list[Path]:
    return list((Path(os.environ["FSMD_CACHE"]) / "checkpoints").glob("*.ckpt"))


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One study that goes through all of this module's mishaps in turn."""
    load(DATA)  # so that no test waits for the encoding
    return Desk(tmp_path_factory.mktemp("desk"))


DATA = "planted:rows=20000"
SHORT = ("tower_shape", "--name", "tower_shape", "--data", DATA, "--epochs", "2",
         "--workers", "2", "--replicates")  # fmt: skip


@needs_proc
def test_from_command_to_page_although_a_worker_is_killed(desk: Desk) -> None:
    process = desk.start(*SHORT, "1")
    wait_for(lambda: len(checkpoints()) == 2, process)  # an epoch is over in both workers
    first, second = workers_of(process.pid)
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGTERM)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    told = r"retried: \w+, replicate 1: the worker process was (killed|asked to end \(.*\))"
    assert [line for line in err.splitlines() if not re.fullmatch(told, line)] == []
    assert len(err.splitlines()) == 2  # and no bar: this is no terminal
    assert desk.runs() == 4
    assert [row[0] for row in desk.rows("SELECT attempts FROM fsmd_runs ORDER BY attempts")] == [
        1, 1, 2, 2,
    ]  # fmt: skip
    assert desk.trial_states() == ["COMPLETE"] * 4
    assert out.splitlines()[-1] == f"Report: {Path('out/tower_shape/report.html')}"
    assert f"optuna-dashboard sqlite:///studies.db --artifact-dir {Path('out/artifacts')}" in out
    assert out.count("UNDECIDED") == len(catalog.get("tower_shape").claims)
    page = (desk.folder / "out/tower_shape/report.html").read_text("utf-8")
    assert all(level in page for level in LEVELS)
    summary = json.loads((desk.folder / "out/tower_shape/summary.json").read_text())
    assert (summary["data"], summary["replicates"]) == (DATA, 1)
    assert not checkpoints()
    kept = [path.read_bytes() for path in (desk.folder / "out/artifacts").iterdir()]
    assert page.encode() in kept
    noted = desk.rows("SELECT value_json FROM study_system_attributes WHERE key LIKE '%note%'")
    assert any("undecided" in str(row).lower() for row in noted)


def test_a_run_among_others_measured_what_it_measures_alone(desk: Desk) -> None:
    """Also the one that was killed, and went on from its checkpoint in another process."""
    data = load(DATA)
    query = "SELECT id, config, seed FROM fsmd_runs ORDER BY attempts DESC LIMIT 1"
    ((run_id, config, seed),) = desk.rows(query)
    task = TrainingTask(
        FSMDConfig.from_dict(json.loads(str(config))),
        DataRef(DATA, data.content_hash, data.path),
        seed=int(str(seed)), epochs=2, patience=2,
    )  # fmt: skip
    assert task.id == run_id
    stored = desk.rows(
        "SELECT epoch, split, task, metric, value FROM fsmd_measurements"
        f" WHERE run_id = '{run_id}'"
    )
    measured = train(task).measurements
    assert sorted(stored) == sorted(
        (m.epoch, m.split, m.task, m.metric, m.value) for m in measured
    )


@needs_proc
def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    data = load_planted(PlantedConfig(rows=4000, users=100, videos=50))
    config = replace(MODELS["base"], layers=(16,), tower_width=8, batch_size=64)
    ref = DataRef("planted", data.content_hash, data.path)
    task = TrainingTask(config, ref, seed=1, epochs=6, patience=6)
    with LocalWorkers(1) as workers:
        epochs: list[int] = []

        def collect(until: Callable[[], object]) -> None:
            deadline = time.monotonic() + 60
            while not until():
                told = [progress for _, progress in workers.messages()]
                epochs.extend(p.epoch for p in told if p.done == p.epoch)
                assert time.monotonic() < deadline
                time.sleep(0.001)

        future = workers.submit(run_task, task, tmp_path / "task.ckpt", None)
        collect(lambda: 2 in epochs)
        os.kill(workers_of(os.getpid())[0], signal.SIGKILL)
        with pytest.raises(BrokenProcessPool):
            future.result(timeout=60)
        before = max(epochs)
        assert before < 6
        epochs.clear()
        again = workers.submit(run_task, task, tmp_path / "task.ckpt", None)
        collect(again.done)
        assert min(epochs) > 2  # nothing of the first epochs is trained again
        assert again.result().measurements == train(task).measurements


@needs_proc
def test_a_killed_planner_loses_nothing_and_a_second_one_is_refused(desk: Desk) -> None:
    query = "SELECT id, finished_at FROM fsmd_runs ORDER BY id"
    before = desk.rows(query)
    process = desk.start(*SHORT, "2")
    wait_for(lambda: desk.runs() >= 5, process)
    second = desk.run(*SHORT, "2")
    assert second.returncode == 2
    assert f"'tower_shape' is being run by process {process.pid} on" in second.stderr
    workers = workers_of(process.pid)
    assert len(workers) == 2
    process.kill()
    process.communicate()
    deadline = time.monotonic() + 20
    while any(map(alive, workers)):
        assert time.monotonic() < deadline, "a worker outlives its planner"
        time.sleep(0.1)
    kept = desk.rows(query)
    assert 5 <= len(kept) < 8

    again = desk.run(*SHORT, "2")
    assert again.returncode == 0, again.stderr
    after = desk.rows(query)
    assert len(after) == 8
    assert set(before) <= set(kept) <= set(after)  # what was done was not done again
    assert desk.trial_states() == ["COMPLETE"] * 8
    cells = desk.rows("SELECT level, replicate FROM fsmd_cells")
    assert sorted(cells) == sorted((level, r) for level in LEVELS for r in range(2))
    seeds = desk.rows("SELECT DISTINCT seed FROM fsmd_runs")
    assert len(seeds) == 2


def test_running_again_trains_nothing(desk: Desk) -> None:
    before = desk.rows("SELECT * FROM fsmd_runs ORDER BY id")
    started = time.monotonic()
    assert desk.run(*SHORT, "2").returncode == 0
    assert desk.rows("SELECT * FROM fsmd_runs ORDER BY id") == before
    assert time.monotonic() - started < 60
    assert desk.trial_states() == ["COMPLETE"] * 8


def test_other_settings_under_the_same_name_are_refused_with_the_difference(desk: Desk) -> None:
    before = desk.rows("SELECT * FROM fsmd_studies")
    refused = desk.run(*SHORT, "2", "--epochs", "3", "--seed", "4")
    assert refused.returncode == 2
    assert "epochs: 2 there, 3 now; seed: 0 there, 4 now" in refused.stderr
    assert "--name" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert desk.rows("SELECT * FROM fsmd_studies") == before


@needs_proc
def test_ctrl_c_stops_at_once_and_says_that_nothing_is_lost(tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    # A background job ignores the signal, and so would its child.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = desk.start("gate_depth", "--replicates", "1", "--workers", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    wait_for(lambda: desk.trial_states() == ["RUNNING"] and workers_of(process.pid), process)
    workers = workers_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err.strip() == "Stopped; nothing is lost. The same command goes on from here."
    assert not any(map(alive, workers))


def test_ctrl_c_waits_for_a_worker_that_is_being_started(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Cut off there, the new process would tell of it with a traceback."""
    begin, begun = ProcessPoolExecutor.submit, list[Any]()

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        begun.append(begin(*arguments))
        return begun[-1]

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with LocalWorkers(1) as workers:
            monkeypatch.setattr(ProcessPoolExecutor, "submit", interrupted)
            with pytest.raises(KeyboardInterrupt):
                workers.submit(os.getpid)
            (started,) = begun
            assert started.result(60) != os.getpid()
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a study, or use --list"),
        (("tower",), "no study 'tower'; there are architecture_grid, "),
        (("tower_shape", "--data", "mars"), "no data set 'mars'; there are planted, census"),
        (("tower_shape", "--replicates", "0"), "--replicates must be at least 1; got 0"),
        (("tower_shape", "--epochs", "-3"), "--epochs must be at least 1; got -3"),
        (("tower_shape", "--workers", "two"), "invalid int value: 'two'"),
        (("tower_shape", "--trials", "9"), "--trials goes with pareto only"),
        (("pareto", "--space", "huge"), "--space must be one of paper architecture full"),
        (("pareto", "--replicates", "3"), "--replicates goes with studies of a fixed design"),
        (("pareto", "--sampler", "grid", "--space", "architecture"), "more than 100,000 cells"),
        (("pareto", "--max-params", "0"), "--max-params must be at least 1; got 0"),
        (("tower_shape", "--device", "tpu"), "--device must be auto, cpu, cuda or cuda:N"),
        (("tower_shape", "--name", "../x"), "--name must consist of at most 100 letters"),
        (("tower_shape", "--out", "file"), "--out must be a folder that can be written"),
        (("tower_shape", "--storage", "redis://x"), "cannot open the database 'redis://x'"),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_leaves_nothing(
    tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").touch()
    run = Desk(tmp_path).run(*arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert "Traceback" not in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_list_names_every_study_with_a_line(tmp_path: Path) -> None:
    lines = Desk(tmp_path).run("--list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == [*catalog.names(), "pareto"]
    for line in lines[:-1]:
        assert catalog.get(line.split()[0]).question in line


def test_help_tells_options_defaults_and_how_to_go_on(tmp_path: Path) -> None:
    told = Desk(tmp_path).run("--help").stdout
    for word in ("--replicates", "--storage", "sqlite:///studies.db", "FSMD_DATA", "kill -9"):
        assert word in told


def test_a_name_keeps_a_run_with_other_settings_apart(desk: Desk) -> None:
    """What the first run trained with the same settings is taken over, not trained again."""
    before = desk.runs()
    run = desk.run(*SHORT, "1", "--name", "mine")
    assert run.returncode == 0, run.stderr
    assert desk.runs() == before
    assert [row[0] for row in desk.rows("SELECT name FROM fsmd_studies ORDER BY name")] == [
        "mine",
        "tower_shape",
    ]
    assert (desk.folder / "out/mine/report.html").exists()
