"""One model of the paper is one value of `FSMDConfig`; imports no torch.

A model is a cell of `fm` x `sharing` x `chain` (PAPER section III); `MODELS` names eleven of them.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from types import MappingProxyType
from typing import Any

from fsmd.errors import UserError, listed, meant
from fsmd.tasks import Task, is_funnel, names

# Exponent of layer i of a tower, from its offset o = i - depth // 2: width_i = width * 2 ** e(o).
TOWER_SHAPES: Mapping[str, Callable[[int], int]] = MappingProxyType(
    {
        "constant": lambda offset: 0,
        "increasing": lambda offset: offset,
        "decreasing": lambda offset: -offset,
        "diamond": lambda offset: -abs(offset),
    }
)

FM_MODES = ("none", "linear", "shared", "per_task")
GATES = ("learned", "equal")
PRETRAINING = ("none", "dae")
BALANCINGS = ("fixed", "uncertainty", "gradnorm", "pcgrad")
SHARINGS = ("none", "embeddings", "bottom", "experts", "extraction")
GATED = ("experts", "extraction")
"""The sharings whose experts stand behind gates."""
OPEN = ("batch_size", "learning_rate", "dropout", "weight_decay")
"""Fields that may be None: the data set's settings decide them."""
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "fm": FM_MODES,
        "sharing": SHARINGS,
        "tower_shape": tuple(TOWER_SHAPES),
        "gate": GATES,
        "pretrain": PRETRAINING,
        "balancing": BALANCINGS,
    }
)
COUNTS = (
    *("embedding_size", "expert_count", "extraction_levels", "gate_depth", "gate_width"),
    *("tower_depth", "tower_width", "pretrain_epochs", "batch_size"),
)
TUPLES = ("bottom", "layers", "task_weights", "bias_fields", "pretrain_fields")


