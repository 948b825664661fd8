"""From files to parts: any format gives the same rows, and what is no row is told in one line."""

import gzip
import hashlib
import io
import json
import os
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fsmd.data import source_of
from fsmd.data.description import toml
from fsmd.data.description.columns import texts
from fsmd.data.description.values import FileSet
from fsmd.data.files import cache_root
from fsmd.data.rows import csv as text_files
from fsmd.data.rows import place
from fsmd.data.rows.files import batches, find, open_all
from fsmd.data.rows.hashes import coded, hashes, owner_codes
from fsmd.data.rows.log import Log
from fsmd.data.rows.part import Part
from fsmd.errors import UserError
from studies.data.check import look

pytestmark = pytest.mark.quick
MEMORY = 2**30


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSMD_CACHE", str(tmp_path / "cache"))


TOML = """
[data]
name = "made"
files = ["log*.{ending}"]
distinct = {distinct}
[[join]]
files = ["sides.csv"]
on = "user"
[roles]
user = "user"
time = "at"
[fields]
user = "category"
item = "category"
age = "number"
town = "category"
next = {{ kind = "category", from = "tab + 1", known_before = true }}
x = {{ kind = "number", from = "x / 2", known_before = true }}
tags = {{ kind = "tags", separator = "|" }}
gone = {{ kind = "number", optional = true }}
[tasks]
click = "click"
buy = {{ label = "click == 1 and x > 0", where = "tab != 2", after = "click" }}
[split]
{split}
"""

SPLITS = {
    "time": 'by = "time"\nvalid_from = 20\ntest_from = 30\nuntil = 45',
    "shares": 'by = "time"\nshares = [0.6, 0.2, 0.2]',
    "user_time": 'by = "user_time"\nshares = [0.5, 0.25, 0.25]',
    "row": 'by = "fraction"\nseed = 3\nshares = [0.5, 0.3, 0.2]',
    "user": 'by = "fraction"\nseed = 3\nshares = [0.5, 0.3, 0.2]\nof = "user"',
    "column": 'by = "column"\ncolumn = "tab"\ntrain = [0, 1]\nvalid = 2\ntest = 3',
    "rules": 'by = "rules"\ntrain = "at < 15"\nvalid = "15 <= at <= 20"\ntest = "at > 25"',
}
WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {
    "csv": lambda frame, path: frame.to_csv(path, index=False),
    "csv.gz": lambda frame, path: frame.to_csv(path, index=False),
    "tsv": lambda frame, path: frame.to_csv(path, index=False, sep="\t", lineterminator="\r\n"),
    "parquet": lambda frame, path: frame.to_parquet(path, index=False, row_group_size=7),
}
WORDS = st.sampled_from(["a", "b", "é", "a,b", 'q"t', "0", "007", "long word " * 3])
ROW = st.tuples(
    st.one_of(st.none(), st.integers(0, 5)),
    st.one_of(st.none(), WORDS),
    st.integers(0, 4),
    st.one_of(st.none(), st.floats(-1e6, 1e6).map(lambda x: round(x, 3))),
    st.sampled_from([None, "a", "a|b", "|b|", "b|a|b"]),
    st.sampled_from([None, 0, 1]),
    st.one_of(st.integers(0, 50), st.integers(0, 50), st.none()),
)


def frame_of(rows: list[tuple[Any, ...]]) -> pd.DataFrame:
    frame = pd.DataFrame(rows, columns=["user", "item", "tab", "x", "tags", "click", "at"])
    whole = dict.fromkeys(("user", "tab", "click", "at"), "Int64")
    return frame.astype({**whole, "x": "float64", "item": "str", "tags": "str"})


SIDES = pd.DataFrame(
    {"user": ["0", "1", "3", "9"], "age": [20.5, None, 40, 1], "town": list("uvwx")}
)


