"""Stores made-up studies, whole or with what is missing, failed or paused."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from fsmd.baselines import Config
from fsmd.config import FSMDConfig, fitted
from fsmd.data.schema import DataRef
from fsmd.data.settings import TrainingSettings
from fsmd.runtime import Runtime
from fsmd.tasks import Task
from fsmd.training import TrainingResult
from studies.definition import Study
from studies.failure import Failure
from studies.store.records import DataFacts, Plan, PlannedArm, StudyRecord
from studies.store.runs import link_cell, record_run
from studies.store.studies import insert_study
from tests.made_up.databases import PLANNED_AT, PROVENANCE, end_on_one_day
from tests.made_up.definitions import towers
from tests.made_up.rows import made_up_rows
from tests.made_up.tasks import tasks as planted_tasks
from tests.made_up.trainings import MadeUpTraining

Cell = tuple[str, int]
"""An arm's name and a replicate."""
Gains = Mapping[str, float | Mapping[str, float]]
"""Arm -> by how much it is better than others, on all tasks alike or task by task."""
CODE = "c0de"


def store_study(
    engine: sa.Engine,
    definition: Study | str | None = None,
    *,
    tasks: Sequence[Task] = planted_tasks(2),
    replicates: int = 3,
    data: str | None = None,
    name: str | None = None,
    effects: Gains | None = None,
    effect: Callable[[int, str], float] | None = None,
    failures: Mapping[Cell, Failure] | None = None,
    missing: Collection[Cell] = (),
    paused: Collection[Cell] = (),
    rows: int = 0,
    users: int | None = None,
    items: int | None = None,
    observed: Mapping[str, float] | None = None,
    weighted: bool = False,
    reachable: Mapping[str, float] | None = None,
    chosen: Mapping[str, int] | None = None,
    stated: Study | None = None,
    plan: Mapping[str, Any] | None = None,
    created_at: str = PLANNED_AT,
    looks: tuple[int, ...] = (),
    halves: bool = False,
) -> StudyRecord:
    """Store a study; a test figure is usual + seed's noise + effect (a gain: more is better).

    definition: `towers` of the tasks where nothing is given; a text names one of the catalog.
    name: as it is stored; the definition's where nothing is given. Studies of different names
    share no training.
    effects: gains by arm; effect: (index of the arm in the plan, task) -> gain. Both are added.
    rows: test rows whose labels and scores are kept; with 0 none are, and test figures are exact.
    users, items, observed, weighted: see `made_up_rows`.
    reachable: task -> the best figure that any model can have.
    chosen: task -> the epoch that validation chose, where it is not 5.
    stated: the definition as it was when the study was planned, where it was another one.
    halves: whether each replicate trains on a half of train.
    looks: the numbers of seeds at which it is judged; all replicates at once if nothing is given.
    plan: fields of the stored plan that are replaced at the end; nothing else follows them.
    """
    study = _definition(definition, tasks)
    name, data = name or study.name, data or study.data
    made = planned(study, tasks, data, name, rows=rows, reachable=reachable)
    made = replace(made, halves=halves)
    kept = replace(made, **(plan or {}))
    at = looks or (max(replicates, 2),)
    record = StudyRecord(name, study, stated or study, kept, created_at, looks=at)
    insert_study(engine, record)
    sampled = made_up_rows(tasks, rows, 7, users, observed, weighted, items) if rows else None
    for facts in made.sets if sampled else ():
        assert sampled is not None
        sampled.store(engine, facts.content_hash)
    for replicate in range(replicates):
        for index, arm in enumerate(made.arms):
            cell = arm.name, replicate
            if cell in missing:
                continue
            ref = DataRef(arm.data, made.facts(arm.data).content_hash, Path("nowhere"))
            seed = 1000 + replicate + 1000 * arm.stream
            training = made.training(arm.config, ref, seed, made.half(replicate))

            def gain(task: str, index: int = index, arm: str = arm.name) -> float:
                more = effect(index, task) if effect else 0.0
                return more + _gain(effects or {}, arm, task)

            outcome: TrainingResult | Failure | None = (failures or {}).get(cell)
            if outcome is None:
                outcome = MadeUpTraining(
                    arm.config, index, seed, tuple(tasks), gain, sampled, chosen
                ).result()
                if cell in paused:
                    outcome = as_paused(outcome)
            record_run(engine, training, outcome, 1, PROVENANCE)
            link_cell(engine, name, *cell, training.id)
    end_on_one_day(engine)
    return record


def planned(
    study: Study,
    tasks: Sequence[Task],
    data: str,
    name: str,
    *,
    rows: int = 0,
    reachable: Mapping[str, float] | None = None,
) -> Plan:
    """The plan of a study on data with these tasks, as the planner would make it."""
    settings = TrainingSettings(batch_size=256, learning_rate=0.002, epochs=30, patience=2)
    names = dict.fromkeys([data, *(arm.data or data for arm in study.arms)])
    sets = tuple(
        data_facts(each, name, tasks, test_rows=rows, reachable=reachable) for each in names
    )
    arms: list[PlannedArm] = []
    same: list[tuple[str, str]] = []
    kept: dict[tuple[Config, str, int], str] = {}
    chain_dropped = False
    for arm in study.arms:
        config = study.config(arm.name)
        if isinstance(config, FSMDConfig):
            asked = settings.applied(config)
            config = fitted(asked, tasks)
            chain_dropped |= config.chain != asked.chain
        key = config, arm.data or data, arm.stream
        if key in kept:
            same.append((arm.name, kept[key]))
        else:
            kept[key] = arm.name
            arms.append(PlannedArm(arm.name, *key))
    return Plan(sets, settings, 0, Runtime(), CODE, tuple(arms), tuple(same), chain_dropped)


def data_facts(
    data: str,
    study_name: str,
    tasks: Sequence[Task],
    *,
    test_rows: int = 0,
    reachable: Mapping[str, float] | None = None,
) -> DataFacts:
    """Of made-up data; its content is another one in each study, so that none share trainings."""
    return DataFacts(
        name=data,
        content_hash=sha256(f"{study_name} {data}".encode()).hexdigest(),
        tasks=tuple(tasks),
        fields=14,
        rows={"train": 60_000, "valid": 20_000, "test": test_rows or 20_000},
        reachable=None if reachable is None else dict(reachable),
    )


def as_paused(result: TrainingResult, epochs: int = 2) -> TrainingResult:
    """The training as it was after some epochs: with its curve, without test figures."""
    told = tuple(
        m
        for m in result.measurements
        if m.epoch <= epochs and m.split not in ("test", "test_unseen")
    )
    chosen = dict.fromkeys(result.chosen_epochs, epochs)
    return TrainingResult(told, chosen, epochs, False, result.seconds / 2, result.parameters)


def _definition(asked: Study | str | None, tasks: Sequence[Task]) -> Study:
    if isinstance(asked, Study):
        return asked
    if asked is None:
        return towers(tasks)
    from studies import catalog

    found = catalog.get(asked)
    assert isinstance(found, Study), f"{asked} is a search"
    return found


def _gain(effects: Gains, arm: str, task: str) -> float:
    gain = effects.get(arm, 0.0)
    return gain.get(task, 0.0) if isinstance(gain, Mapping) else gain
