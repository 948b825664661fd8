"""Whether a search's promises hold: P(front), and what is told of its picks; by simulation.

`python -m tests.bench_front` draws confirmed points of which the truth is known, and tells how
often what is said to be on the front is there (`fsmd.stats.front`), beside the plain way: true
means drawn around the measured ones, by the seeds alone. Then how much better picks look than they
are, on the seeds that chose them and on those that did not. Its last line is JSON.

`--write` keeps that line as docs/front.json, of which `--draw` draws docs/front.svg.

Suffixes: S studies, A points, R seeds, M objectives; units are what a seed does to a training.
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib.pyplot as plt
import numpy as np

from fsmd.stats.estimates import Array, mean_interval
from fsmd.stats.front import chances_of_fronts, on_fronts
from fsmd.stats.pareto import best_first, drawn_means, highest, knee_score
from fsmd.stats.scatter import of_mixture, scatters

EDGES = (0.0, 0.05, 0.2, 0.4, 0.6, 0.8, 0.95, 1.01)
CHAINS = 20
"""Fewer than a report has: what is said may be 0.02 off, which cancels over studies."""
TOGETHER = 0.3
"""Correlation of what a seed does to a training's two objectives."""
FEWEST = 20
"""Statements of a bin that is drawn."""
DOCS = Path(__file__).parents[1] / "docs"
Truth = Callable[[np.random.Generator, int, int], Array]
"""Generator, points, objectives -> A x M true means."""


class World(NamedTuple):
    """How the points of a study lie, and what chance does to them."""

    name: str
    truth: Truth
    arms: int = 10
    seeds: int = 5
    objectives: int = 2
    rows: float = 0.0
    """Deviation of what the validation rows do to a point and not to all; their true covariance is
    known to P(front)."""
    wild: float = 0.0
    """Of the logarithm of the points' deviations over seeds."""
    tried: int = 0
    """So many were tried on one seed and the same rows, and the best of them are the points."""

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array, Array]:
        """A x M true means, A x R x M figures, the rows' covariance."""
        count, shape = self.tried or self.arms, (self.objectives, self.objectives)
        true_NM = self.truth(rng, count, self.objectives)
        root_MM = np.linalg.cholesky(TOGETHER + (1 - TOGETHER) * np.eye(self.objectives))
        wild_N11 = np.exp(self.wild * rng.standard_normal((count, 1, 1)))
        noise_NRM = rng.standard_normal((count, self.seeds + 1, self.objectives)) @ root_MM.T
        of_seed_RM = 2 * rng.standard_normal((1, self.seeds + 1, self.objectives))
        load_DF = rng.standard_normal((count * self.objectives, 6)) / 6**0.5
        rows_DD = self.rows**2 / 2 * (load_DF @ load_DF.T + np.eye(len(load_DF)))
        moved_D = rng.multivariate_normal(np.zeros(len(rows_DD)), rows_DD)
        values_NRM = true_NM[:, None] + wild_N11 * noise_NRM + of_seed_RM
        values_NRM = values_NRM + moved_D.reshape(count, 1, -1)
        best = best_first(values_NRM[:, 0])[: self.arms] if self.tried else range(count)
        at = np.array(best)
        rows_NMNM = rows_DD.reshape(count, shape[0], count, shape[0])
        return true_NM[at], values_NRM[at, 1:], rows_NMNM[at][:, :, at]


def cloud(spread: float) -> Truth:
    """Normal, without any trade-off."""
    return lambda rng, arms, objectives: spread * rng.standard_normal((arms, objectives))


def trade_off(length: float, across: float, bent: bool = True) -> Truth:
    """Along a quarter of a circle, or a line, and a little away from it."""

    def truth(rng: np.random.Generator, arms: int, objectives: int) -> Array:
        along_A = rng.uniform(0, 1, arms)
        turn_A = along_A * np.pi / 2
        ends = (np.cos(turn_A), np.sin(turn_A)) if bent else (along_A, -along_A)
        return length * np.stack(ends, 1) + across * rng.standard_normal((arms, objectives))

    return truth


def ties_before_far(rng: np.random.Generator, arms: int, objectives: int) -> Array:
    """Near-ties, and three points far behind, as references are."""
    near_AM = 0.4 * rng.standard_normal((arms, objectives))
    near_AM[:3] += -6 + rng.standard_normal((3, objectives))
    return near_AM


