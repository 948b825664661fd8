"""The plan of an automatic search: what fits into the time; pure functions of what was measured.

A run's numbers depend on its plan alone, never on the clock or on how many workers there are, as
long as the time suffices.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import NamedTuple

from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from studies.timing import EpochTime, Load, counted, spoken

KEPT = 0.1
"""Share of the budget, at least, that is planned for nothing: for what is slower, and for the
report."""
FOR_REPORT = 0.05
"""Share of the budget in which nothing is trained: models are timed and the report is written."""
REPORT_SECONDS = 15.0
"""The least of that, in seconds, however small the budget is: the report of a small search takes
8 s of one core, and the timing of its models some more."""
MEASURING = 0.05
"""Share of the budget in which one epoch of each candidate is measured."""
EPOCHS = (20, 12, 8, 5, 3, 2, 1)
"""Epochs at most, the first that leaves enough to try; the data set's own before all of them."""
CONFIRMING = ((5, 6), (5, 4), (3, 3))
"""(fresh seeds, configurations) of the confirmation, the first that leaves enough to try."""
FEWEST_TRIALS, MOST_TRIALS = 12, 200
MOST_SECONDS = 1e13
"""More than any budget, and whatever was measured or planned within it."""
SPARE = 1.4
"""What is advised over the smallest budget, as the next measurement may find it larger: four in
a row on two busy cores found 99 to 132 s."""
LEAST = (2, 4, (2, 2))
"""Epochs, trials and confirmation of the smallest plan that is worth its time."""


@dataclass(frozen=True)
class MeasuredModel:
    """One epoch of a candidate."""

    name: str
    is_baseline: bool
    time: EpochTime


@dataclass(frozen=True)
class Stage:
    """What is trained one after the other."""

    name: str
    trainings: int
    seconds: float
    """Of the clock, at most."""


@dataclass(frozen=True)
class AutoPlan:
    """What an automatic search was planned from. Without `measured` it has no plan yet."""

    budget: float = 0.0
    """Seconds for everything."""
    workers: int = 0
    machine: str = ""
    measured: tuple[MeasuredModel, ...] = ()
    spent: float = 0.0
    """Seconds until there was a plan."""
    points: int = 6
    """Configurations that are confirmed on fresh seeds, at most."""
    stages: tuple[Stage, ...] = ()

    def check(self) -> None:
        """Raise ValueError for what no search was planned from."""
        stages = tuple(stage.name for stage in self.stages)
        if stages != (BASELINES, SEARCH, CONFIRMATION):
            raise ValueError(f"stages must be {BASELINES}, {SEARCH}, {CONFIRMATION}; got {stages}")
        if all(each.is_baseline for each in self.measured):
            raise ValueError("a model that is no baseline must be measured")
        least = {"budget": 1, "workers": 1, "points": 1, "spent": 0}
        numbers = [(name, getattr(self, name), low) for name, low in least.items()]
        for measured in self.measured:
            time = measured.time
            numbers += [(measured.name, each, 0) for each in (time.seconds, time.once)]
        numbers += [(stage.name, stage.seconds, 0) for stage in self.stages]
        for name, number, low in numbers:
            if not low <= number <= MOST_SECONDS:
                raise ValueError(f"{name} must be from {low} to {MOST_SECONDS:.0e}; got {number}")

    @property
    def after(self) -> float:
        """Seconds at the end in which nothing is begun.

        What then runs goes on to the end of its epoch, and after that the report is written.
        """
        return max(FOR_REPORT * self.budget, REPORT_SECONDS) + self._epoch

    @property
    def left(self) -> float:
        """Seconds for which trainings are planned."""
        return self.budget - max(KEPT * self.budget, self.after) - self.spent

    def budget_of(self, seconds: float) -> float:
        """The smallest budget that leaves so many seconds for trainings."""
        used = seconds + self.spent
        after = used + self._epoch
        return max(used / (1 - KEPT), after / (1 - FOR_REPORT), after + REPORT_SECONDS)

    @property
    def _epoch(self) -> float:
        """Of a configuration, of the slowest that was measured."""
        return max(m.time.seconds for m in self.measured if not m.is_baseline)

    def seconds(self, stage: str) -> float:
        """Of the clock that a stage may take; KeyError if there is none of this name."""
        return {each.name: each.seconds for each in self.stages}[stage]


BASELINES, SEARCH, CONFIRMATION = "baselines", "search", "confirmation"


class Deadlines(NamedTuple):
    """When a stage begins nothing any more and pauses what runs; on the monotonic clock,
    as the other may be set back.

    Baselines cannot be paused: they come first, and none is planned that does not fit.
    """

    search: float = math.inf
    end: float = math.inf
    """Of all that is trained."""


NO_DEADLINES = Deadlines()


def deadlines(plan: AutoPlan, left: float, now: float) -> Deadlines:
    """Those of a run that has so many seconds left."""
    end = now + left - plan.after
    return Deadlines(end - plan.seconds(CONFIRMATION), end)


@dataclass(frozen=True)
class Sizes:
    """How much is trained."""

    epochs: int
    trials: int
    confirm: int
    """Fresh seeds."""
    points: int
    baselines: tuple[str, ...]


