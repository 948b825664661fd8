"""What a space is: a base model, and the axes on which a search moves away from it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import BaseTrial

from fsmd.config import FSMDConfig, fitted
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.tasks import Task, is_funnel
from search_spaces import Value
from search_spaces.axes import WEIGHT, contains, weight_axis

Params = Mapping[str, Value]
"""Axis -> its value; only axes that count."""

Condition = tuple[tuple[str, tuple[Value, ...]], ...]
"""Axis -> the values of which it must have one."""


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
        weights = [weight_axis(task.name) for task in tasks[:-1]]
        choices = tuple(
            replace(choice, name=name)
            for choice in self.choices
            if has[choice.needs]
            for name in (weights if choice.name == WEIGHT else [choice.name])
        )
        base = settings.applied(fitted(self.base, tasks))
        return replace(self, base=base, choices=choices, tasks=tuple(tasks))

    @property
    def axes(self) -> tuple[str, ...]:
        """The names of its axes, in order."""
        return tuple(choice.name for choice in self.choices)

    def suggest(self, trial: BaseTrial) -> dict[str, Value]:
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
            name: _widths(value) if name in ("layers", "bottom") else value
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
        combinations: Iterator[dict[str, Value]] = iter([{}])
        for choice in self.choices:
            combinations = _crossed(combinations, choice)
        return combinations

    @cached_property  # a search asks before each of its proposals
    def known(self) -> Mapping[str, Params]:
        """Name -> parameters of the known models that lie in the space.

        A name that the data makes the same model as another one (FSMD without a funnel) is out.
        """
        known: dict[str, Params] = {}
        for name, model in self.models:
            trained = replace(model, **{n: getattr(self.base, n) for n in model.left_open})
            chained = self.base.chain or "chain" in self.axes
            params = self.params(replace(trained, chain=trained.chain and chained))
            if params is not None and params not in known.values():
                known[name] = params
        return known

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
        value: Value | tuple[int, ...] = getattr(config, name)
        return "-".join(map(str, value)) or "none" if isinstance(value, tuple) else value


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


def _suggest(trial: BaseTrial, name: str, domain: BaseDistribution) -> Value:
    if isinstance(domain, IntDistribution):
        return trial.suggest_int(name, domain.low, domain.high, step=domain.step, log=domain.log)
    if isinstance(domain, FloatDistribution):
        return trial.suggest_float(name, domain.low, domain.high, step=domain.step, log=domain.log)
    assert isinstance(domain, CategoricalDistribution)
    return trial.suggest_categorical(name, domain.choices)  # type: ignore[return-value]


def _crossed(
    combinations: Iterator[dict[str, Value]], choice: Choice
) -> Iterator[dict[str, Value]]:
    for params in combinations:
        if not choice.counts(params):
            yield params
            continue
        for value in _values(choice):
            if choice.named(value, params) == value:
                yield {**params, choice.name: value}


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
