"""Search strategies compared by replay of recorded learning curves: nox -s bench_search.

Every strategy pays for the epochs it trains, one worker, early stopping as in a real search. What
it has reached after an epoch is the hypervolume of where its trainings stand, as a share of what
lies in the recorded grid. A repeat draws the sampler's seed and one of the recorded seeds.

Wall-clock is the epochs times what one took when it was recorded, on the median, and the CPU
seconds in which the strategy itself proposes and decides here.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from functools import cache, cached_property, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import optuna
import pandas as pd
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution, IntDistribution
from rich.console import Console
from rich.progress import track
from rich.table import Table

from fsmd.config import FSMDConfig
from fsmd.metrics import METRICS
from fsmd.selection import Selection
from fsmd.stats.pareto import Point, below_worst, best_first, hypervolume
from fsmd.tasks import Task
from search_spaces.space import Choice, Params, Space
from studies.search.proposals import Tried, propose
from studies.search.pruning import PRUNERS, Pruner, StandingCurve, SuccessiveHalving

CURVES = Path(__file__).parent / "curves"
AXES = ("tower_shape", "gate_depth", "expert_count", "learning_rate")
PATIENCE = 3
TRIALS = 60


@dataclass(frozen=True)
class Recording:
    """The curves of one data set: every point of a grid, seed, epoch and task."""

    name: str
    space: Space
    tasks: tuple[Task, ...]
    """Each figure is by its task's metric, of which more is better."""
    curves: dict[tuple[Any, ...], NDArray[np.float64]]
    """(values of the axes) -> seeds x epochs x tasks."""
    reference: Point
    """Below it nothing counts: a tenth of the range below the worst that a curve ends with."""
    best: tuple[float, ...]
    """The hypervolume of the whole grid, for each seed."""
    seconds: float
    """Of an epoch, the median."""

    @property
    def epochs(self) -> int:
        """Epochs of each curve."""
        return int(next(iter(self.curves.values())).shape[1])

    def curve(self, params: Params, seed: int) -> list[Point]:
        """What a training shows, until its early stopping."""
        points = [tuple(map(float, p)) for p in self.curves[_values(params)][seed]]
        return points[: stopping_epoch(points)]

    def standing(self, params: Params, seed: int) -> tuple[Point, ...]:
        """Where a training stands after each epoch, until its early stopping."""
        return self._standings[seed][_values(params)]

    @cached_property  # made once: it must not count as a strategy's thinking
    def _standings(self) -> list[dict[tuple[Any, ...], tuple[Point, ...]]]:
        rule = _selection(len(self.tasks))
        return [
            {
                point: rule.points(self.curve(dict(zip(AXES, point, strict=True)), seed))
                for point in self.curves
            }
            for seed in range(len(self.best))
        ]

    @property
    def margins(self) -> tuple[float, ...]:
        """Of each task's figure, the smallest difference that matters."""
        return tuple(METRICS[task.metric].margin for task in self.tasks)


def _selection(count: int, patience: int = PATIENCE) -> Selection:
    """The rule of a training whose tasks share weights."""
    return Selection.of([Task(f"task {k}") for k in range(count)], False, patience)


def stopping_epoch(points: Sequence[Point], patience: int = PATIENCE) -> int:
    """The number of epochs a training with this curve makes."""
    rule = _selection(len(points[0]), patience)
    ends = (n for n in range(1, len(points)) if rule.standing(points[:n]).exhausted)
    return next(ends, len(points))


def _values(params: Params) -> tuple[Any, ...]:
    return tuple(params[name] for name in AXES)


@cache
def recording(path: Path) -> Recording:
    """Read a file that `studies.record` wrote."""
    frame = pd.read_parquet(path).sort_values([*AXES, "replicate", "epoch"])
    known = {*AXES, "dropout", "replicate", "epoch", "seconds"}
    tasks = tuple(Task(name) for name in frame.columns if name not in known)
    seeds, epochs = frame["replicate"].nunique(), frame["epoch"].nunique()
    points = [tuple(key) for key, _ in frame.groupby(list(AXES))]
    figures = frame[[task.name for task in tasks]].to_numpy(float)
    by_point = figures.reshape(len(points), seeds, epochs, len(tasks))
    curves = {tuple(map(_plain, point)): by_point[i] for i, point in enumerate(points)}
    shapes, depths, counts, rates = (sorted({c[i] for c in curves}) for i in range(len(AXES)))
    choices = (
        Choice("tower_shape", CategoricalDistribution(tuple(shapes))),
        Choice("gate_depth", _integers(depths)),
        Choice("expert_count", _integers(counts)),
        Choice("learning_rate", CategoricalDistribution(tuple(rates))),
    )
    ends = np.array([[_best(by_point[i, s]) for i in range(len(points))] for s in range(seeds)])
    reference = tuple(map(float, below_worst(ends.reshape(-1, len(tasks)))))
    best = tuple(hypervolume(ends[s], reference) for s in range(seeds))
    space = Space(path.stem, FSMDConfig(), choices)
    seconds = float(frame["seconds"].median())
    return Recording(path.stem, space, tasks, curves, reference, best, seconds)


