"""Families of tests: p-values so adjusted that any is falsely below alpha with chance alpha.

Holm's adjustment (1979) asks nothing of the tests. Comparisons with one reference are not
independent, as all of them have its scatter: they tend to be wrong together, so less is to be
adjusted (Dunnett 1955; step-down: Marcus, Peritz and Gabriel 1976). On each target the chance
that any of them is as extreme is a double integral, over what they share: a deviation of the
reference, and an estimated scale. Targets are added up (Bonferroni): nothing is assumed of how
they go together. So this never asks for more than Holm does.

Suffixes: O the comparisons of a target, Z and W nodes of the two integrals.
"""

from collections.abc import Hashable, Sequence

import numpy as np
from scipy import special

from fsmd.stats.estimates import ALPHA, Estimate, holm, mixture, p_value

MOST_SHARED = 0.9
"""For the integral, whose steps are not finer; less is safer."""
_LARGEST = 1e6
"""Degrees of freedom: as good as infinitely many."""
_SETTLED = 1e-4
"""What is below this after Holm needs nothing sharper."""
_Z = np.linspace(-6.0, 6.0, 61)
_WEIGHT_Z = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


def against_reference(
    differences: Sequence[Estimate], targets: Sequence[Hashable]
) -> tuple[float | None, ...]:
    """p that each differs, of comparisons that share one reference, adjusted over all of them.

    Where p alone is not below 0.05, or far below after Holm, it is Holm's, which is larger.

    targets: of each difference.
    """
    raw = tuple(map(p_value, differences))
    adjusted = list(holm(raw))
    known = [1.0 if p is None else p for p in raw]
    so_far = 0.0
    for i, p in sorted(enumerate(raw), key=lambda entry: known[entry[0]]):
        by_holm = adjusted[i]
        if p is None or by_holm is None:
            continue
        if p < ALPHA and by_holm > _SETTLED:
            left = dict[Hashable, list[Estimate]]()
            for difference, target, other in zip(differences, targets, known, strict=True):
                if other >= p:
                    left.setdefault(target, []).append(difference)
            by_holm = min(by_holm, sum(chance_of_any(p, group) for group in left.values()))
        so_far = adjusted[i] = max(so_far, by_holm)
    return tuple(adjusted)


def chance_of_any(p: float, differences: Sequence[Estimate]) -> float:
    """That any of these comparisons with one reference has a p so small, if none differs."""
    shares = [_of_seeds(difference) for difference in differences]
    together = [d.together * s**2 for d, s in zip(differences, shares, strict=True)]
    df = max(
        d.freedom_of_tests / part if part else _LARGEST
        for d, part in zip(differences, together, strict=True)
    )
    shared_O = np.array([d.shared * s for d, s in zip(differences, shares, strict=True)])
    shared_O11 = np.minimum(shared_O, MOST_SHARED)[:, None, None]
    variance_W, weight_W = mixture(min(df, _LARGEST), nodes=32)
    limit_W = -special.stdtrit(min(df, _LARGEST), p / 2) / np.sqrt(variance_W)
    own_O11, moved_OZ = np.sqrt(1 - shared_O11), np.sqrt(shared_O11[..., 0]) * _Z
    upper_OZW = special.ndtr((limit_W - moved_OZ[..., None]) / own_O11)
    lower_OZW = special.ndtr((-limit_W - moved_OZ[..., None]) / own_O11)
    none_ZW = (upper_OZW - lower_OZW).prod(axis=0)
    return float(1 - _WEIGHT_Z @ none_ZW @ weight_W)


def _of_seeds(difference: Estimate) -> float:
    """The seeds' part in the variance; 0 where nothing is known of it."""
    if not difference.se:
        return 0.0
    return float(((difference.se_seeds or 0.0) / difference.se) ** 2)
