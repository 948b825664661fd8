"""What is stored of a study or a search: its definition and its plan, typed and whole.

A report needs these and nothing of today's catalog.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fsmd.baselines import Config
from fsmd.config import FSMDConfig, check_fits, digest
from fsmd.data.schema import DataRef, Dataset
from fsmd.data.settings import TrainingSettings
from fsmd.errors import shown
from fsmd.metrics import METRICS
from fsmd.runtime import Runtime
from fsmd.tasks import Target, Task, check_tasks, names, targets
from fsmd.training import Training
from studies.definition import (
    LOOKS,
    Definition,
    Search,
    Study,
    check_looks,
    definition_of,
    kind_of,
)
from studies.reading import check_time, from_json, read_row, stored_at


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
    asked: str | None = None
    """What `--data` was, where that is not the name."""

    def __post_init__(self) -> None:
        """Raise ValueError for what no data set is."""
        check_tasks(self.tasks)
        if set(self.rows) != {"train", "valid", "test"} or min(self.rows.values()) < 0:
            raise ValueError(
                f"rows must be those of train, valid and test, 0 at least; got {dict(self.rows)}"
            )
        if self.fields < 0 or not self.name or not self.content_hash:
            raise ValueError("a data set must have a name, a content hash and a number of fields")
        if self.reachable is not None:
            if set(self.reachable) != set(names(self.tasks)):
                raise ValueError(f"reachable must be of the tasks; got {shown(self.reachable)}")
            for task in self.tasks:
                METRICS[task.metric].check(self.reachable[task.name])

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
            asked=data.asked,
        )


@dataclass(frozen=True)
class PlannedArm:
    """An arm as its data set can train it."""

    name: str
    config: Config
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
    """Of a search its baselines alone: the other arms are found on the way."""
    same: tuple[tuple[str, str], ...] = ()
    """(arm left out, the arm that is the same model on this data)."""
    chain_dropped: bool = False
    """Whether some arm lost its chain, as no task of the data follows another."""
    halves: bool = False
    """Whether each replicate trains on a half of train, the same for every arm (`fsmd.half`)."""

    def __post_init__(self) -> None:
        """Raise ValueError for a plan by which nothing could be trained."""
        sets, arms = [facts.name for facts in self.sets], [arm.name for arm in self.arms]
        for what, each in (("sets", sets), ("arms", arms)):
            if len(set(each)) < len(each):
                raise ValueError(f"{what} must have a name each; got {shown(each)}")
        if len({facts.tasks for facts in self.sets}) != 1:
            raise ValueError("sets must be at least one, and all of the same tasks")
        if self.seed < 0:
            raise ValueError(f"seed must be at least 0; got {self.seed}")
        for arm in self.arms:
            if arm.data not in sets or arm.stream < 0 or arm.config.left_open:
                raise ValueError(
                    f"arm {arm.name!r} must be complete, on one of the data sets "
                    f"{', '.join(sets)}, and of a stream from 0"
                )
            if isinstance(arm.config, FSMDConfig):
                check_fits(arm.config, self.tasks)
        for left_out, arm_name in self.same:
            if arm_name not in arms or left_out in arms:
                raise ValueError(f"same must name an arm left out, and an arm; got {self.same}")

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

    def half(self, replicate: int) -> int | None:
        """The seed of a replicate's half, of whatever arm; None where all rows are trained on."""
        key = [self.seed, replicate, "half"]
        return int(digest(key)[:8], 16) if self.halves else None

    def training(
        self, config: Config, data: DataRef, seed: int, half: int | None = None
    ) -> Training:
        """A training that shares what all of them share."""
        ends = self.settings.epochs, self.settings.patience
        return Training(config, data, seed, *ends, self.runtime, half)


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
    looks: tuple[int, ...] = LOOKS
    """Of a study: the numbers of seeds at which it is judged, stated before it runs. A search is
    judged once, and has no use for them."""

    def __post_init__(self) -> None:
        """Raise ValueError for a name that is no folder's, a time or looks that are none."""
        check_looks(self.looks)
        if not self.name.isprintable() or {*"/\\"} & {*self.name} or not self.name.strip(". "):
            raise ValueError(f"name must be one of a folder; got {shown(self.name)}")
        check_time("created_at", self.created_at)

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
            "looks": list(self.looks),
        }

    @classmethod
    def from_row(cls, row: Mapping[Any, Any]) -> "StudyRecord":
        """Inverse of `to_row`; StoredError names the column that holds what cannot be."""
        with stored_at("column definition"):
            definition = stated = definition_of(row["kind"], from_json(row["definition"]))
        if not (isinstance(row["stated"], str) and row["stated"] == row["definition"]):
            with stored_at("column stated"):
                stated = definition_of(row["kind"], from_json(row["stated"]))
        own: dict[str, Any] = {"definition": definition, "stated": stated}
        own |= {} if isinstance(definition, Study) else {"looks": LOOKS}  # of which it has no use
        return read_row(cls, {**row, **own})