def tower_widths(shape: str, depth: int, width: int) -> tuple[int, ...]:
    """Hidden widths of a tower, input side first (paper, Fig. 11).

    >>> tower_widths("diamond", 3, 128)
    (64, 128, 64)
    """
    exponent = TOWER_SHAPES[shape]
    return tuple(round(width * 2.0 ** exponent(i - depth // 2)) for i in range(depth))


@dataclass(frozen=True)
class FSMDConfig:
    """Everything that determines a model and its optimiser.

    None leaves a field of `OPEN` to the data set's settings (`TrainingSettings.applied`). Raises
    `UserError` for a value or a combination that no model has.
    """

    fm: str = "shared"
    """none; linear (first order only); shared (Eq. 2, one scalar added to every task's logit);
    per_task (each task with its own first order, and a learned scale on the second)."""
    sharing: str = "extraction"
    """What the tasks share: none, embeddings, bottom (one MLP), experts (a gate per task),
    extraction (shared and own experts, Eqs. 8 and 9)."""
    chain: bool = True
    """Whether a task is conditional on the one it follows, as in ESMM (Eqs. 10 and 11)."""

    embedding_size: int = 4
    bottom: tuple[int, ...] = ()
    """Widths of a shared MLP in front of the experts; empty = the experts read the embeddings."""
    layers: tuple[int, ...] = (256, 128)
    """Hidden widths of the bottom, of each expert, or of each task's own network."""
    expert_count: int = 8
    """Experts that one task's gate weighs; with `extraction`, half are shared and half its own."""
    own_experts: int | None = None
    """How many of them are the task's own, with `extraction`; None is half."""
    extraction_levels: int = 1
    gate_depth: int = 1
    """Linear layers of a gate, the softmax layer included (1 is Eq. 4)."""
    gate_width: int = 64
    gate: str = "learned"
    """learned, or equal: every expert weighs the same and there is nothing to learn."""
    tower_shape: str = "decreasing"
    tower_depth: int = 2
    tower_width: int = 128
    batch_norm: bool = True
    dropout: float | None = None
    bias_fields: tuple[str, ...] = ()
    """Fields of a small tower against selection bias (Section II.C); empty = no such tower."""
    pretrain: str = "none"
    """Start of the embeddings: none, or dae (a denoising auto-encoder, Section II.C)."""
    pretrain_fields: tuple[str, ...] = ()
    """Fields that the auto-encoder reads; empty = all categorical ones."""
    pretrain_epochs: int = 1

    learning_rate: float | None = None
    weight_decay: float | None = None
    """Decoupled, as in AdamW; with 0 the optimiser is Adam."""
    batch_size: int | None = None
    task_weights: tuple[float, ...] = ()
    """Of the tasks' losses; empty = each task's own."""
    balancing: str = "fixed"
    """How the weighted losses are joined: fixed (their sum), uncertainty, gradnorm, pcgrad."""

    def __post_init__(self) -> None:
        """Refuse values that no model has."""
        for name in TUPLES:  # JSON brings lists
            if not isinstance(getattr(self, name), tuple | list):
                raise UserError(f"`{name}` must be a tuple; got {getattr(self, name)!r}")
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for fault in _faults(self):
            raise UserError(fault)
        for name in ("dropout", "learning_rate", "weight_decay"):  # 0 and 0.0 are one training
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(getattr(self, name)))
        object.__setattr__(self, "task_weights", tuple(map(float, self.task_weights)))

    @property
    def separate(self) -> bool:
        """Whether each task is a model of its own: it shares nothing and follows no other."""
        return self.sharing == "none" and not self.chain

    @property
    def own_count(self) -> int:
        """Experts of each task's own; 0 where the tasks share all."""
        if self.sharing != "extraction":
            return 0
        return self.expert_count // 2 if self.own_experts is None else self.own_experts

    @property
    def tower_dims(self) -> tuple[int, ...]:
        """Hidden widths of each task's tower."""
        return tower_widths(self.tower_shape, self.tower_depth, self.tower_width)

    @property
    def left_open(self) -> tuple[str, ...]:
        """The fields that the data set's settings are to decide."""
        return tuple(name for name in OPEN if getattr(self, name) is None)

    def to_json(self) -> str:
        """The canonical JSON of this value: sorted keys, no blanks."""
        return canonical_json(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FSMDConfig":
        """Inverse of `dataclasses.asdict`; unknown names are an error."""
        known = {field.name for field in fields(cls)}
        for name in values:
            if name not in known:
                listed = ", ".join(sorted(known))
                raise UserError(f"no field {name!r} in FSMDConfig; it has {listed}")
        return cls(**values)


def canonical_json(value: Any) -> str:
    """JSON that is the same for equal values: sorted keys, no blanks, no NaN."""
    return _CANONICAL.encode(value)


_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of `value`."""
    return text_digest(canonical_json(value))


def text_digest(text: str) -> str:
    """SHA-256 (hex) of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def _faults(config: FSMDConfig) -> Iterator[str]:
    """What is wrong, the values before what they mean together."""
    yield from _wrong_values(config)
    yield from _wrong_experts(config)
    yield from _wrong_combinations(config)


def _wrong_values(config: FSMDConfig) -> Iterator[str]:
    for name, allowed in CHOICES.items():
        if getattr(config, name) not in allowed:
            value = getattr(config, name)
            near = meant(value, allowed)
            yield f"`{name}` must be one of {listed(allowed)}; got {value!r}{near}"
    for name in COUNTS:
        value = getattr(config, name)
        if not (_is_count(value) or (name in OPEN and value is None)):
            yield f"`{name}` must be a whole number of at least 1; got {value!r}"
    if config.tower_depth > 64:  # widths double from layer to layer
        yield f"`tower_depth` must be at most 64; got {config.tower_depth}"
    for name in ("bottom", "layers"):
        if not all(map(_is_count, getattr(config, name))):
            yield f"`{name}` must hold whole numbers of at least 1; got {getattr(config, name)}"
    if not config.layers:
        yield "`layers` must hold at least one width; got none"
    for name in ("chain", "batch_norm"):
        if not isinstance(getattr(config, name), bool):
            yield f"`{name}` must be True or False; got {getattr(config, name)!r}"
    dropout, rate, decay = config.dropout, config.learning_rate, config.weight_decay
    if dropout is not None and not (_is_number(dropout) and 0 <= dropout <= 0.99):
        yield f"`dropout` must lie between 0 and 0.99; got {dropout!r}"
    if rate is not None and not (_is_number(rate) and 0 < rate < math.inf):
        yield f"`learning_rate` must be a number above 0 and finite; got {rate!r}"
    if decay is not None and not (_is_number(decay) and 0 <= decay < 1):
        yield f"`weight_decay` must be at least 0 and below 1; got {decay!r}"
    weights = config.task_weights
    if not all(_is_number(w) and 0 <= w < math.inf for w in weights):
        yield f"`task_weights` must be numbers >= 0; got {weights}"
    if weights and not sum(weights):
        yield f"`task_weights` must be >= 0 and not all zero; got {weights}"


def _wrong_experts(config: FSMDConfig) -> Iterator[str]:
    own, count, extraction = (
        config.own_experts,
        config.expert_count,
        config.sharing == "extraction",
    )
    if own is not None and not extraction:
        yield f"`own_experts` needs sharing='extraction'; got sharing={config.sharing!r}"
    if own is not None and not (_is_count(own) and own <= count):
        yield (
            f"`own_experts` must be a whole number from 1 to `expert_count` ({count}), or None "
            f"for half; got {own!r}"
        )
    if own is None and extraction and count % 2:
        even = " or ".join(str(n) for n in sorted({max(2, count - 1), count + 1}))
        yield (
            "`expert_count` must be even for sharing='extraction' (half shared, half own), "
            f"got {count}; use {even}, or sharing='experts', or set `own_experts`"
        )


def _wrong_combinations(config: FSMDConfig) -> Iterator[str]:
    if config.batch_norm and config.batch_size == 1:
        yield "`batch_size` must be at least 2 with batch norm; got 1"
    if min(config.tower_dims) < 1:
        yield (
            f"`tower_width` {config.tower_width} is too small for a {config.tower_shape} tower of "
            f"depth {config.tower_depth}: a layer would have width {min(config.tower_dims)}; "
            f"use at least {2**config.tower_depth}"
        )
    if config.balancing in ("gradnorm", "pcgrad") and config.sharing == "none":
        yield (
            f"`balancing`={config.balancing!r} works on what the tasks share, but sharing='none' "
            "shares nothing; use another sharing, or balancing='fixed'"
        )
    if config.balancing != "fixed" and not all(config.task_weights):
        yield (
            f"`balancing`={config.balancing!r} needs every task's weight above 0; got "
            f"`task_weights`={config.task_weights}; use balancing='fixed'"
        )
    if config.pretrain_fields and config.pretrain == "none":
        yield "`pretrain_fields` needs pretrain='dae'; got pretrain='none'"
    if config.sharing != "extraction" and config.extraction_levels != 1:
        yield (
            "`extraction_levels` above 1 needs sharing='extraction'; got "
            f"{config.extraction_levels} levels with sharing={config.sharing!r}"
        )
    if config.bottom and config.sharing not in GATED:
        yield (
            f"`bottom` stands in front of experts, but sharing={config.sharing!r} has none; "
            f"use sharing={' or '.join(map(repr, GATED))}, or change `layers`"
        )


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def check_fits(config: FSMDConfig, tasks: Sequence[Task]) -> None:
    """Raise `UserError` for a chain without a funnel, or a wrong number of task weights."""
    listed = ", ".join(names(tasks))
    if config.task_weights and len(config.task_weights) != len(tasks):
        raise UserError(
            f"`task_weights` must hold one weight for each of the tasks {listed}, or none; "
            f"got {len(config.task_weights)}"
        )
    if config.chain and not is_funnel(tasks):
        raise UserError(
            f"`chain` needs tasks of which one follows another, but none of {listed} does: "
            "a row can have each without the others; use chain=False"
        )


def fitted(config: FSMDConfig, tasks: Sequence[Task]) -> FSMDConfig:
    """The same model as these tasks can have it.

    Where no task follows another there is no chain (FSMD becomes FS). A single task shares no
    embeddings with another (ESMM becomes a network for one task).
    """
    chain = config.chain and is_funnel(tasks)
    alone = len(tasks) == 1 and config.sharing == "embeddings"
    sharing = "none" if alone else config.sharing
    if (chain, sharing) == (config.chain, config.sharing):
        return config
    return replace(config, chain=chain, sharing=sharing)


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
