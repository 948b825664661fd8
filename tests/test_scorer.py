"""A model's folder scores raw rows as training would have encoded them, by either engine."""

import datetime
import json
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsmd import Scorer, UserError
from fsmd.config import digest
from fsmd.saved.head import CHECKSUMS, CONFIG, ENCODER, EXAMPLE, ONNX, WEIGHTS, seal_model
from tests.made_models import ALL, MadeLog, expected, log_of, save, trained_model, typed

CLOSE = 1e-6
pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> MadeLog:
    return log_of(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def folder(log: MadeLog, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(log, trained_model(log, "mmoe"), tmp_path_factory.mktemp("models") / "model")


@pytest.fixture(scope="module")
def scorers(folder: Path) -> tuple[Scorer, Scorer]:
    return Scorer.load(folder, "onnx"), Scorer.load(folder, "torch")


@pytest.fixture
def row(log: MadeLog) -> dict[str, Any]:
    """A whole row."""
    return next(row for row in typed(log.rows) if None not in row.values())


def check(found: Mapping[str, Any], want: Mapping[str, Any]) -> None:
    assert list(found) == list(want)
    for name, value_N in want.items():
        np.testing.assert_allclose(found[name], value_N, rtol=0, atol=CLOSE, err_msg=name)


def columns(rows: Sequence[Mapping[str, float]]) -> dict[str, list[float]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


# Agreement


@pytest.mark.parametrize("name", ALL)
def test_raw_rows_get_the_scores_of_the_rows_as_training_encoded_them(
    log: MadeLog, tmp_path: Path, name: str
) -> None:
    trained = trained_model(log, name)
    want = expected(log, trained)
    assert name == "constant" or all(np.ptp(value_N) > 0.01 for value_N in want.values())
    folder = save(log, trained, tmp_path / "model")
    for engine in ("onnx", "torch"):
        check(columns(Scorer.load(folder, engine).score(log.rows)), want)


def test_texts_numbers_pandas_and_arrow_give_the_same_scores_in_the_callers_kind(
    log: MadeLog, scorers: tuple[Scorer, Scorer]
) -> None:
    rows = typed(log.rows)
    frame = pd.DataFrame(rows, index=np.arange(len(rows)) * 3 + 7)
    table = pa.Table.from_pylist(rows)
    chunked = pa.concat_tables([table[:7], table[7:]])
    coded = table.set_column(0, "user", table["user"].cast(pa.string()).dictionary_encode())
    wide = pa.Table.from_arrays(
        [c.cast(pa.large_string()) if c.type == pa.string() else c for c in table.columns],
        names=table.column_names,
    )
    strings = frame.convert_dtypes().astype({"user": "string", "city": "category"})
    for scorer in scorers:
        want = columns(scorer.score(log.rows))
        assert columns(scorer.score(tuple(rows))) == want
        for given_frame in (frame, strings, frame.astype(object)):
            found = scorer.score(given_frame)
            assert isinstance(found, pd.DataFrame)
            assert found.index.equals(frame.index)
            assert found.to_dict("list") == want
        for given_table in (table, chunked, coded, wide):
            assert scorer.score(given_table).to_pydict() == want
        (batch,) = table.combine_chunks().to_batches()
        assert isinstance(scorer.score(batch), pa.RecordBatch)
        assert scorer.score(batch).to_pydict() == want


def test_rows_that_go_through_in_pieces_get_the_same_scores(
    log: MadeLog, folder: Path, scorers: tuple[Scorer, Scorer]
) -> None:
    pieces = Scorer.load(folder, "onnx")
    pieces.batch = 7
    check(columns(pieces.score(log.rows)), columns(scorers[0].score(log.rows)))


def test_without_rows_there_are_no_scores(log: MadeLog, scorers: tuple[Scorer, Scorer]) -> None:
    for scorer in scorers:
        assert scorer.score([]) == []
        none = scorer.score(pd.DataFrame(typed(log.rows))[:0])
        assert (len(none), list(none)) == (0, list(scorer.outputs))
        assert scorer.score(pa.Table.from_pylist(typed(log.rows))[:0]).num_rows == 0


def test_what_goes_in_and_comes_out_is_told(scorers: tuple[Scorer, Scorer]) -> None:
    for scorer in scorers:
        assert scorer.outputs == ("P(click)", "P(buy)", "P(buy|click)", "P(long view)", "score")
        assert scorer.columns == (
            *("user", "item", "tab", "when", "city", "brand", "tags", "recent", "price", "age"),
            "watch time",
        )
        assert scorer.optional == {"city", "watch time"}
        assert [each.name for each in scorer.inputs][2:4] == ["page", "hour"]


def test_inputs_of_the_onnx_file_can_be_given_as_they_are(
    log: MadeLog, scorers: tuple[Scorer, Scorer]
) -> None:
    by_onnx, by_torch = scorers
    inputs = {
        each.name: np.array([np.nan] if each.kind == "number" else ["b1"], None)
        if each.kind == "number"
        else np.array(["b1"], object)
        for each in by_onnx.inputs
    }
    assert list(by_onnx.run(inputs)) == list(by_onnx.outputs)
    with pytest.raises(UserError, match=r"inputs must be .*brand.* all of one length; got user"):
        by_onnx.run({"user": inputs["user"]})
    with pytest.raises(UserError, match="a text must be UTF-8; got"):
        by_onnx.run({**inputs, "user": np.array(["\ud800"], object)})
    with pytest.raises(UserError, match="need the engine onnx"):
        by_torch.run(inputs)


# What a value may be


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("user", [7, "7", 7.0, np.int64(7), np.float32(7), Decimal(7), b"7"]),
        ("user", [None, float("nan"), pd.NA, np.nan, Decimal("nan"), np.datetime64("NaT")]),
        ("user", [1, True, np.bool_(True), "1"]),
        ("age", [33, "33", 33.0, " 33", "3.3e1", Decimal(33), np.int8(33)]),
        ("age", [None, pd.NaT, float("nan"), np.float64("nan")]),
        ("tags", ["[a|b]", "a|b", ["a", "b"], ("a", "b"), np.array(["a", "b"]), ["a", None, "b"]]),
        ("tags", ["[]", "", "[|]", [], [None], [""]]),
        ("tags", [None, pd.NA]),
        ("recent", [["i1", 7], ["i1", 7.0], ["i1", "7"]]),
        ("brand", ["", "never seen", "\N{ZERO WIDTH SPACE}"]),
    ],
)  # fmt: skip
def test_a_value_is_what_it_stands_for_in_whatever_type_it_comes(
    scorers: tuple[Scorer, Scorer], row: dict[str, Any], name: str, values: list[Any]
) -> None:
    for scorer in scorers:
        alone = [scorer.score([{**row, name: value}])[0] for value in values]
        assert alone == [alone[0]] * len(values)
        # Also beside each other, where a column has all these types.
        if not any(isinstance(value, str) for value in values) or name != "tags":
            check(columns(scorer.score([{**row, name: v} for v in values])), columns(alone))


def test_moments_and_days_stand_for_their_seconds(
    log: MadeLog, tmp_path: Path, scorers: tuple[Scorer, Scorer], row: dict[str, Any]
) -> None:
    when = datetime.datetime(2024, 5, 3, 22, 30, tzinfo=datetime.UTC)
    zone = datetime.timezone(datetime.timedelta(hours=2))
    for scorer in scorers:
        want = scorer.score([{**row, "when": "2024-05-03T22:30:00Z"}])
        for value in (
            when,
            when.astimezone(zone),
            pd.Timestamp(when),
            np.datetime64("2024-05-03T22:30"),
        ):
            assert scorer.score([{**row, "when": value}]) == want
        frame = pd.DataFrame([{**row, "when": when}])
        assert scorer.score(frame).to_dict("records") == want


def test_optional_columns_may_be_away_or_be_there_in_some_rows(
    scorers: tuple[Scorer, Scorer], row: dict[str, Any]
) -> None:
    bare = {name: value for name, value in row.items() if name not in ("city", "watch time")}
    for scorer in scorers:
        want = scorer.score([{**row, "city": None, "watch time": None}])
        assert scorer.score([bare]) == want
        assert scorer.score([row, bare])[1] == pytest.approx(want[0], abs=CLOSE)
        assert scorer.score(pd.DataFrame([bare])).to_dict("records") == want


def test_columns_that_the_model_does_not_need_are_ignored(
    scorers: tuple[Scorer, Scorer], row: dict[str, Any]
) -> None:
    for scorer in scorers:
        odd: dict[Any, Any] = {**row, "is_click": object(), "other": {1: 2}, 3: None}
        assert scorer.score([odd]) == scorer.score([row])


ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=5),
    st.sampled_from(["", "\0", "\x1f", "|", " ", "[", "i1|i2", "i1 i2", "\ud800", "1e999"]),
    st.binary(max_size=3),
    st.dates(),
    st.datetimes(),
    st.decimals(),
    st.just(pd.NA),
    st.just(object()),
    st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=3)), max_size=4),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
)


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_odd_values_get_the_same_scores_by_both_engines_or_the_same_refusal(
    log: MadeLog, scorers: tuple[Scorer, Scorer], data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(scorers[0].columns), max_size=3, unique=True))
    rows = [
        {**row, **{name: data.draw(ODD, name) for name in names}} for row in typed(log.rows)[:3]
    ]

    def scored(scorer: Scorer, rows: list[dict[str, Any]]) -> Any:
        try:
            return columns(scorer.score(rows))
        except UserError as error:
            return str(error)

    by_onnx, by_torch = (scored(scorer, rows) for scorer in scorers)
    if isinstance(by_onnx, str):
        assert "\n" not in by_onnx
        assert by_onnx == by_torch or "the torch engine takes them" in by_onnx
        return
    check(by_onnx, by_torch)
    # A row does not depend on the rows beside it.
    alone = [scored(scorers[0], [row]) for row in rows]
    check(by_onnx, {name: [one[name][0] for one in alone] for name in by_onnx})


