"""Pictures, files and the list of all studies: numbers exactly, ink and form by what they hold."""

import base64
import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from dataclasses import asdict
from html import escape, unescape
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from matplotlib.patches import Ellipse
from matplotlib.text import Annotation
from scipy import stats

from reports import build as command
from reports import export, index, paper, shape, tables, views
from reports.assemble import analyse
from reports.build import build, build_all
from reports.estimates import Array
from reports.figures import (
    curves,
    effects,
    gains,
    gates,
    gradients,
    labels,
    levels,
    scatter,
    seesaw,
    style,
)
from reports.model import Cell, Table
from reports.results import Scores, at_chosen, auc_on_test, read
from reports.words import DASH, MINUS
from studies import catalog
from studies.definition import Above, Arm
from studies.storage import open_engine
from tests.test_reports import BAD, TASKS, Resources, store_study, ticks_are_true

GRID = "architecture_grid"
CENSUS_TASKS = ("income", "never_married")
PICTURES = (
    ("models_video", gains),
    ("models_census", gains),
    ("models_video", gradients),
    ("models_video", gates),
    (GRID, scatter),
    (GRID, effects),
    (GRID, gradients),
    ("seesaw", seesaw),
)


def long_view_at_a_price(index: int, task: str) -> float:
    """Arm by arm, what the second task gains the first one loses."""
    return 0.001 * index * (1 if task in ("long_view", "never_married") else -1)


def along_the_knob(index: int, task: str) -> float:
    """Every model but the first gains 0.004 at no conflict and loses as much at full conflict."""
    model, conflict = (level for _, level in catalog.get("seesaw").arms[index].params)
    return 0.0 if model == "single_task" else 0.004 - 0.008 * float(conflict)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> sa.Engine:
    made = open_engine(f"sqlite:///{tmp_path_factory.mktemp('db') / 'studies.db'}", create=True)
    store_study(made, "models_video", replicates=4, data="kuairand", effect=long_view_at_a_price)
    store_study(made, "models_census", replicates=2, data="census", tasks=CENSUS_TASKS)
    store_study(made, GRID, replicates=2, effect=lambda i, t: 0.002 * (i == 139))
    store_study(made, "seesaw", replicates=3, data="planted:conflict=0", effect=along_the_knob)
    store_study(made, name="few", replicates=1, failures={("increasing", 0): BAD})
    store_study(made, name="empty", replicates=0)
    return made


@pytest.fixture(scope="module")
def out(engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    assert build_all(engine, folder) == folder / "index.html"
    return folder


REPORTED = ("models_video", "models_census", GRID, "seesaw", "few")


def page(out: Path, name: str) -> str:
    return (out / name / "report.html").read_text("utf-8")


def stored(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text("utf-8").splitlines()))


# The paper


def test_a_printed_mean_is_the_mean_of_the_printed_tasks() -> None:
    for name in ("Table II", "Table IV"):
        for each in paper.SOURCES[name].numbers.values():
            assert each.mean == pytest.approx((each.first + each.second) / 2, abs=6e-4)


def test_the_papers_gains_are_differences_to_its_reference() -> None:
    found = paper.gains("Table II", "base")
    assert np.allclose(found["fs"], (0.0082, 0.005))
    assert "base" not in found
    assert not paper.gains("Table II", "no_such")
    assert not paper.numbers("Fig. 12")


def test_every_study_that_names_a_table_has_the_papers_arms() -> None:
    for study in map(catalog.get, catalog.names()):
        assert set(paper.numbers(study.figure)) <= set(study.levels), study.name


def test_the_table_shows_the_papers_numbers_beside_ours(out: Path) -> None:
    rows = stored(out / "models_video/tables/levels.csv")
    found = {row["model"]: row for row in rows}
    assert (found["fsmd"]["paper, click"], found["fsmd"]["paper, duration"]) == (
        "0.7205",
        "0.7117",
    )
    assert found["ple"]["paper, mean"] == DASH
    assert found["base"]["parameters"] == "123456"
    assert float(found["base"]["AUC, click, low"]) < float(found["base"]["AUC, click"])
    assert "paper, income" in (out / "models_census/tables/levels.csv").read_text()


# Which pictures


def test_a_studys_form_is_told_by_its_arms() -> None:
    forms = {name: shape.shape(catalog.get(name)) for name in catalog.names()}
    assert forms[GRID] == "grid"
    assert forms["seesaw"] == "knob"
    assert forms["models_video"] == forms["models_census"] == "models"
    assert {forms[name] for name in ("tower_shape", "gate_depth", "expert_count", "null")} == {
        "levels"}  # fmt: skip


