"""The report of a search: its numbers against brute force, and pages of made-up searches."""

import json
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from html import unescape
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd.config import FSMDConfig
from fsmd.errors import UserError
from reports import axis_importance, front, search_analysis, words
from reports import build as command
from reports.build import build, build_all
from reports.estimates import mean_interval
from reports.figures import front as front_figure
from reports.figures import hypervolume, parallel
from reports.search_analysis import SearchAnalysis, analyse_search
from reports.search_report import assemble_search, run_command
from reports.search_results import SearchResults, own_fields, read_search
from search_spaces.spaces import Params, space
from studies.importance import ped_anova
from studies.run import parser
from studies.settings import SETTINGS
from studies.storage import find_study
from studies.trials import stored_trials
from tests.searches import (
    MOST,
    TASKS,
    drawn_points,
    fresh_engine,
    outcome,
    paper_points,
    parameters,
    store_search,
)
from tests.test_reports import ticks_are_true

PAPER = space("paper", SETTINGS["planted"].applied, True)
RNG = np.random.default_rng(7)


def dominated(point: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """In the words of its definition."""
    return any(
        all(b >= a for a, b in zip(point, other, strict=True))
        and any(b > a for a, b in zip(point, other, strict=True))
        for other in others
    )


def brute_front(points: Sequence[Sequence[float]]) -> list[bool]:
    return [not dominated(point, points) for point in points]


# Numbers


def test_membership_of_two_points_that_differ_on_one_objective_is_a_one_sided_t_test() -> None:
    gain_R = RNG.normal(0.5, 1.0, size=5)
    points_LRM = np.zeros((2, 5, 2))
    points_LRM[0, :, 0] = gain_R
    points_LRM += RNG.normal(size=(1, 5, 2))  # of the seed, the same for both
    found = front.membership(points_LRM, draws=20_000)
    p = scipy.stats.ttest_1samp(gain_R, 0.0, alternative="greater").pvalue
    assert found == pytest.approx([1 - p, p], abs=0.01)
    assert found.tolist() == front.membership(points_LRM, draws=20_000).tolist()


def test_with_five_seeds_a_point_told_to_be_on_the_front_almost_surely_is_there() -> None:
    """Of the points with at least 95 %, at least 93 % are there, and as with those below 5 %."""
    sure, unlikely = [], []
    for study in range(150):
        true_LM = RNG.normal(size=(6, 2))
        seed_1RM = RNG.normal(scale=3, size=(1, 5, 2))
        points_LRM = true_LM[:, None] + RNG.normal(size=(6, 5, 2)) + seed_1RM
        probability_L = front.membership(points_LRM, draws=500, seed=study)
        is_on_L = np.array(brute_front(true_LM.tolist()))
        sure += is_on_L[probability_L >= 0.95].tolist()
        unlikely += is_on_L[probability_L <= 0.05].tolist()
    assert len(sure) > 50
    assert np.mean(sure) >= 0.93
    assert len(unlikely) > 50
    assert np.mean(unlikely) <= 0.07


def test_equal_levels_are_on_the_front_together() -> None:
    points_LRM = np.repeat(RNG.normal(size=(1, 5, 2)), 3, axis=0)
    assert front.membership(points_LRM).tolist() == [1.0, 1.0, 1.0]


def test_membership_lets_cancel_what_a_seed_does_to_all_points() -> None:
    base_LM = np.array([[0.0, 1.0], [1.0, 0.0], [-0.1, -0.1]])
    points_LRM = base_LM[:, None, :] + 100 * RNG.normal(size=(1, 5, 2))
    assert front.membership(points_LRM).tolist() == [1.0, 1.0, 0.0]


def test_one_seed_gives_no_probability() -> None:
    assert np.isnan(front.membership(np.zeros((2, 1, 2)))).all()


def test_shrinkage_is_the_searched_value_minus_each_fresh_one() -> None:
    fresh_RK = RNG.normal(size=(5, 2))
    found = front.shrinkage(np.array([1.0, 2.0]), fresh_RK)
    assert found == (mean_interval(1.0 - fresh_RK[:, 0]), mean_interval(2.0 - fresh_RK[:, 1]))


def test_mean_shrinkage_averages_over_points_within_each_seed() -> None:
    searched_LK, fresh_LRK = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 4, 2))
    found = front.mean_shrinkage(searched_LK, fresh_LRK)
    for k in range(2):
        by_seed = [np.mean([searched_LK[i, k] - fresh_LRK[i, r, k] for i in range(3)])
                   for r in range(4)]  # fmt: skip
        expected = mean_interval(by_seed)
        assert found[k].mean == pytest.approx(expected.mean)
        assert found[k].low == pytest.approx(expected.low)


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
def test_the_band_runs_from_what_all_seeds_attain_to_what_one_does(seeds: int) -> None:
    points_LR2 = RNG.integers(0, 8, size=(4, seeds, 2)).astype(float)
    band = front.attained(points_LR2)
    for i, x in enumerate(band.first):
        for y in range(8):
            reached = [
                any(px >= x and py >= y for px, py in points_LR2[:, r]) for r in range(seeds)
            ]
            assert (band.by_half[i] >= y) == (2 * sum(reached) >= seeds)
            assert (band.by_all[i] >= y) == all(reached)
            assert (band.by_one[i] >= y) == any(reached)


points = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12, unique=True
)


@settings(max_examples=60, deadline=None)
@given(points)
def test_the_knee_is_farthest_above_the_line_through_the_ends(drawn: list[Any]) -> None:
    points_NM = np.array(drawn, float) / 20
    on = [i for i, is_on in enumerate(brute_front(drawn)) if is_on]
    low, high = points_NM[on].min(axis=0), points_NM[on].max(axis=0)
    found = front.picked(front.rule("knee", TASKS), points_NM)
    assert found in on
    if len(on) > 2:
        scaled = (points_NM - low) / (high - low)
        distance = {i: float(scaled[i].sum() - 1) / math.sqrt(2) for i in on}
        assert distance[found] == pytest.approx(max(distance.values()))


@settings(max_examples=60, deadline=None)
@given(points)
def test_the_other_picks_follow_their_words(drawn: list[Any]) -> None:
    points_NM = np.array(drawn, float) / 4000
    x, y = points_NM.T

    def pick(name: str) -> int:
        return front.picked(front.rule(name, TASKS), points_NM)

    assert x[pick("best:click")] == x.max()
    assert y[pick("best:long_view")] == y.max()
    assert (0.7 * x + 0.3 * y)[pick("weights:0.7,0.3")] == pytest.approx(max(0.7 * x + 0.3 * y))
    assert y[pick("floor:click")] == max(y[x >= x.max() - 0.001])
    assert x[pick("floor:long_view")] == max(x[y >= y.max() - 0.001])
    for name in front.default_rules(TASKS):
        assert not dominated(drawn[pick(name)], drawn)


@pytest.mark.parametrize(
    "name", ["best", "best:like", "knee:click", "weights:1", "weights:a,b", "weights:-1,2", "x"]
)
def test_an_unknown_rule_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        front.rule(name, TASKS)


def test_progress_is_the_area_that_what_ended_so_far_dominates() -> None:
    drawn = [tuple(p) for p in RNG.integers(0, 12, size=(9, 2)).astype(float).tolist()]
    trainings = [front.Training(i + 1, None if i % 4 == 2 else p) for i, p in enumerate(drawn)]
    found = front.progress(trainings)
    ended = [t.point for t in trainings if t.point]
    lows, highs = ([f(p[k] for p in ended) for k in range(2)] for f in (min, max))
    below = tuple(low - (high - low) / 10 for low, high in zip(lows, highs, strict=True))
    assert found.reference == pytest.approx(below)
    grids = [[below[k], *sorted({p[k] for p in ended})] for k in range(2)]
    for i in range(len(trainings)):
        seen = [t.point for t in trainings[: i + 1] if t.point]
        area = sum(
            (right - left) * (upper - lower)
            for left, right in pairwise(grids[0]) for lower, upper in pairwise(grids[1])
            if any(p[0] >= right and p[1] >= upper for p in seen)
        )  # fmt: skip
        assert found.volumes[i] == pytest.approx(area)
        assert found.epochs[i] == sum(range(1, i + 2))


def test_the_account_of_epochs() -> None:
    found = front.spent([4, 6, 5], [1, 2, 5], [3], most=6)
    assert (found.ended, found.stopped, found.other, found.total) == (15, 8, 3, 26)
    assert (found.saved_at_most, found.saved_fairly, found.saved_by_patience) == (10, 7, 3)
    assert math.isnan(front.spent([], [1], [], most=6).saved_fairly)


# Importance


