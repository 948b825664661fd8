"""Families of tests: p-values so adjusted that any is falsely below alpha with chance alpha.

Holm's adjustment (1979) asks nothing of the tests. Comparisons with one reference are not
independent, as all of them have its scatter: they tend to be wrong together, so less is to be
adjusted (Dunnett 1955; step-down: Marcus, Peritz and Gabriel 1976). On each target the chance
that any of them is as extreme is a double integral, over what they share: a deviation of the
reference, and an estimated scale. Targets are added up (Bonferroni): nothing is assumed of how
they go together. So this never asks for more than Holm does.

Suffixes: O the comparisons of a target, N those numbers that some share, Z and W nodes of the two
integrals.
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fsmd.stats.estimates import ALPHA, Array, Estimate, counted, holm, mixture, p_of_each

MOST_SHARED = 0.9
"""For the integral, whose steps are not finer; less is safer."""
_LARGEST = 1e6
"""Degrees of freedom: as good as infinitely many."""
_SETTLED = 1e-4
"""What is below this after Holm needs nothing sharper."""
_OPEN = 0.5
"""What is above this after adjustment needs nothing sharper, and nor does what comes after it."""
_STEPS = 200
"""Of what is shared; less is safer."""
_Z = np.linspace(-6.0, 6.0, 61)
_WEIGHT_Z = np.exp(-(_Z**2) / 2) / np.exp(-(_Z**2) / 2).sum()


def against_reference(
    differences: Sequence[Estimate], targets: Sequence[Hashable]
) -> tuple[float | None, ...]:
    """p that each differs, of comparisons that share one reference, adjusted over all of them.

    It is Holm's, which is larger, where p alone is not below 0.05, where Holm leaves it far below,
    and behind the first that is clearly open.

    targets: of each difference.
    """
    raw = tuple(p_of_each(differences))
    adjusted = list(holm(raw))
    known = [1.0 if p is None else p for p in raw]
    of_target = dict[Hashable, list[int]]()
    for i, target in enumerate(targets):
        of_target.setdefault(target, []).append(i)
    groups = [
        _Group.of([differences[i] for i in some], [known[i] for i in some])
        for some in of_target.values()
    ]
    so_far = 0.0
    for i, p in sorted(enumerate(raw), key=lambda entry: known[entry[0]]):
        by_holm = adjusted[i]
        if p is None or by_holm is None:
            continue
        if p < ALPHA and by_holm > _SETTLED and so_far < _OPEN:
            by_holm = min(by_holm, sum(group.chance_of_any(p) for group in groups))
        so_far = adjusted[i] = max(so_far, by_holm)
    return tuple(adjusted)


def chance_of_any(p: float, differences: Sequence[Estimate]) -> float:
    """That any of these comparisons with one reference has a p so small, if none differs."""
    return _Group.of(differences, [1.0] * len(differences)).chance_of_any(p)


class _Group(NamedTuple):
    """Comparisons of one target, in the order of their p."""

    p_O: Array
    df_O: Array
    own_O: Array
    """Degrees of freedom: all, and those that its own seeds give."""
    together_O: Array
    """The part of the chance of its standard error that is one and the same in all of them."""
    step_O: NDArray[np.int64]
    """How much is shared, in steps below it: many comparisons share nearly the same."""

    @classmethod
    def of(cls, differences: Sequence[Estimate], known: Sequence[float]) -> Self:
        """known: p of each, 1 where there is none."""
        order_O = np.argsort(known, kind="stable")
        seeds_O = np.array([_of_seeds(d) for d in differences])[order_O]
        numbers = [(d.shared, d.together, d.freedom, max(d.n - 1, 1)) for d in differences]
        shared_O, together_O, df_O, own_O = np.array(numbers, float)[order_O].T
        steps_O = np.minimum(shared_O * seeds_O, MOST_SHARED) * _STEPS
        return cls(
            *(np.array(known)[order_O], df_O, own_O, together_O * seeds_O**2),
            np.floor(steps_O + 1e-9).astype(np.int64),
        )

    def chance_of_any(self, p: float) -> float:
        """That any of those whose p is not below this one has a p so small."""
        first = int(self.p_O.searchsorted(p))
        if first == len(self.p_O):
            return 0.0
        counted_O = counted(self.df_O[first:], self.own_O[first:], p)
        df_O = counted_O / np.maximum(self.together_O[first:], 1 / _LARGEST)
        df = min(float(df_O.max()), _LARGEST)  # of what they share, at most
        step_N, count_N = np.unique(self.step_O[first:], return_counts=True)
        shared_N1 = step_N[:, None] / _STEPS
        variance_W, weight_W = mixture(df, nodes=32)
        limit_W = -special.stdtrit(df, p / 2) / np.sqrt(variance_W)
        own_N11, moved_NZ1 = (
            np.sqrt(1 - shared_N1)[..., None],
            (np.sqrt(shared_N1) * _Z)[..., None],
        )
        upper_NZW = special.ndtr((limit_W - moved_NZ1) / own_N11)
        lower_NZW = special.ndtr((-limit_W - moved_NZ1) / own_N11)
        none_ZW = ((upper_NZW - lower_NZW) ** count_N[:, None, None]).prod(axis=0)
        return float(1 - _WEIGHT_Z @ none_ZW @ weight_W)


def _of_seeds(difference: Estimate) -> float:
    """The seeds' part in the variance; 0 where nothing is known of it."""
    if not difference.se:
        return 0.0
    return float(((difference.se_seeds or 0.0) / difference.se) ** 2)
