"""Comparisons with one reference are adjusted together, and never for more than Holm asks."""

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fsmd.stats import families
from fsmd.stats.estimates import ALPHA, Estimate, counted, holm, p_value
from fsmd.stats.families import against_reference, chance_of_any


def difference(t: float, shared: float = 0.5, together: float = 1.0, df: float = 20.0) -> Estimate:
    """A mean of t standard errors, of ten seeds."""
    return Estimate(t, None, None, 10, 1.0, None, df, shared, together)


@pytest.mark.parametrize(
    ("others", "shared", "df"), [(3, 0.5, 20.0), (3, 0.8, 30.0), (5, 0.2, 16)]
)
def test_the_chance_of_any_is_that_of_the_multivariate_t(
    others: int, shared: float, df: float
) -> None:
    p = 0.02
    tested = float(counted(df, 9, p))
    limit = float(stats.t.isf(p / 2, tested))
    shape = np.full((others, others), shared) + (1 - shared) * np.eye(others)
    joint = stats.multivariate_t(shape=shape, df=tested, seed=1)
    inside = joint.cdf(np.full(others, limit), lower_limit=np.full(others, -limit))
    found = chance_of_any(p, [difference(0.0, shared, 1.0, df)] * others)
    assert found == pytest.approx(1 - inside, abs=5e-4)


def test_without_anything_shared_it_is_that_of_independent_tests() -> None:
    found = chance_of_any(0.01, [difference(0.0, 0.0, 0.0)] * 7)
    assert found == pytest.approx(1 - 0.99**7, rel=1e-4)
    assert chance_of_any(0.01, [difference(0.0)]) == pytest.approx(0.01, rel=1e-3)


def test_test_rows_make_less_shared() -> None:
    alone = [difference(0.0)] * 6
    with_rows = [each._replace(se_test=3.0) for each in alone]
    assert chance_of_any(0.01, alone) < chance_of_any(0.01, with_rows) <= 0.06


@given(
    st.lists(st.floats(-8, 8), min_size=1, max_size=9),
    st.integers(1, 3),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_adjusted_p_lie_between_the_plain_and_holms_in_the_same_order(
    ts: list[float], targets: int, shared: float, together: float
) -> None:
    differences = [difference(t, shared, together) for t in ts]
    found = against_reference(differences, [i % targets for i in range(len(ts))])
    raw = [p_value(each) or 0.0 for each in differences]
    most = [p or 0.0 for p in holm(raw)]
    got = [p or 0.0 for p in found]
    assert all(r <= g + 1e-4 * r + 1e-12 for r, g in zip(raw, got, strict=True))
    assert all(g <= m + 1e-12 for g, m in zip(got, most, strict=True))
    order = np.argsort(raw, kind="stable")
    assert (np.diff(np.array(got)[order]) >= -1e-12).all()


def test_what_could_not_be_tested_still_counts() -> None:
    untested = Estimate(0.3, None, None, 1)
    tested = difference(3.0)
    alone, nothing = against_reference([tested, untested], ["a", "a"])
    assert nothing is None
    (without,) = against_reference([tested], ["a"])
    assert alone is not None
    assert without is not None
    assert alone > without


def test_a_sharper_adjustment_decides_what_holm_leaves_open() -> None:
    differences = [difference(2.9, 0.6), *[difference(0.5, 0.6)] * 8]
    (ours, *_), (holms, *_) = (
        against_reference(differences, ["a"] * 9),
        holm([p_value(each) for each in differences]),
    )
    assert ours is not None
    assert holms is not None
    assert ours < holms
    assert p_value(differences[0]) < ALPHA  # type: ignore[operator]


def test_of_many_comparisons_each_is_adjusted_as_alone_within_a_hundredth(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    differences = [difference(t, df=40.0) for t in np.linspace(2.5, 7.5, 1500)]
    quick = against_reference(differences, [0] * 1500)
    monkeypatch.setattr(families, "_MOST", 1500)
    one_by_one = against_reference(differences, [0] * 1500)
    assert quick != one_by_one
    assert quick == pytest.approx(one_by_one, rel=0.01)


def test_ten_thousand_comparisons_are_adjusted_in_seconds() -> None:
    rng = np.random.default_rng(9)
    ts = np.append(rng.uniform(5, 9, 2_000), rng.standard_normal(8_000)).tolist()
    began = time.process_time()
    found = against_reference([difference(t, df=100.0) for t in ts], ["a"] * len(ts))
    assert time.process_time() - began < 5  # it took 20 when each p went through them all
    assert sum(p is not None and p < ALPHA for p in found) > 1_000
