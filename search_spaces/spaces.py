"""What a search may choose from: parts of `AXES`, narrowed to what is worth trying."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from fsmd.config import FM_MODES, MODELS, SHARINGS, TOWER_SHAPES, FSMDConfig
from fsmd.errors import UserError
from search_spaces import Level
from search_spaces.axes import axis, contains

Params = Mapping[str, Level]

GATED = ("experts", "extraction")


class Suggests(Protocol):
    """The part of an Optuna trial that a space needs."""

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...  # noqa: D102
    def suggest_int(  # noqa: D102
        self, name: str, low: int, high: int, *, step: int, log: bool
    ) -> int: ...
    def suggest_float(  # noqa: D102
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float: ...


Condition = tuple[tuple[str, tuple[Level, ...]], ...]
"""Axis -> the values of which it must have one."""


def _holds(condition: Condition, params: Params) -> bool:
    return all(params.get(name) in levels for name, levels in condition)


@dataclass(frozen=True)
class Choice:
    """An axis of a space: its domain there, and the values of other axes under which it counts."""

    name: str
    domain: BaseDistribution
    when: Condition = ()
    alike: tuple[tuple[Level, Level, Condition], ...] = ()
    """(level, the one that stands for it, where both are the same network)."""

    def counts(self, params: Params) -> bool:
        """Whether the axis matters, given those before it."""
        return _holds(self.when, params)

    def named(self, level: Level, params: Params) -> Level:
        """The level, or the one that stands for the same network, given the axes before."""
        return next(
            (other for one, other, when in self.alike if level == one and _holds(when, params)),
            level,
        )


@dataclass(frozen=True)
class Space:
    """A base model and the axes on which a search moves away from it.

    An axis that does not count keeps the base's value, and of levels that mean the same network
    one stands for all, so that equal models are equal values.
    """

    name: str
    base: FSMDConfig
    choices: tuple[Choice, ...]

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of its axes, in order."""
        return tuple(choice.name for choice in self.choices)

    def suggest(self, trial: Suggests) -> dict[str, Level]:
        """A sampler's proposal: the axes that count, in order."""
        params: dict[str, Level] = {}
        for choice in self.choices:
            if choice.counts(params):
                level = _suggest(trial, choice.name, choice.domain)
                params[choice.name] = choice.named(level, params)
        return params

    def config(self, params: Params) -> FSMDConfig:
        """The model that the parameters mean."""
        changes: dict[str, Any] = {}
        for name, level in params.items():
            field, decode = _CODED.get(name, (name, None))
            changes[field] = decode(level) if decode else level
        return replace(self.base, **changes)

    def params(self, config: FSMDConfig) -> dict[str, Level] | None:
        """Inverse of `config`; None for a model outside the space."""
        params: dict[str, Level] = {}
        for choice in self.choices:
            if choice.counts(params):
                level = _encoded(choice.name, config)
                if not contains(choice.domain, level):
                    return None
                params[choice.name] = level
        return params if self.config(params) == config else None

    def filled(self, params: Params) -> dict[str, Level]:
        """All axes: those that do not count have the base's level."""
        return {name: params.get(name, _encoded(name, self.base)) for name in self.axes}

    def cells(self) -> Iterator[dict[str, Level]]:
        """Every combination, the last axis changing fastest.

        Raises UserError where an axis is continuous.
        """
        yield from _cells(self.choices, {})

    @property
    def known(self) -> dict[str, dict[str, Level]]:
        """Name -> parameters of known models that lie in the space: the paper's.

        A name that the data makes the same model as another one (FSMD without a funnel) is out.
        """
        models = {**_KNOWN, **MODELS}
        found: dict[str, dict[str, Level]] = {}
        for name, model in models.items():
            params = self.params(self._trained_as_base(model))
            if params is not None and params not in found.values():
                found[name] = params
        return found

    def _trained_as_base(self, model: FSMDConfig) -> FSMDConfig:
        same = ("batch_size", "learning_rate", "dropout", "weight_decay")
        trained = replace(model, **{name: getattr(self.base, name) for name in same})
        return trained if self._chains else replace(trained, chain=False)

    @property
    def _chains(self) -> bool:
        return self.base.chain or "chain" in self.axes


_DEEP = replace(MODELS["fsmd"], tower_depth=3)
_KNOWN = {
    "paper's best": replace(_DEEP, tower_shape="diamond", gate_depth=3, expert_count=10),
    "deep fsmd": _DEEP,
}
"""The winners of Figs. 11 to 13 put together, and FSMD with the towers of Fig. 11."""


def _widths(text: Level) -> tuple[int, ...]:
    return () if text == "none" else tuple(int(width) for width in str(text).split("-"))


def _weights(share: Level) -> tuple[float, float]:
    return 2 * float(share), 2 - 2 * float(share)


_CODED: Mapping[str, tuple[str, Callable[[Level], Any]]] = MappingProxyType(
    {
        "layers": ("layers", _widths),
        "bottom": ("bottom", _widths),
        "first_weight": ("task_weights", _weights),
    }
)
"""Axes that are not a field as it stands: the field, and how to read the axis."""


