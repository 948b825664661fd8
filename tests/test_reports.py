"""Reports of made-up studies: the files, what the page says, and what it must never do."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from fsmd.baselines import BASELINES
from fsmd.tasks import MEAN, Task
from reports import build as command
from reports.build import build, outline_of
from reports.measurements import COLUMNS, OfTraining, tidy
from reports.page.csv_files import measurements_csv
from reports.page.model import Outline
from reports.ran import cut_off
from reports.results import read, stored_record
from reports.study.analysis import analyse
from reports.study.cautions import FIXED
from studies import catalog
from studies.definition import Claim, Flat, Study
from studies.store.curves import Keys
from studies.store.tables import CELLS
from tests.conftest import leave_figures_blank
from tests.made_up import CENSUS, FAILURE, MIXED, fresh_engine, store_study, tasks
from tests.pages import Resources, assert_stands_alone, text_of

REACHABLE = {"click": 0.7433, "long_view": 0.7391}


def catalogued(name: str) -> Study:
    study = catalog.get(name)
    assert isinstance(study, Study)
    return study


def diamond_wins(index: int, task: str) -> float:
    return 0.004 if index == 3 and task == "long_view" else 0.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> sa.Engine:
    """Four studies: whole, one replicate with a failure, unfinished on other data, and empty."""
    made = fresh_engine(tmp_path_factory.mktemp("db"))
    store_study(made, "tower_shape", replicates=5, effect=diamond_wins, reachable=REACHABLE)
    store_study(
        made, "tower_shape", name="one", replicates=1, failures={("increasing", 0): FAILURE}
    )
    store_study(
        made,
        "expert_count",
        name="expert_count-census",
        data="census",
        tasks=CENSUS,
        missing=(("14", 2),),
    )
    store_study(made, "tower_shape", name="empty", replicates=0)
    return made


@pytest.fixture(scope="module")
def out(engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two reports; of `tower_shape` alone the figures are drawn."""
    folder = tmp_path_factory.mktemp("out")
    assert build(engine, "tower_shape", folder).page == folder / "tower_shape" / "report.html"
    with pytest.MonkeyPatch.context() as patch:
        leave_figures_blank(patch)
        build(engine, "one", folder)
    return folder


def page(out: Path, name: str = "tower_shape") -> str:
    return (out / name / "report.html").read_text("utf-8")


def outline(engine: sa.Engine, name: str) -> Outline:
    """Without any drawing."""
    return outline_of(engine, stored_record(engine, name))


# Reading


def test_the_tidy_frame_has_its_columns_and_the_definitions_order(engine: sa.Engine) -> None:
    results = read(engine, "expert_count-census")
    assert tuple(results.measurements.columns) == COLUMNS
    arms = results.measurements["arm"].drop_duplicates().to_list()
    assert arms == ["2", "4", "6", "8", "10", "12", "14"]
    assert results.task_names == ("income", "never_married")


def test_failed_trainings_are_in_the_runs_and_not_in_the_measurements(engine: sa.Engine) -> None:
    results = read(engine, "one")
    assert results.runs["status"].to_list() == ["done", "failed", "done", "done"]
    assert "increasing" not in set(results.measurements["arm"])


def test_scores_are_the_test_figures_at_the_chosen_epoch(engine: sa.Engine) -> None:
    results = read(engine, "tower_shape")
    frame = results.measurements
    row = frame[
        (frame["arm"] == "diamond")
        & (frame["replicate"] == 2)
        & (frame["split"] == "test")
        & (frame["metric"] == "auc")
        & frame["task"].isin(results.task_names)
    ]
    expected = dict(zip(row["task"], row["value"], strict=True))
    scores = results.test
    found = scores.values_ART[scores.arms.index("diamond"), 2]
    assert found.tolist() == [*expected.values(), np.mean(list(expected.values()))]


