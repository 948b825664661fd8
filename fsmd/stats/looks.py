"""Looks at a study while it grows: what error each may spend, and what the next would decide.

Whoever tests at five seeds, adds five and tests again has another chance to be wrong. So the
numbers of seeds at which a study is judged are stated before it runs, and share the 5 %: by the
time it has a part of the last look's seeds, 0.05 times the square root of that part may be spent
(of the power family of Kim and DeMets 1987). What the looks spend adds up to 5 %, and so does the
chance of any false verdict at any look, whatever the tests are, as long as each keeps its own
level (the union bound). A look at another number of seeds takes its part from the next stated
one; what lies behind the last stated one has none left.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import NamedTuple

from scipy import special

from fsmd.stats.estimates import ALPHA, LEVEL, SAME_BY_CHANCE, Estimate, Kind
from fsmd.stats.power import POWER, Needed, chance_to_decide, df_per_seed


class PlannedLook(NamedTuple):
    """A number of seeds, and the chance of any false verdict of a family of tests there."""

    seeds: int
    alpha: float


def level(seeds: int, before: int, stated: Sequence[int]) -> float:
    """What a look may spend; before: the seeds of the last look that was made, 0 without any.

    More is spent early than the seeds' part: with a first look, at an eighth of them, most studies
    end, and with 0.05 / 8 it decides next to nothing. What is taken from the last looks for it
    they need least: their seeds tell most.

    >>> [round(level(n, m, (5, 20)), 4) for n, m in ((5, 0), (20, 5), (10, 5), (50, 20))]
    [0.025, 0.025, 0.0104, 0.0]
    """
    return max(0.0, _spent(seeds, stated[-1]) - _spent(before, stated[-1]))


def _spent(seeds: int, last: int) -> float:
    return float(ALPHA * (min(seeds, last) / last) ** 0.5)


def ahead(before: int, stated: Sequence[int]) -> tuple[PlannedLook, ...]:
    """The stated looks that are to come after one at `before` seeds."""
    seeds = [before, *(n for n in stated if n > before)]
    return tuple(PlannedLook(n, level(n, last, stated)) for last, n in pairwise(seeds))


def due(
    stated: Sequence[int], made: Collection[int], seeds: int, there: int = 0
) -> tuple[int, ...]:
    """The looks to be made in turn of a study that is asked to have so many seeds.

    A single seed shows nothing, and is no look. Nor is a number that nobody stated, where more
    seeds are there: it would be chosen after they were seen.

    there: seeds that any arm has.

    >>> due((5, 10, 20), (), 12), due((5, 10, 20), (5, 7), 10), due((5, 10), (5, 10), 7)
    ((5, 10, 12), (10,), ())
    >>> due((5, 10), (), 7, there=9), due((5, 10), (5,), 9, there=9)
    ((5,), (9,))
    """
    last, asked = max(made, default=0), (seeds,) if seeds >= there else ()
    return tuple(sorted({n for n in (*stated, *asked) if last < n <= seeds and n > 1}))


def needed_at(
    estimate: Estimate, margin: float, sizes: tuple[int, int], to_come: Sequence[PlannedLook]
) -> Needed:
    """The first look that would decide a comparison, either way, with 80 % chance.

    As if the estimates were true, at the look's level over the number of tests that are open (see
    `fsmd.stats.power.replicates_needed`, which is not bound to looks).

    sizes: the number of tests of a difference, and of equivalence, that no look decided.
    """
    if estimate.se_seeds is None:
        return Needed(None, "too few replicates")
    seeds, rows = estimate.se_seeds * estimate.n**0.5, estimate.se_test or 0.0
    for look in to_come:
        alphas = look.alpha / sizes[0], look.alpha / sizes[1]
        chance = chance_to_decide(
            *(estimate.mean, seeds, rows),
            n=look.seeds,
            margin=margin,
            alphas=alphas,
            per_seed=df_per_seed(estimate, min(alphas)),
        )
        if chance >= POWER:
            return Needed(look.seeds, at_least=estimate.se_test == 0)
    highest = max((look.alpha for look in to_come), default=ALPHA)
    may_decide = seeds_may_show(estimate, "differs", 0.0, highest / sizes[0])
    may_decide |= seeds_may_show(estimate, "within", margin, highest / sizes[1])
    return Needed(None, "last look" if may_decide else "test set")


def seeds_may_show(estimate: Estimate, kind: Kind, bound: float, alpha: float) -> bool:
    """Whether infinitely many seeds might show it; only the test set's part stays then.

    For any of the differences that the seeds' own 95 % interval leaves possible: where it could
    be shown of none of them, the test set is the limit. Where the difference is the same on every
    seed, as of two models that no seed changes, more of them show nothing either.
    """
    rows = estimate.se_test or 0.0
    if estimate.se_seeds is None:
        return 0 < estimate.n <= SAME_BY_CHANCE
    if rows == 0:
        return True
    half = estimate.se_seeds * float(special.stdtrit(estimate.n - 1, (1 + LEVEL) / 2))
    low, high = estimate.mean - half, estimate.mean + half
    nearest = max(low, -high, 0.0)
    distance = {
        "differs": max(abs(low - bound), abs(high - bound)),
        "above": high - bound,
        "below": bound - low,
        "within": bound - nearest,
        "beyond": max(-low, high) - bound,
    }[kind]
    return bool(distance > -special.ndtri(alpha / 2 if kind == "differs" else alpha) * rows)
