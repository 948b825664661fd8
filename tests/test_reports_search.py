"""The report of a search: numbers against brute force, and pages of made-up searches."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

from fsmd.config import FSMDConfig
from fsmd.errors import UserError
from fsmd.metrics import METRICS
from fsmd.stats import anova
from fsmd.stats.estimates import holm, mean_interval, p_value
from fsmd.tasks import Task, targets
from reports import build as command
from reports import ran, words
from reports.build import build_all
from reports.page.html import html
from reports.page.model import Report
from reports.results import rows_part
from reports.search import axis_importance, outline
from reports.search.analysis import SearchAnalysis, analyse_search
from reports.search.confirmed import region as joint_region
from reports.search.picked import estimates_of, shown_to_differ
from reports.search.picks import Candidates, default_rules, pick_rule, picked
from reports.search.results import OUTCOMES, SearchResults, own_fields, read_search
from studies.objectives import named
from studies.run import parser
from studies.search.attempt import AttemptState
from studies.store.studies import find_study
from tests import curves
from tests.made_up import (
    MIXED,
    drawn_points,
    fresh_engine,
    grid_points,
    paper_points,
    store_search,
    tasks,
)
from tests.pages import open_part, words_of

RNG = np.random.default_rng(7)
TASKS = tasks(2)
KEYS = ("click", "long_view")


def dominated(point: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """In the words of its definition."""
    return any(
        all(b >= a for a, b in zip(point, other, strict=True))
        and any(b > a for a, b in zip(point, other, strict=True))
        for other in others
    )


def brute_front(points: Sequence[Sequence[float]]) -> list[bool]:
    return [not dominated(point, points) for point in points]


# ------------------------------------------------------------------------------------------
# Picks
# ------------------------------------------------------------------------------------------


def candidates(figures_NK: Any, of: Sequence[Task] = TASKS) -> Candidates:
    """The tasks' figures, all of them objectives."""
    sign_K = np.array([METRICS[task.metric].sign for task in of])
    gains_NK = np.asarray(figures_NK, float) * sign_K
    gains = {
        target.key: METRICS[target.metric].sign * (figures_NK @ np.array(target.weights))
        for target in targets(of)
    }
    return Candidates(tuple(map(str, range(len(gains_NK)))), gains_NK, gains)


def pick(name: str, figures_NK: Any, of: Sequence[Task] = TASKS) -> int:
    rule = pick_rule(name, of, named(("tasks",), of))
    return int(picked(rule, candidates(np.asarray(figures_NK, float), of)))


drawn_pairs = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12, unique=True
)
drawn_triples = st.lists(
    st.tuples(*[st.integers(0, 12)] * 3), min_size=1, max_size=12, unique=True
)


@settings(max_examples=60, deadline=None)
@given(drawn_pairs)
def test_picks_follow_their_words(drawn: list[tuple[int, ...]]) -> None:
    points_NM = np.array(drawn, float) / 4000
    x, y = points_NM.T
    assert x[pick("best:click", points_NM)] == x.max()
    assert y[pick("best:long_view", points_NM)] == y.max()
    assert (x + y)[pick("best:mean", points_NM)] == pytest.approx(max(x + y))
    weighted = 0.7 * x + 0.3 * y
    assert weighted[pick("weights:0.7,0.3", points_NM)] == pytest.approx(max(weighted))
    assert y[pick("floor:click", points_NM)] == max(y[x >= x.max() - 0.001])
    assert x[pick("floor:long_view", points_NM)] == max(x[y >= y.max() - 0.001])
    for name in default_rules(TASKS, named(("tasks",), TASKS)):
        assert not dominated(drawn[pick(name, points_NM)], drawn)


@settings(max_examples=60, deadline=None)
@given(drawn_triples)
def test_picks_of_three_tasks_follow_their_words(drawn: list[tuple[int, ...]]) -> None:
    of = tasks(3)
    points_NM = np.array(drawn, float) / 4000
    x, y, z = points_NM.T
    assert z[pick("best:like", points_NM, of)] == z.max()
    enough = y >= y.max() - 0.001
    assert (x + z)[pick("floor:long_view", points_NM, of)] == pytest.approx(max((x + z)[enough]))
    weighted = 3 * x + y + 2 * z
    assert weighted[pick("weights:3,1,2", points_NM, of)] == pytest.approx(max(weighted))
    for name in default_rules(of, named(("tasks",), of)):
        assert not dominated(drawn[pick(name, points_NM, of)], drawn)