def test_arms_beside_a_factorial_leave_it_one() -> None:
    study = catalog.get(GRID)
    extra = Arm("other", study.arms[0].config, (("variant", "fsmd"),))
    mixed = type(study)(**{**vars(study), "arms": (*study.arms, extra)})
    assert shape.shape(mixed) == "grid"
    assert shape.crossed(mixed) == study.arms
    assert shape.axes(mixed) == shape.axes(study)


def test_of_many_arms_the_best_on_validation_are_compared(tmp_path: Path) -> None:
    """Test AUC has no say: arms with more of it than all others are not compared for that."""
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, GRID, replicates=2)
    chance = "UPDATE fsmd_measurements SET value = value + 0.01 WHERE split = 'test' AND run_id IN"
    lucky = catalog.get(GRID).levels[:30]
    with made.begin() as connection:
        for level in lucky:
            connection.execute(
                sa.text(f"{chance} (SELECT run_id FROM fsmd_cells WHERE level = :level)"),
                {"level": level},
            )
    results = read(made, GRID)
    made.dispose()
    valid = at_chosen(results, "valid", "auc")
    means = {level: valid.of(level, "mean").mean() for level in valid.levels}
    best = sorted(means, key=lambda level: -means[level])[:10]
    assert set(shape.few(results).levels) == {*best, "diamond / 3 / 10"}
    assert not set(lucky) <= set(best)


def test_what_claims_name_and_what_stands_beside_the_factorial_is_always_compared() -> None:
    study = catalog.get("components")
    rules = [rule for claim in study.claims for rule in claim.rules if isinstance(rule, Above)]
    assert {str(level) for rule in rules for level in (rule.level, rule.other)} <= (
        shape.settled(study))  # fmt: skip
    beside = set(study.levels) - {arm.name for arm in shape.crossed(study)}
    assert len(beside) == 3
    assert beside <= shape.settled(study)
    assert shape.settled(catalog.get(GRID)) == {"diamond / 3 / 10"}
    assert set(catalog.get("models_video").levels) - shape.settled(
        catalog.get("models_video")) == {"ple"}  # fmt: skip


def test_a_factorial_and_what_stands_beside_it_is_shown_arm_by_arm(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, "components", replicates=2)
    results = read(made, "components")
    made.dispose()
    assert shape.shown(results) == catalog.get("components").levels
    assert len(style.LOOKS) >= len(shape.shown(results))
    assert len({look.marker for look in style.LOOKS}) == len(style.LOOKS)


def test_means_are_ranked_over_the_same_replicates_or_not_at_all(tmp_path: Path) -> None:
    """One arm has only the replicate with the best seed: its mean is above all others."""
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    levels_ = catalog.get(GRID).levels
    store_study(made, GRID, replicates=3, missing=((levels_[5], 0), (levels_[5], 2)))
    store_study(made, "tower_shape", replicates=3, missing=(("constant", 0), ("constant", 2)))
    results = read(made, GRID)
    summary = scatter.summarize(results)
    assert not summary.front
    view = views.scatter_view(results)
    assert view is not None
    assert "not ranked" in view.caption
    shape_entry = index.entry(analyse(read(made, "tower_shape")))
    made.dispose()
    assert not [told for told in shape_entry.findings if "Highest" in told]


def test_the_highest_mean_is_over_complete_replicates(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, "tower_shape", replicates=4, missing=(("constant", 3), ("diamond", 0)))
    results = read(made, "tower_shape")
    (told,) = (t for t in index.entry(analyse(results)).findings if "Highest" in t)
    made.dispose()
    scores = auc_on_test(results)
    means = {level: scores.of(level, "mean")[1:3].mean() for level in scores.levels}
    best = max(means, key=lambda level: float(means[level]))
    assert told.startswith(f"Highest mean test AUC over 2 complete replicates: {best}, ")
    assert f"{means[best]:.4f}" in told


def test_along_a_knob_arms_are_compared_on_the_references_data(engine: sa.Engine) -> None:
    results = read(engine, "seesaw")
    kept = shape.few(results)
    assert all(level.endswith("@ 0.5") for level in kept.levels)
    assert len(kept.levels) == 7


@pytest.mark.parametrize(("name", "kind"), PICTURES)
@pytest.mark.parametrize("narrow", [False, True])
def test_every_picture_draws_and_tells_its_levels(
    engine: sa.Engine, name: str, kind: Any, narrow: bool
) -> None:
    svg = style.to_svg(kind.draw(kind.summarize(read(engine, name)), narrow=narrow))
    assert "data-level=" in svg
    assert "<title>" in svg
    assert svg == style.to_svg(kind.draw(kind.summarize(read(engine, name)), narrow=narrow))