def expected_split(name: str, frame: pd.DataFrame) -> "pd.Series[Any]":
    """Of each row, by another way than the one tested."""
    at = frame["at"].astype("float64")
    split = pd.Series(None, frame.index, dtype=object)
    if name == "time":
        split[at < 20] = "train"
        split[(at >= 20) & (at < 30)] = "valid"
        split[(at >= 30) & (at < 45)] = "test"
    elif name == "shares":
        known = sorted(at.dropna())
        cuts = [
            known[min(int(len(known) * s + 0.5 + 1e-9), len(known) - 1)] if known else 0
            for s in (0.6, 0.8)
        ]
        split[at < cuts[0]] = "train"
        split[(at >= cuts[0]) & (at < cuts[1])] = "valid"
        split[at >= cuts[1]] = "test"
    elif name == "user_time":
        alone = pd.Series(-1 - np.arange(len(frame)), frame.index)
        who = frame["user"].astype("float64").fillna(alone)
        for _, of_user in at.dropna().groupby(who):
            count = len(of_user)
            ends = [int(count * s + 0.5) for s in (0.5, 0.75, 1)]
            for i, index in enumerate(of_user.sort_values(kind="stable").index):
                split[index] = ("train", "valid", "test")[sum(i >= end for end in ends[:2])]
    elif name == "column":
        split = frame["tab"].map({0: "train", 1: "train", 2: "valid", 3: "test"})
    elif name == "rules":
        split[at < 15] = "train"
        split[(at >= 15) & (at <= 20)] = "valid"
        split[at > 25] = "test"
    return split


def expected(name: str, frame: pd.DataFrame, distinct: bool) -> dict[str, list[Any]]:
    """Split -> its rows as tuples, by pandas."""
    if distinct:
        frame = frame.drop_duplicates(ignore_index=True)
    split = expected_split(name, frame)
    side = SIDES.set_index("user")
    key = [None if pd.isna(user) else str(user) for user in frame["user"]]
    rows: dict[str, list[Any]] = {}
    for i, row in enumerate(frame.astype(object).where(frame.notna(), None).to_dict("records")):
        joined = side.loc[key[i]] if key[i] in side.index else {"age": None, "town": None}
        age = joined["age"]
        click, x = row["click"], row["x"]
        if click == 0 or (x is not None and x <= 0):
            buy: float | None = 0.0
        else:
            buy = None if click is None or x is None else 1.0
        made = (
            *(key[i], row["item"], joined["town"], str(row["tab"] + 1)),
            row["tags"] and [tag for tag in row["tags"].split("|") if tag],
            *(None if age is None or np.isnan(age) else age, None if x is None else x / 2, None),
            *(click, None if row["tab"] == 2 else buy, row["at"]),
        )
        if isinstance(split.iloc[i], str):
            rows.setdefault(split.iloc[i], []).append(made)
    return rows


def rows_of(parts: list[Part]) -> dict[str, list[Any]]:
    """Split -> its rows as tuples."""
    rows: dict[str, list[Any]] = {}
    for part in parts:
        names = ("user", "item", "town", "next", "tags", "age", "x", "gone")
        columns = [part.fields.column(name).to_pylist() for name in names]
        assert part.time_N is not None
        numbers = np.column_stack([part.label_NK, part.time_N])
        for values, number in zip(zip(*columns, strict=True), numbers, strict=True):
            found = (None if np.isnan(n) else float(n) for n in number)
            rows.setdefault(part.split, []).append((*values, *found))
    return rows