@settings(max_examples=30, deadline=None)
@given(drawn_pairs)
def test_where_less_is_better_a_pick_is_the_lowest(drawn: list[tuple[int, ...]]) -> None:
    """The second task is judged by its log loss; both metrics have the same margin."""
    figures_NK = np.array(drawn, float) / 4000
    x, loss = figures_NK.T
    assert loss[pick("best:long_view", figures_NK, MIXED)] == loss.min()
    assert loss[pick("floor:click", figures_NK, MIXED)] == min(loss[x >= x.max() - 0.001])
    net = x - loss
    assert net[pick("weights:1,1", figures_NK, MIXED)] == pytest.approx(max(net))


def test_a_cost_may_be_picked_by_and_counts_for_the_knee() -> None:
    objectives = named(("tasks", "params"), TASKS)
    points_NM = np.array([[0.7, 0.7, -300.0], [0.6, 0.6, -100.0], [0.5, 0.5, -200.0]])
    gains = {o.key: points_NM[:, m] for m, o in enumerate(objectives)}
    found = Candidates(("large", "small", "worst"), points_NM, gains)
    assert picked(pick_rule("best:params", TASKS, objectives), found) == "small"
    assert picked(pick_rule("best:click", TASKS, objectives), found) == "large"
    assert picked(pick_rule("knee", TASKS, objectives), found) == "large"  # 2 of 3 ends


@pytest.mark.parametrize(
    "name",
    [
        *("best", "best:like", "best:params", "knee:click", "floor:mean", "x"),
        *("weights:1", "weights:a,b", "weights:-1,2", "weights:1,1,1"),
    ],
)
def test_an_unknown_rule_is_refused(name: str) -> None:
    with pytest.raises(UserError):
        pick_rule(name, TASKS, named(("tasks",), TASKS))


@pytest.mark.parametrize(
    ("count", "objectives", "expected"),
    [
        (1, ("tasks",), ("best:click",)),
        (1, ("tasks", "params"), ("knee", "best:click")),
        (2, ("params",), ("best:params",)),
        (2, ("params", "seconds"), ("knee", "best:params", "best:seconds")),
        (2, ("mean", "latency"), ("knee", "best:mean")),
        (
            2,
            ("tasks",),
            (
                *("knee", "best:click", "best:long_view", "weights:1,1"),
                *("floor:click", "floor:long_view"),
            ),
        ),
        (
            3,
            ("click", "like"),
            ("knee", "best:click", "best:like", "weights:1,0,1", "floor:click", "floor:like"),
        ),
    ],
)
def test_the_default_rules_ask_for_what_is_sought(
    count: int, objectives: tuple[str, ...], expected: tuple[str, ...]
) -> None:
    of = tasks(count)
    rules = default_rules(of, named(objectives, of))
    assert rules == expected
    for rule in rules:
        assert pick_rule(rule, of, named(objectives, of)).name == rule


# ------------------------------------------------------------------------------------------
# Reading
# ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Engine]:
    """Searches in several stages, in one database."""
    engine = fresh_engine(tmp_path_factory.mktemp("db"))
    names = list(paper_points(12))
    store_search(
        engine,
        paper_points(12),
        stopped=names[8:11],
        failed=names[11:],
        confirmed=names[:5],
        missing=((names[4], 3),),
    )
    store_search(engine, paper_points(6), name="plain", paused=["#6"])
    store_search(engine, paper_points(4), name="begun", stopped=names[:4])
    store_search(engine, paper_points(3), name="broken", failed=names[:2], lost=names[2:3])
    store_search(
        engine,
        drawn_points("architecture", 30),
        name="wide",
        space="architecture",
        confirmed=["fsmd", "mmoe", "#20", "#25"],
        seeds=4,
        rows=200,
    )
    for name, sought in (("three", ("tasks", "params")), ("seconds", ("click", "seconds"))):
        points, again = paper_points(6), names[:3]
        store_search(engine, points, name=name, confirmed=again, objectives=sought)
    store_search(engine, grid_points(), name="grid")
    store_search(engine, paper_points(3), name="again", stopped=["#3"], confirmed=["#3"], seeds=2)
    several: tuple[tuple[str, tuple[Task, ...], tuple[str, ...]], ...] = (
        ("one task", tasks(1), ("tasks",)),
        ("loss", MIXED, ("tasks",)),
        ("four", tasks(3), ("tasks", "latency")),
        ("cost", tasks(2), ("params",)),
        ("costs", tasks(2), ("params", "seconds")),
    )
    for name, of, objectives in several:
        points = paper_points(6, tasks=of)
        again = list(points)[:3]
        store_search(
            engine, points, name=name, tasks=of, objectives=objectives, confirmed=again, seeds=4
        )
    yield engine
    engine.dispose()


