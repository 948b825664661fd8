"""Families of tests: p-values so adjusted that any is falsely below alpha with chance alpha.

Holm's adjustment (1979) asks nothing of the tests. Comparisons with one reference are not
independent, as all of them have its scatter: they tend to be wrong together, so less is to be
adjusted (Dunnett 1955; step-down: Marcus, Peritz and Gabriel 1976). On each target the chance
that any of them is as extreme is a double integral, over what they share: a deviation of the
reference, and an estimated scale. Targets are added up (Bonferroni): nothing is assumed of how
they go together. So this never asks for more than Holm does.

Suffixes: O the comparisons of a target, N those numbers that some share, P the p asked for; Z and
W nodes of the two integrals, H those of Z up to 0.
"""

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fsmd.stats.estimates import ALPHA, FEWER, Array, Estimate, counted, holm, mixture, p_of_each

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
_Z = np.arange(-30, 31) / 5
_H = slice(len(_Z) // 2 + 1)
"""Nodes up to 0: those above are their mirror image."""
_WEIGHT_H = np.exp(-(_Z[_H] ** 2) / 2) * np.where(_Z[_H] == 0, 1, 2)
_WEIGHT_H /= _WEIGHT_H.sum()
_AT_ONCE = 100
"""p for which the chance is computed together."""
_MOST = 1000
"""p for which it is computed one by one. Of more, it is a straight line within each sixth of a
step in which degrees of freedom are `counted`: within 1 % of its own."""


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
    order = sorted(range(len(raw)), key=known.__getitem__)
    is_asked = [known[i] < ALPHA and (adjusted[i] or 0.0) > _SETTLED for i in order]
    asked = [known[i] for i, is_one in zip(order, is_asked, strict=True) if is_one]
    chances, so_far = _chances_of_any(asked, groups), 0.0
    for i, is_one in zip(order, is_asked, strict=True):
        by_holm = adjusted[i]
        if by_holm is None:
            continue
        if is_one and so_far < _OPEN:
            by_holm = min(by_holm, next(chances))
        so_far = adjusted[i] = max(so_far, by_holm)
    return tuple(adjusted)


def chance_of_any(p: float, differences: Sequence[Estimate]) -> float:
    """That any of these comparisons with one reference has a p so small, if none differs."""
    return next(_chances_of_any([p], [_Group.of(differences, [1.0] * len(differences))]))


def _chances_of_any(asked: Sequence[float], groups: Sequence["_Group"]) -> Iterator[float]:
    """Of each p, in rising order, over all groups; computed as they are taken."""
    asked_A, step_A = np.array(asked), np.arange(len(asked))
    if len(asked) > _MOST:
        step_A = np.floor(300 * FEWER * np.log10(asked_A / ALPHA))
    is_end_A = (np.diff(step_A, prepend=-np.inf) > 0) | (np.diff(step_A, append=np.inf) > 0)
    end_P, chances, told = np.flatnonzero(is_end_A), list[float](), 0
    for start in range(0, len(end_P), _AT_ONCE):
        some_P = end_P[start : start + _AT_ONCE]
        p_P, known_A = asked_A[some_P], asked_A[told : some_P[-1] + 1]
        chances += np.sum([group.chance_of_any_P(p_P) for group in groups], axis=0).tolist()
        yield from np.interp(known_A, asked_A[end_P[: len(chances)]], chances).tolist()
        told += len(known_A)


class _Group(NamedTuple):
    """Comparisons of one target, in the order of their p."""

    p_O: Array
    df_O: Array
    own_O: Array
    """Degrees of freedom, the most from here on: all, and those that its own seeds give. Both are
    over the part of the chance of the standard error that is one and the same in all of them."""
    step_N: NDArray[np.int64]
    """How much is shared, in steps below it: many comparisons share nearly the same."""
    count_ON: NDArray[np.int64]
    """How many from here on share so much."""

    @classmethod
    def of(cls, differences: Sequence[Estimate], known: Sequence[float]) -> Self:
        """known: p of each, 1 where there is none."""
        order_O = np.argsort(known, kind="stable")
        seeds_O = np.array([_of_seeds(d) for d in differences])[order_O]
        numbers = [(d.shared, d.together, d.freedom, max(d.n - 1, 1)) for d in differences]
        shared_O, together_O, df_O, own_O = np.array(numbers, float)[order_O].T
        part_O = np.maximum(together_O * seeds_O**2, 1 / _LARGEST)
        steps_O = np.minimum(shared_O * seeds_O, MOST_SHARED) * _STEPS
        step_N, of_O = np.unique(np.floor(steps_O + 1e-9).astype(int), return_inverse=True)
        is_of_ON = of_O[:, None] == np.arange(len(step_N))
        return cls(
            np.array(known)[order_O],
            np.maximum.accumulate((df_O / part_O)[::-1])[::-1],
            np.maximum.accumulate((own_O / part_O)[::-1])[::-1],
            step_N,
            is_of_ON[::-1].cumsum(axis=0)[::-1],
        )

    def chance_of_any_P(self, p_P: Array) -> Array:
        """That any of those whose p is not below one of these has a p so small.

        p_P: ascending.
        """
        first_P = self.p_O.searchsorted(p_P)
        chance_P, first_P = np.zeros(len(p_P)), first_P[first_P < len(self.p_O)]
        p_P = p_P[: len(first_P)]
        df_P = np.minimum(counted(self.df_O[first_P], self.own_O[first_P], p_P), _LARGEST)
        mixtures = [mixture(df, nodes=32) for df in df_P.tolist()]
        variance_PW, weight_PW = np.array(mixtures).reshape(-1, 2, 32).swapaxes(0, 1)
        limit_PW = -special.stdtrit(df_P, p_P / 2)[:, None] / np.sqrt(variance_PW)
        none_PWH = np.ones((*limit_PW.shape, len(_WEIGHT_H)))
        for step, count_P in zip(self.step_N, self.count_ON[first_P].T, strict=True):
            shared = step / _STEPS
            moved_PWZ = limit_PW[..., None] - np.sqrt(shared) * _Z
            below_PWZ = special.ndtr(moved_PWZ / np.sqrt(1 - shared))
            # That it is above minus the limit, too, is told by the other end of Z.
            inside_PWH = (below_PWZ + below_PWZ[..., ::-1] - 1)[..., _H]
            none_PWH *= inside_PWH ** count_P[:, None, None]
        chance_P[: len(p_P)] = 1 - (none_PWH @ _WEIGHT_H * weight_PW).sum(axis=1)
        return chance_P


def _of_seeds(difference: Estimate) -> float:
    """The seeds' part in the variance; 0 where nothing is known of it."""
    if not difference.se:
        return 0.0
    return float(((difference.se_seeds or 0.0) / difference.se) ** 2)