def codes_of(parts: list[Part]) -> list[Any]:
    """Split, user and request of each row, in the order of splits, then of files."""
    codes: list[Any] = []
    for part in sorted(parts, key=lambda part: part.split):
        assert part.user_N is not None
        assert part.request_N is not None
        codes += ((part.split, *pair) for pair in zip(part.user_N, part.request_N, strict=True))
    return codes


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.lists(ROW, min_size=1, max_size=40).filter(
        lambda rows: {0, 1, 3} & {r[0] for r in rows}
    ),
    cut=st.integers(1, 39),
    distinct=st.booleans(),
    name=st.sampled_from(list(SPLITS)),
    memory=st.sampled_from([2**20, MEMORY]),
)
def test_any_format_in_any_number_of_files_gives_the_rows_that_pandas_does(
    tmp_path: Path,
    rows: list[tuple[Any, ...]],
    cut: int,
    distinct: bool,
    name: str,
    memory: int,
) -> None:
    frame = frame_of(rows)
    pieces = [piece for piece in (frame[:cut], frame[cut:]) if len(piece)]
    seen: list[Any] = []
    for ending, write in WRITERS.items():
        folder = tmp_path / ending
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        SIDES.to_csv(folder / "sides.csv", index=False)
        for number, piece in enumerate(pieces):
            write(piece, folder / f"log_{number}.{ending}")
        text = TOML.format(ending=ending, distinct=str(distinct).lower(), split=SPLITS[name])
        log = Log.of(toml.parse(text, folder / "dataset.toml"), memory)
        parts = list(log.parts())
        found = rows_of(parts)
        assert sum(map(len, found.values())) + sum(log.left_out.values()) == len(frame)
        if name not in ("row", "user"):
            assert found == expected(name, frame, distinct)
        if name == "user":
            split_of: dict[Any, str] = {}
            for split, user, _ in codes_of(parts):
                assert split_of.setdefault(user, split) == split
        assert rows_of(list(log.parts())) == found, "a second pass gives the same"
        seen.append((found, codes_of(parts)))
    assert all(each == seen[0] for each in seen[1:])


def test_rows_of_files_are_split_by_name_and_test_is_halved_without_valid(tmp_path: Path) -> None:
    for name, start, count in (("a", 0, 3), ("b", 3, 5), ("c", 8, 1)):
        pd.DataFrame({"x": range(start, start + count), "y": 1}).to_csv(
            tmp_path / f"{name}.csv", index=False
        )
    text = """
    data = { name = "made", files = ["?.csv"] }
    fields = { x = "number" }
    tasks = { y = "y" }
    split = { by = "files", train = "a.csv", test = "b.csv" }
    """
    log = Log.of(toml.parse(text, tmp_path / "dataset.toml"), MEMORY)
    found = {part.split: part.fields.column("x").to_pylist() for part in log.parts()}
    assert found == {"train": [0, 1, 2], "valid": [3, 4], "test": [5, 6, 7]}
    assert log.left_out == {"repeats": 0, "in no split": 1}


def test_a_joined_column_is_the_key_of_the_next_join_and_each_time_has_its_unit(
    tmp_path: Path,
) -> None:
    at = ["1970-01-01", "1970-01-02", "1970-01-03"]
    log = pd.DataFrame({"video": [1.0, 2.0, 1.0], "ms": [0, 86_400_000, 172_799_999], "day": at})
    log.assign(user="u", y=1).to_parquet(tmp_path / "log.parquet")
    (tmp_path / "videos.csv").write_text("video,author,y\n1,a,\n2,b,\n", "utf-8")
    (tmp_path / "authors.csv").write_text("author,age\na,30\nc,50\n", "utf-8")
    text = """
    data = { name = "made", files = ["log.parquet"] }
    join = [{ files = ["videos.csv"], on = "video" }, { files = ["authors.csv"], on = "author" }]
    roles = { user = "user", time = "ms", time_unit = "ms" }
    fields = { age = "number", video = "category" }
    tasks = { liked = "ms > 0" }
    split = { by = "time", column = "day", valid_from = "1970-01-02", test_from = 172800 }
    """
    parts = list(Log.of(toml.parse(text, tmp_path / "dataset.toml"), MEMORY).parts())
    ages = {part.split: part.fields.column("age").to_pylist() for part in parts}
    assert ages == {"train": [30], "valid": [None], "test": [30]}
    assert [part.fields.column("video").to_pylist() for part in parts] == [["1"], ["2"], ["1"]]
    requests = [int(part.request_N[0]) for part in parts if part.request_N is not None]
    assert requests[0] != requests[1] == requests[2], "of one user, those of one day"


# Bad input

HEAD = b"a,b,c\n"
SHAPE = FileSet(("*",))


def bad(name: str, content: bytes, *words: str, **shape: Any) -> Any:
    return pytest.param(name, content, words, shape, id=name)


def parquet(**columns: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink, row_group_size=2)
    return bytes(sink.getvalue())


