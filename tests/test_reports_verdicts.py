"""Claims, rule by rule: on one, two and three tasks, and where less is better."""

from dataclasses import replace

import numpy as np
import pytest

from fsmd.stats.estimates import ALPHA, Array, p_value
from fsmd.tasks import MEAN, Task, targets
from reports import words
from reports.results import Scores
from reports.study.comparisons import compare
from reports.study.reading import Reading
from reports.study.verdicts import LEANING, VERDICTS, Judged, judge
from studies import catalog
from studies.definition import (
    Above,
    Best,
    Claim,
    Flat,
    NotEverywhere,
    NotWorse,
    Rule,
    Study,
    Trades,
)
from tests.made_up import CENSUS, MIXED, tasks

ARMS = ("constant", "increasing", "decreasing", "diamond")
TWO = tasks(2)
LOSSES = tasks(2, ("log_loss",))

pytestmark = pytest.mark.usefixtures("no_collection")


def with_mean(values_ARK: Array) -> Array:
    return np.concatenate([values_ARK, values_ARK.mean(axis=2, keepdims=True)], axis=2)


def scores_of(
    *effects: float, replicates: int = 6, noise: float = 0.0002, of: tuple[Task, ...] = TWO
) -> Scores:
    """On all tasks arm i is at 0.72 + effects[i], seeds shared; NaN effect: not trained."""
    rng = np.random.default_rng(1)
    shared_R1 = rng.normal(0, 0.001, (replicates, 1))
    values_ARK = np.array(
        [0.72 + e + shared_R1 + rng.normal(0, noise, (replicates, len(of))) for e in effects]
    )
    known = targets(of)
    values_ART = with_mean(values_ARK) if known[-1].key == MEAN else values_ARK
    return Scores(ARMS[: len(effects)], tuple(range(replicates)), known, values_ART)


def study(name: str = "tower_shape") -> Study:
    definition = catalog.get(name)
    assert isinstance(definition, Study)
    return definition


def study_of(*rules: Rule) -> Study:
    return replace(study(), claims=(Claim("a-claim", "A sentence.", "Fig. 11", rules),))


def judged(definition: Study, scores: Scores, of: tuple[Task, ...] = TWO) -> tuple[Judged, ...]:
    return judge(Reading(definition, of), scores)


def verdict(rule: Rule, scores: Scores, of: tuple[Task, ...] = TWO) -> str:
    """What is decided: `undecided` where it leans or is open."""
    return decided(judged(study_of(rule), scores, of)[0])


def decided(found: Judged) -> str:
    return found.verdict if found.verdict in ("holds", "fails") else "undecided"


ABOVE = Above("long_view", "diamond", "constant")
BEST = Best("mean", "diamond")
NOT_WORSE = NotWorse("click", "diamond")
FLAT = Flat("click")
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
    found = judged(study_of(rule), scores_of(0, 0, 0, 0.1, replicates=1))[0]
    assert found.verdict == "open"
    assert "ot enough replicates to decide" in found.found


@pytest.mark.parametrize(
    ("rule", "expected"),
    [(ABOVE, "undecided"), (BEST, "undecided"), (NOT_WORSE, "holds"), (FLAT, "holds")],
)
def test_arms_that_agree_to_the_bit(rule: Rule, expected: str) -> None:
    scores = scores_of(0, 0, 0, 0)
    same = np.repeat(scores.values_ART[:1], 4, axis=0)
    assert verdict(rule, replace(scores, values_ART=same)) == expected


def test_an_arm_without_replicates_leaves_best_open_but_can_not_save_it() -> None:
    assert verdict(BEST, scores_of(0, NAN, 0, 0.003)) == "undecided"
    assert verdict(BEST, scores_of(0.009, NAN, 0, 0.003)) == "fails"
    assert "could not be tested" in judged(study_of(BEST), scores_of(0, NAN, 0, 0.003))[0].found
    assert verdict(ABOVE, scores_of(0, NAN, 0, 0.003)) == "holds"


