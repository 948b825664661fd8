"""What comes in from outside: each a strategy of cases, and what is done with one."""

import asyncio
import gzip
import importlib.util
import io
import json
import shutil
import sqlite3
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

import fsmd
from fsmd.callbacks import CheckpointFile, ChosenWeights, Curve
from fsmd.config import MODELS
from fsmd.data.description import catalog
from fsmd.data.description.expression import parse as parse_expression
from fsmd.data.description.toml import parse, read
from fsmd.data.encoded import DIGESTS, open_encoded, seal
from fsmd.saved.head import CHECKSUMS, read_example, seal_model
from fsmd.saved.model import save_model
from fsmd.scorer import Scorer
from fsmd.selection import Selection
from fsmd.training import Training, train
from reports import build, commands
from reports.build import outline_of
from reports.results import stored_record
from studies import record, run
from studies.auto.file import read_plan
from studies.blend import commands as blend
from studies.data import commands as data_commands
from studies.data.draft.text import value as toml_of
from studies.export import command as export
from studies.store.database import open_engine
from tests import test_description, test_tampered
from tests.fuzz.changes import EDITS, LEAF_EDITS, VALUES, Edit, altered, edited, index_of, mutated
from tests.fuzz.rule import asked, commanded
from tests.made_models import DESCRIPTION as MADE
from tests.made_up.model_folders import untrained
from tests.test_auto import small_plan
from tests.test_bad_input import HOSTILE, NUL, training_nothing

DATA = "planted:rows=2000"
Check = Callable[[Any], str]
"""Of a case: `done` or `refused`; anything else is raised."""


@dataclass(frozen=True)
class Target:
    """Something that takes what comes from outside."""

    cases: st.SearchStrategy[Any]
    opened: Callable[[Path], AbstractContextManager[Check]]
    """With a folder to work in."""
    quick: int
    """Cases of the quick run."""
    slow: int


# Descriptions and formulas


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
def _log() -> pd.DataFrame:
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
    pq.write_table(pa.Table.from_pandas(_log()), buffer, **how)
    return buffer.getvalue()


def _logs() -> Mapping[str, tuple[bytes, ...]]:
    """Name of the file -> what may stand in it."""
    text = _log().to_csv(index=False).encode()
    return {
        "log.csv": (text, text.replace(b"\n", b"\r\n")),
        "log.tsv": (text.replace(b",", b"\t"),),
        "log.csv.gz": (gzip.compress(text, mtime=0),),
        "log.parquet": (_parquet(), _parquet(compression="none", use_dictionary=False)),
    }


LOGS = st.one_of(
    *(st.tuples(st.just(n), st.booleans(), mutated(*seeds)) for n, seeds in _logs().items())
)


@contextmanager
def _of_log(place: Path) -> Iterator[Check]:
    with pytest.MonkeyPatch.context() as patch:
        cache = place / "cache"
        patch.setenv("FSMD_CACHE", str(cache))
        for name in _logs():
            (place / f"{name}.toml").write_text(LOG.format(name=name), "utf-8")

        def check(case: tuple[str, bool, bytes]) -> str:
            name, encoding, content = case
            (place / name).write_bytes(content)
            described = str(place / f"{name}.toml")
            if not encoding:
                return asked(
                    lambda: [part.label_NK for part in fsmd.data.source_of(described).parts()]
                )
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
            read(draft)  # raises for a draft that is none
            draft.unlink()
        (place / name).unlink()
        return told

    yield check


# Command lines

PROGRAMS: Mapping[str, tuple[Any, tuple[tuple[str, ...], ...]]] = {
    "run": (run, (("null", "--data", DATA), ("pareto", "--data", DATA))),
    "report": (build, (("mine",), ("sought",), ("--all",), ())),
    "record": (record, (("--data", DATA), ())),
    "export": (export, (("mine", "--out", "home"), ())),
    "blend": (blend, (("model",), ())),
    "predict": (fsmd.predict, (("model", "rows.parquet", "--out", "scores.csv"), ())),
    "data": (
        data_commands,
        (
            ("describe", "rows.parquet"),
            ("catalog",),
            ("convert", "aliccp", "in", "to"),
            ("check",),
        ),
    ),
    "fsmd": (commands, (("report", "mine"), ("run", "--list"), ())),
}
LIKELY = (
    *("1", "2", "0.5", "cpu", "gp", "tpe", "random", "knee", "best", "click", "mean", "auc", "1g"),
    *("mine", "sought", "out", "home", "plan.json", "rows.parquet", "model", "x.csv", "30m"),
    *("arm:none", "trial:1", "click * long_view", "null", "pareto", "planted", "mmoe", "layers=8"),
)  # fmt: skip