def damaged(content: bytes) -> bytes:
    """With a page of the second row group overwritten."""
    second = pq.ParquetFile(pa.BufferReader(content)).metadata.row_group(1).column(0)
    start = second.dictionary_page_offset or second.data_page_offset
    return content[:start] + b"\xff" * 16 + content[start + 16 :]


@pytest.mark.parametrize(
    ("name", "content", "words", "shape"),
    [
        bad("ragged.csv", HEAD + b"1,2,3\n\n4,5\n", "row 1 (from 0)", "3 values", "2: '4,5'"),
        bad("both.csv", HEAD + b"1,2\xff\n", "row 0", "3 values", "got 2: '1,2�'"),
        bad("long.csv", b"1,2\n3,4,5\n", "row 1", "3: '3,4,5'", header=False),
        bad("more.csv", b"1,2\n", "row 0", "3 values", header=False, columns=("a", "b", "c")),
        bad("few.csv", HEAD, "3 columns", "names 1", columns=("a",)),
        bad("dot.dat", b"1::2\n3\n", "row 1", "got 1: '3'", header=False, separator="::"),
        bad("latin.csv", HEAD + b"1,2,3\n4,caf\xe9,6\n", "row 1", "column 'b'", "utf-8", "'caf�'"),
        bad("cp.csv", HEAD + b"1,2,\x81\n", "row 0", "'c'", "cp1252", encoding="cp1252"),
        bad("header.csv", b"caf\xe9,b\n", "header", "utf-8", "'caf�'", "encoding"),
        bad("utf16.csv", "a,b\n1,2\n".encode("utf-16"), "header", "utf-8", "encoding"),
        bad("mark.csv", HEAD, "first line", "utf-16", "encoding", encoding="utf-16"),
        bad("unknown.csv", HEAD, "encoding", "'klingon'", encoding="klingon"),
        bad("lines.csv", HEAD + b'1,"x\ny",3\n', "row 0", "'b'", "multiline", r"'x\ny'"),
        bad("open.csv", HEAD + b'1,2,"3\n4,5,6\n', "row 0", "'c'", "never closed"),
        bad("opened.csv", HEAD + b'1,"2,3\n4,5,6\n', "row 0", "3 values, as many"),
        bad("again.csv", HEAD + b"a,b,1\n" + HEAD, "row 1 (from 0)", "not be the header again"),
        bad("anew.csv", HEAD * 2, "row 0", "header again", columns=("x", "y", "z")),
        bad("pandas.csv", b",a,b\n0,1,2\n,a,b\n", "row 1 (from 0)", "header again", columns=()),
        bad("mark.csv", HEAD + b"\xef\xbb\xbf" + HEAD, "row 0 (from 0)", "header again"),
        bad("quotes.csv", HEAD + b'\xef\xbb\xbf"a","b","c"\n', "row 0", "header again"),
        bad("blanks.csv", HEAD + b" a,b , c\n", "row 0", "header again", strip=True),
        bad("none.csv", b"a,NA,c\n1,2,3\na,NA,c\n", "row 1", "again", missing=("NA", "")),
        bad("names.csv", b"a,b,a\n1,2,3\n", "'a' 2 times", "once"),
        bad("empty.csv", b"", "is empty"),
        bad("blank.csv", b"\n\r\n", "is empty"),
        bad("bom.csv", b"\xef\xbb\xbf", "is empty"),
        bad("wide.csv", HEAD + b"1,2,3\n4," + b"x" * 2**23 + b",6\n", "row 1", "4194304 bytes"),
        bad("line.csv", b"x" * 2**23, "4194304 letters"),
        bad("zip.csv", b"PK\x03\x04\0\0", "holds no text", ".parquet"),
        bad("cut.csv.gz", gzip.compress(HEAD * 999)[:-9], "cannot be read", "Truncated"),
        bad("text.parquet", HEAD, "no Parquet file", "PAR1"),
        bad("short.parquet", b"PAR1....PAR1", "cannot be read"),
        bad("cut.parquet", parquet(a=[1, 2])[:-20], "cannot be read"),
        bad("named.parquet", parquet(a=[1, 2]), "names in it", "of text", columns=("b",)),
        bad("page.parquet", damaged(parquet(a=[1, 2, 3])), "row group 1 of 2", "row 2"),
        bad("bytes.parquet", parquet(a=[b"a", b"b", b"\xff"]), "row 2", "'a'", "UTF-8", "xff"),
    ],
)
def test_a_file_that_holds_no_rows_is_told_with_row_column_and_value(
    tmp_path: Path, name: str, content: bytes, words: tuple[str, ...], shape: dict[str, Any]
) -> None:
    (tmp_path / name).write_bytes(content)
    files = FileSet((name,), **shape)

    def read() -> None:
        for file in open_all(find(files, tmp_path), files):
            for _ in batches(file, files, tuple(file.columns)):
                pass

    with pytest.raises(UserError) as told:
        read()
    message = str(told.value)
    assert all(word in message for word in words), message
    assert name in message


