"""Effects of a factorial design: those that were put in, and by hand."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from fsmd.stats.anova import EffectShare, effects, is_factorial, main_effects


def factorial(noise: float, interaction: float = 0.0) -> pd.DataFrame:
    rng = np.random.default_rng(5)
    block = rng.normal(0, 0.01, 4)

    def value(shape: str, depth: int, replicate: int) -> float:
        true = block[replicate] + 0.002 * (shape == "y") + 0.001 * depth
        both = interaction * (shape == "y") * (depth == 2)
        return float(0.7 + true + both + rng.normal(0, noise))

    rows = [
        {"shape": a, "depth": b, "count": c, "replicate": r, "value": value(a, b, r)}
        for a, b, c, r in product("xy", (0, 1, 2), (1, 2), range(4))
    ]
    return pd.DataFrame(rows)


def test_effects_are_those_put_in() -> None:
    found = {e.factors: e for e in effects(factorial(1e-6, interaction=0.003))}
    assert list(found) == [
        *(("shape",), ("depth",), ("count",)),
        *(("shape", "depth"), ("shape", "count"), ("depth", "count")),
    ]
    assert found["shape",].spread == pytest.approx(0.003, abs=1e-5)  # 0.002 and 0.003 / 3
    assert found["depth",].spread == pytest.approx(0.0035, abs=1e-5)
    # 0.003 in one of 2 x 3 cells, its row and column taken out: from -1/3 to +1/3 of it.
    assert found["shape", "depth"].spread == pytest.approx(0.002, abs=1e-5)
    assert found["shape", "depth"].p < 1e-6
    assert found["depth", "count"].p > 0.001
    assert sum(e.share for e in found.values()) == pytest.approx(1, abs=1e-3)


def test_sums_of_squares_of_a_balanced_design_are_worked_by_hand() -> None:
    frame = factorial(0.001)
    found = {e.factors: e for e in effects(frame)}
    value = frame["value"]
    centred = value - frame.groupby("replicate")["value"].transform("mean")
    means = frame.groupby("shape")["value"].transform("mean")
    between = float(((means - value.mean()) ** 2).sum())
    assert found["shape",].share == pytest.approx(between / float((centred**2).sum()))


def test_where_nothing_has_an_effect_p_is_uniform() -> None:
    rng = np.random.default_rng(6)
    frame = factorial(0.0).drop(columns="count")
    p = [effects(frame.assign(value=rng.normal(size=len(frame))))[2].p for _ in range(40)]
    assert stats.kstest(p, "uniform").pvalue > 0.001


def test_missing_cells_cost_the_interactions_that_need_them() -> None:
    frame = factorial(0.001)
    frame = frame[~((frame["shape"] == "y") & (frame["depth"] == 2))]
    frame.loc[frame.index[0], "value"] = np.nan
    assert ("shape", "depth") not in {e.factors for e in effects(frame)}
    assert ("shape", "count") in {e.factors for e in effects(frame)}


def test_a_factor_that_does_not_vary_has_no_effect() -> None:
    frame = factorial(0.001)
    found = effects(frame[frame["depth"] == 0])
    assert [e.factors for e in found] == [("shape",), ("count",), ("shape", "count")]


def test_a_factorial_has_every_combination_once() -> None:
    cells = pd.DataFrame(product("xyz", (1, 2), (2, 6, 10)), columns=["a", "b", "c"])
    assert is_factorial(cells)
    assert is_factorial(cells.assign(value=1.0))
    assert is_factorial(cells[cells["c"] != 6])
    assert not is_factorial(cells[:-1])
    assert not is_factorial(pd.concat([cells, cells[:1]]))
    assert not is_factorial(pd.concat([cells[:-1], cells[:1]]))
    assert not is_factorial(pd.DataFrame([{"a": 1}, {"b": 1}]))


def test_main_effects_are_those_of_a_linear_model() -> None:
    frame = pd.DataFrame(product(range(3), range(4)), columns=["a", "b"])
    frame["value"] = np.random.default_rng(7).normal(size=12) + 2.0 * frame["a"]
    found = main_effects(frame)
    assert list(found) == ["a", "b"]
    value_N = frame["value"].to_numpy()
    total = float(((value_N - value_N.mean()) ** 2).sum())
    unexplained = 1 - sum(effect.share for effect in found.values())
    for factor, (share, by_chance) in found.items():
        design = pd.get_dummies(frame[factor]).to_numpy(float)
        left = value_N - design @ np.linalg.lstsq(design, value_N, rcond=None)[0]
        assert share == pytest.approx(1 - float(left @ left) / total)
        freedom = frame[factor].nunique() - 1
        ratio = (by_chance / freedom) / ((share + unexplained - by_chance) / (11 - 2 - 3))
        assert stats.f.sf(ratio, freedom, 6) == pytest.approx(0.05)
    assert {effect.share for effect in main_effects(frame.assign(value=0.1)).values()} == {0.0}


def test_an_axis_without_effect_stays_below_its_mark_in_19_of_20_cases_whatever_another_does() -> (
    None
):
    frame = pd.DataFrame(product(range(5), range(4)), columns=["a", "b"])
    rng, above = np.random.default_rng(3), {"a": 0, "b": 0}
    for _ in range(500):
        found = main_effects(frame.assign(value=rng.normal(size=20) + 3 * frame["b"]))
        for factor, effect in found.items():
            above[factor] += effect.share > effect.by_chance
    assert above["b"] == 500
    assert 11 <= above["a"] <= 39  # 25, by three standard errors less or more


def test_of_one_factor_with_one_figure_a_value_nothing_is_left_to_test_by() -> None:
    frame = pd.DataFrame({"a": [1, 2, 3], "value": [0.1, 0.5, 0.9]})
    assert main_effects(frame) == {"a": EffectShare(1.0, 1.0)}


@pytest.mark.parametrize("level", [0.0, 0.1, 0.7, 1.0])
def test_where_all_figures_are_equal_no_share_and_no_p_is_made_of_rounding(level: float) -> None:
    frame = factorial(0.0).assign(value=level)
    for effect in effects(frame):
        assert np.isnan((effect.f, effect.p, effect.share)).all()
        assert effect.spread == pytest.approx(0.0, abs=1e-12)
