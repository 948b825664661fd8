"""What is asked of a run, as a value."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from fsmd.data.schema import Dataset
from fsmd.data.settings import TrainingSettings
from fsmd.errors import UserError
from fsmd.runtime import MOST_STACKED
from studies.definition import MOST_SEEDS, Definition, Study, check_looks
from studies.options import DEFAULT_OUT, DEFAULT_STORAGE, check_range
from studies.store.faults import shown
from studies.workers.local import processors
from studies.workers.protocol import SILENCE_SECONDS

RANGES = {
    "replicates": (1, MOST_SEEDS),
    "epochs": (1, 1_000_000),
    "patience": (1, 1_000_000),
    "workers": (1, 10_000),
    "stack": (1, MOST_STACKED),
    "seed": (0, 2**63 - 1),
}
"""Option -> the least and the most of it: more is a mistake, or takes all memory."""


@dataclass(frozen=True)
class Request:
    """What is to be run, and how; None means the definition's or the data set's own."""

    definition: Definition
    default: Definition | None = None
    """The definition as the catalog has it, where options changed it."""
    data: str | None = None
    memory: int | None = None
    """Bytes that encoding the data may take."""
    replicates: int | Literal["auto"] | None = None
    """Seeds of every arm; auto: look by look, to the arms of which something is open; None: those
    of the first look."""
    looks: tuple[int, ...] | None = None
    """The numbers of seeds at which a study is judged; None: as it was stated, else its own."""
    resample_train: bool = False
    """Whether each replicate of a study trains on a half of train, the same for every arm."""
    margin: tuple[tuple[str, float], ...] = ()
    """(metric, smallest difference that matters) of a study; empty: as they were stated, else its
    own."""
    epochs: int | None = None
    patience: int | None = None
    workers: int | None = None
    cluster: str | None = None
    """Where to train, if not on this machine: a Dask scheduler's address or file, or local:N."""
    storage: str = DEFAULT_STORAGE
    out: Path = DEFAULT_OUT
    device: str = "auto"
    precision: str = "auto"
    stack: int | None = None
    """Trainings that are one program; None: the study's, else of a GPU as many as there can be."""
    seed: int = 0
    name: str | None = None
    """To store it under, where not under its own."""
    retry_failed: bool = False
    silence: float = SILENCE_SECONDS
    """Seconds that a training may tell nothing; see `studies.planner.silence`."""
    have: str | None = None
    """The arm that the user has: the report's answer compares with it."""
    picks: tuple[str, ...] = ()
    """Rules by which a search's report picks, beside its own."""
    budget: float | None = None
    """Seconds for all of an automatic search, or of a study with `replicates` auto."""
    plan: Path | None = None
    """The file of an automatic search's plan, to run the same again."""

    def check(self) -> None:
        """Raise UserError for a number that no run can have."""
        for option, (least, most) in RANGES.items():
            value = getattr(self, option)
            if isinstance(value, int | float):
                check_range(f"--{option}", value, least, most)
        if self.looks is not None:
            check_looks(self.looks)
        is_study = isinstance(self.definition, Study)
        if is_study and self.budget is not None and self.replicates != "auto":
            raise UserError("--budget of a study goes with --replicates auto, which it ends")

    def seeds(self, looks: Sequence[int]) -> int:
        """The most seeds that an arm of a study is trained with.

        looks: the study's.
        """
        return looks[-1] if self.replicates == "auto" else self.replicates or looks[0]

    def most(self, stack: int) -> int:
        """How many trainings, or stacks of so many, run at once at most.

        Here stacks take the GPU in turn. A cluster's workers say how many they take.
        """
        if self.cluster is not None:
            return RANGES["workers"][1]
        return self.workers or (1 if stack > 1 else processors())

    @property
    def of_this_run(self) -> str:
        """Options, as they are typed, that no stored study has: where it is kept and trained.

        A password is shown as ***, in whose place it is to be put.
        """
        places = (
            ("--storage", shown(self.storage) if self.storage != DEFAULT_STORAGE else None),
            ("--out", str(self.out) if self.out != DEFAULT_OUT else None),
            ("--cluster", self.cluster),
        )
        return shlex.join(word for pair in places if pair[1] for word in pair if word)

    def settings(self, data: Dataset) -> TrainingSettings:
        """The data set's, with the epochs and the patience that were asked for."""
        return replace(
            data.settings,
            epochs=self.epochs or data.settings.epochs,
            patience=self.patience or data.settings.patience,
        )
