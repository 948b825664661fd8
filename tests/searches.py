"""Made-up searches in a database, as `python -m studies.run pareto` stores them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy as sa
from optuna.trial import TrialState, create_trial

from fsmd.config import FSMDConfig
from fsmd.task import DataRef, Measurement, TrainingResult, TrainingTask
from search_spaces.axes import AXES
from search_spaces.spaces import Params, Space, space
from studies.execute import open_study
from studies.planning import METHODS, replicate_seed
from studies.settings import SETTINGS
from studies.storage import (
    Failure,
    Provenance,
    StudyRecord,
    insert_study,
    link_cell,
    open_engine,
    record_run,
)

TASKS = ("click", "long_view")
MOST = 6
BAD = Failure("loss is not finite <b>", 'Traceback:\n  File "x.py"\nRuntimeError: <script>')


def store_search(
    engine: sa.Engine,
    tried: Mapping[str, Params],
    *,
    name: str = "pareto",
    space_name: str = "paper",
    funnel: bool = True,
    stopped: Sequence[str] = (),
    failed: Sequence[str] = (),
    running: Sequence[str] = (),
    confirmed: Sequence[str] = (),
    seeds: int = 3,
    missing: Sequence[tuple[str, int]] = (),
    broken: Sequence[tuple[str, int]] = (),
    cost: str | None = None,
) -> str:
    """Store a search; `running` has a trial and no training yet, `broken` cells failed."""
    made = space(space_name, SETTINGS["planted"].applied, funnel)
    facts = {
        "tasks": list(TASKS), "funnel": funnel,
        "sets": {"planted": {"fields": 14, "reachable": None,
                             "rows": {"train": 60000, "valid": 20000, "test": 20000}}},
    }  # fmt: skip
    settings = {
        "epochs": MOST, "patience": 2, "seed": 0, "device": "cpu", "code": "c0de",
        "space": space_name, "objectives": "auc,auc" + (f",{cost}" if cost else ""), "arms": {},
        "data_hashes": {"planted": _hash(name)},
        METHODS: [{"sampler": "tpe", "pruner": "halving", "trials": 20, "confirm": 3},
                  {"sampler": "gp", "pruner": "none", "trials": 40, "confirm": 3}],
    }  # fmt: skip
    insert_study(engine, StudyRecord(
        name, "pareto", "planted", settings, facts, "2026-11-01T10:00:00+00:00"
    ))  # fmt: skip
    study = open_study(engine, name, TASKS, cost)
    cells = [*((level, 0) for level in tried),
             *((level, k) for k in range(1, seeds + 1) for level in confirmed)]  # fmt: skip
    for level, replicate in cells:
        if (level, replicate) not in missing:
            first = replicate == 0
            state = ("RUNNING" if first and level in running else "FAIL" if (first and
                     level in failed) or (level, replicate) in broken else "PRUNED" if first and
                     level in stopped else "COMPLETE")  # fmt: skip
            _store(engine, study, made, level, tried[level], replicate, state, cost)
    with engine.begin() as connection:  # the same on every machine and day
        connection.execute(sa.text("UPDATE fsmd_runs SET finished_at='2026-11-02T12:00:00+00:00'"))
    return name


def _hash(name: str) -> str:
    """One a study: else they would share trainings."""
    return name.encode().hex().ljust(64, "0")


def _store(
    engine: sa.Engine, study: optuna.Study, made: Space, level: str, params: Params,
    replicate: int, state: str, cost: str | None,
) -> None:  # fmt: skip
    config = made.config(params)
    ref = DataRef("planted", _hash(study.study_name), Path("nowhere"))
    task = TrainingTask(config, ref, replicate_seed(0, replicate), MOST, 2)
    result = outcome(config, task.seed, stopped=state == "PRUNED")
    told = [_top(config, task.seed, k) for k in range(2)]
    price = float(parameters(config)) if cost else None
    notes: dict[str, Any] = {} if price is None else {"cost": price}
    study.add_trial(create_trial(
        state=TrialState[state], params=dict(params),
        distributions={axis: AXES[axis] for axis in params},
        values=[*told, *([] if price is None else [price])] if state == "COMPLETE" else None,
        user_attrs={"level": level, "replicate": replicate, "seed": task.seed, "run": task.id,
                    **notes},
    ))  # fmt: skip
    if state != "RUNNING":
        ended = BAD if state == "FAIL" else result
        record_run(engine, task, ended, 1, Provenance({"torch": "2.13.0"}, "a machine"))
        link_cell(engine, study.study_name, level, replicate, task.id)


def outcome(config: FSMDConfig, seed: int, stopped: bool) -> TrainingResult:
    """A training that ended by itself after 3 to 5 epochs, or was stopped after the second."""
    epochs = 2 if stopped else 3 + seed % 3
    found = list(_curve(config, seed, epochs))
    best = min(epochs, 3)
    if not stopped:
        found += [Measurement(best, "test", task, "auc", _top(config, seed, k) - 0.003)
                  for k, task in enumerate(TASKS)]  # fmt: skip
    return TrainingResult(tuple(found), dict.fromkeys(TASKS, best), epochs, not stopped, 10.0,
                          parameters(config))  # fmt: skip


def _curve(config: FSMDConfig, seed: int, epochs: int) -> Iterator[Measurement]:
    for k, task in enumerate(TASKS):
        for epoch in range(1, epochs + 1):
            value = _top(config, seed, k) - 0.004 * abs(epoch - 3)
            yield Measurement(epoch, "valid", task, "auc", value)


def parameters(config: FSMDConfig) -> int:
    """More for more experts."""
    return 100_000 + 10_000 * config.expert_count


def _top(config: FSMDConfig, seed: int, k: int) -> float:
    """Deeper gates help the first task and hurt the second; the diamond hurts both."""
    shared = np.random.default_rng(seed).normal(size=2)[k]
    own = np.random.default_rng([seed, k, *config.to_json().encode()]).normal()
    trade = (config.gate_depth - 3) * (0.002, -0.002)[k]
    diamond = -0.004 if config.tower_shape == "diamond" else 0.0
    return float((0.76, 0.74)[k] + trade + diamond + 0.001 * shared + 0.0006 * own)


def paper_points(count: int, seed: int = 0) -> dict[str, Params]:
    """The two known models of the space, then some of its cells in a drawn order."""
    made = space("paper", SETTINGS["planted"].applied, True)
    cells = list(made.cells())
    order = np.random.default_rng(seed).permutation(len(cells))
    tried: dict[str, Params] = dict(made.known)
    for i in order:
        if len(tried) < count and cells[i] not in tried.values():
            tried[f"#{len(tried) + 1}"] = cells[i]
    return tried


def drawn_points(name: str, count: int) -> dict[str, Params]:
    """Known models of a space, then draws from it."""
    made = space(name, SETTINGS["planted"].applied, True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    tried: dict[str, Params] = dict(made.known)
    while len(tried) < count:
        tried[f"#{len(tried) + 1}"] = made.suggest(study.ask())
    return tried


def fresh_engine(folder: Path) -> sa.Engine:
    """An empty database."""
    return open_engine(f"sqlite:///{folder / 'studies.db'}", create=True)
