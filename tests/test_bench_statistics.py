"""The bounds that the bench of the statistics tells, on fewer draws; the seed is fixed."""

import json
from typing import Any

import numpy as np
import pytest

from fsmd.stats.estimates import Estimate
from tests import bench_statistics
from tests.bench_statistics import MAIN, OURS, PLAIN, RELATED, WORLDS, World, calibrated, measured

STUDIES = 120
"""Comparisons of one study go together: the error of a coverage is about 0.01, of a rate of one in
twenty 0.02, of a power 0.05."""
QUICK = ("all scatter alike", "log-normal deviations", "reference 2, others 1", "one other 3")


@pytest.mark.parametrize(
    "world",
    [
        pytest.param(w, id=w.name, marks=[] if w.name in QUICK else [pytest.mark.slow])
        for w in WORLDS
    ],
)
def test_five_seeds_keep_coverage_and_level_and_find_more(world: World) -> None:
    ours, plain = (measured(world, MAIN, STUDIES, 11, way) for way in (OURS, PLAIN))
    assert ours.coverage > 0.91
    assert ours.family_error < 0.11
    assert ours.power > plain.power + 0.05
    assert ours.width < 1.02 * plain.width


def test_where_arms_scatter_alike_intervals_are_a_seventh_narrower() -> None:
    ours, plain = (measured(WORLDS[0], MAIN, STUDIES, 12, way) for way in (OURS, PLAIN))
    assert ours.width < 0.88 * plain.width
    assert ours.power > 2 * plain.power


@pytest.mark.parametrize("design", [(10, 2), (10, 3), (4, 5)])
def test_smaller_designs_keep_coverage_and_level(design: tuple[int, int]) -> None:
    for world in (WORLDS[0], RELATED[0]):
        ours = measured(world, design, STUDIES, 13, OURS)
        assert ours.coverage > 0.91
        assert ours.family_error < 0.11


def test_two_arms_are_judged_as_by_a_plain_paired_test() -> None:
    ours, plain = (measured(WORLDS[0], (2, 5), 100, 14, way) for way in (OURS, PLAIN))
    assert ours[:3] == pytest.approx(plain[:3])


def test_calibration_tells_what_was_said_beside_what_was_true() -> None:
    found = calibrated(np.array([0.1, 0.3, 0.9]), np.array([0.0, 1.0, 1.0]), (0, 0.5, 0.8, 1.01))
    assert [tuple(each) for each in found] == [(0.2, 0.5, 2), (0.9, 1.0, 1)]


def test_the_bench_tells_its_figures_as_json(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_statistics, "DESIGNS", (MAIN,))
    monkeypatch.setattr(bench_statistics, "RELATED", ())
    assert bench_statistics.main(["--studies", "8"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in ("coverage_lowest", "family_error_highest", "power_at_4_se", "width_ratio"):
        assert 0 <= told[name] <= 1
    assert told["best_shown_falsely"] == 0
    assert told["best_shown"] > 0.5


def test_one_machinery_makes_the_estimates() -> None:
    fields = ("mean", "low", "high", "n", "se_seeds", "se_test", "df", "shared", "together")
    assert Estimate._fields == fields  # the bench makes them by place
