"""What is drawn on the error output while something runs: text from data is shown, not obeyed.

The one place that opens a console of rich: nothing that is drawn there is read as its markup, and
control characters are written out.
"""

import sys

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.table import Column
from rich.text import Text

from fsmd.command_line import drawing
from fsmd.errors import one_line


def open_console(width: int | None = None) -> Console:
    """On the error output; nothing but a terminal gets control codes, whatever FORCE_COLOR asks.

    width: of lines outside of a terminal; None: rich's own.
    """
    is_terminal = sys.stderr.isatty()
    return Console(
        file=drawing(sys.stderr),
        force_terminal=None if is_terminal else False,
        width=None if is_terminal else width,
        markup=False,
        emoji=False,
        highlight=False,
    )


def words(text: str, style: str = "") -> Text:
    """A line as it stands."""
    return Text(one_line(text), style=style)


def tell(console: Console, line: str) -> None:
    """Print a line, whole however long it is."""
    console.print(words(line), soft_wrap=True)


class PlainColumn(ProgressColumn):
    """A column of a progress bar with text of its task, such as `{task.description}`."""

    def __init__(self, form: str, style: str = "") -> None:
        super().__init__(Column(no_wrap=True))
        self.form, self.style = form, style

    def render(self, task: Task) -> Text:
        """What the form says of the task."""
        return words(self.form.format(task=task), self.style)


def bar_of(console: Console) -> Progress:
    """A bar for each task, its description before it; drawn in a terminal alone."""
    return Progress(
        PlainColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %", markup=False),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
