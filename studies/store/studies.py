"""Reads and writes what is stored of studies and searches."""

from dataclasses import asdict, replace
from typing import Any

import sqlalchemy as sa

from fsmd.config import FSMDConfig, fitted
from studies.definition import Search, Study
from studies.objectives import named
from studies.planner.design import check_read
from studies.reading import of_study, read, stored_at
from studies.store.faults import patient
from studies.store.records import StudyRecord
from studies.store.tables import STUDIES, as_stored


@patient
def study_names(engine: sa.Engine) -> tuple[str, ...]:
    """Names of the stored studies and searches, sorted."""
    with engine.connect() as connection:
        return tuple(sorted(str(row.name) for row in connection.execute(as_stored(STUDIES))))


@patient
def find_study(engine: sa.Engine, name: str) -> StudyRecord | None:
    """The stored study or search of this name, or None.

    Raises StoredError where what is stored is none, or contradicts itself.
    """
    with engine.connect() as connection:
        query = as_stored(STUDIES).where(STUDIES.c.name == name)
        row = connection.execute(query).one_or_none()
    if row is None:
        return None
    with of_study(name), stored_at(f"its row of {STUDIES.name}"):
        record = StudyRecord.from_row(row._mapping)
        for column in ("definition", "stated"):
            if column == "definition" or record.stated is not record.definition:
                with stored_at(f"column {column}"):
                    _check(record, column)
    return record


def _check(record: StudyRecord, column: str) -> None:
    """Raise ValueError for a definition that contradicts itself, the plan or the data."""
    definition, plan = getattr(record, column), record.plan
    check_read(definition)
    if bool(record.methods) != record.is_search:
        raise ValueError("column methods must have the ways that a search was run, and only those")
    if isinstance(definition, Study):
        if column == "definition":
            _check_arms(definition, record)
        return
    from search_spaces.spaces import space  # loads Optuna, which no study's report needs

    named(definition.objectives, plan.tasks)
    space(definition.space, plan.tasks, plan.settings)
    for method in record.methods:
        if set(method) != set(Search.METHOD):
            raise ValueError(f"methods must each have {', '.join(Search.METHOD)}; got {method}")
        read(Search, {**asdict(definition), **method})


def _check_arms(study: Study, record: StudyRecord) -> None:
    """What is planned is what is defined, on the data's tasks."""
    plan, names = record.plan, {arm.name: None for arm in study.arms}
    for arm in plan.arms:
        if arm.name not in names:
            raise ValueError(f"arm {arm.name!r} of the plan is none of {', '.join(names)}")
        config = study.config(arm.name)
        if isinstance(config, FSMDConfig):
            fit = fitted(config, plan.tasks)
            as_planned: dict[str, Any] = {
                name: getattr(arm.config, name, None) for name in fit.left_open
            }
            config = replace(fit, **as_planned) if as_planned else fit
        if config != arm.config:
            raise ValueError(f"arm {arm.name!r} must be the model that is planned under its name")
        if (study.arm(arm.name).data or plan.data.name, study.arm(arm.name).stream) != (
            arm.data,
            arm.stream,
        ):
            raise ValueError(f"arm {arm.name!r} must have the data set and stream of the plan")


@patient
def insert_study(engine: sa.Engine, record: StudyRecord) -> None:
    """Store a new study or search."""
    own = {name: getattr(record, name) for name in ("name", "created_at", "planner")}
    with engine.begin() as connection:
        connection.execute(sa.delete(STUDIES).filter_by(**own))  # of a try that was cut off
        connection.execute(sa.insert(STUDIES).values(record.to_row()))


@patient
def update_study(engine: sa.Engine, record: StudyRecord) -> None:
    """Replace what is stored under the record's name, when the study went on."""
    with engine.begin() as connection:
        connection.execute(sa.update(STUDIES).filter_by(name=record.name).values(record.to_row()))
