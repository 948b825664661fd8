"""What is learnt of a comparison's scatter from the others with its reference."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats

from fsmd.stats.estimates import Array, counted, mean_interval, p_value
from fsmd.stats.scatter import (
    KNOWN,
    Scatters,
    alikeness,
    of_mixture,
    prior_of,
    scatters,
    trigamma_inverse,
)

NOBODY = np.zeros(1)


def drawn(arms: int, seeds: int, seed: int = 0) -> Array:
    """Figures of arms of which none differs."""
    return np.random.default_rng(seed).standard_normal((arms, seeds))


def plain(values_AR: Array) -> Array:
    """Each comparison's own variance."""
    variance_O: Array = (values_AR[1:] - values_AR[0]).var(axis=1, ddof=1)
    return variance_O


@pytest.mark.parametrize(("arms", "seeds"), [(2, 5), (3, 5), (10, 2), (10, 4)])
def test_where_others_tell_nothing_a_comparison_has_its_own_scatter(arms: int, seeds: int) -> None:
    values_AR = drawn(arms, seeds)
    found = scatters(values_AR, 0)
    assert found.variance_O == pytest.approx(plain(values_AR))
    assert found.df_O.tolist() == [seeds - 1] * (arms - 1)
    difference_R = values_AR[1] - values_AR[0]
    assert mean_interval(difference_R, scatter=found.of(0))[:5] == pytest.approx(
        mean_interval(difference_R)[:5]
    )


@given(st.integers(0, 10_000), st.integers(4, 20), st.integers(3, 10))
def test_variances_are_drawn_together_and_degrees_of_freedom_only_grow(
    seed: int, arms: int, seeds: int
) -> None:
    values_AR = drawn(arms, seeds, seed)
    found, own_O = scatters(values_AR, 0), plain(values_AR)
    assert np.ptp(np.log(found.variance_O)) <= np.ptp(np.log(own_O)) + 1e-9
    assert (found.df_O >= seeds - 1).all()
    assert (found.df_O <= max(KNOWN * (arms - 1), 1) * (seeds - 1) + 1e-9).all()
    for part_O in (found.shared_O, found.together_O):
        assert ((part_O >= 0) & (part_O <= 1)).all()


@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(0.01, 100))
def test_what_a_seed_does_to_all_arms_and_the_unit_change_nothing(
    seed: int, shift: float, scale: float
) -> None:
    values_AR = drawn(6, 5, seed)
    moved_AR = scale * (values_AR + shift * np.arange(5))
    one, other = scatters(values_AR, 2), scatters(moved_AR, 2)
    assert other.variance_O == pytest.approx(scale**2 * one.variance_O)
    assert other.df_O == pytest.approx(one.df_O)


def test_many_studies_at_once_are_judged_as_each_alone() -> None:
    values_SAR = np.random.default_rng(3).standard_normal((7, 6, 5))
    together = scatters(values_SAR, 1)
    for s, values_AR in enumerate(values_SAR):
        alone = scatters(values_AR, 1)
        for part_SO, part_O in zip(together, alone, strict=True):
            assert part_SO[s] == pytest.approx(part_O)


def test_a_reference_that_scatters_most_lends_its_comparisons_nothing() -> None:
    values_AR = drawn(10, 5, 4)
    values_AR[0] *= 100
    found = scatters(values_AR, 0)
    assert found.df_O == pytest.approx(np.full(9, 4.0), abs=0.6)
    assert found.variance_O == pytest.approx(plain(values_AR), rel=0.1)


def test_an_arm_that_scatters_unlike_the_others_keeps_its_own_scatter() -> None:
    for times in (1000.0, 0.001):
        values_AR = drawn(10, 5, 5)
        values_AR[0] *= 0.001 if times > 1 else 1
        values_AR[1] = times * values_AR[1] if times > 1 else values_AR[0] + times * values_AR[1]
        found = scatters(values_AR, 0)
        assert found.variance_O[0] == pytest.approx(plain(values_AR)[0], rel=0.05)
        assert found.df_O[0] == pytest.approx(4, abs=0.1)


