"""Which paused trainings of a search go on: pure functions of their curves.

Asynchronous successive halving by promotion (Li et al. 2020; MO-ASHA, Schmucker et al. 2021): a
training is paused at a rung and goes on when it is among the best 1/eta that have reached it.
Here "best" is by non-domination rank, a guard lets whoever is on the front go on, and a rung
stops nobody before trainings that none stopped have shown that it tells how one ends.

Suffixes: N trainings, M objectives.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from fsmd.stats.pareto import Point, best_first, on_front

AGREEMENT = 0.5
"""The rank correlation with the end from which on a rung is believed."""
WITNESS_EVERY = 5
"""Every so many trainings one goes on to its end, so that evidence is not of survivors alone."""


@dataclass(frozen=True)
class StandingCurve:
    """A training as far as it is known."""

    points: tuple[Point, ...]
    """Where it stood after each epoch: all objectives, the higher the better."""
    state: Literal["running", "paused", "stopped", "ended"]
    """stopped: for good, before its end, so that nobody learns how it ends. ended: by its own
    early stopping, at the last epoch, or by failing."""

    @property
    def epochs(self) -> int:
        """Whole epochs trained."""
        return len(self.points)

    @property
    def stands(self) -> Point:
        """Where it stands now; needs one epoch at least."""
        return self.points[-1]

    def at(self, epoch: int) -> Point:
        """Where it stood then; one that ended before stands where it ended."""
        return self.points[min(epoch, self.epochs) - 1]

    def reached(self, epoch: int) -> bool:
        """Whether its standing at this epoch is known."""
        return self.epochs >= epoch or (self.state == "ended" and self.epochs > 0)


class Pruner(Protocol):
    """Decides what a free worker does."""

    def until(self, epochs: int) -> int:
        """The epoch at which a training that has `epochs` behind it is paused next."""

    def promoted(self, curves: Sequence[StandingCurve], complete: bool) -> int | None:
        """The paused training to go on with; None to start a new one.

        complete: whether there will be no new ones.
        """


@dataclass(frozen=True)
class NoPruning:
    """Every training goes on to its end."""

    epochs: int

    def until(self, epochs: int) -> int:
        """The last epoch."""
        return self.epochs

    def promoted(self, curves: Sequence[StandingCurve], complete: bool) -> int | None:
        """Whatever was cut off."""
        return next((i for i, curve in enumerate(curves) if curve.state == "paused"), None)


@dataclass(frozen=True)
class SuccessiveHalving:
    """Promotion at the ends of epochs 1, eta, eta^2, ... up to `epochs`.

    slack: for each objective what the guard allows for the seed's noise: a training goes on that
    no other beats on all objectives by more. None: no guard, plain successive halving. On the real
    data sets a seed moves a model's AUC by 0.0003 to 0.0015 beside what it does to all alike; the
    metric's margin, the smallest difference that matters, is as large.

    evidence: how many witnesses must have trained past a rung to their ends before it stops
    anyone, and then only where the order of all witnesses at the rung and at their ends agrees by
    a rank correlation of `AGREEMENT` on every objective: where slow learners end best, first
    epochs mislead. So many trainings at first, and every fifth later, are witnesses, which
    nothing stops. None: rungs are believed.

    least: so many go on from a rung however few have reached it. 0: who is paused can wait for
    others; who would be stopped for good must not be so for coming first.
    """

    epochs: int
    slack: tuple[float, ...] | None
    eta: int = 2
    evidence: int | None = 8
    least: int = 0

    @property
    def rungs(self) -> tuple[int, ...]:
        """The epochs at which trainings are paused; the last one is the end and no rung."""
        rungs, epoch = [], 1
        while epoch < self.epochs:
            rungs.append(epoch)
            epoch *= self.eta
        return tuple(rungs)

    def until(self, epochs: int) -> int:
        """The next rung, or the end."""
        return next((rung for rung in self.rungs if rung > epochs), self.epochs)

    def promoted(self, curves: Sequence[StandingCurve], complete: bool) -> int | None:
        """The best paused training of the highest rung that has one to promote."""
        for rung in reversed(self.rungs):
            # A training may be paused between rungs, where another pruner began it.
            waiting = {
                i
                for i, curve in enumerate(curves)
                if curve.state == "paused" and rung <= curve.epochs < self.until(rung)
            }
            if waiting:
                found = next((i for i in self.kept(rung, curves) if i in waiting), None)
                if found is not None:
                    return found
        return None

    def kept(self, rung: int, curves: Sequence[StandingCurve]) -> list[int]:
        """Those that go on from a rung that they have reached, the best first."""
        there, stand_NM, order = _standing(curves, rung)
        decides = self.decides(rung, curves)
        share = max(self.least, len(there) // self.eta) if decides else len(there)
        kept = {*order[:share], *(n for n, i in enumerate(there) if self.witness(i))}
        if self.slack is not None:
            kept |= set(np.flatnonzero(on_front(stand_NM, self.slack)).tolist())
        return [there[n] for n in order if n in kept]

    def witness(self, i: int) -> bool:
        """Whether training i goes on to its end whatever a rung says."""
        return self.evidence is not None and (i < self.evidence or i % WITNESS_EVERY == 0)

    def decides(self, rung: int, curves: Sequence[StandingCurve]) -> bool:
        """Whether this rung has shown that it tells how a training ends."""
        if self.evidence is None:
            return True
        if any(curve.state in ("running", "paused") for curve in curves[: self.evidence]):
            return False  # those that end early are not like the rest
        witnesses = [curve for i, curve in enumerate(curves) if self.witness(i)]
        ended = [curve for curve in witnesses if curve.state == "ended" and curve.points]
        if sum(curve.epochs > rung for curve in ended) < self.evidence:
            return False  # where all ended before, nobody has shown what the rung tells
        here_MN = np.transpose([curve.at(rung) for curve in ended])
        end_MN = np.transpose([curve.stands for curve in ended])
        return all(_agree(*pair) for pair in zip(here_MN, end_MN, strict=True))


def _standing(
    curves: Sequence[StandingCurve], epoch: int
) -> tuple[list[int], NDArray[np.float64], list[int]]:
    """Who reached an epoch, how they stood there, and their places from the best on."""
    there = [i for i, curve in enumerate(curves) if curve.reached(epoch)]
    stand_NM = np.array([curves[i].at(epoch) for i in there])
    return there, stand_NM, best_first(stand_NM)


def _agree(here_N: NDArray[np.float64], end_N: NDArray[np.float64]) -> bool:
    """Whether two orders agree; an objective on which all end alike has none to mistake."""
    if np.ptp(end_N) == 0:
        return True
    return bool(np.ptp(here_N) > 0 and spearmanr(here_N, end_N).statistic >= AGREEMENT)


@dataclass(frozen=True)
class TopK:
    """Train all for `first` epochs, then go on to the end with the best `keep`, a share."""

    epochs: int
    keep: float = 0.25
    first: int = 1

    def until(self, epochs: int) -> int:
        """The first pause, or the end."""
        return self.first if epochs < min(self.first, self.epochs) else self.epochs

    def promoted(self, curves: Sequence[StandingCurve], complete: bool) -> int | None:
        """Nobody before all have had their first epochs; then the best of those that are left."""
        if not complete or any(c.state == "running" and c.epochs < self.first for c in curves):
            return None
        there, _, order = _standing(curves, self.first)
        kept = (there[n] for n in order[: max(1, round(self.keep * len(there)))])
        return next((i for i in kept if curves[i].state == "paused"), None)


PRUNERS: Mapping[str, Callable[[int, tuple[float, ...]], Pruner]] = MappingProxyType(
    {
        "halving": lambda epochs, margins: SuccessiveHalving(epochs, margins),
        "topk": lambda epochs, margins: TopK(epochs),
        "none": lambda epochs, margins: NoPruning(epochs),
    }
)
"""Name -> a pruner of trainings of at most so many epochs, on objectives of these margins."""
