"""Better, worse, equivalent, undecided; both tasks at once; factorial effects; nothing differs."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.power import TTestPower

from reports.contrasts import (
    TEST_SET,
    Contrast,
    Needed,
    contrasts,
    detectable_differences,
    factor_sentences,
    needed_in_words,
    replicates_needed,
)
from reports.effects import effects, effects_frame
from reports.estimates import Array, Estimate, mean_interval, p_value
from reports.facts import rule_in_words
from reports.joint import (
    REGIONS,
    Joint,
    draws,
    joint_difference,
    joint_ellipse,
    pair_verdict,
    probabilities,
)
from reports.null import null_rate
from reports.power import detectable
from reports.results import Scores
from reports.sampling import Sampling
from reports.shape import leads
from reports.verdicts import Families, compare
from studies import catalog
from studies.definition import MARGIN, Above, Best, Claim, Study

TARGETS = ("first", "second", "mean")

pytestmark = pytest.mark.usefixtures("no_collection")


def scores_of(gains: list[tuple[float, float]], n: int = 8, noise: float = 0.0002) -> Scores:
    """The first level's AUCs, then levels that differ from it by a gain on each task."""
    rng = np.random.default_rng(2)
    gain_LRK = np.array([(0.0, 0.0), *gains])[:, None]
    tasks = 0.8 + gain_LRK + rng.normal(0, noise, (len(gains) + 1, n, 2))
    values = np.concatenate([tasks, tasks.mean(axis=2, keepdims=True)], axis=2)
    return Scores(tuple("abcdefg"[: len(values)]), tuple(range(n)), TARGETS, values)


def with_rows(scores: Scores, variance: float, rows: int = 10_000) -> Scores:
    """The same with this variance of each difference of a task's AUC by the test set."""
    size = len(scores.levels)
    covariance = np.kron(np.eye(size), np.eye(2)).reshape(size, 2, size, 2) * variance / 2
    return replace(scores, samplings=(Sampling(scores.levels, covariance),))


def found_of(scores: Scores) -> dict[str, Contrast]:
    study = Study("s", "", "", "level", (), "a", "", ())
    found = contrasts(study, scores, compare(study, scores))
    return {c.level: c for c in found if c.target == "first"}


# Four words


def test_each_word_is_given() -> None:
    scores = scores_of([(0.003, 0), (-0.003, 0), (0.0003, 0), (0, 0)])
    words = {level: contrast.word for level, contrast in found_of(scores).items()}
    assert words == {"b": "better", "c": "worse", "d": "equivalent", "e": "equivalent"}
    assert found_of(scores_of([(0.0007, 0)], noise=0.002))["b"].word == "undecided"


def test_a_baseline_is_subtracted_and_a_crowned_reference_is_what_others_are_subtracted_from() -> (
    None
):
    scores = scores_of([(0.003, 0), (0.0007, 0)], noise=0.0008)
    base = Study("s", "", "", "level", (), "a", "", ())
    crowned = replace(base, claims=(Claim("c", "", "", (Best("first", "a"),)),))
    gains, leads = (
        {frozenset((c.level, c.other)): c
         for c in contrasts(study, scores, compare(study, scores)) if c.target == "first"}
        for study in (base, crowned)
    )  # fmt: skip
    for pair, gain in gains.items():
        lead = leads[pair]
        assert (gain.other, lead.level) == ("a", "a")
        assert gain.difference.mean == -lead.difference.mean
        assert (gain.difference.low, gain.difference.high) == (
            scores.difference(gain.level, "a", "first")[1:3])  # fmt: skip
        for there, back in ((gain.differs, lead.differs), (gain.equal, lead.equal)):
            assert (there.raw, there.p) == (back.raw, back.p)
        assert gain.needed == lead.needed
    assert gains[frozenset("ab")].word == "better"
    assert leads[frozenset("ab")].word == "worse"
    told = factor_sentences(base, scores, compare(base, scores))
    assert told[0].startswith("b vs a on the mean: AUC +0.00")


def test_a_report_subtracts_the_way_that_its_claims_do() -> None:
    """What the claims put first comes first in figures and tables too."""
    ahead = {name for name in catalog.names() if leads(catalog.get(name))}
    assert {"tower_shape", "gate_depth", "expert_count", "components"} <= ahead
    assert not ahead & {"models_video", "models_census", "seesaw", "extras"}


