"""Reports of synthetic studies: the files, what the page says, and what it must never do."""

import csv
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from matplotlib.figure import Figure

from fsmd.config import FSMDConfig
from fsmd.task import DataRef, Measurement, TrainingResult, TrainingTask
from reports import build as command
from reports.assemble import analyse
from reports.build import build
from reports.facts import FIXED, notices
from reports.figures import curves, differences, levels
from reports.results import COLUMNS, auc_on_test, read
from studies import catalog
from studies.definition import Claim, Flat
from studies.planning import stated
from studies.storage import (
    Failure,
    Provenance,
    StudyRecord,
    insert_study,
    link_cell,
    open_engine,
    record_run,
)

Effect = Callable[[int, str], float]
TASKS = ("click", "long_view")


def ticks_are_true(figure: Figure) -> None:
    """The labels of a panel stand where they say, more than one on each axis, and are whole."""
    axis = figure.axes[0]
    figure.draw_without_rendering()
    for each in (axis.xaxis, axis.yaxis):
        low, high = each.get_view_interval()
        pairs = [(float(label.get_text()), at)
                 for label, at in zip(each.get_ticklabels(), each.get_ticklocs(), strict=True)
                 if low <= at <= high]  # fmt: skip
        assert len(pairs) > 1
        assert all(said == pytest.approx(at, abs=1e-9) for said, at in pairs)
        box = each.get_tightbbox()
        assert box is not None
        assert min(box.x0, box.y0) >= 0


def store_study(
    engine: sa.Engine,
    definition: str = "tower_shape",
    *,
    replicates: int = 3,
    data: str = "planted",
    name: str | None = None,
    tasks: tuple[str, str] = TASKS,
    effect: Effect = lambda index, task: 0.0,
    failures: Mapping[tuple[str, int], Failure] | None = None,
    missing: tuple[tuple[str, int], ...] = (),
    settings: Mapping[str, Any] | None = None,
    reachable: Mapping[str, float] | None = None,
) -> str:
    """Store a study; a test AUC is its seed's noise plus `effect(level index, task)`."""
    study = catalog.get(definition)
    name = name or study.name
    sets = list(dict.fromkeys([data, *(arm.data or data for arm in study.arms)]))
    known = {
        "arms": {
            arm.name: {
                "config": asdict(arm.config),
                "data": arm.data or data,
                "stream": arm.stream,
            }
            for arm in study.arms
        },
        "same": {},
        "data_hashes": {each: (name + each).ljust(64, "0") for each in sets},
        "epochs": 30,
        "patience": 2,
        "seed": 0,
        "device": "cpu",
        "code": "c0de",
        "chain_dropped": False,
    }
    facts = {
        "tasks": list(tasks),
        "funnel": True,
        "sets": {
            each: {
                "fields": 14,
                "rows": {"train": 60000, "valid": 20000, "test": 20000},
                "reachable": reachable,
            }
            for each in sets
        },
    }
    insert_study(engine, StudyRecord(
        name, study.name, data, {**known, **(settings or {})}, facts, "2026-11-01T10:00:00+00:00"
    ))  # fmt: skip
    for replicate in range(replicates):
        for index, arm in enumerate(study.arms):
            cell = (arm.name, replicate)
            if cell in missing:
                continue
            seed = 1000 + replicate
            where = arm.data or data
            ref = DataRef(where, (name + where).ljust(64, "0"), Path("nowhere"))
            task = TrainingTask(arm.config, ref, seed)
            outcome = (failures or {}).get(cell) or _result(index, seed, tasks, effect, arm.config)
            record_run(engine, task, outcome, 1, Provenance({"torch": "2.13.0"}, "a machine"))
            link_cell(engine, name, *cell, task.id)
    with engine.begin() as connection:  # the same on every machine and day
        connection.execute(sa.text("UPDATE fsmd_runs SET finished_at='2026-11-02T12:00:00+00:00'"))
    return name


