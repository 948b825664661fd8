"""What a search may choose from: parts of `AXES`, narrowed to what is worth trying.

A new space is one more value of `SPACES`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from fsmd.config import FM_MODES, GATED, MODELS, SHARINGS, TOWER_SHAPES
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError, alternatives
from fsmd.tasks import Task
from search_spaces.axes import WEIGHT, axis
from search_spaces.space import Choice, Space

_DEEP = replace(MODELS["fsmd"], tower_depth=3)
_KNOWN = (
    ("paper's best", replace(_DEEP, tower_shape="diamond", gate_depth=3, expert_count=10)),
    ("deep fsmd", _DEEP),
    *MODELS.items(),
)
"""The winners of Figs. 11 to 13 put together, FSMD with the towers of Fig. 11, and its models."""

_gated = (("sharing", GATED),)
_extraction = (("sharing", ("extraction",)),)
_shared = (("sharing", tuple(s for s in SHARINGS if s != "none")),)
_alone = (("sharing", ("none",)),)
_shaped = (("tower_depth", (2, 3, 4)),)
_two_layers = (("tower_depth", (2,)),)

_PAPER = Space(
    name="paper",
    base=_DEEP,
    choices=(
        Choice("tower_shape", axis("tower_shape", tuple(TOWER_SHAPES))),
        Choice("gate_depth", IntDistribution(1, 5)),
        Choice("expert_count", IntDistribution(2, 14, step=2)),
    ),
    models=_KNOWN,
)
"""Figs. 11 to 13."""

_ARCHITECTURE = Space(
    name="architecture",
    base=replace(MODELS["fsmd"], chain=False),
    choices=(
        Choice("sharing", axis("sharing", SHARINGS)),
        Choice("chain", axis("chain", (True, False)), _shared, needs="funnel"),
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
    ),
    models=_KNOWN,
)

_FULL = replace(
    _ARCHITECTURE,
    name="full",
    choices=(
        *_ARCHITECTURE.choices,
        Choice("learning_rate", FloatDistribution(1e-4, 1e-2, log=True)),
        Choice("dropout", FloatDistribution(0.0, 0.7)),
        Choice("batch_size", CategoricalDistribution((256, 512, 1024, 2048, 4096))),
        Choice("weight_decay", axis("weight_decay", ())),
        Choice(WEIGHT, FloatDistribution(0.1, 0.9), needs="several tasks"),
        Choice("balancing", axis("balancing", ()), _shared, needs="several tasks"),
    ),
)

SPACES: Mapping[str, Space] = MappingProxyType(
    {space.name: space for space in (_PAPER, _ARCHITECTURE, _FULL)}
)
"""Every space by its name, the smallest first; `space` gives that of a data set."""


def space(name: str, tasks: Sequence[Task], settings: TrainingSettings) -> Space:
    """The space of this name for a data set; UserError for an unknown name.

    tasks: the data set's; settings: how it is trained.
    """
    if name not in SPACES:
        raise UserError(f"no space {name!r}{alternatives(name, SPACES)}")
    return SPACES[name].on(tasks, settings)
