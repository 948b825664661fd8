"""Recorded curves come back as they were trained, and strategies are replayed on them fairly."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsmd.baselines import Baseline
from fsmd.selection import Selection
from fsmd.training import Measurement, Training, TrainingResult
from studies import catalog
from studies.definition import Study
from studies.planner.design import Cell, cells
from studies.record import curves, main, write
from studies.session import open_record
from studies.store.database import open_engine
from studies.store.runs import Provenance, link_cell, record_run
from tests import bench_search
from tests.bench_search import Recording, Trace, interval, recording, score, stopping_epoch
from tests.lab import SETTINGS, TASKS, record_of, small_data

EPOCHS = 6


def curve_of(training: Training) -> list[tuple[float, ...]]:
    """Figures that depend on the training alone: it learns for some epochs, then gets worse."""
    draw = np.random.default_rng(int(training.id[:8], 16))
    top, best = draw.uniform(0.6, 0.7, 2), draw.integers(2, EPOCHS + 2)
    return [tuple((top - 0.01 * abs(e - best)).tolist()) for e in range(1, EPOCHS + 1)]


def trained(training: Training) -> TrainingResult:
    """What `train` would return, with its early stopping."""
    separate = isinstance(training.config, Baseline) or training.config.separate
    selection = Selection.of(TASKS, separate, training.patience)
    curve = curve_of(training)
    end = next((n for n in range(1, EPOCHS) if selection.standing(curve[:n]).exhausted), EPOCHS)
    chosen = dict(zip(("click", "long_view"), selection.standing(curve[:end]).epochs, strict=True))
    measurements = [
        Measurement(epoch, "valid", task.name, "auc", curve[epoch - 1][k])
        for epoch in range(1, end + 1)
        for k, task in enumerate(TASKS)
    ]
    measurements += [
        Measurement(epoch, "test", name, "auc", 0.6) for name, epoch in chosen.items()
    ]
    return TrainingResult(tuple(measurements), chosen, end, True, 0.1, 10)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Sequence[Cell]]:
    """The file of a grid of figures that depend on the training alone; the third seed is cut."""
    folder = tmp_path_factory.mktemp("record")
    engine = open_engine(f"sqlite:///{folder}/studies.db", create=True)
    definition = catalog.get("curves")
    assert isinstance(definition, Study)
    short = replace(SETTINGS, epochs=EPOCHS, patience=EPOCHS)
    record = open_record(engine, record_of(definition, settings=short))
    planned = cells(record, {"planted": small_data().ref}, 3)
    for cell in planned[:325]:
        record_run(engine, cell.training, trained(cell.training), 1, Provenance({}, "a machine"))
        link_cell(engine, "curves", cell.arm, cell.replicate, cell.training.id)
    path = folder / "planted.parquet"
    write(curves(engine, "curves"), path)
    return path, planned


def test_the_file_holds_every_epoch_of_every_seed_that_all_cells_have(
    stored: tuple[Path, Sequence[Cell]],
) -> None:
    path, planned = stored
    rec = recording(path)
    assert len(rec.curves) == 160
    assert len(rec.best) == 2  # the third seed lacks cells
    assert rec.seconds == pytest.approx(0.1 / EPOCHS)
    for cell in planned[:320:17]:
        values = tuple(dict(cell.params)[axis] for axis in bench_search.AXES)
        got = rec.curves[values][cell.replicate]
        np.testing.assert_allclose(got, np.array(curve_of(cell.training)), atol=1e-7)


def test_a_place_where_no_file_can_be_is_refused_before_anything_is_trained(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert main(["--curves", str(tmp_path / "file" / "curves")]) == 2
    assert "--curves must be a folder that can be written" in capsys.readouterr().err


def test_a_replayed_training_stops_where_a_real_one_would(
    stored: tuple[Path, Sequence[Cell]],
) -> None:
    for cell in stored[1][:160:13]:
        training = replace(cell.training, patience=3)
        assert stopping_epoch(curve_of(training), 3) == trained(training).epochs


@pytest.mark.parametrize(
    "name", ["TPE + halving", "random + one epoch, top quarter", "as other seeds rank them"]
)
def test_a_strategy_never_reaches_more_than_the_whole_grid_and_pays_for_each_epoch(
    stored: tuple[Path, Sequence[Cell]], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_search, "TRIALS", 15)
    rec: Recording = recording(stored[0])
    spent: dict[int, int] = {}
    stands = {}
    for trial, point in bench_search.STRATEGIES[name](rec, 0, 0):
        spent[trial] = spent.get(trial, 0) + 1
        stands[trial] = point
    assert len(spent) == 15
    reached, seconds, thinking = bench_search.trace(stored[0], name, 0)
    assert len(reached) == len(seconds) == sum(spent.values())
    trained = rec.seconds * len(reached)
    assert 0 < seconds[-1] - trained <= thinking
    whole = Selection.of(TASKS, False, EPOCHS)
    ends = [whole.stands([tuple(map(float, p)) for p in c[0]]) for c in rec.curves.values()]
    assert set(stands.values()) & set(ends)
    assert 0 < reached[-1] <= 1.2  # a stopped training may stand where its end would not


def replayed(*reached: float, seconds: float = 1.0) -> Trace:
    times = np.array([seconds * (n + 1) for n in range(len(reached))])
    return Trace(np.array(reached), times, 0.6)


def test_scores_compare_repeat_by_repeat() -> None:
    base = [replayed(0.1, 0.5, 0.5, 0.8), replayed(0.2, 0.6, 0.6, 0.6)]
    mine = [replayed(0.8, 0.9, seconds=2.0), replayed(0.3, 0.5, seconds=2.0)]
    found = score(mine, base, seeds=1)
    assert found.epochs == 2
    assert found.thinking == 0.01
    assert found.behind[0] == pytest.approx(((0.8 - 0.9) + (0.6 - 0.5)) / 2)
    assert found.reach[1:] == (1 / 4, float("inf"))
    assert found.wall[1:] == (2 / 4, float("inf"))
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
