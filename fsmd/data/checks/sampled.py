"""What a sample of rows tells: features that know a label, drift, rows out of order of time."""

from collections.abc import Iterator

from fsmd.data.checks.check import Finding
from fsmd.data.checks.drift import drifts
from fsmd.data.checks.leaks import leaks
from fsmd.data.checks.order import later_rows
from fsmd.data.checks.tally import SplitSample
from fsmd.data.rows.part import Part
from fsmd.data.source import Recipe


class Sampled:
    """Keeps some rows of each split, and looks at them at the end."""

    def __init__(self, recipe: Recipe) -> None:
        self.sample = SplitSample()
        self._recipe = recipe

    def see(self, part: Part) -> None:
        """Keep some rows."""
        self.sample.see(part)

    def findings(self) -> Iterator[Finding]:
        """Leaks, order, drift."""
        train, test = self.sample.of("train"), self.sample.of("test")
        if train is None or test is None:
            return
        yield from leaks(self._recipe, train)
        yield from later_rows(train, test)
        yield from drifts(self._recipe, train, test)
