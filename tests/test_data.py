"""Encoding: everything fitted on train, nothing leaks, and nothing is done twice."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss, roc_auc_score

from fsmd import data
from fsmd.data import encode, sets
from fsmd.data.checks.learnable import check_recipe, refusing
from fsmd.data.encode import encoded, groups
from fsmd.data.encoded import open_encoded
from fsmd.data.encoder import Encoder
from fsmd.data.fitting.fitting import Fitting
from fsmd.data.rows.frames import Tables, fields_of, of_tables, parts_of
from fsmd.data.sets.planted import TASKS, PlantedConfig, generate, load_planted, recipe_of
from fsmd.data.settings import TrainingSettings
from fsmd.data.source import Categorical, Dense, Recipe, Source, on_fewer_rows
from fsmd.errors import UserError
from fsmd.metrics import METRICS
from fsmd.tasks import Task

RECIPE = Recipe(
    "toy",
    categorical=(Categorical("colour"), Categorical("user", min_count=2)),
    dense=(Dense("price", scale="log"), Dense("age")),
    tasks=(Task("click"), Task("buy", after="click")),
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
    return of_tables(recipe, {"content": key}, lambda: content)


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
    assert found.schema.categorical[0].cardinality == 5


def test_a_category_rarer_than_the_minimum_shares_id_0(cache: Path) -> None:
    content = tables()
    found = encoded(source(content))
    counts = content.train["user"].map(content.train["user"].value_counts())
    np.testing.assert_array_equal(found.train.ids[:, 1] == 0, counts < 2)
    assert (
        found.schema.categorical[1].cardinality
        == 2 + (content.train["user"].value_counts() >= 2).sum()
    )


def fit(recipe: Recipe, content: Tables) -> Encoder:
    with TemporaryDirectory() as folder:
        fitting = Fitting(recipe, 2**30, Path(folder))
        for part in parts_of(recipe, content):
            fitting.see(part)
        return fitting.settled()[0]


def fitted(recipe: Recipe, train: pd.DataFrame) -> Encoder:
    return fit(recipe, Tables(train, train, train))


def test_a_vocabulary_is_sorted_by_count_then_text_so_ids_depend_on_no_order() -> None:
    frame = toy().assign(colour=["c", "b", "b", "a", "a", *["d"] * 55])
    words = [fitted(RECIPE, f).vocabularies[0].words for f in (frame, frame[::-1])]
    assert words == [("d", "a", "b", "c")] * 2


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


def naive_ids(column: Categorical, train: pd.Series, values: pd.Series) -> list[int]:
    text = train.map(str)
    kept = [v for v in sorted(set(text)) if (text == v).sum() >= column.min_count]
    kept.sort(key=lambda v: -(text == v).sum())
    return [kept.index(v) + 2 if v in kept else 0 for v in values.map(str)]


def test_an_encoder_read_back_from_the_folder_encodes_any_table_as_the_data_was(
    cache: Path,
) -> None:
    content = tables()
    found = encoded(source(content))
    kept = Encoder.from_json((found.path / "encoder.json").read_text("utf-8"))
    assert kept == fitted(RECIPE, content.train)
    for split in ("train", "valid", "test"):
        ids, dense = kept.transform(fields_of(RECIPE, "toy", getattr(content, split)))
        np.testing.assert_array_equal(ids, getattr(found, split).ids)
        np.testing.assert_array_equal(dense, getattr(found, split).dense)
    assert kept.schema(masked=False, weighted=False) == found.schema
    fresh = toy(7, rows=9).drop(columns=["click", "buy"])
    fresh.loc[0, "colour"] = "ultraviolet"
    fields = fields_of(RECIPE, "toy", fresh)
    ids, dense = kept.transform(fields)
    for i, column in enumerate(RECIPE.categorical):
        want = naive_ids(column, content.train[column.name], fresh[column.name])
        assert ids[:, i].tolist() == want
    assert (str(ids.dtype), str(dense.dtype)) == ("int32", "float32")
    with pytest.raises(UserError, match=r"toy: no column 'age'; there are colour, user, price$"):
        kept.transform(fields.drop_columns(["age"]))


@pytest.mark.parametrize(
    "values",
    [[3, 1, 2], ["3", "1", "2"], [0.5, 1.5, -1.0], [True, False, True]],
    ids=["int", "text", "float", "bool"],
)
def test_a_vocabulary_survives_json_whatever_its_values_are(values: list[Any]) -> None:
    frame = pd.DataFrame({"x": values, "t": 0})
    recipe = Recipe("one", (Categorical("x"),), (), (Task("t"),))
    encoder = fitted(recipe, frame)
    fields = fields_of(recipe, "one", frame)
    again = Encoder.from_json(encoder.to_json())
    assert again == encoder
    np.testing.assert_array_equal(again.transform(fields)[0], encoder.transform(fields)[0])
    assert again.transform(fields)[0].min() > 1


def test_rows_of_one_user_share_a_unit_and_a_row_without_one_has_its_own(cache: Path) -> None:
    users = pd.Series(["b", None, "a", "b", None, "rare"])
    recipe = replace(RECIPE, user="user")
    part, *others = parts_of(recipe, Tables(*[toy(rows=6).assign(user=users)] * 3))
    assert part.user_N is not None
    for other in others:  # whose users without a name are others
        same_N = (part.user_N == other.user_N).tolist()
        assert same_N == users.notna().tolist()
    numbers = groups(part.user_N)
    assert numbers.dtype == np.uint32
    assert sorted(set(numbers)) == [0, 1, 2, 3, 4]
    for i in range(6):
        for j in range(6):
            same = i == j or (users[i] is not None and users[i] == users[j])
            assert (numbers[i] == numbers[j]) == same
    content = tables()
    found = encoded(source(content, recipe=replace(RECIPE, user="user")))
    assert found.test.users is not None
    # Users that train does not know, or knows once, share id 0, and are different users still.
    assert len(set(found.test.users)) == content.test["user"].nunique()
    assert encoded(source(content)).test.users is None


def test_a_missing_label_is_not_observed_and_weights_are_kept(cache: Path) -> None:
    content = tables()
    for frame in (content.train, content.valid, content.test):
        frame["buy"] = frame["buy"].astype("Int64").mask(frame.index % 3 == 0)
        frame["counts"] = np.arange(len(frame)) % 4
    found = encoded(source(content, recipe=replace(RECIPE, weight="counts")))
    assert (found.schema.masked, found.schema.weighted) == (True, True)
    for split in (found.train, found.valid, found.test):
        np.testing.assert_array_equal(np.isnan(split.labels[:, 1]), np.arange(60) % 3 == 0)
        assert not np.isnan(split.labels[:, 0]).any()
        assert split.weights is not None
        np.testing.assert_array_equal(split.weights, np.arange(60) % 4)
    plain = encoded(source(tables()))
    assert (plain.schema.masked, plain.schema.weighted) == (False, False)
    assert plain.train.weights is None


def test_a_data_set_shows_its_name_rows_and_tasks(cache: Path) -> None:
    shown = repr(encoded(source(tables()), "toy:rows=60"))
    assert shown == (
        "<Dataset toy:rows=60: 60 train, 60 valid, 60 test rows; tasks click, buy after click>"
    )


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

    second = encoded(of_tables(RECIPE, {"content": "a"}, unread))
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
        monkeypatch.setattr(encode, "_code", lambda file: "other code")
    assert encoded(other).path != first.path


def test_the_text_of_a_data_sets_own_file_counts_as_its_content(
    cache: Path, tmp_path: Path
) -> None:
    file, paths = tmp_path / "own.py", set()
    for text in ("a = 1", "a = 2"):
        file.write_text(text)
        paths.add(encoded(source(tables()), file=str(file)).path)
    assert len(paths) == 2


def test_encoding_at_once_from_several_threads_yields_one_folder(cache: Path) -> None:
    reads = []

    def read() -> Tables:
        reads.append(1)
        return tables()

    with ThreadPoolExecutor(4) as pool:
        paths = {
            f.path for f in pool.map(lambda _: encoded(of_tables(RECIPE, {}, read)), range(4))
        }
    assert len(paths) == len(reads) == 1


def test_a_failed_encoding_leaves_nothing_behind(cache: Path) -> None:
    broken = replace(tables(), test=toy(2).drop(columns="age"))
    with pytest.raises(UserError, match="no column 'age'"):
        encoded(source(broken))
    assert [p.name for p in (cache / "encoded").iterdir() if p.is_dir()] == []


# --- bad data is one clear line -----------------------------------------------------------


def check_tables(recipe: Recipe, content: Tables) -> None:
    """Refuse what is refused when it is encoded, without a disk."""
    check_recipe(recipe)
    checks = refusing(recipe)
    for part in parts_of(recipe, content):
        for check in checks:
            check.see(part)
    fit(recipe, content)
    for check in checks:
        for finding in check.findings():
            raise UserError(finding.text)


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
        (spoil(lambda t: t.__setitem__("click", 2 * t["click"])), "must be 0, 1 or missing"),
        (spoil(lambda t: t.__setitem__("click", "yes")), "must be 0, 1 or missing; got yes"),
        (
            spoil(lambda t: t.__setitem__("buy", t["buy"].where(t["buy"] == 1))),
            "all labels of 'buy' are 1",
        ),
        (spoil(lambda t: t.__setitem__("buy", np.nan)), "'buy' was observed on no row"),
        (spoil(lambda t: t.__setitem__("buy", 0)), "all labels of 'buy' are 0"),
        (spoil(lambda t: t.__setitem__("buy", 1 - t["click"])), "without 'click'"),
        (
            spoil(lambda t: t.__setitem__("age", np.inf)),
            "must lie between -1e+30 and 1e+30; row 0 (from 0) has inf",
        ),
        (spoil(lambda t: t.__setitem__("age", "old")), "must be numeric"),
        (spoil(lambda t: t.__setitem__("price", -3.0)), "must lie between -0.999999 and 1e+30"),
        (replace(tables(), valid=toy(1).iloc[:0]), "valid: there are no rows"),
    ],
)
def test_bad_data_is_refused_with_column_and_reason(content: Tables, message: str) -> None:
    with pytest.raises(UserError) as refusal:
        check_tables(RECIPE, content)
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            -1.0,
            r"row 0 .*: weights 'counts' must lie between 0 and 1e\+15, none",
        ),
        (0.0, "must not all be 0"),
        (
            np.nan,
            r"row 0 .*: weights 'counts' must lie between 0 and 1e\+15, none",
        ),
        (
            np.inf,
            r"row 0 .*: weights 'counts' must lie between 0 and 1e\+15, none",
        ),
        ("much", "column 'counts' must be numeric; row 0 .* has 'much'"),
        (lambda t: t["click"], "all labels of 'click' are 1; both classes are needed"),
    ],
)
def test_bad_weights_are_refused(weights: Any, message: str) -> None:
    content = tables()
    for frame in (content.train, content.valid, content.test):
        frame["counts"] = weights(frame) if callable(weights) else weights
    with pytest.raises(UserError, match=message):
        check_tables(replace(RECIPE, weight="counts"), content)


@pytest.mark.parametrize("column", ["weight", "user"])
def test_a_weight_or_user_that_is_no_column_is_refused(column: str) -> None:
    with pytest.raises(UserError, match="no column 'person'; there are colour, user"):
        check_tables(replace(RECIPE, **{column: "person"}), tables())  # type: ignore[arg-type]


def test_a_funnel_is_broken_where_the_parent_is_known_to_be_0_only() -> None:
    content = tables()
    clicked = content.train["click"] == 1
    content.train["click"] = content.train["click"].astype(float)
    content.train.loc[content.train["buy"] == 1, "click"] = np.nan
    assert clicked.sum() > content.train["click"].sum()
    check_tables(RECIPE, content)
    content.train.loc[content.train["buy"] == 1, "click"] = 0
    with pytest.raises(UserError, match="rows have 'buy' without 'click', which it follows"):
        check_tables(RECIPE, content)


def test_two_tasks_that_follow_one_may_each_be_there_without_the_other() -> None:
    content = tables()
    draw = np.random.default_rng(9)
    for frame in (content.train, content.valid, content.test):
        frame["like"] = frame["click"] * draw.integers(0, 2, len(frame))
        assert (frame["like"] > frame["buy"]).any()
        assert (frame["like"] < frame["buy"]).any()
    tree = replace(RECIPE, tasks=(*RECIPE.tasks, Task("like", after="click")))
    check_tables(tree, content)
    line = replace(RECIPE, tasks=(*RECIPE.tasks, Task("like", after="buy")))
    with pytest.raises(UserError, match="'like' without 'buy'"):
        check_tables(line, content)


def test_a_leak_is_sought_on_the_rows_that_were_observed() -> None:
    content = tables()
    content.train["age"] = np.where(content.train.index % 2, content.train["buy"] * 1.0, 0.5)
    content.train["buy"] = content.train["buy"].where(content.train.index % 2 == 1)
    with pytest.raises(UserError, match=r"'age' alone gives task 'buy' an AUC of 1\.0000"):
        check_tables(RECIPE, content)


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
    with pytest.raises(UserError, match=r"no data set 'mars'; there are planted, .*census, "):
        data.load("mars")


# --- one file is enough ---------------------------------------------------------------------

MINE = """
import numpy as np
import pandas as pd
from fsmd.data.rows.frames import Tables, of_tables
from fsmd.data.source import Categorical, Dense, Recipe
from fsmd.data.settings import TrainingSettings
from fsmd.tasks import Task