def test_a_difference_inside_the_margins_is_equivalent_whatever_its_sign() -> None:
    found = found_of(scores_of([(0.0004, 0), (-0.0004, 0)], n=10))
    assert {contrast.word for contrast in found.values()} == {"equivalent"}
    assert all(contrast.significant for contrast in found.values())


@pytest.mark.parametrize("by_test", [None, 1e-7])
def test_turned_round_a_difference_has_the_same_p_and_needs_as_many_seeds(
    by_test: float | None,
) -> None:
    values = np.random.default_rng(9).normal(0.0006, 0.001, size=6)
    one, other = mean_interval(values, by_test), mean_interval(-values, by_test)
    assert (other.mean, other.low, other.high) == (-one.mean, -one.high, -one.low)  # type: ignore[operator]
    assert p_value(one) == pytest.approx(p_value(other))
    assert p_value(one, "within", MARGIN) == pytest.approx(p_value(other, "within", MARGIN))
    assert p_value(one, "above") == pytest.approx(1 - p_value(other, "above"))  # type: ignore[operator]
    assert replicates_needed(one, MARGIN) == replicates_needed(other, MARGIN)


def test_a_small_test_set_undecides_what_seeds_alone_decide() -> None:
    sure = scores_of([(0.003, 0)])
    assert found_of(sure)["b"].word == "better"
    doubted = found_of(with_rows(sure, 0.002**2))["b"]
    assert doubted.word == "undecided"
    assert doubted.needed == Needed(None, TEST_SET)
    assert doubted.difference.se_test == pytest.approx(0.002)


def test_one_replicate_has_no_word_and_no_p() -> None:
    contrast = found_of(scores_of([(0.1, 0)], n=1))["b"]
    assert (contrast.differs.p, contrast.equal.p, contrast.word) == (None, None, "undecided")
    assert "not enough replicates" in needed_in_words(contrast.needed)


def test_the_rule_is_told_in_words_with_the_margin_and_the_sizes() -> None:
    study = Study("s", "", "", "level", (), "a", "", ())
    told = " ".join(rule_in_words(compare(study, scores_of([(0, 0), (0, 0)])), 0.001))
    assert "±0.001" in told
    assert "the 6 tests of a difference" in told
    assert "the 6 tests of equivalence" in told


# Replicates needed


def undecided(mean: float, sd: float, n: int, by_rows: float = 0.0) -> Estimate:
    unit = stats.zscore(np.arange(n), ddof=1)
    return mean_interval(mean + sd * unit, by_rows)


@pytest.mark.parametrize("by_rows", [0.0, 1e-8])
@pytest.mark.parametrize(("mean", "sd"), [(0.0006, 0.001), (0.002, 0.003), (0.0001, 0.0015)])
def test_so_many_replicates_decide_in_four_of_five_cases(
    mean: float, sd: float, by_rows: float
) -> None:
    """Against new seeds on the same rows, were the estimates the truth."""
    needed = replicates_needed(undecided(mean, sd, 5, by_rows), MARGIN, Families(9, 6)).seeds
    assert needed is not None
    rng, size = np.random.default_rng(13), 1500

    def decided(n: int) -> float:
        count = 0
        for values in rng.normal(mean, sd, (size, n)):
            estimate = mean_interval(values, by_rows)
            differ, equal = p_value(estimate), p_value(estimate, "within", MARGIN)
            count += (differ or 0) < 0.05 / 9 or (equal or 0) < 0.05 / 6
        return count / size

    error = (0.8 * 0.2 / size) ** 0.5
    assert decided(needed) > 0.8 - 3 * error
    assert decided(needed - 2) < 0.8 + 3 * error


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


