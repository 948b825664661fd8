"""Descriptions, formulas and files of a log, as whoever has data writes them."""

import csv
import gzip
import io
import operator
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

import fsmd
from fsmd.data.description import catalog
from fsmd.data.description.expression import parse as parse_expression
from fsmd.data.description.toml import parse, read
from studies import run
from studies.data import commands as data_commands
from studies.data.draft.text import value as toml_of
from tests import test_description
from tests.fuzz.changes import EDITS, LEAF_EDITS, Edit, altered, edited, index_of, mostly, mutated
from tests.fuzz.rule import asked, commanded
from tests.fuzz.target import Check, Target
from tests.made_models import DESCRIPTION as MADE
from tests.test_bad_input import training_nothing


def _toml(whole: Mapping[str, Any]) -> str:
    values = whole[""] if isinstance(whole[""], Mapping) else whole
    return "\n".join(f"{toml_of(str(key))} = {_inline(value)}" for key, value in values.items())


def _inline(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{toml_of(str(k))} = {_inline(v)}' for k, v in value.items())} }}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_inline, value))}]"
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return toml_of("" if value is None else value)


def _descriptions() -> list[str]:
    known = [catalog.path_of(name).read_text("utf-8") for name in catalog.names()]
    return [test_description.LEAST, test_description.WHOLE, MADE, *known]


@contextmanager
def _description(place: Path) -> Iterator[Check]:
    path = place / "dataset.toml"
    yield lambda text: asked(lambda: parse(text, path))


SEEDS = _descriptions()
DESCRIPTIONS = st.one_of(
    mutated(*(text.encode() for text in SEEDS)).map(lambda b: b.decode("utf-8", "replace")),
    st.builds(
        lambda i, edits: _toml({"": altered(tomllib.loads(SEEDS[i]), edits)}),
        index_of(SEEDS),
        LEAF_EDITS,
    ),
)
WORDS = (
    *("click", "a", "price", "column", "log", "hour", "seconds", "lower", "piece", "is", "not"),
    *("and", "or", "in", "if", "else", "None", "True", "nan", "1", "0", "-1", "1e400", "9" * 30),
    *("'x'", '"y"', "(", ")", "((", "+", "-", "*", "**", "/", "//", "%", "==", "!=", "<", ">="),
    *(",", ".", "[", "]", "{", "}", ":", ":=", "lambda", "__import__", "@", "~", "^", "&", "\n"),
)  # fmt: skip


@contextmanager
def _expression(place: Path) -> Iterator[Check]:
    yield lambda words: asked(lambda: parse_expression(" ".join(words), "fields.a"))


# Files of a log

LOG = """
[data]
files = "{name}"
missing = ["", "UNKNOWN"]
[fields]
user = "category"
tags = {{ kind = "tags", separator = "|", max_length = 3 }}
price = {{ kind = "number", scale = "log" }}
when = {{ kind = "category", from = "hour(seconds(at))" }}
[tasks]
click = "clicked"
[split]
by = "fraction"
seed = 0
"""


@cache
def log() -> pd.DataFrame:
    rows = range(48)
    return pd.DataFrame(
        {
            "user": [f"u{i % 7}" for i in rows],
            "tags": ["|".join(f"t{j}" for j in range(i % 4)) for i in rows],
            "price": [round(1.5 * i, 2) for i in rows],
            "at": [f"2024-03-{i % 28 + 1:02} {i % 24:02}:15:00" for i in rows],
            "clicked": [i * 7 % 3 % 2 for i in rows],
        }
    )


def _parquet(**how: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pandas(log()), buffer, **how)
    return buffer.getvalue()


def logs() -> Mapping[str, tuple[bytes, ...]]:
    """Name of the file -> what may stand in it."""
    text = log().to_csv(index=False).encode()
    return {
        "log.csv": (text, text.replace(b"\n", b"\r\n")),
        "log.tsv": (text.replace(b",", b"\t"),),
        "log.csv.gz": (gzip.compress(text, mtime=0),),
        "log.parquet": (_parquet(), _parquet(compression="none", use_dictionary=False)),
    }


LOGS = st.one_of(
    *(st.tuples(st.just(n), st.booleans(), mutated(*seeds)) for n, seeds in logs().items())
)


@contextmanager
def _of_log(place: Path) -> Iterator[Check]:
    with pytest.MonkeyPatch.context() as patch:
        cache = place / "cache"
        patch.setenv("FSMD_CACHE", str(cache))
        for name in logs():
            (place / f"{name}.toml").write_text(LOG.format(name=name), "utf-8")

        def check(case: tuple[str, bool, bytes]) -> str:
            name, encoding, content = case
            (place / name).write_bytes(content)
            described = str(place / f"{name}.toml")
            if not encoding:
                return asked(
                    lambda: [part.label_NK for part in fsmd.data.source_of(described).parts()]
                )
            (cache / "encoded").mkdir(parents=True, exist_ok=True)
            told = asked(lambda: fsmd.load(described), place)
            shutil.rmtree(cache, ignore_errors=True)
            return told

        yield check


@contextmanager
def _describing(place: Path) -> Iterator[Check]:
    def check(case: tuple[str, bool, bytes]) -> str:
        name, _, content = case
        (place / name).write_bytes(content)
        draft = place / "draft.toml"
        told = commanded(
            data_commands.main, ["describe", str(place / name), "--out", str(draft)], place
        )
        if told == "done":
            told = asked(lambda: read(draft))  # refused where no task or field is found
            draft.unlink()
        (place / name).unlink()
        return told

    yield check


# A log of one's own, from its file to a study on it

NAMES = (
    *("user_id", "item_id", "click", "like", "time", "price", "label", "split", "x", "x", "Click"),
    *("", " ", "a b", "a,b", "a\nb", '"', "'", "#", "<b>", "=1+1", "\u00e4", "\u202e", "n" * 300),
)
KINDS: Mapping[str, tuple[pa.DataType, tuple[Any, ...]]] = {
    "labels": (pa.int64(), (0, 1, 1, 0, 0, None)),
    "whole": (pa.int64(), (1, 7, 7, -1, 2**40, 2**63 - 1, None)),
    "unsigned": (pa.uint64(), (0, 2**63, 2**64 - 1)),
    "number": (pa.float64(), (0.5, -1.0, float("nan"), float("inf"), 1e308, 1e-320, None)),
    "half": (pa.float32(), (0.25, 3.0, float("nan"), None)),
    "decimal": (pa.decimal128(9, 2), (Decimal("1.25"), Decimal("-3.10"), None)),
    "bool": (pa.bool_(), (True, False, None)),
    "word": (pa.string(), ("a", "b", "A", "", "UNKNOWN", "\u00e4", "x" * 300, "<b>", "=1", None)),
    "digits": (pa.string(), ("1", "2", "007", "1e400", "nan", "0x1", "\u0663", "")),
    "lists": (pa.string(), ("a|b", "a", "b|c|d", "", "|", "[1, 2]", '{"a": 1}')),
    "broken": (pa.string(), ("a\nb", 'say "x"', "a,b", "\t", "\r\n", "\x00", "'")),
    "time": (pa.string(), ("2024-03-01 10:00:00", "2024-03-02T00:00:00Z", "2024-13-01", "")),
    "seconds": (pa.int64(), (1_700_000_000, 1_700_000_001_000, 0, -5)),
    "moment": (pa.timestamp("ns"), (datetime(2024, 3, 1, 10), datetime(1700, 1, 1), None)),
    "day": (pa.date32(), (date(2024, 3, 1), date(1, 1, 1), None)),
    "bytes": (pa.binary(), (b"a", b"\xff\xfe", b"")),
    "many": (pa.list_(pa.string()), (["a", "b"], [], None, [None])),
    "vector": (pa.list_(pa.float32()), ([1.0, 2.0], [float("nan")], [])),
    "nested": (pa.struct([("a", pa.int64())]), ({"a": 1}, None)),
    "coded": (pa.dictionary(pa.int32(), pa.string()), ("a", "b", None)),
    "nothing": (pa.null(), (None,)),
}
COLUMN = st.tuples(
    mostly(st.sampled_from(NAMES[:10]), st.sampled_from(NAMES)),
    mostly(st.sampled_from([*KINDS][:10]), st.sampled_from([*KINDS])),
    st.lists(st.integers(0, 9), min_size=1, max_size=7),
)
USUAL = [
    ("user_id", "digits", [0, 1, 2]),
    ("click", "labels", [0, 1, 3, 2, 4]),
    ("b", "word", [0, 1]),
]
FORMS = ("own.csv", "own.csv.gz", "own.tsv", "own.parquet")
OWN = st.tuples(
    st.sampled_from(FORMS),
    st.builds(operator.add, mostly(st.just(USUAL), st.just([])), st.lists(COLUMN, max_size=5)),
    mostly(st.just(400), st.sampled_from((0, 1, 2, 40))),
    st.sampled_from((",", ",", ";", "|")),
    mostly(st.just([]), EDITS),
)


def _file_of(case: tuple[str, list[Any], int, str, list[Edit]]) -> bytes:
    name, columns, rows, separator, edits = case
    arrays = []
    for _, kind, order in columns:
        of, values = KINDS[kind]
        arrays.append(
            pa.array([values[order[i % len(order)] % len(values)] for i in range(rows)], of)
        )
    names = [each for each, *_ in columns]
    buffer = io.BytesIO()
    if name.endswith(".parquet"):
        pq.write_table(pa.table(arrays, names), buffer)
        return edited(buffer.getvalue(), edits)
    lines = csv.writer(text := io.StringIO(), delimiter="\t" if "tsv" in name else separator)
    lines.writerows([names, *zip(*(array.to_pylist() for array in arrays), strict=True)])
    content = edited(text.getvalue().encode("utf-8", "replace"), edits)
    return gzip.compress(content, mtime=0) if name.endswith(".gz") else content


@contextmanager
def _own(place: Path) -> Iterator[Check]:
    """What `describe` drafts is read, `check` tells, and a study takes it where `check` does."""
    with pytest.MonkeyPatch.context() as patch:
        work, cache = place / "work", place / "cache"
        work.mkdir()
        training_nothing(patch, work)
        patch.setenv("FSMD_CACHE", str(cache))
        draft = work / "own.toml"

        def check(case: tuple[str, list[Any], int, str, list[Edit]]) -> str:
            log = work / case[0]
            log.write_bytes(_file_of(case))
            try:
                described = ["describe", str(log), "--out", str(draft)]
                told = commanded(data_commands.main, described, work)
                if told == "done":
                    checked = ["check", str(draft), "--out", str(work / "page")]
                    told = commanded(data_commands.main, checked, work)
                    study = ["null", "--data", str(draft), "--name", "own"]
                    ran = commanded(run.main, study, work)
                    assert ran == told, f"check: {told}, a study: {ran}"
                return told
            finally:
                for path in work.iterdir():
                    if path.is_dir():
                        shutil.rmtree(path)
                    else:
                        path.unlink()
                shutil.rmtree(cache, ignore_errors=True)

        yield check


TARGETS: Mapping[str, Target] = {
    "descriptions": Target(DESCRIPTIONS, _description, 100, 30_000),
    "expressions": Target(st.lists(st.sampled_from(WORDS), max_size=14), _expression, 100, 15_000),
    "logs": Target(LOGS, _of_log, 40, 8_000),
    "describe": Target(LOGS, _describing, 10, 1_500),
    "own logs": Target(OWN, _own, 8, 1_500),
}