@pytest.mark.parametrize("of", [tasks(1), tasks(3), tasks(5), MIXED, tasks(2, ("log_loss",))])
def test_each_task_is_scored_by_its_own_metric_and_only_one_metric_has_a_mean(
    tmp_path: Path, of: tuple[Task, ...]
) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, tasks=of, replicates=2)
    results = read(made, "towers")
    made.dispose()
    scores, frame = results.test, results.measurements
    for task in of:
        rows = frame[(frame["split"] == "test") & (frame["task"] == task.name)]
        own = rows[(rows["metric"] == task.metric) & (rows["arm"] == "diamond")]
        assert scores.of("diamond", task.name).tolist() == own["value"].to_list()
    has_mean = len({task.metric for task in of}) == 1 < len(of)
    assert [target.key for target in scores.targets] == [
        *(task.name for task in of),
        *([MEAN] if has_mean else []),
    ]


def test_two_arms_are_compared_over_the_replicates_that_both_have(engine: sa.Engine) -> None:
    scores = read(engine, "expert_count-census").test
    assert (scores.paired, scores.left_out) == ((0, 1), (2,))
    assert len(scores.differences("10", "2", "income")) == 3
    assert len(scores.differences("10", "14", "income")) == 2
    assert (scores.shared("10", "14"), scores.most_shared) == ((0, 1), 3)
    one = read(engine, "one").test
    assert one.paired == (0,)
    assert "increasing" not in one.trained
    assert len(one.differences("diamond", "increasing", "mean")) == 0


def test_a_claim_is_judged_without_what_it_does_not_ask_for(tmp_path: Path) -> None:
    """PLE is not among the models of the claim; nine of its ten trainings failed."""
    made = fresh_engine(tmp_path)
    store_study(
        made,
        "models_video",
        replicates=10,
        data="kuairand",
        effects={"fsmd": 0.003},
        failures={("ple", replicate): FAILURE for replicate in range(1, 10)},
    )
    record = stored_record(made, "models_video")
    verdicts = {j.claim.id: (j.verdict, j.found) for j in analyse(made, record).judged}
    report = outline_of(made, record).report
    made.dispose()
    assert verdicts["table4-fsmd-best"][0] == "holds"
    assert "10 replicates" in verdicts["table4-fsmd-best"][1]
    begins = "Replicates 1, 2, 3, 4, 5, 6, 7, 8 and 9 (counted from 0) are not finished"
    assert any(notice.startswith(begins) for notice in report.notices)
    (table,) = (table for table in report.tables if table.key == "differences")
    replicates = {row[0].text: row[-1].text for row in table.rows}
    assert (replicates["fsmd"], replicates["ple"]) == ("10", "1")


# Files


def test_summary_json_has_its_schema(out: Path) -> None:
    summary = json.loads((out / "tower_shape" / "summary.json").read_text())
    assert set(summary) == {
        *("study", "data", "replicates", "looks", "answer", "targets", "levels"),
        *("claims", "comparisons", "pairs"),
    }
    assert summary["answer"]["use"].startswith("Use diamond")
    assert summary["answer"]["standings"][0]["level"] == "diamond"
    keys = ("click", "long_view", "mean")
    assert summary["targets"] == [{"task": k, "metric": "auc", "higher": True} for k in keys]
    assert (summary["study"], summary["data"], summary["replicates"]) == (
        "tower_shape",
        "planted",
        5,
    )
    assert len(summary["levels"]) == 4 * 3
    for entry in summary["levels"]:
        assert {"level", "task", "mean", "low", "high"} == set(entry)
        assert entry["low"] < entry["mean"] < entry["high"]
    assert {c["id"]: c["verdict"] for c in summary["claims"]}["fig11-duration"] == "holds"
    assert {pair["verdict"] for pair in summary["pairs"]} <= {"dominates", "undecided"}