def _result(
    index: int, seed: int, tasks: tuple[str, str], effect: Effect, config: FSMDConfig
) -> TrainingResult:
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, index])
    epochs, chosen = 6 + int(own.integers(3)), 5
    found = []
    for k, task in enumerate(tasks):
        noise = 0.0008 * shared.normal() + 0.0004 * own.normal()
        top = (0.721, 0.7117)[k] + noise + effect(index, task)
        for epoch in range(1, epochs + 1):
            value = top - 0.03 * 0.4**epoch - 0.0006 * abs(epoch - chosen)
            found.append(Measurement(epoch, "valid", task, "auc", value))
        figures = {("test", "auc"): top, ("test_unseen", "auc"): top - 0.002,
                   ("test", "log_loss"): 0.61, ("valid", "log_loss"): 0.6,
                   ("test", "calibration_error"): 0.01 + 0.001 * own.random()}  # fmt: skip
        if k:
            figures["test", "conditional_auc"] = 0.68 + noise
        found += [Measurement(chosen, s, task, m, v) for (s, m), v in figures.items()]
    for epoch in range(1, epochs + 1):
        found.append(Measurement(epoch, "train", "all", "loss", 1.0 / epoch))
        found += _inner(epoch, index, own, tasks, config)
    return TrainingResult(tuple(found), dict.fromkeys(tasks, chosen), epochs, True, 41.5, 123456)


def _inner(
    epoch: int, index: int, own: np.random.Generator, tasks: tuple[str, str], config: FSMDConfig
) -> Iterator[Measurement]:
    """What is recorded of a model's inside: nothing where nothing is shared."""
    if config.sharing in ("none", "embeddings"):
        return
    cosine = 0.5 - 0.1 * epoch - 0.03 * (index % 10) + 0.02 * own.normal()
    yield Measurement(epoch, "train", "all", "gradient_cosine", cosine)
    yield Measurement(epoch, "valid", "all", "dead_units", 0.01 * (index % 10))
    if config.sharing in ("experts", "extraction"):
        for task in tasks:
            weights = own.dirichlet(np.full(config.expert_count, 2.0))
            for i, weight in enumerate(weights):
                yield Measurement(epoch, "valid", task, f"gate_weight_{i}", float(weight))
            yield Measurement(epoch, "valid", task, "gate_entropy", 0.8 + 0.01 * (index % 10))


REACHABLE = {"click": 0.7433, "long_view": 0.7391, "mean": 0.7412}
BAD = Failure("loss is not finite <b>", 'Traceback:\n  File "x.py"\nRuntimeError: <script>')


def diamond_wins(index: int, task: str) -> float:
    return 0.004 if index == 3 and task == "long_view" else 0.0


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> sa.Engine:
    """Four studies: whole, one replicate with a failure, unfinished on other data, and empty."""
    url = f"sqlite:///{tmp_path_factory.mktemp('db') / 'studies.db'}"
    made = open_engine(url, create=True)
    store_study(made, replicates=5, effect=diamond_wins, reachable=REACHABLE)
    store_study(made, name="one", replicates=1, failures={("increasing", 0): BAD})
    store_study(made, "expert_count", name="expert_count-census", data="census", replicates=3,
                tasks=("income", "never_married"), missing=(("14", 2),),
                settings={"chain_dropped": True})  # fmt: skip
    store_study(made, name="empty", replicates=0)
    return made


@pytest.fixture(scope="module")
def out(engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    for name in ("tower_shape", "one", "expert_count-census"):
        assert build(engine, name, folder).page == folder / name / "report.html"
    return folder


def page(out: Path, name: str = "tower_shape") -> str:
    return (out / name / "report.html").read_text("utf-8")


def text_of(out: Path, name: str = "tower_shape") -> str:
    """The page's words, without drawings and tags, blanks collapsed."""
    without = re.sub(r"<(style|svg).*?</\1>", " ", page(out, name), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without))


# Reading


def test_the_tidy_frame_has_its_columns_and_the_definitions_order(engine: sa.Engine) -> None:
    results = read(engine, "expert_count-census")
    assert tuple(results.measurements.columns) == COLUMNS
    assert results.measurements["level"].drop_duplicates().to_list() == [
        "2",
        "4",
        "6",
        "8",
        "10",
        "12",
        "14",
    ]
    assert results.tasks == ("income", "never_married")


def test_failed_trainings_are_in_the_runs_and_not_in_the_measurements(engine: sa.Engine) -> None:
    results = read(engine, "one")
    assert results.runs["status"].to_list() == ["done", "failed", "done", "done"]
    assert "increasing" not in set(results.measurements["level"])


def test_scores_are_the_test_auc_at_the_chosen_epoch(engine: sa.Engine) -> None:
    results = read(engine, "tower_shape")
    scores = auc_on_test(results)
    frame = results.measurements
    row = frame[(frame["level"] == "diamond") & (frame["replicate"] == 2)
                & (frame["split"] == "test") & (frame["metric"] == "auc")]  # fmt: skip
    expected = dict(zip(row["task"], row["value"], strict=True))
    found = scores.values_LRT[scores.levels.index("diamond"), 2]
    assert found.tolist() == [*expected.values(), np.mean(list(expected.values()))]