def test_a_factorial_has_every_combination_once() -> None:
    cells: list[Params] = list(PAPER.cells())
    assert axis_importance.is_factorial(cells)
    assert axis_importance.is_factorial([c for c in cells if c["gate_depth"] in (1, 3)])
    assert not axis_importance.is_factorial(cells[:-1])
    assert not axis_importance.is_factorial([*cells, cells[0]])
    assert not axis_importance.is_factorial([{"a": 1}, {"b": 1}])


def test_main_effects_are_those_of_a_linear_model() -> None:
    cells: list[Params] = [{"a": a, "b": b} for a in range(3) for b in range(4)]
    values_N = RNG.normal(size=12) + [2 * float(c["a"]) for c in cells]
    found = axis_importance.main_effects(cells, values_N)
    total = float(((values_N - values_N.mean()) ** 2).sum())
    for axis in ("a", "b"):
        design = pd.get_dummies(pd.Series([c[axis] for c in cells])).to_numpy(float)
        left = values_N - design @ np.linalg.lstsq(design, values_N, rcond=None)[0]
        assert found[axis] == pytest.approx(1 - float(left @ left) / total)
    assert set(axis_importance.main_effects(cells, np.ones(12)).values()) == {0.0}


def test_ped_anova_finds_what_makes_the_best_best_and_not_the_worst_worst() -> None:
    """One axis makes the best trainings best, another the worst worst, on maximised objectives."""
    cells: list[Params] = [dict(c) for c in PAPER.cells()]
    good = np.array([c["gate_depth"] == 3 for c in cells], float)
    bad = np.array([c["expert_count"] == 2 for c in cells], float)
    noise_NM = 0.01 * RNG.normal(size=(len(cells), 2))
    values_NM = (good - 5 * bad)[:, None] * np.array([[1.0, 0.0]]) + noise_NM
    found = ped_anova(PAPER, cells, values_NM, 0)
    assert max(found, key=lambda axis: found[axis]) == "gate_depth"
    assert sum(found.values()) == pytest.approx(1)
    assert list(found) == list(PAPER.axes)
    assert found == ped_anova(PAPER, cells, values_NM, 0)


def test_ped_anova_for_the_front_follows_the_trade(tmp_path: Path) -> None:
    cells: list[Params] = [dict(c) for c in PAPER.cells()]
    diamond = np.array([c["tower_shape"] == "diamond" for c in cells], float)
    values_NM = diamond[:, None] + 0.01 * RNG.normal(size=(len(cells), 2))
    found = ped_anova(PAPER, cells, values_NM)
    assert max(found, key=lambda axis: found[axis]) == "tower_shape"


def test_shuffled_targets_show_what_chance_reaches(engine: sa.Engine) -> None:
    found = axis_importance.importance(search(engine, "wide"))
    assert not found.exact
    assert found.targets == (*TASKS, axis_importance.FRONT)
    for target in found.targets:
        shares = [found.shares[target, axis].share for axis in found.axes]
        assert sum(shares) == pytest.approx(1)
    assert len({(s.by_chance, axis) for (_, axis), s in found.shares.items()}) == len(found.axes)


