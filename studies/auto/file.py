"""The file of a plan, by which another machine runs the same."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fsmd.data.schema import Dataset
from fsmd.errors import UserError
from fsmd.runtime import Runtime
from fsmd.writing import write
from studies.definition import Search
from studies.reading import read
from studies.store.records import StudyRecord

PLAN_FILE = "plan.json"
"""Beside the report."""
FORMAT = 1


@dataclass(frozen=True)
class PlanFile:
    """All that an automatic search's numbers depend on, and what it was planned from."""

    format: int
    search: Search
    epochs: int
    patience: int
    seed: int
    precision: str
    data: str
    """As `--data` takes it."""
    content_hash: str
    """Of the encoded data."""
    code: str
    """Version of the code that determines the numbers."""

    def __post_init__(self) -> None:
        """Raise ValueError for what is no plan."""
        if self.format != FORMAT:
            raise ValueError(f"format must be {FORMAT}; got {self.format}")
        if self.search.auto is None:
            raise ValueError("search.auto must have what was measured")
        self.search.auto.check()
        Runtime(precision=self.precision)

    @classmethod
    def of(cls, record: StudyRecord) -> "PlanFile":
        """Of a stored automatic search."""
        plan = record.plan
        return cls(
            format=FORMAT,
            search=record.search,
            epochs=plan.settings.epochs,
            patience=plan.settings.patience,
            seed=plan.seed,
            precision=plan.runtime.precision,
            data=plan.data.asked or plan.data.name,
            content_hash=plan.data.content_hash,
            code=plan.code,
        )

    def check(self, data: Dataset) -> None:
        """Raise UserError for other data than it was planned on."""
        if data.content_hash != self.content_hash:
            raise UserError(
                f"--plan is of other rows than {data.name}: their digest is "
                f"{self.content_hash[:12]}, not {data.content_hash[:12]}; give --data as it was "
                f"({self.data}), or plan anew with --budget"
            )


def read_plan(path: Path) -> PlanFile:
    """The plan of a file; UserError for none."""
    try:
        values = json.loads(path.read_text("utf-8"))
        plan: PlanFile = read(PlanFile, values)
    except (OSError, ValueError) as error:
        raise UserError(f"--plan must be a {PLAN_FILE} of an earlier run: {error}") from error
    return plan


def write_plan(path: Path, record: StudyRecord) -> None:
    """Write a stored automatic search's plan, whole."""
    values: dict[str, Any] = asdict(PlanFile.of(record))
    text = json.dumps(values, indent=1, ensure_ascii=False)
    write(path, f"{text}\n".encode())
