"""What may vary: each axis's whole domain, declared once.

A stored study's categorical domain cannot grow, so a study picks its levels, and a search its
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

from fsmd.config import BALANCINGS, FM_MODES, GATES, MODELS, SHARINGS, TOWER_SHAPES
from fsmd.errors import UserError
from search_spaces import Level

VARIANTS = (
    *("fsmd", "bias_tower", "dae", "fm_per_task", "bottom_first"),
    *("null_a", "null_b", "null_c", "null_d"),
)
"""Names of arms that no single field sets apart."""

WIDTHS = ("64", "128", "256", "512", "64-32", "128-64", "256-128", "512-256", "256-128-64")
"""Hidden widths, input side first, as text: a database gives a tuple back as a list."""

AXES: Mapping[str, BaseDistribution] = MappingProxyType(
    {
        "model": CategoricalDistribution(tuple(MODELS)),
        "variant": CategoricalDistribution(VARIANTS),
        "conflict": FloatDistribution(0.0, 1.0),
        "fm": CategoricalDistribution(FM_MODES),
        "sharing": CategoricalDistribution(SHARINGS),
        "chain": CategoricalDistribution((True, False)),
        "gate": CategoricalDistribution(GATES),
        "own_experts": IntDistribution(1, 64),
        "extraction_levels": IntDistribution(1, 4),
        "balancing": CategoricalDistribution(BALANCINGS),
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
        "first_weight": FloatDistribution(0.01, 0.99),
    }
)
"""`first_weight` is the first task's share of the tasks' weights; 0.5 weighs them alike."""


def axis(name: str, levels: tuple[Level, ...]) -> BaseDistribution:
    """The domain of an axis; UserError if a level lies outside it."""
    if name not in AXES:
        raise UserError(f"no axis {name!r}; there are {', '.join(AXES)}")
    domain = AXES[name]
    for level in levels:
        if not contains(domain, level):
            raise UserError(f"{name}={level!r} is outside its axis {domain}")
    return domain


def contains(domain: BaseDistribution, level: Level) -> bool:
    """Whether a level lies in a domain; 3.0 is not in one of whole numbers."""
    if isinstance(domain, CategoricalDistribution):
        return level in domain.choices
    if isinstance(domain, FloatDistribution):
        return isinstance(level, float) and domain.low <= level <= domain.high
    assert isinstance(domain, IntDistribution)
    inside = isinstance(level, int) and domain.low <= level <= domain.high
    return inside and (int(level) - domain.low) % domain.step == 0
