"""What is taken home: an arm, why it was chosen, and what its study measured of it."""

from collections.abc import Mapping
from dataclasses import dataclass

from fsmd.saved.facts import ModelFigure
from studies.store.records import PlannedArm, StudyRecord


@dataclass(frozen=True)
class ChosenArm:
    """One arm, why it was chosen, and its trainings in figures."""

    record: StudyRecord
    arm: PlannedArm
    why: str
    replicate: int
    """The one that is trained again."""
    run_id: str
    """Identity of its stored training."""
    stored: Mapping[tuple[str, str, str], float]
    """(split, task, metric) -> the figure that it had at its chosen epochs."""
    figures: tuple[ModelFigure, ...]
    """Means over the replicates, each with `this` of the stored training."""
    latency: float | None
    seconds: float