def _options_of(name: str) -> list[str]:
    module, _ = PROGRAMS[name]
    if name == "data":
        parsers = [data_commands.parser(each) for each in data_commands.COMMANDS]
    else:
        parsers = [] if name == "fsmd" else [module.parser()]
    actions = [action for parser in parsers for action in parser._actions]
    return [name for action in actions for name in action.option_strings] or ["--all"]


def _words_of(name: str) -> st.SearchStrategy[list[str]]:
    plain = st.text(st.characters(exclude_characters="/~\\"), max_size=8)
    value = st.one_of(st.sampled_from((*HOSTILE, *NUL)), st.sampled_from(LIKELY), plain)
    option = st.sampled_from(_options_of(name))
    word = st.one_of(
        st.builds("{}={}".format, option, value), option, value, st.sampled_from(LIKELY)
    )
    return st.lists(word, max_size=5)


COMMAND_LINES = st.one_of(
    *(
        st.tuples(st.just(name), st.sampled_from(starts), _words_of(name))
        for name, (_, starts) in PROGRAMS.items()
    )
)


@contextmanager
def _command_line(place: Path) -> Iterator[Check]:
    fsmd.load(DATA)
    with pytest.MonkeyPatch.context() as patch:
        work = place / "a" / "b" / "work"  # so that ../.. stays below the place
        work.mkdir(parents=True)
        training_nothing(patch, work)
        home = place / "home"
        home.mkdir()
        patch.setenv("HOME", str(home))
        patch.setattr("studies.record.curves", lambda *_: pd.DataFrame())
        patch.setattr("reports.build.build_all", lambda engine, out, tell: out)
        for name, stored in (("null", "mine"), ("pareto", "sought")):
            assert run.main([name, "--name", stored, "--data", DATA]) == 0
        save_model(untrained(DATA), work / "model")
        rows = pa.Table.from_pylist([*read_example(work / "model").rows])
        pq.write_table(rows, work / "rows.parquet")
        whole = place / "whole"
        shutil.copytree(work, whole)

        def check(case: tuple[str, tuple[str, ...], list[str]]) -> str:
            name, start, more = case
            told = commanded(PROGRAMS[name][0].main, [*start, *more], place)
            if told == "done":
                patch.chdir(place)
                shutil.rmtree(place / "a")
                shutil.copytree(whole, work)
                patch.chdir(work)
            return told

        yield check


# What is stored


class _Stored:
    """A database of which any cell is changed for a while."""

    def __init__(self, path: Path) -> None:
        self.engine = open_engine(f"sqlite:///{path}")
        self.raw = sqlite3.connect(path, isolation_level=None)
        self.cells = [
            (table, column.name)
            for table, of in test_tampered.TABLES.items()
            for column in of.c
            if table != "fsmd_costs"
        ]

    def check(self, case: list[tuple[int, int, str, Any, list[Edit], list[Any]]]) -> str:
        self.raw.execute("BEGIN")
        undo = [self._change(*each) for each in case]
        self.raw.execute("COMMIT")
        try:
            told = {
                asked(lambda name=name: self._read(name))  # type: ignore[misc]
                for name in (test_tampered.STUDY, test_tampered.SEARCH)
            }
        finally:
            for statement, values in reversed([each for each in undo if each]):
                self.raw.execute(statement, values)
        return "refused" if "refused" in told else "done"

    def _read(self, name: str) -> None:
        test_tampered.as_read(self.engine, name)

    def _change(
        self, cell: int, row: int, how: str, new: Any, edits: list[Edit], leaves: list[Any]
    ) -> tuple[str, tuple[Any, ...]] | None:
        table, column = self.cells[cell % len(self.cells)]
        ids = [r for (r,) in self.raw.execute(f"SELECT rowid FROM {table}")]
        rowid = ids[row % len(ids)]
        where = f'UPDATE OR IGNORE {table} SET "{column}" = ? WHERE rowid = {rowid}'
        query = f'SELECT "{column}" FROM {table} WHERE rowid = {rowid}'
        (old,) = self.raw.execute(query).fetchone()
        value = new
        if how == "edit" and isinstance(old, str | bytes):
            content = edited(old.encode() if isinstance(old, str) else old, edits)
            value = content.decode("utf-8", "replace") if isinstance(old, str) else content
        elif how == "leaf" and isinstance(old, str) and old[:1] in "{[":
            value = json.dumps(altered(json.loads(old), leaves))
        try:
            self.raw.execute(where, (value,))
        except (sqlite3.Error, OverflowError, UnicodeEncodeError):
            return None  # which no database holds
        return where, (old,)


