"""What a space is: a base model, and the axes on which a search moves away from it."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from fsmd.config import FSMDConfig, without_chain_unless
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.tasks import Task, is_funnel
from search_spaces import Value
from search_spaces.axes import WEIGHT, contains, weight_axis

Params = Mapping[str, Value]
"""Axis -> its value; only axes that count."""

Condition = tuple[tuple[str, tuple[Value, ...]], ...]
"""Axis -> the values of which it must have one."""


class Suggests(Protocol):
    """The part of an Optuna trial that a space needs."""

    def suggest_categorical(self, name: str, choices: Any) -> Any: ...  # noqa: D102
    def suggest_int(  # noqa: D102
        self, name: str, low: int, high: int, *, step: int, log: bool
    ) -> int: ...
    def suggest_float(  # noqa: D102
        self, name: str, low: float, high: float, *, step: float | None, log: bool
    ) -> float: ...


@dataclass(frozen=True)
class Choice:
    """An axis of a space: its domain there, and the values of other axes under which it counts."""

    name: str
    domain: BaseDistribution
    when: Condition = ()
    alike: tuple[tuple[Value, Value, Condition], ...] = ()
    """(value, the one that stands for it, where both are the same network)."""
    needs: Literal["funnel", "several tasks"] | None = None
    """What the data must have for the axis to matter at all."""

    def counts(self, params: Params) -> bool:
        """Whether the axis matters, given those before it."""
        return _holds(self.when, params)

    def named(self, value: Value, params: Params) -> Value:
        """The value, or the one that stands for the same network, given the axes before."""
        return next(
            (other for one, other, when in self.alike if value == one and _holds(when, params)),
            value,
        )


def _holds(condition: Condition, params: Params) -> bool:
    return all(params.get(name) in values for name, values in condition)


@dataclass(frozen=True)
class Space:
    """A base model and the axes on which a search moves away from it.

    An axis that does not count keeps the base's value, and of values that mean the same network
    one stands for all, so that equal models are equal values.

    A space of `search_spaces.spaces` knows no data yet; `on` makes it that of a data set.
    """

    name: str
    base: FSMDConfig
    choices: tuple[Choice, ...]
    models: tuple[tuple[str, FSMDConfig], ...] = ()
    """(name, model) of what is known beforehand; `known` has those that lie in the space."""
    tasks: tuple[Task, ...] = ()
    """The data's; their own weights stand where none are set."""

    def on(self, tasks: Sequence[Task], settings: TrainingSettings) -> "Space":
        """The space for a data set: its tasks' axes, and its settings where the base has none.

        Where no task follows another, no model has a chain. The axis `WEIGHT` becomes one for
        each task but the last.
        """
        has = {"funnel": is_funnel(tasks), "several tasks": len(tasks) > 1, None: True}
        choices: list[Choice] = []
        for choice in self.choices:
            if not has[choice.needs]:
                continue
            names = (
                [weight_axis(task.name) for task in tasks[:-1]]
                if choice.name == WEIGHT
                else [choice.name]
            )
            choices += [replace(choice, name=name) for name in names]
        base = settings.applied(without_chain_unless(is_funnel(tasks), self.base))
        return replace(self, base=base, choices=tuple(choices), tasks=tuple(tasks))

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of its axes, in order."""
        return tuple(choice.name for choice in self.choices)

    def suggest(self, trial: Suggests) -> dict[str, Value]:
        """A sampler's proposal: the axes that count, in order."""
        params: dict[str, Value] = {}
        for choice in self.choices:
            if choice.counts(params):
                value = _suggest(trial, choice.name, choice.domain)
                params[choice.name] = choice.named(value, params)
        return params

    def config(self, params: Params) -> FSMDConfig:
        """The model that the parameters mean."""
        shares = tuple(float(params[name]) for name in self._weight_axes if name in params)
        fields: dict[str, Any] = {
            name: _DECODED[name](value) if name in _DECODED else value
            for name, value in params.items()
            if name not in self._weight_axes
        }
        if shares and shares != self._shares(FSMDConfig()):
            fields["task_weights"] = _weights(shares)
        return replace(self.base, **fields)

    def params(self, config: FSMDConfig) -> dict[str, Value] | None:
        """Inverse of `config`; None for a model outside the space."""
        params: dict[str, Value] = {}
        for choice in self.choices:
            if choice.counts(params):
                value = self._encoded(choice.name, config)
                if not contains(choice.domain, value):
                    return None
                params[choice.name] = value
        return params if _same(self.config(params), config) else None

    def filled(self, params: Params) -> dict[str, Value]:
        """All axes: those that do not count have the base's value."""
        return {name: params.get(name, self._encoded(name, self.base)) for name in self.axes}

    def combinations(self) -> Iterator[dict[str, Value]]:
        """Every combination, the last axis changing fastest.

        Raises UserError where an axis is continuous.
        """
        yield from _combinations(self.choices, {})

    @property
    def known(self) -> dict[str, dict[str, Value]]:
        """Name -> parameters of the known models that lie in the space.

        A name that the data makes the same model as another one (FSMD without a funnel) is out.
        """
        known: dict[str, dict[str, Value]] = {}
        for name, model in self.models:
            params = self.params(self._trained_as_base(model))
            if params is not None and params not in known.values():
                known[name] = params
        return known

    def _trained_as_base(self, model: FSMDConfig) -> FSMDConfig:
        trained = replace(model, **{name: getattr(self.base, name) for name in model.left_open})
        return without_chain_unless(self.base.chain or "chain" in self.axes, trained)

    @property
    def _weight_axes(self) -> tuple[str, ...]:
        return tuple(weight_axis(task.name) for task in self.tasks[:-1])

    def _shares(self, config: FSMDConfig) -> tuple[float, ...]:
        """Of each task but the last its weight's share of what the tasks before it leave."""
        weights = config.task_weights or tuple(task.weight for task in self.tasks)
        left, shares = sum(weights), list[float]()
        for weight in weights[:-1]:
            shares.append(weight / left)
            left -= weight
        return tuple(shares)

    def _encoded(self, name: str, config: FSMDConfig) -> Value:
        if name in self._weight_axes:
            return self._shares(config)[self._weight_axes.index(name)]
        value = getattr(config, name)
        if isinstance(value, tuple):
            return "-".join(map(str, value)) or "none"
        encoded: Value = value
        return encoded