def test_one_rule_the_other_way_fails_the_claim() -> None:
    up, down = (
        scores_of(0.002, 0, 0, 0.004),
        study_of(ABOVE, Above("click", "constant", "diamond")),
    )
    assert judged(down, up)[0].verdict == "fails"


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
    assert verdict(NotEverywhere("b", "a"), scores) == not_both
    assert verdict(Trades("b", "a"), scores) == trades


def with_gains(*gains: tuple[float, float], replicates: int = 8, noise: float = 0.0002) -> Scores:
    """Arm a, then one for each gain over it on both tasks."""
    rng = np.random.default_rng(2)
    tasks_ARK = 0.72 + np.array([(0.0, 0.0), *gains])[:, None]
    tasks_ARK = tasks_ARK + rng.normal(0, noise, (len(gains) + 1, replicates, 2))
    values: Array = np.concatenate([tasks_ARK, tasks_ARK.mean(axis=2, keepdims=True)], axis=2)
    arms = tuple("abcdefgh"[: len(values)])
    return Scores(arms, tuple(range(replicates)), targets(TWO), values)


def test_of_several_rules_the_sentence_tells_the_weakest() -> None:
    scores = with_gains((0.0, 0.0), (0.003, -0.003), (0.003, 0.003), noise=0.002)
    gains = [Above(target, arm, "a") for arm in "bcd" for target in ("click", "long_view")]
    found = judged(study_of(*gains), scores)[0]
    assert (decided(found), found.p_fails > ALPHA) == ("undecided", True)
    worst = scores.difference("c", "a", "long_view")
    assert f"c minus a on long_view is {words.difference(worst)}" in found.found
    ahead = sum(
        scores.difference(arm, "a", target).mean > 0
        for arm in "bcd"
        for target in ("click", "long_view")
    )
    assert f"Of 6 comparisons {ahead} go its way" in found.found


def test_of_a_denial_the_sentence_tells_the_model_that_comes_nearest_to_two_gains() -> None:
    scores = with_gains((-0.002, -0.002), (0.0012, 0.0018), (0.004, -0.004), noise=0.0006)
    found = judged(study_of(*(NotEverywhere(arm, "a") for arm in "bcd")), scores)[0]
    assert decided(found) == "undecided"
    lower = scores.difference("c", "a", "click")
    assert f"c minus a on click is {words.difference(lower)}" in found.found
    assert "Of 3 conditions" in found.found
    held = judged(study_of(NotEverywhere("b", "a"), NotEverywhere("d", "a")), scores)[0]
    assert held.verdict == "holds"
    told = "Of 2 conditions all are met; the weakest: b minus a on "
    assert held.found.startswith(told)


def test_a_rule_without_comparisons_is_not_held_for_true() -> None:
    alone = Best("mean", "diamond", among=("diamond",))
    assert verdict(alone, scores_of(0, 0, 0, 0.003)) == "undecided"
    told = judged(study_of(ABOVE, alone), scores_of(0, 0, 0, 0.003))[0]
    assert told.verdict == "open"


def test_a_study_compares_the_same_whatever_came_out_and_whatever_is_claimed() -> None:
    sizes = {
        len(compare(Reading(asked, TWO), scores))
        for asked in (study_of(), study_of(BEST, FLAT))
        for scores in (scores_of(0, 0, 0, 0), scores_of(0, NAN, 0.01, 0), scores_of(1, 1, 1, NAN))
    }
    assert sizes == {9}  # the reference against three arms, two tasks and their mean


def test_a_claim_of_one_comparison_has_the_two_sided_p_and_more_claims_make_it_harder() -> None:
    scores = scores_of(0, 0, 0, 0.0004, noise=0.0003)
    p = p_value(scores.difference("diamond", "constant", "long_view"))
    alone = judged(study_of(ABOVE), scores)[0]
    assert alone.p_holds == pytest.approx(p)
    claims = [Claim(name, "", "", (ABOVE,)) for name in ("one", "two", "three")]
    among = judged(replace(study_of(), claims=tuple(claims)), scores)
    assert p is not None
    assert among[0].p_holds == pytest.approx(3 * p)