@pytest.mark.parametrize(
    ("content", "shape", "rows"),
    [
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n", {}, [("1", "2")]),
        (b"a,b\r1,2\r3,4", {}, [("1", "2"), ("3", "4")]),
        (b"\na,b\n\n1,2\n\n", {}, [("1", "2")]),
        (b"a,b", {}, []),
        (b"a,b\n", {}, []),
        (b'a,b\n"NA",""\n NA,007\n', {"missing": ("", "NA")}, [(None, None), (" NA", "007")]),
        (b'a,b\n"NA",\n NA,x \n', {"missing": ("NA",), "strip": True}, [(None, ""), (None, "x")]),
        (b"a,b\n,NA\n", {"missing": ()}, [("", "NA")]),
        (b'a,b\n"x\ny",2\n', {"multiline": True}, [("x\ny", "2")]),
        (b",0\nx,5\n,0\n", {}, [("x", "5"), (None, "0")]),
        (b"word,NA\nx,1\nword,\n", {"missing": ("NA", "")}, [("x", "1"), ("word", None)]),
        (b"0,1\n0,1\n", {}, [("0", "1")]),
        (b"a,b\na,1\n1,b\n", {}, [("a", "1"), ("1", "b")]),
        (b"|said\n1,2\n|x,y\n", {"header": False, "comment": "|"}, [("1", "2")]),
        (b"#\na,b\n#\n1,2\n", {"comment": "#"}, [("1", "2")]),
        (b"#\na,a\n#\n1,2\n", {"columns": ("a", "b"), "comment": "#"}, [("1", "2")]),
        (
            "é::b::c\n".encode("latin-1"),
            {"header": False, "separator": "::", "encoding": "latin-1"},
            [("é", "b", "c")],
        ),
        ("a,b\n1,é\n".encode("utf-16"), {"encoding": "utf-16"}, [("1", "é")]),
        (
            "a||b\n1||é\n".encode("utf-16"),
            {"separator": "||", "encoding": "utf-16"},
            [("1", "é")],
        ),
        ("a¦b\n1¦2\n".encode(), {"separator": "¦"}, [("1", "2")]),
        (
            gzip.compress(b"a,b\n1,2\n", mtime=0) + gzip.compress(b"3,4\n", mtime=0),
            {},
            [("1", "2"), ("3", "4")],
        ),
    ],
)
def test_a_text_file_is_read_as_it_is_meant(
    tmp_path: Path, content: bytes, shape: dict[str, Any], rows: list[tuple[str, ...]]
) -> None:
    (tmp_path / "log.csv").write_bytes(content)
    files = FileSet(("log.csv",), **shape)
    (file,) = open_all(find(files, tmp_path), files)
    read = [batch for batch, _ in batches(file, files, tuple(file.columns))]
    assert [tuple(row.values()) for batch in read for row in batch.to_pylist()] == rows


@given(
    st.lists(st.text("aé:", max_size=6), min_size=1, max_size=30),
    st.integers(1, 7),
    st.sampled_from(["utf-8", "utf-16"]),
)
def test_a_separator_of_several_letters_is_found_wherever_a_block_ends(
    words: list[str], block: int, encoding: str
) -> None:
    content = "::".join(words)
    stream = text_files._Separated(io.BytesIO(content.encode(encoding)), encoding, "::")
    read = b"".join(iter(lambda: stream.read(block), b""))
    assert read.decode() == content.replace("::", "\x1f")


