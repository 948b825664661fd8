"""The reference and the others: better, worse, equivalent, undecided; all tasks at once."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
from statsmodels.stats.power import TTestPower

from fsmd.config import FSMDConfig
from fsmd.stats.anova import effects
from fsmd.stats.estimates import Array
from fsmd.stats.power import Needed
from fsmd.stats.sampling import Sampling
from fsmd.stats.scatter import Scatters, scatters
from fsmd.tasks import MEAN, Task, targets
from reports import results
from reports.page.model import ComparedPairs, PairCell
from reports.pairs import Comparison, PairedTest, pairs_of
from reports.results import Scores
from reports.study.comparisons import (
    compare,
    detectable_differences,
    needed_in_words,
    of_arms,
    pairs,
)
from reports.study.how_to_read import rule_in_words
from reports.study.joint import JointVerdict, joint_verdicts
from reports.study.reading import Reading
from reports.study.shape import reference_first
from reports.study.tables import effects_frame
from studies import catalog
from studies.definition import Above, Arm, Best, Claim, Study
from tests.made_up import MIXED, tasks

TWO = tasks(2)
LOSSES = tasks(2, ("log_loss",))

pytestmark = pytest.mark.usefixtures("no_collection")


def study_of(*claims: Claim, margin: float | None = None) -> Study:
    """Arms a to g, of which a is the reference."""
    arms = tuple(Arm(name, (), (("variant", name),)) for name in "abcdefg")
    return Study(
        name="s",
        title="",
        question="",
        factor="arm",
        base=FSMDConfig(),
        arms=arms,
        reference="a",
        claims=claims,
        tasks=("click", "long_view"),
        margins=() if margin is None else (("auc", margin),),
    )


def scores_of(
    gains: list[tuple[float, ...]],
    n: int = 8,
    noise: float = 0.0002,
    of: tuple[Task, ...] = TWO,
) -> Scores:
    """Arm a's figures, then arms that differ from it by a gain on each task."""
    rng = np.random.default_rng(2)
    known = targets(of)
    gain_ARK = np.array([(0.0,) * len(of), *gains])[:, None]
    turned = 1 if known[0].metric == "auc" else -1
    values = 0.8 + turned * gain_ARK + rng.normal(0, noise, (len(gains) + 1, n, len(of)))
    if known[-1].key == MEAN:
        values = np.concatenate([values, values.mean(axis=2, keepdims=True)], axis=2)
    return Scores(tuple("abcdefg"[: len(values)]), tuple(range(n)), known, values)


def with_rows(scores: Scores, variance: float) -> Scores:
    """The same with this variance of each difference of a task's figure by the test set."""
    size = len(scores.arms)
    covariance = np.kron(np.eye(size), np.eye(2)).reshape(size, 2, size, 2) * variance / 2
    return replace(scores, samplings=(Sampling(scores.arms, covariance),))


def compared(
    scores: Scores, study: Study | None = None, of: tuple[Task, ...] = TWO
) -> tuple[Comparison, ...]:
    return compare(Reading(study or study_of(), of), scores)


def on_click(scores: Scores, of: tuple[Task, ...] = TWO) -> dict[str, Comparison]:
    return {c.arm: c for c in compared(scores, of=of) if c.target.key == "click"}


@pytest.mark.parametrize("missing", [(), ((3, 0),), ((1, 0), (2, 7), (5, 0))])
def test_scatter_is_learnt_from_all_arms_with_the_pairs_replicates_once_for_each_first_arm(
    monkeypatch: pytest.MonkeyPatch, missing: tuple[tuple[int, int], ...]
) -> None:
    scores = replace(scores_of([(0.0, 0.0)] * 6), reference="c")
    for row, replicate in missing:
        scores.values_ART[row, replicate] = np.nan
    learnt = list[int]()

    def counted(values_AR: Array, reference: int) -> Scatters:
        learnt.append(reference)
        return scatters(values_AR, reference)

    monkeypatch.setattr("reports.results.scatters", counted)
    for _ in range(2):
        for arm in "abdefg":
            shared = scores.shared(arm, "c")
            rows = [
                i for i in range(7) if np.isfinite(scores.values_ART[i, list(shared), 0]).all()
            ]
            values_AR = scores.values_ART[np.ix_(rows, shared, [0])][..., 0]
            expected = scatters(values_AR, rows.index(2))
            of = [i for i in rows if i != 2].index("abcdefg".index(arm))
            found = scores.difference(arm, "c", "click")
            assert found.se_seeds == pytest.approx((expected.variance_O[of] / len(shared)) ** 0.5)
            assert found.df == pytest.approx(expected.df_O[of])
    assert len(learnt) == len({scores.shared(arm, "c") for arm in "abdefg"})