def test_the_parts_of_a_claim_are_not_adjusted_for_to_hold_but_to_fail() -> None:
    scores = scores_of(0, 0, 0, 0.0004, noise=0.0003)
    others = ("constant", "increasing", "decreasing")
    p = [p_value(scores.difference("diamond", o, "mean"), "above") for o in others]
    q = [p_value(scores.difference("diamond", o, "mean"), "below") for o in others]
    found = judged(study_of(BEST), scores)[0]
    assert found.p_holds == pytest.approx(2 * max(x for x in p if x is not None))
    assert found.p_fails == pytest.approx(min(1, 2 * 3 * min(x for x in q if x is not None)))
    again = judged(study_of(BEST, Above("mean", "diamond", "constant")), scores)[0]
    assert (again.p_holds, again.p_fails) == (found.p_holds, found.p_fails)  # each counts once


def test_arms_on_different_test_sets_are_not_compared() -> None:
    apart = replace(scores_of(0, 0, 0, 0.003), test_sets={"constant": "other rows"})
    assert len(apart.differences("diamond", "constant", "mean")) == 0
    found = judged(study_of(ABOVE), apart)[0]
    assert found.verdict == "open"
    assert len(compare(Reading(study_of(), TWO), apart)) == 6


def test_the_rule_is_told_in_words() -> None:
    told = judged(study_of(BEST, NOT_WORSE, FLAT, ABOVE), scores_of(0, 0, 0, 0))[0].rule
    assert told == (
        "diamond has a higher AUC on the mean than every other arm; and diamond is at most "
        "0.001 below every other arm in AUC on click; and no two arms differ by more than "
        "0.001 in AUC on click; and diamond has a higher AUC on long_view than constant"
    )


def test_rules_that_say_the_same_of_several_arms_are_told_as_one() -> None:
    rules = (
        NotEverywhere("b", "a"),
        NotEverywhere("c", "a"),
        Trades("c", "a"),
        Above("mean", "c", "b"),
    )
    assert judged(study_of(*rules), with_gains((0, 0), (0, 0)))[0].rule == (
        "each of b and c gains less than 0.001 in AUC over a on at least one task; and c gains "
        "more than 0.001 in AUC over a on one task and loses more than that on another; and c "
        "has a higher AUC on the mean than b"
    )


def test_the_deciding_figure_is_in_the_sentence() -> None:
    scores = scores_of(0.003, 0, 0, 0)
    found = judged(study_of(ABOVE), scores)[0].found
    estimate = scores.difference("diamond", "constant", "long_view")
    assert words.difference(estimate) in found
    assert found.startswith("diamond minus constant on long_view is")
    assert found.endswith("over 6 replicates.")


@pytest.mark.parametrize("sign", [1, -1])
def test_what_decides_and_is_too_small_to_matter_is_said_to_be(sign: int) -> None:
    small = judged(study_of(ABOVE), scores_of(0, 0, 0, sign * 0.0005, noise=0.0001))[0]
    assert small.verdict == ("holds" if sign > 0 else "fails")
    assert small.found.endswith("It is there, but below 0.001, which matters to nobody.")
    large = judged(study_of(ABOVE), scores_of(0, 0, 0, sign * 0.003))[0]
    assert "matters" not in large.found


@pytest.mark.parametrize("rule", [NOT_WORSE, FLAT])
def test_of_what_was_not_shown_to_differ_nothing_is_said_to_be_there(rule: Rule) -> None:
    found = judged(study_of(rule), scores_of(0, 0, 0, 0))[0]
    assert found.verdict == "holds"
    assert "It is there" not in found.found


