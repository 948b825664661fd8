"""Metrics against scikit-learn, naive loops and resampling; one row's influence, one by one."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.metrics import log_loss, roc_auc_score

from fsmd.metrics import METRICS, Array, Metric, coverage, influences, is_certain, measured, parts
from fsmd.metrics.steps import step_scores
from fsmd.stats.sampling import by_unit

OF_ROWS = [name for name, metric in METRICS.items() if not metric.group]
OF_GROUPS = [name for name, metric in METRICS.items() if metric.group]
SMOOTH = [name for name in OF_ROWS if name != "ece"]
"""Those of rows that move with a row's weight as their influence says; ece's bins move too."""


def rows(
    seed: int, count: int = 60, ties: bool = True, weighted: bool = True
) -> tuple[Array, Array, Array]:
    """Scores, labels that follow them, and weights."""
    draw = np.random.default_rng(seed)
    score_N = draw.normal(size=count) * 2
    label_N = (draw.random(count) < 1 / (1 + np.exp(-score_N / 2))).astype(float)
    weight_N = draw.integers(1, 4, count).astype(float) if weighted else np.ones(count)
    return (score_N.round(0) if ties else score_N), label_N, weight_N


USER_N = np.random.default_rng(0).integers(0, 12, 60) * 7 + 3
"""Users of `rows`; their numbers have gaps."""
CODES = {"user": USER_N, "request": USER_N}


def some(codes: dict[str, NDArray[Any]], which: Any) -> dict[str, NDArray[Any]]:
    return {name: code_N[which] for name, code_N in codes.items()}


def naive_auc(score_N: Array, label_N: Array, weight_N: Array) -> float:
    above = total = 0.0
    for i in range(len(score_N)):
        for j in range(len(score_N)):
            if label_N[i] == 1 and label_N[j] == 0:
                pair = weight_N[i] * weight_N[j]
                total += pair
                above += pair * (score_N[i] > score_N[j]) + pair / 2 * (score_N[i] == score_N[j])
    return above / total


def naive_log_loss(score_N: Array, label_N: Array, weight_N: Array) -> float:
    p_N = 1 / (1 + np.exp(-score_N))
    return float(log_loss(label_N, p_N, sample_weight=weight_N))


def naive_normalized_entropy(score_N: Array, label_N: Array, weight_N: Array) -> float:
    rate = float((weight_N * label_N).sum() / weight_N.sum())
    constant = float(log_loss(label_N, np.full(len(label_N), rate), sample_weight=weight_N))
    return naive_log_loss(score_N, label_N, weight_N) / constant


def naive_ece(score_N: Array, label_N: Array, weight_N: Array) -> float:
    """Score after score: its rows go to the bin that the middle of their weight falls in."""
    p_N, total, before = 1 / (1 + np.exp(-score_N)), weight_N.sum(), 0.0
    gap_B = [0.0] * 15
    for score in sorted(set(score_N)):
        of_score = score_N == score
        weight = weight_N[of_score].sum()
        gap_B[int((before + weight / 2) / total * 15)] += float(
            weight_N[of_score] @ (p_N - label_N)[of_score]
        )
        before += weight
    return sum(map(abs, gap_B)) / float(total)


def naive_pcoc(score_N: Array, label_N: Array, weight_N: Array) -> float:
    return float(weight_N @ (1 / (1 + np.exp(-score_N))) / (weight_N @ label_N))


NAIVE: dict[str, Callable[[Array, Array, Array], float]] = {
    "auc": naive_auc,
    "log_loss": naive_log_loss,
    "normalized_entropy": naive_normalized_entropy,
    "ece": naive_ece,
    "pcoc": naive_pcoc,
    "pcoc_error": lambda *rows: abs(float(np.log(naive_pcoc(*rows)))),
}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", NAIVE)
def test_a_metric_is_what_its_formula_says(name: str, seed: int) -> None:
    score_N, label_N, weight_N = rows(seed)
    value = measured(METRICS[name], score_N, label_N, weight_N)
    assert value == pytest.approx(NAIVE[name](score_N, label_N, weight_N))
    assert value is not None
    assert METRICS[name].low <= value <= METRICS[name].high


@pytest.mark.parametrize("seed", range(5))
def test_auc_agrees_with_scikit_learn_with_ties_and_any_range(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores: Array = draw.integers(-30, 30, 500).astype(np.float64) * 10
    labels = (draw.random(500) < 1 / (1 + np.exp(-scores / 100))).astype(float)
    weights = draw.random(500)
    assert measured(METRICS["auc"], scores, labels) == pytest.approx(
        roc_auc_score(labels, scores), abs=1e-12
    )
    assert measured(METRICS["auc"], scores, labels, weights) == pytest.approx(
        roc_auc_score(labels, scores, sample_weight=weights), abs=1e-12
    )


@pytest.mark.parametrize("name", [name for name in METRICS if not name.startswith("ndcg")])
def test_a_row_of_weight_two_counts_as_the_row_twice(name: str) -> None:
    score_N, label_N, weight_N = rows(3)
    again = np.repeat(np.arange(len(score_N)), weight_N.astype(int))
    of, of_again = {"user": USER_N}, {"user": USER_N[again]}
    value = measured(METRICS[name], score_N, label_N, weight_N, of)
    twice = measured(METRICS[name], score_N[again], label_N[again], None, of_again)
    assert value == pytest.approx(twice)


@pytest.mark.parametrize("name", METRICS)
def test_rows_not_observed_and_rows_of_weight_zero_count_for_nothing(name: str) -> None:
    score_N, label_N, weight_N = rows(4)
    fewer = some(CODES, slice(40))
    value = measured(METRICS[name], score_N[:40], label_N[:40], weight_N[:40], fewer)
    label_N[40:50] = np.nan
    weight_N[50:] = 0
    assert measured(METRICS[name], score_N, label_N, weight_N, CODES) == pytest.approx(value)
    moved_N = influences(METRICS[name], score_N, label_N, weight_N, CODES)
    assert not moved_N[40:].any()
    assert moved_N[:40].any()


@pytest.mark.parametrize("name", METRICS)
def test_a_score_that_is_no_number_is_refused(name: str) -> None:
    score_N, label_N, _ = rows(0)
    score_N[3] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        measured(METRICS[name], score_N, label_N, None, CODES)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_where_one_class_is_missing_what_needs_both_is_none(label: float) -> None:
    score_N, label_N = np.array([0.5, -1.0, 2.0]), np.full(3, label)
    value = {name: measured(metric, score_N, label_N) for name, metric in METRICS.items()}
    assert value["auc"] is None
    assert value["normalized_entropy"] is None
    assert value["log_loss"] == pytest.approx(np.log1p(np.exp((1 - 2 * label) * score_N)).mean())
    assert value["ece"] is not None
    assert (value["pcoc"] is None) == (value["pcoc_error"] is None) == (label == 0)


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("observed", [False, True])
def test_no_row_that_counts_gives_none(name: str, observed: bool) -> None:
    label_N = np.array([0.0, 1.0]) if observed else np.full(2, np.nan)
    weight_N = np.zeros(2) if observed else np.ones(2)
    codes = some(CODES, slice(2))
    assert measured(METRICS[name], np.zeros(2), label_N, weight_N, codes) is None
    assert not is_certain(METRICS[name], label_N, weight_N, codes)
    nothing = np.zeros(0)
    assert measured(METRICS[name], nothing, nothing, None, some(CODES, slice(0))) is None


def test_log_loss_is_finite_at_any_score() -> None:
    score_N, label_N = np.array([1e4, -1e4]), np.array([0.0, 1.0])
    assert measured(METRICS["log_loss"], score_N, label_N) == pytest.approx(1e4)


def test_calibration_of_a_constant_is_its_distance_from_the_rate() -> None:
    label_N = np.array([1.0, 0.0, 0.0, 0.0])
    score_N = np.full(4, np.log(0.65 / 0.35))
    assert measured(METRICS["ece"], score_N, label_N) == pytest.approx(0.4)
    assert measured(METRICS["pcoc"], score_N, label_N) == pytest.approx(2.6)
    for scores in (score_N, np.full(4, np.log((0.25 / 2.6) / (1 - 0.25 / 2.6)))):
        assert measured(METRICS["pcoc_error"], scores, label_N) == pytest.approx(np.log(2.6))


def test_ece_sees_at_a_low_rate_what_bins_of_equal_width_do_not() -> None:
    """Predictions turned about their mean: right on average and wrong everywhere."""
    draw = np.random.default_rng(0)
    score_N = draw.normal(-5, 1, 20_000)
    label_N = (draw.random(20_000) < 1 / (1 + np.exp(-score_N))).astype(float)
    good, bad = (measured(METRICS["ece"], s, label_N) for s in (score_N, -10 - score_N))
    assert good is not None
    assert bad is not None
    assert bad > 5 * good
    assert bad > 0.008


# --- groups --------------------------------------------------------------------------------


def grouped(seed: int, count: int = 400, groups: int = 60) -> tuple[Array, Array, Array, Any]:
    """Rows with many ties, and a number of a user each; some users have one class, or one row."""
    score_N, label_N, weight_N = rows(seed, count)
    user_N = np.minimum(np.random.default_rng(seed).geometric(2 / groups, count), groups)
    return score_N, label_N, weight_N, user_N


def of_each_user(
    score_N: Array, label_N: Array, weight_N: Array, user_N: Any
) -> dict[int, tuple[float, float]]:
    """User -> AUC by scikit-learn, and weight; without users of one class."""
    found = {}
    for user in set(user_N.tolist()):
        i = (user_N == user) & ~np.isnan(label_N)
        if len(set(label_N[i])) == 2:
            value = roc_auc_score(label_N[i], score_N[i], sample_weight=weight_N[i])
            found[user] = float(value), float(weight_N[i].sum())
    return found


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_user_auc_is_the_mean_of_each_users_auc_by_scikit_learn(seed: int, hidden: bool) -> None:
    score_N, label_N, weight_N, user_N = grouped(seed)
    label_N[:: 5 if hidden else 1000] = np.nan
    each = of_each_user(score_N, label_N, weight_N, user_N)
    values, weights = zip(*each.values(), strict=True)
    groups = {"user": user_N}
    arrays = score_N, label_N, weight_N, groups
    assert measured(METRICS["user_auc"], *arrays) == pytest.approx(
        np.average(values, weights=weights), abs=1e-12
    )
    assert measured(METRICS["user_auc_mean"], *arrays) == pytest.approx(np.mean(values), abs=1e-12)
    found = coverage(METRICS["user_auc"], label_N, weight_N, groups)
    users_N = user_N[~np.isnan(label_N)]
    assert found is not None
    assert (found.used, found.skipped) == (len(each), len(set(users_N)) - len(each))
    assert found.skipped > 0
    assert found.rows == pytest.approx(np.isin(users_N, list(each)).mean())


def test_of_one_user_the_user_auc_is_the_auc_and_nothing_tells_how_sure_it_is() -> None:
    score_N, label_N, weight_N = rows(1)
    groups = {"user": np.full(60, 5)}
    want = measured(METRICS["auc"], score_N, label_N, weight_N)
    for name in ("user_auc", "user_auc_mean"):
        assert measured(METRICS[name], score_N, label_N, weight_N, groups) == pytest.approx(want)
        assert not is_certain(METRICS[name], label_N, weight_N, groups)
        assert is_certain(METRICS[name], label_N, weight_N, CODES)


@pytest.mark.parametrize("name", OF_GROUPS)
def test_where_every_group_has_one_class_or_no_group_is_known_there_is_no_figure(
    name: str,
) -> None:
    score_N, _, weight_N = rows(1)
    label_N = np.zeros(60)
    assert measured(METRICS[name], score_N, label_N, weight_N, CODES) is None
    assert coverage(METRICS[name], label_N, weight_N, CODES) == (0, len(set(USER_N)), 0.0)
    assert measured(METRICS[name], score_N, label_N, weight_N) is None
    assert np.isnan(influences(METRICS[name], score_N, label_N, weight_N)).all()
    assert coverage(METRICS[name], label_N, weight_N) is None


def enumerated_ndcg(score_N: Array, label_N: Array, k: int) -> float:
    """The mean over all orders of the rows that do not contradict the scores."""
    count, gains = len(score_N), []
    for order in itertools.permutations(range(count)):
        if all(score_N[a] >= score_N[b] for a, b in itertools.pairwise(order)):
            gains.append(sum(label_N[i] / np.log2(n + 2) for n, i in enumerate(order[:k])))
    best = sum(1 / np.log2(n + 2) for n in range(min(k, int(label_N.sum()))))
    return float(np.mean(gains) / best)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_ndcg_is_the_expectation_over_all_orders_of_equal_scores(data: st.DataObject) -> None:
    k = data.draw(st.integers(1, 7))
    sizes = data.draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))
    count = sum(sizes)
    draw_of = st.lists(st.integers(0, 2), min_size=count, max_size=count)
    score_N = np.array(data.draw(draw_of), float)
    label_N = np.minimum(np.array(data.draw(draw_of), float), 1)
    request_N = np.repeat(np.arange(len(sizes)), sizes)
    each = [
        enumerated_ndcg(score_N[request_N == q], label_N[request_N == q], k)
        for q in range(len(sizes))
        if label_N[request_N == q].any()
    ]
    order_N = np.random.default_rng(0).permutation(count)
    codes = {"request": request_N[order_N]}
    value = measured(METRICS[f"ndcg@{k}"], score_N[order_N], label_N[order_N], None, codes)
    assert value == (pytest.approx(np.mean(each), abs=1e-12) if each else None)
    found = coverage(METRICS[f"ndcg@{k}"], label_N, None, {"request": request_N})
    assert found is not None
    assert (found.used, found.skipped) == (len(each), len(sizes) - len(each))


def test_a_request_weighs_the_mean_weight_of_its_rows() -> None:
    label_N, score_N = np.array([1.0, 0, 0, 1, 0]), np.array([3.0, 2, 1, 1, 2])
    weight_N, codes = np.array([3.0, 3, 3, 1, 1]), {"request": np.array([0, 0, 0, 1, 1])}
    want = (3 * 1 + 1 * (1 / np.log2(3))) / 4
    assert measured(METRICS["ndcg@5"], score_N, label_N, weight_N, codes) == pytest.approx(want)


def test_every_ndcg_from_1_to_1000_is_known_and_no_other() -> None:
    assert METRICS["ndcg@1"].name == "ndcg@1"
    assert METRICS["ndcg@1000"] is METRICS["ndcg@1000"]
    assert [name for name in METRICS if "ndcg" in name] == ["ndcg@10"]
    for name in (
        "ndcg@0",
        "ndcg@01",
        "ndcg@1001",
        "ndcg@",
        "ndcg",
        "NDCG@5",
        "ndcg@5 ",
        "ndcg@+5",
    ):
        assert name not in METRICS


# --- steps of a funnel ---------------------------------------------------------------------


def test_the_score_of_a_step_is_the_log_odds_of_the_ratio_of_both_probabilities() -> None:
    draw = np.random.default_rng(0)
    parent_N, step_N = draw.normal(size=(2, 100)) * 6
    p_N = 1 / (1 + np.exp(-parent_N)) / (1 + np.exp(-step_N))
    score_N = np.log(p_N / (1 - p_N))
    assert step_scores(score_N, parent_N) == pytest.approx(step_N, rel=1e-6, abs=1e-6)


def test_a_step_that_a_model_gives_more_than_its_parent_is_all_but_certain() -> None:
    score_N = step_scores(np.array([2.0, 0.0, 800.0, -800.0]), np.array([1.0, 0.0, -800.0, 800.0]))
    assert score_N[:3] == pytest.approx(np.log(1e7), rel=1e-6)
    assert score_N[3] == pytest.approx(-800)


# --- many rows -----------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from([*METRICS, "ndcg@2"]),
    seed=st.integers(0, 99),
    size=st.integers(5, 60),
    levels=st.sampled_from([1, 3, 1000]),
    weighted=st.booleans(),
    sort=st.booleans(),
)
def test_rows_part_by_part_give_what_all_rows_give(
    name: str, seed: int, size: int, levels: int, weighted: bool, sort: bool
) -> None:
    draw = np.random.default_rng(seed)
    score_N = (np.floor(draw.normal(size=200) * levels) / levels).astype(np.float32)
    label_N = np.where(draw.random(200) < 0.2, np.nan, (draw.random(200) < 0.4).astype(float))
    weight_N = draw.integers(0, 3, 200).astype(np.float32) if weighted else None
    order_N = np.argsort(score_N) if sort else np.arange(200)
    user_N = np.sort(draw.geometric(0.1, 200)).astype(np.uint32)
    metric = METRICS[name]
    group_N = user_N if metric.group else None
    whole = measured(metric, score_N, label_N, weight_N, {metric.group or "": user_N})
    columns = parts.ScoredRows(
        *(None if x is None else x[order_N] for x in (score_N, label_N, weight_N, group_N))  # type: ignore[arg-type]
    )
    with parts.in_parts(columns, metric, size) as some_parts:
        assert len(some_parts) > 1 or levels == 1 or metric.group
        value = metric.of(some_parts)
    assert value == pytest.approx(whole, rel=1e-12)


def test_what_parts_hold_is_on_disk_and_a_constant_score_is_a_few_rows_of_it() -> None:
    count, size = 50_000, 1000
    label_N = (np.arange(count) % 3 == 0).astype(np.float32)
    columns = parts.ScoredRows(np.ones(count, np.float32), label_N, None, None)
    with parts.in_parts(columns, METRICS["auc"], size) as some_parts:
        assert sum(len(rows.score_N) for rows in some_parts) == 2 * count / size
        assert METRICS["auc"].of(some_parts) == 0.5


# --- influence -----------------------------------------------------------------------------


def of(metric: Metric, score_N: Array, label_N: Array, weight_N: Array) -> float:
    value = measured(metric, score_N, label_N, weight_N)
    assert value is not None
    return value


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", SMOOTH)
def test_influence_is_what_a_row_of_a_little_more_weight_does(
    name: str, seed: int, weighted: bool
) -> None:
    """The derivative by a row's weight, times the rows and its weight: the definition itself.

    Of the AUC it is scaled up to DeLong's variance, by sqrt(m / (m - 1)) in a class of m rows.
    """
    metric = METRICS[name]
    score_N, label_N, weight_N = rows(seed, weighted=weighted)
    moved_N = influences(metric, score_N, label_N, weight_N)
    assert moved_N.mean() == pytest.approx(0, abs=1e-12)
    for i in range(0, len(score_N), 7):
        step = 1e-5 * weight_N[i]
        up, down = weight_N.copy(), weight_N.copy()
        up[i] += step
        down[i] -= step
        slope = of(metric, score_N, label_N, up) - of(metric, score_N, label_N, down)
        want = len(score_N) * weight_N[i] * slope / (2 * step)
        if name == "auc":
            own = weight_N[label_N == label_N[i]]
            m = own.sum() ** 2 / (own @ own)
            want *= np.sqrt(m / (m - 1))
        assert moved_N[i] == pytest.approx(want, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", SMOOTH)
def test_influences_sum_to_the_variance_that_the_jackknife_finds(name: str) -> None:
    metric, (score_N, label_N, _) = METRICS[name], rows(5, 300, ties=False)
    n = len(score_N)
    without = np.array(
        [of(metric, *(np.delete(x, i) for x in (score_N, label_N, np.ones(n)))) for i in range(n)]
    )
    jackknife = (n - 1) / n * ((without - without.mean()) ** 2).sum()
    moved_N = influences(metric, score_N, label_N)
    assert (moved_N**2).sum() / n**2 == pytest.approx(jackknife, rel=0.02)


@pytest.mark.parametrize("name", OF_ROWS)
def test_influences_sum_to_the_variance_over_samples_of_rows(name: str) -> None:
    metric, (score_N, label_N, _) = METRICS[name], rows(6, 200)
    score_N = score_N + 1.0  # else of the ece it is not clear in which bins too much is predicted
    n, draw = len(score_N), np.random.default_rng(0)
    values = []
    for _ in range(1000):
        index = draw.integers(0, n, n)
        values.append(of(metric, score_N[index], label_N[index], np.ones(n)))
    moved_N = influences(metric, score_N, label_N)
    assert np.sqrt((moved_N**2).sum()) / n == pytest.approx(np.std(values), rel=0.08)


def test_auc_influences_give_delongs_variance_exactly() -> None:
    score_N, label_N, _ = rows(7, 50)
    positive, negative = score_N[label_N == 1], score_N[label_N == 0]
    wins = (positive[:, None] > negative) + 0.5 * (positive[:, None] == negative)
    delong = wins.mean(1).var(ddof=1) / len(positive) + wins.mean(0).var(ddof=1) / len(negative)
    moved_N = influences(METRICS["auc"], score_N, label_N)
    assert (moved_N**2).sum() / 50**2 == pytest.approx(delong)


def test_the_eces_influence_is_of_its_bins_as_they_are() -> None:
    score_N, label_N, weight_N = rows(2)
    moved_N = influences(METRICS["ece"], score_N, label_N, weight_N)
    up = weight_N.copy()
    up[7] *= 1 + 1e-7  # too little to move a bin
    change = of(METRICS["ece"], score_N, label_N, up) - of(
        METRICS["ece"], score_N, label_N, weight_N
    )
    assert moved_N.mean() == pytest.approx(0, abs=1e-12)
    assert moved_N[7] == pytest.approx(60 * change / 1e-7, rel=1e-4)


@pytest.mark.parametrize("name", OF_GROUPS)
def test_summed_by_user_the_influence_of_a_mean_over_users_is_the_ratio_estimators(
    name: str,
) -> None:
    score_N, label_N, weight_N, user_N = grouped(3)
    metric, codes = METRICS[name], {"user": user_N, "request": user_N}
    moved_N = influences(metric, score_N, label_N, weight_N, codes)
    assert moved_N.sum() == pytest.approx(0, abs=1e-9)
    code_N = np.unique(user_N, return_inverse=True)[1]
    moved_U = by_unit(moved_N[:, None], code_N)[:, 0]
    value = measured(metric, score_N, label_N, weight_N, codes)
    assert value is not None
    units, found = len(moved_U), []
    for unit in range(units):
        i = code_N == unit
        own = measured(metric, score_N[i], label_N[i], weight_N[i], some(codes, i))
        weight = {"user_auc": weight_N[i].sum(), "user_auc_mean": 1.0}.get(
            name, weight_N[i].mean()
        )
        found.append((np.nan, 0.0) if own is None else (own, weight))
    value_U, weight_U = np.array(found).T
    want_U = units * weight_U * (np.nan_to_num(value_U) - value) / weight_U.sum()
    assert moved_U == pytest.approx(want_U, abs=1e-9)
    even = np.ptp(moved_N[code_N == 0] / weight_N[code_N == 0]) < 1e-9
    assert even is not metric.by_row
    assert metric.by_row is name.startswith("user_auc")


def test_within_a_user_each_row_has_its_pairs_less_what_others_have_of_them() -> None:
    """Leaving rows out one at a time tells both; users here have several rows of each class."""
    draw, users, each = np.random.default_rng(4), 5, 9
    user_N = np.repeat(np.arange(users), each)
    label_N = (np.arange(users * each) % each < 4).astype(float)
    score_N = draw.normal(size=users * each).round(1)
    moved_N = influences(METRICS["user_auc_mean"], score_N, label_N, None, {"user": user_N})

    def auc(of_N: NDArray[np.bool_]) -> float:
        return naive_auc(score_N[of_N], label_N[of_N], np.ones(of_N.sum()))

    auc_U = [auc(user_N == user) for user in range(users)]
    mean = float(np.mean(auc_U))
    for i, user in enumerate(user_N.tolist()):
        alike = int((label_N[user_N == user] == label_N[i]).sum())
        without = auc((user_N == user) & (np.arange(len(user_N)) != i))
        own = alike * auc_U[user] - (alike - 1) * without  # the mean over its own pairs
        want = ((own - mean) - (without - mean) / 2) / alike
        assert moved_N[i] == pytest.approx(want / users * len(user_N), abs=1e-9)


@pytest.mark.parametrize("name", OF_GROUPS)
def test_influences_by_user_sum_to_the_variance_over_samples_of_users(name: str) -> None:
    draw = np.random.default_rng(1)
    users, each = 300, 12
    code_N = np.repeat(np.arange(users), draw.integers(1, 2 * each, users))
    count = len(code_N)
    tilt_U = draw.normal(size=users)
    score_N = draw.normal(size=count).round(1)
    label_N = (draw.random(count) < 1 / (1 + np.exp(-score_N * tilt_U[code_N]))).astype(float)
    metric, codes = METRICS[name], {"user": code_N, "request": code_N}
    moved_N = influences(metric, score_N, label_N, None, codes)
    moved_U = by_unit(moved_N[:, None], code_N)[:, 0]
    rows_of = [np.flatnonzero(code_N == user) for user in range(users)]
    values = []
    for _ in range(300):
        chosen = draw.integers(0, users, users)
        index = np.concatenate([rows_of[user] for user in chosen])
        again = np.repeat(np.arange(users), [len(rows_of[user]) for user in chosen])
        values.append(
            measured(
                metric, score_N[index], label_N[index], None, {"user": again, "request": again}
            )
        )
    assert np.sqrt((moved_U**2).sum()) / users == pytest.approx(
        np.std(np.array(values, float)), rel=0.12
    )
