"""The real data sets: each trap of PAPER section 4 is a test."""

import gzip
import io
import os
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from http.server import HTTPServer, SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from fsmd import data
from fsmd.data import files
from fsmd.data.checks.learnable import check_tables
from fsmd.data.files import Origin, find, verified_content
from fsmd.data.schema import Dataset
from fsmd.data.sets import census, kuairand
from fsmd.data.source import Categorical, Tables
from fsmd.errors import UserError
from fsmd.tasks import is_funnel

TAKES_LONG = True


def real(origin: Origin) -> tuple[Path, ...]:
    """The origin's files below FSMD_DATA, or a skip that names what is missing."""
    folder = os.environ.get("FSMD_DATA")
    if not folder:
        pytest.skip(f"FSMD_DATA is not set: no {origin.name}")
    found = files._matching(Path(folder) / origin.name, origin)
    if not found:
        pytest.skip(f"FSMD_DATA has no {origin.name}: {', '.join(origin.files)}")
    return found


# --- Census ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def census_tables() -> Tables:
    return census.read(real(census.ORIGIN))


@pytest.fixture(scope="module")
def census_data() -> Dataset:
    real(census.ORIGIN)
    return data.load("census")


def test_census_test_rows_are_halved_in_file_order(census_tables: Tables) -> None:
    assert [len(t) for t in (census_tables.train, census_tables.valid, census_tables.test)] == [
        199_523,
        49_881,
        49_881,
    ]
    raw = gzip.decompress(real(census.ORIGIN)[1].read_bytes()).decode().splitlines()
    for frame, line in ((census_tables.valid, raw[0]), (census_tables.test, raw[49_881])):
        want = [value.strip() for value in line.split(",")]
        assert frame.iloc[0]["education"] == want[4]
        assert frame.iloc[0]["instance_weight"] == want[24]


def test_census_label_rates_are_the_known_ones(census_tables: Tables) -> None:
    rates = {
        name: (round(100 * t["income"].mean(), 3), round(100 * t["marital"].mean(), 3))
        for name, t in (("valid", census_tables.valid), ("test", census_tables.test))
    }
    assert rates == {"valid": (6.301, 43.107), "test": (6.101, 43.385)}
    assert int(census_tables.train["income"].sum()) == 12_382
    assert int(census_tables.train["marital"].sum()) == 86_485


def test_census_values_have_no_leading_blank(census_tables: Tables) -> None:
    for column in census.CENSUS.categorical:
        values = census_tables.train[column.name]
        assert not values.str.startswith(" ").any()


def test_census_na_is_a_category_and_nothing_is_missing(census_tables: Tables) -> None:
    assert (census_tables.train["hisp_origin"] == "NA").sum() > 0
    assert not census_tables.train[[c.name for c in census.CENSUS.categorical]].isna().any().any()
    assert (census_tables.train["mig_chg_msa"] == "?").sum() == 99_696


def test_census_features_are_the_39_without_weight_and_labels(census_data: Dataset) -> None:
    names = {f.name for f in census_data.schema.categorical} | set(census_data.schema.dense)
    assert len(names) == 39
    assert not names & {"instance_weight", "marital_status", "income_class", "income", "marital"}
    assert not is_funnel(census_data.schema.tasks)


def test_census_codes_are_categories(census_data: Dataset) -> None:
    sizes = {field.name: field.cardinality - 1 for field in census_data.schema.categorical}
    expected = {
        "industry_code": 52,
        "occupation_code": 47,
        "own_business": 3,
        "veterans_benefits": 3,
        "year": 2,
    }
    assert {name: sizes[name] for name in expected} == expected


def test_census_has_no_category_in_test_only(census_data: Dataset) -> None:
    for split in (census_data.train, census_data.valid, census_data.test):
        assert (split.ids > 0).all()


def test_census_test_rows_repeat_train_rows_for_27_percent(census_data: Dataset) -> None:
    assert 1 - census_data.test_unseen.mean() == pytest.approx(0.27, abs=0.01)


def test_census_on_fewer_rows_is_scored_on_the_same_rows(census_data: Dataset) -> None:
    """Vocabularies are of the rows drawn, so that some ids of test are unseen."""
    fewer = data.load("census:rows=2000")
    assert fewer.content_hash != census_data.content_hash
    assert fewer.schema.name == "census"
    assert len(fewer.train) == 2000
    for part in ("valid", "test"):
        assert (getattr(fewer, part).labels == getattr(census_data, part).labels).all()
    assert (fewer.test.ids == 0).any()


def test_census_no_leak_lacks_the_three_columns_that_spell_out_marital() -> None:
    real(census.ORIGIN)
    names = {field.name for field in data.load("census_no_leak").schema.categorical}
    assert not names & {"tax_filer_stat", "household_detail", "household_summary"}
    assert len(names) == 29


def test_the_marital_status_itself_as_a_feature_is_refused(census_tables: Tables) -> None:
    leaking = (*census.CENSUS.categorical, Categorical("marital_status"))
    with pytest.raises(UserError, match="'marital_status' alone gives task 'marital'"):
        check_tables(replace(census.CENSUS, categorical=leaking), census_tables)


# --- KuaiRand ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kuairand_tables() -> Tables:
    return kuairand.read(real(kuairand.ORIGIN))


@pytest.fixture(scope="module")
def kuairand_log() -> pd.DataFrame:
    return pd.read_csv(real(kuairand.ORIGIN)[0])


