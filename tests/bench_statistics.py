"""Whether the statistics keep what they promise, and what they find: by simulation.

`nox -s bench_statistics` draws studies of which the truth is known, in worlds where arms scatter
alike and in others that the statistics do not assume, and judges each by `fsmd.stats` as a report
does. For each world and design (arms x seeds) it tells, beside the plain paired t with Holm:

- coverage: how often a 95 % interval holds the true difference, over all comparisons with the
  reference; and of the comparison of which it is lowest.
- family error: how often any of a study's tests finds a difference where there is none; and how
  often at the level of the first of the usual looks, as a multiple of it.
- power: how often one arm is found that is ahead by four standard errors on one target.
- width: of the intervals, over that of the plain ones.

A study has two tasks and their mean, so ten arms make 27 tests. Seeds alone are drawn here; what
test rows add is tested in `tests/test_stats_sampling.py`. Each part of the bench is a function in
`PARTS`; the last line is JSON with what all of them found.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy import special

from fsmd.stats.best import chances_of_best, drawn_together, shown_best
from fsmd.stats.estimates import ALPHA, Array, Estimate, at_its_level, holm, mean_interval, p_value
from fsmd.stats.families import against_reference
from fsmd.stats.looks import level
from fsmd.stats.scatter import Scatters, scatters
from studies.definition import LOOKS
from tests import bench_looks

AHEAD = 4.0
"""Standard errors of the arm that is to be found."""
KIN = 0.3
"""What sets an arm apart that is nearly the reference, where others have 1."""
FIRST = level(LOOKS[0], 0, LOOKS)
"""The level of the first look of a study that states nothing else."""
TARGETS = 3
"""Two tasks and their mean."""


# Worlds


class Drawn(NamedTuple):
    """Studies in which no arm differs from another: S studies, A arms, R seeds."""

    values_SAR: Array
    variance_SO: Array
    """The true one of each other arm minus the reference."""


class World(NamedTuple):
    """How arms scatter; the reference is the first."""

    name: str
    deviation: Callable[[np.random.Generator, int, int], Array]
    """Generator, studies, arms -> S x A standard deviations."""
    kin: int = 0
    """So many arms are nearly the reference."""
    groups: bool = False
    """Whether every second arm goes with the others of its group."""
    factor: float = 0.0
    """What one more chance of a seed does, times a normal number that each arm has of its own."""
    tails: float | None = None
    """Degrees of freedom of the arms' t distribution; None: they are normal."""

    def draw(self, rng: np.random.Generator, studies: int, arms: int, seeds: int) -> Drawn:
        """One task of these studies."""
        deviation_SA = self.deviation(rng, studies, arms)
        shape = studies, arms, seeds
        if self.tails is None:
            drawn_SAR = rng.standard_normal(shape)
        else:
            drawn_SAR = rng.standard_t(self.tails, shape) * (1 - 2 / self.tails) ** 0.5
        values_SAR = drawn_SAR * deviation_SA[..., None]
        variance_SO = deviation_SA[:, :1] ** 2 + deviation_SA[:, 1:] ** 2
        if self.kin:
            near = slice(1, 1 + min(self.kin, arms - 1))
            values_SAR[:, near] = values_SAR[:, :1] + KIN * values_SAR[:, near]
            variance_SO[:, : near.stop - 1] = (KIN * deviation_SA[:, near]) ** 2
        if self.groups:
            group_A = np.arange(arms) % 2
            values_SAR += rng.standard_normal((studies, 2, seeds))[:, group_A]
            variance_SO = variance_SO + 2.0 * (group_A[1:] != group_A[0])
        if self.factor:
            loading_SA1 = self.factor * rng.standard_normal((studies, arms, 1))
            values_SAR += loading_SA1 * rng.standard_normal((studies, 1, seeds))
            variance_SO = variance_SO + (loading_SA1[:, 1:] - loading_SA1[:, :1])[..., 0] ** 2
        return Drawn(values_SAR, variance_SO)


