"""Looks by simulation: the error over all of them, the power, and the seeds that they take.

`python -m tests.bench_looks` draws many studies of ten arms, lets each be judged at its looks in
several ways, and prints a table and, last, a line of JSON. The ways: `fixed` is judged once, when
every arm has all seeds; `all` gives seeds to every arm, look by look, until all is decided;
`auto` gives them to the arms alone of which something is open. Means are tested as reports test
them: their scatter over seeds is learnt from all arms that have a look's seeds
(`fsmd.stats.scatter`), tests are of Behrens-Fisher over seeds and test rows, that arms differ is
adjusted over those that share the reference (`fsmd.stats.families`), that they are equal by Holm.

Suffixes: D drawn studies, A arms beside the reference, N seeds, K looks.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special

from fsmd.stats.estimates import ALPHA, Array, Estimate, at_its_level
from fsmd.stats.families import against_reference
from fsmd.stats.looks import level
from fsmd.stats.scatter import Scatters, scatters

LOOKS = (5, 10, 20, 40)
MARGIN = 1.0
"""Differences are in units of what matters."""
ARMS = 9
Way = str
WAYS: tuple[Way, ...] = ("fixed", "all", "auto")


@dataclass(frozen=True)
class World:
    """How studies are drawn."""

    name: str
    true_A: tuple[float, ...]
    """Differences from the reference."""
    rows: float = 0.0
    """The test set's part: a standard error of each difference, the same for all seeds."""
    spread: float = 0.0
    """Of the logarithm of the arms' deviations over seeds."""
    wild: float = 1.0
    """How many times as much the reference scatters."""

    def drawn(self, draws: int, rng: np.random.Generator) -> Array:
        """D x A x N: differences of paired seeds, with what the test set adds to all of them."""
        shape = draws, ARMS, LOOKS[-1]
        deviation_DA1 = np.exp(self.spread * rng.standard_normal((draws, ARMS, 1)))
        own_DAN = deviation_DA1 * rng.standard_normal(shape) / 2**0.5
        reference_D1N = self.wild * rng.standard_normal((draws, 1, LOOKS[-1])) / 2**0.5
        rows_DA1 = (
            self.rows
            * (rng.standard_normal((draws, ARMS, 1)) + rng.standard_normal((draws, 1, 1)))
            / 2**0.5
        )
        drawn_DAN: Array = np.array(self.true_A)[:, None] + own_DAN - reference_D1N + rows_DA1
        return drawn_DAN


NULL = (0.0,) * ARMS
EDGE = (MARGIN,) * ARMS
MIXED = (0.0, 0.0, 0.0, 0.5, 0.5, 0.75, 1.5, 2.0, 3.0)
"""In units of the seeds' deviation of a difference: equal arms, small and large differences."""
MIXED_WORLD = World("mixed", MIXED, rows=0.1)
WORLDS = (
    World("all equal", NULL),
    World("all equal, test rows", NULL, rows=0.3),
    World("all equal, log-normal deviations", NULL, rows=0.3, spread=0.5),
    World("all equal, wild reference", NULL, rows=0.3, wild=4.0),
    World("all at the margin", EDGE, rows=0.1),
    MIXED_WORLD,
    World("mixed, log-normal deviations", MIXED, rows=0.1, spread=0.5),
)


class Judged(NamedTuple):
    """What became of drawn studies."""

    differs_DA: NDArray[np.bool_]
    """Whether it was shown that the arm differs."""
    equal_DA: NDArray[np.bool_]
    """Whether it was shown to lie inside of the margin."""
    seeds_DA: NDArray[np.int64]


def tails(distance_DA: Array, seeds_DA: Array, rows: float, df_DA: Array) -> Array:
    """As `fsmd.stats.estimates.tail`, of arrays of standard errors and degrees of freedom."""
    if rows == 0:
        return np.asarray(special.stdtr(df_DA, -distance_DA / seeds_DA))
    df_DA1 = np.asarray(df_DA)[..., None]
    ends = (
        2 * special.gammaincinv(df_DA1 / 2, 1e-14),
        2 * special.gammainccinv(df_DA1 / 2, 1e-14),
    )
    log_DAW = np.log(ends[0]) + np.log(ends[1] / ends[0]) * np.linspace(0, 1, 40)
    weight_DAW = np.exp(df_DA1 / 2 * (log_DAW - np.log(df_DA1)) - (np.exp(log_DAW) - df_DA1) / 2)
    spread_DAW = np.sqrt(seeds_DA[..., None] ** 2 * df_DA1 / np.exp(log_DAW) + rows**2)
    tail_DAW = special.ndtr(-distance_DA[..., None] / spread_DAW) * weight_DAW
    return np.asarray(tail_DAW.sum(axis=-1) / weight_DAW.sum(axis=-1))


