"""Dirty tables: one rule from values to categories and numbers, checked, and said."""

import json
import logging
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from decimal import Decimal
from functools import partial
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, NamedTuple, TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fsmd import data
from fsmd.config import MODELS
from fsmd.data.checks.learnable import check_recipe
from fsmd.data.encode import encoded, write_encoded
from fsmd.data.encoder import SCALED_BOUND, Encoder
from fsmd.data.options import Between, parsed
from fsmd.data.rows.frames import Tables, fields_of, of_tables
from fsmd.data.schema import Schema
from fsmd.data.sets.planted import PlantedConfig
from fsmd.data.settings import TrainingSettings
from fsmd.data.source import Categorical, Dense, Recipe, Source
from fsmd.data.values import labels_of, numbers_of, words_of
from fsmd.errors import UserError
from fsmd.metrics import METRICS
from fsmd.tasks import Task
from fsmd.training import Measurement, Training, TrainingResult, train
from reports.results import read
from reports.study.tables import other_tables
from studies.definition import Arm, Study
from studies.store.database import open_engine
from tests.lab import Lab, result_of

T = TypeVar("T")
RECIPE = Recipe("toy", (Categorical("kind"),), (Dense("size"),), (Task("click"),))
SPLITS = ("train", "valid", "test")


def frame(rows: int = 40, seed: int = 0) -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "kind": draw.integers(0, 5, rows),
            "size": draw.normal(50, 10, rows),
            "click": np.arange(rows) % 2,
        }
    )


def tables(**changes: Any) -> Tables:
    """`<split>_<column>=values` puts other values into a column, `<column>=values` into all."""
    made = {split: frame(seed=i) for i, split in enumerate(SPLITS)}
    for name, values in changes.items():
        split, _, column = name.rpartition("_")
        for part in [split] if split else SPLITS:
            made[part] = (
                made[part].drop(columns=column, errors="ignore").assign(**{column: values})
            )
    return Tables(**made)


class Through(NamedTuple):
    """What was written of a data set, and said."""

    encoder: Encoder
    schema: Schema
    arrays: dict[str, NDArray[Any]]
    said: list[str]


def through(content: Tables, recipe: Recipe = RECIPE) -> Through:
    """All that `encoded` does but for the cache."""
    check_recipe(recipe)
    said: list[str] = []
    with TemporaryDirectory() as base, pytest.MonkeyPatch.context() as patch:
        patch.setattr("fsmd.data.encode.say", said.append)
        folder = Path(base, "new")
        folder.mkdir()
        write_encoded(of_tables(recipe, {}, lambda: content), folder, 2**20)
        arrays = {path.stem: np.load(path) for path in folder.glob("*.npy")}
        encoder = Encoder.from_json((folder / "encoder.json").read_text("utf-8"))
        schema = Schema.from_dict(json.loads((folder / "schema.json").read_text())["schema"])
    return Through(encoder, schema, arrays, said)


def attempted(call: Callable[[], T]) -> tuple[T | None, str]:
    """What the call gives, or None and how it was refused."""
    try:
        return call(), ""
    except UserError as refused:
        return None, str(refused)


def refusal(content: Tables, recipe: Recipe = RECIPE) -> str:
    with pytest.raises(UserError) as refused:
        through(content, recipe)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def check_arrays(schema: Schema, arrays: dict[str, NDArray[Any]]) -> None:
    for split in SPLITS:
        ids, dense = arrays[f"{split}_ids"], arrays[f"{split}_dense"]
        assert (str(ids.dtype), str(dense.dtype)) == ("int32", "float32")
        assert ((ids >= 0) & (ids < np.array(schema.cardinalities))).all()
        assert (np.abs(dense) <= SCALED_BOUND).all()  # nor is any NaN
        assert (
            set(np.unique(arrays[f"{split}_labels"])) - {0, 1} <= {np.nan}
            or np.isnan(arrays[f"{split}_labels"]).any()
        )


# --- whatever the values are ----------------------------------------------------------------