def test_a_file_of_several_names_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "log.csv").write_text("a\n1\n", "utf-8")
    (tmp_path / "link.csv").symlink_to("log.csv")
    names = ("log.csv", "x/../log.csv", str(tmp_path / "log.csv"), "*.csv", ".")
    assert find(FileSet(names), tmp_path) == (tmp_path / "log.csv",)


def test_what_is_no_file_is_told_as_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    wanted = {
        "logs": r"no \.csv, .* in the folder .*logs",
        "loop.csv": "must be a file or a folder",
        "pipe.csv": "must be a file or a folder",
        **dict.fromkeys(
            ("a*.csv", "a**b", "[", "\0", "x" * 300), "no file .* there are logs, loop"
        ),
    }
    for pattern, words in wanted.items():
        with pytest.raises(UserError, match=words):
            find(FileSet((pattern,)), tmp_path)


def test_types_of_parquet_are_read_by_what_they_mean(tmp_path: Path) -> None:
    big = 2**53 + 1
    first = pa.table(
        {
            "d": pa.array(["x", None]).dictionary_encode(),
            "l": pa.array(["x", "y"], pa.large_string()),
            "i": pa.array([big, big + 1]),
            "n": pa.nulls(2),
            "t": pa.array([["a", "b"], None], pa.large_list(pa.large_string())),
        }
    )
    second = first.set_column(3, "n", pa.array(["a", "b"]))
    for name, table in (("a", first), ("b", second)):
        pq.write_table(table, tmp_path / f"{name}.parquet")
    files = FileSet(("*.parquet",))
    opened = open_all(find(files, tmp_path), files)
    assert {str(kind) for kind in opened[0].columns.values()} == {
        *("string", "int64", "list<item: string>")
    }
    read = [
        b
        for file in opened
        for b, _ in batches(file, files, tuple(file.columns), coded=file.columns)
    ]
    assert [texts(b.column("i")).values.to_pylist() for b in read] == [
        [str(big), str(big + 1)]
    ] * 2
    assert [b.column("n").to_pylist() for b in read] == [[None, None], ["a", "b"]]

    pq.write_table(first.set_column(2, "i", pa.array([0.5, 1])), tmp_path / "c.parquet")
    with pytest.raises(UserError, match=r"c\.parquet: column 'i' is of type double, but int64"):
        open_all(find(files, tmp_path), files)
    pq.write_table(first.drop_columns(["l"]), tmp_path / "c.parquet")
    with pytest.raises(UserError, match=r"c\.parquet has no column 'l', which .*a\.parquet has"):
        open_all(find(files, tmp_path), files)


LOG = """
data = {{ name = "made", files = ["log.csv"] }}
join = [{{ files = ["side.csv"], on = "u" }}]
roles = {{ user = "u", time = "at" }}
fields = {{ u = "category", age = "number" }}
tasks = {{ y = "y" }}
split = {split}
"""