def test_a_study_tells_the_smallest_differences_that_it_would_find() -> None:
    scores = scores_of([(0, 0), (0, 0)], n=5, noise=0.001)
    claims = tuple(Claim(name, "", "", (Above("mean", "a", "b"),)) for name in "xy")
    study = Study("s", "", "", "level", (), "a", "", claims)
    (told,) = detectable_differences(study, contrasts(study, scores, compare(study, scores)))
    differences = [scores.differences("a", o, t) for o in "bc" for t in TARGETS]
    smallest = [
        float(np.median([d.std(ddof=1) for d in differences]))
        * TTestPower().solve_power(nobs=5, alpha=0.05 / tests, power=0.8)
        for tests in (2, 6)
    ]
    assert told.startswith("With 5 paired replicates this study shows with 80 % chance")
    assert f"{smallest[0]:.2g} for a claim" in told
    assert f"{smallest[1]:.2g} in the comparisons with a (after Holm over 6 tests)" in told
    alone = scores_of([(0, 0)], n=1)
    assert detectable_differences(study, contrasts(study, alone, compare(study, alone))) == ()


def test_a_test_sets_part_that_came_out_as_nothing_is_not_known_to_be_nothing() -> None:
    clipped = replicates_needed(undecided(0.0006, 0.001, 5, 0.0), MARGIN)
    assert needed_in_words(clipped).startswith("at this estimate at least")
    known = replicates_needed(undecided(0.0006, 0.001, 5, 1e-9), MARGIN)
    assert needed_in_words(known).startswith("at this estimate about")


def test_why_no_number_of_replicates_would_do() -> None:
    assert replicates_needed(undecided(0.002, 0.001, 5, 0.002**2), MARGIN).reason == TEST_SET
    far = replicates_needed(undecided(0.00099, 0.05, 5), MARGIN)
    assert needed_in_words(far) == "at this estimate more than 1000 seeds needed"
    assert replicates_needed(mean_interval([0.1]), MARGIN).seeds is None


# Both tasks


@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((0.003, 0.003), "dominates"),
        ((0.003, 0.0), "dominates"),
        ((-0.003, 0.0), "dominated"),
        ((0.003, -0.003), "seesaw"),
        ((-0.003, 0.003), "seesaw"),
        ((0.0, 0.0), "equivalent"),
        ((0.001, 0.0), "undecided"),
    ],
)
def test_each_region_is_found(gains: tuple[float, float], expected: str) -> None:
    verdict = pair_verdict(scores_of([gains]), "b", "a", MARGIN)
    assert verdict.verdict == expected
    assert sum(verdict.probabilities.values()) == pytest.approx(1)
    assert tuple(verdict.probabilities) == REGIONS


@given(st.tuples(*[st.floats(-0.003, 0.003)] * 2))
def test_the_regions_part_the_plane(point: tuple[float, float]) -> None:
    sure = Joint(np.array(point), np.zeros((2, 2)), np.zeros((2, 2)), 5)
    low, high = min(point), max(point)
    expected = {
        "equivalent": abs(point[0]) < MARGIN and abs(point[1]) < MARGIN,
        "dominates": low > -MARGIN and high >= MARGIN,
        "dominated": high < MARGIN and low <= -MARGIN,
        "seesaw": high >= MARGIN and low <= -MARGIN,
    }
    assert probabilities(sure, MARGIN) == {k: float(v) for k, v in expected.items()}


@pytest.mark.parametrize("moved", [(1, 0), (1, 1), (1, -1)])
def test_of_nine_pairs_near_the_margin_any_false_verdict_comes_in_one_of_twenty_studies(
    monkeypatch: pytest.MonkeyPatch, moved: tuple[int, int]
) -> None:
    """All are equivalent, by a hair on one task or on both: what else is told of any is false."""
    monkeypatch.setattr("reports.joint.DRAWS", 10_000)  # kept by the seed, 99
    rng, studies, wrong = np.random.default_rng(15), 200, 0
    for _ in range(studies):
        tasks_LRK = rng.normal(0, 0.0006, (10, 10, 2))
        tasks_LRK[1:] += 0.000999 * np.array(moved)
        values = np.concatenate([tasks_LRK, tasks_LRK.mean(axis=2, keepdims=True)], axis=2)
        scores = Scores(tuple("abcdefghij"), tuple(range(10)), TARGETS, values)
        found = {pair_verdict(scores, x, "a", MARGIN, 9, 99).verdict for x in "bcdefghij"}
        wrong += bool(found - {"equivalent", "undecided"})
    assert wrong / studies <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_of_more_pairs_each_needs_more() -> None:
    scores = scores_of([(0.0018, 0.0018)], noise=0.0008)
    alone, among = (pair_verdict(scores, "b", "a", MARGIN, pairs) for pairs in (1, 50))
    assert alone.probabilities == among.probabilities
    assert (alone.verdict, among.verdict) == ("dominates", "undecided")
    assert (alone.threshold, among.threshold) == pytest.approx((0.95, 0.999))


