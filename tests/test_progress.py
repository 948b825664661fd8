"""What a user is told while trainings run, in a terminal and in a file."""

import re
from io import StringIO

import pytest
from rich.console import Console

from fsmd.training import TrainingProgress
from studies.planner.design import cells
from studies.planner.planner import Event
from studies.planner.progress import LiveProgress
from tests import made_up
from tests.lab import TASKS, record_of, small_data


def test_a_file_gets_a_line_at_the_start_where_trainings_end_now_and_then_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Plain ones, as the log of a build takes them, and not too many."""
    clock = [0.0]
    monkeypatch.setattr("studies.planner.progress.time.monotonic", lambda: clock[0])
    data, file = small_data(), StringIO()
    study = made_up.towers()
    some = cells(record_of(study), {data.name: data.ref}, 2)[:4]
    with LiveProgress(Console(file=file), len(some), 2, TASKS) as tell:
        tell(Event("known", some[0]))
        tell(Event("started", some[1]))
        tell(Event("waiting"))
        far = TrainingProgress({"click": 0.7}, done=1.5)
        clock[0] = 40.0  # nothing ended for long
        tell(Event("waiting", progress=((some[1].training.id, far),)))
        for i in (1, 2, 3):
            clock[0] += 1.0  # several end soon after each other
            tell(Event("done", some[i]))
            tell(Event("waiting"))
        clock[0] = 100.0
    assert re.sub(r"(about|at most) [\d.]+ (s|min) left", "some time left", file.getvalue()) == (
        "4 trainings, 1 of them there already, on 2 workers\n"
        " 25 %  1 of 4 trainings ended, 1 under way with 1.5 epochs done, some time left\n"
        "100 %  4 of 4 trainings ended, in 1.7 min\n"
    )


def test_what_is_taken_up_again_counts_once() -> None:
    data, file = small_data(), StringIO()
    some = cells(record_of(made_up.towers()), {data.name: data.ref}, 1)[:2]
    with LiveProgress(Console(file=file), len(some), 1, TASKS) as tell:
        tell(Event("known", some[0]))  # a search had stopped it
        tell(Event("started", some[0]))
        tell(Event("done", some[0]))
    assert file.getvalue().splitlines()[-1].startswith(" 50 %  1 of 2 trainings ended")