def _weights(shares: Sequence[float]) -> tuple[float, ...]:
    """Inverse of `Space._shares`; the weights are 1 on average."""
    left, weights = float(len(shares) + 1), list[float]()
    for share in shares:
        weights.append(left * share)
        left -= left * share
    return (*weights, left)


def _same(config: FSMDConfig, other: FSMDConfig) -> bool:
    """Whether two models are one, but for the last digit of the weights."""
    pairs = zip(config.task_weights, other.task_weights, strict=False)
    return (
        replace(config, task_weights=()) == replace(other, task_weights=())
        and len(config.task_weights) == len(other.task_weights)
        and all(math.isclose(*pair, rel_tol=1e-12) for pair in pairs)
    )


def _widths(text: Value) -> tuple[int, ...]:
    return () if text == "none" else tuple(int(width) for width in str(text).split("-"))


_DECODED: Mapping[str, Callable[[Value], Any]] = MappingProxyType(
    {"layers": _widths, "bottom": _widths}
)
"""How to read the axes whose field is no value that an axis can hold."""


def _suggest(trial: Suggests, name: str, domain: BaseDistribution) -> Value:
    value: Value
    if isinstance(domain, IntDistribution):
        value = trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
    elif isinstance(domain, FloatDistribution):
        value = trial.suggest_float(
            name, domain.low, domain.high, step=domain.step, log=domain.log
        )
    else:
        assert isinstance(domain, CategoricalDistribution)
        value = trial.suggest_categorical(name, domain.choices)
    return value


def _combinations(
    choices: tuple[Choice, ...], params: dict[str, Value]
) -> Iterator[dict[str, Value]]:
    if not choices:
        yield params
        return
    choice, rest = choices[0], choices[1:]
    if not choice.counts(params):
        yield from _combinations(rest, params)
        return
    for value in _values(choice):
        if choice.named(value, params) == value:
            yield from _combinations(rest, {**params, choice.name: value})


def _values(choice: Choice) -> tuple[Value, ...]:
    domain = choice.domain
    if isinstance(domain, CategoricalDistribution):
        return tuple(domain.choices)  # type: ignore[arg-type]
    if isinstance(domain, IntDistribution):
        return tuple(range(domain.low, domain.high + 1, domain.step))
    raise UserError(
        f"a grid needs a finite space, but {choice.name} is continuous; use another sampler, "
        "or --space paper"
    )