RECIPE = Recipe(
    "mine", (Categorical("colour"),), (Dense("age"),), (Task("buy", metric="log_loss"),),
    settings=TrainingSettings(batch_size=32, epochs=2),
)

def read(word):
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"colour": draw.integers(0, 4, 200), "age": draw.normal(size=200)})
    frame["buy"] = (draw.random(200) < 0.5).astype(int)
    frame["word"] = word
    return Tables(frame[:100], frame[100:150], frame[150:])

def _source(word: str = "a", rate: float = 0.5):
    return of_tables(RECIPE, {"word": word}, lambda: read(word))

def sources():
    return {"mine": _source}
"""


@pytest.fixture
def own_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which data sets are found too."""
    before = set(sys.modules)
    folder = tmp_path / "sets"
    folder.mkdir()
    monkeypatch.setattr(sets, "__path__", [*sets.__path__, str(folder)])
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith("fsmd.data.sets."):
            del sys.modules[name]
            vars(sets).pop(name.rpartition(".")[2], None)


def test_a_new_file_is_a_data_set_with_its_own_settings(cache: Path, own_sets: Path) -> None:
    (own_sets / "mine.py").write_text(MINE)
    assert data.names()[0] == "planted"
    assert {"census", "kuairand", "mine"} <= set(data.names())
    found = data.load("mine:word=much")
    assert found.name == "mine:word=much"
    assert found.schema.name == "mine"
    assert found.settings == TrainingSettings(batch_size=32, epochs=2)
    assert found.schema.tasks == (Task("buy", metric="log_loss"),)
    assert data.load("mine:metric=auc").schema.tasks == (Task("buy"),)
    with pytest.raises(UserError, match="it has word, rate, metric"):
        data.load("mine:size=3")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", r"mine.py is faulty: ZeroDivisionError: division by zero \(line 1\)"),
        ("def", "mine.py is faulty: SyntaxError"),
        ("raise SystemExit('no')", "mine.py is faulty: SystemExit: no"),
        (MINE.replace("return Tables(", "exit(3) or Tables("), "mine.py is faulty: SystemExit: 3"),
        ("a = 1", "mine.py is faulty: AttributeError"),
        ("def sources(): return 3", "mine.py is faulty: AttributeError"),
        ("def sources(): return {'mine': 3}", "mine.py is faulty: TypeError"),
        (MINE.replace("draw.normal(size=200)", "age"), r"mine.py is faulty: NameError.*\(line"),
        (MINE.replace("RECIPE, {", "RECIPES, {"), "mine.py is faulty: NameError"),
        (MINE.replace("return of_tables(", "return ("), "faulty: TypeError: a Source is needed"),
        (MINE.replace("return Tables(", "return ("), "faulty: TypeError: `read` must give Tables"),
        (MINE.replace("frame[150:])", "None)"), "`test` must be a pandas table; got NoneType"),
    ],
)
def test_a_faulty_file_is_one_line_when_asked_for_and_hurts_no_other(
    cache: Path, own_sets: Path, text: str, message: str
) -> None:
    (own_sets / "mine.py").write_text(text)
    with pytest.raises(UserError, match=message) as refusal:
        data.load("mine")
    assert "\n" not in str(refusal.value)
    assert {"planted", "census", "census_no_leak", "kuairand"} <= set(data.names())
    assert len(data.load("planted:rows=500").train) > 0
    with pytest.raises(UserError, match="no data set 'mars'; there are planted"):
        data.load("mars")


