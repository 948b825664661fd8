"""All tasks at once: the verdict's regions and its level; the ellipse of two targets."""

from collections.abc import Sequence
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from fsmd.stats.compound import Evidence, Question, answered, either, every, negated
from fsmd.stats.estimates import Array, Estimate, Kind, mean_interval, p_value
from fsmd.stats.joint import (
    REGIONS,
    PairVerdict,
    deviations,
    joint_ellipse,
    pair_verdict,
    pair_verdicts,
)

MARGIN = 0.001
NO_ROWS = np.zeros((2, 2))


def estimates(gain_K: Sequence[float], n: int = 8, noise: float = 0.0002) -> list[Estimate]:
    rng = np.random.default_rng(2)
    return [mean_interval(gain + rng.normal(0, noise, n)) for gain in gain_K]


def verdict(gain_K: Sequence[float], pairs: int = 1, noise: float = 0.0002) -> PairVerdict:
    return pair_verdict(estimates(gain_K, noise=noise), [MARGIN] * len(gain_K), pairs)


# The verdict


@given(st.lists(st.floats(-0.004, 0.004), min_size=1, max_size=4))
def test_its_p_are_those_of_a_statement_that_is_put_together(gains: list[float]) -> None:
    def each(kind: Kind, bound: float) -> list[Evidence]:
        question = Question("", "", "", kind, bound)
        return [answered(question, estimate) for estimate in estimates(gains)]

    won, lost = each("above", MARGIN), each("below", -MARGIN)
    statements = [
        every([either(won), *map(negated, lost)]),
        every([either(lost), *map(negated, won)]),
        every([either(won), either(lost)]),
        every(each("within", MARGIN)),
    ]
    p = [statement.holds.p for statement in statements]
    p[2] = p[2] if len(gains) > 1 else 1.0  # of one task there is no seesaw
    assert list(verdict(gains).p.values()) == p


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((0.003,), "dominates"),
        ((-0.003,), "dominated"),
        ((0.0,), "equivalent"),
        ((0.001,), "undecided"),
        ((0.003, 0.003), "dominates"),
        ((0.003, 0.0), "dominates"),
        ((-0.003, 0.0), "dominated"),
        ((0.003, -0.003), "seesaw"),
        ((-0.003, 0.003), "seesaw"),
        ((0.0, 0.0), "equivalent"),
        ((0.001, 0.0), "undecided"),
        ((0.0, 0.0, 0.003), "dominates"),
        ((0.0, -0.003, -0.003), "dominated"),
        ((0.003, 0.0, -0.003), "seesaw"),
        ((0.0, 0.0, 0.0), "equivalent"),
        ((0.003, 0.003, -0.001), "undecided"),
        ((0.0, 0.0, 0.0, 0.0, 0.003), "dominates"),
        ((0.0, 0.003, 0.0, 0.0, -0.003), "seesaw"),
    ],
)
def test_each_region_is_found(gains: tuple[float, ...], expected: str) -> None:
    found = verdict(gains)
    assert found.verdict == expected
    assert tuple(found.p) == REGIONS
    assert [region for region in REGIONS if found.p[region] < 0.05] == [
        region for region in REGIONS if region == expected
    ]


@given(
    st.lists(st.floats(-0.003, 0.003).filter(lambda x: abs(abs(x) - MARGIN) > 1e-9), min_size=1)
)
def test_the_regions_part_the_space(point: list[float]) -> None:
    """Where nothing varies one of them is certain and the others are refuted."""
    sure = [Estimate(x, x, x, 5, 0.0, 0.0) for x in point]
    low, high = min(point), max(point)
    expected = {
        "dominates": low > -MARGIN and high > MARGIN,
        "dominated": high < MARGIN and low < -MARGIN,
        "seesaw": high > MARGIN and low < -MARGIN,
        "equivalent": low > -MARGIN and high < MARGIN,
    }
    found = pair_verdict(sure, [MARGIN] * len(point))
    assert found.p == {region: 1.0 - here for region, here in expected.items()}


def test_of_one_task_the_regions_are_its_own_tests_and_there_is_no_seesaw() -> None:
    (estimate,) = estimates([0.0012])
    assert dict(pair_verdict([estimate], [MARGIN]).p) == {
        "dominates": p_value(estimate, "above", MARGIN),
        "dominated": p_value(estimate, "below", -MARGIN),
        "seesaw": 1.0,
        "equivalent": p_value(estimate, "within", MARGIN),
    }


def test_of_three_tasks_the_p_values_are_worked_by_hand() -> None:
    tasks = estimates([0.0012, 0.0001, -0.0013], noise=0.0008)

    def p(kind: str, bound: float) -> list[float]:
        values = [p_value(estimate, kind, bound) for estimate in tasks]  # type: ignore[arg-type]
        return [value for value in values if value is not None]

    gain, loss = 3 * min(p("above", MARGIN)), 3 * min(p("below", -MARGIN))
    assert dict(pair_verdict(tasks, [MARGIN] * 3).p) == pytest.approx(
        {
            "dominates": min(1, max(gain, *p("above", -MARGIN))),
            "dominated": min(1, max(loss, *p("below", MARGIN))),
            "seesaw": min(1, max(gain, loss)),
            "equivalent": max(p("within", MARGIN)),
        }
    )