LISTS = st.lists(st.integers(0, 3), max_size=2)
TEXTS = st.one_of(
    st.text("a1 <é\0\n\u2028\U0001f600", max_size=4),
    st.sampled_from(["", "0", "1", "1.0", "nan", "a\0b", "a\0c", "a\nb", "x" * 5000, "\ud800"]),
)
NUMBERS: st.SearchStrategy[Any] = st.one_of(
    st.booleans(),
    st.integers(-3, 3),
    st.integers(),
    st.sampled_from([10**25, 2**53 + 1, 10**400, -(10**4000)]),
    st.floats(),
    st.floats(width=32).map(np.float32),
    st.integers(-3, 3).map(float),
    st.sampled_from([1e39, 3.4e38, -1e30, 1e-310, 14.62, 14.62 + 1e-14, -0.0]),
    st.integers(-3, 3).map(np.int8),
    st.booleans().map(np.bool_),
    st.decimals(allow_nan=False),
    st.just(Decimal("nan")),
    st.integers(-3, 3).map(Decimal),
)
MISSING = st.sampled_from([None, np.nan, pd.NA, pd.NaT])
OTHERS: st.SearchStrategy[Any] = st.one_of(
    st.binary(max_size=3),
    LISTS,
    LISTS.map(tuple),
    LISTS.map(np.array),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=1),
    st.complex_numbers(),
    st.sampled_from([date(2026, 1, 1), pd.Timestamp(0), pd.Timedelta(1), pd.Interval(0, 1)]),
)
VALUES = st.one_of(TEXTS, NUMBERS, MISSING, OTHERS)


KINDS = st.one_of(
    *(
        st.lists(kind, min_size=1, max_size=8)
        for kind in (TEXTS, NUMBERS, TEXTS | NUMBERS, NUMBERS | MISSING, MISSING, VALUES)
    )
)
DTYPES = st.sampled_from(
    [*[object] * 4, None, "str", "category", "Int64", "Float64", "float32", "boolean", "bool"]
)
SEEDS = st.integers(0, 2**32 - 1)