@pytest.mark.usefixtures("blank_figures")
def test_a_grid_of_which_no_two_arms_are_paired_is_still_reported(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    levels_ = catalog.get(GRID).levels
    missing = [(level, 1) for level in levels_ if level != levels_[0]] + [(levels_[0], 0)]
    store_study(made, GRID, replicates=2, missing=tuple(missing))
    build(made, GRID, tmp_path)
    results = read(made, GRID)
    made.dispose()
    assert not auc_on_test(results).paired
    assert 'data-key="scatter"' in page(tmp_path, GRID)
    assert 'data-key="effects"' not in page(tmp_path, GRID)


# Gains


def test_gains_are_means_of_paired_differences(engine: sa.Engine) -> None:
    results = read(engine, "models_video")
    scores, summary = auc_on_test(results), gains.summarize(results)
    assert (summary.reference, summary.tasks) == ("base", TASKS)
    assert [gain.level for gain in summary.gains] == [x for x in results.levels if x != "base"]
    for gain in summary.gains:
        expected = [scores.differences(gain.level, "base", task).mean() for task in TASKS]
        assert gain.mean == tuple(expected)
        assert gain.region is not None
    assert set(summary.paper) == set(results.levels) - {"base", "ple"}


def test_below_three_pairs_there_is_no_region(engine: sa.Engine) -> None:
    summary = gains.summarize(read(engine, "models_census"))
    assert {gain.region for gain in summary.gains} == {None}


def region_of(pairs_R2: Array) -> gains.Region:
    """The region of a level whose leads over another are these pairs."""
    values = np.zeros((2, len(pairs_R2), 3))
    values[0, :, :2], values[0, :, 2] = pairs_R2, pairs_R2.mean(axis=1)
    scores = Scores(("level", "other"), tuple(range(len(pairs_R2))), (*TASKS, "mean"), values)
    region = gains.joint_region(scores, "level", "other")
    assert region is not None
    return region


def test_the_joint_region_holds_the_truth_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    mixing = np.array([[1.0, 0.0], [0.7, 0.4]])
    covered = 0
    for _ in range(2000):
        pairs_R2 = generator.normal(size=(5, 2)) @ mixing.T
        region = region_of(pairs_R2)
        turn = np.radians(region.angle)
        along = -pairs_R2.mean(axis=0) @ [np.cos(turn), np.sin(turn)] / (region.width / 2)
        across = -pairs_R2.mean(axis=0) @ [-np.sin(turn), np.cos(turn)] / (region.height / 2)
        covered += along**2 + across**2 <= 1
    low, high = stats.binom.interval(0.999, 2000, 0.95)
    assert low <= covered <= high


def test_a_region_without_correlation_is_upright_and_reaches_its_half_axes() -> None:
    pairs_R2 = np.array([[1.0, 0], [-1, 0], [0, 0.1], [0, -0.1]])
    region = region_of(pairs_R2)
    assert np.allclose(region.reach, (region.width / 2, region.height / 2))
    assert region.width == pytest.approx(10 * region.height)


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        ((0.1, 0.1), "better on both"),
        ((-0.1, -0.1), "worse on both"),
        ((0.1, -0.1), "seesaw: trades long_view for click"),
        ((-0.1, 0.1), "seesaw: trades click for long_view"),
        ((0.1, 0.0), "seesaw: trades long_view for click"),
    ],
)
def test_quadrants_have_names(gain: tuple[float, float], told: str) -> None:
    assert gains.quadrant(gain, TASKS) == told


@pytest.mark.parametrize(
    ("gain", "told"),
    [
        ((0.002, -0.002), "seesaw: trades long_view for click"),
        ((-0.0001, 0.002), "gains on long_view, within the margin on click"),
        ((-0.002, 0.0), "loses on click, within the margin on long_view"),
        ((0.0009, -0.0009), "within the margin on both"),
    ],
)
def test_below_the_margin_nothing_is_won_or_traded(gain: tuple[float, float], told: str) -> None:
    assert gains.standing(gain, TASKS, 0.001) == told


def test_the_frame_holds_every_mean_and_zero_away_from_its_edges(engine: sa.Engine) -> None:
    summary = gains.summarize(read(engine, "models_video"))
    for with_paper in (False, True):
        limits = gains.frame(summary, with_paper)
        points = [gain.mean for gain in summary.gains]
        points += list(summary.paper.values()) if with_paper else []
        for axis, (low, high) in enumerate(limits):
            assert all(low < point[axis] < high for point in points)
            assert 0.25 < -low / (high - low) < 0.75


