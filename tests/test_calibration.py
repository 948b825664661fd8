"""Pictures of calibration: their groups, rates and intervals, and which rows each one is of."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa
from statsmodels.stats.proportion import proportion_confint

from fsmd.metrics import METRICS, measured
from fsmd.metrics.ece import BINS
from fsmd.metrics.metric import Rows
from fsmd.packing import pack, unpack
from fsmd.tasks import Task
from reports.build import outline_of
from reports.page.svg import to_svg
from reports.results import StudyResults, read
from reports.study.figures import calibration
from reports.study.figures.calibration import CalibrationSummary, Group, grouped, pooled
from reports.study.probabilities import NOT_DRAWN
from studies.store.tables import CELLS, PREDICTIONS, TEST_ROWS
from tests.made_up import fresh_engine, knob, models, store_study, tasks


def summary_of(results: StudyResults) -> CalibrationSummary:
    summary = calibration.summarize(results)
    assert summary is not None
    return summary


def naively(frame: pd.DataFrame) -> pd.DataFrame:
    """By bin: weight, rates, and how many independent rows these are, from score, y, w and u."""
    runs = frame.groupby("score")["w"].sum().sort_index()
    middle = (runs.cumsum() - runs / 2) / runs.sum()
    frame = frame.assign(
        p=1 / (1 + np.exp(-frame["score"])),
        bin=frame["score"].map((middle * BINS).astype(int).clip(upper=BINS - 1)),
    )
    lines = {}
    for b, rows in frame.groupby("bin"):
        w, rate = rows["w"].sum(), np.average(rows["y"], weights=rows["w"])
        most, least = (
            w**2 / (rows["w"] ** 2).sum(),
            w**2 / (rows.groupby("u")["w"].sum() ** 2).sum(),
        )
        errors = (rows["w"] * (rows["y"] - rate)).groupby(rows["u"]).sum()
        worth = 0.0
        if len(errors) > 1 and 0 < rate < 1:
            worth = rate * (1 - rate) * w**2 / (errors**2).sum()
            worth *= (len(errors) - 1) / len(errors)
        lines[b] = (w, np.average(rows["p"], weights=rows["w"]), rate, np.clip(worth, least, most))
    return pd.DataFrame(lines, ["weight", "predicted", "rate", "worth"]).T


@pytest.mark.parametrize("users", [0, 4, 90])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("scores", [1, 7, 10**6])
def test_groups_rates_and_intervals_are_those_of_a_naive_table(
    users: int, weighted: bool, scores: int
) -> None:
    rng = np.random.default_rng([users, weighted, scores])
    n = 400
    score_N = rng.integers(scores, size=n) / scores * 4 - 3
    y_N = (rng.random(n) < 1 / (1 + np.exp(-score_N))).astype(float)
    u_N = rng.integers(users, size=n) if users else np.arange(n)
    w_N = rng.choice([0.5, 1.0, 3.0], size=n) if weighted else np.ones(n)
    found = grouped(Rows(score_N, y_N, w_N), u_N)
    table = naively(pd.DataFrame({"score": score_N, "y": y_N, "w": w_N, "u": u_N}))
    weight_B, predicted_B, observed_B, worth_B = found[:, found[0] > 0]
    assert np.flatnonzero(found[0]).tolist() == table.index.tolist()
    assert weight_B == pytest.approx(table["weight"].to_numpy())
    assert predicted_B / weight_B == pytest.approx(table["predicted"].to_numpy())
    assert observed_B / weight_B == pytest.approx(table["rate"].to_numpy())
    assert worth_B == pytest.approx(table["worth"].to_numpy())
    if not users and not weighted:
        assert worth_B == pytest.approx(weight_B)
    for group, row in zip(pooled([found]), table.itertuples(), strict=True):
        at: Any = row
        low, high = proportion_confint(at.rate * at.worth, at.worth, method="wilson")
        assert group.predicted == pytest.approx(at.predicted)
        assert group.observed[:3] == pytest.approx((at.rate, low, high), abs=1e-9)
    gaps = np.abs(table["predicted"] - table["rate"]) * table["weight"]
    assert gaps.sum() / w_N.sum() == pytest.approx(measured(METRICS["ece"], score_N, y_N, w_N))


def test_trainings_are_pooled_and_the_test_rows_counted_once() -> None:
    one, other = np.zeros((4, BINS)), np.zeros((4, BINS))
    one[:, 3], other[:, 3] = (10, 2, 4, 10), (10, 4, 6, 10)
    one[:, 5] = (20, 5, 0, 20)
    both, alone = pooled([one, other])
    low, high = proportion_confint(5, 10, method="wilson")
    assert both.predicted == pytest.approx(0.3)
    assert both.observed[:3] == pytest.approx((0.5, low, high))
    assert alone == Group(0.25, alone.observed)
    assert alone.observed.mean == alone.observed.low == 0


def test_of_a_funnel_the_step_and_reaching_it_are_told_apart(tmp_path: Path) -> None:
    """By the rows with a click alone, and by the ratio of both probabilities."""
    engine = fresh_engine(tmp_path)
    store_study(engine, replicates=1, rows=600, users=80)
    results = read(engine, "towers")
    summary = summary_of(results)
    arm = summary.arms[0]
    with engine.connect() as connection:
        of_arm = sa.select(CELLS.c.run_id).filter_by(arm=arm).scalar_subquery()
        query = sa.select(PREDICTIONS.c.task, PREDICTIONS.c.scores).filter_by(run_id=of_arm)
        p = {
            task: 1 / (1 + np.exp(-unpack(x).astype(float)))
            for task, x in connection.execute(query)
        }
        rows = dict(connection.execute(sa.select(TEST_ROWS.c.column, TEST_ROWS.c.packed)).all())
    clicked = unpack(rows["label:click"]) == 1
    viewed = unpack(rows["label:long_view"])[clicked]
    panels = {panel.key: panel for panel in summary.panels}
    assert {panel.key: panel.rows for panel in summary.panels} == {
        "click": "of all 600 rows",
        "long_view": "of all 600 rows",
        "long_view|click": f"step, of {clicked.sum()} rows with click",
    }
    of_step, reached = (panels[key].courses[0] for key in ("long_view|click", "long_view"))
    ratio = np.minimum(p["long_view"] / p["click"], 1)[clicked]
    means = [float(np.mean([g.observed.mean for g in groups])) for groups in (of_step, reached)]
    assert means[0] == pytest.approx(viewed.mean(), abs=0.02)
    assert means[1] == pytest.approx(unpack(rows["label:long_view"]).mean(), abs=0.01)
    assert np.mean([g.predicted for g in of_step]) == pytest.approx(ratio.mean(), abs=0.02)
    assert np.mean([g.predicted for g in reached]) == pytest.approx(
        p["long_view"].mean(), abs=0.01
    )
    caption = calibration.caption(summary)
    assert "long_view|click: the step, p(long_view) / p(click)" in caption
    assert "users taken as independent" in caption
    assert summary.unit == "user"
    engine.dispose()


def test_of_many_arms_the_reference_and_the_best_other_on_validation_are_drawn(
    tmp_path: Path,
) -> None:
    engine = fresh_engine(tmp_path)
    store_study(engine, models(), replicates=2, rows=200, effects={"ple": 0.02, "mmoe": 0.01})
    store_study(engine, knob(), replicates=1, rows=60)
    results, along = read(engine, "models"), read(engine, "knob")
    reference = results.study.reference
    best = next(arm for arm in ("ple", "mmoe") if arm != reference)
    summary = summary_of(results)
    assert summary.arms == (reference, best)
    assert calibration.caption(summary).endswith(
        f"Of {len(results.arms)} arms: {reference} and {best}, the best other on validation."
    )
    assert {along.test_sets[arm] for arm in summary_of(along).arms} == {
        along.test_sets[along.study.reference]
    }
    engine.dispose()


def test_one_class_and_no_rows_leave_a_sentence_whatever_the_tasks_are_called(
    tmp_path: Path,
) -> None:
    engine = fresh_engine(tmp_path)
    odd = "<b>$\\frac{1}$ & \u8996\u8074 " + "x" * 80
    of = (Task(odd), Task("none}{", after=odd), Task("last", after="none}{"))
    store_study(engine, tasks=of, replicates=1, rows=90)
    with engine.begin() as connection:
        nothing = sa.update(TEST_ROWS).where(
            TEST_ROWS.c.column.in_(["label:none}{", "label:last"])
        )
        connection.execute(nothing.values(packed=pack(np.zeros(90, np.int8))))
    summary = summary_of(read(engine, "towers"))
    obstacles = [panel.obstacle for panel in summary.panels]
    one_class = "The label of every row is 0: no rates to compare."
    assert obstacles == ["", *[one_class] * 3, "No test row tells of it."]
    assert [panel.courses for panel in summary.panels[1:]] == [((), ())] * 4
    svg = to_svg(calibration.draw(summary, narrow=True))
    assert "<b>" not in svg
    assert "tells of it" in svg
    assert "No test row tells of it." in calibration.alt(summary)
    engine.dispose()


def test_a_rate_of_nothing_or_all_stands_at_the_frame() -> None:
    sums = np.zeros((4, BINS))
    sums[:, 0], sums[:, 9] = (30, 3, 0, 30), (30, 27, 30, 30)
    groups = pooled([sums])
    assert [group.observed.mean for group in groups] == [0, 1]
    panel = calibration.CalibrationPanel("click", "of all 60 rows", (groups,), "")
    summary = CalibrationSummary((panel,), ("a",), (0,), "", None, None)
    for shown in (summary, replace_groups(summary, 1e-12)):
        (axis,) = calibration.draw(shown).axes
        line = next(line for line in axis.lines if line.get_marker() == "o")
        ends = axis.get_ylim()
        assert np.asarray(line.get_ydata(), float) == pytest.approx(ends)
        assert 0 < ends[0] < ends[1] < 1
        assert len(axis.get_xticks()) > 1


def replace_groups(summary: CalibrationSummary, predicted: float) -> CalibrationSummary:
    (panel,) = summary.panels
    groups = tuple(group._replace(predicted=predicted) for group in panel.courses[0])
    return summary._replace(panels=(panel._replace(courses=(groups,)),))


def test_without_predictions_a_sentence_stands_in_the_place_of_the_picture(
    tmp_path: Path,
) -> None:
    engine = fresh_engine(tmp_path)
    record = store_study(engine, tasks=tasks(1), replicates=2, rows=60)
    bare = store_study(engine, tasks=tasks(1), replicates=2, name="bare")
    sections = {}
    for each in (record, bare):
        report = outline_of(engine, each).report
        (sections[each.name],) = (s for s in report.sections if s.heading.startswith("How good"))
    assert [figure.key for figure in sections[record.name].figures] == ["calibration"]
    assert not sections[record.name].sentences
    assert not sections["bare"].figures
    assert sections["bare"].sentences == (NOT_DRAWN,)
    engine.dispose()