def of_pool(pool: list[Any], dtype: Any, seed: int, rows: int = 8) -> pd.Series:
    """A column of values from the pool, of that dtype if it holds them."""
    chosen = np.random.default_rng(seed).integers(0, len(pool), rows)
    values = [pool[i] for i in chosen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            column: pd.Series = pd.Series(values, dtype=dtype)
        except Exception:  # pandas has many
            column = pd.Series(values, dtype=object)
    return column


COLUMNS = st.builds(of_pool, KINDS, DTYPES, SEEDS)


def is_equal(one: Any, other: Any) -> bool:
    """Whether Python says that two values that can be categories are equal.

    0.1 of 32 bits is written as 0.1, so it is that category, although Python says otherwise.
    """
    both = [v.item() if isinstance(v, np.generic) else v for v in (one, other)]
    kinds = str | int | float | Decimal
    return (
        all(isinstance(value, kinds) for value in both)
        and not any(isinstance(value, np.float32) for value in (one, other))
        and both[0] == both[1]
    )


@settings(deadline=None)
@given(COLUMNS)
def test_equal_values_are_one_category_and_others_are_refused_by_column_and_row(
    column: pd.Series,
) -> None:
    column.name = "odd\nname"
    found, said = attempted(lambda: words_of("toy, train", column))
    if found is None:
        assert "toy, train: categories of column 'odd\\nname'" in said
        assert "row " in said
        assert len(said) < 300
        return
    values = list(column.to_numpy(object))
    for value, code in zip(values, found.code_N, strict=True):
        assert (code == -1) == bool(pd.isna(value))
        for other, other_code in zip(values, found.code_N, strict=True):
            if is_equal(value, other):
                assert code == other_code
    again = words_of("toy, train", column.iloc[::-1])
    assert set(again.words) == set(found.words)


@settings(deadline=None)
@given(COLUMNS)
def test_a_column_of_numbers_is_what_float_makes_of_it_or_refused_by_column_and_row(
    column: pd.Series,
) -> None:
    column.name = "size"
    found, said = attempted(lambda: numbers_of("toy", column))
    if found is None:
        assert said.startswith("toy: column 'size' must be numeric; row ")
        assert column.dtype not in ("Int64", "Float64", "float32", "boolean")
        return
    for value, number in zip(column.to_numpy(object), found, strict=True):
        if pd.isna(value):
            assert np.isnan(number)
        else:
            assert number == pytest.approx(float(value), rel=1e-6, abs=1e-300)


NAMES = st.one_of(
    st.text("a1 <é\0\n\u2028\U0001f600", min_size=1, max_size=4),
    st.sampled_from(["a\0b", "a\nb", "../a", "<b>", "'", "class", "x" * 300, "kind", "click"]),
)


def table(names: list[str], hostile: dict[int, pd.Series], rows: int) -> pd.DataFrame:
    """A category, a number, a weight and a label; those at the given positions are hostile."""
    plain = frame(8)
    parts = [plain["kind"], plain["size"], plain["size"], plain["click"]]
    chosen = [hostile.get(i, part) for i, part in enumerate(parts)]
    return pd.concat(chosen, axis=1, keys=[*names, "click"])[:rows]


ROWS = st.sampled_from([*[8] * 20, 7, 1, 0])
FEW_HOSTILE = st.dictionaries(st.sampled_from([0, 0, 0, 1, 1, 1, 2, 3]), COLUMNS, max_size=1)
NAMED = st.lists(NAMES, min_size=3, max_size=3, unique=True)
NAMED_ALIKE = st.lists(NAMES, min_size=3, max_size=3)


def made(
    names: list[str], least: int, log: bool, weighted: bool, parts: list[Any]
) -> tuple[Recipe, Tables]:
    category, number, weight = names
    recipe = Recipe(
        "toy",
        (Categorical(category, least),),
        (Dense(number, "log" if log else "standard"),),
        (Task("click"),),
        weight=weight if weighted else None,
    )
    return recipe, Tables(*(table(names, *part) for part in parts))


HOSTILE = st.builds(
    made,
    st.one_of(*[NAMED] * 5, NAMED_ALIKE),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(FEW_HOSTILE, ROWS), min_size=3, max_size=3),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(HOSTILE, SEEDS)
def test_any_table_is_refused_in_one_line_or_encoded_as_each_row_alone_says(
    case: tuple[Recipe, Tables], seed: int
) -> None:
    recipe, content = case
    found, said = attempted(lambda: through(content, recipe))
    assert said.isprintable()
    assert len(said) < 2000
    if found is None:
        return
    encoder, schema, arrays, _ = found
    check_arrays(schema, arrays)
    assert Encoder.from_json(encoder.to_json()) == encoder
    for split in SPLITS:
        rows = getattr(content, split)
        order = np.random.default_rng(seed).permutation(len(rows))
        ids, dense = encoder.transform(fields_of(recipe, "toy", rows.iloc[order]))
        np.testing.assert_array_equal(ids, arrays[f"{split}_ids"][order])
        np.testing.assert_array_equal(dense, arrays[f"{split}_dense"][order])


# --- categories -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "alike",
    [
        lambda kind: kind.astype(str),
        lambda kind: kind.astype(float),
        lambda kind: kind.astype("float32"),
        lambda kind: kind.astype("Int64"),
        lambda kind: kind.astype("category"),
        lambda kind: kind.map(Decimal),
        lambda kind: kind.astype("int64[pyarrow]"),
        lambda kind: pd.Series([str(k) if k % 2 else k for k in kind], dtype=object),
    ],
    ids=["text", "float", "32 bits", "nullable", "category", "decimal", "arrow", "mixed"],
)
def test_numbers_are_the_categories_that_they_are_as_text(alike: Any) -> None:
    plain = tables()
    want = through(plain).arrays
    for split in ("valid", "test"):
        other = tables(**{f"{split}_kind": alike(getattr(plain, split)["kind"])})
        for name, array in through(other).arrays.items():
            np.testing.assert_array_equal(array, want[name])


