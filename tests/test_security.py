"""What docs and SECURITY.md promise: nothing is unpickled, and no text from data is obeyed."""

import ast
import io
import os
import pickle
import pickletools
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa
import torch
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from rich.console import Console
from rich.progress import Progress

import fsmd
from fsmd.callbacks import CheckpointFile, Curve
from fsmd.config import MODELS
from fsmd.data.encoded import DIGESTS, open_encoded, seal
from fsmd.errors import UserError
from fsmd.markdown import code, plain
from fsmd.packing import unpack
from fsmd.saved.head import CHECKSUMS, WEIGHTS, seal_model
from fsmd.saved.model import load_model, save_model
from fsmd.tasks import Task
from fsmd.terminal import PlainColumn, tell, words
from fsmd.training import Training
from reports.page.csv_files import to_csv
from reports.page.files import to_latex
from reports.page.model import Table, TableCell
from studies.failure import failure_of
from studies.planner.planner import Event
from studies.planner.progress import LiveProgress
from studies.search.proposals import check_gaussian_process
from studies.store.dashboard import dashboard_command
from tests.made_up.model_folders import untrained
from tests.test_architecture import ROOT, SOURCES, imported, libraries, nodes

EXAMPLES = {path.relative_to(ROOT).as_posix(): path for path in (ROOT / "examples").glob("*.py")}
PROGRAMS = {**SOURCES, **EXAMPLES}


@cache
def calls(path: Path) -> list[tuple[str, ast.Call]]:
    """(what is called, as it is written; the call) of a file."""
    return [(written(node.func), node) for node in nodes(path) if isinstance(node, ast.Call)]


def written(node: ast.expr) -> str:
    """As `ast.unparse` has it, which takes long."""
    if isinstance(node, ast.Attribute):
        return f"{written(node.value)}.{node.attr}"
    return node.id if isinstance(node, ast.Name) else ast.unparse(node)


def given_by(call: ast.Call, name: str) -> str | None:
    """An argument by its name, as it is written."""
    found = [ast.unparse(word.value) for word in call.keywords if word.arg == name]
    return found[0] if found else None


# Nothing is unpickled

PIPES = "studies/workers/"
"""The one exception: processes that we start speak to each other in pickles, by pipes of ours."""
UNPICKLING = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
OBEYING = {"eval", "exec", "compile", "__import__", "os.system", "os.popen"}
OF_PYTHON = (
    "run_path",
    "run_module",
    "spec_from_file_location",
    "exec_module",
    "SourceFileLoader",
)
MODELS_OF_FILES = (".read_pickle", ".to_pickle", ".jit.load", ".hub.load", ".load_model")


def test_only_the_pipe_to_workers_has_pickles() -> None:
    assert {
        name
        for name, path in PROGRAMS.items()
        if libraries(path) & UNPICKLING and not name.startswith(PIPES)
    } == set()


def test_whatever_reads_a_file_with_torch_numpy_or_lightning_refuses_pickles() -> None:
    unsafe = [
        f"{name}:{call.lineno}: {called}"
        for name, path in PROGRAMS.items()
        for called, call in calls(path)
        if (called == "torch.load" and given_by(call, "weights_only") != "True")
        or (given_by(call, "allow_pickle") not in (None, "False"))
        or (given_by(call, "ckpt_path") and not given_by(call, "weights_only"))
        or called.endswith((".load_from_checkpoint", *MODELS_OF_FILES))
        or given_by(call, "model_file") is not None
        or given_by(call, "init_model") not in (None, "fitted[-1] if fitted else None")
        or called.endswith("PickleType")
    ]
    assert unsafe == []


def test_no_text_is_run_as_a_program() -> None:
    run = [
        f"{name}:{call.lineno}: {called}"
        for name, path in PROGRAMS.items()
        for called, call in calls(path)
        if called in OBEYING or given_by(call, "shell") not in (None, "False")
        if [ast.unparse(text) for text in call.args] != ["''"]  # of which nothing is done
    ]
    assert run == []


def test_a_file_of_python_is_run_where_a_study_is_named_by_its_path_alone() -> None:
    """Which is code of whoever names it, as SECURITY.md says."""
    running = {
        name
        for name, path in PROGRAMS.items()
        if any(called.endswith(OF_PYTHON) for called, _ in calls(path))
    }
    assert running == {"studies/catalog/__init__.py"}