@pytest.mark.parametrize("missing", [(), ((3, 0), (5, 0)), ((0, 2), (1, 0), (2, 7))])
@pytest.mark.parametrize("known_rows", [False, True])
def test_a_weighted_sum_of_targets_is_compared_as_one_figure(
    missing: tuple[tuple[int, int], ...], known_rows: bool
) -> None:
    """Of one pair alone, of all pairs at once, and as a study whose only figure it is."""
    scores = replace(scores_of([(0.001, -0.001)] * 6), reference="c")
    for row, replicate in missing:
        scores.values_ART[row, replicate] = np.nan
    weights = (700.0, -350.0)
    sums = replace(
        scores,
        targets=targets(tasks(1)),
        values_ART=(scores.values_ART[..., :2] @ np.array(weights))[..., None],
    )
    if known_rows:
        scores = with_rows(scores, 1e-8)
        covariance = np.eye(7)[:, None, :, None] * 1e-8 / 2 * (700**2 + 350**2)
        sums = replace(sums, samplings=(Sampling(sums.arms, covariance),))
    key = sums.targets[0].key
    for pair in (("a", "c"), ("c", "a"), ("a", "b"), ("f", "d")):
        expected = sums.summed(*pair, (1.0,))
        assert expected.mean == pytest.approx(sums.differences(*pair, key).mean(), rel=1e-9)
        for at_once in (False, True):
            found = scores.summed(*pair, (*weights, 0.0), at_once=at_once)
            for one, other in zip(found, expected, strict=True):
                assert one == (None if other is None else pytest.approx(other, rel=1e-9))
        cut_off = sums.difference(*pair, key)  # a figure from 0 to 1
        assert cut_off.low == max(expected.low or 0, -1)
        assert cut_off.high == min(expected.high or 0, 1)
    assert (sums.summed("c", "a", (1.0,)).high or 0) > 1


# Four words


@pytest.mark.parametrize("of", [TWO, LOSSES, tasks(1), tasks(3), MIXED])
def test_each_word_is_given(of: tuple[Task, ...]) -> None:
    more = (0.0,) * (len(of) - 1)
    scores = scores_of([(gain, *more) for gain in (0.003, -0.003, 0.0003, 0)], of=of)
    words = {arm: comparison.word for arm, comparison in on_click(scores, of).items()}
    assert words == {"b": "better", "c": "worse", "d": "equivalent", "e": "equivalent"}
    noisy = scores_of([(0.0007, *more)], noise=0.002, of=of)
    assert on_click(noisy, of)["b"].word == "undecided"


def test_where_less_is_better_the_difference_is_told_as_it_was_measured() -> None:
    comparison = on_click(scores_of([(0.003, 0)], of=LOSSES), LOSSES)["b"]
    assert (comparison.word, comparison.difference.mean < 0) == ("better", True)
    assert comparison.gain == -comparison.difference.mean


def test_a_baseline_is_subtracted_and_a_crowned_reference_is_what_others_are_subtracted_from() -> (
    None
):
    scores = scores_of([(0.003, 0), (0.0007, 0)], noise=0.0008)
    base = study_of()
    crowned = study_of(Claim("c", "", "", (Best("click", "a"),)))
    gains, leads = (
        {frozenset((c.arm, c.other)): c for c in compared(scores, s) if c.target.key == "click"}
        for s in (base, crowned)
    )
    for pair, gain in gains.items():
        lead = leads[pair]
        assert (gain.other, lead.arm) == ("a", "a")
        assert gain.difference.mean == -lead.difference.mean
        assert gain.difference == scores.difference(gain.arm, "a", "click")
        for there, back in ((gain.differs, lead.differs), (gain.equal, lead.equal)):
            assert (there.raw, there.p) == (back.raw, back.p)
        assert gain.needed == lead.needed
    assert gains[frozenset("ab")].word == "better"
    assert leads[frozenset("ab")].word == "worse"


def test_a_report_subtracts_the_way_that_its_claims_do() -> None:
    """What the claims put first comes first in figures and tables too."""
    definitions = (catalog.get(name) for name in catalog.names())
    ahead = {d.name for d in definitions if isinstance(d, Study) and reference_first(d)}
    assert {"tower_shape", "gate_depth", "expert_count", "components"} <= ahead
    assert not ahead & {"models_video", "models_census", "seesaw", "extras"}


def test_a_difference_inside_the_margins_is_equivalent_whatever_its_sign() -> None:
    comparisons = on_click(scores_of([(0.0004, 0), (-0.0004, 0)], n=10))
    assert {comparison.word for comparison in comparisons.values()} == {"equivalent"}
    assert all(comparison.differs.significant for comparison in comparisons.values())


def test_a_studys_own_margin_stands_in_for_the_metrics() -> None:
    scores = scores_of([(0.003, 0)])
    (comparison,) = (c for c in compared(scores, study_of(margin=0.01)) if c.target.key == "click")
    assert (comparison.margin, comparison.word) == (0.01, "equivalent")


