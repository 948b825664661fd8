"""One baseline is one value of `Baseline`; imports no library that trains one."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from types import MappingProxyType
from typing import Any

from fsmd.config import FSMDConfig, canonical_json
from fsmd.errors import UserError, alternatives

_BOOSTED = {"learning_rate": 0.1, "leaves": 31, "min_rows": 20, "smoothing": 20.0}
KINDS: Mapping[str, Mapping[str, float]] = MappingProxyType(
    {
        "constant": {},
        "logistic": {"l2": 1.0},
        "trees": _BOOSTED,
        "lightgbm": _BOOSTED,
        "catboost": {"learning_rate": 0.1, "depth": 6, "smoothing": 20.0},
    }
)
"""Kind -> its settings, as they are where a `Baseline` says nothing."""


@dataclass(frozen=True)
class Baseline:
    """Everything that determines a simple model; each task is a model of its own.

    None stands for the default of a setting that the kind has (`KINDS`), and is what a setting
    has that is none of the kind's. Raises `UserError` for a value that no baseline has.
    """

    kind: str
    """constant (the rate of train), logistic (a regression on one-hot ids and numbers), trees
    (gradient boosting by scikit-learn), lightgbm, catboost (the same by those libraries)."""
    l2: float | None = None
    """Half the squares of all weights times this are added to the sum of the rows' losses."""
    learning_rate: float | None = None
    """How much of each tree is added."""
    leaves: int | None = None
    """Of a tree, at most."""
    depth: int | None = None
    """Of a tree whose level has one split each."""
    min_rows: int | None = None
    """Of a leaf, at least."""
    smoothing: float | None = None
    """Rows of the task's mean that are added to those of each id, where its mean is taken."""

    def __post_init__(self) -> None:
        """Refuse values that no baseline has; fill in what is left to the kind."""
        if not isinstance(self.kind, str) or self.kind not in KINDS:
            raise UserError(f"no baseline {self.kind!r}{alternatives(str(self.kind), KINDS)}")
        own = KINDS[self.kind]
        for name in (field.name for field in fields(self)[1:]):
            value = getattr(self, name)
            if name not in own and value is not None:
                listed = ", ".join(own) or "none"
                raise UserError(f"`{name}` is no setting of {self.kind}; it has {listed}")
            if name in own and value is None:
                object.__setattr__(self, name, own[name])
        for fault in _faults(self):
            raise UserError(fault)
        for name in ("l2", "learning_rate", "smoothing"):  # 1 and 1.0 are one training
            if getattr(self, name) is not None:
                object.__setattr__(self, name, float(getattr(self, name)))

    @property
    def left_open(self) -> tuple[str, ...]:
        """The fields that the data set's settings are to decide: none."""
        return ()

    def to_json(self) -> str:
        """The canonical JSON of this value: sorted keys, no blanks."""
        return canonical_json(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Baseline":
        """Inverse of `dataclasses.asdict`."""
        return cls(**values)


_RANGES: Mapping[str, tuple[str, Callable[[float], bool]]] = MappingProxyType(
    {
        "l2": ("a finite number of at least 0", lambda x: 0 <= x < math.inf),
        "learning_rate": ("a number above 0, 1 at most", lambda x: 0 < x <= 1),
        "leaves": (
            "a whole number from 2 to 1024",
            lambda x: isinstance(x, int) and 2 <= x <= 1024,
        ),
        "depth": ("a whole number from 1 to 12", lambda x: isinstance(x, int) and 1 <= x <= 12),
        "min_rows": ("a whole number of at least 1", lambda x: isinstance(x, int) and x >= 1),
        "smoothing": ("a finite number of at least 0", lambda x: 0 <= x < math.inf),
    }
)


def _faults(baseline: Baseline) -> Iterator[str]:
    for name, (rule, holds) in _RANGES.items():
        value = getattr(baseline, name)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if value is not None and not (number and holds(value)):
            yield f"`{name}` must be {rule}; got {value!r}"


BASELINES: Mapping[str, Baseline] = MappingProxyType({kind: Baseline(kind) for kind in KINDS})
"""Each kind with its own settings."""

Config = FSMDConfig | Baseline
"""What can be trained."""


def config_class(values: Mapping[str, Any]) -> type[FSMDConfig] | type[Baseline]:
    """Of which class `dataclasses.asdict` made these values: a baseline alone has a kind."""
    return Baseline if "kind" in values else FSMDConfig
