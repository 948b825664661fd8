"""What a run says that it would do, before it does anything."""

from pathlib import Path

import pytest

from fsmd.training import Training
from studies.estimate import guessed
from studies.planner.design import cells
from studies.planner.lengths import NOTHING, Stored
from studies.run import main
from studies.timing import EpochTime
from tests import made_up
from tests.lab import record_of, small_data, without_training

DATA = "planted:rows=500"


def trainings(replicates: int) -> list[Training]:
    data = small_data()
    study = made_up.towers()
    every = cells(record_of(study), {data.name: data.ref}, replicates)
    return [cell.training for cell in every]


def never(training: Training) -> EpochTime:
    raise AssertionError("it is stored how long this takes")


def config_hash(training: Training) -> str:
    from fsmd.config import digest

    return digest(training.identity["config"])


def test_the_time_left_is_told_from_what_is_stored_before_anything_is_measured() -> None:
    left = trainings(2)
    first = config_hash(left[0])
    whole = Stored({first: 30.0}, {first: 3.0})
    assert guessed(left, whole, 2, never) == (
        f"about {len(left) * 15 // 60} min on 2 workers, by what the same study trained"
    )
    epochs = left[0].epochs
    of_epoch = Stored({}, {config_hash(t): 2.0 for t in left})
    told = guessed(left[:1], of_epoch, 1, never)
    assert told.startswith("at most")
    assert told.endswith("on 1 worker, by stored trainings of the same models")
    asked: list[Training] = []

    def measured(training: Training) -> EpochTime:
        asked.append(training)
        return EpochTime(1.0, 5.0)

    told = guessed(left[:2], NOTHING, 1, measured)
    assert told.startswith(f"at most {2 * (5 + epochs)} s on 1 worker, by a short measurement")
    assert len(asked) == 1  # of each kind


@pytest.fixture
def no_torch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    without_training(monkeypatch, DATA, tmp_path)


@pytest.mark.usefixtures("no_torch")
def test_a_dry_run_counts_what_is_there_and_what_is_left_and_writes_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = ("tower_shape", "--data", DATA, "--epochs", "10", "--workers", "2", "--replicates")
    assert main([*study, "2", "--dry-run"]) == 0
    out = Path("out/tower_shape-planted-rows-500")
    assert capsys.readouterr().out.splitlines() == [
        f"tower_shape-planted-rows-500 on {DATA}: 4 arms, 2 replicates: 8 trainings.",
        "In the database: 0 of 8; left to train: 8.",
        "Time: at most 20 s on 2 workers, by a short measurement of one model of each kind, "
        "made now.",
        f"Report: {out / 'report.html'}",
        "Nothing was trained or stored.",
    ]
    assert list(Path().iterdir()) == []
    assert main([*study, "1"]) == 0
    before = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main([*study, "2", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "In the database: 4 of 8; left to train: 4." in said
    assert "by what the same study trained" in said
    assert main([*study, "1", "--dry-run"]) == 0
    assert "Time: nothing is left to train." in capsys.readouterr().out
    after = {path: path.stat().st_mtime_ns for path in Path().rglob("*") if path.is_file()}
    assert after == before


@pytest.mark.usefixtures("no_torch")
def test_a_dry_run_of_a_search_tells_its_trials_and_its_confirmation(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["pareto", "--data", DATA, "--trials", "7", "--confirm", "2", "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "7 configurations, of which about 7 are trained on 2 fresh seeds too, beside 3" in said
    assert "In the database: 0 of 6; left to train: 27, about." in said
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("no_torch")
def test_a_dry_run_refuses_what_a_run_refuses(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["tower_shape", "--data", DATA, "--set", "layers=x", "--dry-run"]) == 2
    assert main(["tower_shap", "--dry-run"]) == 2
    assert "did you mean 'tower_shape'" in capsys.readouterr().err
    assert main(["pareto", "--data", DATA, "--sampler", "tpee", "--dry-run"]) == 2
    assert "got 'tpee'; did you mean 'tpe'?" in capsys.readouterr().err