def test_where_most_arms_never_scatter_nothing_is_learnt() -> None:
    values_AR = np.zeros((6, 5))
    values_AR[5] = drawn(1, 5)[0]
    found = scatters(values_AR, 0)
    assert found.variance_O == pytest.approx(plain(values_AR))
    assert found.df_O.tolist() == [4.0] * 5


def test_equal_values_that_are_not_zero_have_no_interval_whatever_others_tell() -> None:
    values_AR = drawn(6, 5)
    found: Scatters = scatters(values_AR, 0)
    assert mean_interval([0.3] * 5, scatter=found.of(0)).se_seeds is None
    assert mean_interval([0.0] * 5, scatter=found.of(0)).se_seeds == 0
    assert p_value(mean_interval([0.3], scatter=found.of(0))) is None


@pytest.mark.parametrize("df", [3.0, 8.0, 30.0])
def test_the_prior_is_found_again(df: float) -> None:
    rng = np.random.default_rng(6)
    true_O = 2.0 * df / rng.chisquare(df, 20_000)
    variance_O = true_O * rng.chisquare(4, 20_000) / 4
    usual, found = prior_of(variance_O, 4, NOBODY)
    assert usual[0] == pytest.approx(2.0, rel=0.03)
    assert found[0] == pytest.approx(df, rel=0.15)


def test_alikeness_is_the_mean_squared_correlation() -> None:
    rng = np.random.default_rng(7)
    for of_reference, expected in ((0.0, 0.0), (1.0, 0.25), (3.0, 0.81)):
        values_SAR = rng.standard_normal((400, 10, 30))
        values_SAR[:, 0] *= of_reference
        away_SOR = values_SAR[:, 1:] - values_SAR[:, :1]
        away_SOR -= away_SOR.mean(axis=2, keepdims=True)
        assert alikeness(away_SOR).mean() == pytest.approx(expected, abs=0.04)


def test_alikeness_is_that_of_all_pairs_of_comparisons() -> None:
    away_OR = drawn(9, 6, 9) + drawn(1, 6, 10)
    away_OR -= away_OR.mean(axis=1, keepdims=True)
    squares = np.asarray(np.corrcoef(away_OR))[np.triu_indices(9, 1)] ** 2
    expected = (squares.mean() - 1 / 5) / (1 - 1 / 5)
    assert alikeness(away_OR) == pytest.approx(expected)


def test_the_inverse_of_trigamma() -> None:
    x = np.array([0.01, 0.5, 3.0, 200.0, 1e5])
    assert trigamma_inverse(special.polygamma(1, x)) == pytest.approx(x)


def test_intervals_take_the_learnt_scatter_and_tests_a_part_of_its_freedom() -> None:
    values_AR = drawn(10, 5, 8)
    scatter = scatters(values_AR, 0).of(3)
    found = mean_interval(values_AR[4] - values_AR[0], scatter=scatter)
    se = (scatter.variance / 5) ** 0.5
    assert found.low is not None
    assert found.mean - found.low == pytest.approx(stats.t.ppf(0.975, scatter.df) * se)
    moved = found._replace(mean=4 * se)
    p = p_value(moved)
    assert p is not None
    assert 4 < (df := counted(scatter.df, 4, p)) < 0.8 * scatter.df
    assert p == pytest.approx(2 * stats.t.sf(4, df), rel=0.1)


def test_of_one_point_a_mixture_scatters_as_it_does() -> None:
    figure_R = drawn(1, 5)[0]
    found = of_mixture(np.tile(figure_R, (5, 1)))
    assert found[:2] == pytest.approx((figure_R.var(ddof=1), 4))


def test_a_mixture_scatters_no_less_than_its_points_nor_than_what_is_told() -> None:
    points_2R = np.array([[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]])
    luckless_RR, lucky_RR = points_2R[[1, 0, 1, 0]], points_2R[[0, 0, 1, 1]] + [[0], [0], [9], [9]]
    assert np.diagonal(luckless_RR).tolist() == [0.0] * 4
    assert of_mixture(luckless_RR).variance == pytest.approx(1 / 3)
    told = np.diagonal(lucky_RR).var(ddof=1)
    assert of_mixture(lucky_RR).variance == pytest.approx(told)
