"""A live bar over replicates and epochs; silent when the output is no terminal."""

from collections.abc import Callable
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from studies.execute import Event
from studies.planning import Cell


class LiveProgress:
    """Listens to the planner and to the workers' messages, and draws."""

    def __init__(self, console: Console, cells: int, messages: Callable[[], Any]) -> None:
        self._messages = messages
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[note]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self._total = self._bar.add_task("trainings", total=cells, note="")
        self._lines: dict[str, TaskID] = {}

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
                self._epoch(task_id, progress.epoch, progress.auc)
            return
        cell = event.cell
        if event.kind == "started":
            name = f"  {cell.level}, replicate {cell.replicate + 1}"
            self._drop(cell)
            self._lines[cell.task.id] = self._bar.add_task(
                name, total=cell.task.epochs, note="starting"
            )
            return
        self._drop(cell)
        if event.kind in ("known", "done", "failed"):
            self._bar.advance(self._total)
        if event.kind in ("failed", "retried"):
            self._bar.console.print(
                f"{event.kind}: {cell.level}, replicate {cell.replicate + 1}: {event.detail}"
            )

    def _epoch(self, task_id: str, epoch: int, auc: dict[str, float]) -> None:
        if task_id in self._lines:
            note = "  ".join(f"{task} {value:.4f}" for task, value in auc.items())
            self._bar.update(self._lines[task_id], completed=epoch, note=f"valid AUC {note}")

    def _drop(self, cell: Cell) -> None:
        if cell.task.id in self._lines:
            self._bar.remove_task(self._lines.pop(cell.task.id))