def test_the_left_panel_has_only_what_was_measured_in_outlines(engine: sa.Engine) -> None:
    summary = gains.summarize(read(engine, "models_video"))
    here, beside = gains.draw(summary).axes
    hollow = [[line for line in axis.lines if line.get_markerfacecolor() == "none"]
              for axis in (here, beside)]  # fmt: skip
    assert (len(hollow[0]), len(hollow[1])) == (0, len(summary.paper))
    ellipses = [patch for patch in here.patches if isinstance(patch, Ellipse)]
    assert len(ellipses) == len(summary.gains)
    assert not [ellipse for ellipse in ellipses if ellipse.get_fill()]
    names = [t for t in here.texts if t.get_text() in {gain.level for gain in summary.gains}]
    assert len(names) == len(summary.gains)
    assert all(isinstance(name, Annotation) and name.arrow_patch for name in names)


# Learning curves


def test_curves_are_scaled_around_the_chosen_epochs(engine: sa.Engine) -> None:
    """The first epoch, 0.018 below the best, would leave the levels no room."""
    for of_task in curves.summarize(read(engine, "models_video")).curves:
        low, high = curves.y_range(of_task)
        assert all(low < auc < high for curve in of_task for _, auc in curve.chosen)
        assert all(curve.means[0] < low for curve in of_task)
        for curve in of_task:
            assert low < curve.means[curve.epochs.index(5)] < high


def test_curves_without_a_finished_training_have_a_frame() -> None:
    assert curves.y_range((curves.Curve("a", (), (), ()),)) == (0.0, 1.0)


# Names beside points


def test_names_do_not_overlap_each_other_nor_leave_the_panel() -> None:
    generator = np.random.default_rng(1)
    for _ in range(6):
        middle = generator.uniform(90, 150, 2)
        points = {
            f"a_long_name_{i}": tuple((middle + generator.normal(0, 25, 2)).tolist())
            for i in range(10)
        }
        places = labels.placed(points, (270.0, 240.0))
        boxes = [
            labels.Box.of_text(name, labels.FONT).at(
                (points[name][0] + place.dx, points[name][1] + place.dy)
            )
            for name, place in places.items()
        ]
        assert max(one.overlap(other) for one, other in combinations(boxes, 2)) < 1
        assert max(box.outside((270.0, 240.0)) for box in boxes) < 1


def test_a_lone_name_stands_beside_its_mark_without_a_line() -> None:
    (place,) = labels.placed({"base": (100.0, 100.0)}, (200.0, 200.0)).values()
    assert place.dy == 0
    assert not place.far


# Inside the models


def test_the_cosines_are_means_with_their_range(engine: sa.Engine) -> None:
    results = read(engine, "models_video")
    summary = gradients.summarize(results)
    assert [course.level for course in summary.courses] == [
        "shared_bottom", "mmoe", "base", "fg", "fs", "fsmd", "ple"]  # fmt: skip
    frame = results.measurements
    rows = frame[(frame["metric"] == "gradient_cosine") & (frame["level"] == "mmoe")
                 & (frame["epoch"] == 1)]  # fmt: skip
    course = summary.courses[1]
    assert course.epochs[0] == 1
    assert course.means[0] == pytest.approx(rows["value"].mean())
    assert (course.lows[0], course.highs[0]) == (rows["value"].min(), rows["value"].max())


def test_gate_weights_add_up_and_half_are_shared_where_tasks_have_their_own(
    engine: sa.Engine,
) -> None:
    summary = gates.summarize(read(engine, "models_video"))
    for rows in summary.rows:
        assert {row.level: row.shared for row in rows} == {
            "mmoe": 8, "fg": 8, "fs": 4, "fsmd": 4, "ple": 4}  # fmt: skip
        assert all(sum(row.weights) == pytest.approx(1) for row in rows)


def test_entropy_and_dead_units_are_told(out: Path) -> None:
    rows = stored(out / "models_video/tables/inside.csv")
    assert [row["model"] for row in rows][:2] == ["shared_bottom", "mmoe"]
    assert rows[1]["gate entropy, click"] == "0.8400"
    assert rows[1]["dead units"] == "4.0 %"
    assert "which is what conflict means" in page(out, "models_video")


