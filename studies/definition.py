"""What a study is: frozen values, no behaviour beyond deriving one from another.

A file of `studies/catalog/` holds one `STUDY`; its claims are written down before it runs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, Literal

from fsmd.config import FSMDConfig
from search_spaces import Level

Target = Literal["first", "second", "mean"]
"""AUC of the first task (click), of the second (long view, duration), or their mean."""

MARGIN = 0.001
"""The smallest difference of AUC that matters to anybody, where nothing else is stated."""


@dataclass(frozen=True)
class Factor:
    """One axis of `FSMDConfig` and its levels; the order is the figure's."""

    name: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Arm:
    """One thing that a study compares: a model under a name."""

    name: str
    config: FSMDConfig
    params: tuple[tuple[str, Level], ...]
    """(axis, value) of what sets it apart from the other arms; the trial's Optuna parameters."""
    data: str | None = None
    """The data set, where it is not the study's."""
    stream: int = 0
    """Arms of one stream are paired: they train from the same seeds."""


@dataclass(frozen=True)
class Above:
    """`level` has a higher mean AUC than `other`."""

    target: Target
    level: Level
    other: Level


@dataclass(frozen=True)
class Best:
    """`level` has a higher mean AUC than every other level (of `among`, if given)."""

    target: Target
    level: Level
    among: tuple[Level, ...] = ()


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


@dataclass(frozen=True)
class NotBoth:
    """`level` does not gain `margin` on both tasks over `other`: on one of them it gains less."""

    level: Level
    other: Level
    margin: float = MARGIN


@dataclass(frozen=True)
class Trades:
    """`level` gains more than `margin` over `other` on one task and loses more on the other."""

    level: Level
    other: Level
    margin: float = MARGIN


Rule = Above | Best | NotWorse | Flat | NotBoth | Trades

VIDEO = "the paper's private 15-day video log"
CENSUS = "Census-Income (KDD), split as in the paper"


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper and the rules that must all hold for it to hold."""

    id: str
    text: str
    source: str
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Study:
    """Arms that differ in something, all else held, and what is claimed of them."""

    name: str
    title: str
    question: str
    factor: str
    """What the arms are levels of: the label of tables and axes."""
    arms: tuple[Arm, ...]
    reference: str
    """The arm that the others are compared with, such as the one the paper crowns."""
    figure: str
    """Where the paper shows it; empty where it does not."""
    claims: tuple[Claim, ...]
    data: str = "planted"
    """The data set of a run that names none."""
    about: str = VIDEO
    """The data that the claims speak of; empty where they are not the paper's."""
    margin: float = MARGIN
    """The smallest difference that matters, for all that is compared beyond the claims."""

    @property
    def levels(self) -> tuple[str, ...]:
        """The arms' names, in order."""
        return tuple(arm.name for arm in self.arms)


def one_factor(base: FSMDConfig, factor: Factor) -> tuple[Arm, ...]:
    """An arm for each level: the base with the factor at it."""
    return tuple(
        Arm(str(level), _at(base, {factor.name: level}), ((factor.name, level),))
        for level in factor.levels
    )


def factorial(base: FSMDConfig, factors: tuple[Factor, ...]) -> tuple[Arm, ...]:
    """An arm for each combination of the factors' levels, the last one changing fastest."""
    names = [factor.name for factor in factors]
    arms = []
    for levels in product(*(factor.levels for factor in factors)):
        params = tuple(zip(names, levels, strict=True))
        arms.append(Arm(" / ".join(map(str, levels)), _at(base, dict(params)), params))
    return tuple(arms)


def named(configs: Iterable[tuple[str, FSMDConfig]], axis: str) -> tuple[Arm, ...]:
    """An arm for each (name, configuration); `axis` is the Optuna parameter that names it."""
    return tuple(Arm(name, config, ((axis, name),)) for name, config in configs)


def _at(base: FSMDConfig, changes: dict[str, Any]) -> FSMDConfig:
    return replace(base, **changes)