NAMES = ("search", "plain", "broken", "wide", "three", "seconds", "grid", "again")
SEVERAL = ("one task", "loss", "four", "cost", "costs")


def search(engine: sa.Engine, name: str = "search") -> SearchResults:
    record = find_study(engine, name)
    assert record is not None
    return read_search(engine, record)


@cache
def analysis(engine: sa.Engine, name: str = "search") -> SearchAnalysis:
    return analyse_search(search(engine, name))


def test_each_attempt_has_its_outcome_and_stands_at_its_best_epoch(engine: sa.Engine) -> None:
    found = search(engine)
    outcomes = {o: [a.name for a in found.all_in(o)] for o in OUTCOMES}
    names = list(paper_points(12))
    assert outcomes == {
        "ended": names[:8],
        "stopped": names[8:11],
        "paused": [],
        "failed": names[11:],
    }
    frame = found.results.measurements
    for attempt in found.attempts[:11]:
        rows = frame[(frame["arm"] == attempt.name) & (frame["replicate"] == 0)]
        curve = rows[rows["split"] == "valid"].pivot(index="epoch", columns="task", values="value")
        best = curve.iloc[int(curve.mean(axis=1).to_numpy().argmax())]
        assert found.figures(attempt) == tuple(best[list(KEYS)])
        assert attempt.epochs == len(curve)
    assert found.figures(found.attempts[11]) == ()
    assert [a.name for a in search(engine, "plain").all_in("paused")] == ["#6"]
    assert len(search(engine, "broken").all_in("failed")) == 3


def test_only_fresh_seeds_complete_at_every_confirmed_arm_count(engine: sa.Engine) -> None:
    found = analysis(engine)
    assert len(found.seeds) == 2
    assert len(found.confirmed) == 5
    frame = found.search.results.measurements
    for point in found.confirmed:
        rows = frame[
            (frame["arm"] == point.name)
            & frame["replicate"].isin([1, 2])
            & (frame["split"] == "valid")
            & (frame["epoch"] == 3)
        ]
        seen = found.search.figures(found.search.attempt(point.name))
        for k, task in enumerate(KEYS):
            fresh = rows[rows["task"] == task]["value"].to_numpy()
            assert point.fresh[k] == mean_interval(fresh)
            assert point.shrinkage[k].mean == pytest.approx(seen[k] - fresh.mean())
            assert point.test[k].mean == pytest.approx(fresh.mean() - 0.003)


def test_the_front_before_and_after(engine: sa.Engine) -> None:
    for name in ("search", "wide", "one task", "loss", "four", "seconds"):
        found = analysis(engine, name)
        ended = found.search.all_in("ended")
        on_front = brute_front([attempt.gains for attempt in ended])
        expected = {a.name for a, is_on in zip(ended, on_front, strict=True) if is_on}
        assert set(found.front) == expected
        means = [np.mean(point.points, axis=0).tolist() for point in found.confirmed]
        assert [point.on_front for point in found.confirmed] == brute_front(means)


def test_where_less_is_better_the_front_is_of_the_lowest(engine: sa.Engine) -> None:
    """Figures stay as they were measured, and only who is ahead is turned."""
    found = analysis(engine, "loss")
    assert [METRICS[target.metric].higher for target in found.search.targets] == [True, False]
    means = [(p.fresh[0].mean, -p.fresh[1].mean) for p in found.confirmed]
    assert [point.on_front for point in found.confirmed] == brute_front(means)
    assert all(0 < point.fresh[1].mean < 1 for point in found.confirmed)
    (by_loss,) = [p.name for p in found.picks if "best:long_view" in found.picked_by[p.name]]
    assert by_loss == min(found.confirmed, key=lambda point: point.fresh[1].mean).name


def test_one_objective_has_a_front_of_its_best(engine: sa.Engine) -> None:
    found = analysis(engine, "one task")
    best = max(found.search.all_in("ended"), key=lambda attempt: attempt.stands[0])
    assert found.front == (best.name,)
    assert found.band is None
    assert sum(point.probability for point in found.confirmed) == pytest.approx(1)
    assert [pick.name for pick in found.picks] == [found.confirmed[-1].name]


