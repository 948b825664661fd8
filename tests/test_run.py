"""The command line as a user meets it: real processes, a real database, real signals."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from fsmd.config import MODELS, FSMDConfig
from fsmd.data import load
from fsmd.data.sets.planted import PlantedConfig, load_planted
from fsmd.training import Training, TrainingResult, train
from reports import commands
from studies import catalog, execute
from studies.definition import Study
from studies.failure import Failure
from studies.request import Request
from studies.run import main
from studies.store.database import open_engine
from studies.store.mirror import stored_studies
from studies.store.studies import find_study
from studies.workers.local import LocalWorkers
from studies.workers.worker import train_all
from tests import curves
from tests.faults.desk import alive, children_of, needs_proc, workers_of
from tests.faults.hanging import die_after, own_memory
from tests.lab import Immediate, no_report, result_of
from tests.made_up.definitions import of_network

TAKES_LONG = True

pytestmark = pytest.mark.usefixtures("one_thread")
ARMS = ("constant", "increasing", "decreasing", "diamond")


@dataclass(frozen=True)
class Desk:
    """A folder to work in, and what lies in its database."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        """In float32 on every processor, as a training is that names nothing else."""
        return [sys.executable, "-m", "studies.run", *arguments, "--precision", "float32"]

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            cwd=self.folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

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
        query = "SELECT state FROM trials JOIN studies USING (study_id)"
        own = f"{query} WHERE study_name NOT LIKE '% (means)'"
        return sorted(str(row[0]) for row in self.rows(own))


def wait_for(condition: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 200
    try:
        while not condition():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)
    except AssertionError:
        process.kill()
        raise


def all_end(processes: list[int]) -> None:
    deadline = time.monotonic() + 60
    while any(map(alive, processes)):
        assert time.monotonic() < deadline, "a process outlives its planner"
        time.sleep(0.02)


def checkpoints() -> list[Path]:
    return list((Path(os.environ["FSMD_CACHE"]) / "checkpoints").rglob("*.ckpt"))


@pytest.fixture(scope="module", autouse=True)
def cache_of_this_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Checkpoints are counted here, and other tests may have some at the same time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSMD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """One study that goes through all of this module's mishaps in turn."""
    load(DATA)  # so that no test waits for the encoding
    return Desk(tmp_path_factory.mktemp("desk"))