@pytest.mark.parametrize(
    ("of", "keys"),
    [
        (tasks(1), ["click"]),
        (tasks(3), ["click", "long_view", "like", "mean"]),
        (MIXED, ["click", "long_view"]),
    ],
)
def test_the_summary_has_every_task_and_the_mean_where_there_is_one(
    tmp_path: Path, of: tuple[Task, ...], keys: list[str]
) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, tasks=of, replicates=2)
    summary = outline(made, "towers").summary
    made.dispose()
    assert [entry["task"] for entry in summary["levels"]] == keys * 4
    assert [entry["task"] for entry in summary["comparisons"]] == keys * 3
    assert len(summary["pairs"]) == (3 if len(of) > 1 else 0)
    json.dumps(summary, allow_nan=False)


def test_without_an_interval_low_and_high_are_null(engine: sa.Engine) -> None:
    summary = outline(engine, "one").summary
    assert {(e["low"], e["high"]) for e in summary["levels"]} == {(None, None)}
    assert {claim["verdict"] for claim in summary["claims"]} == {"open"}


def test_results_csv_is_the_tidy_frame(out: Path, engine: sa.Engine) -> None:
    found = pd.read_csv(out / "tower_shape" / "results.csv")
    assert tuple(found.columns) == COLUMNS
    assert len(found) == len(read(engine, "tower_shape").measurements)


@pytest.mark.parametrize("arm", ["plain", 'quoted "b", c', "half; half", "=1+1"])
def test_measurements_are_written_as_pandas_writes_them(arm: str) -> None:
    keys = Keys((2, 1, 2), ("valid", "valid", "test"), ("b", "a", "a"), ("auc",) * 3)
    values = np.array([0.1 + 0.2, 1e-17, 1.0])
    trainings = [OfTraining(name, n, 7, keys, 0) for n in (0, 1) for name in (arm, "x")]
    frame = tidy("s", "planted", trainings, values)
    plain = frame.astype(dict.fromkeys(frame.select_dtypes("category"), object))
    safe = plain.assign(arm=plain["arm"].replace("=1+1", "'=1+1"))
    quoting: Any = csv.QUOTE_NONNUMERIC if ";" in arm else csv.QUOTE_MINIMAL
    expected = safe.to_csv(index=False, lineterminator="\n", quoting=quoting)
    assert b"".join(measurements_csv(frame)).decode() == expected
    of_one = frame[(frame["arm"] == arm) & (frame["replicate"] == 1)]
    assert of_one["epoch"].tolist() == [1, 2, 2]  # by epoch, then test before valid
    assert of_one["value"].tolist() == [1e-17, 1.0, 0.1 + 0.2]


@pytest.mark.usefixtures("blank_figures")  # of these, test_reports_pictures.py says it too
def test_building_again_gives_the_same_bytes(out: Path, engine: sa.Engine, tmp_path: Path) -> None:
    build(engine, "one", tmp_path)
    written = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {p.relative_to(out) for p in (out / "one").rglob("*") if p.is_file()}
    keys = {figure.key for figure in outline(engine, "one").report.figures}
    tables = {table.key for table in outline(engine, "one").report.tables}
    assert len(written) == 4 + 2 * len(keys) + 2 * len(tables)  # in two formats, no temporary
    for name in written:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_the_pdf_is_one(out: Path) -> None:
    for name in ("tower_shape", "one"):
        assert (out / name / "report.pdf").read_bytes().startswith(b"%PDF-")


# The page


def test_the_page_loads_nothing_and_every_drawing_has_a_title(
    out: Path, engine: sa.Engine
) -> None:
    assert_stands_alone(page(out))
    assert page(out).startswith("<!doctype html>")
    figures = len(outline(engine, "tower_shape").report.figures)
    assert Resources(page(out)).drawings == 2 * figures > 0
    assert "@import" not in page(out)