def test_steps_without_a_chain_may_be_a_little_farther_apart_and_the_card_says_so(
    folder: Path, scorers: tuple[Scorer, Scorer], tmp_path: Path
) -> None:
    """A quotient has up to eight times the error of its parts, of which each is near enough."""
    far = dict.fromkeys(("P(click)", "P(buy)", "P(long view)", "score"), 1e-6)
    assert scorers[0].head.tolerances == {**far, "P(buy|click)": 1e-5}
    text = (folder / "README.md").read_text("utf-8")
    assert "agree to 1e-06 on each P(task), and to 1e-05 on steps" in text
    assert "P(b) may exceed P(a): the step is then 0.9999999." in text
    changed = tmp_path / "model"
    shutil.copytree(folder, changed)
    example = json.loads((changed / "example.json").read_text("utf-8"))

    def loaded_with(more: float) -> Scorer:
        example["expected"][1]["P(buy|click)"] += more
        (changed / "example.json").write_text(json.dumps(example), "utf-8")
        (changed / "checksums.json").unlink()
        seal_model(changed)
        return Scorer.load(changed)

    loaded_with(8e-6)
    with pytest.raises(UserError, match=r"gives P\(buy\|click\) = .* of row 1 "):
        loaded_with(8e-6)


# Refusals


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"user": ...}, r"row 0 .from 0.: no column 'user', which .* did you mean 'users'"),
        ({"price": "cheap"}, r"row 0 .from 0.: column 'price': a number must be .*; got 'cheap'"),
        ({"age": float("inf")}, r"row 0 .*'age': a number must be a finite decimal.*; got inf"),
        ({"price": -5}, r"row 0 .from 0.: numbers of column 'price' must lie between -0.99"),
        ({"watch time": 1e31}, r"row 0 .*'watch time' must lie between -1e\+30 and 1e\+30"),
        ({"brand": {"a": 1}}, r"row 0 .*column 'brand': a value must be a text or a finite"),
        ({"brand": [1]}, r"row 0 .from 0.: feature 'brand': here must be a text, not a value of"),
        ({"brand": float("inf")}, r"'brand': categories must be texts or finite numbers; got inf"),
        ({"when": "yesterday"}, r"column 'when': a moment must be an ISO 8601 day"),
        ({"tags": [["a"]]}, r"row 0 .*feature 'tags': a list must be of texts or numbers; got l"),
        ({"tags": [1, object()]}, r"row 0 .*column 'tags': a value must be a text or a finite"),
        ({"tags": ["a|b"]}, r"row 0 .*members of 'tags' must not hold '\|'.*; got 'a\|b'"),
        ({"brand": "\ud800"}, r"row 0 .*column 'brand': a value must be a text"),
        ({"user": object()}, r"row 0 .*column 'user': a value must be a text or a finite"),
        ({"brand": b"\xff"}, r"row 0 .*column 'brand': a value must be a text or a finite"),
    ],
)
def test_what_cannot_be_scored_is_one_line_that_names_row_column_and_value(
    scorers: tuple[Scorer, Scorer], row: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    changed = {**row, "users": 1, **change}
    changed = {name: value for name, value in changed.items() if value is not ...}
    with pytest.raises(UserError, match=told) as refused:
        scorers[0].score([changed])
    assert "\n" not in str(refused.value)


VALUES = (
    *(np.uint64(2**64 - 1), 2**64 - 1, np.uint64(7), np.float32(1.5), True, b"7", b"\xff"),
    *(uuid.UUID(bytes=b"a" * 16), {1, 2}, frozenset((1,)), {"a": 1}, 1 + 2j, object()),
    *(datetime.time(3), datetime.timedelta(1), np.timedelta64(3, "s"), "\ud800"),
)


@pytest.mark.parametrize("name", ["user", "when", "tags", "price", "brand"])
def test_a_value_alone_is_what_it_is_beside_values_of_other_kinds(
    scorers: tuple[Scorer, Scorer], row: dict[str, Any], name: str
) -> None:
    def last(rows: list[dict[str, Any]]) -> Any:
        try:
            return scorers[0].score(rows)[-1]
        except UserError as error:
            return str(error).replace(f"row {len(rows) - 1} (from 0)", "the last row")

    for value in VALUES:
        changed = {**row, name: value}
        alone, beside = last([changed]), last([row, changed])
        assert isinstance(alone, dict) or "the last row" in alone
        assert beside == (alone if isinstance(alone, str) else pytest.approx(alone, abs=CLOSE))


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"user": 1}, "rows must be a list of dicts"),
        ("user", "rows must be a list of dicts"),
        (None, "rows must be a list of dicts"),
        ([7], r"row 0 .from 0.: a row must be a dict of columns; got 7"),
        ([["a"]], "a row must be a dict"),
        (
            [{"user": 1.5}, {"user": [1, 2]}],
            r"'user' must have lists in all rows or in none; row 1 .from 0. has \[1, 2\], and",
        ),
        (pd.DataFrame({"usr": [1]}), r"no column 'user'.*\('user', 'item', .*did you mean 'usr'"),
        (pd.DataFrame([[1, 2]], columns=["user", "user"]), "no column 'item'"),
        (pa.table({"user": [1]}), "no column 'item', which the model needs"),
    ],
)
def test_what_is_no_table_of_the_models_columns_is_refused(
    scorers: tuple[Scorer, Scorer], rows: Any, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        scorers[0].score(rows)


def test_a_column_that_is_there_twice_is_refused(
    log: MadeLog, scorers: tuple[Scorer, Scorer]
) -> None:
    frame = pd.DataFrame(typed(log.rows))
    with pytest.raises(UserError, match="column 'user' is there 2 times; keep one"):
        scorers[0].score(pd.concat([frame, frame[["user"]]], axis=1))


# Loading


@pytest.mark.parametrize(
    ("name", "content"),
    [
        *((CONFIG, content) for content in (b"[]", b"[" * 10**5, b"\xff", b"{}")),
        *((ENCODER, content) for content in (b"null", b"[" * 10**5, b"\xff")),
        (EXAMPLE, b'{"rows": [], "expected": [], "origin": ""}'),
        *((ONNX, content) for content in (b"", b"no graph")),
        *((WEIGHTS, content) for content in (b"", b"no arrays")),
        *((CHECKSUMS, content) for content in (b"[]", b"5", b"{}", b"[" * 10**5)),
    ],
)
def test_a_part_that_was_sealed_and_cannot_be_is_one_line(
    folder: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    changed = tmp_path / "model"
    shutil.copytree(folder, changed)
    if name != CHECKSUMS:
        (changed / CHECKSUMS).unlink()
    (changed / name).write_bytes(content)
    if name == CHECKSUMS:
        files = json.dumps({"files": [], "digest": digest([])})
        (changed / name).write_bytes(files.encode() if content == b"[]" else content)
    else:
        seal_model(changed)
    for engine in {ONNX: ["onnx"], WEIGHTS: ["torch"]}.get(name, ["onnx", "torch"]):
        with pytest.raises(UserError, match=str(changed)) as refused:
            Scorer.load(changed, engine)
        assert len(str(refused.value)) < 500


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({CONFIG: ("tags", "number")}, "config.json and encoder.json must say the same of inputs"),
        (dict.fromkeys((CONFIG, ENCODER), ("tags", "x")), "kind must be one of category, number"),
        ({ENCODER: ("long view", "long_view")}, "must say the same of tasks"),
    ],
)
def test_a_head_and_an_encoder_of_two_models_are_refused(
    folder: Path, tmp_path: Path, changes: dict[str, tuple[str, str]], told: str
) -> None:
    changed = tmp_path / "model"
    shutil.copytree(folder, changed)
    (changed / CHECKSUMS).unlink()
    for name, (old, new) in changes.items():
        text = (changed / name).read_text("utf-8")
        (changed / name).write_text(text.replace(f'"{old}"', f'"{new}"'), "utf-8")
    seal_model(changed)
    for engine in ("onnx", "torch"):
        with pytest.raises(UserError, match=told):
            Scorer.load(changed, engine)


