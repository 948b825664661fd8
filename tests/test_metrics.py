"""Metrics against scikit-learn, naive loops and resampling; one row's influence, one by one."""

from collections.abc import Callable

import numpy as np
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from fsmd.metrics import METRICS, Array, Metric, influences, measured

JUDGING = [name for name, metric in METRICS.items() if metric.influence]


def rows(
    seed: int, count: int = 60, ties: bool = True, weighted: bool = True
) -> tuple[Array, Array, Array]:
    """Scores, labels that follow them, and weights."""
    draw = np.random.default_rng(seed)
    score_N = draw.normal(size=count) * 2
    label_N = (draw.random(count) < 1 / (1 + np.exp(-score_N / 2))).astype(float)
    weight_N = draw.integers(1, 4, count).astype(float) if weighted else np.ones(count)
    return (score_N.round(0) if ties else score_N), label_N, weight_N


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


def naive_calibration_error(score_N: Array, label_N: Array, weight_N: Array) -> float:
    p_N, error = 1 / (1 + np.exp(-score_N)), 0.0
    for b in range(15):
        inside = (p_N >= b / 15) & ((p_N < (b + 1) / 15) | (b == 14))
        weight = weight_N[inside].sum()
        if weight > 0:
            predicted = np.average(p_N[inside], weights=weight_N[inside])
            seen = np.average(label_N[inside], weights=weight_N[inside])
            error += weight / weight_N.sum() * abs(predicted - seen)
    return error


NAIVE: dict[str, Callable[[Array, Array, Array], float]] = {
    "auc": naive_auc,
    "log_loss": naive_log_loss,
    "normalized_entropy": naive_normalized_entropy,
    "calibration_error": naive_calibration_error,
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


@pytest.mark.parametrize("name", METRICS)
def test_a_row_of_weight_two_counts_as_the_row_twice(name: str) -> None:
    score_N, label_N, weight_N = rows(3)
    again = np.repeat(np.arange(len(score_N)), weight_N.astype(int))
    value = measured(METRICS[name], score_N, label_N, weight_N)
    assert value == pytest.approx(measured(METRICS[name], score_N[again], label_N[again]))


@pytest.mark.parametrize("name", METRICS)
def test_rows_not_observed_and_rows_of_weight_zero_count_for_nothing(name: str) -> None:
    score_N, label_N, weight_N = rows(4)
    value = measured(METRICS[name], score_N[:40], label_N[:40], weight_N[:40])
    label_N[40:50] = np.nan
    weight_N[50:] = 0
    assert measured(METRICS[name], score_N, label_N, weight_N) == pytest.approx(value)
    if METRICS[name].influence:
        moved_N = influences(METRICS[name], score_N, label_N, weight_N)
        assert not moved_N[40:].any()
        assert moved_N[:40].any()


@pytest.mark.parametrize("name", METRICS)
def test_a_score_that_is_no_number_is_refused(name: str) -> None:
    score_N, label_N, _ = rows(0)
    score_N[3] = np.nan
    with pytest.raises(ValueError, match="not numbers"):
        measured(METRICS[name], score_N, label_N)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_where_one_class_is_missing_what_needs_both_is_none(label: float) -> None:
    score_N, label_N = np.array([0.5, -1.0, 2.0]), np.full(3, label)
    value = {name: measured(metric, score_N, label_N) for name, metric in METRICS.items()}
    assert value["auc"] is None
    assert value["normalized_entropy"] is None
    assert value["log_loss"] == pytest.approx(np.log1p(np.exp((1 - 2 * label) * score_N)).mean())
    assert value["calibration_error"] is not None


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("observed", [False, True])
def test_no_row_that_counts_gives_none(name: str, observed: bool) -> None:
    label_N = np.array([0.0, 1.0]) if observed else np.full(2, np.nan)
    weight_N = np.zeros(2) if observed else np.ones(2)
    assert measured(METRICS[name], np.zeros(2), label_N, weight_N) is None
    nothing = np.zeros(0)
    assert measured(METRICS[name], nothing, nothing) is None


def test_log_loss_is_finite_at_any_score() -> None:
    score_N, label_N = np.array([1e4, -1e4]), np.array([0.0, 1.0])
    assert measured(METRICS["log_loss"], score_N, label_N) == pytest.approx(1e4)


def test_calibration_error_of_a_constant_is_its_distance_from_the_rate() -> None:
    label_N = np.array([1.0, 0.0, 0.0, 0.0])
    score_N = np.full(4, np.log(0.65 / 0.35))
    assert measured(METRICS["calibration_error"], score_N, label_N) == pytest.approx(0.4)


# --- influence -----------------------------------------------------------------------------


def of(metric: Metric, score_N: Array, label_N: Array, weight_N: Array) -> float:
    value = measured(metric, score_N, label_N, weight_N)
    assert value is not None
    return value


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", JUDGING)
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


@pytest.mark.parametrize("name", JUDGING)
def test_influences_sum_to_the_variance_that_the_jackknife_finds(name: str) -> None:
    metric, (score_N, label_N, _) = METRICS[name], rows(5, 300, ties=False)
    n = len(score_N)
    without = np.array(
        [of(metric, *(np.delete(x, i) for x in (score_N, label_N, np.ones(n)))) for i in range(n)]
    )
    jackknife = (n - 1) / n * ((without - without.mean()) ** 2).sum()
    moved_N = influences(metric, score_N, label_N)
    assert (moved_N**2).sum() / n**2 == pytest.approx(jackknife, rel=0.02)


@pytest.mark.parametrize("name", JUDGING)
def test_influences_sum_to_the_variance_over_samples_of_rows(name: str) -> None:
    metric, (score_N, label_N, _) = METRICS[name], rows(6, 200)
    n, draw = len(score_N), np.random.default_rng(0)
    values = []
    for _ in range(1500):
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