def test_turned_round_dominates_is_dominated() -> None:
    gains = np.random.default_rng(3).normal(0, 0.002, (3, 6))
    one = pair_verdict([mean_interval(g) for g in gains], [MARGIN] * 3).p
    other = pair_verdict([mean_interval(-g) for g in gains], [MARGIN] * 3).p
    assert one["dominates"] == pytest.approx(other["dominated"])
    assert (one["seesaw"], one["equivalent"]) == pytest.approx(
        (other["seesaw"], other["equivalent"])
    )


def test_each_task_has_its_own_margin() -> None:
    tasks = estimates([0.003, 0.003])
    assert pair_verdict(tasks, [0.001, 0.01]).verdict == "dominates"
    assert pair_verdict(tasks, [0.01, 0.01]).verdict == "equivalent"
    with pytest.raises(ValueError, match="shorter"):
        pair_verdict(tasks, [0.001])
    with pytest.raises(ValueError, match="at least one task"):
        pair_verdict([], [])


@pytest.mark.parametrize("se_test", [0.0, 0.0006])
@pytest.mark.parametrize("side", [0.9999, 1.0001])
@pytest.mark.parametrize(
    "corner", [(1,), *product((0, 1), (1,)), (1, -1), *product((-1, 0, 1), (1,), (0, 1))]
)
def test_at_a_corner_any_false_verdict_comes_in_one_of_twenty(
    corner: tuple[int, ...], side: float, se_test: float
) -> None:
    """The truth lies by a hair on one side of the margins, tasks correlated."""
    true_K = side * MARGIN * np.array(corner)
    inside = (np.abs(true_K) < MARGIN).all()
    up, down = (true_K > MARGIN).any(), (true_K < -MARGIN).any()
    true = "equivalent" if inside else ("seesaw" if up and down else "dominates")
    assert inside or up
    rng, studies, n, tasks_SK = np.random.default_rng(15), 300, 5, []
    rows_SK = rng.normal(0, se_test, (studies, len(corner)))
    shared_SN1 = rng.normal(0, 0.0008, (studies, n, 1))
    for s in range(studies):
        noise_NK = shared_SN1[s] + rng.normal(0, 0.0006, (n, len(corner)))
        tasks_SK.append(
            [
                Estimate(float(x.mean()), None, None, n, float(x.std(ddof=1) / n**0.5), se_test)
                for x in (true_K + rows_SK[s] + noise_NK).T
            ]
        )
    found = pair_verdicts(tasks_SK, [MARGIN] * len(corner))
    wrong = sum(each.verdict not in (true, "undecided") for each in found)
    assert wrong / studies <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


@pytest.mark.parametrize("moved", [(1, 0), (1, 1), (1, -1), (1, 1, 1)])
def test_of_nine_pairs_near_the_margin_any_false_verdict_comes_in_one_of_twenty_studies(
    moved: tuple[int, ...],
) -> None:
    """All are equivalent, by a hair on one task or on each: any other verdict is false."""
    rng, studies, n = np.random.default_rng(15), 200, 10
    tasks_SARK = rng.normal(0, 0.0006, (studies, 10, n, len(moved)))
    gain_SARK = tasks_SARK[:, 1:] - tasks_SARK[:, :1] + 0.000999 * np.array(moved)
    mean_SAK, se_SAK = gain_SARK.mean(axis=2), gain_SARK.std(axis=2, ddof=1) / n**0.5
    tasks_PK = [
        [Estimate(float(m), None, None, n, float(e)) for m, e in zip(*each, strict=True)]
        for each in zip(*(x.reshape(-1, len(moved)) for x in (mean_SAK, se_SAK)), strict=True)
    ]
    found = pair_verdicts(tasks_PK, [MARGIN] * len(moved), pairs=9)
    is_false_P = np.array([each.verdict not in ("equivalent", "undecided") for each in found])
    wrong = is_false_P.reshape(studies, -1).any(axis=1).sum()
    assert wrong / studies <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_of_more_pairs_each_needs_more() -> None:
    alone, among = (verdict((0.0018, 0.0018), pairs, noise=0.001) for pairs in (1, 50))
    assert alone.p == among.p
    assert (alone.verdict, among.verdict) == ("dominates", "undecided")
    assert (alone.alpha, among.alpha) == pytest.approx((0.05, 0.001))


def test_equal_gains_of_every_seed_are_no_joint_certainty() -> None:
    tasks = [mean_interval([0.002] * 5), mean_interval([0.0] * 5)]
    found = pair_verdict(tasks, [MARGIN] * 2)
    assert found.verdict == "undecided"
    assert set(found.p.values()) == {1.0}