def _fixed(form: Callable[[int], Array]) -> Callable[[np.random.Generator, int, int], Array]:
    return lambda rng, studies, arms: np.tile(form(arms), (studies, 1))


def _lognormal(rng: np.random.Generator, studies: int, arms: int) -> Array:
    deviation_SA: Array = np.exp(0.5 * rng.standard_normal((studies, arms)))
    return deviation_SA


def _gamma(shape: float) -> Callable[[np.random.Generator, int, int], Array]:
    """Of variances whose mean is one."""
    return lambda rng, studies, arms: np.sqrt(rng.gamma(shape, 1 / shape, (studies, arms)))


def _one(at: int, deviation: float) -> Callable[[np.random.Generator, int, int], Array]:
    return _fixed(lambda arms: np.where(np.arange(arms) == at, deviation, 1.0))


WORLDS = (
    World("all scatter alike", _fixed(lambda arms: np.ones(arms))),
    World(
        "rising from 0.5 to 1.5",
        _fixed(lambda arms: np.linspace(0.5, 1.5, arms).astype(np.float64)),
    ),
    World(
        "falling from 1.5 to 0.5",
        _fixed(lambda arms: np.linspace(1.5, 0.5, arms).astype(np.float64)),
    ),
    World(
        "every second 2, reference 1",
        _fixed(lambda arms: (1.0 + np.arange(arms) % 2).astype(np.float64)),
    ),
    World(
        "every second 1, reference 2",
        _fixed(lambda arms: (2.0 - np.arange(arms) % 2).astype(np.float64)),
    ),
    World("log-normal deviations", _lognormal),
    World("reference 2, others 1", _one(0, 2.0)),
    World("reference 3, others 1", _one(0, 3.0)),
    World("reference 5, others 1", _one(0, 5.0)),
    World("one other 3", _one(1, 3.0)),
)
"""Deviations over seeds, from arm to arm; the first are those of the targets."""
RELATED = (
    World("two groups of arms", _fixed(lambda arms: np.ones(arms)), groups=True),
    World("one arm is nearly the reference", _fixed(lambda arms: np.ones(arms)), kin=1),
    World("four arms are nearly the reference", _fixed(lambda arms: np.ones(arms)), kin=4),
)
"""Where what is left of a seed goes together among arms."""
FRESH = (
    World(
        "every second 1.5", _fixed(lambda arms: (1.0 + np.arange(arms) % 2 / 2).astype(np.float64))
    ),
    World("gamma variances, shape 5", _gamma(5.0)),
    World("gamma variances, shape 1", _gamma(1.0)),
    World("one other 4", _one(1, 4.0)),
    World("reference 0.3, others 1", _one(0, 0.3)),
    World("reference 1.5, others 1", _one(0, 1.5)),
    World("t with 5 degrees of freedom", _fixed(lambda arms: np.ones(arms)), tails=5.0),
    World("one more chance, unlike in all", _fixed(lambda arms: np.ones(arms)), factor=0.8),
)
"""In which nothing was tuned: the settings of `fsmd.stats` were chosen in the worlds above."""
FRESH_SEED = 20_000
FRESH_DESIGNS = tuple((arms, seeds) for arms in (6, 15) for seeds in (2, 3, 5, 10))
MAIN = (10, 5)
DESIGNS = (MAIN, (10, 2), (10, 3), (10, 10), (2, 5), (4, 5), (20, 5))
"""Arms x seeds."""


# Judged as a report judges


class Way(NamedTuple):
    """How differences are judged: as a report does, or each by its own seeds, and by Holm."""

    learnt: bool

    def scatters(self, values_SAR: Array) -> Scatters:
        """Of every study's comparisons."""
        if self.learnt:
            return scatters(values_SAR, 0)
        variance_SO = (values_SAR[:, 1:] - values_SAR[:, :1]).var(axis=-1, ddof=1)
        df = np.full(variance_SO.shape, values_SAR.shape[-1] - 1.0)
        none = np.zeros(variance_SO.shape)
        return Scatters(variance_SO, df, none, none)

    def adjusted(self, differences: Sequence[Estimate], targets: Sequence[int]) -> list[float]:
        """p over the family."""
        if self.learnt:
            found = against_reference(differences, targets)
        else:
            found = holm([p_value(difference) for difference in differences])
        return [1.0 if p is None else p for p in found]


