"""Where nothing differs: how often a difference is found all the same."""

import numpy as np
import pytest

from fsmd.stats.estimates import Array
from fsmd.stats.null import NullRate, covariance, cross_products, null_rate
from fsmd.stats.sampling import shared_covariance

WEIGHT_TK = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5]])
"""Two tasks and their mean."""


def rate(values_ARK: Array, resamplings: int, seed: int) -> NullRate:
    return null_rate(values_ARK, WEIGHT_TK, resamplings=resamplings, seed=seed)


def test_best_of_one_seed_always_names_a_winner_and_a_paired_test_hardly_ever() -> None:
    rng = np.random.default_rng(8)
    shared = rng.normal(0.72, 0.002, (1, 6, 1))
    found = rate(shared + rng.normal(0, 0.001, (4, 6, 2)), 300, seed=0)
    assert found.one_seed == 1.0
    assert found.tested <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_over_many_null_studies_the_rate_is_at_most_one_in_twenty(tasks: int) -> None:
    rng, weight_TK = np.random.default_rng(9), np.eye(tasks)
    rates = [
        null_rate(rng.normal(0.72, 0.002, (4, 5, tasks)), weight_TK, resamplings=10, seed=i).tested
        for i in range(40)
    ]
    assert np.mean(rates) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_an_arm_that_is_clearly_ahead_is_shuffled_among_the_others() -> None:
    values_ARK = np.random.default_rng(10).normal(0.72, 0.0001, (4, 6, 2))
    values_ARK[2] += 0.1
    assert rate(values_ARK, 100, seed=1).tested <= 0.12


def test_the_same_seed_gives_the_same_rate() -> None:
    values = np.random.default_rng(10).normal(0.72, 0.002, (4, 5, 2))
    assert rate(values, 20, seed=3) == rate(values, 20, seed=3)


def test_shuffled_arms_have_the_covariance_of_shuffled_influences() -> None:
    rng = np.random.default_rng(15)
    influence_RNAK = rng.normal(size=(3, 40, 4, 2)) + rng.normal(size=(40, 4, 1))
    products = cross_products(tuple(influence_RNAK.reshape(3, 40, 8)), 4)
    order_AR = rng.permuted(np.repeat(np.arange(4)[:, None], 3, axis=1), axis=0)
    shuffled = [one[:, order_AR[:, r]].reshape(40, 8) for r, one in enumerate(influence_RNAK)]
    expected = shared_covariance(shuffled).reshape(4, 2, 4, 2)
    assert covariance(products, order_AR) == pytest.approx(expected)


def test_with_the_rows_part_no_more_is_found_than_by_seeds_alone() -> None:
    rng = np.random.default_rng(16)
    found = []
    for i in range(20):
        row_NAK = rng.normal(size=(200, 4, 2))
        influences = [(row_NAK + 0.3 * rng.normal(size=(200, 4, 2))) * 0.02 for _ in range(5)]
        values_ARK = np.array([one.mean(axis=0) for one in influences]).transpose(1, 0, 2)
        columns = [one.reshape(200, 8) for one in influences]
        found.append(
            null_rate(
                *(values_ARK, WEIGHT_TK), resamplings=20, seed=i, influences_RNC=columns
            ).tested
        )
    assert np.mean(found) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_one_replicate_tests_nothing_and_still_crowns_an_arm() -> None:
    rng = np.random.default_rng(17)
    values_ARK, influences = rng.normal(size=(3, 1, 2)), [rng.normal(size=(30, 6))]
    found = null_rate(values_ARK, WEIGHT_TK, resamplings=5, seed=0, influences_RNC=influences)
    assert found == NullRate(0.0, 1.0)