def test_stopped_trainings_count_as_not_among_the_best(engine: sa.Engine) -> None:
    """Whatever they showed when they were stopped; with them there is enough to tell."""
    whole = search(engine, "wide")
    order = sorted(whole.configurations, key=lambda c: c.mean)
    worst = [c.level for c in order[: len(order) // 2]]

    def shown(mean: float) -> SearchResults:
        return replace(whole, configurations=tuple(
            replace(c, state="stopped", values=(mean, mean)) if c.level in worst else c
            for c in whole.configurations
        ))  # fmt: skip

    found = axis_importance.importance(shown(0.4))
    assert found.trainings == len(whole.configurations)
    assert found.shares
    assert found == axis_importance.importance(shown(0.9))
    few = replace(whole, configurations=tuple(
        replace(c, state="stopped") if n > 3 else c for n, c in enumerate(whole.configurations)
    ))  # fmt: skip
    assert not axis_importance.importance(few).shares


def test_of_a_factorial_the_effects_are_exact(engine: sa.Engine) -> None:
    results = search(engine, "grid")
    found = axis_importance.importance(results)
    assert (found.exact, found.axes) == (True, ("gate_depth", "expert_count"))
    values = np.array([c.values for c in results.configurations])
    expected = axis_importance.main_effects([c.params for c in results.configurations],
                                            values[:, 1])  # fmt: skip
    for axis, by_chance in (("gate_depth", 4 / 19), ("expert_count", 3 / 19)):
        share = found.shares["long_view", axis]
        assert share == axis_importance.Share(expected[axis], by_chance)
    assert found.shares["click", "gate_depth"].share > 0.5


# Reading


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> sa.Engine:
    """Searches in several stages, in one database."""
    made = fresh_engine(tmp_path_factory.mktemp("db"))
    tried = paper_points(12)
    levels = list(tried)
    store_search(made, tried, stopped=levels[8:11], failed=levels[11:], confirmed=levels[:5],
                 missing=((levels[4], 3),))  # fmt: skip
    store_search(made, paper_points(6), name="plain", running=["#6"])
    store_search(made, paper_points(4), name="begun", stopped=list(tried)[:4])
    store_search(made, paper_points(3), name="broken", failed=list(tried)[:3])
    wide = drawn_points("architecture", 30)
    store_search(made, wide, name="wide", space_name="architecture",
                 confirmed=["fsmd", "mmoe", "#20", "#25"], seeds=4)  # fmt: skip
    store_search(made, paper_points(8), name="three", confirmed=list(tried)[:3], cost="params")
    store_search(made, grid_points(), name="grid")
    store_search(made, paper_points(3), name="again", stopped=["#3"], confirmed=["#3"], seeds=2)
    return made


def grid_points() -> dict[str, Params]:
    """A full factorial of two of the axes."""
    cells = product(range(1, 6), (2, 6, 10, 14))
    return {
        f"#{i}": {"tower_shape": "constant", "gate_depth": depth, "expert_count": count}
        for i, (depth, count) in enumerate(cells, 1)
    }


def search(engine: sa.Engine, name: str = "pareto") -> SearchResults:
    record = find_study(engine, name)
    assert record is not None
    return read_search(engine, record)


def analysis(engine: sa.Engine, name: str = "pareto") -> SearchAnalysis:
    return analyse_search(search(engine, name))


def test_each_configuration_has_its_state_and_stands_at_its_best_epoch(engine: sa.Engine) -> None:
    found = search(engine)
    states = [c.state for c in found.configurations]
    assert states == ["ended"] * 8 + ["stopped"] * 3 + ["failed"]
    assert [c.level for c in found.configurations] == list(paper_points(12))
    for c in found.configurations[:11]:
        seed = stored_seed(engine, c.level)
        result = outcome(found.space.config(c.params), seed, stopped=c.state == "stopped")
        value = {(m.epoch, m.task): m.value for m in result.measurements if m.split == "valid"}
        best = result.chosen_epochs["click"]
        assert c.values == tuple(value[best, task] for task in TASKS)
        assert (c.epochs, c.parameters) == (result.epochs, result.parameters)
    assert found.configurations[11].values == ()
    assert search(engine, "plain").configurations[-1].state == "paused"


def stored_seed(engine: sa.Engine, level: str) -> int:
    runs = search(engine).results.runs
    found = runs[(runs["level"] == level) & (runs["replicate"] == 0)]["seed"]
    return int(found.iloc[0])


def test_the_last_trial_of_a_cell_counts(engine: sa.Engine) -> None:
    trials = stored_trials(engine, "pareto")
    assert len(trials) == 12 + 5 * 3 - 1
    assert [t.replicate for t in trials[:12]] == [0] * 12
    assert stored_trials(engine, "no such study") == ()


def test_only_fresh_seeds_complete_at_every_confirmed_level_count(engine: sa.Engine) -> None:
    found = analysis(engine)
    assert len(found.seeds) == 2
    assert len(found.confirmed) == 5
    known = {c.level: c for c in found.found.configurations}
    frame = found.found.results.measurements
    for c in found.confirmed:
        rows = frame[(frame["level"] == c.level) & frame["replicate"].isin([1, 2])
                     & (frame["split"] == "valid") & (frame["epoch"] == 3)]  # fmt: skip
        for k, task in enumerate(TASKS):
            fresh = rows[rows["task"] == task]["value"].to_numpy()
            assert c.fresh[k] == mean_interval(fresh)
            assert c.shrinkage[k].mean == pytest.approx(known[c.level].values[k] - fresh.mean())
            assert c.test[k].mean == pytest.approx(fresh.mean() - 0.003)


def test_the_front_before_and_after(engine: sa.Engine) -> None:
    found = analysis(engine)
    ended = found.found.all_in("ended")
    expected = {c.level for c, is_on in zip(ended, brute_front([c.values for c in ended]),
                                            strict=True) if is_on}  # fmt: skip
    assert set(found.front) == expected
    means = [tuple(e.mean for e in c.fresh) for c in found.confirmed]
    assert [c.on_front for c in found.confirmed] == brute_front(means)


def test_a_level_that_failed_on_a_fresh_seed_takes_no_seed_from_the_others(
    tmp_path: Path,
) -> None:
    """It is named, and is no confirmed point; so is what is new on the front."""
    made, tried = fresh_engine(tmp_path), paper_points(8)
    levels = list(tried)
    store_search(made, tried, confirmed=levels[:4], seeds=5, broken=[(levels[0], 2)])
    found = analyse_search(search(made))
    assert len(found.seeds) == 5
    assert {c.level for c in found.confirmed} == set(levels[1:4])
    text = " ".join(assemble_search(found).notices)
    assert f"as a training on a fresh seed failed: {levels[0]}. --retry-failed" in text
    sentences = [s for section in assemble_search(found).sections for s in section.sentences]
    assert not [s for s in sentences if "not trained again" in s and levels[0] in s]
    new = [e for e in found.front if e not in levels[:4]]
    assert new
    assert f"not trained again on fresh seeds: {words.listed(new)}: the same" in text
    # A seed that no level finished is the seed's fault, not theirs.
    store_search(made, tried, name="bad seed", confirmed=levels[:4], seeds=5,
                 broken=[(level, 2) for level in levels[:4]])  # fmt: skip
    found = analyse_search(search(made, "bad seed"))
    assert {c.level for c in found.confirmed} == set(levels[:4])
    assert len(found.seeds) == 4


def test_the_front_of_three_objectives_knows_the_cost(engine: sa.Engine) -> None:
    found = analysis(engine, "three")
    config = found.found.space.config
    told = [(*c.values, -float(parameters(config(c.params)))) for c in found.found.configurations]
    on = {c.level for c, is_on in zip(found.found.configurations, brute_front(told), strict=True)
          if is_on}  # fmt: skip
    assert set(found.front) == on
    assert len(found.progress.reference) == 3


def test_picks_are_compared_with_the_papers_models_on_test(engine: sa.Engine) -> None:
    found = analysis(engine, "wide")
    assert found.picks
    for pick in found.picks:
        others = [other for other, _ in pick.differences]
        assert others == [other for other in ("fsmd", "mmoe") if other != pick.level]
        tests = {c.level: c.test for c in found.confirmed}
        for other, estimates in pick.differences:
            for k, estimate in enumerate(estimates):
                expected = tests[pick.level][k].mean - tests[other][k].mean
                assert estimate.mean == pytest.approx(expected)


def test_a_stopped_training_that_was_confirmed_has_no_shrinkage(engine: sa.Engine) -> None:
    (point,) = analysis(engine, "again").confirmed
    assert (point.level, point.searched, point.shrinkage) == ("#3", (), ())


def test_a_rule_of_ones_own_is_applied_too(engine: sa.Engine) -> None:
    found = analyse_search(search(engine), ("weights:1,0",))
    assert any("weights:1,0" in rules for rules in found.picked_by.values())


# The page


NAMES = ("pareto", "plain", "broken", "wide", "three", "again", "grid")


@pytest.fixture(scope="module")
def out(engine: sa.Engine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("out")
    build_all(engine, folder)
    return folder


def page(out: Path, name: str = "pareto") -> str:
    return (out / name / "report.html").read_text("utf-8")


def text_of(out: Path, name: str = "pareto") -> str:
    """The page's words, without drawings and tags, blanks collapsed."""
    without = re.sub(r"<(style|svg|script).*?</\1>", " ", page(out, name), flags=re.DOTALL)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", without)))


def test_every_search_with_an_end_has_a_report_and_the_list_has_all(out: Path) -> None:
    assert {p.parent.name for p in out.glob("*/report.html")} == set(NAMES)
    listed = (out / "index.html").read_text("utf-8")
    assert "has no finished training yet" in listed
    assert listed.count("Architecture search for both tasks") == len(NAMES) + 1
    for name in NAMES:
        assert f'href="{name}/report.html"' in listed
        assert (out / name / "report.pdf").read_bytes().startswith(b"%PDF-")


def test_building_again_gives_the_same_bytes(out: Path, engine: sa.Engine, tmp_path: Path) -> None:
    for name in ("pareto", "wide"):
        build(engine, name, tmp_path)
        files = [p.relative_to(tmp_path) for p in (tmp_path / name).rglob("*") if p.is_file()]
        assert len(files) > 10
        for each in files:
            assert (tmp_path / each).read_bytes() == (out / each).read_bytes(), each


def test_the_page_says_what_was_tried_and_found(out: Path) -> None:
    text = text_of(out)
    for sentence in (
        "12 configurations of the space paper, 8 trained to the end, 3 stopped early, 1 failed",
        "Over 2 fresh seeds the front of 5 confirmed points is",
        "1 fresh seed left out",
        "The search saw its front above what fresh seeds show by",
        "Test AUC",
        "for FSMDConfig.from_dict",
        "11 trainings ended or were stopped: below 20",
        "it carries the winner's curse",
        "#12, replicate 0, seed 514591061: failed after 1 attempt",
        "--space paper --objectives auc,auc --epochs 6",
    ):
        assert sentence in text, sentence
    assert "<script>" not in page(out).partition("<main")[2].partition("</main>")[0]


def test_without_confirmation_the_page_says_whose_front_it_is(out: Path) -> None:
    text = text_of(out, "plain")
    assert "The front is what the search saw, on one seed" in text
    assert "1 training not finished" in text
    assert "Picked on validation, by what the search saw" in text
    assert "P(front)" not in text


def test_where_all_failed_the_page_shows_why(out: Path) -> None:
    text = text_of(out, "broken")
    assert "3 failed" in text
    assert text.count("RuntimeError: <script>") == 3
    assert "<figure" not in page(out, "broken")


def test_what_matters_is_told_from_twenty_trainings_on(out: Path) -> None:
    for name, told in (("wide", True), ("grid", True), ("pareto", False)):
        assert ('data-key="importance"' in page(out, name)) == told
    assert "PED-ANOVA" in text_of(out, "wide")
    assert "Importance is exact" in text_of(out, "grid")


def test_every_drawing_is_titled_and_nothing_is_loaded(out: Path) -> None:
    for name in NAMES:
        drawings = re.findall(r"<svg[^>]*>", page(out, name))
        assert all('role="img"' in drawing for drawing in drawings)
        assert not re.search(r'(src|href)="(?!#)', page(out, name))
        ids = re.findall(r'\bid="([^"]+)"', page(out, name))
        assert len(ids) == len(set(ids))


def test_the_configurations_to_paste_are_the_picked_ones(out: Path, engine: sa.Engine) -> None:
    found = analysis(engine, "wide")
    summary = json.loads((out / "wide" / "summary.json").read_text())
    text = text_of(out, "wide")
    params = {c.level: c.params for c in found.found.configurations}
    assert [pick["level"] for pick in summary["picks"]] == [pick.level for pick in found.picks]
    for pick in summary["picks"]:
        config = found.found.space.config(params[pick["level"]])
        assert FSMDConfig.from_dict(pick["config"]) == config
        assert json.dumps(own_fields(config)) in text


def test_summary_json_has_its_schema(out: Path) -> None:
    for name in NAMES:
        summary = json.loads((out / name / "summary.json").read_text())
        assert set(summary) == {
            "study", "data", "space", "configurations", "tried", "front", "seeds", "confirmed",
            "shrinkage", "picks", "epochs", "hypervolume",
        }  # fmt: skip
        assert len(summary["tried"]) == sum(summary["configurations"].values())
    again = json.loads((out / "again" / "summary.json").read_text())
    assert [(c["level"], c["searched"]) for c in again["confirmed"]] == [("#3", {})]


def test_results_csv_has_every_measurement(out: Path, engine: sa.Engine) -> None:
    found = pd.read_csv(out / "pareto" / "results.csv")
    assert len(found) == len(search(engine).results.measurements)
    assert set(found["level"]) == {c.level for c in search(engine).configurations[:11]}


# Figures


def test_the_front_figure_holds_its_points_and_marks_whom_it_leaves_out(
    engine: sa.Engine,
) -> None:
    summary = front_figure.summarize(analysis(engine))
    far = summary._replace(searched=(*summary.searched, ("far", (0.5, 0.5))))
    assert front_figure.outside(summary) == 0
    assert front_figure.outside(far) == 1
    (left, right), (bottom, top) = front_figure.ranges(far)
    for fresh in far.fresh:
        assert left < fresh.at[0] < right
        assert bottom < fresh.at[1] < top
    for narrow in (False, True):
        assert front_figure.draw(far, narrow).axes


@pytest.mark.parametrize("top", [0.72, 0.7203, 0.72103, 0.7303, 0.81])
def test_a_tick_stands_where_it_says_and_has_room(engine: sa.Engine, top: float) -> None:
    summary = front_figure.summarize(analysis(engine, "plain"))
    spread = np.linspace(0.72, top, len(summary.searched))
    pairs = zip(summary.searched, spread, strict=True)
    wide = summary._replace(searched=tuple((level, (at, at)) for (level, _), at in pairs))
    ticks_are_true(front_figure.draw(wide))


def test_the_hypervolume_ends_at_its_whole(engine: sa.Engine) -> None:
    summary = hypervolume.summarize(analysis(engine))
    assert summary is not None
    assert summary.shares[-1] == 1
    assert list(summary.shares) == sorted(summary.shares)
    assert hypervolume.summarize(analysis(engine, "broken")) is None


def test_a_line_crosses_each_axis_at_its_value(engine: sa.Engine) -> None:
    summary = parallel.summarize(analysis(engine, "wide"))
    lines = {line.level: line for line in summary.lines}
    names = [scale.name for scale in summary.scales]
    mmoe = dict(zip(names, lines["mmoe"].places, strict=True))
    assert mmoe["sharing"] == pytest.approx(3 / 4)
    assert mmoe["embedding_size"] == 0
    assert mmoe["extraction_levels"] == parallel.ABSENT
    heights = [line.height for line in summary.lines if line.height is not None]
    assert (min(heights), max(heights)) == (0, 1)


# The command line


def test_the_command_builds_a_search(
    engine: sa.Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--storage", str(engine.url), "--out", str(tmp_path)]
    assert command.main(["pareto", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("On planted, tasks click and long_view: 12 configurations")
    assert lines[-1] == f"Report: {tmp_path / 'pareto' / 'report.html'}"
    assert command.main(["begun", *arguments]) == 2
    assert "no finished training yet" in capsys.readouterr().err
    assert command.main(["pareto", "--pick", "weights:3,1", *arguments]) == 0
    assert "weights:3,1" in capsys.readouterr().out
    assert command.main(["pareto", "--pick", "best:like", *arguments]) == 2
    assert "there are knee, best:click" in capsys.readouterr().err
    assert command.main(["pareto", "--data", "census", *arguments]) == 2
    assert "no study 'pareto-census'" in capsys.readouterr().err


def test_the_most_epochs_are_the_studys(engine: sa.Engine) -> None:
    assert search(engine).most_epochs == MOST


def test_a_report_says_how_the_search_was_run_and_how_to_go_on(engine: sa.Engine) -> None:
    found = analysis(engine, "wide")
    text = str(assemble_search(found).facts)
    ways = "confirm 3; then sampler gp, pruner none, trials 40 and confirm 3"
    assert f"sampler tpe, pruner halving, trials 20 and {ways}" in text
    command = parser().parse_args(shlex.split(run_command(found.found))[3:])
    assert (command.sampler, command.pruner) == ("gp", "none")
    assert (command.trials, command.confirm, command.space) == (40, 3, "architecture")


def test_a_confirmed_points_region_is_hotellings() -> None:
    """Its border is where T squared reaches its quantile, 2 (n - 1) / (n - 2) F(2, n - 2)."""
    values_RK = np.array([0.7, 0.8]) + 0.01 * RNG.normal(size=(8, 2)) @ [[1, 0.4], [0, 0.5]]
    found = search_analysis.region(values_RK)
    assert found is not None
    assert found.centre == pytest.approx(values_RK.mean(axis=0))
    turn = np.radians(found.angle)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    spread = np.linalg.inv(np.cov(values_RK.T) / 8)
    border = 2 * 7 / 6 * scipy.stats.f.ppf(0.95, 2, 6)
    for axis, half in zip(axes, found.semi_axes, strict=True):
        away = half * axis
        assert away @ spread @ away == pytest.approx(border, rel=0.02)
    assert search_analysis.region(values_RK[:3]) is None