def test_equal_gains_of_every_seed_are_no_joint_certainty() -> None:
    scores = scores_of([(0, 0)])
    moved = scores.values_LRT[:1] + np.array([0.002, 0.0, 0.001])
    same = replace(scores, values_LRT=np.concatenate([scores.values_LRT[:1], moved]))
    assert pair_verdict(same, "b", "a", MARGIN).verdict == "undecided"


SEEDS = np.array([[1.0, -0.4], [-0.4, 0.5]]) * 1e-6


def test_over_seeds_alone_the_probabilities_are_those_of_a_t_vector() -> None:
    joint = Joint(np.array([0.0006, -0.0002]), SEEDS, np.zeros((2, 2)), 8)
    box = stats.multivariate_t.cdf(
        [MARGIN] * 2, joint.mean, SEEDS * 7 / 6, df=6, lower_limit=[-MARGIN] * 2,
        maxpts=200_000, random_state=np.random.default_rng(0),
    )  # fmt: skip
    found = probabilities(joint, MARGIN, seed=1)
    assert found["equivalent"] == pytest.approx(box, abs=0.006)
    assert found == probabilities(joint, MARGIN, seed=1)


def test_over_rows_alone_the_probabilities_are_those_of_a_normal_vector() -> None:
    joint = Joint(np.array([0.0006, -0.0002]), np.zeros((2, 2)), SEEDS, 3)
    box = stats.multivariate_normal.cdf([MARGIN] * 2, joint.mean, SEEDS, lower_limit=[-MARGIN] * 2)
    assert probabilities(joint, MARGIN)["equivalent"] == pytest.approx(box, abs=0.006)


def test_over_seeds_alone_the_ellipse_is_hotellings() -> None:
    scores = scores_of([(0.001, 0.002)], n=7)
    joint = joint_difference(scores, "b", "a")
    assert joint is not None
    found = joint_ellipse(joint)
    values_RK = np.array([scores.differences("b", "a", t) for t in TARGETS[:2]]).T
    size = 2 * (7 - 1) / (7 - 2) * stats.f.ppf(0.95, 2, 5)
    lengths, directions = np.linalg.eigh(np.cov(values_RK.T) / 7 * size)
    assert found.centre == pytest.approx(tuple(values_RK.mean(axis=0)))
    assert found.semi_axes == pytest.approx(tuple(np.sqrt(lengths[::-1])), rel=0.02)
    turn = np.radians(found.angle)
    assert abs(directions[:, 1] @ [np.cos(turn), np.sin(turn)]) == pytest.approx(1)


def test_the_ellipse_holds_95_percent_of_other_draws() -> None:
    joint = Joint(np.array([1.0, -1.0]), SEEDS, SEEDS[::-1, ::-1] * 2, 5)
    (x, y), (a, b), angle = joint_ellipse(joint)
    turn = np.radians(angle)
    to_axes = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    along = (draws(joint, seed=1) - [x, y]) @ to_axes
    inside = (along[:, 0] / a) ** 2 + (along[:, 1] / b) ** 2 <= 1
    assert inside.mean() == pytest.approx(0.95, abs=0.004)


def test_the_test_set_makes_the_joint_region_larger() -> None:
    scores = scores_of([(0.001, 0.002)])
    small = joint_difference(scores, "b", "a")
    large = joint_difference(with_rows(scores, 1e-6), "b", "a")
    assert small is not None
    assert large is not None
    assert joint_ellipse(large).semi_axes > joint_ellipse(small).semi_axes


def test_two_replicates_have_no_joint_verdict() -> None:
    verdict = pair_verdict(scores_of([(0.003, 0.003)], n=2), "b", "a", MARGIN)
    assert (verdict.verdict, dict(verdict.probabilities)) == ("undecided", {})