def test_a_folder_that_is_not_as_it_was_written_is_refused(folder: Path, tmp_path: Path) -> None:
    changed = tmp_path / "model"
    shutil.copytree(folder, changed)
    with pytest.raises(UserError, match="`engine` must be one of auto, onnx, torch; got 'tf'"):
        Scorer.load(changed, "tf")
    with pytest.raises(UserError, match="`threads` must be a whole number from 1 to 1024; got 0"):
        Scorer.load(changed, threads=0)
    example = json.loads((changed / "example.json").read_text("utf-8"))
    example["expected"][1]["P(buy)"] += 3e-6
    (changed / "example.json").write_text(json.dumps(example), "utf-8")
    with pytest.raises(UserError, match=r"example.json is damaged"):
        Scorer.load(changed)
    (changed / "checksums.json").unlink()
    seal_model(changed)
    for engine in ("onnx", "torch"):
        told = rf"{engine} gives P\(buy\) = .* of row 1 .from 0. of the example, and the folder"
        with pytest.raises(UserError, match=told):
            Scorer.load(changed, engine)
    del example["expected"][1]["P(buy)"]
    (changed / "example.json").write_text(json.dumps(example), "utf-8")
    (changed / "checksums.json").unlink()
    seal_model(changed)
    with pytest.raises(UserError, match="its example must have rows, and each output of every"):
        Scorer.load(changed)
    with pytest.raises(UserError, match="is no model"):
        Scorer.load(tmp_path)


