"""What a study and a search are: frozen values that JSON can hold; no behaviour beyond that.

A file of `studies/catalog/` holds one `STUDY` or one `SEARCH`. What it claims is written down
before it runs, and stored with it.
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise, product
from typing import Any

from fsmd.baselines import BASELINES, Baseline, Config
from fsmd.config import MODELS, FSMDConfig
from fsmd.errors import UserError, shown
from fsmd.metrics import METRICS
from search_spaces import Value
from studies.auto.plan import AutoPlan
from studies.reading import KIND, read

VIDEO = "the paper's private 15-day video log"
CENSUS = "Census-Income (KDD), split as in the paper"
MOST_ARMS = 10_000
"""More is a mistake, or takes all memory; a search is for that."""


LOOKS = (5, 10, 20, 40)
"""Seeds at which a study is judged that states nothing else."""
MOST_SEEDS = 1_000
"""More is a mistake, or takes all memory."""


@dataclass(frozen=True)
class Factor:
    """One axis of `FSMDConfig` and the values that a study gives it; in the figure's order."""

    name: str
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Arm:
    """One thing that a study compares: a model under a name.

    A study file of one's own may set a baseline beside its models::

        arms=(*models(("mmoe", "fs"), base), *baselines(("constant", "trees")))
    """

    name: str
    changes: tuple[tuple[str, Any], ...]
    """(field of `FSMDConfig`, value) in which it differs from the study's base."""
    params: tuple[tuple[str, Value], ...]
    """(axis, value) of what sets it apart from the other arms; the trial's Optuna parameters."""
    data: str | None = None
    """The data set, where it is not the study's."""
    stream: int = 0
    """Arms of one stream are paired: they train from the same seeds."""
    baseline: Baseline | None = None
    """What it is in the place of a change of the base."""

    def config(self, base: FSMDConfig) -> Config:
        """The model that it is, on a base; UserError for a change of what no model has."""
        return self.baseline or FSMDConfig.from_dict({**vars(base), **dict(self.changes)})


# Rules of claims. A target is a task's name or "mean"; a margin of None is the study's. "Better"
# is higher or lower, as the target's metric has it.


@dataclass(frozen=True)
class Above:
    """`arm` is better than `other` on the mean over seeds."""

    target: str
    arm: str
    other: str


@dataclass(frozen=True)
class Best:
    """`arm` is better than every other arm (of `among`, if given)."""

    target: str
    arm: str
    among: tuple[str, ...] = ()


@dataclass(frozen=True)
class NotWorse:
    """`arm` is worse than no other arm by `margin` or more."""

    target: str
    arm: str
    margin: float | None = None


@dataclass(frozen=True)
class Flat:
    """No two arms differ by more than `margin`."""

    target: str
    margin: float | None = None


@dataclass(frozen=True)
class NotEverywhere:
    """`arm` gains less than `margin` over `other` on one at least of the study's `tasks`."""

    arm: str
    other: str
    margin: float | None = None


@dataclass(frozen=True)
class Trades:
    """`arm` gains more than `margin` over `other` on one of the study's `tasks`, and loses more
    on another."""

    arm: str
    other: str
    margin: float | None = None


Rule = Above | Best | NotWorse | Flat | NotEverywhere | Trades


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
    """What sets the arms apart: the label of tables and axes."""
    base: FSMDConfig
    """What all arms have where they do not differ."""
    arms: tuple[Arm, ...]
    reference: str
    """The arm that the others are compared with, such as the one the paper crowns."""
    claims: tuple[Claim, ...] = ()
    figure: str = ""
    """Where the paper shows it; empty where it does not."""
    data: str = "planted"
    """The data set of a run that names none."""
    about: str = ""
    """The data that the claims speak of; empty where they are not the paper's."""
    tasks: tuple[str, ...] = ("click", "long_view")
    """The tasks that the claims name. On data without one of these names they stand for the
    data's tasks in order; where the study is a file of a user's own that is refused."""
    margins: tuple[tuple[str, float], ...] = ()
    """(metric, the smallest difference that matters), where it is not the metric's own."""
    looks: tuple[int, ...] = LOOKS
    """The numbers of seeds at which it is judged; see `fsmd.stats.looks`."""
    asked: tuple[str, ...] = ()
    """Options that changed its base, as they were given on the command line."""
    file: str = ""
    """The path by which it was named; empty for one of the catalog."""

    def margin(self, metric: str) -> float:
        """The smallest difference in a metric that matters."""
        return dict(self.margins).get(metric, METRICS[metric].margin)

    def arm(self, name: str) -> Arm:
        """The arm of this name; KeyError if there is none."""
        return self._by_name[name]

    @cached_property
    def _by_name(self) -> Mapping[str, Arm]:
        return {arm.name: arm for arm in self.arms}

    def asks(self, claim: Claim) -> tuple[str, ...]:
        """What a verdict on a claim is on, as text: its rules, and the arms or tasks that those
        without names of their own range over."""

        def ranges(rule: Rule) -> Iterable[str]:
            if isinstance(rule, NotEverywhere | Trades):
                return self.tasks
            names_its_own = isinstance(rule, Above) or (isinstance(rule, Best) and rule.among)
            return () if names_its_own else sorted(self._by_name)

        return tuple(f"{rule} {' '.join(map(repr, ranges(rule)))}" for rule in claim.rules)

    def config(self, name: str) -> Config:
        """An arm's model."""
        return self.arm(name).config(self.base)

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; inverse of `from_dict`."""
        claims = [
            {**asdict(c), "rules": [{KIND: type(r).__name__, **asdict(r)} for r in c.rules]}
            for c in self.claims
        ]
        return {**asdict(self), "claims": claims}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Study":
        """Inverse of `to_dict`, also after a walk through JSON; ValueError for what is none."""
        study: Study = read(cls, values)
        return study


@dataclass(frozen=True)
class Search:
    """A space of configurations and what is sought in it."""

    name: str
    title: str
    question: str
    space: str
    """A name of `search_spaces.spaces`."""
    objectives: tuple[str, ...] = ("tasks",)
    """Each a target, `tasks` for every task, or a cost; see `studies.objectives`."""
    data: str = "planted"
    max_params: int | None = None
    max_latency: float | None = None
    """Milliseconds per 1,000 scored rows at most."""
    trials: int = 60
    sampler: str = "gp"
    pruner: str = "halving"
    timeout: float | None = None
    """Seconds after which nothing new is begun."""
    confirm: int = 5
    """Fresh seeds for the front."""
    baselines: tuple[str, ...] = ("constant", "logistic", "trees")
    """Names of `BASELINES` that are trained on these seeds too."""
    auto: AutoPlan | None = None
    """Of an automatic search: what its plan was made from; `AutoPlan()` before there is one."""
    file: str = ""
    """The path by which it was named; empty for one of the catalog."""

    SOUGHT = ("space", "objectives", "max_params", "max_latency")
    """What a search is for: these stay as they were. The rest may change when it goes on."""
    METHOD = ("sampler", "pruner", "trials", "timeout", "confirm", "baselines")

    def to_dict(self) -> dict[str, Any]:
        """As JSON holds it; inverse of `from_dict`."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Search":
        """Inverse of `to_dict`, also after a walk through JSON; ValueError for what is none."""
        search: Search = read(cls, values)
        return search