WORLDS = (
    World("clear front", cloud(3.0)),
    World("a deviation apart", cloud(1.0)),
    World("trade-off, curved", trade_off(6.0, 0.3)),
    World("trade-off, narrow line", trade_off(4.0, 0.2, bent=False)),
    World("near-ties", cloud(0.25)),
    World("near-ties, three far behind", ties_before_far),
    World("two seeds", cloud(1.0), seeds=2),
    World("three seeds", cloud(1.0), seeds=3),
    World("twenty points", cloud(1.0), arms=20),
    World("four points", cloud(1.0), arms=4),
    World("three objectives", cloud(1.0), objectives=3),
    World("one objective", cloud(1.0), objectives=1),
    World("log-normal deviations", cloud(1.0), wild=0.5),
    World("rows", cloud(1.0), rows=0.6),
    World("rows, trade-off, curved", trade_off(6.0, 0.3), rows=0.6),
    World("rows, near-ties", cloud(0.25), rows=0.6),
    World("rows, the best of 60", cloud(1.0), rows=0.6, tried=60),
)


class Bin(NamedTuple):
    """Statements of nearly one chance, and how often they were true."""

    said: float
    true: float
    number: int


class Calibration(NamedTuple):
    """Of all points of all studies of a world."""

    bins: tuple[Bin, ...]
    error: float
    """Mean distance of a bin's said from its true, by number (ECE)."""
    brier: float

    @classmethod
    def of(cls, said_N: Array, true_N: Array) -> "Calibration":
        """Of statements and what was true."""
        bins = []
        for low, high in pairwise(EDGES):
            at = (said_N >= low) & (said_N < high)
            if at.any():
                bins.append(Bin(float(said_N[at].mean()), float(true_N[at].mean()), int(at.sum())))
        error = sum(abs(b.said - b.true) * b.number for b in bins) / len(said_N)
        return cls(tuple(bins), error, float(np.mean((said_N - true_N) ** 2)))


def calibrations(world: World, studies: int, seed: int) -> tuple[Calibration, Calibration]:
    """Of the plain way, and of ours, on the same draws."""
    rng = np.random.default_rng((seed, len(world.name), world.arms, world.seeds))
    true_SAM, values_SARM, rows = map(
        np.array, zip(*(world.draw(rng) for _ in range(studies)), strict=True)
    )
    on_SA = on_fronts(true_SAM)
    plain = [on_fronts(drawn_means(each_ARM, rng, 500)).mean(axis=0) for each_ARM in values_SARM]
    ours = [  # some at once, so that memory is bounded
        chances_of_fronts(values_SARM[i : i + 25], rows[i : i + 25], seed, CHAINS)
        for i in range(0, studies, 25)
    ]
    true_N = on_SA.ravel().astype(float)
    return (
        Calibration.of(np.concatenate(plain), true_N),
        Calibration.of(np.concatenate([each.ravel() for each in ours]), true_N),
    )


# Picks

RULES: dict[str, Callable[[Array], Array]] = {
    "knee": knee_score,
    "best of the first": lambda points_AM: points_AM[:, 0],
    "equal weights": lambda points_AM: points_AM.sum(axis=1),
}
PICK_WORLDS = (
    World("equal points", cloud(0.0)),
    World("near-ties", cloud(0.25)),
    World("a deviation apart", cloud(1.0)),
    World("trade-off, curved", trade_off(6.0, 0.3)),
    World("near-ties, three seeds", cloud(0.25), seeds=3),
)
LUCK = 0.8
"""Correlation of what a seed does to a training's validation and to its test figure."""


class Told(NamedTuple):
    """Of a pick's gain over a reference on test: how much too good, how often covered."""

    bias: float
    coverage: float
    width: float


def picks(world: World, rule: str, studies: int, seed: int) -> tuple[Told, Told]:
    """On the seeds that chose, and on those that did not."""
    rng = np.random.default_rng((seed, len(world.name)))
    score = RULES[rule]
    found = np.empty((2, studies, 3))
    for s in range(studies):
        true_AM, valid_ARM, _ = world.draw(rng)
        own_ARM = valid_ARM - true_AM[:, None]
        apart_ARM = rng.standard_normal(own_ARM.shape)
        test_AR = (true_AM[:, None] + LUCK * own_ARM + (1 - LUCK**2) ** 0.5 * apart_ARM)[..., 0]

        def choose(points_AM: Array) -> int:
            return highest(score(points_AM), points_AM)

        pick = choose(valid_ARM.mean(axis=1))
        others = [a for a in range(world.arms) if a != pick]
        reference = int(rng.choice(others))
        true = float(true_AM[pick, 0] - true_AM[reference, 0])
        without = [
            choose(np.delete(valid_ARM, r, axis=1).mean(axis=1)) for r in range(world.seeds)
        ]
        scatter = scatters(test_AR, reference).of(pick - (pick > reference))
        for way, chosen in enumerate(([pick] * world.seeds, without)):
            each_RR = test_AR[chosen] - test_AR[reference]
            learnt = scatter if set(chosen) == {pick} else of_mixture(each_RR)
            estimate = mean_interval(np.diagonal(each_RR), scatter=learnt)
            low, high = estimate.low or 0.0, estimate.high or 0.0
            found[way, s] = estimate.mean - true, low <= true <= high, high - low
    plain, ours = (Told(*way.mean(axis=0).tolist()) for way in found)
    return plain, ours