DATA = "planted:rows=12000"
FEW = ("--data", "planted:rows=2000")
SHORT = (
    *("tower_shape", "--name", "tower_shape", "--data", DATA, "--epochs", "3"),
    *("--set", "layers=32,16", "--set", "tower_width=16", "--set", "expert_count=4"),
    *("--workers", "2", "--replicates"),
)


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings in this process, which has torch loaded, and without a report."""
    monkeypatch.setattr("reports.build.build", no_report)
    monkeypatch.setattr("studies.session.LocalWorkers", Immediate)
    monkeypatch.setattr("studies.session.measure_latency", lambda *_: None)


@needs_proc
def test_from_command_to_page_although_a_worker_is_killed(desk: Desk) -> None:
    process = desk.start(*SHORT, "1")
    wait_for(lambda: len(checkpoints()) == 2, process)  # an epoch is over in both workers
    first, second = workers_of(process.pid)
    os.kill(first, signal.SIGKILL)
    os.kill(second, signal.SIGTERM)
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    told = (
        r"retried: \w+, replicate 0: the worker process was (killed|asked to end \(.*\))"
        rf"|reading the data set {DATA}|writing the report"
        r"|4 trainings, on 2 workers"
        r"|[ \d]{3} %  \d of 4 trainings ended, .*"
    )
    assert [line for line in err.splitlines() if not re.fullmatch(told, line)] == []
    assert err.count("retried: ") == 2  # and no bar: this is no terminal
    attempts = sorted(desk.rows("SELECT attempts FROM fsmd_runs"))
    # What was killed had gained an epoch, which counts if a worker had the time to tell it.
    assert attempts[:2] == [(1,)] * 2
    assert attempts[-1] <= (2,)
    assert desk.trial_states() == ["COMPLETE"] * 4
    assert out.splitlines()[-1] == f"Report: {Path('out/tower_shape/report.html')}"
    assert f"optuna-dashboard sqlite:///studies.db --artifact-dir {Path('out/artifacts')}" in out
    study = catalog.get("tower_shape")
    assert isinstance(study, Study)
    assert out.count("OPEN ") == len(study.claims)
    assert "Nothing can be said yet." in out.splitlines()
    page = (desk.folder / "out/tower_shape/report.html").read_text("utf-8")
    assert all(arm in page for arm in ARMS)
    summary = json.loads((desk.folder / "out/tower_shape/summary.json").read_text())
    assert (summary["data"], summary["replicates"]) == (DATA, 1)
    assert not checkpoints()
    kept = [path.read_bytes() for path in (desk.folder / "out/artifacts").iterdir()]
    assert page.encode() in kept
    noted = desk.rows("SELECT value_json FROM study_system_attributes WHERE key LIKE '%note%'")
    assert any("Nothing can be said yet." in str(row) for row in noted)


def test_a_run_among_others_measured_what_it_measures_alone(desk: Desk) -> None:
    """Also the two that were killed, and went on from their checkpoints in other processes."""
    data = load(DATA)
    for run_id, config, seed in desk.rows("SELECT id, config, seed FROM fsmd_runs"):
        training = Training(
            FSMDConfig.from_dict(json.loads(str(config))),
            data.ref,
            seed=int(str(seed)),
            epochs=3,
            patience=2,
        )
        assert training.id == run_id
        measured = train(training).measurements
        rows = desk.rows(f"{curves.COLUMNS} WHERE run_id = '{run_id}'")
        assert curves.figures(rows) == sorted(map(curves.row_of, measured))


@needs_proc
def test_a_killed_training_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    data = load_planted(PlantedConfig(rows=2000, users=100, videos=50))
    config = replace(MODELS["base"], layers=(16,), tower_width=8, batch_size=64)
    training = replace(Training.on(data, config, seed=1), epochs=4, patience=4)
    checkpoint = tmp_path / "training.ckpt"
    with LocalWorkers(1) as workers:
        workers.prepare()
        error = workers.submit(die_after, 2, training, checkpoint).exception(timeout=200)
        assert error is not None
        assert workers.lost(error)
        (result,) = workers.submit(train_all, [training], [checkpoint], None).result(timeout=60)
        told = [progress.done for _, progress in workers.messages()]
        assert min(told) > 2  # nothing of the first epochs is trained again
        assert max(told) == 4
        memory = workers.submit(own_memory).result(timeout=60)
        assert memory < 300  # the rest is shared with the process that forked it
    assert isinstance(result, TrainingResult)
    assert result.measurements == train(training).measurements


@pytest.mark.usefixtures("in_process")
def test_asked_for_more_the_same_command_keeps_what_is_done(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A planner that is killed: tests/test_run_search.py, tests/test_kills.py."""
    monkeypatch.chdir(desk.folder)
    monkeypatch.setattr(
        "studies.session.train_all", lambda some, *_, **__: [*map(result_of, some)]
    )
    query = "SELECT id, finished_at FROM fsmd_runs"
    before = desk.rows(query)
    assert main([*SHORT, "2"]) == 0
    after = desk.rows(query)
    assert (len(before), len(after)) == (4, 8)
    assert set(before) <= set(after)  # what was done was not done again
    assert desk.trial_states() == ["COMPLETE"] * 8
    cells = desk.rows("SELECT arm, replicate FROM fsmd_cells")
    assert sorted(cells) == sorted((arm, r) for arm in ARMS for r in range(2))
    seeds = desk.rows("SELECT DISTINCT seed FROM fsmd_runs")
    assert len(seeds) == 2


@pytest.mark.usefixtures("in_process")
def test_running_again_trains_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(desk.folder)
    monkeypatch.setattr("studies.session.train_all", None)
    before = desk.rows("SELECT * FROM fsmd_runs ORDER BY id")
    assert main([*SHORT, "2"]) == 0
    assert desk.rows("SELECT * FROM fsmd_runs ORDER BY id") == before
    assert desk.trial_states() == ["COMPLETE"] * 8


