"""Shows how far something long is, on the error output of a person alone."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

PATIENCE = 2.0
"""Seconds before anything is shown."""


@contextmanager
def told(what: str) -> Iterator[Callable[[int], None]]:
    """Call what is given with the number of rows just done; shows their sum after a while."""
    if not sys.stderr.isatty():
        yield lambda rows: None
        return
    from rich.progress import Progress, SpinnerColumn, TimeElapsedColumn

    from fsmd.terminal import PlainColumn, open_console

    text = PlainColumn("{task.description}: {task.completed:,.0f} rows")
    shown = Progress(
        SpinnerColumn(), text, TimeElapsedColumn(), console=open_console(), transient=True
    )
    task, start = shown.add_task(what, total=None), monotonic()

    def advance(rows: int) -> None:
        shown.advance(task, rows)
        if not shown.live.is_started and monotonic() - start > PATIENCE:
            shown.start()

    try:
        yield advance
    finally:
        shown.stop()
