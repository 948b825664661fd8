"""Search strategies compared by replay of recorded learning curves: nox -s bench_search.

Every strategy pays for the epochs it trains, one worker, early stopping as in a real search. What
it has reached after an epoch is the hypervolume of where its trainings stand, as a share of what
lies in the recorded grid. A repeat draws the sampler's seed and one of the recorded seeds.
"""

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, IntDistribution
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fsmd.config import FSMDConfig
from search_spaces.spaces import Choice, Params, Space
from studies.front import Point, below_worst, chosen, hypervolume
from studies.proposals import Tried, propose
from studies.pruning import Curve, NoPruning, Pruner, SuccessiveHalving, TopK

CURVES = Path(__file__).parent / "curves"
AXES = ("tower_shape", "gate_depth", "expert_count", "learning_rate")
PATIENCE = 3
TRIALS = 60


@dataclass(frozen=True)
class Recording:
    """The curves of one data set: every cell, every seed, every epoch, both tasks."""

    name: str
    space: Space
    curves: dict[tuple[Any, ...], NDArray[np.float64]]
    """(cell's levels) -> seeds x epochs x tasks."""
    reference: Point
    """Below it nothing counts: a tenth of the range below the worst AUC that a cell ends with."""
    best: tuple[float, ...]
    """The hypervolume of the whole grid, for each seed."""

    @property
    def epochs(self) -> int:
        """Epochs of each curve."""
        return int(next(iter(self.curves.values())).shape[1])

    def curve(self, params: Params, seed: int) -> list[Point]:
        """What a training shows, until its early stopping."""
        points = [tuple(map(float, p)) for p in self.curves[_cell(params)][seed]]
        return points[: stopping_epoch(points)]


def stopping_epoch(points: Sequence[Point], patience: int = PATIENCE) -> int:
    """The number of epochs a training with this curve makes."""
    best = 0
    for epoch in range(1, len(points)):
        if sum(points[epoch]) > sum(points[best]):
            best = epoch
        if epoch - best >= patience:
            return epoch + 1
    return len(points)


def _cell(params: Params) -> tuple[Any, ...]:
    return tuple(params[name] for name in AXES)


@cache
def recording(path: Path) -> Recording:
    """Read a file that `studies.record` wrote."""
    frame = pd.read_parquet(path).sort_values([*AXES, "replicate", "epoch"])
    tasks = [c for c in frame.columns if c not in {*AXES, "dropout", "replicate", "epoch"}]
    seeds, epochs = frame["replicate"].nunique(), frame["epoch"].nunique()
    cells = [tuple(key) for key, _ in frame.groupby(list(AXES))]
    values = frame[tasks].to_numpy(float).reshape(len(cells), seeds, epochs, len(tasks))
    curves = {tuple(map(_plain, cell)): values[i] for i, cell in enumerate(cells)}
    rates = tuple(sorted({cell[3] for cell in curves}))
    space = Space(path.stem, FSMDConfig(), (
        Choice("tower_shape", CategoricalDistribution(tuple(sorted({c[0] for c in curves})))),
        Choice("gate_depth", _integers([c[1] for c in curves])),
        Choice("expert_count", _integers([c[2] for c in curves])),
        Choice("learning_rate", CategoricalDistribution(rates)),
    ))  # fmt: skip
    ends = np.array([[chosen([tuple(p) for p in values[i, s]]) for i in range(len(cells))]
                     for s in range(seeds)])  # fmt: skip
    reference = tuple(map(float, below_worst(ends.reshape(-1, len(tasks)))))
    best = tuple(hypervolume(ends[s], reference) for s in range(seeds))
    return Recording(path.stem, space, curves, reference, best)


def _plain(level: Any) -> Any:
    return level.item() if hasattr(level, "item") else level


