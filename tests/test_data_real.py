"""The built-in sets: what is encoded of their real files is what pandas reads, by another road."""

import gzip
import io
import os
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from http.server import HTTPServer, SimpleHTTPRequestHandler
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

from fsmd import data
from fsmd.baselines import BASELINES
from fsmd.data.description.catalog import path_of
from fsmd.data.description.toml import read
from fsmd.data.files import Origin, find
from fsmd.data.schema import Dataset, Split
from fsmd.errors import UserError
from fsmd.tasks import is_funnel
from fsmd.training import Training, train
from tests.test_training import assert_learned, small

TAKES_LONG = True
SPLITS = ("train", "valid", "test")


def real(folder: str) -> Path:
    """A folder of real files below FSMD_DATA, or a skip that names what is missing."""
    given = os.environ.get("FSMD_DATA")
    if not given:
        pytest.skip(f"FSMD_DATA is not set: no {folder}")
    if not (Path(given) / folder).is_dir():
        pytest.skip(f"FSMD_DATA has no {folder}")
    return Path(given) / folder


class Read(NamedTuple):
    """What pandas reads: the rows of each split with labels, fields and user, all else as text."""

    train: pd.DataFrame
    valid: pd.DataFrame
    test: pd.DataFrame


def assert_is(found: Dataset, wanted: Read, min_counts: dict[str, int]) -> None:
    """Every array of the data set is what the rules of the house make of the tables."""
    for name in SPLITS:
        split: Split = getattr(found, name)
        table: pd.DataFrame = getattr(wanted, name)
        assert len(split) == len(table)
        labels = [task.name for task in found.schema.tasks]
        np.testing.assert_array_equal(split.labels, table[labels])
        for column, field in enumerate(found.schema.categorical):
            want = ids(wanted.train[field.name], table[field.name], min_counts.get(field.name, 1))
            np.testing.assert_array_equal(split.ids[:, column], want, err_msg=field.name)


def ids(train: "pd.Series[str]", values: "pd.Series[str]", min_count: int) -> Any:
    """0 for what train has too rarely, 1 for missing, from 2 on by count, then text."""
    counts = train.value_counts()
    kept = sorted(counts[counts >= min_count].items(), key=lambda each: (-each[1], each[0]))
    known = {text: i for i, (text, _) in enumerate(kept, 2)}
    code_N, words = pd.factorize(values)  # -1: missing
    return np.array([*(known.get(w, 0) for w in words), int(train.isna().any())])[code_N]


def assert_scaled(
    found: Dataset, wanted: Read, field: str, curve: Callable[[Any], Any], atol: float = 1e-5
) -> None:
    """A field of numbers is standardised by those that train has; missing ones are the median."""
    middle, raw = wanted.train[field].median(), curve(wanted.train[field])
    for name in SPLITS:
        column = curve(getattr(wanted, name)[field].fillna(middle))
        want = ((column - raw.mean()) / raw.std(ddof=0)).clip(-10, 10)
        got = getattr(found, name).dense[:, found.schema.dense.index(field)]
        np.testing.assert_allclose(got, want, atol=atol, err_msg=field)


# --- Census ------------------------------------------------------------------------------

COLUMNS = tuple(
    """
    age class_of_worker industry_code occupation_code education wage_per_hour enrolled
    marital_status major_industry major_occupation race hisp_origin sex union_member
    unemployment_reason employment capital_gains capital_losses dividends tax_filer_stat
    prev_region prev_state household_detail household_summary instance_weight mig_chg_msa
    mig_chg_reg mig_move_reg same_house mig_prev_sunbelt employer_persons family_under_18
    country_father country_mother country_self citizenship own_business veterans_admin
    veterans_benefits weeks_worked year income_class
    """.split()  # noqa: SIM905
)
"""As census-income.names has them; no header says them."""


@pytest.fixture(scope="module")
def census_read() -> Read:
    folder = real("census-income-kdd")
    train, test = (
        pd.read_csv(
            folder / f"census-income.{name}.gz",
            names=COLUMNS,
            skipinitialspace=True,
            keep_default_na=False,
            dtype="category",  # of texts, which each stand but once
        )
        for name in ("data", "test")
    )
    for table in (train, test):
        table["income"] = (table["income_class"] == "50000+.").astype(int)
        table["marital"] = (table["marital_status"] == "Never married").astype(int)
        table[["age", "dividends"]] = table[["age", "dividends"]].astype(float)
    middle = len(test) // 2
    return Read(train, test.iloc[:middle], test.iloc[middle:])


@pytest.fixture(scope="module")
def census_data() -> Dataset:
    real("census-income-kdd")
    return data.load("census")


