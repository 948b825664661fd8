"""Recorded curves come back as they were trained, and strategies are replayed on them fairly."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsmd.task import TrainingResult, TrainingTask
from studies import catalog, storage
from studies.execute import Planner, open_study
from studies.front import chosen
from studies.planning import Cell, cells, data_facts, fixed_settings
from studies.record import curves, write
from studies.settings import SETTINGS
from studies.storage import Provenance, StudyRecord
from tests import bench_search
from tests.bench_search import Recording, interval, recording, score, stopping_epoch
from tests.test_execute import TASKS, small_data
from tests.test_search import EPOCHS, curve_of, trained


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Cell, ...]]:
    """The file of a grid of figures that depend on the task alone; the third seed is cut off."""
    folder = tmp_path_factory.mktemp("record")
    engine = storage.open_engine(f"sqlite:///{folder}/studies.db", create=True)
    definition, sets = catalog.get("curves"), {"planted": small_data()}
    short = replace(SETTINGS["planted"], epochs=EPOCHS, patience=EPOCHS)
    settings = fixed_settings(definition, short, sets, 0, "cpu")
    record = StudyRecord("curves", "curves", "planted", settings, data_facts(sets), "now")
    storage.insert_study(engine, record)
    planned = cells(definition, sets, settings, 3)

    def work(task: TrainingTask, checkpoint: Path, until: int | None) -> TrainingResult:
        return trained(task, until)

    with ThreadPoolExecutor(1) as executor:
        Planner(
            engine, open_study(engine, "curves", TASKS), TASKS, executor, work, folder,
            Provenance({}, "a machine"), 1,
        ).run(planned[:325])  # fmt: skip
    path = folder / "planted.parquet"
    write(curves(engine, "curves"), path)
    return path, planned


def test_the_file_holds_every_epoch_of_every_seed_that_all_cells_have(
    stored: tuple[Path, tuple[Cell, ...]],
) -> None:
    path, planned = stored
    rec = recording(path)
    assert len(rec.curves) == 160
    assert len(rec.best) == 2  # the third seed lacks cells
    for cell in planned[:320:17]:
        levels = tuple(dict(cell.arm.params)[axis] for axis in bench_search.AXES)
        got = rec.curves[levels][cell.replicate]
        np.testing.assert_allclose(got, np.array(curve_of(cell.task)), atol=1e-7)


def test_a_replayed_training_stops_where_a_real_one_would(
    stored: tuple[Path, tuple[Cell, ...]],
) -> None:
    for cell in stored[1][:160:13]:
        task = replace(cell.task, patience=3)
        assert stopping_epoch(curve_of(task), 3) == trained(task, None).epochs


@pytest.mark.parametrize("name", ["TPE + halving", "random + one epoch, top quarter"])
def test_a_strategy_never_reaches_more_than_the_whole_grid_and_pays_for_each_epoch(
    stored: tuple[Path, tuple[Cell, ...]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_search, "TRIALS", 15)
    rec: Recording = recording(stored[0])
    spent: dict[int, int] = {}
    stands = {}
    for trial, point in bench_search.STRATEGIES[name](rec, 0, 0):
        spent[trial] = spent.get(trial, 0) + 1
        stands[trial] = point
    assert len(spent) == 15
    reached = bench_search.trace(stored[0], name, 0)
    assert len(reached) == sum(spent.values())
    ends = [chosen([tuple(p) for p in c[0]]) for c in rec.curves.values()]
    assert set(stands.values()) & set(ends)
    assert 0 < reached[-1] <= 1.2  # a stopped training may stand where its end would not


def test_scores_compare_repeat_by_repeat() -> None:
    base = [np.array([0.1, 0.5, 0.5, 0.8]), np.array([0.2, 0.6, 0.6, 0.6])]
    mine = [np.array([0.8, 0.9]), np.array([0.3, 0.5])]
    found = score(mine, base, seeds=1)
    assert found.epochs == 2
    assert found.behind[0] == pytest.approx(((0.8 - 0.9) + (0.6 - 0.5)) / 2)
    assert found.reach[1:] == (1 / 4, float("inf"))
    assert found.first[1:] == (1 / 4, float("inf"))
    assert score(base, base, seeds=2).reach[0] == pytest.approx((1 + 0.5) / 2)
    assert score(base, base, seeds=2).first == (1, 1, 1)


def test_an_interval_is_as_wide_as_few_recorded_seeds_leave_it() -> None:
    """Repeats on the same seed are no new evidence: hundreds of them tell of three seeds."""
    values = [float(i % 3) for i in range(300)]
    assert interval(values, 3, np.mean) == (1.0, 0.0, 2.0)
    middle, low, high = interval(values, 1, np.mean)
    assert middle == 1.0
    assert 0.85 < low < high < 1.15
