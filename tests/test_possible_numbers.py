"""Whatever was measured: what a report says is possible, and says the same wherever it stands.

Studies and searches are stored once, without training; their figures are then drawn anew from all
that a metric can be: equal to the last digit, at an end of its range, far apart, and missing.
"""

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from matplotlib.axes import Axes

from fsmd.config import FSMDConfig
from fsmd.errors import UserError
from fsmd.metrics import METRICS, Metric
from fsmd.tasks import Task
from reports.page import style
from reports.page.csv_files import to_csv
from reports.page.model import IndexEntry, Report
from reports.results import StudyResults, load_results
from reports.search import outline as search_outline
from reports.search.analysis import SearchAnalysis, analyse_search
from reports.search.figures import front
from reports.search.results import own_fields, read_search
from reports.study import outline as study_outline
from reports.study.analysis import StudyAnalysis, analyse_study
from reports.words import DASH
from search_spaces.spaces import space as space_named
from studies.definition import Above, Best, Claim, Rule, Study
from studies.store.records import StudyRecord
from tests.made_up import (
    CENSUS,
    MIXED,
    drawn_points,
    fresh_engine,
    grid,
    grid_points,
    knob,
    many,
    models,
    paper_points,
    store_search,
    store_study,
    tasks,
    towers,
)
from tests.made_up.searches import SETTINGS

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Said(NamedTuple):
    """What is written of a study or a search."""

    report: Report
    summary: Mapping[str, Any]
    lines: tuple[str, ...]
    entry: IndexEntry


