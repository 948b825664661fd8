"""`describe`: what it finds in made-up logs of many shapes, and that its draft can be read."""

import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsmd.data import load
from fsmd.data.description.expression import parse
from fsmd.data.description.toml import read
from fsmd.data.description.values import ByShare, ByTime, Description, FileSet
from fsmd.data.rows.files import batches, open_all
from fsmd.data.rows.part import Where
from fsmd.errors import UserError
from studies.data import main
from studies.data.draft.column import TALLIED, Column
from studies.data.draft.look import Sample, look
from studies.data.draft.text import key, value

ROWS = 2_000
START = 1_650_000_000


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def described(*arguments: str) -> tuple[str, Description]:
    """The draft of a command, and what it says."""
    assert main(["describe", *arguments, "--out", "dataset.toml", "--force"]) == 0
    path = Path("dataset.toml")
    return path.read_text("utf-8"), read(path)


def reason(text: str, name: str) -> str:
    """The comment on the line of a field or task."""
    line = next(x for x in text.splitlines() if x.removeprefix("# ").startswith(f"{name} = "))
    return line.rpartition("  # ")[2]


def impressions(rows: int = ROWS) -> dict[str, Any]:
    """A log of a funnel: click, then buy; users, items, times; leaks, ids and constants."""
    rng = np.random.default_rng(0)
    click = (rng.random(rows) < 0.4).astype(int)
    buy = click * (rng.random(rows) < 0.3)
    return {
        "row_id": np.arange(rows) + 17,
        "user_id": rng.integers(0, 150, rows) + 10**17,
        "item_id": rng.integers(0, 60, rows),
        "time_ms": (START + np.arange(rows) * 600) * 1000,
        "price": np.exp(rng.normal(2, 2, rows)).round(2),
        "age": rng.integers(18, 80, rows),
        "country": rng.choice(["DE", "FR", "?"], rows),
        "zone": rng.choice(["007", "012"], rows),
        "version": np.full(rows, 3),
        "secret": click * 5 + rng.random(rows),
        "stamp_of_order": np.where(buy == 1, rng.integers(1, 10**6, rows), 0),
        "watch_seconds": rng.random(rows) * 100,
        "click": click,
        "buy": buy,
    }


def write(path: Path, columns: Mapping[str, Any], separator: str = ",") -> None:
    """A file of text."""
    pd.DataFrame(columns).to_csv(path, sep=separator, index=False)


def test_a_log_of_impressions_is_understood(there: Path) -> None:
    write(there / "log.csv", impressions())
    text, found = described("log.csv")
    assert (found.roles.user, found.roles.item) == (("user_id",), ("item_id",))
    assert (found.roles.time, found.roles.time_unit) == ("time_ms", "ms")
    assert [(t.name, t.after) for t in found.recipe.tasks] == [("click", None), ("buy", "click")]
    assert found.labels["buy"].expression == "buy == 1"
    assert {f.name for f in found.recipe.categorical} == {
        *("user_id", "item_id", "country", "zone", "hour"),
    }
    assert {(f.name, f.scale) for f in found.recipe.dense} == {
        ("price", "log"),
        ("age", "standard"),
    }
    assert found.data.missing == ("", "?")
    assert isinstance(found.split, ByTime)
    for name, words in {
        "row_id": "an id: 2,000 values",
        "version": "constant",
        "secret": "tells click alone with an AUC of 1.000",
        "stamp_of_order": "only where buy is 1",
        "watch_seconds": "measured after",
        "time_ms": "when the row was",
        "zone": "digits with a 0 before them",
        "user_id": "150 values",
        "buy": "0 of 2",  # rows without a click
    }.items():
        assert words in reason(text, name), name


def test_a_draft_runs_as_it_is(there: Path) -> None:
    log = impressions()
    users = np.unique(log["user_id"])
    write(there / "log.csv", log)
    write(there / "users.csv", {"user_id": users, "plan": users % 3})
    described("log.csv", "users.csv", "--name", "mine")
    data = load("dataset.toml")
    assert data.name == "mine"
    assert [task.name for task in data.schema.tasks] == ["click", "buy"]
    assert {field.name for field in data.schema.categorical} >= {"user_id", "plan", "hour"}
    assert sum(len(split.labels) for split in (data.train, data.valid, data.test)) == ROWS


