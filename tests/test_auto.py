"""Automatic searches: what is planned fits into its time, and decides the numbers alone."""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd.config import FSMDConfig
from fsmd.data import load
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.training import Training, TrainingResult, train
from reports.build import analyse, build
from reports.page.model import Answer
from reports.results import load_results
from reports.search.analysis import SearchAnalysis
from reports.search.outline import answer
from studies import catalog
from studies.auto.file import FORMAT, PlanFile, read_plan
from studies.auto.plan import (
    BASELINES,
    CONFIRMATION,
    KEPT,
    REPORT_SECONDS,
    SEARCH,
    AutoPlan,
    Deadlines,
    MeasuredModel,
    deadlines,
    fitting,
    table,
)
from studies.auto.request import deadlines_of
from studies.definition import Search
from studies.options import DEFAULT_STORAGE
from studies.request import Request
from studies.run import main
from studies.search.attempt import arms_of
from studies.store.database import open_engine
from studies.store.studies import find_study
from studies.timing import EpochTime, epoch_time
from studies.workers.protocol import Deadline
from studies.workers.worker import train_all
from tests.lab import Immediate, no_report

pytestmark = pytest.mark.usefixtures("one_thread")
REAL_BUILD = build
DATA = "planted:rows=500"
SETTINGS = TrainingSettings()


def made_plan(budget: float, workers: int = 2, seconds: float = 1.0) -> AutoPlan:
    """With a network, a quick and a slow baseline that were measured."""
    return AutoPlan(
        budget=budget,
        workers=workers,
        machine="a machine",
        measured=(
            MeasuredModel("constant", True, EpochTime(0.0, 0.1, 2)),
            MeasuredModel("trees", True, EpochTime(seconds, 0.5, 2)),
            MeasuredModel("fsmd", False, EpochTime(seconds, 1.0, 2)),
        ),
        spent=budget / 20,
    )


# What fits


@settings(max_examples=200, deadline=None)
@given(st.floats(1, 1e6), st.integers(1, 64), st.floats(1e-3, 1e3), st.integers(1, 100))
def test_a_plan_keeps_a_tenth_of_its_time_or_says_what_time_would_do(
    budget: float, workers: int, seconds: float, epochs: int
) -> None:
    settings_ = replace(SETTINGS, epochs=epochs)
    plan = made_plan(budget, workers, seconds)
    try:
        sizes, planned = fitting(plan, settings_)
    except UserError as error:
        said = str(error).split("needs about ")[1].split()[0]
        needed = float(said[:-1]) * {"s": 1, "m": 60}[said[-1]]
        assert needed > budget
        fitting(replace(plan, budget=needed), settings_)  # refuses nothing
        return
    used = sum(stage.seconds for stage in planned.stages)
    assert used + planned.spent <= (1 - KEPT) * budget * (1 + 1e-9)
    ends = deadlines(planned, budget - planned.spent, now=0.0)
    assert used <= ends.end * (1 + 1e-9), "all that is planned ends before the deadline"
    assert budget - planned.spent - ends.end >= REPORT_SECONDS
    assert 1 <= sizes.epochs <= epochs
    assert sizes.trials >= 4
    assert sizes.baselines in {("constant", "trees"), ("constant",), ()}
    counts = {stage.name: stage.trainings for stage in planned.stages}
    assert counts[BASELINES] == len(sizes.baselines) * sizes.confirm
    assert counts[SEARCH] == sizes.trials
    assert counts[CONFIRMATION] == sizes.confirm * planned.points == sizes.confirm * sizes.points


def test_more_time_is_never_planned_as_less_training() -> None:
    def trained(budget: float) -> float:
        sizes, _ = fitting(made_plan(budget), SETTINGS)
        return sizes.epochs * (sizes.trials + sizes.confirm * sizes.points)

    amounts = [trained(budget) for budget in (60, 200, 600, 1800, 3600, 7200)]
    assert amounts == sorted(amounts)
    assert fitting(made_plan(7200), SETTINGS)[0].epochs == SETTINGS.epochs