@pytest.mark.usefixtures("in_process")
def test_other_settings_under_the_same_name_are_refused_with_the_difference(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(desk.folder)
    before = desk.rows("SELECT * FROM fsmd_studies")
    assert main([*SHORT, "2", "--epochs", "4", "--seed", "4", "--set", "gate_width=32"]) == 2
    told = capsys.readouterr().err
    assert "epochs: 3 there, 4 now; seed: 0 there, 4 now; gate_width: 64 there, 32 now" in told
    assert "--name" in told
    assert len(told.splitlines()) == 1
    assert desk.rows("SELECT * FROM fsmd_studies") == before


@pytest.mark.usefixtures("in_process")
def test_a_name_keeps_a_run_with_other_settings_apart(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first run trained with the same settings is taken over, not trained again."""
    monkeypatch.chdir(desk.folder)
    before = desk.runs()
    assert main([*SHORT, "1", "--name", "mine"]) == 0
    assert desk.runs() == before
    assert [row[0] for row in desk.rows("SELECT name FROM fsmd_studies ORDER BY name")] == [
        "mine",
        "tower_shape",
    ]
    assert (desk.folder / "out/mine/report.html").exists()


@needs_proc
def test_ctrl_c_stops_at_once_and_says_that_nothing_is_lost(tmp_path: Path) -> None:
    """Here while libraries are loaded; in the middle of a training: tests/test_faults.py."""
    desk, data = Desk(tmp_path), ("--data", DATA)
    # A background job ignores the signal, and so would its child.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        process = desk.start("gate_depth", *data, "--replicates", "1", "--workers", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    wait_for(lambda: len(children_of(process.pid)) > 1, process)  # the first keeps track of them
    started = children_of(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    told = "Stopped; nothing is lost. The same command goes on from here."
    assert err.splitlines()[-1] == told
    all_end(started)


def test_ctrl_c_waits_for_a_worker_that_is_being_started(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Cut off there, the new process would tell of it with a traceback."""
    begin, begun = BaseProcess.start, list[BaseProcess]()

    def interrupted(process: BaseProcess) -> None:
        signal.raise_signal(signal.SIGINT)
        begin(process)
        begun.append(process)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with LocalWorkers(1) as workers:
            monkeypatch.setattr(BaseProcess, "start", interrupted)
            with pytest.raises(KeyboardInterrupt):
                workers.submit(os.getpid)
            (started,) = begun
            started.join(60)
            assert started.exitcode == -signal.SIGKILL
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "name a study, or use --list"),
        (("tower",), "no study 'tower'; did you mean 'tower_shape'? There are "),
        (("mine/tower.py",), "no study file 'mine/tower.py'"),
        (("tower_shape", "--data", "mars"), "no data set 'mars'; there are planted, adult"),
        (("tower_shape", "--replicates", "0"), "--replicates must be at least 1; got 0"),
        (("tower_shape", "--epochs", "-3"), "--epochs must be at least 1; got -3"),
        (("tower_shape", "--workers", "two"), "invalid int value: 'two'"),
        (("tower_shape", "--trials", "9"), "--trials goes with a search only; 'tower_shape' is a"),
        (("tower_shape", "--set", "colour=red"), "--set must be field=value with one of the"),
        (("pareto", *FEW, "--space", "huge"), "--space must be one of"),
        (("pareto", "--replicates", "3"), "--replicates goes with a study only; 'pareto' is a"),
        (("pareto", "--base", "mmoe"), "--base goes with a study only; 'pareto' is a search"),
        (("pareto", *FEW, "--sampler", "grid", "--space", "architecture"), "more than 100,000 co"),
        (("pareto", "--max-params", "0"), "--max-params must be at least 1; got 0"),
        (("tower_shape", "--base", "fs", "--pick", "knee", "--trials", "9"), "--trials --pick go"),
        (("tower_shape", "--device", "tpu"), "--device must be auto, cpu, cuda or cuda:N"),
        (("tower_shape", "--precision", "half"), "--precision must be auto, float32, bfloat16"),
        (("tower_shape", "--name", "../x"), "--name must consist of at most 100 letters"),
        (("tower_shape", "--out", "file"), "--out must be a folder that can be written"),
        (("tower_shape", "--storage", "redis://x"), "cannot open the database 'redis://x'"),
    ],
)
def test_a_users_mistake_is_one_clear_line_and_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    assert main(arguments) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.startswith("error: ")
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_command_to_go_on_with_says_where_this_run_is_kept_and_trained() -> None:
    study = catalog.get("tower_shape")
    url = "postgresql+psycopg://bob:word@base/x"
    asked = Request(study, storage=url, out=Path("my reports"), cluster="local:2")
    assert asked.of_this_run == (
        "--storage 'postgresql+psycopg://bob:***@base/x' --out 'my reports' --cluster local:2"
    )


def test_list_names_every_study_and_search_with_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(catalog.names())
    for line in lines:
        assert catalog.get(line.split()[0]).question in line


