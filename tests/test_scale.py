"""What a training costs a planner does not grow with what is finished: counted, not timed."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import sqlalchemy as sa

from fsmd.training import Training, TrainingResult
from studies.planner.agenda import LongestFirst
from studies.planner.planner import Event, Planner
from studies.session import stored_cells
from studies.store.database import open_engine
from studies.store.looks import SaidOfPair, SaidTest, StoredLook
from studies.store.runs import chosen_results
from tests import bench_scale
from tests.bench_scale import PROVENANCE, made_up
from tests.lab import TASKS, Immediate, small_data

NEW = 12
FEW, MANY = 20, 320
"""Trainings that are stored before the new ones."""


class Counted:
    """Statements of SQL, steps of SQLite's machine and calls of functions, while it counts."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine, self.statements, self.steps, self.calls = engine, 0, 0, 0
        self._counts = False
        sa.event.listen(engine, "before_cursor_execute", self._statement)
        with engine.connect() as connection:
            connection.connection.driver_connection.set_progress_handler(self._step, 10)  # type: ignore[union-attr]

    def begin(self) -> None:
        self._counts = True
        sys.setprofile(self._call)

    def end(self) -> None:
        sys.setprofile(None)
        self._counts = False

    def _statement(self, *_: object) -> None:
        self.statements += self._counts

    def _step(self) -> None:
        self.steps += self._counts

    def _call(self, frame: FrameType, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")


def counted(folder: Path, stored: int) -> Counted:
    """What a planner takes for so many new trainings, from the first one's start on."""
    url = f"sqlite:///{folder}/{stored}.db"
    bench_scale.fill(url, stored, stored + NEW)
    engine = open_engine(url, create=True)
    asked = bench_scale.record(stored + NEW)
    mirror, refs = bench_scale.mirror_of(engine, asked), {"planted": small_data().ref}
    mirror.show(stored_cells(engine, asked, refs))
    count, left = Counted(engine), [NEW]

    def work(
        trainings: Sequence[Training], checkpoints: Sequence[Path], until: int | None
    ) -> list[TrainingResult]:
        return [made_up(training) for training in trainings]

    def listen(event: Event) -> None:
        if event.kind == "started" and left[0] == NEW:
            count.begin()
        left[0] -= event.kind == "done"
        if not left[0]:
            count.end()

    planner = Planner(
        engine=engine,
        mirror=mirror,
        workers=Immediate(),
        work=work,
        checkpoints=folder / "checkpoints",
        provenance=PROVENANCE,
        slots=1,
        listen=listen,
    )
    tally = planner.run(bench_scale.cells_of(asked)[: stored + NEW])
    engine.dispose()
    assert (tally.known, tally.trained) == (stored, NEW)
    return count


@pytest.fixture(scope="module")
def counts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Counted, Counted]:
    folder = tmp_path_factory.mktemp("scale")
    counted(folder, FEW + 1)  # what is loaded and compiled once
    return counted(folder, FEW), counted(folder, MANY)


def test_a_training_takes_as_many_statements_whatever_is_stored_and_few(
    counts: tuple[Counted, Counted],
) -> None:
    few, many = counts
    assert few.statements == many.statements
    assert few.statements <= 16 * NEW


def test_neither_the_database_nor_the_planner_goes_through_what_is_stored(
    counts: tuple[Counted, Counted],
) -> None:
    """Sixteen times as many stored; trees of indices are a step deeper."""
    few, many = counts
    assert few.steps > 0
    assert many.steps < 1.2 * few.steps
    assert many.calls < 1.1 * few.calls


def test_what_is_read_of_some_trainings_at_a_start_hangs_on_them_alone(tmp_path: Path) -> None:
    def steps(stored: int) -> int:
        url = f"sqlite:///{tmp_path}/{stored}.db"
        bench_scale.fill(url, stored, stored)
        engine = open_engine(url)
        cells, count = bench_scale.cells_of(bench_scale.record(stored)), Counted(engine)
        count.begin()
        found = chosen_results(engine, [cell.training.id for cell in cells[:FEW]], TASKS)
        count.end()
        engine.dispose()
        assert len(found) == FEW
        return count.steps

    assert 0 < steps(MANY) < 1.2 * steps(FEW)


def test_the_longest_first_are_found_without_going_through_all_that_are_left() -> None:
    def calls(trainings: int) -> float:
        cells = bench_scale.cells_of(bench_scale.record(trainings))[:trainings]
        seconds = {cell.training.id: float(i % 7) for i, cell in enumerate(cells)}
        agenda, count = LongestFirst(cells, seconds, workers=4), 0

        def call(frame: FrameType, event: str, argument: Any) -> None:
            nonlocal count
            count += event in ("call", "c_call")

        sys.setprofile(call)
        while agenda.next():
            pass
        sys.setprofile(None)
        return count / trainings

    assert calls(400) < 1.1 * calls(100)


class Name(str):
    """An arm's name that counts how often it is looked up."""

    looked_up = 0

    def __hash__(self) -> int:
        Name.looked_up += 1
        return super().__hash__()


def test_which_comparisons_are_planned_is_found_without_all_arms_for_each() -> None:
    test, arms = SaidTest(None, None, 5, 0.05), tuple(Name(i) for i in range(300))
    said = tuple(
        SaidOfPair(arm, arms[0], "click", None, None, None, 0, test, test, "undecided")
        for arm in arms[1:]
    )
    at = "2026-11-01T00:00:00+00:00"
    look = StoredLook(5, 0.05, at, said, (), (), arms[:-1], (), ())
    Name.looked_up = 0
    assert look.planned == said[:-1]
    assert Name.looked_up < 10 * len(arms)
