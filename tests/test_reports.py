"""Reports of synthetic studies: the files, what the page says, and what it must never do."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import sqlalchemy as sa

from fsmd.config import FSMDConfig
from fsmd.task import DataRef, Measurement, TrainingResult, TrainingTask
from reports import build as command
from reports.build import build, summary_lines
from reports.figures import curves, differences, levels
from reports.results import COLUMNS, auc_on_test, read
from studies import catalog
from studies.storage import (
    Failure,
    Provenance,
    StudyRecord,
    insert_study,
    link_cell,
    open_engine,
    record_run,
)

Effect = Callable[[int, str], float]
TASKS = ("click", "long_view")


def store_study(
    engine: sa.Engine,
    definition: str = "tower_shape",
    *,
    replicates: int = 3,
    data: str = "planted",
    name: str | None = None,
    tasks: tuple[str, str] = TASKS,
    effect: Effect = lambda index, task: 0.0,
    failures: Mapping[tuple[str, int], Failure] | None = None,
    missing: tuple[tuple[str, int], ...] = (),
    settings: Mapping[str, Any] | None = None,
    reachable: Mapping[str, float] | None = None,
) -> str:
    """Store a study whose levels' test AUCs are a seed's noise plus `effect(level index, task)`."""
    study = catalog.get(definition)
    name = name or study.name
    base = json.loads(study.base.to_json())
    known = {
        "base": base,
        "factor": study.factor.name,
        "data_hash": "d" * 64,
        "epochs": 30,
        "patience": 2,
        "seed": 0,
        "device": "cpu",
        "code": "c0de",
        "chain_dropped": False,
    }
    facts = {
        "tasks": list(tasks),
        "funnel": True,
        "rows": {"train": 60000, "valid": 20000, "test": 20000},
        "reachable": reachable,
    }
    insert_study(engine, StudyRecord(
        name, study.name, data, {**known, **(settings or {})}, facts, "2026-11-01T10:00:00+00:00"
    ))  # fmt: skip
    for replicate in range(replicates):
        for index, level in enumerate(study.factor.levels):
            cell = (str(level), replicate)
            if cell in missing:
                continue
            config = FSMDConfig.from_dict({**base, study.factor.name: level})
            seed = 1000 + replicate
            ref = DataRef(data, (name + data).ljust(64, "0"), Path("nowhere"))
            task = TrainingTask(config, ref, seed)
            outcome = (failures or {}).get(cell) or _result(index, seed, tasks, effect)
            record_run(engine, task, outcome, 1, Provenance({"torch": "2.13.0"}, "a machine"))
            link_cell(engine, name, *cell, task.id)
    with engine.begin() as connection:  # the same on every machine and day
        connection.execute(sa.text("UPDATE fsmd_runs SET finished_at='2026-11-02T12:00:00+00:00'"))
    return name


def _result(index: int, seed: int, tasks: tuple[str, str], effect: Effect) -> TrainingResult:
    shared, own = np.random.default_rng(seed), np.random.default_rng([seed, index])
    epochs, chosen = 6 + int(own.integers(3)), 5
    found = []
    for k, task in enumerate(tasks):
        noise = 0.0008 * shared.normal() + 0.0004 * own.normal()
        top = (0.721, 0.7117)[k] + noise + effect(index, task)
        for epoch in range(1, epochs + 1):
            value = top - 0.03 * 0.4**epoch - 0.0006 * abs(epoch - chosen)
            found.append(Measurement(epoch, "valid", task, "auc", value))
        figures = {("test", "auc"): top, ("test_unseen", "auc"): top - 0.002,
                   ("test", "log_loss"): 0.61, ("valid", "log_loss"): 0.6,
                   ("test", "calibration_error"): 0.01 + 0.001 * own.random()}  # fmt: skip
        if k:
            figures["test", "conditional_auc"] = 0.68 + noise
        found += [Measurement(chosen, s, task, m, v) for (s, m), v in figures.items()]
    found += [Measurement(e, "train", "all", "loss", 1.0 / e) for e in range(1, epochs + 1)]
    return TrainingResult(tuple(found), dict.fromkeys(tasks, chosen), epochs, True, 41.5, 123456)