def test_a_faulty_file_is_one_clear_line_and_hurts_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken_one.py").write_text("1 / 0\n")
    (tmp_path / "empty_one.py").write_text("")
    both = "from studies.catalog.null import STUDY\nfrom studies.catalog.pareto import SEARCH\n"
    (tmp_path / "two_in_one.py").write_text(both)
    monkeypatch.setattr(catalog, "__path__", [*catalog.__path__, str(tmp_path)])
    assert catalog.get("tower_shape").name == "tower_shape"
    assert main(["--list"]) == 0
    listed = capsys.readouterr().out
    assert (
        "(the study file broken_one.py is faulty: ZeroDivisionError: division by zero (line 1)"
        in listed
    )
    assert "(the study file empty_one.py is faulty: it must hold one STUDY or" in listed
    assert "(the study file two_in_one.py is faulty: it must hold one STUDY or" in listed
    for name in ("broken_one", str(tmp_path / "broken_one.py")):
        assert main([name]) == 2
        told = capsys.readouterr().err
        assert told.startswith("error: the study file")
        assert "ZeroDivisionError" in told
        assert len(told.splitlines()) == 1


OWN_STUDY = """
from fsmd.config import MODELS
from dataclasses import replace
from studies import Factor, Study, one_factor

STUDY = Study(
    name="my_own",
    title="Batch norm",
    question="Is it worth its time?",
    factor="batch_norm",
    base=replace(MODELS["base"], layers=(8,), tower_width=4, batch_size=500),
    arms=one_factor(Factor("batch_norm", (True, False))),
    reference="True",
    tasks=(),
)
"""


@pytest.mark.usefixtures("in_process")
@pytest.mark.parametrize("count", [1, 3, 5])
def test_a_study_in_a_file_of_ones_own_runs_on_any_number_of_tasks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """With a factor that no list of axes knows; what its base sets stays, and options say more."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_own.py").write_text(OWN_STUDY)
    data = f"planted:rows=2000,tasks={count}"
    options = ("--data", data, "--epochs", "1", "--replicates", "1", "--set", "dropout=0.25")
    assert main(["my_own.py", *options, "--name", "own"]) == 0
    engine = open_engine("sqlite:///studies.db")
    record = find_study(engine, "own")
    assert record is not None
    assert [of_network(arm.config).batch_norm for arm in record.plan.arms] == [True, False]
    assert {of_network(arm.config).batch_size for arm in record.plan.arms} == {500}
    assert {of_network(arm.config).dropout for arm in record.plan.arms} == {0.25}
    assert record.study.base.dropout == 0.25
    assert record.study.base.learning_rate is None
    assert record.study.file == "my_own.py"
    assert len(record.plan.tasks) == count
    trials = stored_studies(engine, "own")["own"].trials
    assert [(trial.params, trial.state.name) for trial in trials] == [
        ({"batch_norm": True}, "COMPLETE"),
        ({"batch_norm": False}, "COMPLETE"),
    ]
    engine.dispose()


@pytest.mark.usefixtures("in_process")
def test_a_notebook_runs_a_study_by_name_or_by_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("studies.session.train_all", lambda *_: [Failure("no", "where")])
    for definition in ("null", catalog.get("null")):
        finished = execute(definition, data="planted:rows=2000", replicates=1)
        assert finished.failed == 4
        assert finished.page == Path("out/null-planted-rows-2000/report.html")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("pareto", "--pick", "weights:1"), "'weights:1' needs a weight of at least 0 for each"),
        (("pareto", "--objectives", "click", "--pick", "best"), "no rule 'best' to pick by"),
        (("null", "--pick", "knee"), "--pick goes with a search only"),
    ],
)
def test_a_pick_that_no_report_can_make_is_refused_before_anything_is_trained(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    command: tuple[str, ...],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--data", "planted:rows=2000"]) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_help_tells_options_defaults_and_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for word in ("--replicates", "--storage", "sqlite:///studies.db", "FSMD_DATA", "kill -9"):
        assert word in told


def test_one_command_names_all_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert commands.main([]) == 0
    told = capsys.readouterr().out
    assert all(f"  {name}" in told for name in commands.COMMANDS)
    assert commands.main(["cook"]) == 2
    there = "run, report, export, data, blend, predict, record"
    assert f"no command 'cook'; there are {there}" in capsys.readouterr().err
    assert commands.main(["run", "--list"]) == 0
    assert "tower_shape" in capsys.readouterr().out
    assert commands.main(["report", "tower_shape"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