def test_one_name_in_two_files_is_refused_when_asked_for(cache: Path, own_sets: Path) -> None:
    (own_sets / "mine.py").write_text(MINE)
    (own_sets / "other.py").write_text(MINE)
    with pytest.raises(UserError, match=r"'mine' is in .*mine.py and in .*other.py; rename one"):
        data.load("mine")
    assert "planted" in data.names()


@pytest.mark.parametrize("metric", METRICS)
def test_any_data_set_may_be_judged_by_another_metric(metric: str) -> None:
    name = f"planted:rows=4000,metric={metric}"
    if not METRICS[metric].judges:
        with pytest.raises(UserError, match=f"must be one of .*; got '{metric}'"):
            data.load(name)
        return
    found = data.load(name)
    assert [task.metric for task in found.schema.tasks] == [metric] * 2
    assert found.schema.tasks[1].after == "click"
    assert found.reachable is not None
    if metric != "auc":
        assert found.content_hash != data.load("planted:rows=4000").content_hash


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
    assert set(found.reachable) == {"click", "long_view"}
    for task, value in found.reachable.items():
        want = roc_auc_score(content.test[task], content.truth[task])
        assert value == pytest.approx(want)
        assert 0.72 < want < 0.85


def test_reachable_log_loss_is_that_of_the_true_probabilities() -> None:
    name = "planted:rows=20000,tasks=3,metric=log_loss"
    content, found = generate(PlantedConfig(rows=20_000, tasks=3)), data.load(name)
    assert content.truth is not None
    assert found.reachable is not None
    for task in ("click", "long_view", "like"):
        want = log_loss(content.test[task], content.truth[task])
        assert found.reachable[task] == pytest.approx(want)


