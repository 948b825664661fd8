"""What adds up to a statement, and that its p-values keep their level."""

import numpy as np
import pytest
from scipy import stats

from fsmd.stats.compound import (
    NOTHING,
    Evidence,
    Judgement,
    Question,
    Side,
    answered,
    either,
    every,
    negated,
)
from fsmd.stats.estimates import Kind, mean_interval, p_value


def sides(holds: float, fails: float) -> Evidence:
    return Evidence(Side(holds, None), Side(fails, None))


def test_all_parts_need_the_largest_p_and_one_of_them_the_smallest_times_their_number() -> None:
    parts = [sides(0.01, 0.9), sides(0.03, 0.6), sides(0.02, 0.008)]
    whole, any_part = every(parts), either(parts)
    assert (whole.holds.p, whole.fails.p) == pytest.approx((0.03, 0.024))
    assert (any_part.holds.p, any_part.fails.p) == pytest.approx((0.03, 0.9))
    assert every([sides(0.5, 0.5)] * 3).fails.p == 1.0
    assert every([]) == either([]) == NOTHING


def test_not_not_is_the_same_and_not_every_is_either_not() -> None:
    parts = [sides(0.01, 0.9), sides(0.03, 0.6), sides(0.02, 0.008)]
    assert negated(negated(parts[0])) == parts[0]
    assert negated(every(parts)) == either([negated(part) for part in parts])


@pytest.mark.parametrize("correlation", [-1.0, 0.0, 1.0])
def test_whatever_the_parts_have_to_do_with_each_other_p_is_not_too_small(
    correlation: float,
) -> None:
    """Both differences lie on their bounds, so that no statement about them may be shown."""
    rng, size = np.random.default_rng(5), 10_000
    one = rng.normal(size=size)
    other = correlation * one + (1 - correlation**2) ** 0.5 * rng.normal(size=size)
    holds, fails = (
        np.array([tail(one), tail(other)]).T for tail in (stats.norm.sf, stats.norm.cdf)
    )
    pairs = [
        [sides(*p) for p in zip(*both, strict=True)] for both in zip(holds, fails, strict=True)
    ]
    for join in (every, either):
        found = [join(pair) for pair in pairs]
        for side in (0, 1):
            assert (
                np.mean([each[side].p < 0.05 for each in found])
                <= 0.05 + 3 * (0.05 * 0.95 / size) ** 0.5
            )


@pytest.mark.parametrize(("kind", "opposite"), [("above", "below"), ("within", "beyond")])
def test_a_comparison_speaks_for_what_is_asked_and_for_its_opposite(
    kind: Kind, opposite: Kind
) -> None:
    difference = mean_interval([0.001, 0.003, 0.002, 0.0025], 1e-7)
    question = Question("click", "b", "a", kind, 0.001)
    found = answered(question, difference)
    assert found.holds.p == p_value(difference, kind, 0.001)
    assert found.fails.p == p_value(difference, opposite, 0.001)
    assert found.holds.by == found.fails.by == Judgement(question, difference)
    turned = answered(Question("click", "b", "a", opposite, 0.001), difference)
    assert (turned.holds.p, turned.fails.p) == (found.fails.p, found.holds.p)


def test_an_untested_comparison_speaks_for_nothing_and_is_not_named_as_the_reason() -> None:
    question = Question("click", "b", "a", "above")
    untested = answered(question, mean_interval([0.3]))
    assert (untested.holds.p, untested.fails.p) == (1.0, 1.0)
    tested = answered(question, mean_interval([0.3, 0.31, 0.29]))
    both = every([untested, tested])
    assert both.holds.p == 1.0
    assert both.holds.by == tested.holds.by


def test_nothing_refutes_that_something_differs() -> None:
    with pytest.raises(KeyError):
        _ = Question("click", "b", "a", "differs").opposite