def test_levels_that_agree_to_the_bit_are_equivalent() -> None:
    scores = scores_of([(0, 0)])
    same = replace(scores, values_LRT=np.repeat(scores.values_LRT[:1], 2, axis=0))
    assert pair_verdict(same, "b", "a", MARGIN).verdict == "equivalent"
    assert found_of(same)["b"].word == "equivalent"


# Factorial studies


def factorial(noise: float, interaction: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    block = rng.normal(0, 0.01, 4)
    rows = [
        {"shape": a, "depth": b, "count": c, "replicate": r,
         "value": 0.7 + block[r] + 0.002 * (a == "y") + 0.001 * b
         + interaction * (a == "y") * (b == 2) + rng.normal(0, noise)}
        for a, b, c, r in product("xy", (0, 1, 2), (1, 2), range(4))
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_effects_are_those_put_in() -> None:
    found = {e.factors: e for e in effects(factorial(1e-6, interaction=0.003))}
    assert list(found) == [
        ("shape",), ("depth",), ("count",),
        ("shape", "depth"), ("shape", "count"), ("depth", "count"),
    ]  # fmt: skip
    assert found["shape",].spread == pytest.approx(0.003, abs=1e-5)  # 0.002 and 0.003 / 3
    assert found["depth",].spread == pytest.approx(0.0035, abs=1e-5)
    # 0.003 in one of 2 x 3 cells, its row and column taken out: from -1/3 to +1/3 of it.
    assert found["shape", "depth"].spread == pytest.approx(0.002, abs=1e-5)
    assert found["shape", "depth"].p < 1e-6
    assert found["depth", "count"].p > 0.001
    assert sum(e.share for e in found.values()) == pytest.approx(1, abs=1e-3)


def test_sums_of_squares_of_a_balanced_design_are_worked_by_hand() -> None:
    frame = factorial(0.001)
    found = {e.factors: e for e in effects(frame)}
    value = frame["value"]
    centred = value - frame.groupby("replicate")["value"].transform("mean")
    total = float((centred**2).sum())
    means = frame.groupby("shape")["value"].transform("mean")
    assert found["shape",].share == pytest.approx(
        float(((means - value.mean()) ** 2).sum()) / total
    )


def test_where_nothing_has_an_effect_p_is_uniform() -> None:
    rng = np.random.default_rng(6)
    frame = factorial(0.0)
    p = [effects(frame.assign(value=rng.normal(size=len(frame))))[3].p for _ in range(60)]
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_missing_cells_cost_the_interactions_that_need_them() -> None:
    frame = factorial(0.001)
    frame = frame[~((frame["shape"] == "y") & (frame["depth"] == 2))]
    frame.loc[frame.index[0], "value"] = np.nan
    assert ("shape", "depth") not in {e.factors for e in effects(frame)}
    assert ("shape", "count") in {e.factors for e in effects(frame)}


def test_a_factorial_study_gives_the_frame() -> None:
    study = catalog.get("architecture_grid")
    levels = study.levels
    values: Array = np.random.default_rng(7).normal(0.7, 0.001, (len(levels), 2, 3))
    frame = effects_frame(study, Scores(levels, (0, 1), TARGETS, values), "mean")
    assert list(frame) == ["tower_shape", "gate_depth", "expert_count", "replicate", "value"]
    assert len(frame) == 280
    assert len(effects(frame)) == 6


# Nothing differs


def test_best_of_one_seed_always_names_a_winner_and_this_hardly_ever() -> None:
    rng = np.random.default_rng(8)
    shared = rng.normal(0.72, 0.002, (1, 6, 1))
    found = null_rate(shared + rng.normal(0, 0.001, (4, 6, 3)), 300, seed=0)
    assert found.one_seed == 1.0
    assert found.machinery <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5


def test_over_many_null_studies_the_rate_is_at_most_one_in_twenty() -> None:
    rng = np.random.default_rng(9)
    rates = [
        null_rate(rng.normal(0.72, 0.002, (4, 5, 3)), 10, seed=i).machinery for i in range(40)
    ]
    assert np.mean(rates) <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


def test_the_same_seed_gives_the_same_rate() -> None:
    values = np.random.default_rng(10).normal(0.72, 0.002, (4, 5, 3))
    assert null_rate(values, 20, seed=3) == null_rate(values, 20, seed=3)