def p_values(
    distance_DA: Array, seeds_DA: Array, rows: float, df_DA: Array, own: int, sides: int
) -> Array:
    """As `fsmd.stats.estimates.p_value`; sides: of the tail."""

    def with_df(df_DA: Array) -> Array:
        return np.minimum(sides * tails(distance_DA, seeds_DA, rows, df_DA), 1.0)

    return np.asarray(at_its_level(with_df, df_DA, own))


def learnt(drawn_DAN: Array, has_DA: NDArray[np.bool_]) -> Scatters:
    """D x A: scatters of the arms that have these seeds, learnt from those alone."""
    found = Scatters(*(np.ones(has_DA.shape) for _ in Scatters._fields))
    for has_A in np.unique(has_DA, axis=0):
        if not has_A.any():
            continue
        at = np.ix_((has_DA == has_A).all(axis=1), has_A)
        values_DAN = drawn_DAN[at]
        values_DAN = np.concatenate([np.zeros_like(values_DAN[:, :1]), values_DAN], axis=1)
        for all_DA, part_DA in zip(found, scatters(values_DAN, 0), strict=True):
            all_DA[at] = part_DA
    return found


def holm(p_DA: Array) -> Array:
    """Holm's adjustment of each row."""
    order_DA = np.argsort(p_DA, axis=1)
    steps_A = np.arange(p_DA.shape[1], 0, -1)
    stepped_DA = np.maximum.accumulate(np.take_along_axis(p_DA, order_DA, 1) * steps_A, axis=1)
    adjusted_DA = np.empty_like(p_DA)
    np.put_along_axis(adjusted_DA, order_DA, stepped_DA, 1)
    return adjusted_DA


def judge(drawn_DAN: Array, rows: float, way: Way, looks: Sequence[int] = LOOKS) -> Judged:
    """Look by look: what is decided stays so; the rest is adjusted for each other alone."""
    draws, arms, _ = drawn_DAN.shape
    differs_DA = np.zeros((draws, arms), bool)
    equal_DA, open_DA = differs_DA.copy(), ~differs_DA
    seeds_DA = np.zeros((draws, arms), np.int64)
    before = 0
    for n in looks if way != "fixed" else looks[-1:]:
        if way == "all":  # every arm, as long as any is open
            open_DA = np.repeat(open_DA.any(axis=1, keepdims=True), arms, axis=1)
        alpha, before = level(n, before, looks), n
        seeds_DA[open_DA] = n
        mean_DA = drawn_DAN[..., :n].mean(axis=2)
        scatter = learnt(drawn_DAN[..., :n], open_DA)
        se_DA = np.sqrt(scatter.variance_O / n)
        size_DA = np.abs(mean_DA)
        for shown_DA, distance_DA, sides in (
            (differs_DA, size_DA, 2),
            (equal_DA, MARGIN - size_DA, 1),
        ):
            p_DA = p_values(distance_DA, se_DA, rows, scatter.df_O, n - 1, sides)
            p_DA = np.where(shown_DA, 0.0, np.where(open_DA, p_DA, 1.0))
            sure_DA = holm(p_DA) < alpha
            if sides == 2:  # where Holm leaves open what one test alone would show
                near_DA = ~sure_DA & (p_DA < alpha)
                for d in np.flatnonzero(near_DA.any(axis=1)).tolist():
                    left_A = ~shown_DA[d]
                    numbers = np.where(open_DA[d], mean_DA[d], 0.0), se_DA[d]
                    rest = np.array([*numbers, *(part_DA[d] for part_DA in scatter[1:])])
                    estimates = [
                        Estimate(mean, None, None, n, se, rows or None, *more)
                        for mean, se, *more in rest[:, left_A].T.tolist()
                    ]
                    adjusted = against_reference(estimates, ["one"] * len(estimates))
                    sure_DA[d, left_A] |= np.array(adjusted, float) < alpha
            shown_DA |= sure_DA
        half_DA = se_DA * special.stdtrit(n - 1, 0.975)
        z = -special.ndtri(ALPHA / 4) * rows
        may_DA = (size_DA + half_DA > z) | (np.maximum(size_DA - half_DA, 0) < MARGIN - z)
        open_DA = open_DA & ~differs_DA & ~equal_DA & (may_DA if rows else True)
    return Judged(differs_DA, equal_DA, seeds_DA)


class Found(NamedTuple):
    """Of one world judged in one way."""

    error: float
    """The chance of any false verdict: the larger of the two families'."""
    power: float
    """The share of the comparisons with a true verdict that are decided rightly."""
    seeds: float
    """Of an arm beside the reference, on average."""


def found(world: World, way: Way, draws: int, seed: int = 0) -> Found:
    """See `Found`."""
    rng = np.random.default_rng(seed)
    judged = judge(world.drawn(draws, rng), world.rows, way)
    true_A = np.array(world.true_A)
    is_null_A, is_far_A = true_A == 0, np.abs(true_A) >= MARGIN
    false = (
        (judged.differs_DA & is_null_A).any(axis=1).mean(),
        (judged.equal_DA & is_far_A).any(axis=1).mean(),
    )
    return Found(float(max(false)), power_of(world, judged), float(judged.seeds_DA.mean()))