def test_numbers_of_32_bits_are_no_others_that_round_to_them() -> None:
    values = [float(2**53), np.int64(2**53 + 1), np.float32(0.1), 0.1, 2.0**60, 2**60 + 1]
    for order in (values, values[::-1]):
        found = words_of("toy", pd.Series([*order, np.float32(2**60)], dtype=object))
        assert len(found.words) == 5


def test_true_is_the_category_1_and_an_identifier_with_zeros_is_none_of_a_number() -> None:
    found = words_of("toy", pd.Series([True, 1, "1", 1.0, "01", "1.0", 1.5, "1.5"], dtype=object))
    assert found.code_N.tolist() == [0, 0, 0, 0, 1, 2, 3, 3]
    assert found.words == ("1", "01", "1.0", "1.5")


@pytest.mark.parametrize(
    "value",
    [
        pd.Timestamp(0),
        np.timedelta64(1, "s"),
        np.timedelta64(1),
        np.complex64(1j),
        b"a",
        [1],
        {"a": 1},
        (1, 2),
        np.inf,
        1j,
        10**400,
        np.array([1]),
        "\ud800",
        Decimal("sNaN"),
        Decimal("inf"),
        Decimal("1e999999999"),
    ],
    ids=ascii,
)
def test_a_value_that_is_no_category_is_refused_by_column_and_row_in_every_split(
    value: Any,
) -> None:
    for split in SPLITS:
        kind = pd.Series([1] * 40, dtype=object)
        kind[7] = value
        said = refusal(tables(**{f"{split}_kind": kind}))
        assert said.startswith(f"toy, {split}: categories of column 'kind' must be text or finite")
        assert "row 7 (from 0) has " in said


def test_a_number_too_long_to_be_written_is_refused() -> None:
    said = refusal(tables(kind=pd.Series([10**5000] * 40, dtype=object)))
    assert "row 0 (from 0) has a value of type int, too long to show" in said


def test_a_share_of_unseen_categories_is_said_by_column_and_split() -> None:
    assert through(tables(test_kind=[f"{k}.0" for k in range(40)])).said == [
        "toy, test: 100% of the rows have a category of column 'kind' that train has not; is it "
        "written alike in both?"
    ]
    assert through(tables()).said == []


# --- numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("value", [1e39, 3.4e38, -3.4e38, np.inf, -np.inf, 1e31])
def test_a_number_that_cannot_be_is_refused_by_column_and_row_in_every_split(
    split: str, value: float
) -> None:
    size = np.linspace(0, 1, 40)
    size[5] = value
    said = refusal(tables(**{f"{split}_size": size}))
    assert said.startswith(f"toy, {split}: numbers of column 'size' must lie between -1e+30 and")
    assert f"row 5 (from 0) has {value}" in said


@pytest.mark.parametrize("spread", [0, 1e-15, 1e-3])
def test_a_column_nearly_constant_in_train_is_bounded_and_said(spread: float) -> None:
    size = np.full(40, 14.62)
    size[3] += spread
    _, schema, arrays, (said,) = through(tables(size=15.62, train_size=size))
    check_arrays(schema, arrays)
    if spread < 1e-3:
        assert said == "toy: constant or empty in train, so without influence: column 'size'"
        assert not any(arrays[f"{split}_dense"].any() for split in SPLITS)
    else:
        assert "80 numbers of column 'size' lie 10 standard deviations of train or more" in said


@given(st.lists(st.sampled_from([7, "x", None, 2.5, "7"]), min_size=40, max_size=40))
@settings(max_examples=30, deadline=None)
def test_a_category_that_is_constant_in_train_has_no_influence_and_is_said(later: Any) -> None:
    values = pd.Series(later, dtype=object)
    _, schema, arrays, (said,) = through(tables(kind=values, train_kind=7))
    check_arrays(schema, arrays)
    assert {int(i) for split in SPLITS for i in arrays[f"{split}_ids"].ravel()} == {2}
    assert said == "toy: constant or empty in train, so without influence: column 'kind'"


