"""The bounds that the bench of the statistics tells, on fewer draws; the seed is fixed."""

import json
from typing import Any

import numpy as np
import pytest

from fsmd.stats.estimates import Estimate
from tests import bench_looks, bench_statistics
from tests.bench_statistics import (
    FRESH,
    MAIN,
    OURS,
    PLAIN,
    RELATED,
    WORLDS,
    World,
    calibrated,
    measured,
)

STUDIES = 120
"""Comparisons of one study go together: by chance a coverage is wrong by about 0.01, a rate of one
in twenty by 0.02, a power by 0.04. The draws are fixed, so each figure is: bounds lie a study or
two beyond it, and what moves the statistics moves it out of them."""
FOUND = {
    "all scatter alike": (0.939, 0.042, 0.417, 0.845),
    "reference 2, others 1": (0.921, 0.067, 0.317, 0.917),
    "one other 3": (0.948, 0.033, 0.242, 0.880),
}
"""Coverage, family error, power, and width over the plain one's."""
WORLD = {world.name: world for world in (*WORLDS, *RELATED, *FRESH)}


@pytest.mark.parametrize("name", FOUND)
def test_five_seeds_give_the_figures_that_they_gave(name: str) -> None:
    ours, plain = (measured(WORLD[name], MAIN, STUDIES, 11, way) for way in (OURS, PLAIN))
    coverage, family_error, power, width = FOUND[name]
    assert ours.coverage == pytest.approx(coverage, abs=0.003)
    assert ours.family_error == pytest.approx(family_error, abs=0.017)
    assert ours.power == pytest.approx(power, abs=0.025)
    assert ours.width / plain.width == pytest.approx(width, abs=0.005)
    assert ours.power > plain.power + 0.1


@pytest.mark.slow
@pytest.mark.parametrize("design", [MAIN, (6, 5), (15, 5), (6, 10)], ids=str)
@pytest.mark.parametrize("world", WORLD.values(), ids=lambda world: world.name)
def test_coverage_and_level_are_kept(world: World, design: tuple[int, int]) -> None:
    # of 500 studies, a coverage is wrong by 0.005 and a family's error by 0.01, by chance
    ours = measured(world, design, 500, 17, OURS)
    assert ours.coverage > 0.93 - 0.01
    assert ours.family_error < 0.05 + 0.02


def test_four_arms_keep_coverage_and_level() -> None:
    for name, coverage in (("all scatter alike", 0.950), ("two groups of arms", 0.955)):
        ours = measured(WORLD[name], (4, 5), STUDIES, 13, OURS)
        assert ours.coverage == pytest.approx(coverage, abs=0.003)
        assert ours.family_error == pytest.approx(0.033, abs=0.017)


@pytest.mark.parametrize("design", [(10, 2), (10, 4)])
def test_below_five_seeds_arms_are_judged_as_by_a_plain_paired_test(
    design: tuple[int, int],
) -> None:
    ours, plain = (measured(WORLDS[0], design, 60, 13, way) for way in (OURS, PLAIN))
    assert ours[:3] == pytest.approx(plain[:3])
    assert plain.family_error <= ours.family_error <= plain.family_error + 0.02  # Sidak, not Holm


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
    monkeypatch.setattr(bench_statistics, "FRESH_DESIGNS", ((6, 5),))
    monkeypatch.setattr(bench_looks, "WORLDS", (bench_looks.MIXED_WORLD,))
    assert bench_statistics.main(["--studies", "8"]) == 0
    told: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[-1])
    for name in ("coverage_lowest", "family_error_highest", "power_at_4_se", "width_ratio"):
        assert 0 <= told[name] <= 1
    assert 0 <= told["fresh_family_error_highest"] < told["fresh_coverage_lowest"] <= 1
    assert 0 <= told["look_error"] < told["look_power"] <= 1
    assert 5 <= told["look_mean_seeds"] <= 40
    assert told["best_shown_falsely"] == 0
    assert told["best_shown"] > 0.5


def test_one_machinery_makes_the_estimates() -> None:
    fields = ("mean", "low", "high", "n", "se_seeds", "se_test", "df", "shared", "together")
    assert Estimate._fields == fields  # the bench makes them by place