def test_an_arm_that_failed_on_a_fresh_seed_takes_no_seed_from_the_others(
    tmp_path: Path,
) -> None:
    """It is named, and is no confirmed point; so is what is new on the front."""
    engine, points = fresh_engine(tmp_path), paper_points(6)
    names = list(points)
    store_search(engine, points, confirmed=names[:4], seeds=5, broken=[(names[0], 2)])
    found = analysis(engine)
    assert len(found.seeds) == 5
    assert {point.name for point in found.confirmed} == set(names[1:4])
    report = outline.page(found)
    text = " ".join(report.notices)
    assert f"as a training on a fresh seed failed: {names[0]}. --retry-failed" in text
    sentences = [sentence for section in report.sections for sentence in section.sentences]
    assert not [s for s in sentences if "not trained again" in s and names[0] in s]
    new = [name for name in found.front if name not in names[:4]]
    assert new
    assert f"not trained again on fresh seeds: {words.listed(new)}: the same" in text
    # A seed that no arm finished is the seed's fault, not theirs.
    broken = [(name, 2) for name in names[:4]]
    store_search(engine, points, name="bad seed", confirmed=names[:4], seeds=5, broken=broken)
    found = analysis(engine, "bad seed")
    engine.dispose()
    assert {point.name for point in found.confirmed} == set(names[:4])
    assert len(found.seeds) == 4


def test_the_front_of_three_objectives_knows_the_cost(engine: sa.Engine) -> None:
    found = analysis(engine, "three")
    attempts = found.search.attempts
    points = [(*a.stands, -float(100_000 + 10_000 * a.config.expert_count)) for a in attempts]
    on_front = brute_front(points)
    expected = {a.name for a, is_on in zip(attempts, on_front, strict=True) if is_on}
    assert set(found.front) == expected
    assert len(found.growth.reference) == 3
    for point in found.confirmed:
        (cost,) = point.costs
        assert cost.mean == found.search.attempt(point.name).costs["params"]


def test_a_cost_that_the_end_tells_is_of_each_fresh_seed(engine: sa.Engine) -> None:
    """What a training took is measured anew on every seed."""
    found = analysis(engine, "seconds")
    assert [target.key for target in found.search.targets] == list(KEYS)
    runs = found.search.results.runs
    for point in found.confirmed:
        fresh = runs[(runs["arm"] == point.name) & (runs["replicate"] > 0)]["seconds"]
        assert point.costs == (mean_interval(fresh.to_numpy(float)),)
        assert [-seconds for _, seconds in point.points] == fresh.tolist()


def test_each_seed_tells_of_the_pick_that_the_others_choose(engine: sa.Engine) -> None:
    """On test, minus the paper's models, by brute force."""
    found = analysis(engine, "wide")
    scores, paired = found.search.fresh_sound.test, found.search.fresh_sound.valid.paired
    objectives = found.search.objectives
    changed = 0
    for pick in found.picks:
        assert [r.name for told in pick.told for r in told.rules]
        for told, rule in [(each, rule) for each in pick.told for rule in each.rules]:
            chosen = []
            for left_out in range(len(paired)):
                rows = [np.delete(np.array(p.points), left_out, axis=0) for p in found.confirmed]
                means_NM = np.array([points_RM.mean(axis=0) for points_RM in rows])
                gains = {o.key: means_NM[:, m] for m, o in enumerate(objectives)}
                names = tuple(point.name for point in found.confirmed)
                chosen.append(picked(rule, Candidates(names, means_NM, gains)))
            assert told.by_seed == tuple(chosen)
            changed += {*chosen} != {pick.name}
            assert [o for o, _ in told.differences] == [
                o for o in ("fsmd", "mmoe") if o != pick.name
            ]
            for other, estimates in told.differences:
                for key, estimate in zip(KEYS, estimates, strict=True):
                    of = scores.of(other, key)
                    gain_R = [scores.of(arm, key)[r] - of[r] for r, arm in enumerate(chosen)]
                    assert estimate.mean == pytest.approx(np.mean(gain_R))
                    assert estimate.n == len(paired)
                    assert estimate.se_test
    assert changed
    report = outline.page(found)
    assert "interval over seeds and the finite test set" in str(report.tables)
    assert f"of {len(paired)})" in str(report.tables)  # which point is told of by how many seeds


