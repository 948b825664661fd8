"""Looks share the error: none is told wrong more often than in one study of twenty, over all."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from fsmd.errors import UserError
from fsmd.stats.estimates import ALPHA, Estimate, Kind, mean_interval, p_value
from fsmd.stats.looks import PlannedLook, ahead, due, level, needed_at, seeds_may_show
from fsmd.stats.power import Needed
from fsmd.stats.scatter import scatters
from studies.definition import LOOKS, check_looks
from tests.bench_looks import LOOKS as SIMULATED
from tests.bench_looks import (
    MIXED_WORLD,
    POLICIES,
    WORLDS,
    World,
    equal_seeds,
    error_of,
    found,
    holm,
    judge,
    learnt,
    p_values,
)

DRAWS = 1000
FEW = 200
CHANCE = 3 * (ALPHA * (1 - ALPHA) / DRAWS) ** 0.5
"""By how much a simulated error of 5 % may lie above it."""
rising = st.sets(st.integers(2, 60), min_size=1).map(lambda seeds: tuple(sorted(seeds)))


def test_error_is_spent_by_the_square_root_of_the_seeds_part() -> None:
    assert LOOKS == SIMULATED
    looks = ahead(0, LOOKS)
    assert [look.seeds for look in looks] == [5, 10, 20, 40]
    spent = np.cumsum([look.alpha for look in looks])
    assert spent == pytest.approx([ALPHA / 8**0.5, ALPHA / 2, ALPHA / 2**0.5, ALPHA])


def test_one_stated_look_has_all_of_the_error() -> None:
    assert ahead(0, (5,)) == (PlannedLook(5, ALPHA),)


@given(rising, st.sets(st.integers(2, 80)))
def test_whatever_is_looked_at_beside_the_stated_looks_the_levels_add_up_to_five_percent(
    stated: tuple[int, ...], others: set[int]
) -> None:
    made: list[int] = []
    for asked in sorted(others):
        made += due(stated, made, asked)
    made += due(stated, made, max(stated[-1], *made, 0)) if made else due(stated, (), stated[-1])
    assert set(stated) <= set(made)
    levels = [level(n, before, stated) for before, n in pairwise([0, *made])]
    assert sum(levels) == pytest.approx(ALPHA)
    assert all((of > 0) == (n <= stated[-1]) for of, n in zip(levels, made, strict=True))


@given(rising, st.integers(1, 80))
def test_fewer_seeds_than_were_looked_at_are_no_look(stated: tuple[int, ...], asked: int) -> None:
    assert due(stated, stated, min(asked, stated[-1])) == ()


@pytest.mark.parametrize("wrong", [(), (1, 5), (5, 5), (10, 5), (5, 2000)], ids=str)
def test_looks_rise_from_two_seeds_on(wrong: tuple[int, ...]) -> None:
    with pytest.raises(UserError, match="looks must be numbers of seeds from 2 to 1,000"):
        check_looks(wrong)


# By simulation


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(w, id=w.name, marks=[] if w == WORLDS[0] else [pytest.mark.slow])
        for w in WORLDS
    ],
)
def test_over_all_looks_false_verdicts_are_as_rare_as_promised(world: World) -> None:
    for way in ("all", "auto"):
        assert found(world, way, DRAWS if world != WORLDS[0] else FEW).error <= ALPHA + CHANCE, way


def test_seeds_where_verdicts_are_open_decide_as_much_as_seeds_for_all_and_are_fewer() -> None:
    auto, every = (found(MIXED_WORLD, way, FEW // 5) for way in ("auto", "all"))
    assert auto.power > every.power - 0.02
    assert auto.seeds < 0.7 * every.seeds
    assert auto.power > 0.88
    assert equal_seeds(auto.power, FEW // 5) > 1.1 * auto.seeds


def test_where_the_test_set_is_the_limit_no_seed_is_spent_on_it() -> None:
    rng, rows = np.random.default_rng(5), 0.5
    seeds_DAN = 0.05 * rng.standard_normal((200, 9, SIMULATED[-1]))
    drawn_DAN = 0.6 + rows * rng.standard_normal((200, 9, 1)) + seeds_DAN
    judged = judge(drawn_DAN, rows, "auto")
    shown = -special.ndtri(ALPHA / 4) * rows  # from there on, by infinitely many seeds
    hopeless_DA = np.abs(drawn_DAN.mean(axis=2)) < shown - 4 * 0.05
    assert hopeless_DA.mean() > 0.6
    assert not (judged.differs_DA | judged.equal_DA)[hopeless_DA].any()
    assert (judged.seeds_DA[hopeless_DA] == SIMULATED[0]).all()


@pytest.mark.parametrize("policy", POLICIES)
def test_looks_that_nobody_stated_leave_the_error_where_it_was(policy: str) -> None:
    draws = 20 * DRAWS
    allowed = ALPHA + 3 * (ALPHA / draws) ** 0.5
    assert 0.005 < error_of(POLICIES[policy], draws) <= allowed


def test_the_simulation_tests_as_reports_do() -> None:
    rng = np.random.default_rng(3)
    x_DAN = rng.standard_normal((4, 5, 7))
    has_DA = np.array([[True] * 5, [True, False, True, True, True]] * 2)
    scatter = learnt(x_DAN, has_DA)
    mean_DA, se_DA = 1 + x_DAN.mean(axis=2), np.sqrt(scatter.variance_O / 7)
    for rows in (0.0, 0.4):
        p_DA = p_values(np.abs(mean_DA), se_DA, rows, scatter.df_O, 6, 2)
        for d, a in np.argwhere(has_DA).tolist():
            values_AN = np.vstack([np.zeros(7), x_DAN[d, has_DA[d]]])
            of = scatters(values_AN, 0).of(int(has_DA[d, :a].sum()))
            told = p_value(mean_interval(1 + x_DAN[d, a], rows**2 if rows else None, scatter=of))
            assert p_DA[d, a] == pytest.approx(told, rel=0.01)
    assert holm(np.array([[0.01, 0.04, 0.03]])).tolist() == [[0.03, 0.06, 0.06]]


# What the next look would decide


def estimate(mean: float, seeds: float, rows: float | None, n: int = 5) -> Estimate:
    return Estimate(mean, mean - 1, mean + 1, n, seeds, rows)


def test_the_first_look_that_probably_decides_is_told() -> None:
    to_come = ahead(5, LOOKS)
    clear, small = estimate(3.0, 0.9, 0.0), estimate(1.1, 0.9, 0.0)
    assert needed_at(clear, 0.1, (1, 1), to_come) == Needed(10, at_least=True)
    assert needed_at(small, 0.1, (1, 1), to_come).seeds == 40
    assert needed_at(small, 0.1, (27, 27), to_come) == Needed(None, "last look")
    assert needed_at(estimate(1.0, 0.1, 2.0), 0.1, (1, 1), to_come) == Needed(None, "test set")
    unknown = Estimate(1.0, None, None, 1)
    assert needed_at(unknown, 0.1, (1, 1), to_come) == Needed(None, "too few replicates")
    assert needed_at(clear, 0.1, (1, 1), ()).seeds is None


@given(
    st.floats(-3, 3),
    st.floats(0.01, 2),
    st.floats(0.01, 2),
    st.sampled_from(["differs", "above", "below", "within", "beyond"]),
    st.floats(0, 2),
)
def test_what_no_seed_would_show_is_not_shown_now(
    mean: float, seeds: float, rows: float, kind: Kind, bound: float
) -> None:
    e = estimate(mean, seeds, rows)
    if not seeds_may_show(e, kind, 0.0 if kind == "differs" else bound, 0.01):
        p = p_value(e, kind, 0.0 if kind == "differs" else bound)
        assert p is not None
        assert p > 0.01


def test_what_other_arms_tell_of_the_scatter_counts_for_the_next_look() -> None:
    own = estimate(3.3, 0.9, 0.0)
    learnt = own._replace(df=40.0)
    assert needed_at(own, 0.1, (9, 9), ahead(5, LOOKS)).seeds == 20
    assert needed_at(learnt, 0.1, (9, 9), ahead(5, LOOKS)).seeds == 10


@pytest.mark.parametrize(("seeds", "may"), [(1, True), (2, True), (3, False), (5, False)])
def test_what_is_the_same_on_every_seed_needs_no_more_of_them(seeds: int, may: bool) -> None:
    assert seeds_may_show(Estimate(0.1, None, None, seeds), "differs", 0.0, 0.01) is may


def test_with_an_exact_test_set_seeds_may_show_anything() -> None:
    assert seeds_may_show(estimate(0.0, 0.1, None), "above", 1.0, 0.01)
    assert not seeds_may_show(Estimate(float("nan"), None, None, 0), "differs", 0.0, 0.01)
