"""The search as a user meets it: real processes, a real database, real kills."""

import json
from pathlib import Path

import pytest

from fsmd.config import FSMDConfig
from fsmd.data import load
from fsmd.training import Training, train
from studies.definition import Search
from studies.run import main
from tests import curves
from tests.conftest import leave_figures_blank
from tests.faults.desk import needs_proc, workers_of
from tests.lab import Immediate, no_report
from tests.test_run import Desk, all_end, wait_for

TAKES_LONG = True
DATA = "planted:rows=2000"
SEARCH = (
    *("pareto", "--name", "pareto", "--data", DATA, "--trials", "3", "--epochs", "2"),
    *("--confirm", "1", "--workers", "2"),
)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """A search that is killed in its middle and goes on."""
    load(DATA)
    return Desk(tmp_path_factory.mktemp("search"))


@needs_proc
def test_a_search_that_is_killed_in_its_middle_goes_on_and_trains_nothing_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    process = desk.start(*SEARCH)
    wait_for(lambda: desk.runs("done") + desk.runs("paused") >= 2, process)
    workers = workers_of(process.pid)
    monkeypatch.chdir(desk.folder)
    assert main(SEARCH) == 2
    assert f"process {process.pid}" in capsys.readouterr().err
    process.kill()
    process.communicate()
    all_end(workers)
    kept = desk.rows("SELECT id, seed FROM fsmd_runs WHERE status = 'done'")
    monkeypatch.setattr("studies.session.LocalWorkers", Immediate)
    monkeypatch.setattr("studies.costs.Costs._measure", lambda *_: 1.0)
    leave_figures_blank(monkeypatch)
    assert main(SEARCH) == 0
    said = capsys.readouterr().out.splitlines()[-1]
    assert said == f"Report: {Path('out/pareto/report.html')}"
    assert set(kept) <= set(desk.rows("SELECT id, seed FROM fsmd_runs WHERE status = 'done'"))
    assert desk.runs("lost") == desk.runs("failed") == 0
    assert "RUNNING" not in desk.trial_states()
    arms = desk.rows("SELECT arm FROM fsmd_cells WHERE replicate = 0")
    assert len(arms) == 3
    fresh = {arm for (arm,) in desk.rows("SELECT arm FROM fsmd_cells WHERE replicate = 1")}
    assert {*Search.baselines} < fresh
    assert len(desk.rows("SELECT id FROM fsmd_costs WHERE cost = 'latency'")) == len(fresh)
    runs = desk.rows("SELECT run_id FROM fsmd_cells")
    assert len(set(runs)) == len(runs)
    page = (desk.folder / "out/pareto/report.html").read_text("utf-8")
    assert "paper&#39;s best" in page or "paper's best" in page


def test_a_training_of_the_search_measured_what_it_measures_alone(desk: Desk) -> None:
    """Also where it was paused, killed and went on in another process."""
    data = load(DATA)
    ((run_id, config, seed),) = desk.rows(
        "SELECT id, config, seed FROM fsmd_runs WHERE status = 'done' ORDER BY finished_at LIMIT 1"
    )
    training = Training(
        FSMDConfig.from_dict(json.loads(str(config))),
        data.ref,
        seed=int(str(seed)),
        epochs=2,
        patience=data.settings.patience,
    )
    assert training.id == run_id
    measured = train(training).measurements
    rows = desk.rows(f"{curves.COLUMNS} WHERE run_id = '{run_id}'")
    assert curves.figures(rows) == sorted(map(curves.row_of, measured))


def test_a_search_with_a_limit_trains_only_what_keeps_it(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("studies.session.LocalWorkers", Immediate)
    monkeypatch.setattr("reports.build.build", no_report)
    monkeypatch.setattr("studies.session.measure_latency", lambda *_: None)
    monkeypatch.setattr("studies.costs.LocalWorkers", Immediate)
    monkeypatch.chdir(desk.folder)
    limit = 400_000
    asked = ("--trials", "1", "--epochs", "1", "--confirm", "0", "--objectives", "tasks,params")
    small = ("pareto", "--name", "small", "--data", DATA, "--max-params", str(limit))
    assert main([*small, *asked]) == 0
    sizes = desk.rows(
        "SELECT parameters FROM fsmd_runs JOIN fsmd_cells ON run_id = id WHERE study = 'small'"
    )
    assert len(sizes) == 1
    assert all(int(str(size)) <= limit for (size,) in sizes)
    values = desk.rows("SELECT value FROM trial_values WHERE objective = 2")
    assert {float(str(v)) for (v,) in values} == {float(str(size)) for (size,) in sizes}