def test_numbers_kept_as_texts_are_what_their_use_says_in_parquet_as_in_csv(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FSMD_CACHE", str(there / "cache"))
    texts = {name: pd.Series(values).astype(str) for name, values in impressions(4000).items()}
    pq.write_table(pa.Table.from_pydict({n: list(v) for n, v in texts.items()}), "log.parquet")
    write(there / "log.csv", texts)
    described("log.parquet")
    of_parquet = load("dataset.toml")
    described("log.csv")
    of_csv = load("dataset.toml")
    np.testing.assert_array_equal(of_parquet.train.labels, of_csv.train.labels)
    np.testing.assert_array_equal(of_parquet.train.dense, of_csv.train.dense)
    assert of_parquet.train.dense.shape[1] > 1


def test_rows_that_break_a_funnel_count_as_0_and_are_told(there: Path) -> None:
    log = impressions(8 * ROWS)
    log["buy"][np.flatnonzero(log["click"] == 0)[:3]] = 1
    write(there / "log.csv", log)
    text, found = described("log.csv")
    assert found.labels["buy"].expression == "click == 1 and buy == 1"
    assert f"3 of {log['buy'].sum():,} without click count as 0" in reason(text, "buy")
    log["buy"][np.flatnonzero(log["click"] == 0)[:300]] = 1
    write(there / "log.csv", log)
    assert [task.after for task in described("log.csv")[1].recipe.tasks] == [None, None]


def test_a_split_by_time_is_between_days_of_about_80_10_10(there: Path) -> None:
    log = impressions()
    write(there / "log.csv", log)
    split = described("log.csv")[1].split
    assert isinstance(split, ByTime)
    day_N = pd.to_datetime(log["time_ms"], unit="ms").strftime("%Y-%m-%d").to_numpy()
    shares = np.mean(day_N < split.valid_from), np.mean(day_N < split.test_from)
    assert shares == pytest.approx((0.8, 0.9), abs=0.06)
    log["date"] = pd.to_datetime(log.pop("time_ms"), unit="ms").strftime("%Y%m%d").astype(int)
    write(there / "log.csv", log)
    dated = described("log.csv")[1]
    assert isinstance(dated.split, ByTime)
    assert (dated.split.time, dated.roles.time) == ("date", None)
    assert dated.split.valid_from == int(str(split.valid_from).replace("-", ""))
    write(there / "log.csv", {**log, "date": START + np.arange(ROWS)})
    assert described("log.csv")[1].split == ByTime(shares=(0.8, 0.1, 0.1))


def test_parquet_of_all_types_is_understood(there: Path) -> None:
    log = impressions()
    rng = np.random.default_rng(1)
    moment = pa.array(log["time_ms"], pa.timestamp("ms", tz="Asia/Shanghai"))
    table = pa.table(
        {
            "UserId": log["user_id"],
            "at": moment,
            "isClick": pa.array(log["click"] == 1),
            "clicked_tags": pa.array([["a", "b"][: i % 3] for i in range(ROWS)]),
            "recent_items": pa.array([[1, 2, 3][: i % 4] for i in range(ROWS)]),
            "embedding": pa.array([[0.5, 1.5]] * ROWS),
            "brand": pa.array(rng.choice(["x", "y"], ROWS)).dictionary_encode(),
            "cost": pa.array(log["price"]).cast(pa.decimal128(12, 2), safe=False),
            "nothing": pa.nulls(ROWS),
            "place": pa.array([{"x": 1}] * ROWS),
            "share": pa.array(np.where(rng.random(ROWS) < 0.1, np.inf, 1.0)),
        }
    )
    pq.write_table(table, there / "log.parquet")
    text, found = described("log.parquet")
    assert (found.roles.user, found.roles.time) == (("UserId",), "at")
    assert found.labels["isClick"].expression == "isClick"
    kinds = {f.name: type(f).__name__ for f in found.recipe.features}
    assert kinds == {
        "UserId": "Categorical",
        "clicked_tags": "Tags",
        "recent_items": "Tags",
        "brand": "Categorical",
        "cost": "Dense",
        "hour": "Categorical",
    }
    for name, words in {
        "embedding": "a list of fractions",
        "nothing": "always missing",
        "place": "of type struct",
        "share": "infinite on",
    }.items():
        assert words in reason(text, name)


def test_a_log_without_time_and_users_is_split_by_rows(there: Path) -> None:
    rng = np.random.default_rng(0)
    log = {"label": rng.integers(0, 2, ROWS), "I1": rng.normal(size=ROWS)}
    log["C1"] = rng.choice(["ab12", "cd34", ""], ROWS)
    write(there / "log.tsv", log, "\t")
    found = described("log.tsv")[1]
    assert found.split == ByShare(seed=0)
    assert [task.name for task in found.recipe.tasks] == ["label"]
    assert found.recipe.user is None
    write(there / "log.tsv", {**log, "uid": rng.integers(0, 200, ROWS)}, "\t")
    text, by_user = described("log.tsv")
    assert by_user.split == ByShare(seed=0, of="user")
    assert "no user of test is known" in reason(text, "uid")


def test_a_device_of_few_values_is_no_user_and_a_shopper_is_one(there: Path) -> None:
    rng = np.random.default_rng(0)
    log = {"label": rng.integers(0, 2, ROWS), "device": rng.choice(["ios", "web"], ROWS)}
    write(there / "log.tsv", log, "\t")
    assert described("log.tsv")[1].recipe.user is None
    write(there / "log.tsv", {**log, "shopper": rng.integers(0, 200, ROWS)}, "\t")
    assert described("log.tsv")[1].roles.user == ("shopper",)


def test_ratings_and_steps_become_labels_by_a_threshold(there: Path) -> None:
    rng = np.random.default_rng(0)
    log = {"userId": rng.integers(0, 50, ROWS), "movieId": rng.integers(0, 90, ROWS)}
    rating = rng.integers(1, 11, ROWS) / 2
    write(there / "a.csv", {**log, "rating": rating, "timestamp": START + np.arange(ROWS)})
    found = described("a.csv")[1]
    assert found.labels["rating"].expression == "rating >= 3.5"
    assert (found.roles.item, found.roles.time) == (("movieId",), "timestamp")
    write(there / "a.csv", {**log, "label": rng.choice([0, 1, 2], ROWS, p=[0.6, 0.3, 0.1])})
    found = described("a.csv")[1]
    assert [(t.name, t.after) for t in found.recipe.tasks] == [
        ("label_1", None),
        ("label_2", "label_1"),
    ]


def test_of_numbers_with_a_sign_beside_it_is_told_how_to_read_them(there: Path) -> None:
    """As it says, it can be read."""
    number = impressions()["price"]
    log = impressions() | {
        "in_dollars": [f"${x}" for x in number],
        "kg": [f"{x} kg" for x in number],
    }
    log["as_an_id"] = [f"${x + i / 1000:.3f}" for i, x in enumerate(number)]
    none = {
        "mixed": [f"{'$€'[i % 2]}{x}" for i, x in enumerate(number)],
        "millions": [f"${x}M" for x in number],
        "bracketed": [f"({x})" for x in number],
        "plus": [f"+{x}pt" for x in number],
        "inches": [f'{x}"' for x in number],
        "feet": [f"{x}'" for x in number],
    }
    write(there / "log.csv", log | none)
    text, _ = described("log.csv")
    for name in (*none, "country"):
        assert "beside" not in reason(text, name)
    assert "left out: " in (told := reason(text, "as_an_id"))
    assert "a number beside '$': { kind" in told
    for name, sign in (("in_dollars", "'$'"), ("kg", "'kg'")):
        told = reason(text, name).partition(f"a number beside {sign}: ")[2]
        field = tomllib.loads(f"x = {told}")["x"]
        assert field["kind"] == "number"
        values = pa.array(map(str, log[name]))
        rows = Where("here", np.arange(len(number)))
        found = parse(field["from"], "x").evaluate({name: values}, rows, len(number))
        assert found.to_pylist() == list(number)


def test_tags_are_told_from_intervals_and_sentences(there: Path) -> None:
    rng = np.random.default_rng(0)
    words = np.array(["red", "green", "blue", "old", "new"])
    log = impressions()
    some = [sorted(rng.choice(words, rng.integers(1, 4), replace=False)) for _ in range(ROWS)]
    log["tags"] = ["|".join(each) for each in some]
    log["listed"] = [str([len(word) for word in each]) for each in some]
    log["range"] = rng.choice(["[0,10)", "(10,50]", "500+"], ROWS)
    log["said"] = rng.choice(["Not in universe, at all", "Other, of three"], ROWS)
    write(there / "log.csv", log)
    large = pa.array(log["tags"], pa.large_string())  # as other libraries write texts
    pq.write_table(pa.table({**log, "tags": large}), there / "log.parquet")
    for name in ("log.csv", "log.parquet"):
        found = described(name)[1]
        assert found.fields["tags"].separator == "|"
        assert (found.fields["listed"].separator, found.fields["listed"].strip) == (", ", "[]")
        assert found.fields["range"].separator is None
        assert found.fields["said"].separator is None


def test_side_tables_are_joined_wherever_they_are_named(there: Path) -> None:
    log = impressions()
    users = np.unique(log["user_id"])
    write(there / "log.csv", log)
    write(there / "users.csv", {"user_id": users, "plan": users % 3, "code": users + 1})
    text, found = described("log.csv", "users.csv")
    assert [(join.files.patterns, join.on) for join in found.joins] == [
        (("users.csv",), ("user_id",))
    ]
    assert "Among the files" in text
    assert "as the key is" in reason(text, "code")
    assert "plan" in found.fields
    said, by_join = described("log.csv", "--join", "users.csv")
    assert by_join.joins == found.joins
    items = np.arange(5)  # of which a sample of rows may have none
    write(there / "items.csv", {"item_id": items, "price": np.where(items, np.nan, 2.0)})
    both = described("log.csv", "--join", "items.csv", "--join", "users.csv")[1]
    assert [join.on for join in both.joins] == [("item_id",), ("user_id",)]
    assert "Among the files" not in said
    (there / "all").mkdir()
    for name in ("log.csv", "users.csv"):
        (there / name).rename(there / "all" / name)
    assert [join.on for join in described("all")[1].joins] == [("user_id",)]


def test_side_tables_without_a_key_are_refused(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = impressions()
    write(there / "log.csv", {**log, "user_id": [None, *log["user_id"][1:]]})
    for columns, words in (
        ({"other": [1, 2]}, "share a column with the log"),
        ({"user_id": [1, 1], "plan": [1, 2]}, "unique"),
        ({"user_id": [None, "001", "002"], "plan": [0, 1, 2]}, "in the log and '001' there: are"),
    ):
        write(there / "side.csv", columns)
        assert main(["describe", "log.csv", "--join", "side.csv"]) == 2
        assert words in capsys.readouterr().err


def test_where_a_sample_of_the_log_finds_nothing_in_a_side_table_all_of_it_may(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(there / "log.csv", impressions())
    write(there / "side.csv", {"user_id": ["0001", "0002"], "plan": [1, 2]})
    monkeypatch.setattr("studies.data.draft.look.SAMPLE", ROWS // 2)
    text, found = described("log.csv", "--join", "side.csv")
    assert "0.0% of the log's rows find theirs" in text
    assert found.joins


def test_files_without_a_header_get_names_to_be_changed(there: Path) -> None:
    log = pd.DataFrame(impressions())[["country", "age", "click"]]
    log["said"] = log.pop("click").map({0: "- 50000.", 1: "50000+."})
    lines = [", ".join(map(str, row)) for row in log.itertuples(index=False)]
    (there / "adult.data").write_text("\n".join(lines))
    found = described("adult.data", "--no-header")[1]
    assert found.data.columns == ("column_0", "column_1", "column_2")
    assert (found.data.header, found.data.strip) == (False, True)
    assert found.labels["column_2"].expression == "column_2 == '50000+.'"


def test_names_said_for_files_without_a_header_are_guessed_from(there: Path) -> None:
    log = pd.DataFrame(impressions()).assign(dwell=np.arange(ROWS) % 40)
    names = ["user_id", "item_id", "time_ms", "dwell", "click"]
    log[names].to_csv("log.tsv", sep="\t", index=False, header=False)
    items = {"item_id": range(60), "maker": np.arange(60) % 7}
    write(there / "items.csv", items)
    text, found = described("log.tsv", "--columns", ",".join(names), "--join", "items.csv")
    assert (found.data.header, found.data.columns) == (False, tuple(names))
    assert [(join.on, join.files.header) for join in found.joins] == [(("item_id",), True)]
    assert (found.roles.user, list(found.labels)) == (("user_id",), ["click"])
    assert "after the row was shown" in reason(text, "dwell")


def test_a_header_that_names_two_columns_alike_is_named_anew_as_its_refusal_says(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = pd.DataFrame(impressions())
    names = [*log.columns, "other"]
    log.assign(other=log["country"]).to_csv("log.csv", index=False)
    lines = Path("log.csv").read_text().splitlines(keepends=True)
    Path("log.csv").write_text("".join([lines[0].replace("other", "country"), *lines[1:]]))
    assert main(["describe", "log.csv"]) == 2
    told = capsys.readouterr().err
    assert "--header --columns" in told
    (anew,) = shlex.split(told.rpartition(" such as ")[2])
    assert anew.split(",") == [*names[:-1], "country_2"]
    for wrong in ([*names[:-1], "click"], [*names[:-1], ""]):
        assert main(["describe", "log.csv", "--header", "--columns", ",".join(wrong)]) == 2
        assert "--columns must be different names" in capsys.readouterr().err
    found = described("log.csv", "--header", "--columns", ",".join(names))[1]
    assert (found.data.header, found.data.columns) == (True, tuple(names))
    assert "click" in found.labels
    opened = open_all([Path("log.csv")], found.data)
    assert sum(len(batch) for batch, _ in batches(opened[0], found.data, names)) == ROWS
    Path("other.csv").write_text("".join([",".join(names[::-1]) + "\n", *lines[1:]]))
    with pytest.raises(
        UserError, match=r"column 0 .* in other\.csv, .* whose headers are the same"
    ):
        open_all([Path("log.csv"), Path("other.csv")], found.data)


def test_files_that_may_be_read_as_they_are_not_meant_are_told_of(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = pd.DataFrame(impressions())[["user_id", "price", "click"]]
    log.to_csv("bare.csv", index=False, header=False)
    log.to_csv("german.csv", index=False, sep=";")
    log.set_axis(["0", "1", "2"], axis=1).to_csv("counted.csv")
    for name, told in (("bare", "--columns"), ("german", "--separator"), ("counted", "")):
        assert main(["describe", f"{name}.csv", "--out", f"{name}.toml"]) == 0
        lines = Path(f"{name}.toml").read_text("utf-8").splitlines()
        notes = [line.removeprefix("# ") for line in lines if " say " in line]
        assert len(notes) == bool(told)
        assert told in "".join(notes)
        said = capsys.readouterr().err
        assert all(note in said for note in notes)


def test_a_draft_is_named_after_its_file_or_the_folder_of_a_dataset(there: Path) -> None:
    write(there / "log.csv", impressions())
    for out, name in (("news.toml", "news"), ("shop/dataset.toml", "shop")):
        assert main(["describe", "log.csv", "--out", out]) == 0
        assert read(Path(out)).recipe.name == name
        Path(out).write_text(Path(out).read_text().replace(f'name = "{name}"', ""))
        assert read(Path(out)).recipe.name == name


def test_paths_of_the_home_and_of_folders_beside_are_understood(
    there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = there / "a: b" / "~ home"
    monkeypatch.setenv("HOME", f"{home}")
    monkeypatch.setenv("FSMD_CACHE", f"{there}/cache")
    home.mkdir(parents=True)
    write(home / "log.csv", impressions())
    assert main(["describe", "~/log.csv", "--out", "~/in/dataset.toml"]) == 0
    found = read(home / "in" / "dataset.toml")
    assert found.data.patterns == (f"{home}/log.csv",)
    work = there / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    _, found = described("../a: b/~ home/log.csv")
    assert found.data.patterns == (f"{home}/log.csv",)
    for path in ("~/in/dataset.toml", f"{home}/in/dataset.toml"):
        assert load(path).name == "in"
        assert load(f"{path}:metric=log_loss").schema.tasks[0].metric == "log_loss"


def test_a_file_that_is_there_is_kept_unless_forced(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(there / "log.csv", impressions())
    (there / "mine.toml").write_text("mine")
    assert main(["describe", "log.csv", "--out", "mine.toml"]) == 2
    assert "--force" in capsys.readouterr().err
    assert (there / "mine.toml").read_text() == "mine"
    assert main(["describe", "log.csv", "--out", "mine.toml", "--force"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told[-3:] == [
        "The draft is mine.toml (tasks: click, buy). Edit it, then:",
        "  python -m studies.data check mine.toml",
        "  python -m studies.run auto --data mine.toml --budget 30m",
    ]
    assert main(["describe", "log.csv"]) == 0
    assert tomllib.loads(capsys.readouterr().out)["tasks"]["click"] == "click == 1"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "log.csv"), "--out must be a new file; log.csv is one of the log's"),
        (("--out", "pipe"), "--out must be a file; pipe is a folder, a pipe or a device"),
        (("--out", "log.csv/x.toml"), "the folder of --out must be a folder that can be written"),
        (("--encoding", "idna"), "--encoding: this must be an encoding of text"),
        (("--separator", "\n"), "--separator: this must be 1 to 10 letters"),
    ],
)
def test_options_that_would_harm_a_file_or_cannot_be_are_refused_before_any_reading(
    there: Path, capsys: pytest.CaptureFixture[str], options: tuple[str, str], words: str
) -> None:
    (there / "log.csv").write_text("a,b,a\n")  # which reading would refuse
    os.mkfifo(there / "pipe")
    assert main(["describe", "log.csv", "--force", *options]) == 2
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert (there / "log.csv").read_text() == "a,b,a\n"
    assert (there / "pipe").is_fifo()


def test_numbers_beyond_all_bounds_and_columns_in_another_order_are_described(
    there: Path,
) -> None:
    log = pd.DataFrame(impressions())
    log.loc[3, "price"] = 1e308
    (there / "logs").mkdir()
    log[:900].to_parquet(there / "logs/a.parquet")
    log[900:][log.columns[::-1]].to_parquet(there / "logs/b.parquet")
    text, found = described("logs")
    assert found.joins == ()
    assert "2,000 rows" in text
    assert reason(text, "price").endswith("numbers above 1e30")
    column = Column("hash", pa.uint64())
    column.see(pa.array([2**63, 2**64 - 1], pa.uint64()))
    assert (column.low, column.high, column.distinct) == (2.0**63, 2.0**64, 2)


def test_a_log_without_a_label_says_so_in_a_draft_that_is_still_toml(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(there / "log.csv", {"size": np.random.default_rng(0).normal(size=ROWS)})
    assert main(["describe", "log.csv"]) == 0
    text = capsys.readouterr().out
    assert "no label was found" in text
    assert tomllib.loads(text)["tasks"] == {}
    assert main(["describe", "log.csv", "--out", "mine.toml"]) == 0
    assert capsys.readouterr().err.splitlines()[-3:] == [
        "NOTE: no label was found. Write one under [tasks], or no study can be run.",
        "The draft is mine.toml (tasks: none yet). Edit it, then:",
        "  python -m studies.data check mine.toml",
    ]


HOSTILE = (
    *(
        '"quoted"',
        "a.b",
        "new\nline",
        "tab\there",
        "naïve",
        "点击",
        "🙂",
        "# no comment",
        "[fields]",
    ),
    *("class", "'", "\\", "a = 1", "mean", "all", "x|y", " blank ", "\x7f", "ﬁ", "=", "hour"),
)


def test_hostile_names_of_columns_make_a_draft_that_can_be_read(there: Path) -> None:
    rng = np.random.default_rng(0)
    names: Sequence[str] = (*HOSTILE, "x" * 360, "y" * 200)
    columns = {name: pa.array(rng.integers(0, 9, ROWS)) for name in names}
    columns["click\n#"] = pa.array(rng.integers(0, 2, ROWS))
    pq.write_table(pa.table(columns), there / "log.parquet")
    text, found = described("log.parquet")
    assert len(found.fields) == len(names) - 1
    assert "too long" in text
    assert [t.name for t in found.recipe.tasks] == ["click\\n#"]


def test_a_header_of_text_may_be_as_hostile(there: Path) -> None:
    rows = "".join(f'{i % 7},"a, ""b""\n{i % 3}",{i % 2}\n' for i in range(ROWS))
    (there / "log.csv").write_text(f'"x ""q"".y","new\nline",click\n{rows}')
    found = described("log.csv", "--multiline")[1]
    assert found.data.multiline
    assert {name: source.expression for name, source in found.fields.items()} == {
        'x "q".y': "column('x \"q\".y')",
        "new\\nline": "column('new\\nline')",
    }


NAMES = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.one_of(
    st.none(),
    st.text(max_size=6),
    st.sampled_from(["?", "NA", "0", "1", "1.0", "-3", "1e5", "2022-01-01", "20220101", "a|b"]),
)


@given(st.data())
@settings(max_examples=40, suppress_health_check=list(HealthCheck), deadline=None)
def test_whatever_a_log_holds_its_draft_is_toml_and_its_expressions_can_be_read(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("any")
    names = data.draw(st.lists(NAMES, min_size=1, max_size=4, unique=True))
    rows = data.draw(st.integers(1, 12))
    some = st.lists(VALUES, min_size=rows, max_size=rows)
    table = pa.table({name: pa.array(data.draw(some), pa.string()) for name in names})
    table = table.append_column("click", pa.array([str(i % 2) for i in range(rows)]))
    pq.write_table(table, folder / "log.parquet")
    out = folder / "dataset.toml"
    assert main(["describe", str(folder / "log.parquet"), "--out", str(out)]) == 0
    drafted = tomllib.loads(out.read_text("utf-8"))
    if drafted["fields"] and drafted["tasks"]:
        assert read(out).recipe.tasks


@given(
    st.recursive(st.text() | st.integers() | st.booleans() | st.floats(allow_nan=False), st.lists)
)
def test_values_are_written_as_toml_has_them(given: Any) -> None:
    assert tomllib.loads(f"{key('a b')} = {value(given)}") == {"a b": given}


@given(st.lists(st.integers(0, 60), max_size=200), st.integers(1, 5))
def test_few_values_are_counted_exactly_however_they_come(values: list[int], parts: int) -> None:
    column = Column("x", pa.int64())
    for part in np.array_split(np.array(values, np.int64), parts):
        column.see(pa.array(part))
    assert (column.distinct, column.is_exact) == (len(set(values)), True)


def test_of_many_rows_values_and_repeats_are_estimated_within_three_per_cent(there: Path) -> None:
    value_N = np.tile(np.arange(20 * TALLIED), 2)
    pq.write_table(pa.table({"x": value_N}), there / "log.parquet")
    seen = look(["log.parquet"], [], FileSet(()), memory=2**30, tick=lambda rows: None)
    (column,) = seen.columns
    assert column.distinct == pytest.approx(20 * TALLIED, rel=0.03)
    assert not column.is_exact
    assert seen.repeats == pytest.approx(0.5, abs=0.01)


def test_a_sample_is_the_same_however_the_rows_come() -> None:
    table = pa.table({"x": np.arange(10_000)})
    drawn = []
    for size in (10_000, 37):
        sample = Sample(500, 2**20)
        for start in range(0, len(table), size):
            sample.see(table.slice(start, size))
        drawn.append(sample.table().column("x").to_pylist())
    assert drawn[0] == drawn[1] == sorted(drawn[0])
    assert len(drawn[0]) == 500
