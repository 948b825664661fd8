"""The chance that a point is on the true front: theory, a naive posterior, and simulation."""

import numpy as np
import pytest
from scipy import stats

from fsmd.stats import front
from fsmd.stats.estimates import Array
from fsmd.stats.front import Noise, chances_of_front, chances_of_fronts, on_fronts
from fsmd.stats.pareto import on_front
from tests import bench_front
from tests.bench_front import PICK_WORLDS, WORLDS, Calibration, calibrations, picks

RNG = np.random.default_rng(2)
WORLD = {world.name: world for world in WORLDS}


def test_many_fronts_at_once_are_each_ones_front() -> None:
    points_CAM = RNG.integers(0, 4, size=(50, 6, 3)).astype(float)
    each = [on_front(points_AM).tolist() for points_AM in points_CAM]
    assert on_fronts(points_CAM).tolist() == each


def test_points_far_apart_are_on_the_front_or_not_whatever_a_seed_does_to_all() -> None:
    base_AM = np.array([[0.0, 1.0], [1.0, 0.0], [-0.1, -0.1]])
    points_ARM = base_AM[:, None, :] + 100 * RNG.normal(size=(1, 5, 2))
    assert chances_of_front(points_ARM).tolist() == [1.0, 1.0, 0.0]


def test_equal_arms_are_on_the_front_together() -> None:
    points_ARM = np.repeat(RNG.normal(size=(1, 5, 2)), 3, axis=0)
    assert chances_of_front(points_ARM).tolist() == [1.0, 1.0, 1.0]
    behind_ARM = np.concatenate([points_ARM, points_ARM[:1] - 1])
    assert chances_of_front(behind_ARM).tolist() == [1.0, 1.0, 1.0, 0.0]


def test_of_one_objective_the_chances_are_those_of_being_the_best() -> None:
    chance_A = chances_of_front(RNG.normal(size=(6, 5, 1)))
    assert chance_A.sum() == pytest.approx(1)
    assert len(set(chance_A)) > 1


def test_one_seed_gives_no_probability_and_one_point_is_the_front() -> None:
    assert np.isnan(chances_of_front(np.zeros((2, 1, 2)))).all()
    assert chances_of_front(RNG.normal(size=(1, 5, 2))).tolist() == [1.0]


def test_a_cost_that_is_known_stays_as_it_is() -> None:
    """Nothing is cheaper than the cheapest; of equally dear points the better one is there."""
    quality_AR1 = np.array([0.0, 0.0, 0.0, 5.0])[:, None, None] + RNG.normal(size=(4, 5, 1))
    cost_AR1 = np.repeat(-np.array([1.0, 2.0, 3.0, 3.0])[:, None, None], 5, axis=1)
    chance_A = chances_of_front(np.concatenate([quality_AR1, cost_AR1], axis=2))
    assert chance_A[0] == 1
    assert chance_A[3] > 0.99 > 0.05 > chance_A[2]


def test_points_that_rows_cannot_tell_apart_are_not_told_apart() -> None:
    """What the rows do to two points alike moves neither behind the other."""
    base_AR1 = np.array([[0.0], [2.0]])[..., None] + 0.01 * RNG.normal(size=(2, 5, 1))
    alike, unlike = np.full((2, 2), 9.0), np.diag([9.0, 9.0])
    said = [chances_of_front(base_AR1, c.reshape(2, 1, 2, 1))[1] for c in (alike, unlike)]
    assert said[0] > 0.99
    assert 0.5 < said[1] < 0.8


def test_the_noise_is_what_a_training_has_of_its_own() -> None:
    """Not what a seed does to all; of many points it is known better than of each alone."""
    own_SARM = RNG.normal(size=(1, 12, 5, 2)) * np.array([1.0, 3.0])
    own_SARM[..., 1] += 2 * own_SARM[..., 0]
    noise = Noise.of(own_SARM + 100 * RNG.normal(size=(1, 1, 5, 2)))
    assert noise.variance_SAM.mean(axis=(0, 1)) == pytest.approx([1.0, 13.0], rel=0.3)
    assert noise.correlation_SMM[0, 0, 1] == pytest.approx(2 / 13**0.5, abs=0.2)
    assert noise.df_SAM.min() > 4 * 11 / 12