# The bench


def bench(studies: int, seed: int = 1) -> dict[str, Any]:
    """All worlds; tells as it goes."""
    told: dict[str, Any] = {"front": {}, "picks": {}}
    for world in WORLDS:
        plain, ours = calibrations(world, studies, seed)
        told["front"][world.name] = {"before": _rounded(plain), "now": _rounded(ours)}
        print(
            f"{world.name:28s} error {plain.error:.3f} -> {ours.error:.3f}, Brier "
            f"{plain.brier:.4f} -> {ours.brier:.4f}; said > true: "
            + "  ".join(f"{b.said:.2f} > {b.true:.2f}" for b in ours.bins),
            flush=True,
        )
    for world in PICK_WORLDS:
        for rule in RULES:
            before, now = picks(world, rule, studies, seed)
            told["picks"][f"{world.name}, {rule}"] = {
                "before": [round(x, 3) for x in before],
                "now": [round(x, 3) for x in now],
            }
            print(
                f"{world.name:28s} {rule:18s} bias {before.bias:+.2f} -> {now.bias:+.2f}, "
                f"coverage {before.coverage:.3f} -> {now.coverage:.3f}, width "
                f"{before.width:.2f} -> {now.width:.2f}",
                flush=True,
            )
    told["front_error_highest"] = max(w["now"]["error"] for w in told["front"].values())
    told["front_error_highest_before"] = max(w["before"]["error"] for w in told["front"].values())
    told["pick_bias_highest"] = max(abs(w["now"][0]) for w in told["picks"].values())
    told["pick_bias_highest_before"] = max(abs(w["before"][0]) for w in told["picks"].values())
    told["pick_coverage_lowest"] = min(w["now"][1] for w in told["picks"].values())
    return told


def _rounded(found: Calibration) -> dict[str, Any]:
    bins = [[round(b.said, 3), round(b.true, 3), b.number] for b in found.bins]
    return {"error": round(found.error, 4), "brier": round(found.brier, 4), "bins": bins}


# The picture of the docs

SHOWN = (
    *("clear front", "a deviation apart", "trade-off, curved", "trade-off, narrow line"),
    *("near-ties", "two seeds", "rows, trade-off, curved", "rows, the best of 60"),
)
GREY, BLUE = "#808080", "#3a86c8"
"""So that it can be read on a light and on a dark page."""


def draw() -> None:
    """What was said against what was true, a panel a world."""
    told = json.loads((DOCS / "front.json").read_text("utf-8"))["front"]
    colours = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
    style: Any = {
        **dict.fromkeys((*colours, "axes.titlecolor"), GREY),
        **{"svg.hashsalt": "fsmd", "svg.fonttype": "path", "font.size": 9},
        **{"axes.spines.top": False, "axes.spines.right": False},
    }
    with plt.rc_context(style):
        figure, axes = plt.subplots(2, 4, figsize=(9, 5), layout="constrained", sharey=True)
        for axis, name in zip(axes.flat, SHOWN, strict=True):
            axis.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle="dotted")
            for key, colour in (("before", GREY), ("now", BLUE)):
                bins = [each for each in told[name][key]["bins"] if each[2] >= FEWEST]
                said, true, number = np.array(bins).T
                error = 2 * np.sqrt(true * (1 - true) / number)
                axis.errorbar(said, true, error, fmt="o-", color=colour, ms=4, lw=1.2, label=key)
            axis.set_title(name, loc="left", fontsize=9)
            axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1))
        axes[0, 0].legend(frameon=False, loc="upper left")
        figure.supxlabel("P(front) as it is said", color=GREY, fontsize=9)
        figure.supylabel("how often it is true", color=GREY, fontsize=9)
        figure.savefig(DOCS / "front.svg", transparent=True, metadata={"Date": None})


def main(arguments: Sequence[str] | None = None) -> int:
    """The last line is JSON."""
    options = argparse.ArgumentParser(prog="bench_front", description=__doc__)
    options.formatter_class = argparse.RawDescriptionHelpFormatter
    options.add_argument("--studies", type=int, default=400, help="drawn for each world")
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--write", action="store_true", help="docs/front.json too")
    options.add_argument("--draw", action="store_true", help="docs/front.svg from docs/front.json")
    asked = options.parse_args(arguments)
    if asked.draw:
        draw()
        return 0
    told = bench(asked.studies, asked.seed)
    if asked.write:
        (DOCS / "front.json").write_text(json.dumps(told, indent=1) + "\n", "utf-8")
    print(json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
