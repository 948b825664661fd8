"""What a search confirms on fresh seeds: its best attempts, the paper's models, baselines."""

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import sqlalchemy as sa

from fsmd.data.schema import DataRef
from fsmd.stats.pareto import best_first, on_front
from studies.planner.design import Cell, replicate_seed
from studies.search.attempt import SEARCH_REPLICATE, Attempt, AttemptState, cell_of
from studies.store.records import StudyRecord
from studies.store.runs import known_cells

CONFIRM_AT_LEAST = 6
"""Attempts confirmed, the references not counted: the next best ones up to this number."""
CONFIRM_WITH_NEAR = 10
"""What lies near the front, up to this number in all."""
CONFIRM_AT_MOST = 20
"""The front, up to this number; the best of each objective always."""
REFERENCES = ("fsmd", "fs", "mmoe", "paper's best", "deep fsmd")
"""The paper's models that are confirmed too, where the search has them; see `references`."""


def references(names: Collection[str]) -> tuple[str, ...]:
    """Those of `REFERENCES` that are there; FS only where the data makes FSMD the same model."""
    return tuple(
        name for name in REFERENCES if name in names and not (name == "fs" and "fsmd" in names)
    )


def begun(engine: sa.Engine, record: StudyRecord) -> frozenset[str]:
    """Names of the attempts that were trained on fresh seeds before."""
    cells = known_cells(engine, record.name)
    return frozenset(arm for arm, replicate in cells if replicate != SEARCH_REPLICATE)


def fresh_cells(
    engine: sa.Engine, record: StudyRecord, data: DataRef, attempts: Iterable[Attempt]
) -> tuple[tuple[Cell, str], ...]:
    """The trainings on fresh seeds that are stored, and the status of each."""
    by_name = {attempt.name: attempt for attempt in attempts}
    known = known_cells(engine, record.name)
    names = [arm.name for arm in record.plan.arms]
    simple = {(c.arm, c.replicate): c for c in baseline_cells(record, data, names)}
    cells = {
        (arm, replicate): cell_of(by_name[arm], record, data, replicate)
        for arm, replicate in known
        if replicate != SEARCH_REPLICATE and arm in by_name
    }
    return tuple((cell, known[key][1]) for key, cell in (cells | simple).items() if key in known)


def baseline_cells(
    record: StudyRecord, data: DataRef, begun: Collection[str] = ()
) -> tuple[Cell, ...]:
    """The trainings of baselines on the fresh seeds that the confirmation has.

    begun: names of those that have some already, which get as many as the others.
    """
    search, plan = record.search, record.plan
    return tuple(
        Cell(
            arm=arm.name,
            params=(),
            replicate=replicate,
            training=plan.training(arm.config, data, replicate_seed(plan.seed, replicate)),
        )
        for replicate in range(1, search.confirm + 1)
        for arm in plan.arms
        if arm.name in (*search.baselines, *begun)
    )


def to_confirm(
    attempts: Iterable[Attempt], begun: Collection[str] = (), points: int | None = None
) -> tuple[str, ...]:
    """What is trained again on fresh seeds, the best first, then the references.

    The front (`CONFIRM_AT_MOST` points of it, the best of each objective first), what lies within
    each objective's margin of it (up to `CONFIRM_WITH_NEAR` points in all), and, since a seed may
    hide the best ones, the next ranks up to `CONFIRM_AT_LEAST` points. References count even where
    they were stopped. Attempts that have fresh seeds already get as many as the others, wherever
    they stand by now: what is compared must be paired.

    points: attempts at most, and no references: what there is time for.
    """
    attempts = [attempt for attempt in attempts if attempt.curve and not attempt.failed]
    ended = [attempt for attempt in attempts if attempt.state == AttemptState.ENDED]
    if not ended:
        return ()
    margins = [objective.margin for objective in ended[0].objectives]
    points_NM = np.array([attempt.gains for attempt in ended])
    front_N, near_N = on_front(points_NM), on_front(points_NM, margins)
    ends = points_NM.argmax(axis=0).tolist()
    order = list(dict.fromkeys([*ends, *best_first(points_NM)]))
    chosen = [i for i in order if front_N[i]][:CONFIRM_AT_MOST]
    near = [i for i in order if near_N[i] and not front_N[i]]
    chosen += near[: max(0, CONFIRM_WITH_NEAR - len(chosen))]
    rest = [i for i in order if i not in chosen]
    chosen += rest[: max(0, CONFIRM_AT_LEAST - len(chosen))]
    chosen = chosen[:points]
    names = [attempt.name for attempt in attempts]
    kept = {*(references(names) if points is None else ()), *begun}
    return tuple(
        dict.fromkeys([*(ended[i].name for i in chosen), *(n for n in names if n in kept)])
    )


def confirmation(
    record: StudyRecord,
    data: DataRef,
    attempts: Sequence[Attempt],
    names: Sequence[str],
    replicates: int,
) -> tuple[Cell, ...]:
    """The trainings that confirm some attempts: fresh seeds, the same for all of them."""
    by_name = {attempt.name: attempt for attempt in attempts}
    return tuple(
        cell_of(by_name[name], record, data, replicate)
        for replicate in range(1, replicates + 1)
        for name in names
    )
