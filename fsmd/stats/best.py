"""How surely one of several arms is the best of them, over seeds and test rows together.

Suffixes: A arms, R paired seeds, K tasks, S draws.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from fsmd.stats.estimates import ALPHA, Array, Estimate, p_value
from fsmd.stats.joint import symmetric_root
from fsmd.stats.pareto import DRAWS, drawn_means

FEWEST_SEEDS = 3
"""For any chance: the scatter of two seeds is hardly known."""


def shown_best(gains: Sequence[Estimate], alpha: float = ALPHA) -> bool:
    """Whether an arm is shown to be better than every other, from its gains over each.

    Each one-sided test needs alpha / 2, and no adjustment: all must be passed (the intersection-
    union test, Berger 1982), and at most one arm can be the best. Where none is, several arms are
    equal at the top, and one of two that is shown falsely was ahead of the other by chance.
    """
    p = [p_value(gain, "above") for gain in gains]
    return bool(p) and all(each is not None and each < alpha / 2 for each in p)


def drawn_together(
    values_ARK: Array, rows_AKAK: Array | None = None, draws: int = DRAWS, seed: int = 0
) -> Array:
    """S x A x K: what the true means may be.

    All arms' means are drawn together: from the joint t distribution of the paired seeds, in which
    what a seed does to all arms cancels, and for the test rows from a normal one. Nothing is
    assumed about how far apart arms are: where they lie closer together than their noise, what
    is told at 95 % is true in about 80 %.

    values_ARK: figures on seeds that all arms have, `FEWEST_SEEDS` of them at least.
    rows_AKAK: the test rows' part in the covariance of the means; None: the seeds alone.
    """
    rng = np.random.default_rng(seed)
    mean_SAK = drawn_means(values_ARK, rng, draws)
    if rows_AKAK is not None:
        size = mean_SAK[0].size
        moved = rng.standard_normal((draws, size)) @ symmetric_root(rows_AKAK.reshape(size, size))
        mean_SAK = mean_SAK + moved.reshape(mean_SAK.shape)
    return mean_SAK


def chances_of_best(blocks_SA: Iterable[Array]) -> Array:
    """A: in how many draws an arm is the highest; they add up to 1, equals share it.

    blocks_SA: the draws of some arms after those of others.

    >>> chances_of_best([np.array([[0.7, 0.6], [0.1 + 0.2, 0.3]])]).tolist()
    [0.75, 0.25]
    """
    tops, arms = [], 0
    for mean_SA in blocks_SA:
        rounded_SA = mean_SA.round(9)  # equal arms stay equal
        top_S = rounded_SA.max(axis=1)
        draw_T, arm_T = np.nonzero(rounded_SA == top_S[:, None])
        tops.append((top_S, draw_T, arms + arm_T))
        arms += rounded_SA.shape[1]
    highest_S = np.max([top_S for top_S, _, _ in tops], axis=0)
    drawn_T, top_T, best_T = (
        np.concatenate(of_blocks)
        for of_blocks in zip(*((d, top_S[d], a) for top_S, d, a in tops), strict=True)
    )
    is_best_T = top_T == highest_S[drawn_T]
    drawn_B, best_B = drawn_T[is_best_T], best_T[is_best_T]
    share_B = 1 / np.bincount(drawn_B)[drawn_B]
    return np.bincount(best_B, share_B, minlength=arms) / len(highest_S)
