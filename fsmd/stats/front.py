"""How surely each of several points is on their true front, whatever moves what was measured.

Three chances stand between the true means and the measured ones: seeds, of which each training
has one of its own; what a seed does to all trainings, which cancels; and the finite rows, the same
for all seeds, of which what differs between points does not cancel.

Of a few points that lie closer together than that, the best look better than they are, and along a
trade-off chance moves points behind each other. So the true means are not drawn around the
measured ones alone, but as draws of one normal distribution, learnt from all points (Efron and
Morris 1975). Its covariance tells how far points lie apart along a trade-off and across it. A
prior worth as many points as there are objectives says that it is as large as what chance does.
Some points may be none of it, as references far behind are: they tell nothing of how far the
others lie apart.

The posterior is drawn by Gibbs' sampler, many short chains side by side. How much seeds scatter is
drawn before, for each chain: learnt from all points by `fsmd.stats.scatter`.

Suffixes: A points, R paired seeds, M objectives, all maximised; S studies; C chains, those of one
study side by side; D points times objectives.
"""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from fsmd.stats.estimates import Array
from fsmd.stats.joint import symmetric_root
from fsmd.stats.scatter import FEWEST_OTHERS, KNOWN, moderated

CHAINS, WARM, KEPT = 100, 30, 20
"""Of a study; draws of each chain that are left out, and that count."""
DRAWS = CHAINS * KEPT
BROAD = 3.0
"""Deviation of what is none of the distribution, in units of the measured points'."""
_OTHERS = 1.0, 4.0
"""How rare that is before anything was measured: a beta distribution."""
_JITTER = 1e-10


def chances_of_front(points_ARM: Array, rows_AMAM: Array | None = None, seed: int = 0) -> Array:
    """A: the probability that a point's true mean is non-dominated; NaN below two seeds.

    rows_AMAM: the rows' part in the covariance of the mean points; None: seeds alone vary.
    Points that were equal on every seed are one, and are on the front together.
    """
    arms, seeds, objectives = points_ARM.shape
    if seeds < 2:
        return np.full(arms, np.nan)
    _, first, of_A = np.unique(
        points_ARM.reshape(arms, -1), axis=0, return_index=True, return_inverse=True
    )
    unlike = points_ARM[first]
    rows = np.zeros((arms, objectives) * 2) if rows_AMAM is None else rows_AMAM
    rows = rows[first][:, :, first]
    chance_A: Array = chances_of_fronts(unlike[None], rows[None], seed)[0]
    return chance_A[of_A.ravel()]


def chances_of_fronts(
    points_SARM: Array, rows_SAMAM: Array, seed: int = 0, chains: int = CHAINS
) -> Array:
    """S x A: of many studies at once; see `chances_of_front`."""
    if points_SARM.shape[1] == 1:
        return np.ones(points_SARM.shape[:2])
    rng = np.random.default_rng(seed)
    total = np.zeros(points_SARM.shape[:2])
    drawn = _Chains(points_SARM, rows_SAMAM, rng, chains)
    for step in range(WARM + KEPT):
        mean_CAM = drawn.step()
        if step >= WARM:
            on_CA = on_fronts(mean_CAM)
            total += on_CA.reshape(len(total), chains, -1).sum(axis=1)
    return total / (chains * KEPT)


def on_fronts(points_CAM: Array) -> NDArray[np.bool_]:
    """C x A: whether no other point is as good on every objective and better on one."""
    other_CAAM, own_CAAM = points_CAM[:, None], points_CAM[:, :, None]
    as_good_CAA = np.all(other_CAAM >= own_CAAM, axis=3)
    better_CAA = np.any(other_CAAM > own_CAAM, axis=3)
    return np.asarray(~np.any(as_good_CAA & better_CAA, axis=2))