@pytest.mark.parametrize(
    ("log", "side", "split", "words"),
    [
        ("u,at,y\n1,2,3\n", "u,age\n1,2\n", "", ("row 0", "'y' must be 0 or 1", "got 3")),
        ("u,at,y\n1,2,1\n", "u,age\n1,x\n", "", ("row 0", "column 'age'", "got 'x'")),
        ("u,at,y\n1,2,1\n", "u,age\n1,1e999\n", "", ("row 0", "column 'age'", "1e999")),
        ("u,at,y\n1,2,1\n", "u,age\n1,2\n5,3\n5,3\n", "", ("side.csv", "u = '5'", "again")),
        ("u,at,y\n1,2,1\n", "u,age\n01,2\n", "", ("side.csv: some row must find", "as '01'")),
        ("u,at,y\n1,2,1\n", "u,age\n", "", ("side.csv", "must have rows with a key")),
        ("u,at,y,age\n1,2,1,3\n", "u,age\n1,2\n", "", ("'age' is in", "log.csv", "side.csv")),
        ("u,at,y\n1,2,1\n", "v,age\n1,2\n", "", ("side.csv has no column 'u'", "v, age")),
        ("u,at,z\n1,2,1\n", "u,age\n1,2\n", "", ("[tasks] y.label", "no column 'y'", "u, at, z")),
        ("u,at,y\n", "u,age\n1,2\n", "", ("log.csv", "no rows")),
        (
            *("u,at,y\n1,9,1\n1,2,1\n", "u,age\n1,2\n"),
            '{ by = "rules", train = "at > 1", valid = "at < 0", test = "at > 5" }',
            ("row 0", "one split", "train and test"),
        ),
        (
            *("u,at,y\n1,2020-01-01,1\n1,2020-13-01,1\n", "u,age\n1,2\n"),
            '{ by = "time", valid_from = "2020-02-01", test_from = "2020-03-01" }',
            ("row 1", "column 'at'", "'2020-13-01'"),
        ),
    ],
)
def test_rows_that_cannot_be_used_are_told_with_their_place(
    tmp_path: Path, log: str, side: str, split: str, words: tuple[str, ...]
) -> None:
    (tmp_path / "log.csv").write_text(log, "utf-8")
    (tmp_path / "side.csv").write_text(side, "utf-8")
    text = LOG.format(split=split or '{ by = "fraction", seed = 1 }')
    with pytest.raises(UserError) as told:
        list(Log.of(toml.parse(text, tmp_path / "dataset.toml"), MEMORY).parts())
    assert all(word in str(told.value) for word in words), told.value


def test_a_check_tells_of_a_side_table_in_which_nothing_is_found(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("u,at,y\n1,2,1\n", "utf-8")
    (tmp_path / "side.csv").write_text("u,age\n01,2\n", "utf-8")
    description = tmp_path / "dataset.toml"
    description.write_text(LOG.format(split='{ by = "fraction", seed = 1 }'), "utf-8")
    ((level, text),) = look(source_of(str(description)))[1]
    assert level == "error"
    assert text.endswith("such as '01': are keys written alike in both?")


# Hashes, and what is kept on disk


@given(
    st.lists(st.one_of(st.none(), st.text(max_size=20), st.integers(-(10**18), 10**18).map(str)))
)
def test_a_hash_is_of_the_text_alone(words: list[str | None]) -> None:
    array = pa.array(words, pa.string())
    alone = [hashes(pa.array([word], pa.string()))[0] for word in words]
    assert hashes(array).tolist() == alone
    assert hashes(array[len(words) // 2 :]).tolist() == alone[len(words) // 2 :]
    owners = owner_codes(coded(array)[0], np.arange(len(words)))
    assert [o == a for o, a in zip(owners, alone, strict=True)] == [w is not None for w in words]
    assert len(set(owners)) == len(set(words) - {None}) + words.count(None)
    assert len(set(alone)) == len(set(words))


def test_hashes_are_the_same_in_every_version() -> None:
    assert hashes(pa.array(["", "a", "12345678", "é" * 9])).tolist() == [
        16294208416658607535,
        3326218840847366555,
        9501447833425779875,
        13574997001561587441,
    ]


@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-5, 5))))
def test_whole_numbers_are_written_once_and_come_back(numbers: list[int | None]) -> None:
    words, refused_N = coded(pa.array(numbers, pa.int64()))
    assert refused_N is None
    assert words.to_pylist() == [None if n is None else str(n) for n in numbers]
    assert set(words.dictionary.to_pylist()) == {str(n) for n in numbers if n is not None}


def a_log(folder: Path, rows: int = 2000) -> Log:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"u": draw.integers(0, 99, rows), "at": draw.integers(0, 9, rows), "y": 1}
    )
    frame.to_csv(folder / "log.csv", index=False)
    text = """
    data = { name = "made", files = ["log.csv"], distinct = true }
    roles = { user = "u", time = "at" }
    fields = { u = "category" }
    tasks = { y = "y" }
    split = { by = "user_time" }
    """
    return Log.of(toml.parse(text, folder / "dataset.toml"), 1)