def _integers(levels: list[int]) -> IntDistribution:
    low, high = min(levels), max(levels)
    return IntDistribution(low, high, step=(high - low) // (len(set(levels)) - 1))


# ------------------------------------------------------------------------------------------
# Strategies: each yields, after each epoch it trains, where that training stands.
# ------------------------------------------------------------------------------------------

Step = tuple[int, Point]
Strategy = Callable[[Recording, int, int], Iterator[Step]]


def plain(sampler: Callable[[int], Any], rec: Recording, seed: int, row: int) -> Iterator[Step]:
    """Optuna as it comes: no pruning, and what it proposes twice is trained twice."""
    study = optuna.create_study(directions=["maximize"] * 2, sampler=sampler(seed))
    for _ in range(TRIALS):
        trial = study.ask()
        curve = rec.curve(rec.space.suggest(trial), row)
        for epoch in range(1, len(curve) + 1):
            yield trial.number, chosen(curve, epoch)
        study.tell(trial, chosen(curve))


def ours(
    sampler: str, make: Callable[[int], Pruner], rec: Recording, seed: int, row: int
) -> Iterator[Step]:
    """Our search: nothing twice, and paused trainings go on as the pruner says."""
    pruner = make(rec.epochs)
    params: list[Params] = []
    whole: list[list[Point]] = []
    trained: list[int] = []

    def curves() -> list[Curve]:
        return [
            Curve(tuple(c[:n]), "ended" if n >= len(c) else "paused")
            for c, n in zip(whole, trained, strict=True)
        ]

    while True:
        complete = len(params) >= TRIALS
        i = pruner.promoted(curves(), complete)
        if i is None:
            if complete:
                return
            tried = [Tried(p, c.stands) for p, c in zip(params, curves(), strict=True)]
            proposal = propose(rec.space, tried, sampler, seed)
            if proposal is None:
                return
            params.append(proposal.params)
            whole.append(rec.curve(proposal.params, row))
            trained.append(0)
            i = len(params) - 1
        until = min(pruner.until(trained[i]), len(whole[i]))
        for epoch in range(trained[i] + 1, until + 1):
            yield i, chosen(whole[i], epoch)
        trained[i] = until


def syne_tune(rec: Recording, seed: int, row: int) -> Iterator[Step]:
    """Syne Tune's MO-ASHA as it comes: random proposals, stopping at rungs."""
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import choice
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    np.random.seed(seed)
    levels = {name: sorted({c[i] for c in rec.curves}) for i, name in enumerate(AXES)}
    scheduler = MOASHA(
        {name: choice(found) for name, found in levels.items()}, ["first", "second"],
        do_minimize=False, time_attr="epoch", max_t=rec.epochs, random_seed=seed,
    )  # fmt: skip
    for n in range(TRIALS):
        trial = Trial(n, scheduler.suggest().config, datetime(2026, 1, 1))
        scheduler.on_trial_add(trial)
        curve = rec.curve(trial.config, row)
        for epoch in range(1, len(curve) + 1):
            yield n, chosen(curve, epoch)
            result = {"epoch": epoch, "first": curve[epoch - 1][0], "second": curve[epoch - 1][1]}
            if scheduler.on_trial_result(trial, result) == "STOP":
                break


def _tpe(seed: int) -> Any:
    return optuna.samplers.TPESampler(seed=seed)


STRATEGIES: dict[str, Strategy] = {
    "Optuna TPE": partial(plain, _tpe),
    "Optuna random": partial(plain, lambda seed: optuna.samplers.RandomSampler(seed=seed)),
    "Optuna NSGA-II": partial(
        plain, lambda seed: optuna.samplers.NSGAIISampler(seed=seed, population_size=20)
    ),
    "Optuna GP": partial(plain, lambda seed: optuna.samplers.GPSampler(seed=seed)),
    "grid, none twice": partial(ours, "grid", NoPruning),
    "TPE, none twice": partial(ours, "tpe", NoPruning),
    "GP, none twice": partial(ours, "gp", NoPruning),
    "random + halving": partial(ours, "random", SuccessiveHalving),
    "TPE + halving": partial(ours, "tpe", SuccessiveHalving),
    "TPE + halving, no guard": partial(ours, "tpe", partial(SuccessiveHalving, slack=None)),
    "TPE + halving, rungs believed": partial(
        ours, "tpe", partial(SuccessiveHalving, evidence=None)
    ),
    "GP + halving": partial(ours, "gp", SuccessiveHalving),
    "random + one epoch, top quarter": partial(ours, "random", TopK),
    "TPE + one epoch, top quarter": partial(ours, "tpe", TopK),
    "GP + one epoch, top quarter": partial(ours, "gp", TopK),
}

if find_spec("syne_tune"):  # the dependency group `rivals`; it brings much along
    STRATEGIES["Syne Tune MO-ASHA"] = syne_tune
EXTRA = ("Optuna GP", "GP, none twice", "TPE + halving, no guard",
         "TPE + halving, rungs believed", "GP + one epoch, top quarter")  # fmt: skip
"""Variants of ours, and what asks a Gaussian process beside it: ten to thirty seconds a repeat."""


def trace(path: Path, strategy: str, repeat: int) -> NDArray[np.float64]:
    """The share of the grid's hypervolume reached after each epoch spent."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of the GP sampler's torch, not yet imported
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    rec = recording(path)
    row = repeat % len(rec.best)
    standing: dict[int, Point] = {}
    reached: list[float] = []
    for trial, point in STRATEGIES[strategy](rec, repeat, row):
        if standing.get(trial) != point:
            standing[trial] = point
            volume = hypervolume(list(standing.values()), rec.reference) / rec.best[row]
        reached.append(volume)
    return np.array(reached)


# ------------------------------------------------------------------------------------------
# What a table of traces says.
# ------------------------------------------------------------------------------------------

BASELINE, OURS = "Optuna TPE", "GP + halving"


@dataclass(frozen=True)
class Score:
    """A strategy against plain TPE: medians over repeats with 95 % intervals, by a bootstrap that
    draws recorded seeds, and of each the repeats: repeats on one seed share its luck.
    """

    epochs: float
    """Epochs spent in all, median."""
    final: tuple[float, float, float]
    """Hypervolume at the end, a share of the grid's."""
    behind: tuple[float, float, float]
    """At the end, plain TPE's minus this one's, of the same repeat; mean."""
    reach: tuple[float, float, float]
    """Epochs until plain TPE's final hypervolume, over the epochs that plain TPE spent in all."""
    first: tuple[float, float, float]
    """The same, over the epochs after which plain TPE had it first."""


def score(
    traces: Sequence[NDArray[np.float64]], base: Sequence[NDArray[np.float64]], seeds: int
) -> Score:
    """Judge one strategy; traces and base are paired by repeat, which take the seeds in turn."""
    targets = [b[-1] for b in base]
    needed = [_reached(t, goal) for t, goal in zip(traces, targets, strict=True)]
    own = [_reached(b, goal) for b, goal in zip(base, targets, strict=True)]
    return Score(
        epochs=float(np.median([len(t) for t in traces])),
        final=interval([t[-1] for t in traces], seeds, np.median),
        behind=interval([g - t[-1] for t, g in zip(traces, targets, strict=True)], seeds, np.mean),
        reach=interval([n / len(b) for n, b in zip(needed, base, strict=True)], seeds, np.median),
        first=interval([n / o for n, o in zip(needed, own, strict=True)], seeds, np.median),
    )


def _reached(trace: NDArray[np.float64], goal: float) -> float:
    """Epochs until the goal; infinite if never."""
    above = np.flatnonzero(trace >= goal - 1e-12)
    return float(above[0] + 1) if len(above) else float("inf")


def interval(
    values: Sequence[float], seeds: int, statistic: Callable[..., Any]
) -> tuple[float, float, float]:
    """The statistic of all values and its 95 % interval; value i is of recorded seed i % seeds."""
    rng = np.random.default_rng(0)
    by_seed = [np.asarray(values[k::seeds]) for k in range(min(seeds, len(values)))]
    draws = []
    for _ in range(1000):
        drawn = rng.integers(len(by_seed), size=len(by_seed))
        draws.append(statistic(np.concatenate([rng.choice(by_seed[k], len(by_seed[k]))
                                               for k in drawn])))  # fmt: skip
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
        return float(statistic(values)), float(low), float(high)


def main() -> int:
    """Replay every strategy on every recording; the last line is JSON."""
    p = argparse.ArgumentParser(description="Compare search strategies on recorded curves.")
    p.add_argument("--repeats", type=int, default=50, help="default: %(default)s")
    p.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: one a core")
    p.add_argument("--curves", type=Path, default=CURVES, help="folder of recordings")
    p.add_argument("--also", action="append", default=[], choices=EXTRA, metavar="STRATEGY",
                   help=f"a slower one too; may be given again: {', '.join(EXTRA)}")  # fmt: skip
    options = p.parse_args()
    names = [name for name in STRATEGIES if name in options.also or name not in EXTRA]
    console, found = Console(), {}
    for path in sorted(options.curves.glob("*.parquet")):
        jobs = [(path, name, r) for name in names for r in range(options.repeats)]
        with ProcessPoolExecutor(options.workers) as pool:
            done = list(track(pool.map(trace, *zip(*jobs, strict=True), chunksize=5),
                              f"replaying {path.stem}", total=len(jobs)))  # fmt: skip
        by_name = {
            name: done[i * options.repeats : (i + 1) * options.repeats]
            for i, name in enumerate(names)
        }
        seeds = len(recording(path).best)
        scores = {name: score(t, by_name[BASELINE], seeds) for name, t in by_name.items()}
        console.print(_table(recording(path), scores, options.repeats), soft_wrap=True)
        mine = scores[OURS]
        found[path.stem] = {"ratio": mine.reach, "ratio_first": mine.first, "behind": mine.behind}
    if not found:
        print(f"error: no recording in {options.curves}; make one: python -m studies.record",
              file=sys.stderr)  # fmt: skip
        return 2
    print(json.dumps(found).replace("Infinity", "null"))
    return 0


def _table(rec: Recording, scores: dict[str, Score], repeats: int) -> Table:
    title = (
        f"{rec.name}: {len(rec.curves)} cells, {len(rec.best)} seeds, {rec.epochs} epochs; "
        f"{TRIALS} trials, patience {PATIENCE}, {repeats} repeats "
        "on the seeds in turn; intervals are over both, and rough with few seeds"
    )
    table = Table("strategy", "epochs", "final hypervolume", "plain TPE minus it",
                  "epochs to plain TPE's end / its budget", "/ when it had it first",
                  title=title)  # fmt: skip
    for name, s in scores.items():
        table.add_row(name, f"{s.epochs:.0f}", *(_words(v) for v in (s.final, s.behind)),
                      *(_words(v, 2) for v in (s.reach, s.first)))  # fmt: skip
    return table


def _words(values: tuple[float, float, float], digits: int = 4) -> str:
    middle, low, high = (f"{v:.{digits}f}" if np.isfinite(v) else "never" for v in values)
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
