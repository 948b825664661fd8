"""What is stored of a study or a search: its definition and its plan, typed and whole.

A report needs these and nothing of today's catalog.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fsmd.config import FSMDConfig
from fsmd.data.schema import DataRef, Dataset
from fsmd.data.settings import TrainingSettings
from fsmd.runtime import Runtime
from fsmd.tasks import Target, Task, targets
from fsmd.training import Training
from studies.definition import Definition, Search, Study, definition_of, kind_of


@dataclass(frozen=True)
class DataFacts:
    """What a report says of a data set, without opening it."""

    name: str
    content_hash: str
    tasks: tuple[Task, ...]
    fields: int
    """Inputs, categorical and dense."""
    rows: Mapping[str, int]
    """train, valid and test."""
    reachable: Mapping[str, float] | None
    """Task -> its metric of the true probabilities on test; None where nobody knows them."""

    @classmethod
    def of(cls, data: Dataset) -> "DataFacts":
        """Of an encoded data set."""
        return cls(
            name=data.name,
            content_hash=data.content_hash,
            tasks=data.schema.tasks,
            fields=len(data.schema.categorical) + len(data.schema.dense),
            rows={"train": len(data.train), "valid": len(data.valid), "test": len(data.test)},
            reachable=dict(data.reachable) if data.reachable else None,
        )


@dataclass(frozen=True)
class PlannedArm:
    """An arm as its data set can train it."""

    name: str
    config: FSMDConfig
    """Complete: what the definition left open comes from the data set's settings."""
    data: str
    stream: int = 0


@dataclass(frozen=True)
class Plan:
    """What all trainings of a study or a search share, and a study's arms."""

    sets: tuple[DataFacts, ...]
    """The study's own data set first, then those that some arms bring."""
    settings: TrainingSettings
    """The data set's, with the epochs and the patience that were asked for."""
    seed: int
    runtime: Runtime
    code: str  # `code_version()`
    arms: tuple[PlannedArm, ...] = ()
    """Empty for a search, whose arms are found on the way."""
    same: tuple[tuple[str, str], ...] = ()
    """(arm left out, the arm that is the same model on this data)."""
    chain_dropped: bool = False
    """Whether some arm lost its chain, as no task of the data follows another."""

    @property
    def data(self) -> DataFacts:
        """The study's own data set."""
        return self.sets[0]

    @property
    def tasks(self) -> tuple[Task, ...]:
        """What is predicted."""
        return self.data.tasks

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is compared."""
        return targets(self.tasks)

    def facts(self, name: str) -> DataFacts:
        """Of the data set of this name; KeyError if there is none."""
        return {facts.name: facts for facts in self.sets}[name]

    def training(self, config: FSMDConfig, data: DataRef, seed: int) -> Training:
        """A training that shares what all of them share."""
        settings = self.settings
        return Training(config, data, seed, settings.epochs, settings.patience, self.runtime)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Plan":
        """Inverse of `dataclasses.asdict`, also after a walk through JSON."""
        sets = [{**s, "tasks": tuple(map(Task.from_dict, s["tasks"]))} for s in values["sets"]]
        arms = [{**a, "config": FSMDConfig.from_dict(a["config"])} for a in values["arms"]]
        own = {
            "sets": tuple(DataFacts(**each) for each in sets),
            "settings": TrainingSettings.from_dict(values["settings"]),
            "runtime": Runtime.from_dict(values["runtime"]),
            "arms": tuple(PlannedArm(**each) for each in arms),
            "same": tuple(map(tuple, values["same"])),
        }
        return cls(**{**values, **own})


@dataclass(frozen=True)
class StudyRecord:
    """A stored study or search."""

    name: str
    definition: Definition
    stated: Definition
    """The definition as it was when the study was planned: its claims, reference and margin."""
    plan: Plan
    created_at: str
    methods: tuple[Mapping[str, Any], ...] = ()
    """Of a search: each way it was run (`Search.METHOD`) once, the last one last."""
    planner: str | None = None

    @property
    def is_search(self) -> bool:
        """Whether it is a search."""
        return isinstance(self.definition, Search)

    @property
    def study(self) -> Study:
        """The definition of a study; TypeError for a search."""
        if not isinstance(self.definition, Study):
            raise TypeError(f"{self.name} is a search")
        return self.definition

    @property
    def search(self) -> Search:
        """The definition of a search; TypeError for a study."""
        if not isinstance(self.definition, Search):
            raise TypeError(f"{self.name} is a study")
        return self.definition

    def to_row(self) -> dict[str, Any]:
        """The columns of its row."""
        return {
            "name": self.name,
            "kind": kind_of(self.definition),
            "definition": self.definition.to_dict(),
            "stated": self.stated.to_dict(),
            "plan": asdict(self.plan),
            "methods": [dict(method) for method in self.methods],
            "created_at": self.created_at,
            "planner": self.planner,
        }

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> "StudyRecord":
        """Inverse of `to_row`."""
        own = {name: value for name, value in row.items() if name != "kind"}
        kind = row["kind"]
        own |= {name: definition_of(kind, row[name]) for name in ("definition", "stated")}
        own |= {"plan": Plan.from_dict(row["plan"]), "methods": tuple(row["methods"])}
        return cls(**own)