def test_a_small_test_set_undecides_what_seeds_alone_decide() -> None:
    sure = scores_of([(0.003, 0)])
    assert on_click(sure)["b"].word == "better"
    doubted = on_click(with_rows(sure, 0.002**2))["b"]
    assert doubted.word == "undecided"
    assert doubted.needed == Needed(None, "test set")
    assert doubted.difference.se_test == pytest.approx(0.002)


def test_one_replicate_has_no_word_and_no_p() -> None:
    comparison = on_click(scores_of([(0.1, 0)], n=1))["b"]
    assert (comparison.differs.p, comparison.equal.p) == (None, None)
    assert comparison.word == "undecided"
    assert "not enough replicates" in needed_in_words(comparison.needed)


@pytest.mark.parametrize(("of", "tests"), [(TWO, 6), (tasks(1), 2), (tasks(3), 8), (MIXED, 4)])
def test_the_rule_is_told_in_words_with_the_margin_and_the_sizes(
    of: tuple[Task, ...], tests: int
) -> None:
    scores = scores_of([(0.0,) * len(of)] * 2, of=of)
    told = " ".join(rule_in_words(compared(scores, of=of), "±0.001"))
    assert "±0.001" in told
    assert f"over {tests} tests, the first after Holm" in told


def test_of_few_arms_the_comparisons_keep_the_p_of_all() -> None:
    scores = scores_of([(0.0007, 0), (0, 0), (0, 0)], noise=0.0008)
    every = compared(scores)
    few = of_arms(every, ("a", "b"))
    assert [c.arm for c in few] == ["b"] * 3
    assert {c.tests for c in few} == {9}
    assert set(few) <= set(every)


# What a study can find


def test_a_study_tells_the_smallest_differences_that_it_would_find() -> None:
    scores = scores_of([(0, 0), (0, 0)], n=5, noise=0.001)
    study = study_of(*(Claim(name, "", "", (Above("mean", "a", "b"),)) for name in "xy"))
    (told,) = detectable_differences(study, compared(scores, study))
    differences = [scores.differences("a", o, t.key) for o in "bc" for t in scores.targets]
    smallest = [
        float(np.median([d.std(ddof=1) for d in differences]))
        * TTestPower().solve_power(nobs=5, alpha=0.05 / tests, power=0.8)
        for tests in (2, 6)
    ]
    assert told == (
        "With 5 paired replicates a true difference in AUC is found with 80 % chance from "
        f"{smallest[0]:.2g} for a claim, {smallest[1]:.2g} in the comparisons on."
    )
    assert detectable_differences(study, compared(scores_of([(0, 0)], n=1), study)) == ()


def test_a_difference_that_cannot_be_is_not_told_as_the_smallest() -> None:
    scores = scores_of([(0, 0), (0, 0)], n=2, noise=0.05)
    (told,) = detectable_differences(study_of(), compared(scores))
    assert told == (
        "With 2 paired replicates this study would hardly show any difference in AUC: they are "
        "too few."
    )


def test_of_several_metrics_each_has_its_own_smallest_difference() -> None:
    scores = scores_of([(0, 0)], n=5, noise=0.001, of=MIXED)
    told = detectable_differences(study_of(), compared(scores, of=MIXED))
    assert ["in AUC" in sentence for sentence in told] == [True, False]
    assert ["in log loss" in sentence for sentence in told] == [False, True]


@pytest.mark.parametrize(
    ("needed", "told"),
    [
        (Needed(34), "about 34 seeds"),
        (Needed(34, at_least=True), "at least 34 seeds"),
        (Needed(None, "too many replicates"), "more than 1000 seeds"),
        (Needed(None, "test set"), "the test set is too small"),
        (Needed(None, "too few replicates"), "not enough replicates to decide"),
    ],
)
def test_what_would_decide_is_told_in_words(needed: Needed, told: str) -> None:
    assert needed_in_words(needed) == told


def by_pair(found: ComparedPairs | None) -> dict[tuple[str, str], tuple[PairCell, ...] | None]:
    assert found is not None
    return dict(zip(combinations(found.arms, 2), found.cells, strict=True))


@pytest.mark.parametrize("of", [TWO, LOSSES])
def test_any_two_arms_have_their_difference_and_a_word(of: tuple[Task, ...]) -> None:
    scores = scores_of([(0.0, 0.0), (0.003, 0.003), (0.003, -0.003)], of=of)
    cells = by_pair(pairs_of(scores, Reading(study_of(), of).margin))
    for pair, row in cells.items():
        found = [scores.difference(*pair, target.key) for target in scores.targets]
        assert [cell[:3] for cell in row or ()] == [(d.mean, d.low, d.high) for d in found]
    words = {"".join(pair): [cell.word for cell in row or ()][:2] for pair, row in cells.items()}
    assert words["ab"] == ["equivalent", "equivalent"]
    assert words["ac"] == words["bc"] == ["worse", "worse"]
    assert words["ad"] == ["worse", "better"]
    assert words["cd"] == ["equivalent", "better"]


