"""A live bar over trainings and epochs; plain lines where the output is no terminal.

A file, such as the log of a build, gets a line when training begins, one when trainings end (at
most one every few seconds), one now and then where none ends, and one at the end: whole lines of
plain text, each with how far all is.
"""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TimeElapsedColumn

from fsmd.metrics import METRICS
from fsmd.tasks import Task
from fsmd.terminal import PlainColumn, tell
from fsmd.training import TrainingProgress
from studies.planner.design import Cell
from studies.planner.planner import Event
from studies.timing import counted, spoken

SOON_SECONDS = 5.0
"""Between two lines of a file, at least."""
EVERY_SECONDS = 30.0
"""The same, at most."""
AT_LEAST_SECONDS = 0.1
"""Between two estimates of the time left."""


@dataclass
class _Line:
    """A training under way: its line of the bar, and how far it is."""

    task: TaskID
    arm: str
    started: float
    epochs: int
    done: float = 0.0


class Took(NamedTuple):
    """How many trainings ended, and their seconds together."""

    trainings: int = 0
    seconds: float = 0.0

    @property
    def mean(self) -> float:
        """Seconds of one."""
        return self.seconds / self.trainings

    def and_one(self, seconds: float) -> "Took":
        """With one more."""
        return Took(self.trainings + 1, self.seconds + seconds)


class LiveProgress:
    """Listens to the planner, and draws."""

    def __init__(self, console: Console, cells: int, workers: int, tasks: Sequence[Task]) -> None:
        self._tasks, self._workers, self._cells = tasks, workers, cells
        self._over = set[str]()  # identities
        self._plain = not console.is_terminal or console.is_dumb_terminal
        self._bar = Progress(
            PlainColumn("{task.description}"),
            BarColumn(bar_width=24),
            PlainColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            PlainColumn("{task.fields[note]}", "dim"),
            console=console,
            disable=self._plain,
            transient=True,
        )
        self._total = self._bar.add_task("trainings", total=cells, note="", count=f"0/{cells}")
        self._lines: dict[str, _Line] = {}
        self._finished, self._ended = defaultdict[str, Took](Took), Took()
        self._began = self._last_line = time.monotonic()
        self._started, self._news = False, False
        self._last_estimate = self._began - AT_LEAST_SECONDS

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if not self._plain:  # rich before 14 ends even a hidden bar with a line
            self._bar.stop()
        if self._plain and self._started and error is None:
            self._say(f"in {spoken(time.monotonic() - self._began)}")

    def __call__(self, event: Event) -> None:
        """Draw what happened."""
        cell = event.cell
        if cell is None:
            self._workers = event.workers or self._workers
            for training_id, progress in event.progress:
                self._advance(training_id, progress)
            self._estimate()
            return
        line = self._lines.pop(cell.training.id, None)
        if line:
            self._bar.remove_task(line.task)
        if event.kind == "started":
            self._start(cell)
        if event.kind in ("known", "done", "failed", "stopped"):
            self._over.add(cell.training.id)
            self._news |= self._started
            if event.kind == "done" and line:
                seconds = time.monotonic() - line.started
                self._finished[line.arm] = self._finished[line.arm].and_one(seconds)
                self._ended = self._ended.and_one(seconds)
        if event.kind in ("failed", "retried"):
            self._print(f"{event.kind}: {cell.arm}, replicate {cell.replicate}: {event.detail}")

    def _start(self, cell: Cell) -> None:
        if self._plain and not self._started:
            known = len(self._over)
            there = f", {known} of them there already" if known else ""
            self._print(f"{self._cells} trainings{there}, on {counted(self._workers)}")
        self._started = True
        self._over.discard(cell.training.id)  # a search may take up again what was stopped
        epochs = cell.training.epochs
        task = self._bar.add_task(
            f"  {cell.arm}, replicate {cell.replicate}",
            total=epochs,
            note="starting",
            count=f"epoch 1/{epochs}",
        )
        self._lines[cell.training.id] = _Line(task, cell.arm, time.monotonic(), epochs)

    def _advance(self, training_id: str, progress: TrainingProgress) -> None:
        line = self._lines.get(training_id)
        if line:
            line.done = progress.done
            self._bar.update(
                line.task,
                completed=line.done,
                count=f"epoch {min(int(line.done) + 1, line.epochs)}/{line.epochs}",
                note=told(self._tasks, progress.figures),
            )

    def _estimate(self) -> None:
        now = time.monotonic()
        if now - self._last_estimate < AT_LEAST_SECONDS:
            return  # as thousands of workers have something to tell
        self._last_estimate = now
        running = [
            (line.arm, now - line.started, line.done / line.epochs)
            for line in self._lines.values()
        ]
        ended = len(self._over)
        missing = self._cells - ended
        left = seconds_left(self._finished, self._ended, running, missing, self._workers)
        self._bar.update(self._total, completed=ended, count=f"{ended}/{self._cells}", note=left)
        waited = now - self._last_line
        if self._plain and waited >= (SOON_SECONDS if self._news else EVERY_SECONDS):
            epochs = sum(line.done for line in self._lines.values())
            under_way = f"{len(self._lines)} under way"
            self._say(f"{under_way} with {epochs:.1f} epochs done" if epochs else under_way, left)

    def _say(self, *more: str) -> None:
        """A line of a file: how far all is, and more."""
        self._last_line, self._news = time.monotonic(), False
        ended = len(self._over)
        share = 100 * ended // max(self._cells, 1)
        parts = (f"{share:3d} %  {ended} of {self._cells} trainings ended", *more)
        self._print(", ".join(filter(None, parts)))

    def _print(self, line: str) -> None:
        tell(self._bar.console, line)


