"""The test set's part: against the definitions, pair by pair, and on simulated studies."""

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from fsmd.metrics import METRICS, influences, measured
from fsmd.stats.estimates import ALPHA, Array, Estimate, holm, mean_interval, p_value
from fsmd.stats.joint import joint_ellipse
from fsmd.stats.sampling import Sampling, by_unit, shared_covariance

Labels = NDArray[np.bool_]
AUC = METRICS["auc"]
JUDGING = [name for name, metric in METRICS.items() if metric.judges and not metric.group]


def sample(rows: int, seed: int, columns: int = 2) -> tuple[Array, Labels]:
    """Scores with many ties, rows x columns, that have to do with the labels."""
    rng = np.random.default_rng(seed)
    positive_N = rng.random(rows) < 0.3
    score_NC = rng.normal(size=(rows, columns)) + rng.normal(size=(rows, 1)) + positive_N[:, None]
    return np.floor(3 * score_NC) / 3 - 1, positive_N


def influence(score_N: Array, positive_N: Labels, metric: str = "auc") -> Array:
    return influences(METRICS[metric], score_N, positive_N.astype(float))


def figure(score_N: Array, positive_N: Labels, metric: str = "auc") -> float:
    value = measured(METRICS[metric], score_N, positive_N.astype(float))
    assert value is not None
    return value


def kernel(score_N: Array, positive_N: Labels) -> Array:
    """Positives x negatives: 1 where the positive is above, 1/2 where they tie."""
    won: Array = (np.sign(score_N[positive_N][:, None] - score_N[~positive_N]) + 1) / 2
    return won


# Against the definitions


def test_for_one_task_the_covariance_of_influences_is_delongs() -> None:
    score_NC, positive_N = sample(150, 2)
    kernels = [kernel(score_NC[:, c], positive_N) for c in range(2)]
    m, n = kernels[0].shape
    of_positives = np.cov([won.mean(axis=1) for won in kernels]) / m
    of_negatives = np.cov([won.mean(axis=0) for won in kernels]) / n
    influence_NC = np.array([influence(score_NC[:, c], positive_N) for c in range(2)]).T
    assert shared_covariance([influence_NC]) == pytest.approx(of_positives + of_negatives)


@pytest.mark.parametrize("metric", JUDGING)
def test_two_tasks_on_the_same_rows_covary_as_a_bootstrap_of_rows_says(metric: str) -> None:
    rng, draws = np.random.default_rng(30), 600
    score_NC, one_N = sample(1000, 3)
    other_N = one_N ^ (rng.random(1000) < 0.05)
    columns = [(score_NC[:, 0], one_N), (score_NC[:, 1], other_N)]
    found = shared_covariance([np.array([influence(s, y, metric) for s, y in columns]).T])
    drawn = []
    for _ in range(draws):
        rows = rng.integers(1000, size=1000)
        drawn.append([figure(s[rows], y[rows], metric) for s, y in columns])
    variance = np.diag(found)
    error = np.sqrt((np.outer(variance, variance) + found**2) / draws)  # of the bootstrap
    assert (np.abs(found - np.cov(np.array(drawn).T)) < 4 * error).all()
    assert found[0, 1] > 6 * error[0, 1]  # it would be missed if tasks were taken apart


def test_replicates_share_what_their_cross_products_share() -> None:
    influence_RNC = np.random.default_rng(4).normal(size=(4, 30, 3))
    products = [
        influence_RNC[r].T @ influence_RNC[s] for r in range(4) for s in range(4) if r != s
    ]
    expected = np.mean(products, axis=0) / 30**2
    assert shared_covariance(influence_RNC) == pytest.approx(expected)
    assert shared_covariance(iter(influence_RNC)) == pytest.approx(expected)


