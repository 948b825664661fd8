"""`python -m fsmd.predict`: files of raw rows in, a file of their scores out."""

import gzip
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fsmd.data.schema import Floats
from fsmd.predict import main
from tests.made_models import MadeLog, expected, log_of, save, trained_model

CLOSE = 1e-6
pytestmark = pytest.mark.usefixtures("one_thread")
LABELS = ["is_click", "is_buy", "is_long"]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    return log_of(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def model(log: MadeLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(log, trained_model(log, "fsmd"), tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def want(log: MadeLog) -> dict[str, Floats]:
    return expected(log, trained_model(log, "fsmd"))


@pytest.fixture(scope="module")
def table(log: MadeLog) -> pa.Table:
    """The test rows, joined, in types."""
    frame = pd.read_csv(log.folder / "test.csv", na_values=["UNKNOWN"], keep_default_na=False)
    items = pd.read_csv(log.folder / "side/items.csv", keep_default_na=False)
    items["brand"] = items["brand"].replace("", None)
    frame = frame.merge(items, on="item", how="left").convert_dtypes()
    return pa.Table.from_pandas(frame.replace("", None), preserve_index=False)


def check(path: Path, want: dict[str, Floats], repeats: int = 1) -> pd.DataFrame:
    """The file has the scores of all rows, in their order, and nothing else was left."""
    found = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    for name, value_N in want.items():
        np.testing.assert_allclose(found[name], np.tile(value_N, repeats), rtol=0, atol=CLOSE)
    assert [name for name in os.listdir(path.parent) if name.startswith(".")] == []
    return found


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("scores.parquet", "onnx"),
        ("scores.csv", "onnx"),
        ("scores.csv.gz", "onnx"),
        ("scores.csv", "torch"),
    ],
)
def test_a_file_of_texts_is_joined_and_scored_in_order(
    log: MadeLog,
    model: Path,
    want: dict[str, Floats],
    tmp_path: Path,
    engine: str,
    name: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "new" / name
    given = [str(model), str(log.folder / "test.csv"), "--join", str(log.folder / "side")]
    options = ["--out", str(out), "--keep", "when,user", "--engine", engine, "--batch", "37"]
    assert main([*given, *options]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    assert line.startswith("300 rows in ")
    assert line.endswith(f" rows/s; {engine}, 1 thread): {out}")
    found = check(out, want)
    assert list(found) == ["when", "user", *want]
    texts = found if name.endswith("parquet") else pd.read_csv(out, dtype=str)
    for column in ("when", "user"):
        kept = texts[column].astype(object)
        assert kept.where(kept.notna(), None).tolist() == [row[column] for row in log.rows]


def test_a_side_table_in_which_no_row_is_found_is_told(
    log: MadeLog, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = pd.read_csv(log.folder / "side/items.csv", dtype=str)
    items.assign(item="0" + items["item"]).to_csv(tmp_path / "items.csv", index=False)
    given = [str(model), str(log.folder / "test.csv"), "--join", str(tmp_path / "items.csv")]
    assert main([*given, "--out", str(tmp_path / "scores.csv")]) == 0
    told = capsys.readouterr().err
    assert main([*given, "--out", str(tmp_path / "items.csv")]) == 2
    assert "--out must be none of the files that are read" in capsys.readouterr().err
    assert re.search(
        r"warning: .*items\.csv: .* none does by item, which here is such as '0", told
    )


def test_the_cards_command_names_the_side_tables_of_the_data(model: Path) -> None:
    command = "rows.parquet --join side/items.csv --out scores.parquet\n"
    assert command in (model / "README.md").read_text("utf-8")


def test_parquet_in_a_folder_of_partitions_is_scored_in_the_order_of_names(
    model: Path, want: dict[str, Floats], table: pa.Table, tmp_path: Path
) -> None:
    folder = tmp_path / "log"
    for i, (start, stop) in enumerate(((0, 3), (3, 250), (250, 250), (250, 300))):
        (folder / f"day={i}").mkdir(parents=True)
        coded = table[start:stop].drop_columns(LABELS)
        pq.write_table(coded, folder / f"day={i}" / "part.parquet", row_group_size=40)
    out = tmp_path / "scores.parquet"
    given = [str(model), str(folder), "--out", str(out), "--keep", "brand,price"]
    assert main(given) == 0
    check(out, want)
    found = pq.read_table(out)
    assert found.schema.types == [pa.string(), pa.float64(), *[pa.float32()] * len(want)]
    assert found["brand"].to_pylist() == table["brand"].to_pylist()
    assert main([*given[:2], str(folder / "*" / "*.parquet"), *given[2:]]) == 0
    check(out, want)  # a file that two patterns name is read once


def test_texts_are_read_as_the_models_description_says(
    log: MadeLog, model: Path, want: dict[str, Floats], table: pa.Table, tmp_path: Path
) -> None:
    frame = table.to_pandas().drop(columns=LABELS)
    frame.to_csv(tmp_path / "a.tsv", sep="\t", index=False, na_rep="UNKNOWN")
    with gzip.open(tmp_path / "b.csv.gz", "wt", encoding="utf-8", newline="") as file:
        frame.to_csv(file, index=False)
    for name in ("a.tsv", "b.csv.gz"):
        out = tmp_path / "out" / "scores.csv"
        assert main([str(model), str(tmp_path / name), "--out", str(out)]) == 0
        check(out, want)
    many = [str(tmp_path / "a.tsv"), str(tmp_path / "b.csv.gz")]
    assert main([str(model), *many, "--out", str(tmp_path / "out" / "both.parquet")]) == 0
    check(tmp_path / "out" / "both.parquet", want, repeats=2)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["log.parquet"], "no column 'user', which the model needs; did you mean 'usr'?"),
        (["bare.csv"], "('brand', 'price' are not there); there are user, item,"),
        (["bare.csv"], "side/items.csv (on item): give such files by --join, once for each"),
        (["bare.csv", "--join", "bare.csv"], "each key must be there once in a side table"),
        (["bare.csv", "--join", "a.csv", "--join", "b.csv"], "have 1 side tables; got 2"),
        (["none.csv"], "no file 'none.csv'"),
        (["typed.parquet"], "feature 'brand': here must be a text, not a value of another type"),
        (
            ["whole.csv", "--keep", "usr"],
            "--keep: the rows have no column 'usr'; did you mean 'user'?",
        ),
        (["whole.csv", "--keep", "user,user"], "of the output is named 'user' already"),
        (["more.parquet", "--keep", "more"], "a CSV file cannot hold column 'more', whose values"),
        (["whole.csv", "--out", "scores.txt"], "--out must end in .parquet, .csv, .csv.gz"),
        (["whole.csv", "--out", "whole.csv"], "--out must be none of the files that are read"),
        (["whole.csv", "--out", "."], "--out must be a file"),
        (["whole.csv", "--out", "a\0.csv"], "--out must be a file that can be written; "),
        (["whole.csv", "--out", "whole.csv/a.csv"], "--out must be a file that can be written"),
        (["whole.csv", "--threads", "9" * 9], "`threads` must be a whole number from 1 to 1024"),
        (["whole.csv", "--batch", "0"], "must be a whole number from 1 to"),
        (["whole.csv", "--threads", "0"], "`threads` must be a whole number from 1 to 1024"),
        (["whole.csv", "--engine", "tf"], "invalid choice"),
        (["wrong.csv"], "wrong.csv, row 299 (from 0): column 'price': a number must be"),
    ],
)
def test_what_cannot_be_scored_is_one_line_and_leaves_the_old_output(
    log: MadeLog,
    model: Path,
    table: pa.Table,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    told: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["usr" if name == "user" else name for name in table.column_names]
    pq.write_table(table.rename_columns(names), "log.parquet")
    structs = pa.array([{"a": 1}] * len(table))
    brand = table.schema.get_field_index("brand")
    pq.write_table(table.set_column(brand, "brand", structs), "typed.parquet")
    pq.write_table(table.append_column("more", structs), "more.parquet")
    frame = table.to_pandas()
    frame.to_csv("whole.csv", index=False)
    frame.drop(columns=["brand", "price"]).to_csv("bare.csv", index=False)
    prices = [*frame["price"][:-1].astype(object), "dear"]
    frame.assign(price=prices).to_csv("wrong.csv", index=False)
    Path("scores.csv").write_text("as before", "utf-8")
    before = sorted(os.listdir())
    assert main([str(model), "--out", "scores.csv", *arguments]) == 2
    output = capsys.readouterr()
    assert told in output.err
    assert output.err.count("\n") == 1
    assert (output.out, sorted(os.listdir())) == ("", before)
    assert Path("scores.csv").read_text("utf-8") == "as before"


def test_rows_of_a_set_that_code_makes_need_no_description(
    log: MadeLog, model: Path, want: dict[str, Floats], table: pa.Table, tmp_path: Path
) -> None:
    from fsmd.predict import predict
    from fsmd.scorer import Scorer

    pq.write_table(table, tmp_path / "log.parquet")
    rows = [str(tmp_path / "log.parquet")]
    out = tmp_path / "out" / "scores.parquet"
    assert predict(Scorer.load(model), tmp_path, rows, out) == 300
    check(out, want)


def test_no_rows_give_an_empty_file(model: Path, table: pa.Table, tmp_path: Path) -> None:
    pq.write_table(table[:0], tmp_path / "log.parquet")
    table.to_pandas()[:0].to_csv(tmp_path / "log.csv", index=False)
    for name in ("log.parquet", "log.csv"):
        out = tmp_path / "out" / "scores.parquet"
        assert main([str(model), str(tmp_path / name), "--out", str(out)]) == 0
        assert pq.read_table(out).num_rows == 0


def test_the_command_stands_among_all_commands(capsys: Any) -> None:
    from reports.commands import main as fsmd

    assert fsmd(["predict", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: fsmd predict [-h] --out")