@pytest.mark.parametrize("of", ["int64", "double", "dictionary", "view", "runs", "decimal"])
def test_arrow_numbers_are_numbers_and_arrow_text_is_refused(of: str) -> None:
    numbers = pa.array([1, 2, 3] * 10)
    runs = pa.RunEndEncodedArray.from_arrays(pa.array(range(1, 31)), numbers)
    parts: dict[str, Any] = {"dictionary": numbers.dictionary_encode(), "runs": runs}
    parts |= {"int64": numbers, "double": numbers.cast(pa.float64())}
    parts["decimal"] = pa.array([Decimal(1), Decimal(2), Decimal(3)] * 10)
    parts["view"] = pa.array(["1", "2", "3"] * 10).cast(pa.string_view())
    extension: Any = pd.arrays.ArrowExtensionArray
    column = pd.Series(extension(pa.chunked_array([parts[of]])), name="size")
    if of == "view":
        with pytest.raises(UserError, match=r"column 'size' must be numeric; row 0 .* has '1'"):
            numbers_of("toy", column)
    else:
        assert numbers_of("toy", column).tolist() == [1, 2, 3] * 10


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("categorical", ("kind",)),
        ("categorical", Categorical("kind")),
        ("dense", "size"),
        ("dense", None),
        ("tasks", ("click",)),
        ("settings", None),
        ("settings", {"epochs": 3}),
        ("name", None),
    ],
)
def test_a_recipe_with_a_part_of_another_kind_is_refused(part: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"`{part}` of a recipe must be "):
        replace(RECIPE, **{part: value})


@pytest.mark.parametrize("key", [None, 3, {"path": object()}, {"share": float("nan")}])
def test_a_source_whose_key_cannot_be_written_is_refused(key: Any) -> None:
    with pytest.raises(UserError, match="`key` of a source must be what JSON can hold"):
        Source(RECIPE, key, lambda: iter(()))


@pytest.mark.parametrize("least", ["2", None, -1, 1.5, float("nan"), True])
def test_a_count_that_is_none_is_refused(least: Any) -> None:
    with pytest.raises(UserError, match="`min_count` must be a whole number"):
        Categorical("kind", least)


@pytest.mark.parametrize("size", [1e-200, 1e-310, 1e29])
def test_tiny_and_huge_numbers_are_scaled(size: float) -> None:
    values = size * np.random.default_rng(0).normal(size=40)
    dense = through(tables(size=values)).arrays["train_dense"]
    assert np.isfinite(dense).all()
    assert dense.std() == pytest.approx(0 if size < 1e-150 else 1)


def test_zero_and_minus_zero_are_the_same_row() -> None:
    size = np.array([-1.0, 1.0] * 20)
    content = tables(size=size, kind=1)
    for part, zero in (("train", 0.0), ("test", -0.0)):
        getattr(content, part)["size"] = np.where(np.arange(40) < 2, zero, size)
    assert not through(content).arrays["test_unseen"][:2].any()


# --- labels, weights, shape -----------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        ["0", "1", None],
        [False, True, None],
        [0.0, 1.0, np.nan],
        [Decimal(0), Decimal(1), None],
        [0, "1", pd.NA],
        pd.array([0, 1, None], dtype="Int8"),
    ],
    ids=["text", "bool", "float", "decimal", "mixed", "nullable"],
)
def test_labels_are_0_and_1_however_they_are_written(values: Any) -> None:
    found = labels_of("toy", pd.Series(values, name="click"))
    np.testing.assert_array_equal(found, [0, 1, np.nan])


@pytest.mark.parametrize("value", [2, "yes", "", -1, 0.5, "x\ny", pd.Timestamp(0), [1], b"1"])
def test_another_label_is_refused_by_column_and_row(value: Any) -> None:
    click = pd.Series([0, 1] * 20, dtype=object)
    click[9] = value
    said = refusal(tables(valid_click=click))
    assert said.startswith("toy, valid: ")
    assert "'click'" in said
    assert "row 9" in said