def test_users_rows_are_summed_as_obuchowski_says() -> None:
    """Written out as in the paper (Statistics in Medicine 16, 1997, section 3), user by user."""
    score_NC, positive_N = sample(900, 6)
    user_N = np.random.default_rng(6).integers(0, 250, 900)
    kernels = [kernel(score_NC[:, c], positive_N) for c in range(2)]
    area = [won.mean() for won in kernels]
    m, n = kernels[0].shape
    of_positive, of_negative = user_N[positive_N], user_N[~positive_N]
    with_positives, with_negatives = len(set(of_positive)), len(set(of_negative))
    expected = np.zeros((2, 2))
    for a in range(2):
        for b in range(2):
            s10 = s01 = s11 = s11_back = 0.0
            for user in range(250):
                mine, theirs = of_positive == user, of_negative == user
                x = [kernels[c].mean(axis=1)[mine].sum() - mine.sum() * area[c] for c in (a, b)]
                y = [
                    kernels[c].mean(axis=0)[theirs].sum() - theirs.sum() * area[c] for c in (a, b)
                ]
                s10, s01 = s10 + x[0] * x[1], s01 + y[0] * y[1]
                s11, s11_back = s11 + x[0] * y[1], s11_back + y[0] * x[1]
            s10 *= with_positives / ((with_positives - 1) * m)
            s01 *= with_negatives / ((with_negatives - 1) * n)
            cross = 250 / 249 * (s11 + s11_back)
            expected[a, b] = s10 / m + s01 / n + cross / (m * n)
    influence_NC = np.array([influence(score_NC[:, c], positive_N) for c in range(2)]).T
    found = shared_covariance([by_unit(influence_NC, user_N)])
    assert found == pytest.approx(expected, rel=0.01)  # m / (m - 1) is of rows here, not of users


def test_users_who_rate_all_alike_widen_the_interval_as_a_bootstrap_of_users_says() -> None:
    rng = np.random.default_rng(8)
    user_N = np.repeat(np.arange(300), 5)
    positive_N = rng.random(1500) < rng.choice([0.05, 0.8], size=300)[user_N]
    liked_U = rng.normal(size=300)
    score_N = np.floor(10 * (positive_N + liked_U[user_N] + rng.normal(size=1500)))
    by_row = influence(score_N, positive_N)[:, None]
    by_users = float(shared_covariance([by_unit(by_row, user_N)])[0, 0])
    drawn = []
    for _ in range(1500):
        rows = (5 * rng.integers(300, size=300)[:, None] + np.arange(5)).ravel()
        drawn.append(figure(score_N[rows], positive_N[rows]))
    assert by_users == pytest.approx(float(np.var(drawn)), rel=0.12)
    by_rows = shared_covariance([by_row])
    assert shared_covariance([by_unit(by_row, np.arange(1500))]) == pytest.approx(by_rows)
    assert shared_covariance([by_unit(by_row, None)]) == pytest.approx(by_rows)
    assert by_users > 1.3 * by_rows[0, 0]


@pytest.mark.parametrize("tasks", [1, 2, 3])
def test_a_difference_of_arms_is_a_contrast_of_their_covariance(tasks: int) -> None:
    rng = np.random.default_rng(5)
    influence_NAK = rng.normal(size=(40, 3, tasks))
    covariance = shared_covariance([influence_NAK.reshape(40, 3 * tasks)])
    sampling = Sampling(("a", "b", "c"), covariance.reshape(3, tasks, 3, tasks))
    difference_NK = influence_NAK[:, 2] - influence_NAK[:, 0]
    assert sampling.of("c", "a") == pytest.approx(difference_NK.T @ difference_NK / 40**2)
    weight_K = np.full(tasks, 1 / tasks)
    mean_N = difference_NK.mean(axis=1)
    assert sampling.part("c", "a", weight_K) == pytest.approx(float(mean_N @ mean_N) / 40**2)
    assert sampling.part("a", "a", weight_K) == 0


# Simulated studies


@dataclass(frozen=True)
class SimulatedStudy:
    """What was measured of a study: figures, and the covariance of the arms' means."""

    values_ARK: Array
    sampling: Sampling

    def difference(self, arm: int, other: int, weight_K: Array, rows: bool = True) -> Estimate:
        values_R = (self.values_ARK[arm] - self.values_ARK[other]) @ weight_K
        part = self.sampling.part(str(arm), str(other), weight_K) if rows else None
        return mean_interval(values_R, part)