QUICK = settings(
    max_examples=2,
    print_blob=False,
    report_multiple_bugs=False,
    phases=(Phase.generate,),
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
LOSSES = tasks(3, ("log_loss", "normalized_entropy"))
FORMS: Mapping[str, tuple[Callable[[Sequence[Task]], Study], tuple[Task, ...]]] = {
    "towers of one task": (towers, tasks(1)),
    "towers": (towers, tasks(2)),
    "towers of losses": (towers, LOSSES),
    "models": (models, tasks(2)),
    "models of five tasks": (models, tasks(5)),
    "models of mixed metrics": (models, MIXED),
    "many": (lambda of: many(of, count=12), tasks(3)),
    "grid": (grid, tasks(2)),
    "knob": (knob, MIXED),
}
ODD = ("150 %", "a [1, 0]", "=1+1", "p = 7")
"""Names of arms that look like numbers."""


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> sa.Engine:
    return fresh_engine(tmp_path_factory.mktemp("possible"))


# What was measured


def figures(draw: Draw, metric: Metric, count: int) -> list[float]:
    """So many figures of a metric: about a level, by a scale from nothing to the whole range."""
    high = min(metric.high, 3.0)
    level = draw(st.sampled_from([metric.low, 0.5, 0.7213, high]))
    scale = draw(st.sampled_from([0.0, 1e-15, 1e-9, 1e-5, 1e-3, 0.1, 10.0]))
    seed = draw(st.integers(0, 2**16))
    drawn = level + scale * np.random.default_rng(seed).normal(size=count)
    return list(np.clip(drawn, metric.low, min(metric.high, 30.0)).tolist())


@cache
def stored_study(engine: sa.Engine, form: str) -> StudyResults:
    make, of = FORMS[form]
    record = store_study(engine, make(of), tasks=of, name=form, replicates=5)
    results = load_results(engine, record, record.plan.arms)
    if form == "towers":
        return results
    frame = results.measurements  # what is inside is as in the towers, and reading it takes long
    kept = (frame["task"] != "all") & (frame["split"].ne("valid") | frame["epoch"].isin([5, 6]))
    return replace(results, measurements=frame[kept & frame["metric"].isin(set(METRICS))])


def drawn_results(draw: Draw, engine: sa.Engine, form: str) -> StudyResults:
    """A study with fewer arms, replicates, claims and cells, and with other figures."""
    whole = stored_study(engine, form)
    study, names = whole.study, [arm.name for arm in whole.planned]
    fewest = len(names) if form in ("grid", "knob") else 1
    kept = names[: draw(st.integers(fewest, len(names)))]
    if study.reference not in kept:
        kept[0] = study.reference
    replicates = draw(st.sampled_from([1, 2, 3, 5]))
    cells = [(arm, r) for arm in kept for r in range(replicates)]
    gone = set(draw(st.lists(st.sampled_from(cells), max_size=4)))
    kept_cells = [cell for cell in cells if cell not in gone] or cells[:1]
    study = replace(
        study,
        arms=tuple(arm for arm in study.arms if arm.name in kept),
        claims=study.claims if draw(st.booleans()) else (),
        margins=draw(st.sampled_from([(), (("auc", 1e-6), ("log_loss", 0.5)), (("auc", 0.5),)])),
    )
    runs, measured = (
        frame[[cell in kept_cells for cell in zip(frame["arm"], frame["replicate"], strict=True)]]
        for frame in (whole.runs, whole.measurements)
    )
    measured = measured.copy()
    for task in whole.tasks:
        own = (measured["task"] == task.name) & (measured["metric"] == task.metric)
        drawn = figures(draw, METRICS[task.metric], int(own.sum()))
        measured.loc[own, "value"] = drawn
    error = measured["metric"] == "ece"
    measured.loc[error, "value"] = figures(draw, METRICS["ece"], int(error.sum()))
    renamed: dict[str, str] = {}
    if form == "towers" and draw(st.booleans()):
        renamed = dict(zip(kept, ODD, strict=False))
        study = replace(
            study,
            reference=renamed[study.reference],
            arms=tuple(replace(a, name=renamed[a.name]) for a in study.arms),
            claims=(),
        )
    planned = tuple(
        replace(arm, name=renamed.get(arm.name, arm.name))
        for arm in whole.planned
        if arm.name in kept
    )
    record = replace(whole.record, definition=study, stated=study)
    return StudyResults(
        record,
        planned,
        measured.assign(arm=measured["arm"].replace(renamed)),
        runs.assign(arm=runs["arm"].replace(renamed)),
        engine,
    )


# What is said


def study_said(results: StudyResults) -> tuple[StudyAnalysis, Said]:
    analysis = analyse_study(results)
    return analysis, Said(
        report=study_outline.page(analysis),
        summary=json.loads(json.dumps(study_outline.summary(analysis), allow_nan=False)),
        lines=study_outline.lines(analysis),
        entry=study_outline.entry(analysis),
    )


def search_said(analysis: SearchAnalysis) -> Said:
    return Said(
        report=search_outline.page(analysis),
        summary=json.loads(json.dumps(search_outline.summary(analysis), allow_nan=False)),
        lines=search_outline.lines(analysis),
        entry=search_outline.entry(analysis),
    )


def sentences(said: Said) -> Iterator[str]:
    """Everything that is written in words, outside of tables."""
    report = said.report
    yield from (report.headline, *report.notices, *report.reading, *said.lines)
    assert said.entry.answer is not None
    yield from (said.entry.headline, *said.entry.answer.lines)
    for claim in report.claims:
        yield from (claim.found, claim.rule)
    for section in report.sections:
        yield from section.sentences
    for figure in report.figures:
        yield from (figure.caption, figure.alt)
    for table in report.tables:
        yield table.caption
    hashes = ("Content hash", "Code of the model")
    yield from (fact.value for fact in report.facts if fact.label not in hashes)


def without_odd_names(text: str) -> str:
    for name in ODD:
        text = text.replace(name, "NAME")
    return text.replace("\u2212", "-")


def is_possible(text: str) -> None:
    """No sentence has a number that cannot be."""
    assert not re.search(r"\b(nan|NaN|inf|None(?! of))\b", text), text
    assert not re.search(r"\d[eE][+-]?\d", text), text
    for share in re.findall(r"(-?[\d.]+) %", text):
        assert 0 <= float(share) <= 100, text
    for p in re.findall(r"\b(?:p|Holm|probability) [=<>]? ?(-?[\d.]+\d)", text):
        assert 0 <= float(p) <= 1, text
    for low, high in re.findall(r"\[([+-]?[\d.]+), ([+-]?[\d.]+)\]", text):
        assert float(low) <= float(high), text
    for smallest in re.findall(r"true difference in AUC of ([\d.]+\d)", text):
        assert float(smallest) <= 1, text


def numbers_of(column: str, rows: Sequence[Mapping[str, str]]) -> Iterator[float]:
    """What stands in a column; an agreed word stands for no number."""
    for row in rows:
        text = row[column]
        if text not in (DASH, ""):
            yield float(text.lstrip("<> "))


MAY_BE_NEGATIVE = re.compile(r"difference|minus|effect")
RANGES = {
    "AUC": (0.0, 1.0),
    "calibration error": (0.0, 1.0),
    "log loss": (0.0, np.inf),
    "normalized entropy": (0.0, np.inf),
    "gate entropy": (0.0, 1.0),
    "P(": (0.0, 1.0),
}
WHOLE = ("replicates", "paired replicates", "parameters", "epochs", "trainings", "number")
DIFFERENCES = ("differences", "gains")


def tables_are_possible(report: Report) -> None:
    """Every column of every table, by what its heading says it is."""
    for table in report.tables:
        text = to_csv(table)
        rows = list(csv.DictReader(io.StringIO(text)))
        assert "nan" not in [cell.lower() for row in rows for cell in list(row.values())[1:]]
        for column in list(rows[0])[1:] if rows else ():
            if column in WHOLE:
                assert all(n >= 0 and n == int(n) for n in numbers_of(column, rows)), column
            elif column == "chosen epoch":
                for row in rows:
                    for epoch in row[column].split(" / "):
                        assert epoch == DASH or int(epoch) >= 1
            elif column == "training seconds":
                assert all(n >= 0 for n in numbers_of(column, rows))
            elif table.key == "effects" and "note" not in column and column != "factor":
                assert all(0 <= n <= 2 for n in numbers_of(column, rows))
            elif "note" in column or table.key in ("configuration", "space", "axes"):
                for row in rows:
                    is_possible(without_odd_names(row[column]))
            else:
                metric = next((label for label in RANGES if label in column), None)
                if metric is None or column.startswith("paper"):
                    continue
                low, high = RANGES[metric]
                if table.key in DIFFERENCES:
                    low, high = low - high, high - low
                assert all(low <= n <= high for n in numbers_of(column, rows)), (column, text)
                if f"{column}, low" in rows[0]:
                    for row in rows:
                        if row[f"{column}, low"]:
                            ends = row[f"{column}, low"], row[column], row[f"{column}, high"]
                            assert sorted(ends, key=float) == list(ends) or len(set(ends)) < 3


def ends_are_possible(ends: Mapping[str, Any], low: float, high: float) -> None:
    assert low - 1e-12 <= ends["mean"] <= high + 1e-12
    assert (ends["low"] is None) == (ends["high"] is None)
    if ends["low"] is not None:
        assert low <= ends["low"] <= ends["mean"] + 1e-12
        assert ends["mean"] - 1e-12 <= ends["high"] <= high


# Studies


@pytest.mark.parametrize("form", FORMS)
def test_no_study_says_what_cannot_be_and_all_its_places_say_the_same(
    engine: sa.Engine, form: str
) -> None:
    @QUICK
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        results = drawn_results(data.draw, engine, form)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fsmd.stats.joint.DRAWS", 500)
            analysis, said = study_said(results)
        study_is_possible(results, said)
        study_agrees(analysis, said)

    holds()


def study_is_possible(results: StudyResults, said: Said) -> None:
    for sentence in sentences(said):
        is_possible(without_odd_names(sentence))
    tables_are_possible(said.report)
    summary, targets = said.summary, {target.key: target for target in results.targets}
    for level in summary["levels"]:
        metric = METRICS[targets[level["task"]].metric]
        ends_are_possible(level, metric.low, metric.high)
    for made in summary["comparisons"]:
        metric = METRICS[targets[made["task"]].metric]
        reach = metric.high - metric.low
        ends_are_possible(made, -reach, reach)
        for name in ("p", "p_unadjusted", "p_equivalent", "p_equivalent_unadjusted"):
            assert made[name] is None or 0 <= made[name] <= 1
        needed = made["replicates_needed"]
        assert needed is None or (isinstance(needed, int) and needed >= 1)
    for claim in summary["claims"]:
        assert 0 <= claim["p_holds"] <= 1
        assert 0 <= claim["p_fails"] <= 1
    for pair in summary["pairs"]:
        assert all(0 <= p <= 1 for p in pair["p"].values())


def study_agrees(analysis: StudyAnalysis, said: Said) -> None:
    """Verdict words of the page, the terminal, the list and summary.json."""
    verdicts = [claim["verdict"] for claim in said.summary["claims"]]
    assert [claim.verdict for claim in said.report.claims] == verdicts
    assert [claim.verdict for claim in said.entry.claims] == verdicts
    answer = said.report.answer
    assert said.entry.answer == answer
    count = 1 + len(answer.lines)
    assert said.lines[1:count] == answer.lines
    assert [line[:15].strip().lower() for line in said.lines[count:]] == verdicts
    by_key = {table.key: table for table in said.report.tables}
    words = [made["verdict"] for made in said.summary["comparisons"]]
    if "differences" in by_key and analysis.study.name != "many":
        targets = len(analysis.scores.targets)
        rows = by_key["differences"].rows
        told = [cell.notes for row in rows for cell in row[1 : 1 + targets]]
        if len(told) == len(words):
            for notes, word in zip(told, words, strict=True):
                last = notes[-1] if notes else ""
                assert last.startswith(word) or "not enough" in last
    board_agrees(analysis, said)
    joint = {(p["level"], p["other"]): p["verdict"] for p in said.summary["pairs"]}
    figures_ = {figure.key: figure for figure in said.report.figures}
    if "gains" in figures_:
        alt = figures_["gains"].alt.partition(". ")[2].removesuffix(".")
        reference = analysis.study.reference
        for told_, (arm, other) in zip(alt.split("; "), joint, strict=True):
            who = other if arm == reference else arm
            assert told_.startswith(f"{who} ")
            assert told_.endswith(f" {joint[arm, other]}")
        told_rows = [row[1].text for row in by_key["joint"].rows]
        assert told_rows == list(joint.values())


def board_agrees(analysis: StudyAnalysis, said: Said) -> None:
    """The answer, the leaderboard's table and summary.json say the same of each arm."""
    board, told = analysis.asked.board, said.summary["answer"]
    names = [standing["level"] for standing in told["standings"]]
    assert names == [standing.arm for standing in board.standings]
    chances = [standing["chance_best"] for standing in told["standings"]]
    assert None in chances or sum(chances) == pytest.approx(1) or not chances
    table = next((t for t in said.report.tables if t.key == "leaderboard"), None)
    if table is not None:
        assert [row[0].text for row in table.rows][: len(names)] == names
    used = board.used
    if told["use"].startswith("Use ") and not told["use"].startswith("Use any"):
        assert used is not None
        assert told["use"].startswith(f"Use {analysis.asked.called(used.arm)}")
    else:
        assert told["next"] or told["use"].startswith("Use any")
    for standing in board.standings:
        assert standing.not_worse or not standing.is_cheapest
        assert standing.is_leader == (standing == board.leader)


def drawn_axes_are_possible(axis: Axes) -> None:
    """No tick stands where the metric of its axis cannot be."""
    for side in (axis.xaxis, axis.yaxis):
        label, (low, high) = side.get_label_text(), side.get_view_interval()
        metric = next((m for m in METRICS.values() if m.label in label), None)
        if metric is None:
            continue
        least, most = metric.low, metric.high
        if "minus" in label or "gain" in label:
            least, most = metric.low - metric.high, metric.high - metric.low
        if not METRICS[metric.name].higher and "reversed" in label:
            least, most = -most, -least
        assert least - 1e-9 <= low < high <= most + 1e-9, label


@pytest.mark.parametrize(
    ("form", "extreme"),
    [
        *((form, "two seeds") for form in ("towers", "models", "grid", "knob")),
        *(("towers", extreme) for extreme in ("0 and 1", "equal", "all 1")),
    ],
)
def test_no_axis_of_a_figure_goes_beyond_what_its_metric_can_be(
    engine: sa.Engine, form: str, extreme: str
) -> None:
    whole = stored_study(engine, form)
    measured = whole.measurements.copy()
    for k, task in enumerate(whole.tasks):
        own = (measured["task"] == task.name) & (measured["metric"] == task.metric)
        rng = np.random.default_rng(k)
        values: Any = {
            "0 and 1": rng.integers(2, size=int(own.sum())).astype(float),
            "equal": 0.5,
            "all 1": 1.0,
            "two seeds": np.clip(rng.normal(0.9, 0.2, int(own.sum())), 0, 1),
        }[extreme]
        measured.loc[own, "value"] = values
    runs = whole.runs
    if extreme == "two seeds":
        runs, measured = runs[runs["replicate"] < 2], measured[measured["replicate"] < 2]
    results = replace(whole, runs=runs, measurements=measured)
    report = study_outline.page(analyse_study(results))
    for figure in report.figures:
        for axis in figure.drawing(False).axes:
            drawn_axes_are_possible(axis)


def test_a_study_without_claims_answers_on_top_in_the_terminal_and_in_the_list(
    tmp_path: Path,
) -> None:
    made = fresh_engine(tmp_path)
    plain = replace(models(), claims=())
    record = store_study(made, plain, replicates=5, effects={"fs": 0.01, "ple": -0.01})
    _, said = study_said(load_results(made, record, record.plan.arms))
    answer = said.report.answer
    assert answer.use == "Use fs: it is almost surely the best of 7 arms."
    assert answer.sentences[0].startswith("Over base (the reference): test AUC +0.00")
    assert said.lines[1:] == answer.lines
    assert said.entry.answer == answer
    one = store_study(made, plain, replicates=1, name="one", looks=(5, 10))
    _, said = study_said(load_results(made, one, one.plan.arms))
    assert said.lines[1] == "Nothing can be said yet."
    assert "--replicates 5" in said.report.answer.command


# Searches


SEARCHES: Mapping[str, tuple[tuple[Task, ...], tuple[str, ...]]] = {
    "one objective": (tasks(2), ("click",)),
    "two tasks": (tasks(2), ("tasks",)),
    "mixed": (MIXED, ("tasks",)),
    "tasks and a cost": (tasks(3), ("tasks", "params")),
}


@cache
def stored_search(engine: sa.Engine, form: str) -> tuple[StudyRecord, pd.DataFrame]:
    """The search, and its measurements as they lie in the database."""
    of, objectives = SEARCHES[form]
    points = grid_points() | paper_points(2, tasks=of)
    again = list(points)[:4]
    record = store_search(
        engine,
        points,
        name=form,
        tasks=of,
        objectives=objectives,
        stopped=("#3",) if form == "mixed" else (),
        confirmed=again,
        seeds=5,
    )
    query = sa.text(
        "SELECT m.*, c.replicate FROM fsmd_measurements m "
        "JOIN fsmd_cells c ON c.run_id = m.run_id WHERE c.study = :study"
    )
    with engine.connect() as connection:
        return record, pd.DataFrame(connection.execute(query, {"study": form}).mappings().all())


@pytest.mark.parametrize("form", SEARCHES)
def test_no_search_says_what_cannot_be(engine: sa.Engine, form: str) -> None:
    record, rows = stored_search(engine, form)

    @settings(QUICK)
    @given(data=st.data())
    def holds(data: st.DataObject) -> None:
        told = rows.copy()
        for task in record.plan.tasks:
            own = (told["task"] == task.name) & (told["metric"] == task.metric)
            lengths = [len(json.loads(curve)) for curve in told.loc[own, "curve"]]
            drawn = iter(figures(data.draw, METRICS[task.metric], sum(lengths)))
            curves = [json.dumps([float(x) for x in islice(drawn, n)]) for n in lengths]
            told.loc[own, "curve"] = curves
        values: Any = told.drop(columns="replicate").to_dict("records")
        with engine.begin() as connection:
            connection.execute(
                sa.text(
                    "UPDATE fsmd_measurements SET curve = :curve WHERE run_id = :run_id "
                    "AND epoch = :epoch AND split = :split AND task = :task AND metric = :metric"
                ),
                values,
            )
        seeds = data.draw(st.sampled_from([1, 2, 3, 5]))
        search = read_search(engine, record)
        kept = replace(
            search.results,
            runs=search.results.runs[search.results.runs["replicate"] <= seeds],
            measurements=search.results.measurements[
                search.results.measurements["replicate"] <= seeds
            ],
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("fsmd.stats.joint.DRAWS", 500)
            patch.setattr("reports.search.axis_importance.SHUFFLES", 3)
            analysis = analyse_search(replace(search, results=kept))
            said = search_said(analysis)
            if data.draw(st.integers(0, 5)) == 0:
                for figure in said.report.figures:
                    for axis in figure.drawing(False).axes:
                        drawn_axes_are_possible(axis)
        search_is_possible(analysis, said)

    holds()


def search_is_possible(analysis: SearchAnalysis, said: Said) -> None:
    search = analysis.search
    for sentence in sentences(said):
        is_possible(without_odd_names(sentence))
    tables_are_possible(said.report)
    metrics = {target.key: METRICS[target.metric] for target in search.targets}
    for confirmed in said.summary["confirmed"]:
        probability = confirmed["probability"]
        assert probability is None or 0 <= probability <= 1
        for key, metric in metrics.items():
            reach = metric.high - metric.low
            ends_are_possible(confirmed["valid"][key], metric.low, metric.high)
            ends_are_possible(confirmed["test"][key], metric.low, metric.high)
            if confirmed["shrinkage"]:
                ends_are_possible(confirmed["shrinkage"][key], -reach, reach)
    for pick in said.summary["picks"]:
        config = search.attempt(pick["level"]).config
        assert FSMDConfig.from_dict(pick["config"]) == config
        for estimates in (each for told in pick["told"] for each in told["minus"].values()):
            for key, estimate in estimates.items():
                reach = metrics[key].high - metrics[key].low
                ends_are_possible(estimate, -reach, reach)
    assert said.summary["hypervolume"]["final"] >= 0
    for part, count in said.summary["epochs"].items():
        assert count is None or (isinstance(count, int) and count >= 0), part
    for name in said.summary["front"]:
        assert any(name in line for line in sentences(said))
    assert said.report.answer == said.entry.answer
    assert said.report.answer.use


@pytest.mark.parametrize("space", ["paper", "architecture", "full"])
@pytest.mark.parametrize("of", [tasks(1), tasks(2), tasks(3)], ids=len)
def test_a_pasted_configuration_is_the_one_that_was_trained_and_shows_each_axis(
    space: str, of: tuple[Task, ...]
) -> None:
    whole = space_named(space, of, SETTINGS)
    for params in drawn_points(space, 25, of).values():
        config = whole.config(params)
        fields = own_fields(config, whole.axes)
        pasted = f"FSMDConfig({', '.join(f'{name}={value!r}' for name, value in fields.items())})"
        assert eval(pasted, {"FSMDConfig": FSMDConfig}) == config
        assert {axis for axis in whole.axes if hasattr(config, axis)} <= set(fields)


# What a claim is read as


def said_of(made: sa.Engine, study: Study | str, **more: Any) -> tuple[StudyAnalysis, Said]:
    record = store_study(made, study, **more)
    return study_said(load_results(made, record, record.plan.arms))


def test_an_arm_left_out_is_read_as_the_arm_that_is_the_same_model(tmp_path: Path) -> None:
    rules: tuple[Rule, ...] = (
        Above("income", "fsmd", "base"),
        Above("income", "fsmd", "fs"),
        Best("income", "fs", among=("fs", "fsmd")),
        Best("income", "fsmd", among=("base", "fsmd")),
    )
    claims = tuple(Claim(str(i), f"Claim {i}.", "", (rule,)) for i, rule in enumerate(rules))
    study = replace(models(CENSUS), reference="fsmd", claims=claims)
    made = fresh_engine(tmp_path)
    analysis, said = said_of(made, study, tasks=CENSUS, replicates=5, effects={"fs": 0.01})
    first, second, third, fourth = analysis.judged
    assert (first.verdict, fourth.verdict) == ("holds", "holds")
    assert "fs minus base on income" in first.found
    for judged in (second, third):
        assert judged.verdict == "open"
        assert judged.found == (
            "It cannot be judged on this data: what it compares is one model here, fs."
        )
    assert {(c.arm, c.other) for c in analysis.comparisons if "fsmd" in (c.arm, c.other)} == set()
    assert len(said.summary["comparisons"]) == 15  # 5 others on 2 tasks and the mean
    assert any("fsmd is left out" in notice for notice in said.report.notices)
    assert not any("is no arm here" in notice for notice in said.report.notices)


def test_of_claims_on_other_tasks_every_place_says_what_they_are_read_as(tmp_path: Path) -> None:
    analysis, said = said_of(fresh_engine(tmp_path), "models_census", data="planted")
    told = "(Read here: income as click"
    assert len(analysis.judged) == 3
    assert all(told in claim.text for claim in (*said.report.claims, *said.entry.claims))
    assert all(told in line for line in said.lines[1 + len(said.report.answer.lines) :])
    assert all(told in claim["text"] for claim in said.summary["claims"])
    assert "marital" not in analysis.judged[0].text
    assert "marital as long_view.)" in analysis.judged[1].text


def test_the_papers_private_log_is_named_only_where_claims_are_about_it(tmp_path: Path) -> None:
    made = fresh_engine(tmp_path)
    for study, private in ((models(), False), ("tower_shape", True), ("models_census", False)):
        _, said = said_of(made, study, data="planted")
        assert any("private" in sentence for sentence in sentences(said)) == private


def test_an_unknown_arm_is_one_line(tmp_path: Path) -> None:
    analysis, _ = said_of(fresh_engine(tmp_path), models())
    with pytest.raises(UserError, match="no arm 'no_such' here; there are single_task, "):
        analysis.scores.difference("fs", "no_such", "click")


def test_where_test_rows_do_not_define_a_figure_the_report_says_why_nothing_is_compared(
    engine: sa.Engine,
) -> None:
    whole = stored_study(engine, "models")
    frame = whole.measurements
    lost = (frame["split"] == "test") & (frame["task"] == "click") & (frame["metric"] == "auc")
    _, said = study_said(replace(whole, measurements=frame[~lost]))
    (told,) = (notice for notice in said.report.notices if "No finished replicate" in notice)
    assert told.endswith(
        "Trainings that ended count as not finished where test has no AUC on click: the rows do "
        "not define it, as where all are of one class."
    )
    assert all(claim["verdict"] == "open" for claim in said.summary["claims"])


def test_epochs_that_nothing_was_there_to_save_are_not_told(engine: sa.Engine) -> None:
    for form in ("two tasks", "mixed"):
        record, _ = stored_search(engine, form)
        said = search_said(analyse_search(read_search(engine, record)))
        stopped = form == "mixed"
        assert ("by stopping" in said.lines[0]) == stopped
        (table,) = (table for table in said.report.tables if table.key == "epochs")
        assert any("pruner" in row[0].text for row in table.rows) == stopped
        assert all(row[2].text != "0" for row in table.rows if row[0].text.startswith("saved"))


def test_of_two_seeds_an_interval_wider_than_the_frame_is_not_drawn_and_the_caption_says_so(
    tmp_path: Path,
) -> None:
    record = store_search(
        made := fresh_engine(tmp_path), grid_points(), confirmed=("#1", "#7", "#12"), seeds=2
    )
    summary = front.summarize(analyse_search(read_search(made, record)))
    assert summary
    axis = front.draw(summary).axes[0]
    left, right = axis.get_xlim()
    wide = [point.means[0] for point in summary.planes[0].fresh]
    assert all(style.ends_of([mean])[0] < left < right < style.ends_of([mean])[1] for mean in wide)
    lines: list[Any] = [line.get_xdata() for line in axis.lines]
    assert not any(len(x) == 2 and min(x) < left and max(x) > right for x in lines)
    assert "intervals where the frame has room" in front.caption(summary)