def test_the_page_says_what_was_judged_and_how(out: Path) -> None:
    text = text_of(page(out))
    for sentence in (
        "The diamond tower has the best AUC on duration and on the mean.",
        "Judged as: diamond has a higher AUC on long_view than every other arm",
        "private 15-day video log",
        "The claims' click task is read as click, their duration task as long_view.",
        "python -m reports.build tower_shape",
        "studies.run tower_shape --data planted --replicates 5 --epochs 30 --patience 2 --seed 0 "
        "--device cpu",
        "Last training ended 2026-11-02T12:00:00+00:00",
        "minus the best reachable",
        "AUC, long_view|click",
        "chosen on validation data only, by the tasks' mean AUC",
        "after Holm over 2 claims",
        "a true difference in AUC is found with 80 % chance",
        "Use diamond: it is almost surely the best of 4 arms.",
    ):
        assert sentence in unescape(text)
    assert "Failed trainings" not in text
    (row,) = (r for r in rows_of(out, "differences") if r["diamond"] == "minus constant")
    assert row["AUC, click, note 1"] in ("better", "worse", "equivalent", "undecided")
    (row,) = (
        r for r in rows_of(out, "tests") if r["difference"] == "diamond minus constant, mean"
    )
    assert row["word"] == "better"


def rows_of(out: Path, table: str, name: str = "tower_shape") -> list[dict[str, str]]:
    written = (out / name / f"tables/{table}.csv").read_text("utf-8")
    return list(csv.DictReader(written.splitlines()))


def test_a_failed_training_is_shown_and_escaped(out: Path) -> None:
    text = text_of(page(out, "one"))
    assert "1 training failed" in text
    assert "tower_shape = increasing, replicate 0, seed 1000: failed after 1 attempt" in text
    assert "loss is not finite &lt;b&gt;" in text
    assert "RuntimeError: &lt;script&gt;" in page(out, "one")
    assert "No finished replicate of increasing" in text
    assert "ot enough replicates to decide" in text


def test_an_unfinished_study_on_other_data_says_so(engine: sa.Engine) -> None:
    report = outline(engine, "expert_count-census").report
    notices = " ".join(report.notices)
    assert "the chain was dropped" in notices
    assert "The claims' click task is read as income, their duration task as" in notices
    assert "Replicate 2 (counted from 0) is not finished at every trained arm" in notices
    assert "--data census" in report.commands[0].value
    assert "--name" not in report.commands[0].value


def test_what_is_not_finished_is_not_called_failed(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, replicates=3, paused=[("diamond", 1)], failures={("diamond", 2): FAILURE})
    report = outline(made, "towers").report
    made.dispose()
    assert "1 training failed; see Failed trainings." in report.notices
    assert len(report.failures) == 1
    facts = {fact.label: fact.value for fact in report.facts}
    assert facts["Trainings"] == "10 finished, 1 failed, 1 not finished"


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ({}, ""),
        ({"a": 1, "constant": 3}, ""),
        (
            {"a": 3},
            "In most trainings of a a task was at its best in the last of at most 30 epochs: with",
        ),
        ({"a": 2, "b": 3, "constant": 3}, "In most trainings of a and b a task was"),
        (dict.fromkeys("abcd", 2), "In most trainings of 4 of 5 networks a task was"),
    ],
)
def test_networks_that_the_limit_on_epochs_ended_at_their_best_are_told_of(
    engine: sa.Engine, last: dict[str, int], told: str
) -> None:
    """last: of how many of an arm's three trainings the last epoch was the best."""
    stored = read(engine, "tower_shape")
    network, run = stored.planned[0], next(iter(stored.finished.values()))[0]
    planned = [replace(network, name=name) for name in "abcde"]
    simple = replace(network, name="constant", config=BASELINES["constant"])
    results = replace(stored, planned=(*planned, simple))
    ends = {2: run._replace(chosen_epochs={"click": 2, "like": 2})}
    ends[30] = run._replace(chosen_epochs={"click": 2, "like": 30})
    vars(results)["finished"] = {
        arm.name: [ends[30 if i < last.get(arm.name, 0) else 2] for i in range(3)]
        for arm in results.planned
    }
    said = cut_off(results)
    assert said.startswith(told)
    assert bool(said) == bool(told)
    plan = results.record.plan
    once = replace(plan, settings=replace(plan.settings, epochs=1))
    of_one = replace(results, record=replace(results.record, plan=once))
    vars(of_one)["finished"] = {a: [ends[2]._replace(chosen_epochs={"like": 1})] for a in "abc"}
    assert not cut_off(of_one)