def test_an_arm_that_the_study_has_not_here_is_no_lack_of_replicates() -> None:
    found = judged(study_of(Above("mean", "diamond", "gone")), scores_of(0, 0, 0, 0.003))[0].found
    assert found == (
        "None of the comparisons could be made: gone is not an arm of this study here."
    )


def test_each_of_five_words_has_its_rule() -> None:
    """Over shifts of one comparison: decided after Holm, else leaning by p alone, else open."""
    noise = scores_of(0, 0, 0, 0, noise=0.002)
    seen = set()
    claims = tuple(
        Claim(id, "", "", (rule,)) for id, rule in (("this", ABOVE), ("other", Flat("click", 1.0)))
    )
    for shift in np.linspace(-0.008, 0.008, 81):
        values = noise.values_ART.copy()
        values[3] += shift
        found, _ = judged(replace(study(), claims=claims), replace(noise, values_ART=values))
        difference = noise.difference("diamond", "constant", "long_view")
        shifted = difference._replace(mean=difference.mean + shift)
        alone = p_value(shifted, "above"), p_value(shifted, "below")
        assert found.alone == pytest.approx(alone)
        assert found.p_holds >= found.alone[0]
        assert found.p_fails >= found.alone[1]
        expected = "open"
        if min(found.p_holds, found.p_fails) < ALPHA:
            expected = "holds" if found.p_holds < found.p_fails else "fails"
        elif min(found.alone) < LEANING:
            expected = "leans towards" if found.alone[0] < LEANING else "leans against"
        assert found.verdict == expected
        seen.add(found.verdict)
    assert seen == set(VERDICTS)


@pytest.mark.parametrize("replicates", [3, 10])
def test_of_claims_on_the_border_of_the_truth_any_is_decided_in_one_of_twenty_studies(
    replicates: int,
) -> None:
    """Each of them could be decided either way, and every verdict is a false one."""
    rules: tuple[Rule, ...] = (
        NotEverywhere("b", "a"), Trades("c", "a"), Flat("click"), NotWorse("long_view", "a"),
        Best("click", "b"), Above("mean", "d", "a"),
    )  # fmt: skip
    claims = tuple(Claim(str(i), "", "", (rule,)) for i, rule in enumerate(rules))
    asked = replace(study_of(), claims=claims)
    true = with_gains((0.001, 0.001), (0.001, -0.001), (0.0, 0.0), replicates=replicates, noise=0)
    rng, studies, wrong = np.random.default_rng(3), 400, 0
    for _ in range(studies):
        noise = rng.normal(0, 0.0008, true.values_ART.shape)
        noise[:, :, 2] = noise[:, :, :2].mean(axis=2)
        scores = replace(true, values_ART=true.values_ART + noise)
        wrong += any(decided(found) != "undecided" for found in judged(asked, scores))
    assert wrong / studies <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_ten_seeds_find_a_winner_that_is_clearly_ahead_of_eight_others_on_both_tasks() -> None:
    """Holm over each comparison of the study would find it in 16 of 100 studies."""
    video = study("models_video")
    arms = tuple(arm.name for arm in video.arms)
    winner = arms.index("fsmd")
    rng, studies, holds, wrong = np.random.default_rng(4), 100, 0, 0
    for _ in range(studies):
        tasks_ARK = 0.72 + rng.normal(0, 0.0012, (len(arms), 10, 2))
        tasks_ARK[winner] += 0.003
        values = np.concatenate([tasks_ARK, tasks_ARK.mean(axis=2, keepdims=True)], axis=2)
        scores = Scores(arms, tuple(range(10)), targets(TWO), values)
        found = {j.claim.id: j.verdict for j in judged(video, scores)}
        holds += found["table4-fsmd-best"] == "holds"
        wrong += found["table4-fsmd-best"] == "fails" or found["fig10-no-gain"] == "fails"
    assert holds / studies >= 0.7
    assert wrong / studies <= 0.05