OURS, PLAIN = Way(True), Way(False)


class Measured(NamedTuple):
    """What holds in one world with one design, of one way of judging."""

    coverage: float
    lowest: float
    """Of the comparison that is covered least."""
    width: float
    """Mean over studies, targets and comparisons, in true standard errors."""
    family_error: float
    power: float
    at_first: float
    """The family error at `FIRST`, as a multiple of it."""


def measured(world: World, design: tuple[int, int], studies: int, seed: int, way: Way) -> Measured:
    """The same draws for every way."""
    arms, seeds = design
    rng = np.random.default_rng((seed, arms, seeds))
    one, other = (world.draw(rng, studies, arms, seeds) for _ in range(2))
    mean = Drawn(
        (one.values_SAR + other.values_SAR) / 2, (one.variance_SO + other.variance_SO) / 4
    )
    tasks = (one, other, mean)
    found = [way.scatters(task.values_SAR) for task in tasks]
    mean_TSO = np.array([(t.values_SAR[:, 1:] - t.values_SAR[:, :1]).mean(axis=2) for t in tasks])
    error_TSO = np.array([np.sqrt(f.variance_O / seeds) for f in found])
    true_TSO = np.sqrt(np.array([task.variance_SO for task in tasks]) / seeds)
    df_TSO = np.array([f.df_O for f in found])
    half_TSO = -special.stdtrit(df_TSO, ALPHA / 2) * error_TSO
    covered_O = (abs(mean_TSO) < half_TSO).mean(axis=(0, 1))
    family = _Family(way, seeds, error_TSO, np.array(found))
    ahead_TSO = mean_TSO.copy()
    ahead_TSO[0, :, -1] += AHEAD * true_TSO[0, :, -1]
    p_S = family.smallest(mean_TSO)
    return Measured(
        coverage=float(covered_O.mean()),
        lowest=float(covered_O.min()),
        width=float((half_TSO / true_TSO).mean()),
        family_error=float((p_S < ALPHA).mean()),
        power=float((family.smallest(ahead_TSO, only=arms - 2) < ALPHA).mean()),
        at_first=float((p_S < FIRST).mean()) / FIRST,
    )


class _Family(NamedTuple):
    """All tests of each study."""

    way: Way
    seeds: int
    error_TSO: Array
    found: Array
    """Targets x what `Scatters` has x studies x comparisons."""

    def smallest(self, mean_TSO: Array, only: int | None = None) -> Array:
        """S: a study's smallest p after adjustment, or more where that is not below 0.05.

        only: the test of this place; None: any.
        """
        targets, studies, _ = mean_TSO.shape
        t_TSO, df_TSO, own = -abs(mean_TSO) / self.error_TSO, self.found[:, 1], self.seeds - 1
        p_TSO = 2 * special.stdtr(df_TSO, t_TSO)
        is_near = p_TSO < ALPHA
        t, df = t_TSO[is_near], df_TSO[is_near]
        p_TSO[is_near] = at_its_level(lambda df: 2 * special.stdtr(df, t), df, own)
        p_PS = p_TSO.swapaxes(1, 2).reshape(-1, studies)
        p_S = p_PS.min(axis=0) if only is None else p_PS[only]
        adjusted_S: Array = np.minimum(p_S * len(p_PS), 1.0)  # by Bonferroni: none makes it larger
        open_S = (adjusted_S >= FIRST) & (p_S < ALPHA)  # and none makes p smaller
        if only is None:
            open_S &= targets * p_S < ALPHA  # each target adds the smallest p at least
        for study in np.flatnonzero(open_S).tolist():
            adjusted = self._adjusted(mean_TSO, study)
            adjusted_S[study] = min(adjusted) if only is None else adjusted[only]
        return adjusted_S

    def _adjusted(self, mean_TSO: Array, study: int) -> list[float]:
        estimates, targets = [], []
        for t in range(len(mean_TSO)):
            numbers = mean_TSO[t, study], self.error_TSO[t, study], *self.found[t, 1:, study]
            for mean, error, *learnt in np.transpose(numbers).tolist():
                estimates.append(Estimate(mean, None, None, self.seeds, error, None, *learnt))
                targets.append(t)
        return self.way.adjusted(estimates, targets)