@pytest.mark.parametrize(("replicates", "told"), [(4, "4 replicates are few"), (5, "")])
def test_a_look_wants_five_replicates(tmp_path: Path, replicates: int, told: str) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, replicates=replicates)
    notices = outline(made, "towers").report.notices
    made.dispose()
    found = [said for said in notices if "replicates are" in said]
    assert [said.startswith(told) for said in found] == [True] * bool(told)


@pytest.mark.usefixtures("blank_figures")
def test_without_the_papers_winner_the_rest_is_still_reported(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    failed = {("diamond", replicate): FAILURE for replicate in range(2)}
    strange = (Task("$x_{"), Task("<b>"))
    store_study(made, "tower_shape", replicates=2, failures=failed, tasks=strange)
    build(made, "tower_shape", tmp_path)
    made.dispose()
    text = text_of(page(tmp_path))
    assert "No finished replicate of diamond" in text
    assert "2 replicates are few" in text
    assert "AUC, &lt;b&gt;" in text
    assert "<b>" not in page(tmp_path)
    assert 'data-key="differences"' not in page(tmp_path)


def test_what_was_fixed_is_said_only_where_it_was(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    study = catalogued("tower_shape")
    first = replace(study, claims=study.claims[:1], margins=(("auc", 0.002),))
    gone = Claim("gone", "Given up.", "", (Flat("click"),))
    fewer = replace(study, claims=(*study.claims, gone))
    for name, stated in (("fixed", study), ("late", first), ("fewer", fewer)):
        store_study(made, "tower_shape", name=name, replicates=2, stated=stated)
    after = "2026-11-03T10:00:00+00:00"  # planned when the trainings had ended
    store_study(made, "tower_shape", name="after", replicates=2, created_at=after)
    told = {}
    for name in ("fixed", "late", "fewer", "after"):
        report = outline(made, name).report
        told[name] = " ".join((*report.notices, *report.reading))
    made.dispose()
    assert {name for name, text in told.items() if FIXED in text} == {"fixed"}
    assert (
        "Stated or changed after this study was planned: the claim fig11-click and the margin "
        "of AUC (0.001, before: 0.002)." in told["late"]
    )
    assert "Stated when it was planned, and judged no longer: gone." in told["fewer"]
    assert "8 trainings of this study had ended before it was planned" in told["after"]


def test_a_report_reads_the_stored_definition_and_none_of_todays_catalog(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    asked = replace(catalogued("tower_shape"), name="gone_from_the_catalog", question="Why?")
    store_study(made, asked, replicates=2)
    found = outline(made, "gone_from_the_catalog")
    made.dispose()
    assert found.report.question == found.entry.question == "Why?"
    assert "studies.run gone_from_the_catalog --data planted" in found.report.commands[0].value


@pytest.mark.parametrize(
    ("count", "told"), [(1, "task click:"), (3, "tasks click, long_view and like:")]
)
def test_any_number_of_tasks_is_reported_in_words_that_fit(
    tmp_path: Path, count: int, told: str
) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, tasks=tasks(count), replicates=2)
    report = outline(made, "towers").report
    made.dispose()
    assert f"On planted, {told}" in report.headline
    everything = " ".join(
        (
            *(sentence for section in report.sections for sentence in section.sentences),
            *(table.caption for table in report.tables),
            *(figure.caption for figure in report.figures),
            *report.notices,
            *report.reading,
        )
    )
    assert "both tasks" not in everything
    assert ("the mean" in everything) or count == 1
    assert ("All tasks" in everything) == (count > 1)


def test_of_losses_captions_say_that_less_is_better(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    store_study(made, tasks=MIXED, replicates=3, effects={"diamond": 0.004})
    found = outline(made, "towers")
    made.dispose()
    captions = {table.key: table.caption for table in found.report.tables}
    assert "Of log loss less is better." in captions["leaderboard"]
    assert "above zero diamond leads in AUC, below it in log loss" in captions["differences"]
    assert captions["leaderboard"].startswith("Test AUC and log loss over 3 complete")
    verdicts = {(c["other"], c["task"]): c for c in found.summary["comparisons"]}
    loss = verdicts["constant", "long_view"]
    assert (loss["verdict"], loss["mean"] < 0) == ("better", True)
    assert found.entry.answer is not None
    assert found.entry.answer.use.startswith("Use diamond")
    gains = found.entry.answer.sentences[0]
    assert gains.endswith(" (above zero is better).")
    assert "; log loss +" in gains


# The command line


@pytest.mark.usefixtures("blank_figures")
def test_the_command_builds_and_says_where(
    engine: sa.Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    storage = str(engine.url)
    arguments = ["expert_count", "--data", "census", "--storage", storage, "--out", str(tmp_path)]
    assert command.main(arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == f"Report: {tmp_path / 'expert_count-census' / 'report.html'}"
    assert lines[:-1] == list(outline(engine, "expert_count-census").lines)
    assert any(line.startswith("OPEN ") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["no_such"], "; there are empty, expert_count-census, one"),
        (["empty"], "no finished training"),
        (["tower_shape", "--data", "census"], "no study 'tower_shape-census' in this database"),
        (["tower_shape", "--data", "nowhere"], "no data set 'nowhere'; there are"),
        (["tower_shape", "--pick", "knee"], "--pick goes with a search only"),
    ],
)
def test_a_bad_name_is_one_line_and_writes_nothing(
    engine: sa.Engine,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    out = tmp_path / "out"
    assert command.main([*arguments, "--storage", str(engine.url), "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert not captured.out
    assert not out.exists()


def test_where_every_training_failed_the_report_shows_why(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    arms = [arm.name for arm in catalogued("tower_shape").arms]
    store_study(made, "tower_shape", replicates=1, failures={(arm, 0): FAILURE for arm in arms})
    arguments = ["--storage", str(made.url), "--out", str(tmp_path)]
    made.dispose()
    assert command.main(["tower_shape", *arguments]) == 0
    text = unescape(text_of(page(tmp_path)))
    assert text.count("loss is not finite <b>") == len(arms)
    assert "RuntimeError: <script>" in text
    assert "None of the comparisons could be made" in text
    assert (tmp_path / "tower_shape/report.pdf").read_bytes().startswith(b"%PDF-")
    assert "4 trainings failed" in text
    assert command.main(["--all", *arguments]) == 0
    assert 'href="tower_shape/report.html' in (tmp_path / "index.html").read_text("utf-8")


@pytest.mark.usefixtures("blank_figures")
def test_a_folder_that_cannot_be_written_is_one_line(
    engine: sa.Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file")
    assert command.main(["tower_shape", "--storage", str(engine.url), "--out", out]) == 2
    assert capsys.readouterr().err.startswith("error: --out must be a folder")


@pytest.mark.parametrize(
    "name", ["read", "build_report", "Scores", "analyse_study", "open_engine"]
)
def test_what_a_notebook_needs_is_at_the_top(name: str) -> None:
    import reports

    found: Callable[..., Any] = getattr(reports, name)
    assert callable(found)
    assert name in dir(reports)


def test_an_arm_that_the_plan_no_longer_has_is_told_of_too(tmp_path: Path) -> None:
    engine = fresh_engine(tmp_path)
    record = store_study(engine, replicates=2)
    last = record.plan.arms[-1].name
    with engine.begin() as connection:
        connection.execute(sa.update(CELLS).filter_by(arm=last).values(arm="gone"))
    means = {mean.arm: mean.params for mean in outline_of(engine, record).means.of_arms}
    assert means["gone"] == {}
    assert last not in means