def test_the_plan_is_a_small_table() -> None:
    sizes, plan = fitting(made_plan(1800), SETTINGS)
    lines = table(plan, sizes)
    assert lines[0] == "Plan for 30m on 2 workers, 27m of it at most:"
    assert max(map(len, lines)) < 100
    assert [line.split()[0] for line in lines[-4:-1]] == [BASELINES, SEARCH, CONFIRMATION]


def test_the_search_ends_in_time_for_the_confirmation_and_all_in_time_for_the_report() -> None:
    _, plan = fitting(made_plan(1800), SETTINGS)
    ends = deadlines(plan, left=1000.0, now=50.0)
    assert ends.search == ends.end - plan.seconds(CONFIRMATION)
    assert ends.end == 50 + 1000 - 0.05 * 1800 - 1  # an epoch
    small = replace(plan, budget=60.0)
    assert deadlines(small, left=60.0, now=0.0).end == 60 - REPORT_SECONDS - 1


def test_a_budget_without_room_for_the_report_is_refused_with_the_smallest_that_has_it() -> None:
    plan = replace(made_plan(REPORT_SECONDS + 1), spent=0.0)
    with pytest.raises(
        UserError,
        match=r"needs about 29s on 2 workers, 16 s of them for the last .* now .*; give 40s$",
    ):
        fitting(plan, SETTINGS)
    assert fitting(replace(plan, budget=29.0), SETTINGS)[0].trials == 4


def test_a_baseline_that_would_not_end_in_time_is_left_out_and_the_plan_says_so() -> None:
    plan = made_plan(60)
    slow = MeasuredModel("trees", True, EpochTime(20.0))
    sizes, planned = fitting(replace(plan, measured=(slow, *plan.measured[::2])), SETTINGS)
    assert sizes.baselines == ("constant",)
    assert planned.stages[0].trainings == sizes.confirm
    assert table(planned, sizes)[-1].startswith("trees is left out: it takes too long")


def test_the_baselines_stage_lasts_until_the_slowest_of_them_ends() -> None:
    plan = made_plan(1800, workers=64, seconds=10.0)
    sizes, planned = fitting(plan, SETTINGS)
    assert planned.seconds(BASELINES) >= plan.measured[1].time.of(sizes.epochs)


def test_an_epoch_is_measured_without_what_comes_once() -> None:
    assert epoch_time([(3.0, 1.0), (5.0, 2.0)], 6.0) == EpochTime(2.0, 2.0, 2)
    assert epoch_time([(4.0, 0.1), (5.0, 0.2), (6.0, 0.3)], None) == EpochTime(10, 3.0, 0.3)
    assert epoch_time([], 3.0).seconds == 1.5


# The deadline


def test_a_training_is_paused_at_the_end_of_its_epoch_and_goes_on_to_the_same_numbers(
    tmp_path: Path,
) -> None:
    training = replace(Training.on(load(DATA), FSMDConfig(layers=(8,))), epochs=3, patience=3)
    checkpoint = tmp_path / "training.ckpt"
    (paused,) = train_all([training], [checkpoint], None, Deadline(time.monotonic()))
    assert isinstance(paused, TrainingResult)
    assert (paused.epochs, paused.finished) == (1, False)
    (ended,) = train_all([training], [checkpoint], None, Deadline(time.monotonic() + 1000))
    assert isinstance(ended, TrainingResult)
    assert ended.finished
    assert ended.measurements == train(training).measurements