def _best(points_EK: NDArray[np.float64]) -> Point:
    """Where a training without early stopping ends."""
    points = [tuple(map(float, point)) for point in points_EK]
    return _selection(points_EK.shape[1], patience=len(points)).stands(points)


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _integers(values: list[int]) -> IntDistribution:
    low, high = values[0], values[-1]
    return IntDistribution(low, high, step=(high - low) // (len(values) - 1))


# ------------------------------------------------------------------------------------------
# Strategies: each yields, after each epoch it trains, where that training stands.
# ------------------------------------------------------------------------------------------

Step = tuple[int, Point]
Strategy = Callable[[Recording, int, int], Iterator[Step]]


def plain(sampler: Callable[[int], Any], rec: Recording, seed: int, row: int) -> Iterator[Step]:
    """Optuna as it comes: no pruning, and what it proposes twice is trained twice."""
    study = optuna.create_study(directions=["maximize"] * len(rec.tasks), sampler=sampler(seed))
    for _ in range(TRIALS):
        trial = study.ask()
        standing = rec.standing(rec.space.suggest(trial), row)
        for point in standing:
            yield trial.number, point
        study.tell(trial, standing[-1])


MakePruner = Callable[[int, tuple[float, ...]], Pruner]
"""(epochs, each objective's margin) -> the pruner."""


def ours(sampler: str, make: MakePruner, rec: Recording, seed: int, row: int) -> Iterator[Step]:
    """Our search: nothing twice, and paused trainings go on as the pruner says."""
    pruner = make(rec.epochs, rec.margins)
    params: list[Params] = []
    whole: list[tuple[Point, ...]] = []
    trained: list[int] = []

    def curves() -> list[StandingCurve]:
        return [
            StandingCurve(points[:n], "ended" if n >= len(points) else "paused")
            for points, n in zip(whole, trained, strict=True)
        ]

    while True:
        complete = len(params) >= TRIALS
        i = pruner.promoted(curves(), complete)
        if i is None:
            if complete:
                return
            tried = [Tried(p, c.stands) for p, c in zip(params, curves(), strict=True)]
            proposal = propose(rec.space, tried, sampler, seed, len(rec.tasks))
            if proposal is None:
                return
            params.append(proposal.params)
            whole.append(rec.standing(proposal.params, row))
            trained.append(0)
            i = len(params) - 1
        until = min(pruner.until(trained[i]), len(whole[i]))
        for epoch in range(trained[i] + 1, until + 1):
            yield i, whole[i][epoch - 1]
        trained[i] = until


def foretold(rec: Recording, seed: int, row: int) -> Iterator[Step]:
    """Every model to its end, in the order in which the other recorded seeds rank them.

    No search has it; it bounds what can be learnt of a model before it is trained on this seed.
    """
    ends = {
        point: np.mean([_best(own) for s, own in enumerate(curves) if s != row], axis=0)
        for point, curves in rec.curves.items()
    }
    points = list(ends)
    for n, i in enumerate(best_first(list(ends.values()))[:TRIALS]):
        for point in rec.standing(dict(zip(AXES, points[i], strict=True)), row):
            yield n, point


def syne_tune(rec: Recording, seed: int, row: int) -> Iterator[Step]:
    """Syne Tune's MO-ASHA as it comes: random proposals, stopping at rungs."""
    from syne_tune.backend.trial_status import Trial
    from syne_tune.config_space import choice
    from syne_tune.optimizer.schedulers.multiobjective.moasha import MOASHA

    np.random.seed(seed)
    values = {name: sorted({c[i] for c in rec.curves}) for i, name in enumerate(AXES)}
    names = [task.name for task in rec.tasks]
    scheduler = MOASHA(
        {name: choice(own) for name, own in values.items()},
        names,
        do_minimize=False,
        time_attr="epoch",
        max_t=rec.epochs,
        random_seed=seed,
    )
    for n in range(TRIALS):
        trial = Trial(n, scheduler.suggest().config, datetime(2026, 1, 1))
        scheduler.on_trial_add(trial)
        curve, standing = rec.curve(trial.config, row), rec.standing(trial.config, row)
        for epoch in range(1, len(curve) + 1):
            yield n, standing[epoch - 1]
            result = {"epoch": epoch, **dict(zip(names, curve[epoch - 1], strict=True))}
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
    "grid, none twice": partial(ours, "grid", PRUNERS["none"]),
    "TPE, none twice": partial(ours, "tpe", PRUNERS["none"]),
    "GP, none twice": partial(ours, "gp", PRUNERS["none"]),
    "random + halving": partial(ours, "random", PRUNERS["halving"]),
    "TPE + halving": partial(ours, "tpe", PRUNERS["halving"]),
    "TPE + halving, no guard": partial(
        ours, "tpe", lambda epochs, _: SuccessiveHalving(epochs, slack=None)
    ),
    "TPE + halving, rungs believed": partial(
        ours, "tpe", partial(SuccessiveHalving, evidence=None)
    ),
    "GP + halving": partial(ours, "gp", PRUNERS["halving"]),
    "random + one epoch, top quarter": partial(ours, "random", PRUNERS["topk"]),
    "TPE + one epoch, top quarter": partial(ours, "tpe", PRUNERS["topk"]),
    "GP + one epoch, top quarter": partial(ours, "gp", PRUNERS["topk"]),
    "as other seeds rank them": foretold,
}