@pytest.mark.usefixtures("blank_figures")
def test_without_such_records_the_section_is_left_out(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, replicates=2)
    with made.begin() as connection:
        connection.execute(sa.text("DELETE FROM fsmd_measurements WHERE metric NOT LIKE '%auc'"))
    build(made, "tower_shape", tmp_path)
    made.dispose()
    assert "Inside the models" not in page(tmp_path, "tower_shape")
    assert not (tmp_path / "tower_shape/figures/gates.svg").exists()


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
@pytest.mark.parametrize(
    ("cells", "clicks"),
    [
        (("< 0.01", "0.02", "0.5", "> 0.99"), 1),
        (("1,234", "12", f"{MINUS}0.3", f"{MINUS}2"), 2),
        (("minus 2", "minus 12", "same"), 1),
    ],
)
def test_a_click_on_a_heading_sorts_by_what_the_cells_mean(
    tmp_path: Path, cells: tuple[str, ...], clicks: int
) -> None:
    rows = "".join(f"<tr><td><span>{escape(cell)}</span></td></tr>" for cell in sorted(cells))
    script = (Path(command.__file__).parent / "templates/report.js").read_text("utf-8")
    then = "document.querySelector('th button').click();" * clicks
    (tmp_path / "page.html").write_text(
        f"<meta charset=utf-8><table><thead><tr><th>x</th></tr></thead><tbody>{rows}</tbody>"
        f"</table><script>{script};{then}</script>", "utf-8"
    )  # fmt: skip
    dom = subprocess.run(
        ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom",
         f"--user-data-dir={tmp_path}/browser", (tmp_path / "page.html").as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    assert tuple(map(unescape, re.findall(r"<span>(.*?)</span>", dom))) == cells


# Names and words


@pytest.mark.usefixtures("blank_figures")
def test_short_names_are_told_below_them_what_they_stand_for(tmp_path: Path) -> None:
    study = catalog.get("components")
    assert not [level for level in study.levels if "," in level or len(level) > 40]
    assert len(set(study.levels)) == len(study.levels) == 19
    notes = tables.arm_notes(study)
    assert notes["no FM / no chain"] == ("fm none", "sharing extraction", "chain no")
    assert notes["no gate"][-1] == "gate equal"
    others = (catalog.get(name) for name in catalog.names() if name != "components")
    assert not [other.name for other in others if tables.arm_notes(other)]
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, "components", replicates=2)
    build(made, "components", tmp_path)
    made.dispose()
    text = page(tmp_path, "components")
    assert 'no FM / no chain<span class="note">fm none</span>' in text.replace("\n", "")
    (row,) = (r for r in stored(tmp_path / "components/tables/levels.csv") if r["model"] == "fsmd")
    assert row["model, note 1"] == "fm shared"


@pytest.mark.parametrize("name", ["components", "models_video"])
@pytest.mark.usefixtures("blank_figures")
def test_levels_stored_under_names_that_are_gone_are_reported_without_comparisons(
    tmp_path: Path, name: str
) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, name, replicates=2, settings={"arms": {
        f"old {arm.name}": {"config": asdict(arm.config), "data": "planted", "stream": 0}
        for arm in catalog.get(name).arms
    }})  # fmt: skip
    with made.begin() as connection:
        connection.execute(sa.text("UPDATE fsmd_cells SET level = 'old ' || level"))
    build_all(made, tmp_path)
    made.dispose()
    found = page(tmp_path, name)
    assert "old fsmd" in found
    assert "it was planned under other names" in found
    assert 'data-key="differences"' not in found


@pytest.mark.usefixtures("blank_figures")
def test_levels_with_seeds_of_their_own_are_not_called_paired_by_seed(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, "null", replicates=3)
    build(made, "null", tmp_path)
    results = read(made, "null")
    made.dispose()
    assert not results.same_seeds
    text = page(tmp_path, "null")
    for wrong in ("the same seeds", "paired seed", "same seed", "seed by seed"):
        assert wrong not in text
    assert "levels have seeds of their own" in text


# The grid and the knob


def test_the_front_is_what_no_arm_beats_on_both(engine: sa.Engine) -> None:
    summary = scatter.summarize(read(engine, GRID))
    assert len(summary.arms) == 140
    means = {arm.level: arm.mean for arm in summary.arms}
    for level, (x, y) in means.items():
        beaten = any(a >= x and b >= y and (a, b) != (x, y) for a, b in means.values())
        assert (level in summary.front) == (not beaten)


def test_main_effects_add_up_to_nothing_and_find_the_level_that_differs(
    engine: sa.Engine,
) -> None:
    summary = effects.summarize(read(engine, GRID))
    assert summary.complete
    assert [effect.factor for effect in summary.effects] == [
        "tower_shape", "gate_depth", "expert_count"]  # fmt: skip
    for effect in summary.effects:
        for estimates in effect.estimates:
            assert sum(estimate.mean for estimate in estimates) == pytest.approx(0, abs=1e-12)