def test_census_is_encoded_as_pandas_reads_it(census_data: Dataset, census_read: Read) -> None:
    assert [len(table) for table in census_read] == [199_523, 49_881, 49_881]
    assert_is(census_data, census_read, {})
    assert_scaled(census_data, census_read, "age", lambda column: column)
    assert_scaled(census_data, census_read, "dividends", np.log1p)


def test_census_label_rates_are_the_known_ones(census_data: Dataset) -> None:
    rates = [(100 * s.labels.mean(axis=0)).round(3).tolist() for s in splits(census_data)[1:]]
    np.testing.assert_allclose(rates, [[6.301, 43.107], [6.101, 43.385]], atol=1e-3)
    assert census_data.train.labels.sum(axis=0).tolist() == [12_382, 86_485]


def test_census_na_and_question_marks_are_answers(census_read: Read) -> None:
    assert (census_read.train["hisp_origin"] == "NA").sum() > 0
    assert (census_read.train["mig_chg_msa"] == "?").sum() == 99_696
    assert read(path_of("census")).data.missing == ()


def test_census_features_are_the_39_without_weight_and_labels(census_data: Dataset) -> None:
    names = {f.name for f in census_data.schema.categorical} | set(census_data.schema.dense)
    assert names == set(COLUMNS) - {"instance_weight", "marital_status", "income_class"}
    assert len(names) == 39
    assert not is_funnel(census_data.schema.tasks)
    assert census_data.settings.batch_size == 256


def test_census_codes_are_categories(census_data: Dataset) -> None:
    sizes = {field.name: field.cardinality - 2 for field in census_data.schema.categorical}
    expected = {
        "industry_code": 52,
        "occupation_code": 47,
        "own_business": 3,
        "veterans_benefits": 3,
        "year": 2,
    }
    assert {name: sizes[name] for name in expected} == expected


def test_census_has_no_category_in_test_only(census_data: Dataset) -> None:
    for split in splits(census_data):
        assert (split.ids > 1).all()


def test_census_test_rows_repeat_train_rows_for_27_percent(census_data: Dataset) -> None:
    assert 1 - census_data.test_unseen.mean() == pytest.approx(0.27, abs=0.01)


@pytest.fixture(scope="module")
def first_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for FSMD_DATA with the first rows of each file of the census."""
    source, folder = real("census-income-kdd"), tmp_path_factory.mktemp("first")
    (folder / source.name).mkdir()
    for path in source.glob("census-income.*.gz"):
        with gzip.open(path) as whole, gzip.open(folder / source.name / path.name, "wb") as few:
            few.writelines(islice(whole, 10_000))
    return folder


def read_instead(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Files of this folder, though they are not the original ones."""
    patch.setenv("FSMD_DATA", str(folder))
    patch.setattr("fsmd.data.rows.log.verify", lambda *_: None)


@pytest.fixture(scope="module")
def fewer_rows(first_rows: Path) -> Dataset:
    with pytest.MonkeyPatch.context() as patch:
        read_instead(first_rows, patch)
        return data.load("census_no_leak:rows=3000")