class Noise(NamedTuple):
    """What its own seed does to a training, by point and objective."""

    variance_SAM: Array
    df_SAM: Array
    """Degrees of freedom of each variance."""
    correlation_SMM: Array
    """Of the objectives, in all points."""

    @classmethod
    def of(cls, points_SARM: Array) -> Self:
        """Learnt from all points of a study, once what a seed does to all of them is taken off."""
        _, arms, seeds, _ = points_SARM.shape
        away_SARM = points_SARM - points_SARM.mean(axis=2, keepdims=True)
        away_SARM = away_SARM - away_SARM.mean(axis=1, keepdims=True)
        own = (seeds - 1) * (arms - 1) / arms
        square_SMA = (away_SARM**2).sum(axis=2).swapaxes(1, 2)
        variance_SMA, df_SMA = square_SMA / own, np.full(square_SMA.shape, own)
        if arms > FEWEST_OTHERS:
            alike_1, most_1 = np.zeros((*square_SMA.shape[:2], 1)), KNOWN * own * arms
            variance_SMA, borrowed_SMA = moderated(
                variance_SMA, own, alike_1, np.full(alike_1.shape, most_1)
            )
            df_SMA = df_SMA + borrowed_SMA
        product_SMM = np.einsum("sarm,sarn->smn", away_SARM, away_SARM)
        length_SM = np.sqrt(np.einsum("smm->sm", product_SMM))
        length_SM = np.where(length_SM > 0, length_SM, 1.0)
        correlation_SMM = product_SMM / (length_SM[:, :, None] * length_SM[:, None])
        return cls(variance_SMA.swapaxes(1, 2), df_SMA.swapaxes(1, 2), correlation_SMM)

    def drawn(self, rng: np.random.Generator, chains: int) -> Array:
        """C x A x M: standard deviations that a training may have, for each chain."""
        variance_CAM, df_CAM = (np.repeat(part, chains, axis=0) for part in self[:2])
        return np.sqrt(variance_CAM * df_CAM / rng.chisquare(df_CAM))