def power_of(world: World, judged: Judged) -> float:
    """The share of the comparisons that are decided rightly: that there is a difference, or that
    it is inside of the margin; both are right of a small one."""
    true_A = np.array(world.true_A)
    differs_DA = judged.differs_DA & (true_A != 0)
    return float((differs_DA | (judged.equal_DA & (np.abs(true_A) < MARGIN))).mean())


# Looks that nobody stated


Policy = Callable[[int, Array], NDArray[np.int64]]
"""(number of seeds looked at, p there, by draw) -> the number to look at next, by draw."""


def next_stated(n: int) -> int:
    """The next stated look, or one behind all."""
    return next((k for k in LOOKS if k > n), LOOKS[-1] + 1)


POLICIES: dict[str, Policy] = {
    "as stated": lambda n, p_D: np.full(len(p_D), next_stated(n)),
    "at every seed": lambda n, p_D: np.full(len(p_D), n + 1),
    "at once where it was near": lambda n, p_D: np.where(
        p_D < 10 * ALPHA * n / LOOKS[-1], n + 1, next_stated(n)
    ),
    "soon where it was near": lambda n, p_D: np.where(
        p_D < 0.1, min(n + 3, LOOKS[-1]), next_stated(n)
    ),
    "two seeds at a time where p is below 0.05": lambda n, p_D: np.where(
        p_D < 0.05, min(n + 2, LOOKS[-1] + 1), next_stated(n)
    ),
}


def error_of(policy: Policy, draws: int, seed: int = 0) -> float:
    """The chance that a true null is called different at any look, whenever one looks."""
    rng = np.random.default_rng(seed)
    x_DN = rng.standard_normal((draws, LOOKS[-1]))
    n_N = np.arange(1, LOOKS[-1] + 1)
    mean_DN = x_DN.cumsum(axis=1) / n_N
    variance_DN = (np.cumsum(x_DN**2, axis=1) - n_N * mean_DN**2) / np.maximum(n_N - 1, 1)
    t_DN = np.abs(mean_DN) / np.sqrt(np.maximum(variance_DN, 1e-12) / n_N)
    p_DN = 2 * special.stdtr(np.maximum(n_N - 1, 1), -t_DN)
    before_D, now_D = np.zeros(draws, np.int64), np.full(draws, LOOKS[0])
    wrong_D = np.zeros(draws, bool)
    for n in range(LOOKS[0], LOOKS[-1] + 1):
        here_D = now_D == n
        p_D = p_DN[:, n - 1]
        wrong_D |= here_D & (p_D < ALPHA * (n - before_D) / LOOKS[-1])
        before_D = np.where(here_D, n, before_D)
        now_D = np.where(here_D, policy(n, p_D), now_D)
    return float(wrong_D.mean())


def bench(draws: int) -> dict[str, float]:
    """Print the tables; the figures for the last line."""
    highest, mixed = 0.0, dict[Way, Found]()
    print(f"{'world':36}{'way':8}{'error':>8}{'power':>8}{'seeds':>8}")
    for world in WORLDS:
        for way in WAYS:
            of = found(world, way, draws)
            print(f"{world.name:36}{way:8}{of.error:8.4f}{of.power:8.3f}{of.seeds:8.1f}")
            highest = max(highest, of.error)
            if world == MIXED_WORLD:
                mixed[way] = of
    print("\nlooks that nobody stated, of one comparison without a difference")
    for name, policy in POLICIES.items():
        error = error_of(policy, 20 * draws)
        print(f"{name:52}{error:8.4f}")
        highest = max(highest, error)
    equal = equal_seeds(mixed["auto"].power, draws)
    print(f"\nmixed: as much power as auto has a fixed study of {equal} seeds of every arm")
    return {
        "look_error": highest,
        "look_power": mixed["auto"].power,
        "look_mean_seeds": mixed["auto"].seeds,
        "look_equal_seeds": equal,
    }


def equal_seeds(power: float, draws: int, seed: int = 0) -> int:
    """The fewest seeds of every arm with so much power, judged once with all of the error."""
    rng = np.random.default_rng(seed)
    drawn_DAN, world = MIXED_WORLD.drawn(draws, rng), MIXED_WORLD
    few, enough = LOOKS[0] - 1, LOOKS[-1]
    while enough - few > 1:  # more seeds have more power
        n = (few + enough) // 2
        if power_of(world, judge(drawn_DAN, world.rows, "fixed", (n,))) >= power:
            enough = n
        else:
            few = n
    return enough


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--draws", type=int, default=1000)
    print(json.dumps(bench(parser.parse_args().draws)))


if __name__ == "__main__":
    main()