def test_census_on_fewer_rows_is_scored_on_the_same_rows(
    first_rows: Path, fewer_rows: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Vocabularies are of the rows drawn, so that some ids of test are unseen."""
    read_instead(first_rows, monkeypatch)
    every = data.load("census")
    assert fewer_rows.schema.name == "census_no_leak"
    assert (len(fewer_rows.train), len(every.train)) == (3000, 10_000)
    for part in ("valid", "test"):
        assert (getattr(fewer_rows, part).labels == getattr(every, part).labels).all()
    assert (fewer_rows.test.ids == 0).any()


def test_census_no_leak_lacks_the_three_columns_that_spell_out_marital() -> None:
    with_leak, without = (read(path_of(name)) for name in ("census", "census_no_leak"))
    gone = set(with_leak.fields) - set(without.fields)
    assert gone == {"tax_filer_stat", "household_detail", "household_summary"}
    assert without.labels == with_leak.labels
    assert (without.split, without.recipe.settings) == (with_leak.split, with_leak.recipe.settings)


def test_the_marital_status_itself_as_a_feature_is_refused(
    first_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_instead(first_rows, monkeypatch)
    text = path_of("census").read_text()
    asked = 'marital_status = "category"'
    path = tmp_path / "dataset.toml"
    path.write_text(text.replace("[fields]", f"[fields]\n{asked}\n#"))
    with pytest.raises(UserError, match=r"marital_status.*known_before"):
        data.load(str(path))
    said = 'marital_status = { kind = "category", known_before = true }'
    path.write_text(text.replace("[fields]", f"[fields]\n{said}\n#"))
    with pytest.raises(UserError, match="'marital_status' alone gives task 'marital'"):
        data.load(str(path))


def splits(found: Dataset) -> Sequence[Split]:
    return (found.train, found.valid, found.test)


# --- KuaiRand ----------------------------------------------------------------------------

EXPOSED = {"user_id": 2, "video_id": 2, "author_id": 2, "music_id": 2}
"""Fields whose categories must be seen twice."""


@pytest.fixture(scope="module")
def kuairand_log() -> pd.DataFrame:
    """The log as it is, all as text."""
    folder = real("kuairand-pure-14d")
    return pd.read_csv(folder / "log_standard_4_25_to_5_08_pure.csv.gz", dtype=str)


@pytest.fixture(scope="module")
def kuairand_read(kuairand_log: pd.DataFrame) -> Read:
    folder = real("kuairand-pure-14d")
    sides = (
        pd.read_csv(folder / f"{name}.csv.gz", dtype=str, keep_default_na=False, na_values=[""])
        for name in ("user_features_pure", "video_features_basic_pure")
    )
    table = kuairand_log.drop_duplicates(ignore_index=True)
    for key, side in zip(("user_id", "video_id"), sides, strict=True):
        table = table.merge(side, on=key, how="left", validate="many_to_one")
    shown = pd.to_datetime(table["time_ms"].astype("int64"), unit="ms", utc=True)
    beijing = shown.dt.tz_convert("Asia/Shanghai")
    uploaded = pd.to_datetime(table["upload_dt"]).dt.tz_localize("Asia/Shanghai")
    table["hour"] = beijing.dt.hour.astype(str)
    table["first_tag"] = table["tag"].str.partition(",")[0]
    table["video_days"] = (beijing - uploaded).dt.total_seconds() / 86_400
    numbers = ["fans_user_num", "register_days", "video_duration"]
    table[numbers] = table[numbers].astype(float)
    table["click"] = table["is_click"].astype(int)
    table["long_view"] = table["click"] * table["long_view"].astype(int)
    date = table["date"].astype(int)
    return Read(
        table[date <= 20220505],
        table[date == 20220506],
        table[(date > 20220506) & (date < 20220509)],
    )


@pytest.fixture(scope="module")
def kuairand_data() -> Dataset:
    real("kuairand-pure-14d")
    return data.load("kuairand")


def test_kuairand_is_encoded_as_pandas_reads_it(
    kuairand_data: Dataset, kuairand_read: Read, kuairand_log: pd.DataFrame
) -> None:
    """Among it: repeats are removed before splitting, by the log's date, hours are Beijing's."""
    assert [len(table) for table in kuairand_read] == [180_384, 13_580, 28_905]
    assert len(kuairand_log) - sum(map(len, kuairand_read)) == 5_460
    assert_is(kuairand_data, kuairand_read, EXPOSED)
    for field in ("fans_user_num", "register_days", "video_duration"):
        assert_scaled(kuairand_data, kuairand_read, field, np.log1p)
    assert_scaled(kuairand_data, kuairand_read, "video_days", lambda column: column)


def test_kuairand_hours_are_not_those_of_hourmin(kuairand_log: pd.DataFrame) -> None:
    hours = (kuairand_log["time_ms"].astype("int64") // 3_600_000 + 8) % 24
    off = kuairand_log["hourmin"].astype(int) // 100 != hours
    assert off.mean() == pytest.approx(0.175, abs=0.01)


def test_kuairand_long_view_needs_a_click(kuairand_data: Dataset) -> None:
    click, long_view = kuairand_data.train.labels.T
    assert not ((long_view == 1) & (click == 0)).any()
    assert long_view[click == 1].mean() == pytest.approx(0.70, abs=0.01)
    assert kuairand_data.schema.tasks[1].after == "click"


def test_kuairand_missing_numbers_have_a_column_beside_them(
    kuairand_data: Dataset, kuairand_read: Read
) -> None:
    (flag,) = (name for name in kuairand_data.schema.dense if "missing" in name)
    got = kuairand_data.test.dense[:, kuairand_data.schema.dense.index(flag)]
    np.testing.assert_array_equal(got, kuairand_read.test["video_duration"].isna())


@pytest.mark.parametrize("name", ["play_time_ms", "is_like", "long_view", "is_click"])
def test_an_input_that_a_label_is_made_of_is_refused_by_name(name: str, tmp_path: Path) -> None:
    """Here a third label is made of play time and like."""
    text = path_of("kuairand").read_text()
    more = "like = 'is_like == 1 and play_time_ms > 0'"
    path = tmp_path / "dataset.toml"
    path.write_text(
        text.replace("[tasks]", f"[tasks]\n{more}").replace(
            "[fields]", f'[fields]\nf_{name} = {{ kind = "category", from = "{name}" }}'
        )
    )
    with pytest.raises(UserError, match=rf"{name}.*known_before"):
        read(path)


def test_kuairand_rows_of_one_user_are_one_unit_known_to_train_or_not(
    kuairand_data: Dataset, kuairand_read: Read
) -> None:
    users = kuairand_read.test["user_id"]
    assert kuairand_data.test.users is not None
    assert len(set(kuairand_data.test.users)) == users.nunique()
    groups = pd.Series(kuairand_data.test.users).groupby(users.to_numpy())
    assert groups.nunique().eq(1).all()


def test_kuairand_rows_of_one_user_and_day_are_one_request(
    kuairand_data: Dataset, kuairand_read: Read
) -> None:
    asked = kuairand_read.test["user_id"] + "," + kuairand_read.test["date"]
    assert kuairand_data.test.requests is not None
    assert len(set(kuairand_data.test.requests)) == asked.nunique()


# --- training on it ------------------------------------------------------------------------


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("model", ["esmm", "fsmd"])
@pytest.mark.parametrize(
    ("of", "least"), [("census_data", 0.8), ("fewer_rows", 0.8), ("kuairand_data", 0.55)]
)
def test_models_of_each_kind_learn_every_task(
    of: str,
    least: float,
    model: str,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the other public sets test_catalog has made-up rows; no test downloads one."""
    rows = excerpt(request.getfixturevalue(of), 3000)
    monkeypatch.setattr("fsmd.trainer.open_encoded", lambda path: rows)
    assert_learned(train(small(model, rows)), rows, least)


@pytest.mark.usefixtures("one_thread")
def test_trees_beat_the_constant_rate_on_census(fewer_rows: Dataset) -> None:
    few, none = (
        train(replace(Training.on(fewer_rows, BASELINES[kind]), epochs=3))
        for kind in ("trees", "constant")
    )
    for task in fewer_rows.schema.tasks:
        assert few.value("test", task.name, "log_loss") < none.value("test", task.name, "log_loss")
        assert few.value("test", task.name, "auc") > 0.8


def excerpt(found: Dataset, rows: int) -> Dataset:
    """The first rows of each split."""

    def cut(split: Split) -> Split:
        weights = None if split.weights is None else split.weights[:rows]
        return Split(split.ids[:rows], split.dense[:rows], split.labels[:rows], weights)

    train, valid, test = map(cut, (found.train, found.valid, found.test))
    unseen = found.test_unseen[:rows]
    return replace(found, train=train, valid=valid, test=test, test_unseen=unseen)


# --- finding and downloading ---------------------------------------------------------------

TINY = Origin("tiny", "http://127.0.0.1:9/tiny.zip", ("log_*.csv", "users.csv"))


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    monkeypatch.setenv("FSMD_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data", tmp_path / "cache"


@pytest.mark.parametrize("folder", ["", "tiny", "tiny/data", "Archive-1/data"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_files_are_found_in_ours_and_the_origins_layout(
    places: tuple[Path, Path], folder: str, suffix: str
) -> None:
    below = places[0] / folder
    below.mkdir(parents=True)
    for name in ("log_1.csv", "log_2.csv", "users.csv"):
        (below / f"{name}{suffix}").touch()
    assert [p.name.removesuffix(".gz") for p in find(TINY)] == [
        "log_1.csv",
        "log_2.csv",
        "users.csv",
    ]


def test_the_cache_folder_is_looked_in_after_fsmd_data(places: tuple[Path, Path]) -> None:
    below = places[1] / "raw" / "tiny"
    below.mkdir(parents=True)
    for name in ("log_1.csv", "users.csv"):
        (below / name).touch()
    assert all(path.parent == below for path in find(TINY))


def test_without_files_and_network_the_error_says_what_to_put_where(
    places: tuple[Path, Path],
) -> None:
    places[0].mkdir()
    (places[0] / "users.csv").touch()  # half of it is not enough
    with pytest.raises(UserError) as refusal:
        find(TINY)
    message = str(refusal.value)
    assert "\n" not in message
    for part in ("log_*.csv[.gz], users.csv[.gz]", str(places[1] / "raw" / "tiny"), TINY.url):
        assert part in message


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "served"
    folder.mkdir()
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("deep/log_1.csv", "a")
        archive.writestr("deep/users.csv", "b")
    with zipfile.ZipFile(folder / "tiny.zip", "w") as archive:
        archive.writestr("inner.zip", inner.getvalue())

    class Quiet(SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(folder))

        def log_message(self, *args: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Quiet) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/tiny.zip"
        running.shutdown()
        thread.join()


def test_absent_files_are_downloaded_and_archives_in_archives_unpacked(
    places: tuple[Path, Path], server: str
) -> None:
    found = find(replace(TINY, url=server))
    assert [path.read_text() for path in found] == ["a", "b"]
    assert find(TINY) == found  # without the network now