@pytest.mark.parametrize("weight", [1e39, -1, np.nan, np.inf, 1e-40, "much", None, 0])
def test_weights_that_do_not_sum_are_refused_by_column(weight: Any) -> None:
    said = refusal(tables(counts=1.0, test_counts=weight), replace(RECIPE, weight="counts"))
    assert said.startswith("toy, test")
    assert "'counts'" in said


@pytest.mark.parametrize("column", ["kind", "size", "click", "counts"])
def test_a_column_that_is_there_twice_is_refused(column: str) -> None:
    content = tables(counts=1.0)
    twice = pd.concat([content.valid, content.valid[[column]]], axis=1)
    said = refusal(replace(content, valid=twice), replace(RECIPE, weight="counts"))
    assert said == f"toy, valid: column {column!r} is there 2 times; keep one"


def test_columns_with_several_levels_of_names_are_refused() -> None:
    content = tables()
    levels = pd.MultiIndex.from_tuples([(name, "x") for name in content.test])
    said = refusal(replace(content, test=content.test.set_axis(levels, axis=1)))
    assert said == "toy, test: columns must have one level of names; got several"


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("split", SPLITS)
def test_a_split_without_rows_or_with_one_is_refused(split: str, rows: int) -> None:
    content = tables()
    said = refusal(replace(content, **{split: getattr(content, split)[:rows]}))
    assert said.startswith(f"toy, {split}: ")


def test_a_class_with_one_test_row_that_counts_is_refused_as_its_auc_has_no_interval() -> None:
    click = np.zeros(40)
    click[:2] = 1
    through(tables(test_click=click))
    weight = np.ones(40)
    weight[0] = 0
    content = tables(test_click=click, counts=1.0, test_counts=weight)
    said = refusal(content, replace(RECIPE, weight="counts"))
    assert said.startswith("toy, test: too few rows that count to tell how sure the AUC of task")
    click[0] = 0
    refusal(tables(test_click=click))
    through(tables(test_click=click), replace(RECIPE, tasks=(Task("click", metric="log_loss"),)))


@pytest.mark.parametrize(("metric", "role"), [("user_auc", "user"), ("ndcg@3", "request")])
def test_a_metric_over_groups_needs_their_column_and_two_groups_that_define_it(
    metric: str, role: str
) -> None:
    recipe = replace(RECIPE, tasks=(Task("click", metric=metric),))
    who = np.arange(40) % 7
    said = refusal(tables(who=who), recipe)
    assert f"toy: task 'click' is judged by {METRICS[metric].label}, which needs each" in said
    assert f"(role `{role}`)" in said
    named: dict[str, Any] = {role: "who"}
    known = replace(recipe, **named)
    assert f"test_{role}s" in through(tables(who=who), known).arrays
    for split in ("valid", "test"):
        said = refusal(tables(who=who, **{f"{split}_who": 0}), known)
        assert said.startswith(f"toy, {split}: too few rows that count to tell how sure the")
        assert f"two {role}s with both labels are needed" in said


def test_a_column_without_any_value_is_one_category_or_refused_as_numbers() -> None:
    for column in ("kind", "size"):
        later = tables().test[column]
        found = through(tables(**{column: None, f"test_{column}": later}))
        assert found.schema.cardinalities[0] == (2 if column == "kind" else 7)
        assert f"without influence: column '{column}'" in found.said[0]
        arrays = [found.arrays[f"{s}_{'ids' if column == 'kind' else 'dense'}"] for s in SPLITS]
        assert len(np.unique(np.concatenate(arrays))) == 1
    recipe = replace(RECIPE, dense=(Dense("size", missing="error"),))
    assert "column 'size' must lie between" in refusal(tables(size=None), recipe)