def fitting(plan: AutoPlan, settings: TrainingSettings) -> tuple[Sizes, AutoPlan]:
    """What fits into the budget, and the plan with its stages.

    The data set's epochs if they leave enough to try, else fewer, and then without the baselines
    that take the longest; as many configurations as then fit. Raises UserError that says what the
    smallest plan needs.
    """
    for sizes in _wanted(plan, settings.epochs):
        planned = replace(plan, points=sizes.points, stages=_stages(plan, sizes))
        used = planned.seconds(BASELINES) + planned.seconds(CONFIRMATION)
        waves = int((plan.left - used) / _training(plan, sizes.epochs))
        trials = min(waves * plan.workers, MOST_TRIALS)
        if trials >= sizes.trials:
            sizes = replace(sizes, trials=trials)
            return sizes, replace(planned, stages=_stages(plan, sizes))
    needed = plan.budget_of(sum(stage.seconds for stage in _stages(plan, sizes)))
    raise UserError(
        f"--budget {in_words(plan.budget)} is too small: the smallest plan ({sizes.trials} "
        f"configurations of {sizes.epochs} epochs, {sizes.points} of them on {sizes.confirm} "
        f"fresh seeds) needs about {in_words(needed, up=True)} on {counted(plan.workers)}, "
        f"{plan.after:.0f} s of them for the last epoch and the report, by a measurement made now "
        f"that moves with what else the machine does; give {in_words(SPARE * needed, up=True)}"
    )


def _wanted(plan: AutoPlan, most_epochs: int) -> Iterator[Sizes]:
    """What would be good, the best first and the smallest last; `trials` are the fewest."""
    simple = [m for m in plan.measured if m.is_baseline]
    baselines = tuple(m.name for m in simple)
    for epochs in (most_epochs, *(each for each in EPOCHS if each < most_epochs)):
        for confirm, points in CONFIRMING:
            yield Sizes(epochs, FEWEST_TRIALS, confirm, points, baselines)
    epochs, trials, (confirm, points) = LEAST
    epochs = min(epochs, most_epochs)
    slowest_last = sorted(simple, key=lambda m: m.time.of(epochs))
    for count in range(len(simple), -1, -1):
        kept = {m.name for m in slowest_last[:count]}
        fewer = tuple(name for name in baselines if name in kept)
        yield Sizes(epochs, trials, confirm, points, fewer)


def _training(plan: AutoPlan, epochs: int) -> float:
    """Seconds of a configuration at most; those that are drawn are like those that are known."""
    return fmean(m.time.of(epochs) for m in plan.measured if not m.is_baseline)


def _stages(plan: AutoPlan, sizes: Sizes) -> tuple[Stage, ...]:
    each = _training(plan, sizes.epochs)
    simple = [m.time.of(sizes.epochs) for m in plan.measured if m.name in sizes.baselines]
    loads = {
        SEARCH: Load(sizes.trials, each),
        CONFIRMATION: Load(sizes.confirm * sizes.points, each),
    }
    # Baselines are few and most unlike each other: their mean says not when the last one ends.
    longest = max(simple, default=0.0)
    seconds = longest + (sizes.confirm * sum(simple) - longest) / plan.workers
    return (
        Stage(BASELINES, sizes.confirm * len(simple), seconds),
        *(Stage(name, load.trainings, load.on(plan.workers)) for name, load in loads.items()),
    )


def cut_off(unfinished: tuple[int, int], option: str) -> str:
    """What a report of a run says of what the time did not suffice for; empty where it did.

    option: by which the time was given.
    """
    few = zip(unfinished, ("configurations", "trainings on fresh seeds"), strict=True)
    left = " and ".join(f"{count} {what}" for count, what in few if count)
    more = f"the same command with more {option} goes on"
    return f"; the time was up before {left} were trained: {more}" if left else ""


def table(plan: AutoPlan, sizes: Sizes) -> tuple[str, ...]:
    """The plan as lines of text, a small table."""
    rows = [
        ("measured", "an epoch", "once", "epochs measured"),
        *(
            (m.name, f"{m.time.seconds:.2f} s", f"{m.time.once:.2f} s", f"{m.time.measured:.2g}")
            for m in plan.measured
        ),
    ]
    stages = [
        ("stage", "trainings", "at most", ""),
        *((s.name, str(s.trainings), spoken(s.seconds), "") for s in plan.stages),
    ]
    planned = in_words(plan.spent + plan.left)
    out = [m.name for m in plan.measured if m.is_baseline and m.name not in sizes.baselines]
    return (
        f"Plan for {in_words(plan.budget)} on {counted(plan.workers)}, {planned} of it at most:",
        *_aligned(rows),
        *_aligned(stages),
        f"{sizes.trials} configurations of {sizes.epochs} epochs at most; the best {sizes.points} "
        f"and {len(sizes.baselines)} baselines on {sizes.confirm} fresh seeds.",
        *(f"{name} is left out: it takes too long, and cannot be stopped." for name in out),
    )


def _aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [t.rjust(w) for t, w in zip(others, widths[1:], strict=True)]
        yield "  ".join(("", first.ljust(widths[0]), *cells)).rstrip()


def in_words(seconds: float, up: bool = False) -> str:
    """A time as --budget takes it; `up` never says less than it is.

    >>> in_words(30), in_words(150), in_words(1800), in_words(9000), in_words(61, up=True)
    ('30s', '150s', '30m', '150m', '62s')
    """
    more = 1 if up else 0
    return f"{seconds + more:.0f}s" if seconds < 600 else f"{seconds / 60 + more:.0f}m"