# From the command


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Trainings in this process; models that are as quick as made up, and a page for a report."""
    monkeypatch.setattr("reports.build.build", no_report)
    monkeypatch.setattr("studies.session.LocalWorkers", lambda _: Immediate())
    monkeypatch.setattr("studies.session.measure_latency", lambda *_: None)
    monkeypatch.setattr("studies.auto.measuring.measure_all", measured_as(1.0))
    monkeypatch.chdir(tmp_path)


def measured_as(seconds: float) -> Callable[..., dict[str, EpochTime]]:
    return lambda workers, trainings, *_: {name: EpochTime(seconds) for name in trainings}


def auto(*more: str) -> int:
    return main(["auto", "--data", DATA, "--space", "paper", *more])


def small_plan(path: Path) -> Path:
    """Of so few trainings that a test can have them."""
    search = catalog.get("auto")
    assert isinstance(search, Search)
    stages = fitting(made_plan(1800), SETTINGS)[1].stages
    small = replace(
        search,
        space="paper",
        trials=3,
        confirm=1,
        baselines=("constant", "logistic"),
        auto=replace(made_plan(1800), points=1, stages=stages),
    )
    data = load(DATA)
    file = PlanFile(FORMAT, small, 1, 1, 3, "bfloat16", DATA, data.content_hash, "code")
    path.write_text(json.dumps(asdict(file)), "utf-8")
    assert read_plan(path) == file
    return path


def advice() -> Answer:
    """What the report would say of the default database."""
    engine = open_engine(DEFAULT_STORAGE)
    try:
        analysis = analyse(engine, "auto-paper-planted-rows-500")
    finally:
        engine.dispose()
    assert isinstance(analysis, SearchAnalysis)
    return answer(analysis)


def measurements(storage: str) -> pd.DataFrame:
    """All that a search measured, as results.csv has it."""
    engine = open_engine(storage)
    try:
        record = find_study(engine, "auto-paper-planted-rows-500")
        assert record is not None
        return load_results(engine, record, arms_of(engine, record)).measurements
    finally:
        engine.dispose()


def test_one_plan_gives_the_same_numbers_with_any_number_of_workers_and_in_any_database(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = small_plan(tmp_path / "small.json")
    one, two = (f"sqlite:///{name}.db" for name in ("one", "two"))
    of_plan = ("auto", "--storage")
    assert main([*of_plan, one, "--workers", "1", "--plan", str(plan)]) == 0
    said = capsys.readouterr()
    written = Path("out/auto-paper-planted-rows-500/plan.json")
    assert replace(read_plan(written), code="code") == read_plan(plan)
    order = ("training 2 baselines", "3 trainings", "confirming 1 configurations, beside 2 base")
    places = [said.err.index(words) for words in order]
    assert places == sorted(places)
    assert main([*of_plan, two, "--workers", "3", "--plan", str(written)]) == 0
    first, second = measurements(one), measurements(two)
    pd.testing.assert_frame_equal(first, second)
    assert set(first["replicate"]) == {0, 1}
    assert {"constant", "logistic"} <= set(first[first["replicate"] == 1]["arm"])
    capsys.readouterr()
    # The same command again has nothing left to do, also without the file of the plan.
    assert auto("--storage", one, "--seed", "3") == 0
    again = capsys.readouterr().out
    assert "Goes on by the plan that is stored." in again
    assert "Trained 0, 1 points on fresh seeds too; took" in again
    other = replace(read_plan(plan).search, trials=4)
    changed = json.dumps(asdict(replace(read_plan(plan), search=other)))
    Path("other.json").write_text(changed, "utf-8")
    assert main([*of_plan, one, "--plan", "other.json"]) == 2
    assert "has another plan than other.json" in capsys.readouterr().err


def test_what_the_time_does_not_suffice_for_is_said_and_made_up_for_by_more_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = str(small_plan(tmp_path / "small.json"))
    assert main(["auto", "--plan", plan, "--budget", "1s"]) == 0
    said = capsys.readouterr().out
    assert "the time was up before 3 configurations" in said
    assert "the same command with more --budget goes on" in said
    assert main(["auto", "--plan", plan, "--budget", "100h"]) == 0
    said = capsys.readouterr().out
    assert "1 points on fresh seeds too; took" in said
    told = advice()
    assert told.next == "To be surer, run it anew with twice the time: 60 min."
    assert told.command.endswith(" --name auto-paper-planted-rows-500-2")


@pytest.mark.usefixtures("blank_figures")
def test_where_the_time_sufficed_for_baselines_alone_they_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("reports.build.build", REAL_BUILD)
    monkeypatch.setattr("studies.session.deadlines_of", lambda *_: Deadlines(search=0.0))
    assert main(["auto", "--plan", str(small_plan(tmp_path / "small.json"))]) == 0
    said = capsys.readouterr().out
    assert "0 configurations of the space paper. 0 epochs spent, 2 more on fresh seeds." in said
    assert "the time was up before 3 configurations were trained" in said
    page = Path("out/auto-paper-planted-rows-500/report.html").read_text("utf-8")
    assert "Leaderboard" in page
    assert "logistic" in page
    told = advice()
    assert told.next == "The time was up before all of its plan was trained: go on with 60 min."
    assert " --budget 3600s " in told.command
    assert told.command.endswith(" --name auto-paper-planted-rows-500")


def test_what_earlier_runs_took_counts_on_the_workers_of_the_plan(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many there are now."""
    plan = fitting(made_plan(3600.0, workers=4), SETTINGS)[1]
    record: Any = SimpleNamespace(
        is_search=True, search=SimpleNamespace(auto=plan), name="auto", created_at=""
    )
    engine: Any = None
    monkeypatch.setattr("studies.auto.request.seconds_since", lambda *_: 2000.0)
    now = time.monotonic()
    ends = deadlines_of(engine, record, Request(catalog.get("auto"), budget=3600.0), now)
    wanted = deadlines(plan, 3600.0 - 2000.0 / 4 - plan.spent, now)
    assert ends.end == pytest.approx(wanted.end, abs=1.0)


