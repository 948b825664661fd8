"""One model of the paper is one value of `FSMDConfig`; imports no torch.

A model is a cell of `fm` x `sharing` x `chain` (PAPER section III); `MODELS` names eleven of them.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from fsmd.errors import UserError

# Exponent of layer i of a tower, from its offset o = i - depth // 2: width_i = width * 2 ** e(o).
TOWER_SHAPES: Mapping[str, Callable[[int], int]] = MappingProxyType(
    {
        "constant": lambda offset: 0,
        "increasing": lambda offset: offset,
        "decreasing": lambda offset: -offset,
        "diamond": lambda offset: -abs(offset),
    }
)

FM_MODES = ("none", "linear", "shared")
SHARINGS = ("none", "embeddings", "bottom", "experts", "extraction")
_GATED = ("experts", "extraction")


def tower_widths(shape: str, depth: int, width: int) -> tuple[int, ...]:
    """Hidden widths of a tower, input side first (paper, Fig. 11).

    >>> tower_widths("diamond", 3, 128)
    (64, 128, 64)
    """
    exponent = TOWER_SHAPES[shape]
    return tuple(round(width * 2.0 ** exponent(i - depth // 2)) for i in range(depth))


@dataclass(frozen=True)
class FSMDConfig:
    """Everything that determines a model and its optimiser; validated on creation.

    Raises `UserError` for a value or a combination that no model has.
    """

    fm: str = "shared"
    """none; linear (first order only); shared (Eq. 2, one scalar added to every task's logit)."""
    sharing: str = "extraction"
    """What the tasks share: none, embeddings, bottom (one MLP), experts (a gate per task),
    extraction (shared and own experts, Eqs. 8 and 9)."""
    chain: bool = True
    """Whether task k+1 is conditional on task k as in ESMM (Eqs. 10 and 11)."""

    embedding_size: int = 4
    bottom: tuple[int, ...] = ()
    """Widths of a shared MLP in front of the experts; empty = the experts read the embeddings."""
    layers: tuple[int, ...] = (256, 128)
    """Hidden widths of the bottom, of each expert, or of each task's own network."""
    expert_count: int = 8
    """Experts that one task's gate weighs; with `extraction`, half are shared and half its own."""
    extraction_levels: int = 1
    gate_depth: int = 1
    """Linear layers of a gate, the softmax layer included (1 is Eq. 4)."""
    gate_width: int = 64
    tower_shape: str = "decreasing"
    tower_depth: int = 2
    tower_width: int = 128
    batch_norm: bool = True
    dropout: float = 0.0

    learning_rate: float = 0.001
    batch_size: int = 2048
    task_weights: tuple[float, ...] = (1.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse values that no model has."""
        for name in ("bottom", "layers", "task_weights"):  # JSON brings lists
            object.__setattr__(self, name, tuple(getattr(self, name)))
        _check_choices(self)
        _check_numbers(self)
        _check_combinations(self)

    @property
    def tower_dims(self) -> tuple[int, ...]:
        """Hidden widths of each task's tower."""
        return tower_widths(self.tower_shape, self.tower_depth, self.tower_width)

    def to_json(self) -> str:
        """The canonical JSON of this value: sorted keys, no blanks."""
        return canonical_json(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FSMDConfig":
        """Inverse of `dataclasses.asdict`; unknown names are an error."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                raise UserError(f"no field {name!r} in FSMDConfig; it has {_listed(known)}")
        return cls(**values)


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values: sorted keys, no blanks, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def _listed(names: Any) -> str:
    return ", ".join(sorted(names))


def _check_choices(config: FSMDConfig) -> None:
    choices = {"fm": FM_MODES, "sharing": SHARINGS, "tower_shape": tuple(TOWER_SHAPES)}
    for name, allowed in choices.items():
        value = getattr(config, name)
        if value not in allowed:
            raise UserError(f"`{name}` must be one of {', '.join(allowed)}; got {value!r}")


def _check_numbers(config: FSMDConfig) -> None:
    counts = ("embedding_size", "expert_count", "extraction_levels", "gate_depth", "gate_width")
    for name in (*counts, "tower_depth", "tower_width", "batch_size"):
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UserError(f"`{name}` must be a whole number of at least 1; got {value!r}")
    for name in ("bottom", "layers"):
        if any(not isinstance(width, int) or width < 1 for width in getattr(config, name)):
            raise UserError(
                f"`{name}` must hold whole numbers of at least 1; got {getattr(config, name)}"
            )
    if not config.layers:
        raise UserError("`layers` must hold at least one width; got none")
    if config.batch_norm and config.batch_size < 2:
        raise UserError("`batch_size` must be at least 2 with batch norm; got 1")
    if not 0 <= config.dropout < 1:
        raise UserError(f"`dropout` must be at least 0 and below 1; got {config.dropout}")
    if not 0 < config.learning_rate < float("inf"):
        raise UserError(f"`learning_rate` must be above 0 and finite; got {config.learning_rate}")
    weights = config.task_weights
    if not weights or min(weights) < 0 or not 0 < sum(weights) < float("inf"):
        raise UserError(f"`task_weights` must be >= 0 and not all zero; got {weights}")
    if min(config.tower_dims) < 1:
        raise UserError(
            f"`tower_width` {config.tower_width} is too small for a {config.tower_shape} tower of "
            f"depth {config.tower_depth}: a layer would have width {min(config.tower_dims)}; "
            f"use at least {2**config.tower_depth}"
        )


def _check_combinations(config: FSMDConfig) -> None:
    if config.sharing == "extraction" and config.expert_count % 2:
        count = config.expert_count
        even = " or ".join(str(n) for n in sorted({max(2, count - 1), count + 1}))
        raise UserError(
            "`expert_count` must be even for sharing='extraction' (half shared, half own), "
            f"got {count}; use {even}, or sharing='experts'"
        )
    if config.sharing != "extraction" and config.extraction_levels != 1:
        raise UserError(
            "`extraction_levels` above 1 needs sharing='extraction'; got "
            f"{config.extraction_levels} levels with sharing={config.sharing!r}"
        )
    if config.bottom and config.sharing not in _GATED:
        raise UserError(
            f"`bottom` stands in front of experts, but sharing={config.sharing!r} has none; "
            f"use sharing={' or '.join(map(repr, _GATED))}, or change `layers`"
        )
    if config.chain and len(config.task_weights) < 2:
        raise UserError("`chain` needs at least two tasks; got one task weight")


def check_fits(config: FSMDConfig, tasks: tuple[str, ...], funnel: bool) -> None:
    """Refuse a model that the data's tasks cannot carry.

    Raises `UserError` for a chain without a funnel, or for a wrong number of task weights.
    """
    if len(config.task_weights) != len(tasks):
        raise UserError(
            f"`task_weights` must hold one weight for each of the tasks {', '.join(tasks)}; "
            f"got {len(config.task_weights)}"
        )
    if config.chain and not funnel:
        raise UserError(
            f"`chain` needs tasks that form a funnel, but {' and '.join(tasks)} do not: "
            "a row can have the later without the earlier; use chain=False"
        )


def fitted(config: FSMDConfig, funnel: bool) -> FSMDConfig:
    """The same model without its chain where the tasks form no funnel (FSMD becomes FS)."""
    return config if funnel else replace(config, chain=False)


_FSMD = FSMDConfig()

MODELS: Mapping[str, FSMDConfig] = MappingProxyType(
    {
        "single_task": replace(_FSMD, fm="none", sharing="none", chain=False),
        "deepfm": replace(_FSMD, sharing="none", chain=False),
        "wide_deep": replace(_FSMD, fm="linear", sharing="none", chain=False),
        "shared_bottom": replace(_FSMD, fm="none", sharing="bottom", chain=False),
        "esmm": replace(_FSMD, fm="none", sharing="embeddings"),
        "mmoe": replace(_FSMD, fm="none", sharing="experts", chain=False),
        "ple": replace(_FSMD, fm="none", extraction_levels=2, chain=False),
        "base": replace(_FSMD, sharing="bottom", chain=False),
        "fg": replace(_FSMD, sharing="experts", chain=False),
        "fs": replace(_FSMD, chain=False),
        "fsmd": _FSMD,
    }
)