if find_spec("syne_tune"):  # the dependency group `rivals`; it brings much along
    STRATEGIES["Syne Tune MO-ASHA"] = syne_tune
EXTRA = (
    "Optuna GP",
    "TPE, none twice",
    "GP, none twice",
    "TPE + halving, no guard",
    "TPE + halving, rungs believed",
    "TPE + one epoch, top quarter",
    "GP + one epoch, top quarter",
)
"""Variants of ours, and what asks a Gaussian process beside it: two to twenty seconds a repeat."""


class Trace(NamedTuple):
    """What a strategy came to; E: epochs spent."""

    reached_E: NDArray[np.float64]
    """The share of the grid's hypervolume, after each epoch."""
    seconds_E: NDArray[np.float64]
    """Wall-clock until then."""
    thinking: float
    """Of these, those in which nothing is trained, in all."""


def trace(path: Path, strategy: str, repeat: int) -> Trace:
    """Replay a strategy."""
    os.environ["OMP_NUM_THREADS"] = "1"  # of the GP sampler's torch, not yet imported
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    rec = recording(path)
    row = repeat % len(rec.best)
    steps = STRATEGIES[strategy](rec, repeat, row)
    standing: dict[int, Point] = {}
    reached, thought = list[float](), list[float]()
    rec.standing(dict(zip(AXES, next(iter(rec.curves)), strict=True)), row)  # makes them all
    thinking = 0.0
    while True:
        began = time.process_time()
        step = next(steps, None)
        thinking += time.process_time() - began
        if step is None:
            break
        trial, point = step
        if standing.get(trial) != point:
            standing[trial] = point
            volume = hypervolume(list(standing.values()), rec.reference) / rec.best[row]
        reached.append(volume)
        thought.append(thinking)
    trained = rec.seconds * np.arange(1, len(reached) + 1)
    return Trace(np.array(reached), trained + np.array(thought), thinking)


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
    thinking: float
    """CPU seconds of the strategy itself, a trial; median."""
    final: tuple[float, float, float]
    """Hypervolume at the end, a share of the grid's."""
    behind: tuple[float, float, float]
    """At the end, plain TPE's minus this one's, of the same repeat; mean."""
    reach: tuple[float, float, float]
    """Epochs until plain TPE's final hypervolume, over the epochs that plain TPE spent in all."""
    wall: tuple[float, float, float]
    """The same in wall-clock."""
    first: tuple[float, float, float]
    """As `reach`, over the epochs after which plain TPE had it first."""


