"""What several data sets tell of another one."""

import numpy as np
import pytest
from scipy import stats

from fsmd.stats.across import MeanRank, mean_ranks, normal_error, pooled
from fsmd.stats.estimates import Estimate, mean_interval


@pytest.mark.parametrize("sets", [3, 4, 9])
def test_exact_gains_give_the_t_distribution_of_theory(sets: int) -> None:
    gain_D = np.random.default_rng(sets).normal(0.004, 0.003, sets)
    found = pooled(gain_D, np.full(sets, 1e-9))
    assert found is not None
    df = sets - 2
    scale = (((gain_D - gain_D.mean()) ** 2).sum() / df) ** 0.5
    new = stats.t(df, gain_D.mean(), scale * (1 + 1 / sets) ** 0.5)
    assert found.better == pytest.approx(new.sf(0), abs=2e-4)
    assert found.new == pytest.approx(new.interval(0.95), rel=2e-2)
    mean = stats.t(df, gain_D.mean(), scale / sets**0.5)
    assert found.interval == pytest.approx(mean.interval(0.95), rel=2e-2)
    assert found.share == pytest.approx(1)


def test_it_agrees_with_integrating_mean_and_deviation_both() -> None:
    gain_D, error_D = np.array([1.0, 3.0, 2.5, 0.2]), np.array([0.5, 1.0, 0.3, 0.8])
    found = pooled(gain_D, error_D)
    assert found is not None

    mean_M1, tau_T = np.linspace(-40, 40, 1601)[:, None], (np.arange(2500) + 0.5) / 50
    density_MT = np.ones((len(mean_M1), len(tau_T)))
    for gain, error in zip(gain_D, error_D, strict=True):
        density_MT *= stats.norm.pdf(gain, mean_M1, np.hypot(error, tau_T))
    density_MT /= density_MT.sum()
    better = (density_MT * stats.norm.sf(0, mean_M1, tau_T)).sum()
    assert found.better == pytest.approx(better, abs=2e-3)
    assert found.tau == pytest.approx(np.interp(0.5, density_MT.sum(0).cumsum(), tau_T), rel=0.02)


@pytest.mark.parametrize("error", [1.0, 30.0, 1e3, 1e6])
@pytest.mark.parametrize("far", [False, True])
def test_a_data_set_that_tells_nothing_changes_nothing(error: float, far: bool) -> None:
    gain_D, error_D = np.array([1.0, 1.2, 0.9, 1.1, 1.0]), np.full(5, 0.1)
    alone = pooled(gain_D, error_D)
    more = pooled(np.append(gain_D, 1 + far * error), np.append(error_D, error))
    assert alone is not None
    assert more is not None
    for name in ("interval", "new", "better", "tau", "tau_interval"):
        assert getattr(more, name) == pytest.approx(getattr(alone, name), rel=0.08), name


def test_two_data_sets_tell_nothing_of_a_third() -> None:
    assert pooled(np.array([0.01, 0.01]), np.array([0.001, 0.001])) is None


def test_where_nothing_varies_a_statement_is_sure() -> None:
    found = pooled(np.full(3, 0.01), np.zeros(3))
    assert found is not None
    assert (found.mean, found.better, found.tau) == (0.01, 1.0, 0.0)


@pytest.mark.parametrize("tau", [0.0, 1.0, 4.0])
@pytest.mark.parametrize("sets", [3, 5, 12])
def test_intervals_cover_and_what_is_said_surely_is_seldom_wrong(sets: int, tau: float) -> None:
    """Errors of one, gains about 1, and a new data set."""
    draw, covered, of_mean, wrong = np.random.default_rng([sets, int(tau)]), 0, 0, 0
    studies = 200
    for _ in range(studies):
        error_D = draw.uniform(0.5, 1.5, sets)
        gain_D = 1 + tau * draw.normal(size=sets) + error_D * draw.normal(size=sets)
        new = 1 + tau * draw.normal()
        found = pooled(gain_D, error_D)
        assert found is not None
        covered += found.new[0] < new < found.new[1]
        of_mean += found.interval[0] < 1 < found.interval[1]
        wrong += (found.better if new < 0 else 1 - found.better) > 0.9
    assert min(covered, of_mean) / studies > 0.92
    assert wrong / studies < 0.06


def test_an_error_of_few_seeds_counts_by_its_interval() -> None:
    """Of a normal variable with it, the 95 % interval is as wide."""
    estimate = mean_interval([0.01, 0.03, 0.02, 0.05], 0.0001)
    assert estimate.low is not None
    assert estimate.high is not None
    error = normal_error(estimate)
    assert error is not None
    assert 2 * 1.959964 * error == pytest.approx(estimate.high - estimate.low)
    assert normal_error(Estimate(0.1, None, None, 1)) is None


def test_a_mean_rank_has_an_interval_from_five_data_sets_on() -> None:
    draw = np.random.default_rng(0)
    value_D_AR = [np.array([[3.0], [2.0], [1.0]]) + 0.01 * draw.normal(size=(3, 5))] * 4
    few = mean_ranks(value_D_AR, [None] * 4, draw)
    assert few == tuple(MeanRank(rank, None, None) for rank in (1.0, 2.0, 3.0))
    worst = value_D_AR[0][::-1]
    some = mean_ranks([*value_D_AR, worst], [None] * 5, draw)
    assert some[0].mean == pytest.approx((4 * 1 + 3) / 5)
    assert some[0].low == 1.0
    assert (some[0].high or 0) > some[0].mean
    assert some[1] == MeanRank(2.0, 2.0, 2.0)


def test_what_the_test_rows_do_widens_the_interval_of_a_rank() -> None:
    draw = np.random.default_rng(0)
    value_D_AR = [np.array([[3.0] * 3, [2.0] * 3])] * 6
    sure = mean_ranks(value_D_AR, [None] * 6, draw)
    unsure = mean_ranks(value_D_AR, [np.eye(2)] * 6, draw)
    assert sure[0] == MeanRank(1.0, 1.0, 1.0)
    assert (unsure[0].high or 0) > 1.3
