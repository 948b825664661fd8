"""Stores made-up searches: attempts that ended or did not, and fresh seeds of some of them."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import optuna
import sqlalchemy as sa

from fsmd.config import FSMDConfig
from fsmd.data.schema import DataRef
from fsmd.data.settings import TrainingSettings
from fsmd.metrics import METRICS
from fsmd.packing import pack
from fsmd.runtime import Runtime
from fsmd.tasks import Task
from fsmd.training import Measurement, TrainingResult
from search_spaces.space import Params, Space
from search_spaces.spaces import space as space_named
from studies.definition import Search
from studies.failure import Failure
from studies.objectives import Objective, named
from studies.planner.design import replicate_seed
from studies.store.attempts import StoredAttempt, insert_attempt
from studies.store.records import Plan, StudyRecord
from studies.store.runs import link_cell, record_run
from studies.store.studies import insert_study
from tests.made_up.databases import PLANNED_AT, PROVENANCE, end_on_one_day
from tests.made_up.rows import MadeUpRows, made_up_rows
from tests.made_up.studies import CODE, data_facts
from tests.made_up.tasks import tasks as planted_tasks
from tests.made_up.trainings import FAILURE, usual

EPOCHS = 6
SETTINGS = TrainingSettings(batch_size=256, learning_rate=0.002, epochs=EPOCHS, patience=2)
LOST = Failure("the worker process was killed", "", passing=True)
_AUC = (0.76, 0.74, 0.75, 0.73, 0.745)
_BEST_EPOCH = 3


def store_search(
    engine: sa.Engine,
    attempts: Mapping[str, Params] | None = None,
    *,
    name: str = "search",
    tasks: Sequence[Task] = planted_tasks(2),
    space: str = "paper",
    objectives: tuple[str, ...] = ("tasks",),
    stopped: Collection[str] = (),
    paused: Collection[str] = (),
    running: Collection[str] = (),
    failed: Collection[str] = (),
    lost: Collection[str] = (),
    confirmed: Sequence[str] = (),
    seeds: int = 3,
    missing: Collection[tuple[str, int]] = (),
    broken: Collection[tuple[str, int]] = (),
    rows: int = 0,
    users: int | None = None,
    reachable: Mapping[str, float] | None = None,
    data: str = "planted",
    created_at: str = PLANNED_AT,
) -> StudyRecord:
    """Store a search that went two ways one after the other: `tpe`, then `gp`.

    attempts: name -> parameters, in the order of their proposals; twelve `paper_points` where
    none are given. They ended, save those that are named: stopped by the pruner, paused at a rung,
    running (a trial, and no training yet), failed, or lost with their worker.
    confirmed: attempts with trainings on fresh seeds, the replicates 1 to `seeds`, save the
    `missing` ones; of the `broken` ones the training failed. (attempt, 0) is the search's own.
    rows, users: as of `store_study`; without rows no scores are kept.
    """
    attempts = paper_points(12, tasks=tasks) if attempts is None else attempts
    record = _record(name, tasks, space, objectives, data, rows, reachable, created_at)
    insert_study(engine, record)
    facts, sought = record.plan.data, named(objectives, tasks)
    whole = space_named(space, tasks, SETTINGS)
    sampled = made_up_rows(tasks, rows, 7, users) if rows else None
    if sampled:
        sampled.store(engine, facts.content_hash)
    ref = DataRef(data, facts.content_hash, Path("nowhere"))
    fresh = [(attempt, k) for k in range(1, seeds + 1) for attempt in confirmed]
    for attempt, replicate in (*((attempt, 0) for attempt in attempts), *fresh):
        if (attempt, replicate) in missing:
            continue
        params = attempts[attempt]
        config = whole.config(params)
        seed = replicate_seed(record.plan.seed, replicate)
        training = record.plan.training(config, ref, seed)
        is_search = replicate == 0
        if is_search:
            number = list(attempts).index(attempt)
            insert_attempt(
                engine,
                name,
                number,
                StoredAttempt(
                    attempt,
                    params,
                    training.id,
                    _costs(sought, config),
                    stopped=attempt in stopped,
                ),
            )
        if is_search and attempt in running:
            continue
        outcome: TrainingResult | Failure
        if (is_search and attempt in failed) or (attempt, replicate) in broken:
            outcome = FAILURE
        elif is_search and attempt in lost:
            outcome = LOST
        else:
            cut = is_search and attempt in {*stopped, *paused}
            outcome = _result(config, seed, tasks, cut, sampled, list(attempts).index(attempt))
        record_run(engine, training, outcome, 1, PROVENANCE)
        link_cell(engine, name, attempt, replicate, training.id)
    end_on_one_day(engine)
    return record


def _record(
    name: str,
    tasks: Sequence[Task],
    space: str,
    objectives: tuple[str, ...],
    data: str,
    rows: int,
    reachable: Mapping[str, float] | None,
    created_at: str,
) -> StudyRecord:
    search = Search(
        name="search",
        title="A made-up search",
        question="Which architectures are on the front?",
        space=space,
        objectives=objectives,
        data=data,
        trials=40,
        confirm=3,
    )
    facts = data_facts(data, name, tasks, test_rows=rows, reachable=reachable)
    plan = Plan((facts,), SETTINGS, 0, Runtime(), CODE)
    before = replace(search, sampler="tpe", trials=20)
    methods = [{key: getattr(way, key) for key in Search.METHOD} for way in (before, search)]
    return StudyRecord(name, search, search, plan, created_at, tuple(methods))


def _costs(objectives: Sequence[Objective], config: FSMDConfig) -> dict[str, float]:
    """What is known before the training: parameters, and else (latency) a thousandth of them."""
    count = float(parameters(config))
    asked = [o.key for o in objectives if o.asked == "before"]
    return {key: count if key == "params" else count / 100_000 for key in asked}


def _result(
    config: FSMDConfig,
    seed: int,
    tasks: Sequence[Task],
    cut: bool,
    rows: MadeUpRows | None,
    arm: int,
) -> TrainingResult:
    """A training that ended by itself after 3 to 5 epochs, or was cut off after the second."""
    epochs = 2 if cut else 3 + seed % 3
    best = min(epochs, _BEST_EPOCH)
    top_K = [_top(config, seed, tasks, k) for k in range(len(tasks))]
    measurements = list(_curve(top_K, tasks, epochs))
    predictions: dict[str, bytes] = {}
    for k, task in enumerate(() if cut else tasks):
        own = METRICS[task.metric]
        figure: float | None = top_K[k] - own.sign * 0.003
        if rows is not None:
            assert figure is not None
            score_N = rows.scores(k, figure, arm, seed)
            predictions[task.name] = pack(score_N)
            figure = rows.figure(own, k, score_N)
        assert figure is not None
        measurements.append(Measurement(best, "test", task.name, own.name, figure))
    return TrainingResult(
        measurements=tuple(measurements),
        chosen_epochs={task.name: best for task in tasks},
        epochs=epochs,
        finished=not cut,
        seconds=5.0 * epochs,
        parameters=parameters(config),
        predictions=predictions,
        valid_predictions=predictions,
    )


def _curve(top_K: Sequence[float], tasks: Sequence[Task], epochs: int) -> Iterator[Measurement]:
    for top, task in zip(top_K, tasks, strict=True):
        sign = METRICS[task.metric].sign
        for epoch in range(1, epochs + 1):
            value = top - sign * 0.004 * abs(epoch - _BEST_EPOCH)
            yield Measurement(epoch, "valid", task.name, task.metric, value)


def parameters(config: FSMDConfig) -> int:
    """More for more experts."""
    return 100_000 + 10_000 * config.expert_count


def _top(config: FSMDConfig, seed: int, tasks: Sequence[Task], k: int) -> float:
    """Deeper gates help every other task and hurt the rest; the diamond hurts all."""
    metric = METRICS[tasks[k].metric]
    shared = np.random.default_rng(seed).normal(size=max(2, len(tasks)))[k]
    own = np.random.default_rng([seed, k, *config.to_json().encode()]).normal()
    trade = (config.gate_depth - 3) * (0.002, -0.002)[k % 2]
    diamond = -0.004 if config.tower_shape == "diamond" else 0.0
    gain = trade + diamond + 0.001 * shared + 0.0006 * own
    usually = _AUC[k % len(_AUC)] if metric.higher else usual(tasks, k)
    return float(usually + metric.sign * gain)


# ------------------------------------------------------------------------------------------
# Points of spaces
# ------------------------------------------------------------------------------------------


def paper_points(
    count: int, seed: int = 0, tasks: Sequence[Task] = planted_tasks(2)
) -> dict[str, Params]:
    """The known models of the paper's space, then some of its points in a drawn order."""
    whole = _space("paper", tasks)
    points = list(whole.combinations())
    order = np.random.default_rng(seed).permutation(len(points))
    attempts: dict[str, Params] = dict(list(whole.known.items())[:count])
    for i in order:
        if len(attempts) < count and points[i] not in attempts.values():
            attempts[f"#{len(attempts) + 1}"] = points[i]
    return attempts


def drawn_points(
    space: str, count: int, tasks: Sequence[Task] = planted_tasks(2)
) -> dict[str, Params]:
    """Known models of a space, then draws from it."""
    whole = _space(space, tasks)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    attempts: dict[str, Params] = dict(whole.known)
    while len(attempts) < count:
        attempts[f"#{len(attempts) + 1}"] = whole.suggest(study.ask())
    return attempts


def grid_points() -> dict[str, Params]:
    """A full factorial of two axes of the paper's space."""
    points = product(range(1, 6), (2, 6, 10, 14))
    return {
        f"#{i}": {"tower_shape": "constant", "gate_depth": depth, "expert_count": count}
        for i, (depth, count) in enumerate(points, 1)
    }


def _space(name: str, tasks: Sequence[Task]) -> Space:
    return space_named(name, tasks, SETTINGS)