def _encoded(name: str, config: FSMDConfig) -> Level:
    if name == "first_weight":
        return config.task_weights[0] / sum(config.task_weights)
    value = getattr(config, name)
    if isinstance(value, tuple):
        return "-".join(map(str, value)) or "none"
    level: Level = value
    return level


def _suggest(trial: Suggests, name: str, domain: BaseDistribution) -> Level:
    level: Level
    if isinstance(domain, IntDistribution):
        level = trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
    elif isinstance(domain, FloatDistribution):
        level = trial.suggest_float(
            name, domain.low, domain.high, step=domain.step, log=domain.log
        )
    else:
        assert isinstance(domain, CategoricalDistribution)
        level = trial.suggest_categorical(name, domain.choices)
    return level


def _cells(choices: tuple[Choice, ...], params: dict[str, Level]) -> Iterator[dict[str, Level]]:
    if not choices:
        yield params
        return
    first, rest = choices[0], choices[1:]
    if not first.counts(params):
        yield from _cells(rest, params)
        return
    for level in _levels(first):
        if first.named(level, params) == level:
            yield from _cells(rest, {**params, first.name: level})


def _levels(choice: Choice) -> tuple[Level, ...]:
    domain = choice.domain
    if isinstance(domain, CategoricalDistribution):
        return tuple(domain.choices)  # type: ignore[arg-type]
    if isinstance(domain, IntDistribution):
        return tuple(range(domain.low, domain.high + 1, domain.step))
    raise UserError(
        f"a grid needs a finite space, but {choice.name} is continuous; use another sampler, "
        "or --space paper"
    )


# ------------------------------------------------------------------------------------------
# The spaces. The domains are parts of `AXES`, which a test checks.
# ------------------------------------------------------------------------------------------

_PAPER = (
    Choice("tower_shape", axis("tower_shape", tuple(TOWER_SHAPES))),
    Choice("gate_depth", IntDistribution(1, 5)),
    Choice("expert_count", IntDistribution(2, 14, step=2)),
)
"""Figs. 11 to 13."""

_gated = (("sharing", GATED),)
_extraction = (("sharing", ("extraction",)),)
_shared = (("sharing", tuple(s for s in SHARINGS if s != "none")),)
_alone = (("sharing", ("none",)),)
_shaped = (("tower_depth", (2, 3, 4)),)
_two_layers = (("tower_depth", (2,)),)

_ARCHITECTURE = (
    Choice("sharing", axis("sharing", SHARINGS)),
    Choice("chain", axis("chain", (True, False)), _shared),
    Choice("fm", axis("fm", FM_MODES), alike=(("per_task", "shared", _alone),)),
    Choice("embedding_size", IntDistribution(4, 16, step=4)),
    Choice("layers", axis("layers", ())),
    Choice("expert_count", IntDistribution(2, 14, step=2), _gated),
    Choice("extraction_levels", IntDistribution(1, 3), _extraction),
    Choice("bottom", CategoricalDistribution(("none", "64", "128", "256")), _gated),
    Choice("gate_depth", IntDistribution(1, 5), _gated),
    Choice(
        "gate_width",
        IntDistribution(32, 128, step=32),
        (*_gated, ("gate_depth", (2, 3, 4, 5))),
    ),
    Choice("tower_depth", IntDistribution(1, 4)),
    Choice("tower_width", IntDistribution(32, 256, step=32)),
    Choice(
        "tower_shape",
        axis("tower_shape", tuple(TOWER_SHAPES)),
        _shaped,
        (("diamond", "increasing", _two_layers),),
    ),
)

_TRAINING = (
    Choice("learning_rate", FloatDistribution(1e-4, 1e-2, log=True)),
    Choice("dropout", FloatDistribution(0.0, 0.7)),
    Choice("batch_size", CategoricalDistribution((256, 512, 1024, 2048, 4096))),
    Choice("weight_decay", axis("weight_decay", ())),
    Choice("first_weight", FloatDistribution(0.1, 0.9)),
    Choice("balancing", axis("balancing", ()), _shared),
)

_CHOICES: Mapping[str, tuple[Choice, ...]] = MappingProxyType(
    {"paper": _PAPER, "architecture": _ARCHITECTURE, "full": (*_ARCHITECTURE, *_TRAINING)}
)


def names() -> tuple[str, ...]:
    """All spaces, the smallest first."""
    return tuple(_CHOICES)


def space(name: str, trained: Callable[[FSMDConfig], FSMDConfig], funnel: bool) -> Space:
    """The space of this name for a data set.

    trained: puts the data set's batch size, learning rate and dropout into a model.
    funnel: whether the tasks form one; without, no model has a chain.

    Raises UserError for an unknown name.
    """
    if name not in _CHOICES:
        raise UserError(f"no space {name!r}; there are {', '.join(_CHOICES)}")
    choices = _CHOICES[name]
    if name == "paper":
        base = replace(MODELS["fsmd"], tower_depth=3, chain=funnel)
    else:
        base = replace(MODELS["fsmd"], chain=False)
        if not funnel:
            choices = tuple(choice for choice in choices if choice.name != "chain")
    return Space(name, trained(base), choices)