def naive_chances(mean_A: Array, error_AA: Array, draws: int) -> Array:
    """The same posterior of one objective, by weighting draws of all that is not known."""
    rng, arms = np.random.default_rng(1), len(mean_A)
    unit = mean_A.std(ddof=1)
    y_A, e_AA = (mean_A - mean_A.mean()) / unit, error_AA / unit**2
    usual = (np.trace(e_AA) - e_AA.sum() / arms) / (arms - 1)
    spread_D, centre_D = usual / rng.chisquare(1, draws), front.BROAD * rng.normal(size=draws)
    of_it_DA = rng.random((draws, arms)) > rng.beta(1, 4, size=draws)[:, None]
    prior_DA = np.where(of_it_DA, spread_D[:, None], front.BROAD**2)
    before_DA = np.where(of_it_DA, centre_D[:, None], 0.0)
    total_DAA = e_AA + prior_DA[:, :, None] * np.eye(arms)
    inverse_DAA, away_DA = np.linalg.inv(total_DAA), y_A - before_DA
    fit_D = np.einsum("da,dab,db->d", away_DA, inverse_DAA, away_DA)
    log_D = -(fit_D + np.linalg.slogdet(total_DAA)[1]) / 2
    weight_D = np.exp(log_D - log_D.max())
    after_DA = before_DA + prior_DA * np.einsum("dab,db->da", inverse_DAA, away_DA)
    shrunk_DAA = prior_DA[:, :, None] * inverse_DAA * prior_DA[:, None]
    covariance_DAA = prior_DA[:, :, None] * np.eye(arms) - shrunk_DAA
    root_DAA = np.linalg.cholesky(covariance_DAA + 1e-12 * np.eye(arms))
    drawn_DA = after_DA + np.einsum("dab,db->da", root_DAA, rng.normal(size=(draws, arms)))
    is_best_DA = np.eye(arms)[drawn_DA.argmax(axis=1)]
    chance_A: Array = weight_D @ is_best_DA / weight_D.sum()
    return chance_A


def test_the_chances_are_those_of_a_naive_posterior() -> None:
    """Of 1,000 seeds, so that their scatter is known; with rows that are not alike."""
    seeds, mean_A = 1000, np.array([0.0, 0.6, 0.9, -3.0])
    noise_AR = stats.norm.ppf((np.arange(seeds) + 0.5) / seeds) * np.ones((4, 1))
    noise_AR = np.random.default_rng(3).permuted(noise_AR, axis=1) * (0.2 * seeds) ** 0.5
    rows_AA = 0.1 * np.eye(4) + 0.2 * np.outer([1, 1, -1, 0], [1, 1, -1, 0])
    points_ARM = (mean_A[:, None] + noise_AR)[..., None]
    (found_A,) = chances_of_fronts(points_ARM[None], rows_AA[None, :, None, :, None], chains=500)
    error_AA = 0.2 * np.eye(4) + rows_AA
    assert found_A == pytest.approx(naive_chances(mean_A, error_AA, 100_000), abs=0.03)


@pytest.mark.parametrize(
    ("name", "most", "before"),
    [
        ("a deviation apart", 0.06, 0.0),
        ("trade-off, curved", 0.08, 0.13),
        ("near-ties, three far behind", 0.08, 0.0),
        ("rows, near-ties", 0.09, 0.14),
    ],
)
def test_what_is_said_of_the_front_is_true_as_often(name: str, most: float, before: float) -> None:
    """The bench on fewer draws; see docs/front.md. The seed is fixed."""
    plain, ours = calibrations(WORLD[name], 50, 3)
    assert ours.error < most
    assert plain.error > before


def test_calibration_tells_what_was_said_beside_what_was_true() -> None:
    found = Calibration.of(np.array([0.1, 0.1, 0.9]), np.array([0.0, 1.0, 1.0]))
    assert [tuple(each) for each in found.bins] == [(0.1, 0.5, 2), (0.9, 1.0, 1)]
    assert found.error == pytest.approx((2 * 0.4 + 0.1) / 3)
    assert found.brier == pytest.approx((0.01 + 0.81 + 0.01) / 3)


def test_a_pick_is_told_without_its_luck() -> None:
    """Of equal points the best one's gain over another is 0."""
    before, now = picks(PICK_WORLDS[0], "best of the first", 150, 4)
    assert before.bias > 0.4
    assert abs(now.bias) < 0.1
    assert now.coverage > 0.92


def test_the_bench_tells_its_figures_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_front, "WORLDS", WORLDS[:1])
    monkeypatch.setattr(bench_front, "PICK_WORLDS", PICK_WORLDS[:1])
    assert bench_front.main(["--studies", "3"]) == 0
    assert '"front_error_highest": 0.' in capsys.readouterr().out.splitlines()[-1]