def test_a_recipe_without_features_is_refused() -> None:
    said = refusal(tables(), replace(RECIPE, categorical=(), dense=()))
    assert said == "toy: there must be a feature, categorical or dense; got none"


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        (pd.DataFrame({"click": [0.5]}), "there must be one for each of 40 rows; got 1"),
        (pd.DataFrame({"buy": [0.5] * 40}), "no column 'click'; there are buy"),
        (pd.DataFrame({"click": [1.5] * 40}), "'click' must lie between 0 and 1"),
        (pd.DataFrame({"click": [np.nan] * 40}), "'click' must lie between 0 and 1"),
    ],
)
def test_true_probabilities_that_cannot_be_are_refused(truth: pd.DataFrame, message: str) -> None:
    assert message in refusal(replace(tables(), truth=truth))


def test_what_was_encoded_otherwise_than_one_would_think_is_said_when_it_is_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path))
    odd = of_tables(RECIPE, {"odd": 1}, lambda: tables(train_size=3.0))
    with caplog.at_level(logging.WARNING, "fsmd"):
        encoded(odd)
        encoded(odd)
    assert [record.message for record in caplog.records] == [
        "toy: constant or empty in train, so without influence: column 'size'"
    ]


# --- options --------------------------------------------------------------------------------


def all_options() -> Iterator[tuple[str, str, Any]]:
    makers, _ = data._read(None)
    for name, (make, _) in makers.items():
        for parameter in signature(make).parameters.values():
            yield name, parameter.name, parameter.annotation


BAD_NUMBERS = [
    *("", " ", "nan", "inf", "-inf", "1e400", "-1", "2000\n", " 2000", "1_000", "0x10", "much"),
    *("１０００", "1e", "--1", "9" * 5000, "1\0", "None", "1e99"),  # noqa: RUF001
]


@pytest.mark.parametrize("text", BAD_NUMBERS)
def test_every_numeric_option_of_every_data_set_knows_its_range(text: str) -> None:
    options = list(all_options())
    assert {name for name, _, _ in options} == set(data.names())
    for name, option, _ in options:
        with pytest.raises(UserError) as refused:
            data.load(f"{name}:{option}={text}")
        said = str(refused.value)
        assert said.startswith(f"`{option}` must be a ")
        assert said.isprintable()
        assert len(said) < 400


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("planted:conflict=2", "`conflict` must be a finite number between 0 and 1; got '2.0'"),
        ("planted:rows=2.5", "`rows` must be a whole number between 500 and 10,000,000; got '2.5"),
        ("planted:rows=20", "`rows` must be a whole number between 500 and 10,000,000; got '20'"),
        ("planted:rows=1e9", "between 500 and 10,000,000; got '1000000000'"),
        ("planted:seed=-1", "`seed` must be a whole number between 0 and 4,294,967,295; got '-1'"),
        ("planted:tasks=0", "`tasks` must be a whole number between 1 and 5; got '0'"),
        ("planted:tasks=6", "`tasks` must be a whole number between 1 and 5; got '6'"),
        ("census:rows=3", "`rows` must be a whole number between 500 and 1,000,000,000; got '3'"),
        ("planted:", "no option '' of the data set in 'planted:'; it has conflict, rows"),
        ("planted:rows=600,", "no option '' of the data set"),
        ("planted:rows", "`rows` must be a whole number between 500 and 10,000,000; got ''"),
        ("planted:metric=", "`metric` must be text that can be printed; got ''"),
        ("planted:metric=auc\n", "`metric` must be text that can be printed"),
        ("planted:metric=mean", "the metric of task 'click' must be one of"),
        ("planted:\n=1", "no option '\\n' of the data set"),
        ("planted\n", "no data set 'planted\\n'"),
    ],
)
def test_an_impossible_option_is_refused_with_the_rule(name: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        data.load(name)
    assert message in str(refused.value)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("2e3", int, 2000),
        ("+7", Annotated[int, Between(0, 9)], 7),
        ("9007199254740993", int, 2**53 + 1),
        (".5", float, 0.5),
        ("1.", Annotated[float, Between(1)], 1.0),
        ("a b", str, "a b"),
        ("600", Annotated[int, Between(500)] | None, 600),
    ],
)
def test_an_option_is_read_as_its_annotation_says(text: str, annotation: Any, value: Any) -> None:
    found = parsed("x", text, annotation)
    assert found == value
    assert type(found) is type(value)