def test_gains_along_the_knob_are_paired_within_each_data_set(engine: sa.Engine) -> None:
    results = read(engine, "seesaw")
    scores, summary = auc_on_test(results), seesaw.summarize(results)
    assert (summary.knob, summary.reference) == ("conflict", "single_task")
    assert summary.settings == ("0", "0.25", "0.5", "0.75", "1")
    line = summary.lines[1][-1]
    assert line.model == "fsmd"
    assert [estimate.mean for estimate in line.estimates] == [
        pytest.approx(scores.differences(f"fsmd @ {c}", f"single_task @ {c}", "long_view").mean())
        for c in summary.settings
    ]
    assert line.estimates[0].mean > 0.003 > -0.003 > line.estimates[-1].mean


def test_each_model_has_a_panel_of_its_own_along_the_knob(engine: sa.Engine) -> None:
    summary = seesaw.summarize(read(engine, "seesaw"))
    models = [line.model for line in summary.lines[0]]
    for narrow in (False, True):
        axes = seesaw.draw(summary, narrow).axes
        assert [axis.get_title(loc="left") for axis in axes] == models
        low, high = seesaw.y_range(summary)
        assert all(axis.get_ylim() == (low, high) for axis in axes)
        drawn = [np.asarray(line.get_xdata(), float).tolist() for line in axes[0].lines]
        places = {xs[0] for xs in drawn if len(xs) == 2 and xs[0] == xs[1]}
        assert len(places) == 2 * len(summary.settings)  # no two intervals over each other


def test_of_few_arms_every_one_is_named_and_of_many_those_that_matter(
    engine: sa.Engine, tmp_path: Path
) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, "components", replicates=2)
    few = scatter.summarize(read(made, "components"))
    made.dispose()
    assert set(few.named) == set(catalog.get("components").levels)
    many = scatter.summarize(read(engine, GRID))
    assert set(many.named) == {*many.front, "diamond / 3 / 10"}
    assert all(width > 0 for width in few.half_widths)


@pytest.mark.parametrize("top", [0.72, 0.7203, 0.72103, 0.7303, 0.81])
def test_a_tick_stands_where_it_says_and_has_room(engine: sa.Engine, top: float) -> None:
    summary = scatter.summarize(read(engine, GRID))
    spread = np.linspace(0.72, top, len(summary.arms))
    arms = [a._replace(mean=(at, at)) for a, at in zip(summary.arms, spread, strict=True)]
    ticks_are_true(scatter.draw(summary._replace(arms=tuple(arms))))


def test_many_arms_are_folded_and_few_are_not(out: Path) -> None:
    assert "<summary>Table 1: 140 rows</summary>" in page(out, GRID)
    assert "that have the best mean validation AUC are compared here" in page(out, GRID)
    assert "the 6 that share its data set are compared here" in page(out, "seesaw")
    assert "<summary>Table" not in page(out, "models_video")


def test_the_best_reachable_auc_is_told_above_the_panel(engine: sa.Engine, tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, replicates=2, reachable={"click": 0.7215, "long_view": 0.9})
    figure = levels.draw(levels.summarize(read(made, "tower_shape")))
    made.dispose()
    for axis, height in zip(figure.axes, (0.7215, 1.03), strict=False):
        (text,) = [t for t in axis.texts if "best reachable" in t.get_text()]
        assert isinstance(text, Annotation)
        assert text.get_text().endswith("(dashed)")
        assert text.xy == (0, 1)
        assert text.get_verticalalignment() == "bottom"
        dashed = [line for line in axis.lines if line.get_linestyle() == "--"]
        assert len(dashed) == 1
        heights = set(np.asarray(dashed[0].get_ydata(), float))
        assert heights == {height}  # the far one is beyond the panel's upper end


# Files for one's own paper


def table(*texts: str) -> Table:
    rows = tuple(
        (Cell(text), Cell(f"{MINUS}1,234", ("[0.1, +0.2]", "p = 0.5"), True)) for text in texts
    )
    return Table(3, "50 % of [a_b] & more", ("name", "AUC, x"), rows, "some_key")