def told(tasks: Sequence[Task], figures: Mapping[str, float]) -> str:
    """The last validation figures, each by its task's metric; nothing before the first epoch.

    >>> told((Task("click"), Task("like", "log_loss")), {"click": 0.70123, "like": 0.2})
    'valid click AUC 0.7012  like log loss 0.2000'
    """
    known = [(task.name, METRICS[task.metric]) for task in tasks if task.name in figures]
    parts = (f"{name} {m.label} {figures[name]:.{m.digits}f}" for name, m in known)
    return "valid " + "  ".join(parts) if known else ""


def seconds_left(
    finished: Mapping[str, Took],
    ended: Took,
    running: Sequence[tuple[str, float, float]],
    missing: int,
    workers: int,
) -> str:
    """The time left, in words.

    finished: of each arm what its trainings that ended took; ended: of all arms; running: (arm,
    seconds so far, share of the epochs at most); missing: trainings without an end, the running
    ones among them.
    A training is taken to need what others of its arm did, or else of any; one that needs longer,
    what all its epochs would. Before any training has ended nobody knows when early stopping will
    end one, so the answer is an upper bound.

    >>> two, one = Took(2, 140.0), Took(1, 20.0)
    >>> seconds_left({"a": two}, two, [("a", 30.0, 0.1)], missing=3, workers=1)
    'about 3 min left'
    >>> seconds_left({"a": one}, one, [("b", 30.0, 0.5)], missing=1, workers=1)
    'about 30 s left'
    >>> seconds_left({}, Took(), [("a", 30.0, 0.1)], missing=2, workers=1)
    'at most 9.5 min left'
    """
    shares = [spent / share for _, spent, share in running if share > 0]
    known = ended if ended.trainings else Took(len(shares), sum(shares))
    if not known.trainings or not missing:
        return ""
    under_way = 0.0
    for arm, spent, share in running:
        needed = finished.get(arm, known).mean
        if spent >= needed:
            needed = spent / share if share > 0 else spent
        under_way += needed - spent
    seconds = under_way + known.mean * (missing - len(running))
    words = spoken(seconds / max(1, min(workers, missing)))
    return f"{'about' if ended.trainings else 'at most'} {words} left"
