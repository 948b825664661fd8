"""The chance of being the best of several arms, against theory and simulation."""

import numpy as np
import pytest

from fsmd.stats.best import chances_of_best, drawn_together
from fsmd.stats.estimates import Array, mean_interval, p_value

RNG = np.random.default_rng(5)
DRAWS = 20_000


def chances(values_AR: Array, rows_AA: Array | None = None, draws: int = 4000) -> Array:
    return chances_of_best([drawn_together(values_AR, rows_AA, draws)])


@pytest.mark.parametrize("arms", [1, 2, 5])
def test_arms_that_agree_to_the_bit_share_it(arms: int) -> None:
    values_AR = np.repeat(RNG.normal(0.7, 0.01, (1, 4)), arms, axis=0)
    assert chances(values_AR) == pytest.approx(1 / arms)


def test_all_chances_add_up() -> None:
    for seeds in range(3, 6):
        assert chances(RNG.normal(size=(4, seeds))).sum() == pytest.approx(1)


def test_a_clear_winner_is_almost_sure_and_over_studies_of_equal_arms_each_has_its_share() -> None:
    values_SAR = RNG.normal(size=(200, 4, 5))
    assert chances(values_SAR[0] + [[9.0], [0], [0], [0]])[0] > 0.995
    mean_A = np.mean([chances(values_AR, draws=400) for values_AR in values_SAR], axis=0)
    assert mean_A == pytest.approx(0.25, abs=4 * 0.3 / 200**0.5)


def test_drawn_some_arms_at_once_the_chances_are_the_same() -> None:
    values_AR = RNG.normal(size=(7, 5))
    values_AR[6] = values_AR[1]
    parts = [drawn_together(values_AR[some]) for some in (slice(3), slice(3, 5), slice(5, None))]
    assert chances_of_best(parts) == pytest.approx(chances(values_AR), abs=1e-12)


@pytest.mark.parametrize("seeds", [3, 10])
@pytest.mark.parametrize("rows", [0.0, 0.4])
def test_of_two_arms_it_is_what_the_paired_test_says(seeds: int, rows: float) -> None:
    values_AR = np.array([[0.3], [0.0]]) + RNG.normal(size=(2, seeds))
    covariance = np.array([[0.3, 0.1], [0.1, 0.3]]) * rows
    difference = mean_interval(values_AR[0] - values_AR[1], by_test=0.4 * rows)
    first, _ = chances(values_AR, covariance, DRAWS)
    assert 1 - first == pytest.approx(p_value(difference, "above"), abs=4 * 0.5 / DRAWS**0.5)


def test_what_moves_all_arms_together_changes_nothing() -> None:
    values_AR = RNG.normal(size=(3, 5))
    alone_A = chances(values_AR, draws=DRAWS)
    by_seed_A = chances(values_AR + 50 * RNG.normal(size=(1, 5)), draws=DRAWS)
    by_rows_A = chances(values_AR, np.full((3, 3), 50.0), DRAWS)
    assert by_seed_A == pytest.approx(alone_A, abs=1e-9)
    assert by_rows_A == pytest.approx(alone_A, abs=4 * 0.5 / DRAWS**0.5)


def test_it_is_true_as_often_as_it_says_where_arms_lie_apart() -> None:
    """Of 1,500 first arms: what is said on average, and how many are the best."""
    said, true = [], []
    for _ in range(1500):
        true_A = RNG.normal(0, 1.5, 4)
        values_AR = true_A[:, None] + RNG.normal(size=(4, 5)) + 3 * RNG.normal(size=(1, 5))
        rows_AA = 0.2 * np.eye(4)
        values_AR += RNG.normal(0, 0.2**0.5, (4, 1))
        chance_A = chances(values_AR, rows_AA, draws=300)
        first = int(chance_A.argmax())
        said.append(chance_A[first])
        true.append(first == true_A.argmax())
    assert np.mean(said) == pytest.approx(np.mean(true), abs=0.04)
    sure = np.array(said) > 0.95
    assert np.mean(np.array(true)[sure]) > 0.93