def test_few_false_verdicts_where_nothing_differs() -> None:
    """Holm keeps the chance of any wrong "holds" or "fails" of a study at 5 %."""
    rng = np.random.default_rng(3)
    asked = study_of(BEST, Best("long_view", "diamond"))
    wrong = 0
    for values in rng.normal(0.72, 0.001, (400, 4, 5, 3)):
        scores = Scores(ARMS, tuple(range(5)), targets(TWO), values)
        wrong += decided(judged(asked, scores)[0]) != "undecided"
    assert wrong / 400 <= 0.05 + 3 * (0.05 * 0.95 / 400) ** 0.5


# Any number of tasks, any metric


def turned(scores: Scores, of: tuple[Task, ...]) -> Scores:
    """The same gains in figures of which less is better."""
    return replace(scores, targets=targets(of), values_ART=1 - scores.values_ART)


@pytest.mark.parametrize("rule", [ABOVE, BEST, NOT_WORSE, FLAT])
@pytest.mark.parametrize(
    "effects", [(0, 0, 0, 0.003), (0.003, 0, 0, 0), (0, 0, 0, 0), (0, 0.003, 0.003, 0)]
)
def test_where_less_is_better_the_same_gains_have_the_same_verdict(
    rule: Rule, effects: tuple[float, ...]
) -> None:
    scores = scores_of(*effects)
    auc = judged(study_of(rule), scores)[0]
    loss = judged(study_of(rule), turned(scores, LOSSES), LOSSES)[0]
    assert loss.verdict == auc.verdict
    assert (loss.p_holds, loss.p_fails) == pytest.approx((auc.p_holds, auc.p_fails))


@pytest.mark.parametrize("gains", [(0.003, 0.003), (0.003, -0.003), (0.0, 0.0), (0.0, 0.02)])
@pytest.mark.parametrize("rule", [NotEverywhere("b", "a"), Trades("b", "a")])
def test_of_losses_too_what_matters_on_each_task_decides_on_all(
    gains: tuple[float, float], rule: Rule
) -> None:
    scores = with_gains(gains)
    assert verdict(rule, turned(scores, LOSSES), LOSSES) == verdict(rule, scores)


def test_of_losses_the_sentence_has_the_figures_as_measured_and_the_rule_says_lower() -> None:
    scores = turned(scores_of(0, 0, 0, 0.003), LOSSES)
    found = judged(study_of(ABOVE), scores, LOSSES)[0]
    assert found.verdict == "holds"
    estimate = scores.difference("diamond", "constant", "long_view")
    assert estimate.mean < 0
    assert words.difference(estimate) in found.found
    assert judged(study_of(ABOVE, NOT_WORSE), scores, LOSSES)[0].rule == (
        "diamond has a lower log loss on long_view than constant; and diamond is at most 0.001 "
        "above every other arm in log loss on click"
    )


@pytest.mark.parametrize(
    ("gains", "everywhere", "trades"),
    [
        ((0.003, 0.003, 0.003), "fails", "fails"),
        ((0.003, 0.003, 0.0), "holds", "fails"),
        ((0.003, 0.0, -0.003), "holds", "holds"),
        ((0.0, -0.003, 0.003), "holds", "holds"),
        ((-0.003, -0.003, 0.0), "holds", "fails"),
    ],
)
def test_a_trade_may_be_of_any_two_of_three_tasks_and_a_gain_everywhere_is_of_all(
    gains: tuple[float, float, float], everywhere: str, trades: str
) -> None:
    of = tasks(3)
    rng = np.random.default_rng(2)
    values = 0.72 + np.array([(0.0, 0.0, 0.0), gains])[:, None] + rng.normal(0, 2e-4, (2, 8, 3))
    scores = Scores(("a", "b"), tuple(range(8)), targets(of), with_mean(values))
    of_all = tuple(task.name for task in of)
    for rule, expected in ((NotEverywhere("b", "a"), everywhere), (Trades("b", "a"), trades)):
        definition = replace(study_of(rule), tasks=of_all)
        assert judged(definition, scores, of)[0].verdict == expected