def test_what_a_seed_does_to_one_training_is_not_told_of_the_point_that_it_chose(
    tmp_path: Path,
) -> None:
    """A point that is ahead by one lucky seed is told of without that seed."""
    made, points = fresh_engine(tmp_path), paper_points(4)
    names = list(points)[:3]
    gone = [(names[0], 4), (names[1], 5)]  # so that no two share just the seeds that all have
    store_search(made, points, confirmed=names, seeds=5, rows=100, missing=gone)
    lucky = "replicate = 2 AND arm = :arm"
    curves.change(made, lambda m: m.value + 0.1 * (m.task == "click"), lucky, arm=names[2])
    found = analysis(made)
    made.dispose()
    (pick,) = [p for p in found.picks if "best:click" in [rule.name for rule in p.rules]]
    (told,) = [t for t in pick.told if "best:click" in [rule.name for rule in t.rules]]
    assert pick.name == names[2]
    assert told.by_seed[1] != names[2]
    of_all = found.search.fresh_sound.test.difference(names[2], names[0], "click").mean
    (told_of,) = [estimates[0] for other, estimates in told.differences if other == names[0]]
    assert told_of.mean < of_all - 0.015
    assert told_of.n == 3
    assert told_of.se_test  # as the table's caption says


def test_differences_of_picks_are_adjusted_together(engine: sa.Engine) -> None:
    picks = analysis(engine, "wide").picks
    p = [p_value(estimate) for estimate in estimates_of(picks)]
    assert len(p) > 4
    expected = {i for i, value in enumerate(holm(p)) if value is not None and value < 0.05}
    assert shown_to_differ(picks) == expected
    assert shown_to_differ(picks[:0]) == set()


def test_the_validation_rows_count_in_the_chance_of_the_front(engine: sa.Engine) -> None:
    """As their influences' products between seeds say; where no scores were kept, not."""
    assert all(point.with_rows for point in analysis(engine, "wide").confirmed)
    assert not any(point.with_rows for point in analysis(engine).confirmed)
    captions = {
        name: next(t.caption for t in outline.page(analysis(engine, name)).tables)
        for name in ("wide", "search")
    }
    texts = {name: str(outline.page(analysis(engine, name)).tables) for name in captions}
    assert "over the seeds and the finite validation rows" in texts["wide"]
    assert "over the seeds alone" in texts["search"]
    search_of = search(engine, "wide")
    arms = ("#20", "fsmd")
    fresh = search_of.fresh_sound
    part = rows_part(fresh, arms, fresh.valid.paired, "valid")
    same = rows_part(fresh, arms, fresh.valid.paired, "test")
    assert part is not None
    assert same is not None  # made-up rows of both splits are the same
    assert part.covariance_AKAK == pytest.approx(same.covariance_AKAK)


def test_a_stopped_training_that_was_confirmed_has_no_shrinkage(engine: sa.Engine) -> None:
    (point,) = analysis(engine, "again").confirmed
    assert (point.name, point.searched, point.shrinkage) == ("#3", (), ())


def test_a_rule_of_ones_own_is_applied_too(engine: sa.Engine) -> None:
    found = analyse_search(search(engine), ("weights:1,0",))
    assert any("weights:1,0" in rules for rules in found.picked_by.values())


def test_the_most_epochs_are_the_searchs(engine: sa.Engine) -> None:
    assert search(engine).most_epochs == 6


def test_a_confirmed_points_region_is_hotellings() -> None:
    """Its border is where T squared reaches its quantile, 2 (n - 1) / (n - 2) F(2, n - 2)."""
    values_R2 = np.array([0.7, 0.8]) + 0.01 * RNG.normal(size=(8, 2)) @ [[1, 0.4], [0, 0.5]]
    region = joint_region(values_R2)
    assert region is not None
    assert region.centre == pytest.approx(values_R2.mean(axis=0))
    turn = np.radians(region.angle)
    axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    spread = np.linalg.inv(np.cov(values_R2.T) / 8)
    border = 2 * 7 / 6 * scipy.stats.f.ppf(0.95, 2, 6)
    for axis, half in zip(axes, region.semi_axes, strict=True):
        away = half * axis
        assert away @ spread @ away == pytest.approx(border, rel=0.02)
    assert joint_region(values_R2[:3]) is None


# ------------------------------------------------------------------------------------------
# Importance of axes
# ------------------------------------------------------------------------------------------


def test_shuffled_targets_show_what_chance_reaches(engine: sa.Engine) -> None:
    found = analysis(engine, "wide").importance
    assert not found.exact
    assert found.targets == (*KEYS, axis_importance.FRONT)
    for target in found.targets:
        shares = [found.shares[target, axis].share for axis in found.axes]
        assert sum(shares) == pytest.approx(1)
    assert len({(s.by_chance, axis) for (_, axis), s in found.shares.items()}) == len(found.axes)


