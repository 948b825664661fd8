"""A live bar over replicates and epochs; silent when the output is no terminal."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from studies.execute import Event
from studies.planning import Cell


@dataclass
class _Line:
    """A training under way: its line of the bar, and how far it is."""

    task: TaskID
    started: float
    epochs: int
    done: float = 0.0


class LiveProgress:
    """Listens to the planner and to the workers' messages, and draws."""

    def __init__(
        self, console: Console, cells: int, workers: int, messages: Callable[[], Any]
    ) -> None:
        self._messages = messages
        self._workers = workers
        self._left = cells
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[count]}"),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._total = self._bar.add_task("trainings", total=cells, note="", count=f"0/{cells}")
        self._cells = cells
        self._lines: dict[str, _Line] = {}
        self._finished: list[float] = []

    def had(self, ended: int) -> None:
        """Count trainings that had ended before."""
        self._left -= ended

    def __enter__(self) -> "LiveProgress":
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, event: Event) -> None:
        """Draw what happened."""
        if event.cell is None:
            for task_id, progress in self._messages():
                self._advance(task_id, progress.done, progress.auc)
            self._estimate()
            return
        cell = event.cell
        if event.kind == "started":
            self._start(cell)
            return
        line = self._drop(cell)
        if event.kind in ("known", "done", "failed", "stopped"):
            self._left -= 1
            if event.kind == "done" and line:
                self._finished.append(time.monotonic() - line.started)
        if event.kind in ("failed", "retried"):
            self._bar.console.print(
                f"{event.kind}: {cell.level}, replicate {cell.replicate + 1}: {event.detail}",
                soft_wrap=True, markup=False, highlight=False,
            )  # fmt: skip

    def _start(self, cell: Cell) -> None:
        self._drop(cell)
        epochs = cell.task.epochs
        task = self._bar.add_task(
            f"  {cell.level}, replicate {cell.replicate + 1}",
            total=epochs, note="starting", count=f"epoch 1/{epochs}",
        )  # fmt: skip
        self._lines[cell.task.id] = _Line(task, time.monotonic(), epochs)

    def _advance(self, task_id: str, done: float, auc: dict[str, float]) -> None:
        line = self._lines.get(task_id)
        if line:
            line.done = done
            note = "  ".join(f"{task} {value:.4f}" for task, value in auc.items())
            self._bar.update(
                line.task,
                completed=done,
                count=f"epoch {min(int(done) + 1, line.epochs)}/{line.epochs}",
                note=f"valid AUC {note}" if note else "",
            )

    def _estimate(self) -> None:
        now = time.monotonic()
        running = [(now - line.started, line.done / line.epochs) for line in self._lines.values()]
        left = seconds_left(self._finished, running, self._left, self._workers)
        finished = self._cells - self._left
        self._bar.update(
            self._total, completed=finished, count=f"{finished}/{self._cells}", note=left
        )

    def _drop(self, cell: Cell) -> _Line | None:
        line = self._lines.pop(cell.task.id, None)
        if line:
            self._bar.remove_task(line.task)
        return line


def seconds_left(
    finished: Sequence[float],
    running: Sequence[tuple[float, float]],
    missing: int,
    workers: int,
) -> str:
    """The time left, in words.

    finished: seconds of trainings that ended; running: (seconds so far, share of the epochs at
    most); missing: trainings without an end, the running ones among them. Before any training has
    ended nobody knows when early stopping will end one, so the answer is an upper bound.

    >>> seconds_left([60.0, 80.0], [(30.0, 0.1)], missing=3, workers=1)
    'about 3 min left'
    >>> seconds_left([], [(30.0, 0.1)], missing=2, workers=1)
    'at most 10 min left'
    """
    known = list(finished) or [spent / share for spent, share in running if share > 0]
    if not known or not missing:
        return ""
    each = median(known)
    under_way = sum(max(each - spent, 0.0) for spent, _ in running)
    seconds = (under_way + each * (missing - len(running))) / max(1, min(workers, missing))
    text = f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
    return f"{'about' if finished else 'at most'} {text} left"