def test_a_claim_of_two_tasks_is_judged_on_these_two_of_three() -> None:
    of = tasks(3)
    rng = np.random.default_rng(2)
    gains = (0.003, 0.003, -0.003)
    values = 0.72 + np.array([(0.0, 0.0, 0.0), gains])[:, None] + rng.normal(0, 2e-4, (2, 8, 3))
    scores = Scores(("a", "b"), tuple(range(8)), targets(of), with_mean(values))
    assert verdict(NotEverywhere("b", "a"), scores, of) == "fails"
    assert verdict(Trades("b", "a"), scores, of) == "fails"


def test_on_data_with_other_tasks_the_claims_tasks_stand_for_its_tasks_in_order() -> None:
    scores = replace(scores_of(0, 0, 0, 0.003), targets=targets(CENSUS))
    named, other = (
        judged(study_of(ABOVE), s, of)[0]
        for s, of in ((scores_of(0, 0, 0, 0.003), TWO), (scores, CENSUS))
    )
    assert (other.verdict, other.p_holds) == (named.verdict, named.p_holds)
    assert "on never_married" in other.rule
    assert Reading(study(), CENSUS).pairs == (("click", "income"), ("long_view", "never_married"))
    among_five = tuple(reversed(tasks(5)))  # whatever their order, names that are there stand
    assert Reading(study(), among_five).pairs == (("click", "click"), ("long_view", "long_view"))


def test_of_one_task_the_mean_is_that_task_and_what_needs_two_cannot_be_judged() -> None:
    one = tasks(1)
    scores = scores_of(0, 0, 0, 0.003, of=one)
    best = judged(study_of(BEST), scores, one)[0]
    assert best.verdict == "holds"
    assert best.rule == "diamond has a higher AUC on click than every other arm"
    for rule in (NotEverywhere("diamond", "constant"), Trades("diamond", "constant")):
        of_two = judged(study_of(rule), scores, one)[0]
        assert of_two.verdict == "open"
        assert of_two.found == (
            "It cannot be judged on this data: it speaks of 2 tasks, and this data has 1."
        )
    of_click = replace(study_of(NotEverywhere("diamond", "constant")), tasks=("click",))
    assert judged(of_click, scores, one)[0].verdict == "fails"
    trade = replace(study_of(Trades("diamond", "constant")), tasks=("click",))
    assert (
        "one task is traded for another, and there is one" in judged(trade, scores, one)[0].found
    )
    lacking = judged(study_of(BEST, ABOVE), scores, one)[0]
    assert (lacking.verdict, lacking.p_holds, lacking.p_fails) == ("open", 1, 1)
    assert "no task of this data stands for long_view" in lacking.found


def test_tasks_of_different_metrics_have_no_mean() -> None:
    scores = scores_of(0, 0, 0, 0.003, of=MIXED)
    found = judged(study_of(BEST), scores, MIXED)[0]
    assert found.verdict == "open"
    assert "there is no mean of them" in found.found
    assert found.rule == "diamond is better on the mean than every other arm"
    assert verdict(NotWorse("click", "diamond"), scores, MIXED) == "holds"


def test_a_margin_is_the_rules_own_else_the_studys_else_the_metrics() -> None:
    scores = scores_of(0, 0, 0.003, 0)
    assert verdict(Flat("click"), scores) == "fails"
    assert verdict(Flat("click", 0.01), scores) == "holds"
    wide = replace(study_of(Flat("click")), margins=(("auc", 0.01),))
    assert judged(wide, scores)[0].verdict == "holds"
    assert judged(replace(study_of(Flat("click", 0.0005)), margins=(("auc", 0.01),)), scores)[
        0
    ].verdict == ("fails")