def test_kuairand_repeats_are_removed_before_splitting(
    kuairand_tables: Tables, kuairand_log: pd.DataFrame
) -> None:
    kept = [len(t) for t in (kuairand_tables.train, kuairand_tables.valid, kuairand_tables.test)]
    assert len(kuairand_log) - sum(kept) == 5_460
    assert kept == [180_384, 13_580, 28_905]


def test_kuairand_splits_by_the_logs_date(kuairand_tables: Tables) -> None:
    dates = [
        (int(t["date"].min()), int(t["date"].max()))
        for t in (kuairand_tables.train, kuairand_tables.valid, kuairand_tables.test)
    ]
    assert dates == [(20220425, 20220505), (20220506, 20220506), (20220507, 20220508)]


def test_kuairand_long_view_needs_a_click(kuairand_tables: Tables) -> None:
    train = kuairand_tables.train
    assert not ((train["long_view"] == 1) & (train["click"] == 0)).any()
    assert train.loc[train["click"] == 1, "long_view"].mean() == pytest.approx(0.70, abs=0.01)


def test_kuairand_hour_is_beijings_from_time_ms(
    kuairand_tables: Tables, kuairand_log: pd.DataFrame
) -> None:
    log = kuairand_log.drop_duplicates(ignore_index=True)
    want = (log["time_ms"] // 3_600_000 + 8) % 24
    got = kuairand_tables.train["hour"].astype(int)
    np.testing.assert_array_equal(got, want[got.index])
    assert (log["hourmin"] // 100 != want).mean() == pytest.approx(0.175, abs=0.01)


def test_kuairand_inputs_hold_nothing_measured_after_the_exposure() -> None:
    names = {c.name for c in kuairand.RECIPE.features}
    assert not names & set(kuairand.AFTER_EXPOSURE)
    assert not any("play" in name or "cnt" in name or "stay" in name for name in names)


@pytest.mark.parametrize("name", ["play_time_ms", "is_like", "long_view"])
def test_an_input_measured_after_the_exposure_is_refused_by_name(name: str) -> None:
    recipe = replace(kuairand.RECIPE, categorical=(Categorical(name),))
    with pytest.raises(UserError, match=f"'{name}' is measured after the exposure"):
        kuairand.check_recipe(recipe)


def test_kuairand_follow_user_num_is_the_users_and_clashes_are_errors() -> None:
    users, videos, log = small_kuairand()
    joined = kuairand.join(log, users, videos)
    assert joined["follow_user_num"].tolist() == [5.0, 5.0, 7.0]
    with pytest.raises(UserError, match="follow_user_num"):
        kuairand.join(log, users, videos.assign(follow_user_num=0))


def test_kuairand_missing_values_are_a_category_or_flagged() -> None:
    users, videos, log = small_kuairand()
    videos["video_duration"] = videos["video_duration"].where(videos["video_id"] > 0)
    videos["tag"] = [None, "3,7"]
    joined = kuairand.join(log, users, videos)
    assert joined["tag"].tolist() == ["missing", "3,7", "missing"]
    assert joined["first_tag"].tolist() == ["missing", "3", "missing"]
    assert joined["video_duration_missing"].tolist() == ["True", "False", "True"]
    assert joined["video_duration"].tolist() == [0.0, 9.0, 0.0]


def test_kuairand_identifiers_seen_once_in_train_share_id_0() -> None:
    real(kuairand.ORIGIN)
    counts = {c.name: c.min_count for c in kuairand.RECIPE.categorical}
    assert {n for n, count in counts.items() if count == 2} == {
        *("user_id", "video_id", "author_id", "music_id")
    }
    found = data.load("kuairand")
    assert (found.train.ids[:, 0] == 0).any()
    assert found.schema.tasks[1].after == "click"


def test_kuairand_rows_of_one_user_are_one_unit_known_to_train_or_not(
    kuairand_tables: Tables,
) -> None:
    found, users = data.load("kuairand"), kuairand_tables.test["user_id"]
    assert found.test.users is not None
    assert len(set(found.test.users)) == users.nunique()
    assert pd.Series(found.test.users).groupby(users.to_numpy()).nunique().eq(1).all()


def small_kuairand() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    users = pd.DataFrame({"user_id": [0, 1]})
    videos = pd.DataFrame({"video_id": [0, 1]})
    for column in kuairand.RECIPE.features:
        name = column.name
        if name.startswith(("onehot", "user_", "is_", "follow", "fans", "friend", "register")):
            users[name] = users.get(name, 1)
        elif name not in ("tab", "hour", "first_tag", "video_days", "video_duration_missing"):
            videos[name] = videos.get(name, 9.0)
    users["follow_user_num"] = [5, 7]
    videos["upload_dt"], videos["tag"] = "2022-04-10", "1"
    row: dict[str, Any] = dict.fromkeys(kuairand.AFTER_EXPOSURE, 0)
    log = pd.DataFrame(
        [
            {**row, "user_id": u, "video_id": v, "date": 20220425, "time_ms": t, "tab": 1}
            for u, v, t in ((0, 0, 1650812741436), (0, 1, 1650812741437), (1, 0, 1650812741438))
        ]
    )
    return users, videos, log


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


def test_a_content_that_is_not_the_known_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "users.csv.gz"
    path.write_bytes(gzip.compress(b"original"))
    digest = "0682c5f2076f099c34cfdd15a9e063849ed437a49677e6fcc5b4198c76575be5"
    known = Origin("tiny", "", ("users.csv",), {"users.csv": digest})
    assert verified_content(path, known) == b"original"
    path.write_bytes(gzip.compress(b"tampered"))
    with pytest.raises(UserError, match=r"users.csv.gz is not the original.*0682c5f2"):
        verified_content(path, known)