# Parts of the bench


class Run(NamedTuple):
    """What was asked."""

    studies: int
    seed: int
    say: Console


Part = Callable[[Run], Mapping[str, Any]]
"""Tells as it goes, and returns its entries of the JSON."""


def comparisons(run: Run) -> Mapping[str, Any]:
    """Coverage, level, power and width of comparisons with a reference."""
    ours = dict[tuple[str, tuple[int, int]], Measured]()
    plain = dict[tuple[str, tuple[int, int]], Measured]()
    for design in DESIGNS:
        studies = run.studies if design == MAIN else run.studies // 2
        shown = _table(f"{design[0]} arms x {design[1]} seeds, {studies} studies a world")
        for world in (*WORLDS, *RELATED):
            key = world.name, design
            ours[key] = measured(world, design, studies, run.seed, OURS)
            plain[key] = measured(world, design, studies, run.seed, PLAIN)
            shown.add_row(world.name, *_cells(ours[key], plain[key]))
            run.say.print(f"{design[0]} x {design[1]}: {world.name}", style="dim")
        run.say.print(shown)
    main = [(world.name, MAIN) for world in WORLDS]
    alike = main[0]
    return {
        "coverage_lowest": round(min(ours[key].coverage for key in main), 4),
        "family_error_highest": round(max(ours[key].family_error for key in main), 4),
        "power_at_4_se": round(ours[alike].power, 3),
        "width_ratio": round(ours[alike].width / plain[alike].width, 3),
        "before": {
            "coverage_lowest": round(min(plain[key].coverage for key in main), 4),
            "family_error_highest": round(max(plain[key].family_error for key in main), 4),
            "power_at_4_se": round(plain[alike].power, 3),
        },
        "first_look_highest": round(max(ours[key].at_first for key in main), 2),
        "coverage_lowest_anywhere": round(min(m.coverage for m in ours.values()), 4),
        "family_error_highest_anywhere": round(max(m.family_error for m in ours.values()), 4),
    }


def fresh(run: Run) -> Mapping[str, Any]:
    """Coverage and level in worlds, designs and draws in which no setting was chosen."""
    found = dict[tuple[str, tuple[int, int]], Measured]()
    for design in FRESH_DESIGNS:
        shown = _table(
            f"fresh: {design[0]} arms x {design[1]} seeds, {run.studies} studies a world"
        )
        for world in FRESH:
            key, drawn = (world.name, design), (world, design, run.studies, run.seed + FRESH_SEED)
            found[key], plain = measured(*drawn, OURS), measured(*drawn, PLAIN)
            shown.add_row(world.name, *_cells(found[key], plain))
        run.say.print(shown)
    return {
        "fresh_coverage_lowest": round(min(m.coverage for m in found.values()), 4),
        "fresh_family_error_highest": round(max(m.family_error for m in found.values()), 4),
        "fresh_first_look_highest": round(max(m.at_first for m in found.values()), 2),
    }


def _table(title: str) -> Table:
    table = Table(title=title)
    for head in (
        "world",
        "coverage",
        "lowest",
        "width",
        "family error",
        "at 1st look",
        "power at 4 se",
    ):
        table.add_column(head, justify="left" if head == "world" else "right")
    return table


def _cells(ours: Measured, plain: Measured) -> Iterator[str]:
    """Ours, and the plain one's in brackets; the width over the plain one's."""
    yield f"{ours.coverage:.3f} ({plain.coverage:.3f})"
    yield f"{ours.lowest:.3f} ({plain.lowest:.3f})"
    yield f"{ours.width / plain.width:.2f}"
    yield f"{ours.family_error:.3f} ({plain.family_error:.3f})"
    yield f"{ours.at_first:.2f} ({plain.at_first:.2f})"
    yield f"{ours.power:.2f} ({plain.power:.2f})"