def test_a_plan_is_made_and_shown_by_a_dry_run_that_stores_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert auto("--budget", "30m", "--workers", "2", "--dry-run") == 0
    said = capsys.readouterr().out
    for words in ("Plan for 30m on 2 workers", "confirmation", "drawn 3", "fresh seeds too"):
        assert words in said
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "auto must be given a time, such as --budget 30m, or the --plan of a run"),
        (("--budget", "5s"), "--budget 5s is too small: the smallest plan (4 configurations of 2"),
        (("--budget", "5"), "a time is a number and s, m or h, such as 30m, at least 1s; got '5'"),
        (("--budget", "5m", "--trials", "3"), "--trials goes with a search only that has no plan"),
        (("--plan", "none.json"), "--plan must be a plan.json of an earlier run"),
        (("--plan", "none.json", "--epochs", "3"), "--epochs --space go with no --plan"),
    ],
)
def test_what_no_automatic_search_can_be_is_refused(
    arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("auto", "--data", DATA, *(("--space", "paper") if "--epochs" in arguments else ()))
    assert main([*given, *arguments]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("place", "value", "words"),
    [
        (("seed",), -1, "--seed must be"),
        (("epochs",), 0, "--epochs must be"),
        (("precision",), "half", "a precision must be float32 or bfloat16"),
        (("search", "baselines"), ["constant"] * 2, "has 'constant' twice"),
        (("search", "auto", "stages"), [], "stages must be baselines, search, confirmation"),
        (("search", "auto", "workers"), 0, "workers must be from 1"),
        (("search", "auto", "measured"), [], "a model that is no baseline must be measured"),
        (("search", "auto", "measured", 1, "time", "seconds"), 1e99, "trees must be from 0"),
    ],
)
def test_a_plan_that_was_changed_to_what_cannot_be_is_refused_in_one_line(
    place: tuple[Any, ...],
    value: Any,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = small_plan(tmp_path / "small.json")
    values = part = json.loads(plan.read_text("utf-8"))
    *inner, last = place
    for each in inner:
        part = part[each]
    part[last] = value
    plan.write_text(json.dumps(values), "utf-8")
    capsys.readouterr()
    assert main(["auto", "--plan", str(plan)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert words in line


def test_a_plan_of_other_rows_and_of_what_is_no_automatic_search_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = str(small_plan(tmp_path / "small.json"))
    assert main(["auto", "--data", "planted:rows=700", "--plan", plan]) == 2
    assert "--plan is of other rows than planted:rows=700" in capsys.readouterr().err
    for study in ("pareto", "null"):
        assert main([study, "--plan", plan]) == 2
        assert "--plan goes with a" in capsys.readouterr().err