def score(traces: Sequence[Trace], base: Sequence[Trace], seeds: int) -> Score:
    """Judge one strategy; traces and base are paired by repeat, which take the seeds in turn."""
    pairs = list(zip(traces, base, strict=True))
    needed = [_reached(t, b.reached_E[-1]) for t, b in pairs]
    own = [_reached(b, b.reached_E[-1]) for b in base]
    ends = [t.reached_E[-1] for t in traces]
    behind = [b.reached_E[-1] - t.reached_E[-1] for t, b in pairs]
    reach = [n / len(b.reached_E) for n, b in zip(needed, base, strict=True)]
    wall = [
        (float(t.seconds_E[int(n) - 1]) if np.isfinite(n) else n) / float(b.seconds_E[-1])
        for n, (t, b) in zip(needed, pairs, strict=True)
    ]
    first = [n / o for n, o in zip(needed, own, strict=True)]
    return Score(
        epochs=float(np.median([len(t.reached_E) for t in traces])),
        thinking=float(np.median([t.thinking / TRIALS for t in traces])),
        final=interval(ends, seeds, np.median),
        behind=interval(behind, seeds, np.mean),
        reach=interval(reach, seeds, np.median),
        wall=interval(wall, seeds, np.median),
        first=interval(first, seeds, np.median),
    )


def _reached(trace: Trace, goal: float) -> float:
    """Epochs until the goal; infinite if never."""
    above = np.flatnonzero(trace.reached_E >= goal - 1e-12)
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
        draws.append(
            statistic(np.concatenate([rng.choice(by_seed[k], len(by_seed[k])) for k in drawn]))
        )
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
        return float(statistic(values)), float(low), float(high)


def main() -> int:
    """Replay every strategy on every recording; the last line is JSON."""
    p = argparse.ArgumentParser(description="Compare search strategies on recorded curves.")
    p.add_argument("--repeats", type=int, default=11, help="default: %(default)s")
    p.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="default: one a core")
    p.add_argument("--curves", type=Path, default=CURVES, help="folder of recordings")
    p.add_argument(
        "--also",
        action="append",
        default=[],
        choices=EXTRA,
        metavar="STRATEGY",
        help=f"a slower one too; may be given again: {', '.join(EXTRA)}",
    )
    options = p.parse_args()
    chosen = [name for name in STRATEGIES if name in options.also or name not in EXTRA]
    console, judged = Console(), {}
    for path in sorted(options.curves.glob("*.parquet")):
        several = len(recording(path).best) > 1
        names = [name for name in chosen if several or STRATEGIES[name] is not foretold]
        jobs = [(path, name, r) for name in names for r in range(options.repeats)]
        with ProcessPoolExecutor(options.workers) as pool:
            done = list(
                track(
                    pool.map(trace, *zip(*jobs, strict=True)),
                    f"replaying {path.stem}",
                    total=len(jobs),
                )
            )
        by_name = {
            name: done[i * options.repeats : (i + 1) * options.repeats]
            for i, name in enumerate(names)
        }
        seeds = len(recording(path).best)
        scores = {name: score(t, by_name[BASELINE], seeds) for name, t in by_name.items()}
        console.print(_table(recording(path), scores, options.repeats), soft_wrap=True)
        mine = scores[OURS]
        judged[path.stem] = {
            "ratio": mine.reach,
            "ratio_wall": mine.wall,
            "ratio_first": mine.first,
            "behind": mine.behind,
            "thinking": mine.thinking,
        }
    if not judged:
        print(
            f"error: no recording in {options.curves}; make one: python -m studies.record",
            file=sys.stderr,
        )
        return 2
    print(json.dumps(judged).replace("Infinity", "null"))
    return 0


def _table(rec: Recording, scores: dict[str, Score], repeats: int) -> Table:
    title = (
        f"{rec.name}: {len(rec.curves)} models, {len(rec.best)} seeds, {rec.epochs} epochs of "
        f"{rec.seconds:.2g} s; "
        f"{TRIALS} trials, patience {PATIENCE}, {repeats} repeats "
        "on the seeds in turn; intervals are over both, and rough with few seeds"
    )
    table = Table(
        "strategy",
        "epochs",
        "thinking, s a trial",
        "final hypervolume",
        "plain TPE minus it",
        "epochs to plain TPE's end / its budget",
        "wall-clock / its wall-clock",
        "epochs / when it had it first",
        title=title,
    )
    for name, s in scores.items():
        table.add_row(
            name,
            f"{s.epochs:.0f}",
            f"{s.thinking:.2f}",
            *(_words(v) for v in (s.final, s.behind)),
            *(_words(v, 2) for v in (s.reach, s.wall, s.first)),
        )
    return table


def _words(values: tuple[float, float, float], digits: int = 4) -> str:
    middle, low, high = (f"{v:.{digits}f}" if np.isfinite(v) else "never" for v in values)
    return f"{middle} [{low}, {high}]"


if __name__ == "__main__":
    sys.exit(main())