def test_two_levels_are_compared_over_the_replicates_that_both_have(engine: sa.Engine) -> None:
    scores = auc_on_test(read(engine, "expert_count-census"))
    assert (scores.paired, scores.left_out) == ((0, 1), (2,))
    assert len(scores.differences("10", "2", "income")) == 3
    assert len(scores.differences("10", "14", "income")) == 2
    assert (scores.shared("10", "14"), scores.most_shared) == ((0, 1), 3)
    one = auc_on_test(read(engine, "one"))
    assert one.paired == (0,)
    assert "increasing" not in one.trained
    assert len(one.differences("diamond", "increasing", "mean")) == 0


@pytest.mark.usefixtures("blank_figures")
def test_a_claim_is_judged_without_what_it_does_not_ask_for(tmp_path: Path) -> None:
    """PLE is not among the models of the claim; nine of its ten trainings failed."""
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    levels_ = catalog.get("models_video").levels
    store_study(made, "models_video", replicates=10, data="kuairand",
                effect=lambda index, task: 0.003 * (levels_[index] == "fsmd"),
                failures={("ple", replicate): BAD for replicate in range(1, 10)})  # fmt: skip
    analysis = analyse(read(made, "models_video"))
    build(made, "models_video", tmp_path)
    made.dispose()
    verdicts = {j.claim.id: (j.verdict, j.found) for j in analysis.judged}
    assert verdicts["table4-fsmd-best"][0] == "holds"
    assert "10 paired" in verdicts["table4-fsmd-best"][1]
    text = text_of(tmp_path, "models_video")
    assert "Replicates 1, 2, 3, 4, 5, 6, 7, 8 and 9 (counted from 0) are not finished" in text
    with (tmp_path / "models_video/tables/differences.csv").open() as file:
        rows = {row["minus base"]: row["paired replicates"] for row in csv.DictReader(file)}
    assert (rows["fsmd"], rows["ple"]) == ("10", "1")


# Figures


@pytest.mark.parametrize("name", ["tower_shape", "one", "expert_count-census"])
@pytest.mark.parametrize("kind", [levels, curves, differences])
@pytest.mark.parametrize("narrow", [False, True])
def test_every_figure_draws(engine: sa.Engine, name: str, kind: Any, narrow: bool) -> None:
    assert kind.draw(kind.summarize(read(engine, name)), narrow=narrow).axes


def test_the_levels_figure_shows_every_replicate_and_a_range_that_holds_them(
    engine: sa.Engine,
) -> None:
    summary = levels.summarize(read(engine, "tower_shape"))
    assert [panel.target for panel in summary.panels] == [*TASKS, "mean"]
    for panel in summary.panels:
        low, high = levels.y_range(panel)
        assert low < panel.values_LR.min() <= panel.values_LR.max() < high
        assert high - low >= levels.MIN_SPAN
        assert high < REACHABLE[panel.target]  # far above: told, not drawn


def test_a_reachable_auc_near_the_data_is_inside_the_range(engine: sa.Engine) -> None:
    panel = levels.summarize(read(engine, "tower_shape")).panels[0]
    near = panel._replace(reachable=float(panel.values_LR.max()) + 0.001)
    assert levels.y_range(near)[1] > float(panel.values_LR.max()) + 0.001


def test_drawing_leaves_matplotlibs_settings_alone(engine: sa.Engine) -> None:
    import matplotlib

    before = dict(matplotlib.rcParams)
    levels.draw(levels.summarize(read(engine, "tower_shape")))
    assert dict(matplotlib.rcParams) == before


# Files


def test_summary_json_has_its_schema(out: Path) -> None:
    summary = json.loads((out / "tower_shape" / "summary.json").read_text())
    assert {"study", "data", "replicates", "levels", "claims", "comparisons", "pairs"} == set(
        summary
    )
    assert (summary["study"], summary["data"], summary["replicates"]) == (
        "tower_shape", "planted", 5)  # fmt: skip
    assert len(summary["levels"]) == 4 * 3
    for entry in summary["levels"]:
        assert {"level", "task", "mean", "low", "high"} == set(entry)
        assert entry["low"] < entry["mean"] < entry["high"]
    assert {c["id"]: c["verdict"] for c in summary["claims"]}["fig11-duration"] == "holds"