@pytest.mark.parametrize(
    "text", ["a_b", "50% & #1", "$x_{", "\\cmd~^", "<b>|", "[0, 1]", f"{MINUS}±{DASH}"]
)
def test_latex_is_escaped_and_balanced(text: str) -> None:
    made = export.to_latex(table(text), "a_study")
    for name in ("table", "tabular"):
        assert made.count(f"\\begin{{{name}}}") == made.count(f"\\end{{{name}}}") == 1
    plain = re.sub(r"\\[\\{}&%$#_]", "", made)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert not re.search(rf"[%#_~^<>|{MINUS}±{DASH}]", plain)
    assert "\\label{tab:a-study-some-key}" in made
    for rule in ("toprule", "midrule", "bottomrule"):
        assert f"\\{rule}" in made
    body = plain[plain.index("midrule") : plain.index("bottomrule")].strip().splitlines()[1:-1]
    assert [line.count("&") for line in body] == [1]
    assert not re.search(r"\\\\\s*\[", made)  # would be read as an argument


def test_a_long_latex_table_runs_over_pages() -> None:
    made = export.to_latex(table(*map(str, range(export.LONG + 1))), "s")
    assert made.count("longtable") == 2
    assert "\\endhead" in made


def test_csv_has_numbers_and_interval_ends_in_columns() -> None:
    rows = list(csv.reader(io.StringIO(export.to_csv(table("a", "b")))))
    assert rows == [
        ["name", "AUC, x", "AUC, x, low", "AUC, x, high", "AUC, x, note 1"],
        ["a", "-1234", "0.1", "+0.2", "p = 0.5"],
        ["b", "-1234", "0.1", "+0.2", "p = 0.5"],
    ]


def test_every_figure_and_table_of_a_report_is_a_file(out: Path) -> None:
    for name in REPORTED:
        keys = re.findall(r'data-key="(\w+)"', page(out, name))
        figures = {path.name for path in (out / name / "figures").iterdir()}
        assert figures == {f"{key}.{kind}" for key in keys for kind in ("svg", "pdf")}
        tables = [path.stem for path in (out / name / "tables").iterdir()]
        assert len(tables) == 2 * len(re.findall(r'<table id="table-', page(out, name)))
        for path in (out / name / "figures").glob("*.pdf"):
            content = path.read_bytes()
            assert content.startswith(b"%PDF-")
            assert b"CreationDate" not in content


@pytest.mark.usefixtures("blank_figures")
def test_a_file_that_a_report_no_longer_has_is_removed(engine: sa.Engine, tmp_path: Path) -> None:
    old = tmp_path / "few" / "figures" / "old.svg"
    old.parent.mkdir(parents=True)
    old.write_text("")
    build(engine, "few", tmp_path)
    assert not old.exists()


def test_the_help_names_every_kind_of_file() -> None:
    told = command.parser().format_help()
    for name in ("figures/*.svg", "figures/*.pdf", "tables/*.csv", "tables/*.tex", "index.html",
                 "all.pdf", "--all"):  # fmt: skip
        assert name in told


# The page


@pytest.mark.parametrize("name", REPORTED)
def test_every_page_loads_nothing_has_unique_ids_and_is_small(out: Path, name: str) -> None:
    found = Resources()
    found.feed(page(out, name))
    assert all(link.startswith("#") for link in found.loaded)
    assert {link[1:] for link in found.loaded} <= set(found.ids)
    assert len(found.ids) == len(set(found.ids))
    assert found.drawings == len(found.labelled)
    assert set(found.labelled) | set(found.titled) <= set(found.ids)
    assert len(page(out, name).encode()) < 3_000_000


