"""Replicates needed and differences found, against simulated studies and the noncentral t."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.power import TTestPower

from fsmd.stats.estimates import Estimate, mean_interval, p_value
from fsmd.stats.power import (
    MOST_REPLICATES,
    Needed,
    chance_to_decide,
    detectable,
    replicates_needed,
    rows_needed,
)

MARGIN = 0.001


def undecided(mean: float, sd: float, n: int, by_rows: float = 0.0) -> Estimate:
    unit = stats.zscore(np.arange(n), ddof=1)
    return mean_interval(mean + sd * unit, by_rows)


@pytest.mark.parametrize("by_rows", [0.0, 1e-8])
@pytest.mark.parametrize(("mean", "sd"), [(0.0006, 0.001), (0.002, 0.003), (0.0001, 0.0015)])
def test_so_many_replicates_decide_in_four_of_five_cases(
    mean: float, sd: float, by_rows: float
) -> None:
    """Against new seeds on the same rows, were the estimates the truth."""
    needed = replicates_needed(undecided(mean, sd, 5, by_rows), MARGIN, (9, 6)).seeds
    assert needed is not None
    rng, size = np.random.default_rng(13), 700

    def decided(n: int) -> float:
        count = 0
        for values in rng.normal(mean, sd, (size, n)):
            estimate = Estimate(
                float(values.mean()), None, None, n, float(stats.sem(values)), by_rows**0.5
            )
            differ, equal = p_value(estimate), p_value(estimate, "within", MARGIN)
            count += (differ or 0) < 0.05 / 9 or (equal or 0) < 0.05 / 6
        return count / size

    error = (0.8 * 0.2 / size) ** 0.5
    assert decided(needed) > 0.8 - 3 * error
    assert decided(needed - 2) < 0.8 + 3 * error


@pytest.mark.parametrize("by_test", [None, 1e-7])
def test_turned_round_a_difference_needs_as_many_seeds(by_test: float | None) -> None:
    values = np.random.default_rng(9).normal(0.0006, 0.001, size=6)
    one, other = mean_interval(values, by_test), mean_interval(-values, by_test)
    assert replicates_needed(one, MARGIN) == replicates_needed(other, MARGIN)


@pytest.mark.parametrize("mean", [0.0002, -0.0007, 0.0015])
def test_so_many_times_the_rows_decide_with_enough_seeds_and_fewer_never(mean: float) -> None:
    """A small difference is shown to be small, a larger one to be there."""
    estimate = undecided(mean, 0.001, 5, by_rows=0.001**2)

    def is_limit(times: float) -> bool:
        larger = estimate._replace(se_test=0.001 / times**0.5)
        return replicates_needed(larger, MARGIN).obstacle == "test set"

    times = rows_needed(estimate, MARGIN)
    assert times > 1
    assert is_limit(0.99 * times)
    assert not is_limit(1.01 * times)


@pytest.mark.parametrize("n", [3, 5, 10])
def test_over_seeds_alone_the_smallest_difference_found_is_that_of_the_noncentral_t(
    n: int,
) -> None:
    expected = 0.002 * TTestPower().solve_power(nobs=n, alpha=0.05 / 27, power=0.8)
    assert detectable(0.002, 0.0, n, 0.05 / 27) == pytest.approx(expected, rel=2e-3)


def test_over_both_sources_the_smallest_difference_is_found_in_four_of_five_studies() -> None:
    rng, size, n, rows = np.random.default_rng(14), 1500, 5, 0.0008
    true = detectable(0.001, rows, n, 0.01)
    found = 0
    for values in rng.normal(true, 0.001, (size, n)) + rng.normal(0, rows, (size, 1)):
        found += (p_value(mean_interval(values, rows**2)) or 0) < 0.01
    assert found / size == pytest.approx(0.8, abs=3 * (0.8 * 0.2 / size) ** 0.5)


def test_of_ever_more_seeds_the_chance_is_that_of_the_rows_alone() -> None:
    for mean in (0.0002, 0.0009, 0.004):
        sure, many = (
            chance_to_decide(mean, 0.001, 0.0003, n=n, margin=MARGIN, alphas=(0.05, 0.05))
            for n in (float("inf"), 1e7)
        )
        assert many == pytest.approx(sure, abs=1e-3)


def test_a_test_sets_part_that_came_out_as_zero_is_not_known_to_be_zero() -> None:
    assert replicates_needed(undecided(0.0006, 0.001, 5, 0.0), MARGIN).at_least
    assert not replicates_needed(undecided(0.0006, 0.001, 5, 1e-9), MARGIN).at_least


def test_why_no_number_of_replicates_would_do() -> None:
    rows = undecided(0.002, 0.001, 5, 0.002**2)
    assert replicates_needed(rows, MARGIN) == Needed(None, "test set")
    far = undecided(0.00099, 0.05, 5)
    assert replicates_needed(far, MARGIN) == Needed(None, "too many replicates")
    alone = mean_interval([0.1])
    assert replicates_needed(alone, MARGIN) == Needed(None, "too few replicates")
    assert MOST_REPLICATES == 1000
