"""Encoding: everything fitted on train, nothing leaks, and nothing is done twice."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from fsmd import data
from fsmd.data import encode
from fsmd.data.checks import area_under_roc, check_tables
from fsmd.data.encode import encoded, open_encoded, vocabulary
from fsmd.data.planted import PlantedConfig, generate, load_planted
from fsmd.data.source import Categorical, Dense, Recipe, Source, Tables, on_fewer_rows
from fsmd.errors import UserError

RECIPE = Recipe(
    "toy",
    categorical=(Categorical("colour"), Categorical("user", min_count=2)),
    dense=(Dense("price", log=True), Dense("age")),
    tasks=("click", "buy"),
    funnel=True,
)


def toy(seed: int = 0, rows: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    click = draw.integers(0, 2, rows)
    return pd.DataFrame(
        {
            "colour": draw.choice(["red", "green", "blue"], rows),
            "user": draw.integers(0, 40, rows),
            "price": draw.lognormal(size=rows),
            "age": draw.normal(40, 10, rows),
            "click": click,
            "buy": click * draw.integers(0, 2, rows),
        }
    )


def tables() -> Tables:
    return Tables(toy(0), toy(1), toy(2))


def source(content: Tables, key: str = "a", recipe: Recipe = RECIPE) -> Source:
    return Source(recipe, {"content": key}, lambda: content)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path))
    return tmp_path


# --- fitted on train only ----------------------------------------------------------------


def test_a_category_not_seen_in_train_gets_id_0(cache: Path) -> None:
    content = tables()
    content.valid.loc[0, "colour"] = "ultraviolet"
    found = encoded(source(content))
    assert found.valid.ids[0, 0] == 0
    assert (found.valid.ids[1:, 0] > 0).all()
    assert found.schema.categorical[0].cardinality == 4


def test_a_category_rarer_than_the_minimum_shares_id_0(cache: Path) -> None:
    content = tables()
    found = encoded(source(content))
    counts = content.train["user"].map(content.train["user"].value_counts())
    np.testing.assert_array_equal(found.train.ids[:, 1] == 0, counts < 2)
    assert (
        found.schema.categorical[1].cardinality
        == 1 + (content.train["user"].value_counts() >= 2).sum()
    )


def test_vocabulary_is_sorted_so_ids_depend_on_no_order() -> None:
    column = pd.Series(["b", "a", "b", "c"])
    assert list(vocabulary(column)) == list(vocabulary(column[::-1])) == ["a", "b", "c"]


def test_scaling_is_fitted_on_train(cache: Path) -> None:
    content = tables()
    found = encoded(source(content))
    logs = np.log1p(content.train["price"])
    want = (np.log1p(content.test["price"]) - logs.mean()) / logs.std(ddof=0)
    np.testing.assert_allclose(found.test.dense[:, 0], want, rtol=1e-5)
    np.testing.assert_allclose(found.train.dense.mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(found.train.dense.std(0), 1, rtol=1e-5)


def test_other_validation_and_test_rows_change_nothing_of_train(cache: Path) -> None:
    one = encoded(source(tables(), "one"))
    other = encoded(source(Tables(toy(0), toy(8), toy(9)), "other"))
    for part in ("ids", "dense", "labels"):
        np.testing.assert_array_equal(getattr(one.train, part), getattr(other.train, part))
    assert one.schema == other.schema
    assert one.content_hash != other.content_hash


def test_rows_of_test_seen_in_train_are_marked(cache: Path) -> None:
    content = tables()
    test = pd.concat([content.train.iloc[:5], content.test], ignore_index=True)
    found = encoded(source(replace(content, test=test)))
    assert not found.test_unseen[:5].any()
    assert found.test_unseen[5:].all()


# --- cached ------------------------------------------------------------------------------


def test_a_second_start_reads_no_source_and_maps_the_arrays(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encoded(source(tables()))

    def unread() -> Tables:
        raise AssertionError("read again")

    second = encoded(Source(RECIPE, {"content": "a"}, unread))
    assert second.path == first.path
    assert isinstance(second.train.ids, np.memmap)
    assert second.content_hash == open_encoded(first.path).content_hash


@pytest.mark.parametrize("change", ["content", "recipe", "code"])
def test_another_content_recipe_or_code_is_encoded_anew(
    cache: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = encoded(source(tables()))
    other = source(tables(), "b" if change == "content" else "a")
    if change == "recipe":
        other = replace(other, recipe=replace(RECIPE, categorical=RECIPE.categorical[:1]))
    if change == "code":
        monkeypatch.setattr(encode, "_code", lambda: "other code")
    assert encoded(other).path != first.path


def test_encoding_at_once_from_several_threads_yields_one_folder(cache: Path) -> None:
    reads = []

    def read() -> Tables:
        reads.append(1)
        return tables()

    with ThreadPoolExecutor(4) as pool:
        paths = {f.path for f in pool.map(lambda _: encoded(Source(RECIPE, {}, read)), range(4))}
    assert len(paths) == len(reads) == 1


def test_a_failed_encoding_leaves_nothing_behind(cache: Path) -> None:
    broken = replace(tables(), test=toy(2).drop(columns="age"))
    with pytest.raises(UserError, match="no column 'age'"):
        encoded(source(broken))
    assert [p.name for p in (cache / "encoded").iterdir() if p.is_dir()] == []


# --- bad data is one clear line -----------------------------------------------------------


def spoil(change: Callable[[pd.DataFrame], Any]) -> Tables:
    content = tables()
    change(content.train)
    return content


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            spoil(lambda t: t.__setitem__("age", t["click"] * 2.0)),
            "'age' alone gives task 'click'",
        ),
        (spoil(lambda t: t.__setitem__("age", -t["buy"] * 1.0)), "'age' alone gives task 'buy'"),
        (
            spoil(lambda t: t.__setitem__("colour", t["click"].map({0: "no", 1: "yes"}))),
            "'colour' alone gives task 'click' an AUC of 1.0000",
        ),
        (spoil(lambda t: t.__setitem__("click", 2 * t["click"])), "must be 0 or 1"),
        (spoil(lambda t: t.__setitem__("buy", 0)), "all labels of 'buy' are 0"),
        (spoil(lambda t: t.__setitem__("buy", 1 - t["click"])), "without 'click'"),
        (spoil(lambda t: t.__setitem__("age", np.nan)), "missing or infinite"),
        (spoil(lambda t: t.__setitem__("age", "old")), "must be numeric"),
        (spoil(lambda t: t.__setitem__("price", -3.0)), "cannot take a log"),
        (replace(tables(), valid=toy(1).iloc[:0]), "valid: there are no rows"),
    ],
)
def test_bad_data_is_refused_with_column_and_reason(content: Tables, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        check_tables(RECIPE, content)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_feature_named_like_a_task_is_refused() -> None:
    recipe = replace(RECIPE, categorical=(Categorical("click"),))
    with pytest.raises(UserError, match="task 'click' is among the features"):
        check_tables(recipe, tables())


def test_a_strong_but_honest_feature_is_no_leak() -> None:
    content = tables()
    draw = np.random.default_rng(0)
    content.train["age"] = content.train["click"] + draw.normal(0, 0.4, len(content.train))
    check_tables(RECIPE, content)


def test_an_identifier_seen_once_is_no_leak() -> None:
    content = tables()
    content.train["user"] = np.arange(len(content.train))
    check_tables(RECIPE, content)


def test_an_unknown_name_lists_the_data_sets() -> None:
    with pytest.raises(UserError, match="no data set 'mars'; there are planted, census"):
        data.load("mars")


@pytest.mark.parametrize("seed", range(3))
def test_area_under_roc_agrees_with_scikit_learn(seed: int) -> None:
    draw = np.random.default_rng(seed)
    scores, labels = draw.integers(0, 9, 300), draw.integers(0, 2, 300)
    assert area_under_roc(scores, labels) == pytest.approx(roc_auc_score(labels, scores))


# --- planted ------------------------------------------------------------------------------

SMALL = PlantedConfig(rows=20_000, users=200, videos=100)


def test_planted_rates_are_the_real_ones() -> None:
    content = generate(PlantedConfig())
    log = pd.concat([content.train, content.valid, content.test])
    assert log["click"].mean() == pytest.approx(0.44, abs=0.01)
    assert log.loc[log["click"] == 1, "long_view"].mean() == pytest.approx(0.70, abs=0.01)
    assert [len(content.train), len(content.valid), len(content.test)] == [39993, 7961, 12046]


def test_reachable_auc_is_that_of_the_true_probabilities() -> None:
    content, found = generate(SMALL), load_planted(SMALL)
    assert content.truth is not None
    assert found.reachable is not None
    for task in found.schema.tasks:
        want = roc_auc_score(content.test[task], content.truth[task])
        assert found.reachable[task] == pytest.approx(want)
        assert 0.72 < want < 0.85
    mean = (found.reachable["click"] + found.reachable["long_view"]) / 2
    assert found.reachable["mean"] == pytest.approx(mean)


def test_labels_follow_the_true_probabilities() -> None:
    content = generate(PlantedConfig())
    assert content.truth is not None
    for task in ("click", "long_view"):
        p, y = content.truth[task].to_numpy(), content.test[task].to_numpy()
        for low, high in ((0, 0.25), (0.25, 0.5), (0.5, 1)):
            rows = (p >= low) & (p < high)
            error = 4 * np.sqrt(0.25 / rows.sum())
            assert y[rows].mean() == pytest.approx(p[rows].mean(), abs=error)


def test_the_conflict_knob_turns_what_drives_the_tasks_against_each_other() -> None:
    correlations = []
    for conflict in (0.0, 0.5, 1.0):
        content = generate(replace(SMALL, conflict=conflict))
        assert content.truth is not None
        click = content.truth["click"]
        stay = content.truth["long_view"] / click
        log_odds = [np.log(p / (1 - p)) for p in (click, stay)]
        correlations.append(np.corrcoef(np.stack(log_odds))[0, 1])
    assert correlations == pytest.approx([1, 0, -1], abs=0.05)


def test_planted_is_the_same_in_another_process_and_another_with_another_seed() -> None:
    code = (
        "from fsmd.data.planted import *; import sys;"
        "print(load_planted(PlantedConfig(rows=2000, users=50, videos=30)).content_hash)"
    )
    own = load_planted(PlantedConfig(rows=2000, users=50, videos=30))
    environment = {**os.environ, "FSMD_CACHE": str(own.path.parent / "elsewhere")}
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert run.stdout.strip() == own.content_hash
    other = load_planted(PlantedConfig(rows=2000, users=50, videos=30, seed=1))
    assert other.content_hash != own.content_hash


def test_a_name_may_carry_options_of_the_data_set() -> None:
    other = data.load("planted:conflict=0.25,rows=600,seed=1")
    meant = PlantedConfig(conflict=0.25, rows=600, seed=1)
    assert other.content_hash == load_planted(meant).content_hash
    assert sum(map(len, (other.train, other.valid, other.test))) == 600
    assert other.schema.name == "planted"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("planted:conflict=2", "`conflict` must lie between 0 and 1; got 2.0"),
        ("planted:rows=nan", "`rows` must be a whole number; got nan"),
        ("planted:seed=1.5", "`seed` must be a whole number; got 1.5"),
        ("planted:rows=20", "`rows` must be at least 500; got 20"),
        (
            "planted:users=5",
            "no option 'users' of the data set in 'planted:users=5'; it has conflict, rows",
        ),
        ("planted:conflict=much", "option 'conflict' in 'planted:conflict=much' must be a number"),
        ("census:conflict=1", "no option 'conflict' of the data set in .*; it has rows"),
    ],
)
def test_a_bad_option_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        data.load(name)


def test_on_fewer_rows_validation_and_test_stay_whole_and_order_is_kept() -> None:
    tables = generate(SMALL)
    source = Source(RECIPE, {"a": 1}, lambda: tables)
    fewer = on_fewer_rows(source, 1000)
    drawn = fewer.read()
    assert drawn.valid is tables.valid
    assert drawn.test is tables.test
    assert len(set(drawn.train.index)) == 1000
    assert drawn.train.index.is_monotonic_increasing
    pd.testing.assert_frame_equal(drawn.train, tables.train.loc[drawn.train.index])
    assert fewer.read().train.index.equals(drawn.train.index)
    assert fewer.key != on_fewer_rows(source, 1001).key != source.key
    assert on_fewer_rows(source, None) is source


@pytest.mark.parametrize("rows", [499, 1e9])
def test_fewer_rows_must_be_there_and_enough(rows: float) -> None:
    source = on_fewer_rows(Source(RECIPE, {}, lambda: generate(SMALL)), rows)
    with pytest.raises(UserError, match=r"`rows` must lie between 500 and the \d+ that there are"):
        source.read()


@pytest.mark.parametrize("change", [{"rows": 10}, {"users": 1}, {"conflict": 1.5}])
def test_a_bad_planted_configuration_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must"):
        PlantedConfig(**change)


def test_splits_are_by_day_so_rows_of_a_day_stay_together() -> None:
    content = generate(SMALL)
    indices = [set(part.index) for part in (content.train, content.valid, content.test)]
    assert not indices[0] & indices[1]
    assert not indices[1] & indices[2]
    assert sum(map(len, indices)) == SMALL.rows


def test_true_probabilities_are_a_funnel_too() -> None:
    content = generate(SMALL)
    assert content.truth is not None
    assert ((content.truth > 0) & (content.truth < 1)).all().all()
    assert (content.truth["long_view"] <= content.truth["click"]).all()
