"""What may vary: each axis's whole domain, declared once.

A stored study's categorical domain cannot grow, so a study picks its levels from a domain that
already holds every value the model takes.
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

VARIANTS = (
    *("fsmd", "bias_tower", "dae", "fm_per_task", "bottom_first"),
    *("null_a", "null_b", "null_c", "null_d"),
)
"""Names of arms that no single field sets apart."""

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
        "gate_depth": IntDistribution(1, 8),
        "expert_count": IntDistribution(2, 64, step=2),
    }
)


def axis(name: str, levels: tuple[str | int | float | bool, ...]) -> BaseDistribution:
    """The domain of an axis; UserError if a level lies outside it."""
    if name not in AXES:
        raise UserError(f"no axis {name!r}; there are {', '.join(AXES)}")
    domain = AXES[name]
    for level in levels:
        if not _contains(domain, level):
            raise UserError(f"{name}={level!r} is outside its axis {domain}")
    return domain


def _contains(domain: BaseDistribution, level: str | int | float | bool) -> bool:
    if isinstance(domain, CategoricalDistribution):
        return level in domain.choices
    if isinstance(domain, FloatDistribution):
        return isinstance(level, float) and domain.low <= level <= domain.high
    assert isinstance(domain, IntDistribution)
    inside = isinstance(level, int) and domain.low <= level <= domain.high
    return inside and (int(level) - domain.low) % domain.step == 0
