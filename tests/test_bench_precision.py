"""The bench of precision holds together, on tiny data, and judges as a report does."""

import json
from pathlib import Path

import numpy as np
import pytest

from fsmd.tasks import Target
from reports.results import Scores
from tests import bench_precision
from tests.bench_precision import AFTER, BEFORE, MARGIN, arm_in, judge
from tests.lab import Immediate, no_report

DATA = "planted:rows=1000"
SMALL = ("--set", "layers=4", "--set", "expert_count=2", "--set", "tower_width=4")


@pytest.mark.usefixtures("one_thread")
@pytest.mark.filterwarnings(r"ignore:::lightning\..*")
def test_both_precisions_are_trained_once_and_compared_seed_by_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("studies.session.LocalWorkers", Immediate)
    monkeypatch.setattr("studies.session.measure_latency", lambda *_: None)
    monkeypatch.setattr("reports.build.build", no_report)
    asked = ("--data", DATA, "--models", "mmoe", "--seeds", "2", "--epochs", "1", *SMALL)
    told = []
    for _ in range(2):
        assert bench_precision.main([*asked, "--workers", "1", "--folder", str(tmp_path)]) == 0
        out, err = capsys.readouterr()
        told.append((json.loads(out.splitlines()[-1]), err.count("found 2 already there")))
    assert told[0][0] == told[1][0]
    assert [found for _, found in told] == [0, 2]
    of_targets = told[0][0][DATA]["mmoe"]
    assert list(of_targets) == ["click", "long_view", "mean"]
    for figures in of_targets.values():
        assert figures["seeds"] == 2
        assert 0 < abs(figures["difference"]) < 0.1  # other numbers, of the same start
        assert figures["low"] < figures["difference"] < figures["high"]
        assert figures["deviation_of_seeds"] > 0


def scores_of(differences_R: np.ndarray) -> Scores:
    """One target of two models, of which only the first one's figures move."""
    arms = tuple(arm_in(model, precision) for model in "ab" for precision in (BEFORE, AFTER))
    before_R = np.linspace(0.7, 0.71, len(differences_R))
    values_AR = np.stack([before_R, before_R + differences_R, before_R, before_R])
    replicates = tuple(range(len(differences_R)))
    return Scores(arms, replicates, (Target("x", "auc", (1.0,)),), values_AR[..., None])


@pytest.mark.parametrize(
    ("mean", "deviation", "word"),
    [(0.0, 0.0004, "equivalent"), (0.001, 0.0004, "better"), (0.0, 0.004, "undecided")],
)
def test_a_difference_is_equivalent_only_where_its_interval_shows_it(
    mean: float, deviation: float, word: str
) -> None:
    found = judge(scores_of(mean + deviation * np.resize([-1, 1], 10)), "ab")
    assert [found[model][0].word for model in "ab"] == [word, "equivalent"]
    assert found["a"][0].difference.mean == pytest.approx(mean)
    assert found["a"][0].margin == MARGIN