def test_nothing_is_left_on_disk_of_what_did_not_fit_in_memory(tmp_path: Path) -> None:
    log = a_log(tmp_path)
    parts = log.parts()
    rows = len(next(parts).label_NK)
    assert not [path for path in cache_root().rglob("*") if path.is_file()]
    rows += sum(len(part.label_NK) for part in parts)
    assert rows == 2000 - log.left_out["repeats"]
    assert log.left_out["repeats"] > 1000


def test_a_file_that_changes_is_read_no_further(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text_files, "BLOCK", 2**14)
    log = a_log(tmp_path, rows=20_000)
    parts = log.parts()
    next(parts)
    with (tmp_path / "log.csv").open("a") as file:
        file.write("1,2,1\n")
    with pytest.raises(UserError, match=r"log\.csv changed while it was read"):
        list(parts)
    with pytest.raises(UserError, match=r"log\.csv changed"):
        _ = log.key


def test_the_key_is_of_the_content_and_is_computed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = time.time_ns() + 10**10  # what was written just now is not remembered
    monkeypatch.setattr(place, "time", SimpleNamespace(time_ns=lambda: later))
    key = a_log(tmp_path).key
    os.utime(tmp_path / "log.csv", (1, 1))
    assert a_log_again(tmp_path).key == key
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", None)
        assert a_log_again(tmp_path).key == key, "it is remembered"
    content = (tmp_path / "log.csv").read_bytes()
    (tmp_path / "log.csv").write_bytes(content.replace(b",1\n", b",0\n", 1))
    os.utime(tmp_path / "log.csv", (1, 1))
    assert a_log_again(tmp_path).key != key, "same size, time and inode, another content"


def test_the_digests_of_many_files_are_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i in range(3):
        (tmp_path / f"{i}.csv").write_text(f"a\n{i}\n", "utf-8")
    files = open_all(find(FileSet(("*.csv",)), tmp_path), SHAPE)
    written: list[bytes] = []
    later = time.time_ns() + 10**10
    monkeypatch.setattr(place, "time", SimpleNamespace(time_ns=lambda: later))
    monkeypatch.setattr(place, "write", lambda _, content: written.append(content))
    assert len(set(place.digests_of(files))) == 3
    assert [len(json.loads(content)) for content in written] == [3]


@pytest.mark.parametrize(
    ("columns", "change", "words"),
    [
        *(
            ({"at": [1.0, time_]}, {}, ("row 1", "a time must lie", f"got {time_:g} for 'at'"))
            for time_ in (1e30, -1e30, 1e308)
        ),
        *(
            ({"x": pa.array([[value]] * 2)}, {'"number"': '"tags"'}, ("list must be of texts",))
            for value in (datetime(2020, 1, 1), timedelta(1), {"a": 1}, [1])
        ),
        *(
            (
                {"x": pa.array([value] * 2)},
                {},
                ("[fields] x.from", "a number, not a value of anot"),
            )
            for value in ({"a": 1}, [1], timedelta(1))
        ),
    ],
)
def test_a_type_or_a_time_that_cannot_be_used_is_told(
    tmp_path: Path, columns: dict[str, Any], change: dict[str, str], words: tuple[str, ...]
) -> None:
    table = {"at": [1.0, 2.0], "x": [1, 2], "y": [0, 1], "u": ["a", "b"]} | columns
    (tmp_path / "log.parquet").write_bytes(parquet(**table))
    text = """
    data = { name = "made", files = ["log.parquet"] }
    roles = { user = "u", time = "at" }
    fields = { x = "number" }
    tasks = { y = "y" }
    split = { by = "fraction", seed = 0 }
    """
    for old, new in change.items():
        text = text.replace(old, new)
    with pytest.raises(UserError) as told:
        list(Log.of(toml.parse(text, tmp_path / "dataset.toml"), MEMORY).parts())
    assert all(word in str(told.value) for word in words), told.value


def a_log_again(folder: Path) -> Log:
    text = """
    data = { name = "made", files = ["log.csv"] }
    fields = { u = "category" }
    tasks = { y = "y" }
    split = { by = "fraction", seed = 0 }
    """
    return Log.of(toml.parse(text, folder / "dataset.toml"), MEMORY)