@settings(deadline=None)
@given(st.text("0123459.eE+-_ \n", max_size=8))
def test_a_number_that_is_read_lies_in_its_range(text: str) -> None:
    for kind in (int, float):
        annotation = Annotated[kind, Between(1, 9)]  # type: ignore[valid-type]
        found, _ = attempted(partial(parsed, "x", text, annotation))
        if found is not None:
            assert isinstance(found, kind)
            assert 1 <= found <= 9


@pytest.mark.parametrize(
    "change", [{"rows": 600.0}, {"seed": True}, {"tasks": "2"}, {"conflict": np.nan}, {"users": 1}]
)
def test_a_planted_configuration_has_the_same_ranges(change: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"`{next(iter(change))}` must be a "):
        PlantedConfig(**change)


# --- figures that the rows do not define ----------------------------------------------------

FUNNEL = Recipe(
    "funnel",
    (Categorical("kind"),),
    (),
    (Task("click"), Task("buy", after="click")),
    settings=TrainingSettings(batch_size=32, epochs=1),
)


def visits(rows: int, seed: int, clicked: str = "") -> pd.DataFrame:
    draw = np.random.default_rng(seed)
    click = draw.integers(0, 2, rows)
    buy = click if clicked == "all buy" else click * draw.integers(0, 2, rows)
    return pd.DataFrame({"kind": np.arange(rows) % 8, "click": click, "buy": buy})


def unseen(rows: pd.DataFrame, where: pd.Series) -> pd.DataFrame:
    return rows.assign(kind=rows["kind"].where(~where, 99))


ODD_TABLES = {
    "every test row occurs in train": (Tables(visits(200, 0), visits(80, 1), visits(80, 2)), 0),
    "unseen rows have one class": (
        Tables(visits(200, 0), visits(80, 1), unseen(visits(80, 2), visits(80, 2)["click"] == 1)),
        1,
    ),
    "all clicked rows of test convert": (
        Tables(visits(200, 0), visits(80, 1), visits(80, 2, "all buy")),
        0,
    ),
    "all clicked rows convert": (
        Tables(visits(200, 0, "all buy"), visits(80, 1, "all buy"), visits(80, 2, "all buy")),
        0,
    ),
}


@pytest.mark.parametrize("case", ODD_TABLES)
def test_training_reaches_its_end_without_the_figures_that_its_rows_do_not_define(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path))
    content, unseen_figures = ODD_TABLES[case]
    found = encoded(of_tables(FUNNEL, {"case": case}, lambda: content))
    result = train(Training.on(found, replace(MODELS["esmm"], layers=(8,), tower_width=4)))
    assert result.finished
    kinds = {(m.split, m.task, m.metric) for m in result.measurements}
    assert {("test", "click", "auc"), ("test", "buy", "auc")} <= kinds
    assert len([1 for split, *_ in kinds if split == "test_unseen"]) == unseen_figures
    assert (("test", "buy|click", "auc") in kinds) == ("convert" not in case)
    assert all(np.isfinite(m.value) for m in result.measurements)


def test_a_report_says_why_a_figure_is_missing(tmp_path: Path) -> None:
    def work(training: Training) -> TrainingResult:
        result = result_of(training)
        more = (Measurement(2, "test", "click", "log_loss", 0.5),)
        return replace(result, measurements=(*result.measurements, *more))

    arms = tuple(Arm(f"{n}", (("gate_depth", n),), (("knob", n),)) for n in (1, 2))
    study = Study("mine", "Mine", "?", "knob", MODELS["fsmd"], arms, "1")
    engine = open_engine(f"sqlite:///{tmp_path}/studies.db", create=True)
    Lab(engine, work, study, tmp_path).run(2)
    (table,) = other_tables(read(engine, "mine"))
    engine.dispose()
    assert table.columns == ("knob", "log loss, click")
    assert "has no such output or the test rows do not define it." in table.caption
    assert "AUC on test rows not seen in train, click" in table.caption