BLOCKED = (
    *("torch", "lightning", "pandas", "scipy", "sklearn", "sqlalchemy", "optuna", "requests"),
    *("filelock", "safetensors", "onnx", "platformdirs", "rich", "jinja2", "matplotlib"),
    *("statsmodels", "moocore", "plotly", "torchmetrics", "typst", "greenlet", "threadpoolctl"),
)
ALONE = """
import json, sys
class Refuses:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ImportError(f"{name} is not installed here")
sys.meta_path.insert(0, Refuses())
from fsmd import Scorer
from fsmd.predict import main
folder, rows, items, out = sys.argv[1:]
print(json.dumps(Scorer.load(folder).score(json.load(sys.stdin))))
code = main([folder, rows, "--out", out, "--join", items])
print(sorted({name.partition(".")[0] for name in sys.modules} & set(BLOCKED)), code)
"""


def test_scoring_needs_numpy_pyarrow_and_onnxruntime_alone(
    log: MadeLog, folder: Path, scorers: tuple[Scorer, Scorer], tmp_path: Path
) -> None:
    run = subprocess.run(
        [
            *(sys.executable, "-c", f"BLOCKED = {BLOCKED!r}\n{ALONE}"),
            *(folder, log.folder / "test.csv", log.folder / "side/items.csv"),
            tmp_path / "scores.csv",
        ],
        input=json.dumps(log.rows),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert re.fullmatch(r".*items\.csv: [\d,]+ of [\d,]+ rows find theirs\n", run.stderr)
    scores, told, loaded = run.stdout.splitlines()
    want = columns(scorers[1].score(log.rows))
    check(columns(json.loads(scores)), want)
    assert told.startswith("300 rows in ")
    check(dict(pd.read_csv(tmp_path / "scores.csv")), want)
    assert loaded == "[] 0"