class World:
    """Arms, seeds and test sets with a known truth.

    A row's score is the arm's signal where its label is positive, plus noise of the row (all arms
    share it), of the row and the arm (all its replicates share it: what a test set does to a
    difference) and of the row and the training. A seed moves the signal of all arms, and each.
    """

    ROWS, POSITIVE = 400, 0.3
    CELL, SEED = 0.1, 0.003
    """Variances of a row and training, and of a seed; `arm` is that of a row and arm."""

    def __init__(
        self, signals: tuple[float, ...], tasks: int, replicates: int = 5, arm: float = 0.15
    ) -> None:
        self.signals, self.tasks = np.array(signals), tasks
        self.replicates, self.arm = replicates, arm

    @property
    def auc(self) -> Array:
        """Each arm's, over all rows and seeds that there could be."""
        row = 1 + self.arm + self.CELL
        found: Array = stats.norm.cdf(self.signals / np.sqrt(2 * row + 2 * self.SEED))
        return found

    def study(self, rng: np.random.Generator) -> SimulatedStudy:
        """Later tasks' labels go with those of the task before."""
        arms, rows, tasks = len(self.signals), self.ROWS, self.tasks
        label_KN = rng.random((tasks, rows)) < self.POSITIVE
        for k in range(1, tasks):
            again_N = rng.random(rows) < 0.5
            label_KN[k] = np.where(again_N, label_KN[k - 1], label_KN[k])
        row_KN = rng.normal(size=(tasks, rows))
        arm_AKN = rng.normal(0, self.arm**0.5, (arms, tasks, rows))
        values_ARK, by_replicate = np.empty((arms, self.replicates, tasks)), []
        for r in range(self.replicates):
            common, own = rng.normal(0, self.SEED**0.5, (2, arms, tasks))
            signal_AK = self.signals[:, None] + common[:1] + own
            score_AKN = signal_AK[:, :, None] * label_KN + row_KN + arm_AKN
            score_AKN += rng.normal(0, self.CELL**0.5, score_AKN.shape)
            columns = [(score_AKN[a, k], label_KN[k]) for a in range(arms) for k in range(tasks)]
            values_ARK[:, r] = np.reshape([figure(*c) for c in columns], (arms, tasks))
            by_replicate.append(np.array([influence(*c) for c in columns]).T)
        covariance = shared_covariance(by_replicate).reshape(arms, tasks, arms, tasks)
        return SimulatedStudy(values_ARK, Sampling(tuple(map(str, range(arms))), covariance))


SIMULATIONS = 200
ERROR = (0.95 * 0.05 / SIMULATIONS) ** 0.5
WEIGHT_TK = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3]])
"""Three tasks and their mean."""
TWO_ARMS = World((1.0, 1.1), tasks=3)


@pytest.fixture(scope="module")
def simulated() -> tuple[SimulatedStudy, ...]:
    rng = np.random.default_rng(11)
    return tuple(TWO_ARMS.study(rng) for _ in range(SIMULATIONS))


@pytest.mark.parametrize("weight_K", WEIGHT_TK)
def test_intervals_over_both_sources_cover_the_truth_and_those_over_seeds_alone_do_not(
    simulated: tuple[SimulatedStudy, ...], weight_K: Array
) -> None:
    truth = float(np.diff(TWO_ARMS.auc)[0])
    covered = {True: 0, False: 0}
    for study in simulated:
        for rows in covered:
            found = study.difference(1, 0, weight_K, rows)
            assert found.low is not None
            assert found.high is not None
            covered[rows] += found.low <= truth <= found.high
    assert covered[True] / SIMULATIONS == pytest.approx(0.95, abs=3 * ERROR)
    assert covered[False] / SIMULATIONS < 0.90


def test_the_joint_region_of_two_tasks_covers_the_truth(
    simulated: tuple[SimulatedStudy, ...],
) -> None:
    truth = np.repeat(np.diff(TWO_ARMS.auc), 2)
    covered = 0
    for study in simulated[:150]:
        values_RK = (study.values_ARK[1] - study.values_ARK[0])[:, [0, 2]]
        rows_22 = study.sampling.of("1", "0")[np.ix_([0, 2], [0, 2])]
        region = joint_ellipse(values_RK.mean(axis=0), np.cov(values_RK.T) / 5, rows_22, n=5)
        turn = np.radians(region.angle)
        x, y = truth - region.centre
        along = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        covered += np.hypot(*np.divide(along, region.semi_axes)) <= 1
    assert covered / 150 == pytest.approx(0.95, abs=4 * (0.95 * 0.05 / 150) ** 0.5)


@pytest.mark.parametrize(("replicates", "arm"), [(2, 0.02), (5, 0.15)])
def test_any_false_difference_of_a_study_comes_in_one_of_twenty(
    replicates: int, arm: float
) -> None:
    rng, world, wrong = np.random.default_rng(12), World((1.0,) * 4, 1, replicates, arm), 0
    for _ in range(SIMULATIONS):
        study = world.study(rng)
        p = holm([p_value(study.difference(other, 0, np.ones(1))) for other in (1, 2, 3)])
        wrong += any(each is not None and each < ALPHA for each in p)
    assert wrong / SIMULATIONS <= 0.05 + 3 * ERROR