def test_one_replicate_has_no_joint_verdict() -> None:
    found = pair_verdict([mean_interval([0.3])] * 3, [MARGIN] * 3)
    assert found.verdict == "undecided"
    assert set(found.p.values()) == {1.0}


def test_arms_that_agree_to_the_bit_are_equivalent() -> None:
    assert pair_verdict([mean_interval([0.0] * 4)] * 3, [MARGIN] * 3).verdict == "equivalent"


def test_a_small_test_set_undecides_what_seeds_alone_decide() -> None:
    sure = estimates([0.003, 0.003])
    doubted = [estimate._replace(se_test=0.002) for estimate in sure]
    assert pair_verdict(sure, [MARGIN] * 2).verdict == "dominates"
    assert pair_verdict(doubted, [MARGIN] * 2).verdict == "undecided"


# The ellipse

SEEDS = np.array([[1.0, -0.4], [-0.4, 0.5]]) * 1e-6


def turned(angle: float) -> Array:
    turn = np.radians(angle)
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def test_over_seeds_alone_the_draws_are_those_of_a_t_vector() -> None:
    mean = np.array([0.0006, -0.0002])
    box = stats.multivariate_t.cdf(
        *([MARGIN] * 2, mean, SEEDS * 7 / 6),
        df=6,
        lower_limit=[-MARGIN] * 2,
        maxpts=200_000,
        random_state=np.random.default_rng(0),
    )
    drawn = mean + deviations(SEEDS, NO_ROWS, n=8, seed=1)
    assert (np.abs(drawn) < MARGIN).all(axis=1).mean() == pytest.approx(box, abs=0.006)
    assert (drawn == mean + deviations(SEEDS, NO_ROWS, n=8, seed=1)).all()


def test_over_rows_alone_the_draws_are_those_of_a_normal_vector() -> None:
    mean = np.array([0.0006, -0.0002])
    box = stats.multivariate_normal.cdf([MARGIN] * 2, mean, SEEDS, lower_limit=[-MARGIN] * 2)
    drawn = mean + deviations(NO_ROWS, SEEDS, n=3)
    assert (np.abs(drawn) < MARGIN).all(axis=1).mean() == pytest.approx(box, abs=0.006)


def test_over_seeds_alone_the_ellipse_is_hotellings() -> None:
    values_R2 = np.random.default_rng(2).normal([0.001, 0.002], 0.0002, (7, 2))
    found = joint_ellipse(values_R2.mean(axis=0), np.cov(values_R2.T) / 7, NO_ROWS, n=7)
    size = 2 * (7 - 1) / (7 - 2) * stats.f.ppf(0.95, 2, 5)
    lengths, directions = np.linalg.eigh(np.cov(values_R2.T) / 7 * size)
    assert found.centre == pytest.approx(tuple(values_R2.mean(axis=0)))
    assert found.semi_axes == pytest.approx(tuple(np.sqrt(lengths[::-1])), rel=0.02)
    assert abs(directions[:, 1] @ turned(found.angle)[:, 0]) == pytest.approx(1)


def test_the_ellipse_holds_95_percent_of_other_draws() -> None:
    rows = SEEDS[::-1, ::-1] * 2
    _, (a, b), angle = joint_ellipse(np.array([1.0, -1.0]), SEEDS, rows, n=5)
    along = deviations(SEEDS, rows, n=5, seed=1) @ turned(angle)
    inside = (along[:, 0] / a) ** 2 + (along[:, 1] / b) ** 2 <= 1
    assert inside.mean() == pytest.approx(0.95, abs=0.004)


def test_the_ellipse_covers_the_truth_as_often_as_it_says() -> None:
    rng, mixing, covered = np.random.default_rng(0), np.array([[1.0, 0.0], [0.7, 0.4]]), 0
    for _ in range(150):
        pairs_R2 = rng.normal(size=(5, 2)) @ mixing.T
        mean = pairs_R2.mean(axis=0)
        _, (a, b), angle = joint_ellipse(mean, np.cov(pairs_R2.T) / 5, NO_ROWS, n=5)
        along = -mean @ turned(angle)
        covered += (along[0] / a) ** 2 + (along[1] / b) ** 2 <= 1
    low, high = stats.binom.interval(0.999, 150, 0.95)
    assert low <= covered <= high


def test_the_test_set_makes_the_joint_region_larger() -> None:
    small = joint_ellipse(np.zeros(2), SEEDS, NO_ROWS, n=8)
    large = joint_ellipse(np.zeros(2), SEEDS, np.eye(2) * 1e-6, n=8)
    assert large.semi_axes > small.semi_axes


def test_two_replicates_have_no_joint_region() -> None:
    with pytest.raises(ValueError, match="at least 3 replicates; got 2"):
        joint_ellipse(np.zeros(2), SEEDS, NO_ROWS, n=2)