def test_only_the_script_with_the_pages_hash_may_run(out: Path) -> None:
    for path in (out / "models_video" / "report.html", out / "index.html"):
        text = path.read_text("utf-8")
        (script,) = re.findall(r"<script>(.*?)</script>", text, flags=re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
        assert "default-src 'none'" in policy
        assert f"script-src 'sha256-{digest}'" in policy
        assert not re.search(r"\son\w+=", text.replace(script, ""))


def test_tables_and_landmarks_are_there_without_the_script(out: Path) -> None:
    text = page(out, "models_video")
    assert '<a class="skip" href="#main">' in text
    assert text.count("<main") == text.count("<header>") == text.count("<nav ") == 1
    assert text.count("<caption>") == text.count("<table")
    without = re.sub(r"<(script|style)>.*?</\1>", "", text, flags=re.DOTALL)
    assert "aria-sort" not in without
    assert "<button" not in without
    assert "better on both" in without


# All studies


def test_the_list_has_every_study_with_its_question_and_verdicts(
    out: Path, engine: sa.Engine
) -> None:
    text = (out / "index.html").read_text("utf-8")
    for name in (*REPORTED, "empty"):
        assert f">{name}<" in text or f": {name}</h2>" in text
    for name in REPORTED:
        assert f'href="{name}/report.html"' in text
        assert catalog.get(read(engine, name).record.definition).question in unescape(text)
        claims = json.loads((out / name / "summary.json").read_text())["claims"]
        for claim in claims:
            assert f'href="{name}/report.html#{claim["id"]}"' in text
            assert f">{claim['id']}: {claim['verdict']}</a>" in text
            assert f'id="{claim["id"]}"' in page(out, name)
    assert 'href="empty/report.html"' not in text
    assert "has no finished training yet" in text
    assert "6 studies in the database, 5 with a report" in text
    found = Resources()
    found.feed(text)
    assert len(found.ids) == len(set(found.ids))
    assert all((out / link.partition("#")[0]).exists() for link in found.loaded)


def test_one_pdf_holds_all_reports(out: Path) -> None:
    content = (out / "all.pdf").read_bytes()
    assert content.startswith(b"%PDF-")
    assert len(content) > (out / GRID / "report.pdf").stat().st_size


def test_all_again_gives_the_same_bytes(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    store_study(made, "models_census", replicates=3, data="census", tasks=CENSUS_TASKS)
    store_study(made, name="empty", replicates=0)
    for folder in ("one", "two"):
        build_all(made, tmp_path / folder)
    made.dispose()
    written = [p.relative_to(tmp_path / "one") for p in (tmp_path / "one").rglob("*")]
    assert sorted(written) == sorted(
        p.relative_to(tmp_path / "two") for p in (tmp_path / "two").rglob("*")
    )
    for name in written:
        if (tmp_path / "one" / name).is_file():
            assert (tmp_path / "one" / name).read_bytes() == (
                tmp_path / "two" / name).read_bytes(), name  # fmt: skip


def test_an_empty_database_has_an_empty_list(tmp_path: Path) -> None:
    made = open_engine(f"sqlite:///{tmp_path / 'studies.db'}", create=True)
    build_all(made, tmp_path)
    made.dispose()
    assert "0 studies in the database" in (tmp_path / "index.html").read_text()
    assert (tmp_path / "all.pdf").read_bytes().startswith(b"%PDF-")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "name a study, or use --all"),
        (["tower_shape", "--all"], "not both"),
        (["--all", "--data", "census"], "--data goes with a study's name"),
    ],
)
def test_all_and_a_name_exclude_each_other(
    engine: sa.Engine, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert command.main([*arguments, "--storage", str(engine.url)]) == 2
    assert told in capsys.readouterr().err


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")
def test_in_a_browser_the_script_runs_and_a_phone_needs_no_sideways_scroll(
    out: Path, tmp_path: Path
) -> None:
    assert CHROMIUM is not None
    probe = tmp_path / "probe.html"
    # Headless windows have a least width, so the page goes into a frame as wide as a phone.
    probe.write_text(
        f'<iframe id="f" style="width:400px;height:800px" src="{page_url(out)}"></iframe>'
        f"<script>{PROBE}</script>"
    )
    ended = subprocess.run(
        [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files",
         f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=8000", "--dump-dom",
         probe.as_uri()],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    (title,) = re.findall(r"<title>(.*?)</title>", ended.stdout)
    found = json.loads(unescape(title))
    assert found["wide"] <= found["room"]
    assert found["sorted"] == "ascending"
    assert found["rows"] == sorted(found["rows"])
    assert found["hidden"] == ["ple"]
    assert re.match(r"\w+: [+\u2212]0\.\d+, [+\u2212]0\.\d+$", found["told"])


PROBE = """
onload = () => {
  const page = document.getElementById("f").contentDocument;
  const sort = page.querySelector("thead th:nth-child(2) button");
  sort.click();
  const box = page.querySelector('.chooser input[data-level="ple"]');
  box.click();
  const off = [...page.querySelectorAll("svg .off")].map((part) => part.dataset.level);
  const figure = page.querySelector('figure[data-key="gains"]');
  const last = new KeyboardEvent("keydown", { key: "ArrowLeft" });
  figure.querySelector(".narrow").dispatchEvent(last);
  const table = sort.closest("table");
  document.title = JSON.stringify({
    wide: page.documentElement.scrollWidth,
    room: page.documentElement.clientWidth,
    sorted: sort.parentNode.getAttribute("aria-sort"),
    rows: [...table.tBodies[0].rows].map((row) => Number.parseFloat(row.cells[1].innerText)),
    hidden: [...new Set(off)],
    told: figure.querySelector(".told").textContent,
  });
};
"""


def page_url(out: Path) -> str:
    return (out / "models_video" / "report.html").as_uri()
