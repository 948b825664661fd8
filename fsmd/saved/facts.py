"""What is known of a model besides itself: figures.json, of which the model card is the prose."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ModelFigure:
    """One metric of one task on one split, at the chosen epochs."""

    split: str
    """valid or test."""
    task: str
    metric: str
    this: float | None
    """Of this very training; None where it was not measured, or where it says nothing."""
    mean: float | None = None
    """Over the replicates of the same configuration; None without any."""
    low: float | None = None
    high: float | None = None
    """Of the 95 % interval of the mean; None with one replicate."""
    replicates: int = 0


@dataclass(frozen=True)
class ModelFacts:
    """Plain values alone, so that figures.json holds all of it."""

    study: str
    """The stored name of the study or search that the model is from."""
    kind: str
    """study or search."""
    question: str
    """That it asked."""
    arm: str
    pick: str
    """The rule that chose the arm, as it was asked for."""
    why: str
    """The same in words."""
    replicate: int
    refit: str | None
    """What it was trained on, where that is more than train."""
    half: int | None
    """Rows of train that each training of the study saw, where that is half of them."""
    command: str
    """That repeats the export."""
    data: str
    content_hash: str
    asked: str
    """What --data was."""
    licence: str | None
    """Of the data, as far as its description says."""
    rows: Mapping[str, int]
    """Of train, valid and test."""
    rates: Mapping[str, Mapping[str, float]]
    """Split -> task -> its mean label among the rows on which it is observed."""
    chosen_epochs: Mapping[str, int]
    figures: tuple[ModelFigure, ...]
    equal: bool | None
    """Whether training again gave the stored figures bit for bit; None where that says nothing."""
    farthest: float | None
    """The largest difference of a figure to the stored one."""
    parameters: int
    latency: float | None
    """Milliseconds to score 1,000 encoded rows on one thread, as the study measured it."""
    seconds: float | None
    """Of one training of the study, in the median."""
    machine: str
    """On which the model was trained."""
    licence_of_model: str

    def to_json(self) -> str:
        """Inverse of `from_json`."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "ModelFacts":
        """KeyError, TypeError or ValueError for what `to_json` never wrote."""
        values: dict[str, Any] = json.loads(text)
        figures = tuple(ModelFigure(**figure) for figure in values.pop("figures"))
        return cls(**values, figures=figures)
