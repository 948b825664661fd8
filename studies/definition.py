"""What a study is: frozen values, no behaviour beyond deriving one from another.

A file of `studies/catalog/` holds one `STUDY`; its claims are written down before it runs.
"""

from dataclasses import dataclass, replace
from typing import Literal

from fsmd.config import FSMDConfig

Level = str | int | float | bool
Target = Literal["first", "second", "mean"]
"""AUC of the first task (click), of the second (long view, duration), or their mean."""

MARGIN = 0.001
"""The smallest difference of AUC that matters to anybody, unless a study states its own."""


@dataclass(frozen=True)
class Factor:
    """One axis of `FSMDConfig` and the levels a study compares; the order is the figure's."""

    name: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Above:
    """`level` has a higher mean AUC than `other`."""

    target: Target
    level: Level
    other: Level


@dataclass(frozen=True)
class Best:
    """`level` has a higher mean AUC than every other level."""

    target: Target
    level: Level


@dataclass(frozen=True)
class NotWorse:
    """`level` is at most `margin` below every other level."""

    target: Target
    level: Level
    margin: float = MARGIN


@dataclass(frozen=True)
class Flat:
    """No two levels differ by more than `margin`."""

    target: Target
    margin: float = MARGIN


Rule = Above | Best | NotWorse | Flat


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper and the rules that must all hold for it to hold."""

    id: str
    text: str
    source: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Ablation:
    """One factor varied around a base, all else held."""

    name: str
    title: str
    question: str
    base: FSMDConfig
    factor: Factor
    winner: Level
    """The level the paper crowns; differences are reported against it."""
    figure: str
    claims: tuple[Claim, ...]
    data: str = "planted"
    """The data set of a run that names none."""

    def config(self, level: Level) -> FSMDConfig:
        """The base with the factor at `level`."""
        return replace(self.base, **{self.factor.name: level})  # type: ignore[arg-type]


Study = Ablation