class _Chains:
    """Where all chains are, in units of the measured points' deviation."""

    def __init__(
        self, points_SARM: Array, rows_SAMAM: Array, rng: np.random.Generator, chains: int
    ) -> None:
        self.rng = rng

        def repeated(of_study: Array) -> Array:
            return np.repeat(of_study, chains, axis=0)

        studies, arms, seeds, objectives = points_SARM.shape
        mean_SAM = points_SARM.mean(axis=2)
        unit_SM = mean_SAM.std(axis=1, ddof=1)
        unit_SM = np.where(unit_SM > 0, unit_SM, 1.0)
        points_SARM = (points_SARM - mean_SAM.mean(axis=1)[:, None, None]) / unit_SM[:, None, None]
        rows_SAMAM = rows_SAMAM / unit_SM[:, None, :, None, None] / unit_SM[:, None, None, None]
        of_D = (studies, arms * objectives, arms * objectives)
        root_SDD = np.array([symmetric_root(rows_DD) for rows_DD in rows_SAMAM.reshape(of_D)])
        rows_SAMAM = (root_SDD @ root_SDD).reshape(rows_SAMAM.shape)  # none is below zero
        noise = Noise.of(points_SARM)
        deviation_CAM = noise.drawn(rng, chains) / np.sqrt(seeds)
        correlation_CMM = repeated(noise.correlation_SMM)
        root_SMM = np.array([symmetric_root(each) for each in noise.correlation_SMM])
        own_CAMM = (
            deviation_CAM[..., None] * correlation_CMM[:, None] * deviation_CAM[..., None, :]
        )
        contrast_AA = (np.eye(arms) - 1 / arms) / (arms - 1)
        self.measured_CAM = repeated(points_SARM.mean(axis=2))
        self.deviation_CAM, self.root_CMM = deviation_CAM, repeated(root_SMM)
        self.rows_root_CDD, self.rows_CAMAM = repeated(root_SDD), repeated(rows_SAMAM)
        self.at_A = np.arange(arms)
        self.rows_CAMAM[:, self.at_A, :, self.at_A] += own_CAMM.swapaxes(0, 1)
        self.chance_CAMAM = self.rows_CAMAM
        """Covariance of all that chance does to the measured means."""
        self.noise_CMM = np.einsum("cambn,ab->cmn", self.chance_CAMAM, contrast_AA)
        """Of one point's part in the differences."""
        self.known_CM = np.einsum("camam->cm", self.chance_CAMAM) == 0
        """Objectives that chance does nothing to."""

        # Each begins as narrow as chance is, at one of the points: it is quick to grow over others
        # that lie apart as its own do, and slow to let go of what lies far from them.
        count = len(self.measured_CAM)
        at_C = np.arange(count), rng.integers(arms, size=count)
        self.centre_CM = self.measured_CAM[at_C]
        self.spread_CMM = self.noise_CMM * rng.gamma(1.0, 1.0, (count, 1, 1))
        self.usual_CA = np.zeros((count, arms), bool)
        """Which points are of the distribution."""
        self.usual_CA[at_C] = True

    def step(self) -> Array:
        """C x A x M: the next draw of the true means."""
        rng, (chains, arms, objectives) = self.rng, self.measured_CAM.shape
        usual_CA1 = self.usual_CA[..., None]
        spread_CMM = self.spread_CMM + _JITTER * np.eye(objectives)
        root_CMM = np.linalg.cholesky(spread_CMM)
        broad_MM = BROAD**2 * np.eye(objectives)
        prior_CAMM = np.where(usual_CA1[..., None], spread_CMM[:, None], broad_MM)

        # True means by Matheron's rule: a draw before anything was measured, corrected by that.
        normal_CAM, of_seeds_CAM = rng.standard_normal((2, chains, arms, objectives))
        inside_CAM = self.centre_CM[:, None] + normal_CAM @ root_CMM.swapaxes(1, 2)
        drawn_CAM = np.where(usual_CA1, inside_CAM, BROAD * normal_CAM)
        by_rows_CD1 = self.rows_root_CDD @ rng.standard_normal((chains, arms * objectives, 1))
        error_CAM = (of_seeds_CAM @ self.root_CMM) * self.deviation_CAM
        error_CAM += by_rows_CD1.reshape(error_CAM.shape)
        all_CAMAM = self.chance_CAMAM.copy()
        all_CAMAM[:, self.at_A, :, self.at_A] += prior_CAMM.swapaxes(0, 1)
        missing_CD1 = (self.measured_CAM - drawn_CAM - error_CAM).reshape(chains, -1, 1)
        all_CDD = all_CAMAM.reshape(chains, arms * objectives, -1)
        weight_CAM1 = np.linalg.solve(all_CDD, missing_CD1).reshape(*error_CAM.shape, 1)
        drawn_CAM = drawn_CAM + (prior_CAMM @ weight_CAM1)[..., 0]

        self._learn(drawn_CAM)
        return np.where(self.known_CM[:, None], self.measured_CAM, drawn_CAM)

    def _learn(self, mean_CAM: Array) -> None:
        """Draw the distribution of the true means: its centre, its covariance, who is of it."""
        rng, (chains, arms, objectives) = self.rng, mean_CAM.shape
        count_C = self.usual_CA.sum(axis=1)
        inverse_CMM = np.linalg.inv(self.spread_CMM + _JITTER * np.eye(objectives))
        precision_CMM = count_C[:, None, None] * inverse_CMM + np.eye(objectives) / BROAD**2
        sum_CM1 = np.einsum("ca,cam->cm", self.usual_CA, mean_CAM)[..., None]
        centre_CMM = np.linalg.inv(precision_CMM)
        normal_CM1 = np.linalg.cholesky(centre_CMM) @ rng.standard_normal((chains, objectives, 1))
        self.centre_CM = (centre_CMM @ inverse_CMM @ sum_CM1 + normal_CM1)[..., 0]

        away_CAM = mean_CAM - self.centre_CM[:, None]
        inside_CAM = away_CAM * self.usual_CA[..., None]
        scale_CMM = inside_CAM.swapaxes(1, 2) @ inside_CAM + self.noise_CMM
        inverse_CMM = self._inverse_spread(scale_CMM, count_C + objectives)
        self.spread_CMM = np.linalg.inv(inverse_CMM)

        others, those = _OTHERS
        rare_C1 = rng.beta(others + arms - count_C, those + count_C)[:, None]
        inside_CA = np.linalg.slogdet(inverse_CMM)[1][:, None] - np.einsum(
            "cam,cmn,can->ca", away_CAM, inverse_CMM, away_CAM
        )
        outside_CA = -2 * objectives * np.log(BROAD) - (mean_CAM**2).sum(axis=2) / BROAD**2
        odds_CA = np.log(1 / rare_C1 - 1) + (inside_CA - outside_CA) / 2
        self.usual_CA = rng.logistic(size=odds_CA.shape) < odds_CA

    def _inverse_spread(self, scale_CMM: Array, df_C: NDArray[np.int64]) -> Array:
        """Wishart matrices of this inverse scale, by Bartlett's decomposition."""
        objectives = scale_CMM.shape[1]
        lower_CMM = np.tril(self.rng.standard_normal(scale_CMM.shape), -1)
        at_M = np.arange(objectives)
        lower_CMM[:, at_M, at_M] = np.sqrt(self.rng.chisquare(df_C[:, None] - at_M))
        jitter_MM = _JITTER * np.eye(objectives)
        root_CMM = np.linalg.cholesky(np.linalg.inv(scale_CMM + jitter_MM)) @ lower_CMM
        inverse_CMM: Array = root_CMM @ root_CMM.swapaxes(1, 2)
        return inverse_CMM