class Bomb:
    """What leaves a file where it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.place),)


@pytest.fixture
def bomb(tmp_path: Path) -> Iterator[Bomb]:
    """Which must not have gone off in the end."""
    made = Bomb(tmp_path / "gone off")
    yield made
    assert not made.place.exists()


def test_a_bomb_goes_off_where_it_is_unpickled(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Bomb(tmp_path / "gone off")))
    assert (tmp_path / "gone off").is_dir()


def test_a_checkpoint_that_is_a_pickle_is_not_read(bomb: Bomb, tmp_path: Path) -> None:
    data = fsmd.load("planted:rows=600")
    path = tmp_path / "x.ckpt"
    for content in ({"callbacks": bomb}, bomb):
        torch.save(content, path)
        training = Training.on(data, MODELS["mmoe"])
        assert not CheckpointFile(training, path).read(Curve())
    path.write_bytes(pickle.dumps(bomb))
    assert not CheckpointFile(training, path).read(Curve())
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(bomb))
        archive.writestr("archive/version", "3\n")
    assert not CheckpointFile(training, path).read(Curve())


def test_a_cache_with_pickles_that_is_sealed_is_refused(bomb: Bomb, tmp_path: Path) -> None:
    folder = tmp_path / "encoded"
    shutil.copytree(fsmd.load("planted:rows=600").path, folder)
    np.save(folder / "train_dense.npy", np.array([bomb], object), allow_pickle=True)
    (folder / DIGESTS).unlink()
    seal(folder, {})
    with pytest.raises(UserError, match="is no encoded data set"):
        open_encoded(folder)


def test_a_model_whose_weights_are_a_pickle_is_refused(bomb: Bomb, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    save_model(untrained("planted:rows=600"), folder)
    (folder / WEIGHTS).write_bytes(pickle.dumps(bomb))
    (folder / CHECKSUMS).unlink()
    seal_model(folder)
    with pytest.raises(UserError, match="cannot be read"):
        load_model(folder)


def test_packed_arrays_and_rows_with_an_extension_type_unpickle_nothing(
    bomb: Bomb, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="not a packed array"):
        unpack(pickle.dumps(bomb))
    marks = {
        b"ARROW:extension:name": b"arrow.py_extension_type",
        b"ARROW:extension:metadata": pickle.dumps(bomb),
    }
    kept = pa.schema([pa.field("user", pa.string(), metadata=marks)])
    pq.write_table(pa.table({"user": ["a"]}, kept), tmp_path / "log.parquet")
    described = tmp_path / "dataset.toml"
    text = '[data]\nfiles = "log.parquet"\n[fields]\nuser = "category"\n[tasks]\nclick = "user"\n'
    described.write_text(f'{text}[split]\nby = "fraction"\nseed = 0\n', "utf-8")
    with pytest.raises(UserError):
        fsmd.load(str(described))
    assert any(code.name == "REDUCE" for code, _, _ in pickletools.genops(pickle.dumps(bomb)))


# Terminals

CONTROLS = "\x1b[2J\x1b]8;;http://x.example\x07\x9b1m\r\x08\u202e\u2066"
MARKUP = "[red]x[/red] [/] [link=http://x.example]y[/link] :bomb: [@click=app.quit]z[/]"
OPENS_CONSOLES = "fsmd/terminal.py"


def test_only_one_file_opens_consoles_and_prints_on_them() -> None:
    """Where nothing is read as markup."""
    owned = ("Console", "TextColumn", "Text", "Text.from_markup", "track")
    elsewhere = [
        f"{name}:{call.lineno}: {called}"
        for name, path in PROGRAMS.items()
        if name != OPENS_CONSOLES
        for called, call in calls(path)
        if called in owned
        or (called.endswith("onsole.print") and ast.unparse(call.args[0]) != "_table(seen, draft)")
        or (called.endswith(".status") and not ast.unparse(call.args[0]).startswith("words("))
    ]
    assert elsewhere == []
    assert "rich.markup" not in {m for path in PROGRAMS.values() for m in imported(path)}


@given(st.text())
def test_what_is_told_and_drawn_is_the_text_itself_without_control_characters(text: str) -> None:
    drawn = words(text)
    assert drawn.spans == []
    assert drawn.plain.isprintable()
    if text.isprintable():
        assert drawn.plain == text


def test_markup_in_names_is_drawn_as_it_stands(tmp_path: Path) -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=300, color_system=None)
    tell(console, f"{MARKUP} {CONTROLS}")
    with Progress(PlainColumn("{task.description}"), console=console) as bar:
        bar.add_task(f"{MARKUP} {CONTROLS}", total=1)
    shown = re.sub(r"\x1b\[[?\d;]*[a-zA-Z]|[\r\n]", "", output.getvalue())
    assert shown.count(MARKUP) >= 2
    assert shown.isprintable()


def test_arms_with_markup_in_their_names_train_under_a_live_bar() -> None:
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=300, color_system=None)
    training: Any = SimpleNamespace(id="1", epochs=2)
    cell: Any = SimpleNamespace(arm=MARKUP, replicate=0, training=training)
    with LiveProgress(console, 1, 1, (Task("[/red]"),)) as listen:
        listen(Event("started", cell))
        listen(Event("failed", cell, f"[/]{CONTROLS}"))
    assert MARKUP in output.getvalue()
    assert "\x9b" not in output.getvalue()


def test_a_training_that_fails_is_told_without_control_characters() -> None:
    assert failure_of(ValueError(CONTROLS)).error.isprintable()


def test_what_is_printed_has_no_control_character(tmp_path: Path) -> None:
    """By a real process, whatever its output is."""
    program = (
        "import sys; from fsmd.command_line import exit_code; text = sys.argv[1]\n"
        "def run():\n  print(text, file=sys.stderr)\n"
        "  print(text, 'tab\\tand \\u4e2d', sep='\\n')\n  return 0\n"
        "sys.exit(exit_code(run, ''))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, CONTROLS],
        capture_output=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    for stream in (run.stdout, run.stderr):
        assert (
            re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066]", stream.decode()) is None
        )
        assert b"\\u001b[2J" in stream
    assert run.stdout.decode().endswith("tab\tand \u4e2d\n")


# Markdown, tables, addresses

HOSTILE = (
    *("[x](javascript:alert(1))", "![](http://x.example/seen.png)", "<img src=x>", "`code`"),
    *("| a | b |", "**bold** _it_ ~~no~~", "# head", "https://x.example", "www.x.example"),
    *("&lt;b&gt; &amp;", "\\", "a\\|b", "<!-- x -->", "[x]: http://x.example", "wide_deep"),
    *("<a@b.c>", "$x^2$", "a`b"),
)  # fmt: skip
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def read_out(markdown: str) -> tuple[str, set[str]]:
    """(its text, the kinds of marks in it)."""
    tokens = [t for block in READER.parse(markdown) for t in (block, *(block.children or ()))]
    text = "".join(t.content for t in tokens if t.type in ("text", "code_inline", "text_special"))
    return text, {t.type for t in tokens}


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_markdown_is_shown_as_it_stands(text: str) -> None:
    for marked in (plain(text), code(text)):
        for around in (f"It is {marked}.", f"| head |\n| --- |\n| {marked} |"):
            shown, kinds = read_out(around)
            assert text.strip() in shown
            assert not kinds & {"link_open", "image", "html_inline", "html_block", "strong_open"}
            assert not kinds & {"em_open", "s_open", "fence", "heading_open"}


@given(st.text(min_size=1))
def test_any_text_in_markdown_is_shown_as_it_stands(text: str) -> None:
    shown, kinds = read_out(f"It is {plain(text)}.")
    assert kinds <= {"paragraph_open", "paragraph_close", "inline", "text", "text_special"}
    if text.isprintable():
        assert " ".join(shown.split()) == " ".join(f"It is {text}.".split())


def test_a_spreadsheet_runs_no_cell() -> None:
    texts = ("=1+1", " +1+cmd", "-2+3", "@SUM(A1)", "\t=1", "\uff1d1+1", "a;=1+1", "-0.5", "+2%")
    cells = tuple((TableCell(text),) for text in texts)
    lines = to_csv(Table("t", "", ("=head",), cells)).splitlines()
    assert lines == [
        *('"\'=head"', '"\'=1+1"', '"\' +1+cmd"', '"\'-2+3"', '"\'@SUM(A1)"', '"\'\t=1"'),
        *('"\'\uff1d1+1"', '"a;=1+1"', '"-0.5"', '"+2%"'),
    ]


def test_a_star_after_the_end_of_a_row_is_no_star_of_latex() -> None:
    table = Table("t", "", ("a",), ((TableCell("x"),), (TableCell("*y"),)))
    assert "{*}y" in to_latex(table, "s")


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://bob:SECRET@h/db",
        "postgresql://h/db?password=SECRET",
        "postgresql+psycopg://bob@h/db?sslpassword=SECRET&sslmode=require",
        "mysql+pymysql://h/db?ssl_key=SECRET",
    ],
)
def test_the_command_of_the_dashboard_shows_no_password(url: str) -> None:
    assert "SECRET" not in dashboard_command(sa.make_url(url), Path("out"))


def test_another_gaussian_process_of_optuna_is_refused_in_a_line() -> None:
    check_gaussian_process()

    class Other:
        def _optimize_acqf(self, acqf: object) -> None: ...

    for name in ("_optimize_acqf", "gone"):
        with pytest.raises(
            UserError, match=rf"--sampler gp needs Other\.{name}\(acqf, best\), which"
        ):
            check_gaussian_process(lambda name=name: [(Other, name, ("acqf", "best"))])  # type: ignore[misc]
