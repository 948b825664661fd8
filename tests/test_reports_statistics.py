"""Estimates against scipy and hand-computed numbers; verdicts rule by rule."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from reports import words
from reports.contrasts import factor_sentences
from reports.estimates import (
    ALPHA,
    Array,
    Kind,
    holm,
    mean_interval,
    p_value,
    p_values,
    tail,
)
from reports.evidence import NOTHING, Evidence, Side, either, every
from reports.results import Scores
from reports.tables import significantly_best
from reports.verdicts import compare, families, judge
from studies import catalog
from studies.definition import Above, Best, Claim, Flat, NotBoth, NotWorse, Rule, Study, Trades

LEVELS = ("constant", "increasing", "decreasing", "diamond")

# Estimates

pytestmark = pytest.mark.usefixtures("no_collection")


def test_an_interval_worked_by_hand() -> None:
    # mean 2, standard deviation 1, standard error 1/sqrt(3), t(0.975, 2) = 4.302653
    found = mean_interval([1.0, 2.0, 3.0])
    half = 4.302652729911275 / 3**0.5
    assert found[:4] == pytest.approx((2.0, 2.0 - half, 2.0 + half, 3))
    assert found.se_seeds == pytest.approx(3**-0.5)
    assert found.se_test is None


def test_over_seeds_alone_the_interval_and_test_are_scipys_paired_ones() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.72, 0.001, 8), rng.normal(0.721, 0.001, 8)
    expected = stats.ttest_rel(a, b)
    interval = expected.confidence_interval(0.95)
    found = mean_interval(a - b)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
    assert p_value(found) == pytest.approx(expected.pvalue)
    above = stats.ttest_rel(a + 0.001, b, alternative="greater").pvalue
    assert p_value(found, "above", -0.001) == pytest.approx(above)
    below = stats.ttest_rel(a + 0.001, b, alternative="less").pvalue
    assert p_value(found, "below", -0.001) == pytest.approx(below)
    assert p_value(found, "within", 0.001) == pytest.approx(ttost_paired(a, b, -0.001, 0.001)[0])


@pytest.mark.parametrize("df", [1, 2, 4, 9, 400])
def test_the_tail_over_both_sources_is_an_integral(df: int) -> None:
    from scipy.integrate import quad

    def expected(distance: float, seeds: float, test: float) -> float:
        def beyond(z: float) -> float:
            return float(stats.t.sf((distance - test * z) / seeds, df) * stats.norm.pdf(z))

        found = quad(beyond, -9, 9, epsabs=1e-13, limit=400, points=[distance / test])
        return float(found[0])

    for distance, seeds, test in ((2.0, 1.0, 0.5), (3.0, 0.3, 1.0), (-1.0, 1.0, 1.0), (5, 0.7, 1)):
        found = float(tail(distance, seeds, test, df))
        assert found == pytest.approx(expected(distance, seeds, test), rel=1e-6)


def test_where_one_source_is_nothing_the_other_is_left() -> None:
    assert tail(2.1, 1e-9, 1.0, 4) == pytest.approx(stats.norm.sf(2.1))
    assert tail(2.1, 1.0, 1e-9, 4) == pytest.approx(stats.t.sf(2.1, 4))
    assert tail(2.1, 1.0, 0.0, 4) == pytest.approx(stats.t.sf(2.1, 4))


def test_the_interval_over_both_sources_is_where_p_is_a_twentieth() -> None:
    values = np.random.default_rng(1).normal(0.3, 2, 5)
    found = mean_interval(values, 0.25)
    assert found.low is not None
    assert p_value(found._replace(mean=found.mean - found.low)) == pytest.approx(0.05)
    assert (found.se_seeds, found.se_test) == pytest.approx((stats.sem(values), 0.5))
    assert found.se == pytest.approx((stats.sem(values) ** 2 + 0.25) ** 0.5)


@pytest.mark.parametrize("n", [2, 3, 5, 10])
@pytest.mark.parametrize("test", [0.2, 0.6, 2.0])
def test_few_seeds_that_agree_by_chance_are_not_believed(n: int, test: float) -> None:
    """At the small p that Holm asks for, too; a t by Welch and Satterthwaite fails here."""
    rng = np.random.default_rng(n)
    size, p = 12_000, 0.05 / 9
    mean = rng.normal(0, (1 + test**2) ** 0.5, size)
    seeds = np.sqrt(rng.chisquare(n - 1, size) / (n - 1))
    found = [p_values("differs", m, s, test, n - 1, 0.0) for m, s in zip(mean, seeds, strict=True)]
    assert np.mean(np.array(found) < p) <= p + 3 * (p / size) ** 0.5


def test_a_difference_beyond_the_margins_is_tested_against_the_margin() -> None:
    """At a true difference on the margin the p-values are uniform, for any standard error."""
    rng = np.random.default_rng(2)
    for se in (0.0002, 0.001, 0.005):
        mean = 0.001 + se * rng.standard_t(9, 20_000)
        p = p_values("beyond", mean, se, 0.0, 9, 0.001)
        assert np.mean(p < 0.05) == pytest.approx(0.05, abs=0.006)


def test_one_replicate_has_no_interval_and_no_test() -> None:
    part = 1e-8
    assert mean_interval([0.7], part)[:4] == (0.7, None, None, 1)
    assert p_value(mean_interval([0.001], part)) is None
    assert mean_interval([]).n == 0
    assert mean_interval([]).low is None
    assert p_value(mean_interval([np.nan])) is None


def test_nans_are_left_out() -> None:
    assert mean_interval([1.0, np.nan, 3.0]).n == 2


@pytest.mark.parametrize(
    ("values", "kind", "margin", "expected"),
    [
        ([0.0, 0.0, 0.0], "differs", 0.0, 1.0),
        ([1e-17, 0.0, 0.0], "differs", 0.0, 1.0),  # rounding is no effect
        ([0.0, 0.0], "above", 0.0, 0.5),
        ([0.0, 0.0], "above", -0.001, 0.0),
        ([0.0, 0.0], "below", -0.001, 1.0),
        ([0.0, 0.0], "within", 0.001, 0.0),
        ([0.0, 0.0], "beyond", 0.001, 1.0),
    ],
)
def test_where_levels_agree_to_the_bit_the_answer_is_sure(
    values: list[float], kind: Kind, margin: float, expected: float
) -> None:
    found = mean_interval(values)
    assert p_value(found, kind, margin) == expected
    assert found[:4] == pytest.approx((0.0, 0.0, 0.0, len(values)))


@pytest.mark.parametrize("part", [None, 0.0, 1e-8])
@pytest.mark.parametrize("value", [0.0003, -0.002])
def test_equal_differences_that_are_not_zero_are_no_certainty(
    value: float, part: float | None
) -> None:
    found = mean_interval([value, value + 1e-17], part)
    assert (found.low, found.high, found.n, found.se) == (None, None, 2, None)
    assert found.mean == pytest.approx(value)
    assert p_value(found) is None
    assert p_value(found, "within", 0.001) is None


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx((0.03, 0.06, 0.06))
    assert holm([]) == ()


@pytest.mark.parametrize("size", [1, 4, 30])
def test_holm_steps_down_from_the_smallest_p(size: int) -> None:
    p = np.random.default_rng(size).beta(0.3, 2, size)
    ranked = sorted(range(size), key=lambda i: p[i])
    want, worst = [0.0] * size, 0.0
    for place, i in enumerate(ranked):
        worst = max(worst, min(1.0, (size - place) * p[i]))
        want[i] = worst
    assert holm(p.tolist()) == pytest.approx(want)


def test_a_test_that_could_not_be_made_still_counts_in_the_family() -> None:
    tested, untested = holm([0.01, None])
    assert tested == pytest.approx(0.02)
    assert untested is None


def test_intervals_cover_the_truth_95_times_in_100() -> None:
    rng = np.random.default_rng(7)
    covered = 0
    for sample in rng.normal(0.72, 0.001, (2000, 5)):
        found = mean_interval(sample)
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= 0.72 <= found.high
    assert 0.935 <= covered / 2000 <= 0.965  # three standard errors


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.floats(-1, 1))
def test_the_interval_holds_the_mean_and_moves_with_the_data(
    values: list[float], shift: float
) -> None:
    assume(np.ptp(values) > 1e-9)
    found, moved = mean_interval(values), mean_interval([v + shift for v in values])
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.mean <= found.high
    assert moved.mean == pytest.approx(found.mean + shift, abs=1e-9)


# What adds up to a statement


def sides(holds: float, fails: float) -> Evidence:
    return Evidence(Side(holds, None), Side(fails, None))


def test_all_parts_need_the_largest_p_and_one_of_them_the_smallest_times_their_number() -> None:
    parts = [sides(0.01, 0.9), sides(0.03, 0.6), sides(0.02, 0.008)]
    whole, some = every(parts), either(parts)
    assert (whole.holds.p, whole.fails.p) == pytest.approx((0.03, 0.024))
    assert (some.holds.p, some.fails.p) == pytest.approx((0.03, 0.9))
    assert every([sides(0.5, 0.5)] * 3).fails.p == 1.0
    assert every([]) == either([]) == NOTHING


@pytest.mark.parametrize("correlation", [-1.0, 0.0, 1.0])
def test_whatever_the_parts_have_to_do_with_each_other_p_is_not_too_small(
    correlation: float,
) -> None:
    """Both differences lie on their bounds, so that no statement about them may be shown."""
    rng, size = np.random.default_rng(5), 20_000
    first = rng.normal(size=size)
    second = correlation * first + (1 - correlation**2) ** 0.5 * rng.normal(size=size)
    p = [[sides(float(stats.norm.sf(x)), float(stats.norm.cdf(x))) for x in z]
         for z in (first, second)]  # fmt: skip
    for join in (every, either):
        found = [join(pair) for pair in zip(*p, strict=True)]
        for side in (0, 1):
            assert np.mean([each[side].p < 0.05 for each in found]) <= 0.05 + 3 * 0.00154


# Verdicts


def scores_of(*effects: float, replicates: int = 6, noise: float = 0.0002) -> Scores:
    """Both tasks of level i have AUC 0.72 + effects[i], seeds shared; NaN effect: not trained."""
    rng = np.random.default_rng(1)
    shared_R1 = rng.normal(0, 0.001, (replicates, 1))
    values_LRK = np.array(
        [0.72 + e + shared_R1 + rng.normal(0, noise, (replicates, 2)) for e in effects]
    )
    values: Array = np.concatenate([values_LRK, values_LRK.mean(axis=2, keepdims=True)], axis=2)
    targets = ("click", "long_view", "mean")
    return Scores(LEVELS[: len(effects)], tuple(range(replicates)), targets, values)


def study_of(*rules: Rule) -> Study:
    study = catalog.get("tower_shape")
    return replace(study, claims=(Claim("a-claim", "A sentence.", "Fig. 11", rules),))


def verdict(rule: Rule, scores: Scores) -> str:
    return judge(study_of(rule), scores)[0].verdict


ABOVE = Above("second", "diamond", "constant")
BEST = Best("mean", "diamond")
NOT_WORSE = NotWorse("first", "diamond")
FLAT = Flat("first")
NAN = float("nan")


@pytest.mark.parametrize(
    ("rule", "effects", "expected"),
    [
        (ABOVE, (0, 0, 0, 0.003), "holds"),
        (ABOVE, (0.003, 0, 0, 0), "fails"),
        (ABOVE, (0, 0.003, 0.003, 0), "undecided"),
        (BEST, (0, 0, 0, 0.003), "holds"),
        (BEST, (0, 0, 0.003, 0.003), "undecided"),
        (BEST, (0, 0, 0.006, 0.003), "fails"),
        (NOT_WORSE, (0, 0, 0, 0), "holds"),
        (NOT_WORSE, (0, 0, 0, 0.003), "holds"),
        (NOT_WORSE, (0, 0.003, 0, 0), "fails"),
        (NOT_WORSE, (0, 0.001, 0, 0), "undecided"),
        (FLAT, (0, 0, 0, 0), "holds"),
        (FLAT, (0, 0, 0.003, 0), "fails"),
        (FLAT, (0, 0, 0.001, 0), "undecided"),
    ],
)
def test_each_rule_holds_fails_or_stays_undecided(
    rule: Rule, effects: tuple[float, ...], expected: str
) -> None:
    assert verdict(rule, scores_of(*effects)) == expected


@pytest.mark.parametrize("rule", [ABOVE, BEST, NOT_WORSE, FLAT])
def test_one_replicate_decides_nothing(rule: Rule) -> None:
    judged = judge(study_of(rule), scores_of(0, 0, 0, 0.1, replicates=1))[0]
    assert judged.verdict == "undecided"
    assert "ot enough replicates to decide" in judged.found


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(ABOVE, "undecided"), (BEST, "undecided"), (NOT_WORSE, "holds"), (FLAT, "holds")],
)
def test_levels_that_agree_to_the_bit(rule: Rule, expected: str) -> None:
    scores = scores_of(0, 0, 0, 0)
    same = np.repeat(scores.values_LRT[:1], 4, axis=0)
    assert verdict(rule, replace(scores, values_LRT=same)) == expected


def test_a_level_without_replicates_leaves_best_open_but_can_not_save_it() -> None:
    assert verdict(BEST, scores_of(0, NAN, 0, 0.003)) == "undecided"
    assert verdict(BEST, scores_of(0.009, NAN, 0, 0.003)) == "fails"
    assert "could not be tested" in judge(study_of(BEST), scores_of(0, NAN, 0, 0.003))[0].found
    assert verdict(ABOVE, scores_of(0, NAN, 0, 0.003)) == "holds"


def test_one_rule_the_other_way_fails_the_claim() -> None:
    up, down = (
        scores_of(0.002, 0, 0, 0.004),
        study_of(ABOVE, Above("first", "constant", "diamond")),
    )
    assert judge(down, up)[0].verdict == "fails"


@pytest.mark.parametrize(
    ("gains", "not_both", "trades"),
    [
        ((0.003, 0.003), "fails", "fails"),
        ((0.003, -0.003), "holds", "holds"),
        ((-0.003, 0.003), "holds", "holds"),
        ((-0.02, -0.02), "holds", "fails"),  # worse on both: no gain on both, and no trade
        ((0.0, 0.02), "holds", "fails"),  # a gain that costs nothing
        ((0.0, 0.0), "holds", "fails"),
        ((0.003, 0.001), "undecided", "fails"),
        ((0.003, -0.001), "holds", "undecided"),
        ((0.001, 0.001), "undecided", "fails"),
    ],
)
def test_gains_on_both_are_denied_and_trades_are_told_by_what_matters_on_each_task(
    gains: tuple[float, float], not_both: str, trades: str
) -> None:
    scores = with_gains(gains)
    assert verdict(NotBoth("b", "a"), scores) == not_both
    assert verdict(Trades("b", "a"), scores) == trades


def with_gains(*gains: tuple[float, float], replicates: int = 8, noise: float = 0.0002) -> Scores:
    """Level a, then one for each gain over it on both tasks."""
    rng = np.random.default_rng(2)
    tasks_LRK = 0.72 + np.array([(0.0, 0.0), *gains])[:, None]
    tasks_LRK = tasks_LRK + rng.normal(0, noise, (len(gains) + 1, replicates, 2))
    values: Array = np.concatenate([tasks_LRK, tasks_LRK.mean(axis=2, keepdims=True)], axis=2)
    levels = tuple("abcdefgh"[: len(values)])
    return Scores(levels, tuple(range(replicates)), ("click", "long_view", "mean"), values)


def test_of_several_rules_the_sentence_tells_the_weakest() -> None:
    scores = with_gains((0.0, 0.0), (0.003, -0.003), (0.003, 0.003), noise=0.002)
    gains = [Above(target, level, "a") for level in "bcd" for target in ("first", "second")]
    found = judge(study_of(*gains), scores)[0]
    assert (found.verdict, found.p_fails > ALPHA) == ("undecided", True)
    worst = scores.difference("c", "a", "long_view")
    assert f"c minus a on long_view is {words.difference(worst)}" in found.found
    ahead = sum(
        scores.difference(level, "a", target).mean > 0
        for level in "bcd"
        for target in ("click", "long_view")
    )
    assert f"of 6 comparisons, {ahead} lean its way" in found.found


def test_of_a_denial_the_sentence_tells_the_model_that_comes_nearest_to_two_gains() -> None:
    scores = with_gains((-0.003, -0.003), (0.0012, 0.0018), (0.004, -0.004), noise=0.0006)
    found = judge(study_of(*(NotBoth(level, "a") for level in "bcd")), scores)[0]
    assert found.verdict == "undecided"
    lower = scores.difference("c", "a", "click")
    assert f"c minus a on click is {words.difference(lower)}" in found.found
    assert "of 3 conditions" in found.found
    held = judge(study_of(NotBoth("b", "a"), NotBoth("d", "a")), scores)[0]
    assert held.verdict == "holds"
    told = "Each of 2 conditions is met; the weakest: b minus a on "
    assert held.found.startswith(told)


def test_a_rule_without_comparisons_is_not_held_for_true() -> None:
    alone = Best("mean", "diamond", among=("diamond",))
    assert verdict(alone, scores_of(0, 0, 0, 0.003)) == "undecided"
    told = judge(study_of(ABOVE, alone), scores_of(0, 0, 0, 0.003))[0]
    assert told.verdict == "undecided"


def test_a_study_compares_the_same_whatever_came_out_and_whatever_is_claimed() -> None:
    sizes = {
        families(compare(asked, scores))
        for asked in (study_of(), study_of(BEST, FLAT))
        for scores in (scores_of(0, 0, 0, 0), scores_of(0, NAN, 0.01, 0), scores_of(1, 1, 1, NAN))
    }
    assert sizes == {(9, 9)}  # the reference against three levels, two tasks and their mean


def test_a_claim_of_one_comparison_has_the_two_sided_p_and_more_claims_make_it_harder() -> None:
    scores = scores_of(0, 0, 0, 0.0004, noise=0.0003)
    p = p_value(scores.difference("diamond", "constant", "long_view"))
    alone = judge(study_of(ABOVE), scores)[0]
    assert alone.p_holds == pytest.approx(p)
    claims = [Claim(name, "", "", (ABOVE,)) for name in ("one", "two", "three")]
    among = judge(replace(study_of(), claims=tuple(claims)), scores)
    assert p is not None
    assert among[0].p_holds == pytest.approx(3 * p)


def test_the_parts_of_a_claim_are_not_adjusted_for_to_hold_but_to_fail() -> None:
    scores = scores_of(0, 0, 0, 0.0004, noise=0.0003)
    others = ("constant", "increasing", "decreasing")
    p = [p_value(scores.difference("diamond", o, "mean"), "above") for o in others]
    q = [p_value(scores.difference("diamond", o, "mean"), "below") for o in others]
    found = judge(study_of(BEST), scores)[0]
    assert found.p_holds == pytest.approx(2 * max(x for x in p if x is not None))
    assert found.p_fails == pytest.approx(min(1, 2 * 3 * min(x for x in q if x is not None)))
    again = judge(study_of(BEST, Above("mean", "diamond", "constant")), scores)[0]
    assert (again.p_holds, again.p_fails) == (found.p_holds, found.p_fails)  # each counts once


def test_levels_on_different_test_sets_are_not_compared() -> None:
    apart = replace(scores_of(0, 0, 0, 0.003), test_sets={"constant": "other rows"})
    assert len(apart.differences("diamond", "constant", "mean")) == 0
    judged = judge(study_of(ABOVE), apart)[0]
    assert judged.verdict == "undecided"
    assert families(compare(study_of(), apart)) == (6, 6)


def test_the_rule_is_told_in_words() -> None:
    told = judge(study_of(BEST, NOT_WORSE, FLAT, ABOVE), scores_of(0, 0, 0, 0))[0].rule
    assert told == (
        "diamond has a higher AUC on the mean than every other level; and diamond is at most "
        "0.001 below every other level in AUC on click; and no two levels differ by more than "
        "0.001 in AUC on click; and diamond has a higher AUC on long_view than constant"
    )


def test_rules_that_say_the_same_of_several_levels_are_told_as_one() -> None:
    rules = (NotBoth("b", "a"), NotBoth("c", "a"), Trades("c", "a"), Above("mean", "c", "b"))
    assert judge(study_of(*rules), with_gains((0, 0), (0, 0)))[0].rule == (
        "each of b and c gains less than 0.001 in AUC over a on at least one task; and c gains "
        "more than 0.001 in AUC over a on one task and loses more than that on the other; and c "
        "has a higher AUC on the mean than b"
    )


def test_the_deciding_figure_is_in_the_sentence() -> None:
    scores = scores_of(0.003, 0, 0, 0)
    found = judge(study_of(ABOVE), scores)[0].found
    estimate = scores.difference("diamond", "constant", "long_view")
    assert words.difference(estimate) in found
    assert "6 paired replicates" in found
    assert found.startswith("Significant the other way")


@pytest.mark.parametrize("sign", [1, -1])
def test_what_decides_and_is_too_small_to_matter_is_said_to_be(sign: int) -> None:
    small = judge(study_of(ABOVE), scores_of(0, 0, 0, sign * 0.0005, noise=0.0001))[0]
    assert small.verdict == ("holds" if sign > 0 else "fails")
    assert "It is there, but below 0.001, which matters to nobody (p" in small.found
    large = judge(study_of(ABOVE), scores_of(0, 0, 0, sign * 0.003))[0]
    assert "matters" not in large.found


@pytest.mark.parametrize("rule", [NOT_WORSE, FLAT])
def test_of_what_was_not_shown_to_differ_nothing_is_said_to_be_there(rule: Rule) -> None:
    found = judge(study_of(rule), scores_of(0, 0, 0, 0))[0]
    assert found.verdict == "holds"
    assert "It is there" not in found.found


def test_a_level_that_the_study_has_not_here_is_no_lack_of_replicates() -> None:
    found = judge(study_of(Above("mean", "diamond", "gone")), scores_of(0, 0, 0, 0.003))[0].found
    assert found == (
        "None of the comparisons could be made: gone is not a level of this study here."
    )


def test_the_factor_is_judged_level_by_level() -> None:
    def told(scores: Scores) -> tuple[str, ...]:
        study = study_of(BEST)
        return factor_sentences(study, scores, compare(study, scores))

    found = told(scores_of(0, 0.0001, 0.006, 0.003))
    assert found[0].startswith("diamond vs constant on the mean: AUC +0.00")
    assert found[0].endswith("after Holm: better.")
    assert found[2].endswith("worse.")
    assert all(s.endswith("after Holm: equivalent.") for s in told(scores_of(0, 0, 0, 0)))
    assert told(scores_of(0, 0, 0, 0.0005))[0].endswith("(it is above, but by less than matters).")
    assert "seeds would decide" in told(scores_of(0, 0, 0, 0.001, noise=0.002))[0]
    assert told(scores_of(0, NAN, 0, 0.003))[1].endswith("no replicate has both.")


def test_only_a_significantly_best_level_stands_out() -> None:
    assert significantly_best(scores_of(0, 0, 0, 0.003), "mean") == "diamond"
    assert significantly_best(scores_of(0, 0, 0.003, 0.003), "mean") is None
    assert significantly_best(scores_of(0, 0, 0, 0.003, replicates=1), "mean") is None


@pytest.mark.parametrize("replicates", [3, 10])
def test_of_claims_on_the_border_of_the_truth_any_is_decided_in_one_of_twenty_studies(
    replicates: int,
) -> None:
    """Each of them could be decided either way, and every verdict is a false one."""
    rules: tuple[Rule, ...] = (
        NotBoth("b", "a"), Trades("c", "a"), Flat("first"), NotWorse("second", "a"),
        Best("first", "b"), Above("mean", "d", "a"),
    )  # fmt: skip
    claims = tuple(Claim(str(i), "", "", (rule,)) for i, rule in enumerate(rules))
    study = replace(study_of(), claims=claims)
    true = with_gains((0.001, 0.001), (0.001, -0.001), (0.0, 0.0), replicates=replicates, noise=0)
    rng, studies, wrong = np.random.default_rng(3), 400, 0
    for _ in range(studies):
        noise = rng.normal(0, 0.0008, true.values_LRT.shape)
        noise[:, :, 2] = noise[:, :, :2].mean(axis=2)
        scores = replace(true, values_LRT=true.values_LRT + noise)
        wrong += any(found.verdict != "undecided" for found in judge(study, scores))
    assert wrong / studies <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_ten_seeds_find_a_winner_that_is_clearly_ahead_of_eight_others_on_both_tasks() -> None:
    """Holm over each comparison of the study would find it in 16 of 100 studies."""
    study = catalog.get("models_video")
    winner = study.levels.index("fsmd")
    rng, studies, holds, wrong = np.random.default_rng(4), 100, 0, 0
    for _ in range(studies):
        tasks_LRK = 0.72 + rng.normal(0, 0.0012, (len(study.levels), 10, 2))
        tasks_LRK[winner] += 0.003
        values = np.concatenate([tasks_LRK, tasks_LRK.mean(axis=2, keepdims=True)], axis=2)
        scores = Scores(study.levels, tuple(range(10)), ("click", "long_view", "mean"), values)
        found = {judged.claim.id: judged.verdict for judged in judge(study, scores)}
        holds += found["table4-fsmd-best"] == "holds"
        wrong += found["table4-fsmd-best"] == "fails" or found["fig10-no-gain"] == "fails"
    assert holds / studies >= 0.7
    assert wrong / studies <= 0.05


def test_few_false_verdicts_where_nothing_differs() -> None:
    """Holm keeps the chance of any wrong "holds" or "fails" of a study at 5 %."""
    rng = np.random.default_rng(3)
    study = study_of(BEST, Best("second", "diamond"))
    wrong = 0
    for values in rng.normal(0.72, 0.001, (400, 4, 5, 3)):
        scores = Scores(LEVELS, tuple(range(5)), ("click", "long_view", "mean"), values)
        wrong += judge(study, scores)[0].verdict != "undecided"
    assert wrong / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
