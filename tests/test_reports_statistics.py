"""Estimates against scipy and hand-computed numbers; verdicts rule by rule."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from statsmodels.stats.weightstats import ttost_paired

from reports import words
from reports.contrasts import factor_sentences
from reports.estimates import (
    Array,
    Kind,
    holm,
    mean_interval,
    p_value,
    p_values,
    tail,
)
from reports.results import Scores
from reports.tables import significantly_best
from reports.verdicts import compare, families, judge, questions
from studies import catalog
from studies.definition import Above, Best, Claim, Flat, NotBoth, NotWorse, Rule, Study

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
    shifted = stats.ttest_rel(a + 0.001, b).pvalue
    assert p_value(found, "not_worse", 0.001) == pytest.approx(shifted)
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
    found = [p_values("above", m, s, test, n - 1, 0.0) for m, s in zip(mean, seeds, strict=True)]
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
        ([0.0, 0.0, 0.0], "above", 0.0, 1.0),
        ([0.002, 0.002, 0.002], "above", 0.0, 0.0),
        ([0.001 + 1e-17, 0.001, 0.001], "not_worse", -0.001, 1.0),  # rounding is no effect
        ([0.0, 0.0], "within", 0.001, 0.0),
        ([0.001, 0.001], "within", 0.001, 0.5),
        ([0.002, 0.002], "within", 0.001, 1.0),
        ([0.002, 0.002], "beyond", 0.001, 0.0),
        ([0.0005, 0.0005], "beyond", 0.001, 1.0),
    ],
)
def test_where_nothing_varies_the_answer_is_sure(
    values: list[float], kind: Kind, margin: float, expected: float
) -> None:
    assert p_value(mean_interval(values), kind, margin) == expected


def test_equal_differences_have_a_point_for_an_interval_unless_the_test_set_moves_them() -> None:
    assert mean_interval([0.1, 0.1, 0.1])[:4] == pytest.approx((0.1, 0.1, 0.1, 3))
    found = mean_interval([0.1, 0.1, 0.1], 0.01)
    assert found.low == pytest.approx(0.1 - stats.norm.ppf(0.975) * 0.1)


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
    found, moved = mean_interval(values), mean_interval([v + shift for v in values])
    assert found.low is not None
    assert found.high is not None
    assert found.low <= found.mean <= found.high
    assert moved.mean == pytest.approx(found.mean + shift, abs=1e-9)


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
    assert "could not be made" in judge(study_of(BEST), scores_of(0, NAN, 0, 0.003))[0].found
    assert verdict(ABOVE, scores_of(0, NAN, 0, 0.003)) == "holds"


def test_one_rule_the_other_way_fails_the_claim() -> None:
    up, down = (
        scores_of(0.002, 0, 0, 0.004),
        study_of(ABOVE, Above("first", "constant", "diamond")),
    )
    assert judge(down, up)[0].verdict == "fails"


def test_two_gains_decide_against_a_rule_that_denies_them_and_one_loss_for_it() -> None:
    denied = NotBoth("diamond", "constant")
    assert verdict(denied, scores_of(0, 0, 0, 0.003)) == "fails"
    assert verdict(denied, scores_of(0.003, 0, 0, 0)) == "holds"
    assert verdict(denied, scores_of(0, 0, 0, 0)) == "undecided"
    found = judge(study_of(denied), scores_of(0.003, 0, 0, 0))[0].found
    assert "diamond minus constant" in found


def test_a_rule_without_comparisons_is_not_held_for_true() -> None:
    alone = Best("mean", "diamond", among=("diamond",))
    assert verdict(alone, scores_of(0, 0, 0, 0.003)) == "undecided"
    told = judge(study_of(ABOVE, alone), scores_of(0, 0, 0, 0.003))[0]
    assert told.verdict == "undecided"


def test_each_different_question_of_a_study_is_one_test() -> None:
    scores = scores_of(0, 0, 0, 0.003)
    own = families(compare(study_of(), scores))
    assert own == (9, 9)  # the reference against three levels, two tasks and their mean
    asked = study_of(BEST, Above("first", "constant", "diamond"), FLAT)
    assert families(compare(asked, scores)) == (9 + 6, 9 + 3)  # flat: six pairs, three known
    assert families(compare(study_of(NOT_WORSE), scores)) == (9 + 3, 9)


def test_a_study_tests_the_same_whatever_came_out() -> None:
    asked = study_of(BEST, FLAT)
    sizes = {
        families(compare(asked, scores))
        for scores in (scores_of(0, 0, 0, 0), scores_of(0, NAN, 0.01, 0), scores_of(1, 1, 1, NAN))
    }
    assert len(sizes) == 1


def test_a_question_and_its_reverse_have_one_p() -> None:
    scores = scores_of(0, 0, 0, 0.0008, noise=0.0006)
    made = compare(study_of(ABOVE, Above("second", "constant", "diamond")), scores)
    there, back = (made[questions(rule, scores)[0]] for rule in (
        ABOVE, Above("second", "constant", "diamond")))  # fmt: skip
    assert there.p == back.p
    assert there.difference.mean == -back.difference.mean


def test_more_claims_make_every_comparison_harder() -> None:
    scores = scores_of(0, 0, 0, 0.0008, noise=0.0006)
    alone = compare(study_of(ABOVE), scores)
    among = compare(study_of(ABOVE, FLAT, NOT_WORSE), scores)
    question = questions(ABOVE, scores)[0]
    assert (alone[question].p or 0) < (among[question].p or 0)


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


def test_the_deciding_figure_is_in_the_sentence() -> None:
    scores = scores_of(0.003, 0, 0, 0)
    found = judge(study_of(ABOVE), scores)[0].found
    estimate = scores.difference("diamond", "constant", "long_view")
    assert words.difference(estimate) in found
    assert "6 paired seeds" in found
    assert found.startswith("Significant the other way")


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


def test_few_false_verdicts_where_nothing_differs() -> None:
    """Holm keeps the chance of any wrong "holds" or "fails" of a study at 5 %."""
    rng = np.random.default_rng(3)
    study = study_of(BEST, Best("second", "diamond"))
    wrong = 0
    for values in rng.normal(0.72, 0.001, (400, 4, 5, 3)):
        scores = Scores(LEVELS, tuple(range(5)), ("click", "long_view", "mean"), values)
        wrong += judge(study, scores)[0].verdict != "undecided"
    assert wrong / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5