CELL = st.tuples(
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.sampled_from(("new", "edit", "leaf", "leaf")),
    st.one_of(
        st.none(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.text(max_size=20),
        st.binary(max_size=9),
    ),
    EDITS,
    LEAF_EDITS,
)


@contextmanager
def _stored(place: Path) -> Iterator[Check]:
    stored = _Stored(test_tampered.make_whole(place))
    with closing(stored.raw):
        yield stored.check
    stored.engine.dispose()


@contextmanager
def _reported(place: Path) -> Iterator[Check]:
    """As `stored`, up to the report's words."""
    stored = _Stored(test_tampered.make_whole(place))

    def outlined(name: str) -> None:
        outline_of(stored.engine, stored_record(stored.engine, name))

    stored._read = outlined  # type: ignore[method-assign]
    with closing(stored.raw):
        yield stored.check
    stored.engine.dispose()


# Caches, checkpoints, models, plans

FILE_CASES = st.tuples(st.integers(0, 10**6), st.booleans(), EDITS, LEAF_EDITS, st.booleans())
"""(which file, sealed anew, changes of bytes, changes of JSON, which of the two)."""


def _changed(content: bytes, edits: list[Edit], leaves: list[Any], as_json: bool) -> bytes:
    if as_json and content[:1] in b"{[":
        return json.dumps(altered(json.loads(content), leaves)).encode()
    return edited(content, edits)


def _of_folder(
    whole: Path, list_file: str, sealing: Callable[[Path], None], opening: Callable[[Path], object]
) -> Check:
    """A folder with one of its files changed; it is whole again afterwards."""
    names = sorted(path.name for path in whole.iterdir())
    contents = {name: (whole / name).read_bytes() for name in names}

    def check(case: tuple[int, bool, list[Edit], list[Any], bool]) -> str:
        which, sealed, edits, leaves, as_json = case
        name = names[which % len(names)]
        (whole / name).write_bytes(_changed(contents[name], edits, leaves, as_json))
        if sealed and name != list_file:
            (whole / list_file).unlink()
            sealing(whole)
        told = asked(lambda: opening(whole))
        if not sealed and name != list_file and (whole / name).read_bytes() != contents[name]:
            assert told == "refused", f"{name} was changed, and nobody noticed"
        for each in (name, list_file):
            (whole / each).write_bytes(contents[each])
        return told

    return check


@contextmanager
def _cache(place: Path) -> Iterator[Check]:
    whole = place / "whole"
    shutil.copytree(fsmd.load("planted:rows=600").path, whole)
    yield _of_folder(whole, DIGESTS, lambda path: seal(path, {}), open_encoded)


@contextmanager
def _model(place: Path) -> Iterator[Check]:
    whole = place / "model"
    save_model(untrained(DATA, score="click * long_view"), whole)
    yield _of_folder(whole, CHECKSUMS, seal_model, lambda path: Scorer.load(path, "onnx"))


@contextmanager
def _checkpoint(place: Path) -> Iterator[Check]:
    data = fsmd.load("planted:rows=600")
    training = replace(Training.on(data, replace(MODELS["mmoe"], batch_size=256)), epochs=2)
    path = place / "whole.ckpt"
    train(training, checkpoint=path, until=1)
    content = path.read_bytes()
    tasks = data.schema.tasks

    def check(edits: list[Edit]) -> str:
        path.write_bytes(edited(content, edits))
        curve = Curve()
        chosen = ChosenWeights(Selection.of(tasks, False, 2, None), curve)
        found: list[bool] = []
        asked(lambda: found.append(CheckpointFile(training, path).read(curve, chosen)))
        assert found == [True] or curve.epochs == 0, "half of a checkpoint was taken"
        return "done" if found == [True] else "refused"

    yield check


@contextmanager
def _plan(place: Path) -> Iterator[Check]:
    path = small_plan(place / "plan.json")
    text = path.read_bytes()

    def check(case: tuple[list[Edit], list[Any], bool]) -> str:
        path.write_bytes(_changed(text, *case))
        return asked(lambda: read_plan(path))

    yield check


# Rows to score


@contextmanager
def _rows(place: Path) -> Iterator[Check]:
    save_model(untrained(DATA, score="click * long_view"), place / "model")
    scorer = Scorer.load(place / "model")
    names = (*scorer.columns, "unknown", "")

    def check(case: list[list[tuple[int, Any]]]) -> str:
        rows = [{names[i % len(names)]: value for i, value in row} for row in case]
        whole = dict(read_example(place / "model").rows[0])
        rows = [{**whole, **row} if i % 2 else row for i, row in enumerate(rows, 1)]
        return asked(lambda: scorer.score(rows))

    yield check


def _served(folder: Path, threads: ThreadPoolExecutor) -> Any:
    """The example's application, which a server would call."""
    path = Path(__file__).parents[2] / "examples" / "serve.py"
    spec = importlib.util.spec_from_file_location("serve_example", path)
    assert spec
    assert spec.loader
    serve = sys.modules["serve_example"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)
    return serve.application(serve.Service("made_up", Scorer.load(folder), threads, 50, 20_000))


PATHS = (
    "/score",
    "/v2/models/made_up/infer",
    "/v2/models/other/infer",
    "/v2",
    "/score/",
    "//",
    "/",
)


@contextmanager
def _request(place: Path) -> Iterator[Check]:
    save_model(untrained(DATA), place / "model")
    example = dict(read_example(place / "model").rows[0])
    scorer = Scorer.load(place / "model")
    tensors = [
        {
            "name": each.name,
            "shape": [1],
            "datatype": "FP64" if each.kind == "number" else "BYTES",
            "data": [example.get(each.name, 1.0)],
        }
        for each in scorer.inputs
    ]
    bodies = {PATHS[0]: {"rows": [example, example]}, PATHS[1]: {"id": "1", "inputs": tensors}}
    loop = asyncio.new_event_loop()
    with ThreadPoolExecutor(1) as threads:
        app = _served(place / "model", threads)

        def check(case: tuple[str, str, list[Edit], list[Any], bool, bool]) -> str:
            path, method, edits, leaves, as_json, lying = case
            body = json.dumps(bodies.get(path, bodies["/score"])).encode()
            body = _changed(body, edits, leaves, as_json)
            length = b"7" if lying else str(len(body)).encode()
            status, answer = loop.run_until_complete(_answered(app, path, method, body, length))
            told = json.loads(answer)
            assert status < 500, (status, told)
            if status != 200:
                assert told.keys() == {"error"}
                assert "\n" not in told["error"]
            return "done" if status == 200 else "refused"

        yield check
    loop.close()


async def _answered(
    app: Any, path: str, method: str, body: bytes, length: bytes
) -> tuple[int, bytes]:
    sent: list[dict[str, Any]] = []
    parts = iter([{"type": "http.request", "body": body, "more_body": False}])

    async def receive() -> dict[str, Any]:
        return next(parts, {"type": "http.disconnect"})

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        **{"type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method},
        **{"path": path, "raw_path": path.encode(), "query_string": b"", "scheme": "http"},
        **{"headers": [(b"content-length", length)]},
        **{"server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2)},
    }  # fmt: skip
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(each.get("body", b"") for each in sent[1:])


ROW = st.lists(st.tuples(st.integers(0, 50), VALUES), max_size=6)
TARGETS: Mapping[str, Target] = {
    "descriptions": Target(DESCRIPTIONS, _description, 100, 30_000),
    "expressions": Target(st.lists(st.sampled_from(WORDS), max_size=14), _expression, 100, 15_000),
    "logs": Target(LOGS, _of_log, 40, 8_000),
    "describe": Target(LOGS, _describing, 10, 1_500),
    "command lines": Target(COMMAND_LINES, _command_line, 50, 8_000),
    "stored rows": Target(st.lists(CELL, min_size=1, max_size=2), _stored, 12, 4_000),
    "reports": Target(st.lists(CELL, min_size=1, max_size=2), _reported, 0, 500),
    "caches": Target(FILE_CASES, _cache, 40, 6_000),
    "checkpoints": Target(EDITS, _checkpoint, 40, 6_000),
    "models": Target(FILE_CASES, _model, 40, 6_000),
    "plans": Target(st.tuples(EDITS, LEAF_EDITS, st.booleans()), _plan, 40, 5_000),
    "rows": Target(st.lists(ROW, max_size=3), _rows, 60, 15_000),
    "requests": Target(
        st.tuples(
            st.sampled_from(PATHS[:2] * 3 + PATHS),
            st.sampled_from(("POST",) * 5 + ("GET", "PUT")),
            EDITS,
            LEAF_EDITS,
            st.booleans(),
            st.sampled_from((False,) * 9 + (True,)),
        ),
        _request,
        60,
        15_000,
    ),
}  # fmt: skip
