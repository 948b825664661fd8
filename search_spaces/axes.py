"""What may vary: each axis's whole domain, declared once.

A stored study's categorical domain cannot grow, so a study picks its values, and a search its
space, from a domain that already holds every value the model takes.
"""

from collections.abc import Mapping
from types import MappingProxyType

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from fsmd.config import BALANCINGS, FM_MODES, GATES, PRETRAINING, SHARINGS, TOWER_SHAPES
from fsmd.errors import UserError, alternatives
from search_spaces import Value

WIDTHS = ("64", "128", "256", "512", "64-32", "128-64", "256-128", "512-256", "256-128-64")
"""Hidden widths, input side first, as text: a database gives a tuple back as a list."""

WEIGHT = "weight"
"""The axis of a task's weight is `weight:TASK`: its share of what the tasks before it leave."""

AXES: Mapping[str, BaseDistribution] = MappingProxyType(
    {
        "fm": CategoricalDistribution(FM_MODES),
        "sharing": CategoricalDistribution(SHARINGS),
        "chain": CategoricalDistribution((True, False)),
        "gate": CategoricalDistribution(GATES),
        "own_experts": IntDistribution(1, 64),
        "extraction_levels": IntDistribution(1, 4),
        "balancing": CategoricalDistribution(BALANCINGS),
        "batch_norm": CategoricalDistribution((True, False)),
        "pretrain": CategoricalDistribution(PRETRAINING),
        "pretrain_epochs": IntDistribution(1, 100),
        "tower_shape": CategoricalDistribution(tuple(TOWER_SHAPES)),
        "tower_depth": IntDistribution(1, 6),
        "tower_width": IntDistribution(16, 512, step=16),
        "gate_depth": IntDistribution(1, 8),
        "gate_width": IntDistribution(16, 256, step=16),
        "expert_count": IntDistribution(2, 64, step=2),
        "layers": CategoricalDistribution(WIDTHS),
        "bottom": CategoricalDistribution(("none", *WIDTHS)),
        "embedding_size": IntDistribution(1, 64),
        "learning_rate": FloatDistribution(1e-5, 1e-1, log=True),
        "dropout": FloatDistribution(0.0, 0.9),
        "batch_size": CategoricalDistribution((64, 128, 256, 512, 1024, 2048, 4096, 8192)),
        "weight_decay": CategoricalDistribution((0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)),
        WEIGHT: FloatDistribution(0.01, 0.99),
    }
)
"""Fields of `FSMDConfig`, and `WEIGHT`."""


def weight_axis(task: str) -> str:
    """The axis of a task's weight.

    >>> weight_axis("click")
    'weight:click'
    """
    return f"{WEIGHT}:{task}"


def axis(name: str, values: tuple[Value, ...]) -> BaseDistribution:
    """The domain of an axis; UserError if a value lies outside it."""
    domain = AXES.get(WEIGHT if name.startswith(f"{WEIGHT}:") else name)
    if domain is None:
        raise UserError(f"no axis {name!r}{alternatives(name, AXES)}")
    for value in values:
        if not contains(domain, value):
            raise UserError(f"{name}={value!r} is outside its axis {domain}")
    return domain


def contains(domain: BaseDistribution, value: Value) -> bool:
    """Whether a value lies in a domain; 3.0 is not in one of whole numbers."""
    if isinstance(domain, CategoricalDistribution):
        return value in domain.choices
    if isinstance(domain, FloatDistribution):
        return isinstance(value, float) and domain.low <= value <= domain.high
    assert isinstance(domain, IntDistribution)
    inside = isinstance(value, int) and domain.low <= value <= domain.high
    return inside and (int(value) - domain.low) % domain.step == 0