def test_without_an_interval_low_and_high_are_null(out: Path) -> None:
    summary = json.loads((out / "one" / "summary.json").read_text())
    assert {(e["low"], e["high"]) for e in summary["levels"]} == {(None, None)}
    assert {claim["verdict"] for claim in summary["claims"]} == {"undecided"}


def test_results_csv_is_the_tidy_frame(out: Path, engine: sa.Engine) -> None:
    found = pd.read_csv(out / "tower_shape" / "results.csv")
    assert tuple(found.columns) == COLUMNS
    assert len(found) == len(read(engine, "tower_shape").measurements)


def test_building_again_gives_the_same_bytes(out: Path, engine: sa.Engine, tmp_path: Path) -> None:
    build(engine, "tower_shape", tmp_path)
    written = {p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file()}
    assert written == {p.relative_to(out) for p in (out / "tower_shape").rglob("*") if p.is_file()}
    assert len(written) == 4 + 2 * 5 + 2 * 6  # figures and tables in two formats, no temporary
    for name in written:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


def test_the_pdf_is_one(out: Path) -> None:
    for name in ("tower_shape", "one", "expert_count-census"):
        assert (out / name / "report.pdf").read_bytes().startswith(b"%PDF-")


# The page


class Resources(HTMLParser):
    """Collects what a browser would load, ids, and drawings without a title."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.drawings = 0
        self.titled: list[str] = []
        self.labelled: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.loaded += [v or "" for k, v in attrs if k in ("src", "href", "xlink:href", "srcset")]
        self.ids += [v or "" for k, v in attrs if k == "id"]
        self.drawings += tag == "svg"
        if tag == "svg" and values.get("role") == "img":
            self.labelled.append(values.get("aria-labelledby") or "")
            self.titled.append(values.get("aria-describedby") or "")


def test_the_page_loads_nothing_and_every_drawing_has_a_title(out: Path) -> None:
    for name in ("tower_shape", "one", "expert_count-census"):
        found = Resources()
        found.feed(page(out, name))
        assert all(link.startswith("#") for link in found.loaded)
        assert {link[1:] for link in found.loaded} <= set(found.ids)
        assert len(found.ids) == len(set(found.ids))
        assert page(out, name).startswith("<!doctype html>")
        assert found.drawings == len(found.labelled) == 10
        assert set(found.labelled) | set(found.titled) <= set(found.ids)
        assert not re.search(r"@import|url\((?!#)", page(out, name))


def test_the_page_says_what_was_judged_and_how(out: Path) -> None:
    text = text_of(out)
    for sentence in (
        "The diamond tower has the best AUC on duration and on the mean.",
        "Judged as: diamond has a higher AUC on long_view than every other level",
        "private 15-day video log",
        "python -m reports.build tower_shape",
        "studies.run tower_shape --data planted --replicates 5 --epochs 30 --seed 0 --device cpu",
        "Last training ended 2026-11-02T12:00:00+00:00",
        "to best",
        "pCVR AUC among clicked rows",
        "chosen on validation data only",
        "after Holm over 2 claims",
        "(Holm ",
        "shows with 80 % chance a true difference",
    ):
        assert sentence in text
    assert "Failed trainings" not in text
    both = r"p [=<] [\d.]+ \(Holm [<\d. ]+\)"
    assert re.search(f"differ: {both} equivalent: {both}", unescape(text))


def test_a_failed_training_is_shown_and_escaped(out: Path) -> None:
    text = text_of(out, "one")
    assert "1 training failed" in text
    assert "tower_shape = increasing, replicate 0, seed 1000: failed after 1 attempt" in text
    assert "loss is not finite &lt;b&gt;" in text
    assert "RuntimeError: &lt;script&gt;" in page(out, "one")
    assert "No finished replicate of increasing" in text
    assert "ot enough replicates to decide" in text


def test_an_unfinished_study_on_other_data_says_so(out: Path) -> None:
    text = text_of(out, "expert_count-census")
    assert "the chain was dropped" in text
    assert "Replicate 2 (counted from 0) is not finished at every trained level" in text
    assert "--data census" in text
    assert "--name" not in text


@pytest.mark.parametrize(
    ("replicates", "told"), [(4, "4 replicates are few"), (9, "9 replicates are a look"), (10, "")]
)
def test_a_claim_wants_ten_replicates(tmp_path: Path, replicates: int, told: str) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, replicates=replicates)
    results = read(made, "tower_shape")
    found = [said for said in notices(results, auc_on_test(results)) if "replicates are" in said]
    made.dispose()
    assert [said.startswith(told) for said in found] == [True] * bool(told)


def test_without_the_papers_winner_the_rest_is_still_reported(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    failed = {("diamond", replicate): BAD for replicate in range(2)}
    store_study(made, replicates=2, failures=failed, tasks=("$x_{", "<b>"))
    build(made, "tower_shape", tmp_path)
    made.dispose()
    text = text_of(tmp_path)
    assert "No finished replicate of diamond" in text
    assert "2 replicates are few" in text
    assert "AUC, &lt;b&gt;" in text
    assert "<b>" not in page(tmp_path)
    assert 'data-key="differences"' not in page(tmp_path)


@pytest.mark.usefixtures("blank_figures")
def test_what_was_fixed_is_said_only_where_it_was(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    study = catalog.get("tower_shape")
    first = replace(study, claims=study.claims[:1], margin=0.002)
    gone = Claim("gone", "Given up.", "", (Flat("first"),))
    stored: Mapping[str, Mapping[str, Any]] = {
        "fixed": {"stated": stated(study)},
        "late": {"stated": stated(first)},
        "fewer": {"stated": stated(replace(study, claims=(*study.claims, gone)))},
        "unknown": {},
    }
    for name, settings in stored.items():
        store_study(made, name=name, replicates=2, settings=settings)
        build(made, name, tmp_path)
    with made.begin() as connection:  # planned when the trainings had ended
        connection.execute(
            sa.text("UPDATE fsmd_studies SET created_at='2026-11-03T10:00:00+00:00'")
        )
    build(made, "fixed", tmp_path / "after")
    made.dispose()
    told = {name: text_of(tmp_path, name) for name in stored}
    told["after"] = text_of(tmp_path / "after", "fixed")
    assert {name for name, text in told.items() if FIXED in text} == {"fixed"}
    assert not any("was fixed before" in text for text in told.values())
    assert (
        "Stated or changed after this study was planned: the claim fig11-click and "
        "the margin (0.001, before: 0.002)." in told["late"]
    )
    assert "Stated when it was planned, and judged no longer: gone." in told["fewer"]
    assert "was not stored when this study was planned" in told["unknown"]
    assert "8 trainings of this study had ended before it was planned" in told["after"]


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
    assert lines[:-1] == list(build(engine, "expert_count-census", tmp_path).lines)
    assert any(line.startswith("UNDECIDED ") for line in lines)


@pytest.mark.parametrize(
    ("name", "told"),
    [("no_such", "stored: empty, expert_count-census, one"), ("empty", "no finished training")],
)
def test_a_bad_name_is_one_line_and_writes_nothing(
    engine: sa.Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, told: str
) -> None:
    out = tmp_path / "out"
    assert command.main([name, "--storage", str(engine.url), "--out", str(out)]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert told in captured.err
    assert not captured.out
    assert not out.exists()


def test_where_every_training_failed_the_report_shows_why(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'studies.db'}"
    made = open_engine(url, create=True)
    levels = catalog.get("tower_shape").levels
    store_study(made, replicates=1, failures={(level, 0): BAD for level in levels})
    made.dispose()
    arguments = ["--storage", url, "--out", str(tmp_path)]
    assert command.main(["tower_shape", *arguments]) == 0
    text = unescape(text_of(tmp_path))
    assert text.count("loss is not finite <b>") == len(levels)
    assert "RuntimeError: <script>" in text
    assert "None of the comparisons could be made" in text
    assert (tmp_path / "tower_shape/report.pdf").read_bytes().startswith(b"%PDF-")
    assert "4 trainings failed" in text
    assert command.main(["--all", *arguments]) == 0
    assert 'href="tower_shape/report.html' in (tmp_path / "index.html").read_text("utf-8")


def test_a_folder_that_cannot_be_written_is_one_line(
    engine: sa.Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    out = str(tmp_path / "file")
    assert command.main(["tower_shape", "--storage", str(engine.url), "--out", out]) == 2
    assert capsys.readouterr().err.startswith("error: --out must be a folder")


def test_reports_load_neither_torch_nor_optuna() -> None:
    code = (
        "import sys, reports.build, reports.assemble, reports.render\n"
        "print([m for m in ('torch', 'lightning', 'optuna') if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        cwd=Path(__file__).parent.parent,
    )  # fmt: skip
    assert ended.stdout.strip() == "[]"