Definition = Study | Search


def definition_of(kind: str, values: Mapping[str, Any]) -> Definition:
    """The stored definition; `kind` is the name of its class, in lower case."""
    classes = {"study": Study, "search": Search}
    if kind not in classes:
        raise ValueError(f"kind must be one of {', '.join(classes)}; got {shown(kind)}")
    definition: Definition = read(classes[kind], values)
    return definition


def kind_of(definition: Definition) -> str:
    """`study` or `search`."""
    return type(definition).__name__.lower()


def check_count(arms: int) -> None:
    """Raise UserError for more arms than a study can have."""
    if arms > MOST_ARMS:
        raise UserError(f"a study must have at most {MOST_ARMS:,} arms; got {arms:,}")


def check_looks(looks: Sequence[int]) -> None:
    """Raise UserError for numbers of seeds at which no study can be judged in turn."""
    rising = all(before < after for before, after in pairwise(looks))
    if not looks or not rising or looks[0] < 2 or looks[-1] > MOST_SEEDS:
        told = ",".join(map(str, looks)) or "none"
        raise UserError(
            f"looks must be numbers of seeds from 2 to {MOST_SEEDS:,}, each above the one before; "
            f"got {told}"
        )


def one_factor(factor: Factor) -> tuple[Arm, ...]:
    """An arm for each value of the factor."""
    return factorial((factor,))


def factorial(factors: tuple[Factor, ...]) -> tuple[Arm, ...]:
    """An arm for each combination of the factors' values, the last one changing fastest.

    Raises UserError for more than `MOST_ARMS`.
    """
    check_count(math.prod(len(factor.values) for factor in factors))
    axes = [[(factor.name, value) for value in factor.values] for factor in factors]
    return tuple(
        Arm(" / ".join(str(value) for _, value in params), params, params)
        for params in product(*axes)
    )


def named(
    configs: Iterable[tuple[str, FSMDConfig]], axis: str, base: FSMDConfig
) -> tuple[Arm, ...]:
    """An arm for each (name, configuration); `axis` is the Optuna parameter that names it.

    Every arm says each field in which any of them differs from the base, so that another base
    leaves them what they are. Raises UserError for a name that is there twice.
    """
    pairs = tuple(configs)
    models = dict(pairs)
    if twice := [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]:
        raise UserError(f"each arm must have a name of its own; got {', '.join(twice)} twice")
    varied = dict.fromkeys(name for config in models.values() for name in differing(config, base))
    return tuple(
        Arm(name, tuple((field, getattr(config, field)) for field in varied), ((axis, name),))
        for name, config in models.items()
    )


def models(names: Iterable[str], base: FSMDConfig) -> tuple[Arm, ...]:
    """An arm for each of these models of `MODELS`, of the base's sizes."""
    return named(((name, replace(base, **kind(name))) for name in names), "model", base)


def baselines(names: Iterable[str], axis: str = "model") -> tuple[Arm, ...]:
    """An arm for each of these names of `BASELINES`; `axis` is as in `named`."""
    return tuple(Arm(name, (), ((axis, name),), baseline=BASELINES[name]) for name in names)


def kind(model: str) -> dict[str, Any]:
    """The fields that tell the models of `MODELS` apart, as this one has them."""
    own = MODELS[model]
    return {name: getattr(own, name) for each in MODELS.values() for name in differing(each, own)}


def differing(config: FSMDConfig, base: FSMDConfig) -> tuple[str, ...]:
    """The fields in which a configuration differs from a base."""
    before, after = asdict(base), asdict(config)
    return tuple(name for name, value in after.items() if value != before[name])