def test_pairs_that_a_table_has_have_its_word_whichever_is_first() -> None:
    scores, reading = scores_of([(0.0005, 0.0)] * 2, noise=0.001), Reading(study_of(), TWO)
    alone = by_pair(pairs_of(scores, reading.margin))
    assert {cell.word for row in alone.values() for cell in row or ()} == {"undecided"}
    surely = PairedTest(0.001, 0.001)
    tables = [
        replace(c, differs=surely, equal=PairedTest(1, 1)) for c in compare(reading, scores)
    ]  # b and c against a
    told = by_pair(pairs_of(scores, reading.margin, tables))
    for other in "bc":
        expected = ["worse" if c.gain > 0 else "better" for c in tables if c.arm == other]
        assert [cell.word for cell in told["a", other] or ()] == expected
    assert told["b", "c"] == alone["b", "c"]


def test_two_that_share_no_replicate_have_no_difference() -> None:
    scores = scores_of([(0.0, 0.0)] * 2)
    scores.values_ART[1, 4:], scores.values_ART[2, :4] = np.nan, np.nan
    cells = by_pair(pairs_of(scores, Reading(study_of(), TWO).margin))
    assert [pair for pair, row in cells.items() if row is None] == [("b", "c")]


@pytest.mark.parametrize("most_learnt", [1000, 2])
@pytest.mark.parametrize("reference", [None, "a", "c"])
def test_differences_over_one_arm_at_once_are_those_of_each(
    reference: str | None, most_learnt: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where some replicates are missing, and where scatter is learnt from all arms or is not."""
    monkeypatch.setattr(results, "MOST_LEARNT", most_learnt)
    scores = replace(scores_of([(0.001 * i, 0.0) for i in range(5)]), reference=reference)
    for place, missing in ((1, slice(4, 8)), (2, slice(0, 2)), (3, slice(1, 8))):
        scores.values_ART[place, missing] = np.nan
    for arm, other in permutations(scores.trained, 2):
        for key in ("click", "mean"):
            each = scores.difference(arm, other, key)
            assert scores.difference(arm, other, key, at_once=True) == each


def test_one_arm_is_compared_with_none() -> None:
    assert pairs_of(scores_of([]), Reading(study_of(), TWO).margin) is None


# All tasks


def at_once(scores: Scores, of: tuple[Task, ...] = TWO) -> tuple[JointVerdict, ...]:
    return joint_verdicts(Reading(study_of(), of), scores, pairs(study_of(), scores))


@pytest.mark.parametrize("of", [TWO, LOSSES, tasks(3)])
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
def test_each_region_is_found(
    of: tuple[Task, ...], gains: tuple[float, float], expected: str
) -> None:
    padded = (*gains, *(0.0,) * (len(of) - 2))
    (verdict,) = at_once(scores_of([padded], of=of), of)
    assert (verdict.arm, verdict.other, verdict.of.verdict) == ("b", "a", expected)


def test_of_one_task_nothing_is_said_of_all_at_once() -> None:
    assert at_once(scores_of([(0.003,)], of=tasks(1)), tasks(1)) == ()


def test_every_pair_counts_and_one_without_a_shared_replicate_has_no_verdict() -> None:
    scores = scores_of([(0.003, 0.003)] * 3)
    values = scores.values_ART.copy()
    values[2] = np.nan
    verdicts = at_once(replace(scores, values_ART=values))
    assert [verdict.arm for verdict in verdicts] == ["b", "d"]
    assert {verdict.of.alpha for verdict in verdicts} == {0.05 / 3}


def test_arms_that_agree_to_the_bit_are_equivalent() -> None:
    scores = scores_of([(0, 0)])
    same = replace(scores, values_ART=np.repeat(scores.values_ART[:1], 2, axis=0))
    assert at_once(same)[0].of.verdict == "equivalent"
    assert on_click(same)["b"].word == "equivalent"


# Factorial studies


def test_a_factorial_study_gives_the_frame() -> None:
    study = catalog.get("architecture_grid")
    assert isinstance(study, Study)
    arms = tuple(arm.name for arm in study.arms)
    values: Array = np.random.default_rng(7).normal(0.7, 0.001, (len(arms), 2, 3))
    frame = effects_frame(study, Scores(arms, (0, 1), targets(TWO), values), MEAN)
    assert list(frame) == ["tower_shape", "gate_depth", "expert_count", "replicate", "value"]
    assert len(frame) == 280
    assert len(effects(frame)) == 6