class Calibrated(NamedTuple):
    """Statements of nearly one chance, and how often they were true."""

    said: float
    true: float
    number: int


def calibrated(said_N: Array, true_N: Array, edges: Sequence[float]) -> list[Calibrated]:
    """By chance said: for each two edges in turn, where anything was said between them."""
    bins = [(said_N >= low) & (said_N < high) for low, high in pairwise(edges)]
    return [
        Calibrated(float(said_N[b].mean()), float(true_N[b].mean()), int(b.sum()))
        for b in bins
        if b.any()
    ]


def best_arm(run: Run) -> Mapping[str, Any]:
    """Whether the chance of being the best is what it says, and how often a best is shown.

    Ten arms' true means are drawn, so that they lie one, or a quarter, of a seed's deviation
    apart; then all equal, where whatever is shown is wrong; then one ahead by 8 standard errors.
    """
    arms, seeds = MAIN
    told = dict[str, Any]()
    for name, spread in (("a deviation apart", 1.0), ("a quarter of it apart", 0.25)):
        rng = np.random.default_rng((run.seed, int(100 * spread)))
        said, right = [], []
        for _ in range(run.studies // 4):
            true_A = spread * rng.standard_normal(arms)
            values_AR = true_A[:, None] + rng.standard_normal((arms, seeds))
            drawn_SA = drawn_together(values_AR[..., None], draws=1000)[..., 0]
            chance_A = chances_of_best([drawn_SA])
            first = int(chance_A.argmax())
            said.append(float(chance_A[first]))
            right.append(first == int(true_A.argmax()))
        found = calibrated(np.array(said), np.array(right, float), (0.0, 0.5, 0.8, 0.95, 1.01))
        for each in found:
            run.say.print(
                f"best of {arms}, {name}: said {each.said:.2f}, true {each.true:.2f} "
                f"({each.number} studies)"
            )
        told[name] = [tuple(round(number, 3) for number in each) for each in found]
    rng = np.random.default_rng(run.seed)
    shown = dict.fromkeys((0.0, 8.0), 0)
    for _ in range(run.studies):
        values_AR = rng.standard_normal((arms, seeds))
        for ahead in shown:
            moved_AR = values_AR.copy()
            moved_AR[-1] += ahead * (2 / seeds) ** 0.5
            shown[ahead] += best_is_shown(moved_AR)
    rates = {ahead: count / run.studies for ahead, count in shown.items()}
    run.say.print(
        f"a best of {arms} is shown: {rates[0.0]:.3f} where all are equal, "
        f"{rates[8.0]:.3f} where one is 8 standard errors ahead"
    )
    return {"best_arm": told, "best_shown_falsely": rates[0.0], "best_shown": rates[8.0]}


def best_is_shown(values_AR: Array) -> bool:
    """Of the arm with the highest mean."""
    first = int(values_AR.mean(axis=1).argmax())
    found = scatters(values_AR, first)
    others_OR = np.delete(values_AR, first, axis=0)
    gains = [
        mean_interval(values_AR[first] - other_R, scatter=found.of(o))
        for o, other_R in enumerate(others_OR)
    ]
    return shown_best(gains)


def looks(run: Run) -> Mapping[str, Any]:
    """Looks at a study while it grows: see `tests.bench_looks`."""
    return bench_looks.bench(run.studies)


PARTS: tuple[Part, ...] = (comparisons, fresh, best_arm, looks)


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(prog="bench_statistics", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--studies", type=int, default=1000, help="drawn for each world")
    options.add_argument("--seed", type=int, default=1)
    names = [part.__name__ for part in PARTS]
    options.add_argument("--parts", nargs="+", choices=names, default=names)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """All parts that were asked for; the last line is JSON."""
    asked = parser().parse_args(arguments)
    run, told = Run(asked.studies, asked.seed, Console(width=110)), dict[str, Any]()
    for part in PARTS:
        if part.__name__ in asked.parts:
            told |= part(run)
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