def test_labels_follow_the_true_probabilities() -> None:
    content = generate(PlantedConfig(tasks=5))
    assert content.truth is not None
    for task in (task.name for task in TASKS):
        p, y = content.truth[task].to_numpy(), content.test[task].to_numpy()
        for low, high in ((0, 0.25), (0.25, 0.5), (0.5, 1)):
            rows = (p >= low) & (p < high)
            if rows.sum() < 30:
                continue
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
        "from fsmd.data.sets.planted import *; import sys;"
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
        ("planted:rows=600,rows=700", "option 'rows' is there twice"),
        (
            "planted:users=5",
            "no option 'users' of the data set in 'planted:users=5'; it has conflict, rows",
        ),
        ("census:conflict=1", "no option 'conflict' of the data set in .*; it has rows"),
    ],
)
def test_a_bad_option_is_refused(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        data.load(name)


def test_on_fewer_rows_validation_and_test_stay_whole_and_order_is_kept() -> None:
    source = of_tables(recipe_of(2), {"a": 1}, lambda: generate(SMALL))
    fewer = on_fewer_rows(source, 1000)

    def rows(source: Source, split: str) -> pd.DataFrame:
        parts = [part for part in source.parts() if part.split == split]
        frames = [part.fields.to_pandas().set_index(part.where.rows_N) for part in parts]
        joined: pd.DataFrame = pd.concat(frames)
        return joined

    for split in ("valid", "test"):
        pd.testing.assert_frame_equal(rows(fewer, split), rows(source, split))
    drawn = rows(fewer, "train")
    assert len(set(drawn.index)) == 1000
    assert drawn.index.is_monotonic_increasing
    pd.testing.assert_frame_equal(drawn, rows(source, "train").loc[drawn.index])
    pd.testing.assert_frame_equal(rows(fewer, "train"), drawn)
    assert fewer.key != on_fewer_rows(source, 1001).key != source.key
    assert on_fewer_rows(source, None) is source


def test_fewer_rows_must_be_there_and_enough() -> None:
    source = of_tables(recipe_of(2), {}, lambda: generate(SMALL))
    with pytest.raises(UserError, match=r"`rows` must be at most the \d+ that there are"):
        list(on_fewer_rows(source, 10**9).parts())
    with pytest.raises(
        UserError, match=r"`rows` must be a whole number between 500 and .*; got '499'"
    ):
        on_fewer_rows(source, 499)


@pytest.mark.parametrize("tasks", [1, 3, 5])
def test_the_number_of_tasks_moves_no_feature_and_no_other_task(tasks: int) -> None:
    two, other = generate(SMALL), generate(replace(SMALL, tasks=tasks))
    names = [task.name for task in TASKS]
    both = names[: min(tasks, 2)]
    for split in ("train", "valid", "test"):
        had, has = getattr(two, split), getattr(other, split)
        assert [name for name in has if name in names] == names[:tasks]
        features = [name for name in had if name not in names]
        pd.testing.assert_frame_equal(had[[*features, *both]], has[[*features, *both]])
    assert two.truth is not None
    assert other.truth is not None
    pd.testing.assert_frame_equal(two.truth[both], other.truth[both])


def test_further_tasks_have_their_rates_and_share_and_oppose_drivers() -> None:
    content = generate(PlantedConfig(tasks=5))
    log = pd.concat([content.train, content.valid, content.test])
    assert log.loc[log["click"] == 1, "like"].mean() == pytest.approx(0.30, abs=0.01)
    assert log.loc[log["like"] == 1, "follow"].mean() == pytest.approx(0.40, abs=0.02)
    assert log["share"].mean() == pytest.approx(0.15, abs=0.01)
    assert content.truth is not None
    given = {
        task.name: content.truth[task.name] / (content.truth[task.after] if task.after else 1)
        for task in TASKS
    }
    log_odds = pd.DataFrame({name: np.log(p / (1 - p)) for name, p in given.items()})
    like = log_odds.corr()["like"]
    assert like["long_view"] > 0.3
    assert like["click"] < -0.15
    assert log_odds.corr()["share"]["long_view"] < -0.3


@pytest.mark.parametrize("seed", range(3))
def test_the_smallest_log_has_both_classes_of_all_five_tasks(seed: int) -> None:
    assert data.load(f"planted:rows=1000,tasks=5,seed={seed}").reachable is not None


@pytest.mark.parametrize("change", [{"rows": 10}, {"users": 1}, {"conflict": 1.5}, {"tasks": 6}])
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
