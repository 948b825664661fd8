"""Fronts, volumes and what seeds say of them, against brute force."""

import math
from collections.abc import Sequence
from itertools import combinations, pairwise, product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd.stats.estimates import mean_interval
from fsmd.stats.pareto import (
    Point,
    attained,
    below_worst,
    best_first,
    epochs_spent,
    growth,
    highest,
    hypervolume,
    knee_score,
    mean_shrinkage,
    on_front,
    shrinkage,
)

RNG = np.random.default_rng(7)
GRID = st.integers(0, 6).map(lambda n: n / 8)
"""Exact in floating point, with ties."""


def several(objectives: int, most: int = 12) -> st.SearchStrategy[list[Point]]:
    return st.lists(st.tuples(*[GRID] * objectives), min_size=1, max_size=most)


POINTS = st.sampled_from([1, 2, 3]).flatmap(several)


def dominates(a: Sequence[float], b: Sequence[float]) -> bool:
    return all(x >= y for x, y in zip(a, b, strict=True)) and tuple(a) != tuple(b)


def brute_front(points: Sequence[Sequence[float]]) -> list[bool]:
    return [not any(dominates(other, point) for other in points) for point in points]


def naive_ranks(points: Sequence[Point]) -> list[int]:
    """Peel off one front after the other."""
    rank, left, n = [0] * len(points), set(range(len(points))), 0
    while left:
        front = {i for i in left if not any(dominates(points[j], points[i]) for j in left)}
        for i in front:
            rank[i] = n
        left, n = left - front, n + 1
    return rank


def naive_volume(points: Sequence[Point], reference: Sequence[float]) -> float:
    """Inclusion and exclusion over all subsets."""
    total = 0.0
    for size in range(1, len(points) + 1):
        for subset in combinations(points, size):
            sides = [max(0.0, min(p) - r) for *p, r in zip(*subset, reference, strict=True)]
            total += (-1) ** (size + 1) * math.prod(sides)
    return total


# Points


@given(st.sampled_from([1, 2, 3]).flatmap(lambda m: several(m, 7)))
@settings(deadline=None)
def test_hypervolume_is_that_of_the_union_of_boxes(points: list[Point]) -> None:
    reference = (0.125,) * len(points[0])
    assert hypervolume(points, reference) == pytest.approx(naive_volume(points, reference))


def test_a_front_below_the_reference_has_no_volume() -> None:
    assert hypervolume([(0.1, 0.9)], (0.2, 0.2)) == 0
    assert hypervolume([], (0.2, 0.2)) == 0


@given(POINTS)
def test_the_front_is_what_nobody_dominates(points: list[Point]) -> None:
    assert on_front(points).tolist() == brute_front(points)


@given(POINTS, st.sampled_from([0.125, 0.25]))
def test_with_slack_only_a_clearly_better_point_takes_one_off_the_front(
    points: list[Point], slack: float
) -> None:
    want = [
        not any(all(b > a + slack for a, b in zip(p, q, strict=True)) for q in points)
        for p in points
    ]
    assert on_front(points, slack).tolist() == want


@given(POINTS)
def test_order_is_by_rank_and_then_by_share_of_the_ranks_volume(points: list[Point]) -> None:
    order, ranks = best_first(points), naive_ranks(points)
    assert sorted(order) == list(range(len(points)))
    assert [ranks[i] for i in order] == sorted(ranks)
    columns = list(zip(*points, strict=True))
    worst = tuple(min(x) - 0.1 * (max(x) - min(x) or 1.0) for x in columns)
    assert below_worst(points) == pytest.approx(worst)
    for rank in set(ranks):
        peers = [i for i in order if ranks[i] == rank]
        whole = hypervolume([points[i] for i in peers], worst)
        shares = [whole - hypervolume([points[j] for j in peers if j != i], worst) for i in peers]
        assert all(a >= b - 1e-9 for a, b in pairwise(shares))


def test_without_points_there_is_no_front_and_no_order() -> None:
    assert on_front(np.empty((0, 2))).tolist() == []
    assert best_first(np.empty((0, 2))) == []


UNIQUE = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=12, unique=True
)


