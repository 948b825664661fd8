"""A number is no id of a model whose ids begin with zeros: refused on every way in."""

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fsmd import Scorer, UserError
from fsmd.data.encoder import Vocabulary
from fsmd.predict import main
from tests.made_models import MadeLog, log_of, save, trained_model
from tests.test_serve import example

pytestmark = pytest.mark.usefixtures("one_thread")
RULE = "must hold texts, not numbers, as ids of the model begin with zeros, such as "


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    """Users are six digits, and 01 stands for the tag a."""
    made = log_of(tmp_path_factory.mktemp("data"))
    words: dict[str, Callable[[str], str]] = {
        "user": lambda word: word.zfill(6),
        "tags": lambda word: word.replace("a", "01"),
    }

    def renamed(each: Vocabulary) -> Vocabulary:
        return replace(each, words=tuple(map(words.get(each.name, str), each.words)))

    encoder = replace(
        made.encoder, vocabularies=tuple(renamed(v) for v in made.encoder.vocabularies)
    )
    rows = [
        {n: words[n](v) if n in words and v is not None else v for n, v in row.items()}
        for row in made.rows
    ]
    return replace(made, encoder=encoder, rows=rows)


@pytest.fixture(scope="module")
def folder(log: MadeLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(log, trained_model(log, "mmoe"), tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module", params=["onnx", "torch"])
def scorer(folder: Path, request: pytest.FixtureRequest) -> Scorer:
    return Scorer.load(folder, request.param)


def of_users(log: MadeLog, users: Sequence[Any]) -> list[dict[str, Any]]:
    """Rows with these users."""
    return [{**row, "user": user} for row, user in zip(log.rows, users, strict=False)]


def refused(scorer: Scorer, rows: Any) -> str:
    with pytest.raises(UserError, match=RULE) as error:
        scorer.score(rows)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_a_vocabulary_knows_whether_a_word_begins_with_zeros() -> None:
    for words, padded in (
        (("7", "0", "0.5", "0x1", "x01", ""), None),
        (("7", "007", "08"), "007"),
    ):
        assert Vocabulary("user", words).padded == padded


@pytest.mark.parametrize("number", [382, 382.0, np.int64(382)])
@pytest.mark.parametrize("rows", [2, 30])
def test_rows_with_a_number_are_refused_also_beside_texts(
    log: MadeLog, scorer: Scorer, number: Any, rows: int
) -> None:
    users = [None, *["000007"] * (rows - 2), number]
    told = refused(scorer, of_users(log, users))
    assert told.startswith(f"the rows, row {rows - 1} (from 0): column 'user' {RULE}'0000")
    assert "; got 382" in told.replace("np.int64(382)", "382")
    assert told.endswith(": read the column as text (pandas: dtype=str)")
    assert "row 0 (from 0)" in refused(scorer, of_users(log, [number] * rows))


def test_numbers_of_pandas_and_arrow_are_refused_and_missing_values_are_not(
    log: MadeLog, scorer: Scorer
) -> None:
    frame = pd.DataFrame(of_users(log, [None, 382]))
    for kind in ("float64", "Int64", "category", object):
        assert "row 1 (from 0): column 'user'" in refused(scorer, frame.astype({"user": kind}))
    table = pa.Table.from_pylist(of_users(log, [None, 382]))
    assert "row 1 (from 0): column 'user'" in refused(scorer, table)
    missing = frame.assign(user=np.nan)
    texts = frame.assign(user=None)
    pd.testing.assert_frame_equal(scorer.score(missing), scorer.score(texts))


def test_numbers_among_tags_are_refused(log: MadeLog, scorer: Scorer) -> None:
    for tags in ([1, 2], ["01", 1]):
        assert "column 'tags'" in refused(scorer, [{**log.rows[0], "tags": tags}])
    lists = pa.Table.from_pylist(
        [{**row, "tags": tags} for row, tags in zip(log.rows, ([], [1]), strict=False)]
    )
    assert "row 1 (from 0): column 'tags'" in refused(scorer, lists)


def test_inputs_of_onnx_that_are_no_texts_are_refused(log: MadeLog, folder: Path) -> None:
    """Onnxruntime itself would make texts of them."""
    scorer = Scorer.load(folder, "onnx")
    inputs = {
        each.name: np.array([1.5] * 2) if each.kind == "number" else np.array(["x"] * 2, object)
        for each in scorer.inputs
    }
    assert len(scorer.run(inputs)["P(click)"]) == 2
    for users in (np.array(["000007", 382], object), np.array([7, 382])):
        with pytest.raises(UserError, match=f"input 'user' {RULE}"):
            scorer.run({**inputs, "user": users})


def test_the_command_refuses_numbers_of_parquet_and_takes_texts_of_csv(
    log: MadeLog, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frame = pd.DataFrame(of_users(log, ["000007", "000382"]))
    frame.to_csv(tmp_path / "rows.csv", index=False)
    frame.astype({"user": int}).to_parquet(tmp_path / "rows.parquet")
    frame.to_parquet(tmp_path / "texts.parquet")
    found = {}
    for name, code in (("rows.parquet", 2), ("rows.csv", 0), ("texts.parquet", 0)):
        out = tmp_path / f"{name}.scores.parquet"
        assert main([str(folder), str(tmp_path / name), "--out", str(out)]) == code
        assert out.exists() == (code == 0)
        found[name] = pq.read_table(out).to_pylist() if code == 0 else capsys.readouterr().err
    assert found["rows.csv"] == found["texts.parquet"]
    assert f"rows.parquet, row 0 (from 0): column 'user' {RULE}" in found["rows.parquet"]
    assert found["rows.parquet"].count("\n") == 1


def test_a_number_in_json_is_refused_by_the_http_scorer(log: MadeLog, folder: Path) -> None:
    serve = example()
    body = json.dumps({"rows": of_users(log, ["000007", 382])}).encode()
    received = [{"type": "http.request", "body": body}]

    async def receive() -> Any:
        return received.pop()

    scope = {"type": "http", "path_params": {}, "headers": []}
    with ThreadPoolExecutor(1) as threads:
        service = serve.Service("made_up", Scorer.load(folder), threads, 10, 10**6)
        with pytest.raises(serve.HTTPException, match=RULE) as caught:
            asyncio.run(service.answer(serve.Request(scope, receive), service.score))
    assert caught.value.status_code == 400
    assert caught.value.detail.startswith("the rows, row 1 (from 0): column 'user'")