@pytest.mark.usefixtures("few_shuffles")
def test_stopped_trainings_count_as_not_among_the_best(engine: sa.Engine) -> None:
    """Whatever they showed when they were stopped; with them there is enough to tell."""
    whole = search(engine, "wide")
    order = sorted(whole.attempts, key=lambda attempt: np.mean(attempt.stands))
    worst = [attempt.name for attempt in order[: len(order) // 2]]

    def stopped_at(value: float) -> SearchResults:
        curve = ((value, value),)
        return replace(
            whole,
            attempts=tuple(
                replace(a, state=AttemptState.STOPPED, curve=curve) if a.name in worst else a
                for a in whole.attempts
            ),
        )

    found = axis_importance.importance(stopped_at(0.4))
    assert found.trainings == len(whole.attempts)
    assert found.shares
    assert found == axis_importance.importance(stopped_at(0.9))
    few = replace(
        whole,
        attempts=tuple(
            replace(a, state=AttemptState.STOPPED) if n > 3 else a
            for n, a in enumerate(whole.attempts)
        ),
    )
    assert not axis_importance.importance(few).shares


@pytest.fixture
def few_shuffles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(axis_importance, "SHUFFLES", 2)


def test_of_a_factorial_the_effects_are_exact(engine: sa.Engine) -> None:
    whole = search(engine, "grid")
    found = axis_importance.importance(whole)
    assert (found.exact, found.axes) == (True, ("gate_depth", "expert_count"))
    frame = pd.DataFrame([{**a.params, anova.VALUE: a.stands[1]} for a in whole.attempts])
    expected = anova.main_effects(frame)
    for axis in ("gate_depth", "expert_count"):
        assert found.shares["long_view", axis] == expected[axis]
    assert found.shares["click", "gate_depth"].share > 0.5


# ------------------------------------------------------------------------------------------
# The page
# ------------------------------------------------------------------------------------------


def undrawn(report: Report) -> Report:
    """With blank figures: drawing them takes longer than all the rest."""
    sections = tuple(
        replace(
            section,
            figures=tuple(
                replace(figure, drawing=lambda _: Figure(figsize=(1, 1)))
                for figure in section.figures
            ),
        )
        for section in report.sections
    )
    return replace(report, sections=sections)


@pytest.fixture(scope="module")
def pages(engine: sa.Engine) -> Mapping[str, str]:
    return {name: html(undrawn(outline.page(analysis(engine, name)))) for name in NAMES + SEVERAL}


def test_the_page_says_what_was_tried_and_found(pages: Mapping[str, str]) -> None:
    text = words_of(pages["search"])
    for sentence in (
        "12 configurations of the space paper, 8 trained to the end, 3 stopped early, 1 failed",
        "Over 2 fresh seeds the front of 5 confirmed points is",
        "1 fresh seed left out",
        "Better on the search's seed than on fresh ones, on average over its front:",
        "Nothing can be said yet. There are 2 complete fresh seeds.",
        ", to paste: FSMDConfig(expert_count=",
        "11 trainings ended or were stopped: below 20",
        "looks better than it is (the winner's curse)",
        "#12, replicate 0, seed 514591061: failed after 1 attempt",
        "--space paper --objectives tasks",
        "--epochs 6",
    ):
        assert sentence in text, sentence
    assert "<script>" not in pages["search"].partition("<main")[2].partition("</main>")[0]


def test_what_decides_stands_open_and_short_and_folding_loses_no_table(
    engine: sa.Engine, pages: Mapping[str, str]
) -> None:
    for name, page in pages.items():
        report = outline.page(analysis(engine, name))
        shown = open_part(page)
        body, text = shown[shown.index("<body") :], words_of(shown)
        words = len(words_of(body).split())
        assert words < (1100 if name in ("wide", "four") else 900), name  # many axes, objectives
        assert page.count("<table") == len(report.tables)
        assert body.count("<figure") == len(report.figures)
        for said in (report.answer.use, *report.answer.sentences, *report.notices):
            assert " ".join(said.split()) in text
        assert "<table" in body or not analysis(engine, name).front


def test_without_confirmation_the_page_says_whose_front_it_is(pages: Mapping[str, str]) -> None:
    text = words_of(pages["plain"])
    assert "Nothing can be said yet. The front is what the search saw, on one seed" in text
    assert "1 training not finished" in text
    assert "Picked on validation, by what the search saw" in text
    assert "P(front)" not in text


def test_where_all_failed_the_page_shows_why(pages: Mapping[str, str]) -> None:
    text = words_of(pages["broken"])
    assert "3 failed" in text
    assert text.count("RuntimeError: <script>") == 2
    assert "lost after 1 attempt; will be tried again" in text
    assert "<figure" not in pages["broken"]


def test_what_matters_is_told_from_twenty_trainings_on(pages: Mapping[str, str]) -> None:
    for name, shown in (("wide", True), ("grid", True), ("search", False)):
        assert ('data-key="importance"' in pages[name]) == shown
    assert "PED-ANOVA" in words_of(pages["wide"])
    assert "Importance is exact" in words_of(pages["grid"])


def test_every_drawing_is_titled_and_nothing_is_loaded(pages: Mapping[str, str]) -> None:
    for page in pages.values():
        drawings = re.findall(r"<svg[^>]*>", page)
        assert all('role="img"' in d or 'aria-hidden="true"' in d for d in drawings)
        assert not re.search(r'(src|href)="(?!#)', page)
        ids = re.findall(r'\bid="([^"]+)"', page)
        assert len(ids) == len(set(ids))


def test_with_one_task_there_is_no_word_of_two(pages: Mapping[str, str]) -> None:
    text = words_of(pages["one task"])
    assert "task click" in text
    assert 'data-key="ranking"' in pages["one task"]
    for word in ("long_view", "both tasks", "knee", "floor:", "the mean of", "Ellipse", "Band:"):
        assert word not in text


def test_where_less_is_better_the_page_says_so(pages: Mapping[str, str]) -> None:
    text = words_of(pages["loss"])
    for sentence in (
        "Of log loss less is better.",
        "validation log loss, long_view",
        "best:long_view: the lowest log loss on long_view",
        "validation log loss on long_view (minimised)",
        "An axis on which less is better is reversed",
    ):
        assert sentence in text, sentence
    assert "less is better" not in words_of(pages["search"])


def test_of_four_objectives_each_pair_is_shown(pages: Mapping[str, str]) -> None:
    text = words_of(pages["four"])
    assert "Each pair of" in text
    assert "ms per 1,000 rows" in text
    assert "The search is for a cost too, ms per 1,000 rows (less is better)" in text
    assert "Each pair of" in words_of(pages["three"])


def test_a_search_for_costs_alone_says_so_and_picks_by_them(
    engine: sa.Engine, pages: Mapping[str, str]
) -> None:
    cost = words_of(pages["cost"])
    assert "The search is for a cost alone, parameters (less" in cost
    assert "fresh seeds the best of" in cost
    assert "P(front)" not in cost
    assert "The search is for costs alone, parameters (less" in words_of(pages["costs"])
    (pick,) = analysis(engine, "cost").picks
    assert pick.name in analysis(engine, "cost").fresh_front
    assert [rule.name for rule in pick.rules] == ["best:params"]


def test_no_interval_of_a_cost_goes_below_zero(engine: sa.Engine, tmp_path: Path) -> None:
    made, points = fresh_engine(tmp_path), paper_points(4)
    again = list(points)[:2]
    store_search(made, points, objectives=("mean", "seconds"), confirmed=again, seeds=2)
    with made.begin() as connection:  # one replicate takes a hundred times as long as the other
        cells = "SELECT run_id FROM fsmd_cells WHERE replicate = 1"
        connection.execute(
            sa.text(f"UPDATE fsmd_runs SET seconds = 100 * seconds WHERE id IN ({cells})")
        )
    found = analysis(made)
    made.dispose()
    assert [point.costs[0].low for point in found.confirmed] == [0.0] * 2


def test_a_single_seed_has_no_interval_and_no_word_of_one(tmp_path: Path) -> None:
    made, points = fresh_engine(tmp_path), paper_points(4)
    store_search(made, points, confirmed=list(points)[:3], seeds=1)
    tables = {table.key: table.caption for table in outline.page(analysis(made)).tables}
    made.dispose()
    assert "One seed has no interval. It tells of what it chose" in tables["differences"]
    assert "95 %" not in tables["differences"]


def test_a_report_says_how_the_search_was_run_and_how_to_go_on(engine: sa.Engine) -> None:
    found = analysis(engine, "wide")
    facts = str(outline.page(found).facts)
    told = "sampler tpe, pruner halving, trials 20, confirm 3 and baselines constant, logistic"
    assert f"{told}, trees; then sampler gp" in facts
    asked = ran.run_command(found.search.results)
    options = parser().parse_args(shlex.split(asked)[3:])
    assert (options.sampler, options.space, options.trials) == ("gp", "architecture", 40)


# ------------------------------------------------------------------------------------------
# Files and the command line
# ------------------------------------------------------------------------------------------


def test_the_configurations_to_paste_are_the_picked_ones(engine: sa.Engine) -> None:
    found = analysis(engine, "wide")
    summary = json.loads(json.dumps(outline.summary(found)))
    blocks = [b.value for section in outline.page(found).sections for b in section.blocks]
    *blocks, export = blocks
    assert export == "python -m studies.export wide --pick 'arm:#25' --out model/"
    assert [pick["level"] for pick in summary["picks"]] == [pick.name for pick in found.picks]
    for chosen in summary["picks"]:
        config = found.search.attempt(chosen["level"]).config
        assert FSMDConfig.from_dict(chosen["config"]) == config
        (pasted,) = (b for b in blocks if eval(b, {"FSMDConfig": FSMDConfig}) == config)
        assert set(own_fields(config, found.search.space.axes)) == set(chosen["config"])
        assert all(f"{field}=" in pasted for field in chosen["config"])


def test_summary_json_has_its_schema(engine: sa.Engine) -> None:
    for name in NAMES + SEVERAL:
        found = analysis(engine, name)
        summary = json.loads(json.dumps(outline.summary(found), allow_nan=False))
        assert set(summary) == {
            *("study", "data", "space", "answer", "configurations", "tried", "front", "seeds"),
            *("confirmed", "shrinkage", "picks", "epochs", "hypervolume"),
        }
        assert len(summary["tried"]) == sum(summary["configurations"].values())
        tasks_ = list(found.search.results.task_names)
        for confirmed in summary["confirmed"]:
            assert list(confirmed["valid"]) == list(confirmed["test"]) == tasks_
    loss = analysis(engine, "loss")
    reference = outline.summary(loss)["hypervolume"]["reference"]
    assert reference == [loss.growth.reference[0], -loss.growth.reference[1]]  # as measured
    again = outline.summary(analysis(engine, "again"))
    assert [(c["level"], c["searched"]) for c in again["confirmed"]] == [("#3", {})]


def test_the_command_builds_a_search(
    engine: sa.Engine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--storage", str(engine.url), "--out", str(tmp_path)]
    assert command.main(["again", *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("On planted, tasks click and long_view: 3 configurations")
    assert lines[-1] == f"Report: {tmp_path / 'again' / 'report.html'}"
    assert command.main(["begun", *arguments]) == 2
    assert "no finished training yet" in capsys.readouterr().err
    assert command.main(["search", "--pick", "best:like", *arguments]) == 2
    assert "There are knee, best:click" in capsys.readouterr().err
    measured = pd.read_csv(tmp_path / "again" / "results.csv")
    assert len(measured) == len(search(engine, "again").results.measurements)
    figures = {path.name for path in (tmp_path / "again" / "figures").iterdir()}
    assert figures == {
        f"{figure.key}.{kind}"
        for figure in outline.page(analysis(engine, "again")).figures
        for kind in ("svg", "pdf")
    }


def test_every_search_with_an_end_has_a_report_and_the_list_has_all(tmp_path: Path) -> None:
    engine, points = fresh_engine(tmp_path), paper_points(2)
    store_search(engine, points, name="begun", stopped=list(points))
    store_search(engine, points, name="broken", failed=list(points))
    build_all(engine, tmp_path / "out")
    engine.dispose()
    assert [p.parent.name for p in (tmp_path / "out").glob("*/report.html")] == ["broken"]
    assert (tmp_path / "out" / "broken" / "report.pdf").read_bytes().startswith(b"%PDF-")
    index = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert index.count("A made-up search") == 2
    assert "has no finished training yet" in index
    assert 'href="broken/report.html"' in index


def test_the_list_of_all_has_what_a_search_asked_and_found(engine: sa.Engine) -> None:
    found = analysis(engine)
    entry = outline.entry(found)
    assert (entry.study, entry.title) == ("search", "A made-up search")
    assert entry.replicates == 2
    assert entry.headline == outline.headline(found)
    assert entry.answer == outline.answer(found) == outline.page(found).answer
    assert outline.lines(found)[0] == entry.headline
    assert outline.lines(found)[1:][: len(entry.answer.lines)] == entry.answer.lines