@settings(max_examples=60, deadline=None)
@given(UNIQUE)
def test_the_knee_is_farthest_above_the_line_through_the_ends(drawn: list[Any]) -> None:
    points_NM = np.array(drawn, float) / 20
    on = [i for i, is_on in enumerate(brute_front(drawn)) if is_on]
    low, high = points_NM[on].min(axis=0), points_NM[on].max(axis=0)
    found = highest(knee_score(points_NM), points_NM)
    assert found in on
    if len(on) > 2:
        scaled = (points_NM - low) / (high - low)
        distance = {i: float(scaled[i].sum() - 1) / math.sqrt(2) for i in on}
        assert distance[found] == pytest.approx(max(distance.values()))


@settings(max_examples=60, deadline=None)
@given(UNIQUE)
def test_the_highest_of_any_score_that_rises_is_on_the_front(drawn: list[Any]) -> None:
    points_NM = np.array(drawn, float) / 4000
    x, y = points_NM.T
    for score_N in (x, y, 0.7 * x + 0.3 * y):
        found = highest(score_N, points_NM)
        assert score_N[found] == pytest.approx(score_N.max())
        assert brute_front(drawn)[found]


# Points of several seeds


def test_shrinkage_is_the_searched_value_minus_each_fresh_one() -> None:
    fresh_RK = RNG.normal(size=(5, 3))
    found = shrinkage(np.array([1.0, 2.0, 3.0]), fresh_RK)
    assert found == tuple(mean_interval(k + 1.0 - fresh_RK[:, k]) for k in range(3))


def test_mean_shrinkage_averages_over_points_within_each_seed() -> None:
    searched_AK, fresh_ARK = RNG.normal(size=(3, 2)), RNG.normal(size=(3, 4, 2))
    found = mean_shrinkage(searched_AK, fresh_ARK)
    for k in range(2):
        by_seed = [
            np.mean([searched_AK[i, k] - fresh_ARK[i, r, k] for i in range(3)]) for r in range(4)
        ]
        expected = mean_interval(by_seed)
        assert found[k].mean == pytest.approx(expected.mean)
        assert found[k].low == pytest.approx(expected.low)


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
def test_the_band_runs_from_what_all_seeds_attain_to_what_one_does(seeds: int) -> None:
    points_AR2 = RNG.integers(0, 8, size=(4, seeds, 2)).astype(float)
    band = attained(points_AR2)
    for i, x in enumerate(band.x):
        for y in range(8):
            reached = [
                any(px >= x and py >= y for px, py in points_AR2[:, r]) for r in range(seeds)
            ]
            assert (band.by_half[i] >= y) == (2 * sum(reached) >= seeds)
            assert (band.by_all[i] >= y) == all(reached)
            assert (band.by_one[i] >= y) == any(reached)


# What was spent


@pytest.mark.parametrize("objectives", [1, 2, 3])
def test_the_front_grows_by_what_ended_so_far_dominates(objectives: int) -> None:
    drawn = [tuple(p) for p in RNG.integers(0, 12, size=(9, objectives)).astype(float).tolist()]
    points = [None if i % 4 == 2 else p for i, p in enumerate(drawn)]
    found = growth(range(1, 10), points)
    ended = [p for p in points if p]
    columns = list(zip(*ended, strict=True))
    below = tuple(min(x) - (max(x) - min(x)) / 10 for x in columns)
    assert found.reference == pytest.approx(below)
    grids = [pairwise([low, *sorted(set(x))]) for low, x in zip(below, columns, strict=True)]
    boxes = list(product(*grids))
    for i in range(len(points)):
        seen = [p for p in points[: i + 1] if p]
        volume = sum(
            math.prod(high - low for low, high in box)
            for box in boxes
            if any(all(x >= high for x, (_, high) in zip(p, box, strict=True)) for p in seen)
        )
        assert found.volumes[i] == pytest.approx(volume)
        assert found.epochs[i] == sum(range(1, i + 2))


def test_where_nothing_ended_nothing_grew() -> None:
    found = growth([2, 3], [None, None])
    assert found == ((2, 5), (0.0, 0.0), ())


def test_the_account_of_epochs() -> None:
    found = epochs_spent([4, 6, 5], [1, 2, 5], [3], most=6)
    assert (found.ended, found.stopped, found.other, found.total) == (15, 8, 3, 26)
    assert (found.saved_at_most, found.saved_fairly, found.saved_by_patience) == (10, 7, 3)
    nothing = epochs_spent([], [1], [], most=6)
    assert (nothing.saved_fairly, nothing.typical) == (None, None)
    assert epochs_spent([4, 5], [1], [], most=6).typical == 4
